//! A provider, what it used, and a key with a quota of its own.

use std::time::Duration;

use serde_json::{Value, json};

use super::load::{Load, Met};
use super::meter::Meter;
use super::{Figures, LEASE, Quota, Reception};
use crate::client::Request;
use crate::mesh::Mesh;
use crate::mesh::tenant::{Dialect, Registration, Tenant, price};
use crate::provider::answer::Answer;
use crate::provider::{MockProvider, anthropic};
use crate::tokens::{Price, Tokens};
use crate::wait;

/// The model that tests of quotas ask for.
pub const MODEL: &str = "quota-model-1";

/// A thousand tokens are ten cents; what is read is free.
pub const PRICE: Price = Price {
    input: 0,
    cache_read: 0,
    cache_write_5m: 0,
    cache_write_1h: 0,
    output: 100_000_000,
    web_search: 0,
};

/// What an exchange reads.
pub const INPUT: u64 = 10;
/// What an exchange writes: a dime's worth.
pub const OUTPUT: u64 = 1_000;
/// Ten cents in micro-dollars.
pub const DIME: u64 = 100_000;

/// Returns what an exchange costs.
pub fn money(tokens: Tokens) -> u64 {
    PRICE.micro_usd(tokens)
}

/// Returns how many tokens an exchange used.
pub fn tokens(tokens: Tokens) -> u64 {
    tokens.input + tokens.output
}

/// Counts an exchange as one request.
pub fn requests(_: Tokens) -> u64 {
    1
}

/// A request that may write so many tokens.
pub fn ask(max_tokens: u64) -> Request {
    Request::post("/v1/messages", &body(max_tokens, false))
}

/// As [`ask`], for a stream.
pub fn ask_stream(max_tokens: u64) -> Request {
    Request::post("/v1/messages", &body(max_tokens, true))
}

fn body(max_tokens: u64, streamed: bool) -> Value {
    json!({
        "model": MODEL, "max_tokens": max_tokens, "stream": streamed,
        "messages": [{"role": "user", "content": "hello"}],
    })
}

/// The whole answer that used `used`.
pub fn answer(used: Tokens) -> Answer {
    Answer::json(200, &anthropic::message(MODEL, "one two three", used))
}

/// Sets the price of [`MODEL`] for every dialect; it applies when a provider is there whose price it is.
#[track_caller]
pub fn set_prices(mesh: &Mesh) {
    for dialect in [Dialect::Anthropic, Dialect::Openai, Dialect::Gemini] {
        price(mesh.admin(), dialect, MODEL, PRICE);
    }
}

/// See the module.
#[derive(Debug)]
pub struct Stage<'a> {
    pub mesh: &'a Mesh,
    pub provider: MockProvider,
    pub meter: Meter,
    pub tenant: Tenant,
    pub quota: Quota,
}

impl<'a> Stage<'a> {
    /// A stage whose provider uses 10 and 1,000 tokens each time; `rules` are of a quota of the stage's key.
    #[track_caller]
    pub fn new(mesh: &'a Mesh, rules: &Value) -> Self {
        Self::with(mesh, Dialect::Anthropic, rules, |registration| registration)
    }

    /// As [`new`](Self::new), with a provider of another dialect, or registered otherwise.
    #[track_caller]
    pub fn with(
        mesh: &'a Mesh,
        dialect: Dialect,
        rules: &Value,
        registered: impl FnOnce(Registration) -> Registration,
    ) -> Self {
        let meter = Meter::default();
        let counted = meter.clone();
        let provider = MockProvider::start(move |_, _| {
            let used = Tokens::new(INPUT, OUTPUT);
            counted.whole(used, Duration::from_millis(20), answer(used))
        });
        let registration = registered(Registration::new(dialect, &provider));
        let tenant = mesh.tenant(&[registration]);
        let mut rules = rules.clone();
        if rules["node"].is_null() {
            rules["node"] = json!({"key": tenant.key_id});
        }
        let quota = mesh.quota(&rules);
        Self {
            mesh,
            provider,
            meter,
            tenant,
            quota,
        }
    }

    /// Lets `clients` press on every Envoy, each until it has `each` answers or is told to stop.
    pub fn press(&self, clients: usize, each: usize, max_tokens: u64) -> Met {
        self.press_as(clients, each, &|_, _| ask(max_tokens))
    }

    /// As [`press`](Self::press), with requests of the test's own; clients bear it that the service is away.
    pub fn press_as(
        &self,
        clients: usize,
        each: usize,
        ask: &(dyn Fn(usize, usize) -> Request + Sync),
    ) -> Met {
        let load = Load {
            addresses: &self.mesh.addresses(),
            clients,
            each,
            patience: Duration::from_secs(40),
            bears_outages: true,
            ask: &|client, answer| self.tenant.sign(ask(client, answer)),
        };
        load.run()
    }

    /// As [`press`](Self::press), where nothing but answers and refusals may come.
    #[track_caller]
    pub fn press_whole(&self, clients: usize, each: usize, max_tokens: u64) -> Met {
        let met = self.press(clients, each, max_tokens);
        assert_eq!(met.others, Vec::<String>::new(), "{}", self.mesh.logs());
        assert_eq!(met.gave_up, 0, "clients were told to wait to the end");
        assert_eq!(met.admitted, self.provider.count());
        met
    }

    /// Sends `request` with the stage's key; again while a loaded machine lets the service miss its deadline.
    #[track_caller]
    pub fn send(&self, request: &Request) -> Reception {
        let request = self.tenant.sign(request.clone());
        wait::until("the policy service to answer in time", || {
            let reception = Reception::of(&self.mesh.send(&request));
            (reception != Reception::Away).then_some(reception)
        })
    }

    /// Waits until all is settled and returns the figures.
    #[track_caller]
    pub fn figures(
        &self,
        (test, unit): (&'static str, &'static str),
        met: &Met,
        cost: impl Fn(Tokens) -> u64,
    ) -> Figures {
        let (usage, free_after) = self.mesh.settled(&self.quota);
        Figures {
            test,
            unit,
            limit: self.quota.limit,
            spent: self.meter.sum(cost),
            charged: usage.spent,
            admitted: met.admitted,
            exhausted: met.exhausted.len(),
            contended: met.contended,
            unanswered: met.outages,
            false_refusals: 0,
            held: usage.held,
            free_after,
            bound: 0,
            note: String::new(),
        }
    }
}

impl Figures {
    /// Counts the refusals as false when the ledger still has room for `cheapest` in the end: it only fills.
    pub fn false_while_room(&self, cheapest: u64) -> usize {
        let has_room = self.charged + cheapest <= self.limit;
        if has_room { self.exhausted } else { 0 }
    }

    /// Prints the figures and checks what holds for every quota, whatever happened.
    #[track_caller]
    pub fn check(&self) {
        self.print();
        assert!(self.spent <= self.limit + self.bound, "{self}");
        assert_eq!(self.false_refusals, 0, "{self}");
        assert_eq!(self.held, 0, "{self}");
    }

    /// Checks also what holds where nothing was killed.
    #[track_caller]
    pub fn check_exact(&self) {
        self.check();
        assert_eq!(self.spent, self.charged, "provider and ledger: {self}");
        assert!(self.free_after <= LEASE, "{self}");
    }
}
