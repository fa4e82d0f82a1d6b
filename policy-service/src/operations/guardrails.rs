//! Guardrails.

use policy::check::Node;
use policy::guardrail::{Guardrail, GuardrailDraft, describe};
use policy::ids::GuardrailId;
use uuid::Uuid;

use super::authority::{Caller, Object, Resource, Right};
use super::consistency::{Contents, free_name, try_first};
use super::views::GuardrailView;
use super::{ObjectKind, OperationError};
use crate::clock;
use crate::store::{self, Change, Effect, Store};

/// Lists all guardrails by name.
///
/// # Errors
/// [`OperationError`] when the caller may not or the store fails.
pub async fn list(store: &Store, caller: &Caller) -> Result<Vec<GuardrailView>, OperationError> {
    caller.permit(Resource::Guardrails, Right::View)?;
    let documents = store.documents_but_quotas().await?;
    let view = |guardrail: &Guardrail| view(guardrail, describe(guardrail, &documents));
    let mut all = documents.guardrails.values().map(view).collect::<Vec<_>>();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(all)
}

/// Returns one guardrail.
///
/// # Errors
/// [`OperationError`] when there is none with this id, the caller may not or the store fails.
pub async fn get(
    store: &Store,
    caller: &Caller,
    id: GuardrailId,
) -> Result<GuardrailView, OperationError> {
    caller.permit(Resource::Guardrails, Right::View)?;
    let documents = store.documents_but_quotas().await?;
    let found = documents.guardrails.get(&id);
    found
        .map(|guardrail| view(guardrail, describe(guardrail, &documents)))
        .ok_or_else(|| not_found(id))
}

/// Adds a guardrail.
///
/// # Errors
/// [`OperationError`] when the fields make no guardrail, the caller may not or the store fails.
pub async fn create(
    store: &Store,
    caller: &Caller,
    draft: GuardrailDraft,
) -> Result<GuardrailView, OperationError> {
    let permit = caller.permit(Resource::Guardrails, Right::Create)?;
    let new = draft.into_new();
    let (name, rules) = new.map_err(|problems| OperationError::Invalid { problems })?;
    let id = GuardrailId::new(Uuid::now_v7());
    let guardrail = Guardrail { id, name, rules };
    try_first(store, |documents| {
        documents.guardrails.insert(id, guardrail.clone());
    })
    .await?;
    let mut change = store.change().await?;
    let after = check(&mut change, &guardrail).await?;
    store::guardrails::insert(change.connection(), &guardrail, clock::now()).await?;
    let object = Object::new(ObjectKind::Guardrail, id, guardrail.name.as_str());
    let event = permit.event("create", object, None, Some(&after))?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(after)
}

/// Changes a guardrail.
///
/// # Errors
/// [`OperationError`] when there is none with this id, the fields make no sense, the caller may not or the store
/// fails.
pub async fn update(
    store: &Store,
    caller: &Caller,
    id: GuardrailId,
    draft: GuardrailDraft,
) -> Result<GuardrailView, OperationError> {
    let permit = caller.permit(Resource::Guardrails, Right::Update)?;
    if draft.preset.is_some() {
        let problem = policy::check::Problem::new("preset", "is for new guardrails only");
        return Err(OperationError::Invalid {
            problems: vec![problem],
        });
    }
    try_first(store, |documents| {
        if let Some(guardrail) = documents.guardrails.get_mut(&id) {
            draft.clone().change(&mut guardrail.rules);
        }
    })
    .await?;
    let mut change = store.change().await?;
    let old = read(&mut change, id).await?;
    let mut guardrail = old.clone();
    guardrail.name = draft.name.clone().unwrap_or(guardrail.name);
    draft.change(&mut guardrail.rules);
    let after = check(&mut change, &guardrail).await?;
    if guardrail == old {
        return Ok(after);
    }
    store::guardrails::update(change.connection(), &guardrail).await?;
    let object = Object::new(ObjectKind::Guardrail, id, guardrail.name.as_str());
    let before = view(&old, String::new());
    let event = permit.event("update", object, Some(&before), Some(&after))?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(after)
}

/// Deletes a guardrail.
///
/// # Errors
/// [`OperationError`] when there is none with this id, the caller may not or the store fails.
pub async fn delete(store: &Store, caller: &Caller, id: GuardrailId) -> Result<(), OperationError> {
    let permit = caller.permit(Resource::Guardrails, Right::Delete)?;
    let mut change = store.change().await?;
    let guardrail = read(&mut change, id).await?;
    store::guardrails::delete(change.connection(), id).await?;
    let object = Object::new(ObjectKind::Guardrail, id, guardrail.name.as_str());
    let before = view(&guardrail, String::new());
    let event = permit.event("delete", object, Some(&before), None)?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(())
}

/// Checks that the policy means something with `guardrail` in it, and returns what is shown of it.
async fn check(
    change: &mut Change,
    guardrail: &Guardrail,
) -> Result<GuardrailView, OperationError> {
    let mut contents = Contents::read(change).await?;
    let others = &mut contents.after.guardrails;
    free_name(
        others,
        |other| &other.name,
        &guardrail.id,
        ObjectKind::Guardrail,
        &guardrail.name,
    )?;
    others.insert(guardrail.id, guardrail.clone());
    let view = view(guardrail, describe(guardrail, &contents.after));
    let node = Some(Node::Guardrail(guardrail.id));
    contents
        .check(node, ObjectKind::Guardrail, &guardrail.name)
        .await?;
    Ok(view)
}

async fn read(change: &mut Change, id: GuardrailId) -> Result<Guardrail, OperationError> {
    store::guardrails::get(change.connection(), id)
        .await?
        .ok_or_else(|| not_found(id))
}

fn view(guardrail: &Guardrail, sentence: String) -> GuardrailView {
    GuardrailView::new(guardrail.clone(), sentence)
}

fn not_found(id: GuardrailId) -> OperationError {
    OperationError::NotFound {
        kind: ObjectKind::Guardrail,
        id: id.to_string(),
    }
}
