//! Routes.

use policy::check::Node;
use policy::documents::{Route, Scope};
use policy::ids::RouteId;
use uuid::Uuid;

use super::authority::{Caller, Object, Resource, Right};
use super::consistency::{Reach, Surroundings};
use super::fields::{Problems, RouteFields};
use super::views::RouteView;
use super::{ObjectKind, OperationError};
use crate::clock;
use crate::store::{self, Change, Effect, Store};

/// Lists all routes by scope and alias.
///
/// # Errors
/// [`OperationError`] when the caller may not or the store fails.
pub async fn list(store: &Store, caller: &Caller) -> Result<Vec<RouteView>, OperationError> {
    caller.permit(Resource::Routes, Right::View)?;
    let all = store::routes::list(&mut *store.read().await?).await?;
    Ok(all.into_iter().map(RouteView::from).collect())
}

/// Returns one route.
///
/// # Errors
/// [`OperationError`] when there is none with this id, the caller may not or the store fails.
pub async fn get(store: &Store, caller: &Caller, id: RouteId) -> Result<RouteView, OperationError> {
    caller.permit(Resource::Routes, Right::View)?;
    let found = store::routes::get(&mut *store.read().await?, id).await?;
    found.map(RouteView::from).ok_or_else(|| not_found(id))
}

/// Adds a route.
///
/// # Errors
/// [`OperationError`] when the fields make no route, the caller may not or the store fails.
pub async fn create(
    store: &Store,
    caller: &Caller,
    fields: RouteFields,
) -> Result<RouteView, OperationError> {
    let permit = caller.permit(Resource::Routes, Right::Create)?;
    let mut problems = Problems::default();
    let alias = problems.need("alias", fields.alias);
    let targets = problems.need("targets", fields.targets);
    let (alias, targets) = problems.complete(alias.zip(targets))?;
    let scope = fields.scope.unwrap_or(Scope::Global);
    let route = Route {
        id: RouteId::new(Uuid::now_v7()),
        scope,
        alias,
        targets,
    };
    let mut change = store.change().await?;
    check(&mut change, &route).await?;
    store::routes::insert(change.connection(), &route, clock::now()).await?;
    let object = Object::new(ObjectKind::Route, route.id, route.alias.as_str());
    let after = RouteView::from(route);
    let event = permit.event("create", object, None, Some(&after))?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(after)
}

/// Changes a route.
///
/// # Errors
/// [`OperationError`] when there is none with this id, the fields make no sense, the caller may not or the
/// store fails.
pub async fn update(
    store: &Store,
    caller: &Caller,
    id: RouteId,
    fields: RouteFields,
) -> Result<RouteView, OperationError> {
    let permit = caller.permit(Resource::Routes, Right::Update)?;
    let mut change = store.change().await?;
    let mut route = read(&mut change, id).await?;
    let before = RouteView::from(route.clone());
    let RouteFields {
        alias,
        scope,
        targets,
    } = fields;
    route.alias = alias.unwrap_or(route.alias);
    route.scope = scope.unwrap_or(route.scope);
    route.targets = targets.unwrap_or(route.targets);
    let after = RouteView::from(route.clone());
    if after == before {
        return Ok(after);
    }
    check(&mut change, &route).await?;
    store::routes::update(change.connection(), &route).await?;
    let object = Object::new(ObjectKind::Route, id, route.alias.as_str());
    let event = permit.event("update", object, Some(&before), Some(&after))?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(after)
}

/// Deletes a route.
///
/// # Errors
/// [`OperationError`] when there is none with this id, the caller may not or the store fails.
pub async fn delete(store: &Store, caller: &Caller, id: RouteId) -> Result<(), OperationError> {
    let permit = caller.permit(Resource::Routes, Right::Delete)?;
    let mut change = store.change().await?;
    let route = read(&mut change, id).await?;
    store::routes::delete(change.connection(), id).await?;
    let object = Object::new(ObjectKind::Route, id, route.alias.as_str());
    let event = permit.event("delete", object, Some(&RouteView::from(route)), None)?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(())
}

async fn check(change: &mut Change, route: &Route) -> Result<(), OperationError> {
    let reach = match route.scope {
        Scope::Key(_) => Reach::All,
        Scope::Global | Scope::Customer(_) | Scope::Team(_) | Scope::User(_) => Reach::AllButKeys,
    };
    let mut surroundings = Surroundings::read(change, reach).await?;
    surroundings
        .documents
        .routes
        .insert(route.id, route.clone());
    surroundings.check(
        Node::Route(route.id),
        ObjectKind::Route,
        route.alias.as_str(),
    )
}

async fn read(change: &mut Change, id: RouteId) -> Result<Route, OperationError> {
    store::routes::get(change.connection(), id)
        .await?
        .ok_or_else(|| not_found(id))
}

fn not_found(id: RouteId) -> OperationError {
    OperationError::NotFound {
        kind: ObjectKind::Route,
        id: id.to_string(),
    }
}
