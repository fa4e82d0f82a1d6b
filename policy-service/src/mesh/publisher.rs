//! Compiles policy whenever it changes and keeps the versions that filters are taking.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use policy::compile::MeshSecrets;
use policy::compiled::{KeyTable, Mesh};
use policy::documents::{Documents, InferenceAuth, Owner, Scope};
use policy::guardrail::{BlobId, Prepared};
use policy::ids::{GuardrailId, QuotaId};
use policy::key::KeyHash;
use policy::quota::QuotaNode;
use policy::secret::Secret;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};
use utoipa::ToSchema;

use crate::clock;
use crate::ledger::Quotas;
use crate::ledger::notices::Notice;
use crate::ledger::opening::Opened;
use crate::mesh::snapshot::{BlobHash, Contents, Generation, Snapshot};
use crate::store::{Policy, Store, StoreError};
use crate::xds::{Clusters, cluster};

/// Versions that are kept for filters that are in the middle of their pages.
const KEPT: usize = 16;
/// How often changes are looked for that a command made beside this process (`weir guardrails`).
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How soon a failed read of the database is tried again.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// Why there is no new version.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The database could not be read; tried again by itself.
    #[error("cannot read the policy documents")]
    Read(#[source] StoreError),
    /// The documents contradict each other; the last good version stays in force until they are changed.
    #[error("cannot compile the policy documents: {0}")]
    Compile(String),
}

impl PublishError {
    const fn is_transient(&self) -> bool {
        match self {
            Self::Read(_) => true,
            Self::Compile(_) => false,
        }
    }
}

struct Compiled {
    contents: Contents,
    mesh: Mesh,
    plans_are_incomplete: bool,
}

impl Compiled {
    fn new(
        documents: &Documents,
        secrets: MeshSecrets,
        extra_hosts: &[String],
        prepared: &mut Prepared,
    ) -> Result<Self, String> {
        let compiled = policy::compile::compile_with(documents, secrets, prepared);
        let mut compiled = compiled.map_err(|problems| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            lines.join("; ")
        })?;
        for host in extra_hosts {
            if !compiled.mesh.hosts.contains(host) {
                compiled.mesh.hosts.push(host.clone());
            }
        }
        let mut by_first_byte = KeyTable::encode_shards(&compiled.keys);
        let shards = (0..=u8::MAX)
            .map(|shard| by_first_byte.remove(&shard).unwrap_or_default())
            .collect();
        let mut blobs = BTreeMap::new();
        for (BlobId(id), bytes) in compiled.blobs {
            let mut hash = BlobHash::default();
            if hex::decode_to_slice(&id, &mut hash).is_err() {
                return Err(format!(
                    "a rule file or word list has the id `{id}`, which is no hash"
                ));
            }
            blobs.insert(hash, bytes);
        }
        Ok(Self {
            contents: Contents {
                mesh: compiled.mesh.encode(),
                shards,
                blobs,
            },
            mesh: compiled.mesh,
            plans_are_incomplete: compiled.plans_are_incomplete,
        })
    }
}

/// Compiles what `store` holds, for whoever wants to look at it rather than publish it.
///
/// # Errors
/// [`PublishError`] when the documents cannot be read or compiled.
pub async fn compile_once(store: &Store) -> Result<Mesh, PublishError> {
    let documents = store.documents().await.map_err(PublishError::Read)?;
    let secrets = MeshSecrets {
        canary: Secret::new(String::new()),
        token_key: Secret::new(String::new()),
    };
    let compiled = Compiled::new(&documents, secrets, &[], &mut Prepared::default())
        .map_err(PublishError::Compile)?;
    Ok(compiled.mesh)
}

/// Which version is current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    pub generation: Generation,
    /// 0 before the first.
    pub version: u64,
}

/// What an administrator should know about publishing.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Published {
    pub version: u64,
    /// The version of the stored documents that this is made of. Changes that follow each other soon are published
    /// together, and some change nothing that filters apply: `version` does not count changes, this one does.
    pub documents_version: u64,
    /// When the version was compiled; 0 before the first.
    pub compiled_at_ms: u64,
    /// How long compiling took.
    pub compile_ms: u64,
    /// Why later changes are not in force; `None` when they are.
    pub failed_because: Option<String>,
    /// Policy asks for more composite clusters than there may be: some requests have fewer targets than their
    /// route names.
    pub plans_are_incomplete: bool,
    /// Whether unkeyed requests are refused in this version.
    #[serde(skip)]
    pub(crate) inference_auth: InferenceAuth,
    /// The guardrails of this version, by name; each VM has to prove that it enforces them.
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) guardrails: ToProve,
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) quotas: QuotasToProve,
}

