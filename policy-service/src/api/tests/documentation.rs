//! The guide and the description say what is so.

use std::collections::BTreeSet;

use policy::compiled::{CompiledKey, OpaqueGrant, Principal};
use policy::documents::{KeyState, Subscription};
use policy::opaque_path::OpaquePath;
use policy::surface::Dialect;

use super::*;

const GUIDE: &str = include_str!("../../../../docs/api.md");

#[test]
fn the_guide_lists_every_code() {
    let source = include_str!("../error.rs");
    let (_, table) = source.split_once("impl ApiError").unwrap();
    let (table, _) = table.split_once("fn listed").unwrap();
    let codes: BTreeSet<_> = table
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|text| {
            !text.contains(' ') && text.contains('_')
                || ["internal", "forbidden", "unauthenticated"].contains(text)
        })
        .collect();
    assert!(
        codes.contains("still_referenced") && codes.contains("key_not_found"),
        "{codes:?}"
    );
    for code in codes {
        assert!(
            GUIDE.contains(&format!("| `{code}` |")),
            "docs/api.md does not explain `{code}`"
        );
    }
}

#[test]
fn the_guide_names_every_path_and_no_other() {
    let description = parts().description;
    let description: Value = serde_json::from_str(&description.to_json().unwrap()).unwrap();
    let described: BTreeSet<_> = description["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let named: BTreeSet<_> = GUIDE
        .split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|code| {
            code.split_whitespace()
                .find(|word| word.starts_with("/api/v1/"))
        })
        .map(|path| path.split('?').next().unwrap())
        .collect();
    assert_eq!(named, described);
}

#[tokio::test]
async fn the_description_is_served_and_whole() {
    let service = Service::start().await;
    let description = service.get("/api/v1/openapi.json").await.ok();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(
        description["components"]["securitySchemes"]["admin_token"]["scheme"],
        "bearer"
    );
    let text = description.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(
            description["components"]["schemas"][name].is_object(),
            "{name} is not described"
        );
    }
}

/// The bodies of the guide, in its order, against a service of its own.
#[tokio::test]
async fn the_guide_works_as_written() {
    let service = Service::start().await;
    let mut ids: Vec<(&str, String)> = Vec::new();
    let mut steps = 0;
    for block in GUIDE
        .split("```sh\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
    {
        for command in block.split("weir_api ").skip(1) {
            let (call, body) = match command.split_once(" '") {
                Some((call, body)) => (call, Some(body.rsplit_once('\'').unwrap().0)),
                None => (command, None),
            };
            let mut words = call.split_whitespace();
            let (method, path) = (
                words.next().unwrap(),
                words.next().unwrap().trim_matches('"'),
            );
            let fill = |text: &str| {
                ids.iter()
                    .fold(text.to_owned(), |text, (name, id)| text.replace(name, id))
            };
            let body = body.map(|body| serde_json::from_str(&fill(body)).unwrap());
            let answer = service
                .call(method, &format!("/api/v1{}", fill(path)), body.as_ref())
                .await
                .ok();
            let id = answer["id"]
                .as_str()
                .or(answer["key"]["id"].as_str())
                .map(str::to_owned);
            match (path, id) {
                ("/teams", Some(id)) => ids.push(("TEAM_ID", id)),
                ("/keys", Some(id)) => ids.push(("KEY_ID", id)),
                ("/providers", Some(id)) => ids.push(("PROVIDER_ID", id)),
                ("/quotas", Some(id)) => ids.push(("QUOTA_ID", id)),
                _ => {}
            }
            steps += 1;
        }
    }
    assert!(steps >= 8, "{steps}");
}

#[test]
fn the_guide_names_every_preset() {
    for preset in policy::presets::Preset::ALL {
        let name = format!("`{}`", preset.name);
        assert!(GUIDE.contains(&name), "docs/api.md does not name {name}");
    }
}

/// A key that names one pattern.
fn key_with(pattern: OpaquePath) -> CompiledKey {
    CompiledKey {
        principal: Principal::default(),
        state: KeyState::Active,
        expires_at_ms: None,
        access: Vec::new(),
        subscription: Subscription::Refused,
        opaque_paths: vec![pattern],
        routes: Vec::new(),
        quotas: Vec::new(),
        on_revoke: None,
    }
}

/// Whether the key covers a path of OpenAI's, by the method before it or else by some.
fn covers(key: &CompiledKey, call: &str) -> bool {
    let (methods, path) = match call.split_once(' ') {
        Some((method, path)) => (vec![method], path),
        None => (vec!["GET", "POST"], call),
    };
    let mut granted = methods
        .into_iter()
        .map(|method| key.opaque_grant(Dialect::Openai, method, path));
    granted.any(|granted| granted == OpaqueGrant::Allowed)
}

#[test]
fn the_guides_path_patterns_cover_what_it_says() {
    let (_, table) = GUIDE
        .split_once("| pattern | covers | does not cover |\n| --- | --- | --- |\n")
        .unwrap();
    let named = |cell: &'static str| cell.split('`').skip(1).step_by(2);
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let mut checked = 0;
    for row in rows {
        let cells: Vec<&'static str> = row.split('|').collect();
        let is_refused = cells[2].contains("nothing");
        for text in named(cells[1]) {
            let Ok(pattern) = OpaquePath::parse(text) else {
                assert!(is_refused, "{text}");
                continue;
            };
            assert!(!is_refused, "{text}");
            let key = key_with(pattern);
            for call in named(cells[2]) {
                assert!(covers(&key, call), "{text} {call}");
            }
            for call in named(cells[3]) {
                assert!(!covers(&key, call), "{text} {call}");
            }
            checked += 1;
        }
    }
    assert_eq!(checked, 5);
}
