//! What decides where a request may go, and which of it is allowed: rules 1 to 4 of [routing](super).

use super::{Candidate, ModelAsk, NoRoute};
use crate::access::{self, Denial};
use crate::compiled::{CompiledKey, CompiledProvider, CompiledRoute, Mesh, Principal};
use crate::documents::{Access, AuthStyle, Scope};
use crate::pattern::ModelPattern;
use crate::surface::Dialect;

/// Returns the routes that apply to `key`, in the order they are tried.
pub(super) fn routes<'a>(
    mesh: &'a Mesh,
    key: Option<&'a CompiledKey>,
    dialect: Dialect,
) -> impl Iterator<Item = &'a CompiledRoute> {
    let own = key.map_or(&[][..], |key| key.routes.as_slice());
    own.iter().chain(&mesh.routes).filter(move |route| {
        route.dialect == dialect && covers(route.scope, key.map(|key| &key.principal))
    })
}

pub(crate) fn covers(scope: Scope, principal: Option<&Principal>) -> bool {
    let Some(principal) = principal else {
        return scope == Scope::Global;
    };
    match scope {
        Scope::Global => true,
        Scope::Customer(customer) => principal.customer == Some(customer),
        Scope::Team(team) => principal.team == Some(team),
        Scope::User(user) => principal.user == Some(user),
        Scope::Key(key) => principal.key == Some(key),
    }
}

pub(super) fn pinned<'m>(
    mesh: &'m Mesh,
    dialect: Dialect,
    name: &str,
) -> Result<(usize, &'m CompiledProvider), NoRoute> {
    let provider = || name.to_owned();
    match mesh.provider(name) {
        Some((_, found)) if found.dialect != dialect => Err(NoRoute::OtherDialect {
            provider: provider(),
            speaks: found.dialect,
            asked: dialect,
        }),
        Some(found) => Ok(found),
        None => Err(NoRoute::UnknownProvider {
            provider: provider(),
        }),
    }
}

/// Rules 1 and 2: what decides, before any target is looked at.
pub(super) struct Choice<'a> {
    /// What was asked for, without the provider's name in front.
    pub(super) model: &'a str,
    pinned: Option<usize>,
    pub(super) route: Option<&'a CompiledRoute>,
}

impl<'a> Choice<'a> {
    pub(super) fn of(
        mesh: &'a Mesh,
        key: Option<&'a CompiledKey>,
        asked: &ModelAsk<'a>,
    ) -> Result<Self, NoRoute> {
        let covering = |model: &'a str| {
            routes(mesh, key, asked.dialect)
                .filter(move |route| !model.is_empty() && route.alias.matches(model))
        };
        let at_provider = |model: &'a str, name: &str| {
            covering(model).find(|route| route.targets.iter().any(|target| target.provider == name))
        };
        if let Some(name) = asked.pinned_provider {
            let pinned = Some(pinned(mesh, asked.dialect, name)?.0);
            let route = at_provider(asked.model, name);
            return Ok(Self {
                model: asked.model,
                pinned,
                route,
            });
        }
        let route = covering(asked.model).next();
        if !route.is_some_and(|route| route.alias.is_exact())
            && let Some((name, model)) = asked.model.split_once('/')
            && let Ok((at, _)) = pinned(mesh, asked.dialect, name)
        {
            return Ok(Self {
                model,
                pinned: Some(at),
                route: at_provider(model, name),
            });
        }
        Ok(Self {
            model: asked.model,
            pinned: None,
            route,
        })
    }

    /// Whether `provider` lists the model by more than `*`. Where a route decides, it says itself who serves.
    pub(super) fn is_claimed_by(&self, provider: &CompiledProvider) -> bool {
        let mut models = provider.models.iter();
        self.route.is_none()
            && !self.model.is_empty()
            && models.any(|pattern| !pattern.is_any() && pattern.matches(self.model))
    }

    /// The end of rule 3: leaves those that claim the model.
    pub(super) fn keep_claimants(&self, mesh: &Mesh, found: &mut Vec<Candidate>) {
        found.retain(|candidate| {
            let provider = mesh.providers.get(candidate.provider);
            provider.is_some_and(|provider| self.is_claimed_by(provider))
        });
    }

    /// Rules 2 and 3: the targets there would be if everything were allowed, in listed order.
    pub(super) fn wishes(
        &self,
        mesh: &'a Mesh,
        key: Option<&'a CompiledKey>,
        dialect: Dialect,
    ) -> Vec<Wish<'a>> {
        let is_here = |at: usize| self.pinned.is_none_or(|pinned| pinned == at);
        let Some(route) = self.route else {
            let serving = mesh.providers.iter().enumerate().filter(|(at, provider)| {
                let serves = || {
                    provider
                        .models
                        .iter()
                        .any(|pattern| pattern.matches(self.model))
                };
                is_here(*at) && provider.dialect == dialect && (self.model.is_empty() || serves())
            });
            let wish = |(at, provider): (usize, &'a CompiledProvider)| {
                let weight = own_weight(key, &provider.name, self.model);
                Wish {
                    at,
                    provider,
                    model: self.model,
                    weight,
                    priority: 0,
                }
            };
            return serving.map(wish).collect();
        };
        let targets = route.targets.iter().filter_map(|target| {
            let (at, provider) = mesh.provider(&target.provider)?;
            let model = target.model.as_deref().unwrap_or(self.model);
            Some(Wish {
                at,
                provider,
                model,
                weight: target.weight,
                priority: target.priority,
            })
        });
        targets.filter(|wish| is_here(wish.at)).collect()
    }
}

