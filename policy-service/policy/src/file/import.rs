//! From names to documents.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::entries::{KeyEntry, OwnerEntry, ProviderEntry, RouteEntry, ScopeEntry};
use super::{Imported, PolicyFile, Sources};
use crate::check::{Node, Problem, check_at};
use crate::documents::{
    BaseUrl, Customer, Documents, Owner, Provider, ProviderKey, ProviderKeyState, Route, Scope,
    Team, User, VirtualKey,
};
use crate::ids::{CustomerId, KeyId, ProviderId, ProviderKeyId, RouteId, TeamId, UserId};
use crate::key::VirtualKeySecret;
use crate::presets::{Preset, default_auth, default_price_table};
use crate::secret::Secret;

const STREAM_HEADER_TIMEOUT_MS: u64 = 60_000;
const WHOLE_HEADER_TIMEOUT_MS: u64 = 600_000;

/// Marks a secret that stands in an environment variable.
const VARIABLE_PREFIX: &str = "env.";

impl PolicyFile {
    /// Returns everything that is wrong with what the file says, sorted by place. Environment variables are not
    /// looked at.
    pub fn check(&self) -> Vec<Problem> {
        self.rehearse().err().unwrap_or_default()
    }

    /// Returns the documents that the file comes to, with ids and secrets that stand in for real ones.
    ///
    /// # Errors
    /// Everything that is wrong with what the file says, sorted by place.
    pub fn rehearse(&self) -> Result<Documents, Vec<Problem>> {
        let mut last = 0_u128;
        let mut id = |_: &str, _: &str| {
            last = last.saturating_add(1);
            Uuid::from_u128(last)
        };
        let mut made = 0_u128;
        let mut random = || {
            made = made.saturating_add(1);
            let mut bytes = [0; 32];
            bytes
                .iter_mut()
                .zip(made.to_be_bytes())
                .for_each(|(byte, digit)| *byte = digit);
            bytes
        };
        // Only its shape is looked at; one secret for all would look like the same key given twice.
        let variable = |name: &str| Some(format!("{VARIABLE_PREFIX}{name}"));
        let sources = Sources {
            id: &mut id,
            random: &mut random,
            variable: &variable,
        };
        let mut import = Import::new(sources);
        import.takes_stand_ins = true;
        Ok(import.run(self)?.documents)
    }

    /// Turns the file into documents and checks them.
    ///
    /// # Errors
    /// Everything that is wrong with what the file says, and every environment variable that is not set.
    pub fn into_documents(&self, sources: Sources<'_>) -> Result<Imported, Vec<Problem>> {
        Import::new(sources).run(self)
    }
}

pub(super) struct Import<'a> {
    sources: Sources<'a>,
    takes_stand_ins: bool,
    problems: Vec<Problem>,
    pub(super) places: BTreeMap<Node, String>,
    pub(super) documents: Documents,
    made: BTreeMap<KeyId, VirtualKeySecret>,
    customers: BTreeMap<String, CustomerId>,
    teams: BTreeMap<String, TeamId>,
    users: BTreeMap<String, UserId>,
    named: BTreeSet<(&'static str, String)>,
    keys: BTreeMap<String, KeyId>,
}

impl<'a> Import<'a> {
    fn new(sources: Sources<'a>) -> Self {
        Self {
            sources,
            takes_stand_ins: false,
            problems: Vec::new(),
            places: BTreeMap::new(),
            documents: Documents::default(),
            made: BTreeMap::new(),
            customers: BTreeMap::new(),
            teams: BTreeMap::new(),
            users: BTreeMap::new(),
            named: BTreeSet::new(),
            keys: BTreeMap::new(),
        }
    }

    fn run(mut self, file: &PolicyFile) -> Result<Imported, Vec<Problem>> {
        self.documents.settings = file.settings.to_settings();
        self.documents.prices.clone_from(&file.prices);
        self.owners(file);
        for (number, entry) in file.providers.iter().enumerate() {
            self.provider(&format!("providers[{number}]"), entry);
        }
        for (number, entry) in file.keys.iter().enumerate() {
            self.key(&format!("keys[{number}]"), entry);
        }
        for (number, entry) in file.routes.iter().enumerate() {
            let at = format!("routes[{number}]");
            let name = self.route_name(entry);
            let id = RouteId::new(self.id(&format!("{at}.alias"), "routes", &name));
            self.places.insert(Node::Route(id), at.clone());
            let scope = self.scope(&format!("{at}.scope"), &entry.scope);
            let (alias, targets) = (entry.alias.clone(), entry.targets.clone());
            self.documents.routes.insert(
                id,
                Route {
                    id,
                    scope,
                    alias,
                    targets,
                },
            );
        }
        self.guardrails(file);
        self.quotas(file);
        self.finish()
    }

