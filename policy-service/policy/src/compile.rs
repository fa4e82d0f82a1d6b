//! From [`Documents`] to what filters enforce.

mod guardrails;
mod plans;
mod quotas;

use core::cmp::Reverse;
use std::collections::BTreeMap;

use crate::check::{Problem, check_with};
use crate::compiled::{
    CompiledKey, CompiledProvider, CompiledProviderKey, CompiledRoute, Mesh, Principal,
};
use crate::documents::{
    Access, Documents, OnUnknownPrice, Owner, Provider, ProviderKeyState, Route, Scope, VirtualKey,
};
use crate::guardrail::{BlobId, Prepared};
use crate::key::KeyHash;
use crate::presets::default_idle_timeout_ms;
use crate::price::PriceBook;
use crate::routing::covers;
use crate::secret::Secret;

pub use plans::MAX_PLANS;

/// Documents as filters enforce them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    pub mesh: Mesh,
    pub keys: BTreeMap<KeyHash, CompiledKey>,
    /// There would be more than [`MAX_PLANS`] composite clusters. Requests that would need one of those left out
    /// are served by the first provider of their order alone.
    pub plans_are_incomplete: bool,
    /// What the rule files and word lists of the mesh are in a form that filters take.
    pub blobs: BTreeMap<BlobId, Vec<u8>>,
}

/// What a mesh knows that documents do not say.
#[derive(Clone, Debug)]
pub struct MeshSecrets {
    /// Proves that a canary exchange comes from the service.
    pub canary: Secret,
    /// 32 bytes in hex, kept across restarts; see [`Mesh::token_key`].
    pub token_key: Secret,
}

/// Compiles `documents`.
///
/// ```
/// use policy::compile::{MeshSecrets, compile};
/// use policy::documents::Documents;
/// use policy::secret::Secret;
///
/// let secrets = MeshSecrets { canary: Secret::new("canary"), token_key: Secret::new("00".repeat(32)) };
/// let compiled = compile(&Documents::default(), secrets);
/// assert!(compiled.is_ok_and(|compiled| compiled.keys.is_empty()));
/// ```
///
/// # Errors
/// Everything that is wrong with them, as [`check`](crate::check::check()) finds it.
pub fn compile(documents: &Documents, secrets: MeshSecrets) -> Result<Compiled, Vec<Problem>> {
    compile_with(documents, secrets, &mut Prepared::default())
}

/// [`compile`] that reuses what was prepared for the documents before, and prepares the rest.
///
/// # Errors
/// As [`compile`].
pub fn compile_with(
    documents: &Documents,
    secrets: MeshSecrets,
    prepared: &mut Prepared,
) -> Result<Compiled, Vec<Problem>> {
    let problems = check_with(documents, &|_| None, prepared);
    if !problems.is_empty() {
        return Err(problems);
    }
    let providers = documents.providers.values();
    let providers = providers.map(|provider| compiled_provider(documents, provider));
    let mut providers = providers.collect::<Vec<_>>();
    providers.sort_by(|one, other| one.name.cmp(&other.name));
    let (of_keys, routes) = routes_in_order(documents);
    let settings = &documents.settings;
    let enforced = guardrails::enforced(documents, prepared)?;
    prepared.settle();
    let mut mesh = Mesh {
        inference_auth: settings.inference_auth,
        on_unknown_price: settings.on_unknown_price,
        on_record_overflow: settings.on_record_overflow,
        on_revoke: settings.on_revoke,
        body_cap_bytes: settings.body_cap_bytes,
        snapshot_max_age_ms: settings.snapshot_max_age_ms,
        max_attempts: settings.max_attempts,
        max_running_per_key: settings.max_running_per_key,
        hosts: settings.hosts.clone(),
        cors_origins: settings.cors_origins.clone(),
        providers,
        routes,
        plans: Vec::new(),
        canary_secret: secrets.canary,
        guardrails: enforced.guardrails,
        rule_files: enforced.rule_files,
        word_lists: enforced.word_lists,
        token_key: secrets.token_key,
        quotas: quotas::of_all(documents),
        prices: quotas::prices(documents),
    };
    let own_quotas = quotas::OfPeople::new(documents);
    let mut keys = BTreeMap::new();
    for key in documents.keys.values() {
        let mut compiled = compiled_key(documents, key, &of_keys);
        compiled.quotas = own_quotas.of(&compiled.principal);
        keys.insert(key.hash, compiled);
    }
    let plans = plans::enumerate(&mesh, keys.values());
    mesh.plans = plans.names;
    Ok(Compiled {
        mesh,
        keys,
        plans_are_incomplete: plans.is_incomplete,
        blobs: enforced.blobs,
    })
}

