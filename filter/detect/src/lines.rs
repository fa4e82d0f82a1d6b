//! Lines of a text, as Gitleaks counts them.

use core::ops::Range;

/// Where the line ends of one text stand; found when first asked for.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    ends: Vec<usize>,
    known: bool,
}

/// Where a match stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// From 0.
    pub(crate) line: usize,
    /// From 1; on all lines but the first the line end before the line counts.
    pub(crate) column: usize,
}

impl Lines {
    /// Forgets the text.
    pub(crate) fn clear(&mut self) {
        self.ends.clear();
        self.known = false;
    }

    fn ends(&mut self, text: &[u8]) -> &[usize] {
        if !self.known {
            self.ends.extend(memchr::memchr_iter(b'\n', text));
            if self.ends.is_empty() {
                self.ends.push(text.len());
            }
            self.known = true;
        }
        &self.ends
    }

    /// Returns where a match that begins at `start` stands.
    pub(crate) fn place(&mut self, text: &[u8], start: usize) -> Place {
        let ends = self.ends(text);
        let line = ends.partition_point(|end| *end <= start);
        let from = line.checked_sub(1).and_then(|before| ends.get(before));
        Place {
            line,
            column: start.saturating_sub(from.copied().unwrap_or(0)) + 1,
        }
    }

    /// Returns the bytes that an allow list with `regexTarget = "line"` is held against.
    ///
    /// Two oddities are Gitleaks' own: a line begins with the line end before it, and the line of a match on a last
    /// line without an end begins with the text.
    pub(crate) fn around(&mut self, text: &[u8], matched: &Range<usize>) -> Range<usize> {
        let ends = self.ends(text);
        let line = ends.partition_point(|end| *end <= matched.start);
        let Some(own_end) = ends.get(line) else {
            let rest = text.get(matched.end..).unwrap_or_default();
            let more = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            return 0..matched.end + more;
        };
        let from = line.checked_sub(1).and_then(|before| ends.get(before));
        let last = ends.partition_point(|end| *end < matched.end);
        let end = ends.get(last).unwrap_or(own_end);
        from.copied().unwrap_or(0)..(*end).max(matched.end)
    }
}

#[cfg(test)]
mod tests {
    use super::{Lines, Place};

    #[test]
    fn lines_begin_with_the_end_before_them() {
        let text = b"one\ntwo\nthree";
        let mut lines = Lines::default();
        assert_eq!(lines.place(text, 1), Place { line: 0, column: 2 });
        assert_eq!(lines.place(text, 4), Place { line: 1, column: 2 });
        assert_eq!(lines.place(text, 9), Place { line: 2, column: 3 });
        assert_eq!(lines.around(text, &(0..2)), 0..3);
        assert_eq!(lines.around(text, &(5..7)), 3..7);
        assert_eq!(lines.around(text, &(1..6)), 0..7);
        assert_eq!(lines.around(text, &(8..10)), 0..13);
    }

    #[test]
    fn one_line_is_the_whole_text() {
        let mut lines = Lines::default();
        assert_eq!(lines.around(b"a token", &(2..7)), 0..7);
        assert_eq!(lines.place(b"a token", 2), Place { line: 0, column: 3 });
    }
}
