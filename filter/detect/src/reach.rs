//! Where the matches of a pattern can be, given where its keywords are.
//!
//! If every match contains a keyword, then every match lies in a window around one: it begins at most `lead` bytes
//! before the keyword's end, and ends where the rest of the pattern must have ended. Searching those windows alone
//! finds exactly what searching the whole text finds.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever else a pattern may be made of is treated alike"
)]

use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

/// Strings that a part of a pattern can be are listed up to this number.
const MAX_STRINGS: usize = 256;

/// A class of more characters is not spelt out.
const MAX_CLASS: u32 = 16;

/// Beyond so many unbounded parts a match may end anywhere.
const MAX_RUNS: usize = 8;

/// What must follow a keyword is looked at for so many bytes.
const SEQUEL_BYTES: usize = 64;

/// And for so many repetitions of one part.
const SEQUEL_TIMES: u32 = 12;

/// Shorter strings stand everywhere.
const MIN_ANCHOR: usize = 3;

/// Bytes that may stand in the unbounded parts of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ByteSet([bool; 256]);

impl ByteSet {
    pub(crate) const NONE: Self = Self([false; 256]);

    pub(crate) fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte)).copied().unwrap_or(true)
    }

    fn add(&mut self, first: u8, last: u8) {
        for byte in first..=last {
            if let Some(has) = self.0.get_mut(usize::from(byte)) {
                *has = true;
            }
        }
    }

    fn union(&mut self, other: &Self) {
        for (has, more) in self.0.iter_mut().zip(other.0) {
            *has |= more;
        }
    }
}

/// How far matches reach from a keyword.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// From the begin of a match to the end of its keyword, in bytes, at most.
    pub(crate) lead: usize,
    pub(crate) rest: Rest,
    /// What must follow, where that is known.
    pub(crate) sequel: Option<Sequel>,
    /// Whether every match begins where a keyword begins.
    pub(crate) begins: bool,
}

/// A short pattern that must match around the keyword of every match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sequel {
    /// The pattern begins so many bytes before the keyword.
    pub(crate) before: usize,
    pub(crate) hir: Hir,
    /// Whether more must follow in the pattern.
    is_cut: bool,
}

/// How far the rest of a match reaches from the begin of its keyword.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rest {
    /// Bytes outside the unbounded parts, at most.
    pub(crate) bounded: usize,
    /// Unbounded parts.
    pub(crate) runs: usize,
    /// What may stand in unbounded parts.
    pub(crate) bytes: ByteSet,
}

impl Rest {
    const NONE: Self = Self {
        bounded: 0,
        runs: 0,
        bytes: ByteSet::NONE,
    };

    fn then(&mut self, next: &Self) {
        self.bounded = self.bounded.saturating_add(next.bounded);
        self.runs = self.runs.saturating_add(next.runs);
        self.bytes.union(&next.bytes);
    }

    fn or(&mut self, other: &Self) {
        self.bounded = self.bounded.max(other.bounded);
        self.runs = self.runs.max(other.runs);
        self.bytes.union(&other.bytes);
    }

    /// Whether the match may end anywhere.
    pub(crate) fn is_endless(&self) -> bool {
        self.runs > MAX_RUNS
    }
}

impl Reach {
    /// Returns how far matches reach from a keyword, or `None` where a match need not contain one.
    ///
    /// `odd` says whether the text holds U+017F or U+212A, which fold to `s` and `k` and take more bytes.
    pub(crate) fn of(hir: &Hir, keywords: &[String], odd: bool) -> Option<Self> {
        if keywords.is_empty()
            || keywords
                .iter()
                .any(|word| !word.is_ascii() || word.is_empty())
        {
            return None;
        }
        let holds = |string: &[u8]| {
            let place = |word: &String| {
                let begin = memchr::memmem::find(string, word.as_bytes())?;
                Some((begin + word.len(), begin))
            };
            keywords.iter().filter_map(place).min()
        };
        Survey { odd, holds: &holds }.reach(hir)
    }
}

