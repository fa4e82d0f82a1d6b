//! Checks and tests.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use crate::clients::Edition;
use crate::run::{Failure, answer, retried, say, visibly, works};
use crate::servers::Servers;
use crate::steps::Steps;
use crate::totals::Totals;
use crate::watch::{self, Limit};
use crate::workspace::Workspace;
use crate::{build, clients, envoy, gitleaks, instructions, servers};

/// A cold build on two slow cores stays well below.
const BUILD: Limit = Limit::minutes(45);

/// No test waits for so long without a word: libtest names one that runs for a minute.
const TESTS: Limit = Limit::minutes(60).or_quiet_minutes(10);

/// Checks and tests everything; the first step that fails ends it. The last line printed is the tests' count.
pub(crate) fn everything(workspace: &Workspace, args: &[OsString]) -> Result<ExitCode, Failure> {
    let mut steps = Steps::default();
    let outcome = checked(workspace, args, &mut steps);
    say(&steps.times());
    let totals = outcome?;
    answer(&totals.closing())?;
    Ok(ExitCode::SUCCESS)
}

fn checked(workspace: &Workspace, args: &[OsString], steps: &mut Steps) -> Result<Totals, Failure> {
    steps.take("formatting", || formatting(workspace))?;
    let parts = steps.take("what the tests need", || {
        Parts::obtain(workspace, Edition::Pinned)
    })?;
    steps.take("sources of the dependencies", || fetch(workspace))?;
    steps.take("lints", || lints(workspace))?;
    steps.take("filter and weir", || build::all(workspace))?;
    let test = |extra: &[&str]| {
        let mut cargo = workspace.cargo();
        cargo
            .args(["test", "--locked", "--workspace", "--no-fail-fast"])
            .args(extra)
            .args(args);
        parts.name_in(&mut cargo, workspace);
        cargo
    };
    steps.take("building the tests", || {
        visibly(&mut test(&["--no-run", "--quiet"]), BUILD)
    })?;
    let totals = steps.take("tests", || tested(&mut test(&[])))?;
    // Last: a count that rose hides no test that fails.
    steps.take("instruction counts", || instructions::gate(workspace))?;
    Ok(totals)
}

/// Runs the tests that drive real agents, with the newest agents there are.
pub(crate) fn newest(workspace: &Workspace) -> Result<ExitCode, Failure> {
    let mut steps = Steps::default();
    let parts = steps.take("Envoy and the newest clients", || {
        Parts::obtain(workspace, Edition::Newest)
    })?;
    steps.take("filter and weir", || build::all(workspace))?;
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--locked", "--package", "weir-tests", "agents"]);
    parts.name_in(&mut cargo, workspace);
    let totals = steps.take("tests with the newest agents", || tested(&mut cargo))?;
    say(&steps.times());
    answer(&totals.closing())?;
    Ok(ExitCode::SUCCESS)
}

/// Runs `cargo test` and adds up what it says; an error when any test failed.
fn tested(cargo: &mut Command) -> Result<Totals, Failure> {
    let mut totals = Totals::default();
    let mut unheard = None;
    let ended = watch::run_read(cargo, TESTS, |line| {
        totals.line(line);
        // The tests go on when nobody listens any more; their outcome still counts.
        unheard = answer(line).err();
    });
    say(totals.details().trim_end());
    match ended {
        Ok(status) if status.success() && totals.any() => match unheard {
            None => Ok(totals),
            Some(failure) => Err(failure),
        },
        Ok(status) if status.success() => Err(Failure::new("no test ran")),
        Ok(status) => Err(Failure::new(format!(
            "{} (`cargo test` ended with {status})",
            totals.closing()
        ))),
        Err(not_ended) => Err(Failure::new(format!(
            "`cargo test` {not_ended}, {}; {} until then",
            totals.place(),
            totals.closing()
        ))),
    }
}

/// What whole-system tests are made of besides this workspace.
struct Parts {
    envoy: OsString,
    clients: OsString,
    gitleaks: OsString,
    servers: Servers,
}

impl Parts {
    fn obtain(workspace: &Workspace, edition: Edition) -> Result<Self, Failure> {
        Ok(Self {
            envoy: envoy::obtain(workspace, None)?.into(),
            gitleaks: gitleaks::obtain(workspace)?.into(),
            servers: servers::obtain()?,
            clients: clients::install(workspace, edition)?.into(),
        })
    }

    fn name_in(&self, command: &mut Command, workspace: &Workspace) {
        command
            .env("WEIR_TEST_ENVOY", &self.envoy)
            .env("WEIR_TEST_CLIENTS", &self.clients)
            .env("WEIR_TEST_GITLEAKS", &self.gitleaks)
            .env("WEIR_TEST_FILTER", workspace.filter())
            .env("WEIR_TEST_BIN", workspace.weir());
        self.servers.name_in(command);
    }
}

/// Gets the sources in a step of its own: a registry that is busy then fails no build.
fn fetch(workspace: &Workspace) -> Result<(), Failure> {
    retried(|| {
        visibly(
            workspace.cargo().args(["fetch", "--locked", "--quiet"]),
            Limit::minutes(10),
        )
    })
}

fn formatting(workspace: &Workspace) -> Result<(), Failure> {
    if !works(workspace.cargo().args(["fmt", "--version"])) {
        say(
            "NOT TESTED: formatting: this toolchain has no rustfmt (`rustup component add rustfmt`)",
        );
        return Ok(());
    }
    visibly(
        workspace.cargo().args(["fmt", "--all", "--check"]),
        Limit::minutes(5),
    )
    .map_err(|failure| Failure::new(format!("{failure}; `cargo fmt --all` puts it right")))
}

fn lints(workspace: &Workspace) -> Result<(), Failure> {
    if !works(workspace.cargo().args(["clippy", "--version"])) {
        say("NOT TESTED: lints: this toolchain has no clippy (`rustup component add clippy`)");
        return Ok(());
    }
    visibly(
        workspace.cargo().args([
            "clippy",
            "--locked",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]),
        BUILD,
    )
}
