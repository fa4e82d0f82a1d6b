use uuid::Uuid;

use super::*;
use crate::documents::{
    AuthStyle, Owner, PathStyle, ProviderKeySelector, ProviderSelector, RouteTarget, Scope,
};
use crate::fixture::{
    access, add_route, allow, azure, documents, everything, key, model, patterns, provider, route,
    target, user,
};
use crate::ids::TeamId;
use crate::price::{PriceOverride, Rates};
use crate::surface::Dialect;

const OPENAI: Dialect = Dialect::Openai;

fn sound() -> Documents {
    documents(vec![
        provider("a", OPENAI, 1),
        provider("b", Dialect::Anthropic, 1),
    ])
}

#[track_caller]
fn finds(change: impl FnOnce(&mut Documents), want: &[&str]) {
    let mut documents = sound();
    change(&mut documents);
    let problems = check(&documents);
    let got = problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(got.len(), want.len(), "{got:#?}");
    for (got, want) in got.iter().zip(want) {
        assert!(got.starts_with(want), "{got} does not start with {want}");
    }
}

fn a(documents: &mut Documents) -> &mut crate::documents::Provider {
    documents
        .providers
        .values_mut()
        .find(|provider| provider.name == "a")
        .unwrap()
}

#[test]
fn sound_documents_have_no_problem() {
    finds(|_| {}, &[]);
    assert_eq!(check(&Documents::default()), []);
}

#[test]
fn settings_have_bounds() {
    finds(
        |documents| {
            let settings = &mut documents.settings;
            settings.max_attempts = 0;
            settings.body_cap_bytes = 1;
            settings.snapshot_max_age_ms = 0;
            settings.vault_ttl_ms = 0;
            settings.max_running_per_key = 0;
            settings.hosts = ["*", "Mesh", "mesh.example", "mesh.example"]
                .map(str::to_owned)
                .into();
        },
        &[
            "`settings.body_cap_bytes`: must be from 1024",
            "`settings.hosts[1]`: must be a host name",
            "`settings.hosts[3]`: `mesh.example` is listed twice",
            "`settings.max_attempts`: must be from 1 to 16",
            "`settings.max_running_per_key`: must be from 1 to 65536",
            "`settings.snapshot_max_age_ms`: must be from",
            "`settings.vault_ttl_ms`: must be from 60000",
        ],
    );
}

#[test]
fn names_are_there_and_differ() {
    finds(
        |documents| {
            for (number, name) in [(2, "USER 1"), (3, ""), (4, " x")] {
                let mut user = user(number);
                user.name = name.to_owned();
                documents.users.insert(user.id, user);
            }
        },
        &[
            "`users[ x].name`: ` x` has white space around it",
            "`users[USER 1].name`: `USER 1` is the name of another user already, at `users[user 1].name`",
            "`users[].name`: a name must not be empty",
        ],
    );
}

#[test]
fn references_lead_somewhere() {
    let nowhere = TeamId::new(Uuid::from_u128(77));
    finds(
        |documents| {
            documents
                .users
                .values_mut()
                .for_each(|user| user.team = Some(nowhere));
            let key = key(2, Owner::Team(nowhere), everything());
            documents.keys.insert(key.id, key);
            let mut route = route(1, "fast", vec![target("a", None, 0, 1)]);
            route.scope = Scope::Team(nowhere);
            add_route(documents, route);
        },
        &[
            "`keys[key 2].owner`: there is no such team",
            "`routes[fast].scope`: there is no such team",
            "`users[user 1].team`: there is no such team",
        ],
    );
}

#[test]
fn rules_name_what_exists() {
    finds(
        |documents| {
            let mut entry = allow("a", &["*"]);
            entry.provider_keys = ["k0", "k9"]
                .map(|name| ProviderKeySelector(name.to_owned()))
                .into();
            let mut rule = access(vec![entry, allow("aa", &["*"])]);
            rule.denied_providers = ["b", "bb"]
                .map(|name| ProviderSelector(name.to_owned()))
                .into();
            documents
                .keys
                .values_mut()
                .for_each(|key| key.access = rule.clone());
        },
        &[
            "`keys[key 1].access.denied_providers[1]`: there is no provider `bb`",
            "`keys[key 1].access.providers[0].provider_keys[1]`: provider `a` has no key `k9`",
            "`keys[key 1].access.providers[1].provider`: there is no provider `aa`",
        ],
    );
}

