//! Policy as a JSON file: what `weir check` loads and an administrator can import.
//!
//! The shapes are those of the API's bodies, with names where the API has ids. Every field is known or the file is
//! refused; every problem is told at once, with its place.
//!
//! A provider key's secret is given in the file or as `env.NAME`. A virtual key's secret may be left out, and is
//! then made on import and shown once.

mod entries;
mod guardrails;
mod import;
mod quotas;
mod reader;

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::check::Problem;
use crate::documents::Documents;
use crate::ids::KeyId;
use crate::key::VirtualKeySecret;

pub use entries::PolicyFile;
pub use reader::read_json;

/// Reads a policy file.
///
/// ```
/// let file = policy::file::load(br#"{
///     "providers": [{"preset": "openai", "keys": [{"name": "main", "secret": "env.OPENAI_API_KEY"}]}],
///     "users": [{"name": "ann"}],
///     "keys": [{
///         "name": "ann-laptop",
///         "owner": {"user": "ann"},
///         "access": {"providers": [{"provider": "openai", "models": ["*"], "provider_keys": ["*"]}]}
///     }]
/// }"#)
/// .unwrap();
/// assert_eq!(file.check(), []);
/// ```
///
/// # Errors
/// Every unknown, repeated, missing and badly typed field. What the fields mean is the business of
/// [`PolicyFile::check`].
pub fn load(bytes: &[u8]) -> Result<PolicyFile, Vec<Problem>> {
    read_json(bytes)
}

/// Where an import gets what no file holds.
pub struct Sources<'a> {
    /// Returns the id for the document of this kind and name: that of an existing one, or a new one. Kinds are
    /// the file's lists (`providers`, `keys`…); a provider's key is `provider_keys`, `PROVIDER/KEY`.
    pub id: &'a mut dyn FnMut(&str, &str) -> Uuid,
    /// Returns 256 random bits.
    pub random: &'a mut dyn FnMut() -> [u8; 32],
    /// Returns the value of an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

impl core::fmt::Debug for Sources<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Sources")
    }
}

/// A file as documents.
#[derive(Clone, Debug)]
pub struct Imported {
    pub documents: Documents,
    /// Secrets made for virtual keys that came without one, to be shown once.
    pub made: BTreeMap<KeyId, VirtualKeySecret>,
}

#[cfg(test)]
mod tests;
