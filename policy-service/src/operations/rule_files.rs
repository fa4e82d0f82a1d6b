//! Files of detection rules.

use policy::check::Node;
use policy::guardrail::{RuleFile, read_rules};
use policy::ids::RuleFileId;
use uuid::Uuid;

use super::authority::{Caller, Object, Resource, Right};
use super::consistency::{Contents, free_name, try_first};
use super::fields::{Problems, RuleFileFields};
use super::views::{RuleFileItem, RuleFileView};
use super::{ObjectKind, OperationError};
use crate::clock;
use crate::store::{self, Change, Effect, Store, StoreError};

/// Lists all rule files by name.
///
/// # Errors
/// [`OperationError`] when the caller may not or the store fails.
pub async fn list(store: &Store, caller: &Caller) -> Result<Vec<RuleFileItem>, OperationError> {
    caller.permit(Resource::Guardrails, Right::View)?;
    let all = store::rule_files::list(&mut *store.read().await?).await?;
    Ok(all.iter().map(RuleFileItem::from).collect())
}

/// Returns one rule file with what it holds.
///
/// # Errors
/// [`OperationError`] when there is none with this id, the caller may not or the store fails.
pub async fn get(
    store: &Store,
    caller: &Caller,
    id: RuleFileId,
) -> Result<RuleFileView, OperationError> {
    caller.permit(Resource::Guardrails, Right::View)?;
    let found = store::rule_files::get(&mut *store.read().await?, id).await?;
    let found = found.ok_or_else(|| not_found(id))?;
    parsed(store, found).await
}

/// Adds a rule file.
///
/// # Errors
/// [`OperationError`] when the fields make no rule file, the caller may not or the store fails.
pub async fn create(
    store: &Store,
    caller: &Caller,
    fields: RuleFileFields,
) -> Result<RuleFileView, OperationError> {
    let permit = caller.permit(Resource::Guardrails, Right::Create)?;
    let mut problems = Problems::default();
    let name = problems.need("name", fields.name);
    let source = problems.need("source", fields.source);
    let (name, source) = problems.complete(name.zip(source))?;
    let id = RuleFileId::new(Uuid::now_v7());
    let new = RuleFile { id, name, source };
    try_first(store, |documents| {
        documents.rule_files.insert(id, new.clone());
    })
    .await?;
    let mut change = store.change().await?;
    check(&mut change, &new).await?;
    store::rule_files::insert(change.connection(), &new, clock::now()).await?;
    let object = Object::new(ObjectKind::RuleFile, id, new.name.as_str());
    let event = permit.event("create", object, None, Some(&RuleFileItem::from(&new)))?;
    change.commit(&[event], Effect::Policy).await?;
    parsed(store, new).await
}

/// Changes a rule file.
///
/// # Errors
/// [`OperationError`] when there is none with this id, the fields make no sense, a guardrail would mean nothing
/// then, the caller may not or the store fails.
pub async fn update(
    store: &Store,
    caller: &Caller,
    id: RuleFileId,
    fields: RuleFileFields,
) -> Result<RuleFileView, OperationError> {
    let permit = caller.permit(Resource::Guardrails, Right::Update)?;
    if let Some(source) = &fields.source {
        try_first(store, |documents| {
            if let Some(old) = documents.rule_files.get_mut(&id) {
                old.source.clone_from(source);
            }
        })
        .await?;
    }
    let mut change = store.change().await?;
    let old = read(&mut change, id).await?;
    let new = RuleFile {
        id,
        name: fields.name.unwrap_or_else(|| old.name.clone()),
        source: fields.source.unwrap_or_else(|| old.source.clone()),
    };
    if new != old {
        check(&mut change, &new).await?;
        store::rule_files::update(change.connection(), &new).await?;
        let object = Object::new(ObjectKind::RuleFile, id, new.name.as_str());
        let (before, after) = (RuleFileItem::from(&old), RuleFileItem::from(&new));
        let event = permit.event("update", object, Some(&before), Some(&after))?;
        change.commit(&[event], Effect::Policy).await?;
    }
    parsed(store, new).await
}

/// Deletes a rule file that no guardrail names.
///
/// # Errors
/// [`OperationError`] when there is none with this id, a guardrail names it, the caller may not or the store fails.
pub async fn delete(store: &Store, caller: &Caller, id: RuleFileId) -> Result<(), OperationError> {
    let permit = caller.permit(Resource::Guardrails, Right::Delete)?;
    let mut change = store.change().await?;
    let old = read(&mut change, id).await?;
    let mut contents = Contents::read(&mut change).await?;
    contents.after.rule_files.remove(&id);
    contents
        .check(None, ObjectKind::RuleFile, &old.name)
        .await?;
    store::rule_files::delete(change.connection(), id).await?;
    let object = Object::new(ObjectKind::RuleFile, id, old.name.as_str());
    let event = permit.event("delete", object, Some(&RuleFileItem::from(&old)), None)?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(())
}

/// Shows the rules that the file comes to.
async fn parsed(store: &Store, file: RuleFile) -> Result<RuleFileView, OperationError> {
    let others = store::rule_files::list(&mut *store.read().await?).await?;
    let reading = tokio::task::spawn_blocking(move || {
        let read = read_rules(&file, &others);
        RuleFileView::new(file, read)
    });
    let view = reading.await;
    view.map_err(|source| StoreError::Interrupted { source }.into())
}

async fn check(change: &mut Change, new: &RuleFile) -> Result<(), OperationError> {
    let mut contents = Contents::read(change).await?;
    let others = &mut contents.after.rule_files;
    free_name(
        others,
        |other| &other.name,
        &new.id,
        ObjectKind::RuleFile,
        &new.name,
    )?;
    others.insert(new.id, new.clone());
    let node = Some(Node::RuleFile(new.id));
    contents.check(node, ObjectKind::RuleFile, &new.name).await
}

async fn read(change: &mut Change, id: RuleFileId) -> Result<RuleFile, OperationError> {
    store::rule_files::get(change.connection(), id)
        .await?
        .ok_or_else(|| not_found(id))
}

fn not_found(id: RuleFileId) -> OperationError {
    OperationError::NotFound {
        kind: ObjectKind::RuleFile,
        id: id.to_string(),
    }
}
