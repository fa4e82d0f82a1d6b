//! Opening a ledger: in a file beside the store, or where several replicas share it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use policy::secret::Secret;
use reqwest::Url;
use tokio::sync::{broadcast, watch};

use super::ledgers::Ledgers;
use super::notices::Notices;
use super::shelf::ShelfError;
use super::{Alert, Ledger, LedgerOptions, Quotas};

/// Where a ledger is kept.
#[derive(Clone, Debug)]
pub struct Places {
    /// The file for one replica; not touched when there is a database.
    pub file: PathBuf,
    /// `postgres://…`, for several replicas.
    pub url: Option<Secret>,
    /// `redis://…`, for what is forgotten after minutes.
    pub hot_url: Option<Secret>,
}

impl Places {
    /// A ledger of one replica.
    pub const fn file(file: PathBuf) -> Self {
        Self {
            file,
            url: None,
            hot_url: None,
        }
    }
}

/// A place without what must not be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown(String);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why the ledger could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "`{option}` is not a URL of the form `{form}`: correct it, or leave it out to keep the ledger in a file"
    )]
    Url {
        option: &'static str,
        form: &'static str,
    },
    #[error(
        "cannot keep the ledger in the file `{path}`: make its folder writable, or move the file away if it is damaged"
    )]
    File { path: PathBuf, source: ShelfError },
    #[error(
        "cannot keep the ledger in PostgreSQL at {place}: see that it runs, that the database exists and that the \
         user may make tables, or correct --ledger-url (WEIR_LEDGER_URL)"
    )]
    Postgres { place: Shown, source: ShelfError },
    #[error(
        "cannot keep short windows in Redis at {place}: see that it runs, or correct --hot-url (WEIR_HOT_URL)"
    )]
    Redis { place: Shown, source: ShelfError },
}

/// An open ledger with everything that feeds it and listens to it.
#[derive(Clone, Debug)]
pub struct Opened {
    pub ledgers: Ledgers,
    /// What the ledger enforces; whoever compiles policy sends it.
    pub quotas: watch::Sender<Arc<Quotas>>,
    pub notices: Notices,
    pub alerts: broadcast::Sender<Alert>,
    /// Whether other replicas may use the same books, so that a filter that is silent here may speak there.
    pub is_shared: bool,
}

impl Opened {
    /// Opens the ledger. It grants everything until [`quotas`](Self::quotas) is sent.
    ///
    /// # Errors
    /// [`OpenError`] when a place cannot be used.
    pub async fn open(places: &Places) -> Result<Self, OpenError> {
        let (quotas, seen) = watch::channel(Arc::new(Quotas::default()));
        let options = LedgerOptions::new(seen.clone());
        let alerts = options.alerts.clone();
        let durable = durable(places, options.clone()).await?;
        let hot = match &places.hot_url {
            Some(url) => {
                let place = shown(url, "--hot-url", &["redis", "rediss"], "redis://host:6379")?;
                let opened = Ledger::redis(url.expose(), options).await;
                Some(opened.map_err(|source| OpenError::Redis { place, source })?)
            }
            None => None,
        };
        Ok(Self {
            ledgers: Ledgers::new(durable, hot, seen),
            quotas,
            notices: notices(places).await?,
            alerts,
            is_shared: places.url.is_some(),
        })
    }
}

async fn durable(places: &Places, options: LedgerOptions) -> Result<Ledger, OpenError> {
    let Some(url) = &places.url else {
        let opened = Ledger::sqlite(&places.file, options).await;
        return opened.map_err(|source| OpenError::File {
            path: places.file.clone(),
            source,
        });
    };
    let place = postgres_place(url)?;
    let opened = Ledger::postgres(url.expose(), options).await;
    opened.map_err(|source| OpenError::Postgres { place, source })
}

async fn notices(places: &Places) -> Result<Notices, OpenError> {
    match (&places.url, &places.hot_url) {
        (Some(url), _) => {
            let place = postgres_place(url)?;
            let heard = Notices::postgres(url.expose()).await;
            heard.map_err(|source| OpenError::Postgres { place, source })
        }
        // The books of one replica: nobody else has to hear.
        (None, _) => Ok(Notices::alone()),
    }
}

fn postgres_place(url: &Secret) -> Result<Shown, OpenError> {
    let schemes = ["postgres", "postgresql"];
    shown(
        url,
        "--ledger-url",
        &schemes,
        "postgres://user:password@host:5432/database",
    )
}

/// Returns what of a URL may be shown: neither who logs in, nor by which word, nor options, which may hold either.
fn shown(
    url: &Secret,
    option: &'static str,
    schemes: &[&str],
    form: &'static str,
) -> Result<Shown, OpenError> {
    let wrong = OpenError::Url { option, form };
    let Ok(url) = Url::parse(url.expose()) else {
        return Err(wrong);
    };
    if !schemes.contains(&url.scheme()) {
        return Err(wrong);
    }
    let host = url.host_str().unwrap_or_default();
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    Ok(Shown(format!("`{host}{port}{}`", url.path())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, want: &str) {
        let place = postgres_place(&Secret::new(url));
        assert_eq!(place.map(|it| it.0).unwrap_or_default(), want);
    }

    #[test]
    fn a_place_is_shown_without_its_secrets() {
        check(
            "postgres://weir:hunter2@db:5432/weir?password=hunter2",
            "`db:5432/weir`",
        );
        check("postgresql://db", "`db`");
        check("redis://db", "");
        check("db", "");
    }

    #[tokio::test]
    async fn a_place_that_cannot_be_used_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let mut places = Places::file(folder.path().join("missing/ledger.db"));
        let text = Opened::open(&places).await.unwrap_err().to_string();
        assert!(text.contains("missing/ledger.db"), "{text}");
        // Port 1 is nobody's.
        places.url = Some(Secret::new("postgres://weir:hunter2@127.0.0.1:1/weir"));
        let failure = Opened::open(&places).await.unwrap_err();
        let text = crate::mesh::chain(&failure);
        assert!(text.contains("127.0.0.1:1/weir"), "{text}");
        assert!(text.contains("--ledger-url"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
        places.url = Some(Secret::new("hunter2"));
        let text = Opened::open(&places).await.unwrap_err().to_string();
        assert!(text.contains("--ledger-url"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}
