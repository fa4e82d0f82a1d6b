//! Checks and tests.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use crate::clients::Edition;
use crate::run::{Failure, say, visibly, works};
use crate::workspace::Workspace;
use crate::{build, clients, envoy};

/// Checks and tests everything; the first step that fails ends it.
pub(crate) fn everything(workspace: &Workspace, args: &[OsString]) -> Result<ExitCode, Failure> {
    formatting_and_lints(workspace)?;
    say("[1/4] Envoy and the clients of the tests");
    let parts = Parts {
        envoy: envoy::obtain(workspace, None)?.into(),
        clients: clients::install(workspace, Edition::Pinned)?.into(),
    };
    build::all(workspace)?;
    say("[4/4] tests");
    let mut cargo = workspace.cargo();
    cargo
        .args(["test", "--locked", "--workspace", "--no-fail-fast"])
        .args(args);
    parts.name_in(&mut cargo, workspace);
    visibly(&mut cargo)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the tests that drive real agents, with the newest agents there are.
pub(crate) fn newest(workspace: &Workspace) -> Result<ExitCode, Failure> {
    say("[1/4] Envoy and the newest clients");
    let parts = Parts {
        envoy: envoy::obtain(workspace, None)?.into(),
        clients: clients::install(workspace, Edition::Newest)?.into(),
    };
    build::all(workspace)?;
    say("[4/4] tests with the newest agents");
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--locked", "--package", "weir-tests", "agents"]);
    parts.name_in(&mut cargo, workspace);
    visibly(&mut cargo)?;
    Ok(ExitCode::SUCCESS)
}

/// What whole-system tests are made of besides this workspace.
struct Parts {
    envoy: OsString,
    clients: OsString,
}

impl Parts {
    fn name_in(&self, command: &mut Command, workspace: &Workspace) {
        command
            .env("WEIR_TEST_ENVOY", &self.envoy)
            .env("WEIR_TEST_CLIENTS", &self.clients)
            .env("WEIR_TEST_FILTER", workspace.filter())
            .env("WEIR_TEST_BIN", workspace.weir());
    }
}

fn formatting_and_lints(workspace: &Workspace) -> Result<(), Failure> {
    if works(workspace.cargo().args(["fmt", "--version"])) {
        say("[0/4] formatting");
        visibly(workspace.cargo().args(["fmt", "--all", "--check"])).map_err(|failure| {
            Failure::new(format!("{failure}; `cargo fmt --all` puts it right"))
        })?;
    } else {
        say(
            "[0/4] formatting is not checked: this toolchain has no rustfmt (`rustup component add rustfmt`)",
        );
    }
    if works(workspace.cargo().args(["clippy", "--version"])) {
        say("[0/4] lints");
        visibly(workspace.cargo().args([
            "clippy",
            "--locked",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]))
    } else {
        say(
            "[0/4] lints are not checked: this toolchain has no clippy (`rustup component add clippy`)",
        );
        Ok(())
    }
}
