//! The key under which provider credentials and the vault are sealed in the database.

use core::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit as _, Nonce};
use policy::ids::ProviderKeyId;
use policy::secret::Secret;
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use sha2::{Digest as _, Sha256};

use crate::store::StoreError;

const NONCE_BYTES: usize = 12;

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The file could not be read.
    #[error("cannot read the master key `{path}`")]
    Read { path: PathBuf, source: io::Error },
    /// The file could not be written.
    #[error("cannot write the master key `{path}`")]
    Write { path: PathBuf, source: io::Error },
    /// The file holds something else.
    #[error("`{path}` is not a master key: it must hold 64 hexadecimal digits")]
    Malformed { path: PathBuf },
    /// The operating system gave no random bytes.
    #[error("no randomness for a new master key")]
    Randomness { source: rand::rand_core::OsError },
}

/// 256 bits that seal what must not be read in the database. `Debug` is redacted.
#[derive(Clone)]
pub struct MasterKey(Arc<[u8; 32]>);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

impl MasterKey {
    /// Wraps 256 random bits.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Arc::new(bytes))
    }

    /// Reads the key file at `path`, or makes one that only its owner can read.
    ///
    /// # Errors
    /// [`MasterKeyError`] when the file cannot be used; an unreadable one is never replaced.
    pub fn load_or_create(path: &Path) -> Result<Self, MasterKeyError> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(text.trim()).ok_or_else(|| MasterKeyError::Malformed {
                path: path.to_path_buf(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path),
            Err(source) => Err(MasterKeyError::Read {
                path: path.to_path_buf(),
                source,
            }),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self::from_bytes(bytes))
    }

    fn create(path: &Path) -> Result<Self, MasterKeyError> {
        let mut bytes = [0; 32];
        OsRng
            .try_fill_bytes(&mut bytes)
            .map_err(|source| MasterKeyError::Randomness { source })?;
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)?;
            file.write_all(hex::encode(bytes).as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()
        };
        write().map_err(|source| MasterKeyError::Write {
            path: path.to_path_buf(),
            source,
        })?;
        Ok(Self::from_bytes(bytes))
    }

    /// What the database keeps to know the key again.
    pub(super) fn check_value(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(b"weir master key check");
        digest.update(self.0.as_slice());
        digest.finalize().into()
    }

    /// Returns what tokens and fingerprints of found values are made with: the same for the life of the key.
    pub(crate) fn token_key(&self) -> Secret {
        let mut digest = Sha256::new();
        digest.update(b"weir token key");
        digest.update(self.0.as_slice());
        Secret::new(hex::encode(digest.finalize()))
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(Key::from_slice(self.0.as_slice()))
    }

    /// Encrypts a credential; what comes out opens for this id only.
    ///
    /// ```text
    /// 12 bytes  n bytes     16 bytes
    /// nonce     ciphertext  tag
    /// ```
    pub(super) fn seal(&self, id: ProviderKeyId, secret: &Secret) -> Result<Vec<u8>, StoreError> {
        self.seal_bytes(&id.into_bytes(), secret.expose().as_bytes())
            .ok_or(StoreError::Seal { id })
    }

    /// Encrypts bytes; what comes out opens together with the same `bound_to` only.
    pub(super) fn seal_bytes(&self, bound_to: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_BYTES];
        OsRng.try_fill_bytes(&mut nonce).ok()?;
        let payload = Payload {
            msg: plain,
            aad: bound_to,
        };
        let ciphertext = self
            .cipher()
            .encrypt(Nonce::from_slice(&nonce), payload)
            .ok()?;
        Some([nonce.as_slice(), ciphertext.as_slice()].concat())
    }

    /// Decrypts what [`seal_bytes`](Self::seal_bytes) made.
    pub(super) fn unseal_bytes(&self, bound_to: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, ciphertext) = sealed.split_at_checked(NONCE_BYTES)?;
        let payload = Payload {
            msg: ciphertext,
            aad: bound_to,
        };
        self.cipher()
            .decrypt(Nonce::from_slice(nonce), payload)
            .ok()
    }

    /// Decrypts a credential that [`seal`](Self::seal) made for this id.
    pub(super) fn unseal(&self, id: ProviderKeyId, sealed: &[u8]) -> Result<Secret, StoreError> {
        self.unseal_bytes(&id.into_bytes(), sealed)
            .and_then(|plain| String::from_utf8(plain).ok())
            .map(Secret::new)
            .ok_or(StoreError::Seal { id })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use uuid::Uuid;

    use super::*;

    fn id(number: u128) -> ProviderKeyId {
        ProviderKeyId::new(Uuid::from_u128(number))
    }

    #[test]
    fn a_sealed_secret_opens_for_its_own_id_and_key_only() {
        let key = MasterKey::from_bytes([1; 32]);
        let sealed = key.seal(id(1), &Secret::new("sk-provider")).unwrap();
        assert!(!sealed.windows(11).any(|window| window == b"sk-provider"));
        assert_eq!(key.unseal(id(1), &sealed).unwrap().expose(), "sk-provider");
        assert!(key.unseal(id(2), &sealed).is_err());
        assert!(
            MasterKey::from_bytes([2; 32])
                .unseal(id(1), &sealed)
                .is_err()
        );
        assert!(key.unseal(id(1), &sealed[..5]).is_err());
    }

    #[test]
    fn the_key_file_is_made_once_and_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let made = MasterKey::load_or_create(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(MasterKey::load_or_create(&path).unwrap().0, made.0);
        fs::write(&path, "not a key").unwrap();
        assert!(matches!(
            MasterKey::load_or_create(&path),
            Err(MasterKeyError::Malformed { .. })
        ));
    }
}
