//! The API as its users meet it: requests in, answers out.

use std::fs;
use std::path::Path;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tower::ServiceExt as _;

use super::*;
use crate::ledger::{Ledger, LedgerOptions, Quotas};
use crate::operations::{self, Caller};
use crate::store::MasterKey;

mod access;
mod bodies;
mod documentation;
mod exchanges;
mod guardrails;
mod policy_objects;
mod quotas;

const PROVIDER_SECRET: &str = "sk-provider-0123456789";

/// A service without a mesh.
struct Service {
    store: Store,
    router: Router,
    token: String,
    books: Books,
    folder: TempDir,
}

/// A ledger, and the quotas that it knows.
#[derive(Clone)]
struct Books {
    ledgers: Ledgers,
    quotas: Arc<watch::Sender<Arc<Quotas>>>,
}

impl Books {
    async fn open(folder: &Path) -> Self {
        let (quotas, seen) = watch::channel(Arc::new(Quotas::default()));
        let options = LedgerOptions::new(seen.clone());
        let ledger = Ledger::sqlite(&folder.join("ledger.db"), options).await;
        Self {
            ledgers: Ledgers::new(ledger.unwrap(), None, seen),
            quotas: Arc::new(quotas),
        }
    }
}

/// An answer, its body read as JSON.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    body: Value,
}

impl Answer {
    #[track_caller]
    fn ok(self) -> Value {
        assert!(self.status.is_success(), "{} {:#}", self.status, self.body);
        self.body
    }

    #[track_caller]
    fn refused(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status.as_u16(), self.body["code"].as_str()),
            (status, Some(code)),
            "{:#}",
            self.body
        );
        assert!(
            self.body["request_id"]
                .as_str()
                .is_some_and(|id| id.len() == 36)
        );
    }

    /// Where the answer says something is wrong.
    fn paths(&self) -> Vec<&str> {
        let problems = self.body["problems"].as_array().unwrap();
        problems
            .iter()
            .map(|problem| problem["path"].as_str().unwrap())
            .collect()
    }
}

async fn open(folder: &Path) -> Store {
    let master_key = MasterKey::load_or_create(&folder.join("master.key")).unwrap();
    Store::open(&folder.join("weir.db"), &master_key)
        .await
        .unwrap()
}

impl Service {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        let token = operations::bootstrap(&store)
            .await
            .unwrap()
            .unwrap()
            .expose()
            .to_owned();
        let books = Books::open(folder.path()).await;
        Self {
            router: assembled(store.clone(), None, Some(books.ledgers.clone())),
            store,
            token,
            books,
            folder,
        }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&body).unwrap()
        };
        Answer { status, body }
    }

    async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", self.token));
        let request = match body {
            Some(body) => request
                .header("content-type", "application/json")
                .body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        self.send(request.unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(&body)).await
    }

    async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call("PATCH", path, Some(&body)).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, None).await
    }

    /// Adds an object and returns its id.
    async fn add(&self, path: &str, body: Value) -> String {
        let body = self.post(path, body).await.ok();
        let id = body["id"].as_str().or(body["key"]["id"].as_str());
        id.unwrap().to_owned()
    }

    /// Adds a provider with one key and returns its id.
    async fn add_provider(&self, name: &str) -> String {
        let body = json!({
            "preset": "openai", "name": name, "hosts": [],
            "keys": [{"name": "main", "secret": PROVIDER_SECRET}],
        });
        self.add("/api/v1/providers", body).await
    }

    /// The audit log's actions, newest first.
    async fn actions(&self) -> Vec<String> {
        let body = self.get("/api/v1/audit-events").await.ok();
        let events = body["items"].as_array().unwrap();
        events
            .iter()
            .map(|event| event["action"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn named(name: &str) -> Value {
    json!({"name": name})
}
