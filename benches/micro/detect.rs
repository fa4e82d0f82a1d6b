//! The detectors over whole texts: MB/s natively and in Wasm, and how that compares with the Gitleaks binary.
//!
//! The texts are written to a temporary folder and scanned by `filter/detect/examples/throughput.rs`, which is built
//! for both targets; V8 runs the Wasm here (`node`) as it does in Envoy. `WEIR_TEST_GITLEAKS` names the binary to
//! compare with. What is not installed is said and left out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use detect::{Groups, RuleSetBuilder, Scratch};
use serde_json::Value;

/// What an agent's conversation holds at most.
const CONVERSATION_BYTES: usize = 524_288;
const WORST_BYTES: usize = 2_000_000;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let texts = texts(&root())?;
    check(&texts)?;
    let mut files = Vec::new();
    for text in &texts {
        let file = folder.path().join(text.name);
        fs::write(&file, &text.bytes)?;
        files.push(file);
    }
    let vectors = root().join("../shared/vectors/gitleaks-8.30.1.toml");
    let mut rules = vec!["own".to_owned(), "own+pii".to_owned()];
    if vectors.exists() {
        rules.push(vectors.display().to_string());
    } else {
        say("imported rules: not measured, no vectors beside the project");
    }
    for rules in &rules {
        let name = rules.rsplit('/').next().unwrap_or(rules);
        let natively = native(rules, &files)?;
        table(&format!("{name}, native"), &natively);
        match wasm(rules, &files)? {
            Some(lines) => {
                table(&format!("{name}, Wasm in V8"), &lines);
                let findings = |lines: &[Value]| -> Vec<Option<Value>> {
                    lines
                        .iter()
                        .map(|line| line.get("findings").cloned())
                        .collect()
                };
                ensure!(
                    findings(&natively) == findings(&lines),
                    "Wasm finds something else with {name}"
                );
            }
            None => say("Wasm: not measured, there is no `node`"),
        }
    }
    match std::env::var("WEIR_TEST_GITLEAKS") {
        Ok(binary) => gitleaks(&binary, folder.path(), &texts)?,
        Err(_) => say("Gitleaks: not measured, WEIR_TEST_GITLEAKS names no binary"),
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a bench tells its results")]
fn say(line: &str) {
    println!("{line}");
}

/// One text to scan, and how many findings of the own pack it must have at least and at most.
struct Text {
    name: &'static str,
    bytes: Vec<u8>,
    findings: [usize; 2],
}

/// Sources of the workspace, in one order, up to `limit` bytes.
fn sources(root: &Path, limit: usize) -> Result<Vec<u8>> {
    let mut folders = vec![root.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            // Rules and their tests are full of secrets made up for them.
            if path.is_dir()
                && !name.starts_with('.')
                && !["target", "detect", "packs"].contains(&name.as_str())
            {
                folders.push(path);
            } else if name.ends_with(".rs") || name.ends_with(".md") {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut bytes = Vec::new();
    while bytes.len() < limit {
        for file in &files {
            bytes.extend(fs::read(file)?);
            if bytes.len() >= limit {
                break;
            }
        }
    }
    bytes.truncate(limit);
    Ok(bytes)
}

/// Numbers that are the same in every run.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 24
    }
}

fn logs(bytes: usize) -> String {
    let mut draw = Draw(3);
    let mut text = String::new();
    while text.len() < bytes {
        let (minute, item, took) = (draw.next() % 60, draw.next() % 90_000, draw.next() % 900);
        let trace = draw.next();
        text.push_str(&format!(
            "2026-03-04T10:{minute:02}:07Z INFO shop::orders trace={trace:016x} GET /v1/items/{item} 200 in {took} ms, \
             {item} tokens, keys cached\n"
        ));
    }
    text
}

fn diff(source: &[u8], bytes: usize) -> Vec<u8> {
    let mut text = b"diff --git a/src/lib.rs b/src/lib.rs\n@@ -1,40 +1,42 @@\n".to_vec();
    for (place, line) in source.split(|byte| *byte == b'\n').enumerate() {
        text.push(match place % 4 {
            0 | 1 => b' ',
            2 => b'+',
            _ => b'-',
        });
        text.extend_from_slice(line);
        text.push(b'\n');
        if text.len() >= bytes {
            break;
        }
    }
    text
}

/// Source text with a secret every few lines.
fn dense(root: &Path, source: &[u8]) -> Result<Vec<u8>> {
    let mut secrets = Vec::new();
    let mut files: Vec<PathBuf> = fs::read_dir(root.join("filter/detect/packs/secrets"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.sort();
    for file in files {
        secrets.extend(detect::positives(&fs::read_to_string(file)?));
    }
    let mut text = Vec::new();
    let mut secret = secrets.iter().cycle();
    for (place, line) in source.split(|byte| *byte == b'\n').cycle().enumerate() {
        text.extend_from_slice(line);
        text.push(b'\n');
        if place % 12 == 11 {
            text.extend_from_slice(
                secret
                    .next()
                    .context("the pack has no examples")?
                    .as_bytes(),
            );
            text.push(b'\n');
        }
        if text.len() >= WORST_BYTES {
            return Ok(text);
        }
    }
    Ok(text)
}

fn texts(root: &Path) -> Result<Vec<Text>> {
    let source = sources(root, CONVERSATION_BYTES)?;
    let mut conversation = source
        .get(..CONVERSATION_BYTES * 6 / 10)
        .context("too few sources")?
        .to_vec();
    conversation.extend(logs(CONVERSATION_BYTES / 5).into_bytes());
    conversation.extend(diff(&source, CONVERSATION_BYTES / 5));
    let mut draw = Draw(11);
    let base64: Vec<u8> = (0..WORST_BYTES)
        .map(|_| {
            let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            let place = usize::try_from(draw.next() % 64).unwrap_or(0);
            letters.get(place).copied().unwrap_or(b'A')
        })
        .collect();
    let repeat = |unit: &str| unit.repeat(WORST_BYTES / unit.len()).into_bytes();
    let text = |name, bytes, least, most| Text {
        name,
        bytes,
        findings: [least, most],
    };
    Ok(vec![
        text("conversation", conversation, 0, 20),
        text("dense", dense(root, &source)?, 2_000, usize::MAX),
        text("long-base64", base64, 0, 20),
        text("one-anchor", repeat("token"), 0, 0),
        text("nested-quotes", repeat("key=\"'`"), 0, 0),
        text("json-in-json", repeat("{\\\"password\\\":\\\""), 0, 20),
        text(
            "pem-headers",
            repeat("-----BEGIN RSA PRIVATE KEY-----\nabc\n"),
            0,
            usize::MAX,
        ),
    ])
}

/// A fast engine that finds the wrong things is worth nothing.
fn check(texts: &[Text]) -> Result<()> {
    let mut builder = RuleSetBuilder::default();
    builder.secrets(0, &[])?;
    let rules = builder.build()?;
    let mut scratch = Scratch::new();
    for text in texts {
        let mut found = Vec::new();
        rules.scan(&mut scratch, &text.bytes, Groups::ALL, &mut found);
        let [least, most] = text.findings;
        ensure!(
            (least..=most).contains(&found.len()),
            "`{}` has {} findings, {least} to {most} were expected",
            text.name,
            found.len()
        );
    }
    Ok(())
}

/// Builds the program that measures, and returns where it is.
fn program(target: Option<&str>) -> Result<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root()).args([
        "build",
        "--locked",
        "--release",
        "--package",
        "weir-detect",
        "--example",
        "throughput",
    ]);
    cargo.args(["--message-format", "json"]);
    if let Some(target) = target {
        cargo.args(["--target", target]);
    }
    let output = cargo.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("the program that measures cannot be built");
    }
    let messages = String::from_utf8(output.stdout)?;
    let made = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| {
            message
                .pointer("/target/name")
                .is_some_and(|name| name == "throughput")
        })
        .find_map(|message| {
            message
                .get("filenames")?
                .as_array()?
                .first()?
                .as_str()
                .map(PathBuf::from)
        });
    made.context("cargo names no program")
}

