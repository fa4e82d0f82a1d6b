//! The guardrails of an answer, between the provider's bytes and the client.

use std::collections::BTreeMap;
use std::rc::Rc;

use dialects::content::{ContentReader, Media};
use dialects::media_type::BodyType;
use dialects::refusal::RefusalCode;
use dialects::response::Framing;
use dialects::splice::{length_after, reach};
use dialects::stream::{ChannelId, StreamEditor};
use dialects::usage_event::Passage;
use policy::guardrail::{OnError, OnUnscanned, TextRole};
use policy::surface::Surface;
use policy::units::Timestamp;

use super::Exchange;
use super::attempt::is_success;
use super::contents::Contents;
use super::guarding::{Guarding, judge_told, stopped_answer};
use crate::guard::channel::{Bench, ChannelScan};
use crate::guard::request::ContentScan;
use crate::guard::stream::StreamJudge;
use crate::guard::verdict::{Cause, Judgement, Stop};
use crate::guard::{Direction, Why};
use crate::messages::{Command, Flow, HeaderEdit, PrefixSplice};

/// How the texts of an answer are judged.
#[derive(Debug)]
pub(super) enum Answer {
    Stream(Box<StreamAnswer>),
    /// Held until all of it has come.
    Whole(Box<WholeAnswer>),
    /// A body of unknown shape is one text.
    Plain(Box<PlainAnswer>),
    /// Nothing more of it passes.
    Over,
}

#[derive(Debug)]
pub(super) struct StreamAnswer {
    editor: StreamEditor,
    channels: BTreeMap<ChannelId, ChannelScan>,
    /// How much that nobody could read was counted.
    unscanned: usize,
    /// Events are in UTF-8; in another encoding none would be seen.
    contents: Contents,
}

#[derive(Debug)]
pub(super) struct PlainAnswer {
    channel: ChannelScan,
    contents: Contents,
    /// The provider's own words about a failure pass, whatever they are written in.
    is_error: bool,
}

#[derive(Debug)]
pub(super) struct WholeAnswer {
    reader: ContentReader,
    scan: ContentScan,
    failed: bool,
    bytes: u64,
}

/// What an answer says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnswerHead {
    pub status: u16,
    /// `None` for an encoding that nobody reads.
    pub framing: Option<Framing>,
    pub said: Said,
    pub end_of_stream: bool,
}

/// What an answer says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// A text in UTF-8, or nothing.
    Text,
    /// Something that is in no list: looked through as far as that goes, and not counted as a text.
    Unlisted,
    Binary(Media),
    /// Another encoding or character set, or two things at once.
    Unreadable,
}

/// What stands in the place of a chunk of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Guarded {
    AsItCame,
    Replaced(Vec<u8>),
    /// The chunk waits in the proxy.
    Held,
}

impl Exchange {
    /// Decides how the answer of an attempt is judged; `Hold` if none of it may pass before all of it has come.
    pub(super) fn guard_answer_head(&mut self, head: AnswerHead) -> Flow {
        let (Some(guarding), Some(surface)) = (&mut self.guarding, self.facts.surface) else {
            return Flow::Continue;
        };
        guarding.answer = None;
        if head.end_of_stream || !guarding.looks_at_answers() {
            return Flow::Continue;
        }
        let Some(answer) = guarding.answer(surface, head) else {
            return self.unreadable_answer(head);
        };
        let is_held = matches!(answer, Answer::Whole(_));
        if !is_held {
            self.commands.push_back(Command::EditResponse {
                edits: vec![HeaderEdit::remove("content-length")],
            });
        }
        guarding.answer = Some(answer);
        if is_held { Flow::Hold } else { Flow::Continue }
    }

    /// Whether the body of the answer matters to a guardrail.
    pub(super) fn guards_answer(&self) -> bool {
        self.guarding
            .as_ref()
            .is_some_and(|guarding| guarding.answer.is_some())
    }

    /// An answer that nobody can read passes, or does not, as policy says.
    fn unreadable_answer(&mut self, head: AnswerHead) -> Flow {
        let Some(guarding) = &mut self.guarding else {
            return Flow::Continue;
        };
        let why = match head.said {
            Said::Unreadable => Why::Encoding,
            Said::Binary(media) => Why::of(media),
            Said::Text | Said::Unlisted => Why::File,
        };
        let (bench, judgement) = guarding.response();
        judgement.not_scanned(bench.guard, bench.selection, why, 1);
        if head.status >= 400 {
            return Flow::Continue;
        }
        judgement.stop_if(
            bench.guard,
            bench.selection,
            Cause {
                rule: why.name(),
                description: "an answer that nobody can read here is not passed on",
                role: TextRole::Assistant,
            },
            |rules| {
                if why == Why::Encoding {
                    rules.on_error == OnError::Block
                } else {
                    rules.on_unscanned == OnUnscanned::Block
                }
            },
        );
        if let Some(stop) = judgement.stop.clone() {
            guarding.answer = Some(Answer::Over);
            self.rewrite_answer(&stop);
        }
        Flow::Continue
    }

