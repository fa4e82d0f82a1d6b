//! From a model that was asked for to the attempts that may serve it: the same code in the filter, which
//! chooses, and in [`compile`](crate::compile), which makes a cluster for every choice.
//!
//! 1. A provider is pinned by the path (`/p/{name}/…`) or by the name (`openai/gpt-5`), unless an exact alias
//!    is called that.
//! 2. The first route whose alias covers the name decides: narrowest scope first (key, user, team, customer,
//!    all), within a scope exact aliases before globs and longer globs before shorter. A pinned provider
//!    leaves only the route's targets there, and skips routes that have none.
//! 3. Without a route, every provider of the dialect that lists the model is a target; a plan holds two. A
//!    provider that lists it only as `*` is left out while another that rule 4 leaves lists it by a name or a
//!    narrower pattern, even if none of that one's own keys is usable: who takes everything is there for what
//!    nobody claims, and is no fallback unless a route says so.
//! 4. Targets that the key's rules do not allow are gone before anything is chosen, and so are those that read the
//!    model in the path where its name is not one [segment](crate::segment).
//! 5. Targets of one priority form a group. Its first is drawn by weight from the session's seed, the others
//!    follow in listed order, beginning again from the top; weight 0 is never drawn while another is there.
//! 6. A target is tried with at most [`MAX_KEYS_PER_TARGET`] of the provider's keys, the first drawn as above.
//!    When the mesh's bound for attempts is short, every target gets one before any gets two.
//!
//! Without a key everything is allowed: unkeyed traffic arrives here only if the mesh observes it, and then any
//! provider may serve it, along the routes for all.

mod again;
mod choice;
mod draw;

use crate::access::{self, Denial};
use crate::compiled::{CompiledKey, CompiledProvider, Mesh};
use crate::ids::RouteId;
use crate::pattern::ModelPattern;
use crate::segment::SegmentError;
use crate::surface::Dialect;

pub use again::attempt_now;
pub(crate) use choice::covers;
use choice::{Choice, Obstacle, Wish, pinned, routes};
use draw::Draw;

/// How many keys of one provider are tried for one target.
pub const MAX_KEYS_PER_TARGET: usize = 3;

/// How many targets a plan has when no route lists them.
pub const MAX_UNROUTED_TARGETS: usize = 2;

/// What a client asked for.
#[derive(Clone, Copy, Debug)]
pub struct ModelAsk<'a> {
    pub dialect: Dialect,
    /// The name in the request; empty when it names none (opaque paths), and then only keys without any
    /// restriction on models may go on.
    pub model: &'a str,
    /// The provider named by the path or the host.
    pub pinned_provider: Option<&'a str>,
}

/// Why a request has nowhere to go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoute {
    #[error("there is no provider `{provider}`")]
    UnknownProvider { provider: String },
    #[error("provider `{provider}` speaks the {} dialect, this request is in the {} dialect", speaks.name(), asked.name())]
    OtherDialect {
        provider: String,
        speaks: Dialect,
        asked: Dialect,
    },
    #[error("no provider serves model `{model}`")]
    UnknownModel { model: String },
    #[error("provider `{provider}` is not allowed for this key")]
    ProviderNotAllowed { provider: String },
    #[error("model `{model}` is not allowed for this key")]
    ModelNotAllowed { provider: String, model: String },
    #[error("this key may use none of the working keys of provider `{provider}`")]
    NoUsableProviderKey { provider: String },
    #[error("model `{model}` cannot stand in a path of provider `{provider}`: {fault}")]
    ModelNotInPath {
        provider: String,
        model: String,
        fault: SegmentError,
    },
    #[error("model `{model}` has no price, and models without a price are refused")]
    NoPrice { provider: String, model: String },
}

/// One attempt: where it goes, with which credential, for which model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptTarget {
    /// Place in [`Mesh::providers`].
    pub provider: usize,
    /// Place in [`CompiledProvider::keys`]; `None` where the provider wants no credential.
    pub key: Option<usize>,
    /// The provider's name for the model.
    pub model: String,
}

/// The attempts for one request, in order, and the cluster in which sub-cluster N serves attempt N.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// One for each attempt; never empty.
    pub targets: Vec<AttemptTarget>,
    pub cluster: String,
    /// Attempts were dropped from the end because no cluster of the mesh has them all.
    pub degraded: bool,
}

