//! Policy as a filter enforces it: one [`Mesh`] for all, one [`CompiledKey`] for each virtual key.
//!
//! Travels from the service to the filters as bytes: the mesh as JSON, the keys in 256 shards chosen by the
//! first byte of the key's hash, so that a filter never holds more than the keys it meets.
//! Decoding is strict: a field that this build does not know fails the whole snapshot, because a rule that
//! is not understood must not be silently inert.

use serde::{Deserialize, Serialize};

use crate::documents::{
    Access, AuthStyle, BaseUrl, InferenceAuth, KeyState, OnRecordOverflow, OnUnknownPrice,
    PathStyle, RouteTarget, Scope, StreamUsage, Subscription,
};
use crate::ids::{CustomerId, KeyId, ProviderId, ProviderKeyId, RouteId, TeamId, UserId};
use crate::pattern::{ModelPattern, PathPattern};
use crate::secret::Secret;
use crate::surface::Dialect;
use crate::units::Timestamp;

/// What every exchange of the mesh is governed by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mesh {
    pub inference_auth: InferenceAuth,
    pub on_unknown_price: OnUnknownPrice,
    pub on_record_overflow: OnRecordOverflow,
    pub body_cap_bytes: u64,
    pub snapshot_max_age_ms: u64,
    pub max_attempts: u8,
    /// Host names of the mesh itself, lower-case; `*` admits any name that no provider claims.
    pub hosts: Vec<String>,
    /// Sorted by name.
    pub providers: Vec<CompiledProvider>,
    /// Routes of every scope but single keys, in the order they are tried.
    pub routes: Vec<CompiledRoute>,
    /// Composite clusters that exist, by name, sorted; a plan over one provider needs none.
    pub plans: Vec<String>,
    /// Proves that a canary exchange comes from this service; made anew at each start.
    pub canary_secret: Secret,
}

/// A provider as the filter needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompiledProvider {
    pub id: ProviderId,
    pub name: String,
    pub dialect: Dialect,
    pub base_url: BaseUrl,
    pub auth: AuthStyle,
    pub path_style: PathStyle,
    pub hosts: Vec<String>,
    pub models: Vec<ModelPattern>,
    pub listed_models: Vec<String>,
    /// Usable keys only (neither disabled nor bad), sorted by id.
    pub keys: Vec<CompiledProviderKey>,
    pub stream_usage: StreamUsage,
    /// Which table of the price book applies; `free` for local models.
    pub price_table: String,
    pub stream_header_timeout_ms: u64,
    pub whole_header_timeout_ms: u64,
}

/// One usable credential of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompiledProviderKey {
    pub id: ProviderKeyId,
    pub name: String,
    pub secret: Secret,
    pub weight: u32,
}

/// A route as the filter needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompiledRoute {
    pub id: RouteId,
    pub scope: Scope,
    pub alias: ModelPattern,
    pub dialect: Dialect,
    pub targets: Vec<RouteTarget>,
}

/// Who is behind a virtual key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Principal {
    pub key: Option<KeyId>,
    pub user: Option<UserId>,
    pub team: Option<TeamId>,
    pub customer: Option<CustomerId>,
    /// The key's label; empty when not set.
    #[serde(default)]
    pub environment: String,
}

/// A virtual key as the filter needs it; revoked and expired ones are kept so that refusals can say so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompiledKey {
    pub principal: Principal,
    pub state: KeyState,
    #[serde(default)]
    pub expires_at_ms: Option<Timestamp>,
    /// One rule for each level that has one, the key's own first; all must allow.
    pub access: Vec<Access>,
    pub subscription: Subscription,
    #[serde(default)]
    pub opaque_paths: Vec<PathPattern>,
    /// Routes scoped to this key, in the order they are tried.
    #[serde(default)]
    pub routes: Vec<CompiledRoute>,
}
