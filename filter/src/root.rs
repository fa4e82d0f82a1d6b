//! The root context: configuration, ticks, and the answers to what was asked from here.

use std::time::Duration;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use engine::Input;
use policy::units::Timestamp;

use crate::adapt::Adapt;
use crate::body;
use crate::config::{Config, Role};
use crate::follower::Follower;
use crate::govern::{self, Govern};
use crate::host;
use crate::prober;
use crate::reporter;
use crate::teller;
use crate::vm::{self, Vm};

/// How often a VM looks for a new snapshot, sends records and watches deadlines.
const TICK: Duration = Duration::from_millis(100);

/// Exchanges that are told of a change of policy at one tick, at least.
const NEWS: usize = 512;

/// What is done every [`TICK`] is done this long after the last time, whatever ticks come between.
const WORK_MS: u64 = 90;

/// A tick that comes sooner after the last one was asked for by a body that waits.
const EARLY_MS: u64 = 60;

/// The root context of one filter entry in one VM.
#[derive(Debug)]
pub(crate) struct Root {
    id: u32,
    config: Option<Config>,
    follower: Follower,
    /// When the last tick was, and the last with all that it has to do.
    ticked: Timestamp,
    worked: Timestamp,
}

impl Root {
    pub(crate) fn new(id: u32) -> Self {
        Self {
            id,
            config: None,
            follower: Follower::default(),
            ticked: Timestamp::default(),
            worked: Timestamp::default(),
        }
    }

    fn role(&self) -> Option<Role> {
        self.config.as_ref().map(|config| config.role)
    }

    /// Lets every exchange whose deadline has passed decide.
    fn watch_deadlines(&self, cluster: &str) {
        let now = host::now();
        let all = vm::with(|vm| vm.running());
        // All of them hear of a change within half a second, however many there are.
        let mut told = 0;
        let most = NEWS.max(all.len() / 4);
        for running in all {
            let Ok(mut guard) = running.try_borrow_mut() else {
                continue;
            };
            let has_news = told < most && vm::with(|vm| vm.has_news(&guard));
            if has_news {
                told += 1;
                govern::tell_news(now, &mut guard, cluster);
            }
            let late = guard
                .exchange
                .poll_deadline()
                .is_some_and(|deadline| deadline <= now);
            if late && host::enter(guard.context) {
                // A drain ends by its deadline as it should, and so do a turn and a key; a question that nobody
                // answered does not.
                if guard.exchange.awaits_answer() {
                    vm::with(|vm| {
                        vm.counters.resumed_by_watchdog =
                            vm.counters.resumed_by_watchdog.saturating_add(1)
                    });
                }
                guard.exchange.handle(now, Input::DeadlinePassed);
                govern::carry_out_late(now, &mut guard, cluster);
            }
        }
    }

    /// Reads on in bodies that wait, and has ticks come soon while there are any.
    fn read_bodies(&mut self, cluster: &str, now: Timestamp) {
        let is_early = now.millis_since(self.ticked) < EARLY_MS;
        self.ticked = now;
        let had_waiting = body::any_waits();
        if had_waiting {
            body::serve(cluster, now);
        }
        let wanted = if body::any_waits() { body::FAST } else { TICK };
        // Streams were entered; the ticks are the root's.
        if (had_waiting || is_early) && host::enter(self.id) && (wanted == body::FAST) != is_early {
            host::set_tick(wanted);
        }
    }
}

impl Context for Root {
    fn on_grpc_call_response(&mut self, token_id: u32, status_code: u32, response_size: usize) {
        let Some(config) = self.config.clone() else {
            return;
        };
        let Some(cluster) = config.policy_cluster.clone() else {
            return;
        };
        let now = host::now();
        let is_taken = teller::answered(&cluster, token_id, status_code, response_size, now)
            || reporter::answered(&cluster, token_id, status_code, response_size, now);
        if !is_taken {
            self.follower
                .answered(&config, token_id, status_code, response_size);
        }
    }

    fn on_http_call_response(
        &mut self,
        token_id: u32,
        _num_headers: usize,
        body_size: usize,
        _num_trailers: usize,
    ) {
        prober::answered(token_id, body_size);
    }

    fn on_done(&mut self) -> bool {
        if let Some(Config {
            role: Role::Govern,
            policy_cluster: Some(cluster),
            ..
        }) = &self.config
        {
            teller::last_words(cluster, host::now());
            reporter::last_words(cluster);
        }
        true
    }
}

impl RootContext for Root {
    // The proxy also runs this in a VM that it throws away: nothing here may outlive the VM.
    fn on_configure(&mut self, _size: usize) -> bool {
        let text = self.get_plugin_configuration().unwrap_or_default();
        match Config::parse(&text) {
            Ok(config) => {
                if config.role == Role::Govern {
                    self.set_tick_period(TICK);
                }
                self.config = Some(config);
                true
            }
            Err(sentence) => {
                host::error(&sentence);
                false
            }
        }
    }

    fn on_tick(&mut self) {
        let Some(config) = self.config.clone() else {
            return;
        };
        let Some(cluster) = config.policy_cluster.as_deref() else {
            return;
        };
        let now = host::now();
        self.read_bodies(cluster, now);
        // A clock that was set back must not stop the work.
        if now >= self.worked && now.millis_since(self.worked) < WORK_MS {
            return;
        }
        self.worked = now;
        vm::with(Vm::adopt);
        self.follower.tick(&config, now);
        reporter::tick(cluster, now);
        self.watch_deadlines(cluster);
        teller::tick(cluster, now);
    }

    fn create_http_context(&self, context_id: u32) -> Option<Box<dyn HttpContext>> {
        match self.role()? {
            Role::Govern => {
                let cluster = self.config.as_ref()?.policy_cluster.clone()?;
                Some(Box::new(Govern::new(context_id, cluster)))
            }
            Role::Adapt => Some(Box::new(Adapt::default())),
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
