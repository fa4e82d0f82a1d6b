//! Whose the things are that a provider keeps: what came into being in this process is known here at once.
//!
//! A client may refer to a response as soon as it has read its id, long before the record of the exchange has
//! reached the service. So the id is told to all workers of the process before the bytes that hold it go on.

use std::collections::BTreeSet;

use dialects::refusal::RefusalCode;
use dialects::request::{Reference, ReferenceField};
use policy::compiled::Principal;
use policy::surface::Surface;
use sha2::{Digest as _, Sha256};

use super::Exchange;
use crate::messages::{Command, ConsultKind, Flow, OwnedMark};

impl Exchange {
    /// Tells the ids that came with the last bytes of an answer; only those that a later request may name.
    pub(super) fn note_created(&mut self) {
        if self.facts.surface != Some(Surface::OpenaiResponses) {
            return;
        }
        let Some(attempt) = self.attempts.last_mut() else {
            return;
        };
        let (response, items) = (attempt.take_new_id(), attempt.take_new_items());
        let principal = self.principal();
        let mark = response.and_then(|id| self.owned_mark(&principal, &id));
        self.commands.extend(mark.map(Command::KeepOwned));
        let marks = items.iter().map(|id| self.owned_mark(&principal, id));
        let marks: Vec<_> = marks.flatten().collect();
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.told_items(&marks);
        }
        // One by one: what is told does not depend on how many came at once.
        self.commands
            .extend(marks.into_iter().map(Command::KeepItem));
    }

    /// Returns the question whether what is named belongs to whoever asks; `None` if nothing is named.
    ///
    /// # Errors
    /// The refusal, if it belongs to nobody who could ask.
    pub(super) fn ask_owner(
        &mut self,
        references: &[Reference],
    ) -> Result<Option<ConsultKind>, Flow> {
        if references.is_empty() {
            return Ok(None);
        }
        let principal = self.principal();
        let (mut ids, mut marks, mut items) = (Vec::new(), Vec::new(), BTreeSet::new());
        for reference in references {
            let mark = self.owned_mark(&principal, &reference.id);
            match (kept(reference.field), mark) {
                (Kept::Response, mark) => {
                    ids.push(reference.id.clone());
                    marks.push(mark);
                }
                (Kept::Item, Some(mark)) => {
                    items.insert(mark);
                }
                (Kept::Item, None) | (Kept::Untracked, _) => {
                    return Err(self.refuse_reference(reference));
                }
            }
        }
        let is_asked = !ids.is_empty() || !items.is_empty();
        Ok(is_asked.then(|| ConsultKind::StatefulOwner {
            ids,
            marks,
            items: items.into_iter().collect(),
            principal,
        }))
    }

    /// Refuses what names a stored thing that is not known to be whoever's who asks.
    pub(super) fn refuse_reference(&mut self, reference: &Reference) -> Flow {
        self.refuse(RefusalCode::StatefulIdUnknown, not_created(reference))
    }

    /// Returns what stands for an id in its owner's hands: another owner's is another one. Nothing belongs to
    /// traffic without a key.
    fn owned_mark(&self, principal: &Principal, id: &str) -> Option<OwnedMark> {
        let tenant = principal.tenant();
        let mesh = self.seed.mesh.as_ref()?;
        if tenant == [0; 17] {
            return None;
        }
        let digest = Sha256::new()
            .chain_update(b"owned")
            .chain_update(mesh.token_key.expose().as_bytes())
            .chain_update(tenant)
            .chain_update(id.as_bytes())
            .finalize();
        let (mark, _) = digest.split_first_chunk()?;
        Some(*mark)
    }
}

/// Who knows whose a stored thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// Whoever keeps the ids of responses.
    Response,
    /// Whoever keeps the marks of what they hold.
    Item,
    Untracked,
}

const fn kept(field: ReferenceField) -> Kept {
    match field {
        ReferenceField::PreviousResponse => Kept::Response,
        ReferenceField::Item | ReferenceField::Reasoning => Kept::Item,
        ReferenceField::Conversation
        | ReferenceField::Part
        | ReferenceField::Prompt
        | ReferenceField::File
        | ReferenceField::FileUri
        | ReferenceField::VectorStore
        | ReferenceField::FileSearchStore
        | ReferenceField::Container
        | ReferenceField::CachedContent
        | ReferenceField::Audio
        | ReferenceField::Skill
        | ReferenceField::Member => Kept::Untracked,
    }
}

/// Whether the provider adds what it remembers to what the request shows.
pub(super) fn refers_back(references: &[Reference]) -> bool {
    let mut references = references.iter();
    references.any(|reference| match kept(reference.field) {
        Kept::Response | Kept::Item => true,
        Kept::Untracked => false,
    })
}

/// Says that something of what was asked for is not whoever's who asked.
pub(super) fn not_owned(references: &[Reference]) -> String {
    let has = |wanted| references.iter().any(|it| kept(it.field) == wanted);
    let item = references.iter().find(|it| kept(it.field) == Kept::Item);
    match item {
        Some(item) if !has(Kept::Response) => not_created(item),
        Some(_) => "The response or an item that is referred to was not created through this mesh by your team.".to_owned(),
        None => "The response that is referred to was not created through this mesh by your team.".to_owned(),
    }
}

fn not_created(reference: &Reference) -> String {
    format!(
        "`{}` names something that was not created through this mesh by your team.",
        reference.name()
    )
}
