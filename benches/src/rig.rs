//! A whole mesh with one worker, and what it is compared with, all on loopback and gone with this process.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tempfile::TempDir;
use weir_tests::mesh::admin::Admin;
use weir_tests::mesh::{Mesh, Options};
use weir_tests::process::{Group, Part};

use crate::process_clock::{Accounted, Scope};
use crate::provider::{Provider, Streams};
use crate::scenario::ALIAS;
use crate::sides::{self, Baseline, GatewayArgs, Side, Sort};

/// Providers of the mesh, their dialects and the paths of their base URLs; all are the harness's own.
const PROVIDERS: [(&str, &str, &str); 3] = [
    ("bench-anthropic", "anthropic", ""),
    ("bench-openai", "openai", "/v1"),
    ("bench-gemini", "gemini", ""),
];

/// The side with another build of the filter.
pub const OTHER_FILTER: &str = "other filter";

/// What is to be started.
#[derive(Clone, Debug)]
pub struct Plan {
    pub baseline: Baseline,
    pub streams: Streams,
    pub provider_port: u16,
    pub gateway: Option<GatewayArgs>,
    pub guardrails: Vec<Guardrail>,
    /// Whether budgets stand at every level, far from exhausted.
    pub has_quotas: bool,
    /// Another build, in a mesh of its own beside this one's.
    pub other: Option<OtherBuild>,
}

/// Another build of the filter, and of the service where that build's policy is not this one's.
#[derive(Clone, Debug)]
pub struct OtherBuild {
    pub filter: PathBuf,
    pub weir: Option<PathBuf>,
}

/// Everything that runs.
#[derive(Debug)]
pub struct Rig {
    pub plain: Side,
    pub weir: Side,
    /// The same mesh with a key that budgets at five levels cover.
    pub budgeted: Option<Side>,
    pub gateway: Option<Side>,
    /// The mesh with another build of the filter.
    pub other: Option<Side>,
    /// The policy service.
    pub service: Accounted,
    pub mesh: Mesh,
    pub provider: Provider,
    _other_mesh: Option<Mesh>,
    /// In the order in which they must end: processes before their folder.
    _parts: Vec<Part>,
    _group: Group,
    _folder: TempDir,
}

impl Rig {
    /// Starts a provider, a mesh over it, the same Envoy without Weir, and the other gateway if one is named.
    ///
    /// # Errors
    /// When a part is missing or does not get ready.
    pub fn start(plan: &Plan) -> Result<Self> {
        let provider = Provider::start(plan.provider_port, plan.streams)?;
        let mesh = Mesh::start(&Options {
            workers: 1,
            ..Options::default()
        });
        let (key, budgeted) = mesh.change(|admin| {
            for guardrail in &plan.guardrails {
                admin.post("/guardrails", &guardrail.body());
            }
            let key = furnish(admin, provider.address())?;
            let budgeted = plan.has_quotas.then(|| key_under_quotas(admin));
            anyhow::Ok((key, budgeted.transpose()?))
        })?;
        let weir = governed_side("Weir", &mesh, key);
        let other = plan.other.as_ref();
        let other = other
            .map(|build| start_other(build, plan, provider.address()))
            .transpose()?;
        let (other_mesh, other) = other.unzip();
        let budgeted = budgeted.map(|key| Side {
            name: "Weir, five budgets".to_owned(),
            key,
            ..weir.clone()
        });
        let folder = tempfile::tempdir()?;
        let group = Group::new(folder.path());
        let (part, plain) = sides::start_plain(
            &group,
            folder.path(),
            &mesh.admin_socket(),
            "bench-anthropic",
            plan.baseline,
        )?;
        let mut parts = vec![part];
        let gateway = match &plan.gateway {
            Some(args) => sides::start_gateway(&group, args, provider.address())?,
            None => None,
        };
        let gateway = gateway.map(|(part, side)| {
            parts.push(part);
            side
        });
        let service = Accounted {
            pid: mesh.service_pid(),
            scope: Scope::Process,
        };
        Ok(Self {
            plain,
            weir,
            budgeted,
            gateway,
            other,
            service,
            mesh,
            provider,
            _other_mesh: other_mesh,
            _parts: parts,
            _group: group,
            _folder: folder,
        })
    }

    /// Returns the sides in the order of tables: what others are compared with comes first.
    pub fn sides(&self) -> Vec<Side> {
        let budgeted = self.budgeted.as_ref();
        [
            Some(&self.plain),
            Some(&self.weir),
            budgeted,
            self.gateway.as_ref(),
            self.other.as_ref(),
        ]
        .into_iter()
        .flatten()
        .cloned()
        .collect()
    }
}

