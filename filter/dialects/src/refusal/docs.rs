//! `docs/errors.md`, written from the table of refusals and compared with it.

use std::fmt::Write as _;
use std::path::Path;

use policy::surface::Surface;

use super::{Client, Refusal, RefusalCode, Retry, refuse};

const HEAD: &str = "\
# Refusals

What Weir answers when it does not let a request through.
This page is written by the tests of the `weir-dialects` crate from the table in `filter/dialects/src/refusal/code.rs`; `WEIR_UPDATE_DOCS=1 cargo test -p weir-dialects` writes it anew.

## How to read an answer

- The header `x-weir-code` carries the code, whatever the status is. Codes are never renamed.
- The header `x-weir-exchange-id` stands on every answer, a refusal or not: give it to an administrator, who finds the exchange by it (`GET /api/v1/exchanges?exchange_id=…`). Only probes, and what Envoy itself refuses before the filter sees it, have none, because they leave no record.
- The text for the user ends with the code: `… (Weir: model_not_allowed)`.
- The body is the error object of the API that was called. Anthropic and OpenAI bodies carry the code in `error.weir_code`, Gemini bodies in `error.details[0].metadata.weir_code`.
- *Status* is what the code means, and what SDKs and unknown clients get. Agents get the status at which they ask once, show the text and stop; the records keep the code.
- `x-should-retry: false` stands on every answer after which the client is to stop. Claude Code and the Anthropic and OpenAI SDKs obey it.
- `retry-after`, in whole seconds, stands on every answer worth another try, and `RetryInfo` in Gemini bodies. A wait of more than 60 seconds is given as an answer to stop at.

## Codes

In the four columns of agents, *waits* means that the agent asks again by itself after `retry-after`.

";

const FOOT: &str = "
## Why these statuses

| agent | to stop | to wait |
| --- | --- | --- |
| Claude Code | Answers 400 and 422 with up to five more requests, each without one more optional feature; 404 with a second request and words of its own; 413 with words of its own; puts \"Failed to authenticate\" before a 403. So 412, 401 for credentials, 402 for money, and 5xx with `x-should-retry: false`. | The status itself: it waits as `retry-after` says. |
| Codex | Asks six times at other 4xx. At 400 with the code `invalid_prompt` it asks once and shows the message as it is. | Asks 30 times at a 5xx. At 429 it asks six times, as `retry-after` says, and loses the text; a `response.failed` event with `rate_limit_exceeded` does the same and keeps it. |
| Gemini CLI | Each status is asked once and shows the body; 429 only with a `RetryInfo` above five minutes for rates. A turn is two requests: the choice of a model and the turn itself. | The status itself, with `RetryInfo`. |
| OpenCode | 400 and 402 are asked once and show the text. A first turn is two requests: the title and the turn itself. | The status itself: it waits as `retry-after` says. |

`websocket_unsupported` and `misdirected_host` keep their status for every client: Codex goes on over HTTP at 426 and at nothing else.
";

const AGENTS: [(Client, Surface); 4] = [
    (Client::ClaudeCode, Surface::AnthropicMessages),
    (Client::Codex, Surface::OpenaiResponses),
    (Client::GeminiCli, Surface::GeminiGenerate),
    (Client::OpenCode, Surface::OpenaiChat),
];

fn agent_cell(client: Client, surface: Surface, code: RefusalCode) -> String {
    let reply = |streamed| {
        let refusal = Refusal {
            code,
            message: String::new(),
            retry_after_secs: None,
        };
        refuse(surface, client, streamed, &refusal)
    };
    let (stream, plain) = (reply(true), reply(false));
    let statuses = if stream.status == plain.status {
        stream.status.to_string()
    } else {
        format!(
            "{} with `response.failed`, or {}",
            stream.status, plain.status
        )
    };
    match code.retry() {
        Retry::Terminal => statuses,
        Retry::After { .. } => format!("{statuses}, waits"),
    }
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    page.push_str(
        "| code | status | Claude Code | Codex | Gemini CLI | OpenCode | meaning | what to do |\n",
    );
    page.push_str("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for code in RefusalCode::ALL {
        write!(page, "| `{}` | {} |", code.name(), code.status()).expect("a string takes all");
        for (client, surface) in AGENTS {
            write!(page, " {} |", agent_cell(client, surface, *code)).expect("a string takes all");
        }
        writeln!(page, " {} | {} |", code.meaning(), code.what_to_do())
            .expect("a string takes all");
    }
    page.push_str(FOOT);
    page
}

#[test]
fn the_page_says_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors.md");
    let want = page();
    if std::env::var_os("WEIR_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &want).expect("docs/errors.md is writable");
    }
    let got = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        got == want,
        "docs/errors.md is not what the table says: run with WEIR_UPDATE_DOCS=1"
    );
}
