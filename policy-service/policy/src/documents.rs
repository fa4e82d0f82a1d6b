//! Policy as an administrator means it: the input of [`compile`](crate::compile).
//!
//! These are checked values. How they are written in a file or an API body, and every complaint about that,
//! is the business of the modules that read them.

pub(crate) mod base_url;
mod outbound;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::guardrail::{Guardrail, RuleFile, WordList};
use crate::ids::{
    CustomerId, GuardrailId, KeyId, ProviderId, ProviderKeyId, QuotaId, RouteId, RuleFileId,
    TeamId, UserId, WordListId,
};
use crate::key::KeyHash;
use crate::opaque_path::OpaquePath;
use crate::pattern::ModelPattern;
use crate::price::PriceOverride;
use crate::quota::Quota;
use crate::secret::Secret;
use crate::segment::ModelPlace;
use crate::surface::Dialect;
use crate::units::Timestamp;

pub use base_url::BaseUrlError;
pub use outbound::{NOT_ORDINARY, OutboundAddresses};

/// Everything that governs one mesh.
#[derive(Clone, Debug, Default)]
pub struct Documents {
    pub settings: Settings,
    pub customers: BTreeMap<CustomerId, Customer>,
    pub teams: BTreeMap<TeamId, Team>,
    pub users: BTreeMap<UserId, User>,
    pub keys: BTreeMap<KeyId, VirtualKey>,
    pub providers: BTreeMap<ProviderId, Provider>,
    pub routes: BTreeMap<RouteId, Route>,
    /// Prices that go before those of the embedded book.
    pub prices: Vec<PriceOverride>,
    pub guardrails: BTreeMap<GuardrailId, Guardrail>,
    pub rule_files: BTreeMap<RuleFileId, RuleFile>,
    pub word_lists: BTreeMap<WordListId, WordList>,
    pub quotas: BTreeMap<QuotaId, Quota>,
}

/// Whether a request without a virtual key is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InferenceAuth {
    /// No key, no service.
    #[default]
    Required,
    /// Unkeyed traffic is admitted and recorded as such, for a phased rollout.
    Observe,
}

/// What a model without a price costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknownPrice {
    /// The dearest known price of that provider, class by class; the record is flagged.
    #[default]
    Dearest,
    /// The request is refused.
    Deny,
    /// Nothing; the record is flagged.
    Zero,
}

/// What happens to new requests when exchange records cannot be delivered and the queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRecordOverflow {
    /// Refuse new requests until records flow again.
    #[default]
    Refuse,
    /// Go on and count the records that were dropped.
    Drop,
}

/// What happens to what runs when its key is revoked, switched off or expires. Requests that have not gone yet and
/// further attempts are refused in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRevoke {
    /// Streams end with the ordinary end of their dialect, answers that have not begun become a refusal.
    #[default]
    Cut,
    /// What has reached a provider runs to its end.
    Finish,
}

/// Mesh-wide settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub inference_auth: InferenceAuth,
    pub on_unknown_price: OnUnknownPrice,
    pub on_record_overflow: OnRecordOverflow,
    /// For keys that say nothing else.
    pub on_revoke: OnRevoke,
    /// Largest request body that is read; larger ones are refused. Default 32 MiB.
    pub body_cap_bytes: u64,
    /// How long a filter keeps enforcing its last snapshot while the service is away. Default 24 h.
    pub snapshot_max_age_ms: u64,
    /// How long a tokenised value is kept after its last use. Default 30 days.
    pub vault_ttl_ms: u64,
    /// Host names (without port) under which the mesh itself is addressed; `*` admits any name that no
    /// provider claims. Loopback names are always ours.
    pub hosts: Vec<String>,
    /// Upper bound of attempts for one request, all targets together. Default 6.
    pub max_attempts: u8,
    /// Exchanges of one virtual key that run side by side in a worker of an Envoy; more are refused. Default 256.
    pub max_running_per_key: u32,
    /// Where providers and the webhook may be. Default ordinary.
    pub outbound_addresses: OutboundAddresses,
    /// Origins of web pages (`https://app.example`) that may ask and read answers. None by default.
    pub cors_origins: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            inference_auth: InferenceAuth::default(),
            on_unknown_price: OnUnknownPrice::default(),
            on_record_overflow: OnRecordOverflow::default(),
            on_revoke: OnRevoke::default(),
            body_cap_bytes: 32 * 1024 * 1024,
            snapshot_max_age_ms: 24 * 60 * 60 * 1000,
            vault_ttl_ms: 30 * 24 * 60 * 60 * 1000,
            hosts: Vec::new(),
            max_attempts: 6,
            max_running_per_key: 256,
            outbound_addresses: OutboundAddresses::default(),
            cors_origins: Vec::new(),
        }
    }
}

