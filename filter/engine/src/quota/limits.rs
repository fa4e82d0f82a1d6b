//! The quotas and prices of one policy.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use policy::compiled::{CompiledKey, Mesh, PriceTable, Principal};
use policy::documents::Scope;
use policy::ids::{HolderId, KeyId, QuotaId};
use policy::price::Rates;
use policy::quota::covering::{Charged, Part, Target, covering};
use policy::quota::slices::Need;
use policy::quota::{
    AccountId, Figures, Holds, Level, Mode, OnOutage, OnStream, Payer, Quota, QuotaIndex,
    QuotaNode, Unit,
};
use policy::units::Timestamp;
use xxhash_rust::xxh3::Xxh3Default;

use super::Desk;

/// The quotas of a mesh, found by whom they stand at, and its prices.
#[derive(Debug, Default)]
pub struct Limits {
    index: QuotaIndex,
    prices: Vec<Prices>,
    /// What was found for the latest sessions: the next turn of a session is charged to the same.
    charged: RefCell<HashMap<u64, Charging>>,
}

/// Who asked for which targets, and what that is charged to.
#[derive(Debug)]
struct Charging {
    key: Option<Rc<CompiledKey>>,
    session: String,
    agent: String,
    targets: Vec<(String, String)>,
    lines: Rc<[Line]>,
}

/// Sessions whose lines are remembered.
const SESSIONS: usize = 512;

/// One table, and what was found in it: patterns are many, models few.
#[derive(Debug)]
struct Prices {
    table: PriceTable,
    found: RefCell<BTreeMap<String, Rates>>,
}

/// Models of one table whose prices are remembered.
const REMEMBERED: usize = 1_024;

/// One account that an exchange is charged to, and what its quota says about the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    pub quota: QuotaId,
    pub account: AccountId,
    pub level: Level,
    pub part: Part,
    pub unit: Unit,
    pub is_strict: bool,
    /// Never refuses.
    pub is_soft: bool,
    /// Counts only what some targets use.
    pub is_partial: bool,
    /// Clients see the limit and what is left of it.
    pub shows_figures: bool,
    pub on_stream: OnStream,
    pub on_outage: OnOutage,
}

impl Charging {
    fn is_for(
        &self,
        key: Option<&Rc<CompiledKey>>,
        payer: &Payer<'_>,
        targets: &[Target<'_>],
    ) -> bool {
        let is_same_key = match (&self.key, key) {
            (Some(known), Some(key)) => Rc::ptr_eq(known, key),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let known = self
            .targets
            .iter()
            .map(|(provider, model)| (provider.as_str(), model.as_str()));
        is_same_key
            && self.session == payer.session
            && self.agent == payer.agent
            && known.eq(targets.iter().map(|at| (at.provider, at.model)))
    }
}

/// Where to look; what is found there is compared with what was asked.
fn place(payer: &Payer<'_>, targets: &[Target<'_>]) -> u64 {
    let mut hash = Xxh3Default::new();
    hash.update(&payer.principal.key.map_or([0; 16], KeyId::into_bytes));
    hash.update(payer.session.as_bytes());
    hash.update(payer.agent.as_bytes());
    for target in targets {
        hash.update(target.provider.as_bytes());
        hash.update(target.model.as_bytes());
    }
    hash.digest()
}

impl Line {
    fn of(charged: &Charged<'_>) -> Self {
        let rules = &charged.quota.rules;
        Self {
            quota: charged.quota.id,
            account: charged.account,
            level: charged.level,
            part: charged.part,
            unit: rules.unit,
            is_strict: rules.holds == Holds::Strict && !rules.unit.counts_at_admission(),
            is_soft: rules.mode == Mode::Soft,
            is_partial: !(rules.models.is_empty() && rules.providers.is_empty()),
            shows_figures: rules.figures == Figures::Shown,
            on_stream: rules.on_stream,
            on_outage: rules.on_outage,
        }
    }
}

impl Limits {
    /// Puts the quotas of a mesh in order.
    pub fn new(mesh: &Mesh) -> Self {
        Self {
            index: QuotaIndex::new(mesh.quotas.iter().cloned()),
            charged: RefCell::default(),
            prices: mesh
                .prices
                .iter()
                .map(|table| Prices {
                    table: table.clone(),
                    found: RefCell::default(),
                })
                .collect(),
        }
    }

