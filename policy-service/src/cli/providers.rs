//! Providers that a start registers: those whose keys stand in the environment, else the demo's.

use std::net::SocketAddr;

use policy::documents::{AuthStyle, Documents, Provider};
use policy::pattern::ModelPattern;
use policy::secret::Secret;
use policy::surface::Dialect;

use super::endpoint::Examples;
use super::terminal::say;
use crate::demo;
use crate::operations::fields::{ProviderFields, ProviderKeyFields};
use crate::operations::{Caller, OperationError, providers};
use crate::store::{Store, StoreError};

/// Variables and the presets that they register.
const FROM_ENVIRONMENT: [(&str, &str); 3] = [
    ("ANTHROPIC_API_KEY", "anthropic"),
    ("OPENAI_API_KEY", "openai"),
    ("GEMINI_API_KEY", "google"),
];
/// Name of a provider's key that came from the environment.
const KEY: &str = "environment";
/// Names of the demo's providers, their dialects, paths and models.
const DEMO: [(&str, Dialect, &str, &str); 3] = [
    (
        "demo-anthropic",
        Dialect::Anthropic,
        "/anthropic",
        demo::ANTHROPIC_MODEL,
    ),
    (
        "demo-openai",
        Dialect::Openai,
        "/openai/v1",
        demo::OPENAI_MODEL,
    ),
    (
        "demo-gemini",
        Dialect::Gemini,
        "/gemini",
        demo::GEMINI_MODEL,
    ),
];

#[derive(Debug, thiserror::Error)]
pub(super) enum ProvidersError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot register the provider `{name}`")]
    Register {
        name: String,
        source: OperationError,
    },
}

/// What is registered.
#[derive(Debug)]
pub(super) struct Registered {
    /// Whether the demo provider has to run.
    pub(super) needs_demo: bool,
    pub(super) examples: Examples,
}

/// Registers the providers that the environment names, and the demo at `demo` when there is no other.
pub(super) async fn register(
    store: &Store,
    demo: SocketAddr,
) -> Result<Registered, ProvidersError> {
    let from_environment = FROM_ENVIRONMENT.iter().filter_map(|(variable, preset)| {
        let key = std::env::var(variable).ok()?.trim().to_owned();
        (!key.is_empty()).then(|| (*variable, *preset, Secret::new(key)))
    });
    register_given(store, &from_environment.collect::<Vec<_>>(), demo).await
}

async fn register_given(
    store: &Store,
    given: &[(&str, &str, Secret)],
    demo: SocketAddr,
) -> Result<Registered, ProvidersError> {
    let caller = Caller::system("weir up");
    let documents = store.documents().await?;
    for (variable, preset, key) in given {
        let done = with_key(store, &caller, named(&documents, preset), preset, key).await;
        let done = done.map_err(|source| ProvidersError::Register {
            name: (*preset).to_owned(),
            source,
        })?;
        say(&format!("provider `{preset}`: {done} ({variable})"));
    }
    let documents = store.documents().await?;
    let needs_demo = documents.providers.values().all(is_demo);
    if needs_demo {
        say("no provider is registered; the built-in demo provider answers");
        for entry in DEMO {
            let (name, ..) = entry;
            let done = point_demo(store, &caller, named(&documents, name), entry, demo).await;
            done.map_err(|source| ProvidersError::Register {
                name: name.to_owned(),
                source,
            })?;
        }
    } else {
        for provider in documents
            .providers
            .values()
            .filter(|provider| is_demo(provider))
        {
            if let Err(error) = providers::delete(store, &caller, provider.id).await {
                // A route that an administrator made may still name it.
                say(&format!(
                    "the demo provider `{}` stays, without an answer: {}",
                    provider.name,
                    super::report(&error)
                ));
            }
        }
    }
    Ok(Registered {
        needs_demo,
        examples: examples(&store.documents().await?, needs_demo),
    })
}

fn named<'a>(documents: &'a Documents, name: &str) -> Option<&'a Provider> {
    documents
        .providers
        .values()
        .find(|provider| provider.name == name)
}

fn is_demo(provider: &Provider) -> bool {
    DEMO.iter().any(|(name, ..)| *name == provider.name) && provider.base_url.is_loopback()
}

