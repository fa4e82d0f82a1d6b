//! A long stream that crosses its budget, in every dialect, and real agents that meet a limit.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::agents::{Desk, Endpoint};
use weir_tests::client::h1::Connection;
use weir_tests::client::{Answered, Request};
use weir_tests::mesh::tenant::Dialect;
use weir_tests::mesh::{Mesh, Options};
use weir_tests::process::Finished;
use weir_tests::provider::agents as scripts;
use weir_tests::provider::{Outcome, anthropic, gemini, openai};
use weir_tests::quotas::load::Met;
use weir_tests::quotas::stage::{DIME, MODEL, OUTPUT, Stage, ask_stream, money, set_prices};
use weir_tests::quotas::{Figures, Reception, hour};
use weir_tests::tap::Tap;
use weir_tests::tokens::Tokens;
use weir_tests::wait;

static MESH: LazyLock<Mesh> = LazyLock::new(|| {
    let mesh = Mesh::start(&Options::default());
    set_prices(&mesh);
    mesh
});

/// Deltas of a stream, of 400 bytes each, which are a hundred tokens: two dollars and two seconds in all.
const DELTAS: u64 = 200;
/// Deltas of a stream that is cut; it would last longer than it is drained.
const LONG: u64 = 400;
const PER_DELTA: u64 = 100;
const PACE: Duration = Duration::from_millis(10);

/// What is held for a model about which nothing was learned.
const FIRST_HOLD: u64 = 2_048 * DIME / OUTPUT;
/// The limit of the tests in which a stream crosses it: three thousand tokens.
const NARROW: u64 = 3 * DIME;

/// One streaming surface.
#[derive(Clone, Copy, Debug)]
struct Surface {
    name: &'static str,
    dialect: Dialect,
    /// Stands in each event that carries text, and in no other.
    delta: &'static str,
    /// How a stream ends by itself: one of these.
    ends: [&'static str; 2],
}

const SURFACES: [Surface; 4] = [
    Surface {
        name: "messages",
        dialect: Dialect::Anthropic,
        delta: "text_delta",
        ends: ["\"type\":\"message_stop\"", "event: message_stop"],
    },
    Surface {
        name: "chat",
        dialect: Dialect::Openai,
        delta: "tide",
        ends: ["data: [DONE]", "data: [DONE]"],
    },
    Surface {
        name: "responses",
        dialect: Dialect::Openai,
        delta: "response.output_text.delta",
        ends: [
            "\"type\":\"response.completed\"",
            "\"type\":\"response.incomplete\"",
        ],
    },
    Surface {
        name: "generate",
        dialect: Dialect::Gemini,
        delta: "tide",
        ends: [
            "\"finishReason\":\"MAX_TOKENS\"",
            "\"finishReason\":\"STOP\"",
        ],
    },
];

fn whole(deltas: u64) -> Tokens {
    Tokens::new(10, deltas * PER_DELTA)
}

impl Surface {
    fn request(self) -> Request {
        let turn = json!([{"role": "user", "content": "hello"}]);
        match self.name {
            "messages" => ask_stream(100_000),
            "chat" => {
                let body = json!({
                    "model": MODEL, "stream": true, "messages": turn, "stream_options": {"include_usage": true},
                });
                Request::post("/v1/chat/completions", &body)
            }
            "responses" => {
                let body = json!({"model": MODEL, "stream": true, "store": false, "input": turn});
                Request::post("/v1/responses", &body)
            }
            _ => {
                let body = json!({"contents": [{"role": "user", "parts": [{"text": "hello"}]}]});
                let target = format!("/v1beta/models/{MODEL}:streamGenerateContent?alt=sse");
                Request::post(&target, &body)
            }
        }
    }

    fn events(self, deltas: u64) -> Vec<String> {
        let word = format!("tide{} ", "-".repeat(395));
        let text = word.repeat(usize::try_from(deltas).unwrap());
        let used = whole(deltas);
        match self.name {
            "messages" => anthropic::stream(MODEL, &text, used),
            "chat" => openai::chat_stream(MODEL, &text, Some(used)),
            "responses" => openai::response_stream(MODEL, &text, used),
            _ => gemini::stream(MODEL, &text, used),
        }
    }

