//! Which headers of an exchange pass, and what makes the shared header map one provider's.
//!
//! All attempts share one header map, so what a provider may see is always made from the client's own headers: what
//! the one before saw and this one may not goes, and what only this one may see is set again.

use std::rc::Rc;

use dialects::headers::{HeaderLists, lists};
use policy::compiled::{CompiledProvider, Mesh};
use policy::header::{HeaderWay, covers, is_own};
use policy::key::holds_virtual_key;

use super::Exchange;
use super::target::{PROVIDER_CREDENTIALS, Plan};
use crate::headers::Headers;
use crate::messages::{AttemptNumber, HeaderEdit};

/// Envoy finds no route without it, so only the attempt takes it away.
pub(super) const NEEDED_FOR_ROUTING: &str = "x-forwarded-proto";

/// Whose request the shared header map shows.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    /// The policy by which it was made; attempts follow newer ones.
    pub mesh: Rc<Mesh>,
    /// Place of the provider in that policy.
    pub provider: usize,
    /// With what the provider sets by itself.
    pub is_whole: bool,
}

impl Shown {
    fn is_of(&self, mesh: &Rc<Mesh>, provider: usize) -> bool {
        Rc::ptr_eq(&self.mesh, mesh) && self.provider == provider
    }
}

/// The rules for one provider.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passing<'a> {
    lists: &'static HeaderLists,
    provider: &'a CompiledProvider,
    /// The client's own login travels.
    own_login: bool,
}

impl<'a> Passing<'a> {
    pub(super) fn new(provider: &'a CompiledProvider, own_login: bool) -> Self {
        Self {
            lists: lists(provider.dialect),
            provider,
            own_login,
        }
    }

    /// Whether a client's header goes up.
    pub(super) fn up(self, name: &str, value: &[u8]) -> bool {
        // A path with a key in it is set anew for each attempt; without one there is no route.
        if name.starts_with(':') || name == NEEDED_FOR_ROUTING {
            return true;
        }
        let is_listed = self.lists.passes_up(name, self.own_login)
            || (self.own_login && PROVIDER_CREDENTIALS.contains(&name))
            || any_covers(
                &self.provider.pass_request_headers,
                name,
                HeaderWay::Request,
            );
        is_listed && !holds_virtual_key(value)
    }

    /// Whether an answer's header comes back.
    pub(super) fn back(self, name: &str) -> bool {
        // Which pages may read an answer is for the mesh to say.
        if name.starts_with("access-control-") {
            return false;
        }
        name.starts_with(':')
            || self.lists.passes_back(name, self.own_login)
            || any_covers(
                &self.provider.pass_response_headers,
                name,
                HeaderWay::Response,
            )
    }

    /// What the provider sets by itself; nothing beside the client's own login, which says whose account it is.
    fn set(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let set = self.provider.set_request_headers.iter();
        set.filter(move |_| !self.own_login)
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn sets(self, wanted: &str) -> bool {
        self.set().any(|(name, _)| name == wanted)
    }
}

fn any_covers(patterns: &[String], name: &str, way: HeaderWay) -> bool {
    patterns.iter().any(|pattern| covers(pattern, name, way))
}

/// What an attempt finds under one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    /// What the client sent, every value of it.
    Sent,
    /// What the provider sets.
    Set,
}

