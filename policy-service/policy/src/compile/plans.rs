//! Every composite cluster that [routing](crate::routing) may ask for.
//!
//! Which attempts a request gets depends on its key's rules, its model and its session. The rules are known; the
//! models are not, so where a rule asks about models both answers are taken as possible. The result is every
//! plan that routing can produce, and some that it will not.

use std::collections::{BTreeMap, BTreeSet};

use crate::access;
use crate::compiled::{CompiledKey, CompiledProvider, CompiledRoute, Mesh, Principal, encode_json};
use crate::documents::{Access, AuthStyle, InferenceAuth, KeyState};
use crate::ids::RouteId;
use crate::pattern::ModelPattern;
use crate::routing::{MAX_KEYS_PER_TARGET, allot, covers, from, is_one_provider, plan_cluster};
use crate::segment::ModelPlace;

/// Most composite clusters of one mesh; each is a cluster in every Envoy, and a name in every worker's memory.
pub const MAX_PLANS: usize = 1_000;

/// Most ways to choose the attempts of one route's targets that are looked at.
const MAX_CHOICES: usize = 4_096;

pub(super) struct Plans {
    /// Sorted.
    pub(super) names: Vec<String>,
    pub(super) is_incomplete: bool,
}

pub(super) fn enumerate<'a>(mesh: &Mesh, keys: impl Iterator<Item = &'a CompiledKey>) -> Plans {
    let mut situations = Situations::default();
    if mesh.inference_auth == InferenceAuth::Observe {
        situations.add(mesh, &[], &[], None);
    }
    for key in keys.filter(|key| key.state == KeyState::Active) {
        situations.add(mesh, &key.access, &key.routes, Some(&key.principal));
    }
    let mut found = Found {
        mesh,
        names: BTreeSet::new(),
        is_incomplete: false,
    };
    for (route, counts) in situations.routed.into_values() {
        for counts in counts {
            found.route(&route, &counts);
        }
    }
    for counts in situations.unrouted {
        found.unrouted(&counts);
    }
    Plans {
        names: found.names.into_iter().collect(),
        is_incomplete: found.is_incomplete,
    }
}

/// With how many provider keys a target may be tried: bit N stands for N, bit 0 for not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Counts(u8);

impl Counts {
    const ABSENT: Self = Self(1);

    const fn exactly(count: usize) -> Self {
        Self(
            1 << if count < MAX_KEYS_PER_TARGET {
                count
            } else {
                MAX_KEYS_PER_TARGET
            },
        )
    }

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn is_certain(self) -> bool {
        self.0 & Self::ABSENT.0 == 0
    }

    fn iter(self) -> impl Iterator<Item = usize> {
        (0..=MAX_KEYS_PER_TARGET).filter(move |count| self.0 & (1 << count) != 0)
    }

    /// For a model that is known.
    fn known(access: &[Access], provider: &CompiledProvider, model: &str) -> Self {
        let priced = provider.priced_models.as_ref();
        if !priced.is_none_or(|patterns| patterns.iter().any(|pattern| pattern.matches(model))) {
            return Self::ABSENT;
        }
        if provider.model_place().check(model).is_err() {
            return Self::ABSENT;
        }
        let count = if provider.auth == AuthStyle::None {
            access::check(access, &provider.name, model).map(|()| 1)
        } else {
            access::provider_keys(access, provider, model).map(|keys| keys.len())
        };
        count.map_or(Self::ABSENT, Self::exactly)
    }

