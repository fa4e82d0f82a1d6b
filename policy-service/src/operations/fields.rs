//! What an administrator writes: the fields of an object to be made, or those of one that are to change.
//!
//! Everything is optional here, because both uses share the shape; what a new object needs is asked for by the
//! operation, which can then name all that is missing. A field of a nullable value is left alone when absent
//! and emptied by `null`.

use std::collections::BTreeMap;

use policy::check::Problem;
use policy::documents::{
    Access, AuthStyle, InferenceAuth, KeyState, OnNoAnswer, OnRecordOverflow, OnRevoke,
    OnUnknownPrice, OutboundAddresses, Owner, PathStyle, ProviderKeyState, RouteTarget, Scope,
    StreamUsage, Subscription,
};
use policy::ids::{CustomerId, TeamId};
use policy::opaque_path::OpaquePath;
use policy::pattern::ModelPattern;
use policy::secret::Secret;
use policy::surface::Dialect;
use policy::units::Timestamp;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::{OperationError, schema};

/// Fields of a customer.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomerFields {
    /// Unique. Needed for a new one.
    pub name: Option<String>,
    /// Restriction for everything below; none restricts nothing.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<schema::Access>)]
    pub access: Option<Option<Access>>,
}

/// Fields of a team.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TeamFields {
    /// Unique. Needed for a new one.
    pub name: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub customer: Option<Option<CustomerId>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<schema::Access>)]
    pub access: Option<Option<Access>>,
}

/// Fields of a user.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserFields {
    /// Unique. Needed for a new one.
    pub name: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub team: Option<Option<TeamId>>,
    /// Only without a team; with one, the team's customer counts.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub customer: Option<Option<CustomerId>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<schema::Access>)]
    pub access: Option<Option<Access>>,
}

/// Fields of a virtual key.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyFields {
    /// Unique. Needed for a new one.
    pub name: Option<String>,
    /// Needed for a new one.
    #[schema(value_type = Option<schema::Owner>)]
    pub owner: Option<Owner>,
    /// Free label: `dev`, `ci`, `prod`…
    pub environment: Option<String>,
    /// `revoked` is for good.
    #[schema(value_type = Option<schema::KeyState>)]
    pub state: Option<KeyState>,
    /// Must lie in the future.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u64>)]
    pub expires_at_ms: Option<Option<Timestamp>>,
    /// What the key may use. Nothing listed means nothing allowed.
    #[schema(value_type = Option<schema::Access>)]
    pub access: Option<Access>,
    #[schema(value_type = Option<schema::Subscription>)]
    pub subscription: Option<Subscription>,
    /// Paths outside the known surfaces that the key may call; `*` stays within a segment, `**` does not. Behind a `?`
    /// stand the query parameters that may be sent there, as in `/v1/audio/voices?limit&after`.
    #[schema(value_type = Option<Vec<String>>)]
    pub opaque_paths: Option<Vec<OpaquePath>>,
    /// What happens to what runs when the key is revoked, switched off or expires; none: as the settings say.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<schema::OnRevoke>)]
    pub on_revoke: Option<Option<OnRevoke>>,
}

