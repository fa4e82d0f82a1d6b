//! A team with a key and providers of its own, so that tests on one mesh do not meet.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::Mesh;
use super::admin::Admin;
use crate::client::Request;
use crate::provider::MockProvider;
use crate::tokens::Price;

/// Which API a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Anthropic,
    Openai,
    Gemini,
}

impl Dialect {
    /// Returns the word for it in the admin API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::Openai => "openai",
            Self::Gemini => "gemini",
        }
    }

    fn base_path(self) -> &'static str {
        match self {
            Self::Openai => "/v1",
            Self::Anthropic | Self::Gemini => "",
        }
    }
}

/// A provider to be registered.
#[derive(Clone, Debug)]
pub struct Registration {
    name: String,
    body: Value,
}

impl Registration {
    /// The scripted provider under a name of its own, with one key and any model.
    pub fn new(dialect: Dialect, provider: &MockProvider) -> Self {
        let name = unique(dialect.name());
        let body = json!({
            "name": name,
            "dialect": dialect.name(),
            "base_url": provider.url(dialect.base_path()),
            "models": ["*"],
            "keys": [{"name": "main", "secret": provider_secret(&name)}],
            "price_table": dialect.price_table(),
        });
        Self { name, body }
    }

    /// Sets a field of the body.
    #[must_use]
    pub fn with(mut self, field: &str, value: Value) -> Self {
        self.body[field] = value;
        self
    }

    /// Returns the body of the request that registers it.
    pub fn body(&self) -> &Value {
        &self.body
    }

    /// Returns the provider's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Dialect {
    fn price_table(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::Openai => "openai",
            Self::Gemini => "google",
        }
    }
}

/// Returns the credential the provider called `name` expects.
pub fn provider_secret(name: &str) -> String {
    format!("provider-secret-of-{name}")
}

/// Returns `prefix` with a number nobody else got.
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!(
        "{prefix}-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// A team and its key.
#[derive(Clone, Debug)]
pub struct Tenant {
    pub team: String,
    pub key_id: String,
    /// The virtual key.
    pub key: String,
    /// Names of the providers registered for it.
    pub providers: Vec<String>,
}

impl Tenant {
    /// Adds the key to `request` as a bearer credential.
    #[must_use]
    pub fn sign(&self, request: Request) -> Request {
        request.bearer(&self.key)
    }
}

/// What a new key may use: `models` at each of `providers`, with any key of theirs.
pub fn access(providers: &[&str], models: &[&str]) -> Value {
    let one =
        |provider: &&str| json!({"provider": provider, "models": models, "provider_keys": ["*"]});
    json!({"providers": providers.iter().map(one).collect::<Vec<_>>()})
}

/// Makes a team and returns its id.
#[track_caller]
pub fn team(admin: &Admin) -> String {
    id(&admin.post("/teams", &json!({"name": unique("team")})))
}

/// Makes a key of `team` and returns its id and secret; `fields` may set more.
#[track_caller]
pub fn key(admin: &Admin, team: &str, fields: &Value) -> (String, String) {
    let mut body = json!({"name": unique("key"), "owner": {"team": team}});
    for (field, value) in fields.as_object().into_iter().flatten() {
        body[field] = value.clone();
    }
    let made = admin.post("/keys", &body);
    let secret = made["secret"]
        .as_str()
        .expect("the secret of a new key")
        .to_owned();
    (
        id(if made["key"].is_object() {
            &made["key"]
        } else {
            &made
        }),
        secret,
    )
}

/// Sets the price of `model` in the table of `dialect`.
#[track_caller]
pub fn price(admin: &Admin, dialect: Dialect, model: &str, price: Price) {
    let body = json!({"table": dialect.price_table(), "model": model, "rates": price.as_rates()});
    admin.put("/prices/overrides", &body);
}

/// Returns the id of an object of the admin API.
#[track_caller]
pub fn id(object: &Value) -> String {
    object["id"]
        .as_str()
        .unwrap_or_else(|| panic!("no id in {object}"))
        .to_owned()
}

impl Mesh {
    /// Registers providers and makes a key that may use every model of each; waits until both are enforced.
    #[track_caller]
    pub fn tenant(&self, registrations: &[Registration]) -> Tenant {
        self.tenant_with(registrations, &json!({}))
    }

    /// As [`tenant`](Self::tenant), with `fields` set on the key.
    #[track_caller]
    pub fn tenant_with(&self, registrations: &[Registration], fields: &Value) -> Tenant {
        self.change(|admin| {
            for registration in registrations {
                admin.post("/providers", &registration.body);
            }
            let providers: Vec<String> = registrations.iter().map(|one| one.name.clone()).collect();
            let names: Vec<&str> = providers.iter().map(String::as_str).collect();
            let mut all = json!({"access": access(&names, &["*"])});
            for (field, value) in fields.as_object().into_iter().flatten() {
                all[field] = value.clone();
            }
            let team = team(admin);
            let (key_id, key) = key(admin, &team, &all);
            Tenant {
                team,
                key_id,
                key,
                providers,
            }
        })
    }
}
