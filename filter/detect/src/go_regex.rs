//! Regular expressions in Go's syntax (RE2), said in Rust's.
//!
//! Both engines take leftmost-first matches in linear time, but they read some spellings differently: in Go `\d`,
//! `\s`, `\w` and `\b` are ASCII and `\s` has no vertical tab; `{`, `[`, `&&` and `~~` are often literal; `\<` is a
//! literal; `\Q…\E` quotes. Groups lose their names here, which nothing uses.

use core::fmt::Write as _;
use core::iter::Peekable;
use core::str::CharIndices;

const DIGIT: &str = "0-9";
const SPACE: &str = r"\t\n\f\r ";
const WORD: &str = "0-9A-Za-z_";

/// Says `pattern` in Rust's syntax.
///
/// # Errors
/// A sentence about what Go's syntax does not have, or this translation does not know.
pub(crate) fn translate(pattern: &str) -> Result<String, String> {
    let mut translation = Translation {
        source: pattern,
        chars: pattern.char_indices().peekable(),
        out: String::with_capacity(pattern.len() * 2),
        atom: Atom::None,
    };
    translation.run()?;
    Ok(translation.out)
}

/// What a repetition would repeat.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Atom {
    None,
    Some,
    Repeated,
}

struct Translation<'p> {
    source: &'p str,
    chars: Peekable<CharIndices<'p>>,
    out: String,
    atom: Atom,
}

