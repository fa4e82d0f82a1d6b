//! Routes and their targets.

use std::collections::{BTreeMap, BTreeSet};

use super::{Checker, Node};
use crate::documents::{Provider, Route, RouteTarget, Scope};
use crate::pattern::MAX_PATTERN_BYTES;
use crate::segment::check_asked;
use crate::surface::Dialect;

const MAX_TARGETS: usize = 16;

impl Checker<'_> {
    pub(super) fn routes(&mut self) {
        let documents = self.documents;
        let providers = documents
            .providers
            .values()
            .map(|provider| (provider.name.as_str(), provider));
        let providers = providers.collect::<BTreeMap<_, _>>();
        let mut aliases: BTreeMap<(Scope, Dialect, String), String> = BTreeMap::new();
        for (id, route) in &documents.routes {
            let at = self.at(Node::Route(*id));
            self.scope(&at, route.scope);
            if route.alias.is_regex() {
                let message = "an alias is a name or a glob; which of two expressions goes first could not be told";
                self.add(format!("{at}.alias"), message);
            }
            let dialect = self.targets(&at, route, &providers);
            if dialect == Some(Dialect::Gemini)
                && !route.alias.is_regex()
                && let Err(fault) = check_asked(&route.alias)
            {
                let message = format!(
                    "`{}` can never be asked for, because clients of the gemini dialect name the model in the path: {fault}",
                    route.alias
                );
                self.add(format!("{at}.alias"), message);
            }
            let alias = route.alias.as_str().to_ascii_lowercase();
            let path = format!("{at}.alias");
            if let Some(dialect) = dialect
                && let Some(first) = aliases.insert((route.scope, dialect, alias), path.clone())
            {
                let message = format!(
                    "`{}` has a route of this scope and dialect already, at `{first}`",
                    route.alias
                );
                self.add(path, message);
            }
        }
    }

    fn scope(&mut self, at: &str, scope: Scope) {
        let documents = self.documents;
        let (exists, what) = match scope {
            Scope::Global => return,
            Scope::Customer(id) => (documents.customers.contains_key(&id), "customer"),
            Scope::Team(id) => (documents.teams.contains_key(&id), "team"),
            Scope::User(id) => (documents.users.contains_key(&id), "user"),
            Scope::Key(id) => (documents.keys.contains_key(&id), "key"),
        };
        if !exists {
            self.add(format!("{at}.scope"), format!("there is no such {what}"));
        }
    }

    /// Returns the dialect of the route, that of its first known provider.
    fn targets(
        &mut self,
        at: &str,
        route: &Route,
        providers: &BTreeMap<&str, &Provider>,
    ) -> Option<Dialect> {
        if !(1..=MAX_TARGETS).contains(&route.targets.len()) {
            self.add(
                format!("{at}.targets"),
                format!("must hold 1 to {MAX_TARGETS} targets"),
            );
        }
        let mut first: Option<&Provider> = None;
        let mut seen = BTreeSet::new();
        for (number, target) in route.targets.iter().enumerate() {
            let at = format!("{at}.targets[{number}]");
            match providers.get(target.provider.as_str()) {
                None => {
                    let message = format!("there is no provider `{}`", target.provider);
                    self.add(format!("{at}.provider"), message);
                }
                Some(provider) => {
                    let first = *first.get_or_insert(*provider);
                    if first.dialect != provider.dialect {
                        let message = format!(
                            "`{}` speaks the {} dialect, but `{}` before it the {} dialect; a route keeps to one",
                            provider.name,
                            provider.dialect.name(),
                            first.name,
                            first.dialect.name(),
                        );
                        self.add(format!("{at}.provider"), message);
                    }
                    self.place_of_target(&at, route, target, provider);
                }
            }
            if let Some(model) = &target.model {
                let is_name = !model.is_empty()
                    && model.len() <= MAX_PATTERN_BYTES
                    && !model.contains(|c: char| c.is_whitespace() || c.is_control() || c == '*');
                if !is_name {
                    let message = format!(
                        "`{}` is not a model name; leave it out to keep the name asked for",
                        model.escape_debug()
                    );
                    self.add(format!("{at}.model"), message);
                }
            }
            if !seen.insert((&target.provider, &target.model)) {
                self.add(at.clone(), "the route has the same target already");
            }
            self.weight(&at, target.weight);
        }
        first.map(|provider| provider.dialect)
    }

    /// Checks that the provider, where it reads the model in the path, can be told it there.
    fn place_of_target(
        &mut self,
        at: &str,
        route: &Route,
        target: &RouteTarget,
        provider: &Provider,
    ) {
        let place = provider.model_place();
        let (checked, name) = match &target.model {
            Some(model) => (place.check(model), model.as_str()),
            None => (place.check_pattern(&route.alias), route.alias.as_str()),
        };
        if let Err(fault) = checked {
            let message = format!(
                "`{}` cannot stand in a path of `{}`, which reads the model there: {fault}",
                name.escape_debug(),
                provider.name,
            );
            self.add(format!("{at}.model"), message);
        }
    }
}
