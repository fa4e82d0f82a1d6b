//! What one VM knows: the policy it applies, its running exchanges, the records it still has to deliver.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use dialects::refusal::ProxyReply;
use engine::guard::Guard;
use engine::messages::{Governed, KeyNow};
use engine::quota::{Desk, Limits};
use engine::{DroppedHeaders, Exchange, ExchangeSeed, KeyCooling, SideBySide, Tickets};
use policy::compiled::{CompiledKey, KeyTable, Mesh};
use policy::ids::{ExchangeId, GuardrailId, HolderId};
use policy::key::KeyHash;
use policy::units::Timestamp;

use crate::blobs;
use crate::body::{Bodies, Body};
use crate::host;
use crate::prober::Prober;
use crate::reporter::Outbox;
use crate::shared::{self, Head};
use crate::teller::Teller;

/// Keys kept decoded; more are looked up again.
const CACHED_KEYS: usize = 1_024;

thread_local! {
    static VM: RefCell<Option<Vm>> = const { RefCell::new(None) };
}

/// An exchange and the stream context that holds its request.
#[derive(Debug)]
pub(crate) struct Running {
    pub exchange: Exchange,
    pub context: u32,
    /// Names the exchange in this VM.
    pub serial: u64,
    pub body: Body,
    /// Of its virtual key, where it has one.
    pub key: Option<KeyHash>,
    /// Which policy it was last told of.
    told: Told,
}

/// What of policy an exchange knows.
#[derive(Debug, Default)]
struct Told {
    change: u64,
    mesh: Option<Rc<Mesh>>,
    /// How often the table that its key stands in had changed.
    table: u32,
}

/// The state of this VM.
#[derive(Debug)]
pub(crate) struct Vm {
    pub id: [u8; 16],
    pub node_id: String,
    pub head: Option<Head>,
    pub mesh: Option<Rc<Mesh>>,
    pub guard: Option<Rc<Guard>>,
    pub proof: Proof,
    pub outbox: Outbox,
    pub counters: Counters,
    pub limits: Rc<Limits>,
    pub desk: Rc<RefCell<Desk>>,
    /// Headers of every exchange that did not pass.
    pub dropped: Rc<RefCell<DroppedHeaders>>,
    cooling: Rc<RefCell<KeyCooling>>,
    pub teller: Teller,
    pub prober: Prober,
    side_by_side: Rc<SideBySide>,
    /// Answers that the proxy made by itself, by what they are called.
    proxy_replies: BTreeMap<&'static str, u64>,
    pub bodies: Bodies,
    /// Counts what was taken up of policy: as long as it is the same, nothing has changed for anybody.
    change: u64,
    /// How often each key table has changed.
    tables: Vec<u32>,
    keys: HashMap<KeyHash, Option<Rc<CompiledKey>>>,
    running: HashMap<u64, Rc<RefCell<Running>>>,
    serial: u64,
    /// By which the upstream chain finds its exchange, and no other VM's.
    pub tickets: Tickets,
    random: u64,
}

/// What this VM's own detection made of the guardrails' canaries.
#[derive(Debug, Default)]
pub(crate) struct Proof {
    pub generation: [u8; 16],
    pub version: u64,
    pub found: Vec<(GuardrailId, bool)>,
    /// Why the guardrails of that version cannot be enforced here.
    pub problem: String,
    /// How many quotas refuse what has nothing of them, and the first that does not.
    pub quotas: (u64, String),
}

/// A key table that this build cannot apply.
#[derive(Debug)]
struct Unreadable;

/// Returns how often the table that a key stands in has changed.
fn table(tables: &[u32], hash: &KeyHash) -> u32 {
    tables.get(usize::from(hash.shard())).copied().unwrap_or(0)
}

/// What happened since this VM started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub exchanges: u64,
    pub refusals: u64,
    pub resumed_by_watchdog: u64,
    pub stray_inputs: u64,
}

/// Runs `action` on the state of this VM, making it first when there is none.
pub(crate) fn with<T>(action: impl FnOnce(&mut Vm) -> T) -> T {
    VM.with_borrow_mut(|vm| action(vm.get_or_insert_with(Vm::new)))
}

impl Vm {
    fn new() -> Self {
        let node_id = host::property(&["xds", "node", "id"]).unwrap_or_default();
        Self {
            id: host::random(),
            node_id: String::from_utf8_lossy(&node_id).into_owned(),
            head: None,
            mesh: None,
            guard: None,
            proof: Proof::default(),
            outbox: Outbox::default(),
            counters: Counters::default(),
            limits: Rc::default(),
            desk: Rc::new(RefCell::new(Desk::new(HolderId::from_bytes(
                shared::process_id(),
            )))),
            dropped: Rc::default(),
            cooling: Rc::default(),
            teller: Teller::default(),
            prober: Prober::default(),
            side_by_side: Rc::default(),
            proxy_replies: BTreeMap::new(),
            bodies: Bodies::default(),
            change: 0,
            tables: Vec::new(),
            keys: HashMap::new(),
            running: HashMap::new(),
            serial: u64::from_le_bytes(host::random()),
            tickets: Tickets::new(host::random()),
            random: u64::from_le_bytes(host::random()),
        }
    }

