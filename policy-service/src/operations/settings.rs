//! Mesh-wide settings.

use policy::check::Node;

use super::authority::{Caller, Object, Resource, Right};
use super::consistency::{Reach, Surroundings};
use super::fields::SettingsFields;
use super::views::SettingsView;
use super::{ObjectKind, OperationError};
use crate::store::{self, Effect, Store};

/// Returns the settings.
///
/// # Errors
/// [`OperationError`] when the caller may not or the store fails.
pub async fn get(store: &Store, caller: &Caller) -> Result<SettingsView, OperationError> {
    caller.permit(Resource::Settings, Right::View)?;
    Ok(store::settings::get(&mut *store.read().await?)
        .await?
        .into())
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
    let before = SettingsView::from(settings.clone());
    let SettingsFields {
        inference_auth,
        on_unknown_price,
        on_record_overflow,
        body_cap_bytes,
        snapshot_max_age_ms,
        vault_ttl_ms,
        hosts,
        max_attempts,
    } = fields;
    settings.inference_auth = inference_auth.unwrap_or(settings.inference_auth);
    settings.on_unknown_price = on_unknown_price.unwrap_or(settings.on_unknown_price);
    settings.on_record_overflow = on_record_overflow.unwrap_or(settings.on_record_overflow);
    settings.body_cap_bytes = body_cap_bytes.unwrap_or(settings.body_cap_bytes);
    settings.snapshot_max_age_ms = snapshot_max_age_ms.unwrap_or(settings.snapshot_max_age_ms);
    settings.vault_ttl_ms = vault_ttl_ms.unwrap_or(settings.vault_ttl_ms);
    settings.hosts = hosts.unwrap_or(settings.hosts);
    settings.max_attempts = max_attempts.unwrap_or(settings.max_attempts);
    let after = SettingsView::from(settings.clone());
    if after == before {
        return Ok(after);
    }
    let mut surroundings = Surroundings::read(&mut change, Reach::AllButKeys).await?;
    surroundings.documents.settings = settings.clone();
    surroundings.check(Node::Settings, ObjectKind::Settings, "settings")?;
    store::settings::update(change.connection(), &settings).await?;
    let object = Object::new(ObjectKind::Settings, "settings", "settings");
    let event = permit.event("update", object, Some(&before), Some(&after))?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(after)
}
