//! Whose the things are that a provider keeps: what came into being in this process is known here at once.
//!
//! A client may refer to a response as soon as it has read its id, long before the record of the exchange has
//! reached the service. So the id is told to all workers of the process before the bytes that hold it go on.

use policy::compiled::Principal;
use policy::surface::Surface;
use sha2::{Digest as _, Sha256};

use super::Exchange;
use crate::messages::{Command, ConsultKind, OwnedMark};

impl Exchange {
    /// Tells an id that came with the last bytes of an answer; only those that a later request may name.
    pub(super) fn note_created(&mut self) {
        if self.facts.surface != Some(Surface::OpenaiResponses) {
            return;
        }
        let Some(id) = self.attempts.last_mut().and_then(|it| it.take_new_id()) else {
            return;
        };
        let mark = self.owned_mark(&self.principal(), &id);
        self.commands.extend(mark.map(Command::KeepOwned));
    }

    /// Returns the question whether the ids belong to whoever asks.
    pub(super) fn ask_owner(&self, ids: Vec<String>) -> ConsultKind {
        let principal = self.principal();
        let marks = ids.iter().map(|id| self.owned_mark(&principal, id));
        ConsultKind::StatefulOwner {
            marks: marks.collect(),
            ids,
            principal,
        }
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
