//! Fingerprints: whether two findings are about the same value, without saying the value.

use detect::{Kind, RuleInfo};
use policy::secret::Secret;
use sha2::{Digest as _, Sha256};

/// Digits of a fingerprint.
const DIGITS: usize = 16;

/// A value needs that many bits before a hash of it alone may be shown: fewer can be found by trying.
const GUESSABLE_MILLIBITS: u64 = 64_000;

/// Makes fingerprints.
pub(super) struct Fingerprints {
    key: Option<[u8; 32]>,
}

/// What a fingerprint is of.
pub(super) struct Subject<'f> {
    pub(super) rule: &'f RuleInfo,
    pub(super) value: &'f [u8],
    pub(super) file: &'f str,
    /// Line and column.
    pub(super) place: (usize, usize),
}

impl Fingerprints {
    pub(super) fn new(key: Option<&Secret>) -> Self {
        Self {
            key: key
                .map(Secret::expose)
                .filter(|key| !key.is_empty())
                .map(|key| Sha256::digest(key.as_bytes()).into()),
        }
    }

    /// With a key, the same rule and value give the same fingerprint anywhere. Without one that holds for secrets
    /// that nobody can guess; a fingerprint of anything else is of its place, since a card number or a short
    /// password could be found by hashing all there are.
    pub(super) fn of(&self, subject: &Subject<'_>) -> String {
        let mut hash = Sha256::new();
        let rule = subject.rule.id.as_bytes();
        match self.key {
            Some(key) => feed(&mut hash, [b"keyed", &key, rule, subject.value]),
            None if is_guessable(subject) => {
                let (line, column) = subject.place;
                let place = format!("{line}:{column}");
                feed(
                    &mut hash,
                    [b"place", rule, subject.file.as_bytes(), place.as_bytes()],
                );
            }
            None => feed(&mut hash, [b"value", b"", rule, subject.value]),
        }
        let mut digits = hex::encode(hash.finalize());
        digits.truncate(DIGITS);
        digits
    }
}

fn feed(hash: &mut Sha256, parts: [&[u8]; 4]) {
    for part in parts {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        hash.update(length.to_le_bytes());
        hash.update(part);
    }
}

fn is_guessable(subject: &Subject<'_>) -> bool {
    let length = u64::try_from(subject.value.len()).unwrap_or(u64::MAX);
    let millibits = u64::from(entropy_milli(subject.value)).saturating_mul(length);
    match subject.rule.kind {
        Kind::Secret | Kind::Custom => millibits < GUESSABLE_MILLIBITS,
        Kind::Pii | Kind::Word | Kind::HiddenText | Kind::Injection => true,
    }
}

/// Shannon entropy of a value's bytes, in thousandths of a bit a byte.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and 8 bits, and lengths far below 2^52"
)]
pub(super) fn entropy_milli(value: &[u8]) -> u32 {
    let mut counts = [0usize; 256];
    for byte in value {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let length = value.len() as f64;
    let bits: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| *count as f64 / length)
        .map(|share| -share * share.log2())
        .sum();
    (bits * 1_000.0).round() as u32
}

#[cfg(test)]
mod tests {
    use detect::Severity;

    use super::*;

    fn fingerprint(key: Option<&str>, kind: Kind, value: &str, line: usize) -> String {
        let rule = RuleInfo {
            id: "r".to_owned(),
            description: String::new(),
            kind,
            severity: Severity::High,
            group: 0,
        };
        let key = key.map(|key| Secret::new(key.to_owned()));
        Fingerprints::new(key.as_ref()).of(&Subject {
            rule: &rule,
            value: value.as_bytes(),
            file: "f",
            place: (line, 1),
        })
    }

    const LONG: &str = "q8W2e7R5t1Y9u3I6o4P0";

    #[test]
    fn a_secret_has_one_fingerprint_everywhere() {
        let here = fingerprint(None, Kind::Secret, LONG, 1);
        assert_eq!(here.len(), DIGITS);
        assert_eq!(here, fingerprint(None, Kind::Secret, LONG, 2));
    }

    #[test]
    fn what_can_be_guessed_is_known_by_its_place() {
        for (kind, value) in [(Kind::Pii, LONG), (Kind::Secret, "hunter2")] {
            let here = fingerprint(None, kind, value, 1);
            assert_eq!(here, fingerprint(None, kind, "other", 1));
            assert_ne!(here, fingerprint(None, kind, value, 2));
        }
    }

    #[test]
    fn a_key_tells_values_apart_and_hides_them() {
        let here = fingerprint(Some("k"), Kind::Pii, "078-05-1120", 1);
        assert_eq!(here, fingerprint(Some("k"), Kind::Pii, "078-05-1120", 2));
        assert_ne!(here, fingerprint(Some("k"), Kind::Pii, "078-05-1121", 1));
        assert_ne!(here, fingerprint(Some("l"), Kind::Pii, "078-05-1120", 1));
        let unset = fingerprint(None, Kind::Pii, "078-05-1120", 1);
        assert_eq!(fingerprint(Some(""), Kind::Pii, "078-05-1120", 1), unset);
    }

    #[test]
    fn entropy_is_shannons() {
        for (value, want) in [
            ("", 0),
            ("aaaa", 0),
            ("ab", 1_000),
            ("abcd", 2_000),
            ("aab", 918),
        ] {
            assert_eq!(entropy_milli(value.as_bytes()), want, "{value}");
        }
    }
}
