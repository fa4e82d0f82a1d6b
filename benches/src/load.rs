//! A keep-alive client that loads one endpoint and checks what it gets.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::http1::Messages;

/// How long an answer may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request ready to be written, and the answer it must get.
#[derive(Clone, Debug)]
pub struct Ask {
    pub bytes: Vec<u8>,
    pub status: u16,
    pub expected: Expected,
}

/// What the body of an answer must be.
#[derive(Clone, Debug)]
pub enum Expected {
    Exactly(Vec<u8>),
    /// Not ours to judge: another gateway may write the answer anew.
    Anything,
}

impl Expected {
    fn has(&self, at: usize, piece: &[u8]) -> bool {
        match self {
            Self::Exactly(body) => body.get(at..at + piece.len()) == Some(piece),
            Self::Anything => true,
        }
    }

    fn ends_at(&self, length: usize) -> bool {
        match self {
            Self::Exactly(body) => body.len() == length,
            Self::Anything => length > 0,
        }
    }
}

/// What one exchange took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// From the first request byte to the first byte of the response's body.
    pub first_byte: Duration,
    /// From the first request byte to the last of the response.
    pub whole: Duration,
}

/// The time it is.
pub fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    Instant::now()
}

/// One kept connection.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    to: TcpStream,
    messages: Messages<TcpStream>,
}

impl Connection {
    /// Connects to `address`.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn open(address: SocketAddr) -> Result<Self> {
        let (to, messages) =
            connect(address).with_context(|| format!("nothing answers on {address}"))?;
        Ok(Self {
            address,
            to,
            messages,
        })
    }

    /// Connects anew.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn reopen(&mut self) -> Result<()> {
        *self = Self::open(self.address)?;
        Ok(())
    }

    /// Does one exchange and compares the answer with what is expected, byte by byte.
    ///
    /// # Errors
    /// When the connection breaks, or the answer is another.
    pub fn exchange(&mut self, ask: &Ask) -> Result<Took> {
        let began = now();
        self.to.write_all(&ask.bytes)?;
        let head = self
            .messages
            .head()?
            .context("the connection was closed instead of an answer")?;
        let mut first = None;
        let mut read = 0;
        let mut equal = true;
        let mut sample = Vec::new();
        self.messages.body(&head, |piece| {
            first.get_or_insert_with(now);
            equal &= ask.expected.has(read, piece);
            read += piece.len();
            if sample.len() < 300 {
                sample.extend_from_slice(piece.get(..300.min(piece.len())).unwrap_or_default());
            }
        })?;
        let ended = now();
        // A proxy that refuses before it has read the body closes the connection.
        let closes = ask.status >= 400 || head.field("connection") == Some("close");
        let status = head.word(1);
        ensure!(
            status == ask.status.to_string(),
            "status {status} where {} was expected: {}",
            ask.status,
            String::from_utf8_lossy(&sample)
        );
        ensure!(
            equal && ask.expected.ends_at(read),
            "an answer of {read} bytes is not the one expected: {}",
            String::from_utf8_lossy(&sample)
        );
        if closes {
            self.reopen()?;
        }
        Ok(Took {
            first_byte: first.unwrap_or(ended) - began,
            whole: ended - began,
        })
    }
}

fn connect(address: SocketAddr) -> io::Result<(TcpStream, Messages<TcpStream>)> {
    let to = TcpStream::connect(address)?;
    to.set_nodelay(true)?;
    to.set_read_timeout(Some(PATIENCE))?;
    let messages = Messages::new(to.try_clone()?);
    Ok((to, messages))
}

/// Connections to one endpoint, kept for a whole measurement.
#[derive(Debug)]
pub struct Client {
    connections: Vec<Connection>,
}

impl Client {
    /// Opens `connections` connections.
    ///
    /// # Errors
    /// When nobody listens at `address`.
    pub fn open(address: SocketAddr, connections: usize) -> Result<Self> {
        let connections = (0..connections)
            .map(|_| Connection::open(address))
            .collect::<Result<_>>()?;
        Ok(Self { connections })
    }

    /// Does `count` exchanges as fast as all connections together can.
    ///
    /// # Errors
    /// The first wrong answer or broken connection.
    pub fn run(&mut self, ask: &Ask, count: usize) -> Result<Vec<Took>> {
        self.run_mixed(std::slice::from_ref(ask), count)
    }