/// Which quotas have to be proven, and where.
#[derive(Clone, Debug)]
pub(crate) struct QuotasToProve {
    /// All there are.
    pub(crate) all: usize,
    /// Those in the mesh; each VM has to prove as many.
    pub(crate) in_mesh: u64,
    /// Enabled ones of single keys and users, by each key that is charged to them. Told by the documents and not by
    /// what was compiled from them.
    pub(crate) of_keys: Arc<[(KeyHash, QuotaId)]>,
}

impl Default for QuotasToProve {
    fn default() -> Self {
        Self {
            all: 0,
            in_mesh: 0,
            of_keys: Arc::new([]),
        }
    }
}

impl QuotasToProve {
    fn of(documents: &Documents, in_mesh: usize) -> Self {
        let mut by_scope: BTreeMap<Scope, Vec<QuotaId>> = BTreeMap::new();
        for quota in documents.quotas.values() {
            let node = quota.rules.node;
            if quota.rules.enabled && matches!(node, QuotaNode::User(_) | QuotaNode::Key(_)) {
                by_scope.entry(node.scope()).or_default().push(quota.id);
            }
        }
        let mut of_keys = Vec::new();
        for key in documents.keys.values() {
            let user = match key.owner {
                Owner::User(user) => Some(Scope::User(user)),
                Owner::Team(_) | Owner::Customer(_) => None,
            };
            let scopes = [Some(Scope::Key(key.id)), user];
            let ids = scopes.iter().flatten();
            let ids = ids.filter_map(|scope| by_scope.get(scope));
            of_keys.extend(ids.flatten().map(|id| (key.hash, *id)));
        }
        Self {
            all: documents.quotas.len(),
            in_mesh: in_mesh as u64,
            of_keys: of_keys.into(),
        }
    }
}

/// Ids and names of guardrails.
pub(crate) type ToProve = Arc<[(GuardrailId, String)]>;

/// The publisher of one service. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Publisher {
    shared: Arc<Shared>,
}

/// What is published beside the documents, and to whom.
#[derive(Debug)]
pub(crate) struct Options {
    /// Hosts of the mesh beside those of the settings.
    pub(crate) extra_hosts: Arc<[String]>,
    pub(crate) ledger: Option<Opened>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    clusters: Clusters,
    generation: Generation,
    canary_secret: Secret,
    options: Options,
    /// Newest last.
    kept: Mutex<VecDeque<Arc<Snapshot>>>,
    published: watch::Sender<Published>,
}

