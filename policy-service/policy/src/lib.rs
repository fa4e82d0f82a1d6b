//! Policy of a Weir mesh: who may call which model at which provider, and what a token costs.
//!
//! Pure: bytes and values in, values out; no IO, no clock, no randomness. It does not know proxies, protobuf or
//! databases. The policy service writes [`documents`], [`check`]s them and [`compile`]s them; the filter enforces
//! the [`compiled`] form and chooses where a request goes by [`routing`]. Both use this crate, so what an
//! administrator is shown and what a request meets are the same code.
//!
//! ```
//! use policy::compiled::{KeyTable, Mesh};
//! use policy::routing::{ModelAsk, candidates};
//! use policy::surface::Dialect;
//!
//! // In the service: a file becomes documents, and documents become what travels to the filters.
//! let file = policy::file::load(br#"{
//!     "providers": [{"preset": "openai", "keys": [{"name": "main", "secret": "sk-of-the-provider"}]}],
//!     "teams": [{"name": "core"}],
//!     "keys": [{"name": "ci", "owner": {"team": "core"}, "access": {
//!         "providers": [{"provider": "openai", "models": ["gpt-*"], "provider_keys": ["*"]}]
//!     }}]
//! }"#)
//! .unwrap();
//! let mut last = 0;
//! let mut id = |_: &str, _: &str| {
//!     last += 1;
//!     uuid::Uuid::from_u128(last)
//! };
//! let sources = policy::file::Sources { id: &mut id, random: &mut || [7; 32], variable: &|_| None };
//! let imported = file.into_documents(sources).unwrap();
//! let secrets = policy::compile::MeshSecrets {
//!     canary: policy::secret::Secret::new("canary"),
//!     token_key: policy::secret::Secret::new("00".repeat(32)),
//! };
//! let compiled = policy::compile::compile(&imported.documents, secrets).unwrap();
//! let (mesh, table) = (compiled.mesh.encode(), KeyTable::encode(&compiled.keys));
//!
//! // In the filter: bytes become a mesh, a credential becomes a key, and a model becomes attempts.
//! let mesh = Mesh::decode(&mesh).unwrap();
//! let secret = imported.made.into_values().next().unwrap();
//! let key = KeyTable::find(&table, &secret.hash()).unwrap();
//! let asked = ModelAsk { dialect: Dialect::Openai, model: "gpt-5", pinned_provider: None };
//! let order = candidates(&mesh, key.as_ref(), &asked).unwrap().order(42);
//! assert_eq!(order.cluster, "provider/openai");
//! assert!(candidates(&mesh, key.as_ref(), &ModelAsk { model: "o3", ..asked }).is_err());
//! ```

#![forbid(unsafe_code)]

pub mod access;
pub mod check;
pub mod compile;
pub mod compiled;
pub mod documents;
pub mod file;
pub mod guardrail;
pub mod header;
pub mod ids;
pub mod key;
pub mod opaque;
pub mod opaque_path;
pub mod pattern;
pub mod presets;
pub mod price;
pub mod quota;
pub mod request_id;
pub mod routing;
pub mod secret;
pub mod segment;
pub mod surface;
pub mod units;
pub mod usage;

#[cfg(test)]
mod fixture;
