//! Containers that nobody asked for: the same grammar, without calls and without a step for each token.

use super::tokens::tell_text;
use super::{
    Container, LONG_BYTES, Literal, MAX_DEPTH, State, Token, Visitor, Walker, number, scan,
};

impl<T: Copy + PartialEq + 'static> Walker<T> {
    /// Passes over content of containers without shape, from `chunk[i]` on, and returns where it stopped.
    ///
    /// Stops before whatever is more than a loop can do: the bracket that closes the outermost such
    /// container, a token that the chunk may have cut, and whatever is not JSON. Calls
    /// [`step`](Self::step) for those.
    pub(super) fn skip<V: Visitor<Tag = T>>(
        &mut self,
        chunk: &[u8],
        mut i: usize,
        visitor: &mut V,
    ) -> usize {
        let floor = self.path.len();
        while let Some(&byte) = chunk.get(i) {
            let length = match (self.state, byte) {
                (State::Key | State::KeyOrEnd | State::Value | State::ItemOrEnd, b'"') => {
                    let Some(length) = self.skip_text(chunk, i, visitor) else {
                        return i;
                    };
                    length
                }
                (State::Colon, b':') => {
                    self.state = State::Value;
                    1
                }
                (State::CommaOrEnd, b',') => {
                    self.state = if self.in_object {
                        State::Key
                    } else {
                        State::Value
                    };
                    1
                }
                (State::Value | State::ItemOrEnd, b'{' | b'[') if self.depth < MAX_DEPTH => {
                    let container = container_of(byte);
                    self.state = self.enter(container);
                    if V::TOKENS {
                        visitor.token(Token::Open(container), self.byte_span(i));
                    }
                    1
                }
                (State::CommaOrEnd | State::KeyOrEnd | State::ItemOrEnd, b'}' | b']')
                    if (byte == b'}') == self.in_object && self.depth > floor + 1 =>
                {
                    if V::TOKENS {
                        visitor.token(Token::Close(container_of(byte)), self.byte_span(i));
                    }
                    self.leave();
                    self.state = State::CommaOrEnd;
                    1
                }
                (State::Value | State::ItemOrEnd, b'-' | b'0'..=b'9') => {
                    let length = number::length(chunk.get(i..).unwrap_or_default());
                    let Some(length) = length.filter(|length| *length <= LONG_BYTES) else {
                        return i;
                    };
                    self.state = State::CommaOrEnd;
                    if V::TOKENS {
                        let raw = chunk.get(i..i + length).unwrap_or_default();
                        visitor.token(Token::Number(raw), self.span_at(i, length));
                    }
                    length
                }
                (State::Value | State::ItemOrEnd, b't' | b'f' | b'n') => {
                    let Some(literal) = literal_at(chunk.get(i..).unwrap_or_default()) else {
                        return i;
                    };
                    self.state = State::CommaOrEnd;
                    let length = literal.word().len();
                    if V::TOKENS {
                        visitor.token(Token::Literal(literal.flag()), self.span_at(i, length));
                    }
                    length
                }
                (
                    State::Value
                    | State::ItemOrEnd
                    | State::KeyOrEnd
                    | State::Key
                    | State::Colon
                    | State::CommaOrEnd,
                    b' ' | b'\t' | b'\n' | b'\r',
                ) => 1,
                _ => return i,
            };
            i += length;
        }
        i
    }

    /// Passes over the key or string at `chunk[i]` and returns its length; `None` if it is not whole and sound.
    fn skip_text<V: Visitor<Tag = T>>(
        &mut self,
        chunk: &[u8],
        i: usize,
        visitor: &mut V,
    ) -> Option<usize> {
        let content = chunk.get(i + 1..).unwrap_or_default();
        let length = scan::skip_length(content);
        if content.get(length) != Some(&b'"') {
            return None;
        }
        let is_key = matches!(self.state, State::Key | State::KeyOrEnd);
        self.state = if is_key {
            State::Colon
        } else {
            State::CommaOrEnd
        };
        let raw = content.get(..length).unwrap_or_default();
        tell_text(raw, is_key, self.span_at(i + 1, length), visitor);
        Some(length + 2)
    }
}

/// Returns what a bracket opens or closes.
const fn container_of(bracket: u8) -> Container {
    if matches!(bracket, b'{' | b'}') {
        Container::Object
    } else {
        Container::Array
    }
}

/// Returns the literal at the front of `bytes`.
fn literal_at(bytes: &[u8]) -> Option<Literal> {
    let literals = [Literal::True, Literal::False, Literal::Null];
    literals
        .into_iter()
        .find(|literal| bytes.starts_with(literal.word()))
}
