//! Values behind tokens outlive the worker, the Envoy and the service that made them, for their own team and
//! session only.

use nix::sys::signal::Signal;
use serde_json::json;
use weir_tests::client::{Answered, Request};
use weir_tests::mesh::tenant::{self, Dialect, Registration, Tenant, access, unique};
use weir_tests::mesh::{Mesh, Options, any_file_mentions};
use weir_tests::provider::answer::Answer;
use weir_tests::provider::{MockProvider, anthropic};
use weir_tests::tokens::Tokens;
use weir_tests::wait;

const VALUE: &str = "shop-493827165";

fn ask(text: &str, session: &str) -> Request {
    ask_model("m", text, session)
}

fn ask_model(model: &str, text: &str, session: &str) -> Request {
    let body = json!({
        "model": model, "max_tokens": 9,
        "messages": [{"role": "user", "content": text}],
    });
    Request::post("/v1/messages", &body).field("x-session-id", session)
}

/// A provider that says `text`.
fn says(provider: &MockProvider, text: &str) {
    let message = anthropic::message("m", text, Tokens::new(1, 1));
    provider.script(move |_, _| Answer::json(200, &message));
}

struct Shop {
    mesh: Mesh,
    provider: MockProvider,
    tenant: Tenant,
}

impl Shop {
    /// A mesh that tokenises shop codes, for whomever.
    fn open() -> Self {
        let mesh = Mesh::start(&Options::default());
        let provider = MockProvider::always(Answer::empty(500));
        let tenant = mesh.tenant(&[Registration::new(Dialect::Anthropic, &provider)]);
        let body = json!({
            "name": "shop",
            "stages": [{
                "detectors": [{"regex": {"id": "shop-code", "pattern": "shop-[0-9]{9}"}}],
                "action": "tokenise",
            }],
        });
        mesh.change(|admin| admin.post("/guardrails", &body));
        Self {
            mesh,
            provider,
            tenant,
        }
    }

    /// Sends the value and returns the token that the provider saw in its place, once it is stored.
    fn token(&self, session: &str) -> String {
        says(&self.provider, "thank you");
        self.provider.forget();
        let model = unique("m");
        let asked = ask_model(&model, &format!("my code is {VALUE}."), session);
        let answered = self.mesh.send(&self.tenant.sign(asked));
        assert_eq!(answered.status, 200, "{}", answered.text());
        let seen = self.provider.only();
        assert!(!seen.mentions(VALUE));
        let text = seen.json()["messages"][0]["content"].clone();
        let text = text.as_str().unwrap();
        let token = text
            .strip_prefix("my code is ")
            .and_then(|rest| rest.strip_suffix('.'))
            .unwrap_or_else(|| panic!("{text}"));
        // What was made is told with the record or before it.
        self.mesh.wait_records_where(&format!("model={model}"), 1);
        token.to_owned()
    }

    fn send(&self, text: &str, session: &str) -> Answered {
        self.mesh.send(&self.tenant.sign(ask(text, session)))
    }

    /// Waits until a new Envoy has policy; a mesh that was ready stays ready for a while without it.
    fn wait_for_policy(&self) {
        wait::until("policy in the new Envoy", || {
            let code = self.mesh.send(&ask("hello", "one")).weir_code();
            (code.as_deref() == Some("missing_credential")).then_some(())
        });
    }

    /// What a client is told when the provider says `text`.
    fn told(&self, text: &str, session: &str) -> String {
        says(&self.provider, text);
        let answered = self.send("go on", session);
        assert_eq!(answered.status, 200, "{}", answered.text());
        answered.json()["content"][0]["text"]
            .as_str()
            .unwrap()
            .to_owned()
    }
}

#[test]
fn a_token_is_restored_by_workers_that_never_saw_the_value() {
    let shop = Shop::open();
    let token = shop.token("one");
    let (said, want) = (
        format!("the code {token} is good"),
        format!("the code {VALUE} is good"),
    );
    // Fresh connections meet every worker.
    for _ in 0..20 {
        assert_eq!(shop.told(&said, "one"), want);
    }
    shop.mesh.end_envoy(Signal::SIGKILL);
    shop.mesh.start_envoy();
    shop.wait_for_policy();
    assert_eq!(shop.told(&said, "one"), want);
    shop.mesh.end_envoy(Signal::SIGKILL);
    shop.mesh.end_service(Signal::SIGKILL);
    shop.mesh.start_service();
    shop.mesh.start_envoy();
    shop.wait_for_policy();
    assert_eq!(shop.told(&said, "one"), want);
    assert_eq!(shop.token("one"), token, "the same value is the same token");
}

#[test]
fn a_token_means_nothing_in_another_session_or_team() {
    let shop = Shop::open();
    let token = shop.token("one");
    let said = format!("the code {token} is good");
    assert_ne!(shop.token("two"), token);
    for _ in 0..10 {
        assert_eq!(shop.told(&said, "two"), said);
        assert_eq!(shop.told(&said, "three"), said);
    }
    let (_, key) = shop.mesh.change(|admin| {
        let team = tenant::team(admin);
        let names: Vec<&str> = shop.tenant.providers.iter().map(String::as_str).collect();
        tenant::key(admin, &team, &json!({"access": access(&names, &["*"])}))
    });
    says(&shop.provider, &said);
    for _ in 0..10 {
        let answered = shop.mesh.send(&ask("go on", "one").bearer(&key));
        assert!(answered.text().contains(&token), "{}", answered.text());
        assert!(!answered.text().contains(VALUE), "{}", answered.text());
    }
}

#[test]
fn a_vault_that_is_away_is_missed_only_where_nobody_else_knows_the_value() {
    let shop = Shop::open();
    let token = shop.token("one");
    let other = shop.token("two");
    shop.mesh.end_envoy(Signal::SIGKILL);
    shop.mesh.start_envoy();
    shop.wait_for_policy();
    shop.mesh.end_service(Signal::SIGKILL);
    // The request itself shows what the token stands for.
    says(&shop.provider, &format!("the code {token} is good"));
    for _ in 0..5 {
        let answered = shop.send(&format!("my code is {VALUE}."), "one");
        assert!(
            answered.text().contains(&format!("the code {VALUE} is")),
            "{}",
            answered.text()
        );
    }
    let said = format!("the code {other} is good");
    assert_eq!(shop.told(&said, "two"), said);
    shop.mesh.start_service();
    wait::until("the vault to answer again", || {
        (shop.told(&said, "two") == format!("the code {VALUE} is good")).then_some(())
    });
}

#[test]
fn no_value_is_readable_on_the_disk() {
    let shop = Shop::open();
    shop.token(&unique("session"));
    shop.mesh.end_envoy(Signal::SIGTERM);
    shop.mesh.end_service(Signal::SIGTERM);
    assert_eq!(any_file_mentions(&shop.mesh.data(), VALUE), None);
    assert!(!shop.mesh.logs().contains(VALUE));
}
