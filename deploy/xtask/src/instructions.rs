//! Instructions that each bench of the pure code executes, counted by Callgrind and held against those committed.
//!
//! A count depends on the code, the compiler and the kinds of instructions that the processor has, and on nothing else:
//! each scenario runs in a process of its own, on input from a fixed seed, and only what the bench measures is counted.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::run::{Failure, answer, apt_install, has, output, say};
use crate::watch::{self, Limit};
use crate::workspace::Workspace;

/// Where the counts are committed.
const COMMITTED: &str = "benches/results/instructions.md";

/// The benches whose scenarios are counted.
const BENCHES: [&str; 3] = ["bodies", "texts", "exchange"];

/// How much a count may rise.
const MAY_RISE_PERCENT: u64 = 3;

/// Two counts of one scenario differ by less, in thousandths; more means that chance decides what is executed.
const MAY_DIFFER_PERMILLE: u64 = 1;

/// Callgrind counts from the entry of this function to its return.
const COUNTED: &str = "*weir_benches*counted*";

const BUILD: Limit = Limit::minutes(45);
/// One scenario takes seconds.
const RUN: Limit = Limit::minutes(5);

/// Bench and scenario.
type Name = (String, String);

type Counts = BTreeMap<Name, u64>;

/// Whether counts are held against the committed ones, or take their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Holding,
    Saving,
}

/// `cargo xtask instructions [--save]`.
pub(crate) fn command(workspace: &Workspace, args: &[OsString]) -> Result<ExitCode, Failure> {
    let doing = match args {
        [] => Doing::Holding,
        [flag] if flag == "--save" => Doing::Saving,
        _ => {
            return Err(Failure::new(
                "`cargo xtask instructions` takes `--save` or nothing",
            ));
        }
    };
    if !valgrind_is_there()? {
        return Err(Failure::new(
            "Valgrind counts the instructions: install it (Debian and Ubuntu: `apt-get install valgrind`)",
        ));
    }
    match doing {
        Doing::Saving => save(workspace)?,
        Doing::Holding => hold(workspace)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Counts and compares, as a step of `cargo xtask test`; says so when that cannot be done here.
pub(crate) fn gate(workspace: &Workspace) -> Result<(), Failure> {
    if valgrind_is_there()? {
        return hold(workspace);
    }
    say(
        "NOT TESTED: instruction counts: no Valgrind (Debian and Ubuntu: `apt-get install valgrind`)",
    );
    Ok(())
}

fn valgrind_is_there() -> Result<bool, Failure> {
    Ok(has("valgrind") || (apt_install(&["valgrind"])? && has("valgrind")))
}

fn hold(workspace: &Workspace) -> Result<(), Failure> {
    let path = workspace.root().join(COMMITTED);
    let text = fs::read_to_string(&path)
        .map_err(|error| Failure::new(format!("cannot read `{COMMITTED}`: {error}")))?;
    let committed = Report::parse(&text)?;
    let here = Setting::here();
    if here != committed.setting {
        // Under another compiler a count says nothing about a change of the code.
        say(&format!(
            "NOT TESTED: instruction counts: those in `{COMMITTED}` are of {}, and here is {here}",
            committed.setting
        ));
        return Ok(());
    }
    let counts = count(workspace)?;
    let compared = compare(&committed.counts, &counts);
    for line in &compared.said {
        say(&format!("      {line}"));
    }
    if compared.faults.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{}; should that be meant, `cargo xtask instructions --save` writes the new counts, and the commit says why",
        compared.faults.join("; ")
    )))
}

fn save(workspace: &Workspace) -> Result<(), Failure> {
    let counts = count(workspace)?;
    for (name, again) in count(workspace)? {
        let first = counts.get(&name).copied().unwrap_or_default();
        if first.abs_diff(again) * 1_000 > first.max(again) * MAY_DIFFER_PERMILLE {
            let (bench, scenario) = name;
            return Err(Failure::new(format!(
                "`{bench}` `{scenario}` executed {first} instructions and then {again}: something in it is left to chance"
            )));
        }
    }
    let report = Report {
        setting: Setting::here(),
        counts,
    };
    let path = workspace.root().join(COMMITTED);
    fs::write(&path, report.text(&commit(workspace)))
        .map_err(|error| Failure::new(format!("cannot write `{COMMITTED}`: {error}")))?;
    answer(COMMITTED)
}

