//! Questions to the service as messages, and its answers.

use std::time::Duration;

use engine::messages::{ConsultAnswer, ConsultKind, OwnedMark};
use policy::compiled::Principal;
use policy::quota::lease::GrantRequest;
use policy::secret::Secret;
use prost::Message as _;
use wire::mesh;

use crate::host;
use crate::marks::{CREATED, ITEMS};
use crate::teller::{self, GRANT_TIMEOUT};

/// Shorter than the engine's own deadline, which is the watchdog.
const CONSULT_TIMEOUT: Duration = Duration::from_millis(1_500);
const VAULT_TIMEOUT: Duration = Duration::from_millis(300);

/// Asks the service; returns the call, with the grant that is asked for if it is one.
///
/// # Errors
/// The answer, if there is none to wait for: it is known here, or the call could not be sent.
pub(crate) fn ask(
    cluster: &str,
    kind: ConsultKind,
) -> Result<(u32, Option<GrantRequest>), ConsultAnswer> {
    let Some(kind) = unknown_here(kind) else {
        return Err(ConsultAnswer::Owned);
    };
    let timeout = match kind {
        ConsultKind::StatefulOwner { .. } => CONSULT_TIMEOUT,
        ConsultKind::FindTokens { .. } => VAULT_TIMEOUT,
        ConsultKind::Grant(_) => GRANT_TIMEOUT,
    };
    let (method, question, grant) = question(kind);
    let token = host::call(cluster, method, &question, timeout);
    token
        .map(|token| (token, grant))
        .ok_or(ConsultAnswer::Unreachable)
}

/// Reads what the service answered; only in the callback of the call.
pub(crate) fn read_answer(grant: Option<&GrantRequest>, status: u32, size: usize) -> ConsultAnswer {
    match grant {
        Some(request) => teller::grant_answer(request, status, size),
        None if status == 0 => consult_answer(&host::answer(size)),
        None => ConsultAnswer::Unreachable,
    }
}

/// Leaves of a question what this process does not know itself; `None` if that is nothing.
fn unknown_here(kind: ConsultKind) -> Option<ConsultKind> {
    match kind {
        ConsultKind::StatefulOwner {
            ids,
            marks,
            mut items,
            principal,
        } => {
            items.retain(|mark| !ITEMS.knows(mark));
            let asked = ids.into_iter().zip(marks);
            let asked = asked.filter(|(_, mark)| !mark.is_some_and(|mark| CREATED.knows(&mark)));
            let (ids, marks): (Vec<_>, Vec<_>) = asked.unzip();
            (!ids.is_empty() || !items.is_empty()).then_some(ConsultKind::StatefulOwner {
                ids,
                marks,
                items,
                principal,
            })
        }
        kind @ (ConsultKind::FindTokens { .. } | ConsultKind::Grant(_)) => Some(kind),
    }
}

/// Returns the method and the message of a question.
fn question(kind: ConsultKind) -> (&'static str, Vec<u8>, Option<GrantRequest>) {
    match kind {
        ConsultKind::Grant(request) => {
            let message = mesh::GrantRequest::from(&request).encode_to_vec();
            ("Grant", message, Some(request))
        }
        ConsultKind::StatefulOwner {
            ids,
            items,
            principal,
            ..
        } => (
            "Consult",
            owner_question(ids, &items, &principal).encode_to_vec(),
            None,
        ),
        ConsultKind::FindTokens {
            scope,
            tokens,
            all_of_session,
        } => {
            let question = mesh::FindTokens {
                tenant: scope.tenant,
                session: scope.session,
                tokens,
                all_of_session,
            };
            let request = mesh::ConsultRequest {
                exchange_id: Vec::new(),
                question: Some(mesh::consult_request::Question::FindTokens(question)),
            };
            ("Consult", request.encode_to_vec(), None)
        }
    }
}

fn owner_question(
    ids: Vec<String>,
    items: &[OwnedMark],
    principal: &Principal,
) -> mesh::ConsultRequest {
    let bytes = |id: Option<[u8; 16]>| id.map(|id| id.to_vec()).unwrap_or_default();
    let question = mesh::StatefulOwner {
        ids,
        item_marks: items.iter().map(|mark| mark.to_vec()).collect(),
        key_id: bytes(principal.key.map(policy::ids::KeyId::into_bytes)),
        user_id: bytes(principal.user.map(policy::ids::UserId::into_bytes)),
        team_id: bytes(principal.team.map(policy::ids::TeamId::into_bytes)),
        customer_id: bytes(principal.customer.map(policy::ids::CustomerId::into_bytes)),
    };
    mesh::ConsultRequest {
        exchange_id: Vec::new(),
        question: Some(mesh::consult_request::Question::StatefulOwner(question)),
    }
}

fn consult_answer(bytes: &[u8]) -> ConsultAnswer {
    match mesh::ConsultAnswer::decode(bytes) {
        Ok(mesh::ConsultAnswer {
            answer: Some(mesh::consult_answer::Answer::StatefulOwner(answer)),
        }) if answer.owned => ConsultAnswer::Owned,
        Ok(mesh::ConsultAnswer {
            answer: Some(mesh::consult_answer::Answer::FindTokens(answer)),
        }) => ConsultAnswer::Tokens(
            answer
                .entries
                .into_iter()
                .filter_map(|entry| {
                    let value = String::from_utf8(entry.value).ok()?;
                    Some((entry.token, Secret::new(value)))
                })
                .collect(),
        ),
        Ok(mesh::ConsultAnswer { answer: Some(_) }) => ConsultAnswer::NotOwned,
        Ok(mesh::ConsultAnswer { answer: None }) | Err(_) => ConsultAnswer::Unreachable,
    }
}
