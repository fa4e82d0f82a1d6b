//! What the bearer of a virtual key may know of the quotas that cover it.

use policy::compile::principal_of;
use policy::compiled::Principal;
use policy::documents::{Documents, KeyState, Owner, VirtualKey};
use policy::key::{KeyFormatError, VirtualKeySecret};
use policy::quota::covering::{Charged, covering};
use policy::quota::explain::{ANY_TARGET, for_any_target};
use policy::quota::lease::Ask;
use policy::quota::{Level, Payer};
use sqlx::SqliteConnection;

use crate::clock;
use crate::ledger::ledgers::Ledgers;
use crate::operations::OperationError;
use crate::operations::views::{OwnQuotaView, OwnQuotasView};
use crate::store::{self, Store, StoreError};

/// Why a virtual key opens nothing; codes are those of the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    #[error("no virtual key was sent; send it as `Authorization: Bearer sk-weir-…`")]
    Missing,
    #[error("the virtual key is damaged: its length or checksum is wrong; copy it again, whole")]
    Malformed,
    #[error("this mesh does not know the virtual key; check that key and address belong together")]
    Unknown,
    #[error("the virtual key is switched off; ask your administrator to switch it on")]
    Inactive,
    #[error("the virtual key was revoked; ask your administrator for a new one")]
    Revoked,
    #[error("the virtual key's time is over; ask your administrator for a new one")]
    Expired,
}

impl KeyRefusal {
    /// Returns the stable code, as in `x-weir-code`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Missing => "missing_credential",
            Self::Malformed => "malformed_key",
            Self::Unknown => "unknown_key",
            Self::Inactive => "key_inactive",
            Self::Revoked => "key_revoked",
            Self::Expired => "key_expired",
        }
    }
}

/// What a client presents.
#[derive(Clone, Copy, Debug, Default)]
pub struct Presented<'a> {
    /// The text of its virtual key.
    pub key: Option<&'a str>,
    /// Its session; empty to leave sessions out.
    pub session: &'a str,
    /// Its agent; empty to leave agents out.
    pub agent: &'a str,
}

/// Returns how the quotas stand that cover a virtual key, lowest level first. Figures are told where policy shows
/// them.
///
/// # Errors
/// [`OperationError::Key`] when the key opens nothing; others when the store or the ledger fails.
pub async fn own(
    store: &Store,
    ledgers: &Ledgers,
    presented: Presented<'_>,
) -> Result<OwnQuotasView, OperationError> {
    let now = clock::now();
    let mut reading = store.read().await?;
    let key = find(&mut reading, presented.key).await?;
    let is_over = key.expires_at.is_some_and(|at| at <= now);
    match key.state {
        KeyState::Active if is_over => return Err(KeyRefusal::Expired.into()),
        KeyState::Active => {}
        KeyState::Inactive => return Err(KeyRefusal::Inactive.into()),
        KeyState::Revoked => return Err(KeyRefusal::Revoked.into()),
    }
    let principal = principal(&mut reading, &key).await?;
    let quotas = store::quotas::around(&mut reading, &principal).await?;
    drop(reading);
    // Each says itself which models and providers it is for.
    let any_target: Vec<_> = quotas.iter().cloned().map(for_any_target).collect();
    let payer = Payer {
        principal: &principal,
        session: presented.session,
        agent: presented.agent,
    };
    let charged = covering(&any_target, &payer, &[ANY_TARGET]);
    let charged: Vec<_> = charged
        .into_iter()
        .filter_map(|it| {
            let quota = quotas.iter().find(|quota| quota.id == it.quota.id)?;
            Some(Charged { quota, ..it })
        })
        .collect();
    let figures = ledgers.look(charged.iter().map(ask).collect()).await?;
    let items = charged.iter().map(|it| {
        let is_known = match it.level {
            Level::Session => !presented.session.is_empty(),
            Level::Agent => !presented.agent.is_empty(),
            Level::Key | Level::User | Level::Team | Level::Customer | Level::Organisation => true,
        };
        let found = figures.iter().find(|figures| figures.account == it.account);
        let used = found.map(|figures| figures.used).unwrap_or_default();
        Ok(OwnQuotaView::new(it, is_known.then_some(used), now)?)
    });
    let items = items.collect::<Result<_, OperationError>>()?;
    Ok(OwnQuotasView { items })
}

async fn find(
    db: &mut SqliteConnection,
    presented: Option<&str>,
) -> Result<VirtualKey, OperationError> {
    let text = presented.ok_or(KeyRefusal::Missing)?;
    let secret = VirtualKeySecret::parse(text).map_err(|error| match error {
        KeyFormatError::NotAVirtualKey => KeyRefusal::Missing,
        KeyFormatError::Malformed => KeyRefusal::Malformed,
    })?;
    let found = store::keys::find(db, &secret.hash()).await?;
    Ok(found.ok_or(KeyRefusal::Unknown)?)
}

/// Returns everyone behind a key.
async fn principal(db: &mut SqliteConnection, key: &VirtualKey) -> Result<Principal, StoreError> {
    let mut documents = Documents::default();
    let mut team = match key.owner {
        Owner::Team(id) => Some(id),
        Owner::User(_) | Owner::Customer(_) => None,
    };
    if let Owner::User(id) = key.owner {
        let user = store::users::get(db, id).await?;
        team = user.as_ref().and_then(|user| user.team);
        documents.users.extend(user.map(|user| (id, user)));
    }
    if let Some(id) = team {
        let found = store::teams::get(db, id).await?;
        documents.teams.extend(found.map(|team| (id, team)));
    }
    Ok(principal_of(&documents, key))
}

fn ask(charged: &Charged<'_>) -> Ask {
    Ask {
        quota: charged.quota.id,
        part: charged.part,
        account: charged.account,
        need: 0,
        want: 0,
    }
}
