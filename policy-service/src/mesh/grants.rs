//! The ledger as filters use it: grants, and what they keep, settle and give back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use policy::quota::AccountId;
use policy::quota::lease::{GrantAnswer, GrantRequest, RefusalKind};
use tokio::time::Instant;
use tonic::Status;
use tracing::{debug, error};
use wire::mesh;
use wire::quota::{Keep, Kept, Unreadable};

use crate::ledger::LedgerError;
use crate::ledger::ledgers::Ledgers;
use crate::ledger::notices::{Notice, Notices};

/// For how long holders are told to give back what is free of an account that others were refused.
const WANTED_FOR: Duration = Duration::from_secs(3);
/// How soon other replicas are told again that an account is wanted.
const TELL_AGAIN: Duration = Duration::from_secs(1);
/// Wanted accounts that are remembered; a holder that hears of more has other worries.
const WANTED_AT_MOST: usize = 1_024;

/// The ledger and who waits for room. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Grants {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ledgers: Ledgers,
    notices: Notices,
    wanted: Mutex<BTreeMap<AccountId, Instant>>,
}

impl Grants {
    pub(crate) fn new(ledgers: Ledgers, notices: Notices) -> Self {
        let shared = Shared {
            ledgers,
            notices,
            wanted: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    pub(crate) async fn grant(
        &self,
        message: &mesh::GrantRequest,
    ) -> Result<mesh::GrantAnswer, Status> {
        let request = GrantRequest::try_from(message).map_err(unreadable)?;
        let answer = self.shared.ledgers.grant(request).await;
        let answer = answer.map_err(|failure| failed(&failure, "asks", "nothing was granted"))?;
        if let GrantAnswer::Refused(refusal) = &answer {
            match refusal.kind {
                RefusalKind::Contended => self.waits_for(refusal.account),
                RefusalKind::Exhausted => {}
            }
        }
        Ok(mesh::GrantAnswer::from(&answer))
    }

    /// Settles, takes back and keeps, in this order: a lease must not be ended by what it still has to settle.
    pub(crate) async fn keep(
        &self,
        message: &mesh::KeepRequest,
    ) -> Result<mesh::KeepAnswer, Status> {
        let keep = Keep::try_from(message).map_err(unreadable)?;
        let ledgers = &self.shared.ledgers;
        if !keep.settlements.is_empty() {
            let settled = ledgers.settle(keep.settlements).await;
            settled.map_err(|failure| {
                failed(&failure, "settlements", "settle it again with all of them")
            })?;
        }
        if !keep.back.taken.is_empty() {
            let taken = ledgers.give_back(keep.back).await;
            taken.map_err(|failure| {
                failed(
                    &failure,
                    "returned",
                    "keep again, and give nothing back twice",
                )
            })?;
        }
        let mut kept = Kept {
            wanted: self.wanted(),
            ..Kept::default()
        };
        if !keep.progress.keep.is_empty() || !keep.progress.running.is_empty() {
            let noted = ledgers.progress(keep.progress).await;
            let noted =
                noted.map_err(|failure| failed(&failure, "running", "keep the leases again"))?;
            kept.grants = noted.grants;
            kept.expires = noted.expires;
        }
        Ok(mesh::KeepAnswer::from(&kept))
    }

    /// Notes that somebody was refused what others hold of `account`, and tells other replicas: who holds it may
    /// keep it there.
    fn waits_for(&self, account: AccountId) {
        if !self.note_wanted(account) {
            return;
        }
        let notices = self.shared.notices.clone();
        tokio::spawn(async move {
            if let Err(failure) = notices.tell(Notice::Wanted(account)).await {
                let failure = crate::mesh::chain(&failure);
                debug!(%failure, "other replicas were not told of a wanted account");
            }
        });
    }

    /// Notes a wanted account; returns whether that is news.
    pub(crate) fn note_wanted(&self, account: AccountId) -> bool {
        let now = Instant::now();
        let mut wanted = self.lock();
        if wanted.len() >= WANTED_AT_MOST && !wanted.contains_key(&account) {
            wanted.retain(|_, at| now.duration_since(*at) < WANTED_FOR);
            if wanted.len() >= WANTED_AT_MOST {
                return false;
            }
        }
        match wanted.get_mut(&account) {
            Some(at) if now.duration_since(*at) < TELL_AGAIN => false,
            Some(at) => {
                *at = now;
                true
            }
            None => {
                wanted.insert(account, now);
                true
            }
        }
    }

    fn wanted(&self) -> Vec<AccountId> {
        let now = Instant::now();
        let mut wanted = self.lock();
        wanted.retain(|_, at| now.duration_since(*at) < WANTED_FOR);
        wanted.keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AccountId, Instant>> {
        // The map is whole between any two of its operations, so a poisoned lock still guards a good one.
        self.shared
            .wanted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn unreadable(wrong: Unreadable) -> Status {
    Status::invalid_argument(wrong.to_string())
}

fn failed(failure: &LedgerError, field: &str, then: &str) -> Status {
    match failure {
        LedgerError::Invalid(why) => Status::invalid_argument(format!("`{field}`: {why}")),
        LedgerError::Store { .. } | LedgerError::Window { .. } | LedgerError::Closed => {
            error!(failure = %crate::mesh::chain(failure), "the ledger did not answer a filter");
            Status::unavailable(format!("the ledger did not answer: {then}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u8) -> AccountId {
        AccountId::from_bytes([number; 16])
    }

    async fn grants() -> (tempfile::TempDir, Grants) {
        let folder = tempfile::tempdir().unwrap();
        let opened = crate::ledger::opening::Opened::open(&crate::ledger::opening::Places::file(
            folder.path().join("ledger.db"),
        ))
        .await
        .unwrap();
        (folder, Grants::new(opened.ledgers, Notices::alone()))
    }

    #[tokio::test]
    async fn a_wanted_account_is_told_for_three_seconds_after_the_last_refusal() {
        let (_folder, grants) = grants().await;
        tokio::time::pause();
        assert!(grants.note_wanted(account(1)));
        assert!(!grants.note_wanted(account(1)), "it is told once a second");
        tokio::time::advance(Duration::from_millis(1_500)).await;
        assert!(grants.note_wanted(account(1)));
        assert!(grants.note_wanted(account(2)));
        tokio::time::advance(Duration::from_millis(2_900)).await;
        assert_eq!(grants.wanted(), [account(1), account(2)]);
        tokio::time::advance(Duration::from_millis(200)).await;
        assert_eq!(grants.wanted(), []);
    }

    #[tokio::test]
    async fn no_more_accounts_are_remembered_than_can_be_told() {
        let (_folder, grants) = grants().await;
        tokio::time::pause();
        for number in 0..WANTED_AT_MOST as u128 {
            assert!(grants.note_wanted(AccountId::from_bytes(number.to_be_bytes())));
        }
        let one_more = AccountId::from_bytes([0xff; 16]);
        assert!(!grants.note_wanted(one_more));
        tokio::time::advance(WANTED_FOR).await;
        assert!(grants.note_wanted(one_more));
    }
}
