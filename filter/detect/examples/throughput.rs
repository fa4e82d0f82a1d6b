//! How fast a rule set goes over texts: `throughput RULES TEXT…`, where `RULES` is a rule file or `own`.
//!
//! Natively and as `wasm32-wasip1` under any WASI host; prints one JSON object a line.

#![expect(clippy::print_stdout, reason = "this is a program for the terminal")]
#![expect(
    clippy::disallowed_methods,
    reason = "it measures time, which scanning itself never does"
)]

use std::error::Error;
use std::time::{Duration, Instant};

use detect::{Groups, RulePack, RuleSet, RuleSetBuilder, Scratch};
use serde_json::json;

/// Each text is scanned for at least so long, and so often.
const AT_LEAST: Duration = Duration::from_millis(300);
const AT_LEAST_TIMES: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let rules = arguments.next().ok_or("usage: throughput RULES TEXT…")?;
    let pack = match rules.as_str() {
        "own" => None,
        file => Some(read_pack(file)?),
    };
    let (rules, ready) = timed(|| rule_set(pack.as_deref()));
    let rules = rules?;
    println!(
        "{}",
        json!({ "ready_ms": millis(ready), "rules": rules.rules().count() })
    );
    let mut scratch = Scratch::new();
    for name in arguments {
        let text = std::fs::read(&name)?;
        let mut found = Vec::new();
        let (_, first) = timed(|| rules.scan(&mut scratch, &text, Groups::ALL, &mut found));
        let mut times = Vec::new();
        let (start, worked) = (Instant::now(), processor_time());
        let exactly: Option<usize> = std::env::var("TIMES").ok().and_then(|n| n.parse().ok());
        let more = |done: usize| match exactly {
            Some(times) => done < times,
            None => start.elapsed() < AT_LEAST || done < AT_LEAST_TIMES,
        };
        while more(times.len()) {
            let mut again = Vec::new();
            let (_, time) = timed(|| rules.scan(&mut scratch, &text, Groups::ALL, &mut again));
            if again != found {
                return Err("two scans of one text differ".into());
            }
            times.push(time);
        }
        let worked = worked
            .zip(processor_time())
            .map(|(from, to)| millis(to.saturating_sub(from)) / count(&times));
        times.sort();
        let median = times.get(times.len() / 2).copied().unwrap_or_default();
        println!(
            "{}",
            json!({
                "text": name,
                "bytes": text.len(),
                "findings": found.len(),
                "first_ms": millis(first),
                "median_ms": millis(median),
                "processor_ms": worked,
                "best_ms": times.first().copied().map(millis),
            })
        );
    }
    Ok(())
}

/// Reads a rule file as the service does, into what a filter gets.
fn read_pack(file: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let text = std::fs::read_to_string(file)?;
    if file.ends_with(".json") {
        return Ok(text.into_bytes());
    }
    let pack = RulePack::from_gitleaks_toml(&text, &|_| None).map_err(|problems| {
        problems
            .first()
            .map(ToString::to_string)
            .unwrap_or_default()
    })?;
    Ok(pack.encode()?)
}

fn rule_set(pack: Option<&[u8]>) -> Result<RuleSet, Box<dyn Error>> {
    let mut builder = RuleSetBuilder::default();
    match pack {
        Some(bytes) => builder.pack(0, &RulePack::decode(bytes)?, &[])?,
        None => builder.secrets(0, &[])?,
    }
    Ok(builder.build()?)
}

fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let value = run();
    (value, start.elapsed())
}

fn count(times: &[Duration]) -> f64 {
    f64::from(u32::try_from(times.len()).unwrap_or(u32::MAX))
}

/// Returns the processor time of this thread, as Linux counts it.
fn processor_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
