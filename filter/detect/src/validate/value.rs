//! What a value looks like on its own.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use crate::randomness::pair_score;

/// Words that stand-ins are made of; each is long enough not to turn up by chance.
const STAND_INS: [&str; 35] = [
    "example",
    "placeholder",
    "changeme",
    "change_me",
    "change-me",
    "changethis",
    "your_",
    "your-",
    "yourapi",
    "yourkey",
    "yourtoken",
    "yoursecret",
    "yourpass",
    "xxxxx",
    "*****",
    "redacted",
    "replace",
    "dummy",
    "notreal",
    "not-real",
    "sample",
    "fake",
    "mock",
    "_here",
    "-here",
    "tokenhere",
    "keyhere",
    "goeshere",
    "${",
    "{{",
    "%(",
    "$(",
    "...",
    "<",
    ">",
];

/// Finds any of a list of words in text of any case.
pub(super) struct Words(LazyLock<Option<AhoCorasick>>);

impl Words {
    pub(super) const fn new(build: fn() -> Option<AhoCorasick>) -> Self {
        Self(LazyLock::new(build))
    }

    pub(super) fn occur_in(&self, text: &[u8]) -> bool {
        self.0.as_ref().is_some_and(|words| words.is_match(text))
    }
}

/// Builds the automaton of [`Words`].
pub(super) fn automaton(words: &[&str]) -> Option<AhoCorasick> {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(words)
        .ok()
}

static STAND_IN_WORDS: Words = Words::new(|| automaton(&STAND_INS));

/// Returns whether a value only holds the place of a secret.
pub(super) fn is_stand_in(secret: &[u8]) -> bool {
    is_monotonous(secret)
        || has_run(secret)
        || has_sequence(secret)
        || STAND_IN_WORDS.occur_in(secret)
}

/// Returns whether a long value is made of a handful of signs.
fn is_monotonous(value: &[u8]) -> bool {
    let distinct = distinct_bytes(value);
    match value.len() {
        0..=3 => true,
        4..=11 => distinct < 3,
        _ => distinct < 5,
    }
}

/// Counts the different bytes of a value, letters of either case as one.
fn distinct_bytes(value: &[u8]) -> u32 {
    let mut seen = [0_u64; 4];
    for byte in value {
        let byte = byte.to_ascii_lowercase();
        if let Some(word) = seen.get_mut(usize::from(byte >> 6)) {
            *word |= 1_u64 << (byte & 63);
        }
    }
    seen.iter().map(|word| word.count_ones()).sum()
}

/// Returns whether a value repeats one letter seven times in a row, as zeros in base64 do.
fn has_run(value: &[u8]) -> bool {
    let mut length = 0_usize;
    let mut last = 0_u8;
    for &byte in value {
        length = if byte == last && byte.is_ascii_alphabetic() {
            length + 1
        } else {
            1
        };
        last = byte;
        if length >= 7 {
            return true;
        }
    }
    false
}

/// Returns whether a third of a value or more is made of runs of ten signs or more that count upwards.
fn has_sequence(value: &[u8]) -> bool {
    let mut length = 1_usize;
    let mut counted = 0_usize;
    let mut last = 0_u8;
    for byte in value {
        let byte = byte.to_ascii_lowercase();
        length = if last.wrapping_add(1) == byte {
            length + 1
        } else {
            1
        };
        last = byte;
        counted += match length {
            10 => 10,
            11.. => 1,
            _ => 0,
        };
    }
    counted >= 10 && counted * 3 >= value.len()
}

/// How many signs of which sort a value has.
#[derive(Default)]
struct Sorts {
    upper: usize,
    lower: usize,
    digits: usize,
    others: usize,
}

impl Sorts {
    fn of(value: &[u8]) -> Self {
        let mut sorts = Self::default();
        for byte in value {
            match byte {
                b'A'..=b'Z' => sorts.upper += 1,
                b'a'..=b'z' => sorts.lower += 1,
                b'0'..=b'9' => sorts.digits += 1,
                _ => sorts.others += 1,
            }
        }
        sorts
    }

    fn kinds(&self) -> usize {
        [self.upper, self.lower, self.digits, self.others]
            .iter()
            .filter(|&&count| count > 0)
            .count()
    }
}

/// Returns whether a value looks drawn by lot.
pub(super) fn looks_random(value: &[u8]) -> bool {
    let sorts = Sorts::of(value);
    let score = pair_score(value);
    if sorts.upper + sorts.lower == 0 {
        return false;
    }
    let limit = match value.len() {
        0..=9 => return false,
        10..=15 => -90,
        16..=23 => -40,
        24..=39 => -25,
        _ => -10,
    };
    // A person's names hold few digits; a long draw from letters alone is rare and must be clearer.
    let limit = if sorts.digits == 0 {
        if sorts.upper == 0 || sorts.lower == 0 || value.len() < 16 {
            return false;
        }
        limit - 70
    } else if sorts.digits == 1 {
        limit - 40
    } else {
        limit
    };
    score <= limit
}

/// Returns whether a value holds letters and digits, or letters of both cases, and reads as no name.
pub(super) fn is_mixed(value: &[u8]) -> bool {
    let sorts = Sorts::of(value);
    let score = pair_score(value);
    let has_digits = sorts.digits > 0 && sorts.upper + sorts.lower > 0;
    has_digits && score < 60 || sorts.upper > 0 && sorts.lower > 0 && score < -40
}

