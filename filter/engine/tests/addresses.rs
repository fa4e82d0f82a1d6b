//! What of a request's path, query and model reaches a provider's URL.

#[cfg(test)]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use engine::messages::ClosedBy;
use proptest::prelude::*;
use support::{Driven, World, code_of, edit, key_text};

const CHAT: &str = "/v1/chat/completions";

fn chat(model: &str) -> String {
    serde_json::json!({"model": model, "messages": []}).to_string()
}

/// The path of the first attempt, or the code of the refusal and its text.
#[cfg(test)]
fn sent(world: &World, path: &str, body: &str) -> Result<String, (String, String)> {
    let mut driven = Driven::post(world, path, &[], body);
    let commands = driven.commands();
    match commands.as_slice() {
        [engine::Command::Forward { .. }] => {
            let attempt = driven.attempt(1, None);
            Ok(edit(&attempt, ":path").unwrap_or(path).to_owned())
        }
        [engine::Command::Reply(reply)] => {
            let text = String::from_utf8_lossy(&reply.body).into_owned();
            Err((code_of(reply), text))
        }
        other => panic!("{other:?}"),
    }
}

#[cfg(test)]
#[track_caller]
fn passes(world: &World, path: &str, body: &str, want: &str) {
    assert_eq!(
        sent(world, path, body).as_deref(),
        Ok(want),
        "{path} {body}"
    );
}

#[cfg(test)]
#[track_caller]
fn refused(world: &World, path: &str, body: &str, want: &str) {
    let (code, text) = sent(world, path, body).unwrap_err();
    assert_eq!(code, want, "{path} {body}: {text}");
}

/// Names that would leave the place of a model, behind one that a provider's pattern covers.
const ESCAPES: [&str; 20] = [
    "/../../files?api-version=2024-10-21&x=",
    "/chat/completions?api-version=2024-10-21&x=",
    "/extensions",
    "/..",
    "?x=1",
    "#x",
    "%2f..%2ffiles",
    "%3fx",
    "%",
    "\\..\\files",
    "&x",
    "=x",
    ";x",
    ":x",
    "@x",
    "+x",
    "\u{e9}",
    "\u{2044}files",
    "\u{ff0e}",
    "\u{202e}",
];

#[test]
fn a_deployment_is_one_segment() {
    let world = World::with_models_in_paths();
    let path = |model: &str| {
        format!("/openai/deployments/{model}/chat/completions?api-version=2024-10-21")
    };
    for model in ["az-4o", "az-4.1_mini", "AZ-4O"] {
        passes(&world, CHAT, &chat(model), &path(model));
    }
    passes(&world, CHAT, &chat("azure-a/az-4o"), &path("az-4o"));
    passes(&world, CHAT, &chat("deployed/alias"), &path("az-4o"));
    for escape in ESCAPES {
        for model in ["az-4o", "az-5", "azure-a/az-4o"] {
            let body = chat(&format!("{model}{escape}"));
            refused(&world, CHAT, &body, "model_name_invalid");
        }
    }
    let long = chat(&format!("az-{}", "a".repeat(200)));
    refused(&world, CHAT, &long, "model_name_invalid");
    refused(&world, CHAT, &chat("az-5"), "model_not_allowed");
    refused(&world, CHAT, &chat("AZ-5"), "model_not_allowed");
}

#[test]
fn a_body_names_any_model_where_the_path_does_not() {
    let world = World::default();
    let model = "openai-a/gpt-a";
    assert_eq!(
        sent(&world, CHAT, &chat(model)).as_deref(),
        Ok("/chat/completions")
    );
}

