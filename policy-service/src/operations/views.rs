//! What leaves the service about its objects, in API answers and in the audit log: never a secret.

mod evaluation;
mod guardrails;
mod quotas;

use std::collections::BTreeMap;

use policy::documents::{
    Access, AuthStyle, Customer, InferenceAuth, KeyState, OnNoAnswer, OnRecordOverflow, OnRevoke,
    OnUnknownPrice, OutboundAddresses, Owner, PathStyle, Provider, ProviderKeyState, Route,
    RouteTarget, Scope, Settings, StreamUsage, Subscription, Team, User, VirtualKey,
};
use policy::ids::{
    AdminTokenId, CustomerId, KeyId, ProviderId, ProviderKeyId, RouteId, TeamId, UserId,
};
use policy::opaque_path::OpaquePath;
use policy::pattern::ModelPattern;
use policy::presets::default_idle_timeout_ms;
use policy::surface::Dialect;
use policy::units::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::schema;
use crate::outbound::without_user;
use crate::store::admin_tokens::AdminToken;
use crate::store::audit::{Actor, StoredAuditEvent};
use crate::store::events::{StoredEvent, Webhook};
use crate::store::providers::{KeyDoubt, KeyHistory};

pub use evaluation::{
    EvaluatedFindingView, EvaluatedGuardrailView, EvaluatedPlaceView, EvaluatedUnscannedView,
    EvaluationView,
};
pub use guardrails::{
    GuardrailView, NotApplicableView, RuleFileItem, RuleFileView, WordListItem, WordListView,
};
pub use quotas::{
    HistoryView, OwnQuotaView, OwnQuotasView, QuotaView, UsageView, UsedWindowView, WindowView,
};

/// A customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CustomerView {
    #[schema(value_type = Uuid)]
    pub id: CustomerId,
    pub name: String,
    #[schema(value_type = Option<schema::Access>)]
    pub access: Option<Access>,
}

impl From<Customer> for CustomerView {
    fn from(customer: Customer) -> Self {
        Self {
            id: customer.id,
            name: customer.name,
            access: customer.access,
        }
    }
}

/// A team.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TeamView {
    #[schema(value_type = Uuid)]
    pub id: TeamId,
    pub name: String,
    #[schema(value_type = Option<Uuid>)]
    pub customer: Option<CustomerId>,
    #[schema(value_type = Option<schema::Access>)]
    pub access: Option<Access>,
}

impl From<Team> for TeamView {
    fn from(team: Team) -> Self {
        Self {
            id: team.id,
            name: team.name,
            customer: team.customer,
            access: team.access,
        }
    }
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct UserView {
    #[schema(value_type = Uuid)]
    pub id: UserId,
    pub name: String,
    #[schema(value_type = Option<Uuid>)]
    pub team: Option<TeamId>,
    #[schema(value_type = Option<Uuid>)]
    pub customer: Option<CustomerId>,
    #[schema(value_type = Option<schema::Access>)]
    pub access: Option<Access>,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            name: user.name,
            team: user.team,
            customer: user.customer,
            access: user.access,
        }
    }
}

/// A virtual key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct KeyView {
    #[schema(value_type = Uuid)]
    pub id: KeyId,
    pub name: String,
    #[schema(value_type = schema::Owner)]
    pub owner: Owner,
    pub environment: String,
    #[schema(value_type = schema::KeyState)]
    pub state: KeyState,
    #[schema(value_type = Option<u64>)]
    pub expires_at_ms: Option<Timestamp>,
    #[schema(value_type = schema::Access)]
    pub access: Access,
    #[schema(value_type = schema::Subscription)]
    pub subscription: Subscription,
    #[schema(value_type = Vec<String>)]
    pub opaque_paths: Vec<OpaquePath>,
    /// None: as the settings say.
    #[schema(value_type = Option<schema::OnRevoke>)]
    pub on_revoke: Option<OnRevoke>,
}

impl From<VirtualKey> for KeyView {
    fn from(key: VirtualKey) -> Self {
        Self {
            id: key.id,
            name: key.name,
            owner: key.owner,
            environment: key.environment,
            state: key.state,
            expires_at_ms: key.expires_at,
            access: key.access,
            subscription: key.subscription,
            opaque_paths: key.opaque_paths,
            on_revoke: key.on_revoke,
        }
    }
}

