//! A dry run: what the guardrails would make of a body, with nothing sent anywhere.

use std::collections::BTreeMap;
use std::rc::Rc;

use dialects::content::ContentReader;
use dialects::request::RequestReader;
use dialects::response::Framing;
use dialects::splice::apply;
use dialects::stream::StreamEditor;
use policy::compiled::{CompiledKey, Mesh, Principal};
use policy::guardrail::{GuardTarget, Subject, TextRole};
use policy::ids::ExchangeId;
use policy::routing::{self, ModelAsk};
use policy::surface::Surface;

use super::channel::{Bench, ChannelScan};
use super::outcome::{Direction, GuardOutcome, Verdict};
use super::request::ContentScan;
use super::stream::StreamJudge;
use super::token::TokenScope;
use super::verdict::Judgement;
use super::{Guard, Selection};
use crate::exchange::{stopped_answer, stopped_request};

/// What is to be tried.
#[derive(Clone, Copy, Debug)]
pub struct Evaluation<'a> {
    pub mesh: &'a Mesh,
    pub guard: &'a Rc<Guard>,
    /// Whose request it would be; `None` for one without a key.
    pub key: Option<&'a CompiledKey>,
    pub surface: Surface,
    pub direction: Direction,
    /// Whether an answer's body is a `text/event-stream`.
    pub is_stream: bool,
    /// The model, where the body does not name it.
    pub model: &'a str,
    /// The client's session, which tokens depend on.
    pub session: &'a str,
    /// Stands for the exchange in the draw of samples.
    pub exchange: ExchangeId,
    pub body: &'a [u8],
}

/// What would become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluated {
    /// The gravest of all guardrails; `Scanned` where none applies.
    pub verdict: Verdict,
    /// What the client would read, if it is blocked.
    pub message: Option<String>,
    /// By guardrail, without any value.
    pub outcomes: Vec<GuardOutcome>,
    /// What would go on; empty if nothing would.
    pub body: Vec<u8>,
}

/// Tries a body.
///
/// # Errors
/// A sentence that says why the body cannot be read.
pub fn evaluate(evaluation: &Evaluation<'_>) -> Result<Evaluated, String> {
    let selection = select(evaluation)?;
    let scope = TokenScope {
        tenant: principal(evaluation).tenant().to_vec(),
        session: evaluation.session.to_owned(),
    };
    let bench = Bench {
        guard: evaluation.guard,
        selection: &selection,
        direction: evaluation.direction,
        restore: None,
    };
    let mut judgement = Judgement::new(evaluation.direction, scope);
    let reader = match evaluation.direction {
        Direction::Request => ContentReader::request(evaluation.surface),
        Direction::Response => ContentReader::request(evaluation.surface)
            .map(|_| ContentReader::answer(evaluation.surface)),
    };
    let body = if evaluation.direction == Direction::Response && evaluation.is_stream {
        stream(evaluation, bench, &mut judgement)?
    } else if let Some(reader) = reader {
        whole(evaluation, bench, &mut judgement, reader)?
    } else {
        let mut channel = ChannelScan::new(bench, TextRole::Attachment, true, "$".to_owned());
        channel
            .pass_bytes(bench, &mut judgement, evaluation.body, true)
            .1
    };
    let outcomes = judgement.outcomes(evaluation.guard, &selection);
    let stop = judgement.stop.as_ref();
    let message = stop.map(|stop| match evaluation.direction {
        Direction::Request => stopped_request(stop),
        Direction::Response => stopped_answer(stop),
    });
    let is_gone = message.is_some() && !evaluation.is_stream;
    Ok(Evaluated {
        verdict: outcomes
            .iter()
            .map(|outcome| outcome.verdict)
            .max()
            .unwrap_or(Verdict::Scanned),
        message,
        outcomes,
        body: if is_gone { Vec::new() } else { body },
    })
}

fn principal(evaluation: &Evaluation<'_>) -> Principal {
    let key = evaluation.key;
    key.map_or_else(Principal::default, |key| key.principal.clone())
}

fn select(evaluation: &Evaluation<'_>) -> Result<Selection, String> {
    let Evaluation {
        mesh,
        guard,
        key,
        surface,
        body,
        ..
    } = *evaluation;
    let principal = principal(evaluation);
    let mut asked = evaluation.model.to_owned();
    if evaluation.direction == Direction::Request
        && let Some(mut reader) = RequestReader::new(surface)
    {
        reader.push(body).map_err(|error| error.to_string())?;
        let facts = reader.finish().map_err(|error| error.to_string())?;
        if let Some(model) = facts.model {
            asked = model.value;
        }
    }
    let ask = ModelAsk {
        dialect: surface.dialect(),
        model: &asked,
        pinned_provider: None,
    };
    let targets = routing::candidates(mesh, key, &ask)
        .map(|candidates| candidates.order(0).targets)
        .unwrap_or_default();
    let targets: Vec<_> = targets
        .iter()
        .filter_map(|target| {
            Some(GuardTarget {
                provider: mesh.providers.get(target.provider)?.name.as_str(),
                model: &target.model,
            })
        })
        .collect();
    let mut selection = guard.select(evaluation.exchange, &principal, surface);
    let subject = Subject {
        principal: &principal,
        surface,
        asked_model: &asked,
        targets: &targets,
        exchange: evaluation.exchange,
    };
    guard.narrow(&mut selection, &subject);
    Ok(selection)
}

fn whole(
    evaluation: &Evaluation<'_>,
    bench: Bench<'_>,
    judgement: &mut Judgement,
    mut reader: ContentReader,
) -> Result<Vec<u8>, String> {
    let tenant = judgement.scope().tenant.clone();
    let mut scan = ContentScan::new(
        Rc::clone(evaluation.guard),
        bench.selection,
        bench.direction,
        &tenant,
        false,
    );
    reader
        .push(evaluation.body, &mut scan)
        .map_err(|error| error.to_string())?;
    let content = reader
        .finish(&mut scan)
        .map_err(|error| error.to_string())?;
    let scanned = scan.finish(content);
    let mut splices = scanned.judge(bench, judgement);
    apply(evaluation.body, &mut splices).map_err(|error| error.to_string())
}

fn stream(
    evaluation: &Evaluation<'_>,
    bench: Bench<'_>,
    judgement: &mut Judgement,
) -> Result<Vec<u8>, String> {
    let Some(mut editor) = StreamEditor::new(evaluation.surface, Framing::Sse) else {
        return Err("answers of this surface are never streams".to_owned());
    };
    let mut channels = BTreeMap::new();
    let mut judge = StreamJudge {
        bench,
        judgement,
        channels: &mut channels,
    };
    let mut out = Vec::new();
    if editor.push(evaluation.body, &mut judge, &mut out)
        == dialects::usage_event::Passage::AsItCame
    {
        out = evaluation.body.to_vec();
    }
    editor.finish(&mut judge, &mut out);
    if let Some(stop) = &judgement.stop {
        editor.end(Some(&stopped_answer(stop)), &mut out);
    }
    Ok(out)
}
