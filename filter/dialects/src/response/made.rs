//! The items of an answer that its provider keeps: later requests may name each by its id.

use policy::surface::Surface;

use crate::request::MAX_ID_BYTES;

/// Items of one answer that are known by their ids; further ones are passed over. An agent's turn makes a handful.
pub const MAX_ITEMS: usize = 256;

/// The items that were met so far.
#[derive(Debug, Default)]
pub(super) struct Made {
    is_kept: bool,
    /// Each once; at most [`MAX_ITEMS`] of at most [`MAX_ID_BYTES`].
    ids: Vec<String>,
}

impl Made {
    /// Starts before the first item of an answer; on other surfaces than Responses nothing is noted.
    pub(super) fn of(surface: Surface) -> Self {
        Self {
            is_kept: surface == Surface::OpenaiResponses,
            ids: Vec::new(),
        }
    }

    /// Notes an item. One whose id no request could name is not noted.
    pub(super) fn item(&mut self, id: &str, whole: bool) {
        let can_be_named = whole && !id.is_empty() && id.len() <= MAX_ID_BYTES;
        if !self.is_kept || !can_be_named || self.ids.len() >= MAX_ITEMS {
            return;
        }
        // A stream tells each item when it begins, when it ends and with the whole answer: mostly the last one.
        if !self.ids.iter().rev().any(|known| known == id) {
            self.ids.push(id.to_owned());
        }
    }

    pub(super) fn ids(&self) -> &[String] {
        &self.ids
    }
}
