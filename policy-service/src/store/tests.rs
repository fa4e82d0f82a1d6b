//! The database as it is: schema, durability, and what may replace what.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use policy::ids::ExchangeId;
use policy::units::{MicroUsd, TokenCount};
use policy::usage::Usage;
use tempfile::TempDir;
use uuid::Uuid;

use super::exchanges::{
    Attempt, Ended, Exchange, ItemMark, Payer, PriceFound, RequestId, RequestIds, VmOrigin,
    WholeExchange,
};
use super::*;
use crate::clock;

const SCHEMA: &str = include_str!("../../schema.sql");

fn master_key() -> MasterKey {
    MasterKey::from_bytes([9; 32])
}

async fn open(folder: &Path) -> Store {
    Store::open(&folder.join("weir.db"), &master_key())
        .await
        .unwrap()
}

async fn fresh() -> (Store, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (open(folder.path()).await, folder)
}

pub(super) fn exchange(number: u128, ended: Ended) -> WholeExchange {
    let usage = Usage {
        input_tokens: TokenCount::new(10),
        ..Usage::default()
    };
    let id = ExchangeId::new(Uuid::from_u128(number));
    let attempt = |number| Attempt {
        number,
        provider: "openai".into(),
        provider_key: None,
        model: "gpt".into(),
        status: 200,
        started_at: clock::now(),
        headers_ms: Some(5),
        usage: Some(usage),
        is_estimated: false,
        key_refused: false,
        price_table: "openai".into(),
        cost: MicroUsd::new(3),
        price: PriceFound::Book,
        price_book: "test".into(),
    };
    let exchange = Exchange {
        id,
        started_at: clock::now(),
        surface: "openai.chat".into(),
        payer: Payer::default(),
        client_app: "codex".into(),
        session_id: "s".into(),
        agent_id: String::new(),
        device: "laptop".into(),
        environment: "dev".into(),
        region: "eu".into(),
        model_asked: "gpt".into(),
        model_used: "gpt".into(),
        provider: "openai".into(),
        status: 200,
        request_bytes: 1,
        response_bytes: 2,
        latency_ms: 3,
        first_byte_ms: None,
        ended,
        refusal_code: String::new(),
        refused_by: String::new(),
        is_streamed: true,
        is_unkeyed: false,
        is_subscription: false,
        path: "/v1/chat/completions".into(),
        attempt_count: 2,
        usage,
        cost: MicroUsd::new(6),
        has_unknown_price: false,
        is_estimated: false,
        price_book: "test".into(),
        origin: VmOrigin {
            process_id: vec![1; 16],
            vm_id: vec![2; 16],
        },
        guard_verdict: None,
    };
    let created_ids = vec![format!("resp_{number}")];
    WholeExchange {
        exchange,
        attempts: vec![attempt(1), attempt(2)],
        created_ids,
        items: BTreeSet::from([mark(number)]),
        guardrails: Vec::new(),
        request_ids: request_ids(number),
    }
}

fn mark(number: u128) -> ItemMark {
    ItemMark::new(&number.to_be_bytes()).unwrap()
}

/// Every exchange has an id of its own on both sides, and one that all clients share.
fn request_ids(number: u128) -> RequestIds {
    let id = |text: String| RequestId::new(&text).unwrap();
    RequestIds {
        client: vec![id("shared".to_owned()), id(format!("client-{number}"))],
        provider: BTreeMap::from([(2, vec![id(format!("req_{number}"))])]),
    }
}

async fn write(store: &Store, batch: Vec<WholeExchange>) -> usize {
    let batch: BTreeMap<_, _> = batch.into_iter().map(|it| (it.exchange.id, it)).collect();
    let mut change = store.change().await.unwrap();
    let written = exchanges::write(change.connection(), &batch, clock::now())
        .await
        .unwrap()
        .len();
    change.commit(&[], Effect::Nothing).await.unwrap();
    written
}

async fn ended(store: &Store, number: u128) -> Ended {
    let id = ExchangeId::new(Uuid::from_u128(number));
    let found = exchanges::get(&mut store.read().await.unwrap(), id)
        .await
        .unwrap();
    found.unwrap().0.exchange.ended
}

