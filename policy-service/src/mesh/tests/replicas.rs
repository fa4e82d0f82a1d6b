//! Replicas of the service: one store, one PostgreSQL ledger, and what each hears of the others.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use policy::secret::Secret;
use serde_json::json;
use weir_databases::Server;

use super::grants::{account_of, ask_of, granted, keep, keep_nothing, refused, request};
use super::*;
use crate::ledger::opening::{Opened, Places};
use crate::operations::{keys, quotas};

/// What one replica does the others hear of within this time.
const HEARD_WITHIN: Duration = Duration::from_secs(1);

struct Replica {
    mesh: Mounted,
    ledger: Opened,
}

async fn replica(folder: &Path, url: &str) -> Replica {
    let places = Places {
        url: Some(Secret::new(url)),
        ..Places::file(folder.join("ledger.db"))
    };
    let ledger = Opened::open(&places).await.unwrap();
    assert!(ledger.is_shared);
    let store = Store::open(&folder.join("weir.db"), &MasterKey::from_bytes([1; 32]))
        .await
        .unwrap();
    let options = Options {
        ledger: Some(ledger.clone()),
        ..Options::default()
    };
    Replica {
        mesh: mount_over(store, options).await,
        ledger,
    }
}

impl Replica {
    /// Waits, not longer than a change may take to be heard of, until the ledger enforces `limit`.
    async fn enforces(&self, quota: policy::ids::QuotaId, limit: u64) {
        let mut enforced = self.ledger.quotas.subscribe();
        let is_so = |quotas: &Arc<crate::ledger::Quotas>| {
            let quota = quotas.get(quota);
            quota.is_some_and(|quota| quota.rules.limit == limit)
        };
        let waiting = enforced.wait_for(is_so);
        let in_time = tokio::time::timeout(HEARD_WITHIN, waiting).await;
        drop(in_time.unwrap().unwrap());
    }
}

#[tokio::test]
async fn replicas_on_one_store_and_one_ledger_are_one_service() {
    let folder = tempfile::tempdir().unwrap();
    let open_to_all = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open_to_all).unwrap();
    let postgres = match Server::postgres(&folder.path().join("postgres")) {
        Ok(server) => server,
        Err(failure) => {
            writeln!(std::io::stderr().lock(), "NOT TESTED: {failure}").unwrap();
            return;
        }
    };
    let one = replica(folder.path(), postgres.url()).await;
    let other = replica(folder.path(), postgres.url()).await;

    let draft = json!({
        "name": "all", "node": "organisation", "unit": "total_tokens", "limit": 100,
        "window": {"calendar": {"every": "day", "zone": "UTC"}},
    });
    let draft = serde_json::from_value(draft).unwrap();
    let quota = quotas::create(&one.mesh.store, &caller(), draft).await;
    let quota = quota.unwrap().id;
    other.enforces(quota, 100).await;

    let mut filters = [one.mesh.filter().await, other.mesh.filter().await];
    granted(&mut filters[0], &request(1, vec![ask_of(quota, 80)])).await;
    refused(&mut filters[1], &request(2, vec![ask_of(quota, 30)])).await;
    // Who holds it may report to the one, although it was the other that refused.
    let told = async {
        while keep(&mut filters[0], &keep_nothing()).await.wanted != [account_of(quota)] {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(HEARD_WITHIN, told).await.unwrap();

    let draft = serde_json::from_value(json!({"limit": 200})).unwrap();
    quotas::update(&other.mesh.store, &caller(), quota, draft)
        .await
        .unwrap();
    one.enforces(quota, 200).await;
    granted(&mut filters[0], &request(3, vec![ask_of(quota, 100)])).await;

    let (key, _) = one.mesh.add_key("one").await;
    let documents = one.mesh.store.version().await.unwrap();
    let ours = other.mesh.publishes(documents);
    tokio::time::timeout(HEARD_WITHIN, ours).await.unwrap();
    keys::revoke(&one.mesh.store, &caller(), key).await.unwrap();
    let documents = one.mesh.store.version().await.unwrap();
    let heard = other.mesh.publishes(documents);
    tokio::time::timeout(HEARD_WITHIN, heard).await.unwrap();
}
