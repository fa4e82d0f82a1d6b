//! An answer whose usage is missing, `null`, zero or only partly there is charged at least what was seen of it.

#[cfg(test)]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

#[cfg(test)]
mod tests {
    use engine::messages::ClosedBy;

    use super::support::{Driven, World};

    const TEXT: &str = "forty bytes of an answer that was sent..";
    const JSON: &str = "application/json";
    const SSE: &str = "text/event-stream";

    /// Input and output of the only attempt, and whether they are estimated.
    fn charged(path: &str, body: &str, status: u16, kind: &str, answer: &str) -> (u64, u64, bool) {
        let world = World::with_models_in_paths();
        let mut driven = Driven::post(&world, path, &[], body);
        driven.forwarded();
        driven.attempt(1, None);
        driven.commands();
        driven.answer(1, status, kind, &[answer.as_bytes()]);
        let record = driven.close(ClosedBy::Nobody);
        let attempt = &record.attempts[0];
        let usage = attempt.usage.unwrap_or_default();
        let (input, output) = (usage.total_input().get(), usage.output_tokens.get());
        (input, output, attempt.estimated)
    }

    const CHAT: (&str, &str) = (
        "/v1/chat/completions",
        r#"{"model":"gpt-a","messages":[{"role":"user","content":"hi"}]}"#,
    );
    const CHAT_STREAM: (&str, &str) = (
        "/v1/chat/completions",
        r#"{"model":"gpt-a","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#,
    );
    const RESPONSES: (&str, &str) = ("/v1/responses", r#"{"model":"gpt-a","input":"hi"}"#);
    const MESSAGES: (&str, &str) = (
        "/v1/messages",
        r#"{"model":"claude-a","max_tokens":8,"messages":[]}"#,
    );
    const GENERATE: (&str, &str) = (
        "/v1beta/models/gemini-a:generateContent",
        r#"{"contents":[{"parts":[{"text":"hi"}]}]}"#,
    );
    const GEMINI_SSE: (&str, &str) = (
        "/v1beta/models/gemini-a:streamGenerateContent?alt=sse",
        GENERATE.1,
    );
    const GEMINI_ARRAY: (&str, &str) =
        ("/v1beta/models/gemini-a:streamGenerateContent", GENERATE.1);
    const EMBEDDINGS: (&str, &str) = ("/v1/embeddings", r#"{"model":"gpt-a","input":"hi"}"#);

    /// `TEXT` as one answer of the surface, with `usage` where it stands there.
    fn answer((path, body): (&str, &str), usage: &str) -> (&'static str, String) {
        let usage = |name: &str| match usage {
            "" => String::new(),
            written => format!(r#","{name}":{written}"#),
        };
        let gemini = format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{TEXT}"}}]}},"finishReason":"STOP"}}]{}}}"#,
            usage("usageMetadata")
        );
        match path {
            "/v1/chat/completions" if body.contains("stream") => (
                SSE,
                format!(
                    "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{TEXT}\"}}}}]}}\n\ndata: {{\"choices\":[]{}}}\n\ndata: [DONE]\n\n",
                    usage("usage")
                ),
            ),
            "/v1/chat/completions" => (
                JSON,
                format!(
                    r#"{{"choices":[{{"message":{{"content":"{TEXT}"}}}}]{}}}"#,
                    usage("usage")
                ),
            ),
            "/v1/responses" => (
                JSON,
                format!(
                    r#"{{"output":[{{"type":"message","content":[{{"text":"{TEXT}"}}]}}]{}}}"#,
                    usage("usage")
                ),
            ),
            "/v1/messages" => (
                JSON,
                format!(
                    r#"{{"type":"message","content":[{{"type":"text","text":"{TEXT}"}}]{}}}"#,
                    usage("usage")
                ),
            ),
            "/v1/embeddings" => (JSON, format!(r#"{{"data":[]{}}}"#, usage("usage"))),
            path if path.contains("alt=sse") => (SSE, format!("data: {gemini}\r\n\r\n")),
            path if path.contains("stream") => (JSON, format!("[{gemini}]")),
            _ => (JSON, gemini),
        }
    }

    #[track_caller]
    fn check(surface: (&str, &str), usage: &str, want: (u64, u64, bool)) {
        let (kind, text) = answer(surface, usage);
        for status in [200, 201, 202, 203, 206, 299] {
            let (path, body) = surface;
            let got = charged(path, body, status, kind, &text);
            assert_eq!(got, want, "{path} {usage} {status}");
        }
    }

    const ALL: [(&str, &str); 7] = [
        CHAT,
        CHAT_STREAM,
        RESPONSES,
        MESSAGES,
        GENERATE,
        GEMINI_SSE,
        GEMINI_ARRAY,
    ];
    const SEEN: u64 = 10;

    fn input((_, body): (&str, &str)) -> u64 {
        body.len().div_ceil(4) as u64
    }

    #[test]
    fn what_no_provider_reports_is_estimated() {
        for surface in ALL {
            for usage in ["", "null", "{}", "[]", "\"x\"", "7"] {
                check(surface, usage, (input(surface), SEEN, true));
            }
        }
        check(EMBEDDINGS, "", (input(EMBEDDINGS), 0, true));
    }

    /// Names of the counts in each dialect.
    fn counts(surface: (&str, &str)) -> (&'static str, &'static str) {
        match surface.0 {
            "/v1/chat/completions" => ("prompt_tokens", "completion_tokens"),
            "/v1/responses" | "/v1/messages" => ("input_tokens", "output_tokens"),
            _ => ("promptTokenCount", "candidatesTokenCount"),
        }
    }

    #[test]
    fn a_count_of_zero_is_none() {
        for surface in ALL {
            let (of_input, of_output) = counts(surface);
            for (usage, want) in [
                (
                    format!(r#"{{"{of_input}":0,"{of_output}":0}}"#),
                    (input(surface), SEEN, true),
                ),
                (
                    format!(r#"{{"{of_input}":null,"{of_output}":null}}"#),
                    (input(surface), SEEN, true),
                ),
                (format!(r#"{{"{of_input}":7}}"#), (7, SEEN, true)),
                (
                    format!(r#"{{"{of_input}":7,"{of_output}":0}}"#),
                    (7, SEEN, true),
                ),
                (format!(r#"{{"{of_output}":3}}"#), (input(surface), 3, true)),
                (
                    format!(r#"{{"{of_input}":0,"{of_output}":300}}"#),
                    (input(surface), 300, true),
                ),
                (
                    format!(r#"{{"{of_input}":7,"{of_output}":3}}"#),
                    (7, 3, false),
                ),
            ] {
                check(surface, &usage, want);
            }
        }
        check(EMBEDDINGS, r#"{"prompt_tokens":5}"#, (5, 0, false));
        check(
            EMBEDDINGS,
            r#"{"prompt_tokens":0}"#,
            (input(EMBEDDINGS), 0, true),
        );
    }

    #[test]
    fn an_answer_without_output_needs_no_count_of_it() {
        let (path, body) = GENERATE;
        let blocked =
            r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":5}}"#;
        assert_eq!(charged(path, body, 200, JSON, blocked), (5, 0, false));
    }

    #[test]
    fn zero_is_believed_where_nothing_came() {
        let (path, body) = CHAT;
        for (choices, want) in [
            ("", (0, 0, false)),
            (r#"{"message":{"content":"four"}}"#, (input(CHAT), 1, true)),
        ] {
            let answer = format!(
                r#"{{"choices":[{choices}],"usage":{{"prompt_tokens":0,"completion_tokens":0}}}}"#
            );
            assert_eq!(charged(path, body, 200, JSON, &answer), want, "{choices}");
        }
        let missing = r#"{"choices":[],"usage":{"completion_tokens":0}}"#;
        assert_eq!(
            charged(path, body, 200, JSON, missing),
            (input(CHAT), 0, true)
        );
        let (path, body) = EMBEDDINGS;
        let vectors =
            r#"{"data":[{"embedding":[0.1]}],"usage":{"prompt_tokens":0,"completion_tokens":0}}"#;
        assert_eq!(
            charged(path, body, 200, JSON, vectors),
            (input(EMBEDDINGS), 0, true)
        );
    }

    /// The first event of a Messages stream counts one token of output before any was written.
    #[test]
    fn a_count_before_the_output_does_not_cover_it() {
        let (path, _) = MESSAGES;
        let body = r#"{"model":"claude-a","max_tokens":8,"stream":true,"messages":[]}"#;
        let start =
            r#"{"type":"message_start","message":{"usage":{"input_tokens":7,"output_tokens":1}}}"#;
        let delta = format!(
            r#"{{"type":"content_block_delta","delta":{{"type":"text_delta","text":"{TEXT}"}}}}"#
        );
        for (end, want) in [
            (
                r#"{"type":"message_delta","usage":{"output_tokens":9}}"#,
                (7, 9, false),
            ),
            (
                r#"{"type":"message_delta","usage":{"output_tokens":0}}"#,
                (7, SEEN, true),
            ),
            (r#"{"type":"message_delta","usage":null}"#, (7, SEEN, true)),
            (r#"{"type":"message_delta"}"#, (7, SEEN, true)),
        ] {
            let events = [start, &delta, end, r#"{"type":"message_stop"}"#];
            let answer: String = events.map(|event| format!("data: {event}\n\n")).concat();
            assert_eq!(charged(path, body, 200, SSE, &answer), want, "{end}");
        }
    }

    #[test]
    fn json_lines_are_read_one_by_one() {
        let (path, body) = CHAT;
        let line = format!(r#"{{"choices":[{{"message":{{"content":"{TEXT}"}}}}]}}"#);
        for kind in ["application/x-ndjson", JSON, "application/jsonl", ""] {
            for (answer, want) in [
                (format!("{line}\n{line}\n"), (input(CHAT), 2 * SEEN, true)),
                (format!("{line}{line}"), (input(CHAT), 2 * SEEN, true)),
                (
                    format!(
                        "{line}\n{{\"usage\":{{\"prompt_tokens\":7,\"completion_tokens\":3}}}}\n"
                    ),
                    (7, 3, false),
                ),
                (
                    format!(
                        "{{\"usage\":{{\"prompt_tokens\":7,\"completion_tokens\":3}}}}\n{line}\n"
                    ),
                    (7, SEEN, true),
                ),
            ] {
                assert_eq!(
                    charged(path, body, 200, kind, &answer),
                    want,
                    "{kind} {answer}"
                );
            }
        }
    }

    #[test]
    fn what_is_not_json_is_charged_by_its_length() {
        let (path, body) = GENERATE;
        for (kind, answer) in [
            (JSON, TEXT.to_owned()),
            ("text/html", format!("<html>{TEXT}</html>")),
            ("application/x-protobuf", format!("\n\u{12}{TEXT}")),
            (SSE, format!("data: {TEXT}\n\n")),
        ] {
            let (got_input, output, estimated) = charged(path, body, 200, kind, &answer);
            assert!(estimated && output >= SEEN, "{kind}: {output}");
            assert_eq!(got_input, input(GENERATE));
        }
    }

    #[test]
    fn a_refusal_of_the_provider_costs_nothing() {
        for status in [400, 404, 429, 500, 529] {
            let (path, body) = CHAT;
            let error = r#"{"error":{"message":"no"}}"#;
            assert_eq!(charged(path, body, status, JSON, error), (0, 0, false));
        }
    }
}
