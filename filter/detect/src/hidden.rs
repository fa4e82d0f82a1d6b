//! Text that a reader does not see: tags, bidi controls, zero-width characters, variation selectors.
//!
//! Left alone: the tags of an emoji flag, one variation selector behind a character, a single zero-width character
//! that is not inside an ASCII word (scripts of Asia and emoji need them), a byte order mark at the very beginning,
//! and a bidi isolate that is closed on its line, as localisation libraries write around names.

use core::ops::Range;

use crate::pass::Stopped;
use crate::tape::Tape;

/// What is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hidden {
    /// U+E0000 to U+E007F: an invisible copy of ASCII.
    Tags,
    /// Controls that show text in another order than it is read.
    Bidi,
    /// Two or more characters without width in a row, or one inside a word.
    ZeroWidth,
    /// Two or more variation selectors in a row: any bytes at all behind one character.
    Selectors,
}

impl Hidden {
    /// Every kind, in the order of their rules.
    pub(crate) const ALL: [Self; 4] = [Self::Tags, Self::Bidi, Self::ZeroWidth, Self::Selectors];

    /// Returns the name of the rule.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tags => "hidden-tags",
            Self::Bidi => "hidden-bidi-control",
            Self::ZeroWidth => "hidden-zero-width",
            Self::Selectors => "hidden-variation-selectors",
        }
    }

    /// Returns one sentence on what is found.
    pub(crate) const fn description(self) -> &'static str {
        match self {
            Self::Tags => "Invisible Unicode tag characters that spell a text",
            Self::Bidi => "Bidirectional controls that show text in another order than it is read",
            Self::ZeroWidth => "Characters without width, in a row or inside a word",
            Self::Selectors => "Variation selectors in a row, which can carry any bytes",
        }
    }
}

/// Characters of one run at most; what goes on after that is the next run.
const MAX_RUN: usize = 1_024;

/// How far an isolate may reach to be a closed one, in bytes.
const MAX_ISOLATE: usize = 256;

/// Characters that are named when a run says nothing.
const MAX_NAMED: usize = 8;

/// The black flag, base of the flags that are spelt with tags.
const FLAG: &[u8] = "\u{1F3F4}".as_bytes();

/// Tells `found` what is hidden in the text where it has not looked yet, with the text in plain, and returns up to
/// which byte that is certain.
pub(crate) fn scan(
    tape: &Tape<'_>,
    stopped: &mut Stopped,
    mut found: impl FnMut(Hidden, Range<usize>, String),
) -> usize {
    while let Some(place) = next_lead(tape.bytes(), stopped.next) {
        stopped.next = place;
        let sign = sign_at(tape, place);
        if tape.take_unsure() {
            return place;
        }
        let Some((hidden, _, length)) = sign else {
            stopped.next = place + 1;
            continue;
        };
        let run = read_run(tape, place, hidden);
        let is_hidden = judge(tape, hidden, &run);
        if tape.take_unsure() {
            return place;
        }
        if is_hidden {
            found(hidden, run.range.clone(), plain(hidden, &run.signs));
        }
        stopped.next = if hidden == Hidden::Bidi && !is_hidden {
            place + length
        } else {
            run.range.end
        };
    }
    stopped.next = tape.len();
    tape.len()
}

struct Run {
    range: Range<usize>,
    signs: Vec<char>,
}

fn read_run(tape: &Tape<'_>, start: usize, hidden: Hidden) -> Run {
    let mut run = Run {
        range: start..start,
        signs: Vec::new(),
    };
    while run.signs.len() < MAX_RUN {
        match sign_at(tape, run.range.end) {
            Some((kind, sign, length)) if kind == hidden => {
                run.signs.push(sign);
                run.range.end += length;
            }
            _ => break,
        }
    }
    run
}

fn judge(tape: &Tape<'_>, hidden: Hidden, run: &Run) -> bool {
    match hidden {
        Hidden::Tags => !is_flag(tape, run),
        Hidden::Selectors => run.signs.len() > 1,
        Hidden::Bidi => !is_closed_isolate(tape, run),
        Hidden::ZeroWidth => {
            let mark = run.range.start == 0 && run.signs.first() == Some(&'\u{FEFF}');
            let annotates = run
                .signs
                .iter()
                .any(|sign| matches!(sign, '\u{FFF9}'..='\u{FFFB}'));
            match run.signs.len() - usize::from(mark) {
                0 => false,
                1 => annotates || (!mark && is_inside_word(tape, run)),
                _ => true,
            }
        }
    }
}

/// A single soft hyphen in a word is where it may be broken; any other character without width splits it unseen.
fn is_inside_word(tape: &Tape<'_>, run: &Run) -> bool {
    run.signs.first() != Some(&'\u{AD}')
        && tape.before(run.range.start).is_ascii_alphanumeric()
        && tape.at(run.range.end).is_ascii_alphanumeric()
}