    fn finish(mut self) -> Result<Imported, Vec<Problem>> {
        for problem in check_at(&self.documents, &|node| self.places.get(&node).cloned()) {
            // What could not be read is absent or stands in, and would be reported a second time.
            if !self
                .problems
                .iter()
                .any(|known| problem.path.starts_with(&known.path))
            {
                self.problems.push(problem);
            }
        }
        if self.problems.is_empty() {
            return Ok(Imported {
                documents: self.documents,
                made: self.made,
            });
        }
        self.problems.sort();
        self.problems.dedup();
        Err(self.problems)
    }

    pub(super) fn add(&mut self, path: String, message: impl Into<String>) {
        self.problems.push(Problem::new(path, message));
    }

    /// Returns the id for the document of this kind and name, which is at `at`.
    pub(super) fn id(&mut self, at: &str, kind: &'static str, name: &str) -> Uuid {
        if !self.named.insert((kind, name.to_owned())) {
            self.add(at.to_owned(), format!("`{name}` is in the file already"));
        }
        (self.sources.id)(kind, name)
    }

    fn owners(&mut self, file: &PolicyFile) {
        for (number, entry) in file.customers.iter().enumerate() {
            let at = format!("customers[{number}]");
            let id = CustomerId::new(self.id(&format!("{at}.name"), "customers", &entry.name));
            self.places.insert(Node::Customer(id), at);
            self.customers.insert(entry.name.clone(), id);
            let (name, access) = (entry.name.clone(), entry.access.clone());
            self.documents
                .customers
                .insert(id, Customer { id, name, access });
        }
        for (number, entry) in file.teams.iter().enumerate() {
            let at = format!("teams[{number}]");
            let id = TeamId::new(self.id(&format!("{at}.name"), "teams", &entry.name));
            let customer = entry.customer.as_ref();
            let customer = customer.and_then(|name| self.customer(format!("{at}.customer"), name));
            self.places.insert(Node::Team(id), at);
            self.teams.insert(entry.name.clone(), id);
            let (name, access) = (entry.name.clone(), entry.access.clone());
            self.documents.teams.insert(
                id,
                Team {
                    id,
                    name,
                    customer,
                    access,
                },
            );
        }
        for (number, entry) in file.users.iter().enumerate() {
            let at = format!("users[{number}]");
            let id = UserId::new(self.id(&format!("{at}.name"), "users", &entry.name));
            let team = entry
                .team
                .as_ref()
                .and_then(|name| self.team(format!("{at}.team"), name));
            let customer = entry.customer.as_ref();
            let customer = customer.and_then(|name| self.customer(format!("{at}.customer"), name));
            self.places.insert(Node::User(id), at);
            self.users.insert(entry.name.clone(), id);
            let (name, access) = (entry.name.clone(), entry.access.clone());
            self.documents.users.insert(
                id,
                User {
                    id,
                    name,
                    team,
                    customer,
                    access,
                },
            );
        }
    }

    pub(super) fn customer(&mut self, path: String, name: &str) -> Option<CustomerId> {
        let found = self.customers.get(name).copied();
        self.found(path, "customer", name, found)
    }

    pub(super) fn team(&mut self, path: String, name: &str) -> Option<TeamId> {
        let found = self.teams.get(name).copied();
        self.found(path, "team", name, found)
    }

    pub(super) fn user(&mut self, path: String, name: &str) -> Option<UserId> {
        let found = self.users.get(name).copied();
        self.found(path, "user", name, found)
    }

    pub(super) fn known_key(&mut self, path: String, name: &str) -> Option<KeyId> {
        let found = self.keys.get(name).copied();
        self.found(path, "key", name, found)
    }

    fn found<T>(&mut self, path: String, what: &str, name: &str, found: Option<T>) -> Option<T> {
        if found.is_none() {
            self.add(path, format!("there is no {what} `{name}` in this file"));
        }
        found
    }

