//! Whole exchanges through the engine, natively: everything of an exchange but the proxy and its host calls.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use divan::Bencher;
use engine::messages::{AttemptNumber, ClosedBy, ConsultAnswer, ConsultKind};
use engine::quota::{Desk, Limits};
use engine::{Command, Ended, Exchange, ExchangeRecord, ExchangeSeed, Flow, Headers, Input};
use policy::compiled::PriceTable;
use policy::documents::Scope;
use policy::ids::{ExchangeId, HolderId, QuotaId};
use policy::price::Rates;
use policy::quota::lease::{GrantAnswer, GrantRequest, Granted, Slice, WindowKey};
use policy::quota::{Quota, QuotaNode, QuotaRules, QuotaWindow, Unit};
use policy::units::{MicroUsdPerMtok, Timestamp};
use uuid::Uuid;
use weir_benches::answers;
use weir_benches::bodies::{Api, Body, ModelPlace};
use weir_benches::counted;
use world::World;

#[path = "../../filter/engine/fuzz/src/world.rs"]
#[allow(unreachable_pub, reason = "public in the crate it is from")]
mod world;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const CHUNK: usize = 64 * 1024;

fn main() {
    divan::main();
}

/// An exchange ready to be driven again and again.
struct Prepared {
    world: World,
    headers: Rc<Headers>,
    body: Vec<u8>,
    provider: &'static str,
    answer_headers: Headers,
    answer: Vec<Vec<u8>>,
    limits: Rc<Limits>,
    desk: Rc<RefCell<Desk>>,
}

impl Prepared {
    fn new(api: Api, bytes: usize, answer: Vec<Vec<u8>>, content_type: &str) -> Self {
        let mut world = World::new();
        Rc::get_mut(&mut world.mesh)
            .expect("the only holder")
            .body_cap_bytes = 1 << 20;
        let (path, model, provider) = match api {
            Api::AnthropicMessages => ("/v1/messages", "claude-a", "anthropic-a"),
            Api::OpenaiChat => ("/v1/chat/completions", "gpt-a", "openai-a"),
            Api::OpenaiResponses => ("/v1/responses", "gpt-a", "openai-a"),
            Api::GeminiGenerate => (
                "/v1beta/models/gemini-a:generateContent",
                "gemini-a",
                "gemini-a",
            ),
        };
        let body = Body {
            api,
            model,
            place: ModelPlace::First,
            stream: content_type != "application/json",
            bytes,
        }
        .make();
        let (key, length) = (world.secret(0), body.len().to_string());
        let headers = [
            (":method", "POST"),
            (":path", path),
            (":authority", "localhost:8080"),
            ("accept", "application/json"),
            ("content-type", "application/json"),
            ("content-length", length.as_str()),
            ("user-agent", "claude-cli/2.1.300 (external, cli)"),
            ("anthropic-version", "2023-06-01"),
            ("x-app", "cli"),
            ("x-stainless-arch", "x64"),
            ("x-stainless-lang", "js"),
            ("x-stainless-os", "Linux"),
            ("x-stainless-retry-count", "0"),
            (
                "x-claude-code-session-id",
                "7f9c2ba4-e88f-4d6a-9f0e-2f0f3c1a5b6d",
            ),
            ("x-api-key", key.as_str()),
        ];
        let headers = Rc::new(headers.into_iter().collect());
        let answer_headers = [("content-type", content_type)].into_iter().collect();
        Self {
            world,
            headers,
            body,
            provider,
            answer_headers,
            answer,
            limits: Rc::default(),
            desk: Rc::new(RefCell::new(Desk::new(HolderId::from_bytes([0; 16])))),
        }
    }