    /// Judges the next bytes of an answer.
    pub(super) fn guard_answer_body(
        &mut self,
        now: Timestamp,
        chunk: &[u8],
        end_of_stream: bool,
    ) -> Guarded {
        let Some(guarding) = &mut self.guarding else {
            return Guarded::AsItCame;
        };
        match guarding.answer.take() {
            None => Guarded::AsItCame,
            Some(Answer::Over) => {
                guarding.answer = Some(Answer::Over);
                Guarded::Replaced(Vec::new())
            }
            Some(Answer::Stream(stream)) => self.guard_stream(now, stream, chunk, end_of_stream),
            Some(Answer::Plain(plain)) => self.guard_plain(now, plain, chunk, end_of_stream),
            Some(Answer::Whole(whole)) => self.guard_whole(whole, chunk, end_of_stream),
        }
    }

    fn guard_stream(
        &mut self,
        now: Timestamp,
        mut stream: Box<StreamAnswer>,
        chunk: &[u8],
        end_of_stream: bool,
    ) -> Guarded {
        let Some(guarding) = &mut self.guarding else {
            return Guarded::AsItCame;
        };
        let (bench, judgement) = guarding.response();
        let mut out = Vec::new();
        let StreamAnswer {
            editor,
            channels,
            unscanned,
            contents,
        } = &mut *stream;
        let was_stopped = judgement.stop.is_some();
        let unread = contents.unread(chunk, end_of_stream);
        if unread > 0 {
            judgement.unread(bench.guard, bench.selection, unread, TextRole::Assistant);
        }
        let is_unread = !was_stopped && judgement.stop.is_some();
        let mut judge = StreamJudge {
            bench,
            judgement,
            channels,
        };
        let mut passage = editor.push(chunk, &mut judge, &mut out);
        if count_unscanned(editor, unscanned, &mut judge) || is_unread {
            // What nobody could read is in these bytes.
            out.clear();
            passage = Passage::Replaced;
        }
        if end_of_stream {
            let mut rest = Vec::new();
            editor.finish(&mut judge, &mut rest);
            let is_over = judge.judgement.stop.is_some();
            if passage == Passage::AsItCame && (is_over || !rest.is_empty()) {
                out.extend_from_slice(chunk);
                passage = Passage::Replaced;
            }
            out.append(&mut rest);
        }
        if let Some(stop) = judgement.stop.clone() {
            editor.end(Some(&stopped_answer(&stop)), &mut out);
            guarding.answer = Some(Answer::Over);
            self.stop_stream(now, &stop, end_of_stream);
            return Guarded::Replaced(out);
        }
        guarding.answer = Some(Answer::Stream(stream));
        match passage {
            Passage::AsItCame => Guarded::AsItCame,
            Passage::Replaced => Guarded::Replaced(out),
        }
    }

    fn guard_plain(
        &mut self,
        now: Timestamp,
        mut plain: Box<PlainAnswer>,
        chunk: &[u8],
        end_of_stream: bool,
    ) -> Guarded {
        let Some(guarding) = &mut self.guarding else {
            return Guarded::AsItCame;
        };
        let (bench, judgement) = guarding.response();
        let told = plain.contents.told(chunk, end_of_stream);
        judge_told(bench, judgement, &told, TextRole::Assistant, plain.is_error);
        let (was_empty, out) = plain
            .channel
            .pass_bytes(bench, judgement, chunk, end_of_stream);
        if let Some(stop) = judgement.stop.clone() {
            guarding.answer = Some(Answer::Over);
            self.stop_stream(now, &stop, end_of_stream);
            return Guarded::Replaced(Vec::new());
        }
        guarding.answer = Some(Answer::Plain(plain));
        if was_empty && out == chunk {
            Guarded::AsItCame
        } else {
            Guarded::Replaced(out)
        }
    }

    fn guard_whole(
        &mut self,
        mut whole: Box<WholeAnswer>,
        chunk: &[u8],
        end_of_stream: bool,
    ) -> Guarded {
        let Some(guarding) = &mut self.guarding else {
            return Guarded::AsItCame;
        };
        whole.bytes = whole.bytes.saturating_add(chunk.len() as u64);
        let WholeAnswer {
            reader,
            scan,
            failed,
            ..
        } = &mut *whole;
        *failed = *failed || reader.push(chunk, scan).is_err();
        if !end_of_stream {
            guarding.answer = Some(Answer::Whole(whole));
            return Guarded::Held;
        }
        let WholeAnswer {
            reader,
            mut scan,
            failed,
            bytes,
        } = *whole;
        let content = reader.finish(&mut scan);
        let (bench, judgement) = guarding.response();
        let splices = match content {
            Ok(content) if !failed => scan.finish(content).judge(bench, judgement),
            Ok(_) | Err(_) => {
                judgement.not_scanned(bench.guard, bench.selection, Why::Encoding, 1);
                judgement.stop_if(
                    bench.guard,
                    bench.selection,
                    Cause {
                        rule: "unreadable",
                        description: "an answer that is no JSON cannot be looked through",
                        role: TextRole::Assistant,
                    },
                    |rules| rules.on_error == OnError::Block,
                );
                Vec::new()
            }
        };
        if let Some(stop) = judgement.stop.clone() {
            guarding.answer = Some(Answer::Over);
            self.rewrite_answer(&stop);
        } else if !splices.is_empty() {
            let length = length_after(bytes, &splices);
            self.commands.push_back(Command::EditResponse {
                edits: vec![HeaderEdit::set("content-length", length.to_string())],
            });
            self.commands.push_back(Command::SpliceAnswer(PrefixSplice {
                length: reach(&splices),
                splices,
            }));
        }
        Guarded::AsItCame
    }

