//! What other replicas of the service say, and what is done about it.

use std::future::Future;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tracing::debug;

use crate::ledger::notices::Notice;
use crate::mesh::grants::Grants;
use crate::store::Store;

/// Looks at the policy when another replica changed it, and remembers what its filters wait for.
pub(crate) async fn hear(mut notices: Receiver<Notice>, store: Store, grants: Grants) {
    loop {
        let notice = match notices.recv().await {
            Ok(notice) => notice,
            Err(RecvError::Lagged(_)) => Notice::Everything,
            Err(RecvError::Closed) => return,
        };
        match notice {
            Notice::Wanted(account) => {
                grants.note_wanted(account);
            }
            Notice::Everything | Notice::Policy | Notice::Quota(_) | Notice::KeyRevoked(_) => {
                if let Err(failure) = store.look().await {
                    // The publisher looks by itself soon.
                    let failure = crate::mesh::chain(&failure);
                    debug!(%failure, "the version of the policy was not read");
                }
            }
        }
    }
}

/// Runs `task` until `stop` is true.
pub(crate) async fn until(mut stop: watch::Receiver<bool>, task: impl Future<Output = ()>) {
    tokio::select! {
        () = task => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}
