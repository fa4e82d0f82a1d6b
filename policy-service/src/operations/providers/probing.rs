//! Whether a provider key that was refused works: a probe tells, never a client's request.
//!
//! ```text
//! refused (401, 403, the dialect's form) ──▶ wanted ──▶ probe by an Envoy, one a minute
//!   401 or the form: out of use, asked again until it works      success: in use again, or still
//!   403, or no such path: somebody is told, the key stays        anything else: asked again
//! ```

use dialects::key_refusal::{KeyAnswer, KeyRefusalReader};
use policy::documents::{PathStyle, Provider, ProviderKey, ProviderKeyState, Tls};
use policy::ids::ProviderKeyId;
use policy::presets;
use policy::secret::Secret;
use policy::surface::Dialect;
use policy::units::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::super::OperationError;
use super::super::authority::{Caller, Permit, Resource, Right};
use super::keys::{mark_bad, mark_working};
use crate::clock;
use crate::store::audit::AuditEvent;
use crate::store::events::{self, Event};
use crate::store::key_probes::{self, Doubt};
use crate::store::{self, Change, Effect, Store};

/// Between two probes of one key.
const PAUSE_MS: u64 = 60_000;
/// Probes without a verdict, after which a key that is in use is no longer asked for.
const PATIENCE: u64 = 10;
/// Between two alerts about one key of which nobody knows whether it works.
const ALERT_PAUSE_MS: u64 = 60 * 60 * 1_000;
/// Probes handed out with one answer.
const AT_ONCE: u32 = 4;

/// A provider did not take the key.
const REFUSED: &str = "provider_key.refused";
/// A key that was out of use works again.
const RECOVERED: &str = "provider_key.recovered";
/// Requests were refused, and the probe did not tell why.
const UNPROVEN: &str = "provider_key.unproven";