/// The targets left for one request, before the draw.
#[derive(Clone, Debug)]
pub struct Candidates<'m> {
    mesh: &'m Mesh,
    route: Option<RouteId>,
    groups: Vec<Vec<Candidate>>,
    max_targets: usize,
}

#[derive(Clone, Debug)]
struct Candidate {
    provider: usize,
    model: String,
    weight: u32,
    priority: u8,
    /// Usable keys by their place; empty where the provider wants none.
    keys: Vec<usize>,
}

/// Finds every target that may serve `asked` for `key`.
///
/// # Errors
/// [`NoRoute`] when there is none, with the reason that came closest to success.
pub fn candidates<'m>(
    mesh: &'m Mesh,
    key: Option<&CompiledKey>,
    asked: &ModelAsk<'_>,
) -> Result<Candidates<'m>, NoRoute> {
    let choice = Choice::of(mesh, key, asked)?;
    let access = key.map_or(&[][..], |key| key.access.as_slice());
    let mut found = Vec::new();
    let mut obstacle: Option<Obstacle> = None;
    let mut is_claimed = false;
    for wish in choice.wishes(mesh, key, asked.dialect) {
        match wish.candidate(access) {
            Ok(candidate) => {
                is_claimed |= choice.is_claimed_by(wish.provider);
                found.push(candidate);
            }
            Err(other) => {
                is_claimed |= other.is_allowed() && choice.is_claimed_by(wish.provider);
                if obstacle
                    .as_ref()
                    .is_none_or(|known| known.rank < other.rank)
                {
                    obstacle = Some(other);
                }
            }
        }
    }
    if is_claimed {
        choice.keep_claimants(mesh, &mut found);
    }
    if found.is_empty() {
        let unknown = || NoRoute::UnknownModel {
            model: choice.model.to_owned(),
        };
        return Err(obstacle.map_or_else(unknown, |obstacle| obstacle.reason));
    }
    found.sort_by_key(|candidate| candidate.priority);
    let groups = found.chunk_by(|one, next| one.priority == next.priority);
    Ok(Candidates {
        mesh,
        route: choice.route.map(|route| route.id),
        groups: groups.map(<[_]>::to_vec).collect(),
        max_targets: if choice.route.is_some() {
            usize::MAX
        } else {
            MAX_UNROUTED_TARGETS
        },
    })
}

/// Returns another dialect in which `key` may use the model that was asked for, because a route or a provider there
/// names it; who only takes everything does not count.
pub fn elsewhere(mesh: &Mesh, key: Option<&CompiledKey>, asked: &ModelAsk<'_>) -> Option<Dialect> {
    let others = Dialect::ALL.into_iter();
    let mut others = others.filter(|dialect| *dialect != asked.dialect);
    others.find(|dialect| {
        let asked = ModelAsk {
            dialect: *dialect,
            ..*asked
        };
        candidates(mesh, key, &asked).is_ok_and(|found| found.route.is_some() || found.are_named())
    })
}

