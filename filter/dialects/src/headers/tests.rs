use policy::surface::Dialect;
use proptest::prelude::*;

use super::*;

/// What each newest client sends, as observed; credentials and what HTTP itself needs aside.
const SENT: &[(Dialect, &str, &[&str])] = &[
    (
        Dialect::Anthropic,
        "Claude Code 2.1.329",
        &[
            "accept",
            "accept-encoding",
            "anthropic-beta",
            "anthropic-dangerous-direct-browser-access",
            "anthropic-version",
            "content-length",
            "content-type",
            "traceparent",
            "user-agent",
            "x-anthropic-additional-protection",
            "x-app",
            "x-cc-atis",
            "x-claude-1p-request-class",
            "x-claude-code-agent-id",
            "x-claude-code-agent-type",
            "x-claude-code-auxiliary-type",
            "x-claude-code-compaction",
            "x-claude-code-context-compacted",
            "x-claude-code-parent-agent-id",
            "x-claude-code-prev-tool-durations",
            "x-claude-code-prompt-id",
            "x-claude-code-request-class",
            "x-claude-code-session-id",
            "x-claude-remote-container-id",
            "x-claude-remote-session-id",
            "x-client-app",
            "x-client-request-id",
            "x-stainless-arch",
            "x-stainless-helper-method",
            "x-stainless-lang",
            "x-stainless-os",
            "x-stainless-package-version",
            "x-stainless-retry-count",
            "x-stainless-runtime",
            "x-stainless-runtime-version",
            "x-stainless-timeout",
        ],
    ),
    (
        Dialect::Openai,
        "Codex 0.169.0",
        &[
            "accept",
            "content-type",
            "openai-beta",
            "originator",
            "session-id",
            "session_id",
            "thread-id",
            "traceparent",
            "tracestate",
            "user-agent",
            "version",
            "x-client-request-id",
            "x-codex-beta-features",
            "x-codex-installation-id",
            "x-codex-parent-thread-id",
            "x-codex-turn-metadata",
            "x-codex-turn-state",
            "x-codex-window-id",
            "x-openai-subagent",
        ],
    ),
    (
        Dialect::Gemini,
        "Gemini CLI 0.61.0, google-genai",
        &[
            "accept",
            "accept-encoding",
            "accept-language",
            "content-type",
            "user-agent",
            "x-gemini-api-privileged-user-id",
            "x-goog-api-client",
            "x-server-timeout",
        ],
    ),
    (
        Dialect::Openai,
        "OpenCode 1.18.33",
        &[
            "user-agent",
            "x-parent-session-id",
            "x-session-affinity",
            "x-session-id",
        ],
    ),
    (
        Dialect::Openai,
        "openai 3.52, Python",
        &[
            "openai-beta",
            "x-stainless-async",
            "x-stainless-custom-poll-interval",
            "x-stainless-helper-method",
            "x-stainless-poll-helper",
            "x-stainless-raw-response",
            "x-stainless-read-timeout",
            "x-stainless-stream-helper",
        ],
    ),
];

/// What recorded answers of providers carry, and clients or their users read.
const ANSWERED: &[(Dialect, &[&str])] = &[
    (
        Dialect::Anthropic,
        &[
            "anthropic-ratelimit-input-tokens-limit",
            "anthropic-ratelimit-requests-reset",
            "anthropic-ratelimit-unified-5h-utilization",
            "anthropic-ratelimit-unified-overage-status",
            "anthropic-ratelimit-unified-reset",
            "anthropic-thinking-prefix-mismatch",
            "content-type",
            "date",
            "request-id",
            "retry-after",
            "retry-after-ms",
            "server-timing",
            "x-cc-atis-current",
            "x-should-retry",
        ],
    ),
    (
        Dialect::Openai,
        &[
            "apim-request-id",
            "azureai-processed-tier",
            "cache-control",
            "content-type",
            "fireworks-cached-prompt-tokens",
            "mistral-correlation-id",
            "openai-model",
            "openai-processing-ms",
            "openai-version",
            "ratelimitbysize-remaining",
            "retry-after",
            "retry-after-ms",
            "x-accel-buffering",
            "x-codex-credits-has-credits",
            "x-codex-primary-used-percent",
            "x-codex-turn-state",
            "x-compute-time",
            "x-ds-trace-id",
            "x-generation-id",
            "x-groq-region",
            "x-metrics-ttft-ms",
            "x-models-etag",
            "x-ms-served-model",
            "x-oai-request-id",
            "x-ratelimit-key",
            "x-ratelimit-limit-requests",
            "x-ratelimit-limit-tokens-prompt",
            "x-ratelimit-remaining-audio-seconds-minute",
            "x-ratelimit-remaining-tokens",
            "x-ratelimit-reset-tokens",
            "x-ratelimit-tokens-query-cost",
            "x-ratelimitbysize-limit-month",
            "x-reasoning-included",
            "x-request-id",
            "x-should-retry",
        ],
    ),
    (
        Dialect::Gemini,
        &[
            "content-type",
            "server-timing",
            "vary",
            "x-gemini-service-tier",
            "x-vertex-ai-received-request-id",
        ],
    ),
];

#[test]
fn what_clients_send_goes_up() {
    for (dialect, client, names) in SENT {
        for name in *names {
            assert!(lists(*dialect).passes_up(name, false), "{client}: {name}");
        }
    }
}

#[test]
fn what_providers_answer_comes_back() {
    for (dialect, names) in ANSWERED {
        for name in *names {
            assert!(
                lists(*dialect).passes_back(name, false),
                "{dialect:?}: {name}"
            );
        }
    }
}