fn governed_side(name: &str, mesh: &Mesh, key: String) -> Side {
    Side {
        name: name.to_owned(),
        sort: Sort::Weir,
        address: mesh.address(),
        base_path: String::new(),
        key,
        models: None,
        account: Accounted {
            pid: mesh.envoy_pid(),
            scope: Scope::Process,
        },
    }
}

/// Starts a mesh of another build, under the same policy and before the same provider.
fn start_other(build: &OtherBuild, plan: &Plan, provider: SocketAddr) -> Result<(Mesh, Side)> {
    let mesh = Mesh::start(&Options {
        workers: 1,
        filter: Some(build.filter.clone()),
        weir: build.weir.clone(),
        ..Options::default()
    });
    let key = mesh.change(|admin| {
        for guardrail in &plan.guardrails {
            admin.post("/guardrails", &guardrail.body());
        }
        furnish(admin, provider)
    })?;
    let side = governed_side(OTHER_FILTER, &mesh, key);
    Ok((mesh, side))
}

/// What may look at every text of a measured mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Guardrail {
    /// All secret rules.
    Secrets,
    /// All personal data that is looked for by default.
    Pii,
}

impl Guardrail {
    fn body(self) -> Value {
        let (name, detector) = match self {
            Self::Secrets => ("secrets", json!({"secrets": {}})),
            Self::Pii => ("pii", json!({"pii": {}})),
        };
        let stage = json!({"detectors": [detector], "action": {"redact": {"replace": {}}}});
        json!({"name": name, "stages": [stage]})
    }
}

/// Registers the provider under each dialect, an alias, and a key that may use everything; returns the key.
fn furnish(admin: &Admin, provider: SocketAddr) -> Result<String> {
    for (name, dialect, path) in PROVIDERS {
        admin.post("/providers", &json!({
            "name": name, "dialect": dialect, "base_url": format!("http://{provider}{path}"), "models": ["*"],
            "listed_models": ["bench"], "keys": [{"name": "main", "secret": "sk-provider-secret"}],
        }));
    }
    admin.post("/routes", &json!({
        "alias": ALIAS, "scope": "global", "targets": [{"provider": "bench-anthropic", "model": "claude-sonnet-4-5"}],
    }));
    make_key(admin, &team(admin, "bench")?, "bench")
}

/// Makes a key with a budget at each of five levels, and returns it.
fn key_under_quotas(admin: &Admin) -> Result<String> {
    let made = |path: &str, body: &Value| -> Result<Value> {
        let made = admin.post(path, body);
        let id = made.get("id").with_context(|| format!("no id: {made}"))?;
        Ok(id.clone())
    };
    let customer = made("/customers", &json!({"name": "bench"}))?;
    let team = made("/teams", &json!({"name": "budgeted", "customer": customer}))?;
    let user = made("/users", &json!({"name": "bench", "team": team}))?;
    let nodes = [
        json!({"customer": customer}),
        json!({"team": team}),
        json!({"each_member": team}),
        json!({"user": user}),
        json!({"each_session": {"team": team}}),
    ];
    for (number, node) in nodes.iter().enumerate() {
        admin.post("/quotas", &json!({
            "name": format!("bench-{number}"), "node": node, "unit": "total_tokens", "limit": 1_000_000_000_000_u64,
            "window": {"calendar": {"every": "month"}},
        }));
    }
    make_key(admin, &json!({"user": user}), "budgeted")
}

impl Rig {
    /// Returns how many exchanges quotas covered, and how many of them waited for the service.
    pub fn quota_waits(&self) -> (u64, u64) {
        let mesh = self.mesh.admin().get("/mesh");
        let vms = mesh.get("vms").and_then(Value::as_array);
        let sum = |name: &str| {
            let counters = vms
                .into_iter()
                .flatten()
                .filter_map(|vm| vm.get("counters"));
            counters.filter_map(|it| it.get(name)?.as_u64()).sum()
        };
        (sum("quota_exchanges"), sum("quota_waits"))
    }
}

/// Makes a team that can own keys.
///
/// # Errors
/// When the service's answer has no id.
pub fn team(admin: &Admin, name: &str) -> Result<Value> {
    let made = admin.post("/teams", &json!({"name": name}));
    Ok(json!({"team": made.get("id").context("a team without id")?}))
}

/// Makes a key that may use everything.
///
/// # Errors
/// When the service's answer has no secret.
pub fn make_key(admin: &Admin, owner: &Value, name: &str) -> Result<String> {
    let made = admin.post("/keys", &json!({
        "name": name, "owner": owner, "environment": "bench",
        "access": {"providers": PROVIDERS.map(|(provider, ..)| json!({"provider": provider, "models": ["*"], "provider_keys": ["*"]}))},
    }));
    made.get("secret")
        .and_then(Value::as_str)
        .map(str::to_owned)
        .with_context(|| format!("a key without secret: {made}"))
}
