//! What is wrong with a quota, all of it at once.

use core::fmt;

use crate::documents::Scope;
use crate::quota::{
    CalendarWindow, Holds, Mode, OnOutage, QuotaNode, QuotaRules, QuotaWindow, Unit,
};

/// Shortest rolling window: a sixtieth of it is a second.
pub const MIN_ROLLING_MS: u64 = 60_000;
/// Longest rolling window: 366 days.
pub const MAX_ROLLING_MS: u64 = 366 * 86_400_000;
/// Largest limit: a trillion dollars. Sums of two limits stay far from the end of the numbers.
pub const MAX_LIMIT: u64 = 1_000_000_000_000_000_000;
/// Longest wait for room that others hold.
pub const MAX_CONTENTION_WAIT_MS: u32 = 60_000;

const MAX_RAISES: usize = 32;
const MAX_ALERTS: usize = 16;
const MAX_LISTED: usize = 64;

/// A field that does not say what it must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaProblem {
    /// As in `window.calendar.zone`.
    pub field: String,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl fmt::Display for QuotaProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.field, self.message)
    }
}

/// Tells every problem of the rules. `zone_is_known` answers for names of time zones, which only the service knows;
/// whether nodes and providers exist is for whoever knows all documents.
pub fn problems(rules: &QuotaRules, zone_is_known: &dyn Fn(&str) -> bool) -> Vec<QuotaProblem> {
    let mut found = Found::default();
    amounts(rules, &mut found);
    window(rules, zone_is_known, &mut found);
    combinations(rules, &mut found);
    found.0
}

#[derive(Default)]
struct Found(Vec<QuotaProblem>);

impl Found {
    fn when(&mut self, wrong: bool, field: &str, message: impl Into<String>) {
        if wrong {
            self.0.push(QuotaProblem {
                field: field.to_owned(),
                message: message.into(),
            });
        }
    }
}

fn amounts(rules: &QuotaRules, found: &mut Found) {
    let too_large = format!("is more than {MAX_LIMIT}; leave the quota out to limit nothing");
    found.when(rules.limit > MAX_LIMIT, "limit", too_large.clone());
    if let Some(cap) = rules.member_cap {
        found.when(
            cap > rules.limit,
            "member_cap",
            format!("is {cap}, more than the limit of {}", rules.limit),
        );
    }
    found.when(
        rules.raises.len() > MAX_RAISES,
        "raises",
        format!(
            "has {} entries, at most {MAX_RAISES} are kept; remove those that ended",
            rules.raises.len()
        ),
    );
    for (index, raise) in rules.raises.iter().enumerate() {
        let field = format!("raises[{index}].amount");
        found.when(raise.amount == 0, &field, "is 0, which raises nothing");
        found.when(raise.amount > MAX_LIMIT, &field, too_large.clone());
    }
    found.when(
        rules.alerts.len() > MAX_ALERTS,
        "alerts",
        format!(
            "has {} entries, at most {MAX_ALERTS} make sense",
            rules.alerts.len()
        ),
    );
    let rising = rules
        .alerts
        .windows(2)
        .all(|pair| matches!(pair, [a, b] if a < b));
    found.when(!rising, "alerts", "must rise, as in [50, 80, 100]");
    let in_range = rules
        .alerts
        .iter()
        .all(|percent| (1..=1_000).contains(percent));
    found.when(
        !in_range,
        "alerts",
        "holds a share outside 1 to 1000 percent",
    );
    if let OnOutage::Allow { outage_cap } = rules.on_outage {
        found.when(
            outage_cap == 0,
            "on_outage.allow.outage_cap",
            "is 0; write `deny` to allow nothing",
        );
        found.when(
            outage_cap > MAX_LIMIT,
            "on_outage.allow.outage_cap",
            too_large,
        );
    }
    found.when(
        rules.contention_wait_ms > MAX_CONTENTION_WAIT_MS,
        "contention_wait_ms",
        format!("is more than {MAX_CONTENTION_WAIT_MS}; clients do not wait that long"),
    );
    if let Mode::SoftUntil { percent } = rules.mode {
        found.when(
            percent <= 100,
            "mode.soft_until.percent",
            format!("is {percent}; below 101 write `hard` and a lower limit"),
        );
    }
}

fn window(rules: &QuotaRules, zone_is_known: &dyn Fn(&str) -> bool, found: &mut Found) {
    match (&rules.window, rules.unit) {
        (None, Unit::Concurrent) => {}
        (Some(_), Unit::Concurrent) => {
            found.when(true, "window", "must be left out for `concurrent`, which counts what runs");
        }
        (None, _) => found.when(
            true,
            "window",
            "is missing; write {\"rolling\": {\"duration_ms\": …}} or {\"calendar\": {\"every\": \"month\"}}",
        ),
        (Some(QuotaWindow::Rolling { duration_ms }), _) => found.when(
            !(MIN_ROLLING_MS..=MAX_ROLLING_MS).contains(duration_ms),
            "window.rolling.duration_ms",
            format!("is {duration_ms}; a minute ({MIN_ROLLING_MS}) to 366 days ({MAX_ROLLING_MS}) can be kept"),
        ),
        (Some(QuotaWindow::Calendar(calendar)), _) => {
            let CalendarWindow { zone, first_month, .. } = calendar;
            found.when(
                !zone_is_known(zone),
                "window.calendar.zone",
                format!("`{zone}` is no time zone of the IANA list; write one such as `Europe/Berlin`"),
            );
            found.when(
                !(1..=12).contains(first_month),
                "window.calendar.first_month",
                format!("is {first_month}; months are 1 to 12"),
            );
        }
    }
}

fn combinations(rules: &QuotaRules, found: &mut Found) {
    let is_pool = matches!(
        rules.node,
        QuotaNode::Organisation | QuotaNode::Customer(_) | QuotaNode::Team(_)
    );
    found.when(
        rules.member_cap.is_some() && !is_pool,
        "member_cap",
        "needs a node that has members: `organisation`, `customer` or `team`",
    );
    found.when(
        rules.holds == Holds::Strict && rules.mode == Mode::Soft,
        "holds",
        "`strict` contradicts `soft`: a limit that refuses nothing needs no strict holds",
    );
    found.when(
        rules.unit.counts_at_admission() && rules.holds == Holds::Strict,
        "holds",
        format!(
            "`{}` is always exact; leave `strict` out",
            rules.unit.name()
        ),
    );
    let scope = match rules.node {
        QuotaNode::EachSession(scope) | QuotaNode::EachAgent(scope) => Some(scope),
        QuotaNode::Organisation
        | QuotaNode::Customer(_)
        | QuotaNode::Team(_)
        | QuotaNode::User(_)
        | QuotaNode::Key(_)
        | QuotaNode::EachMember(_) => None,
    };
    found.when(
        matches!(scope, Some(Scope::Global)) && rules.unit == Unit::MicroUsd && rules.limit == 0,
        "limit",
        "is 0 for every session, which refuses everything; deny the models by access rules",
    );
    found.when(
        rules.models.len() > MAX_LISTED,
        "models",
        format!(
            "lists {} patterns, at most {MAX_LISTED} are kept",
            rules.models.len()
        ),
    );
    found.when(
        rules.providers.len() > MAX_LISTED,
        "providers",
        format!(
            "lists {} names, at most {MAX_LISTED} are kept",
            rules.providers.len()
        ),
    );
}
