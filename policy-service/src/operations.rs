//! What can be done with a mesh, by whom: every operation takes a [`Caller`], asks its permission, checks that
//! the policy as a whole would still mean something, and appends an audit event in the same transaction.
//!
//! Knows neither HTTP nor SQL.

use std::fmt;

use policy::check::Problem;
use policy::secret::Secret;

use crate::ledger::LedgerError;
use crate::ledger::window::WindowError;
use crate::store::StoreError;

pub mod admin_tokens;
pub mod audit;
mod authority;
mod consistency;
pub mod customers;
pub mod evaluation;
pub mod events;
pub mod exchanges;
pub mod fields;
pub mod guardrails;
pub mod keys;
pub mod mesh;
pub mod prices;
pub mod providers;
pub mod quotas;
pub mod routes;
pub mod rule_files;
pub mod schema;
pub mod settings;
pub mod teams;
pub mod users;
pub mod vault;
pub mod views;
pub mod word_lists;

pub use admin_tokens::{authenticate, bootstrap};
pub use authority::{Caller, Resource, Right};

/// A kind of object, as errors and the audit log name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    AdminToken,
    Customer,
    Exchange,
    Guardrail,
    Key,
    Price,
    Provider,
    ProviderKey,
    Quota,
    Route,
    RuleFile,
    Settings,
    Team,
    User,
    WordList,
}

impl ObjectKind {
    /// Returns the word used in codes and in the audit log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AdminToken => "admin_token",
            Self::Customer => "customer",
            Self::Exchange => "exchange",
            Self::Guardrail => "guardrail",
            Self::Key => "key",
            Self::Price => "price",
            Self::Provider => "provider",
            Self::ProviderKey => "provider_key",
            Self::Quota => "quota",
            Self::Route => "route",
            Self::RuleFile => "rule_file",
            Self::Settings => "settings",
            Self::Team => "team",
            Self::User => "user",
            Self::WordList => "word_list",
        }
    }

    /// Returns what a person calls it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::AdminToken => "admin token",
            Self::Customer => "customer",
            Self::Exchange => "exchange",
            Self::Guardrail => "guardrail",
            Self::Key => "key",
            Self::Price => "price",
            Self::Provider => "provider",
            Self::ProviderKey => "provider key",
            Self::Quota => "quota",
            Self::Route => "route",
            Self::RuleFile => "rule file",
            Self::Settings => "settings",
            Self::Team => "team",
            Self::User => "user",
            Self::WordList => "word list",
        }
    }
}

/// Why an operation was not done. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// No valid credential.
    #[error("a valid admin token is needed")]
    Unauthenticated,
    /// A virtual key that opens nothing.
    #[error(transparent)]
    Key(#[from] quotas::KeyRefusal),
    /// A valid credential that may not do this.
    #[error("permission `{}.{}` is needed", resource.name(), right.name())]
    Forbidden { resource: Resource, right: Right },
    /// There is no such object.
    #[error("{} `{id}` does not exist", kind.label())]
    NotFound { kind: ObjectKind, id: String },
    /// Another object of that kind has the name.
    #[error("another {} has the name `{name}`", kind.label())]
    NameTaken { kind: ObjectKind, name: String },
    /// What was asked for does not make sense.
    #[error("{}", Listed(problems))]
    Invalid { problems: Vec<Problem> },
    /// Others would be left with a reference that leads nowhere or a rule that means nothing.
    #[error("{} `{name}` is still needed: {}", kind.label(), Listed(problems))]
    Referenced {
        kind: ObjectKind,
        name: String,
        problems: Vec<Problem>,
    },
    /// The object's state does not allow it.
    #[error("{because}")]
    WrongState { because: &'static str },
    /// The database failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The ledger of quotas failed.
    #[error("the ledger failed")]
    Ledger(#[from] LedgerError),
    /// A stored window cannot be computed.
    #[error("a window cannot be computed")]
    Window(#[from] WindowError),
    /// The operating system gave no random bytes.
    #[error("no randomness for a new secret")]
    Randomness { source: rand::rand_core::OsError },
    /// A summary could not be written.
    #[error("an object could not be summarised for the audit log")]
    Summary { source: serde_json::Error },
}

struct Listed<'a>(&'a [Problem]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

/// The secret of an admin token, at the one moment it is known.
#[derive(Clone, Debug)]
pub struct AdminTokenSecret(Secret);

impl AdminTokenSecret {
    /// Returns the text; each call site is a place to review.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// Returns 256 random bits.
fn random_bytes() -> Result<[u8; 32], OperationError> {
    use rand::TryRngCore as _;

    let mut bytes = [0; 32];
    let filled = rand::rngs::OsRng.try_fill_bytes(&mut bytes);
    filled.map_err(|source| OperationError::Randomness { source })?;
    Ok(bytes)
}