    fn key(&mut self, at: &str, entry: &KeyEntry) {
        let id = KeyId::new(self.id(&format!("{at}.name"), "keys", &entry.name));
        self.places.insert(Node::Key(id), at.to_owned());
        self.keys.insert(entry.name.clone(), id);
        let path = format!("{at}.owner");
        let owner = match &entry.owner {
            OwnerEntry::User(name) => self.user(format!("{path}.user"), name).map(Owner::User),
            OwnerEntry::Team(name) => self.team(format!("{path}.team"), name).map(Owner::Team),
            OwnerEntry::Customer(name) => self
                .customer(format!("{path}.customer"), name)
                .map(Owner::Customer),
        };
        let secret = match &entry.secret {
            Some(given) => self.virtual_key(format!("{at}.secret"), given),
            None => {
                let made = VirtualKeySecret::from_bytes((self.sources.random)());
                self.made.insert(id, made.clone());
                Some(made)
            }
        };
        let (Some(owner), Some(secret)) = (owner, secret) else {
            return;
        };
        let key = VirtualKey {
            id,
            name: entry.name.clone(),
            hash: secret.hash(),
            owner,
            environment: entry.environment.clone(),
            state: entry.state,
            expires_at: entry.expires_at_ms,
            access: entry.access.clone(),
            subscription: entry.subscription,
            opaque_paths: entry.opaque_paths.clone(),
            on_revoke: entry.on_revoke,
        };
        self.documents.keys.insert(id, key);
    }

    fn virtual_key(&mut self, path: String, given: &Secret) -> Option<VirtualKeySecret> {
        let is_variable = given.expose().starts_with(VARIABLE_PREFIX);
        let text = self.secret(path.clone(), given)?;
        if is_variable && self.takes_stand_ins {
            return Some(VirtualKeySecret::from_bytes((self.sources.random)()));
        }
        match VirtualKeySecret::parse(text.expose()) {
            Ok(secret) => Some(secret),
            Err(error) => {
                self.add(path, error.to_string());
                None
            }
        }
    }

