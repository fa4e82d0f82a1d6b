use std::collections::BTreeSet;

use super::*;
use crate::documents::{Owner, Scope};
use crate::surface::Dialect;

const SOUND: &[u8] = br#"{
    "settings": {"inference_auth": "observe", "max_attempts": 4},
    "customers": [{"name": "acme"}],
    "teams": [{"name": "core", "customer": "acme", "access": {
        "providers": [{"provider": "*", "models": ["*"], "provider_keys": ["*"]}],
        "denied_models": ["o1-pro*"]
    }}],
    "users": [{"name": "ann", "team": "core"}],
    "providers": [
        {"preset": "openai", "keys": [{"name": "main", "secret": "env.OPENAI_API_KEY"}]},
        {
            "name": "local", "dialect": "openai", "base_url": "http://127.0.0.1:11434/v1", "auth": "none",
            "models": ["llama*"], "listed_models": ["llama3"]
        },
        {
            "name": "azure-eu", "dialect": "openai", "base_url": "https://acme.openai.azure.com/openai",
            "auth": "api_key", "path_style": {"azure_deployments": {"api_version": "2024-10-21"}},
            "models": ["gpt-*"], "keys": [{"name": "one", "secret": "abc", "weight": 2, "disabled": true}]
        }
    ],
    "keys": [
        {"name": "laptop", "owner": {"user": "ann"}, "environment": "dev"},
        {"name": "ci", "owner": {"team": "core"}, "secret": "env.CI_KEY", "opaque_paths": ["/v1/files/**"]}
    ],
    "routes": [
        {"alias": "fast", "targets": [{"provider": "openai", "model": "gpt-5-mini"}, {"provider": "local", "priority": 1}]},
        {"alias": "fast", "scope": {"team": "core"}, "targets": [{"provider": "local", "model": "llama3"}]}
    ],
    "prices": [{"table": "openai", "model": "ours", "rates": {
        "input_micro_usd_per_mtok": 1000000, "output_micro_usd_per_mtok": 2000000
    }}]
}"#;

fn ci_key() -> VirtualKeySecret {
    VirtualKeySecret::from_bytes([9; 32])
}

fn import(bytes: &[u8], is_set: bool) -> Result<Imported, Vec<Problem>> {
    let mut last = 0;
    let mut id = |_: &str, _: &str| {
        last += 1;
        Uuid::from_u128(last)
    };
    let variable = |name: &str| match name {
        _ if !is_set => None,
        "CI_KEY" => Some(ci_key().expose().to_owned()),
        _ => Some("sk-provider".to_owned()),
    };
    let sources = Sources {
        id: &mut id,
        random: &mut || [1; 32],
        variable: &variable,
    };
    load(bytes)?.into_documents(sources)
}

#[track_caller]
fn finds(text: &str, want: &[&str]) {
    let problems = load(text.as_bytes()).map_or_else(|problems| problems, |file| file.check());
    let got = problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(got.len(), want.len(), "{got:#?}");
    for (got, want) in got.iter().zip(want) {
        assert!(got.starts_with(want), "{got} does not start with {want}");
    }
}

#[test]
fn a_sound_file_has_no_problem() {
    assert_eq!(load(SOUND).unwrap().check(), []);
    assert_eq!(load(b"{}").unwrap().check(), []);
}

#[test]
fn a_file_becomes_documents() {
    let Imported { documents, made } = import(SOUND, true).unwrap();
    assert_eq!(documents.settings.max_attempts, 4);
    assert_eq!(documents.settings.body_cap_bytes, 32 * 1024 * 1024);
    let provider = |name: &str| {
        documents
            .providers
            .values()
            .find(|provider| provider.name == name)
            .unwrap()
    };
    let openai = provider("openai");
    assert_eq!(
        (openai.dialect, openai.price_table.as_str()),
        (Dialect::Openai, "openai")
    );
    assert_eq!(openai.keys[0].secret.expose(), "sk-provider");
    assert_eq!(openai.hosts, ["api.openai.com"]);
    assert_eq!(provider("local").price_table, "free");
    assert_eq!(provider("azure-eu").price_table, "azure");
    let key = |name: &str| {
        documents
            .keys
            .values()
            .find(|key| key.name == name)
            .unwrap()
    };
    assert_eq!(key("ci").hash, ci_key().hash());
    assert!(matches!(key("ci").owner, Owner::Team(_)));
    assert_eq!(made.len(), 1);
    assert_eq!(made[&key("laptop").id].hash(), key("laptop").hash);
    let scopes = documents
        .routes
        .values()
        .map(|route| matches!(route.scope, Scope::Team(_)));
    assert_eq!(scopes.collect::<BTreeSet<_>>().len(), 2);
}

