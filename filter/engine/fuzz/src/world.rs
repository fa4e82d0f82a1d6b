//! A small mesh for exchanges: three dialects, an alias over two providers, keys of several standings.

use std::collections::BTreeMap;
use std::rc::Rc;

use policy::compiled::{CompiledKey, Mesh};
use policy::file::{self, Sources};
use policy::key::{KeyHash, VirtualKeySecret};
use policy::secret::Secret;
use uuid::Uuid;

const POLICY: &str = r#"{
    "settings": {"body_cap_bytes": 65536},
    "teams": [{"name": "t"}],
    "providers": [
        {"name": "anthropic-a", "dialect": "anthropic", "base_url": "https://a.test", "hosts": ["api.anthropic.com"],
         "models": ["claude-*"], "listed_models": ["claude-a"], "keys": [{"name": "k", "secret": "secret-of-anthropic-a"}], "price_table": "free"},
        {"name": "anthropic-b", "dialect": "anthropic", "base_url": "http://b.test:8080/base", "auth": "x_api_key",
         "models": ["claude-b"], "keys": [{"name": "k", "secret": "secret-of-anthropic-b"}, {"name": "l", "secret": "second-of-anthropic-b"}], "price_table": "free"},
        {"name": "openai-a", "dialect": "openai", "base_url": "https://o.test/v1",
         "models": ["gpt-*", "text-*"], "keys": [{"name": "k", "secret": "secret-of-openai-a"}], "price_table": "free"},
        {"name": "gemini-a", "dialect": "gemini", "base_url": "https://g.test",
         "models": ["gemini-*", "tunedModels/*"], "keys": [{"name": "k", "secret": "secret-of-gemini-a"}], "price_table": "free"},
        {"name": "azure-a", "dialect": "openai", "base_url": "https://z.test/openai", "auth": "api_key",
         "path_style": {"azure_deployments": {"api_version": "2024-10-21"}}, "models": ["az-*"],
         "keys": [{"name": "k", "secret": "secret-of-azure-a"}], "price_table": "free"}
    ],
    "keys": [
        {"name": "all", "owner": {"team": "t"}, "subscription": "allowed", "opaque_paths": ["/v1/files*?purpose", "/v1/images/*", "/v1/unheard"],
         "access": {"providers": [{"provider": "*", "models": ["*"], "denied_models": ["*secret*"], "provider_keys": ["*"]}]}},
        {"name": "none", "owner": {"team": "t"}},
        {"name": "inactive", "owner": {"team": "t"}, "state": "inactive",
         "access": {"providers": [{"provider": "*", "models": ["*"], "provider_keys": ["*"]}]}}
    ],
    "routes": [
        {"alias": "smart", "scope": "global", "targets": [{"provider": "anthropic-a", "model": "claude-a", "priority": 0}, {"provider": "anthropic-b", "model": "claude-b", "priority": 1}]},
        {"alias": "fast", "scope": "global", "targets": [{"provider": "openai-a", "model": "gpt-a"}]}
    ]
}"#;

/// The mesh, its keys, and the keys' texts by order of the policy file.
#[derive(Debug)]
pub struct World {
    pub mesh: Rc<Mesh>,
    pub keys: BTreeMap<KeyHash, Rc<CompiledKey>>,
    pub secrets: Vec<String>,
}

impl World {
    /// Compiles the policy.
    pub fn new() -> Self {
        let file = file::load(POLICY.as_bytes()).expect("the policy is readable");
        let mut ids = 0_u128;
        let mut draws = 0_u8;
        let sources = Sources {
            id: &mut |_, _| {
                ids += 1;
                Uuid::from_u128(ids)
            },
            random: &mut || {
                draws += 1;
                [draws; 32]
            },
            variable: &|_| None,
        };
        let imported = file.into_documents(sources).expect("the policy is sound");
        let secrets = policy::compile::MeshSecrets {
            canary: Secret::new("canary"),
            token_key: Secret::new("07".repeat(32)),
        };
        let compiled =
            policy::compile::compile(&imported.documents, secrets).expect("the policy compiles");
        let secrets = (1..=draws)
            .map(|draw| VirtualKeySecret::from_bytes([draw; 32]).expose().to_owned())
            .collect();
        let keys = compiled
            .keys
            .into_iter()
            .map(|(hash, key)| (hash, Rc::new(key)))
            .collect();
        Self {
            mesh: Rc::new(compiled.mesh),
            keys,
            secrets,
        }
    }

    /// Returns what the service would say of a key.
    pub fn key(&self, hash: &KeyHash) -> Option<Rc<CompiledKey>> {
        self.keys.get(hash).cloned()
    }

    /// Returns the text of a key; a well-formed one that nobody made for numbers without a key.
    pub fn secret(&self, number: u8) -> String {
        self.secrets
            .get(usize::from(number))
            .cloned()
            .unwrap_or_else(|| VirtualKeySecret::from_bytes([200; 32]).expose().to_owned())
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}
