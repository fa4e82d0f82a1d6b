//! Exchanges: what filters report is priced and stored; administrators list it and sum it up.

mod guards;
mod reading;

use std::collections::{BTreeMap, BTreeSet};

use policy::ids::{ExchangeId, ProviderKeyId};
use policy::units::Timestamp;
use tracing::warn;
use uuid::Uuid;
use wire::mesh::{ExchangeRecord, ReportRequest, StatefulOwner};

use super::authority::{Caller, Resource, Right};
use super::{ObjectKind, OperationError, providers, vault};
use crate::clock;
use crate::store::exchanges::{self as stored, ItemMark, WholeExchange};
use crate::store::{Effect, Store};

pub use crate::store::exchanges::{
    Attempt, Cursor, Ended, Exchange, ExchangeFilter, Group, GuardDirection, GuardFinding,
    GuardOutcome, GuardUnscanned, GuardVerdict, GuardrailName, NamedExchange, Payer, PriceFound,
    RequestId, RequestIds, Sum, SumBy, VmOrigin,
};

/// What one VM reports at a time.
#[derive(Clone, Debug, Default)]
pub struct Reported {
    pub process_id: Vec<u8>,
    pub vm_id: Vec<u8>,
    /// Exchanges that have ended.
    pub records: Vec<ExchangeRecord>,
    /// Exchanges that run, with their state so far.
    pub running: Vec<ExchangeRecord>,
    /// Tokens that were made.
    pub minted: Vec<wire::mesh::VaultEntry>,
    /// What came back from probes of provider keys.
    pub probed: Vec<wire::mesh::ProbeResult>,
}

impl From<ReportRequest> for Reported {
    fn from(report: ReportRequest) -> Self {
        Self {
            process_id: report.process_id,
            vm_id: report.vm_id,
            records: report.records,
            running: report.running,
            minted: report.minted,
            probed: report.probed,
        }
    }
}

/// Prices what was reported and stores it, once however often it is reported: an end takes the place of a
/// running state, and any later report that of a presumed loss. Provider keys that were refused are probed.
///
/// # Errors
/// [`OperationError`] when the store fails; nothing was stored then.
pub async fn record(store: &Store, mut reported: Reported) -> Result<(), OperationError> {
    let caller = Caller::filters();
    caller.permit(Resource::Exchanges, Right::Create)?;
    caller.permit(Resource::Vault, Right::Create)?;
    let minted = vault::read(std::mem::take(&mut reported.minted));
    let probed = probed(std::mem::take(&mut reported.probed));
    let pricing = store.pricing().await?;
    let exchanges = reading::read(reported, &pricing);
    if exchanges.is_empty() && minted.is_empty() && probed.is_empty() {
        return Ok(());
    }
    let mut change = store.change().await?;
    vault::put(&mut change, &minted).await?;
    let written = stored::write(change.connection(), &exchanges, clock::now()).await?;
    for (id, (status, since)) in refused_keys(&written) {
        providers::doubt(&mut change, id, status, since).await?;
    }
    let events = providers::probes_answered(&mut change, &caller, &probed).await?;
    let effect = if events.is_empty() {
        Effect::Nothing
    } else {
        Effect::Policy
    };
    change.commit(&events, effect).await?;
    Ok(())
}

/// Returns the keys that a provider refused, with its answer and when it was asked last.
fn refused_keys(written: &[&WholeExchange]) -> BTreeMap<ProviderKeyId, (u16, Timestamp)> {
    let mut refused = BTreeMap::new();
    let attempts = written.iter().flat_map(|it| &it.attempts);
    for attempt in attempts.filter(|attempt| attempt.key_refused) {
        let Some(key) = attempt.provider_key else {
            continue;
        };
        let status = u16::try_from(attempt.status).unwrap_or_default();
        let latest = refused.entry(key).or_insert((status, attempt.started_at));
        if attempt.started_at > latest.1 {
            *latest = (status, attempt.started_at);
        }
    }
    refused
}

/// What has no id of a probe is none's answer.
fn probed(results: Vec<wire::mesh::ProbeResult>) -> Vec<providers::Probed> {
    let results = results.into_iter().filter_map(|result| {
        Some(providers::Probed {
            id: Uuid::from_slice(&result.probe_id).ok()?,
            status: u16::try_from(result.status).unwrap_or_default(),
            body: result.body,
        })
    });
    results.collect()
}

/// Returns the VMs that stored exchanges still run on.
///
/// # Errors
/// [`OperationError`] when the store fails.
pub async fn running_vms(store: &Store) -> Result<Vec<VmOrigin>, OperationError> {
    Ok(stored::running_vms(&mut *store.read().await?).await?)
}

/// Ends the exchanges of a VM that is gone, at their last progress; returns how many there were.
///
/// # Errors
/// [`OperationError`] when the store fails.
pub async fn settle_lost(store: &Store, vm: &VmOrigin) -> Result<u64, OperationError> {
    let mut change = store.change().await?;
    let lost = stored::settle_lost(change.connection(), vm).await?;
    change.commit(&[], Effect::Nothing).await?;
    if lost > 0 {
        warn!(
            lost,
            vm = hex::encode(&vm.vm_id),
            "exchanges lost with their envoy"
        );
    }
    Ok(lost)
}

/// Whether all the ids and items were created through this mesh by the principal's team; without a team its user,
/// customer or key.
///
/// # Errors
/// [`OperationError`] when the store fails.
pub async fn owns_stateful(store: &Store, asked: &StatefulOwner) -> Result<bool, OperationError> {
    let payer = reading::payer(
        &asked.key_id,
        &asked.user_id,
        &asked.team_id,
        &asked.customer_id,
    );
    let items = asked.item_marks.iter().map(|mark| ItemMark::new(mark));
    // What is no mark stands for nothing that anybody made.
    let Some(items) = items.collect::<Option<BTreeSet<_>>>() else {
        return Ok(false);
    };
    let mut reading = store.read().await?;
    Ok(stored::owns_stateful(&mut reading, &asked.ids, &items, &payer).await?)
}

/// Lists exchanges, newest first, from after `after` on.
///
/// # Errors
/// [`OperationError`] when the caller may not or the store fails.
pub async fn list(
    store: &Store,
    caller: &Caller,
    filter: &ExchangeFilter,
    after: Option<Cursor>,
    limit: u32,
) -> Result<Vec<NamedExchange>, OperationError> {
    caller.permit(Resource::Exchanges, Right::View)?;
    Ok(stored::list(&mut *store.read().await?, filter, after, limit).await?)
}

/// Returns one exchange and its attempts.
///
/// # Errors
/// [`OperationError`] when there is none with this id, the caller may not or the store fails.
pub async fn get(
    store: &Store,
    caller: &Caller,
    id: ExchangeId,
) -> Result<(NamedExchange, Vec<Attempt>), OperationError> {
    caller.permit(Resource::Exchanges, Right::View)?;
    let found = stored::get(&mut *store.read().await?, id).await?;
    found.ok_or_else(|| OperationError::NotFound {
        kind: ObjectKind::Exchange,
        id: id.to_string(),
    })
}

/// Sums exchanges up, dearest first.
///
/// # Errors
/// [`OperationError`] when the caller may not or the store fails.
pub async fn sum(
    store: &Store,
    caller: &Caller,
    filter: &ExchangeFilter,
    by: &[SumBy],
    limit: u32,
) -> Result<Vec<Sum>, OperationError> {
    caller.permit(Resource::Exchanges, Right::View)?;
    Ok(stored::sum(&mut *store.read().await?, filter, by, limit).await?)
}
