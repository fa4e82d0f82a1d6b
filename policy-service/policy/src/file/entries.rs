//! The file as it is written.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::documents::{
    Access, AuthStyle, InferenceAuth, KeyState, OnNoAnswer, OnRecordOverflow, OnRevoke,
    OnUnknownPrice, OutboundAddresses, PathStyle, RouteTarget, Settings, StreamUsage, Subscription,
};
use crate::guardrail::{GuardrailDraft, TextRole};
use crate::opaque_path::OpaquePath;
use crate::pattern::ModelPattern;
use crate::price::PriceOverride;
use crate::quota::QuotaDraft;
use crate::secret::Secret;
use crate::surface::{Dialect, Surface};
use crate::units::Timestamp;

/// A policy file, read but not yet checked.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyFile {
    pub(super) settings: SettingsEntry,
    pub(super) customers: Vec<CustomerEntry>,
    pub(super) teams: Vec<TeamEntry>,
    pub(super) users: Vec<UserEntry>,
    pub(super) providers: Vec<ProviderEntry>,
    pub(super) keys: Vec<KeyEntry>,
    pub(super) routes: Vec<RouteEntry>,
    pub(super) prices: Vec<PriceOverride>,
    pub(super) guardrails: Vec<GuardrailDraft<GuardScopeEntry>>,
    pub(super) rule_files: Vec<RuleFileEntry>,
    pub(super) word_lists: Vec<WordListEntry>,
    pub(super) quotas: Vec<QuotaDraft<QuotaNodeEntry>>,
}

/// What is left out keeps its default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SettingsEntry {
    inference_auth: Option<InferenceAuth>,
    on_unknown_price: Option<OnUnknownPrice>,
    on_record_overflow: Option<OnRecordOverflow>,
    on_revoke: Option<OnRevoke>,
    body_cap_bytes: Option<u64>,
    snapshot_max_age_ms: Option<u64>,
    vault_ttl_ms: Option<u64>,
    hosts: Option<Vec<String>>,
    max_attempts: Option<u8>,
    max_running_per_key: Option<u32>,
    outbound_addresses: Option<OutboundAddresses>,
    cors_origins: Option<Vec<String>>,
}

