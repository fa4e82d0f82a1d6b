//! Quotas from outside: what the ledger says of them, what the provider really used, and clients that press on them.

pub mod load;
pub mod meter;
pub mod stage;

use std::fmt;
use std::io::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Answered, Request};
use crate::mesh::Mesh;
use crate::mesh::admin::Admin;
use crate::mesh::tenant::{id, unique};
use crate::wait;

/// How long a lease lasts that nobody keeps.
pub const LEASE: Duration = Duration::from_secs(15);

/// How often a filter reports what it admitted.
pub const REPORT: Duration = Duration::from_millis(250);

/// What a loaded machine may add to either.
const SLACK: Duration = Duration::from_secs(10);

/// A rolling hour.
pub fn hour() -> Value {
    json!({"rolling": {"duration_ms": 3_600_000}})
}

/// A quota that was made through the admin API.
#[derive(Clone, Debug)]
pub struct Quota {
    pub id: String,
    pub name: String,
    pub limit: u64,
}

/// What the ledger says of a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub spent: u64,
    pub held: u64,
    pub left: u64,
    pub debt: u64,
}

impl Usage {
    /// Reads the body of an answer.
    #[track_caller]
    pub fn of(body: &Value) -> Self {
        let field = |name: &str| body[name].as_u64();
        Self {
            spent: field("spent").unwrap_or_else(|| panic!("no `spent` in {body}")),
            held: field("held").unwrap_or_else(|| panic!("no `held` in {body}")),
            left: field("left").unwrap_or_default(),
            debt: field("debt").unwrap_or_default(),
        }
    }
}

/// Makes a quota with `rules`.
#[track_caller]
pub fn make(admin: &Admin, rules: &Value) -> Quota {
    let mut body = rules.clone();
    let name = unique("quota");
    body["name"] = json!(name);
    let made = admin.post("/quotas", &body);
    Quota {
        id: id(&made),
        name,
        limit: rules["limit"].as_u64().unwrap_or_default(),
    }
}

/// Asks the ledger.
#[track_caller]
pub fn usage(admin: &Admin, quota: &Quota) -> Usage {
    Usage::of(&admin.get(&format!("/quotas/{}/usage", quota.id)))
}

impl Mesh {
    /// Makes a quota and waits until every worker enforces it.
    #[track_caller]
    pub fn quota(&self, rules: &Value) -> Quota {
        self.change(|admin| make(admin, rules))
    }

    /// Returns what the ledger says of `quota`.
    #[track_caller]
    pub fn usage(&self, quota: &Quota) -> Usage {
        usage(self.admin(), quota)
    }

    /// Returns the sum of one of the service's metrics over all its labels.
    #[track_caller]
    pub fn metric(&self, name: &str) -> f64 {
        let request = Request::get("/metrics").bearer(self.admin().token());
        let text = self.admin().send(&request).text();
        let lines = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let value = rest.rsplit(' ').next()?;
            (rest.starts_with(['{', ' ']))
                .then(|| value.parse::<f64>().ok())
                .flatten()
        });
        let values: Vec<f64> = lines.collect();
        assert!(!values.is_empty(), "no metric {name} in {text}");
        values.into_iter().sum()
    }

    /// Waits until nothing of `quota` is held any more, at most as long as a lease may last.
    #[track_caller]
    pub fn settled(&self, quota: &Quota) -> (Usage, Duration) {
        let started = wait::now();
        loop {
            let usage = self.usage(quota);
            if usage.held == 0 {
                return (usage, started.elapsed());
            }
            assert!(
                started.elapsed() < LEASE + SLACK,
                "a hold outlives its lease: {usage:?}\n{}",
                self.logs()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// How the mesh received one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reception {
    Admitted,
    /// Terminal: what was spent leaves no room.
    Exhausted,
    /// Worth another try after so many seconds.
    Contended {
        secs: u64,
    },
    /// The policy service was needed and did not answer.
    Away,
    Other(String),
}

impl Reception {
    /// Reads an answer.
    pub fn of(answered: &Answered) -> Self {
        let secs = || {
            let after = answered.field("retry-after");
            after.and_then(|secs| secs.parse().ok()).unwrap_or(1)
        };
        match answered.weir_code().as_deref() {
            None if answered.status == 200 && answered.complete => Self::Admitted,
            Some("budget_exhausted" | "rate_limited") => Self::Exhausted,
            Some("service_unreachable" | "policy_stale" | "record_queue_full") => Self::Away,
            Some("contended") => Self::Contended { secs: secs() },
            code => Self::Other(format!(
                "{} {code:?} complete {}: {}",
                answered.status,
                answered.complete,
                answered.text()
            )),
        }
    }
}

/// The line that a test prints about one quota.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub test: &'static str,
    pub unit: &'static str,
    pub limit: u64,
    /// What the provider used, by the test's own arithmetic.
    pub spent: u64,
    /// What the ledger charged.
    pub charged: u64,
    pub admitted: usize,
    pub exhausted: usize,
    pub contended: usize,
    /// Refused because the service did not answer in time.
    pub unanswered: usize,
    pub false_refusals: usize,
    /// Held at the end.
    pub held: u64,
    /// How long the last hold lived after the last answer.
    pub free_after: Duration,
    /// How far `spent` may pass the limit in this test.
    pub bound: u64,
    /// What else is worth knowing.
    pub note: String,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { unit, limit, .. } = self;
        write!(
            f,
            "quota figures: {}: limit {limit} {unit}, spent {}, charged {}, bound +{}, admitted {}, refused exhausted {}, \
             refused contended {}, refused unanswered {}, false refusals {}, live holds at the end {} (after {:.1} s)",
            self.test,
            self.spent,
            self.charged,
            self.bound,
            self.admitted,
            self.exhausted,
            self.contended,
            self.unanswered,
            self.false_refusals,
            self.held,
            self.free_after.as_secs_f64()
        )?;
        if !self.note.is_empty() {
            write!(f, "; {}", self.note)?;
        }
        Ok(())
    }
}

impl Figures {
    /// Prints the line past libtest's capture.
    pub fn print(&self) {
        // Nobody may be listening.
        writeln!(std::io::stderr(), "{self}").unwrap_or_default();
    }
}