#[test]
fn providers_make_sense() {
    finds(
        |documents| {
            documents.settings.hosts = vec!["mesh.example".to_owned()];
            let provider = a(documents);
            provider.name = "A b".to_owned();
            provider.base_url.host = "a b".to_owned();
            provider.hosts = ["x.example", "mesh.example"].map(str::to_owned).into();
            provider.models = vec![model("gpt-*")];
            provider.listed_models = ["gpt-5", "o3"].map(str::to_owned).into();
            provider.price_table = "opnai".to_owned();
            provider.stream_header_timeout_ms = 0;
            provider.keys[0].weight = u32::MAX;
            let mut again = provider.keys[0].clone();
            again.secret = crate::secret::Secret::new("line\nbreak");
            again.weight = 1;
            provider.keys.push(again);
        },
        &[
            "`providers[A b].base_url`: `https://a b` is not a base URL",
            "`providers[A b].hosts[1]`: `mesh.example` is a name of the mesh itself",
            "`providers[A b].keys[0].weight`: must be at most",
            "`providers[A b].keys[1].name`: `k0` is the name of another key",
            "`providers[A b].keys[1].secret`: must be visible ASCII",
            "`providers[A b].listed_models[1]`: `o3` would never be shown",
            "`providers[A b].name`: the name of a provider is made of",
            "`providers[A b].price_table`: there is no price table `opnai`; known are `anthropic`",
            "`providers[A b].stream_header_timeout_ms`: must be from 1",
        ],
    );
}

#[test]
fn secrets_are_not_in_messages() {
    let mut documents = sound();
    a(&mut documents).keys[0].secret = crate::secret::Secret::new("hush hush");
    let text = format!("{:?}", check(&documents));
    assert!(!text.contains("hush"), "{text}");
}

#[test]
fn auth_and_path_styles_fit_the_provider() {
    finds(
        |documents| {
            a(documents).auth = AuthStyle::None;
            let b = documents
                .providers
                .values_mut()
                .find(|provider| provider.name == "b")
                .unwrap();
            b.path_style = PathStyle::AzureDeployments {
                api_version: "?".to_owned(),
            };
        },
        &[
            "`providers[a].keys`: would never be used",
            "`providers[b].path_style`: `azure_deployments` is for the `openai` dialect",
            "`providers[b].path_style.azure_deployments.api_version`: must be a version",
        ],
    );
}

