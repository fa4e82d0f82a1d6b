//! Word and phrase lists: built once by whoever has time, searched as bytes.
//!
//! A list is cut into signs: a run of letters, digits and `_` is one, a letter of a script that writes no spaces
//! (Han, kana, Hangul, Thai and its neighbours) is one, every other visible character is one. Any white space
//! between two signs is the same as one space. Words match in any case (Unicode, character by character) and begin
//! and end where signs do, so `classified` is not found in `declassified`.
//!
//! ```text
//! magic "WEIRWRD1" | words u32 | slots u32 | pool bytes u32 | longest (signs) u32
//! filter  16 KiB · n: one bit per hash of a first sign
//! slots   12 bytes each: hash u32, where in the pool u32, length u16, flags u16 (1 a word ends, 2 more follows)
//! pool    the words as they are compared: folded, one space for any white space
//! ```
//! Each beginning of a phrase that ends with a sign has a slot, so a search at one place asks once per sign. Nothing
//! is built when a list is loaded; what is read is checked where it is read.

use core::ops::Range;

use crate::pass::Stopped;
use crate::tape::Tape;

/// Words of one list at most.
pub const MAX_WORDS: usize = 100_000;

/// Bytes of one word or phrase at most.
pub const MAX_WORD_BYTES: usize = 200;

/// Bytes of a compiled list at most.
pub(crate) const MAX_LIST_BYTES: usize = 12 << 20;

/// Signs of one phrase at most.
const MAX_SIGNS: usize = 32;

const MAGIC: &[u8; 8] = b"WEIRWRD1";
const HEADER_BYTES: usize = 24;
const SLOT_BYTES: usize = 12;
const FILTER_UNIT: usize = 16 << 10;

/// A word ends here.
const ENDS: u16 = 1;

/// A longer phrase goes on from here.
const GOES_ON: u16 = 2;

/// Why a list cannot be compiled, or is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordListProblem {
    #[error("the list has {0} words; {MAX_WORDS} are allowed")]
    TooManyWords(usize),
    #[error("the list has no words")]
    Empty,
    #[error("word {index} is blank; remove it")]
    Blank { index: usize },
    #[error("word {index} has {bytes} bytes; {MAX_WORD_BYTES} are allowed")]
    TooLong { index: usize, bytes: usize },
    #[error("word {index} has {signs} parts; {MAX_SIGNS} are allowed")]
    TooManySigns { index: usize, signs: usize },
    #[error(
        "the compiled list would have {0} bytes; {MAX_LIST_BYTES} are allowed: shorten it or split it"
    )]
    TooLarge(usize),
    #[error("these bytes are no compiled word list of this version; compile it again")]
    NotAList,
}

/// Builder of compiled lists.
#[derive(Clone, Copy, Debug)]
pub struct WordList;

impl WordList {
    /// Compiles words and phrases into what [`WordMatcher::from_bytes`] takes; the same words in any order give the
    /// same bytes.
    ///
    /// # Errors
    /// The first word that is blank or too long, a list without words or with too many.
    pub fn compile<S: AsRef<str>>(words: &[S]) -> Result<Vec<u8>, WordListProblem> {
        if words.is_empty() {
            return Err(WordListProblem::Empty);
        }
        if words.len() > MAX_WORDS {
            return Err(WordListProblem::TooManyWords(words.len()));
        }
        let mut folded = Vec::with_capacity(words.len());
        for (index, word) in words.iter().enumerate() {
            folded.push(fold_word(index, word.as_ref())?);
        }
        folded.sort_unstable();
        folded.dedup();
        compile::list(&folded)
    }
}

/// A word as it is compared, and where each of its signs ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Folded {
    text: Vec<u8>,
    ends: Vec<usize>,
}

fn fold_word(index: usize, word: &str) -> Result<Folded, WordListProblem> {
    let bytes = word.len();
    if bytes > MAX_WORD_BYTES {
        return Err(WordListProblem::TooLong { index, bytes });
    }
    let tape = Tape::whole(word.as_bytes());
    let mut folded = Folded {
        text: Vec::with_capacity(bytes),
        ends: Vec::new(),
    };
    let mut at = skip_space(&tape, 0);
    while at < bytes {
        at = read_sign(&tape, at, &mut folded.text);
        folded.ends.push(folded.text.len());
        let next = skip_space(&tape, at);
        if next > at && next < bytes {
            folded.text.push(b' ');
        }
        at = next;
    }
    match folded.ends.len() {
        0 => Err(WordListProblem::Blank { index }),
        signs if signs > MAX_SIGNS => Err(WordListProblem::TooManySigns { index, signs }),
        _ => Ok(folded),
    }
}

