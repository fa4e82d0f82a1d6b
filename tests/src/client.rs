//! Clients that send exactly what they are told, byte for byte, over HTTP/1.1 and HTTP/2.

pub mod frames;
pub mod h1;
pub mod h2;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::http1::Fields;
use crate::provider::answer::cut;

/// Longest silence a client bears.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Which HTTP a request is sent over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

/// How the end of a request body is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With the last data.
    Data,
    /// By an empty piece behind the last data.
    Empty,
    /// By trailers.
    Trailers,
}

/// A request as it is to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    /// `Host` or `:authority`; the address when empty.
    pub host: String,
    pub fields: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    /// Sizes of the pieces the body is sent in, over and over; `None` sends it whole, with its length.
    pub pieces: Option<Vec<usize>>,
    pub end: End,
}

impl Request {
    /// A request without a body.
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            host: String::new(),
            fields: Vec::new(),
            body: Vec::new(),
            pieces: None,
            end: End::Data,
        }
    }

    /// A request that asks for something without a body.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A request with a JSON body.
    pub fn post(target: &str, body: &Value) -> Self {
        Self::post_bytes(target, body.to_string())
    }

    /// A request with a body of type `application/json`, whatever it holds.
    pub fn post_bytes(target: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut request = Self::new("POST", target).field("content-type", "application/json");
        request.body = body.into();
        request
    }

    /// Adds a header field.
    #[must_use]
    pub fn field(self, name: &str, value: &str) -> Self {
        self.raw_field(name, value.as_bytes())
    }

    /// Adds a header field of any bytes.
    #[must_use]
    pub fn raw_field(mut self, name: &str, value: &[u8]) -> Self {
        self.fields.push((name.to_owned(), value.to_vec()));
        self
    }

    /// Takes header fields away.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.fields
            .retain(|(field, _)| !field.eq_ignore_ascii_case(name));
        self
    }

    /// Adds a bearer credential.
    #[must_use]
    pub fn bearer(self, key: &str) -> Self {
        self.field("authorization", &format!("Bearer {key}"))
    }

    /// Names the host that is asked.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// Sends the body in pieces of the given sizes, over and over.
    #[must_use]
    pub fn pieces(mut self, sizes: &[usize], end: End) -> Self {
        self.pieces = Some(sizes.to_vec());
        self.end = end;
        self
    }

    fn cut(&self) -> Vec<Vec<u8>> {
        match &self.pieces {
            Some(sizes) => cut(&self.body, sizes),
            None if self.body.is_empty() => Vec::new(),
            None => vec![self.body.clone()],
        }
    }

    /// Sends the request over a connection of its own and reads the whole answer.
    ///
    /// # Errors
    /// When no proper head came. An answer that breaks off later is an [`Answered`] that is not `complete`.
    pub fn send(&self, to: SocketAddr, protocol: Protocol) -> io::Result<Answered> {
        match protocol {
            Protocol::Http1 => h1::send(to, self),
            Protocol::Http2 => h2::send(to, self),
        }
    }
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub struct Answered {
    pub status: u16,
    pub fields: Fields,
    pub body: Vec<u8>,
    pub trailers: Fields,
    /// Whether the answer ended as its framing promised.
    pub complete: bool,
}

impl Answered {
    /// Returns the first value of a header field.
    pub fn field(&self, name: &str) -> Option<String> {
        self.fields.get(name)
    }

    /// Returns the code of a refusal.
    pub fn weir_code(&self) -> Option<String> {
        self.field("x-weir-code")
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the body as JSON, or `null`.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Returns the JSON objects of an event stream's data lines.
    pub fn events(&self) -> Vec<Value> {
        let text = self.text();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }
}
