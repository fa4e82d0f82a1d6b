//! Shapes of the policy crate's types for the API's description; never values.

use utoipa::ToSchema;

/// Who may use which models at which providers. Nothing listed means nothing allowed.
#[derive(Debug, ToSchema)]
pub struct Access {
    pub providers: Option<Vec<ProviderAccess>>,
    /// Providers that are denied whatever `providers` says; names or `*`.
    pub denied_providers: Option<Vec<String>>,
    /// Models that are denied at every provider; names, globs or `regex:` patterns.
    pub denied_models: Option<Vec<String>>,
}

/// Permission to use one provider.
#[derive(Debug, ToSchema)]
pub struct ProviderAccess {
    /// A provider's name, or `*` for all, future ones too.
    pub provider: String,
    /// Names, globs or `regex:` patterns over the provider's model names. Nothing listed means none.
    pub models: Option<Vec<String>>,
    pub denied_models: Option<Vec<String>>,
    /// Names of the provider's own keys that may be used, or `*`. Nothing listed means none.
    pub provider_keys: Option<Vec<String>>,
    /// Share in the draw between providers that could serve the same model. Default 1.
    pub weight: Option<u32>,
}

/// To whom a key belongs: exactly one of the fields.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Owner {
    User(uuid::Uuid),
    Team(uuid::Uuid),
    Customer(uuid::Uuid),
}

/// Where a route applies: the word `global`, or an object with exactly one id.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Scope {
    Global,
    Customer(uuid::Uuid),
    Team(uuid::Uuid),
    User(uuid::Uuid),
    Key(uuid::Uuid),
}

/// One way to serve a route.
#[derive(Debug, ToSchema)]
pub struct RouteTarget {
    /// Provider name.
    pub provider: String,
    /// The provider's model name; left out, the name the client asked for.
    pub model: Option<String>,
    /// Lower is tried first. Default 0.
    pub priority: Option<u8>,
    /// Share among targets of one priority. Zero means fallback only. Default 1.
    pub weight: Option<u32>,
}

/// The wire format of a provider.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Dialect {
    Anthropic,
    Openai,
    Gemini,
}

/// How a provider wants its credential.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum AuthStyle {
    Bearer,
    XApiKey,
    ApiKey,
    XGoogApiKey,
    None,
}

/// How the provider's path is made from the client's.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum PathStyle {
    Native,
    AzureDeployments { api_version: String },
}

/// Whether a provider's chat streams may be asked for usage.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum StreamUsage {
    Ask,
    Leave,
}

/// Whether a key may be used. `revoked` is for good.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum KeyState {
    Active,
    Inactive,
    Revoked,
}

/// Whether a provider key may be used. `bad` is set by the service when the provider refuses the key.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum ProviderKeyState {
    Active,
    Disabled,
    Bad,
}

/// Whether the client's own provider login may travel beside the key.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Subscription {
    Refused,
    Allowed,
}

/// Whether a request without a key is refused.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum InferenceAuth {
    Required,
    Observe,
}

/// What a model without a price costs.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum OnUnknownPrice {
    Dearest,
    Deny,
    Zero,
}

/// What happens to new requests when exchange records cannot be delivered.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum OnRecordOverflow {
    Refuse,
    Drop,
}

/// Prices of one model, in micro-dollars for a million tokens.
#[derive(Debug, ToSchema)]
pub struct Rates {
    pub input_micro_usd_per_mtok: u64,
    /// Default: what input costs.
    pub cache_read_micro_usd_per_mtok: Option<u64>,
    /// Default: what input costs.
    pub cache_write_5m_micro_usd_per_mtok: Option<u64>,
    /// Default: what five-minute writes cost.
    pub cache_write_1h_micro_usd_per_mtok: Option<u64>,
    pub output_micro_usd_per_mtok: u64,
    /// Default 0.
    pub web_search_micro_usd_per_request: Option<u64>,
    pub long_context: Option<LongContext>,
}

/// Prices of a request whose whole input is longer than a threshold.
#[derive(Debug, ToSchema)]
pub struct LongContext {
    pub over_input_tokens: u64,
    pub input_micro_usd_per_mtok: u64,
    pub cache_read_micro_usd_per_mtok: Option<u64>,
    pub cache_write_5m_micro_usd_per_mtok: Option<u64>,
    pub cache_write_1h_micro_usd_per_mtok: Option<u64>,
    pub output_micro_usd_per_mtok: u64,
}

/// A price of the administrator's own.
#[derive(Debug, ToSchema)]
pub struct PriceOverride {
    /// A table of the book, or one of your own, as providers name it.
    pub table: String,
    /// A model name, glob or `regex:` pattern.
    pub model: String,
    pub rates: Rates,
}

/// Token classes. The input classes are disjoint: their sum is the whole input. `reasoning_tokens` is a part of
/// `output_tokens`.
#[derive(Debug, ToSchema)]
pub struct Usage {
    pub input_tokens: u64,
    pub cache_read_tokens: u64,
    pub cache_write_5m_tokens: u64,
    pub cache_write_1h_tokens: u64,
    pub output_tokens: u64,
    pub reasoning_tokens: u64,
    pub web_search_requests: u64,
}
