//! Measures what Weir costs; `README.md` beside says which command answers which question.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand};
use serde::Serialize;
use weir_benches::crowd;
use weir_benches::overhead::{self, Effort};
use weir_benches::paired::FEWEST_ROUNDS;
use weir_benches::plateau::{self, Amounts};
use weir_benches::provider::{Provider, Streams};
use weir_benches::report::{self, Setting, say};
use weir_benches::rig::{Guardrail, OtherBuild, Plan, Rig};
use weir_benches::scenario::Scenario;
use weir_benches::sides::{Baseline, GatewayArgs};
use weir_benches::soak::{self, Load};
use weir_tests::parts;

/// Measures what Weir costs.
#[derive(Debug, Parser)]
#[command(name = "weir-benches")]
struct Cli {
    /// Write the results to benches/results/NAME.json and NAME.md
    #[arg(long, value_name = "NAME", global = true)]
    save: Option<String>,
    /// Port of the provider that answers; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 0, global = true)]
    provider_port: u16,
    /// What the Envoy without Weir keeps
    #[arg(long, value_enum, default_value_t = Baseline::Router, global = true)]
    baseline: Baseline,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Processor time and time to first byte that Weir adds to an exchange
    Overhead(Box<OverheadArgs>),
    /// Memory of the filter's VMs with many keys, exchanges, large bodies and reloads
    Plateau(PlateauArgs),
    /// A steady rate for minutes: success, latency, cores used
    Soak(SoakArgs),
    /// Large bodies of one key, and what another feels of them
    Crowd(CrowdArgs),
    /// Only the provider, to configure other gateways against
    Provider,
}

#[derive(Debug, clap::Args)]
struct OverheadArgs {
    /// Samples of each side; they take turns [default: 7, with another filter 10]
    #[arg(long)]
    rounds: Option<usize>,
    /// Processor time that one sample should use on the cheapest side
    #[arg(long, value_name = "MS", default_value_t = 600)]
    sample_ms: u64,
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Connections for streams whose events come singly
    #[arg(long, default_value_t = 16)]
    stream_connections: usize,
    /// Events of a stream
    #[arg(long, default_value_t = 1_000)]
    events: usize,
    /// Pause of the provider between two events that come singly
    #[arg(long, value_name = "US", default_value_t = 1_000)]
    event_gap_us: u64,
    /// A guardrail that looks at everything; may be repeated
    #[arg(long, value_enum)]
    guardrail: Vec<Guardrail>,
    /// Budgets at five levels, far from exhausted
    #[arg(long)]
    quotas: bool,
    /// Measure only scenarios whose name holds this text; may be repeated
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Another build of the filter, an older one as a rule, that this one is compared with in ten rounds or more; fails
    /// where this one is worse: where the whole 95 % interval of the difference lies above 5 %
    #[arg(long, value_name = "PATH", conflicts_with = "gateway")]
    other_filter: Option<PathBuf>,
    /// The `weir` that serves the other filter, where this one's policy is not what that understands
    #[arg(long, value_name = "PATH", requires = "other_filter")]
    other_weir: Option<PathBuf>,
    #[command(flatten)]
    gateway: GatewayArgs,
}

#[derive(Debug, clap::Args)]
struct PlateauArgs {
    #[arg(long, default_value_t = 10_000)]
    keys: usize,
    #[arg(long, default_value_t = 200_000)]
    exchanges: usize,
    /// Bodies sent at the same time
    #[arg(long, default_value_t = 50)]
    bodies: usize,
    #[arg(long, value_name = "MIB", default_value_t = 8)]
    body_mib: usize,
    #[arg(long, default_value_t = 100)]
    reloads: usize,
    /// Exchanges per second
    #[arg(long, default_value_t = 1_000.0)]
    rate: f64,
}

#[derive(Debug, clap::Args)]
struct SoakArgs {
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Exchanges per second
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    #[arg(long, default_value_t = 32)]
    connections: usize,
}

#[derive(Debug, clap::Args)]
struct CrowdArgs {
    /// How often each kind of body is sent
    #[arg(long, default_value_t = 1)]
    times: usize,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody else to tell when even this cannot be said.
            say(&format!("error: {error:#}")).unwrap_or_default();
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    match &cli.command {
        Command::Overhead(args) => overhead(cli, args),
        Command::Plateau(args) => plateau(cli, args),
        Command::Soak(args) => soak(cli, args),
        Command::Crowd(args) => {
            let result = crowd::run(setting(), args.times)?;
            finish(cli, &result, &result.table())
        }
        Command::Provider => provider(cli),
    }
}

