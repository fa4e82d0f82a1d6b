//! SQL and nothing else: every statement of the service stands in this module and its children, one file
//! for each aggregate. Who may do what, what is recorded about it and what it must look like is the business
//! of [`operations`](crate::operations).
//!
//! Writers take turns on one connection and begin with a lock, so a transaction that read something may
//! write what follows from it. Readers never wait for writers.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use policy::documents::Documents;
use policy::guardrail::Prepared;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Row as _, Sqlite, SqliteConnection, Transaction};
use tokio::sync::watch;

pub(crate) mod admin_tokens;
pub(crate) mod audit;
pub(crate) mod columns;
pub(crate) mod customers;
pub(crate) mod events;
pub(crate) mod exchanges;
pub(crate) mod guardrails;
pub(crate) mod key_probes;
pub(crate) mod keys;
mod master_key;
pub(crate) mod prices;
pub(crate) mod providers;
pub(crate) mod quotas;
pub(crate) mod routes;
pub(crate) mod rule_files;
pub(crate) mod settings;
pub(crate) mod teams;
pub(crate) mod users;
pub(crate) mod vault;
pub(crate) mod word_lists;

pub use master_key::{MasterKey, MasterKeyError};

use audit::AuditEvent;

/// Connections for reading; writing has one of its own.
const READERS: u32 = 4;
/// How long a statement waits for another process that writes to the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file could not be opened or created.
    #[error("cannot open the database `{path}`")]
    Open { path: PathBuf, source: sqlx::Error },
    /// The schema could not be brought up to date.
    #[error("cannot migrate the database `{path}`")]
    Migrate {
        path: PathBuf,
        source: sqlx::migrate::MigrateError,
    },
    /// The master key is not the one that the secrets in the database were sealed with.
    #[error(
        "the master key does not belong to the database `{path}`; put back the key file it was made with"
    )]
    WrongMasterKey { path: PathBuf },
    /// A statement failed.
    #[error("the database failed to {doing}")]
    Database {
        doing: &'static str,
        source: sqlx::Error,
    },
    /// A row does not say what it must.
    #[error("the database holds an unreadable {object}")]
    Corrupt {
        object: &'static str,
        #[source]
        source: CorruptError,
    },
    /// Another object has that name.
    #[error("another {object} has the name `{name}`")]
    NameTaken { object: &'static str, name: String },
    /// A secret could not be sealed, or its seal is broken.
    #[error("the secret of provider key `{id}` cannot be sealed or unsealed with this master key")]
    Seal { id: policy::ids::ProviderKeyId },
    /// A vault entry could not be sealed, or its seal is broken.
    #[error("an entry of the vault cannot be sealed or unsealed with this master key")]
    Vault,
    /// The secret of the alert webhook could not be sealed, or its seal is broken.
    #[error("the secret of the alert webhook cannot be sealed or unsealed with this master key")]
    SealWebhook,
    /// The task that commits ended early.
    #[error("a commit was interrupted")]
    Interrupted { source: tokio::task::JoinError },
}

impl StoreError {
    /// Whether the same call may work later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database { .. } | Self::Interrupted { .. } => true,
            Self::Open { .. }
            | Self::Migrate { .. }
            | Self::WrongMasterKey { .. }
            | Self::Corrupt { .. }
            | Self::NameTaken { .. }
            | Self::Seal { .. }
            | Self::Vault
            | Self::SealWebhook => false,
        }
    }
}

