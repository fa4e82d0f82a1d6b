use policy::compiled::CompiledProvider;
use policy::documents::{AuthStyle, BaseUrl, StreamUsage, Tls};
use policy::ids::ProviderId;
use proptest::prelude::*;

use super::*;

fn provider(dialect: Dialect, base: &str, path_style: PathStyle) -> CompiledProvider {
    CompiledProvider {
        id: ProviderId::from_bytes([1; 16]),
        name: "p".to_owned(),
        dialect,
        base_url: BaseUrl {
            tls: Tls::Verified,
            host: "p.test".to_owned(),
            port: 443,
            path: base.to_owned(),
        },
        auth: AuthStyle::None,
        path_style,
        hosts: Vec::new(),
        models: Vec::new(),
        listed_models: Vec::new(),
        keys: Vec::new(),
        stream_usage: StreamUsage::Ask,
        price_table: "free".to_owned(),
        priced_models: None,
        stream_header_timeout_ms: 1,
        whole_header_timeout_ms: 1,
        idle_timeout_ms: 50_000,
        on_no_answer: policy::documents::OnNoAnswer::Again,
        pass_request_headers: Vec::new(),
        pass_response_headers: Vec::new(),
        set_request_headers: Default::default(),
    }
}

fn azure() -> CompiledProvider {
    let api_version = "2024-10-21".to_owned();
    let style = PathStyle::AzureDeployments { api_version };
    provider(Dialect::Openai, "/openai", style)
}

fn native(dialect: Dialect, base: &str) -> CompiledProvider {
    provider(dialect, base, PathStyle::Native)
}

const GENERATE: Template = Template::Gemini {
    version: "v1beta",
    operation: "generateContent",
};
const CHAT: Template = Template::Fixed("/chat/completions");

#[track_caller]
fn check(provider: &CompiledProvider, template: &Template, model: &str, query: &str, want: &str) {
    let query = Query::parse(query).unwrap();
    let path = UpstreamPath::new(provider, template, model, &query).unwrap();
    assert_eq!(path.as_str(), want);
}

#[test]
fn a_path_is_base_template_and_one_segment() {
    let opaque = |path| Template::Opaque(PlainPath::parse(path).unwrap());
    let openai = native(Dialect::Openai, "/inference/v1");
    check(
        &openai,
        &CHAT,
        "any/name?x",
        "",
        "/inference/v1/chat/completions",
    );
    let path = "/inference/v1/audio/speech?a=b";
    check(&openai, &opaque("/v1/audio/speech"), "", "a=b", path);
    let anthropic = native(Dialect::Anthropic, "/deep/er");
    let messages = Template::Fixed("/v1/messages");
    check(
        &anthropic,
        &messages,
        "m",
        "beta=true",
        "/deep/er/v1/messages?beta=true",
    );
    check(&anthropic, &opaque("/skills"), "", "", "/deep/er/v1/skills");
    let gemini = native(Dialect::Gemini, "/vertex");
    let path = "/vertex/v1beta/models/gemini-a:generateContent?alt=sse";
    check(&gemini, &GENERATE, "gemini-a", "alt=sse", path);
    let path = "/vertex/v1beta/tunedModels/cats:generateContent";
    check(&gemini, &GENERATE, "tunedModels/cats", "", path);
    let path = "/openai/deployments/az-4o/chat/completions?api-version=2024-10-21";
    check(&azure(), &CHAT, "az-4o", "", path);
    let path = "/openai/audio/voices?page=2&api-version=2024-10-21";
    check(&azure(), &opaque("/v1/audio/voices"), "", "page=2", path);
}

#[test]
fn paths_that_two_parsers_could_read_differently_are_not_plain() {
    for path in ["/v1/a", "/", "/v1/a:b", "/v1/a=b@c,d"] {
        assert!(PlainPath::parse(path).is_some(), "{path}");
    }
    for path in [
        "", "v1", "/v1/", "//", "/a//b", "/./a", "/a/..", "/a%2fb", "/a\\b", "/a;b", "/a#b",
        "/a?b", "/a b", "/\u{e9}", "/a\u{7f}", "/a\0",
    ] {
        assert!(PlainPath::parse(path).is_none(), "{path:?}");
    }
}

proptest! {
    #[test]
    fn whatever_the_model_it_is_one_segment_or_no_path(
        model in prop_oneof!["[a-z0-9./?#%&=;:@_-]{0,14}", "(tunedModels|models)?/?[a-z./-]{0,8}", any::<String>()],
    ) {
        let query = Query::default();
        if let Ok(path) = UpstreamPath::new(&azure(), &CHAT, &model, &query) {
            let want = ["", "openai", "deployments", model.as_str(), "chat", "completions?api-version=2024-10-21"];
            prop_assert_eq!(path.as_str().split('/').collect::<Vec<_>>(), want);
            prop_assert!(PathSegment::parse(&model).is_ok());
        }
        let gemini = native(Dialect::Gemini, "");
        if let Ok(path) = UpstreamPath::new(&gemini, &GENERATE, &model, &query) {
            let (collection, segment) = model.rsplit_once('/').unwrap_or(("models", &model));
            let last = format!("{segment}:generateContent");
            prop_assert_eq!(path.as_str().split('/').collect::<Vec<_>>(), ["", "v1beta", collection, last.as_str()]);
            prop_assert!(PathSegment::parse(segment).is_ok());
        }
        let openai = native(Dialect::Openai, "/v1");
        let path = UpstreamPath::new(&openai, &CHAT, &model, &query).unwrap();
        prop_assert_eq!(path.as_str(), "/v1/chat/completions");
    }
}
