//! Set-up, build and test commands of the repository: `cargo xtask up`, `cargo xtask test` and their steps.
//!
//! Knows package managers and cargo, nothing of Weir itself; depends on the standard library only, so that the
//! first command on a bare machine starts after a few seconds.

#![forbid(unsafe_code)]

mod build;
mod check;
mod clients;
mod envoy;
mod gitleaks;
mod instructions;
mod pins;
mod python;
mod run;
mod servers;
mod steps;
mod totals;
mod watch;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::run::{Failure, say};
use crate::workspace::Workspace;

const HELP: &str = "\
Set-up, build and test commands of this repository.

Usage: cargo xtask COMMAND

Commands:
  up [ARGS…]          install what is missing, build, and start a mesh; ARGS go to `weir up`
  test [ARGS…]        install what is missing, build, check and test everything; ARGS go to `cargo test`
  test-newest         the tests with real agents again, with the newest versions of those agents
  instructions [--save]
                      count the instructions of benches; compare with, or save, `benches/results/instructions.md`
  build               build `weir` and the filter, as `up` does
  envoy [--envoy P]   get the pinned Envoy and print where it is
  clients [--newest]  install the agents and SDKs that the tests drive
  gitleaks            get the pinned Gitleaks and print where it is
  help                print this

Everything that is installed goes into `.tools` in this folder; remove it to start afresh.
`cargo xtask up -- --help` explains the arguments of `weir up`.
";

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let command = args.next();
    let rest: Vec<OsString> = args.collect();
    match dispatch(command.as_ref().and_then(|word| word.to_str()), rest) {
        Ok(code) => code,
        Err(failure) => {
            say(&format!("error: {failure}"));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Option<&str>, rest: Vec<OsString>) -> Result<ExitCode, Failure> {
    let workspace = Workspace::locate()?;
    match command {
        Some("up") => build::up(&workspace, rest),
        Some("test") => check::everything(&workspace, &rest),
        Some("test-newest") => none_left(&rest).and_then(|()| check::newest(&workspace)),
        Some("instructions") => instructions::command(&workspace, &rest),
        Some("build") => none_left(&rest)
            .and_then(|()| build::all(&workspace))
            .map(|_| ExitCode::SUCCESS),
        Some("envoy") => {
            let found = envoy::obtain(&workspace, envoy::asked_for(&rest)?.as_deref())?;
            run::answer(&found.display().to_string())?;
            Ok(ExitCode::SUCCESS)
        }
        Some("clients") => {
            let edition = clients::Edition::parse(&rest)?;
            run::answer(&clients::install(&workspace, edition)?.display().to_string())?;
            Ok(ExitCode::SUCCESS)
        }
        Some("gitleaks") => {
            none_left(&rest)?;
            run::answer(&gitleaks::obtain(&workspace)?.display().to_string())?;
            Ok(ExitCode::SUCCESS)
        }
        Some("help" | "--help" | "-h") | None => {
            run::answer(HELP.trim_end())?;
            Ok(if command.is_some() {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(2)
            })
        }
        Some(other) => Err(Failure::new(format!(
            "there is no command `{other}`; `cargo xtask help` lists them"
        ))),
    }
}

fn none_left(rest: &[OsString]) -> Result<(), Failure> {
    match rest.first() {
        None => Ok(()),
        Some(extra) => Err(Failure::new(format!(
            "unexpected argument `{}`",
            extra.to_string_lossy()
        ))),
    }
}
