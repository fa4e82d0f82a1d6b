//! Users.

use policy::check::Node;
use policy::documents::{Scope, User};
use policy::ids::UserId;
use uuid::Uuid;

use super::authority::{Caller, Object, Resource, Right};
use super::consistency::{Reach, Surroundings, free_name};
use super::fields::{Problems, UserFields};
use super::views::UserView;
use super::{ObjectKind, OperationError};
use crate::clock;
use crate::store::{self, Change, Effect, Store};

/// Lists all users by name.
///
/// # Errors
/// [`OperationError`] when the caller may not or the store fails.
pub async fn list(store: &Store, caller: &Caller) -> Result<Vec<UserView>, OperationError> {
    caller.permit(Resource::Users, Right::View)?;
    let all = store::users::list(&mut *store.read().await?).await?;
    Ok(all.into_iter().map(UserView::from).collect())
}

/// Returns one user.
///
/// # Errors
/// [`OperationError`] when there is none with this id, the caller may not or the store fails.
pub async fn get(store: &Store, caller: &Caller, id: UserId) -> Result<UserView, OperationError> {
    caller.permit(Resource::Users, Right::View)?;
    let found = store::users::get(&mut *store.read().await?, id).await?;
    found.map(UserView::from).ok_or_else(|| not_found(id))
}

/// Adds a user.
///
/// # Errors
/// [`OperationError`] when the fields make no user, the caller may not or the store fails.
pub async fn create(
    store: &Store,
    caller: &Caller,
    fields: UserFields,
) -> Result<UserView, OperationError> {
    let permit = caller.permit(Resource::Users, Right::Create)?;
    let mut problems = Problems::default();
    problems.need("name", fields.name.as_ref());
    problems.refuse_any()?;
    let mut user = User {
        id: UserId::new(Uuid::now_v7()),
        name: String::new(),
        team: None,
        customer: None,
        access: None,
    };
    apply(fields, &mut user);
    let mut change = store.change().await?;
    check(&mut change, &user).await?;
    store::users::insert(change.connection(), &user, clock::now()).await?;
    let object = Object::new(ObjectKind::User, user.id, user.name.as_str());
    let after = UserView::from(user);
    let event = permit.event("create", object, None, Some(&after))?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(after)
}

/// Changes a user.
///
/// # Errors
/// [`OperationError`] when there is none with this id, the fields make no sense, the caller may not or the
/// store fails.
pub async fn update(
    store: &Store,
    caller: &Caller,
    id: UserId,
    fields: UserFields,
) -> Result<UserView, OperationError> {
    let permit = caller.permit(Resource::Users, Right::Update)?;
    let mut change = store.change().await?;
    let mut user = read(&mut change, id).await?;
    let before = UserView::from(user.clone());
    apply(fields, &mut user);
    let after = UserView::from(user.clone());
    if after == before {
        return Ok(after);
    }
    check(&mut change, &user).await?;
    store::users::update(change.connection(), &user).await?;
    let object = Object::new(ObjectKind::User, id, user.name);
    let event = permit.event("update", object, Some(&before), Some(&after))?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(after)
}

/// Deletes a user that nothing refers to.
///
/// # Errors
/// [`OperationError`] when there is none with this id, something refers to it, the caller may not or the store
/// fails.
pub async fn delete(store: &Store, caller: &Caller, id: UserId) -> Result<(), OperationError> {
    let permit = caller.permit(Resource::Users, Right::Delete)?;
    let mut change = store.change().await?;
    let user = read(&mut change, id).await?;
    let mut surroundings = Surroundings::read(&mut change, Reach::Around(Scope::User(id))).await?;
    surroundings.documents.users.remove(&id);
    surroundings.check_without(ObjectKind::User, &user.name)?;
    store::users::delete(change.connection(), id).await?;
    let object = Object::new(ObjectKind::User, id, user.name.as_str());
    let event = permit.event("delete", object, Some(&UserView::from(user)), None)?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(())
}

fn apply(fields: UserFields, user: &mut User) {
    let UserFields {
        name,
        team,
        customer,
        access,
    } = fields;
    if let Some(name) = name {
        user.name = name;
    }
    if let Some(team) = team {
        user.team = team;
    }
    if let Some(customer) = customer {
        user.customer = customer;
    }
    if let Some(access) = access {
        user.access = access;
    }
}

async fn check(change: &mut Change, user: &User) -> Result<(), OperationError> {
    let mut surroundings = Surroundings::read(change, Reach::AllButKeys).await?;
    let others = &mut surroundings.documents.users;
    free_name(
        others,
        |other| &other.name,
        &user.id,
        ObjectKind::User,
        &user.name,
    )?;
    others.insert(user.id, user.clone());
    surroundings.check(Node::User(user.id), ObjectKind::User, &user.name)
}

async fn read(change: &mut Change, id: UserId) -> Result<User, OperationError> {
    store::users::get(change.connection(), id)
        .await?
        .ok_or_else(|| not_found(id))
}

fn not_found(id: UserId) -> OperationError {
    OperationError::NotFound {
        kind: ObjectKind::User,
        id: id.to_string(),
    }
}
