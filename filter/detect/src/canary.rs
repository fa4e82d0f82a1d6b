//! Texts in which a set of rules provably finds something.
//!
//! A detector that finds nothing looks like traffic without findings. So each is asked to find a text that was made
//! for it, where it is set up and again wherever it runs.

use regex_syntax::hir::{Class, ClassUnicodeRange, Hir, HirKind};
use toml::{Table, Value};

use crate::finding::{Finding, Groups, RuleIndex};
use crate::limits;
use crate::rule_pack::RuleDef;
use crate::rule_set::RuleSet;
use crate::scan::Scratch;

/// Texts that are made for one pattern before it is given up.
const ATTEMPTS: u64 = 12;
/// Longer texts are not made.
const MAX_SAMPLE_BYTES: usize = 4 * 1024;
/// Rules that are asked for a text before the set is given up.
const MAX_RULES_ASKED: usize = 256;

/// A text, and a rule that finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary {
    pub text: String,
    pub rule: RuleIndex,
}

impl RuleSet {
    /// Looks for a text in which the set has a finding that `is_wanted`: first among those `given`, then among texts
    /// made from the rules' own patterns.
    ///
    /// The same set and the same texts always give the same canary.
    ///
    /// ```
    /// use detect::{RuleSetBuilder, Severity};
    ///
    /// let mut builder = RuleSetBuilder::default();
    /// builder.regex(0, "ticket", r"\bSHOP-[0-9]{4}\b", 0, Severity::Low).unwrap();
    /// let rules = builder.build().unwrap();
    /// let canary = rules.canary(&[], &|_, _| true).unwrap();
    /// assert!(canary.text.contains("SHOP-"));
    /// ```
    pub fn canary(
        &self,
        given: &[String],
        is_wanted: &dyn Fn(&Finding, &[u8]) -> bool,
    ) -> Option<Canary> {
        let mut scratch = Scratch::new();
        let mut found = Vec::new();
        let mut finds = |text: &str| {
            found.clear();
            let bytes = text.as_bytes();
            self.scan(&mut scratch, bytes, Groups::ALL, &mut found);
            let wanted = found.iter().find(|finding| is_wanted(finding, bytes));
            wanted.map(|finding| Canary {
                text: text.to_owned(),
                rule: finding.rule,
            })
        };
        if let Some(canary) = given.iter().find_map(|text| finds(text)) {
            return Some(canary);
        }
        let heard = self.rules.iter().filter(|rule| !rule.members.is_empty());
        heard
            .filter_map(|rule| rule.def())
            .take(MAX_RULES_ASKED)
            .flat_map(samples)
            .find_map(|text| finds(&text))
    }
}

