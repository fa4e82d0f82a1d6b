//! Providers that need no explaining: where they are, what they speak, whose prices apply.

use crate::documents::{AuthStyle, BaseUrl};
use crate::pattern::ModelPattern;
use crate::price::{FREE_TABLE, PriceBook};
use crate::surface::Dialect;

/// A well-known provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    pub name: &'static str,
    pub dialect: Dialect,
    pub base_url: &'static str,
    /// The provider's own host: intercepted traffic is addressed to it.
    pub host: &'static str,
    pub price_table: &'static str,
    /// Patterns of the models it serves, so that several presets side by side do not claim each other's.
    served: &'static [&'static str],
}

const fn openai_like(
    name: &'static str,
    base_url: &'static str,
    host: &'static str,
    served: &'static [&'static str],
) -> Preset {
    Preset {
        name,
        dialect: Dialect::Openai,
        base_url,
        host,
        price_table: name,
        served,
    }
}

impl Preset {
    /// All presets, by name.
    pub const ALL: [Self; 10] = [
        Self {
            name: "anthropic",
            dialect: Dialect::Anthropic,
            base_url: "https://api.anthropic.com",
            host: "api.anthropic.com",
            price_table: "anthropic",
            served: &["claude-*"],
        },
        openai_like(
            "deepseek",
            "https://api.deepseek.com/v1",
            "api.deepseek.com",
            &["deepseek-*"],
        ),
        openai_like(
            "fireworks",
            "https://api.fireworks.ai/inference/v1",
            "api.fireworks.ai",
            &["accounts/*"],
        ),
        Self {
            name: "google",
            dialect: Dialect::Gemini,
            base_url: "https://generativelanguage.googleapis.com",
            host: "generativelanguage.googleapis.com",
            price_table: "google",
            served: &["*"],
        },
        openai_like(
            "groq",
            "https://api.groq.com/openai/v1",
            "api.groq.com",
            &[
                "llama-*",
                "openai/*",
                "meta-llama/*",
                "qwen/*",
                "moonshotai/*",
                "groq/*",
                "whisper-*",
            ],
        ),
        openai_like(
            "mistral",
            "https://api.mistral.ai/v1",
            "api.mistral.ai",
            &[
                "mistral-*",
                "ministral-*",
                "magistral-*",
                "codestral-*",
                "devstral-*",
                "pixtral-*",
                "voxtral-*",
                "open-mi*",
            ],
        ),
        openai_like(
            "openai",
            "https://api.openai.com/v1",
            "api.openai.com",
            &[
                "gpt-*",
                "chat-latest",
                "chatgpt-*",
                "codex-*",
                "computer-use-*",
                "ft:*",
                "o?",
                "o?-*",
                "omni-*",
                "text-embedding-*",
            ],
        ),
        openai_like(
            "openrouter",
            "https://openrouter.ai/api/v1",
            "openrouter.ai",
            &["*/*"],
        ),
        openai_like(
            "together",
            "https://api.together.xyz/v1",
            "api.together.xyz",
            &["*/*"],
        ),
        openai_like("xai", "https://api.x.ai/v1", "api.x.ai", &["grok-*"]),
    ];

    /// Returns the preset called `name`.
    pub fn named(name: &str) -> Option<&'static Self> {
        const ALL: &[Preset] = &Preset::ALL;
        ALL.iter().find(|preset| preset.name == name)
    }

    /// Returns the hosts by which intercepted traffic addresses it.
    pub fn hosts(&self) -> Vec<String> {
        vec![self.host.to_owned()]
    }

    /// Returns the patterns of the models it serves.
    pub fn models(&self) -> Vec<ModelPattern> {
        let patterns = self.served.iter().map(|text| ModelPattern::parse(text));
        patterns.filter_map(Result::ok).collect()
    }

    /// Returns the models to show: those of its price table that are worth offering.
    pub fn listed_models(&self) -> Vec<String> {
        PriceBook::embedded().listed_models(self.price_table)
    }
}

