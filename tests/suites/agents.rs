//! The real Claude Code and Codex through the mesh: a task of several turns, and refusals that end at once.

use std::sync::LazyLock;

use serde_json::{Value, json};
use weir_tests::agents::{Desk, Endpoint};
use weir_tests::mesh::tenant::{Dialect, Registration, Tenant, access, price};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::process::Finished;
use weir_tests::provider::agents::{self, LAST_TURN, TOOL_TURN, Task};
use weir_tests::provider::{MockProvider, Seen};
use weir_tests::tap::Tap;
use weir_tests::tokens::Price;
use weir_tests::wait;

static MESH: LazyLock<Mesh> = LazyLock::new(|| Mesh::start(&Options::default()));

const PRICE: Price = Price {
    input: 3_000_000,
    cache_read: 300_000,
    cache_write_5m: 3_750_000,
    cache_write_1h: 6_000_000,
    output: 15_000_000,
    web_search: 10_000,
};

/// One of the two agents, and what is particular about it.
#[derive(Clone, Copy, Debug)]
enum Agent {
    ClaudeCode,
    Codex,
}

impl Agent {
    fn dialect(self) -> Dialect {
        match self {
            Self::ClaudeCode => Dialect::Anthropic,
            Self::Codex => Dialect::Openai,
        }
    }

    fn model(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-sonnet-4-5",
            Self::Codex => "gpt-5",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude_code",
            Self::Codex => "codex",
        }
    }

    fn run(self, desk: &Desk, url: &str, key: &str) -> Finished {
        let endpoint = Endpoint {
            base: url.to_owned(),
            key: Some(key.to_owned()),
            model: self.model().to_owned(),
        };
        match self {
            Self::ClaudeCode => desk.claude_code(&endpoint, "Write the note."),
            Self::Codex => desk.codex(&endpoint, "Write the note."),
        }
    }

    fn provider(self, task: &Task) -> MockProvider {
        let task = task.clone();
        MockProvider::start(move |seen: &Seen, _| match self {
            Self::ClaudeCode => agents::claude_code(&task, seen),
            Self::Codex => agents::codex(&task, seen),
        })
    }
}

fn questions(provider: &MockProvider) -> Vec<Seen> {
    let mut seen = provider.seen();
    seen.retain(|seen| seen.method == "POST" && !seen.path().ends_with("/count_tokens"));
    seen
}

fn completes_a_task(agent: Agent) {
    let desk = Desk::new();
    let task = desk.task();
    let provider = agent.provider(&task);
    let tenant = MESH.tenant(&[Registration::new(agent.dialect(), &provider)]);
    price(MESH.admin(), agent.dialect(), agent.model(), PRICE);

    let tap = Tap::start(MESH.address());
    let run = agent.run(&desk, &tap.url(), &tenant.key);

    let records = MESH.records(&tenant.key_id);
    assert!(run.succeeded(), "{run:#?}\n{records:#?}\n{}", MESH.logs());
    assert_eq!(
        desk.written(&task).as_deref(),
        Some(task.content.as_str()),
        "{run:#?}"
    );
    assert!(run.text().contains(&task.farewell), "{run:#?}");
    let asked = questions(&provider);
    let sent: Vec<Vec<u8>> = tap.questions().into_iter().map(|seen| seen.body).collect();
    for seen in &asked {
        assert!(
            sent.contains(&seen.body),
            "the mesh changed what the agent sent"
        );
        assert!(
            !seen.mentions(&tenant.key),
            "the virtual key reached the provider"
        );
        assert!(
            !seen
                .fields
                .names()
                .iter()
                .any(|name| name.starts_with("x-weir") || name.starts_with("x-envoy"))
        );
    }
    recorded(agent, &tenant, asked.len());
}

/// Two turns at least, each recorded once, attributed and priced.
fn recorded(agent: Agent, tenant: &Tenant, turns: usize) {
    assert!(turns >= 2, "{turns} turns");
    let surface = match agent {
        Agent::ClaudeCode => "anthropic.messages",
        Agent::Codex => "openai.responses",
    };
    let filter = format!("key={}&surface={surface}", tenant.key_id);
    let records = MESH.wait_records_where(&filter, turns);
    let sessions: Vec<&Value> = records.iter().map(|record| &record["session_id"]).collect();
    assert!(
        sessions
            .iter()
            .all(|session| *session == sessions[0] && *session != &json!("")),
        "{sessions:?}"
    );
    for record in &records {
        assert_eq!(record["client_app"], json!(agent.name()));
        assert_eq!(record["ended"], json!("complete"), "{record:#}");
        assert_eq!(
            (&record["status"], &record["streamed"]),
            (&json!(200), &json!(true))
        );
        assert_eq!(record["team"]["id"], json!(tenant.team));
        assert_eq!(record["model_used"], json!(agent.model()));
        assert_eq!(record["estimated"], json!(false));
    }
    for tokens in [TOOL_TURN, LAST_TURN] {
        let found = records
            .iter()
            .find(|record| record["usage"] == tokens.as_record());
        let found = found.unwrap_or_else(|| panic!("no record of {tokens:?} in {records:#?}"));
        assert_eq!(found["cost_micro_usd"], json!(PRICE.micro_usd(tokens)));
    }
}

#[test]
fn agents_claude_code_completes_a_task() {
    completes_a_task(Agent::ClaudeCode);
}

#[test]
fn agents_codex_completes_a_task() {
    completes_a_task(Agent::Codex);
}