/// A customer: the level above teams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    pub id: CustomerId,
    pub name: String,
    /// Restriction for everything below; `None` restricts nothing.
    pub access: Option<Access>,
}

/// A team of a customer, or of the organisation directly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Team {
    pub id: TeamId,
    pub name: String,
    pub customer: Option<CustomerId>,
    pub access: Option<Access>,
}

/// A person or service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub name: String,
    pub team: Option<TeamId>,
    /// Only without a team; with one, the team's customer counts.
    pub customer: Option<CustomerId>,
    pub access: Option<Access>,
}

/// To whom a virtual key belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    User(UserId),
    Team(TeamId),
    Customer(CustomerId),
}

/// Whether a virtual key may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    #[default]
    Active,
    /// Switched off; may be switched on again.
    Inactive,
    /// For good.
    Revoked,
}

/// Whether the client's own provider login may travel beside the virtual key (design rule 9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subscription {
    #[default]
    Refused,
    /// To the official host of the surface only, unchanged, one target, cost notional.
    Allowed,
}

/// A virtual key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualKey {
    pub id: KeyId,
    pub name: String,
    pub hash: KeyHash,
    pub owner: Owner,
    /// Free label: `dev`, `ci`, `prod`…; empty when not set.
    pub environment: String,
    pub state: KeyState,
    pub expires_at: Option<Timestamp>,
    /// What the key may use. Nothing listed means nothing allowed.
    pub access: Access,
    pub subscription: Subscription,
    /// Paths outside the known surfaces that the key may call, and the query parameters there.
    pub opaque_paths: Vec<OpaquePath>,
    /// `None`: as the settings say.
    pub on_revoke: Option<OnRevoke>,
}

/// Who may use which models at which providers. All levels' rules must allow; one denial is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// What is allowed, by provider. Nothing listed means nothing allowed.
    pub providers: Vec<ProviderAccess>,
    /// Providers that are denied whatever `providers` says; names or `*`.
    pub denied_providers: Vec<ProviderSelector>,
    /// Models that are denied at every provider.
    pub denied_models: Vec<ModelPattern>,
}

/// Permission to use one provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderAccess {
    pub provider: ProviderSelector,
    /// Model names as the provider knows them. Nothing listed means none.
    #[serde(default)]
    pub models: Vec<ModelPattern>,
    #[serde(default)]
    pub denied_models: Vec<ModelPattern>,
    /// Which of the provider's own keys may be used. Nothing listed means none.
    #[serde(default)]
    pub provider_keys: Vec<ProviderKeySelector>,
    /// Share in the draw between providers that could serve the same model without a route. Default 1.
    #[serde(default = "one")]
    pub weight: u32,
}

const fn one() -> u32 {
    1
}

/// A provider by name, or `*` for all, future ones too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProviderSelector(pub String);

impl ProviderSelector {
    /// Whether the selector covers the provider called `name`.
    pub fn covers(&self, name: &str) -> bool {
        self.0 == "*" || self.0 == name
    }
}

/// A provider's own key by name, or `*` for all, future ones too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProviderKeySelector(pub String);

impl ProviderKeySelector {
    /// Whether the selector covers the provider key called `name`.
    pub fn covers(&self, name: &str) -> bool {
        self.0 == "*" || self.0 == name
    }
}

/// How a provider wants its credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthStyle {
    /// `authorization: Bearer …`
    Bearer,
    /// `x-api-key: …` (Anthropic)
    XApiKey,
    /// `api-key: …` (Azure)
    ApiKey,
    /// `x-goog-api-key: …` (Gemini)
    XGoogApiKey,
    /// No credential (local models).
    None,
}

impl AuthStyle {
    /// Returns the header that carries `secret`, and its value; `None` where no credential is wanted.
    pub fn credential(self, secret: &str) -> Option<(&'static str, String)> {
        Some(match self {
            Self::Bearer => ("authorization", format!("Bearer {secret}")),
            Self::XApiKey => ("x-api-key", secret.to_owned()),
            Self::ApiKey => ("api-key", secret.to_owned()),
            Self::XGoogApiKey => ("x-goog-api-key", secret.to_owned()),
            Self::None => return None,
        })
    }
}

