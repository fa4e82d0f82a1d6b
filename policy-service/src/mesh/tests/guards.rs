//! What guardrails need of the control plane: blobs to the filters; tokens, proofs and outcomes from them.

use std::collections::BTreeMap;

use axum::body::Body;
use policy::ids::GuardrailId;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tower::ServiceExt as _;
use wire::mesh::{FindTokens, GuardProof, GuardProven, VaultEntry};

use super::*;
use crate::operations::fields::WordListFields;
use crate::operations::{guardrails, word_lists};
use crate::readiness::{self, Readiness};

const TENANT: [u8; 17] = [2; 17];
/// As `store` has it: a page is at most this long unless the mesh or a key table alone is longer.
const PAGE_BYTES: usize = 256 * 1024;

/// Words that have nothing in common, so that no compact form makes them few bytes.
fn words(count: usize) -> Vec<String> {
    let word = |number: usize| hex::encode(Sha256::digest(number.to_be_bytes()));
    (0..count).map(word).collect()
}

async fn add_list(mesh: &Mounted, name: &str, words: Vec<String>) {
    let fields = WordListFields {
        name: Some(name.to_owned()),
        words: Some(words),
    };
    word_lists::create(&mesh.store, &caller(), fields)
        .await
        .unwrap();
}

async fn add_guardrail(mesh: &Mounted, name: &str, detector: serde_json::Value) -> GuardrailId {
    let draft = json!({
        "name": name,
        "stages": [{"detectors": [detector], "action": "block"}],
    });
    let draft = serde_json::from_value(draft).unwrap();
    guardrails::create(&mesh.store, &caller(), draft)
        .await
        .unwrap()
        .id
}

fn word_detector(list: &str) -> serde_json::Value {
    json!({"words": {"list": list}})
}