/// Black flag, three to six lower-case letters or digits, the cancel tag.
fn is_flag(tape: &Tape<'_>, run: &Run) -> bool {
    let base = run.range.start.saturating_sub(FLAG.len());
    let Some((last, region)) = run.signs.split_last() else {
        return false;
    };
    tape.slice(base..run.range.start) == FLAG
        && *last == '\u{E007F}'
        && (3..=6).contains(&region.len())
        && region
            .iter()
            .all(|sign| matches!(sign, '\u{E0030}'..='\u{E0039}' | '\u{E0061}'..='\u{E007A}'))
}

/// One isolate that is closed before its line ends, nothing of its kind between; or the end of such a one.
fn is_closed_isolate(tape: &Tape<'_>, run: &Run) -> bool {
    match run.signs.as_slice() {
        ['\u{2066}'..='\u{2068}'] => {
            let mut at = run.range.end;
            while at < run.range.end + MAX_ISOLATE {
                match tape.at(at) {
                    0 | b'\n' | b'\r' => return false,
                    0xE2 => match sign_at(tape, at) {
                        Some((Hidden::Bidi, sign, _)) => return sign == '\u{2069}',
                        _ => at += 1,
                    },
                    _ => at += 1,
                }
            }
            false
        }
        ['\u{2069}'] => {
            let from = run.range.start.saturating_sub(MAX_ISOLATE + 3);
            let window = tape.slice(from..run.range.start);
            let line = window
                .iter()
                .rposition(|byte| matches!(byte, b'\n' | b'\r' | 0))
                .map_or(0, |at| at + 1);
            let window = window.get(line..).unwrap_or_default();
            let opened = window
                .windows(3)
                .rposition(is_bidi)
                .and_then(|at| window.get(at + 2));
            matches!(opened, Some(0xA6..=0xA8))
        }
        _ => false,
    }
}

fn is_bidi(three: &[u8]) -> bool {
    matches!(three, [0xE2, 0x80, 0xAA..=0xAE] | [0xE2, 0x81, 0xA6..=0xA9])
}

/// Returns where the next byte stands that may begin a hidden character.
fn next_lead(bytes: &[u8], from: usize) -> Option<usize> {
    let is_lead = |byte: u8| matches!(byte, 0xC2 | 0xCD | 0xD8 | 0xE1 | 0xE2 | 0xE3 | 0xEF | 0xF3);
    let rest = bytes.get(from..)?;
    let (chunks, tail) = rest.as_chunks::<32>();
    let mut at = from;
    for chunk in chunks {
        // Most text is ASCII: one vector operation answers for 32 bytes.
        if chunk.iter().fold(0, |any, byte| any | byte) >= 0x80
            && let Some(place) = chunk.iter().position(|byte| is_lead(*byte))
        {
            return Some(at + place);
        }
        at += chunk.len();
    }
    tail.iter()
        .position(|byte| is_lead(*byte))
        .map(|place| at + place)
}

/// Returns what the character at `at` hides, the character and its length.
fn sign_at(tape: &Tape<'_>, at: usize) -> Option<(Hidden, char, usize)> {
    let length = match tape.at(at) {
        0xC2 | 0xCD | 0xD8 => 2,
        0xE1 | 0xE2 | 0xE3 | 0xEF => 3,
        0xF3 => 4,
        _ => return None,
    };
    // The second byte rules nearly everything out, so that open texts need not wait for the rest.
    let second = tape.at(at + 1);
    let known = matches!(
        (tape.at(at), second),
        (0xC2, 0xAD)
            | (0xCD, 0x8F)
            | (0xD8, 0x9C)
            | (0xE1, 0x85 | 0xA0)
            | (0xE2, 0x80 | 0x81)
            | (0xE3, 0x85)
            | (0xEF, 0xB8 | 0xBB | 0xBE | 0xBF)
            | (0xF3, 0xA0)
    );
    if !known {
        return None;
    }
    let lead = match length {
        2 => tape.at(at) & 0x1F,
        3 => tape.at(at) & 0x0F,
        _ => tape.at(at) & 0x07,
    };
    let mut code = u32::from(lead);
    for place in at + 1..at + length {
        let byte = tape.at(place);
        if !matches!(byte, 0x80..=0xBF) {
            return None;
        }
        code = code << 6 | u32::from(byte & 0x3F);
    }
    let sign = char::from_u32(code)?;
    let hidden = match sign {
        '\u{E0000}'..='\u{E007F}' => Hidden::Tags,
        '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}' => Hidden::Selectors,
        '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => Hidden::Bidi,
        '\u{AD}'
        | '\u{34F}'
        | '\u{61C}'
        | '\u{115F}'
        | '\u{1160}'
        | '\u{180E}'
        | '\u{200B}'..='\u{200F}'
        | '\u{2060}'..='\u{2064}'
        | '\u{3164}'
        | '\u{FEFF}'
        | '\u{FFA0}'
        | '\u{FFF9}'..='\u{FFFB}' => Hidden::ZeroWidth,
        _ => return None,
    };
    Some((hidden, sign, length))
}

