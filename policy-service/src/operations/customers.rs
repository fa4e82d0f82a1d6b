//! Customers.

use policy::check::Node;
use policy::documents::{Customer, Scope};
use policy::ids::CustomerId;
use uuid::Uuid;

use super::authority::{Caller, Object, Resource, Right};
use super::consistency::{Reach, Surroundings, free_name};
use super::fields::{CustomerFields, Problems};
use super::views::CustomerView;
use super::{ObjectKind, OperationError};
use crate::clock;
use crate::store::{self, Change, Effect, Store};

/// Lists all customers by name.
///
/// # Errors
/// [`OperationError`] when the caller may not or the store fails.
pub async fn list(store: &Store, caller: &Caller) -> Result<Vec<CustomerView>, OperationError> {
    caller.permit(Resource::Customers, Right::View)?;
    let all = store::customers::list(&mut *store.read().await?).await?;
    Ok(all.into_iter().map(CustomerView::from).collect())
}

/// Returns one customer.
///
/// # Errors
/// [`OperationError`] when there is none with this id, the caller may not or the store fails.
pub async fn get(
    store: &Store,
    caller: &Caller,
    id: CustomerId,
) -> Result<CustomerView, OperationError> {
    caller.permit(Resource::Customers, Right::View)?;
    let found = store::customers::get(&mut *store.read().await?, id).await?;
    found.map(CustomerView::from).ok_or_else(|| not_found(id))
}

/// Adds a customer.
///
/// # Errors
/// [`OperationError`] when the fields make no customer, the caller may not or the store fails.
pub async fn create(
    store: &Store,
    caller: &Caller,
    fields: CustomerFields,
) -> Result<CustomerView, OperationError> {
    let permit = caller.permit(Resource::Customers, Right::Create)?;
    let mut problems = Problems::default();
    problems.need("name", fields.name.as_ref());
    problems.refuse_any()?;
    let mut customer = Customer {
        id: CustomerId::new(Uuid::now_v7()),
        name: String::new(),
        access: None,
    };
    apply(fields, &mut customer);
    let mut change = store.change().await?;
    check(&mut change, &customer).await?;
    store::customers::insert(change.connection(), &customer, clock::now()).await?;
    let object = Object::new(ObjectKind::Customer, customer.id, customer.name.as_str());
    let after = CustomerView::from(customer);
    let event = permit.event("create", object, None, Some(&after))?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(after)
}

/// Changes a customer.
///
/// # Errors
/// [`OperationError`] when there is none with this id, the fields make no sense, the caller may not or the
/// store fails.
pub async fn update(
    store: &Store,
    caller: &Caller,
    id: CustomerId,
    fields: CustomerFields,
) -> Result<CustomerView, OperationError> {
    let permit = caller.permit(Resource::Customers, Right::Update)?;
    let mut change = store.change().await?;
    let mut customer = read(&mut change, id).await?;
    let before = CustomerView::from(customer.clone());
    apply(fields, &mut customer);
    let after = CustomerView::from(customer.clone());
    if after == before {
        return Ok(after);
    }
    check(&mut change, &customer).await?;
    store::customers::update(change.connection(), &customer).await?;
    let object = Object::new(ObjectKind::Customer, id, customer.name);
    let event = permit.event("update", object, Some(&before), Some(&after))?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(after)
}

/// Deletes a customer that nothing refers to.
///
/// # Errors
/// [`OperationError`] when there is none with this id, something refers to it, the caller may not or the store
/// fails.
pub async fn delete(store: &Store, caller: &Caller, id: CustomerId) -> Result<(), OperationError> {
    let permit = caller.permit(Resource::Customers, Right::Delete)?;
    let mut change = store.change().await?;
    let customer = read(&mut change, id).await?;
    let mut surroundings =
        Surroundings::read(&mut change, Reach::Around(Scope::Customer(id))).await?;
    surroundings.documents.customers.remove(&id);
    surroundings.check_without(ObjectKind::Customer, &customer.name)?;
    store::customers::delete(change.connection(), id).await?;
    let object = Object::new(ObjectKind::Customer, id, customer.name.as_str());
    let event = permit.event("delete", object, Some(&CustomerView::from(customer)), None)?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(())
}

fn apply(fields: CustomerFields, customer: &mut Customer) {
    let CustomerFields { name, access } = fields;
    if let Some(name) = name {
        customer.name = name;
    }
    if let Some(access) = access {
        customer.access = access;
    }
}

async fn check(change: &mut Change, customer: &Customer) -> Result<(), OperationError> {
    let mut surroundings = Surroundings::read(change, Reach::AllButKeys).await?;
    let others = &mut surroundings.documents.customers;
    free_name(
        others,
        |other| &other.name,
        &customer.id,
        ObjectKind::Customer,
        &customer.name,
    )?;
    others.insert(customer.id, customer.clone());
    surroundings.check(
        Node::Customer(customer.id),
        ObjectKind::Customer,
        &customer.name,
    )
}

async fn read(change: &mut Change, id: CustomerId) -> Result<Customer, OperationError> {
    store::customers::get(change.connection(), id)
        .await?
        .ok_or_else(|| not_found(id))
}

fn not_found(id: CustomerId) -> OperationError {
    OperationError::NotFound {
        kind: ObjectKind::Customer,
        id: id.to_string(),
    }
}
