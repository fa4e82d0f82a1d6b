//! HTTP/1.1 as bytes: heads and bodies read and kept exactly as they came.

use std::io::{self, BufRead, Read, Write};

/// Longest head that is read.
const HEAD_BYTES: usize = 4 * 1024 * 1024;

/// Header fields in the order they came, names and values as bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<(Vec<u8>, Vec<u8>)>);

impl Fields {
    /// Returns every value of `name`, which is compared without case.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.0
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
            .collect()
    }

    /// Returns the first value of `name`.
    pub fn get(&self, name: &str) -> Option<String> {
        self.all(name).into_iter().next()
    }

    /// Whether `needle` stands in any name or value.
    pub fn mention(&self, needle: &str) -> bool {
        self.0.iter().any(|(name, value)| {
            contains(name, needle.as_bytes()) || contains(value, needle.as_bytes())
        })
    }

    /// Returns the names, lower-case.
    pub fn names(&self) -> Vec<String> {
        self.0
            .iter()
            .map(|(name, _)| String::from_utf8_lossy(name).to_ascii_lowercase())
            .collect()
    }

    fn push_line(&mut self, line: &[u8]) {
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        self.0
            .push((line[..colon].to_vec(), value.trim_ascii().to_vec()));
    }
}

/// Whether `needle` stands in `hay`.
pub fn contains(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|window| window == needle)
}

/// First line and header fields of a message.
#[derive(Clone, Debug)]
pub struct Head {
    pub first_line: String,
    pub fields: Fields,
}

/// Reads a head; `None` when the peer closed before its first byte.
pub fn read_head(from: &mut impl BufRead) -> io::Result<Option<Head>> {
    let Some(first) = read_line(from)? else {
        return Ok(None);
    };
    let mut fields = Fields::default();
    loop {
        let line = read_line(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if line.is_empty() {
            let first_line = String::from_utf8_lossy(&first).into_owned();
            return Ok(Some(Head { first_line, fields }));
        }
        fields.push_line(&line);
    }
}

fn read_line(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    from.take(HEAD_BYTES as u64).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(Some(line))
}

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// `content-length`
    Length(usize),
    /// `transfer-encoding: chunked`
    Chunked,
    /// The body ends with the connection.
    UntilClose,
}

impl Framing {
    /// Reads the framing from `fields`; `otherwise` applies when they do not say.
    pub fn of(fields: &Fields, otherwise: Self) -> Self {
        if fields
            .all("transfer-encoding")
            .iter()
            .any(|value| value.contains("chunked"))
        {
            return Self::Chunked;
        }
        match fields
            .get("content-length")
            .and_then(|value| value.parse().ok())
        {
            Some(length) => Self::Length(length),
            None => otherwise,
        }
    }
}

/// Reads a body piece by piece, as the peer framed it.
#[derive(Debug)]
pub struct BodyReader {
    framing: Framing,
    left: usize,
    done: bool,
    pub trailers: Fields,
}

impl BodyReader {
    /// Starts reading a body.
    pub fn new(framing: Framing) -> Self {
        let left = if let Framing::Length(length) = framing {
            length
        } else {
            0
        };
        let done = matches!(framing, Framing::None | Framing::Length(0));
        Self {
            framing,
            left,
            done,
            trailers: Fields::default(),
        }
    }

    /// Returns the next piece, `None` at the proper end. A connection cut before that is `UnexpectedEof`.
    pub fn next(&mut self, from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
        if self.done {
            return Ok(None);
        }
        match self.framing {
            Framing::None => Ok(None),
            Framing::Length(_) => self.next_of_length(from),
            Framing::Chunked => self.next_chunk(from),
            Framing::UntilClose => self.next_until_close(from),
        }
    }

    fn next_of_length(&mut self, from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
        let piece = read_some(from, self.left)?;
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= piece.len();
        self.done = self.left == 0;
        Ok(Some(piece))
    }

    fn next_until_close(&mut self, from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
        let piece = read_some(from, usize::MAX)?;
        self.done = piece.is_empty();
        Ok((!piece.is_empty()).then_some(piece))
    }

    fn next_chunk(&mut self, from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
        let line = read_line(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let text = String::from_utf8_lossy(&line);
        let size = text.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if size > 0 {
            let mut chunk = vec![0; size];
            from.read_exact(&mut chunk)?;
            read_line(from)?;
            return Ok(Some(chunk));
        }
        self.done = true;
        while let Some(line) = read_line(from)? {
            if line.is_empty() {
                return Ok(None);
            }
            self.trailers.push_line(&line);
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    /// Reads all that is left.
    pub fn rest(&mut self, from: &mut impl BufRead) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(piece) = self.next(from)? {
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }
}

fn read_some(from: &mut impl BufRead, at_most: usize) -> io::Result<Vec<u8>> {
    let available = from.fill_buf()?;
    let piece = available[..available.len().min(at_most)].to_vec();
    from.consume(piece.len());
    Ok(piece)
}

/// Writes one chunk in the chunked coding.
pub fn write_chunk(to: &mut impl Write, chunk: &[u8]) -> io::Result<()> {
    let mut framed = format!("{:x}\r\n", chunk.len()).into_bytes();
    framed.extend_from_slice(chunk);
    framed.extend_from_slice(b"\r\n");
    to.write_all(&framed)?;
    to.flush()
}

/// Ends a body in the chunked coding.
pub fn write_last_chunk(to: &mut impl Write, trailers: &[(String, String)]) -> io::Result<()> {
    let mut end = b"0\r\n".to_vec();
    for (name, value) in trailers {
        end.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    end.extend_from_slice(b"\r\n");
    to.write_all(&end)?;
    to.flush()
}