/// Returns the path behind the base URL that costs nothing and needs a key, by which a key is probed: a known
/// provider's own, else the dialect's list of models.
///
/// ```
/// use policy::presets::key_probe_path;
/// use policy::surface::Dialect;
///
/// let openrouter = "https://openrouter.ai/api/v1".parse()?;
/// assert_eq!(key_probe_path(&openrouter, Dialect::Openai), "/key");
/// let own = "https://llm.example/v1".parse()?;
/// assert_eq!(key_probe_path(&own, Dialect::Openai), "/models");
/// # Ok::<(), policy::documents::BaseUrlError>(())
/// ```
pub fn key_probe_path(base_url: &BaseUrl, dialect: Dialect) -> &'static str {
    match (base_url.host.as_str(), dialect) {
        // Its list of models is open to everybody.
        ("openrouter.ai", Dialect::Openai) => "/key",
        (_, Dialect::Anthropic) => "/v1/models",
        (_, Dialect::Openai) => "/models",
        (_, Dialect::Gemini) => "/v1beta/models",
    }
}

/// Returns how a provider of this dialect usually wants its credential.
pub const fn default_auth(dialect: Dialect) -> AuthStyle {
    match dialect {
        Dialect::Anthropic => AuthStyle::XApiKey,
        Dialect::Openai => AuthStyle::Bearer,
        Dialect::Gemini => AuthStyle::XGoogApiKey,
    }
}

/// Returns whose prices apply at `base_url`: a known provider's, or none on this machine.
pub fn default_price_table(base_url: &BaseUrl) -> Option<&'static str> {
    if base_url.is_loopback() {
        return Some(FREE_TABLE);
    }
    if base_url.host.ends_with(".openai.azure.com") {
        return Some("azure");
    }
    let preset = Preset::ALL
        .into_iter()
        .find(|preset| preset.host == base_url.host);
    preset.map(|preset| preset.price_table)
}

/// How long a connection to a known provider is kept: shorter than any load balancer of theirs keeps it.
const KNOWN_IDLE_TIMEOUT_MS: u64 = 50_000;
/// How long one to any other is: servers of common frameworks close theirs after five seconds.
const OTHER_IDLE_TIMEOUT_MS: u64 = 4_000;

/// Returns how long a connection to `base_url` is kept without a request.
pub fn default_idle_timeout_ms(base_url: &BaseUrl) -> u64 {
    let is_known = Preset::ALL
        .iter()
        .any(|preset| preset.host == base_url.host);
    if is_known {
        KNOWN_IDLE_TIMEOUT_MS
    } else {
        OTHER_IDLE_TIMEOUT_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_whole() {
        for preset in Preset::ALL {
            let url: BaseUrl = preset.base_url.parse().unwrap();
            assert_eq!(url.host, preset.host);
            assert_eq!(default_price_table(&url), Some(preset.price_table));
            assert!(PriceBook::embedded().has_table(preset.price_table, &[]));
            assert_eq!(preset.models().len(), preset.served.len());
            assert!(!preset.listed_models().is_empty(), "{}", preset.name);
            for model in preset.listed_models() {
                let is_served = preset
                    .models()
                    .iter()
                    .any(|pattern| pattern.matches(&model));
                assert!(is_served, "{} lists {model}", preset.name);
            }
            assert_eq!(Preset::named(preset.name), Some(&preset));
        }
    }

    #[test]
    fn connections_to_strangers_are_kept_for_less_than_their_servers_do() {
        let idle = |url: &str| default_idle_timeout_ms(&url.parse().unwrap());
        assert_eq!(idle("https://api.openai.com/v1"), 50_000);
        for other in [
            "http://localhost:11434/v1",
            "https://llm.example/v1",
            "https://api.openai.com.llm.example/v1",
        ] {
            assert_eq!(idle(other), 4_000, "{other}");
        }
    }

    #[test]
    fn local_models_are_free_and_strangers_have_no_table() {
        let table = |url: &str| default_price_table(&url.parse().unwrap());
        assert_eq!(table("http://localhost:11434/v1"), Some("free"));
        assert_eq!(table("https://acme.openai.azure.com/openai"), Some("azure"));
        assert_eq!(table("https://llm.example/v1"), None);
    }
}