impl Publisher {
    pub(crate) fn new(
        store: Store,
        clusters: Clusters,
        generation: Generation,
        canary_secret: Secret,
        options: Options,
    ) -> Self {
        let shared = Shared {
            store,
            clusters,
            generation,
            canary_secret,
            options,
            kept: Mutex::new(VecDeque::new()),
            published: watch::Sender::new(Published::default()),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Publishes each change, until `stop` is true.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut changes = self.shared.store.changes();
        changes.mark_changed();
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let is_told = tokio::select! {
                changed = changes.changed() => match changed {
                    Ok(()) => true,
                    Err(_gone) => break,
                },
                _ = look.tick() => false,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            if !is_told {
                if let Err(error) = self.shared.store.look().await {
                    let error = &error as &dyn std::error::Error;
                    debug!(error, "the version of the policy was not read");
                }
                continue;
            }
            self.tell();
            let mut outcome = self.publish().await;
            while outcome.as_ref().is_err_and(PublishError::is_transient) {
                tokio::select! {
                    () = tokio::time::sleep(READ_AGAIN) => {}
                    _ = stop.wait_for(|stop| *stop) => return,
                }
                outcome = self.publish().await;
            }
        }
    }

    /// Tells other replicas to look at once. They tell it on, and whoever finds nothing new is silent.
    fn tell(&self) {
        let Some(ledger) = &self.shared.options.ledger else {
            return;
        };
        let notices = ledger.notices.clone();
        tokio::spawn(async move {
            if let Err(failure) = notices.tell(Notice::Policy).await {
                let failure = crate::mesh::chain(&failure);
                debug!(%failure, "other replicas were not told of a change and find it by themselves");
            }
        });
    }

    /// Compiles the documents as they are and makes them the current version, if they differ from it.
    ///
    /// # Errors
    /// [`PublishError`]; the last good version stays current, and the failure stays visible in
    /// [`status`](Self::status).
    pub(crate) async fn publish(&self) -> Result<(), PublishError> {
        let outcome = self.compile_and_keep().await;
        match &outcome {
            Ok(()) => self
                .shared
                .published
                .send_modify(|published| published.failed_because = None),
            Err(failure) => {
                let because = crate::mesh::chain(failure);
                error!(%because, "policy was not published, the last good version stays in force");
                self.shared
                    .published
                    .send_modify(|published| published.failed_because = Some(because));
            }
        }
        outcome
    }

    async fn compile_and_keep(&self) -> Result<(), PublishError> {
        let started = Instant::now();
        let policy = self.shared.store.policy().await;
        let Policy {
            version: documents_version,
            documents,
        } = policy.map_err(PublishError::Read)?;
        let secrets = MeshSecrets {
            canary: self.shared.canary_secret.clone(),
            token_key: self.shared.store.master_key().token_key(),
        };
        let extra_hosts = Arc::clone(&self.shared.options.extra_hosts);
        let prepared = self.shared.store.tried();
        let compiling = tokio::task::spawn_blocking(move || {
            let mut prepared = prepared.lock().unwrap_or_else(PoisonError::into_inner);
            let compiled = Compiled::new(&documents, secrets, &extra_hosts, &mut prepared);
            compiled.map(|compiled| {
                let to_prove = QuotasToProve::of(&documents, compiled.mesh.quotas.len());
                let quotas = Quotas::new(documents.quotas.into_values());
                (compiled, quotas, to_prove)
            })
        });
        let compiled = compiling
            .await
            .unwrap_or_else(|ended| Err(ended.to_string()));
        let (compiled, quotas, to_prove) = compiled.map_err(PublishError::Compile)?;
        let Compiled {
            contents,
            mesh,
            plans_are_incomplete,
        } = compiled;
        if let Some(ledger) = &self.shared.options.ledger {
            // Before any filter hears of it: a filter asks for quotas that it knows.
            ledger.quotas.send_replace(Arc::new(quotas));
        }
        let mut kept = self.kept();
        let before = kept.back().map(Arc::as_ref);
        let Some(mut snapshot) = Snapshot::succeed(before, self.shared.generation, contents) else {
            // Should quotas that are new not have changed what filters get, that must not go unseen.
            self.shared.published.send_modify(|published| {
                published.documents_version = documents_version;
                published.quotas = to_prove;
            });
            return Ok(());
        };
        snapshot.clusters = self
            .shared
            .clusters
            .require(snapshot.version, cluster::clusters(&mesh));
        let version = snapshot.version;
        kept.push_back(Arc::new(snapshot));
        if kept.len() > KEPT {
            kept.pop_front();
        }
        drop(kept);
        let compile_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        info!(version, compile_ms, "policy published");
        if plans_are_incomplete {
            warn!(
                version,
                "more fallback orders than there may be clusters: some requests have fewer targets"
            );
        }
        self.shared.published.send_replace(Published {
            version,
            documents_version,
            compiled_at_ms: clock::now().as_millis(),
            compile_ms,
            failed_because: None,
            plans_are_incomplete,
            inference_auth: mesh.inference_auth,
            guardrails: mesh
                .guardrails
                .into_iter()
                .map(|guardrail| (guardrail.id, guardrail.name))
                .collect(),
            quotas: to_prove,
        });
        Ok(())
    }

    /// Returns the current version.
    pub fn version(&self) -> Version {
        Version {
            generation: self.shared.generation,
            version: self.shared.published.borrow().version,
        }
    }

    /// Returns what an administrator should know.
    pub fn status(&self) -> Published {
        self.shared.published.borrow().clone()
    }

    /// Tells when a version is published or fails.
    pub fn published(&self) -> watch::Receiver<Published> {
        self.shared.published.subscribe()
    }

    pub(crate) fn canary_secret(&self) -> &Secret {
        &self.shared.canary_secret
    }

    /// Returns the versions that are kept, newest first.
    pub(crate) fn newest_first(&self) -> Vec<Arc<Snapshot>> {
        self.kept().iter().rev().cloned().collect()
    }

    /// Returns the version `version` of `generation`, if it is still kept.
    pub(crate) fn kept_version(
        &self,
        generation: Generation,
        version: u64,
    ) -> Option<Arc<Snapshot>> {
        self.kept()
            .iter()
            .find(|snapshot| snapshot.generation == generation && snapshot.version == version)
            .cloned()
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Arc<Snapshot>>> {
        // The queue is whole between any two of its operations, so a poisoned lock still guards a good one.
        self.shared
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