/// A provider, without the secrets of its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProviderView {
    #[schema(value_type = Uuid)]
    pub id: ProviderId,
    pub name: String,
    #[schema(value_type = schema::Dialect)]
    pub dialect: Dialect,
    pub base_url: String,
    #[schema(value_type = schema::AuthStyle)]
    pub auth: AuthStyle,
    #[schema(value_type = schema::PathStyle)]
    pub path_style: PathStyle,
    pub hosts: Vec<String>,
    #[schema(value_type = Vec<String>)]
    pub models: Vec<ModelPattern>,
    pub listed_models: Vec<String>,
    pub keys: Vec<ProviderKeyView>,
    #[schema(value_type = schema::StreamUsage)]
    pub stream_usage: StreamUsage,
    pub price_table: String,
    pub stream_header_timeout_ms: u64,
    pub whole_header_timeout_ms: u64,
    pub idle_timeout_ms: u64,
    #[schema(value_type = schema::OnNoAnswer)]
    pub on_no_answer: OnNoAnswer,
    pub pass_request_headers: Vec<String>,
    pub pass_response_headers: Vec<String>,
    pub set_request_headers: BTreeMap<String, String>,
}

/// A provider's own key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProviderKeyView {
    #[schema(value_type = Uuid)]
    pub id: ProviderKeyId,
    pub name: String,
    pub weight: u32,
    #[schema(value_type = schema::ProviderKeyState)]
    pub state: ProviderKeyState,
    /// The provider's answer that made the key bad.
    pub bad_status: Option<u16>,
    #[schema(value_type = Option<u64>)]
    pub state_changed_ms: Option<Timestamp>,
    /// Why a probe of the key is wanted; `null` where none is.
    pub doubt: Option<ProviderKeyDoubt>,
}

/// A provider refused a key, and no probe has told yet whether it works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProviderKeyDoubt {
    /// The provider's answer to the request that met it first.
    pub status: u16,
    #[schema(value_type = u64)]
    pub since_ms: Timestamp,
    /// When an Envoy was last told to probe the key; `null` while none has asked for work.
    #[schema(value_type = Option<u64>)]
    pub probed_ms: Option<Timestamp>,
}

impl ProviderKeyDoubt {
    const fn new(doubt: KeyDoubt) -> Self {
        Self {
            status: doubt.status,
            since_ms: doubt.since,
            probed_ms: doubt.probed,
        }
    }
}

impl ProviderView {
    pub(super) fn new(provider: Provider, history: &BTreeMap<ProviderKeyId, KeyHistory>) -> Self {
        let keys = provider.keys.into_iter().map(|key| {
            let history = history.get(&key.id);
            ProviderKeyView {
                id: key.id,
                name: key.name,
                weight: key.weight,
                state: key.state,
                bad_status: history.and_then(|history| history.bad_status),
                state_changed_ms: history.map(|history| history.state_changed),
                doubt: history
                    .and_then(|history| history.doubt)
                    .map(ProviderKeyDoubt::new),
            }
        });
        let idle_timeout_ms = provider
            .idle_timeout_ms
            .unwrap_or_else(|| default_idle_timeout_ms(&provider.base_url));
        Self {
            id: provider.id,
            name: provider.name,
            dialect: provider.dialect,
            base_url: provider.base_url.to_string(),
            auth: provider.auth,
            path_style: provider.path_style,
            hosts: provider.hosts,
            models: provider.models,
            listed_models: provider.listed_models,
            keys: keys.collect(),
            stream_usage: provider.stream_usage,
            price_table: provider.price_table,
            stream_header_timeout_ms: provider.stream_header_timeout_ms,
            whole_header_timeout_ms: provider.whole_header_timeout_ms,
            idle_timeout_ms,
            on_no_answer: provider.on_no_answer,
            pass_request_headers: provider.pass_request_headers,
            pass_response_headers: provider.pass_response_headers,
            set_request_headers: provider.set_request_headers,
        }
    }
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RouteView {
    #[schema(value_type = Uuid)]
    pub id: RouteId,
    #[schema(value_type = String)]
    pub alias: ModelPattern,
    #[schema(value_type = schema::Scope)]
    pub scope: Scope,
    #[schema(value_type = Vec<schema::RouteTarget>)]
    pub targets: Vec<RouteTarget>,
}

impl From<Route> for RouteView {
    fn from(route: Route) -> Self {
        Self {
            id: route.id,
            alias: route.alias,
            scope: route.scope,
            targets: route.targets,
        }
    }
}

/// Mesh-wide settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SettingsView {
    #[schema(value_type = schema::InferenceAuth)]
    pub inference_auth: InferenceAuth,
    #[schema(value_type = schema::OnUnknownPrice)]
    pub on_unknown_price: OnUnknownPrice,
    #[schema(value_type = schema::OnRecordOverflow)]
    pub on_record_overflow: OnRecordOverflow,
    #[schema(value_type = schema::OnRevoke)]
    pub on_revoke: OnRevoke,
    pub body_cap_bytes: u64,
    pub snapshot_max_age_ms: u64,
    pub vault_ttl_ms: u64,
    pub hosts: Vec<String>,
    pub max_attempts: u8,
    pub max_running_per_key: u32,
    #[schema(value_type = schema::OutboundAddresses)]
    pub outbound_addresses: OutboundAddresses,
    pub cors_origins: Vec<String>,
    /// Where thresholds of quotas are posted.
    pub alert_webhook: Option<AlertWebhookView>,
}

