//! Building the filter and `weir`, and starting a mesh from this clone.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use crate::envoy;
use crate::run::{Failure, output, retried, say, visibly};
use crate::watch::Limit;
use crate::workspace::{WASM_TARGET, Workspace};

/// A cold build on two slow cores stays well below.
const LIMIT: Limit = Limit::minutes(45);

/// Installs what is missing, builds, and becomes `weir up ARGS`.
pub(crate) fn up(workspace: &Workspace, args: Vec<OsString>) -> Result<ExitCode, Failure> {
    let args = match args.split_first() {
        Some((first, rest)) if first == "--" => rest.to_vec(),
        _ => args,
    };
    let only_help = args.iter().any(|arg| arg == "--help" || arg == "-h");
    let mut weir = Command::new(workspace.weir());
    weir.arg("up");
    if only_help {
        weir_binary(workspace)?;
    } else {
        let asked = envoy::asked_for(&args)?;
        say("[1] Envoy");
        let envoy = envoy::obtain(workspace, asked.as_deref())?;
        say("[2] filter and weir (the first build takes some minutes)");
        all(workspace)?;
        if asked.is_none() {
            weir.arg("--envoy").arg(envoy);
        }
        if !names(&args, "--filter") {
            weir.arg("--filter").arg(workspace.filter());
        }
        say("[3] weir up");
    }
    weir.args(args);
    // Taking this process's place: a signal from the terminal then reaches `weir` and nothing in between.
    let error = weir.exec();
    Err(Failure::new(format!(
        "cannot start `{}`: {error}",
        workspace.weir().display()
    )))
}

/// Builds the filter and `weir` in release.
pub(crate) fn all(workspace: &Workspace) -> Result<(), Failure> {
    require_wasm_target(workspace)?;
    filter(workspace)?;
    weir_binary(workspace)
}

fn filter(workspace: &Workspace) -> Result<(), Failure> {
    let mut cargo = workspace.cargo();
    cargo.args([
        "build",
        "--locked",
        "--release",
        "--package",
        "weir-filter",
        "--target",
        WASM_TARGET,
    ]);
    // What each request pays for; too slow a build for anything else.
    cargo
        .env("CARGO_PROFILE_RELEASE_LTO", "fat")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1");
    // Flags for the machine's own programs would take the place of those that `.cargo/config.toml` has for the filter.
    cargo
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    visibly(&mut cargo, LIMIT)
}

fn weir_binary(workspace: &Workspace) -> Result<(), Failure> {
    let mut cargo = workspace.cargo();
    cargo.args([
        "build",
        "--locked",
        "--release",
        "--package",
        "weir",
        "--bin",
        "weir",
    ]);
    visibly(&mut cargo, LIMIT)
}

/// Installs the standard library of the filter's target when the toolchain lacks it.
fn require_wasm_target(workspace: &Workspace) -> Result<(), Failure> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let libraries = output(Command::new(rustc).current_dir(workspace.root()).args([
        "--print",
        "target-libdir",
        "--target",
        WASM_TARGET,
    ]));
    if libraries.is_some_and(|path| std::path::Path::new(path.trim()).is_dir()) {
        return Ok(());
    }
    say(&format!("      adding Rust's {WASM_TARGET} target"));
    retried(|| {
        visibly(
            Command::new("rustup")
                .current_dir(workspace.root())
                .args(["target", "add", WASM_TARGET]),
            Limit::minutes(10),
        )
    })
    .map_err(|failure| {
        Failure::new(format!(
            "{failure}; the filter needs Rust's {WASM_TARGET} target: install Rust with rustup, or that target's \
             standard library from where your Rust came from"
        ))
    })
}

fn names(args: &[OsString], flag: &str) -> bool {
    let with_value = format!("{flag}=");
    args.iter()
        .any(|arg| arg == flag || arg.to_str().is_some_and(|arg| arg.starts_with(&with_value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_seen_in_both_spellings() {
        let args = [OsString::from("--filter=/f"), OsString::from("--workers")];
        assert!(names(&args, "--filter"));
        assert!(names(&args, "--workers"));
        assert!(!names(&args, "--envoy"));
    }
}
