//! What is wrong with a set of documents: every reference that leads nowhere and every rule that could not mean
//! what it says, each with its place.
//!
//! A rule that cannot apply is a problem and not a warning: a policy must never be silently inert.

mod access;
mod guardrails;
mod owners;
mod providers;
mod quotas;
mod routes;

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::documents::base_url::is_host;
use crate::documents::{BaseUrl, Documents, Settings};
use crate::guardrail::Prepared;
use crate::ids::{
    CustomerId, GuardrailId, KeyId, ProviderId, QuotaId, RouteId, RuleFileId, TeamId, UserId,
    WordListId,
};
use crate::price::PriceBook;

/// Longest name of a customer, team, user, key or provider key.
const MAX_NAME_BYTES: usize = 128;

const MAX_ATTEMPTS: u8 = 16;
const BODY_CAP_BYTES: core::ops::RangeInclusive<u64> = 1_024..=1_073_741_824;
const SNAPSHOT_MAX_AGE_MS: core::ops::RangeInclusive<u64> = 1_000..=2_592_000_000;
const MAX_RUNNING_PER_KEY: core::ops::RangeInclusive<u64> = 1..=65_536;
const VAULT_TTL_MS: core::ops::RangeInclusive<u64> = 60_000..=315_360_000_000;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// As in `routes[2].targets[0].provider`; empty for the whole.
    pub path: String,
    /// What is wrong and what to do about it; never a secret.
    pub message: String,
}

impl Problem {
    /// States that `message` is wrong at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "`{}`: {}", self.path, self.message)
        }
    }
}

/// One document of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    Settings,
    Customer(CustomerId),
    Team(TeamId),
    User(UserId),
    Key(KeyId),
    Provider(ProviderId),
    Route(RouteId),
    Price(usize),
    Guardrail(GuardrailId),
    RuleFile(RuleFileId),
    WordList(WordListId),
    Quota(QuotaId),
}

/// Returns everything that is wrong with `documents`, sorted by place.
///
/// A document's place is its kind and name, as in `providers[openai].base_url`; use [`check_at`] to name the
/// places after what the documents were read from.
pub fn check(documents: &Documents) -> Vec<Problem> {
    check_at(documents, &|_| None)
}

/// [`check`], with the place of a document as `place` calls it; `None` for the usual one.
pub fn check_at(documents: &Documents, place: &dyn Fn(Node) -> Option<String>) -> Vec<Problem> {
    check_with(documents, place, &mut Prepared::default())
}

/// [`check_at`] that reuses what was prepared before, and prepares the rest.
pub fn check_with(
    documents: &Documents,
    place: &dyn Fn(Node) -> Option<String>,
    prepared: &mut Prepared,
) -> Vec<Problem> {
    check_documents(documents, place, Some(prepared))
}

/// [`check`], but for what rule files, word lists and detectors hold: those need not even be there.
pub fn check_references(documents: &Documents) -> Vec<Problem> {
    check_references_at(documents, &|_| None)
}

/// [`check_references`], with the place of a document as `place` calls it.
pub fn check_references_at(
    documents: &Documents,
    place: &dyn Fn(Node) -> Option<String>,
) -> Vec<Problem> {
    check_documents(documents, place, None)
}

fn check_documents(
    documents: &Documents,
    place: &dyn Fn(Node) -> Option<String>,
    prepared: Option<&mut Prepared>,
) -> Vec<Problem> {
    let mut checker = Checker {
        documents,
        place,
        problems: Vec::new(),
    };
    checker.settings(&documents.settings);
    checker.customers();
    checker.teams();
    checker.users();
    checker.keys();
    checker.providers();
    checker.routes();
    checker.prices();
    checker.guardrails();
    checker.quotas();
    if let Some(prepared) = prepared {
        checker.contents(prepared);
    }
    checker.problems.sort();
    checker.problems.dedup();
    checker.problems
}

