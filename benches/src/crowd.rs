//! What one key feels while another sends bodies as large as it may, sixteen at a time.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use serde_json::json;
use weir_tests::client::Protocol;
use weir_tests::crowd::{Coding, Crowd, Text, Wave};
use weir_tests::mesh::{Mesh, Options};

use crate::report::{Setting, say};

/// VMs report their memory at least every two seconds.
const REPORTED: Duration = Duration::from_secs(3);

const BODIES: usize = 16;
const BODY_BYTES: usize = 31_000_000;

/// One wave.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub wave: String,
    pub small: usize,
    pub wrong: Vec<String>,
    pub median_ms: f64,
    pub p99_ms: f64,
    pub longest_ms: f64,
    /// Large requests that passed, that were refused for what was found, and that had to come again.
    pub passed: usize,
    pub refused: usize,
    pub busy: usize,
    pub took_secs: f64,
    pub vm_bytes: u64,
}

/// All waves.
#[derive(Clone, Debug, Serialize)]
pub struct Crowded {
    pub setting: Setting,
    pub rows: Vec<Row>,
}

/// Sends every wave `times` over.
///
/// # Errors
/// When the output is closed.
pub fn run(setting: Setting, times: usize) -> Result<Crowded> {
    let mesh = Mesh::start(&Options {
        workers: 1,
        ..Options::default()
    });
    let hide = json!({"redact": {"replace": {}}});
    let stages = json!([
        {"detectors": [{"secrets": {}}], "action": hide},
        {"detectors": [{"pii": {}}], "action": hide},
    ]);
    let crowd = Crowd::on(&mesh, &stages);
    let mut rows = Vec::new();
    for _ in 0..times {
        for text in [Text::Clean, Text::Secrets, Text::Keywords, Text::Addresses] {
            for coding in [Coding::Plain, Coding::Gzip, Coding::Zstd] {
                for protocol in [Protocol::Http1, Protocol::Http2] {
                    let row = wave(&crowd, text, coding, protocol);
                    say(&line(&row))?;
                    rows.push(row);
                }
            }
        }
    }
    Ok(Crowded {
        setting: setting.at_end(),
        rows,
    })
}

fn wave(crowd: &Crowd<'_>, text: Text, coding: Coding, protocol: Protocol) -> Row {
    let outcome = crowd.run(Wave {
        bodies: BODIES,
        bytes: BODY_BYTES,
        text,
        coding,
        protocol,
    });
    std::thread::sleep(REPORTED);
    let millis = |percent| outcome.percentile(percent).as_secs_f64() * 1_000.0;
    let ended = |wanted: u16| {
        let large = outcome.large.iter();
        large.filter(|(status, _)| *status == wanted).count()
    };
    Row {
        wave: format!("{text:?}, {coding:?}, {protocol:?}").to_lowercase(),
        small: outcome.small.len(),
        wrong: outcome.wrong.clone(),
        median_ms: millis(50),
        p99_ms: millis(99),
        longest_ms: millis(100),
        passed: ended(200),
        refused: ended(400),
        busy: ended(503),
        took_secs: outcome.took.as_secs_f64(),
        vm_bytes: crowd.vm_bytes(),
    }
}

fn line(row: &Row) -> String {
    format!(
        "| {} | {} | {} | {:.0} | {:.0} | {:.0} | {} | {} | {} | {:.1} | {:.1} |",
        row.wave,
        row.small,
        row.wrong.len(),
        row.median_ms,
        row.p99_ms,
        row.longest_ms,
        row.passed,
        row.refused,
        row.busy,
        row.took_secs,
        row.vm_bytes as f64 / (1_024.0 * 1_024.0)
    )
}

impl Crowded {
    /// Returns the report as text.
    pub fn table(&self) -> String {
        let rows = self.rows.iter().map(|row| line(row) + "\n");
        format!(
            "# {BODIES} bodies of {} MB in one string, and small requests of another key\n\n{}\n| bodies | small exchanges | wrong | median, ms | p99, ms | longest, ms | large passed | refused | busy | took, s | largest VM, MiB |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n{}",
            BODY_BYTES / 1_000_000,
            self.setting.lines(),
            rows.collect::<String>()
        )
    }
}
