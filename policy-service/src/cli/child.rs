//! Becoming another program that does not outlive the process that asked for it.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};

use super::limits;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Process that must be alive
    #[arg(long)]
    parent: i32,
    /// Program and arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<OsString>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ChildError {
    #[error("cannot ask the system for a signal at the parent's end")]
    DeathSignal { source: nix::Error },
    #[error("the parent process has ended")]
    Orphaned,
    #[error("cannot start `{program}`")]
    Exec { program: String, source: io::Error },
}

/// Asks for SIGTERM at the parent's end, then takes on the command; returns only if that fails.
///
/// A process of its own does this because it must happen between fork and exec, where safe code cannot run.
pub(super) fn run(args: &Args) -> Result<ExitCode, ChildError> {
    prctl::set_pdeathsig(Signal::SIGTERM).map_err(|source| ChildError::DeathSignal { source })?;
    // The parent may have gone before the line above.
    if getppid() != Pid::from_raw(args.parent) {
        return Err(ChildError::Orphaned);
    }
    let Some((program, rest)) = args.command.split_first() else {
        return Err(ChildError::Orphaned);
    };
    limits::raise_descriptors();
    let source = Command::new(program).args(rest).exec();
    Err(ChildError::Exec {
        program: program.to_string_lossy().into_owned(),
        source,
    })
}