/// Registers a well-known provider with `key`, or gives a registered one the key; says what was done.
async fn with_key(
    store: &Store,
    caller: &Caller,
    registered: Option<&Provider>,
    preset: &str,
    key: &Secret,
) -> Result<&'static str, OperationError> {
    let fields = ProviderKeyFields {
        name: Some(KEY.to_owned()),
        secret: Some(key.clone()),
        ..ProviderKeyFields::default()
    };
    let Some(provider) = registered else {
        let fields = ProviderFields {
            preset: Some(preset.to_owned()),
            keys: Some(vec![fields]),
            ..ProviderFields::default()
        };
        return providers::create(store, caller, fields)
            .await
            .map(|_| "registered");
    };
    match provider.keys.iter().find(|known| known.name == KEY) {
        Some(known) if known.secret == *key => Ok("unchanged"),
        Some(known) => {
            // A key that was found bad is given another chance with its new secret.
            let fields = ProviderKeyFields {
                secret: Some(key.clone()),
                state: Some(policy::documents::ProviderKeyState::Active),
                ..ProviderKeyFields::default()
            };
            providers::update_key(store, caller, provider.id, known.id, fields)
                .await
                .map(|_| "key replaced")
        }
        None => providers::add_key(store, caller, provider.id, fields)
            .await
            .map(|_| "key added"),
    }
}

/// Registers one of the demo's providers, or leads a registered one to where the demo is this time.
async fn point_demo(
    store: &Store,
    caller: &Caller,
    registered: Option<&Provider>,
    (name, dialect, path, model): (&str, Dialect, &str, &str),
    demo: SocketAddr,
) -> Result<(), OperationError> {
    let base_url = Some(format!("http://{demo}{path}"));
    if let Some(provider) = registered {
        let fields = ProviderFields {
            base_url,
            ..ProviderFields::default()
        };
        return providers::update(store, caller, provider.id, fields)
            .await
            .map(drop);
    }
    let fields = ProviderFields {
        name: Some(name.to_owned()),
        dialect: Some(dialect),
        base_url,
        auth: Some(AuthStyle::None),
        models: Some(ModelPattern::parse("*").into_iter().collect()),
        listed_models: Some(vec![model.to_owned()]),
        ..ProviderFields::default()
    };
    providers::create(store, caller, fields).await.map(drop)
}

/// Models for the printed examples.
fn examples(documents: &Documents, demo: bool) -> Examples {
    // Names are sorted, so the last of a family is its newest.
    let model = |dialect: Dialect, small: &str| {
        let speaking = documents
            .providers
            .values()
            .filter(|provider| provider.dialect == dialect);
        let names: Vec<&String> = speaking
            .flat_map(|provider| &provider.listed_models)
            .collect();
        let cheap = names.iter().rev().find(|name| name.contains(small));
        cheap.or(names.last()).map(|name| (*name).clone())
    };
    Examples {
        anthropic: model(Dialect::Anthropic, "haiku"),
        openai: model(Dialect::Openai, "mini"),
        gemini: model(Dialect::Gemini, "flash"),
        demo,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::data::DataFolder;
    use crate::cli::first_run::open_store;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    async fn names(store: &Store) -> Vec<String> {
        let mut names: Vec<String> = store
            .documents()
            .await
            .unwrap()
            .providers
            .into_values()
            .map(|provider| provider.name)
            .collect();
        names.sort_unstable();
        names
    }

    async fn store() -> (tempfile::TempDir, Store) {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::open_or_create(parent.path()).unwrap();
        let store = open_store(&folder).await.unwrap();
        (parent, store)
    }

    #[tokio::test]
    async fn the_demo_moves_with_its_port_and_goes_when_a_real_provider_comes() {
        let (_parent, store) = store().await;
        let first = register_given(&store, &[], address(1)).await.unwrap();
        assert!(first.needs_demo && first.examples.demo);
        assert_eq!(first.examples.openai.as_deref(), Some(demo::OPENAI_MODEL));
        register_given(&store, &[], address(2)).await.unwrap();
        let documents = store.documents().await.unwrap();
        assert_eq!(
            named(&documents, "demo-openai")
                .unwrap()
                .base_url
                .to_string(),
            "http://127.0.0.1:2/openai/v1"
        );
        let given = [("OPENAI_API_KEY", "openai", Secret::new("sk-1"))];
        let real = register_given(&store, &given, address(3)).await.unwrap();
        assert!(!real.needs_demo);
        assert_eq!(names(&store).await, ["openai"]);
    }

    #[tokio::test]
    async fn a_changed_key_replaces_the_old_one() {
        let (_parent, store) = store().await;
        for secret in ["sk-1", "sk-1", "sk-2"] {
            let given = [("OPENAI_API_KEY", "openai", Secret::new(secret))];
            register_given(&store, &given, address(1)).await.unwrap();
            let documents = store.documents().await.unwrap();
            let keys = &named(&documents, "openai").unwrap().keys;
            assert_eq!(
                keys.iter()
                    .map(|key| key.secret.expose())
                    .collect::<Vec<_>>(),
                [secret]
            );
        }
    }
}