/// Listed nowhere, whatever the dialect: each would change what is asked for, on whose account, or who seems to ask.
#[test]
fn what_nobody_listed_does_not_go_up() {
    for dialect in Dialect::ALL {
        for name in [
            "",
            "accept-charset",
            "anthropic_beta",
            "anthropic_version",
            "authorization",
            "baggage",
            "connection",
            "content_type",
            "cookie",
            "expect",
            "forwarded",
            "host",
            "idempotency-key",
            "if-none-match",
            "origin",
            "proxy-authorization",
            "referer",
            "sec-fetch-mode",
            "session_id_",
            "te",
            "transfer-encoding",
            "user_agent",
            "via",
            "x-amz-security-token",
            "x-api-key",
            "x-envoy-retry-on",
            "x-forwarded-for",
            "x-goog-fieldmask",
            "x-goog-request-params",
            "x-http-method-override",
            "x-ms-oai-image-generation-deployment",
            "x-original-url",
            "x-real-ip",
            "x-request-id",
            "x-rewrite-url",
            "x-stainless-",
            "x-stainless_lang",
            "x-vertex-ai-llm-request-type",
            "x-weir-key",
            "x-weir-plan",
            "x_stainless_lang",
            "xx-stainless-lang",
        ] {
            for own_login in [false, true] {
                let passes = lists(dialect).passes_up(name, own_login);
                assert!(!passes, "{dialect:?}: `{name}`");
            }
        }
    }
}

#[test]
fn what_nobody_listed_does_not_come_back() {
    for dialect in Dialect::ALL {
        for name in [
            "access-control-allow-origin",
            "alt-svc",
            "azureml-model-session",
            "cf-cache-status",
            "clear-site-data",
            "connection",
            "keep-alive",
            "location",
            "nel",
            "proxy-authenticate",
            "report-to",
            "retry-after-",
            "retry-after_ms",
            "server",
            "set-cookie",
            "set-cookie2",
            "strict-transport-security",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "via",
            "www-authenticate",
            "x-envoy-immediate-health-check-fail",
            "x-envoy-upstream-service-time",
            "x-goog-upload-url",
            "x-ms-deployment-name",
            "x-powered-by",
            "x-ratelimit_limit",
            "x-weir-code",
            "x-weir-exchange-id",
        ] {
            for own_login in [false, true] {
                let passes = lists(dialect).passes_back(name, own_login);
                assert!(!passes, "{dialect:?}: `{name}`");
            }
        }
    }
}

/// Only beside a client's own login, and only in the dialect whose accounts they choose.
#[test]
fn what_chooses_an_account_goes_with_its_login() {
    for (dialect, name) in [
        (Dialect::Anthropic, "anthropic-organization-id"),
        (Dialect::Anthropic, "anthropic-user-profile-id"),
        (Dialect::Anthropic, "anthropic-workspace-id"),
        (Dialect::Openai, "chatgpt-account-id"),
        (Dialect::Openai, "openai-organization"),
        (Dialect::Openai, "openai-project"),
        (Dialect::Gemini, "x-goog-user-project"),
    ] {
        for other in Dialect::ALL {
            assert!(!lists(other).passes_up(name, false), "{name}");
            assert!(!lists(other).passes_back(name, false), "{name}");
            assert_eq!(
                lists(other).passes_up(name, true),
                other == dialect,
                "{name}"
            );
        }
    }
    for name in [
        "anthropic-account",
        "anthropic-api-key",
        "anthropic-billing-id",
        "anthropic-oauth-token",
        "anthropic-org",
        "anthropic-project",
        "anthropic-tenant-id",
        "anthropic-workspace_id",
        "anthropic_workspace_id",
        "openai_organization",
        "x-claude-code-account",
        "x-claude-code-ide-authorization",
        "x-codex-account-id",
        "x-codex-workspace",
        "x-goog-user_project",
        "x-stainless-organization",
    ] {
        for dialect in Dialect::ALL {
            for own_login in [false, true] {
                assert!(!lists(dialect).passes_up(name, own_login), "{name}");
            }
        }
    }
}

#[test]
fn lists_are_in_order_and_hold_no_prefix_among_the_names() {
    let all = Dialect::ALL.map(lists);
    let ours = all
        .iter()
        .flat_map(|lists| [&lists.request, &lists.response]);
    for list in ours.chain([&REQUEST, &RESPONSE]) {
        assert!(list.names.all.is_sorted(), "{:?}", list.names.all);
        assert!(list.names.all.iter().all(|name| !name.contains('*')));
        assert!(list.prefixes.iter().all(|prefix| prefix.ends_with("-*")));
    }
}

proptest! {
    /// Only what stands in a list passes, letter by letter; a prefix covers words behind it, and no `_`.
    #[test]
    fn nothing_passes_that_no_entry_covers(name in "(anthropic|x-stainless|x-codex|openai|accept|session|x)?[a-zA-Z_*. :-]{0,12}") {
        for dialect in Dialect::ALL {
            let lists = lists(dialect);
            let listed = |list: &List| {
                list.names.all.contains(&name.as_str())
                    || list.prefixes.iter().any(|prefix| name.starts_with(prefix.trim_end_matches('*')) && !name.contains(['_', '*', '.', ' ', ':']) && name.to_lowercase() == name)
            };
            prop_assert!(!lists.passes_up(&name, false) || listed(&REQUEST) || listed(&lists.request), "{}", name);
            prop_assert!(!lists.passes_back(&name, false) || listed(&RESPONSE) || listed(&lists.response), "{}", name);
        }
    }
}