#[test]
fn variables_that_are_not_set_are_told_on_import() {
    let problems = import(SOUND, false).unwrap_err();
    let got = problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        got,
        [
            "`keys[1].secret`: environment variable `CI_KEY` is not set",
            "`providers[0].keys[0].secret`: environment variable `OPENAI_API_KEY` is not set",
        ]
    );
}

#[test]
fn problems_have_the_places_of_the_file() {
    finds(
        r#"{
            "teams": [{"name": "core", "customer": "acme"}],
            "users": [{"name": "ann"}, {"name": "ann"}],
            "providers": [
                {"preset": "opnai"},
                {"name": "x", "dialect": "openai", "base_url": "x.example"},
                {"name": "y", "dialect": "openai", "base_url": "https://y.example"},
                {"dialect": "openai", "base_url": "https://z.example", "price_table": "openai"},
                {"preset": "groq", "keys": [{"name": "k", "secret": "env.not-a-name"}]}
            ],
            "keys": [
                {"name": "k", "owner": {"team": "cor"}, "secret": "sk-weir-broken"},
                {"name": "l", "owner": {"user": "ann"}, "access": {"providers": [{"provider": "goq"}]}}
            ],
            "routes": [{"alias": "fast", "scope": {"key": "m"}, "targets": [{"provider": "groqq"}]}]
        }"#,
        &[
            "`keys[0].owner.team`: there is no team `cor` in this file",
            "`keys[0].secret`: malformed virtual key",
            "`keys[1].access.providers[0].provider`: there is no provider `goq`",
            "`providers[0].preset`: there is no preset `opnai`; known are `anthropic`",
            "`providers[1].base_url`: a base URL starts with",
            "`providers[2].price_table`: is missing",
            "`providers[3].name`: is missing",
            "`providers[4].keys[0].secret`: is not the name of an environment variable",
            "`routes[0].scope.key`: there is no key `m`",
            "`routes[0].targets[0].provider`: there is no provider `groqq`",
            "`teams[0].customer`: there is no customer `acme`",
            "`users[1].name`: `ann` is in the file already",
        ],
    );
}

#[test]
fn wrong_fields_are_told_before_anything_is_made_of_them() {
    finds(
        r#"{"guardrails": [{"preset": "pii", "scope": {"teems": []}, "actoin": "block"}], "provders": [], "keys": [{"name": "k", "owner": {"usr": "ann"}}], "settings": {"hosts": "x"}}"#,
        &[
            "`guardrails[0].actoin`: unknown field `actoin`, expected one of `preset`",
            "`guardrails[0].scope.teems`: unknown field `teems`, expected one of `customers`",
            "`keys[0].owner`: unknown word, expected",
            "`provders`: unknown field `provders`",
            "`settings.hosts`: invalid type: string, expected a list",
        ],
    );
}

#[test]
fn names_twice_are_told_even_when_ids_are_reused() {
    let file = load(br#"{"customers": [{"name": "acme"}, {"name": "acme"}]}"#).unwrap();
    let sources = Sources {
        id: &mut |_, _| Uuid::from_u128(1),
        random: &mut || [0; 32],
        variable: &|_| None,
    };
    let problems = file.into_documents(sources).unwrap_err();
    assert_eq!(
        problems[0].to_string(),
        "`customers[1].name`: `acme` is in the file already"
    );
}

#[test]
fn guardrails_are_written_with_names() {
    let file = load(
        br#"{
            "teams": [{"name": "core"}],
            "guardrails": [
                {"preset": "pii", "scope": {"teams": ["core"], "roles": ["user"]}},
                {"name": "ours", "direction": "request", "stages": [
                    {"detectors": [{"rule_file": {"name": "shop"}}, {"words": {"list": "names"}}], "action": "block"},
                    {"detectors": ["hidden_text"], "action": {"redact": {"replace": {"with": ""}}}}
                ]}
            ],
            "rule_files": [{"name": "shop", "path": "shop.toml"}],
            "word_lists": [{"name": "names", "path": "names.txt"}]
        }"#,
    );
    let mut file = file.unwrap();
    assert_eq!(file.check().len(), 2, "{:?}", file.check());
    let read = |path: &str| match path {
        "shop.toml" => Ok("[[rules]]\nid = \"t\"\nregex = '''shop-[0-9]{9}'''\n".to_owned()),
        "names.txt" => Ok("nightjar\n\n blue bird \n".to_owned()),
        _ => Err("no such file".to_owned()),
    };
    file.resolve(&read).unwrap();
    let documents = file.rehearse().unwrap();
    let list = documents.word_lists.values().next().unwrap();
    assert_eq!(list.words, ["nightjar", "blue bird"]);
    let pii = documents
        .guardrails
        .values()
        .find(|guardrail| guardrail.name == "pii");
    assert_eq!(pii.unwrap().rules.scope.teams.len(), 1);
}