fn compiled_provider(documents: &Documents, provider: &Provider) -> CompiledProvider {
    let usable = provider
        .keys
        .iter()
        .filter(|key| key.state == ProviderKeyState::Active);
    let mut keys = usable
        .map(|key| CompiledProviderKey {
            id: key.id,
            name: key.name.clone(),
            secret: key.secret.clone(),
            weight: key.weight,
        })
        .collect::<Vec<_>>();
    keys.sort_by_key(|key| key.id);
    let priced_models = (documents.settings.on_unknown_price == OnUnknownPrice::Deny)
        .then(|| PriceBook::embedded().priced_models(&provider.price_table, &documents.prices));
    CompiledProvider {
        id: provider.id,
        name: provider.name.clone(),
        dialect: provider.dialect,
        base_url: provider.base_url.clone(),
        auth: provider.auth,
        path_style: provider.path_style.clone(),
        hosts: provider.hosts.clone(),
        models: provider.models.clone(),
        listed_models: provider.listed_models.clone(),
        keys,
        stream_usage: provider.stream_usage,
        price_table: provider.price_table.clone(),
        priced_models,
        stream_header_timeout_ms: provider.stream_header_timeout_ms,
        whole_header_timeout_ms: provider.whole_header_timeout_ms,
        idle_timeout_ms: provider
            .idle_timeout_ms
            .unwrap_or_else(|| default_idle_timeout_ms(&provider.base_url)),
        on_no_answer: provider.on_no_answer,
        pass_request_headers: provider.pass_request_headers.clone(),
        pass_response_headers: provider.pass_response_headers.clone(),
        set_request_headers: provider.set_request_headers.clone(),
    }
}

/// Returns the routes of single keys and those of all other scopes, in the order they are tried.
fn routes_in_order(documents: &Documents) -> (Vec<CompiledRoute>, Vec<CompiledRoute>) {
    let mut routes = documents.routes.values().collect::<Vec<_>>();
    routes.sort_by_key(|route| {
        let precision = Reverse(route.alias.precision());
        (
            breadth(route.scope),
            precision,
            route.alias.as_str(),
            route.id,
        )
    });
    let compiled = routes
        .into_iter()
        .filter_map(|route| compiled_route(documents, route));
    compiled.partition(|route| matches!(route.scope, Scope::Key(_)))
}

const fn breadth(scope: Scope) -> u8 {
    match scope {
        Scope::Key(_) => 0,
        Scope::User(_) => 1,
        Scope::Team(_) => 2,
        Scope::Customer(_) => 3,
        Scope::Global => 4,
    }
}

fn compiled_route(documents: &Documents, route: &Route) -> Option<CompiledRoute> {
    let first = route.targets.first()?;
    let mut providers = documents.providers.values();
    let dialect = providers
        .find(|provider| provider.name == first.provider)?
        .dialect;
    Some(CompiledRoute {
        id: route.id,
        scope: route.scope,
        alias: route.alias.clone(),
        dialect,
        targets: route.targets.clone(),
    })
}

fn compiled_key(documents: &Documents, key: &VirtualKey, of_keys: &[CompiledRoute]) -> CompiledKey {
    let (principal, above) = principal(documents, key);
    let own_routes = of_keys
        .iter()
        .filter(|route| covers(route.scope, Some(&principal)));
    CompiledKey {
        state: key.state,
        expires_at_ms: key.expires_at,
        access: core::iter::once(&key.access)
            .chain(above)
            .cloned()
            .collect(),
        subscription: key.subscription,
        opaque_paths: key.opaque_paths.clone(),
        routes: own_routes.cloned().collect(),
        quotas: Vec::new(),
        on_revoke: key.on_revoke,
        principal,
    }
}

/// Returns everyone behind `key`, as far as `documents` hold them.
pub fn principal_of(documents: &Documents, key: &VirtualKey) -> Principal {
    principal(documents, key).0
}

/// Returns everyone behind `key`, and their rules from the user up.
fn principal<'d>(documents: &'d Documents, key: &VirtualKey) -> (Principal, Vec<&'d Access>) {
    let (user, team, customer) = match key.owner {
        Owner::User(user) => (Some(user), None, None),
        Owner::Team(team) => (None, Some(team), None),
        Owner::Customer(customer) => (None, None, Some(customer)),
    };
    let user_document = user.and_then(|user| documents.users.get(&user));
    let team = team.or_else(|| user_document?.team);
    let team_document = team.and_then(|team| documents.teams.get(&team));
    let customer = customer
        .or_else(|| team_document?.customer)
        .or_else(|| user_document?.customer);
    let customer_document = customer.and_then(|customer| documents.customers.get(&customer));
    let rules = [
        user_document.and_then(|user| user.access.as_ref()),
        team_document.and_then(|team| team.access.as_ref()),
        customer_document.and_then(|customer| customer.access.as_ref()),
    ];
    let environment = key.environment.clone();
    let principal = Principal {
        key: Some(key.id),
        user,
        team,
        customer,
        environment,
    };
    (principal, rules.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests;