    /// Charges every exchange to budgets at five levels, of which enough is leased here.
    fn under_budgets(mut self) -> Self {
        let mesh = Rc::get_mut(&mut self.world.mesh).expect("the only holder");
        let global = Scope::Global;
        let nodes = [
            QuotaNode::Organisation,
            QuotaNode::Organisation,
            QuotaNode::Organisation,
            QuotaNode::EachAgent(global),
            QuotaNode::EachSession(global),
        ];
        let window = QuotaWindow::Rolling {
            duration_ms: 3_600_000,
        };
        mesh.quotas = nodes
            .into_iter()
            .zip(1..)
            .map(|(node, number)| Quota {
                id: QuotaId::new(Uuid::from_u128(number)),
                name: format!("budget-{number}"),
                rules: QuotaRules::new(node, Unit::MicroUsd, u64::MAX, Some(window.clone())),
            })
            .collect();
        let tables: BTreeSet<_> = mesh.providers.iter().map(|it| &it.price_table).collect();
        let unknown = Rates {
            input: MicroUsdPerMtok::new(3_000_000),
            output: MicroUsdPerMtok::new(15_000_000),
            ..Rates::FREE
        };
        let prices = tables.into_iter().map(|table| PriceTable {
            table: table.clone(),
            own: Vec::new(),
            book: Vec::new(),
            unknown,
        });
        mesh.prices = prices.collect();
        self.limits = Rc::new(Limits::new(mesh));
        self
    }

    /// What the ledger would answer: more than all runs use.
    fn lease(&self, request: &GrantRequest) -> ConsultAnswer {
        let slices = request.asks.iter().map(|ask| Slice {
            account: ask.account,
            amount: u64::MAX / 4,
            window: WindowKey {
                width_ms: 60_000,
                ..WindowKey::default()
            },
            ends: Timestamp::from_millis(u64::MAX),
            left: u64::MAX / 4,
        });
        ConsultAnswer::Grant(GrantAnswer::Granted(Granted {
            grant: request.grant,
            expires: Timestamp::from_millis(u64::MAX),
            slices: slices.collect(),
        }))
    }

    /// Drives one exchange to its record.
    fn run(&self) -> ExchangeRecord {
        let mut exchange = Exchange::new(ExchangeSeed {
            id: ExchangeId::new(Uuid::from_u128(1)),
            mesh: Some(Rc::clone(&self.world.mesh)),
            mesh_is_stale: false,
            guard: None,
            limits: Rc::clone(&self.limits),
            desk: Rc::clone(&self.desk),
            side_by_side: Default::default(),
            dropped: Rc::default(),
            cooling: Rc::default(),
            records_are_full: false,
            now: NOW,
        });
        let mut record = None;
        let mut forwarded = false;
        self.push(
            &mut exchange,
            Input::RequestHeaders {
                headers: &self.headers,
                end_of_stream: false,
            },
            &mut record,
            &mut forwarded,
        );
        let mut chunks = self.body.chunks(CHUNK).peekable();
        while let Some(chunk) = chunks.next() {
            let end_of_stream = chunks.peek().is_none();
            self.push(
                &mut exchange,
                Input::RequestBody {
                    chunk,
                    end_of_stream,
                },
                &mut record,
                &mut forwarded,
            );
        }
        assert!(forwarded, "the request was refused");
        let number = AttemptNumber(1);
        let mut push = |input| self.push(&mut exchange, input, &mut record, &mut forwarded);
        push(Input::AttemptStarted {
            number,
            host_provider: Some(self.provider),
        });
        push(Input::AttemptHeaders {
            number,
            status: 200,
            headers: &self.answer_headers,
            end_of_stream: false,
        });
        push(Input::ResponseHeaders {
            status: 200,
            details: "",
            end_of_stream: false,
        });
        for chunk in &self.answer {
            push(Input::AttemptBody {
                number,
                chunk,
                end_of_stream: false,
            });
        }
        push(Input::AttemptBody {
            number,
            chunk: &[],
            end_of_stream: true,
        });
        push(Input::ResponseEnded);
        push(Input::Closed {
            peer: ClosedBy::Nobody,
            response_bytes: 1,
        });
        record.expect("a record")
    }

