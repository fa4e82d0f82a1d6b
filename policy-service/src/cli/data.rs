//! The data folder: everything a mesh keeps on this machine.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use policy::secret::Secret;

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum DataError {
    #[error("cannot make the data folder `{path}`")]
    Create { path: PathBuf, source: io::Error },
    #[error(
        "there is no mesh in `{path}`: start one with `weir up`, or name its folder with --data"
    )]
    Missing { path: PathBuf },
    #[error("cannot read `{path}`")]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write `{path}`")]
    Write { path: PathBuf, source: io::Error },
    #[error(
        "another `weir` is using the data folder `{path}`; stop it, or name another folder with --data. Several \
         `weir serve` may share a folder when all of them keep their ledger in PostgreSQL (--ledger-url)"
    )]
    InUse { path: PathBuf },
    #[error("the system has no randomness to make secrets from: {reason}")]
    Randomness { reason: String },
}

/// Who may use a data folder at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    Alone,
    /// Replicas that keep their ledger elsewhere, together.
    WithReplicas,
}

/// A data folder, by absolute path.
#[derive(Clone, Debug)]
pub(super) struct DataFolder {
    root: PathBuf,
}

impl DataFolder {
    /// Opens the folder at `path`; makes it, closed to other users, when it is missing.
    pub(super) fn open_or_create(path: &Path) -> Result<Self, DataError> {
        let create = |source| DataError::Create {
            path: path.to_path_buf(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(create)?;
        let root = path.canonicalize().map_err(create)?;
        let folder = Self { root };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder.token_folder())
            .map_err(create)?;
        Ok(folder)
    }

    /// Opens the folder of a mesh that has been started before.
    pub(super) fn existing(path: &Path) -> Result<Self, DataError> {
        let missing = || DataError::Missing {
            path: path.to_path_buf(),
        };
        let folder = Self {
            root: path.canonicalize().map_err(|_gone| missing())?,
        };
        if folder.database().is_file() {
            Ok(folder)
        } else {
            Err(missing())
        }
    }

    /// Keeps any other `weir` out of the folder for as long as the result lives, or any that does not share it.
    pub(super) fn lock(&self, sharing: Sharing) -> Result<File, DataError> {
        let (path, file) = self.lock_file("lock")?;
        let locked = match sharing {
            Sharing::Alone => file.try_lock(),
            Sharing::WithReplicas => file.try_lock_shared(),
        };
        match locked {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::WouldBlock) => Err(DataError::InUse {
                path: self.root.clone(),
            }),
            Err(fs::TryLockError::Error(source)) => Err(DataError::Write { path, source }),
        }
    }

    /// Waits until no other replica is at its start, and keeps others waiting for as long as the result lives: two
    /// first starts at once would make two filter tokens.
    pub(super) fn start_alone(&self) -> Result<File, DataError> {
        let (path, file) = self.lock_file("start.lock")?;
        let locked = file.lock();
        locked.map_err(|source| DataError::Write { path, source })?;
        Ok(file)
    }