/// Fields of a provider.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderFields {
    /// For a new one: a well-known provider (`anthropic`, `openai`, `google`…) that gives what is left out.
    pub preset: Option<String>,
    /// Unique; lower-case letters, digits and inner `-`, at most 40. Needed for a new one without a preset.
    pub name: Option<String>,
    /// Needed for a new one without a preset.
    #[schema(value_type = Option<schema::Dialect>)]
    pub dialect: Option<Dialect>,
    /// As the provider's own SDK has it: `https://api.openai.com/v1`, `https://api.anthropic.com`. Needed for a
    /// new one without a preset.
    pub base_url: Option<String>,
    /// Default: what the dialect usually has.
    #[schema(value_type = Option<schema::AuthStyle>)]
    pub auth: Option<AuthStyle>,
    #[schema(value_type = Option<schema::PathStyle>)]
    pub path_style: Option<PathStyle>,
    /// Host names by which intercepted traffic addresses this provider.
    pub hosts: Option<Vec<String>>,
    /// Models it serves when no route names it; names, globs or `regex:` patterns, `*` for all.
    #[schema(value_type = Option<Vec<String>>)]
    pub models: Option<Vec<ModelPattern>>,
    /// Names to show in `models` answers.
    pub listed_models: Option<Vec<String>>,
    /// For a new one; later they have an address of their own.
    #[schema(value_type = Option<Vec<ProviderKeyFields>>)]
    pub keys: Option<Vec<ProviderKeyFields>>,
    #[schema(value_type = Option<schema::StreamUsage>)]
    pub stream_usage: Option<StreamUsage>,
    /// Table of the price book. Default: that of the base URL's host, `free` on this machine.
    pub price_table: Option<String>,
    /// Time to response headers of a stream. Default 60 s.
    pub stream_header_timeout_ms: Option<u64>,
    /// Time to response headers of a whole answer. Default 10 min.
    pub whole_header_timeout_ms: Option<u64>,
    /// How long a connection without a request is kept for the next one; less than the other side keeps it. Default
    /// 50 s where a preset's host is, else 4 s.
    pub idle_timeout_ms: Option<u64>,
    /// What becomes of a request whose connection ends within two seconds of its last byte and before the first of an
    /// answer: `again` sends it once more, to the next target or to the same one where there is no other, `fail` tells
    /// the client. A request that names tools which run at the provider is never sent again. Default `again`.
    #[schema(value_type = Option<schema::OnNoAnswer>)]
    pub on_no_answer: Option<OnNoAnswer>,
    /// Headers of clients that go up beside those that pass in every case; names, or prefixes with `*` behind them.
    pub pass_request_headers: Option<Vec<String>>,
    /// The same for headers of answers.
    pub pass_response_headers: Option<Vec<String>>,
    /// Headers that every request to the provider gets, in the place of a client's: an organisation, a project, a
    /// workspace. Shown as they are, so no secrets.
    pub set_request_headers: Option<BTreeMap<String, String>>,
}

/// Fields of a provider's own key.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderKeyFields {
    /// Unique within the provider. Needed for a new one.
    pub name: Option<String>,
    /// The credential; never shown again. Needed for a new one.
    #[schema(value_type = Option<String>, write_only)]
    pub secret: Option<Secret>,
    /// Share in the draw among the provider's keys. Zero means fallback only. Default 1.
    pub weight: Option<u32>,
    /// `active` or `disabled`; a `bad` key is put back into use with `active`.
    #[schema(value_type = Option<schema::ProviderKeyState>)]
    pub state: Option<ProviderKeyState>,
}

/// Fields of a route.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteFields {
    /// The model name clients ask for: exact, or a glob. Needed for a new one.
    #[schema(value_type = Option<String>)]
    pub alias: Option<ModelPattern>,
    /// Default `global`.
    #[schema(value_type = Option<schema::Scope>)]
    pub scope: Option<Scope>,
    /// At least one; all of one dialect. Needed for a new one.
    #[schema(value_type = Option<Vec<schema::RouteTarget>>)]
    pub targets: Option<Vec<RouteTarget>>,
}

/// Fields of a rule file.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleFileFields {
    /// Unique; lower-case letters, digits and inner `-`, at most 40. Needed for a new one.
    pub name: Option<String>,
    /// Rules in TOML, in the schema of Gitleaks. Needed for a new one.
    pub source: Option<String>,
}

/// Fields of a word list.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WordListFields {
    /// Unique; lower-case letters, digits and inner `-`, at most 40. Needed for a new one.
    pub name: Option<String>,
    /// Words and phrases. Needed for a new one.
    pub words: Option<Vec<String>>,
}

