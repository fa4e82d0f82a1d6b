//! Between a client and a mesh: counts what the client asked, and forwards it.

use std::net::SocketAddr;

use crate::client::{Protocol, Request};
use crate::http1::Fields;
use crate::provider::answer::Answer;
use crate::provider::{MockProvider, Seen};

/// Fields that belong to one connection.
const HOP_BY_HOP: [&str; 4] = ["connection", "content-length", "host", "transfer-encoding"];

/// A forwarder. It hands on whole answers, so it is for exchanges whose timing does not matter.
#[derive(Debug)]
pub struct Tap {
    listener: MockProvider,
}

impl Tap {
    /// Starts to forward to `mesh`.
    pub fn start(mesh: SocketAddr) -> Self {
        let forward = move |seen: &Seen, _| {
            let mut request = Request::new(&seen.method, &seen.target);
            request.body.clone_from(&seen.body);
            request.fields = kept(&seen.fields);
            match request.send(mesh, Protocol::Http1) {
                Ok(answered) => {
                    let fields = answered.fields;
                    let kind = fields.get("content-type").unwrap_or_default();
                    kept(&fields)
                        .into_iter()
                        .filter(|(name, _)| !name.eq_ignore_ascii_case("content-type"))
                        .fold(
                            Answer::bytes(answered.status, &kind, answered.body),
                            |answer, (name, value)| {
                                answer.field(&name, &String::from_utf8_lossy(&value))
                            },
                        )
                }
                Err(_) => Answer::reset(),
            }
        };
        Self {
            listener: MockProvider::start(forward),
        }
    }

    /// Returns the base URL clients are given.
    pub fn url(&self) -> String {
        self.listener.url("")
    }

    /// Returns every request that asked a model for something.
    pub fn questions(&self) -> Vec<Seen> {
        let mut all = self.listener.seen();
        all.retain(|seen| seen.method == "POST");
        all
    }

    /// Returns every request.
    pub fn seen(&self) -> Vec<Seen> {
        self.listener.seen()
    }
}

fn kept(fields: &Fields) -> Vec<(String, Vec<u8>)> {
    let name = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let all = fields
        .0
        .iter()
        .map(|(field, value)| (name(field), value.clone()));
    all.filter(|(field, _)| !HOP_BY_HOP.iter().any(|hop| field.eq_ignore_ascii_case(hop)))
        .collect::<Vec<_>>()
}
