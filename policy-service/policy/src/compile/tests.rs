use uuid::Uuid;

use super::*;
use crate::documents::{Customer, InferenceAuth, KeyState, ProviderKeySelector, Team};
use crate::fixture::{
    access, add_route, allow, compiled, documents, everything, key, provider, route, secrets,
    target, user,
};
use crate::ids::{CustomerId, TeamId};
use crate::surface::Dialect;

const OPENAI: Dialect = Dialect::Openai;

#[track_caller]
fn plans(documents: &Documents, want: &[&str]) {
    assert_eq!(compiled(documents).mesh.plans, want);
}

#[test]
fn the_chain_goes_from_key_to_customer() {
    let mut documents = documents(vec![provider("a", OPENAI, 1)]);
    let (team, customer) = (
        TeamId::new(Uuid::from_u128(5)),
        CustomerId::new(Uuid::from_u128(6)),
    );
    let rule = |model: &str| Some(access(vec![allow("a", &[model])]));
    let name = String::from("acme");
    documents.customers.insert(
        customer,
        Customer {
            id: customer,
            name,
            access: rule("customer"),
        },
    );
    let name = String::from("core");
    documents.teams.insert(
        team,
        Team {
            id: team,
            name,
            customer: Some(customer),
            access: None,
        },
    );
    let mut ann = user(1);
    ann.team = Some(team);
    ann.access = rule("user");
    documents.users.insert(ann.id, ann.clone());
    let compiled = compiled(&documents);
    let found = compiled.keys.values().next().unwrap();
    assert_eq!(found.principal.user, Some(ann.id));
    assert_eq!(found.principal.team, Some(team));
    assert_eq!(found.principal.customer, Some(customer));
    assert_eq!(
        found.access,
        [
            everything(),
            rule("user").unwrap(),
            rule("customer").unwrap()
        ]
    );
}

#[test]
fn keys_that_cannot_be_used_stay_out_of_providers_but_in_tables() {
    let mut documents = documents(vec![provider("a", OPENAI, 3)]);
    let provider = documents.providers.values_mut().next().unwrap();
    provider.keys[0].state = ProviderKeyState::Bad;
    provider.keys[1].state = ProviderKeyState::Disabled;
    documents
        .keys
        .values_mut()
        .for_each(|key| key.state = KeyState::Revoked);
    let compiled = compiled(&documents);
    assert_eq!(compiled.mesh.providers[0].keys.len(), 1);
    assert_eq!(
        compiled.keys.values().next().unwrap().state,
        KeyState::Revoked
    );
}

#[test]
fn routes_of_a_key_travel_with_it() {
    let mut documents = documents(vec![provider("a", OPENAI, 1)]);
    let mut own = route(1, "fast", vec![target("a", None, 0, 1)]);
    own.scope = Scope::Key(*documents.keys.keys().next().unwrap());
    add_route(&mut documents, own);
    add_route(
        &mut documents,
        route(2, "all", vec![target("a", None, 0, 1)]),
    );
    let compiled = compiled(&documents);
    assert_eq!(compiled.mesh.routes.len(), 1);
    assert_eq!(compiled.keys.values().next().unwrap().routes.len(), 1);
}

#[test]
fn one_provider_needs_no_plan() {
    plans(&documents(vec![provider("a", OPENAI, 3)]), &[]);
}

#[test]
fn other_dialects_are_never_paired() {
    plans(
        &documents(vec![
            provider("a", OPENAI, 1),
            provider("b", Dialect::Gemini, 1),
        ]),
        &[],
    );
}

#[test]
fn providers_without_a_common_model_are_never_paired() {
    let mut documents = documents(vec![provider("a", OPENAI, 1), provider("b", OPENAI, 1)]);
    for (found, models) in documents
        .providers
        .values_mut()
        .zip([["gpt-*"], ["claude-*"]])
    {
        found.models = crate::fixture::patterns(&models);
    }
    plans(&documents, &[]);
    for found in documents.providers.values_mut() {
        found.models.extend(crate::fixture::patterns(&["o3"]));
    }
    plans(&documents, &["plan/a,b", "plan/b,a"]);
}

#[test]
fn routes_have_a_plan_for_every_draw() {
    let mut documents = documents(["a", "b", "c"].map(|name| provider(name, OPENAI, 1)).into());
    documents
        .providers
        .values_mut()
        .for_each(|found| found.models.clear());
    let targets = vec![
        target("a", None, 0, 1),
        target("b", None, 0, 1),
        target("c", None, 1, 1),
    ];
    add_route(&mut documents, route(1, "fast", targets));
    plans(&documents, &["plan/a,b,c", "plan/b,a,c"]);
}

#[test]
fn forbidden_targets_are_in_no_plan() {
    let mut documents = documents(["a", "b", "c"].map(|name| provider(name, OPENAI, 2)).into());
    documents
        .providers
        .values_mut()
        .for_each(|found| found.models.clear());
    let targets = vec![
        target("a", None, 0, 1),
        target("b", None, 1, 1),
        target("c", None, 2, 1),
    ];
    add_route(&mut documents, route(1, "fast", targets));
    let mut one_key = allow("c", &["*"]);
    one_key.provider_keys = vec![ProviderKeySelector("k1".to_owned())];
    let rule = access(vec![allow("a", &["*"]), one_key]);
    documents
        .keys
        .values_mut()
        .for_each(|key| key.access = rule.clone());
    plans(&documents, &["plan/a,a,c"]);
    documents.settings.inference_auth = InferenceAuth::Observe;
    plans(&documents, &["plan/a,a,b,b,c,c", "plan/a,a,c"]);
}

#[test]
fn too_many_plans_are_told() {
    let providers = (0..40_u8).map(|number| provider(&format!("p{number}"), OPENAI, 3));
    let mut documents = documents(providers.collect());
    for found in documents.providers.values_mut() {
        found.models = crate::fixture::patterns(&["regex:.*"]);
    }
    let compiled = compiled(&documents);
    assert!(compiled.plans_are_incomplete);
    assert_eq!(compiled.mesh.plans.len(), MAX_PLANS);
}

#[test]
fn nothing_that_is_wrong_compiles() {
    let mut documents = documents(vec![provider("a", OPENAI, 1)]);
    add_route(
        &mut documents,
        route(1, "fast", vec![target("zz", None, 0, 1)]),
    );
    let problems = compile(&documents, secrets()).unwrap_err();
    assert_eq!(
        problems[0].to_string(),
        "`routes[fast].targets[0].provider`: there is no provider `zz`"
    );
}

#[test]
fn ten_thousand_keys_share_their_situations() {
    let mut documents = documents(["a", "b", "c"].map(|name| provider(name, OPENAI, 3)).into());
    let owner = documents.keys.values().next().unwrap().owner;
    for number in 0..10_000_u128 {
        let mut key = key(1, owner, everything());
        key.id = crate::ids::KeyId::new(Uuid::from_u128(100 + number));
        key.name = format!("n{number}");
        let mut hash = [0; 32];
        hash[16..].copy_from_slice(&number.to_be_bytes());
        key.hash = KeyHash::new(hash);
        documents.keys.insert(key.id, key);
    }
    let compiled = compiled(&documents);
    assert_eq!(compiled.keys.len(), 10_001);
    assert_eq!(compiled.mesh.plans.len(), 3);
}