/// The weight that the key's own rule gives to the provider; 1 where there is no rule.
fn own_weight(key: Option<&CompiledKey>, provider: &str, model: &str) -> u32 {
    let own: Option<&Access> = key.and_then(|key| key.access.first());
    let entries = own.and_then(|rule| access::ModelAt::new(provider, model).allowed_by(rule).ok());
    entries
        .and_then(|entries| entries.first().map(|entry| entry.weight))
        .unwrap_or(1)
}

pub(super) struct Wish<'a> {
    pub(super) at: usize,
    pub(super) provider: &'a CompiledProvider,
    pub(super) model: &'a str,
    pub(super) weight: u32,
    pub(super) priority: u8,
}

/// Why one wish is none; ranked by how close it came.
pub(super) struct Obstacle {
    pub(super) rank: u8,
    pub(super) reason: NoRoute,
}

impl Obstacle {
    /// Whether the rules allow the provider and the model, so that only its own state stands in the way.
    pub(super) fn is_allowed(&self) -> bool {
        match self.reason {
            NoRoute::NoUsableProviderKey { .. } | NoRoute::NoPrice { .. } => true,
            NoRoute::UnknownProvider { .. }
            | NoRoute::OtherDialect { .. }
            | NoRoute::UnknownModel { .. }
            | NoRoute::ProviderNotAllowed { .. }
            | NoRoute::ModelNotAllowed { .. }
            | NoRoute::ModelNotInPath { .. } => false,
        }
    }
}

impl Wish<'_> {
    /// Rule 4.
    pub(super) fn candidate(&self, access: &[Access]) -> Result<Candidate, Obstacle> {
        let keys = if self.provider.auth == AuthStyle::None {
            access::check(access, &self.provider.name, self.model).map(|()| Vec::new())
        } else {
            access::provider_keys(access, self.provider, self.model)
        };
        let keys = keys.map_err(|denial| self.obstacle(denial))?;
        self.checked_in_path()?;
        let is_priced = |patterns: &Vec<ModelPattern>| {
            patterns.iter().any(|pattern| pattern.matches(self.model))
        };
        if !self.provider.priced_models.as_ref().is_none_or(is_priced) {
            let (provider, model) = (self.provider.name.clone(), self.model.to_owned());
            return Err(Obstacle {
                rank: 4,
                reason: NoRoute::NoPrice { provider, model },
            });
        }
        Ok(Candidate {
            provider: self.at,
            model: self.model.to_owned(),
            weight: self.weight,
            priority: self.priority,
            keys,
        })
    }

    /// The end of rule 4: a path that names the model is made of it only where it is one segment.
    pub(super) fn checked_in_path(&self) -> Result<(), Obstacle> {
        if self.model.is_empty() {
            return Ok(());
        }
        let place = self.provider.model_place().check(self.model);
        place.map_err(|fault| Obstacle {
            rank: 3,
            reason: NoRoute::ModelNotInPath {
                provider: self.provider.name.clone(),
                model: self.model.to_owned(),
                fault,
            },
        })
    }

    pub(super) fn obstacle(&self, denial: Denial) -> Obstacle {
        let provider = self.provider.name.clone();
        let model = self.model.to_owned();
        match denial {
            Denial::Provider => Obstacle {
                rank: 0,
                reason: NoRoute::ProviderNotAllowed { provider },
            },
            Denial::Model => Obstacle {
                rank: 1,
                reason: NoRoute::ModelNotAllowed { provider, model },
            },
            Denial::ProviderKey => Obstacle {
                rank: 2,
                reason: NoRoute::NoUsableProviderKey { provider },
            },
        }
    }
}
