//! What a refusal looks like to a client, in each dialect.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::client::{Answered, Request};
use crate::mesh::Mesh;
use crate::mesh::tenant::Dialect;
use crate::surfaces;
use crate::wait;

/// A refusal as it should arrive.
#[derive(Clone, Copy, Debug)]
pub struct Refused {
    pub dialect: Dialect,
    pub status: u16,
    pub code: &'static str,
}

/// Checks status, code, dialect and advice of a refusal after which the client is to stop.
#[track_caller]
pub fn assert_stops(answered: &Answered, want: Refused, what: &str) {
    assert_refused(answered, want, what);
    assert_eq!(
        answered.field("x-should-retry").as_deref(),
        Some("false"),
        "{what}"
    );
    assert_eq!(answered.field("retry-after"), None, "{what}");
}

/// Checks status, code, dialect and advice of a refusal that is worth another try.
#[track_caller]
pub fn assert_waits(answered: &Answered, want: Refused, what: &str) {
    assert_refused(answered, want, what);
    assert_eq!(answered.field("x-should-retry"), None, "{what}");
    let secs = answered
        .field("retry-after")
        .and_then(|secs| secs.parse::<u32>().ok());
    assert!(
        secs.is_some_and(|secs| (1..=60).contains(&secs)),
        "{what}: retry-after {secs:?}"
    );
}

#[track_caller]
fn assert_refused(answered: &Answered, want: Refused, what: &str) {
    let shown = format!(
        "{what}: {} {:?} {}",
        answered.status,
        answered.weir_code(),
        answered.text()
    );
    assert_eq!(answered.weir_code().as_deref(), Some(want.code), "{shown}");
    assert_eq!(answered.status, want.status, "{shown}");
    assert_eq!(
        answered.field("content-type").as_deref(),
        Some("application/json"),
        "{shown}"
    );
    assert!(answered.complete, "{shown}");
    let body = answered.json();
    let error = &body["error"];
    let (code, shape) = match want.dialect {
        Dialect::Anthropic => (
            &error["weir_code"],
            body["type"] == json!("error") && error["type"].is_string(),
        ),
        Dialect::Openai => (
            &error["weir_code"],
            error["type"].is_string() && error["code"].is_string() && error["param"].is_null(),
        ),
        Dialect::Gemini => (
            &error["details"][0]["metadata"]["weir_code"],
            error["code"] == json!(want.status) && error["status"].is_string(),
        ),
    };
    assert_eq!(code, &json!(want.code), "{shown}");
    assert!(shape, "not the error object of {:?}: {shown}", want.dialect);
    let message = error["message"].as_str().unwrap_or_default();
    assert!(
        message.ends_with(&format!(" (Weir: {})", want.code)),
        "{shown}"
    );
    assert!(
        !message.contains("sk-weir-") || message.contains("sk-weir-…"),
        "{shown}"
    );
}

/// Marks a request so that its record can be found, whoever it is from.
pub fn marked(request: Request) -> (Request, String) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mark = format!(
        "mark-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    (request.field("x-session-id", &mark), mark)
}

/// Returns the plain request of a dialect for `model`, without a credential.
pub fn plain(dialect: Dialect, model: &str) -> Request {
    let name = match dialect {
        Dialect::Anthropic => "messages",
        Dialect::Openai => "chat",
        Dialect::Gemini => "generate",
    };
    surfaces::case(name, model).request()
}

/// The time in milliseconds since 1970.
pub fn now_ms() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests compare with times that the mesh recorded"
    )]
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since
        .map(|since| u64::try_from(since.as_millis()).unwrap_or_default())
        .unwrap_or_default()
}

impl Mesh {
    /// Waits until every marked request since `from_ms` has a finished record and returns the records in the
    /// order of `marks`; panics when one has two.
    #[track_caller]
    pub fn marked_records(&self, marks: &[String], from_ms: u64) -> Vec<Value> {
        wait::until("the records of all marked requests", || {
            let all = self.records_where(&format!("from_ms={from_ms}"));
            let of = |mark: &String| {
                let mut found: Vec<&Value> = all
                    .iter()
                    .filter(|record| {
                        record["session_id"] == json!(mark) && record["ended"] != json!("running")
                    })
                    .collect();
                assert!(
                    found.len() <= 1,
                    "{mark} has more than one record: {found:#?}"
                );
                found.pop().cloned()
            };
            marks.iter().map(of).collect::<Option<Vec<Value>>>()
        })
    }
}
