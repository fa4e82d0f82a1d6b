//! An HTTP/1.1 client over a plain socket.

use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::{Answered, End, PATIENCE, Request};
use crate::http1::{BodyReader, Fields, Framing, read_head, write_chunk, write_last_chunk};

pub(super) fn send(to: SocketAddr, request: &Request) -> io::Result<Answered> {
    Connection::open(to)?.exchange(request)
}

/// A connection that can carry several requests, one after another.
#[derive(Debug)]
pub struct Connection {
    to: SocketAddr,
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn open(to: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect_timeout(&to, PATIENCE)?, to)
    }

    /// Connects from an address of 127.0.0.0/8.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn open_from(from: Ipv4Addr, to: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        // The port is chosen when it is known whereto, so that one may serve several peers.
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from((from, 0)).into())?;
        socket.connect_timeout(&to.into(), PATIENCE)?;
        Self::over(socket.into(), to)
    }

    fn over(stream: TcpStream, to: SocketAddr) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let reader = BufReader::with_capacity(64 * 1024, stream.try_clone()?);
        Ok(Self { to, stream, reader })
    }

    /// Bears another length of silence.
    ///
    /// # Errors
    /// When the socket is broken.
    pub fn patience(&self, patience: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(patience))
    }

    /// Sends `request` and reads the whole answer.
    ///
    /// # Errors
    /// When no proper head came.
    pub fn exchange(&mut self, request: &Request) -> io::Result<Answered> {
        // A refusal may come, and the connection be closed, before the body was taken; the answer counts.
        let sent = self.write(request);
        match self.answer(&request.method) {
            Ok(answered) => Ok(answered),
            Err(error) => sent.and(Err(error)),
        }
    }

    /// Sends `request` and returns once the head of the answer is there.
    ///
    /// # Errors
    /// When no proper head came.
    pub fn begin(mut self, request: &Request) -> io::Result<Running> {
        let sent = self.write(request);
        match self.head(&request.method) {
            Ok((status, fields, body)) => Ok(Running {
                connection: self,
                status,
                fields,
                body,
            }),
            Err(error) => sent.and(Err(error)),
        }
    }

    /// Sends raw bytes.
    ///
    /// # Errors
    /// When the peer has closed.
    pub fn write_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends the head of `request`, without a word on the body's framing.
    ///
    /// # Errors
    /// When the peer has closed.
    pub fn write_head(&mut self, request: &Request) -> io::Result<()> {
        let head = self.head_bytes(request, None);
        self.stream.write_all(&head)
    }

    /// Sends the first `most` bytes of `request`; returns how many it did not take.
    ///
    /// # Errors
    /// When the peer has closed.
    pub fn write_first(&mut self, request: &Request, most: usize) -> io::Result<usize> {
        let mut message = self.head_bytes(request, Some(Framing::Length(request.body.len())));
        message.extend_from_slice(&request.body);
        let sent = most.min(message.len());
        self.stream.write_all(&message[..sent])?;
        Ok(most - sent)
    }

    /// Reads `count` bytes, whatever they mean.
    ///
    /// # Errors
    /// When the peer has closed before.
    pub fn read_raw(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Sends one chunk of a chunked body.
    ///
    /// # Errors
    /// When the peer has closed.
    pub fn write_chunk(&mut self, chunk: &[u8]) -> io::Result<()> {
        write_chunk(&mut self.stream, chunk)
    }

    /// Reads a whole answer.
    ///
    /// # Errors
    /// When no proper head came.
    pub fn answer(&mut self, method: &str) -> io::Result<Answered> {
        let (status, fields, mut body) = self.head(method)?;
        let mut bytes = Vec::new();
        let complete = loop {
            match body.next(&mut self.reader) {
                Ok(Some(piece)) => bytes.extend_from_slice(&piece),
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        Ok(Answered {
            status,
            fields,
            body: bytes,
            trailers: body.trailers,
            complete,
        })
    }

    fn head(&mut self, method: &str) -> io::Result<(u16, Fields, BodyReader)> {
        loop {
            let head = read_head(&mut self.reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let status: u16 = head
                .first_line
                .split(' ')
                .nth(1)
                .and_then(|word| word.parse().ok())
                .ok_or(io::ErrorKind::InvalidData)?;
            if (100..200).contains(&status) && status != 101 {
                continue;
            }
            let bodiless = method == "HEAD" || status == 204 || status == 304 || status == 101;
            let framing = if bodiless {
                Framing::None
            } else {
                Framing::of(&head.fields, Framing::UntilClose)
            };
            return Ok((status, head.fields, BodyReader::new(framing)));
        }
    }

    fn write(&mut self, request: &Request) -> io::Result<()> {
        let pieces = request.cut();
        if request.pieces.is_none() {
            let mut message = self.head_bytes(request, Some(Framing::Length(request.body.len())));
            message.extend_from_slice(&request.body);
            return self.stream.write_all(&message);
        }
        let head = self.head_bytes(request, Some(Framing::Chunked));
        self.stream.write_all(&head)?;
        for piece in pieces {
            write_chunk(&mut self.stream, &piece)?;
        }
        match request.end {
            // The coding ends with an empty chunk in either case.
            End::Data | End::Empty => write_last_chunk(&mut self.stream, &[]),
            End::Trailers => write_last_chunk(
                &mut self.stream,
                &[("x-checked".to_owned(), "yes".to_owned())],
            ),
        }
    }

    fn head_bytes(&self, request: &Request, framing: Option<Framing>) -> Vec<u8> {
        let host = if request.host.is_empty() {
            self.to.to_string()
        } else {
            request.host.clone()
        };
        let mut head = format!(
            "{} {} HTTP/1.1\r\nhost: {host}\r\n",
            request.method, request.target
        )
        .into_bytes();
        for (name, value) in &request.fields {
            head.extend_from_slice(name.as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value);
            head.extend_from_slice(b"\r\n");
        }
        match framing {
            Some(Framing::Chunked) => head.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            Some(Framing::Length(length)) if length > 0 || request.method == "POST" => {
                head.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
            }
            Some(Framing::Length(_) | Framing::None | Framing::UntilClose) | None => {}
        }
        head.extend_from_slice(b"\r\n");
        head
    }
}

/// An answer that is being read. Dropping it closes the connection.
#[derive(Debug)]
pub struct Running {
    connection: Connection,
    pub status: u16,
    pub fields: Fields,
    body: BodyReader,
}

impl Running {
    /// Returns the next piece of the body, `None` at its end.
    ///
    /// # Errors
    /// When the connection breaks before the end.
    #[expect(
        clippy::should_implement_trait,
        reason = "an error must not be skipped by a loop"
    )]
    pub fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.body.next(&mut self.connection.reader)
    }

    /// Reads until `needle` has come; returns everything read.
    ///
    /// # Errors
    /// When the body ends or breaks before.
    pub fn read_until(&mut self, needle: &str) -> io::Result<Vec<u8>> {
        let mut read = Vec::new();
        while !crate::http1::contains(&read, needle.as_bytes()) {
            read.extend(self.next()?.ok_or(io::ErrorKind::UnexpectedEof)?);
        }
        Ok(read)
    }

    /// Reads the rest.
    pub fn finish(mut self) -> Answered {
        let mut bytes = Vec::new();
        let complete = loop {
            match self.next() {
                Ok(Some(piece)) => bytes.extend_from_slice(&piece),
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        let trailers = self.body.trailers;
        Answered {
            status: self.status,
            fields: self.fields,
            body: bytes,
            trailers,
            complete,
        }
    }
}
