//! Lists of words and phrases.

use policy::check::Node;
use policy::guardrail::WordList;
use policy::ids::WordListId;
use uuid::Uuid;

use super::authority::{Caller, Object, Resource, Right};
use super::consistency::{Contents, free_name, try_first};
use super::fields::{Problems, WordListFields};
use super::views::{WordListItem, WordListView};
use super::{ObjectKind, OperationError};
use crate::clock;
use crate::store::{self, Change, Effect, Store};

/// Lists all word lists by name.
///
/// # Errors
/// [`OperationError`] when the caller may not or the store fails.
pub async fn list(store: &Store, caller: &Caller) -> Result<Vec<WordListItem>, OperationError> {
    caller.permit(Resource::Guardrails, Right::View)?;
    let all = store::word_lists::list(&mut *store.read().await?).await?;
    Ok(all.iter().map(WordListItem::from).collect())
}

/// Returns one word list with what it holds.
///
/// # Errors
/// [`OperationError`] when there is none with this id, the caller may not or the store fails.
pub async fn get(
    store: &Store,
    caller: &Caller,
    id: WordListId,
) -> Result<WordListView, OperationError> {
    caller.permit(Resource::Guardrails, Right::View)?;
    let found = store::word_lists::get(&mut *store.read().await?, id).await?;
    let found = found.ok_or_else(|| not_found(id))?;
    Ok(WordListView::from(found))
}

/// Adds a word list.
///
/// # Errors
/// [`OperationError`] when the fields make no word list, the caller may not or the store fails.
pub async fn create(
    store: &Store,
    caller: &Caller,
    fields: WordListFields,
) -> Result<WordListView, OperationError> {
    let permit = caller.permit(Resource::Guardrails, Right::Create)?;
    let mut problems = Problems::default();
    let name = problems.need("name", fields.name);
    let words = problems.need("words", fields.words);
    let (name, words) = problems.complete(name.zip(words))?;
    let id = WordListId::new(Uuid::now_v7());
    let new = WordList { id, name, words };
    try_first(store, |documents| {
        documents.word_lists.insert(id, new.clone());
    })
    .await?;
    let mut change = store.change().await?;
    check(&mut change, &new).await?;
    store::word_lists::insert(change.connection(), &new, clock::now()).await?;
    let object = Object::new(ObjectKind::WordList, id, new.name.as_str());
    let event = permit.event("create", object, None, Some(&WordListItem::from(&new)))?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(WordListView::from(new))
}

/// Changes a word list.
///
/// # Errors
/// [`OperationError`] when there is none with this id, the fields make no sense, a guardrail would mean nothing
/// then, the caller may not or the store fails.
pub async fn update(
    store: &Store,
    caller: &Caller,
    id: WordListId,
    fields: WordListFields,
) -> Result<WordListView, OperationError> {
    let permit = caller.permit(Resource::Guardrails, Right::Update)?;
    if let Some(words) = &fields.words {
        try_first(store, |documents| {
            if let Some(old) = documents.word_lists.get_mut(&id) {
                old.words.clone_from(words);
            }
        })
        .await?;
    }
    let mut change = store.change().await?;
    let old = read(&mut change, id).await?;
    let new = WordList {
        id,
        name: fields.name.unwrap_or_else(|| old.name.clone()),
        words: fields.words.unwrap_or_else(|| old.words.clone()),
    };
    if new != old {
        check(&mut change, &new).await?;
        store::word_lists::update(change.connection(), &new).await?;
        let object = Object::new(ObjectKind::WordList, id, new.name.as_str());
        let (before, after) = (WordListItem::from(&old), WordListItem::from(&new));
        let event = permit.event("update", object, Some(&before), Some(&after))?;
        change.commit(&[event], Effect::Policy).await?;
    }
    Ok(WordListView::from(new))
}

/// Deletes a word list that no guardrail names.
///
/// # Errors
/// [`OperationError`] when there is none with this id, a guardrail names it, the caller may not or the store fails.
pub async fn delete(store: &Store, caller: &Caller, id: WordListId) -> Result<(), OperationError> {
    let permit = caller.permit(Resource::Guardrails, Right::Delete)?;
    let mut change = store.change().await?;
    let old = read(&mut change, id).await?;
    let mut contents = Contents::read(&mut change).await?;
    contents.after.word_lists.remove(&id);
    contents
        .check(None, ObjectKind::WordList, &old.name)
        .await?;
    store::word_lists::delete(change.connection(), id).await?;
    let object = Object::new(ObjectKind::WordList, id, old.name.as_str());
    let event = permit.event("delete", object, Some(&WordListItem::from(&old)), None)?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(())
}

async fn check(change: &mut Change, new: &WordList) -> Result<(), OperationError> {
    let mut contents = Contents::read(change).await?;
    let others = &mut contents.after.word_lists;
    free_name(
        others,
        |other| &other.name,
        &new.id,
        ObjectKind::WordList,
        &new.name,
    )?;
    others.insert(new.id, new.clone());
    let node = Some(Node::WordList(new.id));
    contents.check(node, ObjectKind::WordList, &new.name).await
}

async fn read(change: &mut Change, id: WordListId) -> Result<WordList, OperationError> {
    store::word_lists::get(change.connection(), id)
        .await?
        .ok_or_else(|| not_found(id))
}

fn not_found(id: WordListId) -> OperationError {
    OperationError::NotFound {
        kind: ObjectKind::WordList,
        id: id.to_string(),
    }
}
