//! Questions to the service as messages, and its answers.

use engine::messages::{ConsultAnswer, ConsultKind};
use policy::compiled::Principal;
use policy::quota::lease::GrantRequest;
use policy::secret::Secret;
use prost::Message as _;
use wire::mesh;

use crate::marks::CREATED;

/// Leaves of a question what this process does not know itself; `None` if that is nothing.
pub(crate) fn unknown_here(kind: ConsultKind) -> Option<ConsultKind> {
    match kind {
        ConsultKind::StatefulOwner {
            ids,
            marks,
            principal,
        } => {
            let asked = ids.into_iter().zip(marks);
            let asked = asked.filter(|(_, mark)| !mark.is_some_and(|mark| CREATED.knows(&mark)));
            let (ids, marks): (Vec<_>, Vec<_>) = asked.unzip();
            (!ids.is_empty()).then_some(ConsultKind::StatefulOwner {
                ids,
                marks,
                principal,
            })
        }
        kind @ (ConsultKind::FindTokens { .. } | ConsultKind::Grant(_)) => Some(kind),
    }
}

/// Returns the method and the message of a question.
pub(crate) fn question(kind: ConsultKind) -> (&'static str, Vec<u8>, Option<GrantRequest>) {
    match kind {
        ConsultKind::Grant(request) => {
            let message = mesh::GrantRequest::from(&request).encode_to_vec();
            ("Grant", message, Some(request))
        }
        ConsultKind::StatefulOwner { ids, principal, .. } => (
            "Consult",
            owner_question(ids, &principal).encode_to_vec(),
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

fn owner_question(ids: Vec<String>, principal: &Principal) -> mesh::ConsultRequest {
    let bytes = |id: Option<[u8; 16]>| id.map(|id| id.to_vec()).unwrap_or_default();
    let question = mesh::StatefulOwner {
        ids,
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

pub(crate) fn consult_answer(bytes: &[u8]) -> ConsultAnswer {
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
