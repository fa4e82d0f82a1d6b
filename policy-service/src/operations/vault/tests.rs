//! The vault over a database file: whose values are told to whom, for how long, and what stands on the disk.

use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::operations::exchanges::{Reported, record};
use crate::operations::fields::SettingsFields;
use crate::operations::settings;
use crate::store::MasterKey;

const VALUE: &[u8] = b"AKIA-not-to-be-found-anywhere";
const TENANT: &[u8] = &[2; 17];

async fn open(folder: &Path) -> Store {
    Store::open(&folder.join("weir.db"), &MasterKey::from_bytes([3; 32]))
        .await
        .unwrap()
}

async fn fresh() -> (Store, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (open(folder.path()).await, folder)
}

fn entry(tenant: &[u8], session: &str, token: &str) -> mesh::VaultEntry {
    mesh::VaultEntry {
        tenant: tenant.to_vec(),
        session: session.to_owned(),
        token: token.to_owned(),
        value: VALUE.to_vec(),
        kind: String::from("aws-access-token"),
    }
}

async fn bring(store: &Store, minted: Vec<mesh::VaultEntry>) {
    let reported = Reported {
        minted,
        ..Reported::default()
    };
    record(store, reported).await.unwrap();
}

fn ask(tenant: &[u8], session: &str, tokens: &[&str]) -> FindTokens {
    FindTokens {
        tenant: tenant.to_vec(),
        session: session.to_owned(),
        tokens: tokens.iter().map(|token| (*token).to_owned()).collect(),
        all_of_session: tokens.is_empty(),
    }
}

async fn tokens(store: &Store, asked: &FindTokens) -> Vec<String> {
    let found = find(store, asked).await.unwrap();
    found.entries.into_iter().map(|it| it.token).collect()
}

async fn set_ttl(store: &Store, millis: u64) {
    let fields = SettingsFields {
        vault_ttl_ms: Some(millis),
        ..SettingsFields::default()
    };
    settings::update(store, &Caller::system("test"), fields)
        .await
        .unwrap();
}

/// Makes every entry look as if it was last used that long ago.
async fn age(store: &Store, millis: u64) {
    let mut change = store.change().await.unwrap();
    let scope = VaultScope {
        tenant: TENANT.to_vec(),
        session: String::from("s"),
    };
    let all: Vec<String> = tokens(store, &ask(TENANT, "s", &[])).await;
    stored::touch(
        change.connection(),
        &scope,
        &all,
        before(clock::now(), millis),
    )
    .await
    .unwrap();
    change.commit(&[], Effect::Nothing).await.unwrap();
}

/// Waits until the value was last used less than that long ago: use is written down beside the answer.
async fn used_since(store: &Store, millis: u64) {
    let is_fresh = async {
        loop {
            // Not by asking for the value, which would be one more use.
            let mut reading = store.read().await.unwrap();
            let used = sqlx::query_scalar("SELECT MAX(last_used_ms) FROM vault_entries");
            let used: i64 = used.fetch_one(&mut *reading).await.unwrap();
            if used > before(clock::now(), millis).as_millis().cast_signed() {
                return;
            }
            drop(reading);
            tokio::task::yield_now().await;
        }
    };
    let patience = std::time::Duration::from_secs(10);
    tokio::time::timeout(patience, is_fresh).await.unwrap();
}

#[tokio::test]
async fn values_survive_a_restart_and_are_told_once_however_often_they_came() {
    let (store, folder) = fresh().await;
    bring(
        &store,
        vec![entry(TENANT, "s", "a"), entry(TENANT, "s", "a")],
    )
    .await;
    bring(
        &store,
        vec![entry(TENANT, "s", "a"), entry(TENANT, "s", "b")],
    )
    .await;
    store.close().await;
    let store = open(folder.path()).await;
    let found = find(&store, &ask(TENANT, "s", &["a", "b", "c"])).await;
    let found = found.unwrap();
    assert_eq!(found.entries.len(), 2);
    assert!(!found.is_truncated);
    for entry in found.entries {
        assert_eq!(entry.value.expose(), VALUE);
        assert_eq!(entry.kind, "aws-access-token");
    }
    assert_eq!(tokens(&store, &ask(TENANT, "s", &[])).await.len(), 2);
}

#[tokio::test]
async fn no_other_tenant_and_no_other_session_is_told() {
    let (store, _folder) = fresh().await;
    bring(&store, vec![entry(TENANT, "s", "a")]).await;
    for (tenant, session) in [(&[9; 17][..], "s"), (TENANT, "other"), (TENANT, "")] {
        assert!(
            tokens(&store, &ask(tenant, session, &["a"]))
                .await
                .is_empty()
        );
        assert!(tokens(&store, &ask(tenant, session, &[])).await.is_empty());
    }
    assert_eq!(tokens(&store, &ask(TENANT, "s", &["a"])).await, ["a"]);
}