fn overhead(cli: &Cli, args: &OverheadArgs) -> Result<()> {
    let scenarios: Vec<Scenario> = Scenario::all(args.events)
        .into_iter()
        .filter(|scenario| {
            args.only.is_empty() || args.only.iter().any(|text| scenario.name().contains(text))
        })
        .collect();
    ensure!(!scenarios.is_empty(), "no scenario has such a name");
    let streams = Streams {
        events: args.events,
        gap: Duration::from_micros(args.event_gap_us),
    };
    let mut plan = plan(cli, streams, Some(args.gateway.clone()));
    plan.guardrails.clone_from(&args.guardrail);
    plan.has_quotas = args.quotas;
    plan.other = args.other_filter.clone().map(|filter| OtherBuild {
        filter,
        weir: args.other_weir.clone(),
    });
    let rounds = args.rounds.unwrap_or(match plan.other {
        Some(_) => FEWEST_ROUNDS,
        None => 7,
    });
    ensure!(
        plan.other.is_none() || rounds >= FEWEST_ROUNDS,
        "a comparison with another filter takes {FEWEST_ROUNDS} rounds or more"
    );
    let rig = Rig::start(&plan)?;
    let effort = Effort {
        rounds,
        sample: Duration::from_millis(args.sample_ms),
        connections: args.connections,
        stream_connections: args.stream_connections,
        first_byte: Duration::from_secs(2),
    };
    let result = overhead::run(
        &scenarios,
        &rig.sides(),
        effort,
        setting(),
        baseline(cli.baseline),
    )?;
    let mut table = result.table();
    if args.quotas {
        std::thread::sleep(Duration::from_secs(2));
        let (exchanges, waits) = rig.quota_waits();
        table = format!(
            "{table}\n{waits} of {exchanges} exchanges under budgets waited for the service\n"
        );
    }
    finish(cli, &result, &table)?;
    let worse = result.worse();
    ensure!(
        worse.is_empty(),
        "this filter is worse than the other one: {}",
        worse.join("; ")
    );
    Ok(())
}

fn plateau(cli: &Cli, args: &PlateauArgs) -> Result<()> {
    let rig = Rig::start(&plan(
        cli,
        Streams {
            events: 100,
            gap: Duration::ZERO,
        },
        None,
    ))?;
    let amounts = Amounts {
        keys: args.keys,
        exchanges: args.exchanges,
        bodies: args.bodies,
        body_bytes: args.body_mib * 1_024 * 1_024,
        reloads: args.reloads,
        rate: args.rate,
    };
    let result = plateau::run(&rig, amounts, setting())?;
    finish(cli, &result, &result.table())
}

fn soak(cli: &Cli, args: &SoakArgs) -> Result<()> {
    let rig = Rig::start(&plan(
        cli,
        Streams {
            events: 100,
            gap: Duration::ZERO,
        },
        None,
    ))?;
    let load = Load {
        rate: args.rate,
        duration: Duration::from_secs_f64(args.minutes * 60.0),
        connections: args.connections,
    };
    let result = soak::run(&rig, load, setting())?;
    finish(cli, &result, &result.table())
}

fn provider(cli: &Cli) -> Result<()> {
    let provider = Provider::start(
        cli.provider_port,
        Streams {
            events: 1_000,
            gap: Duration::from_millis(1),
        },
    )?;
    say(&format!("answering on http://{}", provider.address()))?;
    loop {
        std::thread::park();
    }
}

fn plan(cli: &Cli, streams: Streams, gateway: Option<GatewayArgs>) -> Plan {
    Plan {
        baseline: cli.baseline,
        streams,
        provider_port: cli.provider_port,
        gateway,
        guardrails: Vec::new(),
        has_quotas: false,
        other: None,
    }
}

fn setting() -> Setting {
    Setting::at_start(&parts::envoy())
}

const fn baseline(baseline: Baseline) -> &'static str {
    match baseline {
        Baseline::Router => {
            "the same Envoy with the router alone (no decompressors, no Wasm), all limits and clusters equal"
        }
        Baseline::Decompressors => {
            "the same Envoy with the decompressors and the router, no Wasm, all limits and clusters equal"
        }
    }
}

fn finish(cli: &Cli, result: &impl Serialize, table: &str) -> Result<()> {
    say(&format!("\n{table}"))?;
    if let Some(name) = &cli.save {
        let path = report::save(name, result, table).context("the results could not be saved")?;
        say(&format!("saved as {}", path.display()))?;
    }
    Ok(())
}