#[test]
fn problems_of_guardrails_have_the_places_of_the_file() {
    finds(
        r#"{
            "guardrails": [
                {"preset": "pii", "scope": {"teams": ["core"]}},
                {"name": "Ours", "stages": []},
                {"preset": "secret"},
                {"name": "b", "direction": "response", "sampling": 0, "stages": [
                    {"detectors": [{"rule_file": {"name": "shop"}}], "action": "tokenise"},
                    {"detectors": [{"external": {"service": "x", "timeout_ms": 1}}], "action": "block"}
                ]},
                {"name": "c", "stages": [{"detectors": [{"regex": {"id": "x", "pattern": "("}}], "action": "block"}]}
            ],
            "rule_files": [{"name": "a", "source": "[[rules]]\nid = \"x\"\nregex = '''(?<=a)b'''\n"}],
            "word_lists": [{"name": "empty", "words": []}]
        }"#,
        &[
            "`guardrails[0].scope.teams[0]`: there is no team `core`",
            "`guardrails[1].name`: the name of a guardrail is made of",
            "`guardrails[1].stages`: must hold 1 to 8 stages",
            "`guardrails[2].preset`: there is no guardrail preset `secret`; known are `pii`, `secrets`",
            "`guardrails[3].sampling`: 0 looks at nothing",
            "`guardrails[3].stages[0].action`: a token becomes the value again",
            "`guardrails[3].stages[0].detectors[0].rule_file.name`: there is no rule file `shop`",
            "`guardrails[3].stages[1].detectors[0].external`: `x` cannot be asked: no external content-safety service",
            "`guardrails[4].stages[0].detectors[0].regex.pattern`: ",
            "`rule_files[0].source`: ",
            "`word_lists[0].words`: ",
        ],
    );
}

#[test]
fn quotas_name_what_they_stand_at() {
    let file = br#"{
        "teams": [{"name": "core"}],
        "users": [{"name": "ann", "team": "core"}],
        "quotas": [
            {"name": "each", "node": {"each_member": "core"}, "unit": "micro_usd", "limit": 500000000,
             "window": {"calendar": {"every": "month", "zone": "Europe/Berlin"}}},
            {"name": "runaway", "node": {"each_session": {"user": "ann"}}, "unit": "micro_usd", "limit": 5000000,
             "window": {"rolling": {"duration_ms": 86400000}}},
            {"name": "all", "node": "organisation", "unit": "concurrent", "limit": 50}
        ]
    }"#;
    let documents = load(file).unwrap().rehearse().unwrap();
    assert_eq!(
        crate::quota::explain::explain(&documents),
        [
            "`runaway`: At most $5.00 in any day for each session of user `ann`; more is refused.",
            "`each`: At most $500.00 per month (Europe/Berlin) for each member of team `core`; more is refused.",
            "`all`: At most 50 requests at a time for everything together; more is refused.",
        ]
    );
}

#[test]
fn problems_of_quotas_have_their_place() {
    let file = br#"{"quotas": [
        {"name": "a", "node": {"team": "cor"}, "unit": "requests", "limit": 1},
        {"name": "b", "node": "organisation", "limit": 1},
        {"name": "a", "node": "organisation", "unit": "concurrent", "limit": 1, "holds": "strict"}
    ]}"#;
    let problems = load(file).unwrap().rehearse().unwrap_err();
    let paths: Vec<_> = problems.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "quotas[0].node.team",
            "quotas[0].window",
            "quotas[1].unit",
            "quotas[2].holds",
            "quotas[2].name"
        ]
    );
}
