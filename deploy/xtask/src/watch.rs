//! Commands that end: each has a process group of its own, a time limit, and a warden.
//!
//! When the limit has passed, or this program ends in whatever way, the whole group is killed, so that nothing a step
//! started goes on after it. The warden is a shell that blocks on a pipe of which this program holds the other end.

use std::fmt;
use std::io::{self, BufRead as _, BufReader, PipeReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// What the warden does once its input ends: `$1` is the group.
const WARDEN: &str = r#"cat >/dev/null; kill -s KILL -- "-$1" 2>/dev/null"#;

/// How often a running command is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// How long output is waited for after the command that made it has ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How long a command may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    total: Duration,
    /// Without a line of output; only where output is read.
    quiet: Option<Duration>,
}

impl Limit {
    pub(crate) const fn minutes(minutes: u64) -> Self {
        Self {
            total: Duration::from_secs(minutes * 60),
            quiet: None,
        }
    }

    /// Ends a command that prints nothing for so long, too.
    pub(crate) const fn or_quiet_minutes(self, minutes: u64) -> Self {
        Self {
            quiet: Some(Duration::from_secs(minutes * 60)),
            ..self
        }
    }
}

/// Why a command has no exit code of its own.
#[derive(Debug)]
pub(crate) enum NotEnded {
    Start(io::Error),
    Watch(io::Error),
    TooLong(Duration),
    TooQuiet(Duration),
}

impl fmt::Display for NotEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => write!(f, "cannot be started: {error}"),
            Self::Watch(error) => write!(f, "cannot be watched: {error}"),
            Self::TooLong(limit) => {
                write!(f, "was ended: it took more than {} s", limit.as_secs())
            }
            Self::TooQuiet(limit) => {
                write!(f, "was ended: it printed nothing for {} s", limit.as_secs())
            }
        }
    }
}

/// Runs `command`, without input, to its end.
pub(crate) fn run(command: &mut Command, limit: Limit) -> Result<ExitStatus, NotEnded> {
    let mut group = Group::start(command)?;
    let started = now();
    loop {
        if let Some(status) = group.ended()? {
            return Ok(status);
        }
        if started.elapsed() > limit.total {
            return Err(NotEnded::TooLong(limit.total));
        }
        std::thread::sleep(LOOK);
    }
}

/// Runs `command`, without input, to its end; `line` gets every line of both its outputs, in their order.
pub(crate) fn run_read(
    command: &mut Command,
    limit: Limit,
    mut line: impl FnMut(&str),
) -> Result<ExitStatus, NotEnded> {
    let (reader, writer) = io::pipe().map_err(NotEnded::Watch)?;
    command.stdout(writer.try_clone().map_err(NotEnded::Watch)?);
    command.stderr(writer);
    let group = Group::start(command);
    // The command keeps ends of the pipe open, which would hide that the process closed its own.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut group = group?;
    let lines = lines_of(reader);
    let started = now();
    let mut heard = started;
    loop {
        match lines.recv_timeout(LOOK) {
            Ok(text) => {
                line(&text);
                heard = now();
            }
            Err(RecvTimeoutError::Timeout) => {
                if let Some(status) = group.ended()? {
                    // A process that left the group may hold the pipe open for ever.
                    while let Ok(text) = lines.recv_timeout(LAST_WORDS) {
                        line(&text);
                    }
                    return Ok(status);
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                if let Some(status) = group.ended()? {
                    return Ok(status);
                }
                std::thread::sleep(LOOK);
            }
        }
        if started.elapsed() > limit.total {
            return Err(NotEnded::TooLong(limit.total));
        }
        if let Some(quiet) = limit.quiet.filter(|quiet| heard.elapsed() > *quiet) {
            return Err(NotEnded::TooQuiet(quiet));
        }
    }
}

fn lines_of(reader: PipeReader) -> Receiver<String> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut bytes = Vec::new();
        while reader
            .read_until(b'\n', &mut bytes)
            .is_ok_and(|read| read > 0)
        {
            let text = String::from_utf8_lossy(&bytes);
            if send
                .send(text.trim_end_matches(['\n', '\r']).to_owned())
                .is_err()
            {
                return;
            }
            bytes.clear();
        }
    });
    receive
}

/// A command and all it starts, unless that leaves the group; dropping it ends them.
struct Group {
    child: Child,
    warden: Child,
}

impl Group {
    fn start(command: &mut Command) -> Result<Self, NotEnded> {
        let mut child = command
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(NotEnded::Start)?;
        let warden = Command::new("sh")
            .args(["-c", WARDEN, "warden", &child.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        match warden {
            Ok(warden) => Ok(Self { child, warden }),
            Err(error) => {
                drop(child.kill());
                drop(child.wait());
                Err(NotEnded::Watch(error))
            }
        }
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>, NotEnded> {
        self.child.try_wait().map_err(NotEnded::Watch)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Closing its input lets the warden kill the group; what is left is to collect both.
        drop(self.warden.stdin.take());
        drop(self.warden.wait());
        drop(self.child.wait());
    }
}

/// The moment it is.
pub(crate) fn now() -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "a tool's time limits are about real time"
    )]
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn read(script: &str, limit: Limit) -> (Result<ExitStatus, NotEnded>, Vec<String>) {
        let mut lines = Vec::new();
        let ended = run_read(&mut sh(script), limit, |line| lines.push(line.to_owned()));
        (ended, lines)
    }

    #[test]
    fn both_outputs_are_read_in_order() {
        let (ended, lines) = read(
            "echo one; echo two >&2; printf three; exit 3",
            Limit::minutes(1),
        );
        assert_eq!(ended.unwrap().code(), Some(3));
        assert_eq!(lines, ["one", "two", "three"]);
    }

    #[test]
    fn a_command_that_hangs_is_ended_with_all_it_started() {
        let limit = Limit {
            total: Duration::from_millis(300),
            quiet: None,
        };
        let (ended, lines) = read("sleep 1000 & echo $!; wait", limit);
        assert!(matches!(ended, Err(NotEnded::TooLong(_))), "{ended:?}");
        assert_gone(lines.first().unwrap());
        let ended = run(&mut sh("sleep 1000"), limit);
        assert!(matches!(ended, Err(NotEnded::TooLong(_))), "{ended:?}");
    }

    #[test]
    fn a_silent_command_is_ended() {
        let limit = Limit {
            total: Duration::from_secs(60),
            quiet: Some(Duration::from_millis(300)),
        };
        let (ended, _) = read("sleep 1000", limit);
        assert!(matches!(ended, Err(NotEnded::TooQuiet(_))), "{ended:?}");
    }

    #[test]
    fn what_a_finished_command_left_running_is_ended() {
        let (ended, lines) = read("sleep 1000 >/dev/null 2>&1 & echo $!", Limit::minutes(1));
        assert!(ended.unwrap().success());
        assert_gone(lines.first().unwrap());
    }

    /// A process that was killed may wait a moment for its collector.
    #[track_caller]
    fn assert_gone(pid: &str) {
        let stat = format!("/proc/{pid}/stat");
        let started = now();
        while std::fs::read_to_string(&stat).is_ok_and(|text| !text.contains(") Z ")) {
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "{pid} still runs"
            );
            std::thread::sleep(LOOK);
        }
    }
}