#[test]
fn a_provider_adds_and_sets_what_it_may() {
    finds(
        |documents| {
            let provider = a(documents);
            provider.pass_request_headers = ["x-vendor-*", "x-api-key", "openai-project", "x-*"]
                .map(str::to_owned)
                .into();
            provider.pass_response_headers = ["x-vendor-trace", "set-cookie", "x-weir-code"]
                .map(str::to_owned)
                .into();
            provider.set_request_headers = [
                ("openai-project", "proj_1"),
                ("authorization", "Bearer x"),
                ("x-empty", ""),
                ("x-line", "a\r\nb: c"),
                ("x-key", "v"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
            let key = crate::key::VirtualKeySecret::from_bytes([1; 32]);
            provider
                .set_request_headers
                .insert("x-note".to_owned(), format!("see {}", key.expose()));
        },
        &[
            "`providers[a].pass_request_headers[1]`: `x-api-key` carries a credential",
            "`providers[a].pass_request_headers[2]`: `openai-project` chooses an account",
            "`providers[a].pass_request_headers[3]`: `x-*` `*` may only stand at the end",
            "`providers[a].pass_response_headers[1]`: `set-cookie` carries a credential",
            "`providers[a].pass_response_headers[2]`: `x-weir-code` is the mesh's own",
            "`providers[a].set_request_headers.authorization`: `authorization` carries a credential",
            "`providers[a].set_request_headers.x-empty`: must be visible ASCII",
            "`providers[a].set_request_headers.x-key`: `x-key` carries a credential",
            "`providers[a].set_request_headers.x-line`: must be visible ASCII",
            "`providers[a].set_request_headers.x-note`: holds a virtual key",
        ],
    );
    finds(
        |documents| {
            a(documents).pass_request_headers =
                (0..65).map(|nth| format!("x-vendor-{nth}")).collect();
        },
        &["`providers[a].pass_request_headers`: lists 65 headers; at most 64 are"],
    );
}

#[test]
fn a_host_belongs_to_one_provider() {
    finds(
        |documents| {
            for provider in documents.providers.values_mut() {
                provider.hosts = vec!["api.example".to_owned()];
            }
        },
        &["`providers[b].hosts[0]`: `api.example` is claimed already, at `providers[a].hosts[0]`"],
    );
}

#[test]
fn routes_make_sense() {
    let bad_model = RouteTarget {
        model: Some("gpt-*".to_owned()),
        ..target("a", None, 1, 1)
    };
    finds(
        |documents| {
            add_route(
                documents,
                route(
                    1,
                    "one",
                    vec![target("a", None, 0, 1), target("b", None, 0, 1)],
                ),
            );
            add_route(
                documents,
                route(
                    2,
                    "two",
                    vec![target("a", None, 0, 1), target("a", None, 1, 1)],
                ),
            );
            add_route(
                documents,
                route(3, "regex:x.*", vec![target("zz", None, 0, 1)]),
            );
            add_route(documents, route(4, "three", Vec::new()));
            add_route(documents, route(5, "TWO", vec![bad_model]));
        },
        &[
            "`routes[TWO].alias`: `TWO` has a route of this scope and dialect already, at `routes[two].alias`",
            "`routes[TWO].targets[0].model`: `gpt-*` is not a model name",
            "`routes[one].targets[1].provider`: `b` speaks the anthropic dialect, but `a` before it the openai",
            "`routes[regex:x.*].alias`: an alias is a name or a glob",
            "`routes[regex:x.*].targets[0].provider`: there is no provider `zz`",
            "`routes[three].targets`: must hold 1 to 16 targets",
            "`routes[two].targets[1]`: the route has the same target already",
        ],
    );
}

#[test]
fn a_model_that_a_path_cannot_name_is_a_problem() {
    let at_azure = |documents: &mut Documents| a(documents).path_style = azure();
    finds(
        |documents| {
            at_azure(documents);
            let provider = a(documents);
            provider.models = patterns(&["*", "gpt-*", "gpt-5", "team/*", "gpt-5/x", "regex:a/b"]);
            provider.listed_models = vec!["gpt-5".to_owned(), "gpt-5/x".to_owned()];
        },
        &[
            "`providers[a].listed_models[1]`: `gpt-5/x` would never be served, because it cannot stand",
            "`providers[a].models[3]`: `team/*` would never be served",
            "`providers[a].models[4]`: `gpt-5/x` would never be served",
        ],
    );
    let routes = [
        ("fast", Some("gpt-5")),
        ("any/name", Some("gpt-5")),
        ("up", Some("gpt-5/../../files?x=")),
        ("query", Some("gpt-5?x=1")),
        ("team/kept", None),
        ("kept-*", None),
        ("team/*", None),
    ];
    let add = |documents: &mut Documents, provider: &str, routes: &[(&str, Option<&str>)]| {
        for (number, (alias, model)) in (1..).zip(routes) {
            let target = target(provider, *model, 0, 1);
            add_route(documents, route(number, alias, vec![target]));
        }
    };
    finds(|documents| add(documents, "a", &routes), &[]);
    finds(
        |documents| {
            at_azure(documents);
            add(documents, "a", &routes);
        },
        &[
            "`routes[query].targets[0].model`: `gpt-5?x=1` cannot stand in a path of `a`, which reads the model there",
            "`routes[team/*].targets[0].model`: `team/*` cannot stand",
            "`routes[team/kept].targets[0].model`: `team/kept` cannot stand",
            "`routes[up].targets[0].model`: `gpt-5/../../files?x=` cannot stand",
        ],
    );
    finds(
        |documents| {
            a(documents).dialect = Dialect::Gemini;
            let routes = [
                ("fast", Some("gemini-a")),
                ("a/fast", Some("tunedModels/cats")),
                ("tunedModels/cats", Some("gemini-a")),
                ("slow:alias", Some("gemini-a")),
                ("tuned", Some("models/cats")),
                ("a/b/c", Some("gemini-a")),
            ];
            add(documents, "a", &routes);
        },
        &[
            "`routes[a/b/c].alias`: `a/b/c` can never be asked for",
            "`routes[slow:alias].alias`: `slow:alias` can never be asked for",
            "`routes[tuned].targets[0].model`: `models/cats` cannot stand",
        ],
    );
}

#[test]
fn prices_are_given_once() {
    let own = |table: &str, text: &str| PriceOverride {
        table: table.to_owned(),
        model: model(text),
        rates: Rates::FREE,
    };
    finds(
        |documents| {
            documents.prices = vec![own("openai", "x"), own("Mine", "x"), own("openai", "X")];
            a(documents).price_table = "Mine".to_owned();
        },
        &[
            "`prices[1].table`: the name of a price table is made of",
            "`prices[2].model`: table `openai` has a price for `X` already",
        ],
    );
}

mod guardrails {
    use uuid::Uuid;

    use super::finds;
    use crate::documents::Documents;
    use crate::guardrail::{
        Action, AllowRule, Detector, Guardrail, GuardrailPreset, GuardrailRules, RuleFile, Stage,
        TextRole, WordList,
    };
    use crate::ids::{GuardrailId, RuleFileId, TeamId, WordListId};

    fn put(documents: &mut Documents, number: u128, name: &str, rules: GuardrailRules) {
        let id = GuardrailId::new(Uuid::from_u128(number));
        let name = name.to_owned();
        documents
            .guardrails
            .insert(id, Guardrail { id, name, rules });
    }

    fn pii(change: impl FnOnce(&mut GuardrailRules)) -> GuardrailRules {
        let mut rules = GuardrailPreset::Pii.rules();
        change(&mut rules);
        rules
    }

    fn stage(detectors: Vec<Detector>) -> Stage {
        Stage {
            detectors,
            action: Action::Block,
        }
    }

    fn regex(id: &str, pattern: &str) -> Detector {
        Detector::Regex {
            id: id.to_owned(),
            pattern: pattern.to_owned(),
            group: 0,
        }
    }

    #[test]
    fn scopes_lead_somewhere_and_name_nothing_twice() {
        finds(
            |documents| {
                let rules = pii(|rules| {
                    rules.scope.teams = vec![TeamId::new(Uuid::from_u128(77))];
                    rules.scope.providers = vec!["a".to_owned(), "a".to_owned(), "x".to_owned()];
                    rules.scope.roles = vec![TextRole::User, TextRole::User];
                });
                put(documents, 1, "g", rules);
            },
            &[
                "`guardrails[g].scope.providers[1]`: is listed twice",
                "`guardrails[g].scope.providers[2]`: there is no provider `x`",
                "`guardrails[g].scope.roles[1]`: is listed twice",
                "`guardrails[g].scope.teams[0]`: there is no such team",
            ],
        );
    }

    #[test]
    fn names_are_labels_and_differ() {
        finds(
            |documents| {
                put(documents, 1, "one", pii(|_| {}));
                put(documents, 2, "one", pii(|_| {}));
                put(documents, 3, "-", pii(|_| {}));
                let id = RuleFileId::new(Uuid::from_u128(1));
                let source = "[[rules]]\nid = \"a\"\nregex = '''a{9}'''\n".to_owned();
                let name = "Shop".to_owned();
                let file = RuleFile { id, name, source };
                documents.rule_files.insert(id, file);
                let id = WordListId::new(Uuid::from_u128(1));
                let words = vec!["a word".to_owned()];
                let name = "my words".to_owned();
                documents
                    .word_lists
                    .insert(id, WordList { id, name, words });
            },
            &[
                "`guardrails[-].name`: the name of a guardrail is made of",
                "`guardrails[one].name`: `one` is the name of another guardrail",
                "`rule_files[Shop].name`: the name of a rule file is made of",
                "`word_lists[my words].name`: the name of a word list is made of",
            ],
        );
    }

    #[test]
    fn stages_hold_detectors_and_each_once() {
        finds(
            |documents| {
                let same = regex("a", "aa");
                let rules = GuardrailRules::new(vec![
                    stage(Vec::new()),
                    stage(vec![same.clone(), same]),
                    stage(vec![regex("A b", "bb")]),
                ]);
                put(documents, 1, "g", rules);
                let many = (0..9).map(|_| stage(vec![Detector::HiddenText])).collect();
                put(documents, 2, "h", GuardrailRules::new(many));
            },
            &[
                "`guardrails[g].stages[0].detectors`: must hold 1 to 16 detectors",
                "`guardrails[g].stages[1].detectors[1]`: the stage has the same detector already",
                "`guardrails[g].stages[2].detectors[0].regex.id`: the name of an expression",
                "`guardrails[h].stages`: must hold 1 to 8 stages",
            ],
        );
    }

    #[test]
    fn numbers_have_bounds_and_allow_lists_have_texts() {
        finds(
            |documents| {
                let rules = pii(|rules| {
                    rules.sampling = 10_001;
                    rules.stream_end.drain_max_ms = 600_001;
                    rules.allow = vec![
                        AllowRule::Value(String::new()),
                        AllowRule::Contains("x".repeat(5_000)),
                        AllowRule::Regex("(".to_owned()),
                    ];
                });
                put(documents, 1, "g", rules);
            },
            &[
                "`guardrails[g].allow[0].value`: is empty",
                "`guardrails[g].allow[1].contains`: has at most 4096 bytes",
                "`guardrails[g].allow[2].regex`: ",
                "`guardrails[g].sampling`: is in ten-thousandths",
                "`guardrails[g].stream_end.drain_max_ms`: must be at most 600000",
            ],
        );
    }

    #[test]
    fn a_mesh_has_a_bound_of_guardrails_and_of_detectors() {
        finds(
            |documents| {
                for number in 0..65_u128 {
                    let detector = regex(&format!("r{number}"), &format!("shop{number}"));
                    let rules = GuardrailRules::new(vec![stage(vec![detector])]);
                    put(documents, number, &format!("g{number}"), rules);
                }
            },
            &[
                "`guardrails`: a mesh has at most 64 guardrails",
                "`guardrails`: all guardrails together name 65 different detectors",
            ],
        );
    }
}