impl Translation<'_> {
    fn run(&mut self) -> Result<(), String> {
        while let Some((at, c)) = self.chars.next() {
            match c {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.group()?,
                '*' | '+' | '?' => self.repeat(&c.to_string())?,
                '{' => match self.counted(at) {
                    Some(counts) => self.repeat(&counts)?,
                    None => self.literal(c),
                },
                '|' => {
                    self.out.push('|');
                    self.atom = Atom::None;
                }
                '^' | '$' | '.' | ')' => {
                    self.out.push(c);
                    self.atom = Atom::Some;
                }
                _ => self.literal(c),
            }
        }
        Ok(())
    }

    fn literal(&mut self, c: char) {
        push_literal(&mut self.out, c);
        self.atom = Atom::Some;
    }

    fn repeat(&mut self, operator: &str) -> Result<(), String> {
        match self.atom {
            Atom::None => return Err(format!("`{operator}` has nothing to repeat")),
            Atom::Repeated => {
                return Err(format!(
                    "`{operator}` repeats a repetition; write a group around the inner one"
                ));
            }
            Atom::Some => {}
        }
        self.out.push_str(operator);
        if self.chars.next_if(|(_, c)| *c == '?').is_some() {
            self.out.push('?');
        }
        self.atom = Atom::Repeated;
        Ok(())
    }

    /// Reads `{n}`, `{n,}` or `{n,m}`; anything else is a literal brace, and nothing is read.
    fn counted(&mut self, at: usize) -> Option<String> {
        let rest = self.source.get(at..)?;
        let counts = rest.get(..=rest.find('}')?)?;
        let inner = counts.strip_prefix('{')?.strip_suffix('}')?;
        let (low, high) = inner.split_once(',').unwrap_or((inner, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if low.is_empty() || !digits(low) || !digits(high) {
            return None;
        }
        for _ in 1..counts.len() {
            self.chars.next();
        }
        Some(counts.to_owned())
    }

    fn group(&mut self) -> Result<(), String> {
        self.atom = Atom::None;
        if self.chars.next_if(|(_, c)| *c == '?').is_none() {
            self.out.push('(');
            return Ok(());
        }
        let rest = match self.chars.peek() {
            Some((at, _)) => self.source.get(*at..).unwrap_or_default(),
            None => "",
        };
        if rest.starts_with(['=', '!']) || rest.starts_with("<=") || rest.starts_with("<!") {
            return Err(format!(
                "look-around (`(?{}`) cannot be matched in linear time; say it with \\b, a group or an allow list",
                rest.chars()
                    .take_while(|c| !c.is_alphanumeric())
                    .take(2)
                    .collect::<String>()
            ));
        }
        let name = rest.strip_prefix("P<").or_else(|| rest.strip_prefix('<'));
        if let Some(name) = name {
            let Some((name, _)) = name.split_once('>') else {
                return Err("a group's name has no end".to_owned());
            };
            let skipped = rest.len() - rest.trim_start_matches('P').len() + 2;
            for _ in 0..skipped + name.chars().count() {
                self.chars.next();
            }
            self.out.push('(');
            return Ok(());
        }
        self.flags()
    }

    /// Reads `flags)` or `flags:` after `(?`.
    fn flags(&mut self) -> Result<(), String> {
        self.out.push_str("(?");
        loop {
            match self.chars.next() {
                Some((_, c @ ('i' | 'm' | 's' | 'U' | '-'))) => self.out.push(c),
                Some((_, c @ (':' | ')'))) => {
                    self.out.push(c);
                    return Ok(());
                }
                Some((_, c)) => return Err(format!("`(?{c}` is no group and no flag")),
                None => return Err("a group has no end".to_owned()),
            }
        }
    }

    fn escape(&mut self) -> Result<(), String> {
        let Some((at, c)) = self.chars.next() else {
            return Err("the pattern ends in a lone backslash".to_owned());
        };
        let classes = match c {
            'd' => Some(format!("[{DIGIT}]")),
            'D' => Some(format!("[^{DIGIT}]")),
            's' => Some(format!("[{SPACE}]")),
            'S' => Some(format!("[^{SPACE}]")),
            'w' => Some(format!("[{WORD}]")),
            'W' => Some(format!("[^{WORD}]")),
            'b' => Some(r"(?-u:\b)".to_owned()),
            'B' => Some(r"(?-u:\B)".to_owned()),
            'A' => Some(r"\A".to_owned()),
            'z' => Some(r"\z".to_owned()),
            'p' | 'P' => Some(self.property(c)?),
            _ => None,
        };
        if let Some(text) = classes {
            self.out.push_str(&text);
            self.atom = Atom::Some;
            return Ok(());
        }
        if c == 'Q' {
            self.quoted(at);
            return Ok(());
        }
        let literal = self.escaped(c)?;
        self.literal(literal);
        Ok(())
    }

    /// Reads up to `\E` or the end.
    fn quoted(&mut self, at: usize) {
        let rest = self.source.get(at + 1..).unwrap_or_default();
        let text = rest.split_once(r"\E").map_or(rest, |(text, _)| text);
        let closing = if text.len() < rest.len() { 2 } else { 0 };
        for c in text.chars() {
            self.literal(c);
        }
        for _ in 0..text.chars().count() + closing {
            self.chars.next();
        }
    }

    /// Reads a Unicode property after `\p` or `\P`.
    fn property(&mut self, letter: char) -> Result<String, String> {
        let Some((_, c)) = self.chars.next() else {
            return Err(format!(r"`\{letter}` names no property"));
        };
        if c != '{' {
            return Ok(format!(r"\{letter}{c}"));
        }
        let mut name = String::new();
        for (_, c) in self.chars.by_ref() {
            if c == '}' {
                let (letter, name) = match name.strip_prefix('^') {
                    Some(name) => (if letter == 'p' { 'P' } else { 'p' }, name),
                    None => (letter, name.as_str()),
                };
                return Ok(format!(r"\{letter}{{{name}}}"));
            }
            name.push(c);
        }
        Err(format!(r"`\{letter}{{` has no end"))
    }

    /// Reads the character that an escape stands for; `c` is what follows the backslash.
    fn escaped(&mut self, c: char) -> Result<char, String> {
        Ok(match c {
            'a' => '\u{7}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'x' => return self.hex(),
            '0'..='7' => return self.octal(c),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
            c => return Err(format!(r"`\{c}` is no escape in Go's syntax")),
        })
    }

    fn octal(&mut self, first: char) -> Result<char, String> {
        let follows = matches!(self.chars.peek(), Some((_, '0'..='7')));
        if first != '0' && !follows {
            return Err(format!(
                r"`\{first}` refers back to a group, which cannot be matched in linear time"
            ));
        }
        let mut code = first.to_digit(8).unwrap_or(0);
        for _ in 0..2 {
            let Some((_, c)) = self.chars.next_if(|(_, c)| c.is_digit(8)) else {
                break;
            };
            code = code * 8 + c.to_digit(8).unwrap_or(0);
        }
        char::from_u32(code).ok_or_else(|| "an octal escape is no character".to_owned())
    }

    fn hex(&mut self) -> Result<char, String> {
        let mut digits = String::new();
        if self.chars.next_if(|(_, c)| *c == '{').is_some() {
            for (_, c) in self.chars.by_ref() {
                if c == '}' {
                    break;
                }
                digits.push(c);
            }
        } else {
            digits.extend(self.chars.by_ref().take(2).map(|(_, c)| c));
        }
        u32::from_str_radix(&digits, 16)
            .ok()
            .and_then(char::from_u32)
            .ok_or_else(|| format!(r"`\x{digits}` is no character"))
    }

    fn class(&mut self) -> Result<(), String> {
        self.out.push('[');
        if self.chars.next_if(|(_, c)| *c == '^').is_some() {
            self.out.push('^');
        }
        let mut first = true;
        loop {
            let Some((at, c)) = self.chars.next() else {
                return Err("a class `[…` has no end".to_owned());
            };
            if c == ']' && !first {
                self.out.push(']');
                self.atom = Atom::Some;
                return Ok(());
            }
            first = false;
            if c == '[' && self.posix(at)? {
                continue;
            }
            let low = if c == '\\' {
                let Some((_, escaped)) = self.chars.next() else {
                    return Err("the pattern ends in a lone backslash".to_owned());
                };
                if self.class_of_escape(escaped)? {
                    continue;
                }
                self.escaped(escaped)?
            } else {
                c
            };
            push_literal(&mut self.out, low);
            self.range(low)?;
        }
    }

    /// Reads the rest of a range, if there is one.
    fn range(&mut self, low: char) -> Result<(), String> {
        let mut ahead = self.chars.clone();
        let dash = ahead.next().map(|(_, c)| c);
        let end = ahead.next().map(|(_, c)| c);
        if dash != Some('-') || matches!(end, None | Some(']')) {
            return Ok(());
        }
        self.chars.next();
        let Some((_, c)) = self.chars.next() else {
            return Ok(());
        };
        let high = if c == '\\' {
            let Some((_, escaped)) = self.chars.next() else {
                return Err("the pattern ends in a lone backslash".to_owned());
            };
            self.escaped(escaped)?
        } else {
            c
        };
        if high < low {
            return Err(format!("the range `{low}-{high}` runs backwards"));
        }
        self.out.push('-');
        push_literal(&mut self.out, high);
        Ok(())
    }

    /// Reads a class that an escape stands for inside brackets.
    fn class_of_escape(&mut self, letter: char) -> Result<bool, String> {
        let text = match letter {
            'd' => DIGIT.to_owned(),
            'D' => format!("[^{DIGIT}]"),
            's' => SPACE.to_owned(),
            'S' => format!("[^{SPACE}]"),
            'w' => WORD.to_owned(),
            'W' => format!("[^{WORD}]"),
            'p' | 'P' => self.property(letter)?,
            _ => return Ok(false),
        };
        self.out.push_str(&text);
        Ok(true)
    }

    /// Reads `[:alpha:]` and its like; a bracket that begins none of them is a literal.
    fn posix(&mut self, at: usize) -> Result<bool, String> {
        let rest = self.source.get(at..).unwrap_or_default();
        let Some(name) = rest
            .strip_prefix("[:")
            .and_then(|rest| rest.split_once(":]"))
        else {
            return Ok(false);
        };
        let (name, _) = name;
        let plain = name.strip_prefix('^').unwrap_or(name);
        if !POSIX.contains(&plain) {
            return Err(format!("`[:{name}:]` is no class"));
        }
        write!(self.out, "[:{name}:]").map_err(|error| error.to_string())?;
        for _ in 0..name.len() + 3 {
            self.chars.next();
        }
        Ok(true)
    }
}

const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

/// Writes a literal so that it means itself inside and outside brackets.
fn push_literal(out: &mut String, c: char) {
    if c.is_ascii_alphanumeric() || !c.is_ascii() || c == '_' {
        out.push(c);
    } else {
        out.push_str(&format!("\\x{:02X}", u32::from(c)));
    }
}

#[cfg(test)]
mod tests {
    use super::translate;

    #[track_caller]
    fn says(go: &str, rust: &str) {
        assert_eq!(translate(go).as_deref(), Ok(rust));
        regex_syntax::ParserBuilder::new()
            .utf8(false)
            .build()
            .parse(rust)
            .unwrap();
    }

    #[track_caller]
    fn refuses(go: &str, about: &str) {
        let problem = translate(go).unwrap_err();
        assert!(problem.contains(about), "{go}: {problem}");
    }

    #[test]
    fn classes_are_ascii() {
        says(r"\d\w\s", r"[0-9][0-9A-Za-z_][\t\n\f\r ]");
        says(r"\D\W\S", r"[^0-9][^0-9A-Za-z_][^\t\n\f\r ]");
        says(r"[\w.-]", r"[0-9A-Za-z_\x2E\x2D]");
        says(r"[^\S\d]", r"[^[^\t\n\f\r ]0-9]");
        says(r"\bx\B", r"(?-u:\b)x(?-u:\B)");
    }

    #[test]
    fn braces_without_counts_are_literal() {
        says(r"^\${(?:a)}$", r"^\x24\x7B(?:a)\x7D$");
        says("x{,3}", r"x\x7B\x2C3\x7D");
        says("x{2,}?y{3}", "x{2,}?y{3}");
        says("{a", r"\x7Ba");
    }

    #[test]
    fn brackets_in_classes_are_literal() {
        says("[[a]", r"[\x5Ba]");
        says("[]a]", r"[\x5Da]");
        says("[^]a]", r"[^\x5Da]");
        says("[a&&b~~c]", r"[a\x26\x26b\x7E\x7Ec]");
        says("[[:alpha:]_]", "[[:alpha:]_]");
        says("[+--]", r"[\x2B-\x2D]");
        says("[a-]", r"[a\x2D]");
        says(r"[\w-.]", r"[0-9A-Za-z_\x2D\x2E]");
    }

    #[test]
    fn escapes_mean_what_go_means() {
        says(r"\<\>\_\-", r"\x3C\x3E_\x2D");
        says(r"\x41\x{263a}\101\0", "A\u{263a}A\\x00");
        says(r"\Qa.b\E+", r"a\x2Eb+");
        says(r"\pL\P{Greek}\p{^Lu}", r"\pL\P{Greek}\P{Lu}");
        says("(?P<name>a)(?<other>b)(?i:c)(?-i)d", "(a)(b)(?i:c)(?-i)d");
    }

    #[test]
    fn what_go_refuses_is_refused() {
        refuses(r"(?=a)", "look-around");
        refuses(r"a(?!b)", "look-around");
        refuses(r"(?<=a)b", "look-around");
        refuses(r"(?<!a)b", "look-around");
        refuses(r"(a)\1", "refers back");
        refuses(r"a**", "repeats a repetition");
        refuses(r"*a", "nothing to repeat");
        refuses(r"[a", "no end");
        refuses(r"(?x)a", "no flag");
        refuses(r"a\", "backslash");
        refuses(r"\y", "no escape");
        refuses(r"[z-a]", "backwards");
    }
}
