//! Headers that the proxy did not change: what was to be hidden, replaced or set is not, so nothing goes on.

use dialects::refusal::RefusalCode;

use super::{Exchange, State};
use crate::messages::{Command, Flow};

const WORDS: &str = "The proxy could not set the headers of this request or of its answer as policy wants them, so nothing was passed on; try again, and tell your administrator if it happens again.";

impl Exchange {
    /// Refuses the request in words, or breaks its answer off where that has begun.
    pub(super) fn not_edited(&mut self) -> Flow {
        if matches!(self.state, State::Closed) {
            return Flow::Hold;
        }
        if self.answered.is_some() || matches!(self.state, State::Replied) {
            // Words would be one more answer.
            self.facts.refusal.get_or_insert(RefusalCode::Internal);
            self.commands.push_back(Command::ResetStream);
            return Flow::Hold;
        }
        self.refuse(RefusalCode::Internal, WORDS.to_owned())
    }
}