/// Returns strings of which every match contains one, in lower case; none where there are no good ones.
///
/// Strings with a bounded distance from the begin of a match go first.
pub(crate) fn anchors(hir: &Hir) -> Vec<String> {
    let near = anchors_of(hir, true);
    let strings = if near.is_empty() {
        anchors_of(hir, false)
    } else {
        near
    };
    let strings: Option<Vec<String>> = strings
        .into_iter()
        .map(|string| {
            String::from_utf8(string)
                .ok()
                .filter(|string| string.is_ascii())
        })
        .collect();
    let mut strings = strings.unwrap_or_default();
    strings.sort();
    strings.dedup();
    strings
}

/// Returns how good a choice of anchors is: long ones, then few ones.
fn worth(strings: &[Vec<u8>]) -> Option<(usize, usize)> {
    let shortest = strings.iter().map(Vec::len).min()?;
    (shortest >= MIN_ANCHOR).then(|| (shortest.min(8), usize::MAX - strings.len()))
}

fn anchors_of(hir: &Hir, near: bool) -> Vec<Vec<u8>> {
    let mut best: Vec<Vec<u8>> = Vec::new();
    let mut consider = |strings: Vec<Vec<u8>>| {
        if worth(&strings) > worth(&best) {
            best = strings;
        }
    };
    let mut strings: Vec<Vec<u8>> = vec![Vec::new()];
    for piece in pieces(hir) {
        let own = exact(piece);
        if let Some(longer) = own.as_ref().and_then(|own| product(&strings, own)) {
            strings = longer;
            continue;
        }
        consider(core::mem::replace(&mut strings, vec![Vec::new()]));
        match (own, piece.kind()) {
            (Some(own), _) => strings = own,
            (None, HirKind::Repetition(repetition)) if repetition.min > 0 => {
                consider(anchors_of(&repetition.sub, near));
            }
            (None, HirKind::Alternation(branches)) => {
                let each: Vec<_> = branches
                    .iter()
                    .map(|branch| anchors_of(branch, near))
                    .collect();
                if each.iter().all(|strings| !strings.is_empty()) {
                    consider(each.concat());
                }
            }
            (None, _) => {}
        }
        if near && piece.properties().maximum_len().is_none() {
            return best;
        }
    }
    consider(strings);
    best
}

/// Returns where the first keyword in a string ends, and where it begins.
type Holds<'k> = &'k dyn Fn(&[u8]) -> Option<(usize, usize)>;

/// One look at a pattern.
struct Survey<'k> {
    odd: bool,
    holds: Holds<'k>,
}