/// Takes all pages after what `request` knows, and puts the blobs together as a filter does.
async fn follow_all(
    filter: &mut Filter,
    mut request: FollowRequest,
) -> (FollowAnswer, Option<Mesh>, BTreeMap<String, Vec<u8>>) {
    let mut blobs: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut mesh = None;
    loop {
        let page = follow(filter, request.clone()).await;
        let length: usize = page.blobs.iter().map(|piece| piece.data.len()).sum();
        assert!(length <= PAGE_BYTES);
        for piece in &page.blobs {
            assert!(mesh.is_none(), "blobs come before the mesh that names them");
            let blob = blobs.entry(hex::encode(&piece.id)).or_default();
            assert_eq!(piece.offset, u64::try_from(blob.len()).unwrap());
            blob.extend(&piece.data);
        }
        if !page.mesh.is_empty() {
            mesh = Some(Mesh::decode(&page.mesh).unwrap());
        }
        if page.next_page_token.is_empty() {
            return (page, mesh, blobs);
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn a_long_word_list_arrives_whole_and_is_not_sent_again() {
    let mesh = mount().await;
    add_list(&mesh, "long", words(20_000)).await;
    add_guardrail(&mesh, "long", word_detector("long")).await;
    mesh.published().await;
    let mut filter = mesh.filter().await;
    let (last, compiled, blobs) = follow_all(&mut filter, from_nothing()).await;
    let named = &compiled.unwrap().word_lists[0];
    let blob = &blobs[&named.blob.0];
    assert!(blob.len() > 4 * PAGE_BYTES, "{} bytes", blob.len());
    assert_eq!(u64::try_from(blob.len()).unwrap(), named.bytes);
    let hash = Sha256::digest(blob);
    assert_eq!(named.blob.0, hex::encode(&hash[..16]));

    mesh.add_key("ann").await;
    mesh.published().await;
    let (last, _, blobs) = follow_all(&mut filter, after(&last, 1_000)).await;
    assert!(
        blobs.is_empty(),
        "a filter that has the list does not get it again"
    );

    add_list(&mesh, "short", vec![String::from("forbidden words")]).await;
    add_guardrail(&mesh, "short", word_detector("short")).await;
    mesh.published().await;
    let (_, compiled, blobs) = follow_all(&mut filter, after(&last, 1_000)).await;
    let lists = compiled.unwrap().word_lists;
    let short = lists.iter().find(|named| named.name == "short").unwrap();
    assert_eq!(blobs.keys().collect::<Vec<_>>(), [&short.blob.0]);
    assert_eq!(lists.len(), 2);
}

fn report(mesh: &Mounted, vm: u8) -> ReportRequest {
    let Version {
        generation,
        version,
    } = mesh.control.version();
    ReportRequest {
        node_id: String::from(NODE),
        process_id: vec![1; 16],
        vm_id: vec![vm; 16],
        generation: generation.to_vec(),
        version,
        ..ReportRequest::default()
    }
}

fn minted(tenant: &[u8], session: &str, token: &str) -> VaultEntry {
    VaultEntry {
        tenant: tenant.to_vec(),
        session: session.to_owned(),
        token: token.to_owned(),
        value: format!("value of {token}").into_bytes(),
        kind: String::from("aws-access-token"),
    }
}

async fn find(filter: &mut Filter, session: &str, tokens: &[&str]) -> Vec<VaultEntry> {
    let question = FindTokens {
        tenant: TENANT.to_vec(),
        session: session.to_owned(),
        tokens: tokens.iter().map(|token| (*token).to_owned()).collect(),
        all_of_session: tokens.is_empty(),
    };
    let consult = ConsultRequest {
        exchange_id: vec![1; 16],
        question: Some(consult_request::Question::FindTokens(question)),
    };
    let answer = filter.consult(consult).await.unwrap().into_inner().answer;
    let Some(consult_answer::Answer::FindTokens(answer)) = answer else {
        panic!("no answer")
    };
    assert!(!answer.truncated);
    answer.entries
}

#[tokio::test]
async fn what_one_worker_made_another_can_restore() {
    let mesh = mount().await;
    let mut filter = mesh.filter().await;
    let made = ReportRequest {
        minted: vec![
            minted(&TENANT, "s", "one"),
            minted(&TENANT, "s", "two"),
            minted(&TENANT, "t", "three"),
            minted(&[3; 17], "s", "four"),
        ],
        ..report(&mesh, 1)
    };
    filter.report(made.clone()).await.unwrap();
    filter.report(made).await.unwrap();
    let found = find(&mut filter, "s", &["two", "three", "four", "five"]).await;
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].token.as_str(), found[0].value.as_slice()),
        ("two", &b"value of two"[..])
    );
    assert!(found[0].tenant.is_empty() && found[0].session.is_empty());
    assert_eq!(find(&mut filter, "s", &[]).await.len(), 2);
    assert!(find(&mut filter, "u", &[]).await.is_empty());
}

fn proof(mesh: &Mounted, proven: &[(GuardrailId, bool)]) -> Option<GuardProof> {
    let guardrails = proven.iter().map(|(id, found)| GuardProven {
        guardrail_id: id.into_bytes().to_vec(),
        found: *found,
        problem: String::from("the word list is missing"),
    });
    Some(GuardProof {
        version: mesh.control.version().version,
        guardrails: guardrails.collect(),
        ..GuardProof::default()
    })
}