#[test]
fn a_gemini_model_is_judged_as_the_path_names_it() {
    let world = World::with_models_in_paths();
    let body = r#"{"contents":[]}"#;
    for (path, want) in [
        (
            "/v1beta/models/gemini-a:generateContent",
            "/v1beta/models/gemini-a:generateContent",
        ),
        (
            "/genai/models/gemini-a:streamGenerateContent?alt=sse",
            "/v1beta/models/gemini-a:streamGenerateContent?alt=sse",
        ),
        (
            "/models/gemini-a:countTokens",
            "/v1beta/models/gemini-a:countTokens",
        ),
        (
            "/v1beta/tunedModels/birds:generateContent",
            "/v1beta/tunedModels/birds:generateContent",
        ),
        (
            "/v1beta/models/tuned:generateContent",
            "/v1beta/tunedModels/cats:generateContent",
        ),
        (
            "/v1beta/tunedModels/base:generateContent",
            "/v1beta/models/gemini-a:generateContent",
        ),
        (
            "/v1beta/models/gemini-a/gemini-b:generateContent",
            "/v1beta/models/gemini-b:generateContent",
        ),
    ] {
        passes(&world, path, body, want);
    }
    for (path, want) in [
        // The base model of this name may be used, the tuned one may not.
        (
            "/v1beta/tunedModels/dogs:generateContent",
            "model_not_allowed",
        ),
        ("/v1beta/models/dogs:generateContent", "model_not_allowed"),
        ("/v1beta/models/cats:generateContent", "model_not_allowed"),
        ("/v1beta/models/a:b:generateContent", "model_name_invalid"),
        (
            "/v1beta/models/tunedModels/cats:generateContent",
            "model_name_invalid",
        ),
        ("/v1beta/TunedModels/cats:generateContent", "bad_path"),
        ("/v1beta/models/gemini-a/../x:generateContent", "bad_path"),
        ("/v1beta/models/gemini-a%2fx:generateContent", "bad_path"),
    ] {
        refused(&world, path, body, want);
    }
}

