//! The attempts left for one request, and what each of them needs.

use std::borrow::Cow;
use std::rc::Rc;

use dialects::refusal::RefusalCode;
use dialects::request::RequestFacts;
use dialects::splice::{Splice, include_usage_splice, length_after, model_splices, reach};
use policy::compiled::{CompiledKey, CompiledProvider, CompiledProviderKey, Mesh};
use policy::documents::{AuthStyle, OnNoAnswer, StreamUsage};
use policy::guardrail::GuardTarget;
use policy::routing::{self, AttemptTarget, NoRoute, Order};
use policy::segment::SegmentError;
use policy::surface::Surface;
use policy::units::TokenCount;

use super::admission::Admitted;
use super::body::ask;
use super::passing::Shown;
use crate::headers::Headers;
use crate::messages::{HeaderEdit, PrefixSplice};
use crate::path::Address;
use crate::upstream::UpstreamPath;

/// Headers that carry a provider's credential in one of the dialects.
pub(super) const PROVIDER_CREDENTIALS: [&str; 4] =
    ["authorization", "x-api-key", "api-key", "x-goog-api-key"];

/// The ordered targets of one request.
#[derive(Debug)]
pub(super) struct Plan {
    pub mesh: Rc<Mesh>,
    /// As the client sent them; every attempt is rebuilt from here.
    pub headers: Rc<Headers>,
    pub address: Address,
    pub targets: Vec<AttemptTarget>,
    /// The Envoy cluster that serves the targets in this order.
    pub cluster: String,
    /// `None` for opaque requests, whose body nobody reads.
    pub facts: Option<RequestFacts>,
    /// The client's own login travels on.
    pub own_login: bool,
    /// What guardrails change in the body, for every target.
    pub guard_splices: Vec<Splice>,
    /// Whose request the header map that all attempts share shows.
    pub shown: Shown,
    /// How long an attempt may take until its answer begins.
    pub header_timeout_ms: u64,
}

/// Whether the request names a model, or only a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    Model,
    /// More than one, and it is not the first that there is no plan for.
    MoreModels,
    NoModel,
}

/// Why there is no plan.
#[derive(Debug)]
pub(super) enum PlanError {
    Route(NoRoute),
    /// Subscription traffic, and no provider is the official host.
    NoOfficialHost,
    /// Opaque traffic, and it is not clear for which provider.
    WhichProvider,
}

impl Plan {
    pub(super) fn for_model(
        admitted: &Admitted,
        address: &Address,
        asked: &str,
        facts: RequestFacts,
        seed: u64,
    ) -> Result<Self, PlanError> {
        let find = |pinned: Option<&str>| {
            let ask = ask(address.surface, asked, pinned);
            routing::candidates(&admitted.mesh, admitted.key.as_deref(), &ask)
        };
        let candidates = match (&address.provider, &address.host_provider) {
            (Some(named), _) => find(Some(named)),
            // A route may take intercepted traffic elsewhere; without one it goes where it was addressed.
            (None, Some(host)) => match find(None) {
                Ok(routed) if routed.route().is_some() => Ok(routed),
                Ok(_) | Err(_) => find(Some(host)),
            },
            (None, None) => find(None),
        };
        let order = candidates.map_err(PlanError::Route)?.order(seed);
        Ok(Self::new(admitted, address, order, Some(facts)))
    }

    /// The client's own login goes to the official host of the surface, under the name that was asked for.
    pub(super) fn for_own_login(
        admitted: &Admitted,
        address: &Address,
        asked: &str,
        facts: Option<RequestFacts>,
    ) -> Result<Self, PlanError> {
        let key = admitted.key.as_deref().ok_or(PlanError::NoOfficialHost)?;
        let ask = ask(address.surface, asked, None);
        let order = routing::own_login(&admitted.mesh, key, &ask).map_err(|error| {
            if matches!(error, NoRoute::UnknownProvider { .. }) {
                PlanError::NoOfficialHost
            } else {
                PlanError::Route(error)
            }
        })?;
        let mut plan = Self::new(admitted, address, order, facts);
        plan.own_login = true;
        Ok(plan)
    }