/// Returns the texts that rules of a file say they find, in the file's order.
pub fn positives(toml: &str) -> Vec<String> {
    let Ok(file) = toml.parse::<Table>() else {
        return Vec::new();
    };
    let rules = file.get("rules").and_then(Value::as_array);
    let rules = rules.into_iter().flatten().filter_map(Value::as_table);
    let lists = rules.filter_map(|rule| rule.get("positive")?.as_array());
    let texts = lists.flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

/// Makes texts that the rule's pattern matches, each twice: alone, and as a value in a line.
fn samples(rule: &RuleDef) -> Vec<String> {
    let Ok(hir) = limits::parse(&rule.regex) else {
        return Vec::new();
    };
    let mut texts = Vec::new();
    for attempt in 0..ATTEMPTS {
        let mut draw = Draw::new(attempt);
        let mut sample = Vec::new();
        draw.text(&hir, &mut sample);
        let Ok(mut sample) = String::from_utf8(sample) else {
            continue;
        };
        if sample.is_empty() {
            continue;
        }
        let lower = sample.to_lowercase();
        let has_keyword = |keyword: &String| lower.contains(keyword.as_str());
        if let Some(keyword) = rule.keywords.first()
            && !rule.keywords.iter().any(has_keyword)
        {
            sample = format!("{keyword} {sample}");
        }
        texts.push(format!("value {sample} end"));
        texts.push(sample);
    }
    texts
}

/// Draws a text from a pattern, the same one for the same attempt.
struct Draw {
    state: u64,
    /// How often optional things are there: never in the first attempt, then more and more.
    plenty: u64,
}

impl Draw {
    const fn new(attempt: u64) -> Self {
        Self {
            state: 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(attempt.wrapping_add(1)),
            plenty: attempt % 4,
        }
    }

    /// Returns a number below `end`, 0 for none.
    fn below(&mut self, end: u64) -> u64 {
        // The finaliser of SplitMix64.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = self.state;
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (drawn ^ (drawn >> 31)).checked_rem(end).unwrap_or(0)
    }

    fn text(&mut self, hir: &Hir, out: &mut Vec<u8>) {
        if out.len() > MAX_SAMPLE_BYTES {
            return;
        }
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => {}
            HirKind::Literal(literal) => out.extend_from_slice(&literal.0),
            HirKind::Class(class) => self.class(class, out),
            HirKind::Repetition(repetition) => {
                let more = match self.plenty {
                    0 => 0,
                    1 => u32::from(repetition.min == 0),
                    2 => 16,
                    _ => 40,
                };
                let most = repetition.max.unwrap_or(u32::MAX);
                let times = repetition.min.saturating_add(more).min(most);
                for _ in 0..times {
                    self.text(&repetition.sub, out);
                    if out.len() > MAX_SAMPLE_BYTES {
                        return;
                    }
                }
            }
            HirKind::Capture(capture) => self.text(&capture.sub, out),
            HirKind::Concat(parts) => parts.iter().for_each(|part| self.text(part, out)),
            HirKind::Alternation(parts) => {
                let count = u64::try_from(parts.len()).unwrap_or(1);
                let choice = usize::try_from(self.below(count)).unwrap_or(0);
                if let Some(part) = parts.get(choice) {
                    self.text(part, out);
                }
            }
        }
    }

    /// Draws letters and digits before other characters, so that values look like values.
    fn class(&mut self, class: &Class, out: &mut Vec<u8>) {
        let ranges = match class {
            Class::Unicode(class) => class.ranges().to_vec(),
            Class::Bytes(class) => {
                let ascii = class
                    .ranges()
                    .iter()
                    .filter(|range| range.start().is_ascii());
                let range = |range: &regex_syntax::hir::ClassBytesRange| {
                    ClassUnicodeRange::new(
                        char::from(range.start()),
                        char::from(range.end().min(0x7f)),
                    )
                };
                ascii.map(range).collect()
            }
        };
        let has = |c: char| {
            ranges
                .iter()
                .any(|range| (range.start()..=range.end()).contains(&c))
        };
        let usual = ('0'..='9')
            .chain('a'..='z')
            .chain('A'..='Z')
            .filter(|c| has(*c));
        let usual = usual.collect::<Vec<_>>();
        let choice = usize::try_from(self.below(u64::try_from(usual.len()).unwrap_or(1)));
        let printable = || ('!'..='~').chain([' ', '\n']).find(|c| has(*c));
        let drawn = choice.ok().and_then(|choice| usual.get(choice).copied());
        let drawn = drawn.or_else(printable);
        let drawn = drawn.or_else(|| ranges.first().map(ClassUnicodeRange::start));
        if let Some(drawn) = drawn {
            let mut buffer = [0; 4];
            out.extend_from_slice(drawn.encode_utf8(&mut buffer).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{RulePack, RuleSetBuilder, Severity};

    use super::*;

    fn canary(pattern: &str) -> Option<Canary> {
        let mut builder = RuleSetBuilder::default();
        builder.regex(0, "x", pattern, 0, Severity::Low).unwrap();
        builder.build().unwrap().canary(&[], &|_, _| true)
    }

    #[test]
    fn patterns_find_what_was_made_for_them() {
        for pattern in [
            r"\bAKIA[A-Z2-7]{16}\b",
            r"(?i)(?:secret|token)[\w .-]{0,20}[=:]\s{0,3}([a-z0-9]{32,64})\b",
            r"-----BEGIN[ A-Z0-9_-]{0,100}PRIVATE KEY-----[\s\S-]{64,}?KEY-----",
            r"[^a-z\s]+",
            r"\p{Greek}{3}",
            r"^only$",
            r"x*y?z",
        ] {
            assert!(canary(pattern).is_some(), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_that_nothing_matches_has_no_canary() {
        assert_eq!(canary(r"a\bb"), None);
        assert_eq!(canary(r"[a&&b]"), None);
    }

    #[test]
    fn given_texts_go_first_and_unwanted_findings_do_not_count() {
        let mut builder = RuleSetBuilder::default();
        builder
            .regex(0, "x", "[a-z]+[0-9]", 0, Severity::Low)
            .unwrap();
        let rules = builder.build().unwrap();
        let given = ["nothing".to_owned(), "abc1".to_owned()];
        let found = rules.canary(&given, &|_, _| true).unwrap();
        assert_eq!(found.text, "abc1");
        assert_eq!(rules.canary(&given, &|_, _| false), None);
    }

    #[test]
    fn keywords_and_entropy_of_rule_files_are_met() {
        let file = r#"
            [[rules]]
            id = "impossible"
            regex = '''a\bb'''
            [[rules]]
            id = "shop-token"
            regex = '''[=:]\s*"?([a-z0-9]{32})"?'''
            entropy = 3.5
            keywords = ["shopkey"]
            positive = ["shopkey = 0123"]
        "#;
        let pack = RulePack::from_gitleaks_toml(file, &|_| None).unwrap();
        let mut builder = RuleSetBuilder::default();
        builder.pack(0, &pack, &[]).unwrap();
        let rules = builder.build().unwrap();
        let found = rules.canary(&positives(file), &|_, _| true).unwrap();
        assert_eq!(rules.rule(found.rule).unwrap().id, "shop-token");
        assert_eq!(positives(file), ["shopkey = 0123"]);
    }
}