impl Plan {
    fn passing<'a>(&self, shown: &'a Shown) -> Option<Passing<'a>> {
        let provider = shown.mesh.providers.get(shown.provider)?;
        Some(Passing::new(provider, self.own_login))
    }

    /// Returns the names of the client's headers that a provider does not see, each once.
    pub(super) fn unseen(&self, shown: &Shown) -> Vec<&str> {
        let Some(passing) = self.passing(shown) else {
            return Vec::new();
        };
        let mut unseen = Vec::new();
        for (name, value) in self.headers.iter() {
            if !passing.up(name, value) && !unseen.contains(&name) {
                unseen.push(name);
            }
        }
        unseen
    }

    /// Returns the changes that turn what the header map shows into what this provider of `mesh` is to see.
    pub(super) fn show(&mut self, mesh: &Rc<Mesh>, provider: usize) -> Vec<HeaderEdit> {
        let is_same = self.shown.is_of(mesh, provider);
        if is_same && self.shown.is_whole {
            return Vec::new();
        }
        let next = Shown {
            mesh: Rc::clone(mesh),
            provider,
            is_whole: true,
        };
        let mut edits = if is_same {
            Vec::new()
        } else {
            self.exchanged(&next)
        };
        let set = self.passing(&next).into_iter().flat_map(Passing::set);
        edits.extend(set.map(|(name, value)| HeaderEdit::set(name.to_owned(), value)));
        self.shown = next;
        edits
    }

    /// What goes and what comes back between what is shown and `next`, but for what its provider sets.
    fn exchanged(&self, next: &Shown) -> Vec<HeaderEdit> {
        let set_before = self.passing(&self.shown).filter(|_| self.shown.is_whole);
        let set_next = self.passing(next);
        let (unseen_before, unseen_next) = (self.unseen(&self.shown), self.unseen(next));
        let find = |sets: Option<Passing<'_>>, unseen: &[&str], name: &str| {
            if sets.is_some_and(|passing| passing.sets(name)) {
                Found::Set
            } else if self.headers.get(name).is_none() || unseen.contains(&name) {
                Found::Nothing
            } else {
                Found::Sent
            }
        };
        let set_names = set_before.into_iter().flat_map(Passing::set);
        let names = self.headers.iter().map(|(name, _)| name);
        let mut seen = Vec::new();
        let mut edits = Vec::new();
        for name in names.chain(set_names.map(|(name, _)| name)) {
            if seen.contains(&name) {
                continue;
            }
            seen.push(name);
            let before = find(set_before, &unseen_before, name);
            match (before, find(set_next, &unseen_next, name)) {
                (Found::Sent | Found::Set, Found::Nothing) => {
                    edits.push(HeaderEdit::remove(name.to_owned()));
                }
                (Found::Nothing | Found::Set, Found::Sent) => self.as_sent(name, &mut edits),
                (Found::Sent, Found::Sent) | (Found::Nothing, Found::Nothing) | (_, Found::Set) => {
                }
            }
        }
        edits
    }

    /// Puts the client's own values of `name` in the place of whatever is there.
    fn as_sent(&self, name: &str, edits: &mut Vec<HeaderEdit>) {
        for (nth, value) in self.headers.all(name).enumerate() {
            edits.push(if nth == 0 {
                HeaderEdit::set(name.to_owned(), value)
            } else {
                HeaderEdit::Add(name.to_owned(), value.to_vec())
            });
        }
    }
}

impl Exchange {
    /// Counts what the first target of `plan` does not see of the client's headers.
    pub(super) fn count_unseen(&self, unseen: &[&str]) {
        let mut dropped = self.seed.dropped.borrow_mut();
        for name in unseen.iter().filter(|name| !is_expected(name)) {
            dropped.count(HeaderWay::Request, name);
        }
    }

    /// Returns the changes that leave of an answer's headers what may come back, and counts the others.
    pub(super) fn kept_back(&self, provider: &str, headers: &Headers) -> Vec<HeaderEdit> {
        let passing = self.passing_of(provider);
        let mut edits: Vec<HeaderEdit> = Vec::new();
        for (name, _) in headers.iter() {
            if passing.is_some_and(|passing| passing.back(name)) || name.starts_with(':') {
                continue;
            }
            let edit = HeaderEdit::remove(name.to_owned());
            if !edits.contains(&edit) {
                self.seed
                    .dropped
                    .borrow_mut()
                    .count(HeaderWay::Response, name);
                edits.push(edit);
            }
        }
        edits
    }

    fn passing_of(&self, provider: &str) -> Option<Passing<'_>> {
        let plan = self.plan()?;
        plan.passing(&plan.shown)
            .filter(|passing| passing.provider.name == provider)
    }

    /// Whether a trailer of the request goes on; counts one that does not.
    ///
    /// Trailers may come before it is decided where the request goes, so the list is that of the API asked.
    pub fn passes_request_trailer(&self, name: &str, value: &[u8]) -> bool {
        let passes = lists(self.facts.dialect).passes_up(name, false) && !holds_virtual_key(value);
        if !passes && !is_expected(name) {
            self.seed
                .dropped
                .borrow_mut()
                .count(HeaderWay::Request, name);
        }
        passes
    }

    /// Whether a trailer of an attempt's answer comes back; counts one that does not.
    pub fn passes_answer_trailer(&self, number: AttemptNumber, name: &str) -> bool {
        let attempt = self
            .attempts
            .iter()
            .find(|attempt| attempt.number() == number.0);
        let passing = attempt.and_then(|attempt| self.passing_of(&attempt.place().provider));
        let passes = passing.is_some_and(|passing| passing.back(name));
        if !passes {
            self.seed
                .dropped
                .borrow_mut()
                .count(HeaderWay::Response, name);
        }
        passes
    }
}

/// Whether a dropped header of a request is none of the client's that somebody could miss.
fn is_expected(name: &str) -> bool {
    is_own(name) || PROVIDER_CREDENTIALS.contains(&name)
}