#[tokio::test]
async fn strangers_share_nothing() {
    let (store, _folder) = fresh().await;
    for tenant in [&[][..], &[0; 17]] {
        bring(&store, vec![entry(tenant, "s", "a")]).await;
        assert!(tokens(&store, &ask(tenant, "s", &["a"])).await.is_empty());
    }
}

#[tokio::test]
async fn what_is_out_of_bounds_is_left_out_and_the_rest_kept() {
    let (store, _folder) = fresh().await;
    let long = mesh::VaultEntry {
        value: vec![b'x'; MAX_VALUE_BYTES + 1],
        ..entry(TENANT, "s", "long")
    };
    let nameless = entry(TENANT, "s", "");
    bring(&store, vec![long, nameless, entry(TENANT, "s", "a")]).await;
    assert_eq!(tokens(&store, &ask(TENANT, "s", &[])).await, ["a"]);
}

#[tokio::test]
async fn values_are_sealed_on_the_disk_and_bound_to_their_row() {
    let (store, folder) = fresh().await;
    bring(
        &store,
        vec![entry(TENANT, "s", "a"), entry(TENANT, "t", "a")],
    )
    .await;
    let mut change = store.change().await.unwrap();
    sqlx::query(
        "UPDATE vault_entries SET sealed_value = \
         (SELECT sealed_value FROM vault_entries WHERE session = 't') WHERE session = 's'",
    )
    .execute(change.connection())
    .await
    .unwrap();
    change.commit(&[], Effect::Nothing).await.unwrap();
    find(&store, &ask(TENANT, "s", &["a"])).await.unwrap_err();
    assert_eq!(tokens(&store, &ask(TENANT, "t", &["a"])).await, ["a"]);
    store.close().await;
    for file in std::fs::read_dir(folder.path()).unwrap() {
        // The log beside the database goes when its last connection does.
        let bytes = std::fs::read(file.unwrap().path()).unwrap_or_default();
        assert!(!bytes.windows(VALUE.len()).any(|window| window == VALUE));
    }
}

#[tokio::test]
async fn a_value_goes_when_it_was_not_used_for_its_time() {
    let (store, _folder) = fresh().await;
    set_ttl(&store, 60_000).await;
    bring(&store, vec![entry(TENANT, "s", "a")]).await;
    age(&store, 59_000).await;
    sweep(&store).await.unwrap();
    assert_eq!(tokens(&store, &ask(TENANT, "s", &["a"])).await, ["a"]);
    used_since(&store, 40_000).await;
    age(&store, 60_001).await;
    assert!(tokens(&store, &ask(TENANT, "s", &["a"])).await.is_empty());
    set_ttl(&store, 3_600_000).await;
    assert_eq!(tokens(&store, &ask(TENANT, "s", &["a"])).await, ["a"]);
    age(&store, 3_600_001).await;
    sweep(&store).await.unwrap();
    set_ttl(&store, 36_000_000).await;
    assert!(tokens(&store, &ask(TENANT, "s", &["a"])).await.is_empty());
}

#[tokio::test]
async fn a_value_that_is_asked_for_or_brought_again_stays() {
    let (store, _folder) = fresh().await;
    set_ttl(&store, 60_000).await;
    for is_brought in [true, false] {
        bring(&store, vec![entry(TENANT, "s", "a")]).await;
        age(&store, 50_000).await;
        if is_brought {
            bring(&store, vec![entry(TENANT, "s", "a")]).await;
        } else {
            tokens(&store, &ask(TENANT, "s", &["a"])).await;
        }
        used_since(&store, 40_000).await;
    }
}

#[tokio::test]
async fn an_answer_is_bounded() {
    let (store, _folder) = fresh().await;
    let many = (0..MAX_ANSWERED + 1).map(|number| entry(TENANT, "s", &format!("t{number}")));
    bring(&store, many.collect()).await;
    let found = find(&store, &ask(TENANT, "s", &[])).await.unwrap();
    assert_eq!(
        (found.entries.len(), found.is_truncated),
        (MAX_ANSWERED, true)
    );
    let large = (0..100).map(|number| mesh::VaultEntry {
        value: vec![b'x'; MAX_VALUE_BYTES],
        ..entry(TENANT, "large", &format!("t{number}"))
    });
    bring(&store, large.collect()).await;
    let found = find(&store, &ask(TENANT, "large", &[])).await.unwrap();
    assert_eq!((found.entries.len(), found.is_truncated), (64, true));
}

#[test]
fn values_are_not_printed() {
    let entry = entry(TENANT, "s", "a");
    let printed = format!("{entry:?} {:?}", read(vec![entry.clone()]));
    assert!(!printed.contains("AKIA"), "{printed}");
    assert!(!printed.contains("65, 75, 73, 65"), "{printed}");
}