    /// Opaque paths go to the provider that was named, or to the only one of the dialect that the key may use.
    pub(super) fn for_path(
        admitted: &Admitted,
        address: &Address,
        seed: u64,
    ) -> Result<Self, PlanError> {
        let pinned = address
            .provider
            .as_deref()
            .or(address.host_provider.as_deref());
        let order = routing::for_path(
            &admitted.mesh,
            admitted.key.as_deref(),
            address.surface.dialect(),
            pinned,
            seed,
        )
        .map_err(PlanError::Route)?
        .ok_or(PlanError::WhichProvider)?;
        Ok(Self::new(admitted, address, order, None))
    }

    fn new(
        admitted: &Admitted,
        address: &Address,
        order: Order,
        facts: Option<RequestFacts>,
    ) -> Self {
        Self {
            mesh: Rc::clone(&admitted.mesh),
            headers: Rc::clone(&admitted.headers),
            address: address.clone(),
            targets: order.targets,
            cluster: order.cluster,
            facts,
            own_login: false,
            guard_splices: Vec::new(),
            shown: Shown {
                mesh: Rc::clone(&admitted.mesh),
                provider: 0,
                is_whole: false,
            },
            header_timeout_ms: 0,
        }
    }

    pub(super) fn has_one_target(&self) -> bool {
        self.targets.len() == 1
    }

    /// Whether nothing happens twice that a client would notice if two providers, or one twice, worked on the request:
    /// its body was read, and names nothing that the provider does by itself.
    pub(super) fn can_be_repeated(&self) -> bool {
        match &self.facts {
            Some(facts) => !facts.hosted_tools && !facts.background,
            None => matches!(self.headers.text(":method"), Some("GET" | "HEAD")),
        }
    }

    /// Returns how often the proxy may begin anew, and after what.
    ///
    /// A plan of several targets never has more attempts than they are: in the proxy's cluster nobody stands behind the
    /// last one, and its own error is the client's to see. A plan of one target has a cluster that can be asked again,
    /// for an answer that never began and for nothing else.
    pub(super) fn retries(&self, streamed: bool) -> Option<(usize, &'static str)> {
        let provider = || self.mesh.providers.get(self.targets.first()?.provider);
        match self.targets.len().checked_sub(1)? {
            0 => {
                let goes_again = self.can_be_repeated()
                    && provider().is_some_and(|it| it.on_no_answer == OnNoAnswer::Again);
                goes_again.then_some((1, "reset"))
            }
            others if streamed => Some((others, "5xx,retriable-status-codes")),
            others => Some((others, "reset,retriable-status-codes")),
        }
    }

    /// Returns the target of attempt `number`, counted from 1, that `host_provider` belongs to.
    ///
    /// Where a member of a plan's cluster has no host at all (its name does not resolve), Envoy takes the next
    /// member that has one for the same attempt; a target before the attempt's own place never counts.
    pub(super) fn target(
        &self,
        number: u32,
        host_provider: Option<&str>,
    ) -> Option<(&AttemptTarget, &CompiledProvider)> {
        let place = usize::try_from(number.checked_sub(1)?).ok()?;
        self.targets
            .get(place..)?
            .iter()
            .filter_map(|target| Some((target, self.mesh.providers.get(target.provider)?)))
            .find(|(_, provider)| host_provider.is_none_or(|host| host == provider.name))
    }

