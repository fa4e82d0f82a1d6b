//! Memory of the filter's VMs: what keys cost, and whether it stops growing.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use serde_json::{Value, json};

use crate::answers::Delivery;
use crate::bodies::{Api, ModelPlace};
use crate::load::{Ask, Client, Expected};
use crate::report::{Setting, say};
use crate::rig::{Rig, make_key, team};
use crate::scenario::{Naming, Scenario};

/// VMs report at least every two seconds.
const REPORTED: Duration = Duration::from_secs(5);

/// How much is done between two readings.
#[derive(Clone, Copy, Debug)]
pub struct Amounts {
    pub keys: usize,
    pub exchanges: usize,
    pub bodies: usize,
    pub body_bytes: usize,
    pub reloads: usize,
    /// Exchanges per second; more than the service can store would be refused.
    pub rate: f64,
}

/// Memory at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Reading {
    pub after: String,
    /// Of each VM; the last is the largest.
    pub vm_bytes: Vec<u64>,
    pub envoy_resident_bytes: u64,
}

/// All readings in their order.
#[derive(Clone, Debug, Serialize)]
pub struct Plateau {
    pub setting: Setting,
    pub readings: Vec<Reading>,
}

impl Plateau {
    /// Returns the report as text.
    pub fn table(&self) -> String {
        let mut text = format!(
            "# VM memory\n\n{}\n| after | largest VM, MiB | grown since the line before, MiB | all VMs, MiB | Envoy resident, MiB |\n| --- | ---: | ---: | ---: | ---: |\n",
            self.setting.lines()
        );
        let mut before = None;
        for reading in &self.readings {
            let largest = reading.vm_bytes.last().copied().unwrap_or_default();
            let grown = mib(largest) - mib(before.unwrap_or(largest));
            let all = reading.vm_bytes.iter().sum();
            text.push_str(&format!(
                "| {} | {:.2} | {grown:.2} | {:.2} | {:.1} |\n",
                reading.after,
                mib(largest),
                mib(all),
                mib(reading.envoy_resident_bytes)
            ));
            before = Some(largest);
        }
        text
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1_024.0 * 1_024.0)
}

/// Does everything of `amounts`, reading memory on the way.
///
/// # Errors
/// When an exchange goes wrong or the service does not tell.
pub fn run(rig: &Rig, amounts: Amounts, setting: Setting) -> Result<Plateau> {
    let mut readings = Vec::new();
    let mut read = |after: String| -> Result<()> {
        thread::sleep(REPORTED);
        let reading = reading(rig, after)?;
        say(&format!(
            "{}: VMs {:?} KiB, Envoy {:.1} MiB",
            reading.after,
            reading
                .vm_bytes
                .iter()
                .map(|bytes| bytes / 1_024)
                .collect::<Vec<_>>(),
            mib(reading.envoy_resident_bytes)
        ))?;
        readings.push(reading);
        Ok(())
    };
    read("start, one key".to_owned())?;
    let mixed = mixed(rig)?;
    let mut client = Client::open(rig.weir.address, 8)?;
    many(&mut client, &mixed, 2_000, amounts)?;
    read("2,000 mixed exchanges".to_owned())?;
    let keys = keys(rig, amounts.keys)?;
    read(format!("{} keys published", amounts.keys))?;
    many(&mut client, &keys, keys.len(), amounts)?;
    read("each key used once".to_owned())?;
    for part in 1..=5 {
        many(&mut client, &mixed, amounts.exchanges / 5, amounts)?;
        read(format!("{} mixed exchanges", amounts.exchanges / 5 * part))?;
    }
    for time in 1..=2 {
        large_bodies(rig, amounts)?;
        read(format!(
            "{} parallel bodies of {:.0} MiB, time {time}",
            amounts.bodies,
            mib(amounts.body_bytes as u64)
        ))?;
    }
    for time in 1..=2 {
        reload(rig, amounts.reloads / 2);
        read(format!("{} snapshot reloads", amounts.reloads / 2 * time))?;
    }
    many(&mut client, &mixed, amounts.exchanges / 5, amounts)?;
    read(format!("{} more mixed exchanges", amounts.exchanges / 5))?;
    Ok(Plateau {
        setting: setting.at_end(),
        readings,
    })
}