/// A compiled list, ready to search.
#[derive(Clone, Debug)]
pub struct WordMatcher {
    bytes: Vec<u8>,
    words: u32,
    slots: usize,
    filter: Range<usize>,
    table: usize,
    pool: usize,
}

impl WordMatcher {
    /// Takes a compiled list. Costs nothing but a look at its head.
    ///
    /// # Errors
    /// [`WordListProblem::NotAList`] if the bytes are none of ours.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, WordListProblem> {
        let problem = WordListProblem::NotAList;
        let size = |value: u32| usize::try_from(value).map_err(|_too_wide| problem.clone());
        if bytes.get(..8) != Some(MAGIC) || bytes.len() > MAX_LIST_BYTES {
            return Err(problem);
        }
        let field = |at| read_u32(&bytes, at).ok_or_else(|| problem.clone());
        let (words, slots, pool) = (field(8)?, size(field(12)?)?, size(field(16)?)?);
        let units = size(field(20)?)?;
        let parts = units
            .checked_mul(FILTER_UNIT)
            .and_then(|filter| Some((filter, slots.checked_mul(SLOT_BYTES)?)));
        let Some((filter, table)) = parts else {
            return Err(problem);
        };
        let table_at = HEADER_BYTES + filter;
        if units == 0
            || slots == 0
            || table_at
                .checked_add(table)
                .and_then(|end| end.checked_add(pool))
                != Some(bytes.len())
        {
            return Err(problem);
        }
        Ok(Self {
            words,
            slots,
            filter: HEADER_BYTES..table_at,
            table: table_at,
            pool: table_at + table,
            bytes,
        })
    }

    /// Returns how many words the list has.
    pub const fn words(&self) -> u32 {
        self.words
    }

    /// Returns the compiled list.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Tells `found` the words in the text where it has not looked yet, leftmost and longest first, and returns up to
    /// which byte that is certain.
    pub(crate) fn scan(
        &self,
        tape: &Tape<'_>,
        stopped: &mut Stopped,
        mut found: impl FnMut(Range<usize>),
    ) -> usize {
        let mut sign = Vec::with_capacity(64);
        if starts_inside_sign(tape, stopped.next) {
            stopped.next = sign_end(tape, stopped.next);
        }
        while stopped.next < tape.len() {
            let start = skip_space(tape, stopped.next);
            stopped.next = start;
            if start >= tape.len() {
                break;
            }
            sign.clear();
            let end = read_sign(tape, start, &mut sign);
            let matched = self.longest(tape, end, &mut sign);
            if tape.take_unsure() {
                return start;
            }
            stopped.next = end;
            if let Some(stop) = matched {
                found(start..stop);
                stopped.next = stop;
            }
        }
        tape.take_unsure();
        tape.len()
    }

    /// Returns where the longest phrase ends whose first sign, folded in `text`, ends at `end`.
    fn longest(&self, tape: &Tape<'_>, end: usize, text: &mut Vec<u8>) -> Option<usize> {
        let mut hash = hash(text);
        if !self.may_begin(hash) {
            return None;
        }
        let mut end = end;
        let mut best = None;
        loop {
            let flags = self.flags(hash, text)?;
            if flags & ENDS != 0 {
                best = Some(end);
            }
            if flags & GOES_ON == 0 {
                return best;
            }
            let next = skip_space(tape, end);
            if next > end {
                text.push(b' ');
            }
            // What runs out of an open text is told by the tape, and the answer dropped.
            if next >= tape.len() {
                tape.at(next);
                return best;
            }
            end = read_sign(tape, next, text);
            hash = self::hash(text);
            if self.flags(hash, text).is_none() {
                return best;
            }
        }
    }

    fn may_begin(&self, hash: u32) -> bool {
        let bits = (self.filter.len() * 8).max(1);
        let bit = usize::try_from(hash).unwrap_or(0) % bits;
        self.bytes
            .get(self.filter.start + bit / 8)
            .is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
    }

    /// Returns the flags of the slot for `text`.
    fn flags(&self, hash: u32, text: &[u8]) -> Option<u16> {
        let mut slot = place(hash, self.slots);
        for _ in 0..self.slots {
            let at = self.table + slot * SLOT_BYTES;
            let length = usize::from(read_u16(&self.bytes, at + 8)?);
            if length == 0 {
                return None;
            }
            if length == text.len() && read_u32(&self.bytes, at)? == hash {
                let offset = self.pool + usize::try_from(read_u32(&self.bytes, at + 4)?).ok()?;
                if self.bytes.get(offset..offset + length) == Some(text) {
                    return read_u16(&self.bytes, at + 10);
                }
            }
            slot = if slot + 1 == self.slots { 0 } else { slot + 1 };
        }
        None
    }
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(two.try_into().ok()?))
}

