//! Pieces of a channel as rules see them: valid UTF-8, whatever was cut where.

/// Bytes that a character may have and still be incomplete.
const MAX_TAIL: usize = 3;

/// Takes pieces of bytes and gives valid UTF-8; remembers where the original bytes stand.
#[derive(Clone, Debug, Default)]
pub(super) struct Inlet {
    /// The beginning of a character whose rest has not come.
    tail: Vec<u8>,
    /// Places in the valid text, and how much further the original is from there on; in order.
    steps: Vec<(usize, isize)>,
    shift: isize,
}

impl Inlet {
    /// Appends what `piece` completes to `text`, which ends at byte `end` of the valid text.
    pub(super) fn push(&mut self, piece: &[u8], text: &mut Vec<u8>, end: usize) {
        if self.tail.is_empty() && core::str::from_utf8(piece).is_ok() {
            text.extend_from_slice(piece);
            return;
        }
        let mut bytes = core::mem::take(&mut self.tail);
        bytes.extend_from_slice(piece);
        self.tail = bytes.split_off(bytes.len() - incomplete(&bytes));
        self.append(&bytes, text, end);
    }

    /// Appends what is left: a character that never came to its end.
    pub(super) fn finish(&mut self, text: &mut Vec<u8>, end: usize) {
        let bytes = core::mem::take(&mut self.tail);
        self.append(&bytes, text, end);
    }

    fn append(&mut self, bytes: &[u8], text: &mut Vec<u8>, end: usize) {
        let before = text.len();
        for chunk in bytes.utf8_chunks() {
            text.extend_from_slice(chunk.valid().as_bytes());
            for _ in chunk.invalid() {
                text.extend_from_slice("\u{FFFD}".as_bytes());
                self.shift -= 2;
                self.steps.push((end + text.len() - before, self.shift));
            }
        }
    }

    /// Returns where a byte of the valid text stands in the channel.
    pub(super) fn original(&self, at: usize) -> usize {
        let after = self.steps.partition_point(|(place, _)| *place <= at);
        let shift = after
            .checked_sub(1)
            .and_then(|step| self.steps.get(step))
            .map_or(0, |(_, shift)| *shift);
        at.saturating_add_signed(shift)
    }

    /// Forgets what is only needed for bytes before `at`.
    pub(super) fn forget(&mut self, at: usize) {
        let after = self.steps.partition_point(|(place, _)| *place <= at);
        if after > 64 {
            self.steps.drain(..after - 1);
        }
    }
}

/// Length of the beginning of a character at the end of `bytes`.
fn incomplete(bytes: &[u8]) -> usize {
    (1..=MAX_TAIL.min(bytes.len()))
        .find(|length| {
            let tail = bytes.get(bytes.len() - length..).unwrap_or_default();
            core::str::from_utf8(tail)
                .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_put_together_and_bad_bytes_replaced() {
        let bytes = "aé€😀z".as_bytes();
        for cut in 0..=bytes.len() {
            let (mut inlet, mut text) = (Inlet::default(), Vec::new());
            for piece in [&bytes[..cut], &bytes[cut..]] {
                let end = text.len();
                inlet.push(piece, &mut text, end);
            }
            assert_eq!(text, bytes);
        }
        let (mut inlet, mut text) = (Inlet::default(), Vec::new());
        inlet.push(b"a\xFFb\xE2\x82", &mut text, 0);
        assert_eq!(text, "a\u{FFFD}b".as_bytes());
        let end = text.len();
        inlet.finish(&mut text, end);
        assert_eq!(text, "a\u{FFFD}b\u{FFFD}\u{FFFD}".as_bytes());
        let places: Vec<usize> = [0, 1, 4, 5, 8, 11]
            .iter()
            .map(|at| inlet.original(*at))
            .collect();
        assert_eq!(places, [0, 1, 2, 3, 4, 5]);
    }
}