    /// Returns where the request may go, as guardrails see it.
    pub(super) fn guard_targets(&self) -> Vec<GuardTarget<'_>> {
        let targets = self.targets.iter().filter_map(|target| {
            Some(GuardTarget {
                provider: self.mesh.providers.get(target.provider)?.name.as_str(),
                model: &target.model,
            })
        });
        targets.collect()
    }

    /// Returns the model that was asked for; empty where none was.
    pub(super) fn asked(&self) -> &str {
        let by_body = || {
            let facts = self.facts.as_ref()?;
            facts.model.as_ref().map(|model| model.value.as_str())
        };
        let by_path = self.address.model.as_deref();
        by_path.or_else(by_body).unwrap_or_default()
    }

    /// Whether the request would have somewhere to go if it came now.
    pub(super) fn route_anew(&self, mesh: &Mesh, key: Option<&CompiledKey>) -> Result<(), NoRoute> {
        let pinned = self.address.provider.as_deref();
        let dialect = self.address.surface.dialect();
        match (&self.facts, key) {
            (_, Some(key)) if self.own_login => {
                let ask = ask(self.address.surface, self.asked(), None);
                routing::own_login(mesh, key, &ask).map(drop)
            }
            (Some(_), key) => {
                let ask = ask(self.address.surface, self.asked(), pinned);
                routing::candidates(mesh, key, &ask).map(drop)
            }
            (None, key) => routing::for_path(mesh, key, dialect, pinned, 0).map(drop),
        }
    }

    /// Returns the most output tokens that the request allows, where it says so.
    pub(super) fn max_output(&self) -> Option<TokenCount> {
        let facts = self.facts.as_ref()?;
        let each = facts.max_output_tokens?;
        Some(TokenCount::new(each.saturating_mul(facts.candidates)))
    }

    /// Returns whether the usage of the stream is asked for on behalf of the client, who had not.
    pub(super) fn asks_usage(&self, provider: &CompiledProvider) -> bool {
        provider.stream_usage == StreamUsage::Ask
            && self.address.surface == Surface::OpenaiChat
            && !self.own_login
            && self
                .facts
                .as_ref()
                .is_some_and(|facts| facts.stream && include_usage_splice(facts).is_some())
    }

    /// Returns the changes of the body for `target`; `None` when it passes byte for byte.
    pub(super) fn splice(
        &self,
        target: &AttemptTarget,
        provider: &CompiledProvider,
    ) -> Option<PrefixSplice> {
        let mut splices = self.guard_splices.clone();
        if let Some(facts) = &self.facts {
            let by_path = self.address.model.as_deref();
            let asked = by_path.or(facts.model.as_ref().map(|model| model.value.as_str()));
            if asked.is_some_and(|asked| asked != target.model) {
                splices.extend(model_splices(facts, &target.model));
            }
            if self.asks_usage(provider) {
                splices.extend(include_usage_splice(facts));
            }
        }
        if splices.is_empty() {
            return None;
        }
        Some(PrefixSplice {
            length: reach(&splices),
            splices,
        })
    }

    /// Returns the path at which `provider` serves `target`; `None` where its model cannot stand there, which
    /// routing rules out.
    pub(super) fn path(
        &self,
        target: &AttemptTarget,
        provider: &CompiledProvider,
    ) -> Option<UpstreamPath> {
        let Address {
            template, query, ..
        } = &self.address;
        UpstreamPath::new(provider, template, &target.model, query).ok()
    }

    /// Returns the header changes that make the shared header map this attempt's own.
    ///
    /// The first attempt finds what the client sent, without credentials; a later one what the one before left.
    pub(super) fn attempt_edits(
        &self,
        target: &AttemptTarget,
        provider: &CompiledProvider,
        splice: Option<&PrefixSplice>,
        path: UpstreamPath,
        is_first: bool,
    ) -> Vec<HeaderEdit> {
        let mut edits = vec![HeaderEdit::set(":authority", provider.base_url.authority())];
        if !is_first || self.headers.text(":path") != Some(path.as_str()) {
            edits.push(HeaderEdit::set(":path", path.into_string()));
        }
        if self.headers.get("accept-encoding").is_some() {
            edits.push(HeaderEdit::set("accept-encoding", "identity"));
        }
        if !self.own_login {
            if !is_first {
                edits.extend(PROVIDER_CREDENTIALS.map(HeaderEdit::remove));
            }
            let key = target.key.and_then(|index| provider.keys.get(index));
            edits.extend(key.and_then(|key| credential(provider.auth, key)));
        }
        let length = self
            .headers
            .text("content-length")
            .and_then(|value| value.parse::<u64>().ok());
        if let Some(length) = length.filter(|_| !is_first || splice.is_some()) {
            let splices = splice.map_or(&[][..], |splice| splice.splices.as_slice());
            let changed = length_after(length, splices);
            edits.push(HeaderEdit::set("content-length", changed.to_string()));
        }
        edits
    }
}