#[test]
fn a_tuned_model_is_recorded_under_its_name_and_told_so_in_the_body() {
    let world = World::with_models_in_paths();
    for (path, body, model, want) in [
        (
            "/v1beta/tunedModels/birds:countTokens",
            r#"{"generateContentRequest":{"model":"tunedModels/birds","contents":[]}}"#,
            "tunedModels/birds",
            None,
        ),
        (
            "/v1beta/models/tuned:countTokens",
            r#"{"generateContentRequest":{"model":"models/tuned","contents":[]}}"#,
            "tunedModels/cats",
            Some(r#"{"generateContentRequest":{"model":"tunedModels/cats","contents":[]}}"#),
        ),
        (
            "/v1beta/tunedModels/base:countTokens",
            r#"{"generateContentRequest":{"model":"tunedModels/base","contents":[]}}"#,
            "gemini-a",
            Some(r#"{"generateContentRequest":{"model":"models/gemini-a","contents":[]}}"#),
        ),
    ] {
        let mut driven = Driven::post(&world, path, &[], body);
        driven.forwarded();
        driven.attempt(1, None);
        if let Some(want) = want {
            assert_eq!(driven.spliced(body), want);
        }
        let record = driven.close(ClosedBy::Nobody);
        assert_eq!(record.attempts[0].model, model);
        let asked = path.split("odels/").nth(1).unwrap();
        let asked = asked.strip_suffix(":countTokens").unwrap();
        assert!(
            record.model_asked.ends_with(asked),
            "{}",
            record.model_asked
        );
    }
}

#[test]
fn a_body_that_names_another_collection_is_refused() {
    let world = World::with_models_in_paths();
    for (path, named) in [
        (
            "/v1beta/models/gemini-a:countTokens",
            "tunedModels/gemini-a",
        ),
        ("/v1beta/tunedModels/birds:countTokens", "models/birds"),
        ("/v1beta/tunedModels/birds:countTokens", "birds"),
        (
            "/v1beta/tunedModels/birds:countTokens",
            "models/tunedModels/birds",
        ),
    ] {
        let body = format!(r#"{{"generateContentRequest":{{"model":"{named}","contents":[]}}}}"#);
        assert!(sent(&world, path, &body).is_err(), "{path} {named}");
    }
}

#[test]
fn only_what_a_surface_takes_passes_in_the_query() {
    let world = World::with_models_in_paths();
    let gemini = "/v1beta/models/gemini-a:generateContent";
    let contents = r#"{"contents":[]}"#;
    let deployed = "/openai/deployments/az-4o/chat/completions?api-version=2024-10-21";
    passes(&world, CHAT, &chat("az-4o"), deployed);
    let messages = r#"{"model":"claude-a","max_tokens":8,"messages":[]}"#;
    passes(
        &world,
        "/v1/messages?%62eta=true",
        messages,
        "/v1/messages?beta=true",
    );
    for query in [
        "fields=candidates",
        "%66ields=candidates",
        "$fields=candidates",
        "access_token=x",
        "$httpHeaders=x",
        "$userProject=x",
        "KEY=x",
        "key[]=x",
        "prettyPrint=false",
        "callback=x",
        "quotaUser=x",
        "uploadType=media",
        "alt=media",
        "alt=proto",
        "$alt=proto",
        "alt=sse&%61lt=proto",
        "alt=sse&$alt=proto",
        "alt=sse%26fields=candidates",
        "alt=%zz",
    ] {
        refused(
            &world,
            &format!("{gemini}?{query}"),
            contents,
            "query_not_allowed",
        );
    }
    for query in [
        "api-version=2099-01-01",
        "api-versio%6e=2099-01-01",
        "API-VERSION=2099-01-01",
        "x=1",
    ] {
        refused(
            &world,
            &format!("{CHAT}?{query}"),
            &chat("az-4o"),
            "query_not_allowed",
        );
    }
    refused(
        &world,
        &format!("{gemini}?key=a&k%65y=b"),
        contents,
        "duplicate_credential",
    );
}

#[test]
fn a_virtual_key_in_the_query_is_a_credential_and_goes_nowhere() {
    let world = World::with_models_in_paths();
    for name in ["key", "k%65y", "%6bey"] {
        let path = format!(
            "/v1beta/models/gemini-a:generateContent?{name}={}&alt=sse",
            key_text()
        );
        let mut driven = Driven::post_as(&world, &path, &[], r#"{"contents":[]}"#);
        driven.forwarded();
        let attempt = driven.attempt(1, None);
        let path = "/v1beta/models/gemini-a:generateContent?alt=sse";
        assert_eq!(edit(&attempt, ":path"), Some(path));
        let record = driven.close(ClosedBy::Nobody);
        assert!(!format!("{record:?}").contains("sk-weir"), "{record:?}");
    }
    for name in ["KEY", "key[]", "$key"] {
        let path = format!(
            "/v1beta/models/gemini-a:generateContent?{name}={}",
            key_text()
        );
        let mut driven = Driven::post_as(&world, &path, &[], r#"{"contents":[]}"#);
        assert_eq!(code_of(&driven.reply()), "missing_credential");
    }
}

#[test]
fn an_opaque_path_takes_the_parameters_that_its_key_lists() {
    let mut world = World::default();
    let listed = ["/v1/audio/*?language&page", "/v1/audio/speech"];
    world.key_mut().opaque_paths = listed
        .map(|text| policy::opaque_path::OpaquePath::parse(text).unwrap())
        .into();
    world.key_mut().access[0].providers[0].denied_models.clear();
    passes(
        &world,
        "/v1/audio/transcriptions",
        "",
        "/audio/transcriptions",
    );
    passes(
        &world,
        "/v1/audio/transcriptions?page=a%20b&language=de",
        "",
        "/audio/transcriptions?page=a%20b&language=de",
    );
    for query in [
        "limit=1",
        "page=1&limit=1",
        "PAGE=1",
        "fields=a",
        "page=1&page=2",
    ] {
        let path = format!("/v1/audio/transcriptions?{query}");
        refused(&world, &path, "", "query_not_allowed");
    }
    refused(&world, "/v1/images?page=1", "", "path_not_allowed");
}

#[test]
fn a_model_of_another_surface_is_refused_with_its_path() {
    let world = World::with_models_in_paths();
    let contents = r#"{"contents":[]}"#;
    let messages = |model: &str| format!(r#"{{"model":"{model}","max_tokens":8,"messages":[]}}"#);
    for (path, body, want) in [
        (CHAT, chat("claude-a"), "use /v1/messages for it"),
        (CHAT, chat("smart"), "use /v1/messages for it"),
        ("/v1/responses", chat("claude-b"), "use /v1/messages for it"),
        (
            CHAT,
            chat("gemini-a"),
            "use /v1beta/models/MODEL:generateContent",
        ),
        (
            "/v1/embeddings",
            chat("gemini-a"),
            "use /v1beta/models/MODEL:embedContent",
        ),
        (
            "/v1/messages",
            messages("gpt-a"),
            "use /v1/chat/completions",
        ),
        (
            "/v1/messages",
            messages("tunedModels/cats"),
            "use /v1beta/models/MODEL",
        ),
        (
            "/v1/messages/count_tokens",
            messages("gemini-a"),
            "MODEL:countTokens",
        ),
        (
            "/v1beta/models/claude-a:countTokens",
            contents.to_owned(),
            "use /v1/messages/count_tokens",
        ),
        (
            "/v1beta/models/gpt-a:embedContent",
            contents.to_owned(),
            "use /v1/embeddings",
        ),
        (
            "/p/openai-a/v1/chat/completions",
            chat("claude-a"),
            "use /v1/messages for it",
        ),
    ] {
        let (code, text) = sent(&world, path, &body).unwrap_err();
        assert_eq!(code, "model_unknown", "{path} {body}");
        assert!(text.contains(want), "{path} {body}: {text}");
    }
    // What the key may not use is told from what nobody has by nothing.
    for model in ["az-5", "tunedModels/dogs", "claude-zzz"] {
        let (_, text) = sent(&world, "/v1/messages", &messages(model)).unwrap_err();
        assert!(!text.contains("use /"), "{model}: {text}");
    }
}

#[test]
fn a_list_of_nobody_s_shows_what_the_key_may_use_everywhere() {
    let world = World::with_models_in_paths();
    let list = |path: &str| {
        let mut driven = Driven::get(&world, path);
        String::from_utf8(driven.reply().body).unwrap()
    };
    let all = list("/v1/models");
    for model in [
        "claude-a",
        "claude-b",
        "smart",
        "gpt-a",
        "az-4o",
        "gemini-a",
        "tuned",
        "tunedModels/base",
    ] {
        assert!(
            all.contains(&format!("\"id\":\"{model}\"")),
            "{model}: {all}"
        );
    }
    assert!(all.contains("\"object\":\"list\"") && !all.contains("\"az-5\""));
    assert!(list("/models?limit=1000").contains("\"claude-a\""));
    for path in ["/openai/v1/models", "/openai/models"] {
        let own = list(path);
        assert!(own.contains("gpt-a") && !own.contains("claude-a"), "{own}");
    }
    let own = list("/anthropic/v1/models");
    assert!(own.contains("claude-a") && !own.contains("gpt-a"), "{own}");
    assert!(list("/v1/models/claude-a").contains("\"id\":\"claude-a\""));
    assert!(list("/v1/models/tunedModels/base").contains("tunedModels/base"));
    assert!(list("/openai/v1/models/claude-a").contains("model_unknown"));
    assert!(list("/v1/models/az-5").contains("model_unknown"));
}

/// Independent of how the path is made: what a provider of the test's world may be asked for.
fn is_upstream(path: &str) -> bool {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let is_segment = |text: &str| {
        !text.is_empty()
            && !matches!(text, "." | "..")
            && text
                .chars()
                .all(|it| it.is_ascii_alphanumeric() || "-_.".contains(it))
    };
    let parts: Vec<_> = path.split('/').skip(1).collect();
    match parts.as_slice() {
        ["chat", "completions"] | ["responses"] | ["embeddings"] => query.is_empty(),
        ["v1", "messages"] | ["v1", "messages", "count_tokens"] => {
            matches!(query, "" | "beta=true")
        }
        ["openai", "deployments", model, rest @ ..] => {
            is_segment(model)
                && query == "api-version=2024-10-21"
                && matches!(
                    rest,
                    ["chat", "completions"] | ["responses"] | ["embeddings"]
                )
        }
        ["v1beta" | "v1alpha" | "v1", "models" | "tunedModels", last] => {
            last.split_once(':')
                .is_some_and(|(model, _)| is_segment(model))
                && matches!(
                    query,
                    "" | "alt=sse" | "alt=json" | "$alt=json" | "$alt=sse"
                )
        }
        _ => false,
    }
}

fn any_model() -> impl Strategy<Value = String> {
    let head = proptest::sample::select(vec![
        "az-4o",
        "az-5",
        "gpt-a",
        "claude-a",
        "gemini-a",
        "azure-a/az-4o",
        "",
    ]);
    let tail = prop_oneof![
        "[a-z./?#%&=;:@\\\\-]{0,8}",
        any::<String>().prop_map(|text| text.chars().take(6).collect())
    ];
    (head, tail).prop_map(|(head, tail)| format!("{head}{tail}"))
}

fn any_path() -> impl Strategy<Value = String> {
    let fixed = proptest::sample::select(vec![
        "/v1/chat/completions",
        "/chat/completions",
        "/v1/messages",
        "/v1/responses",
        "/v1/embeddings",
        "/openai/v1/chat/completions",
        "/p/azure-a/v1/chat/completions",
    ])
    .prop_map(str::to_owned);
    let named = (
        proptest::sample::select(vec!["/v1beta", "/v1", "", "/genai", "/p/gemini-a/v1alpha"]),
        proptest::sample::select(vec![
            "models",
            "tunedModels",
            "TunedModels",
            "models/tunedModels",
        ]),
        "[a-z./%:@A-Z-]{0,10}|gemini-a",
        proptest::sample::select(vec![
            "generateContent",
            "streamGenerateContent",
            "countTokens",
            "GenerateContent",
            "x",
        ]),
    )
        .prop_map(|(version, collection, model, operation)| {
            format!("{version}/{collection}/{model}:{operation}")
        });
    prop_oneof![fixed, named, "/[a-z0-9/.%:-]{0,20}"]
}

fn any_query() -> impl Strategy<Value = String> {
    let pair = prop_oneof![
        proptest::sample::select(vec![
            "beta=true",
            "alt=sse",
            "$alt=json",
            "%61lt=sse",
            "fields=x",
            "alt=proto",
            "key=x",
            "api-version=1"
        ])
        .prop_map(str::to_owned),
        "[a-z%$=+;]{0,8}",
    ];
    proptest::collection::vec(pair, 0..3).prop_map(|pairs| pairs.join("&"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_goes_up_is_base_template_and_one_segment_of_the_model_that_was_judged(
        path in any_path(), query in any_query(), model in any_model(),
    ) {
        thread_local! {
            static WORLD: World = World::with_models_in_paths();
        }
        let target = if query.is_empty() { path } else { format!("{path}?{query}") };
        WORLD.with(|world| {
            let body = if target.contains("odels") { r#"{"contents":[]}"#.to_owned() } else { chat(&model) };
            let mut driven = Driven::post(world, &target, &[], &body);
            let commands = driven.commands();
            if !matches!(commands.as_slice(), [engine::Command::Forward { .. }]) {
                return Ok(());
            }
            let attempt = driven.attempt(1, None);
            let up = edit(&attempt, ":path").unwrap_or(&target).to_owned();
            prop_assert!(is_upstream(&up), "{} {} became {}", target, model, up);
            let record = driven.close(ClosedBy::Nobody);
            let judged = &record.attempts[0].model;
            prop_assert!(!judged.eq_ignore_ascii_case("az-5"));
            if up.contains("deployments") || up.contains("odels/") {
                let named = up.contains(&format!("deployments/{judged}/"))
                    || up.contains(&format!("/models/{judged}:"))
                    || up.contains(&format!("/{judged}:"));
                prop_assert!(named, "{} names not {}", up, judged);
            }
            Ok(())
        })?;
    }
}