/// The webhook that alerts are posted to, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AlertWebhookView {
    pub url: String,
}

impl SettingsView {
    pub(super) fn with_webhook(self, webhook: Option<&Webhook>) -> Self {
        let alert_webhook = webhook.map(|webhook| AlertWebhookView {
            url: without_user(&webhook.url),
        });
        Self {
            alert_webhook,
            ..self
        }
    }
}

impl From<Settings> for SettingsView {
    fn from(settings: Settings) -> Self {
        Self {
            inference_auth: settings.inference_auth,
            on_unknown_price: settings.on_unknown_price,
            on_record_overflow: settings.on_record_overflow,
            on_revoke: settings.on_revoke,
            body_cap_bytes: settings.body_cap_bytes,
            snapshot_max_age_ms: settings.snapshot_max_age_ms,
            vault_ttl_ms: settings.vault_ttl_ms,
            hosts: settings.hosts,
            max_attempts: settings.max_attempts,
            max_running_per_key: settings.max_running_per_key,
            outbound_addresses: settings.outbound_addresses,
            cors_origins: settings.cors_origins,
            alert_webhook: None,
        }
    }
}

/// An admin token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AdminTokenView {
    #[schema(value_type = Uuid)]
    pub id: AdminTokenId,
    pub name: String,
    #[schema(value_type = u64)]
    pub created_ms: Timestamp,
    #[schema(value_type = Option<u64>)]
    pub revoked_ms: Option<Timestamp>,
}

impl From<AdminToken> for AdminTokenView {
    fn from(token: AdminToken) -> Self {
        Self {
            id: token.id,
            name: token.name,
            created_ms: token.created_at,
            revoked_ms: token.revoked_at,
        }
    }
}

/// One event of the audit log.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AuditEventView {
    /// Place in the log.
    pub seq: u64,
    pub id: Uuid,
    #[schema(value_type = u64)]
    pub at_ms: Timestamp,
    pub actor: ActorView,
    /// Kind of the object and what was done, as in `key.rotate`.
    pub action: String,
    pub object: ObjectView,
    /// The object before, without secrets.
    pub before: Option<serde_json::Value>,
    /// The object after, without secrets.
    pub after: Option<serde_json::Value>,
    pub request_id: Option<String>,
}

/// Something that happened by itself.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EventView {
    /// Place in the log.
    pub seq: u64,
    pub id: Uuid,
    #[schema(value_type = u64)]
    pub at_ms: Timestamp,
    /// As in `quota.threshold`.
    pub kind: String,
    /// What it is about: the quota's id.
    pub subject_id: Option<Uuid>,
    /// What the webhook is told.
    pub data: serde_json::Value,
    /// `none` without a webhook, `pending`, `delivered`, or `failed` after the last try.
    pub delivery: String,
    pub tries: u32,
}

impl From<StoredEvent> for EventView {
    fn from(stored: StoredEvent) -> Self {
        let StoredEvent { seq, event } = stored;
        Self {
            seq,
            id: event.id,
            at_ms: event.at,
            kind: event.kind,
            subject_id: event.subject,
            data: event.data,
            delivery: event.delivery,
            tries: event.tries,
        }
    }
}

/// Who acted.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ActorView {
    /// `admin_token` or `system`.
    pub kind: &'static str,
    pub id: Option<Uuid>,
    pub name: String,
}

/// What was acted on.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ObjectView {
    pub kind: String,
    pub id: String,
    pub name: String,
}

impl From<StoredAuditEvent> for AuditEventView {
    fn from(stored: StoredAuditEvent) -> Self {
        let event = stored.event;
        let actor = match event.actor {
            Actor::AdminToken { id, name } => ActorView {
                kind: "admin_token",
                id: Some(id.uuid()),
                name,
            },
            Actor::System { part } => ActorView {
                kind: "system",
                id: None,
                name: part,
            },
        };
        Self {
            seq: stored.seq,
            id: event.id.uuid(),
            at_ms: event.at,
            actor,
            action: event.action,
            object: ObjectView {
                kind: event.object_kind,
                id: event.object_id,
                name: event.object_name,
            },
            before: event.before,
            after: event.after,
            request_id: event.request_id,
        }
    }
}