/// The schema after all migrations, each statement as SQLite keeps it.
async fn schema(store: &Store) -> String {
    let rows = sqlx::query(
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' \
         AND name NOT LIKE '_sqlx_%' ORDER BY name",
    );
    let rows = rows
        .fetch_all(&mut *store.read().await.unwrap())
        .await
        .unwrap();
    let statements = rows
        .iter()
        .map(|row| format!("{};\n", row.get::<String, _>("sql")));
    statements.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn the_migrations_lead_to_the_schema_file() {
    let (store, _folder) = fresh().await;
    let schema = schema(&store).await;
    if std::env::var_os("WEIR_WRITE_SCHEMA").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.sql");
        std::fs::write(path, &schema).unwrap();
        return;
    }
    assert_eq!(schema, SCHEMA, "write it anew with WEIR_WRITE_SCHEMA=1");
}

fn asked(client: Option<&str>, provider: Option<&str>) -> exchanges::ExchangeFilter {
    exchanges::ExchangeFilter {
        client_request_id: client.and_then(RequestId::new),
        provider_request_id: provider.and_then(RequestId::new),
        ..Default::default()
    }
}

#[tokio::test]
async fn exchanges_are_found_by_what_clients_and_providers_call_them() {
    let (store, _folder) = fresh().await;
    let running = (0..20).map(|number| exchange(number, Ended::Running));
    write(&store, running.collect()).await;
    let batch = (0..20).map(|number| exchange(number, Ended::Complete));
    assert_eq!(write(&store, batch.collect()).await, 20);
    let mut db = store.read().await.unwrap();
    for (client, provider, count) in [
        (Some("client-7"), None, 1),
        (Some(" client-\u{e9}7"), None, 1),
        (None, Some("req_7"), 1),
        (Some("client-7"), Some("req_7"), 1),
        (Some("client-7"), Some("req_8"), 0),
        (Some("req_7"), None, 0),
        (None, Some("client-7"), 0),
        (Some("shared"), None, 20),
        (Some("shared"), Some("req_7"), 1),
    ] {
        let filter = asked(client, provider);
        let found = exchanges::list(&mut db, &filter, None, 50).await.unwrap();
        assert_eq!(found.len(), count, "{client:?} {provider:?}");
        let sums = exchanges::sum(&mut db, &filter, &[], 10).await.unwrap();
        let summed: u64 = sums.iter().map(|sum| sum.exchanges).sum();
        assert_eq!(summed, count as u64, "{client:?} {provider:?}");
    }
    let (whole, _) = exchanges::get(&mut db, ExchangeId::new(Uuid::from_u128(7)))
        .await
        .unwrap()
        .unwrap();
    let ids = whole.request_ids;
    assert_eq!(ids.client.len(), 2);
    assert_eq!(ids.provider, request_ids(7).provider);
}

/// The latest with an id that all share are found without looking at the others, page by page.
#[tokio::test]
async fn an_id_that_every_exchange_has_is_asked_for_in_pages() {
    let (store, _folder) = fresh().await;
    let batch = (0..20).map(|number| exchange(number, Ended::Complete));
    write(&store, batch.collect()).await;
    let mut db = store.read().await.unwrap();
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let filter = asked(Some("shared"), None);
        let page = exchanges::list(&mut db, &filter, after, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(exchanges::Cursor {
            started_at: last.exchange.started_at,
            id: last.exchange.id,
        });
        seen.extend(
            page.iter()
                .map(|named| (named.exchange.started_at, named.exchange.id)),
        );
    }
    assert_eq!(seen.len(), 20);
    assert!(seen.is_sorted_by(|one, next| one > next));
    let plan = sqlx::query(
        "EXPLAIN QUERY PLAN SELECT e.id FROM request_ids r JOIN exchanges e ON e.id = r.exchange_id \
         WHERE r.request_id = 'shared' AND r.attempt = 0 ORDER BY r.started_ms DESC, r.exchange_id DESC LIMIT 7",
    );
    let steps = plan.fetch_all(&mut *db).await.unwrap();
    let steps: Vec<String> = steps.iter().map(|step| step.get("detail")).collect();
    assert!(
        steps[0].contains("INDEX request_ids_by_id (request_id=?)"),
        "{steps:?}"
    );
    assert!(
        steps
            .iter()
            .all(|step| !step.contains("TEMP B-TREE") && !step.contains("SCAN")),
        "{steps:?}"
    );
}

#[tokio::test]
async fn another_master_key_is_refused() {
    let (store, folder) = fresh().await;
    store.close().await;
    let other = MasterKey::from_bytes([1; 32]);
    let refused = Store::open(&folder.path().join("weir.db"), &other).await;
    assert!(matches!(refused, Err(StoreError::WrongMasterKey { .. })));
    open(folder.path()).await;
}