    fn push(
        &self,
        exchange: &mut Exchange,
        input: Input<'_>,
        record: &mut Option<ExchangeRecord>,
        forwarded: &mut bool,
    ) {
        let (Flow::Continue | Flow::Hold) = exchange.handle(NOW, input);
        while let Some(command) = exchange.poll_command() {
            match command {
                Command::FindKey(hash) => {
                    let (Flow::Continue | Flow::Hold) =
                        exchange.handle(NOW, Input::KeyFound(self.world.key(&hash)));
                }
                Command::FindSpares(_) => {
                    let (Flow::Continue | Flow::Hold) =
                        exchange.handle(NOW, Input::SparesFound(&[]));
                }
                Command::Consult {
                    call,
                    kind: ConsultKind::Grant(request),
                } => {
                    let answer = self.lease(&request);
                    let (Flow::Continue | Flow::Hold) =
                        exchange.handle(NOW, Input::Consulted { call, answer });
                }
                Command::Forward { .. } => *forwarded = true,
                Command::Record(found) => *record = Some(*found),
                other @ (Command::FindMarks(_)
                | Command::KeepMarks(_)
                | Command::KeepOwned(_)
                | Command::KeepItem(_)
                | Command::KeepTokens(_)
                | Command::Consult { .. }
                | Command::ConsultLater { .. }
                | Command::TakeCredit(_)
                | Command::Reply(_)
                | Command::AnswerCanary { .. }
                | Command::EditAttempt { .. }
                | Command::SplicePrefix(_)
                | Command::RefuseAttempt(_)
                | Command::ReplaceChunk(_)
                | Command::SpliceAnswer(_)
                | Command::RewriteAnswer(_)
                | Command::ResetStream
                | Command::RewriteResponse(_)
                | Command::EditResponse { .. }) => drop(divan::black_box(other)),
            }
        }
    }

    fn bench(&self, bencher: Bencher<'_, '_>, output_tokens: u64) {
        let record = self.run();
        assert_eq!(record.ended, Ended::Complete);
        let usage = record
            .attempts
            .first()
            .and_then(|attempt| attempt.usage)
            .expect("usage");
        assert_eq!(usage.output_tokens.get(), output_tokens);
        bencher.bench_local(|| {
            let record = counted(|| self.run());
            // What the ledger is told leaves the desk, as it does in the proxy.
            if self.desk.borrow().unsettled() >= 64 {
                drop(self.desk.borrow_mut().last_messages(NOW));
            }
            record
        });
    }
}

fn whole(api: Api) -> Vec<Vec<u8>> {
    vec![answers::whole(api).into_bytes()]
}

fn events(api: Api) -> Vec<Vec<u8>> {
    answers::events(api, 1_000, true)
        .into_iter()
        .map(String::into_bytes)
        .collect()
}

#[divan::bench(args = [1, 50, 500])]
fn anthropic_whole_answer(bencher: Bencher<'_, '_>, kib: usize) {
    Prepared::new(
        Api::AnthropicMessages,
        kib * 1_024,
        whole(Api::AnthropicMessages),
        "application/json",
    )
    .bench(bencher, 178);
}

#[divan::bench]
fn anthropic_whole_answer_under_budgets(bencher: Bencher<'_, '_>) {
    Prepared::new(
        Api::AnthropicMessages,
        1_024,
        whole(Api::AnthropicMessages),
        "application/json",
    )
    .under_budgets()
    .bench(bencher, 178);
}

#[divan::bench]
fn anthropic_1000_events(bencher: Bencher<'_, '_>) {
    Prepared::new(
        Api::AnthropicMessages,
        1_024,
        events(Api::AnthropicMessages),
        "text/event-stream",
    )
    .bench(bencher, 4_242);
}

#[divan::bench]
fn openai_chat_1000_events(bencher: Bencher<'_, '_>) {
    Prepared::new(
        Api::OpenaiChat,
        1_024,
        events(Api::OpenaiChat),
        "text/event-stream",
    )
    .bench(bencher, 4_242);
}
