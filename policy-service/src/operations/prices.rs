//! Prices: those of the book, and the administrator's own.

use policy::check::Node;
use policy::pattern::ModelPattern;
use policy::price::{PriceBook, PriceOverride};

use super::authority::{Caller, Object, Resource, Right};
use super::consistency::{Reach, Surroundings};
use super::{ObjectKind, OperationError};
use crate::clock;
use crate::store::{self, Effect, Store};

/// All prices that apply.
#[derive(Clone, Debug)]
pub struct Prices {
    pub book: &'static PriceBook,
    /// Go before the book's.
    pub overrides: Vec<PriceOverride>,
}

/// Returns all prices.
///
/// # Errors
/// [`OperationError`] when the caller may not or the store fails.
pub async fn list(store: &Store, caller: &Caller) -> Result<Prices, OperationError> {
    caller.permit(Resource::Prices, Right::View)?;
    let overrides = store::prices::list(&mut *store.read().await?).await?;
    Ok(Prices {
        book: PriceBook::embedded(),
        overrides,
    })
}

/// Writes a price in the place of one for the same table and model.
///
/// # Errors
/// [`OperationError`] when the price makes no sense, the caller may not or the store fails.
pub async fn put(
    store: &Store,
    caller: &Caller,
    price: PriceOverride,
) -> Result<PriceOverride, OperationError> {
    let permit = caller.permit(Resource::Prices, Right::Update)?;
    let mut change = store.change().await?;
    let mut surroundings = Surroundings::read(&mut change, Reach::AllButKeys).await?;
    let prices = &mut surroundings.documents.prices;
    let before = prices
        .iter()
        .position(|other| is_same(other, &price.table, &price.model));
    let before = before.map(|at| prices.remove(at));
    prices.push(price.clone());
    let node = Node::Price(prices.len().saturating_sub(1));
    let name = name(&price.table, &price.model);
    surroundings.check(node, ObjectKind::Price, &name)?;
    if let Some(before) = &before {
        store::prices::delete(change.connection(), &before.table, &before.model).await?;
    }
    store::prices::put(change.connection(), &price, clock::now()).await?;
    let object = Object::new(ObjectKind::Price, &name, name.as_str());
    let event = permit.event("put", object, before.as_ref(), Some(&price))?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(price)
}

/// Deletes a price of the administrator's own; the book's applies again.
///
/// # Errors
/// [`OperationError`] when there is none, a provider's table would vanish with it, the caller may not or the
/// store fails.
pub async fn delete(
    store: &Store,
    caller: &Caller,
    table: &str,
    model: &ModelPattern,
) -> Result<(), OperationError> {
    let permit = caller.permit(Resource::Prices, Right::Delete)?;
    let mut change = store.change().await?;
    let mut surroundings = Surroundings::read(&mut change, Reach::AllButKeys).await?;
    let prices = &mut surroundings.documents.prices;
    let name = name(table, model);
    let Some(at) = prices.iter().position(|price| is_same(price, table, model)) else {
        return Err(OperationError::NotFound {
            kind: ObjectKind::Price,
            id: name,
        });
    };
    let before = prices.remove(at);
    surroundings.check_without(ObjectKind::Price, &name)?;
    store::prices::delete(change.connection(), &before.table, &before.model).await?;
    let object = Object::new(ObjectKind::Price, &name, name.as_str());
    let event = permit.event("delete", object, Some(&before), None)?;
    change.commit(&[event], Effect::Policy).await?;
    Ok(())
}

fn is_same(price: &PriceOverride, table: &str, model: &ModelPattern) -> bool {
    price.table == table && price.model.as_str().eq_ignore_ascii_case(model.as_str())
}

fn name(table: &str, model: &ModelPattern) -> String {
    format!("{table}/{model}")
}
