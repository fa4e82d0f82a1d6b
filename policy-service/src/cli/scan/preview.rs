//! What is shown of a finding: where it stands, and nothing of what is to be hidden.

use std::ops::Range;

use detect::{Finding, Groups, Kind, RuleSet, Scratch};

/// Bytes of the line that are shown before a finding.
const BEFORE: usize = 40;

/// Characters of hidden text that are shown.
const DECODED: usize = 80;

/// A secret that is at least so long shows its first [`SHOWN`] bytes: most vendors mark their keys there.
const LONG: usize = 20;
const SHOWN: usize = 4;

/// A text and all spans of it that are to be hidden.
pub(super) struct Masked<'t> {
    text: &'t [u8],
    rules: &'t RuleSet,
    /// Disjoint, in their order.
    spans: Vec<Range<usize>>,
}

impl<'t> Masked<'t> {
    pub(super) fn new(text: &'t [u8], rules: &'t RuleSet, found: &[Finding]) -> Self {
        let spans = detect::merge(found)
            .into_iter()
            .map(|span| span.secret)
            .collect();
        Self { text, rules, spans }
    }

    /// Shows the line's part before `finding`, and how long what was found is.
    pub(super) fn preview(&self, finding: &Finding, kind: Kind) -> String {
        let start = finding.secret.start;
        let before = self.text.get(..start).unwrap_or_default();
        let line = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |newline| newline + 1);
        let from = line.max(start.saturating_sub(BEFORE));
        let mut shown = String::new();
        if from > line {
            shown.push('…');
        }
        let mut at = from;
        // Spans that touch what is shown; a line may hold many more.
        let first = self.spans.partition_point(|span| span.end <= from);
        for span in self.spans.iter().skip(first) {
            if span.start >= start {
                break;
            }
            self.show(at..span.start, &mut shown);
            shown.push_str("[…]");
            at = span.end;
        }
        self.show(at..start, &mut shown);
        let shown = shown.trim_start().to_owned();
        match (&finding.decoded, kind) {
            (Some(hidden), Kind::HiddenText) => {
                format!("{shown}[hidden: {}]", self.hidden_text(hidden))
            }
            _ => format!("{shown}{}", self.mask(finding, kind)),
        }
    }

    fn show(&self, range: Range<usize>, shown: &mut String) {
        if let Some(text) = self.text.get(range) {
            shown.push_str(&printable(&String::from_utf8_lossy(text)));
        }
    }

    fn mask(&self, finding: &Finding, kind: Kind) -> String {
        let secret = self.text.get(finding.secret.clone()).unwrap_or_default();
        let may_begin = secret.len() >= LONG
            && finding.decoded.is_none()
            && matches!(kind, Kind::Secret | Kind::Custom);
        let beginning = secret
            .get(..SHOWN)
            .filter(|beginning| may_begin && beginning.iter().all(u8::is_ascii_graphic))
            .map(String::from_utf8_lossy)
            .unwrap_or_default();
        format!("{beginning}…[{} bytes]", secret.len())
    }

    /// Hidden text may hide a secret.
    fn hidden_text(&self, hidden: &str) -> String {
        let mut found = Vec::new();
        self.rules.scan(
            &mut Scratch::new(),
            hidden.as_bytes(),
            Groups::ALL,
            &mut found,
        );
        let mut shown = String::new();
        let mut at = 0;
        for span in detect::merge(&found) {
            shown.push_str(hidden.get(at..span.secret.start).unwrap_or_default());
            shown.push_str("[…]");
            at = span.secret.end;
        }
        shown.push_str(hidden.get(at..).unwrap_or_default());
        let mut short: String = shown.chars().take(DECODED).collect();
        if short.len() < shown.len() {
            short.push('…');
        }
        printable(&short)
    }
}

/// `text` with everything written out that a terminal would act on or not show.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '\t' {
            out.push(' ');
        } else if character.is_control() || is_invisible(character) {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
    }
    out
}

/// Characters that reorder text or have no width: soft hyphen, directions, zero widths, variation selectors, tags.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use detect::{RuleSetBuilder, Severity};

    use super::*;

    fn previews(text: &str) -> Vec<String> {
        let mut builder = RuleSetBuilder::default();
        builder
            .regex(0, "key", "key-[a-z0-9]+", 0, Severity::High)
            .unwrap();
        let rules = builder.build().unwrap();
        let mut found = Vec::new();
        rules.scan(
            &mut Scratch::new(),
            text.as_bytes(),
            Groups::ALL,
            &mut found,
        );
        let masked = Masked::new(text.as_bytes(), &rules, &found);
        found
            .iter()
            .map(|finding| masked.preview(finding, Kind::Custom))
            .collect()
    }

    #[test]
    fn a_short_value_shows_nothing_of_itself() {
        assert_eq!(previews("a = 'key-12345';"), ["a = '…[9 bytes]"]);
    }

    #[test]
    fn a_long_value_shows_how_it_begins() {
        assert_eq!(
            previews("one\n  two: key-0123456789abcdefgh and more"),
            ["two: key-…[22 bytes]"]
        );
    }

    #[test]
    fn values_before_a_finding_are_hidden_too() {
        assert_eq!(
            previews("key-12345, key-67890"),
            ["…[9 bytes]", "[…], …[9 bytes]"]
        );
        let long = format!("key-{} key-1", "0".repeat(100));
        assert_eq!(previews(&long), ["key-…[104 bytes]", "…[…] …[5 bytes]"]);
    }

    #[test]
    fn what_a_terminal_would_act_on_is_written_out() {
        assert_eq!(
            previews("a\u{1b}[31m\u{202e}\tkey-1"),
            ["a\\u{1b}[31m\\u{202e} …[5 bytes]"]
        );
    }
}
