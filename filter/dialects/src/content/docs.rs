//! `docs/guardrails-content.md`, written from the tables of areas and compared with it.

use std::fmt::Write as _;
use std::path::Path;

use super::area::{
    ARGUMENTS, ATTACHED, Area, CACHE_CONTROL, Delta, Keys, RESULT, Rule, SCHEMA, SPEECH, SYSTEM,
    Says, UNKNOWN, USER,
};
use super::{anthropic, chat, gemini, responses};

const HEAD: &str = r#"# What guardrails read and change

Which texts of requests and answers are scanned, whose words they count as, and which of them a guardrail may change.
The tables of this page are written by the tests of the `weir-dialects` crate from those in `filter/dialects/src/content`; `WEIR_UPDATE_DOCS=1 cargo test -p weir-dialects` writes them anew.

## In short

- Every string is scanned, wherever it stands: unknown members, unknown block types and unknown events too. So are whole numbers of eight digits or more, and the names of members where somebody chose them (tool arguments, tool results, unknown members).
- Not scanned are the scalars in the lists *not content* below, as long as they are no longer than 256 bytes: types, roles, models, ids, cache markers, signatures. A value of another kind in such a place is scanned.
- Arguments that are written as JSON in a string are scanned and changed as the JSON that they are, up to 64 KiB; longer ones as one text.
- What nobody can read here is counted by kind, `image`, `audio`, `video`, `file`, `encrypted` or `tokens`, and passes or is refused as the guardrail's `on_unscanned` says. References to stored files and to URLs count, too; the URL itself is scanned.
- A change replaces exactly the bytes of the text. Everything else of the body stays as it came.

- Credentials that a request gives to the provider on purpose, such as `mcp_servers[].authorization_token` or `tools[].authorization`, are texts like others. A guardrail that changes them takes them away from the provider: allow them by `allow`, or restrict the guardrail's roles.
- A body with more than 262,144 texts or objects is refused: it could not be kept in mind while it is judged. So is one with a number of more than 65,536 digits.

## Roles

| role | texts |
| --- | --- |
| `system` | system and developer prompts, instructions, tools and their schemas |
| `user` | turns of the user, texts to embed |
| `assistant` | turns of the model, errors of the provider |
| `tool_arguments` | names and arguments of tool calls, also those that the provider runs |
| `tool_result` | what tools gave back, whatever it contains |
| `thinking` | reasoning that is shown |
| `attachment` | text of documents, and everything that fits no other role |

The tables leave list indices out: a list is what its items are. `*` stands for all members that are not named. *speaker* is the role of the turn, or of the block or part around it: a block of type `thinking` or `reasoning` and a part with `thought` are `thinking`; `*tool_use` and `*_call` are `tool_arguments`; `*_result` and `*_output` are `tool_result`; documents and files are `attachment`.

## What may be changed

| text | in a request | in an answer |
| --- | --- | --- |
| thinking of Anthropic, signed or not (the signature may come last) | no | no |
| reasoning items of Responses with `encrypted_content` | no | no |
| reasoning of Responses in a stream (it may turn out to be encrypted) | – | no |
| Gemini parts with `thought` | no | no |
| `reasoning_details` of a chat, in a stream or with a signature | no | no |
| search results beside `encrypted_content` of Anthropic | yes | yes |
| tool calls and tool results, with a signature beside them or not | yes | yes |
| base64 of text (`inlineData` with a `text/…` type) | no | no |
| everything else that is scanned | yes | yes |

Reasoning that may not be changed passes and is recorded with what was found in it. Any other text that cannot be written anew, a document in base64, is blocked where it would have to be changed, unless the guardrail's `on_error` is `pass`.

Arguments of a signed Gemini call may be changed because the signature stands for the reasoning before it, not for them: a token in them is restored for the client, and the same token goes back to the provider in the next turn.

*History* is what the provider has got in an earlier turn: everything before the end of the model's last turn, and system prompts and tools once the model has had a turn.

## Streams

| text | how it is judged |
| --- | --- |
| text, refusals, transcripts, thinking | piece by piece over events; what is not decided on waits, usually part of a word |
| tool arguments | when they are complete; until then the call is held back from its first event on |
| everything else in an event | whole |
| texts that Responses repeats (`*.done`, `response.completed`) | they get the changes that their pieces got |
| `logprobs` | replaced by `null` in an event whose text is changed |
| what Responses repeats of the request (`instructions`, `tools`, `metadata`, `user` …) | passed over: it was judged on its way in |
| data that is no JSON | whole, as text |
| pings and comments | pass at once, also before events that wait |

At most 8 MiB of events wait; beyond that the guardrail's `on_error` decides. A stream that is ended early ends with the ordinary last events of its dialect; a tool call that was not complete is never shown.

"#;

/// Where the tables begin.
type Root = (&'static str, &'static [(&'static str, &'static Area)]);