    /// For any model.
    fn unknown(access: &[Access], provider: &CompiledProvider) -> Self {
        let covers_all = |patterns: &Vec<ModelPattern>| patterns.iter().any(ModelPattern::is_any);
        let mut is_certain = provider.priced_models.as_ref().is_none_or(covers_all);
        // Others of its dialect may take a name that cannot stand in its path.
        is_certain &= provider.model_place() != ModelPlace::Segment;
        let mut is_fixed = true;
        let mut most = vec![true; provider.keys.len()];
        for rule in access {
            let is_denied = rule
                .denied_providers
                .iter()
                .any(|denied| denied.covers(&provider.name));
            let entries = rule
                .providers
                .iter()
                .filter(|entry| entry.provider.covers(&provider.name));
            let entries = entries.collect::<Vec<_>>();
            let open = entries
                .iter()
                .filter(|entry| !entry.models.is_empty())
                .collect::<Vec<_>>();
            if is_denied || open.is_empty() {
                return Self::ABSENT;
            }
            is_certain &= rule.denied_models.is_empty()
                && entries.iter().all(|entry| entry.denied_models.is_empty())
                && open.iter().any(|entry| covers_all(&entry.models));
            let mut allowed = vec![false; provider.keys.len()];
            let mut first: Option<Vec<bool>> = None;
            for entry in open {
                let is_allowed = |name: &str| {
                    entry
                        .provider_keys
                        .iter()
                        .any(|selector| selector.covers(name))
                };
                let keys = provider
                    .keys
                    .iter()
                    .map(|key| is_allowed(&key.name))
                    .collect::<Vec<_>>();
                allowed
                    .iter_mut()
                    .zip(&keys)
                    .for_each(|(all, own)| *all |= own);
                is_fixed &= *first.get_or_insert_with(|| keys.clone()) == keys;
            }
            most.iter_mut()
                .zip(allowed)
                .for_each(|(most, allowed)| *most &= allowed);
        }
        let count = most.into_iter().filter(|usable| *usable).count();
        let present = if provider.auth == AuthStyle::None {
            Self::exactly(1)
        } else if is_fixed {
            Self::exactly(count)
        } else {
            (0..=count).map(Self::exactly).fold(Self::ABSENT, Self::or)
        };
        if is_certain {
            present
        } else {
            present.or(Self::ABSENT)
        }
    }
}

/// The differing situations that all keys together can be in.
#[derive(Default)]
struct Situations {
    /// Access rules that were met, by their text.
    rules: BTreeMap<Vec<u8>, usize>,
    seen: BTreeSet<(usize, RouteId)>,
    routed: BTreeMap<RouteId, (CompiledRoute, BTreeSet<Vec<Counts>>)>,
    unrouted: BTreeSet<Vec<Counts>>,
}

impl Situations {
    fn add(
        &mut self,
        mesh: &Mesh,
        access: &[Access],
        own_routes: &[CompiledRoute],
        principal: Option<&Principal>,
    ) {
        let next = self.rules.len();
        let rules = *self.rules.entry(encode_json(&access)).or_insert(next);
        if rules == next {
            let counts = mesh
                .providers
                .iter()
                .map(|provider| Counts::unknown(access, provider));
            self.unrouted.insert(counts.collect());
        }
        let routes = own_routes.iter().chain(&mesh.routes);
        for route in routes.filter(|route| covers(route.scope, principal)) {
            if !self.seen.insert((rules, route.id)) {
                continue;
            }
            let counts = route.targets.iter().map(|target| {
                let known = target.model.as_deref();
                let known = known.or_else(|| route.alias.is_exact().then(|| route.alias.as_str()));
                match (mesh.provider(&target.provider), known) {
                    (None, _) => Counts::ABSENT,
                    (Some((_, provider)), Some(model)) => Counts::known(access, provider, model),
                    (Some((_, provider)), None) => Counts::unknown(access, provider),
                }
            });
            let counts = counts.collect::<Vec<_>>();
            let entry = self.routed.entry(route.id);
            entry
                .or_insert_with(|| (route.clone(), BTreeSet::new()))
                .1
                .insert(counts);
        }
    }
}

/// One target of a route with a number of keys chosen for it.
#[derive(Clone, Copy)]
struct Chosen<'a> {
    provider: &'a str,
    weight: u32,
    priority: u8,
    count: usize,
}

struct Found<'a> {
    mesh: &'a Mesh,
    names: BTreeSet<String>,
    is_incomplete: bool,
}

