//! E-mail addresses, found at their `@`.

use core::ops::Range;

use crate::tape::Tape;

/// Longest local part, RFC 5321 section 4.5.3.1.1.
pub(super) const MAX_LOCAL: usize = 64;

/// Longest domain.
const MAX_DOMAIN: usize = 253;

/// Longest label of a domain.
const MAX_LABEL: usize = 63;

/// Returns the address around the `@` at `at`; it begins at or after `floor`.
///
/// Not taken: the user of a URL's authority (`https://user:pass@host.example`) and of an scp-like Git remote
/// (`git@host.example:path`), names without a dot or with a top-level domain that is no word, and scale suffixes
/// of image files (`icon@2x.png`).
pub(super) fn find(tape: &Tape<'_>, at: usize, floor: usize) -> Option<Range<usize>> {
    let start = local_start(tape, at, floor)?;
    let end = domain_end(tape, at + 1)?;
    let local = tape.slice(start..at);
    if in_authority(tape, start) || (local == b"git" && matches!(tape.at(end), b':' | b'/')) {
        return None;
    }
    Some(start..end)
}

/// Whether an ASCII byte may stand in a local part. Less than RFC 5322 allows: quotes, backticks, braces, slashes
/// and equals signs stand around addresses far more often than in them.
const fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-')
}

/// Whether `byte` begins or goes on a two-byte letter: Latin, Greek, Cyrillic, Armenian, Hebrew, Arabic.
const fn is_letter_byte(byte: u8) -> bool {
    matches!(byte, 0xC3..=0xDB | 0x80..=0xBF)
}

/// Where a local part may reach back to at most, were an `@` to follow at `end`.
pub(super) fn local_start(tape: &Tape<'_>, end: usize, floor: usize) -> Option<usize> {
    let mut start = end;
    while start > floor {
        let byte = tape.before(start);
        if is_local(byte) {
            start -= 1;
        } else if matches!(byte, 0x80..=0xBF)
            && start - floor >= 2
            && matches!(tape.before(start - 1), 0xC3..=0xDB)
        {
            start -= 2;
        } else {
            break;
        }
        if end - start > MAX_LOCAL {
            return None;
        }
    }
    if tape.before(start) == b'\\' {
        start += escape_rest(tape, start).min(end - start);
    }
    while start < end && matches!(tape.at(start), b'.' | b'-' | b'%' | b'+') {
        start += 1;
    }
    (start < end && tape.before(end) != b'.').then_some(start)
}

/// Length of what belongs to an escape whose backslash stands before `start`: a text inside JSON inside a text.
fn escape_rest(tape: &Tape<'_>, start: usize) -> usize {
    match tape.at(start) {
        b'n' | b'r' | b't' | b'b' | b'f' => 1,
        b'u' if tape
            .slice(start + 1..start + 5)
            .iter()
            .all(u8::is_ascii_hexdigit) =>
        {
            5
        }
        _ => 0,
    }
}

fn domain_end(tape: &Tape<'_>, start: usize) -> Option<usize> {
    let mut label = start;
    let mut end = None;
    while label < start + MAX_DOMAIN {
        let stop = label_end(tape, label);
        if stop == label || stop - label > MAX_LABEL || tape.before(stop) == b'-' {
            break;
        }
        let here = tape.slice(label..stop);
        if label > start {
            end = is_top_level(here).then_some(stop);
        } else if is_scale(here) {
            return None;
        }
        if tape.at(stop) != b'.' || !is_label_byte(tape.at(stop + 1)) {
            break;
        }
        label = stop + 1;
    }
    end
}

fn label_end(tape: &Tape<'_>, start: usize) -> usize {
    let mut at = start;
    while at - start <= MAX_LABEL && is_label_byte(tape.at(at)) {
        at += 1;
    }
    at
}

const fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || is_letter_byte(byte)
}

/// Whether a last label can be a top-level domain: letters, or the ASCII form of other letters.
fn is_top_level(label: &[u8]) -> bool {
    label.len() >= 2
        && (label.starts_with(b"xn--")
            || label
                .iter()
                .all(|byte| byte.is_ascii_alphabetic() || is_letter_byte(*byte)))
}

/// `2x` of `icon@2x.png`.
const fn is_scale(label: &[u8]) -> bool {
    matches!(label, [b'1'..=b'9', b'x' | b'X'])
}

/// Whether what begins at `start` stands between `//` and the host of a URL.
fn in_authority(tape: &Tape<'_>, start: usize) -> bool {
    if !matches!(tape.before(start), b':' | b'/') {
        return false;
    }
    let from = start.saturating_sub(2 * MAX_LOCAL);
    let window = tape.slice(from..start);
    let word = window
        .iter()
        .rposition(|byte| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'<' | b'('))
        .map_or(0, |at| at + 1);
    let word = window.get(word..).unwrap_or_default();
    match memchr::memmem::rfind(word, b"://") {
        Some(at) => !word.get(at + 3..).unwrap_or_default().contains(&b'/'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<&str>) {
        let tape = Tape::whole(text.as_bytes());
        let at = text.find('@').unwrap();
        let found = find(&tape, at, 0).map(|range| text.get(range).unwrap());
        assert_eq!(found, want, "{text}");
    }

    #[test]
    fn addresses_are_found_whole() {
        check(
            "write to jane.doe+news@mail.example.com.",
            Some("jane.doe+news@mail.example.com"),
        );
        check(
            "<o_neil-7@sub.example.museum>",
            Some("o_neil-7@sub.example.museum"),
        );
        check(
            "mailto:jane@example.org?subject=x",
            Some("jane@example.org"),
        );
        check(
            "Jürgen: jürgen@müller.example",
            Some("jürgen@müller.example"),
        );
        check("{\"to\":\"\\nbob@example.com\"}", Some("bob@example.com"));
        check("a@b.xn--p1ai", Some("a@b.xn--p1ai"));
    }

    #[test]
    fn what_only_looks_like_an_address_is_not() {
        check("git@github.com:weir/weir.git", None);
        check("ssh://git@github.com/weir", None);
        check("https://user:secret@host.example/path", None);
        check("lodash@4.17.21", None);
        check("icon@2x.png", None);
        check("user@localhost", None);
        check("fn f(@Nullable x)", None);
        check(" @media.print", None);
        check("a.@example.com", None);
    }
}