impl Candidates<'_> {
    /// Whether a provider among them lists the model, or claims it by more than `*`.
    fn are_named(&self) -> bool {
        self.groups.iter().flatten().any(|candidate| {
            self.provider(candidate).is_some_and(|provider| {
                let names = |listed: &String| listed.eq_ignore_ascii_case(&candidate.model);
                let claims = |it: &ModelPattern| !it.is_any() && it.matches(&candidate.model);
                provider.listed_models.iter().any(names) || provider.models.iter().any(claims)
            })
        })
    }

    /// Returns the route that decided; `None` without one.
    pub const fn route(&self) -> Option<RouteId> {
        self.route
    }

    /// Draws the attempts. The same seed draws the same ones for as long as they are allowed, whatever else
    /// changes: give each session its own.
    pub fn order(&self, seed: u64) -> Order {
        let mut targets = Vec::new();
        for group in &self.groups {
            let first = Draw::new(seed).first(group.iter().map(|candidate| {
                let provider = self
                    .provider(candidate)
                    .map_or("", |provider| &provider.name);
                (
                    draw::identity(&[provider.as_bytes(), candidate.model.as_bytes()]),
                    candidate.weight,
                )
            }));
            targets.extend(from(group, first));
        }
        targets.truncate(self.max_targets);
        let wanted = targets
            .iter()
            .map(|target| target.keys.len().max(1))
            .collect::<Vec<_>>();
        let mut attempts = Vec::new();
        let mut names = Vec::new();
        for (target, count) in targets.iter().zip(allot(&wanted, self.mesh.max_attempts)) {
            let Some(provider) = self.provider(target) else {
                continue;
            };
            let keys = self.keys(seed, provider, target);
            for key in keys.into_iter().take(count) {
                attempts.push(AttemptTarget {
                    provider: target.provider,
                    key,
                    model: target.model.clone(),
                });
                names.push(provider.name.as_str());
            }
        }
        let (cluster, length) = self.longest_cluster(&names);
        let degraded = length < attempts.len();
        attempts.truncate(length);
        Order {
            targets: attempts,
            cluster,
            degraded,
        }
    }

    fn provider(&self, candidate: &Candidate) -> Option<&CompiledProvider> {
        self.mesh.providers.get(candidate.provider)
    }

    fn keys(
        &self,
        seed: u64,
        provider: &CompiledProvider,
        target: &Candidate,
    ) -> Vec<Option<usize>> {
        if target.keys.is_empty() {
            return vec![None];
        }
        let first = Draw::new(seed).first(target.keys.iter().map(|at| {
            let key = provider.keys.get(*at);
            let id = key.map(|key| key.id.into_bytes()).unwrap_or_default();
            (draw::identity(&[&id]), key.map_or(0, |key| key.weight))
        }));
        from(&target.keys, first).map(|at| Some(*at)).collect()
    }

    /// Returns the cluster for as many of the first attempts as there is one for.
    fn longest_cluster(&self, names: &[&str]) -> (String, usize) {
        let prefixes = (1..=names.len())
            .rev()
            .filter_map(|length| Some((names.get(..length)?, length)));
        for (prefix, length) in prefixes {
            let cluster = plan_cluster(prefix);
            let exists = is_one_provider(prefix)
                || self
                    .mesh
                    .plans
                    .binary_search_by(|plan| plan.as_str().cmp(&cluster))
                    .is_ok();
            if exists {
                return (cluster, length);
            }
        }
        (String::new(), 0)
    }
}

/// Returns the one target of a request that travels with the client's own login at the provider (design rule 9):
/// no route, no credential of ours, no second attempt; the key's rules about provider and model hold.
///
/// Without a pinned provider it is the one that stands for the dialect's official host.
///
/// # Errors
/// [`NoRoute`] when there is no such provider or the key's rules do not allow it.
pub fn own_login(mesh: &Mesh, key: &CompiledKey, asked: &ModelAsk<'_>) -> Result<Order, NoRoute> {
    let (at, provider) = match asked.pinned_provider {
        Some(name) => pinned(mesh, asked.dialect, name)?,
        None => official(mesh, asked.dialect)?,
    };
    let wish = Wish {
        at,
        provider,
        model: asked.model,
        weight: 1,
        priority: 0,
    };
    access::check(&key.access, &provider.name, asked.model)
        .map_err(|denial| wish.obstacle(denial).reason)?;
    wish.checked_in_path().map_err(|obstacle| obstacle.reason)?;
    let target = AttemptTarget {
        provider: at,
        key: None,
        model: asked.model.to_owned(),
    };
    Ok(Order {
        targets: vec![target],
        cluster: plan_cluster(&[&provider.name]),
        degraded: false,
    })
}

fn official(mesh: &Mesh, dialect: Dialect) -> Result<(usize, &CompiledProvider), NoRoute> {
    let host = match dialect {
        Dialect::Anthropic => "api.anthropic.com",
        Dialect::Openai => "api.openai.com",
        Dialect::Gemini => "generativelanguage.googleapis.com",
    };
    let stands_for = |provider: &CompiledProvider| {
        provider.dialect == dialect
            && (provider.base_url.host == host || provider.hosts.iter().any(|name| name == host))
    };
    let mut providers = mesh.providers.iter().enumerate();
    providers
        .find(|(_, provider)| stands_for(provider))
        .ok_or_else(|| NoRoute::UnknownProvider {
            provider: host.to_owned(),
        })
}

