//! Containers that nobody asked for: the same grammar, without calls and without a step for each token.

use super::{Container, Literal, MAX_DEPTH, State, Walker, number, scan};

impl<T: Copy + PartialEq + 'static> Walker<T> {
    /// Passes over content of containers without shape, from `chunk[i]` on, and returns where it stopped.
    ///
    /// Stops before whatever is more than a loop can do: the bracket that closes the outermost such
    /// container, a token that the chunk may have cut, and whatever is not JSON. Calls
    /// [`step`](Self::step) for those.
    pub(super) fn skip(&mut self, chunk: &[u8], mut i: usize) -> usize {
        let floor = self.path.len();
        while let Some(&byte) = chunk.get(i) {
            let length = match (self.state, byte) {
                (State::Key | State::KeyOrEnd | State::Value | State::ItemOrEnd, b'"') => {
                    let content = chunk.get(i + 1..).unwrap_or_default();
                    let length = scan::skip_length(content);
                    if content.get(length) != Some(&b'"') {
                        return i;
                    }
                    let is_key = matches!(self.state, State::Key | State::KeyOrEnd);
                    self.state = if is_key {
                        State::Colon
                    } else {
                        State::CommaOrEnd
                    };
                    length + 2
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
                    self.state = if byte == b'{' {
                        self.enter(Container::Object)
                    } else {
                        self.enter(Container::Array)
                    };
                    1
                }
                (State::CommaOrEnd | State::KeyOrEnd | State::ItemOrEnd, b'}' | b']')
                    if (byte == b'}') == self.in_object && self.depth > floor + 1 =>
                {
                    self.leave();
                    self.state = State::CommaOrEnd;
                    1
                }
                (State::Value | State::ItemOrEnd, b'-' | b'0'..=b'9') => {
                    let Some(length) = number::length(chunk.get(i..).unwrap_or_default()) else {
                        return i;
                    };
                    self.state = State::CommaOrEnd;
                    length
                }
                (State::Value | State::ItemOrEnd, b't' | b'f' | b'n') => {
                    let Some(length) = literal_length(chunk.get(i..).unwrap_or_default()) else {
                        return i;
                    };
                    self.state = State::CommaOrEnd;
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
}

/// Returns the length of the literal at the front of `bytes`.
fn literal_length(bytes: &[u8]) -> Option<usize> {
    let literals = [Literal::True, Literal::False, Literal::Null];
    let literal = literals
        .into_iter()
        .find(|literal| bytes.starts_with(literal.word()))?;
    Some(literal.word().len())
}