    /// Does `count` exchanges, each with the next of `asks`.
    ///
    /// # Errors
    /// The first wrong answer or broken connection.
    pub fn run_mixed(&mut self, asks: &[Ask], count: usize) -> Result<Vec<Took>> {
        let next = AtomicUsize::new(0);
        let next = &next;
        let worked = thread::scope(|scope| {
            let threads: Vec<_> = self
                .connections
                .iter_mut()
                .map(|connection| scope.spawn(move || work(connection, asks, next, count)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join())
                .collect::<Vec<_>>()
        });
        let mut all = Vec::with_capacity(count);
        for result in worked {
            match result {
                Ok(took) => all.extend(took?),
                Err(_panic) => bail!("a load thread panicked"),
            }
        }
        Ok(all)
    }

    /// Sends at a steady `rate` for `duration`, whatever the answers take; latency counts from the moment a request was due.
    ///
    /// # Errors
    /// When no connection can be had any more.
    pub fn steady(&mut self, asks: &[Ask], rate: f64, duration: Duration) -> Result<Steady> {
        let lanes = self.connections.len();
        let gap = Duration::from_secs_f64(lanes as f64 / rate);
        let began = now() + Duration::from_millis(20);
        let worked = thread::scope(|scope| {
            let threads: Vec<_> = self
                .connections
                .iter_mut()
                .enumerate()
                .map(|(lane, connection)| {
                    let first = began + gap.mul_f64(lane as f64 / lanes as f64);
                    scope.spawn(move || {
                        lane_of(
                            connection,
                            asks,
                            Lane {
                                number: lane,
                                lanes,
                                first,
                                gap,
                                until: began + duration,
                            },
                        )
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join())
                .collect::<Vec<_>>()
        });
        let mut sum = Steady::default();
        for result in worked {
            match result {
                Ok(lane) => sum.add(lane?),
                Err(_panic) => bail!("a load thread panicked"),
            }
        }
        Ok(sum)
    }
}

fn work(
    connection: &mut Connection,
    asks: &[Ask],
    next: &AtomicUsize,
    count: usize,
) -> Result<Vec<Took>> {
    let mut took = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= count {
            return Ok(took);
        }
        let ask = asks.get(number % asks.len()).context("nothing to ask")?;
        took.push(connection.exchange(ask)?);
    }
}

/// What a steady load met.
#[derive(Clone, Debug, Default)]
pub struct Steady {
    pub succeeded: usize,
    pub failed: usize,
    /// First of the failures, in words.
    pub failure: Option<String>,
    /// From the moment a request was due to the first byte of its answer's body.
    pub first_bytes: Vec<Duration>,
    /// From the moment a request was due to the end of its answer.
    pub wholes: Vec<Duration>,
}

impl Steady {
    fn add(&mut self, other: Self) {
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.failure = self.failure.take().or(other.failure);
        self.first_bytes.extend(other.first_bytes);
        self.wholes.extend(other.wholes);
    }
}

#[derive(Clone, Copy, Debug)]
struct Lane {
    number: usize,
    lanes: usize,
    first: Instant,
    gap: Duration,
    until: Instant,
}

fn lane_of(connection: &mut Connection, asks: &[Ask], lane: Lane) -> Result<Steady> {
    let mut met = Steady::default();
    let mut due = lane.first;
    let mut number = lane.number;
    while due < lane.until {
        thread::sleep(due.saturating_duration_since(now()));
        let late = now().saturating_duration_since(due);
        let ask = asks.get(number % asks.len()).context("nothing to ask")?;
        match connection.exchange(ask) {
            Ok(took) => {
                met.succeeded += 1;
                met.first_bytes.push(late + took.first_byte);
                met.wholes.push(late + took.whole);
            }
            Err(error) => {
                met.failed += 1;
                met.failure.get_or_insert_with(|| format!("{error:#}"));
                connection.reopen()?;
            }
        }
        due += lane.gap;
        number += lane.lanes;
    }
    Ok(met)
}

/// Returns the value below which `share` (0 to 1) of the values lie.
pub fn quantile(values: &mut [Duration], share: f64) -> Duration {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length is a place in it"
    )]
    let at = (last as f64 * share).round() as usize;
    values.get(at).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_sorted_values() {
        let mut values: Vec<_> = (0..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(quantile(&mut values, 0.5), Duration::from_millis(50));
        assert_eq!(quantile(&mut values, 0.99), Duration::from_millis(99));
        assert_eq!(quantile(&mut [], 0.5), Duration::ZERO);
    }
}