/// Lets every VM report until the readiness is as `is_so` wants it.
async fn report_until(
    mesh: &Mounted,
    readiness: &Readiness,
    proven: &[&[(GuardrailId, bool)]],
    is_so: impl Fn(&readiness::State) -> bool,
) -> readiness::State {
    let mut filter = mesh.filter().await;
    let waiting = async {
        loop {
            for (vm, proven) in (1..).zip(proven) {
                let told = ReportRequest {
                    proof: proof(mesh, proven),
                    ..report(mesh, vm)
                };
                filter.report(told).await.unwrap();
            }
            let state = readiness.state();
            if is_so(&state) {
                return state;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting)
        .await
        .unwrap_or_else(|_| panic!("{:?}", readiness.state()))
}

fn by_reports(mesh: &Mounted) -> Readiness {
    let options = readiness::Options {
        mesh_urls: Vec::new(),
        workers: Some(1),
    };
    Readiness::start(mesh.control.clone(), options)
}

async fn readyz(readiness: &Readiness) -> (u16, serde_json::Value) {
    let request = axum::http::Request::get("/readyz/mesh")
        .body(Body::empty())
        .unwrap();
    let router = readiness::router(readiness.clone());
    let response = router.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 1 << 16).await;
    (status, serde_json::from_slice(&body.unwrap()).unwrap())
}

#[tokio::test]
async fn a_mesh_without_urls_is_ready_when_its_filters_say_so() {
    let mesh = mount().await;
    let readiness = by_reports(&mesh);
    assert_eq!(readyz(&readiness).await.0, 503);
    let state = report_until(&mesh, &readiness, &[&[], &[]], |state| state.ready).await;
    assert_eq!((state.workers_proven, state.workers_expected), (2, 2));
    assert_eq!(readyz(&readiness).await.0, 200);
}

/// Nothing that filters apply changes, and so no version of theirs appears that could be waited for.
#[tokio::test]
async fn a_change_that_filters_need_not_know_of_is_published_and_proven() {
    let mesh = mount().await;
    let version = mesh.published().await;
    add_list(&mesh, "unused", vec![String::from("blue moon")]).await;
    assert_eq!(mesh.published().await, version);
    let documents = mesh.store.version().await.unwrap();
    let readiness = by_reports(&mesh);
    let state = report_until(&mesh, &readiness, &[&[], &[]], |state| {
        state.proven_documents_version >= documents
    })
    .await;
    assert_eq!(state.proven_version, version);

    add_list(&mesh, "unused-too", vec![String::from("green cheese")]).await;
    let documents = mesh.store.version().await.unwrap();
    let state = report_until(&mesh, &readiness, &[&[], &[]], |state| {
        state.proven_documents_version >= documents
    })
    .await;
    assert_eq!(state.proven_version, version);
}

#[tokio::test]
async fn a_worker_that_does_not_find_a_canary_keeps_the_mesh_from_being_ready() {
    let mesh = mount().await;
    add_list(&mesh, "names", vec![String::from("blue moon")]).await;
    let names = add_guardrail(&mesh, "names", word_detector("names")).await;
    let codes = json!({"regex": {"id": "code", "pattern": "code-[0-9]{6}"}});
    let codes = add_guardrail(&mesh, "codes", codes).await;
    mesh.published().await;
    let readiness = by_reports(&mesh);
    let (all, some) = (
        [(names, true), (codes, true)],
        [(names, false), (codes, true)],
    );

    let state = report_until(&mesh, &readiness, &[&all, &some], |state| {
        !state.guardrails_unproven.is_empty()
            && state
                .guardrails_unproven
                .iter()
                .all(|it| matches!(it.lack, Lack::NotFound { .. }))
    })
    .await;
    assert!(!state.ready);
    let vm = hex::encode([2; 16]);
    assert_eq!(
        state.missing.unwrap(),
        format!(
            "the filter VM {vm} of the Envoy `node` does not find the canary of guardrail `names`: \
             the word list is missing"
        )
    );
    let (status, body) = readyz(&readiness).await;
    assert_eq!(status, 503);
    assert_eq!(
        body["guardrails_unproven"],
        json!([{"guardrail": "names", "node_id": NODE, "vm": vm}])
    );

    let state = report_until(&mesh, &readiness, &[&all, &all], |state| state.ready).await;
    assert_eq!(state.guardrails_unproven, []);
    assert_eq!(state.proven_version, mesh.control.version().version);
}

#[tokio::test]
async fn a_new_guardrail_is_not_proven_by_what_was_found_before_it() {
    let mesh = mount().await;
    let regex = |id: &str| json!({"regex": {"id": id, "pattern": format!("{id}-[0-9]{{6}}")}});
    let first = add_guardrail(&mesh, "first", regex("first")).await;
    mesh.published().await;
    let readiness = by_reports(&mesh);
    let proven = [(first, true)];
    let state = report_until(&mesh, &readiness, &[&proven, &proven], |state| state.ready).await;
    let version = mesh.control.version().version;
    assert_eq!(state.proven_version, version);

    add_guardrail(&mesh, "second", regex("second")).await;
    mesh.published().await;
    let state = report_until(&mesh, &readiness, &[&proven, &proven], |state| {
        state.guardrails_unproven.len() == 2
    })
    .await;
    assert_eq!(state.proven_version, version);
    assert!(state.missing.unwrap().contains("guardrail `second`"));
}