impl SettingsEntry {
    pub(super) fn to_settings(&self) -> Settings {
        let usual = Settings::default();
        Settings {
            inference_auth: self.inference_auth.unwrap_or(usual.inference_auth),
            on_unknown_price: self.on_unknown_price.unwrap_or(usual.on_unknown_price),
            on_record_overflow: self.on_record_overflow.unwrap_or(usual.on_record_overflow),
            on_revoke: self.on_revoke.unwrap_or(usual.on_revoke),
            body_cap_bytes: self.body_cap_bytes.unwrap_or(usual.body_cap_bytes),
            snapshot_max_age_ms: self
                .snapshot_max_age_ms
                .unwrap_or(usual.snapshot_max_age_ms),
            vault_ttl_ms: self.vault_ttl_ms.unwrap_or(usual.vault_ttl_ms),
            hosts: self.hosts.clone().unwrap_or(usual.hosts),
            max_attempts: self.max_attempts.unwrap_or(usual.max_attempts),
            max_running_per_key: self
                .max_running_per_key
                .unwrap_or(usual.max_running_per_key),
            outbound_addresses: self.outbound_addresses.unwrap_or(usual.outbound_addresses),
            cors_origins: self.cors_origins.clone().unwrap_or(usual.cors_origins),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CustomerEntry {
    pub(super) name: String,
    #[serde(default)]
    pub(super) access: Option<Access>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TeamEntry {
    pub(super) name: String,
    #[serde(default)]
    pub(super) customer: Option<String>,
    #[serde(default)]
    pub(super) access: Option<Access>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserEntry {
    pub(super) name: String,
    #[serde(default)]
    pub(super) team: Option<String>,
    #[serde(default)]
    pub(super) customer: Option<String>,
    #[serde(default)]
    pub(super) access: Option<Access>,
}

/// With a preset, whatever is left out is the preset's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ProviderEntry {
    pub(super) preset: Option<String>,
    pub(super) name: Option<String>,
    pub(super) dialect: Option<Dialect>,
    pub(super) base_url: Option<String>,
    pub(super) auth: Option<AuthStyle>,
    pub(super) path_style: PathStyle,
    pub(super) hosts: Option<Vec<String>>,
    pub(super) models: Option<Vec<ModelPattern>>,
    pub(super) listed_models: Option<Vec<String>>,
    pub(super) keys: Vec<ProviderKeyEntry>,
    pub(super) stream_usage: StreamUsage,
    pub(super) price_table: Option<String>,
    pub(super) stream_header_timeout_ms: Option<u64>,
    pub(super) whole_header_timeout_ms: Option<u64>,
    pub(super) idle_timeout_ms: Option<u64>,
    pub(super) on_no_answer: Option<OnNoAnswer>,
    pub(super) pass_request_headers: Vec<String>,
    pub(super) pass_response_headers: Vec<String>,
    pub(super) set_request_headers: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProviderKeyEntry {
    pub(super) name: String,
    /// The secret itself, or `env.NAME`.
    pub(super) secret: Secret,
    #[serde(default = "one")]
    pub(super) weight: u32,
    #[serde(default)]
    pub(super) disabled: bool,
}

const fn one() -> u32 {
    1
}

/// Who owns a key, by name.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OwnerEntry {
    User(String),
    Team(String),
    Customer(String),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyEntry {
    pub(super) name: String,
    pub(super) owner: OwnerEntry,
    /// A whole virtual key, or `env.NAME`; made when left out.
    #[serde(default)]
    pub(super) secret: Option<Secret>,
    #[serde(default)]
    pub(super) environment: String,
    #[serde(default)]
    pub(super) state: KeyState,
    #[serde(default)]
    pub(super) expires_at_ms: Option<Timestamp>,
    #[serde(default)]
    pub(super) access: Access,
    #[serde(default)]
    pub(super) subscription: Subscription,
    #[serde(default)]
    pub(super) opaque_paths: Vec<OpaquePath>,
    /// The settings' when left out.
    #[serde(default)]
    pub(super) on_revoke: Option<OnRevoke>,
}

/// Where a route applies, by name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ScopeEntry {
    #[default]
    Global,
    Customer(String),
    Team(String),
    User(String),
    Key(String),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteEntry {
    pub(super) alias: ModelPattern,
    #[serde(default)]
    pub(super) scope: ScopeEntry,
    pub(super) targets: Vec<RouteTarget>,
}

/// Where a guardrail applies, by names.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct GuardScopeEntry {
    pub(super) customers: Vec<String>,
    pub(super) teams: Vec<String>,
    pub(super) users: Vec<String>,
    pub(super) keys: Vec<String>,
    pub(super) models: Vec<ModelPattern>,
    pub(super) providers: Vec<String>,
    pub(super) surfaces: Vec<Surface>,
    pub(super) roles: Vec<TextRole>,
}

/// Rules in the file itself, or in a file beside it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleFileEntry {
    pub(super) name: String,
    #[serde(default)]
    pub(super) source: Option<String>,
    #[serde(default)]
    pub(super) path: Option<String>,
}

/// Words in the file itself, or line by line in a file beside it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WordListEntry {
    pub(super) name: String,
    #[serde(default)]
    pub(super) words: Option<Vec<String>>,
    #[serde(default)]
    pub(super) path: Option<String>,
}

/// Whose use a quota counts, by name.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum QuotaNodeEntry {
    Organisation,
    Customer(String),
    Team(String),
    User(String),
    Key(String),
    EachMember(String),
    EachSession(ScopeEntry),
    EachAgent(ScopeEntry),
}
