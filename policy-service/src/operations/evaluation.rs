//! Dry runs: what the guardrails would make of a body, with the code that the filter enforces them with.

use std::rc::Rc;
use std::sync::PoisonError;

use engine::guard::{Direction, Evaluated, Evaluation, Guard, evaluate as try_out};
use policy::check::Problem;
use policy::compile::{MeshSecrets, compile_with};
use policy::documents::{Documents, VirtualKey};
use policy::guardrail::Prepared;
use policy::ids::ExchangeId;
use policy::secret::Secret;
use policy::surface::Surface;
use uuid::Uuid;

use super::OperationError;
use super::authority::{Caller, Resource, Right};
use super::fields::{BodyDirection, EvaluationFields, Problems};
use super::views::EvaluationView;
use crate::store::{Store, StoreError};

/// What is to be tried, read from the fields.
#[derive(Debug)]
struct Ask {
    key: Option<VirtualKey>,
    surface: Surface,
    direction: Direction,
    is_stream: bool,
    model: String,
    session: String,
    body: Vec<u8>,
}

/// Tries a body under the stored policy. Nothing is sent, recorded or kept.
///
/// # Errors
/// [`OperationError`] when the fields make no sense, the body cannot be read, the caller may not or the store fails.
pub async fn evaluate(
    store: &Store,
    caller: &Caller,
    fields: EvaluationFields,
) -> Result<EvaluationView, OperationError> {
    caller.permit(Resource::Guardrails, Right::View)?;
    let documents = store.documents_but_quotas().await?;
    let ask = read(fields, &documents)?;
    let secrets = MeshSecrets {
        canary: Secret::new(String::new()),
        token_key: store.master_key().token_key(),
    };
    let kept = store.tried();
    let trying = tokio::task::spawn_blocking(move || {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        tried(&documents, secrets, &mut kept, &ask)
    });
    let evaluated = trying
        .await
        .map_err(|source| StoreError::Interrupted { source })??;
    Ok(EvaluationView::from(evaluated))
}

fn read(fields: EvaluationFields, documents: &Documents) -> Result<Ask, OperationError> {
    let mut problems = Problems::default();
    let surface = problems.need("surface", fields.surface).and_then(|name| {
        let surface = Surface::from_name(&name);
        if surface.is_none() {
            let known = Surface::ALL.map(Surface::name).join("`, `");
            let message = format!("there is no surface `{name}`; known are `{known}`");
            problems.add("surface", message);
        }
        surface
    });
    let body = problems.need("body", fields.body).map(|body| {
        let text = body.as_str().map(str::to_owned);
        text.unwrap_or_else(|| body.to_string()).into_bytes()
    });
    let key = fields.key.as_ref().and_then(|wanted| {
        let mut keys = documents.keys.values();
        let found = keys.find(|key| key.name == *wanted || key.id.to_string() == *wanted);
        if found.is_none() {
            problems.add("key", format!("there is no key `{wanted}`"));
        }
        found.cloned()
    });
    let (surface, body) = problems.complete(surface.zip(body))?;
    Ok(Ask {
        key,
        surface,
        direction: match fields.direction.unwrap_or_default() {
            BodyDirection::Request => Direction::Request,
            BodyDirection::Response => Direction::Response,
        },
        is_stream: fields.stream.unwrap_or(false),
        model: fields.model.unwrap_or_default(),
        session: fields.session.unwrap_or_default(),
        body,
    })
}

fn tried(
    documents: &Documents,
    secrets: MeshSecrets,
    kept: &mut Prepared,
    ask: &Ask,
) -> Result<Evaluated, OperationError> {
    let invalid = |problems| OperationError::Invalid { problems };
    let compiled = compile_with(documents, secrets, kept).map_err(invalid)?;
    let blob = |id: &_| compiled.blobs.get(id).cloned();
    let guard = Guard::new(&compiled.mesh, &blob, 0)
        .map_err(|error| invalid(vec![Problem::new("", error.to_string())]))?;
    let key = ask
        .key
        .as_ref()
        .and_then(|key| compiled.keys.get(&key.hash));
    let evaluation = Evaluation {
        mesh: &compiled.mesh,
        guard: &Rc::new(guard),
        key,
        surface: ask.surface,
        direction: ask.direction,
        is_stream: ask.is_stream,
        model: &ask.model,
        session: &ask.session,
        exchange: ExchangeId::new(Uuid::now_v7()),
        body: &ask.body,
    };
    try_out(&evaluation).map_err(|because| invalid(vec![Problem::new("body", because)]))
}