impl Found<'_> {
    fn route(&mut self, route: &CompiledRoute, counts: &[Counts]) {
        let mut choices: Vec<Vec<Chosen<'_>>> = vec![Vec::new()];
        for (target, counts) in route.targets.iter().zip(counts) {
            let mut longer = Vec::new();
            for choice in &choices {
                for count in counts.iter() {
                    let mut choice = choice.clone();
                    if count > 0 {
                        let (provider, weight, priority) =
                            (target.provider.as_str(), target.weight, target.priority);
                        choice.push(Chosen {
                            provider,
                            weight,
                            priority,
                            count,
                        });
                    }
                    longer.push(choice);
                }
            }
            if longer.len() > MAX_CHOICES {
                longer.truncate(MAX_CHOICES);
                self.is_incomplete = true;
            }
            choices = longer;
        }
        for mut choice in choices {
            choice.sort_by_key(|chosen| chosen.priority);
            let groups = choice.chunk_by(|one, next| one.priority == next.priority);
            self.groups(&groups.collect::<Vec<_>>(), &mut Vec::new());
        }
    }

    /// Goes through every first target of every group.
    fn groups(&mut self, groups: &[&[Chosen<'_>]], before: &mut Vec<(String, usize)>) {
        let Some((group, rest)) = groups.split_first() else {
            self.add(before);
            return;
        };
        let is_drawn = |chosen: &Chosen<'_>| chosen.weight > 0;
        let nobody_is_drawn = !group.iter().any(is_drawn);
        for (first, chosen) in group.iter().enumerate() {
            let may_be_first = is_drawn(chosen) || (nobody_is_drawn && first == 0);
            if !may_be_first {
                continue;
            }
            let length = before.len();
            before.extend(
                from(group, first).map(|chosen| (chosen.provider.to_owned(), chosen.count)),
            );
            self.groups(rest, before);
            before.truncate(length);
        }
    }

    /// Goes through every pair of providers of one dialect that may follow each other.
    fn unrouted(&mut self, counts: &[Counts]) {
        let providers = self
            .mesh
            .providers
            .iter()
            .zip(counts.iter().copied())
            .collect::<Vec<_>>();
        for (first, first_counts) in &providers {
            let alike = providers
                .iter()
                .filter(|(provider, _)| provider.dialect == first.dialect);
            let alike = alike.collect::<Vec<_>>();
            let at = alike
                .iter()
                .position(|(provider, _)| provider.name == first.name);
            let mut is_covered = false;
            for (second, second_counts) in from(&alike, at.unwrap_or(0)).skip(1) {
                let both_take_all = takes_all(&first.models) && takes_all(&second.models);
                let is_pair = (both_take_all && !is_covered)
                    || may_claim_alike(&first.models, &second.models);
                if !is_pair {
                    continue;
                }
                for one in first_counts.iter().filter(|count| *count > 0) {
                    for other in second_counts.iter().filter(|count| *count > 0) {
                        self.add(&[(first.name.clone(), one), (second.name.clone(), other)]);
                    }
                }
                // What nobody claims is served by the second whenever by the first, so for that nobody behind
                // it ever comes second.
                is_covered |= both_take_all && second_counts.is_certain();
            }
        }
    }

    fn add(&mut self, targets: &[(String, usize)]) {
        let wanted = targets.iter().map(|(_, count)| *count).collect::<Vec<_>>();
        let given = allot(&wanted, self.mesh.max_attempts);
        let names = targets.iter().zip(given);
        let names = names.flat_map(|((name, _), given)| core::iter::repeat_n(name.as_str(), given));
        let names = names.collect::<Vec<_>>();
        if is_one_provider(&names) {
            return;
        }
        let name = plan_cluster(&names);
        if self.names.len() < MAX_PLANS {
            self.names.insert(name);
        } else if !self.names.contains(&name) {
            self.is_incomplete = true;
        }
    }
}

fn takes_all(models: &[ModelPattern]) -> bool {
    models.iter().any(ModelPattern::is_any)
}

/// Whether some model may be claimed by both lists, by other patterns than `*`; true where that is hard to tell.
fn may_claim_alike(one: &[ModelPattern], other: &[ModelPattern]) -> bool {
    let is_claim = |pattern: &&ModelPattern| !pattern.is_any();
    one.iter().filter(is_claim).any(|one| {
        let mut others = other.iter().filter(is_claim);
        others.any(|other| may_overlap(one, other))
    })
}

fn may_overlap(one: &ModelPattern, other: &ModelPattern) -> bool {
    if one.is_exact() {
        return other.matches(one.as_str());
    }
    if other.is_exact() {
        return one.matches(other.as_str());
    }
    if one.is_regex() || other.is_regex() {
        return true;
    }
    let literal = |glob: &ModelPattern| {
        let start = glob.as_str().split(['*', '?']).next().unwrap_or_default();
        start.to_ascii_lowercase()
    };
    let (one, other) = (literal(one), literal(other));
    one.starts_with(&other) || other.starts_with(&one)
}
