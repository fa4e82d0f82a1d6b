//! Running other programs and talking to the person at the terminal.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

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

/// Runs `command` with its output visible; anything but success is an error that names it.
pub(crate) fn visibly(command: &mut Command) -> Result<(), Failure> {
    let shown = describe(command);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("`{shown}` failed ({status})"))),
        Err(e) => Err(Failure::new(format!("`{shown}` cannot be started: {e}"))),
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

/// Installs a Debian package where this user may; `false` where that cannot be done.
pub(crate) fn apt_install(packages: &[&str]) -> Result<bool, Failure> {
    let root = output(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0");
    if !root || !has("apt-get") {
        return Ok(false);
    }
    say(&format!(
        "      installing Debian's {} …",
        packages.join(", ")
    ));
    let quiet = |command: &mut Command| {
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        visibly(command)
    };
    quiet(Command::new("apt-get").args(["-qq", "update"]))?;
    quiet(
        Command::new("apt-get")
            .args(["-qq", "install", "--yes", "--no-install-recommends"])
            .args(packages),
    )?;
    Ok(true)
}