    fn secret(&mut self, path: String, given: &Secret) -> Option<Secret> {
        let Some(name) = given.expose().strip_prefix(VARIABLE_PREFIX) else {
            return Some(given.clone());
        };
        let is_name = !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            self.add(
                path,
                "is not the name of an environment variable, as in `env.OPENAI_API_KEY`",
            );
            return None;
        }
        let value = (self.sources.variable)(name).filter(|value| !value.is_empty());
        if value.is_none() {
            self.add(path, format!("environment variable `{name}` is not set"));
        }
        value.map(Secret::new)
    }

    /// Returns what sets the route apart: scope, dialect and alias.
    fn route_name(&self, entry: &RouteEntry) -> String {
        let scope = match &entry.scope {
            ScopeEntry::Global => "global".to_owned(),
            ScopeEntry::Customer(name) => format!("customer {name}"),
            ScopeEntry::Team(name) => format!("team {name}"),
            ScopeEntry::User(name) => format!("user {name}"),
            ScopeEntry::Key(name) => format!("key {name}"),
        };
        let first = entry.targets.first();
        let mut providers = self.documents.providers.values();
        let provider =
            providers.find(|provider| first.is_some_and(|first| first.provider == provider.name));
        let dialect = provider.map_or("unknown", |provider| provider.dialect.name());
        format!(
            "{scope}/{dialect}/{}",
            entry.alias.as_str().to_ascii_lowercase()
        )
    }

    pub(super) fn scope(&mut self, path: &str, scope: &ScopeEntry) -> Scope {
        let found = match scope {
            ScopeEntry::Global => Some(Scope::Global),
            ScopeEntry::Customer(name) => self
                .customer(format!("{path}.customer"), name)
                .map(Scope::Customer),
            ScopeEntry::Team(name) => self.team(format!("{path}.team"), name).map(Scope::Team),
            ScopeEntry::User(name) => self.user(format!("{path}.user"), name).map(Scope::User),
            ScopeEntry::Key(name) => self.known_key(format!("{path}.key"), name).map(Scope::Key),
        };
        // The import fails all the same; the rest of the entry is still looked at.
        found.unwrap_or(Scope::Global)
    }

    fn preset(&mut self, at: &str, entry: &ProviderEntry) -> Option<&'static Preset> {
        let name = entry.preset.as_deref()?;
        let preset = Preset::named(name);
        if preset.is_none() {
            let known = Preset::ALL.map(|preset| preset.name).join("`, `");
            self.add(
                format!("{at}.preset"),
                format!("there is no preset `{name}`; known are `{known}`"),
            );
        }
        preset
    }

    fn provider(&mut self, at: &str, entry: &ProviderEntry) {
        let preset = self.preset(at, entry);
        let name = entry
            .name
            .clone()
            .or_else(|| preset.map(|preset| preset.name.to_owned()));
        let dialect = entry.dialect.or(preset.map(|preset| preset.dialect));
        let base_url = entry
            .base_url
            .as_deref()
            .or(preset.map(|preset| preset.base_url));
        let is_whole = entry.preset.is_none() || preset.is_some();
        for (field, is_missing) in [
            ("name", name.is_none()),
            ("dialect", dialect.is_none()),
            ("base_url", base_url.is_none()),
        ] {
            if is_missing && is_whole {
                self.add(
                    format!("{at}.{field}"),
                    "is missing, and no `preset` is named that gives it",
                );
            }
        }
        let base_url = base_url.map(str::parse::<BaseUrl>);
        if let Some(Err(error)) = &base_url {
            self.add(format!("{at}.base_url"), error.to_string());
        }
        let (Some(name), Some(dialect), Some(Ok(base_url))) = (name, dialect, base_url) else {
            return;
        };
        let price_table = self.price_table(at, entry, preset, &base_url);
        let id = ProviderId::new(self.id(&format!("{at}.name"), "providers", &name));
        self.places.insert(Node::Provider(id), at.to_owned());
        let provider = Provider {
            id,
            dialect,
            auth: entry.auth.unwrap_or_else(|| default_auth(dialect)),
            path_style: entry.path_style.clone(),
            hosts: entry
                .hosts
                .clone()
                .unwrap_or_else(|| preset.map(Preset::hosts).unwrap_or_default()),
            models: entry
                .models
                .clone()
                .unwrap_or_else(|| preset.map(Preset::models).unwrap_or_default()),
            listed_models: entry.listed_models.clone().unwrap_or_else(|| {
                let is_usual = preset.is_some() && entry.models.is_none();
                preset
                    .filter(|_| is_usual)
                    .map(Preset::listed_models)
                    .unwrap_or_default()
            }),
            keys: self.provider_keys(at, &name, entry),
            stream_usage: entry.stream_usage,
            price_table,
            stream_header_timeout_ms: entry
                .stream_header_timeout_ms
                .unwrap_or(STREAM_HEADER_TIMEOUT_MS),
            whole_header_timeout_ms: entry
                .whole_header_timeout_ms
                .unwrap_or(WHOLE_HEADER_TIMEOUT_MS),
            idle_timeout_ms: entry.idle_timeout_ms,
            on_no_answer: entry.on_no_answer.unwrap_or_default(),
            pass_request_headers: entry.pass_request_headers.clone(),
            pass_response_headers: entry.pass_response_headers.clone(),
            set_request_headers: entry.set_request_headers.clone(),
            base_url,
            name,
        };
        self.documents.providers.insert(id, provider);
    }

    fn price_table(
        &mut self,
        at: &str,
        entry: &ProviderEntry,
        preset: Option<&Preset>,
        base_url: &BaseUrl,
    ) -> String {
        let given = entry.price_table.as_deref();
        let usual = given.or_else(|| preset.map(|preset| preset.price_table));
        if let Some(table) = usual.or_else(|| default_price_table(base_url)) {
            return table.to_owned();
        }
        let message =
            "is missing, and the host is not one whose prices are known; `free` costs nothing";
        self.add(format!("{at}.price_table"), message);
        String::new()
    }

    fn provider_keys(
        &mut self,
        at: &str,
        provider: &str,
        entry: &ProviderEntry,
    ) -> Vec<ProviderKey> {
        let mut keys = Vec::new();
        for (number, key) in entry.keys.iter().enumerate() {
            let at = format!("{at}.keys[{number}]");
            let id = ProviderKeyId::new(self.id(
                &at,
                "provider_keys",
                &format!("{provider}/{}", key.name),
            ));
            let state = if key.disabled {
                ProviderKeyState::Disabled
            } else {
                ProviderKeyState::Active
            };
            // A key that cannot be read keeps its place, so that what names it is not reported too.
            let secret = self.secret(format!("{at}.secret"), &key.secret);
            let secret = secret.unwrap_or_else(|| key.secret.clone());
            keys.push(ProviderKey {
                id,
                name: key.name.clone(),
                secret,
                weight: key.weight,
                state,
            });
        }
        keys
    }
}
