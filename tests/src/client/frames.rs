//! HTTP/2 frame by frame, so that a stream can be wrong in one place.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ACKNOWLEDGED: u8 = 1;
const END_HEADERS: u8 = 4;

/// A connection of which every frame is written here.
#[derive(Debug)]
pub struct Frames {
    stream: TcpStream,
}

/// How a stream, or the connection with it, went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The head of an answer came.
    Answered,
    /// The stream was reset.
    Reset,
    /// The connection was given up.
    Closed,
}

impl Frames {
    /// Connects and says hello.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn open(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut frames = Self { stream };
        frames.stream.write_all(PREFACE)?;
        frames.write(SETTINGS, 0, 0, &[])?;
        Ok(frames)
    }

    /// Sends the head of a request; names and values go as they are, below 127 bytes each.
    ///
    /// # Errors
    /// When the peer has closed.
    pub fn headers(&mut self, stream: u32, fields: &[(&str, &str)], ends: bool) -> io::Result<()> {
        let mut block = Vec::new();
        for (name, value) in fields {
            // A literal that is not indexed, neither part compressed.
            block.push(0);
            for text in [name, value] {
                block.push(u8::try_from(text.len()).map_err(io::Error::other)?);
                block.extend_from_slice(text.as_bytes());
            }
        }
        let flags = END_HEADERS | if ends { END_STREAM } else { 0 };
        self.write(HEADERS, flags, stream, &block)
    }

    /// Reads until `stream` is answered or reset, or the connection ends.
    ///
    /// # Errors
    /// When the peer falls silent.
    pub fn outcome(&mut self, stream: u32) -> io::Result<Seen> {
        loop {
            let (kind, flags, of, payload) = match self.read() {
                Ok(frame) => frame,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(Seen::Closed);
                }
                Err(error) => return Err(error),
            };
            match kind {
                HEADERS if of == stream => return Ok(Seen::Answered),
                RST_STREAM if of == stream => return Ok(Seen::Reset),
                GOAWAY => return Ok(Seen::Closed),
                SETTINGS if flags & ACKNOWLEDGED == 0 => {
                    self.write(SETTINGS, ACKNOWLEDGED, 0, &[])?
                }
                PING if flags & ACKNOWLEDGED == 0 => self.write(PING, ACKNOWLEDGED, 0, &payload)?,
                _ => {}
            }
        }
    }

    fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        let mut frame = length.to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend_from_slice(payload);
        self.stream.write_all(&frame)
    }

    fn read(&mut self) -> io::Result<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head)?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload =
            vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).map_err(io::Error::other)?];
        self.stream.read_exact(&mut payload)?;
        Ok((
            kind,
            flags,
            u32::from_be_bytes(stream) & 0x7fff_ffff,
            payload,
        ))
    }
}