fn native(rules: &str, files: &[PathBuf]) -> Result<Vec<Value>> {
    lines(Command::new(program(None)?).arg(rules).args(files))
}

fn wasm(rules: &str, files: &[PathBuf]) -> Result<Option<Vec<Value>>> {
    if Command::new("node").arg("--version").output().is_err() {
        return Ok(None);
    }
    let runner = Path::new(env!("CARGO_MANIFEST_DIR")).join("micro/wasi.mjs");
    let mut node = Command::new("node");
    node.arg("--no-warnings")
        .arg(runner)
        .arg(program(Some("wasm32-wasip1"))?);
    let output = node.arg(rules).args(files).output()?;
    let lines = parse(&output.stdout)?;
    // Node's WASI host dies at times on its way out, when everything is told.
    ensure!(
        lines.len() == files.len() + 1,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(Some(lines))
}

fn lines(command: &mut Command) -> Result<Vec<Value>> {
    let output = command.output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    parse(&output.stdout)
}

fn parse(output: &[u8]) -> Result<Vec<Value>> {
    core::str::from_utf8(output)?
        .lines()
        .map(|line| Ok(serde_json::from_str(line)?))
        .collect()
}

fn table(title: &str, lines: &[Value]) {
    say(&format!("\n{title}"));
    let number = |line: &Value, field: &str| line[field].as_f64().unwrap_or_default();
    for line in lines {
        let Some(text) = line.get("text").and_then(Value::as_str) else {
            say(&format!(
                "  {} rules ready in {:.1} ms",
                line["rules"],
                number(line, "ready_ms")
            ));
            continue;
        };
        let (best, bytes) = (number(line, "best_ms"), number(line, "bytes"));
        say(&format!(
            "  {:<14} {:>7.0} MB/s  best {best:>7.2} ms  median {:>7.2} ms  first {:>7.1} ms  {:>6} findings",
            text.rsplit('/').next().unwrap_or(text),
            bytes / best.max(1e-9) / 1_000.0,
            number(line, "median_ms"),
            number(line, "first_ms"),
            line["findings"],
        ));
    }
}

/// Scans the same texts with the Gitleaks binary; what it needs to start is taken off.
#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn gitleaks(binary: &str, folder: &Path, texts: &[Text]) -> Result<()> {
    say("\nGitleaks, its own rules, one processor");
    let empty = folder.join("empty");
    fs::write(&empty, "")?;
    let run = |file: &Path| -> Result<Duration> {
        let mut best = Duration::MAX;
        for _ in 0..3 {
            let start = Instant::now();
            let status = Command::new(binary)
                .env("GOMAXPROCS", "1")
                .args([
                    "dir",
                    "--no-banner",
                    "--exit-code",
                    "0",
                    "--max-decode-depth",
                    "0",
                    "--log-level",
                    "error",
                ])
                .arg(file)
                .output()?
                .status;
            ensure!(status.success(), "`{binary}` failed on {}", file.display());
            best = best.min(start.elapsed());
        }
        Ok(best)
    };
    let start = run(&empty)?;
    for text in texts {
        let took = run(&folder.join(text.name))?
            .saturating_sub(start)
            .as_secs_f64();
        let rate = f64::from(u32::try_from(text.bytes.len())?) / took.max(1e-9) / 1e6;
        say(&format!("  {:<14} {rate:>7.1} MB/s", text.name));
    }
    Ok(())
}