fn commit(workspace: &Workspace) -> String {
    let git = |arguments: &[&str]| {
        let text = output(
            Command::new("git")
                .current_dir(workspace.root())
                .args(arguments),
        );
        text.unwrap_or_default().trim().to_owned()
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"]);
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    if changed.is_empty() {
        commit
    } else {
        format!("{commit} with changes")
    }
}

/// Counts every scenario once.
fn count(workspace: &Workspace) -> Result<Counts, Failure> {
    let mut counts = Counts::new();
    for (bench, program) in build(workspace)? {
        for scenario in scenarios(&program)? {
            let counted = count_one(workspace, &program, &scenario);
            let counted = counted
                .map_err(|problem| Failure::new(format!("`{bench}` `{scenario}`: {problem}")))?;
            counts.insert((bench.clone(), scenario), counted);
        }
    }
    Ok(counts)
}

/// Builds the benches as `cargo bench` does and returns where they are.
fn build(workspace: &Workspace) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let mut cargo = workspace.cargo();
    cargo.args(["bench", "--locked", "--no-run", "--package", "weir-benches"]);
    cargo.args(BENCHES.iter().flat_map(|bench| ["--bench", bench]));
    // What is compared is built by the profile as it is committed.
    for (name, _) in std::env::vars_os() {
        if let Some(text) = name.to_str()
            && (text.starts_with("CARGO_PROFILE_") || text.ends_with("RUSTFLAGS"))
        {
            cargo.env_remove(text);
        }
    }
    let mut programs = BTreeMap::new();
    let mut said = Vec::new();
    let ended = watch::run_read(&mut cargo, BUILD, |line| {
        if let Some((bench, path)) = executable(line) {
            programs.insert(bench.to_owned(), workspace.root().join(path));
        }
        said.push(line.to_owned());
    });
    let ended = ended.map_err(|error| Failure::new(format!("`cargo bench --no-run` {error}")))?;
    if !ended.success() {
        return Err(Failure::new(format!(
            "`cargo bench --no-run` failed:\n{}",
            said.join("\n")
        )));
    }
    match BENCHES.iter().find(|bench| !programs.contains_key(**bench)) {
        None => Ok(programs),
        Some(bench) => Err(Failure::new(format!(
            "cargo does not say where it built `{bench}`"
        ))),
    }
}

/// Reads cargo's `Executable benches micro/NAME.rs (PATH)`.
fn executable(line: &str) -> Option<(&str, &str)> {
    let rest = line.trim().strip_prefix("Executable ")?;
    let (source, path) = rest.split_once(" (")?;
    let name = source.rsplit('/').next()?.strip_suffix(".rs")?;
    Some((name, path.strip_suffix(')')?))
}

/// Asks a bench for the names of its scenarios.
fn scenarios(program: &Path) -> Result<Vec<String>, Failure> {
    let mut command = Command::new(program);
    // Divan lists full names for this test runner only.
    command
        .args(["--list", "--format", "terse"])
        .env("NEXTEST", "1");
    let listed = output(&mut command).unwrap_or_default();
    let names = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": benchmark"));
    let names: Vec<String> = names.map(str::to_owned).collect();
    if names.is_empty() {
        return Err(Failure::new(format!(
            "`{}` lists no scenario",
            program.display()
        )));
    }
    Ok(names)
}

/// Runs one scenario once under Callgrind.
fn count_one(workspace: &Workspace, program: &Path, scenario: &str) -> Result<u64, String> {
    let folder = workspace.tools().join("callgrind");
    fs::create_dir_all(&folder).map_err(|error| format!("cannot make a folder: {error}"))?;
    let (out, log) = (folder.join("out"), folder.join("log"));
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={COUNTED}"))
        .arg(with_path("--callgrind-out-file=", &out))
        .arg(with_path("--log-file=", &log))
        .arg(program)
        .args(["--test", "--exact", scenario])
        // Nothing of whoever counts.
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let ended = watch::run(&mut valgrind, RUN).map_err(|error| format!("valgrind {error}"))?;
    let log = fs::read_to_string(&log).unwrap_or_default();
    if !ended.success() {
        return Err(format!("valgrind failed ({ended}):\n{log}"));
    }
    let text = fs::read_to_string(&out).unwrap_or_default();
    match total(&text) {
        Some(0) | None => Err(format!("nothing was counted:\n{log}")),
        Some(counted) => Ok(counted),
    }
}

fn with_path(option: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(option);
    argument.push(path);
    argument
}

/// Reads the sum of a file of Callgrind's.
fn total(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("totals: "))?;
    line.trim().parse().ok()
}

/// What counts depend on beside the code.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    toolchain: String,
    processor: String,
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} on {}", self.toolchain, self.processor)
    }
}

impl Setting {
    fn here() -> Self {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let toolchain = output(Command::new(rustc).arg("--version")).unwrap_or_default();
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        // Searches choose their instructions when they run; Valgrind has none beyond these.
        let has_avx2 = cpuinfo
            .lines()
            .find(|line| line.starts_with("flags"))
            .is_some_and(|line| line.split_whitespace().any(|flag| flag == "avx2"));
        let kinds = if has_avx2 { " with AVX2" } else { "" };
        Self {
            toolchain: toolchain.trim().to_owned(),
            processor: format!("{}{kinds}", std::env::consts::ARCH),
        }
    }
}

/// What is committed.
#[derive(Debug)]
struct Report {
    setting: Setting,
    counts: Counts,
}

