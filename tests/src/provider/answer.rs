//! What a scripted provider sends back, write by write.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::http1::{write_chunk, write_last_chunk};
use crate::wait::Gate;

/// Longest time a script holds a connection for a gate or a hang.
const HOLD: Duration = Duration::from_secs(300);

/// How the body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    /// `content-length` of all writes together.
    Length,
    /// Each write is one chunk.
    Chunked,
    /// The body ends when the connection is closed.
    Close,
    /// Neither body nor `content-length`.
    Empty,
}

/// What [`Step::Tell`] calls.
#[derive(Clone)]
pub struct Tell(Arc<dyn Fn() + Send + Sync>);

impl Tell {
    /// Calls `listener` each time the step is reached.
    pub fn new(listener: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }
}

impl std::fmt::Debug for Tell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tell")
    }
}

/// One thing a script does.
#[derive(Clone, Debug)]
pub enum Step {
    /// Hands bytes to the network in one write of their own.
    Write(Vec<u8>),
    /// Does nothing for so long.
    Pause(Duration),
    /// Tells someone that the script has come this far.
    Tell(Tell),
    /// Waits for a gate to be opened.
    Wait(Gate),
    /// Writes the same bytes for ever, until the peer goes.
    Forever(Vec<u8>, Duration),
    /// Sends nothing more and holds the connection until the peer goes.
    Hang,
    /// Resets the connection (RST).
    Reset,
    /// Closes the connection (FIN), whatever the framing promised.
    Cut,
}

/// An answer: head, then steps.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    fields: Vec<(String, String)>,
    coding: Coding,
    trailers: Vec<(String, String)>,
    before_head: Vec<Step>,
    steps: Vec<Step>,
}

impl Answer {
    fn new(status: u16, content_type: &str, coding: Coding) -> Self {
        let fields = vec![("content-type".to_owned(), content_type.to_owned())];
        Self {
            status,
            fields,
            coding,
            trailers: Vec::new(),
            before_head: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// A whole body of any type.
    pub fn bytes(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new(status, content_type, Coding::Length).step(Step::Write(body.into()))
    }

    /// A whole JSON body.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::bytes(status, "application/json", body.to_string())
    }

    /// A head without a body.
    pub fn empty(status: u16) -> Self {
        let mut answer = Self::new(status, "", Coding::Empty);
        answer.fields.clear();
        answer
    }

    /// An event stream, each event its own chunk and write.
    pub fn sse<T: Into<Vec<u8>>>(events: impl IntoIterator<Item = T>) -> Self {
        let mut answer = Self::new(200, "text/event-stream", Coding::Chunked);
        answer.steps = events
            .into_iter()
            .map(|event| Step::Write(event.into()))
            .collect();
        answer
    }

    /// A head that never comes: the connection stays open and silent.
    pub fn silence() -> Self {
        let mut answer = Self::empty(200);
        answer.before_head.push(Step::Hang);
        answer
    }

    /// A connection reset instead of a head.
    pub fn reset() -> Self {
        let mut answer = Self::empty(200);
        answer.before_head.push(Step::Reset);
        answer
    }

    /// Adds a header field.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a trailer field; the body is then chunked.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.coding = Coding::Chunked;
        self.trailers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a step behind the others.
    #[must_use]
    pub fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Adds a step that happens before the head is sent.
    #[must_use]
    pub fn first(mut self, step: Step) -> Self {
        self.before_head.push(step);
        self
    }

    /// Puts `step` between the writes `n - 1` and `n`.
    #[must_use]
    pub fn before(mut self, n: usize, step: Step) -> Self {
        self.steps.insert(n, step);
        self
    }

    /// Sends the body in chunks of the given sizes, over and over, whatever its writes were.
    #[must_use]
    pub fn cut(mut self, sizes: &[usize]) -> Self {
        let body = self.body();
        self.steps = cut(&body, sizes).into_iter().map(Step::Write).collect();
        self.coding = Coding::Chunked;
        self
    }

    /// Sends the body in one write.
    #[must_use]
    pub fn coalesced(mut self) -> Self {
        self.steps = vec![Step::Write(self.body())];
        self
    }

    /// Declares the whole length and breaks off after `bytes` of the body.
    #[must_use]
    pub fn broken_after(mut self, bytes: usize, how: Step) -> Self {
        let body = self.body();
        self.steps = vec![Step::Write(body[..bytes.min(body.len())].to_vec()), how];
        if self.coding == Coding::Length {
            self.fields
                .push(("content-length".to_owned(), body.len().to_string()));
            self.coding = Coding::Empty;
        }
        self
    }

    /// Lets the body end with the connection.
    #[must_use]
    pub fn until_close(mut self) -> Self {
        self.coding = Coding::Close;
        self
    }

    /// Returns the bytes of all writes.
    pub fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for step in &self.steps {
            if let Step::Write(bytes) = step {
                body.extend_from_slice(bytes);
            }
        }
        body
    }