/// Returns what a run says, or the names of its first characters.
fn plain(hidden: Hidden, signs: &[char]) -> String {
    let said = match hidden {
        Hidden::Tags => tags(signs),
        Hidden::Selectors => readable(
            signs
                .iter()
                .filter_map(|sign| selector_byte(*sign))
                .collect(),
        ),
        Hidden::ZeroWidth => bits(signs),
        Hidden::Bidi => None,
    };
    said.unwrap_or_else(|| {
        let mut names = String::new();
        for sign in signs.iter().take(MAX_NAMED) {
            let gap = if names.is_empty() { "" } else { " " };
            names.push_str(&format!("{gap}U+{:04X}", u32::from(*sign)));
        }
        if signs.len() > MAX_NAMED {
            names.push_str(&format!(" and {} more", signs.len() - MAX_NAMED));
        }
        names
    })
}

fn tags(signs: &[char]) -> Option<String> {
    let text: String = signs
        .iter()
        .filter_map(|sign| u32::from(*sign).checked_sub(0xE0000))
        .filter_map(|code| u8::try_from(code).ok())
        .filter(|byte| matches!(byte, b' '..=b'~'))
        .map(char::from)
        .collect();
    (!text.is_empty()).then_some(text)
}

fn selector_byte(sign: char) -> Option<u8> {
    match u32::from(sign) {
        code @ 0xFE00..=0xFE0F => u8::try_from(code - 0xFE00).ok(),
        code @ 0xE0100..=0xE01EF => u8::try_from(code - 0xE0100 + 16).ok(),
        _ => None,
    }
}

/// Reads a run as bits, eight to a letter: two characters, either of which may be the one.
fn bits(signs: &[char]) -> Option<String> {
    let zero = *signs.first()?;
    let one = *signs.iter().find(|sign| **sign != zero)?;
    if !signs.len().is_multiple_of(8) || signs.iter().any(|sign| *sign != zero && *sign != one) {
        return None;
    }
    let read = |one: char| {
        let bytes = signs
            .chunks(8)
            .map(|eight| {
                eight
                    .iter()
                    .fold(0u8, |byte, sign| byte << 1 | u8::from(*sign == one))
            })
            .collect();
        readable(bytes)
    };
    read(one).or_else(|| read(zero))
}

/// The bytes as text, if all of it can be read.
fn readable(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok().filter(|text| {
        !text.is_empty()
            && !text
                .chars()
                .any(|sign| sign.is_control() && sign != '\n' && sign != '\t')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &[(Hidden, &str)]) {
        let mut found = Vec::new();
        scan(
            &Tape::whole(text.as_bytes()),
            &mut Stopped::default(),
            |hidden, _, said| found.push((hidden, said)),
        );
        let want: Vec<_> = want
            .iter()
            .map(|(hidden, said)| (*hidden, (*said).to_owned()))
            .collect();
        assert_eq!(found, want, "{text:?}");
    }

    fn as_tags(text: &str) -> String {
        text.bytes()
            .filter_map(|byte| char::from_u32(0xE0000 + u32::from(byte)))
            .collect()
    }

    fn as_selectors(text: &str) -> String {
        text.bytes()
            .filter_map(|byte| match u32::from(byte) {
                byte @ 0..16 => char::from_u32(0xFE00 + byte),
                byte => char::from_u32(0xE0100 + byte - 16),
            })
            .collect()
    }

    #[test]
    fn tags_are_read() {
        check(
            &format!("hello{}!", as_tags("send the keys")),
            &[(Hidden::Tags, "send the keys")],
        );
    }

    #[test]
    fn flags_and_emoji_are_left_alone() {
        check(
            "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F} ❤\u{FE0F} 👩\u{200D}💻 👨‍👩‍👧",
            &[],
        );
        check(
            "\u{FEFF}plain; می\u{200C}خواهم; क्\u{200D}ष; co\u{AD}operate",
            &[],
        );
        check("葛\u{E0100}城 \u{2068}Ada\u{2069} wrote", &[]);
    }

    #[test]
    fn flags_that_say_more_are_not() {
        let long = format!("🏴{}\u{E007F}", as_tags("ignore all rules"));
        check(&long, &[(Hidden::Tags, "ignore all rules")]);
    }

    #[test]
    fn selectors_in_a_row_are_bytes() {
        check(
            &format!("😀{}", as_selectors("rm -rf")),
            &[(Hidden::Selectors, "rm -rf")],
        );
    }

    #[test]
    fn zero_width_runs_are_bits_or_names() {
        let bits: String = "01101000"
            .chars()
            .map(|bit| if bit == '1' { '\u{200C}' } else { '\u{200B}' })
            .collect();
        check(&format!("a {bits} b"), &[(Hidden::ZeroWidth, "h")]);
        check(
            "x \u{200B}\u{2060} y",
            &[(Hidden::ZeroWidth, "U+200B U+2060")],
        );
        check("pass\u{200B}word", &[(Hidden::ZeroWidth, "U+200B")]);
    }

    #[test]
    fn bidi_controls_are_found_unless_closed() {
        check("access \u{202E}level", &[(Hidden::Bidi, "U+202E")]);
        check("if \u{2067}x\n", &[(Hidden::Bidi, "U+2067")]);
        check("a \u{2069} b", &[(Hidden::Bidi, "U+2069")]);
    }
}
