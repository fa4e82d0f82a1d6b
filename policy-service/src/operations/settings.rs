//! Mesh-wide settings.

use policy::check::Node;
use policy::documents::{NOT_ORDINARY, OutboundAddresses};
use policy::secret::Secret;

use super::authority::{Caller, Object, Resource, Right};
use super::consistency::{Reach, Surroundings};
use super::fields::{AlertWebhookFields, Problems, SettingsFields};
use super::views::SettingsView;
use super::{ObjectKind, OperationError};
use crate::alerts;
use crate::store::events::Webhook;
use crate::store::{self, Effect, Store};

/// Returns the settings.
///
/// # Errors
/// [`OperationError`] when the caller may not or the store fails.
pub async fn get(store: &Store, caller: &Caller) -> Result<SettingsView, OperationError> {
    caller.permit(Resource::Settings, Right::View)?;
    let mut reading = store.read().await?;
    let settings = store::settings::get(&mut reading).await?;
    let webhook = store::events::webhook(&mut reading, store.master_key()).await?;
    Ok(SettingsView::from(settings).with_webhook(webhook.as_ref()))
}

/// Changes settings.
///
/// # Errors
/// [`OperationError`] when the values make no sense, the caller may not or the store fails.
pub async fn update(
    store: &Store,
    caller: &Caller,
    fields: SettingsFields,
) -> Result<SettingsView, OperationError> {
    let permit = caller.permit(Resource::Settings, Right::Update)?;
    let mut change = store.change().await?;
    let mut settings = store::settings::get(change.connection()).await?;
    let webhook_before = store::events::webhook(change.connection(), store.master_key()).await?;
    let before = SettingsView::from(settings.clone()).with_webhook(webhook_before.as_ref());
    let SettingsFields {
        inference_auth,
        on_unknown_price,
        on_record_overflow,
        on_revoke,
        body_cap_bytes,
        snapshot_max_age_ms,
        vault_ttl_ms,
        hosts,
        max_attempts,
        max_running_per_key,
        outbound_addresses,
        cors_origins,
        alert_webhook,
    } = fields;
    settings.inference_auth = inference_auth.unwrap_or(settings.inference_auth);
    settings.on_unknown_price = on_unknown_price.unwrap_or(settings.on_unknown_price);
    settings.on_record_overflow = on_record_overflow.unwrap_or(settings.on_record_overflow);
    settings.on_revoke = on_revoke.unwrap_or(settings.on_revoke);
    settings.body_cap_bytes = body_cap_bytes.unwrap_or(settings.body_cap_bytes);
    settings.snapshot_max_age_ms = snapshot_max_age_ms.unwrap_or(settings.snapshot_max_age_ms);
    settings.vault_ttl_ms = vault_ttl_ms.unwrap_or(settings.vault_ttl_ms);
    settings.hosts = hosts.unwrap_or(settings.hosts);
    settings.max_attempts = max_attempts.unwrap_or(settings.max_attempts);
    settings.max_running_per_key = max_running_per_key.unwrap_or(settings.max_running_per_key);
    settings.outbound_addresses = outbound_addresses.unwrap_or(settings.outbound_addresses);
    settings.cors_origins = cors_origins.unwrap_or(settings.cors_origins);
    let has_new_webhook = alert_webhook.is_some();
    let webhook = match alert_webhook {
        Some(fields) => fields
            .map(|fields| changed(webhook_before, fields, settings.outbound_addresses))
            .transpose()?,
        None => webhook_before,
    };
    let after = SettingsView::from(settings.clone()).with_webhook(webhook.as_ref());
    // A secret may be new although nothing else is.
    if after == before && !has_new_webhook {
        return Ok(after);
    }
    let mut surroundings = Surroundings::read(&mut change, Reach::AllButKeys).await?;
    surroundings.documents.settings = settings.clone();
    surroundings.check(Node::Settings, ObjectKind::Settings, "settings")?;
    store::settings::update(change.connection(), &settings).await?;
    if has_new_webhook {
        let db = change.connection();
        store::events::set_webhook(db, store.master_key(), webhook.as_ref()).await?;
    }
    let object = Object::new(ObjectKind::Settings, "settings", "settings");
    let event = permit.event("update", object, Some(&before), Some(&after))?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(after)
}

/// Says what is wrong with the URL of a webhook, and nothing of what stands in it.
fn webhook_url(url: &str, addresses: OutboundAddresses) -> Result<(), &'static str> {
    let parsed = reqwest::Url::parse(url).ok();
    let parsed = parsed.filter(|url| matches!(url.scheme(), "https" | "http"));
    let parsed =
        parsed.ok_or("must be an absolute URL that begins with `https://` (or `http://`)")?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("must not hold a user or a password: posts are signed with `secret`");
    }
    // Every spelling of an IPv4 address has become the usual one.
    let host = parsed.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if addresses.admits_host(host) {
        Ok(())
    } else {
        Err(NOT_ORDINARY)
    }
}

/// Returns a webhook with what `fields` change of it, or what is wrong with them.
fn changed(
    before: Option<Webhook>,
    fields: AlertWebhookFields,
    addresses: OutboundAddresses,
) -> Result<Webhook, OperationError> {
    let AlertWebhookFields { url, secret } = fields;
    let mut problems = Problems::default();
    let (url_before, secret_before) = before.map(|it| (it.url, it.secret)).unzip();
    let url = problems.need("alert_webhook.url", url.or(url_before));
    let secret = problems.need("alert_webhook.secret", secret.or(secret_before));
    if let Some(Err(message)) = url.as_ref().map(|url| webhook_url(url, addresses)) {
        problems.add("alert_webhook.url", message);
    }
    let is_secret = |secret: &Secret| alerts::key_of(secret.expose()).is_some();
    if secret.as_ref().is_some_and(|secret| !is_secret(secret)) {
        let (min, max) = (alerts::MIN_SECRET_BYTES, alerts::MAX_SECRET_BYTES);
        let message = format!("must be `whsec_` and {min} to {max} bytes in base64");
        problems.add("alert_webhook.secret", message);
    }
    let webhook = url.zip(secret).map(|(url, secret)| Webhook { url, secret });
    problems.complete(webhook)
}
