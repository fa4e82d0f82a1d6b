//! Processes that end with the test process, however that ends.
//!
//! Every part runs in one process group. A warden (`sh`) blocks on a pipe whose other end this process holds:
//! when the pipe closes, because the test dropped it, panicked, aborted or was killed, the warden kills the
//! group and removes the temporary folder.

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::{self, Gate};

/// How long a command's output is waited for after its end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What the warden does once its input ends: `$1` is the group, `$2` the folder.
const WARDEN: &str = r#"cat >/dev/null; kill -s KILL -- "-$1" 2>/dev/null; rm -rf -- "$2""#;

/// A process group with a warden. Dropping it ends the group.
#[derive(Debug)]
pub struct Group {
    /// Keeps the group's number taken while no part runs.
    anchor: Child,
    warden: Child,
    warden_input: Option<ChildStdin>,
}

impl Group {
    /// Makes an empty group; `folder` is removed when it ends.
    pub fn new(folder: &Path) -> Self {
        let anchor = Command::new("sh")
            .args(["-c", "read -r _"])
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("sh, to hold a process group");
        let mut warden = Command::new("sh")
            .args(["-c", WARDEN, "warden", &anchor.id().to_string()])
            .arg(folder)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("sh, to end a process group");
        let warden_input = warden.stdin.take();
        Self {
            anchor,
            warden,
            warden_input,
        }
    }

    /// Starts `command` in the group.
    #[track_caller]
    pub fn spawn(&self, mut command: Command) -> Part {
        command
            .process_group(pid(&self.anchor).as_raw())
            .stdin(Stdio::null());
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Part { child }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        drop(self.warden_input.take());
        reap(&mut self.warden);
        reap(&mut self.anchor);
    }
}

/// One running process of a mesh.
#[derive(Debug)]
pub struct Part {
    child: Child,
}

impl Part {
    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends `signal`.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        kill(pid(&self.child), signal).expect("a signal to a part that runs");
    }

    /// Returns how it ended, `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the state of a part")
    }

    /// Waits until it has ended.
    #[track_caller]
    pub fn wait_end(&mut self) -> ExitStatus {
        wait::until("a part to end", || self.ended())
    }

    /// Sends `signal` and waits for the end.
    #[track_caller]
    pub fn end(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.wait_end()
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("a process id"))
}

fn reap(child: &mut Child) {
    // It was told to end; what is left is to collect it.
    child.wait().map(drop).unwrap_or_default();
}

/// A command that ran to its end.
#[derive(Clone, Debug)]
pub struct Finished {
    pub stdout: String,
    pub stderr: String,
    pub status: ExitStatus,
    pub took: Duration,
}

impl Finished {
    /// Whether the command reported success.
    pub fn succeeded(&self) -> bool {
        self.status.success()
    }

    /// Whether it ended by itself and not because patience ran out.
    pub fn ended_itself(&self) -> bool {
        self.status.signal().is_none()
    }

    /// Returns both outputs.
    pub fn text(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }
}

/// Runs `command` without input until it ends; kills its group after `patience`.
#[track_caller]
pub fn finish(mut command: Command, patience: Duration) -> Finished {
    let started = wait::now();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let status = loop {
        if let Some(status) = child.try_wait().expect("the state of a command") {
            break status;
        }
        if started.elapsed() > patience {
            // Gone already is as good.
            kill(Pid::from_raw(-pid(&child).as_raw()), Signal::SIGKILL).unwrap_or_default();
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let took = started.elapsed();
    Finished {
        stdout: stdout.text(),
        stderr: stderr.text(),
        status,
        took,
    }
}

/// What comes out of a pipe, read by a thread of its own.
struct Drain {
    bytes: Arc<Mutex<Vec<u8>>>,
    closed: Gate,
}

impl Drain {
    /// Returns what was printed. A process that its starter left behind may hold the pipe open: it is not waited for.
    fn text(self) -> String {
        self.closed.pass(LAST_WORDS);
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> Drain {
    let drain = Drain {
        bytes: Arc::default(),
        closed: Gate::new(),
    };
    let (bytes, closed) = (Arc::clone(&drain.bytes), drain.closed.clone());
    std::thread::spawn(move || {
        let mut chunk = [0; 16 * 1024];
        if let Some(mut pipe) = pipe {
            while let Ok(read @ 1..) = pipe.read(&mut chunk) {
                bytes.lock().unwrap().extend_from_slice(&chunk[..read]);
            }
        }
        closed.open();
    });
    drain
}