    /// A stage on which the provider writes so many deltas.
    fn stage(self, limit: u64, on_stream: &str, deltas: u64) -> Stage<'static> {
        let rules = json!({
            "unit": "micro_usd", "limit": limit, "window": hour(), "on_stream": on_stream,
        });
        let stage = Stage::with(&MESH, self.dialect, &rules, |registration| registration);
        let counted = stage.meter.clone();
        stage.provider.script(move |_, _| {
            let events = self.events(deltas);
            counted.stream(whole(deltas), events, (self.delta, PER_DELTA), PACE)
        });
        stage
    }

    /// Asks for the stream and returns it with the most that was held meanwhile.
    fn ask(self, stage: &Stage<'_>, client: &str) -> (Answered, u64) {
        let (done, most) = (AtomicBool::new(false), AtomicU64::new(0));
        let answered = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    most.fetch_max(MESH.usage(&stage.quota).held, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
            let request = stage.tenant.sign(self.request());
            let answered = MESH.send(&request.field("user-agent", client));
            done.store(true, Ordering::SeqCst);
            answered
        });
        assert_eq!(answered.status, 200, "{}: {}", self.name, answered.text());
        let text = answered.text();
        let tail = text
            .get(text.len().saturating_sub(2_000)..)
            .unwrap_or(&text);
        assert!(
            self.ends.iter().any(|end| tail.contains(end)),
            "{} ends with {tail}",
            self.name
        );
        (answered, most.into_inner())
    }
}

fn one(admitted: usize) -> Met {
    Met {
        admitted,
        ..Met::default()
    }
}

/// A client, and for how long the rest of a stream is drained after a cut.
///
/// Codex does not mind that the connection breaks behind the terminal events; Claude Code does, so its provider gets
/// time to come to an end.
const CLIENTS: [(&str, u64); 4] = [
    ("claude-cli/2.1.197 (external, cli)", 10_000),
    ("a client that nobody knows", 2_000),
    ("codex_exec/0.169.0 (Linux; x86_64)", 0),
    ("a client that nobody knows", 2_000),
];

/// The stream ends as its dialect ends once there is no room for more. What is spent beyond the limit is what the
/// provider writes while the rest is drained.
#[test]
fn a_stream_is_cut_where_its_budget_ends() {
    for (surface, (client, drain_ms)) in SURFACES.into_iter().zip(CLIENTS) {
        let stage = surface.stage(NARROW, "cut", LONG);
        let (answered, _) = surface.ask(&stage, client);
        wait::until("the provider to be left or to be done", || {
            (stage.provider.only().outcome() != Outcome::Answering).then_some(())
        });
        let mut figures = stage.figures(("cut", surface.name), &one(1), money);
        // The provider keeps its pace while the service is asked for more, while it is drained, and until it notices.
        let per_ms = PER_DELTA * DIME / OUTPUT / u64::try_from(PACE.as_millis()).unwrap();
        figures.bound = (drain_ms + 800) * per_ms;
        let text = answered.text();
        assert!(text.contains("(Weir: budget_exhausted)"), "{figures}");
        let is_delta = |line: &&str| line.contains(surface.delta) && line.contains("tide");
        let deltas = text.lines().filter(is_delta).count() as u64;
        let shown = deltas * PER_DELTA * DIME / OUTPUT;
        figures.note = format!("shown {shown}");
        figures.check();
        assert!(
            (NARROW * 9 / 10..=NARROW + 500 * per_ms).contains(&shown),
            "cut too early or too late: {figures}"
        );
        assert!(
            figures.charged.abs_diff(figures.spent) <= figures.spent / 10,
            "what was generated is charged: {figures}"
        );
        let drained = figures.spent == money(whole(LONG));
        assert_eq!(answered.complete, drained, "{figures}");
        assert_eq!(drained, drain_ms == 10_000, "{figures}");
        let again = MESH.send(&stage.tenant.sign(surface.request()));
        assert_eq!(Reception::of(&again), Reception::Exhausted, "{figures}");
    }
}

