//! What Weir adds to an exchange: processor time of Envoy, and time to the first byte.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::load::{Client, Took, quantile};
use crate::paired::{self, Paired, Verdict};
use crate::report::{Setting, say};
use crate::rig::OTHER_FILTER;
use crate::scenario::Scenario;
use crate::sides::{Side, Sort};

/// Time for what an exchange leaves behind (records on their way) to be done and counted.
const AFTERMATH: Duration = Duration::from_millis(300);
/// Bounds of the exchanges in one sample.
const EXCHANGES: std::ops::RangeInclusive<usize> = 16..=20_000;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Samples of each side; they take turns.
    pub rounds: usize,
    /// Processor time that one sample should use.
    pub sample: Duration,
    /// Connections that are kept busy.
    pub connections: usize,
    /// Connections for streams whose events come singly.
    pub stream_connections: usize,
    /// Longest time spent on first bytes, for each side and scenario.
    pub first_byte: Duration,
}

/// One scenario on one side.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    pub side: String,
    pub cpu_us_per_exchange: f64,
    /// Of the rounds' samples.
    pub lowest_us: f64,
    pub highest_us: f64,
    pub exchanges: usize,
    pub first_byte_p50_us: f64,
    pub first_byte_p99_us: f64,
}

/// One scenario on all sides; the first side is what the others are compared with.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub scenario: String,
    pub streamed_events: Option<usize>,
    pub sides: Vec<Measured>,
    /// Median of the rounds' differences to the first side, for each further side.
    pub added_us: Vec<f64>,
    pub added_first_byte_us: Vec<f64>,
    /// This filter beside another build of it.
    pub paired: Option<Paired>,
}

/// Everything that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Overhead {
    pub setting: Setting,
    pub baseline: String,
    /// What each side uses while nobody asks anything, in microseconds of processor time per second.
    pub idle_us_per_s: Vec<(String, f64)>,
    pub rows: Vec<Row>,
}

/// Measures one scenario on all sides.
///
/// # Errors
/// When a side answers other than it must.
pub fn measure(scenario: &Scenario, sides: &[Side], effort: Effort) -> Result<Row> {
    let flushed = scenario.delivery == crate::answers::Delivery::Flushed;
    let connections = if flushed {
        effort.stream_connections
    } else {
        effort.connections
    };
    let mut runs = Vec::new();
    for side in sides {
        let ask = scenario.ask(side)?;
        let mut client = Client::open(side.address, connections)?;
        client
            .run(&ask, connections * 2)
            .with_context(|| format!("{} on {}", scenario.name(), side.name))?;
        runs.push((side, ask, client, Vec::new()));
    }
    let count = calibrated(&mut runs, effort, connections)?;
    for round in 0..effort.rounds {
        for turn in 0..runs.len() {
            let at = (turn + round) % runs.len();
            let Some((side, ask, client, samples)) = runs.get_mut(at) else {
                continue;
            };
            samples.push(sample(side, client, ask, count)?);
        }
    }
    let mut firsts = Vec::new();
    for (side, ask, ..) in &runs {
        firsts.push(first_bytes(side, ask, effort.first_byte)?);
    }
    let sides: Vec<Measured> = runs
        .iter()
        .zip(&mut firsts)
        .map(|((side, _, _, samples), first)| measured(side, samples, count, first))
        .collect();
    let base = runs
        .first()
        .map(|(.., samples)| samples.clone())
        .unwrap_or_default();
    let added_us = runs
        .iter()
        .skip(1)
        .map(|(.., samples)| {
            median(
                samples
                    .iter()
                    .zip(&base)
                    .map(|(own, base)| own - base)
                    .collect(),
            )
        })
        .collect();
    let samples_of = |wanted: &dyn Fn(&Side) -> bool| {
        let found = runs.iter().find(|(side, ..)| wanted(side));
        found.map(|(.., samples)| samples.as_slice())
    };
    let older = samples_of(&|side| side.name == OTHER_FILTER);
    let newer = samples_of(&|side| side.sort == Sort::Weir && side.name != OTHER_FILTER);
    let paired = older
        .zip(newer)
        .and_then(|(older, newer)| Paired::of(older, newer));
    let base_first = sides
        .first()
        .map(|side| side.first_byte_p50_us)
        .unwrap_or_default();
    let added_first_byte_us = sides
        .iter()
        .skip(1)
        .map(|side| side.first_byte_p50_us - base_first)
        .collect();
    Ok(Row {
        scenario: scenario.name(),
        streamed_events: scenario.streams().then_some(scenario.events),
        sides,
        added_us,
        added_first_byte_us,
        paired,
    })
}

type Run<'a> = (&'a Side, crate::load::Ask, Client, Vec<f64>);

/// How many exchanges use the wanted time on the cheapest side.
fn calibrated(runs: &mut [Run<'_>], effort: Effort, connections: usize) -> Result<usize> {
    let Some((side, ask, client, _)) = runs.first_mut() else {
        return Ok(0);
    };
    let trial = sample(side, client, ask, connections * 4)?;
    let wanted = effort.sample.as_secs_f64() * 1e6 / trial.max(1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive number that is bounded next"
    )]
    let count = wanted as usize;
    // Whole turns of all connections, so that streams end together.
    Ok(count
        .clamp(*EXCHANGES.start(), *EXCHANGES.end())
        .next_multiple_of(connections))
}

/// Processor time per exchange, in microseconds.
fn sample(side: &Side, client: &mut Client, ask: &crate::load::Ask, count: usize) -> Result<f64> {
    let before = side.account.cpu()?;
    client.run(ask, count)?;
    thread::sleep(AFTERMATH);
    let used = side.account.cpu()?.saturating_sub(before);
    Ok(used.as_secs_f64() * 1e6 / count as f64)
}