impl PlanError {
    /// Whether nobody here serves the model to whoever asked, for all that they may know.
    pub(super) const fn is_about_the_model(&self) -> bool {
        matches!(
            self,
            Self::Route(
                NoRoute::UnknownModel { .. }
                    | NoRoute::ModelNotAllowed { .. }
                    | NoRoute::ProviderNotAllowed { .. }
            )
        )
    }

    pub(super) fn code(&self) -> (RefusalCode, Option<u32>) {
        match self {
            Self::Route(NoRoute::ModelNotAllowed { .. }) => (RefusalCode::ModelNotAllowed, None),
            Self::Route(
                NoRoute::ProviderNotAllowed { .. }
                | NoRoute::UnknownProvider { .. }
                | NoRoute::OtherDialect { .. },
            )
            | Self::WhichProvider => (RefusalCode::ProviderNotAllowed, None),
            Self::Route(NoRoute::UnknownModel { .. }) => (RefusalCode::ModelUnknown, None),
            Self::Route(NoRoute::NoUsableProviderKey { .. }) => {
                (RefusalCode::NoUsableProviderKey, Some(30))
            }
            Self::Route(NoRoute::NoPrice { .. }) => (RefusalCode::PriceUnknown, None),
            Self::Route(NoRoute::ModelNotInPath { .. }) => (RefusalCode::ModelNameInvalid, None),
            Self::NoOfficialHost => (RefusalCode::SubscriptionNotAllowed, None),
        }
    }

    /// Returns what the client is told. What the key may not use and what does not exist are told apart in the record
    /// only: else a key could find out what others have.
    pub(super) fn shown(&self, names: Names) -> (RefusalCode, Cow<'static, str>) {
        let (code, message) = match self {
            Self::Route(NoRoute::ModelNotInPath { fault, .. }) => {
                return (RefusalCode::ModelNameInvalid, bad_model_name(*fault).into());
            }
            Self::Route(
                NoRoute::ModelNotAllowed { .. }
                | NoRoute::UnknownModel { .. }
                | NoRoute::ProviderNotAllowed { .. }
                | NoRoute::UnknownProvider { .. }
                | NoRoute::OtherDialect { .. },
            ) => match names {
                Names::Model => (
                    RefusalCode::ModelNotAllowed,
                    "Your virtual key may not use this model here, or no provider of this mesh serves it; choose one of the listed models, or ask your administrator.",
                ),
                Names::MoreModels => (
                    RefusalCode::ModelNotAllowed,
                    "Your virtual key may not use one of the models that the body names beside the first, or no provider of this mesh serves it; take it out.",
                ),
                Names::NoModel => (
                    RefusalCode::ProviderNotAllowed,
                    "Your virtual key may not use this provider, or this mesh has none of that name for this API; ask your administrator.",
                ),
            },
            Self::Route(NoRoute::NoUsableProviderKey { .. }) => (
                RefusalCode::NoUsableProviderKey,
                "No working provider key that you may use is left for this model; ask your administrator.",
            ),
            Self::Route(NoRoute::NoPrice { .. }) => (
                RefusalCode::PriceUnknown,
                "The model has no price, and this mesh refuses models without one; ask your administrator.",
            ),
            Self::NoOfficialHost => (
                RefusalCode::SubscriptionNotAllowed,
                "Your own provider login may only travel to the provider's official host, and this mesh has none for this API.",
            ),
            Self::WhichProvider => (
                RefusalCode::ProviderNotAllowed,
                "More than one provider could be meant; name one with /p/{provider}/ before the path.",
            ),
        };
        (code, message.into())
    }
}

/// What a client is told whose model cannot stand in a path.
pub(super) fn bad_model_name(fault: SegmentError) -> String {
    format!("The model's name cannot stand in the path under which it is served: {fault}.")
}

fn credential(style: AuthStyle, key: &CompiledProviderKey) -> Option<HeaderEdit> {
    let (name, value) = style.credential(key.secret.expose())?;
    Some(HeaderEdit::set(name, value))
}