/// How the provider's path is made from the surface's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PathStyle {
    /// The base URL's path, then the surface's path. For the OpenAI dialect the base URL carries the
    /// version (`https://api.openai.com/v1`), as its SDKs have it; for the others it does not.
    #[default]
    Native,
    /// `{base path}/deployments/{model}/{operation}?api-version=…` (Azure OpenAI deployments; base URL
    /// ends in `/openai`).
    AzureDeployments { api_version: String },
}

/// Whether `stream_options.include_usage` may be set for this provider's chat streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamUsage {
    /// Spliced in when the client did not ask; the extra event is taken out again.
    #[default]
    Ask,
    /// The provider refuses or ignores it.
    Leave,
}

/// Whether a provider key may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKeyState {
    #[default]
    Active,
    /// Switched off by an administrator.
    Disabled,
    /// The provider answered 401 or 403 to it; out of use until an administrator looks.
    Bad,
}

/// What becomes of a request when its connection to a provider ends soon after its last byte and before the first of
/// an answer: nobody can say whether the provider read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnNoAnswer {
    /// It goes once more: to the next target, or to the same one where there is no other.
    #[default]
    Again,
    /// The client is told.
    Fail,
}

/// One credential of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderKey {
    pub id: ProviderKeyId,
    /// Unique within the provider.
    pub name: String,
    pub secret: Secret,
    /// Share in the draw among the provider's keys. Zero means fallback only.
    pub weight: u32,
    pub state: ProviderKeyState,
}

/// A provider: one API at one base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    pub id: ProviderId,
    /// Unique; lower-case letters, digits and `-`, at most 40.
    pub name: String,
    pub dialect: Dialect,
    pub base_url: BaseUrl,
    pub auth: AuthStyle,
    pub path_style: PathStyle,
    /// Host names by which intercepted traffic addresses this provider (`api.anthropic.com`).
    pub hosts: Vec<String>,
    /// Models it serves when no route names it; `*` for all.
    pub models: Vec<ModelPattern>,
    /// Names to show in `models` answers; patterns alone cannot be listed.
    pub listed_models: Vec<String>,
    pub keys: Vec<ProviderKey>,
    pub stream_usage: StreamUsage,
    /// Which table of the price book applies (`anthropic`, `openai`…); `free` for local models.
    pub price_table: String,
    /// Time to response headers for a streamed answer. Default 60 s.
    pub stream_header_timeout_ms: u64,
    /// Time to response headers for a whole answer. Default 10 min; not retried.
    pub whole_header_timeout_ms: u64,
    /// How long a connection without a request is kept for the next one; `None` for what is
    /// [usual](crate::presets::default_idle_timeout_ms) at the base URL.
    pub idle_timeout_ms: Option<u64>,
    /// What becomes of a request whose connection ended before the provider began to answer.
    pub on_no_answer: OnNoAnswer,
    /// Headers of clients that go up beside those that the dialect lists: names, or prefixes with `*` behind them.
    pub pass_request_headers: Vec<String>,
    /// The same for headers of answers.
    pub pass_response_headers: Vec<String>,
    /// Headers that every request to the provider gets, such as an organisation or a workspace. Not secret, and not
    /// beside a client's own login.
    pub set_request_headers: BTreeMap<String, String>,
}

impl Provider {
    /// Returns where the provider reads which model is meant.
    pub const fn model_place(&self) -> ModelPlace {
        ModelPlace::of(self.dialect, &self.path_style)
    }
}

/// Where a provider is: `http` or `https`, a host, a port, a path without a trailing slash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseUrl {
    pub tls: Tls,
    /// A DNS name or an IP address, lower-case, without brackets.
    pub host: String,
    pub port: u16,
    /// Empty, or starting with `/`.
    pub path: String,
}

/// How the connection to a provider is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// Certificate chain and host name verified against the system's trust anchors.
    Verified,
    /// Plain HTTP, for local models.
    Plain,
}

/// Where a route applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    Global,
    Customer(CustomerId),
    Team(TeamId),
    User(UserId),
    Key(KeyId),
}

/// A model alias and where it leads. The narrowest scope wins, then an exact alias over a glob, then the longest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub id: RouteId,
    pub scope: Scope,
    /// The model name clients ask for: exact, or a glob.
    pub alias: ModelPattern,
    /// At least one; all of one dialect.
    pub targets: Vec<RouteTarget>,
}

/// One way to serve a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteTarget {
    /// Provider name.
    pub provider: String,
    /// The provider's model name; `None` keeps the name the client asked for.
    #[serde(default)]
    pub model: Option<String>,
    /// Lower is tried first.
    #[serde(default)]
    pub priority: u8,
    /// Share among targets of one priority. Zero means fallback only.
    #[serde(default = "one")]
    pub weight: u32,
}