/// An addition to a quota's limit for a time.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RaiseFields {
    /// In the quota's unit. Needed.
    pub amount: Option<u64>,
    /// When it ends. Must lie in the future. Needed.
    #[schema(value_type = Option<u64>)]
    pub until_ms: Option<Timestamp>,
}

/// A body that guardrails are tried on.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluationFields {
    /// Whose request it would be: a key's name or id. Left out, that of a request without a key.
    pub key: Option<String>,
    /// As in `openai.chat`. Needed.
    pub surface: Option<String>,
    /// Default `request`.
    pub direction: Option<BodyDirection>,
    /// Whether the body of an answer is an event stream.
    pub stream: Option<bool>,
    /// The model, where the body does not name it.
    pub model: Option<String>,
    /// The client's session, which tokens depend on.
    pub session: Option<String>,
    /// As text, byte for byte; anything else is written as JSON first. Needed.
    pub body: Option<serde_json::Value>,
}

/// Which way a body would travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BodyDirection {
    #[default]
    Request,
    Response,
}

/// Settings that are to change.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingsFields {
    #[schema(value_type = Option<schema::InferenceAuth>)]
    pub inference_auth: Option<InferenceAuth>,
    #[schema(value_type = Option<schema::OnUnknownPrice>)]
    pub on_unknown_price: Option<OnUnknownPrice>,
    #[schema(value_type = Option<schema::OnRecordOverflow>)]
    pub on_record_overflow: Option<OnRecordOverflow>,
    /// What happens to what runs when its key is revoked, switched off or expires; a key may say otherwise.
    #[schema(value_type = Option<schema::OnRevoke>)]
    pub on_revoke: Option<OnRevoke>,
    /// Largest request body that is read.
    pub body_cap_bytes: Option<u64>,
    /// How long a filter keeps enforcing its last policy while the service is away.
    pub snapshot_max_age_ms: Option<u64>,
    /// How long a tokenised value is kept after its last use.
    pub vault_ttl_ms: Option<u64>,
    /// Host names of the mesh itself; `*` admits any name that no provider claims.
    pub hosts: Option<Vec<String>>,
    /// Upper bound of attempts for one request.
    pub max_attempts: Option<u8>,
    /// Exchanges of one virtual key that run side by side in a worker of an Envoy; more are refused as `busy`.
    pub max_running_per_key: Option<u32>,
    /// Which addresses providers and the webhook may have.
    #[schema(value_type = Option<schema::OutboundAddresses>)]
    pub outbound_addresses: Option<OutboundAddresses>,
    /// Origins of web pages that may ask and read answers, as browsers send them: `https://app.example`.
    pub cors_origins: Option<Vec<String>>,
    /// Where thresholds of quotas are posted; none posts nowhere.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<AlertWebhookFields>)]
    pub alert_webhook: Option<Option<AlertWebhookFields>>,
}

/// Fields of the webhook that alerts are posted to.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertWebhookFields {
    /// `https://…`, or `http://…` on a network that you trust. Needed for a new one.
    pub url: Option<String>,
    /// What posts are signed with: `whsec_` and 24 to 64 bytes in base64; never shown again. Needed for a new one.
    #[schema(value_type = Option<String>, write_only)]
    pub secret: Option<Secret>,
}

/// Fields of an admin token.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminTokenFields {
    /// Unique. Needed.
    pub name: Option<String>,
}

/// Tells `null` from nothing.
fn nullable<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// Collects what is wrong with fields.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem::new(path, message));
    }

    /// Returns the value, or states that it is missing.
    pub(super) fn need<T>(&mut self, path: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.add(path, "is missing");
        }
        value
    }

    pub(super) fn refuse_any(self) -> Result<(), OperationError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(OperationError::Invalid { problems: self.0 })
        }
    }

    /// What a value is that only counts as missing when a problem was stated.
    pub(super) fn complete<T>(self, value: Option<T>) -> Result<T, OperationError> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            Some(_) | None => Err(OperationError::Invalid { problems: self.0 }),
        }
    }
}