    /// Takes up the snapshot that the process applies.
    pub(crate) fn adopt(&mut self) {
        let Some(head) = shared::head() else { return };
        let changed = self.head.is_none_or(|known| !known.is_same_snapshot(&head));
        if changed && self.is_refused(&head) {
            // The last policy stays in force here, and is as fresh as the service's last answer.
            if let Some(known) = &mut self.head {
                known.confirmed = head.confirmed;
            }
            return;
        }
        if changed {
            self.take_up_tables();
            let mesh_changed = self.head.is_none_or(|known| {
                known.generation != head.generation || known.mesh_version != head.mesh_version
            });
            if mesh_changed && let Some(bytes) = shared::mesh() {
                let Ok(mesh) = Mesh::decode(&bytes) else {
                    return host::error(
                        "the published policy cannot be read; the last one stays in force",
                    );
                };
                if !self.adopt_guard(&mesh, &head) {
                    return;
                }
                self.limits = Rc::new(Limits::new(&mesh));
                self.proof.quotas = self.limits.prove();
                self.mesh = Some(Rc::new(mesh));
                self.change = self.change.wrapping_add(1);
            }
            self.proof.version = head.version;
            self.proof.generation = head.generation;
            // Readiness waits for what this VM says of the new version.
            self.outbox.hurry();
        }
        self.head = Some(head);
    }

    /// Forgets the keys whose tables have changed.
    fn take_up_tables(&mut self) {
        let tables = shared::key_table_changes();
        if tables == self.tables {
            return;
        }
        let Self {
            keys,
            tables: known,
            ..
        } = self;
        keys.retain(|hash, _| table(known, hash) == table(&tables, hash));
        self.tables = tables;
        self.change = self.change.wrapping_add(1);
    }

    /// Returns what has changed for an exchange since it was last told; `None` if nothing has.
    pub(crate) fn news(&mut self, running: &mut Running) -> Option<Governed> {
        if running.told.change == self.change {
            return None;
        }
        running.told.change = self.change;
        let mesh = self.mesh.clone()?;
        let mut key = KeyNow::AsBefore;
        if let Some(hash) = running.key {
            let now = table(&self.tables, &hash);
            if std::mem::replace(&mut running.told.table, now) != now {
                key = match self.find_key(&hash) {
                    Ok(Some(found)) => KeyNow::Is(found),
                    Ok(None) => KeyNow::Gone,
                    // Nobody can say what became of it.
                    Err(Unreadable) => KeyNow::AsBefore,
                };
            }
        }
        let is_same_mesh = running.told.mesh.as_ref();
        let is_same_mesh = is_same_mesh.is_some_and(|told| Rc::ptr_eq(told, &mesh));
        if is_same_mesh && matches!(key, KeyNow::AsBefore) {
            return None;
        }
        running.told.mesh = Some(Rc::clone(&mesh));
        Some(Governed {
            mesh,
            guard: self.guard.clone(),
            limits: Rc::clone(&self.limits),
            key,
        })
    }

    /// Whether an exchange may not know of the latest change.
    pub(crate) const fn has_news(&self, running: &Running) -> bool {
        running.told.change != self.change
    }

    /// Whether this version was tried and its guardrails cannot be enforced here.
    fn is_refused(&self, head: &Head) -> bool {
        self.proof.version == head.version
            && self.proof.generation == head.generation
            && !self.proof.problem.is_empty()
    }

    /// Prepares the guardrails of a new mesh; `false` if they cannot be enforced, so that the mesh cannot either.
    fn adopt_guard(&mut self, mesh: &Mesh, head: &Head) -> bool {
        let Head {
            generation,
            version,
            ..
        } = *head;
        if mesh.guardrails.is_empty() {
            self.guard = None;
            self.proof = Proof::default();
            return true;
        }
        if self.guard.as_ref().is_some_and(|guard| guard.is_for(mesh)) {
            return true;
        }
        self.random = self.random.rotate_left(7).wrapping_add(version);
        match Guard::new(mesh, &blobs::load, self.random) {
            Ok(guard) => {
                self.proof = Proof {
                    generation,
                    version,
                    found: guard.prove(),
                    problem: String::new(),
                    quotas: Default::default(),
                };
                self.guard = Some(Rc::new(guard));
                true
            }
            Err(error) => {
                host::error(
                    "the guardrails of the published policy cannot be enforced here; the last policy stays in force",
                );
                self.proof = Proof {
                    generation,
                    version,
                    found: mesh
                        .guardrails
                        .iter()
                        .map(|rail| (rail.id, false))
                        .collect(),
                    problem: error.to_string(),
                    quotas: Default::default(),
                };
                false
            }
        }
    }

