//! Keeps the documents as a whole meaningful: a change after which they would not compile is not made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use policy::check::{self, Node, Problem};
use policy::documents::{Documents, Scope};
use policy::guardrail::Prepared;

use super::{ObjectKind, OperationError};
use crate::store::{self, Change, Store, StoreError};

/// Stands for the object itself in the places of problems; no name can hold it.
const HERE: &str = "\u{0}";

/// How much of the policy a change can affect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Virtual keys and quotas, which can be many, neither name what changes nor are looked at.
    AllButKeys,
    /// Everything but quotas that stand at something and name nothing else.
    All,
    /// Everything but quotas that stand elsewhere, and of those that stand there as many as prove that some do.
    Around(Scope),
}

/// The documents that a change can affect, to be changed like the stored ones and then checked.
#[derive(Debug)]
pub(super) struct Surroundings {
    pub(super) documents: Documents,
    /// What was wrong before; no reason to refuse a change elsewhere.
    known: BTreeSet<Problem>,
}

impl Surroundings {
    pub(super) async fn read(change: &mut Change, reach: Reach) -> Result<Self, StoreError> {
        let master_key = change.master_key().clone();
        let mut documents = store::documents_but_keys(change.connection(), &master_key).await?;
        match reach {
            Reach::AllButKeys => {
                documents
                    .routes
                    .retain(|_, route| !matches!(route.scope, Scope::Key(_)));
            }
            Reach::All | Reach::Around(_) => {
                let keys = store::keys::list(change.connection()).await?;
                documents.keys = keys.into_iter().map(|key| (key.id, key)).collect();
                let db = change.connection();
                let quotas = match reach {
                    Reach::Around(scope) => store::quotas::some_at(db, scope).await?,
                    Reach::All | Reach::AllButKeys => {
                        store::quotas::that_name_providers(db).await?
                    }
                };
                documents.quotas = quotas.into_iter().map(|it| (it.id, it)).collect();
            }
        }
        let known = check::check_references(&documents).into_iter().collect();
        Ok(Self { documents, known })
    }

    /// Checks that the documents mean something with `node` added or changed. Its places are named as in a
    /// request body.
    pub(super) fn check(
        &self,
        node: Node,
        kind: ObjectKind,
        name: &str,
    ) -> Result<(), OperationError> {
        let place = |of: Node| (of == node).then(|| HERE.to_owned());
        let problems = check::check_references_at(&self.documents, &place);
        self.judge(problems, kind, name)
    }

    fn judge(
        &self,
        problems: Vec<Problem>,
        kind: ObjectKind,
        name: &str,
    ) -> Result<(), OperationError> {
        let problems = problems.into_iter();
        let (own, others): (Vec<_>, Vec<_>) =
            problems.partition(|problem| problem.path.starts_with(HERE));
        if own.is_empty() {
            return self.check_others(others, kind, name);
        }
        let problems = own.into_iter().map(|problem| {
            let path = problem
                .path
                .trim_start_matches(HERE)
                .trim_start_matches('.');
            Problem::new(path, problem.message.replace(HERE, ""))
        });
        Err(OperationError::Invalid {
            problems: problems.collect(),
        })
    }

    /// Checks that the documents mean something after an object was taken away.
    pub(super) fn check_without(&self, kind: ObjectKind, name: &str) -> Result<(), OperationError> {
        self.check_others(check::check_references(&self.documents), kind, name)
    }

    fn check_others(
        &self,
        mut problems: Vec<Problem>,
        kind: ObjectKind,
        name: &str,
    ) -> Result<(), OperationError> {
        problems.retain(|problem| !self.known.contains(problem));
        if problems.is_empty() {
            return Ok(());
        }
        Err(OperationError::Referenced {
            kind,
            name: name.to_owned(),
            problems,
        })
    }
}

/// The documents before and after a change of what guardrails look for: rule files and word lists are read whole,
/// and every rule is tried.
#[derive(Debug)]
pub(super) struct Contents {
    before: Documents,
    pub(super) after: Documents,
    tried: Arc<Mutex<Prepared>>,
}

/// Tries what the documents hold after `alter`, so that a change that is then made need not, while it keeps every
/// other writer waiting. What is wrong is told by the change.
pub(super) async fn try_first(
    store: &Store,
    alter: impl FnOnce(&mut Documents),
) -> Result<(), StoreError> {
    let mut documents = store.documents_but_quotas().await?;
    alter(&mut documents);
    let tried = store.tried();
    let trying = tokio::task::spawn_blocking(move || {
        let mut prepared = tried.lock().unwrap_or_else(PoisonError::into_inner);
        drop(check::check_with(&documents, &|_| None, &mut prepared));
    });
    trying
        .await
        .map_err(|source| StoreError::Interrupted { source })
}

impl Contents {
    pub(super) async fn read(change: &mut Change) -> Result<Self, StoreError> {
        let master_key = change.master_key().clone();
        let before = store::documents_but_quotas(change.connection(), &master_key).await?;
        let after = before.clone();
        Ok(Self {
            before,
            after,
            tried: change.tried(),
        })
    }

    /// Checks that the documents mean something with `node` added or changed, or taken away where there is none.
    pub(super) async fn check(
        self,
        node: Option<Node>,
        kind: ObjectKind,
        name: &str,
    ) -> Result<(), OperationError> {
        // Building the expressions of a rule file takes too long for a thread that serves others.
        let trying = tokio::task::spawn_blocking(move || {
            let Self {
                before,
                after,
                tried,
            } = self;
            let mut prepared = tried.lock().unwrap_or_else(PoisonError::into_inner);
            let known = check::check_with(&before, &|_| None, &mut prepared);
            let place = |of: Node| (Some(of) == node).then(|| HERE.to_owned());
            let problems = check::check_with(&after, &place, &mut prepared);
            let known = known.into_iter().collect();
            let documents = after;
            (Surroundings { documents, known }, problems)
        });
        let (surroundings, problems) = trying
            .await
            .map_err(|source| StoreError::Interrupted { source })?;
        surroundings.judge(problems, kind, name)
    }
}

/// Refuses a name that another object has, in any case.
pub(super) fn free_name<'n, K: PartialEq + 'n, T: 'n>(
    objects: &'n BTreeMap<K, T>,
    name_of: impl Fn(&'n T) -> &'n str,
    id: &K,
    kind: ObjectKind,
    name: &str,
) -> Result<(), OperationError> {
    let is_same = |other: &str| other.to_lowercase() == name.to_lowercase();
    if objects
        .iter()
        .any(|(other, object)| other != id && is_same(name_of(object)))
    {
        return Err(OperationError::NameTaken {
            kind,
            name: name.to_owned(),
        });
    }
    Ok(())
}
