//! One canary exchange: what is sent, and what must come back.

use std::time::Duration;

use futures_util::future::join_all;
use policy::secret::Secret;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;

use crate::outbound::without_user;

/// Sent side by side: the kernel spreads connections over the workers by chance.
const AT_ONCE: usize = 8;
const TIMEOUT: Duration = Duration::from_secs(5);
/// Long enough that the body does not travel in one piece with the headers.
const BODY_BYTES: usize = 4_096;
const HEADER: &str = "x-weir-canary";

/// Sends canaries, each over a connection of its own.
#[derive(Clone, Debug)]
pub(crate) struct Canary {
    secret: Secret,
}

/// What a worker says for itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Answer {
    pub(crate) vm: String,
    pub(crate) process: String,
    pub(crate) generation: String,
    pub(crate) version: u64,
    body_bytes: usize,
}

/// Why an exchange proves nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("no Envoy answers at {url}: {because}")]
    Unreachable { url: String, because: String },
    #[error(
        "{url} answered {status} to a canary: the filter has no policy of this service yet, or is not in that listener's chain"
    )]
    NotOurs { url: String, status: u16 },
    #[error(
        "{url} gave a canary no answer; does the filter get its body (`allow_on_headers_stop_iteration`)?"
    )]
    Unanswered { url: String },
    #[error("{url} answered a canary with something else: {because}")]
    Unreadable { url: String, because: String },
    #[error(
        "{url}: a worker read {read} of {BODY_BYTES} body bytes; is `allow_on_headers_stop_iteration` set for the filter?"
    )]
    BodyNotRead { url: String, read: usize },
    #[error(
        "{url} answered {status} with code `{code}` to a request without a key, expected 401 `missing_credential`"
    )]
    KeylessAdmitted {
        url: String,
        status: u16,
        code: String,
    },
}

impl Canary {
    pub(crate) fn new(secret: Secret) -> Self {
        Self { secret }
    }

    pub(crate) async fn send_several(&self, url: &str) -> Vec<Result<Answer, Problem>> {
        join_all((0..AT_ONCE).map(|_| self.send(url))).await
    }

    async fn send(&self, url: &str) -> Result<Answer, Problem> {
        let filling = BODY_BYTES.saturating_sub(r#"{"canary":""}"#.len());
        let body = format!(r#"{{"canary":"{}"}}"#, "x".repeat(filling));
        let response = self.post(url, "/weir/canary", body).await?;
        let status = response.status();
        if !status.is_success() {
            return Err(Problem::NotOurs {
                url: without_user(url),
                status: status.as_u16(),
            });
        }
        let answer: Answer = response.json().await.map_err(|error| Problem::Unreadable {
            url: without_user(url),
            because: crate::mesh::chain(&error.without_url()),
        })?;
        if answer.body_bytes != BODY_BYTES {
            return Err(Problem::BodyNotRead {
                url: without_user(url),
                read: answer.body_bytes,
            });
        }
        Ok(answer)
    }

    /// Asks for a completion without a key, and succeeds when that is refused.
    pub(crate) async fn keyless(&self, url: &str) -> Result<(), Problem> {
        let body =
            r#"{"model":"canary","max_tokens":1,"messages":[{"role":"user","content":"canary"}]}"#;
        let response = self.post(url, "/v1/messages", body.to_owned()).await?;
        let status = response.status().as_u16();
        let code = response
            .headers()
            .get("x-weir-code")
            .and_then(|code| code.to_str().ok());
        match (status, code) {
            (401, Some("missing_credential")) => Ok(()),
            (status, code) => Err(Problem::KeylessAdmitted {
                url: without_user(url),
                status,
                code: code.unwrap_or("none").to_owned(),
            }),
        }
    }

    async fn post(
        &self,
        url: &str,
        path: &str,
        body: String,
    ) -> Result<reqwest::Response, Problem> {
        let client = reqwest::Client::builder()
            .no_proxy()
            // Reading the machine's trust anchors for each connection would take longer than the exchange.
            .tls_built_in_root_certs(false)
            .timeout(TIMEOUT)
            .build();
        let client = client.map_err(|error| Problem::failed(url, error))?;
        let request = client
            .post(format!("{}{path}", url.trim_end_matches('/')))
            .header(CONTENT_TYPE, "application/json")
            .header(HEADER, self.secret.expose())
            .body(body);
        request
            .send()
            .await
            .map_err(|error| Problem::failed(url, error))
    }
}

impl Problem {
    fn failed(url: &str, error: reqwest::Error) -> Self {
        let url = without_user(url);
        if error.is_timeout() && !error.is_connect() {
            return Self::Unanswered { url };
        }
        let because = crate::mesh::chain(&error.without_url());
        Self::Unreachable { url, because }
    }
}
