//! Running other programs and talking to the person at the terminal.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::watch::{self, Limit};

/// How often a step that downloads is tried.
const TRIES: u32 = 3;

/// Why a command of this tool ended early: a sentence that says what to do.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Prints a progress line.
pub(crate) fn say(text: &str) {
    // A closed terminal must not stop an installation halfway.
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Prints a result, for people and scripts.
pub(crate) fn answer(text: &str) -> Result<(), Failure> {
    writeln!(io::stdout().lock(), "{text}")
        .map_err(|e| Failure::new(format!("cannot write to standard output: {e}")))
}

/// Runs `command` with its output visible; anything but success within `limit` is an error that names it.
pub(crate) fn visibly(command: &mut Command, limit: Limit) -> Result<(), Failure> {
    let shown = describe(command);
    let ended = watch::run(command, limit).map_err(|e| Failure::new(format!("`{shown}` {e}")))?;
    if ended.success() {
        Ok(())
    } else {
        Err(Failure::new(format!("`{shown}` failed ({ended})")))
    }
}

/// Does `step`, which downloads something, again when it fails: a registry may be busy for a moment.
pub(crate) fn retried<T>(step: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    retried_after(Duration::from_secs(5), step)
}

fn retried_after<T>(
    pause: Duration,
    mut step: impl FnMut() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut tried = 1;
    loop {
        match step() {
            Err(failure) if tried < TRIES => {
                say(&format!("      try {tried} of {TRIES}: {failure}"));
                std::thread::sleep(pause * tried);
                tried += 1;
            }
            outcome => return outcome,
        }
    }
}

/// Runs `command` and returns what it printed; `None` when it cannot be started or fails.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let done = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    done.status
        .success()
        .then(|| String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Whether `command` can be started and succeeds.
pub(crate) fn works(command: &mut Command) -> bool {
    output(command).is_some()
}

/// Whether `program` is on the PATH and answers to `--version`.
pub(crate) fn has(program: impl AsRef<OsStr>) -> bool {
    works(Command::new(program).arg("--version"))
}

fn describe(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(
        command
            .get_args()
            .map(|word| word.to_string_lossy().into_owned()),
    );
    words.join(" ")
}

/// Installs Debian packages where this user may; `false` where that cannot be done.
pub(crate) fn apt_install(packages: &[&str]) -> Result<bool, Failure> {
    let root = output(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0");
    if !root || !has("apt-get") {
        return Ok(false);
    }
    say(&format!(
        "      installing Debian's {} …",
        packages.join(", ")
    ));
    // Another apt may hold the lock, and a mirror may be busy.
    const PATIENCE: [&str; 5] = [
        "-qq",
        "-o",
        "DPkg::Lock::Timeout=300",
        "-o",
        "Acquire::Retries=3",
    ];
    let quiet = |what: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .args(PATIENCE)
            .args(what)
            .args(packages.iter().filter(|_| what.contains(&"install")))
            .env("DEBIAN_FRONTEND", "noninteractive")
            // Packages of servers start them, but in this runlevel; the tests start their own.
            .env("RUNLEVEL", "1")
            .stdout(Stdio::null());
        visibly(&mut command, Limit::minutes(15))
    };
    retried(|| {
        quiet(&["update"])?;
        quiet(&["install", "--yes", "--no-install-recommends"])
    })?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_step_is_tried_again_but_not_for_ever() {
        let mut calls = 0;
        let outcome = retried_after(Duration::ZERO, || {
            calls += 1;
            if calls < 3 {
                Err(Failure::new("busy"))
            } else {
                Ok(calls)
            }
        });
        assert_eq!(outcome.unwrap(), 3);
        let mut calls = 0;
        let outcome: Result<(), Failure> = retried_after(Duration::ZERO, || {
            calls += 1;
            Err(Failure::new("gone"))
        });
        assert_eq!(
            (outcome.unwrap_err().to_string().as_str(), calls),
            ("gone", 3)
        );
    }

    #[test]
    fn a_command_that_fails_is_named() {
        let failure = visibly(&mut Command::new("false"), Limit::minutes(1)).unwrap_err();
        assert!(
            failure.to_string().starts_with("`false` failed"),
            "{failure}"
        );
        let failure = visibly(&mut Command::new("no-such-program"), Limit::minutes(1)).unwrap_err();
        assert!(
            failure.to_string().contains("cannot be started"),
            "{failure}"
        );
    }
}