/// A request that an Envoy sends to find out whether a key works: `GET`, without a body.
#[derive(Clone, Debug)]
pub struct Probe {
    pub id: Uuid,
    pub provider: String,
    pub tls: bool,
    pub authority: String,
    pub path: String,
    /// The credential's header and value, and what the dialect needs besides.
    pub headers: Vec<(&'static str, Secret)>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Probed {
    pub id: Uuid,
    /// 0 when no answer came.
    pub status: u16,
    /// The beginning of the body.
    pub body: Vec<u8>,
}

/// Notes that requests with this key were refused.
pub(in crate::operations) async fn doubt(
    change: &mut Change,
    key: ProviderKeyId,
    status: u16,
    since: Timestamp,
) -> Result<(), OperationError> {
    let history = store::providers::key_history(change.connection()).await?;
    // What was answered before the key was changed says nothing about the key as it is.
    let is_news = history
        .get(&key)
        .is_some_and(|history| history.state_changed <= since);
    if is_news {
        key_probes::want(change.connection(), key, status, clock::now()).await?;
    }
    Ok(())
}

/// Returns the probes that are due; each is handed out once a minute at most, whoever asks.
///
/// # Errors
/// [`OperationError`] when the store fails.
pub async fn due(store: &Store) -> Result<Vec<Probe>, OperationError> {
    let now = clock::now();
    let before = Timestamp::from_millis(now.as_millis().saturating_sub(PAUSE_MS));
    let waiting = key_probes::due(&mut *store.read().await?, before, 1).await?;
    if waiting.is_empty() {
        return Ok(Vec::new());
    }
    let mut change = store.change().await?;
    // Another replica may have taken them since.
    let doubts = key_probes::due(change.connection(), before, AT_ONCE).await?;
    let master_key = change.master_key().clone();
    let providers = store::providers::list(change.connection(), &master_key).await?;
    let mut probes = Vec::new();
    for doubt in doubts {
        let found = find(&providers, doubt.key);
        let is_tired = doubt.unanswered >= PATIENCE
            && found.is_none_or(|(_, key)| key.state == ProviderKeyState::Active);
        let probe = found
            .filter(|(_, key)| key.state != ProviderKeyState::Disabled && !is_tired)
            .and_then(|(provider, key)| probe(provider, key));
        match probe {
            Some(probe) => {
                key_probes::sent(change.connection(), doubt.key, probe.id, now).await?;
                probes.push(probe);
            }
            None => key_probes::decided(change.connection(), doubt.key, false).await?,
        }
    }
    change.commit(&[], Effect::Nothing).await?;
    Ok(probes)
}

/// Takes what came back from probes.
///
/// # Errors
/// [`OperationError`] when the store fails.
pub(in crate::operations) async fn answered(
    change: &mut Change,
    caller: &Caller,
    probed: &[Probed],
) -> Result<Vec<AuditEvent>, OperationError> {
    let mut audit = Vec::new();
    for probed in probed {
        let Some(doubt) = key_probes::answered(change.connection(), probed.id).await? else {
            continue;
        };
        let permit = caller.permit(Resource::Providers, Right::Update)?;
        audit.extend(decide(change, permit, doubt, probed).await?);
    }
    Ok(audit)
}

async fn decide(
    change: &mut Change,
    permit: Permit<'_>,
    doubt: Doubt,
    probed: &Probed,
) -> Result<Option<AuditEvent>, OperationError> {
    let master_key = change.master_key().clone();
    let providers = store::providers::list(change.connection(), &master_key).await?;
    let Some((provider, key)) = find(&providers, doubt.key) else {
        return Ok(None);
    };
    let mut reader = KeyRefusalReader::new(provider.dialect, probed.status);
    reader.push(&probed.body);
    match (reader.answer(), probed.status) {
        (KeyAnswer::Refused, status) => {
            key_probes::decided(change.connection(), doubt.key, true).await?;
            let marked = mark_bad(change, permit, doubt.key, status, doubt.sent).await?;
            if marked.is_some() {
                tell(change, REFUSED, provider, key, status).await?;
            }
            Ok(marked)
        }
        (KeyAnswer::Silent, 200..=299) => {
            key_probes::decided(change.connection(), doubt.key, false).await?;
            let marked = mark_working(change, permit, doubt.key, doubt.sent).await?;
            if marked.is_some() {
                tell(change, RECOVERED, provider, key, probed.status).await?;
            }
            Ok(marked)
        }
        (KeyAnswer::Forbidden, status) | (KeyAnswer::Silent, status @ (404 | 405 | 410 | 501)) => {
            let wanted = key.state == ProviderKeyState::Bad;
            key_probes::decided(change.connection(), doubt.key, wanted).await?;
            let now = clock::now();
            if now.millis_since(doubt.alerted) >= ALERT_PAUSE_MS {
                key_probes::alerted(change.connection(), doubt.key, now).await?;
                tell(change, UNPROVEN, provider, key, status).await?;
            }
            Ok(None)
        }
        (KeyAnswer::Silent, _) => Ok(None),
    }
}

/// Appends an event, which goes to the webhook, and says the same in the log, which `weir up` shows.
async fn tell(
    change: &mut Change,
    kind: &'static str,
    provider: &Provider,
    key: &ProviderKey,
    status: u16,
) -> Result<(), OperationError> {
    let (provider_name, provider_key) = (provider.name.as_str(), key.name.as_str());
    let what = match kind {
        REFUSED => {
            "the provider refused its key, which is out of use until a probe passes; replace it"
        }
        RECOVERED => "the provider takes its key again, which is in use again",
        _ => {
            "the provider refused requests, and a probe does not tell whether its key works; it stays in use"
        }
    };
    tracing::warn!(provider = %provider_name, %provider_key, status, "{kind}: {what}");
    let event = Event {
        id: Uuid::now_v7(),
        at: clock::now(),
        kind: kind.to_owned(),
        subject: Some(key.id.uuid()),
        data: json!({
            "provider_id": provider.id,
            "provider": provider_name,
            "provider_key_id": key.id,
            "provider_key": provider_key,
            "status": status,
        }),
        delivery: String::new(),
        tries: 0,
    };
    Ok(events::append(change.connection(), &event).await?)
}

fn find(providers: &[Provider], id: ProviderKeyId) -> Option<(&Provider, &ProviderKey)> {
    providers.iter().find_map(|provider| {
        let key = provider.keys.iter().find(|key| key.id == id)?;
        Some((provider, key))
    })
}

/// `None` where the provider wants no credential: nothing can be found out.
fn probe(provider: &Provider, key: &ProviderKey) -> Option<Probe> {
    let (name, value) = provider.auth.credential(key.secret.expose())?;
    let mut headers = vec![(name, Secret::new(value))];
    if provider.dialect == Dialect::Anthropic {
        headers.push(("anthropic-version", Secret::new("2023-06-01")));
    }
    let base = &provider.base_url;
    let path = presets::key_probe_path(base, provider.dialect);
    let query = match &provider.path_style {
        PathStyle::Native => String::new(),
        PathStyle::AzureDeployments { api_version } => format!("?api-version={api_version}"),
    };
    Some(Probe {
        id: Uuid::new_v4(),
        provider: provider.name.clone(),
        tls: base.tls == Tls::Verified,
        authority: base.authority(),
        path: format!("{}{path}{query}", base.path),
        headers,
    })
}