impl Survey<'_> {
    fn reach(&self, hir: &Hir) -> Option<Reach> {
        match hir.kind() {
            HirKind::Alternation(branches) => {
                let mut whole: Option<Reach> = None;
                for branch in branches {
                    let reach = self.reach(branch)?;
                    match &mut whole {
                        None => whole = Some(reach),
                        Some(whole) => {
                            whole.lead = whole.lead.max(reach.lead);
                            whole.rest.or(&reach.rest);
                            whole.sequel = either(whole.sequel.take(), reach.sequel);
                            whole.begins &= reach.begins;
                        }
                    }
                }
                whole
            }
            HirKind::Repetition(repetition) if repetition.min > 0 => {
                let once = self.reach(&repetition.sub)?;
                Some(Reach {
                    lead: once.lead,
                    begins: once.begins,
                    rest: self.rest(hir),
                    sequel: once.sequel.map(|sequel| Sequel {
                        is_cut: true,
                        ..sequel
                    }),
                })
            }
            HirKind::Repetition(_) => None,
            HirKind::Capture(capture) => self.reach(&capture.sub),
            HirKind::Empty
            | HirKind::Look(_)
            | HirKind::Literal(_)
            | HirKind::Class(_)
            | HirKind::Concat(_) => self.reach_of_pieces(&pieces(hir)),
        }
    }

    fn reach_of_pieces(&self, pieces: &[&Hir]) -> Option<Reach> {
        let mut best: Option<Reach> = None;
        let mut before = Some(0_usize);
        let mut run = Run::at(0, 0);
        for (place, piece) in pieces.iter().enumerate() {
            // What begins behind an unbounded part has no left bound.
            let Some(bytes_before) = before else {
                break;
            };
            let own = exact(piece);
            let longer = own.as_ref().and_then(|own| product(&run.strings, own));
            let found = match (longer, own) {
                (Some(longer), _) => {
                    run.strings = longer;
                    self.lead_of(&run)
                        .map(|(lead, before)| (run.first, lead, Found::InRun { before }))
                }
                (None, Some(own)) => {
                    run = Run::at(place, bytes_before);
                    run.strings = own;
                    self.lead_of(&run)
                        .map(|(lead, before)| (run.first, lead, Found::InRun { before }))
                }
                (None, None) => {
                    run = Run::at(place + 1, bytes_before);
                    None
                }
            };
            let found = found.or_else(|| {
                let inner = match piece.kind() {
                    HirKind::Alternation(_) | HirKind::Repetition(_) => self.reach(piece)?,
                    _ => return None,
                };
                let lead = bytes_before.saturating_add(inner.lead);
                let begins = inner.begins && bytes_before == 0;
                Some((place, lead, Found::Inside(inner.sequel, begins)))
            });
            if let Some((first, lead, found)) = found {
                let mut rest = Rest::NONE;
                for piece in pieces.iter().skip(first) {
                    rest.then(&self.rest(piece));
                }
                let begins = match found {
                    Found::InRun { before } => before == Some(0) && run.before == 0,
                    Found::Inside(_, begins) => begins,
                };
                let sequel = match found {
                    Found::InRun {
                        before: Some(before),
                    } if !self.odd => {
                        Some(self.opening(pieces.get(first..).unwrap_or_default(), before))
                    }
                    Found::InRun { .. } => None,
                    Found::Inside(sequel, _) => sequel.map(|inner| {
                        let mut parts = vec![&inner.hir];
                        // A sequel that was cut short says nothing about what follows.
                        if !inner.is_cut {
                            parts.extend(pieces.iter().skip(place + 1));
                        }
                        self.opening(&parts, inner.before)
                    }),
                };
                let reach = Reach {
                    lead,
                    rest,
                    sequel,
                    begins,
                };
                if best.as_ref().is_none_or(|best| reach.cost() < best.cost()) {
                    best = Some(reach);
                }
                run = Run::at(place + 1, bytes_before);
            }
            let whole = self.rest(piece);
            before = (whole.runs == 0).then(|| bytes_before.saturating_add(whole.bounded));
            if run.first > place {
                run.before = before.unwrap_or(0);
            }
        }
        best
    }

    /// Returns the lead if every string of the run holds a keyword.
    /// If every string of the run holds a keyword: the lead, and how far into the run the keyword begins, if that is
    /// the same everywhere.
    fn lead_of(&self, run: &Run) -> Option<(usize, Option<usize>)> {
        let mut most = 0;
        let mut begins: Option<Option<usize>> = None;
        for string in &run.strings {
            let (end, begin) = (self.holds)(string)?;
            let bytes: usize = string.iter().take(end).map(|byte| self.weight(*byte)).sum();
            most = most.max(bytes);
            begins = match begins {
                None => Some(Some(begin)),
                Some(other) => Some(other.filter(|other| *other == begin)),
            };
        }
        Some((run.before.saturating_add(most), begins.flatten()))
    }

    /// Returns the beginning of parts of a pattern: short, so that failing to match it costs little.
    fn opening(&self, parts: &[&Hir], before: usize) -> Sequel {
        let mut budget = SEQUEL_BYTES;
        let mut opening = Vec::new();
        let mut is_cut = false;
        for part in parts {
            let rest = self.rest(part);
            if rest.runs == 0 && rest.bounded <= budget {
                budget -= rest.bounded;
                opening.push(Hir::clone(part));
                continue;
            }
            is_cut = true;
            opening.extend(self.certain(part, budget));
            break;
        }
        Sequel {
            before,
            hir: Hir::concat(opening),
            is_cut,
        }
    }

    /// Returns what every match of a long part begins with.
    fn certain(&self, part: &Hir, budget: usize) -> Option<Hir> {
        match part.kind() {
            HirKind::Repetition(repetition) if repetition.min > 0 => {
                let once = self.rest(&repetition.sub);
                if once.runs > 0 || once.bounded == 0 {
                    return None;
                }
                let times = u32::try_from(budget / once.bounded).unwrap_or(u32::MAX);
                let times = times.min(repetition.min).min(SEQUEL_TIMES);
                (times > 0).then(|| {
                    Hir::repetition(Repetition {
                        min: times,
                        max: Some(times),
                        greedy: repetition.greedy,
                        sub: repetition.sub.clone(),
                    })
                })
            }
            HirKind::Alternation(branches) => {
                let openings = branches
                    .iter()
                    .map(|branch| self.opening(&pieces(branch), 0).hir);
                Some(Hir::alternation(openings.collect()))
            }
            _ => None,
        }
    }

    const fn weight(&self, byte: u8) -> usize {
        match byte {
            b's' if self.odd => 2,
            b'k' if self.odd => 3,
            _ => 1,
        }
    }

    fn rest(&self, hir: &Hir) -> Rest {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => Rest::NONE,
            HirKind::Literal(literal) => Rest {
                bounded: literal.0.len(),
                ..Rest::NONE
            },
            HirKind::Class(class) => Rest {
                bounded: self.widest(class),
                ..Rest::NONE
            },
            HirKind::Capture(capture) => self.rest(&capture.sub),
            HirKind::Concat(parts) => {
                let mut whole = Rest::NONE;
                for part in parts {
                    whole.then(&self.rest(part));
                }
                whole
            }
            HirKind::Alternation(branches) => {
                let mut whole = Rest::NONE;
                for branch in branches {
                    whole.or(&self.rest(branch));
                }
                whole
            }
            HirKind::Repetition(repetition) => match repetition.max {
                Some(times) => {
                    let times = usize::try_from(times).unwrap_or(usize::MAX);
                    let mut whole = self.rest(&repetition.sub);
                    whole.bounded = whole.bounded.saturating_mul(times);
                    whole.runs = whole.runs.saturating_mul(times);
                    whole
                }
                None => {
                    let mut bytes = ByteSet::NONE;
                    bytes_of(&repetition.sub, &mut bytes);
                    Rest {
                        bounded: 0,
                        runs: 1,
                        bytes,
                    }
                }
            },
        }
    }

    /// Returns the bytes of the longest character of a class.
    fn widest(&self, class: &Class) -> usize {
        match class {
            Class::Bytes(_) => 1,
            Class::Unicode(class) => class
                .iter()
                .filter(|range| {
                    let odd = matches!(range.end(), '\u{17F}' | '\u{212A}');
                    self.odd || !(odd && range.start() == range.end())
                })
                .map(|range| range.end().len_utf8())
                .max()
                .unwrap_or(0),
        }
    }
}

