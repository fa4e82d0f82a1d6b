//! What tests take from the machine: Redis and PostgreSQL, which they start for themselves, `ip` and `nft`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{Failure, apt_install, say};

/// Where Debian puts the servers of each release of PostgreSQL.
const POSTGRES: &str = "/usr/lib/postgresql";

/// What is there.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    redis: Option<PathBuf>,
    /// Folder of `initdb` and `postgres`.
    postgres: Option<PathBuf>,
    has_ip: bool,
    has_nft: bool,
}

impl Servers {
    fn look() -> Self {
        Self {
            redis: on_path("redis-server").map(|folder| folder.join("redis-server")),
            postgres: on_path("initdb").or_else(newest_postgres),
            has_ip: on_path("ip").is_some(),
            has_nft: on_path("nft").is_some(),
        }
    }

    /// Names what is there to the tests, which say `NOT TESTED` for the rest.
    pub(crate) fn name_in(&self, command: &mut Command) {
        for (variable, path) in [
            ("WEIR_TEST_REDIS", &self.redis),
            ("WEIR_TEST_POSTGRES", &self.postgres),
        ] {
            if let Some(path) = path {
                command.env(variable, OsString::from(path));
            }
        }
    }
}

/// Finds the servers and installs what is missing where this user may.
pub(crate) fn obtain() -> Result<Servers, Failure> {
    let found = Servers::look();
    let missing: Vec<&str> = [
        (found.redis.is_none(), "redis-server"),
        (found.postgres.is_none(), "postgresql"),
        (!found.has_ip, "iproute2"),
        (!found.has_nft, "nftables"),
    ]
    .into_iter()
    .filter_map(|(is_missing, package)| is_missing.then_some(package))
    .collect();
    if missing.is_empty() {
        return Ok(found);
    }
    if apt_install(&missing)? {
        return Ok(Servers::look());
    }
    say(&format!(
        "      not found: {}; what needs them is not tested (Debian and Ubuntu: `apt-get install {}`)",
        missing.join(", "),
        missing.join(" ")
    ));
    Ok(found)
}

/// The folder of the PATH that holds `program`.
fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find(|folder| folder.join(program).is_file())
}

fn newest_postgres() -> Option<PathBuf> {
    let releases = fs::read_dir(Path::new(POSTGRES)).ok()?;
    releases
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse::<u32>().ok()?,
                entry.path(),
            ))
        })
        .map(|(release, folder)| (release, folder.join("bin")))
        .filter(|(_, folder)| folder.join("initdb").is_file())
        .max()
        .map(|(_, folder)| folder)
}