#[test]
fn a_stream_is_extended_while_there_is_room() {
    for surface in SURFACES {
        let stage = surface.stage(30 * DIME, "extend", DELTAS);
        let (answered, held) = surface.ask(&stage, "a test");
        assert!(answered.complete && answered.text().matches("tide").count() as u64 >= DELTAS);
        let figures = stage.figures(("extended", surface.name), &one(1), money);
        figures.check_exact();
        assert!(held >= 2 * FIRST_HOLD, "{held} was held: {figures}");
    }
}

/// Charged in full at the end; the next is refused.
#[test]
fn a_stream_goes_on_where_policy_only_looks() {
    for (surface, on_stream) in [
        (SURFACES[0], "observe"),
        (SURFACES[2], "observe"),
        (SURFACES[1], "extend"),
        (SURFACES[3], "extend"),
    ] {
        let stage = surface.stage(NARROW, on_stream, DELTAS);
        let (answered, _) = surface.ask(&stage, "a test");
        assert!(answered.complete && answered.text().matches("tide").count() as u64 >= DELTAS);
        let mut figures = stage.figures((on_stream, surface.name), &one(1), money);
        figures.bound = money(whole(DELTAS)) - FIRST_HOLD;
        figures.check_exact();
        let again = MESH.send(&stage.tenant.sign(surface.request()));
        assert_eq!(Reception::of(&again), Reception::Exhausted, "{figures}");
    }
}

/// Someone leaves a stream of a quota that is cut or extended: what was held is free again at once.
#[test]
fn a_stream_that_is_left_frees_what_it_holds() {
    let surface = SURFACES[0];
    let stage = surface.stage(30 * DIME, "extend", DELTAS);
    let connection = Connection::open(MESH.address()).unwrap();
    let mut running = connection
        .begin(&stage.tenant.sign(surface.request()))
        .unwrap();
    running.read_until("tide").unwrap();
    assert!(MESH.usage(&stage.quota).held >= FIRST_HOLD);
    drop(running);
    let figures = stage.figures(("left", surface.name), &one(1), money);
    figures.check();
    assert!(
        figures.charged >= figures.spent.min(FIRST_HOLD),
        "{figures}"
    );
    assert!(figures.charged < money(whole(DELTAS)), "{figures}");
}

/// One of the two agents.
#[derive(Clone, Copy, Debug)]
enum Agent {
    ClaudeCode,
    Codex,
}

impl Agent {
    fn dialect(self) -> Dialect {
        match self {
            Self::ClaudeCode => Dialect::Anthropic,
            Self::Codex => Dialect::Openai,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::ClaudeCode => "Claude Code",
            Self::Codex => "Codex",
        }
    }

    fn model(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-sonnet-4-5",
            Self::Codex => "gpt-5",
        }
    }

    fn run(self, desk: &Desk, url: &str, (key, model): (&str, &str)) -> Finished {
        let endpoint = Endpoint {
            base: url.to_owned(),
            key: Some(key.to_owned()),
            model: model.to_owned(),
        };
        match self {
            Self::ClaudeCode => desk.claude_code(&endpoint, "Write the note."),
            Self::Codex => desk.codex(&endpoint, "Write the note."),
        }
    }
}

