//! What 100,000 quotas cost the service: reading, compiling and publishing them, the ledger's own copy, and a change
//! of one. They are those of 50,000 users with a key each.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use policy::ids::QuotaId;
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, SqliteConnection};
use weir::ledger::opening::{Opened, Places};
use weir::mesh::{Control, Options};
use weir::operations::{Caller, keys, quotas, users};
use weir::store::{MasterKey, Store};

const FILL_PEOPLE: &str = "
WITH RECURSIVE series (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < 49999)
INSERT INTO users SELECT randomblob(16), 'user-' || n, NULL, NULL, NULL, 0 FROM series;
INSERT INTO virtual_keys SELECT randomblob(16), 'of-' || u.name, randomblob(32), u.id, NULL, NULL, k.environment,
    k.state, NULL, k.access, k.subscription, k.opaque_paths, 0
    FROM users u, virtual_keys k WHERE k.name = 'template' AND u.name <> 'template';";
const FILL_QUOTAS: &str = "
INSERT INTO quotas (id, name, user_id, names_providers, rules, created_ms)
    SELECT randomblob(16), 'u-' || u.name, u.id, 0, replace(q.rules, 'USER', lower(hex(u.id))), 0
    FROM users u, (SELECT replace(rules, $1, 'USER') AS rules FROM quotas WHERE name = 'user') q
    WHERE u.name <> 'template';
INSERT INTO quotas (id, name, key_id, names_providers, rules, created_ms)
    SELECT randomblob(16), 'k-' || k.name, k.id, 0, replace(q.rules, 'KEY', lower(hex(k.id))), 0
    FROM virtual_keys k, (SELECT replace(rules, $2, 'KEY') AS rules FROM quotas WHERE name = 'key') q
    WHERE k.name <> 'template';";

/// Resident memory of this process, in MiB.
fn memory_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|it| it.starts_with("VmRSS:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1_024
}

async fn quota(store: &Store, name: &str, node: serde_json::Value) -> QuotaId {
    let draft = json!({
        "name": name, "node": node, "unit": "micro_usd", "limit": 50_000_000,
        "window": {"calendar": {"every": "month", "zone": "Europe/Berlin"}}, "alerts": [80, 100],
    });
    let draft = serde_json::from_value(draft).unwrap();
    quotas::create(store, &caller(), draft).await.unwrap().id
}

fn caller() -> Caller {
    Caller::system("bench")
}

async fn started(store: &Store, folder: &Path) -> (Control, Opened, Duration) {
    let begun = Instant::now();
    let ledger = Opened::open(&Places::file(folder.join("ledger.db"))).await;
    let ledger = ledger.unwrap();
    let options = Options {
        ledger: Some(ledger.clone()),
        ..Options::default()
    };
    let control = Control::start(store.clone(), options).await.unwrap();
    (control, ledger, begun.elapsed())
}

pub(crate) async fn measure(folder: &Path) {
    let path = folder.join("weir.db");
    let store = Store::open(&path, &MasterKey::from_bytes([1; 32])).await;
    let store = store.unwrap();
    let fields = serde_json::from_value(json!({"name": "template"})).unwrap();
    let user = users::create(&store, &caller(), fields).await.unwrap().id;
    let everything =
        json!({"providers": [{"provider": "*", "models": ["*"], "provider_keys": ["*"]}]});
    let fields = json!({"name": "template", "owner": {"user": user}, "access": everything});
    let fields = serde_json::from_value(fields).unwrap();
    let key = keys::create(&store, &caller(), fields)
        .await
        .unwrap()
        .key
        .id;
    let mut raw: SqliteConnection = SqliteConnectOptions::new()
        .filename(&path)
        .connect()
        .await
        .unwrap();
    sqlx::raw_sql(FILL_PEOPLE).execute(&mut raw).await.unwrap();
    let (control, ledger, without) = started(&store, folder).await;
    let memory_without = memory_mib();
    drop((control, ledger));

    let of_user = quota(&store, "user", json!({"user": user})).await;
    quota(&store, "key", json!({"key": key})).await;
    for statement in FILL_QUOTAS.split_inclusive(';') {
        let statement = statement
            .replace("$1", &format!("'{user}'"))
            .replace("$2", &format!("'{key}'"));
        let statement = sqlx::AssertSqlSafe(statement);
        sqlx::raw_sql(statement).execute(&mut raw).await.unwrap();
    }
    let (_control, ledger, with) = started(&store, folder).await;
    let memory_with = memory_mib();
    let known = ledger.quotas.borrow().len();
    assert_eq!(known, 100_000);

    let mut seen = ledger.quotas.subscribe();
    let begun = Instant::now();
    let change = serde_json::from_value(json!({"limit": 60_000_000})).unwrap();
    quotas::update(&store, &caller(), of_user, change)
        .await
        .unwrap();
    let is_so =
        |all: &std::sync::Arc<weir::ledger::Quotas>| all.limit_of(of_user) == Some(60_000_000);
    drop(seen.wait_for(is_so).await.unwrap());
    let changed = begun.elapsed();
    writeln!(
        std::io::stdout().lock(),
        "{known} quotas of 50,000 users and 50,000 keys: start {} ms (without quotas {} ms), memory {memory_with} MiB \
         (without {memory_without} MiB), a changed limit in force after {} ms",
        with.as_millis(),
        without.as_millis(),
        changed.as_millis(),
    )
    .unwrap();
}
