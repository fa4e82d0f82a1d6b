//! The one setting that Gemini CLI takes from files alone: how it signs in.
//!
//! With a base URL but no sign-in setting it refuses to start. The setting is given in a file of ours that takes
//! the place of the machine's system settings, with what those say kept; the user's own files stay as they are.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

/// Variable that names the system settings file.
pub(super) const VARIABLE: &str = "GEMINI_CLI_SYSTEM_SETTINGS_PATH";
const DEFAULT_PATH: &str = "/etc/gemini-cli/settings.json";
const FILE: &str = "gemini-settings.json";

#[derive(Debug, thiserror::Error)]
pub(super) enum GeminiSettingsError {
    #[error("cannot write Gemini CLI's settings to `{path}`")]
    Write { path: PathBuf, source: io::Error },
    #[error(
        "Gemini CLI's system settings in `{path}` cannot be read; they must be kept beside the one for the mesh"
    )]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "Gemini CLI's system settings in `{path}` are not plain JSON; they must be kept beside the one for the mesh"
    )]
    Parse {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("there is no folder for Gemini CLI's settings: set HOME, or give --data")]
    NoFolder,
}

/// Writes the settings into `folder`, else into the user's cache, and returns the file's path.
pub(super) fn write(folder: Option<&Path>) -> Result<PathBuf, GeminiSettingsError> {
    let folder = match folder {
        Some(folder) => folder.to_path_buf(),
        None => cache_folder().ok_or(GeminiSettingsError::NoFolder)?,
    };
    let path = folder.join(FILE);
    let system =
        std::env::var_os(VARIABLE).map_or_else(|| PathBuf::from(DEFAULT_PATH), PathBuf::from);
    // A mesh started from an agent that a mesh started: the settings are ours already.
    let present = if system == path { None } else { read(&system)? };
    let text = with_sign_in(present).to_string();
    let store = || {
        // Gemini CLI skips the file where others may write to its folder.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)?;
        file.write_all(text.as_bytes())
    };
    store().map_err(|source| GeminiSettingsError::Write {
        path: path.clone(),
        source,
    })?;
    Ok(path)
}

fn cache_folder() -> Option<PathBuf> {
    if let Some(cache) = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()) {
        return Some(PathBuf::from(cache).join("weir"));
    }
    Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/weir"))
}

fn read(path: &Path) -> Result<Option<Value>, GeminiSettingsError> {
    match fs::read(path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|source| GeminiSettingsError::Parse {
                    path: path.to_path_buf(),
                    source,
                })
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(GeminiSettingsError::Read {
            path: path.to_path_buf(),
            source,
        }),
    }
}

fn with_sign_in(present: Option<Value>) -> Value {
    let mut settings = object(present);
    let mut security = object(settings.remove("security"));
    let mut auth = object(security.remove("auth"));
    auth.insert("selectedType".to_owned(), json!("gemini-api-key"));
    security.insert("auth".to_owned(), Value::Object(auth));
    settings.insert("security".to_owned(), Value::Object(security));
    Value::Object(settings)
}

fn object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(fields)) => fields,
        Some(
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_),
        )
        | None => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_system_settings_are_kept() {
        let present = json!({"telemetry": {"enabled": false}, "security": {"auth": {"selectedType": "vertex-ai"}, "x": 1}});
        let want = json!({"telemetry": {"enabled": false}, "security": {"auth": {"selectedType": "gemini-api-key"}, "x": 1}});
        assert_eq!(with_sign_in(Some(present)), want);
        assert_eq!(
            with_sign_in(None),
            json!({"security": {"auth": {"selectedType": "gemini-api-key"}}})
        );
    }
}