/// Returns the attempts for a path outside the known surfaces: at the pinned provider, or at the only one of the
/// dialect that `key` may use without any restriction on models. `None` when there are several.
///
/// # Errors
/// [`NoRoute`] when there is none.
pub fn for_path(
    mesh: &Mesh,
    key: Option<&CompiledKey>,
    dialect: Dialect,
    pinned_provider: Option<&str>,
    seed: u64,
) -> Result<Option<Order>, NoRoute> {
    let asked = ModelAsk {
        dialect,
        model: "",
        pinned_provider,
    };
    let candidates = candidates(mesh, key, &asked)?;
    let is_certain = candidates.groups.iter().map(Vec::len).sum::<usize>() == 1;
    Ok(is_certain.then(|| candidates.order(seed)))
}

/// Returns the name of the cluster in which sub-cluster N leads to the Nth of `providers`.
///
/// ```
/// assert_eq!(policy::routing::plan_cluster(&["openai", "openai"]), "provider/openai");
/// assert_eq!(policy::routing::plan_cluster(&["openai", "openai", "groq"]), "plan/openai,openai,groq");
/// ```
pub fn plan_cluster(providers: &[&str]) -> String {
    match providers.first() {
        Some(only) if is_one_provider(providers) => format!("provider/{only}"),
        _ => format!("plan/{}", providers.join(",")),
    }
}

pub(crate) fn is_one_provider(providers: &[&str]) -> bool {
    providers
        .iter()
        .zip(providers.iter().skip(1))
        .all(|(one, next)| one == next)
}

/// Returns the model names to show to the holder of `key`: every one of them would be served if asked for.
pub fn models_for(mesh: &Mesh, key: Option<&CompiledKey>, dialect: Dialect) -> Vec<String> {
    models(mesh, key, dialect, None)
}

/// Returns the model names to show to the holder of `key` on a path that all dialects have.
pub fn models_everywhere(mesh: &Mesh, key: Option<&CompiledKey>) -> Vec<String> {
    let of_each = Dialect::ALL.map(|dialect| models_for(mesh, key, dialect));
    let mut names = of_each.concat();
    names.sort_unstable();
    names.dedup();
    names
}

/// [`models_for`] when the request names a provider.
///
/// # Errors
/// [`NoRoute`] when the provider is unknown, speaks another dialect, or no rule of the key allows anything there.
pub fn models_at(
    mesh: &Mesh,
    key: Option<&CompiledKey>,
    dialect: Dialect,
    provider: &str,
) -> Result<Vec<String>, NoRoute> {
    pinned(mesh, dialect, provider)?;
    let access = key.map_or(&[][..], |key| key.access.as_slice());
    if let Err(Denial::Provider) = access::check(access, provider, "*") {
        return Err(NoRoute::ProviderNotAllowed {
            provider: provider.to_owned(),
        });
    }
    Ok(models(mesh, key, dialect, Some(provider)))
}

fn models(
    mesh: &Mesh,
    key: Option<&CompiledKey>,
    dialect: Dialect,
    pinned: Option<&str>,
) -> Vec<String> {
    let of_dialect = mesh
        .providers
        .iter()
        .filter(|provider| provider.dialect == dialect);
    let here = of_dialect.filter(|provider| pinned.is_none_or(|name| provider.name == name));
    let listed = here.flat_map(|provider| provider.listed_models.iter().map(String::as_str));
    let exact = routes(mesh, key, dialect).filter(|route| route.alias.is_exact());
    let aliases = exact.map(|route| route.alias.as_str());
    let mut names = listed.chain(aliases).collect::<Vec<_>>();
    names.sort_unstable();
    names.dedup();
    names.retain(|model| {
        let asked = ModelAsk {
            dialect,
            model,
            pinned_provider: pinned,
        };
        candidates(mesh, key, &asked).is_ok()
    });
    names.into_iter().map(str::to_owned).collect()
}

/// Returns all of `items`, beginning with number `first`.
pub(crate) fn from<T>(items: &[T], first: usize) -> impl Iterator<Item = &T> {
    items.iter().cycle().skip(first).take(items.len())
}

/// Shares `max_attempts` among targets that could use `wanted` attempts each: one for each before two for any.
pub(crate) fn allot(wanted: &[usize], max_attempts: u8) -> Vec<usize> {
    let mut given = vec![0_usize; wanted.len()];
    let mut left = usize::from(max_attempts.max(1));
    for round in 0..MAX_KEYS_PER_TARGET {
        for (given, wanted) in given.iter_mut().zip(wanted) {
            if left > 0 && *wanted > round {
                *given = given.saturating_add(1);
                left = left.saturating_sub(1);
            }
        }
    }
    given
}

#[cfg(test)]
mod tests;