impl Report {
    fn text(&self, commit: &str) -> String {
        let mut text = format!(
            "# Instructions\n\n\
             What one run of each scenario executes, counted by Callgrind. `cargo xtask test` fails when a count is \
             more than {MAY_RISE_PERCENT} % above the one here; `benches/README.md` says how a rise is accepted.\n\n\
             - command: `cargo xtask instructions --save`\n\
             - commit: {commit}\n\
             - toolchain: {}\n\
             - processor: {}\n\n\
             | bench | scenario | instructions |\n| --- | --- | ---: |\n",
            self.setting.toolchain, self.setting.processor
        );
        for ((bench, scenario), count) in &self.counts {
            text.push_str(&format!("| {bench} | {scenario} | {count} |\n"));
        }
        text
    }

    fn parse(text: &str) -> Result<Self, Failure> {
        let field = |name: &str| {
            let mut lines = text.lines();
            let found = lines.find_map(|line| line.strip_prefix(name));
            let found = found.map(|value| value.trim().to_owned());
            found.ok_or_else(|| Failure::new(format!("`{COMMITTED}` has no line `{name}…`")))
        };
        let setting = Setting {
            toolchain: field("- toolchain: ")?,
            processor: field("- processor: ")?,
        };
        let counts = text.lines().filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ");
            let name = (cells.next()?.to_owned(), cells.next()?.to_owned());
            Some((name, cells.next()?.parse().ok()?))
        });
        Ok(Self {
            setting,
            counts: counts.collect(),
        })
    }
}

/// What a comparison comes to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Compared {
    faults: Vec<String>,
    said: Vec<String>,
}

fn compare(committed: &Counts, counted: &Counts) -> Compared {
    let mut compared = Compared::default();
    for (name, count) in counted {
        let (bench, scenario) = name;
        let Some(before) = committed.get(name) else {
            compared
                .faults
                .push(format!("`{bench}` `{scenario}` has no committed count"));
            continue;
        };
        let by = permille(*before, *count);
        let line = format!("`{bench}` `{scenario}`: {before} → {count} instructions ({by})");
        if count.saturating_mul(100) > before.saturating_mul(100 + MAY_RISE_PERCENT) {
            compared.faults.push(line);
        } else if count != before {
            compared.said.push(line);
        }
    }
    for (bench, scenario) in committed.keys().filter(|name| !counted.contains_key(*name)) {
        compared.faults.push(format!(
            "`{bench}` `{scenario}` was not counted: there is no such scenario"
        ));
    }
    compared
}

/// The change in per cent, to a tenth.
fn permille(before: u64, after: u64) -> String {
    let sign = if after < before { '-' } else { '+' };
    let change = before.abs_diff(after).saturating_mul(1_000) / before.max(1);
    format!("{sign}{}.{} %", change / 10, change % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rows: &[(&str, u64)]) -> Counts {
        let rows = rows.iter();
        rows.map(|(name, count)| ((String::from("bodies"), (*name).to_owned()), *count))
            .collect()
    }

    #[test]
    fn a_rise_of_more_than_three_per_cent_is_a_fault() {
        let committed = counts(&[("a", 1_000), ("b", 1_000), ("c", 1_000), ("d", 1_000)]);
        let counted = counts(&[("a", 1_030), ("b", 1_031), ("c", 500), ("d", 1_000)]);
        let compared = compare(&committed, &counted);
        assert_eq!(
            compared.faults,
            ["`bodies` `b`: 1000 → 1031 instructions (+3.1 %)"]
        );
        assert_eq!(
            compared.said,
            [
                "`bodies` `a`: 1000 → 1030 instructions (+3.0 %)",
                "`bodies` `c`: 1000 → 500 instructions (-50.0 %)"
            ]
        );
    }

    #[test]
    fn a_scenario_on_one_side_only_is_a_fault() {
        let compared = compare(&counts(&[("gone", 1)]), &counts(&[("new", 1)]));
        assert_eq!(
            compared.faults,
            [
                "`bodies` `new` has no committed count",
                "`bodies` `gone` was not counted: there is no such scenario"
            ]
        );
    }

    #[test]
    fn what_is_written_is_read_again() {
        let report = Report {
            setting: Setting {
                toolchain: String::from("rustc 1.95.0 (abc 2026-03-21)"),
                processor: String::from("x86_64 with AVX2"),
            },
            counts: counts(&[("texts::one::500", 123_456), ("two", 7)]),
        };
        let read = Report::parse(&report.text("0123456789ab")).unwrap();
        assert_eq!(read.setting, report.setting);
        assert_eq!(read.counts, report.counts);
        assert!(Report::parse("# Instructions\n").is_err());
    }

    #[test]
    fn cargo_says_where_a_bench_is() {
        let line = "  Executable benches micro/bodies.rs (target/release/deps/bodies-0f)";
        assert_eq!(
            executable(line),
            Some(("bodies", "target/release/deps/bodies-0f"))
        );
        assert_eq!(executable("   Compiling weir-benches v0.1.0"), None);
    }

    #[test]
    fn callgrind_says_a_sum() {
        assert_eq!(
            total("events: Ir\nfn=(1) x\n0 5\ntotals: 4321\n"),
            Some(4_321)
        );
        assert_eq!(total("events: Ir\n"), None);
    }
}
