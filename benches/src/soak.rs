//! A steady rate for minutes: how many exchanges succeed, what they take, and what is used for it.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::answers::Delivery;
use crate::bodies::{Api, ModelPlace};
use crate::load::{Ask, Client, Steady, quantile};
use crate::process_clock::Accounted;
use crate::report::{Setting, say};
use crate::rig::Rig;
use crate::scenario::{Naming, Scenario};
use crate::sides::Side;

/// How long the plain Envoy is measured before and after, at the same rate.
const COMPARED: Duration = Duration::from_secs(30);

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub rate: f64,
    pub duration: Duration,
    pub connections: usize,
}

/// One side's part.
#[derive(Clone, Debug, Serialize)]
pub struct Stretch {
    pub side: String,
    pub seconds: f64,
    pub succeeded: usize,
    pub failed: usize,
    pub failure: Option<String>,
    pub first_byte_p50_us: f64,
    pub first_byte_p99_us: f64,
    pub whole_p50_us: f64,
    pub whole_p99_us: f64,
    pub whole_max_us: f64,
    pub envoy_cores: f64,
    pub service_cores: f64,
    pub envoy_resident_mib: f64,
}

/// The soak and the stretches it is compared with.
#[derive(Clone, Debug, Serialize)]
pub struct Soak {
    pub setting: Setting,
    pub rate: f64,
    pub stretches: Vec<Stretch>,
    /// Median and 99th percentile that Weir adds to a whole exchange, against the mean of the plain stretches.
    pub added_p50_us: f64,
    pub added_p99_us: f64,
}

impl Soak {
    /// Returns the report as text.
    pub fn table(&self) -> String {
        let mut text = format!(
            "# Soak\n\n{}- rate: {} exchanges per second, of Anthropic messages and OpenAI chat, 1 to 50 KB, whole and streamed (100 events)\n- added to a whole exchange: p50 {:.0} µs, p99 {:.0} µs\n\n",
            self.setting.lines(),
            self.rate,
            self.added_p50_us,
            self.added_p99_us
        );
        text.push_str("| side | seconds | succeeded | failed | success | first byte p50 / p99 µs | whole p50 / p99 / max µs | Envoy cores | service cores | Envoy resident MiB |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
        for stretch in &self.stretches {
            let share = 100.0 * stretch.succeeded as f64
                / (stretch.succeeded + stretch.failed).max(1) as f64;
            text.push_str(&format!(
                "| {} | {:.0} | {} | {} | {share:.4} % | {:.0} / {:.0} | {:.0} / {:.0} / {:.0} | {:.3} | {:.3} | {:.0} |\n",
                stretch.side, stretch.seconds, stretch.succeeded, stretch.failed, stretch.first_byte_p50_us, stretch.first_byte_p99_us,
                stretch.whole_p50_us, stretch.whole_p99_us, stretch.whole_max_us, stretch.envoy_cores, stretch.service_cores, stretch.envoy_resident_mib
            ));
            if let Some(failure) = &stretch.failure {
                text.push_str(&format!(
                    "\nFirst failure on {}: {failure}\n\n",
                    stretch.side
                ));
            }
        }
        text
    }
}

/// Soaks the mesh, with the plain Envoy at the same rate before and after.
///
/// # Errors
/// When a side takes no connections any more.
pub fn run(rig: &Rig, load: Load, setting: Setting) -> Result<Soak> {
    let short = Load {
        duration: COMPARED.min(load.duration),
        ..load
    };
    let mut stretches = Vec::new();
    for (side, load) in [(&rig.plain, short), (&rig.weir, load), (&rig.plain, short)] {
        let stretch = stretch(side, rig.service, load)?;
        say(&format!(
            "{}: {} of {} succeeded, p50 {:.0} µs, p99 {:.0} µs",
            stretch.side,
            stretch.succeeded,
            stretch.succeeded + stretch.failed,
            stretch.whole_p50_us,
            stretch.whole_p99_us
        ))?;
        stretches.push(stretch);
    }
    let of = |side: &Side, value: fn(&Stretch) -> f64| {
        let values: Vec<f64> = stretches
            .iter()
            .filter(|stretch| stretch.side == side.name)
            .map(value)
            .collect();
        values.iter().sum::<f64>() / values.len().max(1) as f64
    };
    let added = |value| of(&rig.weir, value) - of(&rig.plain, value);
    let (added_p50_us, added_p99_us) = (
        added(|stretch| stretch.whole_p50_us),
        added(|stretch| stretch.whole_p99_us),
    );
    Ok(Soak {
        setting: setting.at_end(),
        rate: load.rate,
        stretches,
        added_p50_us,
        added_p99_us,
    })
}

fn asks(side: &Side) -> Result<Vec<Ask>> {
    let mut asks = Vec::new();
    for api in [Api::AnthropicMessages, Api::OpenaiChat] {
        for (bytes, delivery) in [
            (1_024, Delivery::Json),
            (10_000, Delivery::Coalesced),
            (50_000, Delivery::Json),
        ] {
            asks.push(
                Scenario {
                    api,
                    bytes,
                    place: ModelPlace::First,
                    naming: Naming::Own,
                    delivery,
                    events: 100,
                }
                .ask(side)?,
            );
        }
    }
    Ok(asks)
}

fn stretch(side: &Side, service: Accounted, load: Load) -> Result<Stretch> {
    let asks = asks(side)?;
    let mut client = Client::open(side.address, load.connections)?;
    client.run_mixed(&asks, 200)?;
    let before = (side.account.cpu()?, service.cpu()?);
    let mut met: Steady = client.steady(&asks, load.rate, load.duration)?;
    let seconds = load.duration.as_secs_f64();
    let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
    Ok(Stretch {
        side: side.name.clone(),
        seconds,
        succeeded: met.succeeded,
        failed: met.failed,
        failure: met.failure.take(),
        first_byte_p50_us: micros(quantile(&mut met.first_bytes, 0.5)),
        first_byte_p99_us: micros(quantile(&mut met.first_bytes, 0.99)),
        whole_p50_us: micros(quantile(&mut met.wholes, 0.5)),
        whole_p99_us: micros(quantile(&mut met.wholes, 0.99)),
        whole_max_us: micros(quantile(&mut met.wholes, 1.0)),
        envoy_cores: (side.account.cpu()? - before.0).as_secs_f64() / seconds,
        service_cores: (service.cpu()? - before.1).as_secs_f64() / seconds,
        envoy_resident_mib: side.account.resident_bytes()? as f64 / (1_024.0 * 1_024.0),
    })
}