fn reading(rig: &Rig, after: String) -> Result<Reading> {
    let status = rig.mesh.admin().get("/mesh");
    let vms = status
        .get("vms")
        .and_then(Value::as_array)
        .context("the service tells of no VMs")?;
    let mut vm_bytes: Vec<u64> = vms
        .iter()
        .filter_map(|vm| vm.pointer("/counters/memory_bytes")?.as_u64())
        .collect();
    vm_bytes.sort_unstable();
    Ok(Reading {
        after,
        vm_bytes,
        envoy_resident_bytes: rig.weir.account.resident_bytes()?,
    })
}

/// Does about `count` exchanges at the stated rate; none may fail.
fn many(client: &mut Client, asks: &[Ask], count: usize, amounts: Amounts) -> Result<()> {
    let duration = Duration::from_secs_f64(count as f64 / amounts.rate);
    let met = client.steady(asks, amounts.rate, duration)?;
    ensure!(
        met.failed == 0,
        "{} exchanges failed, the first: {}",
        met.failed,
        met.failure.unwrap_or_default()
    );
    Ok(())
}

/// One of each kind: whole and streamed, both dialects, refused and unknown ones.
fn mixed(rig: &Rig) -> Result<Vec<Ask>> {
    let mut asks = Vec::new();
    for api in [Api::AnthropicMessages, Api::OpenaiChat] {
        for (bytes, delivery) in [
            (1_024, Delivery::Json),
            (20_000, Delivery::Coalesced),
            (60_000, Delivery::Json),
        ] {
            let scenario = Scenario {
                api,
                bytes,
                place: ModelPlace::First,
                naming: Naming::Own,
                delivery,
                events: 100,
            };
            asks.push(scenario.ask(&rig.weir)?);
        }
    }
    let scenario = Scenario {
        api: Api::AnthropicMessages,
        bytes: 2_048,
        place: ModelPlace::First,
        naming: Naming::Own,
        delivery: Delivery::Json,
        events: 0,
    };
    asks.push(
        Scenario {
            naming: Naming::Alias,
            ..scenario
        }
        .ask(&rig.weir)?,
    );
    let mut stranger = rig.weir.clone();
    stranger.key = "sk-ant-no-key-of-ours".to_owned();
    let refused = scenario.ask(&stranger)?;
    asks.push(Ask {
        status: 401,
        expected: Expected::Anything,
        ..refused
    });
    Ok(asks)
}

/// Makes `count` keys and waits until they are in force; returns an exchange with each.
fn keys(rig: &Rig, count: usize) -> Result<Vec<Ask>> {
    let scenario = Scenario {
        api: Api::AnthropicMessages,
        bytes: 1_024,
        place: ModelPlace::First,
        naming: Naming::Own,
        delivery: Delivery::Json,
        events: 0,
    };
    rig.mesh.change(|admin| {
        let owner = team(admin, "many")?;
        let mut asks = Vec::with_capacity(count);
        for number in 0..count {
            let mut side = rig.weir.clone();
            side.key = make_key(admin, &owner, &format!("many-{number:05}"))?;
            asks.push(scenario.ask(&side)?);
        }
        Ok(asks)
    })
}

fn large_bodies(rig: &Rig, amounts: Amounts) -> Result<()> {
    let scenario = Scenario {
        api: Api::AnthropicMessages,
        bytes: amounts.body_bytes,
        place: ModelPlace::First,
        naming: Naming::Own,
        delivery: Delivery::Json,
        events: 0,
    };
    let ask = scenario.ask(&rig.weir)?;
    Client::open(rig.weir.address, amounts.bodies)?.run(&ask, amounts.bodies)?;
    Ok(())
}

/// Changes what the whole mesh is governed by, each time waiting until it is in force.
fn reload(rig: &Rig, times: usize) {
    for time in 0..times {
        rig.mesh
            .change(|admin| admin.patch("/settings", &json!({"max_attempts": 3 + time % 4})));
    }
}
