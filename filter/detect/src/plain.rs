//! Patterns for ordinary text, which has no U+017F and no U+212A.
//!
//! Those two letters fold to `s` and `k`, so that every pattern without case has them. Nothing is lost without them
//! where the text has none, and most patterns become patterns of ASCII, which are built many times faster.

use regex_syntax::hir::{
    Capture, Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Repetition,
};

/// Returns what `hir` matches in text without the two letters.
pub(crate) fn plain(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Literal(_) => hir.clone(),
        HirKind::Class(Class::Unicode(class)) => plain_class(class)
            .map_or_else(|| hir.clone(), |class| Hir::class(Class::Unicode(class))),
        HirKind::Class(Class::Bytes(_)) => hir.clone(),
        HirKind::Repetition(repetition) => Hir::repetition(Repetition {
            sub: Box::new(plain(&repetition.sub)),
            ..repetition.clone()
        }),
        HirKind::Capture(capture) => Hir::capture(Capture {
            index: capture.index,
            name: capture.name.clone(),
            sub: Box::new(plain(&capture.sub)),
        }),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(plain).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(plain).collect()),
    }
}

/// Returns the ASCII of a class that is all ASCII but for the two letters.
fn plain_class(class: &ClassUnicode) -> Option<ClassUnicode> {
    let mut ranges = Vec::new();
    let mut is_changed = false;
    for range in class.iter() {
        if range.end().is_ascii() {
            ranges.push(ClassUnicodeRange::new(range.start(), range.end()));
        } else if range.start() == range.end() && matches!(range.start(), '\u{17F}' | '\u{212A}') {
            is_changed = true;
        } else {
            return None;
        }
    }
    (is_changed && !ranges.is_empty()).then(|| ClassUnicode::new(ranges))
}

#[cfg(test)]
mod tests {
    use super::plain;
    use crate::limits;

    #[test]
    fn patterns_without_case_become_ascii() {
        let hir = limits::parse(r"(?i)(key|[s_]{3})x*[^a]").unwrap();
        let text = format!("{}", plain(&hir));
        assert!(
            !text.contains('\u{17F}') && !text.contains('\u{212A}'),
            "{text}"
        );
        assert_eq!(plain(&hir).properties().explicit_captures_len(), 1);
    }
}
