//! The vault: values that tokens stand for. Filters bring them and ask for them; nobody else can.

use std::collections::BTreeMap;

use policy::units::Timestamp;
use tracing::{error, warn};
use wire::mesh::{self, FindTokens};

use super::OperationError;
use super::authority::{Caller, Resource, Right};
use crate::clock;
use crate::store::vault as stored;
use crate::store::{self, Change, Effect, Store, StoreError};

pub use crate::store::vault::{Value, VaultEntry, VaultScope};

/// Entries of one answer.
pub const MAX_ANSWERED: usize = 1_000;
/// Bytes of the values of one answer.
const MAX_ANSWERED_BYTES: usize = 4 * 1024 * 1024;
const MAX_TENANT_BYTES: usize = 64;
const MAX_SESSION_BYTES: usize = 2_048;
const MAX_TOKEN_BYTES: usize = 128;
const MAX_KIND_BYTES: usize = 256;
const MAX_VALUE_BYTES: usize = 64 * 1024;
/// An entry's last use is written down anew once it is this part of the time to live old.
const TOUCH_AFTER: u64 = 16;

/// Entries by whose they are.
pub(super) type Minted = BTreeMap<VaultScope, Vec<VaultEntry>>;

/// Answer to [`find`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub entries: Vec<VaultEntry>,
    /// There are more than are told.
    pub is_truncated: bool,
}

/// Sorts what filters bring; what cannot be kept is counted in the log and left out.
pub(super) fn read(entries: Vec<mesh::VaultEntry>) -> Minted {
    let now = clock::now();
    let mut minted = Minted::new();
    let mut refused = 0_usize;
    for entry in entries {
        let is_good = is_tenant(&entry.tenant)
            && entry.session.len() <= MAX_SESSION_BYTES
            && (1..=MAX_TOKEN_BYTES).contains(&entry.token.len())
            && entry.kind.len() <= MAX_KIND_BYTES
            && entry.value.len() <= MAX_VALUE_BYTES;
        if !is_good {
            refused += 1;
            continue;
        }
        let scope = VaultScope {
            tenant: entry.tenant,
            session: entry.session,
        };
        minted.entry(scope).or_default().push(VaultEntry {
            token: entry.token,
            kind: entry.kind,
            value: Value::new(entry.value),
            last_used: now,
        });
    }
    if refused > 0 {
        warn!(
            refused,
            "vault entries without a tenant or out of bounds were not kept"
        );
    }
    minted
}

/// Stores what filters brought, as part of `change`.
pub(super) async fn put(change: &mut Change, minted: &Minted) -> Result<(), StoreError> {
    let master_key = change.master_key().clone();
    for (scope, entries) in minted {
        let left_out = stored::put(change.connection(), &master_key, scope, entries).await?;
        if left_out > 0 {
            warn!(
                left_out,
                "a session has more tokens than are kept; the others are restored from filters' memory only"
            );
        }
    }
    Ok(())
}

/// Returns the values of tokens of one tenant and session.
///
/// # Errors
/// [`OperationError`] when the store fails.
pub async fn find(store: &Store, asked: &FindTokens) -> Result<Found, OperationError> {
    Caller::filters().permit(Resource::Vault, Right::View)?;
    let scope = VaultScope {
        tenant: asked.tenant.clone(),
        session: asked.session.clone(),
    };
    if !is_tenant(&scope.tenant) {
        return Ok(Found::default());
    }
    let now = clock::now();
    let master_key = store.master_key();
    let mut reading = store.read().await?;
    let ttl_ms = store::settings::get(&mut reading).await?.vault_ttl_ms;
    let since = before(now, ttl_ms);
    let entries = if asked.all_of_session {
        let limit = u32::try_from(MAX_ANSWERED)
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        stored::list(&mut reading, master_key, &scope, since, limit).await?
    } else {
        let tokens = asked.tokens.get(..MAX_ANSWERED).unwrap_or(&asked.tokens);
        stored::find(&mut reading, master_key, &scope, tokens, since).await?
    };
    drop(reading);
    let found = bounded(entries, asked);
    touch(
        store,
        scope,
        &found.entries,
        before(now, ttl_ms / TOUCH_AFTER),
    );
    Ok(found)
}

/// Whether the bytes name anybody: traffic without a key has the tenant zero, which many strangers share.
fn is_tenant(tenant: &[u8]) -> bool {
    tenant.len() <= MAX_TENANT_BYTES && tenant.iter().any(|byte| *byte != 0)
}

fn bounded(entries: Vec<VaultEntry>, asked: &FindTokens) -> Found {
    let all = entries.len();
    let mut bytes = 0_usize;
    let fitting = entries.into_iter().take(MAX_ANSWERED).take_while(|entry| {
        bytes = bytes.saturating_add(entry.value.expose().len());
        bytes <= MAX_ANSWERED_BYTES
    });
    let entries: Vec<_> = fitting.collect();
    let is_cut = !asked.all_of_session && asked.tokens.len() > MAX_ANSWERED;
    Found {
        is_truncated: entries.len() < all || is_cut,
        entries,
    }
}

/// Writes down that entries not used since `stale` were used; an exchange waits for the answer, not for this.
fn touch(store: &Store, scope: VaultScope, used: &[VaultEntry], stale: Timestamp) {
    let tokens: Vec<String> = used
        .iter()
        .filter(|entry| entry.last_used <= stale)
        .map(|entry| entry.token.clone())
        .collect();
    if tokens.is_empty() {
        return;
    }
    let store = store.clone();
    tokio::spawn(async move {
        if let Err(failure) = write_use(&store, &scope, &tokens).await {
            error!(failure = %crate::mesh::chain(&failure), "the use of vault entries was not written down");
        }
    });
}

async fn write_use(store: &Store, scope: &VaultScope, tokens: &[String]) -> Result<(), StoreError> {
    let mut change = store.change().await?;
    stored::touch(change.connection(), scope, tokens, clock::now()).await?;
    change.commit(&[], Effect::Nothing).await
}

/// Deletes what was not used for the time to live.
///
/// # Errors
/// [`OperationError`] when the store fails.
pub async fn sweep(store: &Store) -> Result<(), OperationError> {
    loop {
        let mut change = store.change().await?;
        let settings = store::settings::get(change.connection()).await?;
        let until = before(clock::now(), settings.vault_ttl_ms);
        let has_more = stored::sweep(change.connection(), until).await?;
        change.commit(&[], Effect::Nothing).await?;
        if !has_more {
            return Ok(());
        }
    }
}

fn before(now: Timestamp, millis: u64) -> Timestamp {
    Timestamp::from_millis(now.as_millis().saturating_sub(millis))
}

#[cfg(test)]
mod tests;
