//! Where and with what something was measured, and results as files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Serialize;

/// What a result is worth nothing without.
#[derive(Clone, Debug, Serialize)]
pub struct Setting {
    pub command: String,
    pub commit: String,
    pub envoy: String,
    pub processor: String,
    pub cores: usize,
    pub memory_gib: u64,
    pub kernel: String,
    /// Load of the machine when the measurement began and ended: other work makes wall-clock figures worse.
    pub load_at_start: String,
    pub load_at_end: String,
}

impl Setting {
    /// Notes the setting at the start of a measurement.
    pub fn at_start(envoy: &Path) -> Self {
        Self {
            command: command_line(),
            commit: commit(),
            envoy: first_line(Command::new(envoy).arg("--version"))
                .split("version:")
                .nth(1)
                .unwrap_or_default()
                .trim()
                .to_owned(),
            processor: processor(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: memory_gib(),
            kernel: first_line(Command::new("uname").arg("-r")),
            load_at_start: load(),
            load_at_end: String::new(),
        }
    }

    /// Notes the load at the end.
    #[must_use]
    pub fn at_end(mut self) -> Self {
        self.load_at_end = load();
        self
    }

    /// Says the setting in lines for a table's head.
    pub fn lines(&self) -> String {
        format!(
            "- command: `{}`\n- commit: {}\n- Envoy: {}, one worker\n- machine: {}, {} cores, {} GiB, Linux {}; load {} at the start, {} at the end\n",
            self.command,
            self.commit,
            self.envoy,
            self.processor,
            self.cores,
            self.memory_gib,
            self.kernel,
            self.load_at_start,
            self.load_at_end
        )
    }
}

/// The command as it would be typed in the repository, without folders of this machine.
fn command_line() -> String {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('/'))
        .collect();
    format!(
        "cargo run -p weir-benches --release -- {}",
        arguments.join(" ")
    )
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        first_line(
            Command::new("git")
                .current_dir(weir_tests::parts::root())
                .args(arguments),
        )
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"]);
    let changed = git(&[
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--",
        "filter",
        "policy-service",
        "Cargo.lock",
    ]);
    if changed.is_empty() {
        commit
    } else {
        format!("{commit} with changes")
    }
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split(": ").nth(1))
            .unwrap_or("unknown")
            .to_owned()
    };
    format!(
        "{} family {} model {}",
        field("model name"),
        field("cpu family"),
        field("model\t")
    )
}

fn memory_gib() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text
        .lines()
        .next()
        .and_then(|line| line.split_whitespace().nth(1))
        .and_then(|word| word.parse::<u64>().ok());
    kib.unwrap_or_default() / (1_024 * 1_024)
}

fn load() -> String {
    fs::read_to_string("/proc/loadavg")
        .unwrap_or_default()
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn first_line(command: &mut Command) -> String {
    let output = command
        .output()
        .map(|output| output.stdout)
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&output).trim().to_owned();
    text.lines().next().unwrap_or_default().to_owned()
}

/// Writes `NAME.json` and `NAME.md` among the results.
///
/// # Errors
/// When they cannot be written.
pub fn save(name: &str, json: &impl Serialize, table: &str) -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    let path = folder.join(format!("{name}.json"));
    let mut text = serde_json::to_string_pretty(json)?;
    text.push('\n');
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    fs::write(folder.join(format!("{name}.md")), table)?;
    Ok(path)
}

/// Writes `text` for the person at the terminal.
///
/// # Errors
/// When nobody reads any more.
pub fn say(text: &str) -> Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}
