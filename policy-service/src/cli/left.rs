//! What is left to a virtual key, in a line for each quota that shows it.

use std::time::Duration;

use policy::quota::{Amount, QuotaWindow, Unit};
use policy::secret::Secret;
use policy::units::Timestamp;
use serde::Deserialize;

use super::terminal::say;
use crate::clock;

/// Nobody waits longer for an agent because of this.
const PATIENCE: Duration = Duration::from_millis(500);

/// The parts of the answer that are printed.
#[derive(Debug, Deserialize)]
struct Answer {
    items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
struct Item {
    name: String,
    unit: Unit,
    resets_at_ms: Option<Timestamp>,
    rolling_ms: Option<u64>,
    limit: Option<u64>,
    left: Option<u64>,
}

/// Prints what the admin API at `admin_url` says is left of the quotas that show it; nothing where there is none, and nothing when that cannot be found
/// out in time.
pub(super) fn say_left(admin_url: &str, key: &Secret) {
    let Some(answer) = ask(admin_url, key) else {
        return;
    };
    let now = clock::now();
    for line in answer.items.iter().filter_map(|item| line(item, now)) {
        say(&line);
    }
}

fn ask(admin_url: &str, key: &Secret) -> Option<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    let asking = async {
        let client = reqwest::Client::builder().no_proxy().build().ok()?;
        let url = format!("{}/api/v1/me/quota", admin_url.trim_end_matches('/'));
        let request = client.get(url).header("x-weir-key", key.expose());
        let answer = request.send().await.ok()?.error_for_status().ok()?;
        answer.json().await.ok()
    };
    let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, asking).await });
    // A name that is still being looked up must not keep the agent waiting.
    runtime.shutdown_background();
    answer.ok().flatten()
}

fn line(item: &Item, now: Timestamp) -> Option<String> {
    // What runs at a time is not used up.
    if item.unit == Unit::Concurrent {
        return None;
    }
    let of = |amount| Amount {
        unit: item.unit,
        amount,
    };
    let (limit, left) = (of(item.limit?), of(item.left?).to_string());
    // The unit is said once.
    let left = left.split(' ').next().unwrap_or_default();
    let mut line = format!("quota `{}`: {left} of {limit} left", item.name);
    if let Some(at) = item.resets_at_ms {
        let millis = at.as_millis().saturating_sub(now.as_millis());
        line.push_str(&format!("; begins anew in {}", about(millis)));
    }
    if let Some(duration_ms) = item.rolling_ms {
        line.push_str(&format!(" {}", QuotaWindow::Rolling { duration_ms }));
    }
    Some(line)
}

/// A time in its largest unit, rounded up.
fn about(millis: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute")];
    let fits = UNITS.iter().find(|(length, _)| millis >= *length);
    let (length, noun) = fits.copied().unwrap_or((60_000, "minute"));
    match millis.div_ceil(length) {
        0 | 1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn item(text: &str) -> Item {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_is_left_is_said_in_a_line() {
        let month = item(
            r#"{"name": "each", "level": "user", "unit": "micro_usd", "resets_at_ms": 777601000, "rolling_ms": null,
                "limit": 500000000, "left": 412000000}"#,
        );
        assert_eq!(
            line(&month, NOW).unwrap(),
            "quota `each`: $412.00 of $500.00 left; begins anew in 9 days"
        );
        let rate = item(
            r#"{"name": "rate", "unit": "requests", "resets_at_ms": null, "rolling_ms": 60000, "limit": 60, "left": 59}"#,
        );
        assert_eq!(
            line(&rate, NOW).unwrap(),
            "quota `rate`: 59 of 60 requests left in any minute"
        );
    }

    #[test]
    fn what_is_hidden_is_not_said() {
        let hidden = item(
            r#"{"name": "all", "unit": "requests", "resets_at_ms": null, "rolling_ms": 60000, "limit": null, "left": null}"#,
        );
        assert_eq!(line(&hidden, NOW), None);
    }

    #[test]
    fn a_mesh_that_does_not_answer_is_passed_over() {
        // Listens, and never answers.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let before = clock::now().as_millis();
        assert!(ask(&url, &Secret::new("sk-weir-test")).is_none());
        drop(silent);
        assert!(ask(&url, &Secret::new("sk-weir-test")).is_none());
        let took = clock::now().as_millis() - before;
        assert!(took < 2_000, "took {took} ms");
    }
}
