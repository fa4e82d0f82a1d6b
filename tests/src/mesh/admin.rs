//! The admin API, asked as an administrator's script would.

use std::net::SocketAddr;

use serde_json::Value;

use crate::client::{Answered, Protocol, Request};

/// A client of `/api/v1` with an admin token.
#[derive(Clone, Debug)]
pub struct Admin {
    address: SocketAddr,
    token: String,
}

impl Admin {
    /// Makes a client.
    pub fn new(address: SocketAddr, token: String) -> Self {
        Self { address, token }
    }

    /// Returns the admin token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Returns where the admin API listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends any request below `/api/v1`, with the token.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answered {
        let target = format!("/api/v1{path}");
        let request = match body {
            Some(body) => {
                let mut request = Request::post(&target, body);
                method.clone_into(&mut request.method);
                request
            }
            None => Request::new(method, &target),
        };
        self.send(&request.bearer(&self.token))
    }

    /// Sends `request` as it is.
    #[track_caller]
    pub fn send(&self, request: &Request) -> Answered {
        request
            .send(self.address, Protocol::Http1)
            .unwrap_or_else(|error| {
                panic!(
                    "no answer to {} {}: {error}",
                    request.method, request.target
                )
            })
    }

    #[track_caller]
    fn expect(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let answered = self.ask(method, path, body);
        let good = (200..300).contains(&answered.status);
        assert!(
            good,
            "{method} {path} {body:?}: {} {}",
            answered.status,
            answered.text()
        );
        answered.json()
    }

    /// Reads an object or a list.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        self.expect("GET", path, None)
    }

    /// Makes an object.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Value {
        self.expect("POST", path, Some(body))
    }

    /// Changes an object.
    #[track_caller]
    pub fn patch(&self, path: &str, body: &Value) -> Value {
        self.expect("PATCH", path, Some(body))
    }

    /// Puts an object in its place.
    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) -> Value {
        self.expect("PUT", path, Some(body))
    }

    /// Removes an object.
    #[track_caller]
    pub fn delete(&self, path: &str) {
        self.expect("DELETE", path, None);
    }
}
