//! Two replicas of the policy service with one ledger in PostgreSQL, windows of minutes in Redis, and an Envoy each.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;
use weir_databases::{Server, ServerFailure};
use weir_tests::client::Protocol;
use weir_tests::mesh::{Mesh, Options};
use weir_tests::not_tested;
use weir_tests::quotas::stage::{DIME, OUTPUT, Stage, ask, money, requests, set_prices};
use weir_tests::quotas::{Figures, Reception, hour};
use weir_tests::wait;

/// A mesh and the servers it uses, which end after it.
struct Replicas {
    mesh: Mesh,
    _servers: [Server; 2],
    _folder: TempDir,
}

impl Replicas {
    /// Starts all of it; says so when the servers cannot be had.
    fn start(what: &str) -> Option<Self> {
        let folder = tempfile::Builder::new()
            .prefix("weir-servers-")
            .tempdir()
            .expect("a folder for servers");
        // PostgreSQL runs as a user of its own.
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).expect("a folder that others may enter");
        let servers = match servers(folder.path()) {
            Ok(servers) => servers,
            Err(failure) => {
                not_tested(what, &failure.to_string());
                return None;
            }
        };
        let [ledger, hot] = &servers;
        let arguments = ["--ledger-url", ledger.url(), "--hot-url", hot.url()];
        let mesh = Mesh::start(&Options {
            envoys: 2,
            replicas: 2,
            ledger: arguments.map(str::to_owned).to_vec(),
            ..Options::default()
        });
        set_prices(&mesh);
        Some(Self {
            mesh,
            _servers: servers,
            _folder: folder,
        })
    }
}

fn servers(folder: &Path) -> Result<[Server; 2], ServerFailure> {
    Ok([
        Server::postgres(&folder.join("postgres"))?,
        Server::redis(&folder.join("redis"))?,
    ])
}

#[test]
fn limits_hold_over_two_replicas() {
    let Some(replicas) = Replicas::start("quotas with two replicas of the policy service") else {
        return;
    };
    a_strict_budget(&replicas.mesh);
    a_rate_limit_in_redis(&replicas.mesh);
    changes_cross_within_a_second(&replicas.mesh);
}

fn a_strict_budget(mesh: &Mesh) {
    let rules =
        json!({"unit": "micro_usd", "limit": 10 * DIME, "window": hour(), "holds": "strict"});
    let stage = Stage::new(mesh, &rules);
    let met = stage.press_whole(200, 1, OUTPUT);
    let figures = Figures {
        false_refusals: met.false_refusals(&stage.meter, 10 * DIME, DIME, money),
        ..stage.figures(("two replicas, PostgreSQL", "micro_usd"), &met, money)
    };
    figures.check_exact();
    assert!(figures.admitted >= 9, "{figures}");
    assert_eq!(figures.admitted + figures.exhausted, 200, "{figures}");
}

fn a_rate_limit_in_redis(mesh: &Mesh) {
    let window = json!({"rolling": {"duration_ms": 600_000}});
    let rules = json!({"unit": "requests", "limit": 40, "window": window});
    let stage = Stage::new(mesh, &rules);
    let met = stage.press_whole(100, 1, OUTPUT);
    let figures = stage.figures(("two replicas, Redis", "requests"), &met, requests);
    figures.check_exact();
    assert_eq!((figures.admitted, figures.exhausted), (40, 60), "{figures}");
}

/// What is changed at one replica is enforced by the Envoy of the other within a second.
fn changes_cross_within_a_second(mesh: &Mesh) {
    let rules = json!({"unit": "micro_usd", "limit": DIME, "window": hour(), "holds": "strict"});
    let stage = Stage::new(mesh, &rules);
    let far = mesh.addresses()[1];
    let send = || {
        let request = stage.tenant.sign(ask(OUTPUT));
        Reception::of(&request.send(far, Protocol::Http1).unwrap())
    };
    assert_eq!(send(), Reception::Admitted);
    mesh.settled(&stage.quota);
    assert_eq!(send(), Reception::Exhausted);
    let path = format!("/quotas/{}", stage.quota.id);
    mesh.admin().patch(&path, &json!({"limit": 2 * DIME}));
    let changed = wait::now();
    wait::until("the limit to be raised", || {
        (send() == Reception::Admitted).then_some(())
    });
    let took = changed.elapsed();
    assert!(took < Duration::from_secs(1), "the limit took {took:?}");
    let path = format!("/keys/{}/revoke", stage.tenant.key_id);
    mesh.admin().post(&path, &json!({}));
    let revoked = wait::now();
    wait::until("the key to be refused", || {
        matches!(send(), Reception::Other(what) if what.contains("key_revoked")).then_some(())
    });
    let took = revoked.elapsed();
    assert!(
        took < Duration::from_secs(1),
        "the revocation took {took:?}"
    );
}

/// One of two replicas is killed and comes back under load: nothing is lost, and the other's Envoy notices nothing.
#[test]
fn a_replica_that_is_killed_loses_no_charge() {
    let Some(replicas) = Replicas::start("a replica that is killed") else {
        return;
    };
    let mesh = &replicas.mesh;
    let rules =
        json!({"unit": "micro_usd", "limit": 300 * DIME, "window": hour(), "holds": "strict"});
    let stage = Stage::new(mesh, &rules);
    let met = std::thread::scope(|scope| {
        let load = scope.spawn(|| stage.press(16, usize::MAX, OUTPUT));
        wait::until("a load", || (stage.provider.count() >= 60).then_some(()));
        mesh.end_service_at(1, Signal::SIGKILL);
        mesh.start_service_at(1);
        load.join().unwrap()
    });
    assert_eq!(met.others, Vec::<String>::new(), "{}", mesh.logs());
    let mut figures = stage.figures(("one of two replicas killed", "micro_usd"), &met, money);
    figures.false_refusals = figures.false_while_room(DIME);
    figures.check();
    assert_eq!(
        figures.spent, figures.charged,
        "provider and ledger: {figures}"
    );
}
