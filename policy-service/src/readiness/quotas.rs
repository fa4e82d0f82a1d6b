//! Proof that quotas are enforced, as far as the service can give it itself: the ledger answers for each of them, and
//! those of single keys and users are in the key tables, where an exchange of the key finds them.
//!
//! That filters enforce the quotas of the mesh they say themselves, see [`Fleet`](crate::mesh::Fleet).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use policy::compiled::KeyTable;
use policy::ids::QuotaId;
use policy::key::KeyHash;
use policy::quota::covering::{Part, Payer, Target, covering};
use policy::quota::lease::Ask;
use policy::quota::{AccountId, Member, Quota};
use tokio::time::Instant;

use crate::ledger::Quotas;
use crate::ledger::ledgers::Ledgers;
use crate::mesh::{Control, Lack, QuotasToProve, UnprovenQuota, Version};

/// Quotas that the ledger is asked for at once.
const AT_ONCE: usize = 256;
/// A ledger that answered is asked again after this time.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// What was proven so far; what has not changed is not proven again.
#[derive(Debug, Default)]
pub(crate) struct QuotaProof {
    /// What the ledger answered for.
    answered: HashMap<QuotaId, Arc<Quota>>,
    /// The quotas that it answered for all together, and when it did last.
    asked: Option<Arc<Quotas>>,
    asked_at: Option<Instant>,
    /// Under which version, and for which quotas, the key tables were read.
    tables: Option<(Version, QuotasToProve)>,
}

impl QuotaProof {
    /// Returns the first quota that is not enforced, and why.
    pub(crate) async fn advance(&mut self, control: &Control) -> Option<UnprovenQuota> {
        let to_prove = control.publisher().status().quotas;
        match control.ledger_quotas() {
            Some((ledgers, quotas)) => {
                if let Some(unproven) = self.ask(ledgers, &quotas).await {
                    return Some(unproven);
                }
            }
            None if to_prove.all == 0 => {}
            None => {
                return Some(unproven(
                    None,
                    String::from("this service was started without a ledger"),
                ));
            }
        }
        self.read_tables(control, to_prove).await
    }

    async fn ask(&mut self, ledgers: &Ledgers, quotas: &Arc<Quotas>) -> Option<UnprovenQuota> {
        let is_known = self
            .asked
            .as_ref()
            .is_some_and(|asked| Arc::ptr_eq(asked, quotas));
        if is_known && self.asked_at.is_some_and(|at| at.elapsed() < ASK_AGAIN) {
            return None;
        }
        let (known, all) = (std::mem::take(&mut self.answered), Arc::clone(quotas));
        // There may be a hundred thousand.
        let dividing = tokio::task::spawn_blocking(move || divided(known, &all));
        let (known, mut fresh) = match dividing.await {
            Ok(divided) => divided,
            Err(ended) => return Some(unproven(None, format!("comparing them ended: {ended}"))),
        };
        self.answered = known;
        if fresh.is_empty() {
            fresh = quotas.iter().take(AT_ONCE).cloned().collect();
        }
        for some in fresh.chunks(AT_ONCE) {
            if let Err(problem) = answers(ledgers, some).await {
                self.asked = None;
                return Some(problem);
            }
            let known = some.iter().map(|quota| (quota.id, Arc::clone(quota)));
            self.answered.extend(known);
        }
        self.asked = Some(Arc::clone(quotas));
        self.asked_at = Some(Instant::now());
        None
    }

