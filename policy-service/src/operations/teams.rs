//! Teams.

use policy::check::Node;
use policy::documents::{Scope, Team};
use policy::ids::TeamId;
use uuid::Uuid;

use super::authority::{Caller, Object, Resource, Right};
use super::consistency::{Reach, Surroundings, free_name};
use super::fields::{Problems, TeamFields};
use super::views::TeamView;
use super::{ObjectKind, OperationError};
use crate::clock;
use crate::store::{self, Change, Effect, Store};

/// Lists all teams by name.
///
/// # Errors
/// [`OperationError`] when the caller may not or the store fails.
pub async fn list(store: &Store, caller: &Caller) -> Result<Vec<TeamView>, OperationError> {
    caller.permit(Resource::Teams, Right::View)?;
    let all = store::teams::list(&mut *store.read().await?).await?;
    Ok(all.into_iter().map(TeamView::from).collect())
}

/// Returns one team.
///
/// # Errors
/// [`OperationError`] when there is none with this id, the caller may not or the store fails.
pub async fn get(store: &Store, caller: &Caller, id: TeamId) -> Result<TeamView, OperationError> {
    caller.permit(Resource::Teams, Right::View)?;
    let found = store::teams::get(&mut *store.read().await?, id).await?;
    found.map(TeamView::from).ok_or_else(|| not_found(id))
}

/// Adds a team.
///
/// # Errors
/// [`OperationError`] when the fields make no team, the caller may not or the store fails.
pub async fn create(
    store: &Store,
    caller: &Caller,
    fields: TeamFields,
) -> Result<TeamView, OperationError> {
    let permit = caller.permit(Resource::Teams, Right::Create)?;
    let mut problems = Problems::default();
    problems.need("name", fields.name.as_ref());
    problems.refuse_any()?;
    let mut team = Team {
        id: TeamId::new(Uuid::now_v7()),
        name: String::new(),
        customer: None,
        access: None,
    };
    apply(fields, &mut team);
    let mut change = store.change().await?;
    check(&mut change, &team).await?;
    store::teams::insert(change.connection(), &team, clock::now()).await?;
    let object = Object::new(ObjectKind::Team, team.id, team.name.as_str());
    let after = TeamView::from(team);
    let event = permit.event("create", object, None, Some(&after))?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(after)
}

/// Changes a team.
///
/// # Errors
/// [`OperationError`] when there is none with this id, the fields make no sense, the caller may not or the
/// store fails.
pub async fn update(
    store: &Store,
    caller: &Caller,
    id: TeamId,
    fields: TeamFields,
) -> Result<TeamView, OperationError> {
    let permit = caller.permit(Resource::Teams, Right::Update)?;
    let mut change = store.change().await?;
    let mut team = read(&mut change, id).await?;
    let before = TeamView::from(team.clone());
    apply(fields, &mut team);
    let after = TeamView::from(team.clone());
    if after == before {
        return Ok(after);
    }
    check(&mut change, &team).await?;
    store::teams::update(change.connection(), &team).await?;
    let object = Object::new(ObjectKind::Team, id, team.name);
    let event = permit.event("update", object, Some(&before), Some(&after))?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(after)
}

/// Deletes a team that nothing refers to.
///
/// # Errors
/// [`OperationError`] when there is none with this id, something refers to it, the caller may not or the store
/// fails.
pub async fn delete(store: &Store, caller: &Caller, id: TeamId) -> Result<(), OperationError> {
    let permit = caller.permit(Resource::Teams, Right::Delete)?;
    let mut change = store.change().await?;
    let team = read(&mut change, id).await?;
    let mut surroundings = Surroundings::read(&mut change, Reach::Around(Scope::Team(id))).await?;
    surroundings.documents.teams.remove(&id);
    surroundings.check_without(ObjectKind::Team, &team.name)?;
    store::teams::delete(change.connection(), id).await?;
    let object = Object::new(ObjectKind::Team, id, team.name.as_str());
    let event = permit.event("delete", object, Some(&TeamView::from(team)), None)?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(())
}

fn apply(fields: TeamFields, team: &mut Team) {
    let TeamFields {
        name,
        customer,
        access,
    } = fields;
    if let Some(name) = name {
        team.name = name;
    }
    if let Some(customer) = customer {
        team.customer = customer;
    }
    if let Some(access) = access {
        team.access = access;
    }
}

async fn check(change: &mut Change, team: &Team) -> Result<(), OperationError> {
    let mut surroundings = Surroundings::read(change, Reach::AllButKeys).await?;
    let others = &mut surroundings.documents.teams;
    free_name(
        others,
        |other| &other.name,
        &team.id,
        ObjectKind::Team,
        &team.name,
    )?;
    others.insert(team.id, team.clone());
    surroundings.check(Node::Team(team.id), ObjectKind::Team, &team.name)
}

async fn read(change: &mut Change, id: TeamId) -> Result<Team, OperationError> {
    store::teams::get(change.connection(), id)
        .await?
        .ok_or_else(|| not_found(id))
}

fn not_found(id: TeamId) -> OperationError {
    OperationError::NotFound {
        kind: ObjectKind::Team,
        id: id.to_string(),
    }
}
