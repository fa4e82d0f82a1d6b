//! The plugin configuration: which role, and where the policy service is.

use serde::Deserialize;

/// What one filter entry is told by its `configuration` text.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub role: Role,
    /// Envoy cluster of the policy service; only `govern` talks to it.
    #[serde(default)]
    pub policy_cluster: Option<String>,
    /// Whether this Envoy takes its provider clusters from the service.
    #[serde(default)]
    pub clusters_from_service: bool,
}

/// The place of a filter entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// In the listener's chain: once per request.
    #[default]
    Govern,
    /// In the router's upstream chain: once per attempt.
    Adapt,
}

impl Config {
    /// Reads the configuration text.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        let config: Self = serde_json::from_slice(text)
            .map_err(|error| format!("weir filter configuration: {error}"))?;
        match (config.role, &config.policy_cluster) {
            (Role::Govern, None) => {
                Err("weir filter configuration: role `govern` needs `policy_cluster`".to_owned())
            }
            (Role::Govern, Some(_)) | (Role::Adapt, _) => Ok(config),
        }
    }
}
