//! Where a mesh is and which key opens it: what agents need to know.

use policy::secret::Secret;
use serde::{Deserialize, Serialize};

use super::data::{DataError, DataFolder};

/// Addresses of a mesh, as kept in the data folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Addresses {
    /// Base URL for clients, without a trailing slash.
    pub(super) mesh_url: String,
    /// Base URL of the policy service.
    pub(super) admin_url: String,
    /// Models that the printed examples ask for.
    pub(super) examples: Examples,
}

/// One model for each dialect that some provider speaks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Examples {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) anthropic: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) openai: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) gemini: Option<String>,
    /// Whether they are the demo provider's.
    #[serde(default)]
    pub(super) demo: bool,
}

impl Addresses {
    /// Reads what the last start left; `None` when nothing can be made of it.
    pub(super) fn load(folder: &DataFolder) -> Result<Option<Self>, DataError> {
        let text = folder.read(&folder.endpoint())?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    pub(super) fn save(&self, folder: &DataFolder) -> Result<(), DataError> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        folder.write(&folder.endpoint(), &format!("{text}\n"))
    }
}

/// A mesh that a client can call.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// Base URL without a trailing slash.
    pub(super) url: String,
    pub(super) key: Secret,
}