/// What is wrong with a stored value.
#[derive(Debug, thiserror::Error)]
pub enum CorruptError {
    /// A column is missing or of another type.
    #[error("a column is not as expected")]
    Column(#[from] sqlx::Error),
    /// A stored document or word is not one that this version knows.
    #[error("a stored document is not as expected")]
    Document(#[from] serde_json::Error),
    /// A number, length or combination that is never written.
    #[error("{0}")]
    Value(&'static str),
}

/// Everything that is compiled, read at one moment.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Grows with every committed change, across restarts.
    pub version: u64,
    pub documents: Documents,
}

/// The database of one service. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Store {
    writer: SqlitePool,
    reader: SqlitePool,
    master_key: MasterKey,
    changes: Arc<watch::Sender<u64>>,
    pricing: Arc<Mutex<Option<Arc<prices::Pricing>>>>,
    /// What rules of guardrails came to when they were last tried.
    tried: Arc<Mutex<Prepared>>,
}

impl Store {
    /// Opens the database at `path`, makes it when there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be used or belongs to another master key.
    pub async fn open(path: &Path, master_key: &MasterKey) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // An acknowledged record or revocation must survive a power cut.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .optimize_on_close(true, None);
        let open = |source| StoreError::Open {
            path: path.to_path_buf(),
            source,
        };
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options.clone())
            .await;
        let writer = writer.map_err(open)?;
        sqlx::migrate!("./migrations")
            .run(&writer)
            .await
            .map_err(|source| StoreError::Migrate {
                path: path.to_path_buf(),
                source,
            })?;
        let reader = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_with(options.create_if_missing(false).pragma("query_only", "ON"))
            .await
            .map_err(open)?;
        let version = initialise(&writer, path, master_key).await?;
        Ok(Self {
            writer,
            reader,
            master_key: master_key.clone(),
            changes: Arc::new(watch::Sender::new(version)),
            pricing: Arc::default(),
            tried: Arc::default(),
        })
    }

    /// Tells the version of the policy whenever a change of it was committed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Looks whether another process changed the policy, and tells it like a change of this one.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub(crate) async fn look(&self) -> Result<(), StoreError> {
        let version = self.version().await?;
        self.changes.send_if_modified(|current| {
            let is_newer = version > *current;
            *current = version.max(*current);
            is_newer
        });
        Ok(())
    }

    /// Returns the version of the documents, changes of other processes included.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn version(&self) -> Result<u64, StoreError> {
        version(&mut *self.read().await?).await
    }

    /// Reads everything that is compiled, as of one moment.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn policy(&self) -> Result<Policy, StoreError> {
        let begun = self.reader.begin().await;
        let mut reading = begun.map_err(|source| StoreError::Database {
            doing: "begin to read",
            source,
        })?;
        let version = version(&mut reading).await?;
        let documents = all_documents(&mut reading, &self.master_key).await?;
        Ok(Policy { version, documents })
    }

    /// Reads the documents, provider credentials included.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn documents(&self) -> Result<Documents, StoreError> {
        Ok(self.policy().await?.documents)
    }

    /// Reads the documents without quotas, which can be many and say nothing about the rest.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub(crate) async fn documents_but_quotas(&self) -> Result<Documents, StoreError> {
        let begun = self.reader.begin().await;
        let mut reading = begun.map_err(|source| StoreError::Database {
            doing: "begin to read",
            source,
        })?;
        documents_but_quotas(&mut reading, &self.master_key).await
    }

    /// Returns what prices follow from, besides the book.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub(crate) async fn pricing(&self) -> Result<Arc<prices::Pricing>, StoreError> {
        let version = *self.changes.borrow();
        let held = self
            .pricing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(pricing) = held
            && pricing.version == version
        {
            return Ok(pricing);
        }
        let mut reading = self.read().await?;
        let pricing = Arc::new(prices::Pricing {
            version,
            overrides: prices::list(&mut reading).await?,
            on_unknown: settings::get(&mut reading).await?.on_unknown_price,
        });
        let mut held = self.pricing.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Some(Arc::clone(&pricing));
        Ok(pricing)
    }

    /// Waits for what was begun and closes the file.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    /// Takes a connection for reading.
    pub(crate) async fn read(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        let acquired = self.reader.acquire().await;
        acquired.map_err(|source| StoreError::Database {
            doing: "lend a connection",
            source,
        })
    }

    /// Begins a change; dropped without a commit, it never happened.
    pub(crate) async fn change(&self) -> Result<Change, StoreError> {
        let begun = self.writer.begin_with("BEGIN IMMEDIATE").await;
        let transaction = begun.map_err(|source| StoreError::Database {
            doing: "begin a change",
            source,
        })?;
        Ok(Change {
            transaction,
            store: self.clone(),
        })
    }

    pub(crate) fn master_key(&self) -> &MasterKey {
        &self.master_key
    }

    /// Returns what is kept of rules that were tried, so that none is tried twice. Trying them takes long: only
    /// threads that may block take the lock.
    pub(crate) fn tried(&self) -> Arc<Mutex<Prepared>> {
        Arc::clone(&self.tried)
    }
}

/// Whether a change is one of policy, so that filters must hear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Policy,
    Nothing,
}

/// A transaction that writes.
#[derive(Debug)]
pub(crate) struct Change {
    transaction: Transaction<'static, Sqlite>,
    store: Store,
}

impl Change {
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }

    pub(crate) fn master_key(&self) -> &MasterKey {
        &self.store.master_key
    }

    pub(crate) fn tried(&self) -> Arc<Mutex<Prepared>> {
        self.store.tried()
    }

    /// Appends the audit events of the change and commits both, or neither.
    pub(crate) async fn commit(
        mut self,
        events: &[AuditEvent],
        effect: Effect,
    ) -> Result<(), StoreError> {
        for event in events {
            audit::append(&mut self.transaction, event).await?;
        }
        let version = match effect {
            Effect::Policy => Some(next_version(&mut self.transaction).await?),
            Effect::Nothing => None,
        };
        let Self { transaction, store } = self;
        // A task of its own: a caller that goes away between commit and announcement must not leave
        // filters with the policy from before.
        let commit = tokio::spawn(async move {
            transaction.commit().await?;
            if let Some(version) = version {
                store.changes.send_if_modified(|current| {
                    let is_newer = version > *current;
                    *current = version.max(*current);
                    is_newer
                });
            }
            Ok(())
        });
        let committed = commit
            .await
            .map_err(|source| StoreError::Interrupted { source })?;
        committed.map_err(|source| StoreError::Database {
            doing: "commit a change",
            source,
        })
    }
}