/// One exchange after the other on one connection, nothing else on its way.
fn first_bytes(side: &Side, ask: &crate::load::Ask, limit: Duration) -> Result<Vec<Took>> {
    let mut client = Client::open(side.address, 1)?;
    client.run(ask, 1)?;
    let mut took = Vec::new();
    let mut spent = Duration::ZERO;
    while took.len() < 500 && spent < limit {
        for exchange in client.run(ask, 1)? {
            spent += exchange.whole;
            took.push(exchange);
        }
    }
    Ok(took)
}

fn measured(side: &Side, samples: &[f64], exchanges: usize, took: &mut [Took]) -> Measured {
    let mut firsts: Vec<Duration> = took.iter().map(|exchange| exchange.first_byte).collect();
    Measured {
        side: side.name.clone(),
        cpu_us_per_exchange: median(samples.to_vec()),
        lowest_us: samples.iter().copied().fold(f64::INFINITY, f64::min),
        highest_us: samples.iter().copied().fold(0.0, f64::max),
        exchanges,
        first_byte_p50_us: quantile(&mut firsts, 0.5).as_secs_f64() * 1e6,
        first_byte_p99_us: quantile(&mut firsts, 0.99).as_secs_f64() * 1e6,
    }
}

/// What sides use while nobody asks anything.
///
/// # Errors
/// When a side has ended.
pub fn idle(sides: &[Side], over: Duration) -> Result<Vec<(String, f64)>> {
    let before: Vec<Duration> = sides
        .iter()
        .map(|side| side.account.cpu())
        .collect::<Result<_>>()?;
    thread::sleep(over);
    let mut idle = Vec::new();
    for (side, before) in sides.iter().zip(before) {
        let used = side.account.cpu()?.saturating_sub(before);
        idle.push((
            side.name.clone(),
            used.as_secs_f64() * 1e6 / over.as_secs_f64(),
        ));
    }
    Ok(idle)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |index: usize| values.get(index).copied().unwrap_or_default();
    if values.len() % 2 == 1 {
        at(middle)
    } else {
        f64::midpoint(at(middle.saturating_sub(1)), at(middle))
    }
}

impl Row {
    /// Returns the row of the table: one line for each side that was put beside the first.
    pub fn lines(&self) -> String {
        let Some((base, others)) = self.sides.split_first() else {
            return String::new();
        };
        let mut lines = String::new();
        for (at, other) in others.iter().enumerate() {
            let added = self.added_us.get(at).copied().unwrap_or_default();
            let first = self
                .added_first_byte_us
                .get(at)
                .copied()
                .unwrap_or_default();
            let per_event = self.streamed_events.map_or_else(String::new, |events| {
                format!("{:.2}", added / events as f64)
            });
            lines.push_str(&format!(
                "| {} | {} | {:.1} | {:.1} | **{added:.1}** | {per_event} | {:.0} | {:.0} | {first:.0} |\n",
                self.scenario, other.side, base.cpu_us_per_exchange, other.cpu_us_per_exchange, base.first_byte_p50_us, other.first_byte_p50_us
            ));
        }
        lines
    }
}

/// Head of the table that [`Row::lines`] fills.
pub const TABLE_HEAD: &str = "| exchange | side | plain Envoy, CPU µs | with, CPU µs | added µs | added µs per event | plain, first byte p50 µs | with | added µs |\n| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";

impl Overhead {
    /// Returns the whole report as text.
    pub fn table(&self) -> String {
        let mut text = format!(
            "# Overhead\n\n{}- compared with: {}\n",
            self.setting.lines(),
            self.baseline
        );
        for (side, idle) in &self.idle_us_per_s {
            text.push_str(&format!(
                "- {side} without traffic: {idle:.0} µs per second\n"
            ));
        }
        text.push('\n');
        text.push_str(TABLE_HEAD);
        for row in &self.rows {
            text.push_str(&row.lines());
        }
        let compared = self.rows.iter();
        let compared = compared.filter_map(|row| Some(row.paired?.line(&row.scenario)));
        let compared: String = compared.collect();
        if !compared.is_empty() {
            text.push_str(&format!("\n{}{compared}", paired::TABLE_HEAD));
        }
        text
    }

    /// Returns the exchanges in which this filter is worse than the other one.
    pub fn worse(&self) -> Vec<&str> {
        let is_worse = |row: &&Row| row.paired.is_some_and(|it| it.verdict() == Verdict::Worse);
        let worse = self.rows.iter().filter(is_worse);
        worse.map(|row| row.scenario.as_str()).collect()
    }
}

/// Measures every scenario that `wanted` keeps, and says each row as it comes.
///
/// # Errors
/// When a side answers other than it must.
pub fn run(
    scenarios: &[Scenario],
    sides: &[Side],
    effort: Effort,
    setting: Setting,
    baseline: &str,
) -> Result<Overhead> {
    let idle_us_per_s = idle(sides, Duration::from_secs(3))?;
    say(TABLE_HEAD.trim_end())?;
    let mut rows = Vec::new();
    for scenario in scenarios {
        let row = measure(scenario, sides, effort)?;
        say(row.lines().trim_end())?;
        if let Some(paired) = row.paired {
            say(paired.line("… beside the other filter").trim_end())?;
        }
        rows.push(row);
    }
    Ok(Overhead {
        setting: setting.at_end(),
        baseline: baseline.to_owned(),
        idle_us_per_s,
        rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert!((median(vec![4.0, 1.0, 3.0, 2.0]) - 2.5).abs() < f64::EPSILON);
        assert!((median(vec![9.0, 1.0, 3.0]) - 3.0).abs() < f64::EPSILON);
    }
}