    /// Returns what an exchange that may go to `targets` is charged to, lowest level first.
    pub fn lines(
        &self,
        key: Option<&Rc<CompiledKey>>,
        payer: &Payer<'_>,
        targets: &[Target<'_>],
    ) -> Rc<[Line]> {
        let place = place(payer, targets);
        let mut known = self.charged.borrow_mut();
        if let Some(found) = known
            .get(&place)
            .filter(|it| it.is_for(key, payer, targets))
        {
            return Rc::clone(&found.lines);
        }
        let own = key.map_or(&[][..], |key| key.quotas.as_slice());
        let charged = self.index.covering_with(own, payer, targets);
        let lines: Rc<[Line]> = charged.iter().map(Line::of).collect();
        if known.len() >= SESSIONS {
            known.clear();
        }
        let names = |at: &Target<'_>| (at.provider.to_owned(), at.model.to_owned());
        let charging = Charging {
            key: key.cloned(),
            session: payer.session.to_owned(),
            agent: payer.agent.to_owned(),
            targets: targets.iter().map(names).collect(),
            lines: Rc::clone(&lines),
        };
        known.insert(place, charging);
        lines
    }

    /// Whether no exchange of this key is charged to anything.
    pub fn are_none_for(&self, key: Option<&CompiledKey>) -> bool {
        self.index.is_empty() && key.is_none_or(|key| key.quotas.is_empty())
    }

    /// Returns the quota with this id, of the mesh or the key.
    pub fn quota<'q>(&'q self, key: Option<&'q CompiledKey>, id: QuotaId) -> Option<&'q Quota> {
        let own = key.and_then(|key| key.quotas.iter().find(|quota| quota.id == id));
        own.or_else(|| self.index.get(id))
    }

    /// Returns the prices of a model; nothing costs anything in a table that no money quota asked for.
    pub fn rates(&self, table: &str, model: &str) -> Rates {
        let mut tables = self.prices.iter();
        let Some(prices) = tables.find(|prices| prices.table.table == table) else {
            return Rates::FREE;
        };
        let mut found = prices.found.borrow_mut();
        if let Some(known) = found.get(model) {
            return *known;
        }
        if found.len() >= REMEMBERED {
            found.clear();
        }
        let rates = *prices.table.rates(model);
        found.insert(model.to_owned(), rates);
        rates
    }

    /// Shows that every quota of the mesh refuses a request that nothing was leased for; returns how many do, and
    /// what is wrong with the first that does not.
    pub fn prove(&self) -> (u64, String) {
        let mut proven = 0;
        let mut problem = String::new();
        for quota in self.index.iter() {
            if self.refuses_unleased(quota) {
                proven += 1;
            } else if problem.is_empty() {
                problem = format!("the quota `{}` does not cover its own node", quota.name);
            }
        }
        (proven, problem)
    }

    fn refuses_unleased(&self, quota: &Quota) -> bool {
        let principal = member_of(quota.rules.node);
        let payer = Payer {
            principal: &principal,
            session: "canary",
            agent: "canary",
        };
        // What a pattern matches was tried when it was written; here it counts whose use is covered.
        let mut anywhere = quota.clone();
        anywhere.rules.models.clear();
        anywhere.rules.providers.clear();
        let target = Target {
            provider: "canary",
            model: "canary",
        };
        let charged = covering([&anywhere], &payer, &[target]);
        let own: Vec<_> = charged.iter().map(Line::of).collect();
        let needs: Vec<_> = own
            .iter()
            .map(|line| Need {
                account: line.account,
                amount: 1,
            })
            .collect();
        let admitted =
            Desk::new(HolderId::from_bytes([0; 16])).admit(Timestamp::default(), &own, &needs);
        !own.is_empty() && admitted.is_err()
    }
}

/// A principal that the node covers.
fn member_of(node: QuotaNode) -> Principal {
    let scope = match node {
        QuotaNode::Organisation => Scope::Global,
        QuotaNode::Customer(id) => Scope::Customer(id),
        QuotaNode::Team(id) | QuotaNode::EachMember(id) => Scope::Team(id),
        QuotaNode::User(id) => Scope::User(id),
        QuotaNode::Key(id) => Scope::Key(id),
        QuotaNode::EachSession(scope) | QuotaNode::EachAgent(scope) => scope,
    };
    let mut principal = Principal {
        key: Some(KeyId::from_bytes([0; 16])),
        ..Principal::default()
    };
    match scope {
        Scope::Global => {}
        Scope::Customer(id) => principal.customer = Some(id),
        Scope::Team(id) => principal.team = Some(id),
        Scope::User(id) => principal.user = Some(id),
        Scope::Key(id) => principal.key = Some(id),
    }
    principal
}