    /// Whether the body is an event stream.
    pub fn is_event_stream(&self) -> bool {
        self.fields
            .iter()
            .any(|(name, value)| name == "content-type" && value == "text/event-stream")
    }

    /// Returns the status.
    pub fn status(&self) -> u16 {
        self.status
    }

    pub(super) fn keeps_connection(&self) -> bool {
        self.coding != Coding::Close && !self.breaks_connection()
    }

    pub(super) fn breaks_connection(&self) -> bool {
        let breaks = |step: &Step| {
            matches!(
                step,
                Step::Hang | Step::Reset | Step::Cut | Step::Forever(..)
            )
        };
        self.steps.iter().chain(&self.before_head).any(breaks)
    }

    /// Sends the answer; an error means that the peer went before the end.
    pub(super) fn play(&self, mut stream: &TcpStream, method: &str) -> io::Result<()> {
        for step in &self.before_head {
            if !self.act(stream, step)? {
                return Ok(());
            }
        }
        stream.write_all(self.head().as_bytes())?;
        if method == "HEAD" {
            return Ok(());
        }
        for step in &self.steps {
            if !self.act(stream, step)? {
                return Ok(());
            }
        }
        if self.coding == Coding::Chunked {
            write_last_chunk(&mut stream, &self.trailers)?;
        }
        Ok(())
    }

    fn head(&self) -> String {
        let mut head = format!("HTTP/1.1 {} Scripted\r\n", self.status);
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match self.coding {
            Coding::Length => head.push_str(&format!("content-length: {}\r\n", self.body().len())),
            Coding::Chunked => head.push_str("transfer-encoding: chunked\r\n"),
            Coding::Close => head.push_str("connection: close\r\n"),
            Coding::Empty if self.steps.is_empty() => head.push_str("content-length: 0\r\n"),
            Coding::Empty => {}
        }
        head + "\r\n"
    }

    /// Does one step; `false` ends the script.
    fn act(&self, mut stream: &TcpStream, step: &Step) -> io::Result<bool> {
        match step {
            Step::Write(bytes) if bytes.is_empty() => {}
            Step::Write(bytes) => self.write(stream, bytes)?,
            Step::Tell(tell) => tell.0(),
            Step::Pause(time) => {
                if peer_gone_within(stream, *time)? {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
            }
            Step::Wait(gate) => {
                while !gate.pass(Duration::from_millis(20)) {
                    if peer_gone_within(stream, Duration::from_millis(1))? {
                        return Err(io::ErrorKind::ConnectionAborted.into());
                    }
                }
            }
            Step::Forever(bytes, pause) => loop {
                self.write(stream, bytes)?;
                if peer_gone_within(stream, *pause)? {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
            },
            Step::Hang => {
                peer_gone_within(stream, HOLD)?;
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            Step::Reset => {
                socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
                stream.flush()?;
                return Ok(false);
            }
            Step::Cut => {
                stream.shutdown(Shutdown::Both)?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn write(&self, mut stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
        if self.coding == Coding::Chunked {
            write_chunk(&mut stream, bytes)
        } else {
            stream.write_all(bytes)
        }
    }
}

/// Cuts `body` into pieces of the given sizes, over and over.
pub fn cut(body: &[u8], sizes: &[usize]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let mut rest = body;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, left) = rest.split_at((*size).clamp(1, rest.len()));
        pieces.push(piece.to_vec());
        rest = left;
    }
    pieces
}

/// Waits, and says whether the peer closed meanwhile. A proxy does not pipeline, so reading loses nothing.
fn peer_gone_within(mut stream: &TcpStream, time: Duration) -> io::Result<bool> {
    if time.is_zero() {
        return Ok(false);
    }
    stream.set_read_timeout(Some(time))?;
    let read = stream.read(&mut [0; 1]);
    stream.set_read_timeout(None)?;
    match read {
        Ok(0) => Ok(true),
        Ok(_) => Ok(false),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            ) =>
        {
            Ok(false)
        }
        Err(_) => Ok(true),
    }
}
