//! What a scripted provider really used, whoever was still listening.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::provider::answer::{Answer, Step, Tell};
use crate::tokens::Tokens;
use crate::wait;

/// Counts what providers generate. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    uses: Arc<Mutex<Vec<Use>>>,
}

/// One request at the provider.
#[derive(Clone, Debug)]
struct Use {
    tokens: Tokens,
    /// What a stream has generated so far, in place of `tokens.output`.
    generated: Option<Arc<AtomicU64>>,
    /// When the provider began to send: nobody can have known what was used before.
    sent: Arc<OnceLock<Instant>>,
}

impl Use {
    fn tokens(&self) -> Tokens {
        let mut tokens = self.tokens;
        if let Some(generated) = &self.generated {
            tokens.output = generated.load(Ordering::SeqCst);
        }
        tokens
    }
}

impl Meter {
    /// Counts `tokens` for an answer that is generated whole, in the time that is given; the provider bills them
    /// although the client may be gone by then.
    pub fn whole(&self, tokens: Tokens, takes: Duration, answer: Answer) -> Answer {
        let sent = self.add(tokens, None);
        answer.first(Step::Pause(takes)).first(told(sent))
    }

    /// Counts `per_delta` tokens with each event that mentions `mark`; a pause goes before each.
    pub fn stream(
        &self,
        tokens: Tokens,
        events: Vec<String>,
        (mark, per_delta): (&str, u64),
        pause: Duration,
    ) -> Answer {
        let generated = Arc::new(AtomicU64::new(0));
        let sent = self.add(tokens, Some(Arc::clone(&generated)));
        let mut answer = Answer::sse(Vec::<String>::new()).first(told(sent));
        for event in events {
            if event.contains(mark) {
                let count = Arc::clone(&generated);
                let tell = Tell::new(move || {
                    count.fetch_add(per_delta, Ordering::SeqCst);
                });
                answer = answer.step(Step::Pause(pause)).step(Step::Tell(tell));
            }
            answer = answer.step(Step::Write(event.into_bytes()));
        }
        answer
    }

    fn add(&self, tokens: Tokens, generated: Option<Arc<AtomicU64>>) -> Arc<OnceLock<Instant>> {
        let sent = Arc::new(OnceLock::new());
        self.uses.lock().unwrap().push(Use {
            tokens,
            generated,
            sent: Arc::clone(&sent),
        });
        sent
    }

    /// Returns how many requests used something.
    pub fn count(&self) -> usize {
        self.uses.lock().unwrap().len()
    }

    /// Adds up what was used, each request by `cost`.
    pub fn sum(&self, cost: impl Fn(Tokens) -> u64) -> u64 {
        let uses = self.uses.lock().unwrap();
        uses.iter().map(|one| cost(one.tokens())).sum()
    }

    /// Adds up what was sent until `at`: the most that can have been settled then.
    pub fn sum_until(&self, at: Instant, cost: impl Fn(Tokens) -> u64) -> u64 {
        let uses = self.uses.lock().unwrap();
        let until = uses
            .iter()
            .filter(|one| one.sent.get().is_some_and(|sent| *sent <= at));
        until.map(|one| cost(one.tokens())).sum()
    }

    /// Returns the cost of each request, the largest first.
    pub fn costs(&self, cost: impl Fn(Tokens) -> u64) -> Vec<u64> {
        let uses = self.uses.lock().unwrap();
        let mut costs: Vec<u64> = uses.iter().map(|one| cost(one.tokens())).collect();
        costs.sort_unstable_by(|a, b| b.cmp(a));
        costs
    }
}

fn told(sent: Arc<OnceLock<Instant>>) -> Step {
    Step::Tell(Tell::new(move || {
        sent.get_or_init(wait::now);
    }))
}
