//! One JSON text as a flat list of tokens, to be asked for members and walked string by string.
//!
//! For texts that are all there and soon forgotten, such as the data of one event: the list is kept from one text to
//! the next, so that reading costs no allocation. What is not JSON is told by [`Tape::read`] and nothing else.

use memchr::memchr2;

use crate::json::MAX_DEPTH;

/// What stands at a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    /// A member's name; its value is the next token.
    Key,
    Text,
    Number,
    /// `true`, `false` or `null`.
    Word,
}

/// One token; `start..end` of a key or text stands between its quotes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
    /// The token after this one and everything in it.
    pub next: usize,
}

/// The tokens of one text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tape {
    tokens: Vec<Token>,
}

/// A text and its tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Json<'a> {
    pub tape: &'a Tape,
    pub text: &'a [u8],
}

impl Tape {
    /// Reads a text; `false` if it is not one JSON value.
    pub(crate) fn read(&mut self, text: &[u8]) -> bool {
        self.tokens.clear();
        let mut reader = Reader {
            text,
            at: 0,
            tokens: &mut self.tokens,
        };
        let is_json = reader.value(0).is_some() && {
            reader.space();
            reader.at == text.len()
        };
        if !is_json {
            self.tokens.clear();
        }
        is_json
    }

    pub(crate) fn get(&self, at: usize) -> Option<Token> {
        self.tokens.get(at).copied()
    }

    /// Returns every token, in order.
    pub(crate) fn tokens(&self) -> &[Token] {
        &self.tokens
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    tokens: &'a mut Vec<Token>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn begin(&mut self, kind: Kind) -> usize {
        self.tokens.push(Token {
            kind,
            start: self.at,
            end: self.at,
            next: 0,
        });
        self.tokens.len() - 1
    }

    fn finish(&mut self, place: usize, end: usize) {
        let next = self.tokens.len();
        if let Some(token) = self.tokens.get_mut(place) {
            token.end = end;
            token.next = next;
        }
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        self.space();
        match self.peek()? {
            b'{' if depth < MAX_DEPTH => self.object(depth),
            b'[' if depth < MAX_DEPTH => self.array(depth),
            b'"' => self.text(Kind::Text),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            b'-' | b'0'..=b'9' => {
                let place = self.begin(Kind::Number);
                while matches!(
                    self.peek(),
                    Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')
                ) {
                    self.at += 1;
                }
                self.finish(place, self.at);
                Some(())
            }
            _ => None,
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        let place = self.begin(Kind::Word);
        self.text.get(self.at..)?.starts_with(word).then_some(())?;
        self.at += word.len();
        self.finish(place, self.at);
        Some(())
    }

    fn text(&mut self, kind: Kind) -> Option<()> {
        self.eat(b'"')?;
        let place = self.begin(kind);
        loop {
            self.at += memchr2(b'"', b'\\', self.text.get(self.at..)?)?;
            if self.peek() == Some(b'"') {
                break;
            }
            self.at += 2;
        }
        self.finish(place, self.at);
        self.at += 1;
        Some(())
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        let place = self.begin(Kind::Object);
        self.at += 1;
        self.space();
        if self.eat(b'}').is_none() {
            loop {
                self.space();
                self.text(Kind::Key)?;
                self.space();
                self.eat(b':')?;
                self.value(depth + 1)?;
                self.space();
                if self.eat(b',').is_none() {
                    self.eat(b'}')?;
                    break;
                }
            }
        }
        self.finish(place, self.at);
        Some(())
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        let place = self.begin(Kind::Array);
        self.at += 1;
        self.space();
        if self.eat(b']').is_none() {
            loop {
                self.value(depth + 1)?;
                self.space();
                if self.eat(b',').is_none() {
                    self.eat(b']')?;
                    break;
                }
            }
        }
        self.finish(place, self.at);
        Some(())
    }
}

impl<'a> Json<'a> {
    /// Returns the bytes of a token.
    pub(crate) fn raw(self, at: usize) -> &'a [u8] {
        let token = self.tape.get(at);
        token
            .and_then(|token| self.text.get(token.start..token.end))
            .unwrap_or_default()
    }

    /// Returns the value of member `name` of the object at `at`; the last one, as most parsers have it.
    pub(crate) fn member(self, at: usize, name: &str) -> Option<usize> {
        self.members(at)
            .filter(|(key, _)| *key == name.as_bytes())
            .last()
            .map(|(_, value)| value)
    }

    /// Returns the value that a path of members leads to.
    pub(crate) fn path(self, at: usize, names: &[&str]) -> Option<usize> {
        names.iter().try_fold(at, |at, name| self.member(at, name))
    }

    /// Returns the members of the object at `at`: names as written, and places of values.
    pub(crate) fn members(self, at: usize) -> impl Iterator<Item = (&'a [u8], usize)> {
        let object = self.tape.get(at).filter(|token| token.kind == Kind::Object);
        let end = object.map_or(0, |token| token.next);
        let mut next = at + 1;
        core::iter::from_fn(move || {
            if next >= end {
                return None;
            }
            let key = next;
            let value = key + 1;
            next = self.tape.get(value)?.next;
            Some((self.raw(key), value))
        })
    }

    /// Returns the places of the items of the array at `at`.
    pub(crate) fn items(self, at: usize) -> impl Iterator<Item = usize> {
        let array = self.tape.get(at).filter(|token| token.kind == Kind::Array);
        let end = array.map_or(0, |token| token.next);
        let mut next = at + 1;
        core::iter::from_fn(move || {
            if next >= end {
                return None;
            }
            let item = next;
            next = self.tape.get(item)?.next;
            Some(item)
        })
    }

    /// Returns the text at `at`, as written; nothing if it is no text.
    pub(crate) fn text(self, at: Option<usize>) -> Option<&'a [u8]> {
        let at = at?;
        let token = self.tape.get(at)?;
        (token.kind == Kind::Text).then(|| self.raw(at))
    }

    /// Returns the number at `at`.
    pub(crate) fn number(self, at: Option<usize>) -> Option<u64> {
        let at = at?;
        let token = self.tape.get(at)?;
        if token.kind != Kind::Number {
            return None;
        }
        core::str::from_utf8(self.raw(at)).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_items_are_found() {
        let text = br#" {"a":[1,"x",{"b":"y\"z"}],"c":null,"n":12,"a2":{}} "#;
        let mut tape = Tape::default();
        assert!(tape.read(text));
        let json = Json { tape: &tape, text };
        let items: Vec<_> = json.items(json.member(0, "a").unwrap()).collect();
        assert_eq!(items.len(), 3);
        assert_eq!(json.text(json.member(items[2], "b")), Some(&br#"y\"z"#[..]));
        assert_eq!(json.number(json.member(0, "n")), Some(12));
        assert_eq!(json.text(json.member(0, "c")), None);
        assert_eq!(json.member(0, "b"), None);
    }

    #[test]
    fn what_is_not_json_is_told() {
        let mut tape = Tape::default();
        for text in [
            &b""[..],
            b"[DONE]",
            b"{",
            b"{\"a\"}",
            b"{\"a\":1,}",
            b"[1 2]",
            b"\"a",
            b"\"a\\",
            b"{} x",
            b"nul",
        ] {
            assert!(!tape.read(text), "{}", String::from_utf8_lossy(text));
            assert!(tape.tokens().is_empty());
        }
        assert!(!tape.read("[".repeat(200).as_bytes()));
    }
}
