//! The command line: what can be asked of `weir`, and who answers.

mod admin_socket;
mod check;
mod child;
mod data;
mod endpoint;
mod envoy;
mod first_run;
mod gemini_settings;
mod greeting;
mod guardrails;
mod ledger;
mod left;
mod limits;
mod parts;
mod pressure;
mod providers;
mod records;
mod render;
mod run;
mod scan;
mod serve;
mod service;
mod show;
mod signals;
mod terminal;
mod token;
mod trust;
mod up;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Governs AI traffic on an Envoy mesh: who may call which model, what it costs, and a record of every exchange.
#[derive(Debug, Parser)]
#[command(
    name = "weir",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a whole mesh on this machine: Envoy with the filter, the policy service, a first key
    Up(up::Args),
    /// Start the policy service alone, for Envoys that run elsewhere
    Serve(serve::Args),
    /// Print how to use the mesh of a data folder: its address, its first key, lines for each agent
    Show(show::Args),
    /// Make another admin token, for when the first one was lost or a person of their own is to have one
    Token(token::Args),
    /// Start a coding agent with the settings for a mesh, without changing any of its files
    Run(run::Args),
    /// Read a policy file and report every problem in it; exit code 1 if there is one
    Check(check::Args),
    /// Look for secrets, personal data and hidden text in files or standard input; exit code 1 if there is any
    Scan(scan::Args),
    /// Switch guardrails on and off, and say what each of them does
    Guardrails(guardrails::Args),
    /// Print configuration for a proxy
    Render(render::Args),
    /// Become another program that ends when this one's parent does
    #[command(hide = true)]
    Child(child::Args),
}

impl Cli {
    /// What is logged unless the environment variable `WEIR_LOG` says otherwise.
    pub fn default_log_filter(&self) -> &'static str {
        match self.command {
            Command::Serve(_) => "info",
            // These talk to the person at the terminal in sentences; a log between them only confuses.
            Command::Up(_)
            | Command::Show(_)
            | Command::Token(_)
            | Command::Run(_)
            | Command::Check(_)
            | Command::Scan(_)
            | Command::Guardrails(_)
            | Command::Render(_)
            | Command::Child(_) => "warn",
        }
    }

    /// Does what was asked.
    ///
    /// # Errors
    /// Whatever ended the command early; print it with [`report`].
    pub fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        Ok(match self.command {
            Command::Up(args) => block_on(up::run(args))??,
            Command::Serve(args) => block_on(serve::run(args))??,
            Command::Show(args) => show::run(&args)?,
            Command::Token(args) => block_on(token::run(args))??,
            Command::Run(args) => run::run(&args)?,
            Command::Check(args) => check::run(&args)?,
            Command::Scan(args) => scan::run(&args),
            Command::Guardrails(args) => block_on(guardrails::run(args))??,
            Command::Render(args) => block_on(render::run(args))??,
            Command::Child(args) => child::run(&args)?,
        })
    }
}

/// Runs `future` on this thread; the runtime's workers serve what it spawns.
fn block_on<F: Future>(future: F) -> std::io::Result<F::Output> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(future))
}

/// One line for `error` and what caused it.
pub fn report(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line
}

/// Prints `line` for the person at the terminal.
pub fn say(line: &str) {
    terminal::say(line);
}

#[cfg(test)]
mod tests;
