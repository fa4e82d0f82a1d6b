//! Just enough HTTP/1.1 for load: messages read from a kept connection with few copies.

use std::io::{self, Read};

/// Bytes read from a connection at once.
const READ_BYTES: usize = 64 * 1024;

/// The first line and fields of a message.
#[derive(Clone, Debug)]
pub(crate) struct Head(String);

impl Head {
    /// Returns the word of the first line with this number, counted from 0.
    pub(crate) fn word(&self, number: usize) -> &str {
        self.0
            .split("\r\n")
            .next()
            .unwrap_or_default()
            .split(' ')
            .nth(number)
            .unwrap_or_default()
    }

    /// Returns the first value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.0.split("\r\n").skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Reads messages from one connection.
#[derive(Debug)]
pub(crate) struct Messages<R> {
    from: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl<R: Read> Messages<R> {
    pub(crate) fn new(from: R) -> Self {
        Self {
            from,
            buffer: vec![0; READ_BYTES],
            start: 0,
            end: 0,
        }
    }

    /// Reads a head; `None` when the peer closed before it.
    pub(crate) fn head(&mut self) -> io::Result<Option<Head>> {
        let mut bytes = Vec::new();
        loop {
            bytes.extend_from_slice(self.ready());
            if let Some(at) = find(&bytes, b"\r\n\r\n") {
                let before = bytes.len() - self.ready().len();
                self.start += at + 4 - before;
                bytes.truncate(at);
                let text = String::from_utf8(bytes)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                return Ok(Some(Head(text)));
            }
            if !self.fill()? {
                return if bytes.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    /// Reads the body that `head` announces and hands it on in pieces.
    pub(crate) fn body(&mut self, head: &Head, mut piece: impl FnMut(&[u8])) -> io::Result<()> {
        if head
            .field("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
        {
            loop {
                let line = self.line()?;
                let text = String::from_utf8_lossy(&line);
                let size = text.split(';').next().unwrap_or_default().trim();
                let length = usize::from_str_radix(size, 16)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                if length == 0 {
                    while !self.line()?.is_empty() {}
                    return Ok(());
                }
                self.exactly(length, &mut piece)?;
                self.line()?;
            }
        }
        let length = head
            .field("content-length")
            .and_then(|value| value.parse().ok())
            .unwrap_or(0);
        self.exactly(length, &mut piece)
    }

    fn exactly(&mut self, mut left: usize, piece: &mut impl FnMut(&[u8])) -> io::Result<()> {
        while left > 0 {
            if self.ready().is_empty() && !self.fill()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let length = left.min(self.ready().len());
            piece(self.ready().get(..length).unwrap_or_default());
            self.start += length;
            left -= length;
        }
        Ok(())
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        loop {
            let ready = self.ready();
            if let Some(at) = ready.iter().position(|byte| *byte == b'\n') {
                line.extend_from_slice(ready.get(..at).unwrap_or_default());
                self.start += at + 1;
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(line);
            }
            line.extend_from_slice(ready);
            if !self.fill()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn ready(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Reads on once everything was taken; `false` at the end.
    fn fill(&mut self) -> io::Result<bool> {
        self.start = 0;
        self.end = self.from.read(&mut self.buffer)?;
        Ok(self.end > 0)
    }
}

/// Returns where `needle` begins in `hay`.
pub(crate) fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out at most `1` bytes at a time.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(self.0.len()).min(into.len());
            let (now, later) = self.0.split_at(length);
            into[..length].copy_from_slice(now);
            self.0 = later;
            Ok(length)
        }
    }

    #[test]
    fn messages_are_read_however_they_come() {
        let bytes = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n1;x\r\n!\r\n0\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno";
        for step in [1, 2, 7, 1_000] {
            let mut messages = Messages::new(Trickle(bytes, step));
            for (status, want) in [("200", "hello!"), ("404", "no")] {
                let head = messages.head().unwrap().unwrap();
                assert_eq!(head.word(1), status);
                let mut body = Vec::new();
                messages
                    .body(&head, |piece| body.extend_from_slice(piece))
                    .unwrap();
                assert_eq!(String::from_utf8(body).unwrap(), want);
            }
            assert!(messages.head().unwrap().is_none());
        }
    }
}