/// Runs an agent that is to be refused: one request, our text and code on the screen, an end of its own.
fn is_refused(agent: Agent, key: &str, code: &str, provider: &MockProvider) {
    let desk = Desk::new();
    let tap = Tap::start(MESH.address());
    let run = agent.run(&desk, &tap.url(), key);
    let asked = tap.questions();
    let asked: Vec<_> = asked
        .iter()
        .map(|seen| (&seen.method, &seen.target))
        .collect();
    assert_eq!(asked.len(), 1, "{agent:?} {code}: {asked:?}\n{run:#?}");
    assert!(run.ended_itself(), "{run:#?}");
    assert!(
        !run.succeeded(),
        "{agent:?} took a refusal for success: {run:#?}"
    );
    let marker = format!("(Weir: {code})");
    assert!(
        run.text().contains(&marker),
        "{agent:?} does not show the text of {code}: {run:#?}"
    );
    assert!(
        !run.text().contains(key),
        "{agent:?} was told the key: {run:#?}"
    );
    assert_eq!(provider.count(), 0, "the provider was asked");
}

fn refused_tenant(agent: Agent, fields: &Value) -> (MockProvider, Tenant) {
    let desk = Desk::new();
    let provider = agent.provider(&desk.task());
    let tenant = MESH.tenant_with(&[Registration::new(agent.dialect(), &provider)], fields);
    (provider, tenant)
}

fn without_a_virtual_key(agent: Agent) {
    let (provider, _tenant) = refused_tenant(agent, &json!({}));
    is_refused(
        agent,
        "sk-a-key-of-the-providers-own",
        "missing_credential",
        &provider,
    );
}

fn with_a_revoked_key(agent: Agent) {
    let (provider, tenant) = refused_tenant(agent, &json!({}));
    MESH.change(|admin| admin.post(&format!("/keys/{}/revoke", tenant.key_id), &json!({})));
    is_refused(agent, &tenant.key, "key_revoked", &provider);
}

fn with_a_model_not_allowed(agent: Agent) {
    let (provider, tenant) = refused_tenant(agent, &json!({}));
    let access = access(&[&tenant.providers[0]], &["some-other-model"]);
    MESH.change(|admin| {
        admin.patch(
            &format!("/keys/{}", tenant.key_id),
            &json!({"access": access}),
        )
    });
    is_refused(agent, &tenant.key, "model_not_allowed", &provider);
}

macro_rules! refusals {
    ($($test:ident: $refusal:ident($agent:ident),)*) => {$(
        #[test]
        fn $test() {
            $refusal(Agent::$agent);
        }
    )*};
}

refusals! {
    agents_claude_code_without_a_virtual_key_stops_at_once: without_a_virtual_key(ClaudeCode),
    agents_claude_code_with_a_revoked_key_stops_at_once: with_a_revoked_key(ClaudeCode),
    agents_claude_code_with_a_model_not_allowed_stops_at_once: with_a_model_not_allowed(ClaudeCode),
    agents_codex_without_a_virtual_key_stops_at_once: without_a_virtual_key(Codex),
    agents_codex_with_a_revoked_key_stops_at_once: with_a_revoked_key(Codex),
    agents_codex_with_a_model_not_allowed_stops_at_once: with_a_model_not_allowed(Codex),
}

/// Codex's own provider opens a WebSocket first; it must go on over HTTP, and nothing may tunnel.
#[test]
fn agents_codex_goes_on_without_a_websocket() {
    let desk = Desk::new();
    let task = desk.task();
    let provider = Agent::Codex.provider(&task);
    let tenant = MESH.tenant(&[Registration::new(Dialect::Openai, &provider)]);
    let line = format!(
        "CODEX_API_KEY={key} OPENAI_API_KEY={key} codex exec --skip-git-repo-check --disable plugins \
         --dangerously-bypass-approvals-and-sandbox -c openai_base_url=\\\"{url}/v1\\\" -m gpt-5 'Write the note.'",
        key = tenant.key,
        url = MESH.url(),
    );
    let run = desk.shell(&line);
    assert!(run.succeeded(), "{run:#?}\n{}", MESH.logs());
    assert_eq!(desk.written(&task).as_deref(), Some(task.content.as_str()));
    // Refused before anybody looked at the key; no other test of this mesh tries one.
    wait::until("the refusal of a WebSocket to be recorded", || {
        let refused = MESH.records_where("refusal_code=websocket_unsupported");
        (!refused.is_empty()).then_some(())
    });
    let tunnelled = provider
        .seen()
        .into_iter()
        .find(|seen| seen.fields.get("upgrade").is_some());
    assert!(
        tunnelled.is_none(),
        "a WebSocket went through: {tunnelled:#?}"
    );
}

/// A second prompt in the same conversation carries the first one's history and session.
#[test]
fn agents_claude_code_continues_a_conversation() {
    let desk = Desk::new();
    let task = desk.task();
    let provider = Agent::ClaudeCode.provider(&task);
    let tenant = MESH.tenant(&[Registration::new(Dialect::Anthropic, &provider)]);
    assert!(
        Agent::ClaudeCode
            .run(&desk, &MESH.url(), &tenant.key)
            .succeeded()
    );
    let before = questions(&provider).len();
    let line = format!(
        "ANTHROPIC_BASE_URL={} ANTHROPIC_AUTH_TOKEN={} claude -p 'And now?' --continue --output-format json",
        MESH.url(),
        tenant.key
    );
    let run = desk.shell(&line);
    assert!(run.succeeded(), "{run:#?}");
    assert!(run.stdout.contains(&task.farewell), "{run:#?}");
    let asked = questions(&provider);
    assert!(asked.len() > before);
    assert!(
        asked[asked.len() - 1].mentions(&task.farewell),
        "the history is gone"
    );
    MESH.wait_records_where(
        &format!("key={}&surface=anthropic.messages", tenant.key_id),
        asked.len(),
    );
}
