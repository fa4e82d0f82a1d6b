//! One suite for every store, and a model that the ledger is compared with.

mod cases;
mod fixture;
mod ledgers;
mod model;
mod replicas;

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use weir_databases::{Server, ServerFailure};

use self::fixture::Bench;
use super::notices::Notices;

/// A folder that every user may enter, as PostgreSQL's has to be.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Returns a server, or says loudly that nothing was tested, and what to do about it.
fn server(started: Result<Server, ServerFailure>) -> Option<Server> {
    match started {
        Ok(server) => Some(server),
        Err(failure) => {
            writeln!(std::io::stderr().lock(), "NOT TESTED: {failure}").unwrap();
            None
        }
    }
}

#[tokio::test]
async fn sqlite_keeps_the_books() {
    let folder = folder();
    cases::all(&Bench::sqlite(folder.path())).await;
}

#[tokio::test]
async fn postgres_keeps_the_books() {
    let folder = folder();
    let Some(postgres) = server(Server::postgres(&folder.path().join("postgres"))) else {
        return;
    };
    let bench = Bench::postgres(postgres.url());
    cases::all(&bench).await;
    replicas::all(&bench).await;
    let url = postgres.url();
    replicas::notices_arrive(Notices::postgres(url).await, Notices::postgres(url).await).await;
}

#[tokio::test]
async fn redis_keeps_the_books() {
    let folder = folder();
    let Some(redis) = server(Server::redis(&folder.path().join("redis"))) else {
        return;
    };
    let bench = Bench::redis(redis.url());
    cases::all(&bench).await;
    replicas::all(&bench).await;
    ledgers::all(&Bench::sqlite(folder.path()), &bench).await;
    let url = redis.url();
    replicas::notices_arrive(Notices::redis(url).await, Notices::redis(url).await).await;
}
