//! Where the real parts are: Envoy, the filter, the binary, the clients.
//!
//! `cargo xtask test` builds and installs them and says where; run alone, a test finds them where
//! `cargo xtask` puts them.

use std::path::{Path, PathBuf};

/// Returns the pinned Envoy.
#[track_caller]
pub fn envoy() -> PathBuf {
    part(
        "WEIR_TEST_ENVOY",
        ".tools/envoy-1.40.0/envoy",
        "cargo xtask envoy",
    )
}

/// Returns the compiled filter.
#[track_caller]
pub fn filter() -> PathBuf {
    part(
        "WEIR_TEST_FILTER",
        "target/wasm32-wasip1/release/weir_filter.wasm",
        "cargo xtask build",
    )
}

/// Returns the `weir` binary.
#[track_caller]
pub fn weir() -> PathBuf {
    part("WEIR_TEST_BIN", "target/release/weir", "cargo xtask build")
}

/// Returns an agent's command.
#[track_caller]
pub fn client(name: &str) -> PathBuf {
    found(
        clients().join("node_modules/.bin").join(name),
        "cargo xtask clients",
    )
}

/// Returns the folder that holds the agents' commands.
#[track_caller]
pub fn clients_path() -> PathBuf {
    found(clients().join("node_modules/.bin"), "cargo xtask clients")
}

/// Returns the folder that holds the Python SDKs.
#[track_caller]
pub fn python_path() -> PathBuf {
    found(clients().join("python"), "cargo xtask clients")
}

fn clients() -> PathBuf {
    std::env::var_os("WEIR_TEST_CLIENTS")
        .map_or_else(|| root().join(".tools/clients"), PathBuf::from)
}

#[track_caller]
fn part(variable: &str, otherwise: &str, made_by: &str) -> PathBuf {
    found(
        std::env::var_os(variable).map_or_else(|| root().join(otherwise), PathBuf::from),
        made_by,
    )
}

#[track_caller]
fn found(path: PathBuf, made_by: &str) -> PathBuf {
    assert!(
        path.exists(),
        "{} is missing; `{made_by}` makes it",
        path.display()
    );
    path
}

/// Returns the folder of the repository.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
