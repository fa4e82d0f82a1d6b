//! Tests in a network namespace that has nothing but loopback.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process::{self, Finished};

/// Set for the test process that runs inside the namespace.
const INSIDE: &str = "WEIR_TEST_INSIDE_NAMESPACE";

/// Whether this process runs in a namespace of its own.
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs the test called `name` of this program again, in a namespace.
///
/// # Errors
/// What stands in the way of namespaces on this machine.
///
/// # Panics
/// When this program cannot be found.
pub fn again(name: &str, patience: Duration) -> Result<Finished, String> {
    let probe = command("true", &[]).stdin(Stdio::null()).output();
    match probe {
        Ok(output) if output.status.success() => {}
        Ok(output) => return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => return Err(format!("unshare: {error}")),
    }
    let this = std::env::current_exe().expect("this test's program");
    let this = this.to_str().expect("a path of text");
    Ok(process::finish(
        command(this, &[name, "--exact", "--nocapture"]),
        patience,
    ))
}

/// A command in a namespace whose only interface is loopback.
fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command
        // Without the right to it, a user namespace gives it.
        .args(if nix::unistd::geteuid().is_root() {
            &["--net"][..]
        } else {
            &["--net", "--map-root-user"][..]
        })
        .args([
            "--",
            "sh",
            "-c",
            "ip link set lo up && exec \"$@\"",
            "sh",
            program,
        ])
        .args(arguments)
        .env(INSIDE, "1");
    command
}
