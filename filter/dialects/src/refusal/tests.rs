use policy::surface::{Dialect, Surface};
use serde_json::Value;

use super::{Client, Refusal, RefusalCode, Reply, Retry, refuse};

const TEXT: &str = "The rule \"x\" says no;\nask your administrator.";
const WAITS: [Option<u32>; 3] = [None, Some(0), Some(61)];

struct Case {
    surface: Surface,
    client: Client,
    streamed: bool,
    refusal: Refusal,
    reply: Reply,
}

impl Case {
    fn new(
        surface: Surface,
        client: Client,
        streamed: bool,
        code: RefusalCode,
        wait: Option<u32>,
    ) -> Self {
        let refusal = Refusal {
            code,
            message: TEXT.to_owned(),
            retry_after_secs: wait,
        };
        let reply = refuse(surface, client, streamed, &refusal);
        Self {
            surface,
            client,
            streamed,
            refusal,
            reply,
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.reply
            .headers
            .iter()
            .find(|(header, _)| *header == name)
            .map(|(_, value)| value.as_str())
    }

    fn stops(&self) -> bool {
        self.header("x-should-retry") == Some("false")
    }

    fn is_sse(&self) -> bool {
        self.header("content-type") == Some("text/event-stream")
    }

    fn json(&self) -> Value {
        let body = std::str::from_utf8(&self.reply.body).expect("UTF-8");
        if !self.is_sse() {
            return serde_json::from_str(body).expect("JSON");
        }
        let event = body
            .strip_prefix("event: response.failed\ndata: ")
            .expect("event");
        let data = event.strip_suffix("\n\n").expect("end of event");
        assert!(!data.contains('\n'), "an event has one line of data");
        serde_json::from_str(data).expect("JSON")
    }

    /// The error object, wherever the dialect keeps it.
    fn error(&self) -> Value {
        let mut json = self.json();
        if self.is_sse() {
            json["response"]["error"].take()
        } else {
            json["error"].take()
        }
    }

    fn label(&self) -> String {
        format!(
            "{:?} {:?} streamed={} {:?}",
            self.surface, self.client, self.streamed, self.refusal
        )
    }
}

fn cases() -> impl Iterator<Item = Case> {
    Surface::ALL.into_iter().flat_map(|surface| {
        Client::ALL.into_iter().flat_map(move |client| {
            [false, true].into_iter().flat_map(move |streamed| {
                RefusalCode::ALL.iter().flat_map(move |code| {
                    WAITS
                        .into_iter()
                        .map(move |wait| Case::new(surface, client, streamed, *code, wait))
                })
            })
        })
    })
}

#[test]
fn every_reply_names_its_code_and_shows_the_text() {
    for case in cases() {
        let name = case.refusal.code.name();
        assert_eq!(case.header("x-weir-code"), Some(name), "{}", case.label());
        let error = case.error();
        let message = error["message"].as_str().expect("message");
        assert!(message.contains(TEXT), "{}", case.label());
        assert!(
            message.contains(&format!("(Weir: {name})")),
            "{}",
            case.label()
        );
        let code = match case.surface.dialect() {
            Dialect::Anthropic | Dialect::Openai => &error["weir_code"],
            Dialect::Gemini => &error["details"][0]["metadata"]["weir_code"],
        };
        assert_eq!(code, name, "{}", case.label());
    }
}

#[test]
fn bodies_have_the_members_of_their_dialect() {
    for case in cases().filter(|case| !case.is_sse()) {
        let (json, error) = (case.json(), case.error());
        match case.surface.dialect() {
            Dialect::Anthropic => {
                assert_eq!(json["type"], "error", "{}", case.label());
                assert!(error["type"].is_string(), "{}", case.label());
            }
            Dialect::Openai => {
                assert!(
                    error["type"].is_string() && error["code"].is_string(),
                    "{}",
                    case.label()
                );
                assert!(
                    error.get("param").is_some_and(Value::is_null),
                    "{}",
                    case.label()
                );
            }
            Dialect::Gemini => {
                assert_eq!(error["code"], case.reply.status, "{}", case.label());
                assert!(
                    error["status"].is_string() && error["details"].is_array(),
                    "{}",
                    case.label()
                );
            }
        }
    }
}

#[test]
fn success_is_only_ever_a_stream_to_a_stream_request() {
    for case in cases() {
        let streams = case.streamed
            && case.surface == Surface::OpenaiResponses
            && case.client == Client::Codex;
        assert!(
            case.reply.status >= 400 || (streams && case.is_sse()),
            "{}",
            case.label()
        );
        assert_eq!(case.reply.status == 200, case.is_sse(), "{}", case.label());
    }
}

#[test]
fn waiting_is_said_in_whole_seconds_and_stopping_is_said() {
    for case in cases() {
        let secs = case
            .header("retry-after")
            .map(|value| value.parse::<u32>().expect("whole seconds"));
        match case.refusal.code.retry() {
            Retry::Terminal => assert!(case.stops(), "{}", case.label()),
            Retry::After { .. } => {
                let secs = secs.unwrap_or_default();
                assert!(secs >= 1, "{}", case.label());
                assert_eq!(case.stops(), secs > 60, "{}", case.label());
            }
        }
        if case.surface.dialect() == Dialect::Gemini {
            let delay = case.error()["details"][1]["retryDelay"]
                .as_str()
                .map(str::to_owned);
            assert_eq!(
                delay,
                secs.map(|secs| format!("{secs}s")),
                "{}",
                case.label()
            );
        }
    }
}

/// What each client was seen to do decides what it may be sent.
#[test]
fn each_client_gets_only_what_it_takes_well() {
    use RefusalCode::{MisdirectedHost, WebsocketUnsupported};
    for case in
        cases().filter(|case| !matches!(case.refusal.code, MisdirectedHost | WebsocketUnsupported))
    {
        let (status, semantic) = (case.reply.status, case.refusal.code.status());
        let fits = match (case.client, case.stops()) {
            (Client::ClaudeCode, true) => matches!(status, 401 | 402 | 412 | 429 | 500..),
            (Client::Codex, true) => status == 400,
            (Client::Codex, false) => status == 429 || case.is_sse(),
            (Client::GeminiCli, true) => {
                let delay = case
                    .header("retry-after")
                    .and_then(|secs| secs.parse::<u32>().ok());
                matches!(status, 400 | 402) || (status == 429 && delay > Some(300))
            }
            (Client::OpenCode, true) => matches!(status, 400 | 402),
            (Client::ClaudeCode | Client::GeminiCli | Client::OpenCode, false) => {
                status == semantic && matches!(status, 429 | 500..)
            }
            (Client::AnthropicSdk | Client::OpenaiSdk | Client::GoogleGenai | Client::Other, _) => {
                status == semantic
            }
        };
        assert!(fits, "{status} {}", case.label());
    }
}

#[test]
fn answers_about_the_address_are_the_same_for_all() {
    for case in cases() {
        let own = match case.reply.status {
            421 => Some(RefusalCode::MisdirectedHost),
            426 => Some(RefusalCode::WebsocketUnsupported),
            _ => None,
        };
        let semantic = case.refusal.code.status();
        assert_eq!(
            matches!(semantic, 421 | 426),
            own.is_some(),
            "{}",
            case.label()
        );
        assert!(
            own.is_none_or(|own| own == case.refusal.code),
            "{}",
            case.label()
        );
    }
}

#[test]
fn codex_stops_at_the_one_code_it_shows_verbatim() {
    let case = Case::new(
        Surface::OpenaiResponses,
        Client::Codex,
        true,
        RefusalCode::KeyRevoked,
        None,
    );
    assert_eq!(case.reply.status, 400);
    assert_eq!(case.error()["code"], "invalid_prompt");
    assert_eq!(case.error()["weir_code"], "key_revoked");
}

#[test]
fn codex_reads_the_wait_from_the_words_of_a_stream() {
    let case = Case::new(
        Surface::OpenaiResponses,
        Client::Codex,
        true,
        RefusalCode::NoSnapshot,
        Some(3),
    );
    assert!(case.is_sse());
    assert_eq!(case.error()["code"], "rate_limit_exceeded");
    let message = case.error()["message"]
        .as_str()
        .map(str::to_owned)
        .unwrap_or_default();
    assert!(message.ends_with("Please try again in 3s."), "{message}");
}

#[test]
fn claude_code_is_never_asked_to_guess_what_was_rejected() {
    for case in cases().filter(|case| case.client == Client::ClaudeCode) {
        assert!(
            !matches!(case.reply.status, 400 | 404 | 413 | 422),
            "{}",
            case.label()
        );
    }
}

#[test]
fn money_is_told_from_throttling() {
    let anthropic = |client| {
        Case::new(
            Surface::AnthropicMessages,
            client,
            true,
            RefusalCode::BudgetExhausted,
            Some(900),
        )
    };
    let case = anthropic(Client::Other);
    assert_eq!(
        (case.reply.status, case.header("retry-after")),
        (429, Some("900"))
    );
    assert_eq!(case.error()["type"], "billing_error");
    assert!(
        case.error()["message"]
            .as_str()
            .is_some_and(|message| message.starts_with("spend limit reached: "))
    );
    assert_eq!(anthropic(Client::ClaudeCode).reply.status, 402);

    let case = Case::new(
        Surface::OpenaiChat,
        Client::OpenaiSdk,
        false,
        RefusalCode::BudgetExhausted,
        None,
    );
    assert_eq!(case.error()["code"], "insufficient_quota");
}

#[test]
fn a_spend_message_is_not_prefixed_twice() {
    let refusal = Refusal {
        code: RefusalCode::BudgetExhausted,
        message: "spend limit reached for team `a`.".to_owned(),
        retry_after_secs: None,
    };
    let reply = refuse(Surface::AnthropicMessages, Client::Other, false, &refusal);
    let body = String::from_utf8(reply.body).expect("UTF-8");
    assert_eq!(body.matches("spend limit reached").count(), 1);
}

#[test]
fn names_are_snake_case_and_unique() {
    let mut names: Vec<&str> = RefusalCode::ALL.iter().map(|code| code.name()).collect();
    assert!(names.iter().all(|name| {
        name.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    }));
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn names_are_the_variants_in_snake_case() {
    for code in RefusalCode::ALL {
        let mut snake = String::new();
        for letter in format!("{code:?}").chars() {
            if letter.is_ascii_uppercase() && !snake.is_empty() {
                snake.push('_');
            }
            snake.push(letter.to_ascii_lowercase());
        }
        assert_eq!(code.name(), snake);
    }
}