    async fn read_tables(
        &mut self,
        control: &Control,
        to_prove: QuotasToProve,
    ) -> Option<UnprovenQuota> {
        let version = control.version();
        if self.tables.as_ref().is_some_and(|(read, proven)| {
            *read == version && Arc::ptr_eq(&proven.of_keys, &to_prove.of_keys)
        }) {
            return None;
        }
        let snapshot = control
            .publisher()
            .kept_version(version.generation, version.version)?;
        let of_keys = Arc::clone(&to_prove.of_keys);
        let reading = tokio::task::spawn_blocking(move || {
            of_keys
                .iter()
                .find_map(|(hash, id)| missing(snapshot.shard(hash.shard()), hash, *id))
        });
        match reading.await {
            Ok(None) => {
                self.tables = Some((version, to_prove));
                None
            }
            Ok(Some((id, problem))) => {
                let name = control
                    .ledger_quotas()
                    .and_then(|(_, quotas)| Some(quotas.get(id)?.name.clone()));
                Some(unproven(
                    Some(name.unwrap_or_else(|| id.to_string())),
                    problem,
                ))
            }
            Err(ended) => Some(unproven(
                None,
                format!("reading the key tables ended: {ended}"),
            )),
        }
    }
}

/// Returns what of `known` is still so, and the quotas that are new or changed.
fn divided(
    mut known: HashMap<QuotaId, Arc<Quota>>,
    all: &Quotas,
) -> (HashMap<QuotaId, Arc<Quota>>, Vec<Arc<Quota>>) {
    known.retain(|id, known| all.get(*id).is_some_and(|quota| quota == known));
    let fresh = all.iter().filter(|quota| !known.contains_key(&quota.id));
    let fresh = fresh.cloned().collect();
    (known, fresh)
}

/// Looks every quota up in the ledger, together; one after another when that fails, to name the one.
async fn answers(ledgers: &Ledgers, quotas: &[Arc<Quota>]) -> Result<(), UnprovenQuota> {
    let figures = ledgers.look(quotas.iter().map(|quota| ask(quota)).collect());
    match figures.await {
        Ok(figures) if figures.len() == quotas.len() => return Ok(()),
        Ok(_) => {}
        Err(failure) if failure.is_transient() => {
            let problem = format!(
                "the ledger does not answer: {}",
                crate::mesh::chain(&failure)
            );
            return Err(unproven(None, problem));
        }
        Err(_) => {}
    }
    for quota in quotas {
        let problem = match ledgers.look(vec![ask(quota)]).await {
            Ok(figures) if figures.len() == 1 => continue,
            Ok(_) => String::from("the ledger does not know it"),
            Err(failure) => crate::mesh::chain(&failure),
        };
        return Err(unproven(Some(quota.name.clone()), problem));
    }
    Ok(())
}

/// The whole of the quota; where each member counts, nobody's account, which stands for all of them.
fn ask(quota: &Quota) -> Ask {
    Ask {
        quota: quota.id,
        part: Part::Limit,
        account: AccountId::of(quota.id, &Member::Everyone),
        need: 0,
        want: 0,
    }
}

/// Reads a key as a filter does, and says what is wrong if its exchanges are not charged to the quota.
fn missing(table: Option<&[u8]>, hash: &KeyHash, id: QuotaId) -> Option<(QuotaId, String)> {
    let wrong = |problem: String| Some((id, problem));
    let key = match KeyTable::find(table.unwrap_or_default(), hash) {
        Ok(Some(key)) => key,
        Ok(None) => return wrong(String::from("its key is not in the key tables")),
        Err(damaged) => return wrong(format!("its key table cannot be read: {damaged}")),
    };
    let payer = Payer {
        principal: &key.principal,
        session: "",
        agent: "",
    };
    // Whatever is called counts here: which models and providers a quota is for does not depend on the table.
    let of_everything = key.quotas.iter().map(|quota| {
        let mut quota = quota.clone();
        quota.rules.models.clear();
        quota.rules.providers.clear();
        quota
    });
    let of_everything: Vec<_> = of_everything.collect();
    let target = Target {
        provider: "",
        model: "",
    };
    let charged = covering(&of_everything, &payer, &[target]);
    if charged.iter().any(|charged| charged.quota.id == id) {
        return None;
    }
    wrong(String::from("exchanges of its key are not charged to it"))
}

fn unproven(quota: Option<String>, problem: String) -> UnprovenQuota {
    UnprovenQuota {
        quota,
        node_id: None,
        vm: None,
        lack: Lack::NotFound { problem },
    }
}