/// Reads all policy documents; provider credentials are unsealed.
async fn all_documents(
    db: &mut SqliteConnection,
    master_key: &MasterKey,
) -> Result<Documents, StoreError> {
    let mut documents = documents_but_quotas(db, master_key).await?;
    documents.quotas = quotas::list(db)
        .await?
        .into_iter()
        .map(|it| (it.id, it))
        .collect();
    Ok(documents)
}

/// Reads all policy documents but quotas, which can be many and say nothing about the rest.
pub(crate) async fn documents_but_quotas(
    db: &mut SqliteConnection,
    master_key: &MasterKey,
) -> Result<Documents, StoreError> {
    let mut documents = documents_but_keys(db, master_key).await?;
    documents.keys = keys::list(db)
        .await?
        .into_iter()
        .map(|key| (key.id, key))
        .collect();
    fill(db, &mut documents).await?;
    Ok(documents)
}

/// Reads what rule files and word lists hold.
pub(crate) async fn fill(
    db: &mut SqliteConnection,
    documents: &mut Documents,
) -> Result<(), StoreError> {
    documents.rule_files = rule_files::list(db)
        .await?
        .into_iter()
        .map(|it| (it.id, it))
        .collect();
    documents.word_lists = word_lists::list(db)
        .await?
        .into_iter()
        .map(|it| (it.id, it))
        .collect();
    Ok(())
}

/// Reads all policy documents but virtual keys and quotas, which can be many, and one more does not change the rest;
/// and but what rule files and word lists hold.
pub(crate) async fn documents_but_keys(
    db: &mut SqliteConnection,
    master_key: &MasterKey,
) -> Result<Documents, StoreError> {
    Ok(Documents {
        settings: settings::get(db).await?,
        customers: customers::list(db)
            .await?
            .into_iter()
            .map(|it| (it.id, it))
            .collect(),
        teams: teams::list(db)
            .await?
            .into_iter()
            .map(|it| (it.id, it))
            .collect(),
        users: users::list(db)
            .await?
            .into_iter()
            .map(|it| (it.id, it))
            .collect(),
        keys: std::collections::BTreeMap::new(),
        providers: providers::list(db, master_key)
            .await?
            .into_iter()
            .map(|it| (it.id, it))
            .collect(),
        routes: routes::list(db)
            .await?
            .into_iter()
            .map(|it| (it.id, it))
            .collect(),
        prices: prices::list(db).await?,
        quotas: std::collections::BTreeMap::new(),
        guardrails: guardrails::list(db)
            .await?
            .into_iter()
            .map(|it| (it.id, it))
            .collect(),
        rule_files: rule_files::names(db)
            .await?
            .into_iter()
            .map(|it| (it.id, it))
            .collect(),
        word_lists: word_lists::names(db)
            .await?
            .into_iter()
            .map(|it| (it.id, it))
            .collect(),
    })
}

/// Writes the rows that there is one of, and proves that the master key belongs to the database.
async fn initialise(
    writer: &SqlitePool,
    path: &Path,
    master_key: &MasterKey,
) -> Result<u64, StoreError> {
    let failed = |source| StoreError::Database {
        doing: "initialise",
        source,
    };
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    sqlx::query(
        "INSERT INTO store_state (one, policy_version, master_key_check) VALUES (1, 1, $1) \
         ON CONFLICT (one) DO NOTHING",
    )
    .bind(master_key.check_value().as_slice())
    .execute(&mut *transaction)
    .await
    .map_err(failed)?;
    settings::insert_defaults(&mut transaction).await?;
    let row = sqlx::query("SELECT master_key_check FROM store_state WHERE one = 1")
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed)?;
    let check: Vec<u8> = row.try_get("master_key_check").map_err(failed)?;
    if check != master_key.check_value() {
        return Err(StoreError::WrongMasterKey {
            path: path.to_path_buf(),
        });
    }
    let version = version(&mut transaction).await?;
    transaction.commit().await.map_err(failed)?;
    Ok(version)
}

async fn version(db: &mut SqliteConnection) -> Result<u64, StoreError> {
    let version: i64 = sqlx::query_scalar("SELECT policy_version FROM store_state WHERE one = 1")
        .fetch_one(db)
        .await
        .map_err(|source| StoreError::Database {
            doing: "read the version of the policy",
            source,
        })?;
    Ok(columns::unsigned(version))
}

async fn next_version(db: &mut SqliteConnection) -> Result<u64, StoreError> {
    let version: i64 = sqlx::query_scalar(
        "UPDATE store_state SET policy_version = policy_version + 1 WHERE one = 1 RETURNING policy_version",
    )
    .fetch_one(db)
    .await
    .map_err(|source| StoreError::Database { doing: "raise the version of the policy", source })?;
    Ok(columns::unsigned(version))
}

#[cfg(test)]
mod tests;