#[tokio::test]
async fn a_batch_is_written_once() {
    let (store, _folder) = fresh().await;
    let batch: Vec<_> = (0..450)
        .map(|number| exchange(number, Ended::Complete))
        .collect();
    assert_eq!(write(&store, batch.clone()).await, 450);
    assert_eq!(write(&store, batch).await, 0);
    let sums = exchanges::sum(
        &mut store.read().await.unwrap(),
        &Default::default(),
        &[],
        10,
    )
    .await
    .unwrap();
    assert_eq!((sums[0].exchanges, sums[0].cost.get()), (450, 2_700));
    let by = [exchanges::SumBy::Model];
    let sums = exchanges::sum(
        &mut store.read().await.unwrap(),
        &Default::default(),
        &by,
        10,
    )
    .await
    .unwrap();
    assert_eq!((sums[0].exchanges, sums[0].cost.get()), (450, 2_700));
}

#[tokio::test]
async fn what_is_read_is_what_was_written() {
    let (store, _folder) = fresh().await;
    let want = exchange(1, Ended::ClientGone);
    write(&store, vec![want.clone()]).await;
    let found = exchanges::get(&mut store.read().await.unwrap(), want.exchange.id)
        .await
        .unwrap();
    let (named, attempts) = found.unwrap();
    assert_eq!(named.exchange, want.exchange);
    assert_eq!(attempts, want.attempts);
}

#[tokio::test]
async fn an_end_replaces_a_running_state_and_a_report_a_presumed_loss() {
    let (store, _folder) = fresh().await;
    for (stored, reported, want) in [
        (Ended::Running, Ended::Running, Ended::Running),
        (Ended::Running, Ended::Complete, Ended::Complete),
        (Ended::Complete, Ended::Running, Ended::Complete),
        (Ended::Complete, Ended::EnvoyLost, Ended::Complete),
        (Ended::Complete, Ended::ClientGone, Ended::Complete),
        (Ended::EnvoyLost, Ended::Complete, Ended::Complete),
        (Ended::EnvoyLost, Ended::Running, Ended::Running),
        (Ended::Refused, Ended::EnvoyLost, Ended::Refused),
    ]
    .into_iter()
    {
        let number = Uuid::now_v7().as_u128();
        write(&store, vec![exchange(number, stored)]).await;
        write(&store, vec![exchange(number, reported)]).await;
        assert_eq!(
            ended(&store, number).await,
            want,
            "{stored:?}, then {reported:?}"
        );
    }
}

#[tokio::test]
async fn running_exchanges_of_a_lost_vm_are_settled_and_corrected() {
    let (store, _folder) = fresh().await;
    let vm = VmOrigin {
        process_id: vec![1; 16],
        vm_id: vec![2; 16],
    };
    write(
        &store,
        vec![exchange(1, Ended::Running), exchange(2, Ended::Complete)],
    )
    .await;
    let running = exchanges::running_vms(&mut store.read().await.unwrap())
        .await
        .unwrap();
    assert_eq!(running, std::slice::from_ref(&vm));
    let mut change = store.change().await.unwrap();
    let other = VmOrigin {
        vm_id: vec![3; 16],
        ..vm.clone()
    };
    assert_eq!(
        exchanges::settle_lost(change.connection(), &other)
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        exchanges::settle_lost(change.connection(), &vm)
            .await
            .unwrap(),
        1
    );
    change.commit(&[], Effect::Nothing).await.unwrap();
    assert_eq!(ended(&store, 1).await, Ended::EnvoyLost);
    assert!(
        exchanges::running_vms(&mut store.read().await.unwrap())
            .await
            .unwrap()
            .is_empty()
    );
    write(&store, vec![exchange(1, Ended::Complete)]).await;
    assert_eq!(ended(&store, 1).await, Ended::Complete);
}

