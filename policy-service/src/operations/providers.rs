//! Providers and their own keys.

mod fill;
mod keys;
mod probing;

use policy::check::Node;
use policy::documents::{BaseUrl, NOT_ORDINARY, Provider};
use policy::ids::ProviderId;

use super::authority::{Caller, Object, Resource, Right};
use super::consistency::{Reach, Surroundings, free_name};
use super::fields::{Problems, ProviderFields};
use super::views::ProviderView;
use super::{ObjectKind, OperationError};
use crate::clock;
use crate::outbound;
use crate::store::{self, Change, Effect, Store, StoreError};

pub use keys::{add_key, delete_key, mark_key_bad, update_key};
pub use probing::{Probe, Probed, due as due_probes};
pub(super) use probing::{answered as probes_answered, doubt};

/// Lists all providers by name.
///
/// # Errors
/// [`OperationError`] when the caller may not or the store fails.
pub async fn list(store: &Store, caller: &Caller) -> Result<Vec<ProviderView>, OperationError> {
    caller.permit(Resource::Providers, Right::View)?;
    let mut reading = store.read().await?;
    let all = store::providers::list(&mut reading, store.master_key()).await?;
    let history = store::providers::key_history(&mut reading).await?;
    Ok(all
        .into_iter()
        .map(|provider| ProviderView::new(provider, &history))
        .collect())
}

/// Returns one provider.
///
/// # Errors
/// [`OperationError`] when there is none with this id, the caller may not or the store fails.
pub async fn get(
    store: &Store,
    caller: &Caller,
    id: ProviderId,
) -> Result<ProviderView, OperationError> {
    caller.permit(Resource::Providers, Right::View)?;
    let mut reading = store.read().await?;
    let provider = store::providers::get(&mut reading, store.master_key(), id).await?;
    let provider = provider.ok_or_else(|| not_found(id))?;
    let history = store::providers::key_history(&mut reading).await?;
    Ok(ProviderView::new(provider, &history))
}

/// Adds a provider, with keys if the fields hold some.
///
/// # Errors
/// [`OperationError`] when the fields make no provider, the caller may not or the store fails.
pub async fn create(
    store: &Store,
    caller: &Caller,
    fields: ProviderFields,
) -> Result<ProviderView, OperationError> {
    let permit = caller.permit(Resource::Providers, Right::Create)?;
    let provider = fill::new_provider(fields)?;
    leads_astray(store, &provider.base_url).await?;
    let now = clock::now();
    let mut change = store.change().await?;
    let mut surroundings = Surroundings::read(&mut change, Reach::AllButKeys).await?;
    check(&mut surroundings, &provider)?;
    store::providers::insert(change.connection(), &provider, now).await?;
    let master_key = change.master_key().clone();
    for key in &provider.keys {
        store::providers::insert_key(change.connection(), &master_key, provider.id, key, now)
            .await?;
    }
    let after = view(&mut change, provider).await?;
    let object = Object::new(ObjectKind::Provider, after.id, after.name.as_str());
    let event = permit.event("create", object, None, Some(&after))?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(after)
}

/// Changes a provider; its keys have operations of their own.
///
/// # Errors
/// [`OperationError`] when there is none with this id, the fields make no sense, its name is changed and needed
/// elsewhere, the caller may not or the store fails.
pub async fn update(
    store: &Store,
    caller: &Caller,
    id: ProviderId,
    fields: ProviderFields,
) -> Result<ProviderView, OperationError> {
    let permit = caller.permit(Resource::Providers, Right::Update)?;
    if let Some(Ok(base_url)) = fields.base_url.as_deref().map(str::parse) {
        leads_astray(store, &base_url).await?;
    }
    let mut change = store.change().await?;
    let mut provider = read(&mut change, id).await?;
    let before = view(&mut change, provider.clone()).await?;
    fill::apply(fields, &mut provider)?;
    let after = view(&mut change, provider.clone()).await?;
    if after == before {
        return Ok(after);
    }
    let mut surroundings = Surroundings::read(&mut change, Reach::All).await?;
    check(&mut surroundings, &provider)?;
    store::providers::update(change.connection(), &provider).await?;
    let object = Object::new(ObjectKind::Provider, id, provider.name);
    let event = permit.event("update", object, Some(&before), Some(&after))?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(after)
}

/// Refuses a base URL whose name leads, at this moment and from here, where no connection may be made.
async fn leads_astray(store: &Store, base_url: &BaseUrl) -> Result<(), OperationError> {
    let settings = store::settings::get(&mut *store.read().await?).await?;
    let mut problems = Problems::default();
    if !outbound::admits(settings.outbound_addresses, base_url).await {
        problems.add("base_url", NOT_ORDINARY);
    }
    problems.refuse_any()
}

/// Deletes a provider that nothing names, and its keys.
///
/// # Errors
/// [`OperationError`] when there is none with this id, a route or an access rule names it, the caller may not or
/// the store fails.
pub async fn delete(store: &Store, caller: &Caller, id: ProviderId) -> Result<(), OperationError> {
    let permit = caller.permit(Resource::Providers, Right::Delete)?;
    let mut change = store.change().await?;
    let provider = read(&mut change, id).await?;
    let mut surroundings = Surroundings::read(&mut change, Reach::All).await?;
    surroundings.documents.providers.remove(&id);
    surroundings.check_without(ObjectKind::Provider, &provider.name)?;
    let before = view(&mut change, provider).await?;
    store::providers::delete(change.connection(), id).await?;
    let object = Object::new(ObjectKind::Provider, id, before.name.as_str());
    let event = permit.event("delete", object, Some(&before), None)?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(())
}

fn check(surroundings: &mut Surroundings, provider: &Provider) -> Result<(), OperationError> {
    let others = &mut surroundings.documents.providers;
    free_name(
        others,
        |other| &other.name,
        &provider.id,
        ObjectKind::Provider,
        &provider.name,
    )?;
    others.insert(provider.id, provider.clone());
    surroundings.check(
        Node::Provider(provider.id),
        ObjectKind::Provider,
        &provider.name,
    )
}

async fn view(change: &mut Change, provider: Provider) -> Result<ProviderView, StoreError> {
    let history = store::providers::key_history(change.connection()).await?;
    Ok(ProviderView::new(provider, &history))
}

async fn read(change: &mut Change, id: ProviderId) -> Result<Provider, OperationError> {
    let master_key = change.master_key().clone();
    let found = store::providers::get(change.connection(), &master_key, id).await?;
    found.ok_or_else(|| not_found(id))
}

fn not_found(id: ProviderId) -> OperationError {
    OperationError::NotFound {
        kind: ObjectKind::Provider,
        id: id.to_string(),
    }
}