    /// Nothing of the answer has passed: the client gets a refusal in its place.
    fn rewrite_answer(&mut self, stop: &Stop) {
        let reply = self.shape(RefusalCode::GuardrailBlocked, stopped_answer(stop), None);
        self.facts.refusal = Some(RefusalCode::GuardrailBlocked);
        self.commands.push_back(Command::RewriteAnswer(reply));
    }

    /// Whether guardrails look at the events of a stream.
    pub(super) fn guards_stream(&self) -> bool {
        self.guarding
            .as_ref()
            .is_some_and(|guarding| matches!(guarding.answer, Some(Answer::Stream(_))))
    }

    /// Ends a stream that guardrails look at, for another reason than theirs; `false` if they look at none.
    pub(super) fn end_guarded_stream(&mut self, notice: &str, out: &mut Vec<u8>) -> bool {
        let Some(guarding) = &mut self.guarding else {
            return false;
        };
        match guarding.answer.take() {
            Some(Answer::Stream(mut stream)) => {
                stream.editor.end(Some(notice), out);
                guarding.answer = Some(Answer::Over);
                true
            }
            other => {
                guarding.answer = other;
                false
            }
        }
    }

    /// The client has its terminal events; the provider's stream is read on for its usage, for a while.
    fn stop_stream(&mut self, now: Timestamp, stop: &Stop, end_of_stream: bool) {
        self.facts.refusal = Some(RefusalCode::GuardrailBlocked);
        if !end_of_stream {
            let until = now.as_millis().saturating_add(u64::from(stop.drain_max_ms));
            self.draining_until = Some(Timestamp::from_millis(until));
        }
    }
}

impl Guarding {
    /// Whether anything in an answer could matter.
    fn looks_at_answers(&self) -> bool {
        self.restores()
            || self.guard.groups(&self.selection, Direction::Response) != detect::Groups::NONE
    }

    fn response(&mut self) -> (Bench<'_>, &mut Judgement) {
        let scope = self.scope();
        let judgement = self
            .response
            .get_or_insert_with(|| Judgement::new(Direction::Response, scope));
        let bench = Bench {
            guard: &self.guard,
            selection: &self.selection,
            direction: Direction::Response,
            restore: self.restore.as_ref(),
        };
        (bench, judgement)
    }

    /// How an answer is judged; `None` if it cannot be.
    fn answer(&self, surface: Surface, head: AnswerHead) -> Option<Answer> {
        let framing = head.framing?;
        if head.said == Said::Unreadable {
            return None;
        }
        if is_success(head.status)
            && framing != Framing::Json
            && let Some(editor) = StreamEditor::new(surface, framing)
        {
            return Some(Answer::Stream(Box::new(StreamAnswer {
                editor,
                channels: BTreeMap::new(),
                unscanned: 0,
                contents: Contents::new(BodyType::EventStream),
            })));
        }
        if is_success(head.status) && ContentReader::request(surface).is_some() {
            let scan = ContentScan::new(
                Rc::clone(&self.guard),
                &self.selection,
                Direction::Response,
                &self.tenant,
                self.restores(),
            );
            return Some(Answer::Whole(Box::new(WholeAnswer {
                reader: ContentReader::answer(surface),
                scan,
                failed: false,
                bytes: 0,
            })));
        }
        let declared = match head.said {
            Said::Binary(_) | Said::Unreadable => return None,
            Said::Text => BodyType::Text,
            Said::Unlisted => BodyType::Binary(Media::File),
        };
        let bench = self.bench(Direction::Response);
        let channel = ChannelScan::new(bench, TextRole::Assistant, true, "$".to_owned());
        Some(Answer::Plain(Box::new(PlainAnswer {
            channel: channel.counted_elsewhere(),
            contents: Contents::new(declared),
            is_error: head.status >= 400,
        })))
    }
}

/// Counts what nobody could read since the last time; returns whether the stream stops for it.
fn count_unscanned(
    editor: &StreamEditor,
    counted: &mut usize,
    judge: &mut StreamJudge<'_>,
) -> bool {
    let was_stopped = judge.judgement.stop.is_some();
    for unscanned in editor.unscanned().iter().skip(*counted) {
        judge.unscanned(unscanned.kind);
    }
    *counted = editor.unscanned().len();
    !was_stopped && judge.judgement.stop.is_some()
}