    fn lock_file(&self, name: &str) -> Result<(PathBuf, File), DataError> {
        let path = self.root.join(name);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path);
        match file {
            Ok(file) => Ok((path, file)),
            Err(source) => Err(DataError::Write { path, source }),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The SQLite database.
    pub(super) fn database(&self) -> PathBuf {
        self.root.join("weir.db")
    }

    /// The ledger of quotas, when one replica keeps it.
    pub(super) fn ledger(&self) -> PathBuf {
        self.root.join("ledger.db")
    }

    /// The key that provider credentials are encrypted with.
    pub(super) fn master_key(&self) -> PathBuf {
        self.root.join("master.key")
    }

    /// Envoy watches the folder that the token is in: nothing that changes often may stand beside it.
    fn token_folder(&self) -> PathBuf {
        self.root.join("filter-token")
    }

    /// The filter's credential, as Envoy sends it.
    pub(super) fn filter_token(&self) -> PathBuf {
        self.token_folder().join("token")
    }

    /// The SDS resource that points Envoy at [`filter_token`](Self::filter_token).
    pub(super) fn filter_token_sds(&self) -> PathBuf {
        self.token_folder().join("sds.yaml")
    }

    /// The first virtual key, for `weir run` and `weir show`.
    pub(super) fn virtual_key(&self) -> PathBuf {
        self.root.join("virtual.key")
    }

    /// Addresses of the mesh that ran here last.
    pub(super) fn endpoint(&self) -> PathBuf {
        self.root.join("endpoint.json")
    }

    /// The bootstrap Envoy was last started with.
    pub(super) fn envoy_bootstrap(&self) -> PathBuf {
        self.root.join("envoy.yaml")
    }

    /// What Envoy wrote to its standard error.
    pub(super) fn envoy_log(&self) -> PathBuf {
        self.root.join("envoy.log")
    }

    /// Gives the file at `path` another name, in the place of the one that had it before.
    pub(super) fn set_aside(&self, path: &Path) -> Result<(), DataError> {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".1");
        match fs::rename(path, aside) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(DataError::Write {
                path: path.to_path_buf(),
                source,
            }),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Reads a text file; `None` when there is none.
    pub(super) fn read(&self, path: &Path) -> Result<Option<String>, DataError> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DataError::Read {
                path: path.to_path_buf(),
                source,
            }),
        }
    }

    /// Reads a file that holds one secret; `None` when there is none or it is empty.
    pub(super) fn read_secret(&self, path: &Path) -> Result<Option<Secret>, DataError> {
        let text = self.read(path)?;
        Ok(text
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
            .map(Secret::new))
    }

    /// Writes a file that its owner alone may read. A reader sees the old text or the new one, never half of it.
    pub(super) fn write(&self, path: &Path, text: &str) -> Result<(), DataError> {
        let fresh = path.with_extension("new");
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&fresh)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, path)
        };
        write().map_err(|source| DataError::Write {
            path: path.to_path_buf(),
            source,
        })
    }
}

/// Makes a secret of 256 random bits behind `prefix`.
pub(super) fn random_secret(prefix: &str) -> Result<Secret, DataError> {
    use rand::TryRngCore as _;

    let mut bytes = [0_u8; 32];
    rand::rngs::OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(|e| DataError::Randomness {
            reason: e.to_string(),
        })?;
    Ok(Secret::new(format!("{prefix}{}", hex::encode(bytes))))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn folder_and_files_are_closed_to_others() {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::open_or_create(&parent.path().join("a/b")).unwrap();
        assert_eq!(mode(folder.root()), 0o700);
        folder.write(&folder.virtual_key(), "sk-weir-x\n").unwrap();
        assert_eq!(mode(&folder.virtual_key()), 0o600);
        assert_eq!(
            folder
                .read_secret(&folder.virtual_key())
                .unwrap()
                .unwrap()
                .expose(),
            "sk-weir-x"
        );
    }

    #[test]
    fn a_second_user_is_told_that_the_folder_is_in_use() {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::open_or_create(parent.path()).unwrap();
        let held = folder.lock(Sharing::Alone).unwrap();
        assert!(matches!(
            folder.lock(Sharing::Alone),
            Err(DataError::InUse { .. })
        ));
        drop(held);
        assert!(folder.lock(Sharing::Alone).is_ok());
    }

    #[test]
    fn a_folder_without_a_mesh_is_an_error() {
        let parent = tempfile::tempdir().unwrap();
        assert!(matches!(
            DataFolder::existing(parent.path()),
            Err(DataError::Missing { .. })
        ));
        assert!(matches!(
            DataFolder::existing(&parent.path().join("x")),
            Err(DataError::Missing { .. })
        ));
    }

    #[test]
    fn secrets_differ() {
        let (one, other) = (
            random_secret("weir-").unwrap(),
            random_secret("weir-").unwrap(),
        );
        assert_ne!(one, other);
        assert_eq!(one.expose().len(), "weir-".len() + 64);
    }
}