/// Returns whether a value has the shape of a hash: hexadecimal of one case with letters and digits.
pub(super) fn is_hash_shaped(value: &[u8]) -> bool {
    let sorts = Sorts::of(value);
    let hex = value.iter().all(u8::is_ascii_hexdigit);
    hex && value.len() >= 16
        && sorts.digits >= value.len() / 5
        && sorts.upper + sorts.lower >= value.len() / 8
        && (sorts.upper == 0 || sorts.lower == 0)
        && distinct_bytes(value) >= 8
}

/// Returns whether a value is a UUID in its usual writing.
pub(super) fn is_uuid_shaped(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Returns whether a value reads as a path, a URL, a call or a name with parts and not as a secret.
pub(super) fn is_path_like(value: &[u8]) -> bool {
    let has = |needle: &[u8]| memchr::memmem::find(value, needle).is_some();
    let names_a_hash = [&b"sha1"[..], b"sha2", b"sha3", b"sha5", b"md5"]
        .iter()
        .any(|name| value.starts_with(name));
    names_a_hash
        || value.starts_with(b"/")
        || value.starts_with(b":")
        || value.starts_with(b"./")
        || value.starts_with(b"$")
        || value.starts_with(b"--")
        || has(b"://")
        || has(b"::")
        || has(b"()")
        || has(b"/.")
        || value.ends_with(b"/")
}

/// Passwords that everybody tries first, and words that stand where a password would.
const WEAK: [&str; 56] = [
    "password",
    "passwd",
    "pass",
    "pwd",
    "secret",
    "mysecret",
    "mypassword",
    "postgres",
    "root",
    "admin",
    "guest",
    "user",
    "test",
    "testing",
    "foo",
    "bar",
    "foobar",
    "hunter2",
    "123456",
    "12345678",
    "qwerty",
    "letmein",
    "none",
    "null",
    "true",
    "false",
    "undefined",
    "string",
    "default",
    "username",
    "token",
    "mysql",
    "redis",
    "rabbitmq",
    "mongo",
    "minio",
    "demo",
    "changeit",
    "required",
    "optional",
    "hidden",
    "welcome",
    "value",
    "input",
    "empty",
    "credentials",
    "p4ssw0rd",
    "passw0rd",
    "p@ssw0rd",
    "p4ssword",
    "password1",
    "password12",
    "password123",
    "password1234",
    "passwort",
    "hunter12",
];

/// Returns whether a value is one of the words that stand where a password would.
pub(super) fn is_everyday_word(value: &[u8]) -> bool {
    WEAK.iter()
        .any(|word| value.eq_ignore_ascii_case(word.as_bytes()))
}

/// Returns whether a value is a word of everyday use and no password worth hiding.
pub(super) fn is_weak_password(value: &[u8]) -> bool {
    let value = &*without_escapes(value);
    let sorts = Sorts::of(value);
    if value.len() < 6 || distinct_bytes(value) < 5 || is_everyday_word(value) {
        return true;
    }
    if is_identifier(value, &sorts) {
        return true;
    }
    // Three sorts of signs are what password rules ask for; fewer are enough where the letters make no word.
    let score = pair_score(value);
    let has_letters = sorts.upper + sorts.lower > 0;
    let is_strong = sorts.kinds() >= 3 && sorts.digits > 0
        || sorts.digits > 0 && has_letters && score < 20 && value.len() >= 8
        || sorts.digits > 0 && has_letters && score < 90 && value.len() >= 14
        || sorts.upper > 0 && sorts.lower > 0 && score < -50 && value.len() >= 12;
    !is_strong
}

/// What names of types, functions and settings around passwords are made of.
static SELF_NAMES: Words =
    Words::new(|| automaton(&["password", "passwd", "secret", "token", "_type", "_error"]));

/// Returns whether a value is a name in a program: a constant, or words that end in what the name is for.
fn is_identifier(value: &[u8], sorts: &Sorts) -> bool {
    let underscores = value.iter().filter(|&&byte| byte == b'_').count();
    let has_only_name_bytes = sorts.others == underscores;
    let names_itself = SELF_NAMES.occur_in(value);
    let is_constant = sorts.lower == 0 && underscores > 0;
    has_only_name_bytes && (is_constant || names_itself) || pair_score(value) > 160
}

/// Returns a value with its percent escapes undone.
fn without_escapes(value: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let digits = (byte == b'%')
            .then(|| after.split_first_chunk::<2>())
            .flatten();
        let escaped = digits.and_then(|([high, low], tail)| {
            let high = char::from(*high).to_digit(16)?;
            let low = char::from(*low).to_digit(16)?;
            Some((u8::try_from(high * 16 + low).ok()?, tail))
        });
        match escaped {
            Some((undone, tail)) => {
                plain.push(undone);
                rest = tail;
            }
            None => plain.push(byte),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_random_and_names_are_not() {
        for key in [
            "q7Rz81mKpW0xVtY5",
            "f3k9x2mq7zt1w8b5c0hd",
            "Zk3-vQ8w_Lm2Xp9Rt6Bn4Hs",
        ] {
            assert!(looks_random(key.as_bytes()), "{key}");
        }
        for name in [
            "getAccessTokenForUser2",
            "kubernetes-sigs/controller-runtime",
            "AuthorizationServerV2Endpoint",
            "2024-05-01T12:00:00Z",
        ] {
            assert!(!looks_random(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn stand_ins_are_seen() {
        for text in [
            "your-api-key",
            "xxxxxxxxxxxxxxxx",
            "${SECRET}",
            "<token>",
            "aaaaaaaaaaaaaaaaaaaa",
            "0123456789ab",
        ] {
            assert!(is_stand_in(text.as_bytes()), "{text}");
        }
        assert!(!is_stand_in(b"q7Rz81mKpW0xVtY5"));
    }
}