static ROOTS: [Root; 7] = [
    (
        "Anthropic Messages, token counting",
        &[
            ("request", &anthropic::REQUEST),
            ("answer", &anthropic::ANSWER),
        ],
    ),
    ("Anthropic stream", &[("event", &anthropic::EVENT)]),
    (
        "OpenAI Chat",
        &[
            ("request", &chat::REQUEST),
            ("answer", &chat::ANSWER),
            ("event", &chat::EVENT),
        ],
    ),
    (
        "OpenAI Responses",
        &[
            ("request", &responses::REQUEST),
            ("answer", &responses::ANSWER),
        ],
    ),
    ("OpenAI Responses stream", &[("event", &responses::EVENT)]),
    (
        "OpenAI Embeddings",
        &[
            ("request", &chat::EMBEDDINGS),
            ("answer", &chat::EMBEDDINGS_ANSWER),
        ],
    ),
    (
        "Gemini",
        &[
            ("request", &gemini::REQUEST),
            ("answer", &gemini::ANSWER),
            ("event", &gemini::EVENT),
        ],
    ),
];

/// Areas without structure of their own: one row says all.
fn is_plain(area: &'static Area) -> bool {
    [
        &UNKNOWN,
        &ATTACHED,
        &ARGUMENTS,
        &RESULT,
        &SCHEMA,
        &SPEECH,
        &SYSTEM,
        &USER,
        &CACHE_CONTROL,
    ]
    .into_iter()
    .any(|plain| std::ptr::eq(plain, area))
}

#[derive(Default)]
struct Page {
    rows: Vec<String>,
    known: Vec<String>,
    /// Areas that were described, and where.
    seen: Vec<(&'static Area, String)>,
}

impl Page {
    fn area(&mut self, path: &str, area: &'static Area) {
        if let Some((_, before)) = self.seen.iter().find(|(seen, _)| std::ptr::eq(*seen, area)) {
            let before = before.clone();
            return self.row(path, &format!("as in `{before}`"));
        }
        self.seen.push((area, path.to_owned()));
        for (name, rule) in area.members {
            self.member(&format!("{path}.{name}"), *rule);
        }
        if let Rule::In(others) = area.others {
            let names = if others.keys == Keys::Texts {
                ", names too"
            } else {
                ""
            };
            self.row(
                &format!("{path}.*"),
                &format!("{}{names}", says(others.says)),
            );
        }
    }

    fn member(&mut self, path: &str, rule: Rule) {
        match rule {
            Rule::In(area) if std::ptr::eq(area, &CACHE_CONTROL) => {
                self.known.push(path.to_owned())
            }
            Rule::In(area) if is_plain(area) => {
                let names = if area.keys == Keys::Texts {
                    ", names too"
                } else {
                    ""
                };
                self.row(path, &format!("{}{names}", says(area.says)));
            }
            Rule::In(area) => self.area(path, area),
            Rule::Known | Rule::Fact(_) => self.known.push(path.to_owned()),
            Rule::JsonText => self.row(path, "tool_arguments, as JSON"),
            Rule::Media(media) => self.row(path, &format!("not scanned: {}", media.name())),
            Rule::Source => self.row(path, "speaker if it is text; not scanned: by its type"),
            Rule::Data => self.row(
                path,
                "speaker; not scanned in `redacted_thinking`: encrypted",
            ),
            Rule::Locator(media) => self.row(
                path,
                &format!(
                    "speaker, a URL; not scanned: {} in or behind it",
                    media.name()
                ),
            ),
            Rule::Reference(media) => self.row(path, &format!("not scanned: {}", media.name())),
            Rule::Tokens => self.row(path, "user; not scanned: tokens"),
            Rule::Vector => self.row(path, "no text"),
            Rule::Shadow => self.row(path, "`null` where the text is changed"),
            Rule::Echo => self.row(path, "repeats the request"),
            Rule::Delta(Delta::ByType) => {
                self.row(path, "in pieces, of what the event's type says")
            }
            Rule::Delta(delta) => self.row(path, &format!("in pieces: {}", delta.name())),
            Rule::Restated(_) => self.row(path, "repeats what was streamed"),
        }
    }

    fn row(&mut self, path: &str, what: &str) {
        self.rows.push(format!("| `{path}` | {what} |"));
    }
}

fn says(says: Says) -> &'static str {
    match says {
        Says::Role(role) => role.name(),
        Says::Speaker => "speaker",
    }
}

fn page() -> String {
    let mut text = HEAD.to_owned();
    for (title, areas) in ROOTS {
        writeln!(text, "## {title}\n\n| place | whose words |\n| --- | --- |").unwrap();
        let mut page = Page::default();
        for (name, area) in areas {
            page.area(name, area);
        }
        for row in &page.rows {
            writeln!(text, "{row}").unwrap();
        }
        page.known.dedup();
        let known: Vec<String> = page.known.iter().map(|path| format!("`{path}`")).collect();
        writeln!(text, "\nNot content: {}.\n", known.join(", ")).unwrap();
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

#[test]
fn the_page_says_what_the_tables_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guardrails-content.md");
    let want = page();
    if std::env::var_os("WEIR_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &want).expect("the page is writable");
    }
    let got = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        got == want,
        "docs/guardrails-content.md is not what the tables say: run with WEIR_UPDATE_DOCS=1"
    );
}