/// An agent whose limit is used up asks once, shows our text, and ends by itself.
fn stops_at_once(agent: Agent, rules: &Value, code: &str) {
    let stage = Stage::with(&MESH, agent.dialect(), rules, |registration| registration);
    let used = Tokens::new(10, 20_000);
    let counted = stage.meter.clone();
    let (path, request, answer) = match agent {
        Agent::ClaudeCode => (
            "/v1/messages",
            json!({"max_tokens": 100}),
            anthropic::message(MODEL, "spent", used),
        ),
        Agent::Codex => (
            "/v1/responses",
            json!({"input": "hello", "store": false, "max_output_tokens": 100}),
            openai::response(MODEL, "spent", used),
        ),
    };
    let mut body = request;
    body["model"] = json!(MODEL);
    if matches!(agent, Agent::ClaudeCode) {
        body["messages"] = json!([{"role": "user", "content": "hello"}]);
    }
    stage.provider.script(move |_, _| {
        let whole = weir_tests::provider::answer::Answer::json(200, &answer);
        counted.whole(used, Duration::ZERO, whole)
    });
    let first = MESH.send(&stage.tenant.sign(Request::post(path, &body)));
    assert_eq!(first.status, 200, "{}", first.text());
    MESH.settled(&stage.quota);

    let desk = Desk::new();
    let task = desk.task();
    stage.provider.script(move |seen, _| match agent {
        Agent::ClaudeCode => scripts::claude_code(&task, seen),
        Agent::Codex => scripts::codex(&task, seen),
    });
    stage.provider.forget();
    let tap = Tap::start(MESH.address());
    let run = agent.run(&desk, &tap.url(), (&stage.tenant.key, agent.model()));
    let asked = tap.questions().len();
    let met = Met {
        admitted: 1,
        exhausted: vec![wait::now(); asked],
        ..Met::default()
    };
    let figures = Figures {
        bound: money(used),
        ..stage.figures((agent.name(), "µ$ or requests"), &met, |used| {
            if code == "rate_limited" {
                1
            } else {
                money(used)
            }
        })
    };
    figures.check();
    assert_eq!(asked, 1, "{agent:?} asked again: {run:#?}\n{}", MESH.logs());
    assert!(run.ended_itself() && !run.succeeded(), "{run:#?}");
    let marker = format!("(Weir: {code})");
    assert!(
        run.text().contains(&marker),
        "{agent:?} does not show the text: {run:#?}"
    );
    assert!(
        !run.text().contains(&stage.tenant.key),
        "{agent:?} was told the key"
    );
    assert_eq!(stage.provider.count(), 0, "the provider was asked");
}

/// An agent whose answer is cut shows why, takes it for the end of its turn, and does not ask again.
fn ends_its_turn(agent: Agent, surface: Surface) {
    let stage = surface.stage(NARROW, "cut", LONG);
    let desk = Desk::new();
    let run = agent.run(&desk, &MESH.url(), (&stage.tenant.key, MODEL));
    let asked = stage.provider.seen();
    let asked = asked.iter().filter(|seen| seen.method == "POST").count();
    let mut figures = stage.figures((agent.name(), "micro_usd, cut"), &one(asked), money);
    figures.bound = money(whole(LONG));
    figures.check();
    assert_eq!(asked, 1, "{agent:?} asked again: {run:#?}\n{}", MESH.logs());
    assert!(run.ended_itself(), "{run:#?}");
    assert!(
        run.text().contains("(Weir: budget_exhausted)"),
        "{agent:?} does not show why: {run:#?}"
    );
}

#[test]
fn agents_claude_code_ends_its_turn_where_its_budget_ends() {
    ends_its_turn(Agent::ClaudeCode, SURFACES[0]);
}

#[test]
fn agents_codex_ends_its_turn_where_its_budget_ends() {
    ends_its_turn(Agent::Codex, SURFACES[2]);
}

fn budget() -> Value {
    let month = json!({"calendar": {"every": "month", "zone": "UTC"}});
    json!({"unit": "micro_usd", "limit": 5 * DIME, "window": month})
}

fn rate() -> Value {
    json!({"unit": "requests", "limit": 1, "window": hour()})
}

#[test]
fn agents_claude_code_stops_at_an_exhausted_budget() {
    stops_at_once(Agent::ClaudeCode, &budget(), "budget_exhausted");
}

#[test]
fn agents_claude_code_stops_at_a_limit_that_is_far_from_its_reset() {
    stops_at_once(Agent::ClaudeCode, &rate(), "rate_limited");
}

#[test]
fn agents_codex_stops_at_an_exhausted_budget() {
    stops_at_once(Agent::Codex, &budget(), "budget_exhausted");
}

#[test]
fn agents_codex_stops_at_a_limit_that_is_far_from_its_reset() {
    stops_at_once(Agent::Codex, &rate(), "rate_limited");
}
