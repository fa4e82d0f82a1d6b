//! Two `weir serve` on one data folder, as a user starts them: their ledger is in PostgreSQL.

#![cfg(test)]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use weir_databases::Server;

const PATIENCE: Duration = Duration::from_secs(30);

/// A replica, and where its admin API is. It is killed when dropped.
struct Replica {
    _child: Child,
    api: String,
    admin_token: Option<String>,
    _said: Lines<BufReader<ChildStderr>>,
}

fn serve(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command
        .args(["serve", "--admin-listen", "127.0.0.1:0"])
        .args(["--grpc-listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .env_remove("WEIR_LEDGER_URL")
        .env_remove("WEIR_HOT_URL")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn replica(data: &Path, ledger: &str) -> Replica {
    let mut child = serve(data).env("WEIR_LEDGER_URL", ledger).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut admin_token = None;
    let api = loop {
        let line = tokio::time::timeout(PATIENCE, said.next_line()).await;
        let line = line.unwrap().unwrap().unwrap();
        if let Some((_, token)) = line.split_once("shown this once): ") {
            admin_token = Some(token.trim().to_owned());
        }
        if let Some((_, rest)) = line.split_once("admin API on ") {
            break rest.split(',').next().unwrap().to_owned();
        }
    };
    Replica {
        _child: child,
        api,
        admin_token,
        _said: said,
    }
}

async fn refused(mut command: Command) -> String {
    let output: Output = command.output().await.unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

async fn get(url: &str, token: &str) -> Value {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(url).bearer_auth(token).send().await.unwrap();
    assert!(answer.status().is_success(), "{url}: {}", answer.status());
    answer.json().await.unwrap()
}

#[tokio::test]
async fn replicas_share_a_data_folder_when_their_ledger_is_elsewhere() {
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
    let data = folder.path().join("data");
    // Both at once: the first start makes secrets that both must know.
    let (one, other) = tokio::join!(
        replica(&data, postgres.url()),
        replica(&data, postgres.url())
    );
    let tokens = [&one.admin_token, &other.admin_token];
    let tokens: Vec<_> = tokens.into_iter().flatten().collect();
    let [token] = tokens.as_slice() else {
        panic!("{} admin tokens were made", tokens.len());
    };

    let quota = json!({
        "name": "all", "node": "organisation", "unit": "requests", "limit": 100,
        "window": {"calendar": {"every": "day", "zone": "UTC"}},
    });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let made = client
        .post(format!("{}/quotas", one.api))
        .bearer_auth(token)
        .json(&quota);
    let made: Value = made.send().await.unwrap().json().await.unwrap();
    let id = made["id"].as_str().unwrap_or_else(|| panic!("{made}"));
    let wanted = get(&format!("{}/mesh", one.api), token).await;
    assert_eq!(wanted["policy"]["failed_because"], Value::Null);
    let made = wanted["documents_version"].as_u64();
    assert!(made.is_some(), "{wanted}");
    let published = async {
        loop {
            let mesh = get(&format!("{}/mesh", other.api), token).await;
            if mesh["policy"]["documents_version"].as_u64() >= made {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, published).await.unwrap();
    let usage = get(&format!("{}/quotas/{id}/usage", other.api), token).await;
    assert_eq!(usage["left"], 100);

    let alone = refused(serve(&data)).await;
    assert!(alone.contains("--ledger-url"), "{alone}");
    let mut misled = serve(&folder.path().join("elsewhere"));
    misled.env(
        "WEIR_LEDGER_URL",
        "postgres://weir:hunter2@127.0.0.1:1/weir",
    );
    let misled = refused(misled).await;
    assert!(misled.contains("127.0.0.1:1/weir"), "{misled}");
    assert!(misled.contains("WEIR_LEDGER_URL"), "{misled}");
    assert!(!misled.contains("hunter2"), "{misled}");
}