impl Reach {
    fn cost(&self) -> usize {
        self.lead
            .saturating_add(self.rest.bounded)
            .saturating_add(self.rest.runs.saturating_mul(4_096))
    }
}

/// How a keyword was found in the parts of a pattern.
enum Found {
    /// In neighbouring parts; so many bytes behind their begin.
    InRun { before: Option<usize> },
    /// In one part; whether matches begin with it.
    Inside(Option<Sequel>, bool),
}

/// Returns what must match if one of two branches does.
fn either(one: Option<Sequel>, other: Option<Sequel>) -> Option<Sequel> {
    let (one, other) = one.zip(other)?;
    (one.before == other.before).then(|| Sequel {
        before: one.before,
        is_cut: one.is_cut || other.is_cut,
        hir: Hir::alternation(vec![one.hir, other.hir]),
    })
}

/// Neighbouring parts of a pattern whose strings are known.
struct Run {
    /// Place of the first part.
    first: usize,
    /// Bytes before it, at most.
    before: usize,
    strings: Vec<Vec<u8>>,
}

impl Run {
    fn at(first: usize, before: usize) -> Self {
        Self {
            first,
            before,
            strings: vec![Vec::new()],
        }
    }
}

/// Returns the parts of a pattern one after the other, groups opened.
pub(crate) fn pieces(hir: &Hir) -> Vec<&Hir> {
    match hir.kind() {
        HirKind::Concat(parts) => parts.iter().flat_map(pieces).collect(),
        HirKind::Capture(capture) => pieces(&capture.sub),
        _ => vec![hir],
    }
}

