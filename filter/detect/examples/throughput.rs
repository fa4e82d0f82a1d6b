//! How fast a rule set goes over texts: `throughput RULES TEXT…`, where `RULES` is a rule file, a pack as filters get
//! it (`.json`), or `own`.
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
const AT_LEAST_TIMES: usize = 7;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let rules = arguments.next().ok_or("usage: throughput RULES TEXT…")?;
    let pack = match rules.as_str() {
        "own" | "own+pii" => None,
        file => Some(read_pack(file)?),
    };
    let start = Instant::now();
    let rules = rule_set(pack.as_deref(), rules.ends_with("+pii"))?;
    let ready_ms = millis(start.elapsed());
    println!(
        "{}",
        json!({ "ready_ms": ready_ms, "rules": rules.rules().count() })
    );
    let mut scratch = Scratch::new();
    for name in arguments {
        let text = std::fs::read(&name)?;
        println!("{}", measure(&rules, &mut scratch, &name, &text)?);
    }
    Ok(())
}

/// Scans a text again and again; the first time, patterns are built.
fn measure(
    rules: &RuleSet,
    scratch: &mut Scratch,
    name: &str,
    text: &[u8],
) -> Result<serde_json::Value, Box<dyn Error>> {
    let mut found = Vec::new();
    let start = Instant::now();
    rules.scan(scratch, text, Groups::ALL, &mut found);
    let first_ms = millis(start.elapsed());
    let mut times = Vec::new();
    let (start, worked) = (Instant::now(), processor_time());
    while start.elapsed() < AT_LEAST || times.len() < AT_LEAST_TIMES {
        let mut again = Vec::new();
        let begun = Instant::now();
        rules.scan(scratch, text, Groups::ALL, &mut again);
        times.push(begun.elapsed());
        if again != found {
            return Err("two scans of one text differ".into());
        }
    }
    let runs = f64::from(u32::try_from(times.len())?);
    let worked = worked.zip(processor_time());
    times.sort();
    Ok(json!({
        "text": name,
        "bytes": text.len(),
        "findings": found.len(),
        "first_ms": first_ms,
        "best_ms": times.first().copied().map(millis),
        "median_ms": times.get(times.len() / 2).copied().map(millis),
        "processor_ms": worked.map(|(from, to)| millis(to.saturating_sub(from)) / runs),
    }))
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

fn rule_set(pack: Option<&[u8]>, pii: bool) -> Result<RuleSet, Box<dyn Error>> {
    let mut builder = RuleSetBuilder::default();
    match pack {
        Some(bytes) => builder.pack(0, &RulePack::decode(bytes)?, &[])?,
        None => builder.secrets(0, &[])?,
    }
    if pii {
        builder.pii(1, &[])?;
    }
    Ok(builder.build()?)
}

/// Returns the processor time of this thread, where the system counts it as Linux does: it leaves out what other
/// programs took meanwhile.
fn processor_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
