//! Policy as a filter enforces it: one [`Mesh`] for all, one [`CompiledKey`] for each virtual key.
//!
//! Travels from the service to the filters as bytes: the mesh as JSON, the keys in 256 shards chosen by the
//! first byte of the key's hash, so that a filter never holds more than the keys it meets.
//! Decoding is strict: a field that this build does not know fails the whole snapshot, because a rule that
//! is not understood must not be silently inert.

mod key_table;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use key_table::KeyTable;

use crate::documents::{
    Access, AuthStyle, BaseUrl, InferenceAuth, KeyState, OnNoAnswer, OnRecordOverflow, OnRevoke,
    OnUnknownPrice, PathStyle, RouteTarget, Scope, StreamUsage, Subscription,
};
use crate::guardrail::{CompiledGuardrail, NamedBlob};
use crate::ids::{CustomerId, KeyId, ProviderId, ProviderKeyId, RouteId, TeamId, UserId};
use crate::opaque::{self, OpaqueKind};
use crate::opaque_path::OpaquePath;
use crate::pattern::ModelPattern;
use crate::price::Rates;
use crate::quota::Quota;
use crate::secret::Secret;
use crate::segment::ModelPlace;
use crate::surface::Dialect;
use crate::units::Timestamp;

/// Number of the form in which meshes and key tables travel; raised when an older filter could misread it.
pub const FORMAT: u32 = 1;

/// Bytes that are not a mesh or a key table this build can apply.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error(
        "policy format {found} is not {FORMAT}, which this build reads; update the filter or the service"
    )]
    Format { found: u32 },
    #[error("{what} is not readable")]
    Json {
        what: &'static str,
        source: serde_json::Error,
    },
    #[error("key table is damaged: {what}")]
    Damaged { what: &'static str },
    #[error(
        "providers of a mesh must be sorted by name, each name once; `{provider}` is not in its place"
    )]
    Unsorted { provider: String },
}

/// What every exchange of the mesh is governed by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mesh {
    pub inference_auth: InferenceAuth,
    pub on_unknown_price: OnUnknownPrice,
    pub on_record_overflow: OnRecordOverflow,
    /// For keys that say nothing else, and keys that are gone.
    #[serde(default)]
    pub on_revoke: OnRevoke,
    pub body_cap_bytes: u64,
    pub snapshot_max_age_ms: u64,
    pub max_attempts: u8,
    pub max_running_per_key: u32,
    /// Host names of the mesh itself, lower-case; `*` admits any name that no provider claims.
    pub hosts: Vec<String>,
    /// Origins of web pages that may ask and read answers, as browsers send them.
    pub cors_origins: Vec<String>,
    /// Sorted by name.
    pub providers: Vec<CompiledProvider>,
    /// Routes of every scope but single keys, in the order they are tried.
    pub routes: Vec<CompiledRoute>,
    /// Composite clusters that exist, by name, sorted, as [`plan_cluster`](crate::routing::plan_cluster) makes
    /// them; a plan over one provider needs none.
    pub plans: Vec<String>,
    /// Proves that a canary exchange comes from this service; made anew at each start.
    pub canary_secret: Secret,
    /// Enabled ones, in the order in which they are evaluated: the most severe first, then by name.
    pub guardrails: Vec<CompiledGuardrail>,
    /// Rule files that guardrails name, by name.
    pub rule_files: Vec<NamedBlob>,
    /// Word lists that guardrails name, by name.
    pub word_lists: Vec<NamedBlob>,
    /// 32 bytes in hex under which tokens, hashes and fingerprints of values are made. The same for the life of
    /// the mesh, so that a value has one token in every turn.
    pub token_key: Secret,
    /// Enabled ones, but for those of single users and keys, which stand with the keys; by id.
    pub quotas: Vec<Quota>,
    /// The prices that money quotas are reckoned with, by table; empty when there is no such quota.
    pub prices: Vec<PriceTable>,
}

/// The prices of one table of the book, the administrator's own in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceTable {
    pub table: String,
    /// Go before the book's.
    pub own: Vec<(ModelPattern, Rates)>,
    pub book: Vec<(ModelPattern, Rates)>,
    /// Of models that have no price.
    pub unknown: Rates,
}

impl Mesh {
    /// Writes the mesh as it travels to the filters.
    pub fn encode(&self) -> Vec<u8> {
        encode_json(&Envelope {
            format: FORMAT,
            mesh: self,
        })
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// [`DecodeError`] for another format, an unknown or missing field, a bad value, or unsorted providers.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let json = |source| DecodeError::Json {
            what: "mesh",
            source,
        };
        let Head { format } = serde_json::from_slice(bytes).map_err(json)?;
        if format != FORMAT {
            return Err(DecodeError::Format { found: format });
        }
        let Envelope { mesh, .. } =
            serde_json::from_slice::<Envelope<Self>>(bytes).map_err(json)?;
        for (before, after) in mesh.providers.iter().zip(mesh.providers.iter().skip(1)) {
            if before.name >= after.name {
                return Err(DecodeError::Unsorted {
                    provider: after.name.clone(),
                });
            }
        }
        Ok(mesh)
    }

    /// Returns the provider called `name` and its place in [`providers`](Self::providers).
    pub fn provider(&self, name: &str) -> Option<(usize, &CompiledProvider)> {
        let at = self
            .providers
            .binary_search_by(|provider| provider.name.as_str().cmp(name))
            .ok()?;
        self.providers.get(at).map(|provider| (at, provider))
    }
}