#[tokio::test]
async fn created_ids_belong_to_the_creators_team() {
    let (store, _folder) = fresh().await;
    let id = |number| Uuid::from_u128(number);
    let (team, user) = (
        policy::ids::TeamId::new(id(10)),
        policy::ids::UserId::new(id(11)),
    );
    let mut of_team = exchange(1, Ended::Complete);
    of_team.exchange.payer = Payer {
        team: Some(team),
        user: Some(user),
        ..Payer::default()
    };
    let mut of_user = exchange(2, Ended::Complete);
    of_user.exchange.payer = Payer {
        user: Some(user),
        ..Payer::default()
    };
    write(&store, vec![of_team, of_user]).await;
    let colleague = Payer {
        team: Some(team),
        ..Payer::default()
    };
    let alone = Payer {
        user: Some(user),
        ..Payer::default()
    };
    let stranger = Payer {
        team: Some(policy::ids::TeamId::new(id(12))),
        ..Payer::default()
    };
    for (ids, payer, want) in [
        (vec!["resp_1"], colleague, true),
        (vec!["resp_1"], stranger, false),
        (vec!["resp_2"], alone, true),
        (vec!["resp_1", "resp_2"], colleague, false),
        (vec!["resp_3"], colleague, false),
        (vec![], colleague, false),
        (vec!["resp_1"], Payer::default(), false),
    ] {
        let ids: Vec<_> = ids.into_iter().map(str::to_owned).collect();
        let mut reading = store.read().await.unwrap();
        let owned = exchanges::owns_stateful(&mut reading, &ids, &BTreeSet::new(), &payer)
            .await
            .unwrap();
        assert_eq!(owned, want, "{ids:?} {payer:?}");
    }
}

/// A mark is made of an item and its owner, so it is known or not; beside it the ids have to be the payer's.
#[tokio::test]
async fn items_are_known_by_their_marks() {
    let (store, _folder) = fresh().await;
    let team = policy::ids::TeamId::new(Uuid::from_u128(10));
    let mate = Payer {
        team: Some(team),
        ..Payer::default()
    };
    // What runs is told without its items and written anew at its end.
    let mut batch: Vec<_> = (0..300)
        .map(|number| exchange(number, Ended::Running))
        .collect();
    for it in &mut batch {
        it.exchange.payer = mate;
        it.items.clear();
    }
    write(&store, batch.clone()).await;
    for (it, number) in batch.iter_mut().zip(0..) {
        it.exchange.ended = Ended::Complete;
        it.items = (0..3).map(|item| mark(number * 8 + item)).collect();
    }
    write(&store, batch.clone()).await;
    write(&store, batch).await;
    let all: Vec<u128> = (0..300).flat_map(|it| [it * 8, it * 8 + 2]).collect();
    let with_one_more: Vec<u128> = all.iter().copied().chain([3]).collect();
    for (ids, items, payer, want) in [
        (vec![], vec![0], mate, true),
        (vec![], vec![1, 2, 8], mate, true),
        (vec![], all, mate, true),
        (vec![], with_one_more, mate, false),
        (vec![], vec![3], mate, false),
        (vec!["resp_1"], vec![8], mate, true),
        (vec!["resp_1"], vec![3], mate, false),
        (vec!["resp_9999"], vec![8], mate, false),
        (vec![], vec![0], Payer::default(), false),
        (vec![], vec![], mate, false),
    ] {
        let ids: Vec<_> = ids.into_iter().map(str::to_owned).collect();
        let items = items.into_iter().map(mark).collect();
        let mut reading = store.read().await.unwrap();
        let owned = exchanges::owns_stateful(&mut reading, &ids, &items, &payer);
        assert_eq!(owned.await.unwrap(), want, "{ids:?} {items:?} {payer:?}");
    }
}

#[tokio::test]
async fn audit_events_are_never_changed() {
    let (store, _folder) = fresh().await;
    crate::operations::bootstrap(&store).await.unwrap();
    let mut change = store.change().await.unwrap();
    for statement in [
        "UPDATE audit_events SET action = 'x'",
        "DELETE FROM audit_events",
    ] {
        let refused = sqlx::query(statement).execute(change.connection()).await;
        assert!(
            refused.unwrap_err().to_string().contains("append-only"),
            "{statement}"
        );
    }
}

#[tokio::test]
async fn a_change_that_is_not_committed_never_happened() {
    let (store, _folder) = fresh().await;
    let changes = store.changes();
    let customer = policy::documents::Customer {
        id: policy::ids::CustomerId::new(Uuid::now_v7()),
        name: "acme".into(),
        access: None,
    };
    let mut change = store.change().await.unwrap();
    customers::insert(change.connection(), &customer, clock::now())
        .await
        .unwrap();
    drop(change);
    assert!(store.documents().await.unwrap().customers.is_empty());
    assert!(!changes.has_changed().unwrap());
}
