//! Clients that press on a quota as real ones do: they wait when told to, and stop when told to.

use std::net::SocketAddr;
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use super::Reception;
use super::meter::Meter;
use crate::client::Request;
use crate::client::h1::Connection;
use crate::tokens::Tokens;
use crate::wait;

/// Random numbers that are the same in every run (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.any() % end.max(1)
    }

    fn unit(&mut self) -> f64 {
        // 53 bits are what an `f64` holds.
        ((self.any() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Returns a number whose logarithm is normal, around `median`.
    pub fn lognormal(&mut self, median: f64, sigma: f64) -> u64 {
        let radius = (-2.0 * self.unit().ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.unit()).cos();
        (median * (sigma * normal).exp()).round() as u64
    }
}

/// How clients press.
#[derive(Clone, Copy)]
pub struct Load<'a> {
    /// Where; client n takes the address n modulo their number.
    pub addresses: &'a [SocketAddr],
    pub clients: usize,
    /// How many answers a client wants before it stops by itself.
    pub each: usize,
    /// How long a client goes on when it is told to wait.
    pub patience: Duration,
    /// Whether clients try again after a 503, as while the policy service is away.
    pub bears_outages: bool,
    /// The request of client `.0` for its answer `.1`, with its credential.
    pub ask: &'a (dyn Fn(usize, usize) -> Request + Sync),
}

impl std::fmt::Debug for Load<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Load")
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

/// What the clients met.
#[derive(Clone, Debug, Default)]
pub struct Met {
    pub admitted: usize,
    /// When each client was told to stop.
    pub exhausted: Vec<Instant>,
    /// Answers that told a client to wait.
    pub contended: usize,
    /// Clients that waited in vain.
    pub gave_up: usize,
    /// Answers of a mesh whose service was away.
    pub outages: usize,
    /// Everything else, broken connections too.
    pub others: Vec<String>,
}

impl Met {
    /// Counts the refusals that were false: what `meter` says can have been settled by then, and `cheapest` besides,
    /// were within `limit`.
    pub fn false_refusals(
        &self,
        meter: &Meter,
        limit: u64,
        cheapest: u64,
        cost: impl Fn(Tokens) -> u64 + Copy,
    ) -> usize {
        let refused = self.exhausted.iter();
        refused
            .filter(|at| meter.sum_until(**at, cost) + cheapest <= limit)
            .count()
    }
}

impl Load<'_> {
    /// Lets all clients begin at once and returns when the last has stopped.
    pub fn run(&self) -> Met {
        let met = Mutex::new(Met::default());
        let begin = Barrier::new(self.clients);
        std::thread::scope(|scope| {
            for client in 0..self.clients {
                let (met, begin) = (&met, &begin);
                scope.spawn(move || self.client(client, met, begin));
            }
        });
        met.into_inner().unwrap()
    }

    fn client(&self, client: usize, met: &Mutex<Met>, begin: &Barrier) {
        let address = self.addresses[client % self.addresses.len()];
        let mut random = Random::new(0x5eed + client as u64);
        let mut connection = Connection::open(address).ok();
        begin.wait();
        let started = wait::now();
        let mut answers = 0;
        while answers < self.each {
            let request = (self.ask)(client, answers);
            match press(&mut connection, address, &request) {
                Reception::Admitted => {
                    answers += 1;
                    met.lock().unwrap().admitted += 1;
                }
                Reception::Exhausted => {
                    let at = wait::now();
                    met.lock().unwrap().exhausted.push(at);
                    return;
                }
                Reception::Contended { secs } => {
                    met.lock().unwrap().contended += 1;
                    if started.elapsed() > self.patience {
                        met.lock().unwrap().gave_up += 1;
                        return;
                    }
                    // Clients spread their retries.
                    let wait = Duration::from_secs(secs) + Duration::from_millis(random.below(500));
                    std::thread::sleep(wait);
                }
                Reception::Away if self.bears_outages && started.elapsed() < self.patience => {
                    met.lock().unwrap().outages += 1;
                    std::thread::sleep(Duration::from_millis(100 + random.below(100)));
                }
                other @ (Reception::Away | Reception::Other(_)) => {
                    let what = format!("{other:?}");
                    met.lock()
                        .unwrap()
                        .others
                        .push(format!("client {client}: {what}"));
                    return;
                }
            }
        }
    }
}

/// Asks over `connection`, or a new one if it was closed.
fn press(connection: &mut Option<Connection>, address: SocketAddr, request: &Request) -> Reception {
    let open = match connection.take() {
        Some(open) => Ok(open),
        None => Connection::open(address),
    };
    let answered = open.and_then(|mut open| Ok((open.exchange(request)?, open)));
    match answered {
        Ok((answered, open)) => {
            let closes = answered.field("connection").as_deref() == Some("close");
            *connection = (answered.complete && !closes).then_some(open);
            Reception::of(&answered)
        }
        Err(error) => Reception::Other(error.to_string()),
    }
}