/// Read before anything else, so that a filter tells a newer form from a damaged one.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<M> {
    format: u32,
    mesh: M,
}

#[expect(
    clippy::expect_used,
    reason = "the encoded types hold no map and no fallible serialiser, and memory does not fail"
)]
pub(crate) fn encode_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain structs serialise")
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
    /// The models that have a price, when those without one are to be refused; `None` refuses none.
    #[serde(default)]
    pub priced_models: Option<Vec<ModelPattern>>,
    pub stream_header_timeout_ms: u64,
    pub whole_header_timeout_ms: u64,
    pub idle_timeout_ms: u64,
    #[serde(default)]
    pub on_no_answer: OnNoAnswer,
    /// What passes beside what the dialect lists: header names, or prefixes with `*` behind them.
    #[serde(default)]
    pub pass_request_headers: Vec<String>,
    #[serde(default)]
    pub pass_response_headers: Vec<String>,
    /// Headers that every request to the provider gets, in the place of the client's.
    #[serde(default)]
    pub set_request_headers: BTreeMap<String, String>,
}

impl CompiledProvider {
    /// Returns where the provider reads which model is meant.
    pub const fn model_place(&self) -> ModelPlace {
        ModelPlace::of(self.dialect, &self.path_style)
    }
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

impl Principal {
    /// Returns whose values must never be mixed with another's: the team, or else the user, the customer, the key;
    /// a byte for the level, then the id. All zero for unkeyed traffic.
    ///
    /// The team goes before the customer, because session ids are chosen by clients: two teams of one customer
    /// that choose the same id must not meet.
    pub fn tenant(&self) -> [u8; 17] {
        let customer = self.customer.map(|id| (1, id.into_bytes()));
        let team = self.team.map(|id| (2, id.into_bytes()));
        let user = self.user.map(|id| (3, id.into_bytes()));
        let key = self.key.map(|id| (4, id.into_bytes()));
        let mut tenant = [0; 17];
        if let Some((level, id)) = team.or(user).or(customer).or(key) {
            let bytes = core::iter::once(level).chain(id);
            tenant
                .iter_mut()
                .zip(bytes)
                .for_each(|(at, byte)| *at = byte);
        }
        tenant
    }
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
    pub opaque_paths: Vec<OpaquePath>,
    /// Routes scoped to this key, in the order they are tried.
    #[serde(default)]
    pub routes: Vec<CompiledRoute>,
    /// Enabled quotas of the key and of its user, by id.
    #[serde(default)]
    pub quotas: Vec<Quota>,
    /// `None`: as the mesh says.
    #[serde(default)]
    pub on_revoke: Option<OnRevoke>,
}

/// Whether a key may be used at a moment, and if not, why; revoked before inactive before expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Valid,
    Revoked,
    Inactive,
    Expired,
}

impl CompiledKey {
    /// Returns whether the key may be used at `now`; the moment of expiry itself is too late.
    pub fn standing(&self, now: Timestamp) -> Standing {
        match self.state {
            KeyState::Revoked => Standing::Revoked,
            KeyState::Inactive => Standing::Inactive,
            KeyState::Active if self.expires_at_ms.is_some_and(|end| end <= now) => {
                Standing::Expired
            }
            KeyState::Active => Standing::Valid,
        }
    }

    /// Returns how the key may call `path`, which is outside the known surfaces.
    pub fn opaque_grant(&self, dialect: Dialect, method: &str, path: &str) -> OpaqueGrant {
        let mut naming = self
            .opaque_paths
            .iter()
            .filter(|pattern| pattern.matches(path))
            .peekable();
        if naming.peek().is_none() {
            return OpaqueGrant::NotNamed;
        }
        match opaque::kind(dialect, method, path) {
            OpaqueKind::Administrative => OpaqueGrant::Administrative,
            OpaqueKind::Stored => OpaqueGrant::Stored,
            OpaqueKind::Listed => OpaqueGrant::Allowed,
            OpaqueKind::Unlisted if naming.any(OpaquePath::is_exact) => OpaqueGrant::Allowed,
            OpaqueKind::Unlisted => OpaqueGrant::NotExactly,
        }
    }

    /// Whether the key may call `path` with the query parameter `name`.
    pub fn may_send_opaque(&self, path: &str, name: &str) -> bool {
        let mut listed = self.opaque_paths.iter();
        listed.any(|listed| listed.matches(path) && listed.lists(name))
    }
}

/// How a key may call a path outside the known surfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpaqueGrant {
    Allowed,
    /// No pattern of the key covers it.
    NotNamed,
    /// Only a wildcard covers it, and it is none of those that a wildcard may.
    NotExactly,
    /// Stored at the provider: whatever a key names.
    Stored,
    /// The provider's administration: whatever a key names.
    Administrative,
}

#[cfg(test)]
mod tests;