/// Returns all strings that a part can match, folded to lower case, if they are few.
fn exact(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(vec![Vec::new()]),
        HirKind::Literal(literal) => Some(vec![literal.0.to_ascii_lowercase()]),
        HirKind::Class(class) => exact_class(class),
        HirKind::Capture(capture) => exact(&capture.sub),
        HirKind::Concat(parts) => parts.iter().try_fold(vec![Vec::new()], |strings, part| {
            product(&strings, &exact(part)?)
        }),
        HirKind::Alternation(branches) => {
            let mut all = Vec::new();
            for branch in branches {
                all.extend(exact(branch)?);
                if all.len() > MAX_STRINGS {
                    return None;
                }
            }
            all.sort();
            all.dedup();
            Some(all)
        }
        HirKind::Repetition(repetition) => {
            let once = exact(&repetition.sub)?;
            let mut strings = vec![Vec::new()];
            let mut all = Vec::new();
            for times in 0..=repetition.max.filter(|max| *max <= 16)? {
                if times >= repetition.min {
                    all.extend(strings.iter().cloned());
                }
                if all.len() > MAX_STRINGS {
                    return None;
                }
                strings = product(&strings, &once)?;
            }
            all.sort();
            all.dedup();
            Some(all)
        }
    }
}

fn exact_class(class: &Class) -> Option<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    match class {
        Class::Bytes(class) => {
            for range in class.iter() {
                if u32::from(range.end()) - u32::from(range.start()) > MAX_CLASS {
                    return None;
                }
                all.extend(
                    (range.start()..=range.end()).map(|byte| vec![byte.to_ascii_lowercase()]),
                );
            }
        }
        Class::Unicode(class) => {
            for range in class.iter() {
                if u32::from(range.end()) - u32::from(range.start()) > MAX_CLASS {
                    return None;
                }
                for c in range.start()..=range.end() {
                    let folded = match c {
                        '\u{17F}' => 's',
                        '\u{212A}' => 'k',
                        c => c.to_ascii_lowercase(),
                    };
                    all.push(folded.to_string().into_bytes());
                }
            }
        }
    }
    all.sort();
    all.dedup();
    (all.len() <= MAX_STRINGS).then_some(all)
}

fn product(strings: &[Vec<u8>], next: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    if strings.len().saturating_mul(next.len()) > MAX_STRINGS {
        return None;
    }
    let mut all = Vec::with_capacity(strings.len() * next.len());
    for string in strings {
        for more in next {
            all.push([string.as_slice(), more].concat());
        }
    }
    Some(all)
}

/// Adds every byte that may stand in a match.
pub(crate) fn bytes_of(hir: &Hir, bytes: &mut ByteSet) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => literal.0.iter().for_each(|byte| bytes.add(*byte, *byte)),
        HirKind::Class(Class::Bytes(class)) => {
            class
                .iter()
                .for_each(|range| bytes.add(range.start(), range.end()));
        }
        HirKind::Class(Class::Unicode(class)) => {
            for range in class.iter() {
                let ascii = |c: char| u8::try_from(c).ok().filter(u8::is_ascii);
                if let Some(first) = ascii(range.start()) {
                    bytes.add(first, ascii(range.end()).unwrap_or(0x7F));
                }
                if !range.end().is_ascii() {
                    bytes.add(0x80, 0xFF);
                }
            }
        }
        HirKind::Capture(capture) => bytes_of(&capture.sub, bytes),
        HirKind::Repetition(repetition) => bytes_of(&repetition.sub, bytes),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().for_each(|part| bytes_of(part, bytes));
        }
    }
}
