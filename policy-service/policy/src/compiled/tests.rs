use proptest::prelude::*;

use super::*;
use crate::fixture::{any_documents, compiled, documents, provider};

#[test]
fn another_format_is_told_before_anything_else() {
    let error = Mesh::decode(br#"{"format": 9, "something": "else"}"#).unwrap_err();
    assert!(matches!(error, DecodeError::Format { found: 9 }), "{error}");
}

#[test]
fn an_unknown_field_fails_the_mesh() {
    let mesh = compiled(&documents(vec![provider("a", Dialect::Openai, 1)])).mesh;
    let mut json: serde_json::Value = serde_json::from_slice(&mesh.encode()).unwrap();
    json["mesh"]["providers"][0]["novel_rule"] = serde_json::Value::Bool(true);
    let error = Mesh::decode(json.to_string().as_bytes()).unwrap_err();
    assert!(matches!(error, DecodeError::Json { .. }), "{error}");
}

#[test]
fn providers_out_of_order_fail_the_mesh() {
    let providers = vec![
        provider("a", Dialect::Openai, 1),
        provider("b", Dialect::Openai, 1),
    ];
    let mut mesh = compiled(&documents(providers)).mesh;
    mesh.providers.reverse();
    assert!(matches!(
        Mesh::decode(&mesh.encode()),
        Err(DecodeError::Unsorted { .. })
    ));
}

#[test]
fn standing_is_told_by_state_first() {
    let mut key = compiled(&documents(Vec::new()))
        .keys
        .into_values()
        .next()
        .unwrap();
    let (early, end, late) = (
        Timestamp::from_millis(1),
        Timestamp::from_millis(2),
        Timestamp::from_millis(3),
    );
    key.expires_at_ms = Some(end);
    assert_eq!(key.standing(early), Standing::Valid);
    assert_eq!(key.standing(end), Standing::Expired);
    key.state = KeyState::Inactive;
    assert_eq!(key.standing(late), Standing::Inactive);
    key.state = KeyState::Revoked;
    assert_eq!(key.standing(late), Standing::Revoked);
}

#[test]
fn the_tenant_is_the_team_where_there_is_one() {
    use uuid::Uuid;

    let mut principal = Principal::default();
    assert_eq!(principal.tenant(), [0; 17]);
    principal.key = Some(KeyId::new(Uuid::from_u128(7)));
    assert_eq!((principal.tenant()[0], principal.tenant()[16]), (4, 7));
    principal.customer = Some(CustomerId::new(Uuid::from_u128(8)));
    assert_eq!((principal.tenant()[0], principal.tenant()[16]), (1, 8));
    principal.team = Some(TeamId::new(Uuid::from_u128(9)));
    assert_eq!((principal.tenant()[0], principal.tenant()[16]), (2, 9));
}

#[test]
fn a_wildcard_covers_what_is_listed_and_an_exact_path_what_is_not() {
    use OpaqueGrant::{Administrative, Allowed, NotExactly, NotNamed, Stored};

    let mut key = compiled(&documents(Vec::new()))
        .keys
        .into_values()
        .next()
        .unwrap();
    let mut check = |pattern: &str, method: &str, path: &str, want: OpaqueGrant| {
        key.opaque_paths = vec![OpaquePath::parse(pattern).unwrap()];
        assert_eq!(
            key.opaque_grant(Dialect::Openai, method, path),
            want,
            "{pattern}: {method} {path}"
        );
    };
    for wildcard in ["/**", "/v1/**", "/v1/*/*"] {
        check(wildcard, "POST", "/v1/images/generations", Allowed);
        check(wildcard, "GET", "/v1/images/generations", NotExactly);
        check(wildcard, "POST", "/v1/future/things", NotExactly);
        check(wildcard, "GET", "/v1/files/file-1", Stored);
        check(
            wildcard,
            "POST",
            "/v1/realtime/client_secrets",
            Administrative,
        );
        check(
            wildcard,
            "POST",
            "/v2/images/generations",
            if wildcard == "/**" { Allowed } else { NotNamed },
        );
    }
    check("/v1/future/things", "POST", "/v1/future/things", Allowed);
    check("/v1/future/things", "PUT", "/v1/future/things", Allowed);
    check("/v1/files/file-1", "GET", "/v1/files/file-1", Stored);
    check(
        "/v1/realtime/sessions",
        "POST",
        "/v1/realtime/sessions",
        Administrative,
    );
    check("/v1/audio/*", "POST", "/v1/images/generations", NotNamed);
}

proptest! {
    #[test]
    fn printing_and_reading_a_mesh_changes_nothing(documents in any_documents()) {
        let mesh = compiled(&documents).mesh;
        prop_assert_eq!(Mesh::decode(&mesh.encode()).unwrap(), mesh);
    }

    #[test]
    fn reading_garbage_never_panics(bytes: Vec<u8>) {
        prop_assert!(Mesh::decode(&bytes).is_err());
    }
}
