//! What a data folder must hold before a mesh can start: made at the first start, found at the next.

use nix::sys::stat::{Mode, umask};
use policy::documents::{
    Access, KeyState, Owner, ProviderAccess, ProviderKeySelector, ProviderSelector, Settings,
    VirtualKey,
};
use policy::key::VirtualKeySecret;
use policy::pattern::ModelPattern;
use policy::secret::Secret;

use super::data::{self, DataError, DataFolder};
use super::terminal::say;
use crate::operations::fields::{KeyFields, TeamFields, UserFields};
use crate::operations::{self, Caller, OperationError, keys, teams, users};
use crate::render;
use crate::store::{MasterKey, MasterKeyError, Store, StoreError};

const TEAM: &str = "first-team";
const USER: &str = "first-user";
const KEY: &str = "first-key";
const ENVIRONMENT: &str = "dev";
const BEARER: &str = "Bearer ";

#[derive(Debug, thiserror::Error)]
pub(super) enum FirstRunError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot make the first admin token")]
    AdminToken { source: OperationError },
    #[error("cannot make the first key")]
    FirstKey { source: OperationError },
}

/// Lets files that this process and its children make be read by their owner alone.
pub(super) fn close_files_to_others() {
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
}

/// Opens the database.
pub(super) async fn open_store(folder: &DataFolder) -> Result<Store, FirstRunError> {
    let master_key = MasterKey::load_or_create(&folder.master_key())?;
    Ok(Store::open(&folder.database(), &master_key).await?)
}

/// Returns the mesh-wide settings.
pub(super) async fn settings(store: &Store) -> Result<Settings, FirstRunError> {
    Ok(store.documents().await?.settings)
}

/// Makes the first admin token; `None` when there is one already.
pub(super) async fn admin_token(store: &Store) -> Result<Option<Secret>, FirstRunError> {
    let token = operations::bootstrap(store)
        .await
        .map_err(|source| FirstRunError::AdminToken { source })?;
    Ok(token.map(|token| Secret::new(token.expose())))
}

/// Returns the filters' credential, and sees to the files by which Envoy finds it.
pub(super) fn filter_token(folder: &DataFolder) -> Result<Secret, FirstRunError> {
    let file = folder.filter_token();
    let kept = folder.read_secret(&file)?;
    let kept = kept.and_then(|text| text.expose().strip_prefix(BEARER).map(Secret::new));
    let token = match kept {
        Some(token) => token,
        None => {
            let token = data::random_secret("weir-filter-")?;
            folder.write(&file, &render::token_file_text(&token))?;
            token
        }
    };
    // It names the folder, which may have been moved.
    folder.write(&folder.filter_token_sds(), &render::token_sds(&file))?;
    Ok(token)
}

/// Returns the key of the last start, or makes one that may use everything, with a user and a team to own it.
pub(super) async fn first_key(store: &Store, folder: &DataFolder) -> Result<Secret, FirstRunError> {
    let file = folder.virtual_key();
    if let Some(kept) = folder.read_secret(&file)? {
        if let Some(known) = find(store, &kept).await? {
            if known.state != KeyState::Active {
                say(&format!(
                    "the key in {} is not active any more; remove the file to get another at the next start",
                    file.display()
                ));
            }
            return Ok(kept);
        }
        say(&format!(
            "the key in {} is unknown to this mesh; making another",
            file.display()
        ));
    }
    let key = make_key(store).await?;
    folder.write(&file, &format!("{}\n", key.expose()))?;
    Ok(key)
}

/// The stored virtual key with this secret.
async fn find(store: &Store, secret: &Secret) -> Result<Option<VirtualKey>, FirstRunError> {
    let Ok(secret) = VirtualKeySecret::parse(secret.expose()) else {
        return Ok(None);
    };
    let hash = secret.hash();
    let keys = store.documents().await?.keys;
    Ok(keys.into_values().find(|key| key.hash == hash))
}

async fn make_key(store: &Store) -> Result<Secret, FirstRunError> {
    let failed = |source| FirstRunError::FirstKey { source };
    let caller = Caller::system("weir up");
    let documents = store.documents().await?;
    let team = match documents.teams.values().find(|team| team.name == TEAM) {
        Some(team) => team.id,
        None => {
            let fields = TeamFields {
                name: Some(TEAM.to_owned()),
                ..TeamFields::default()
            };
            teams::create(store, &caller, fields)
                .await
                .map_err(failed)?
                .id
        }
    };
    let user = match documents.users.values().find(|user| user.name == USER) {
        Some(user) => user.id,
        None => {
            let fields = UserFields {
                name: Some(USER.to_owned()),
                team: Some(Some(team)),
                ..UserFields::default()
            };
            users::create(store, &caller, fields)
                .await
                .map_err(failed)?
                .id
        }
    };
    let taken = documents.keys.values().map(|key| key.name.as_str());
    let fields = KeyFields {
        name: Some(free_name(KEY, taken)),
        owner: Some(Owner::User(user)),
        environment: Some(ENVIRONMENT.to_owned()),
        access: Some(everything()),
        ..KeyFields::default()
    };
    let created = keys::create(store, &caller, fields).await.map_err(failed)?;
    Ok(Secret::new(created.secret.expose()))
}

/// Returns `name`, or `name` with the lowest number that makes it new.
fn free_name<'a>(name: &str, taken: impl Iterator<Item = &'a str>) -> String {
    let taken: std::collections::BTreeSet<String> = taken.map(str::to_lowercase).collect();
    let numbered = (2_u32..).map(|number| format!("{name}-{number}"));
    let mut candidates = std::iter::once(name.to_owned()).chain(numbered);
    candidates
        .find(|candidate| !taken.contains(candidate))
        .unwrap_or_else(|| name.to_owned())
}

/// All models of all providers, those to come too.
fn everything() -> Access {
    Access {
        providers: vec![ProviderAccess {
            provider: ProviderSelector("*".to_owned()),
            models: ModelPattern::parse("*").into_iter().collect(),
            denied_models: Vec::new(),
            provider_keys: vec![ProviderKeySelector("*".to_owned())],
            weight: 1,
        }],
        ..Access::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_name_gets_a_number() {
        assert_eq!(free_name("k", [].into_iter()), "k");
        assert_eq!(free_name("k", ["k", "K-2"].into_iter()), "k-3");
    }

    #[tokio::test]
    async fn a_second_start_finds_what_the_first_made() {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::open_or_create(parent.path()).unwrap();
        let store = open_store(&folder).await.unwrap();
        let made = first_key(&store, &folder).await.unwrap();
        let token = filter_token(&folder).unwrap();
        assert!(admin_token(&store).await.unwrap().is_some());
        store.close().await;

        let store = open_store(&folder).await.unwrap();
        assert_eq!(first_key(&store, &folder).await.unwrap(), made);
        assert!(
            admin_token(&store).await.unwrap().is_none(),
            "an admin token is shown once"
        );
        assert_eq!(filter_token(&folder).unwrap(), token);
        assert_eq!(store.documents().await.unwrap().keys.len(), 1);
    }

    #[tokio::test]
    async fn a_lost_key_file_gives_another_key() {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::open_or_create(parent.path()).unwrap();
        let store = open_store(&folder).await.unwrap();
        let made = first_key(&store, &folder).await.unwrap();
        std::fs::remove_file(folder.virtual_key()).unwrap();
        let other = first_key(&store, &folder).await.unwrap();
        assert_ne!(other, made);
        assert_eq!(store.documents().await.unwrap().users.len(), 1);
    }
}
