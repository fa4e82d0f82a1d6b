//! Where things are.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::Failure;

/// Target triple of the filter.
pub(crate) const WASM_TARGET: &str = "wasm32-wasip1";

/// The folders of this clone.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Where the workspace's `Cargo.toml` is.
    root: PathBuf,
    /// Where cargo builds.
    target: PathBuf,
}

impl Workspace {
    /// Finds the folders from where this program was built.
    pub(crate) fn locate() -> Result<Self, Failure> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest
            .ancestors()
            .nth(2)
            .ok_or_else(|| {
                Failure::new(
                    "this program was not built from the repository; run `cargo xtask` in it",
                )
            })?
            .to_path_buf();
        // The program stands in `TARGET/debug/`; asking it covers every way to move cargo's target folder.
        let exe = std::env::current_exe()
            .map_err(|e| Failure::new(format!("cannot find this program: {e}")))?;
        let target = exe
            .ancestors()
            .nth(2)
            .map_or_else(|| root.join("target"), Path::to_path_buf);
        Ok(Self { root, target })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Folder of everything that this tool installs.
    pub(crate) fn tools(&self) -> PathBuf {
        self.root.join(".tools")
    }

    /// The `weir` binary that [`cargo`](Self::cargo) builds in release.
    pub(crate) fn weir(&self) -> PathBuf {
        self.target.join("release/weir")
    }

    /// The filter that [`cargo`](Self::cargo) builds in release.
    pub(crate) fn filter(&self) -> PathBuf {
        self.target
            .join(WASM_TARGET)
            .join("release/weir_filter.wasm")
    }

    /// A cargo command in this workspace, with the toolchain and target folder of the cargo that runs this program.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target);
        // `cargo run` sets the first four for the program it starts; they would mark this package to nested builds.
        for name in [
            "CARGO_MANIFEST_DIR",
            "CARGO_MANIFEST_PATH",
            "CARGO_PKG_NAME",
            "CARGO_PKG_VERSION",
            // What is built here stands where `weir` and `filter` look for it.
            "CARGO_BUILD_TARGET",
        ] {
            command.env_remove(name);
        }
        command
    }
}
