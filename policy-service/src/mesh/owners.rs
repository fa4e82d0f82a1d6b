//! Whose the things are that a provider keeps, asked while the report about them may still be on its way.
//!
//! The process in which such a thing came into being knows it at once. A client that goes on through another Envoy
//! may be faster than the report of the first, which leaves within a tick (100 ms); so an id that nobody knows is
//! looked for again for a short while. How many wait is bounded, for each owner and in all: one client's guesses
//! never take the wait from another, and who is over the bound is answered at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use wire::mesh::StatefulOwner;

use crate::operations::{OperationError, exchanges};
use crate::store::Store;

/// How long an id that nobody knows is looked for: a report leaves after 100 ms at most, and after another 100 ms
/// when one is under way; the rest is for machines under load. Far shorter than filters wait for an answer (1.5 s).
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two looks, which are one read of a primary key for each id.
const PAUSE: Duration = Duration::from_millis(25);
/// Questions of one owner that wait at a time, and of all.
const OF_ONE: usize = 16;
const OF_ALL: usize = 512;

/// Answers whose an id is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owners {
    waiting: Arc<Mutex<BTreeMap<Vec<u8>, usize>>>,
}

impl Owners {
    /// Whether all the ids and items were created through this mesh by the principal's team; without a team its user, customer
    /// or key.
    ///
    /// # Errors
    /// [`OperationError`] when the store fails.
    pub(crate) async fn own(
        &self,
        store: &Store,
        asked: &StatefulOwner,
    ) -> Result<bool, OperationError> {
        let mut turn = None;
        let until = Instant::now() + PATIENCE;
        loop {
            if exchanges::owns_stateful(store, asked).await? {
                return Ok(true);
            }
            if turn.is_none() {
                turn = self.turn(asked);
            }
            if turn.is_none() || Instant::now() >= until {
                return Ok(false);
            }
            sleep(PAUSE).await;
        }
    }

    /// Takes a place among those that wait; `None` when there is none.
    fn turn(&self, asked: &StatefulOwner) -> Option<Turn> {
        let owner = owner_of(asked);
        let mut waiting = self.waiting();
        let all: usize = waiting.values().sum();
        let own = waiting.get(&owner).copied().unwrap_or_default();
        if owner.is_empty() || own >= OF_ONE || all >= OF_ALL {
            return None;
        }
        waiting.insert(owner.clone(), own.saturating_add(1));
        drop(waiting);
        Some(Turn {
            owners: self.clone(),
            owner,
        })
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, usize>> {
        // Numbers are right even if somebody panicked while they were looked at.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among those that wait, given back at its end.
struct Turn {
    owners: Owners,
    owner: Vec<u8>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut waiting = self.owners.waiting();
        let left = waiting.remove(&self.owner).unwrap_or_default();
        if left > 1 {
            waiting.insert(std::mem::take(&mut self.owner), left.saturating_sub(1));
        }
    }
}

/// Returns the id by which things are owned; empty for traffic without a key, which owns nothing.
fn owner_of(asked: &StatefulOwner) -> Vec<u8> {
    let levels = [
        &asked.team_id,
        &asked.user_id,
        &asked.customer_id,
        &asked.key_id,
    ];
    let first = levels.into_iter().find(|id| !id.is_empty());
    first.cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(team: u8) -> StatefulOwner {
        StatefulOwner {
            team_id: vec![team; 16],
            key_id: vec![9; 16],
            ..StatefulOwner::default()
        }
    }

    #[test]
    fn one_owner_s_questions_leave_room_for_another_s() {
        let owners = Owners::default();
        let turns: Vec<_> = (0..OF_ONE).map(|_| owners.turn(&asked(1))).collect();
        assert!(turns.iter().all(Option::is_some));
        assert!(owners.turn(&asked(1)).is_none());
        assert!(owners.turn(&asked(2)).is_some());
        drop(turns);
        assert!(owners.waiting().is_empty(), "every place was given back");
        assert!(owners.turn(&asked(1)).is_some());
    }

    #[test]
    fn all_together_are_bounded() {
        let owners = Owners::default();
        let turns: Vec<_> = (0..=u8::MAX)
            .flat_map(|team| (0..OF_ONE).map(move |_| team))
            .filter_map(|team| owners.turn(&asked(team)))
            .collect();
        assert_eq!(turns.len(), OF_ALL);
    }

    #[test]
    fn traffic_without_a_key_waits_for_nothing() {
        assert!(Owners::default().turn(&StatefulOwner::default()).is_none());
    }
}