struct Checker<'a> {
    documents: &'a Documents,
    place: &'a dyn Fn(Node) -> Option<String>,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem::new(path, message));
    }

    fn at(&self, node: Node) -> String {
        (self.place)(node).unwrap_or_else(|| self.usual_place(node))
    }

    fn usual_place(&self, node: Node) -> String {
        let documents = self.documents;
        let of = |list: &str, name: Option<&str>| format!("{list}[{}]", name.unwrap_or("?"));
        match node {
            Node::Settings => "settings".to_owned(),
            Node::Customer(id) => of(
                "customers",
                documents
                    .customers
                    .get(&id)
                    .map(|customer| customer.name.as_str()),
            ),
            Node::Team(id) => of(
                "teams",
                documents.teams.get(&id).map(|team| team.name.as_str()),
            ),
            Node::User(id) => of(
                "users",
                documents.users.get(&id).map(|user| user.name.as_str()),
            ),
            Node::Key(id) => of("keys", documents.keys.get(&id).map(|key| key.name.as_str())),
            Node::Provider(id) => of(
                "providers",
                documents
                    .providers
                    .get(&id)
                    .map(|provider| provider.name.as_str()),
            ),
            Node::Route(id) => of(
                "routes",
                documents.routes.get(&id).map(|route| route.alias.as_str()),
            ),
            Node::Price(at) => format!("prices[{at}]"),
            Node::Guardrail(id) => {
                let found = documents.guardrails.get(&id);
                of("guardrails", found.map(|it| it.name.as_str()))
            }
            Node::RuleFile(id) => {
                let found = documents.rule_files.get(&id);
                of("rule_files", found.map(|it| it.name.as_str()))
            }
            Node::WordList(id) => {
                let found = documents.word_lists.get(&id);
                of("word_lists", found.map(|it| it.name.as_str()))
            }
            Node::Quota(id) => {
                let found = documents.quotas.get(&id);
                of("quotas", found.map(|it| it.name.as_str()))
            }
        }
    }

    fn settings(&mut self, settings: &Settings) {
        let at = self.at(Node::Settings);
        if !(1..=MAX_ATTEMPTS).contains(&settings.max_attempts) {
            self.add(
                format!("{at}.max_attempts"),
                format!("must be from 1 to {MAX_ATTEMPTS}"),
            );
        }
        for (field, value, bounds) in [
            ("body_cap_bytes", settings.body_cap_bytes, BODY_CAP_BYTES),
            (
                "snapshot_max_age_ms",
                settings.snapshot_max_age_ms,
                SNAPSHOT_MAX_AGE_MS,
            ),
            ("vault_ttl_ms", settings.vault_ttl_ms, VAULT_TTL_MS),
            (
                "max_running_per_key",
                settings.max_running_per_key.into(),
                MAX_RUNNING_PER_KEY,
            ),
        ] {
            if !bounds.contains(&value) {
                let (from, to) = bounds.into_inner();
                self.add(
                    format!("{at}.{field}"),
                    format!("must be from {from} to {to}"),
                );
            }
        }
        let mut seen = BTreeSet::new();
        for (number, host) in settings.hosts.iter().enumerate() {
            let path = format!("{at}.hosts[{number}]");
            if host != "*" {
                self.host(&path, host);
            }
            if !seen.insert(host) {
                self.add(path, format!("`{host}` is listed twice"));
            }
        }
        self.cors_origins(&at, &settings.cors_origins);
    }

    fn cors_origins(&mut self, at: &str, origins: &[String]) {
        let mut seen = BTreeSet::new();
        for (number, origin) in origins.iter().enumerate() {
            let path = format!("{at}.cors_origins[{number}]");
            if !is_origin(origin) {
                let message = "must be one origin as browsers send it: a scheme, `://`, a host in lower case, and a port \
                     where it is not the usual one; neither `*` nor `null`";
                self.add(path, message);
            } else if !seen.insert(origin) {
                self.add(path, format!("`{origin}` is listed twice"));
            }
        }
    }

    fn prices(&mut self) {
        let documents = self.documents;
        let mut seen = BTreeSet::new();
        for (number, own) in documents.prices.iter().enumerate() {
            let at = self.at(Node::Price(number));
            if !is_label(&own.table) {
                self.add(format!("{at}.table"), label_rule("a price table"));
            }
            if !seen.insert((&own.table, own.model.as_str().to_ascii_lowercase())) {
                let message = format!(
                    "table `{}` has a price for `{}` already",
                    own.table, own.model
                );
                self.add(format!("{at}.model"), message);
            }
        }
        for (id, provider) in &documents.providers {
            if !PriceBook::embedded().has_table(&provider.price_table, &documents.prices) {
                let known = PriceBook::embedded()
                    .tables
                    .keys()
                    .cloned()
                    .collect::<Vec<_>>();
                let path = format!("{}.price_table", self.at(Node::Provider(*id)));
                let table = &provider.price_table;
                let known = known.join("`, `");
                self.add(path, format!("there is no price table `{table}`; known are `{known}` and those in `prices`"));
            }
        }
    }

    fn host(&mut self, path: &str, host: &str) {
        if !is_host(host) {
            self.add(path, "must be a host name in lower case, without port");
        }
    }

    /// Checks names that must be there and must differ.
    fn names<'n>(&mut self, what: &str, named: impl Iterator<Item = (Node, &'n str)>) {
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        for (node, name) in named {
            let path = format!("{}.name", self.at(node));
            if let Err(message) = name_rule(name) {
                self.add(path.clone(), message);
            }
            if let Some(first) = seen.insert(name.to_lowercase(), path.clone()) {
                self.add(
                    path,
                    format!("`{name}` is the name of another {what} already, at `{first}`"),
                );
            }
        }
    }
}

/// Whether `text` is an origin in the one spelling that browsers send (Fetch, "serializing a request origin").
fn is_origin(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    if let "http" | "https" = scheme {
        let url = text.parse::<BaseUrl>();
        return url.is_ok_and(|url| url.path.is_empty() && url.to_string() == text);
    }
    // Extensions and desktop applications have schemes of their own.
    let is_scheme = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.chars().all(is_scheme)
        && is_host(rest)
}

fn name_rule(name: &str) -> Result<(), String> {
    if name.is_empty() {
        Err("a name must not be empty".to_owned())
    } else if name.len() > MAX_NAME_BYTES {
        Err(format!("a name has at most {MAX_NAME_BYTES} bytes"))
    } else if name.trim() != name || name.chars().any(char::is_control) {
        Err(format!(
            "`{}` has white space around it or control characters",
            name.escape_debug()
        ))
    } else {
        Ok(())
    }
}

/// Whether `text` may stand in cluster names and paths: lower-case letters, digits and `-`, at most 40.
fn is_label(text: &str) -> bool {
    (1..=40).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn label_rule(what: &str) -> String {
    format!("the name of {what} is made of lower-case letters, digits and inner `-`, at most 40")
}

#[cfg(test)]
mod tests;
