//! How replicas of the service hear at once what one of them changed: a limit, or a key that is revoked. And what
//! filters at one of them wait for that filters at another hold.
//!
//! A notice says what changed, not how: whoever hears it reads. Notices may be lost while a connection is down, and
//! then [`Notice::Everything`] is told when it is up again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use policy::ids::{KeyId, QuotaId};
use policy::quota::AccountId;
use redis::AsyncCommands as _;
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgListener, PgPool, PgPoolOptions};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tracing::warn;

use super::shelf::ShelfError;

const CHANNEL: &str = "weir_notices";
/// Notices that wait for a listener of this process.
const WAITING: usize = 1_024;
const RETRY: Duration = Duration::from_millis(200);
const SENDERS: u32 = 2;

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// Notices may have been lost: all of it may have changed.
    Everything,
    Policy,
    Quota(QuotaId),
    KeyRevoked(KeyId),
    /// Somebody was refused what is held of the account: whoever has some of it free gives it back.
    Wanted(AccountId),
}

/// Sends and hears notices. Cheap to clone; hearing ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Notices {
    heard: broadcast::Sender<Notice>,
    way: Way,
    _hearing: Option<Arc<Hearing>>,
}

#[derive(Clone, Debug)]
enum Way {
    /// One replica: what it says it hears.
    Alone,
    Postgres(PgPool),
    Redis(redis::Client),
}

#[derive(Debug)]
struct Hearing(JoinHandle<()>);

impl Drop for Hearing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Notices {
    /// Notices within one process.
    pub fn alone() -> Self {
        Self {
            heard: broadcast::channel(WAITING).0,
            way: Way::Alone,
            _hearing: None,
        }
    }

    /// Notices between all replicas that use the database at `url`, by `NOTIFY`.
    ///
    /// # Errors
    /// [`ShelfError`] when the database cannot be reached.
    pub async fn postgres(url: &str) -> Result<Self, ShelfError> {
        let failed = |source| ShelfError::Sql {
            doing: "listen for notices",
            source,
        };
        let pool = PgPoolOptions::new()
            .max_connections(SENDERS)
            .connect(url)
            .await;
        let pool = pool.map_err(failed)?;
        let mut listener = PgListener::connect(url).await.map_err(failed)?;
        listener.listen(CHANNEL).await.map_err(failed)?;
        let heard = broadcast::channel(WAITING).0;
        let hearing = tokio::spawn(hear_postgres(listener, heard.clone()));
        Ok(Self {
            heard,
            way: Way::Postgres(pool),
            _hearing: Some(Arc::new(Hearing(hearing))),
        })
    }

    /// Notices between all replicas that use the Redis at `url`, by `PUBLISH`.
    ///
    /// # Errors
    /// [`ShelfError`] when Redis cannot be reached.
    pub async fn redis(url: &str) -> Result<Self, ShelfError> {
        let failed = |source| ShelfError::Redis {
            doing: "listen for notices",
            source,
        };
        let client = redis::Client::open(url).map_err(failed)?;
        let mut pubsub = client.get_async_pubsub().await.map_err(failed)?;
        pubsub.subscribe(CHANNEL).await.map_err(failed)?;
        let heard = broadcast::channel(WAITING).0;
        let hearing = tokio::spawn(hear_redis(client.clone(), pubsub, heard.clone()));
        Ok(Self {
            heard,
            way: Way::Redis(client),
            _hearing: Some(Arc::new(Hearing(hearing))),
        })
    }

    /// Tells all replicas, this one too.
    ///
    /// # Errors
    /// [`ShelfError`] when the notice did not go out; others hear of the change when they look by themselves.
    pub async fn tell(&self, notice: Notice) -> Result<(), ShelfError> {
        let text = serde_json::to_string(&notice).unwrap_or_default();
        match &self.way {
            Way::Alone => {
                // Nobody may be listening.
                self.heard.send(notice).ok();
                Ok(())
            }
            Way::Postgres(pool) => {
                let notify = sqlx::query("SELECT pg_notify($1, $2)")
                    .bind(CHANNEL)
                    .bind(text);
                let told = notify.execute(pool).await.map(|_| ());
                told.map_err(|source| ShelfError::Sql {
                    doing: "send a notice",
                    source,
                })
            }
            Way::Redis(client) => {
                let failed = |source| ShelfError::Redis {
                    doing: "send a notice",
                    source,
                };
                let connection = client.get_multiplexed_async_connection().await;
                let told = connection.map_err(failed)?.publish(CHANNEL, text).await;
                told.map_err(failed)
            }
        }
    }

    /// Hears notices from here on.
    pub fn hear(&self) -> broadcast::Receiver<Notice> {
        self.heard.subscribe()
    }
}

/// What a newer replica says in words that this one does not know may be anything.
fn read(text: &str) -> Notice {
    serde_json::from_str(text).unwrap_or(Notice::Everything)
}

async fn hear_postgres(mut listener: PgListener, heard: broadcast::Sender<Notice>) {
    loop {
        let notice = match listener.try_recv().await {
            Ok(Some(notification)) => read(notification.payload()),
            // The connection was lost and is made again by the next call.
            Ok(None) => Notice::Everything,
            Err(failure) => {
                warn!(%failure, "notices are not heard");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        heard.send(notice).ok();
    }
}

async fn hear_redis(
    client: redis::Client,
    first: redis::aio::PubSub,
    heard: broadcast::Sender<Notice>,
) {
    let mut connected = Some(first);
    loop {
        match connected.take() {
            Some(mut pubsub) => {
                let mut messages = pubsub.on_message();
                while let Some(message) = messages.next().await {
                    let text: String = message.get_payload().unwrap_or_default();
                    heard.send(read(&text)).ok();
                }
                warn!("notices are not heard: redis closed the connection");
            }
            None => tokio::time::sleep(RETRY).await,
        }
        connected = subscribed(&client).await;
        if connected.is_some() {
            heard.send(Notice::Everything).ok();
        }
    }
}

async fn subscribed(client: &redis::Client) -> Option<redis::aio::PubSub> {
    let mut pubsub = client.get_async_pubsub().await.ok()?;
    pubsub.subscribe(CHANNEL).await.ok()?;
    Some(pubsub)
}