/// Place of a hash among `slots`.
fn place(hash: u32, slots: usize) -> usize {
    let slots = u64::try_from(slots).unwrap_or(1);
    usize::try_from((u64::from(hash) * slots) >> 32).unwrap_or(0)
}

/// FNV-1a with a last stir, so that the upper bits, which choose the slot, depend on every byte.
fn hash(text: &[u8]) -> u32 {
    let sum = text.iter().fold(0x811C_9DC5u32, |sum, byte| {
        (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    let sum = (sum ^ (sum >> 16)).wrapping_mul(0x85EB_CA6B);
    let sum = (sum ^ (sum >> 13)).wrapping_mul(0xC2B2_AE35);
    sum ^ (sum >> 16)
}

/// Returns the character at `at` and where it ends; bytes that are no UTF-8 count as one character each.
fn char_at(tape: &Tape<'_>, at: usize) -> (char, usize) {
    let first = tape.at(at);
    if first < 0x80 {
        return (char::from(first), at + 1);
    }
    let length = match first {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => return (char::REPLACEMENT_CHARACTER, at + 1),
    };
    match core::str::from_utf8(tape.slice(at..at + length)) {
        Ok(text) => (
            text.chars().next().unwrap_or(char::REPLACEMENT_CHARACTER),
            at + length,
        ),
        Err(_) => (char::REPLACEMENT_CHARACTER, at + 1),
    }
}

fn is_word_char(sign: char) -> bool {
    sign.is_alphanumeric() || sign == '_'
}

/// Whether a letter belongs to a script that puts no spaces between words, or glues endings to them.
const fn stands_alone(sign: char) -> bool {
    matches!(
        sign,
        '\u{0E00}'..='\u{0EFF}'
            | '\u{1000}'..='\u{109F}'
            | '\u{1780}'..='\u{17FF}'
            | '\u{3040}'..='\u{30FF}'
            | '\u{3400}'..='\u{9FFF}'
            | '\u{AC00}'..='\u{D7AF}'
            | '\u{F900}'..='\u{FAFF}'
            | '\u{20000}'..='\u{323AF}'
    )
}

fn skip_space(tape: &Tape<'_>, from: usize) -> usize {
    let mut at = from;
    while at < tape.len() {
        let (sign, next) = char_at(tape, at);
        if !sign.is_whitespace() {
            break;
        }
        at = next;
    }
    at
}

/// Whether the sign before `at` goes on at `at`; only after a bound cut the text there.
fn starts_inside_sign(tape: &Tape<'_>, at: usize) -> bool {
    let before = tape.before(at);
    (before.is_ascii_alphanumeric() || before == b'_') && {
        let (sign, _) = char_at(tape, at);
        is_word_char(sign) && !stands_alone(sign)
    }
}

fn sign_end(tape: &Tape<'_>, from: usize) -> usize {
    let mut at = from;
    while at < tape.len() {
        let (sign, next) = char_at(tape, at);
        if !is_word_char(sign) || stands_alone(sign) {
            break;
        }
        at = next;
    }
    at
}

/// Appends the sign at `at`, folded, and returns where it ends. A sign longer than any word is cut off in `text`.
fn read_sign(tape: &Tape<'_>, at: usize, text: &mut Vec<u8>) -> usize {
    let (first, mut end) = char_at(tape, at);
    fold(first, text);
    if !is_word_char(first) || stands_alone(first) {
        return end;
    }
    loop {
        let byte = tape.at(end);
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            keep(byte.to_ascii_lowercase(), text);
            end += 1;
            continue;
        }
        if byte < 0x80 {
            return end;
        }
        let (sign, next) = char_at(tape, end);
        if !is_word_char(sign) || stands_alone(sign) {
            return end;
        }
        fold(sign, text);
        end = next;
    }
}

/// Longest folded text that is kept: more than any word has, folded.
const KEPT: usize = 4 * MAX_WORD_BYTES;

fn keep(byte: u8, text: &mut Vec<u8>) {
    if text.len() < KEPT {
        text.push(byte);
    }
}

/// Appends a character as it is compared: upper case, then lower case, which makes one of `ß` and `SS`, `ς` and `σ`.
fn fold(sign: char, text: &mut Vec<u8>) {
    if sign.is_ascii() {
        let mut buffer = [0; 4];
        for byte in sign.to_ascii_lowercase().encode_utf8(&mut buffer).bytes() {
            keep(byte, text);
        }
        return;
    }
    let mut buffer = [0; 4];
    for upper in sign.to_uppercase() {
        for lower in upper.to_lowercase() {
            for byte in lower.encode_utf8(&mut buffer).bytes() {
                keep(byte, text);
            }
        }
    }
}

mod compile;

#[cfg(test)]
mod tests;
