//! `weir scan` as a user, a program and a Git hook start it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use weir_tests::{parts, process};

const RULES: &str =
    "[[rules]]\nid = 'shop-token'\nregex = 'shop_[a-z0-9]{24}'\nkeywords = ['shop_']\n";

/// Put together here, so that no scan of this repository finds it.
fn token() -> String {
    format!("{}_{}", "shop", "q8w2e7r5t1y9u3i6o4p0a7s2")
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.toml"), RULES).unwrap();
    folder
}

#[track_caller]
fn weir_scan(folder: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(parts::weir())
        .arg("scan")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn standard_input_and_exit_codes() {
    let folder = folder();
    let input = format!("clean\ntoken: {}\n", token());
    let rules = ["-", "--rules", "rules.toml"];
    let out = weir_scan(folder.path(), &rules, input.as_bytes());
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    assert_eq!(
        text(&out.stdout),
        "-:2:8: shop-token (high): token: shop…[29 bytes]\n"
    );
    let out = weir_scan(folder.path(), &rules, b"clean\n");
    assert_eq!(
        (out.status.code(), text(&out.stdout)),
        (Some(0), String::new())
    );
    for wrong in [
        &["missing"][..],
        &["--rules", "missing.toml"],
        &["--only", "everything"],
    ] {
        let out = weir_scan(folder.path(), wrong, b"");
        assert_eq!(out.status.code(), Some(2), "{wrong:?}: {out:?}");
        assert!(!out.stderr.is_empty(), "{wrong:?}");
    }
}

#[test]
fn a_program_reads_lines_of_json() {
    let folder = folder();
    let content = format!("{0}\n é {0}", token());
    std::fs::create_dir(folder.path().join("a")).unwrap();
    std::fs::write(folder.path().join("a/f.txt"), &content).unwrap();
    let arguments = ["--rules", "rules.toml", "--format", "json"];
    let out = weir_scan(folder.path(), &arguments, b"");
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    assert!(out.stderr.is_empty(), "{out:?}");
    let found: Vec<Value> = text(&out.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(found.len(), 2, "{found:?}");
    for (finding, (line, column)) in found.iter().zip([(1, 1), (2, 5)]) {
        assert_eq!(finding["rule"], "shop-token");
        assert_eq!(finding["file"], "a/f.txt");
        assert_eq!(
            (&finding["line"], &finding["column"]),
            (&line.into(), &column.into())
        );
        let place = |name: &str| usize::try_from(finding[name].as_u64().unwrap()).unwrap();
        assert_eq!(&content[place("start")..place("end")], token());
        assert!(finding["entropy"].as_f64().unwrap() > 3.0);
    }
    // The same value, so the same fingerprint; the value itself is nowhere.
    assert_eq!(found[0]["fingerprint"], found[1]["fingerprint"]);
    assert!(!text(&out.stdout).contains(&token()[5..]));
    assert_eq!(weir_scan(folder.path(), &arguments, b"").stdout, out.stdout);
}

#[test]
fn the_built_in_rules_find_a_key_without_any_setting() {
    let folder = tempfile::tempdir().unwrap();
    let key = format!("{}{}", "AKIA", "Q4XJ7ZK2M5WN3RTV");
    let content = format!("aws_access_key_id = {key}\n");
    std::fs::write(folder.path().join("config"), &content).unwrap();
    let out = weir_scan(folder.path(), &["--only", "secrets"], b"");
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    assert!(text(&out.stdout).starts_with("config:1:21: "), "{out:?}");
    assert!(!text(&out.stdout).contains(&key), "{out:?}");
}

#[test]
fn the_hook_of_the_guide_refuses_a_commit() {
    let guide = include_str!("../../docs/scan.md");
    let hook = guide
        .split("```sh\n")
        .find_map(|block| {
            block
                .starts_with("#!/bin/sh")
                .then(|| block.split("```").next())
        })
        .flatten()
        .expect("the hook in the guide");
    let repository = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| {
        let weir = parts::weir();
        let path = std::env::join_paths(
            [weir.parent().unwrap().to_owned()]
                .into_iter()
                .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
        );
        let mut command = Command::new("git");
        command
            .current_dir(repository.path())
            .args(["-c", "user.name=Test", "-c", "user.email=test@localhost"])
            .args(arguments)
            .env("PATH", path.unwrap())
            // Nobody's settings but those above.
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null");
        for inherited in ["GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"] {
            command.env_remove(inherited);
        }
        process::finish(command, Duration::from_secs(60))
    };
    assert!(git(&["init", "--quiet"]).succeeded());
    let file = repository.path().join(".git/hooks/pre-commit");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, hook).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = repository.path().join(".env");
    let key = format!("{}{}", "AKIA", "Q4XJ7ZK2M5WN3RTV");
    std::fs::write(&path, format!("AWS_ACCESS_KEY_ID={key}\n")).unwrap();
    assert!(git(&["add", "--all"]).succeeded());
    // What is staged counts, not what stands in the file by then.
    std::fs::write(&path, "clean\n").unwrap();
    let refused = git(&["commit", "--quiet", "--message", "a key"]);
    assert!(!refused.succeeded(), "{refused:?}");
    assert!(refused.text().contains(".env:1:19: "), "{refused:?}");
    assert!(git(&["add", "--all"]).succeeded());
    let taken = git(&["commit", "--quiet", "--message", "no key"]);
    assert!(taken.succeeded(), "{taken:?}");
}
