//! The file of certificate authorities that providers are verified against.

use std::path::{Path, PathBuf};

use super::terminal::say;
use crate::xds::TrustAnchors;

/// Where distributions keep theirs.
const USUAL: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Returns `asked`, else the first usual file that exists.
pub(super) fn find(asked: Option<&Path>) -> TrustAnchors {
    let path = asked.map(Path::to_path_buf).or_else(usual);
    match path {
        Some(path) => TrustAnchors(path.to_string_lossy().into_owned()),
        None => {
            say(
                "no file of certificate authorities was found: providers with https cannot be reached; name one with --trust-anchors",
            );
            TrustAnchors::default()
        }
    }
}

fn usual() -> Option<PathBuf> {
    USUAL.iter().map(PathBuf::from).find(|path| path.is_file())
}