    /// Returns what is known about a virtual key.
    pub(crate) fn key(&mut self, running: &mut Running, hash: &KeyHash) -> Option<Rc<CompiledKey>> {
        running.key = Some(*hash);
        running.told.table = table(&self.tables, hash);
        self.find_key(hash).ok().flatten()
    }

    fn find_key(&mut self, hash: &KeyHash) -> Result<Option<Rc<CompiledKey>>, Unreadable> {
        if let Some(known) = self.keys.get(hash) {
            return Ok(known.clone());
        }
        let found = match shared::key_table(hash.shard()) {
            Some(table) => KeyTable::find(&table, hash),
            None => Ok(None),
        };
        let found = found.map_err(|_unreadable| {
            host::error("a key table cannot be read; its keys are refused");
            Unreadable
        })?;
        let found = found.map(Rc::new);
        // Unknown keys are not kept: whoever guesses keys must not fill the memory.
        if found.is_some() {
            if self.keys.len() >= CACHED_KEYS {
                self.keys.clear();
            }
            self.keys.insert(*hash, found.clone());
        }
        Ok(found)
    }

    /// Starts an exchange under the policy in force.
    pub(crate) fn begin(&mut self, context: u32, now: Timestamp) -> (u64, Rc<RefCell<Running>>) {
        self.adopt();
        let mesh_is_stale = match (&self.mesh, self.head) {
            (Some(mesh), Some(head)) => now.millis_since(head.confirmed) > mesh.snapshot_max_age_ms,
            (None, _) | (_, None) => false,
        };
        let exchange = Exchange::new(ExchangeSeed {
            id: self.exchange_id(now),
            mesh: self.mesh.clone(),
            mesh_is_stale,
            guard: self.guard.clone(),
            limits: Rc::clone(&self.limits),
            desk: Rc::clone(&self.desk),
            side_by_side: Rc::clone(&self.side_by_side),
            dropped: Rc::clone(&self.dropped),
            cooling: Rc::clone(&self.cooling),
            records_are_full: (self.outbox.is_full() && !self.drops_records())
                || self.desk.borrow().is_full(),
            now,
        });
        self.serial = self.serial.wrapping_add(1);
        let running = Rc::new(RefCell::new(Running {
            exchange,
            context,
            serial: self.serial,
            body: Body::default(),
            key: None,
            told: Told {
                change: self.change,
                mesh: self.mesh.clone(),
                table: 0,
            },
        }));
        self.running.insert(self.serial, Rc::clone(&running));
        self.counters.exchanges = self.counters.exchanges.saturating_add(1);
        (self.serial, running)
    }

    fn drops_records(&self) -> bool {
        self.mesh.as_ref().is_some_and(|mesh| {
            mesh.on_record_overflow == policy::documents::OnRecordOverflow::Drop
        })
    }

    /// Returns the exchange that `begin` numbered so, while it runs.
    pub(crate) fn find(&self, serial: u64) -> Option<Rc<RefCell<Running>>> {
        self.running.get(&serial).cloned()
    }

    /// Forgets an exchange.
    pub(crate) fn end(&mut self, serial: u64) {
        self.running.remove(&serial);
    }

    /// Counts an answer that the proxy made by itself.
    pub(crate) fn count_proxy_reply(&mut self, details: &str) {
        let code = ProxyReply::of(details).code.name();
        let count = self.proxy_replies.entry(code).or_default();
        *count = count.saturating_add(1);
    }

    /// Returns the answers that the proxy made by itself, by code.
    pub(crate) const fn proxy_replies(&self) -> &BTreeMap<&'static str, u64> {
        &self.proxy_replies
    }

    /// Returns every running exchange.
    pub(crate) fn running(&self) -> Vec<Rc<RefCell<Running>>> {
        self.running.values().cloned().collect()
    }

    /// A UUID of version 7: sorts by time, random otherwise.
    fn exchange_id(&mut self, now: Timestamp) -> ExchangeId {
        // SplitMix64 over a random start: unique in the VM, and no host call for each request.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let [vm_a, vm_b, ..] = self.id;
        let mut random = [0; 10];
        for (byte, value) in random
            .iter_mut()
            .zip([vm_a, vm_b].into_iter().chain(mixed.to_le_bytes()))
        {
            *byte = value;
        }
        ExchangeId::new(
            uuid::Builder::from_unix_timestamp_millis(now.as_millis(), &random).into_uuid(),
        )
    }
}
