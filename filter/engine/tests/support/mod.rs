//! A small mesh, and the one place that knows how to drive an exchange through it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use dialects::refusal::Reply;
use dialects::splice::apply;
use engine::guard::Guard;
use engine::messages::{AttemptNumber, CallId, ClosedBy, Governed, KeyNow};
use engine::quota::{Desk, Limits};
use engine::{
    Command, DroppedHeaders, Exchange, ExchangeRecord, ExchangeSeed, Flow, HeaderEdit, Headers,
    Input, KeyCooling, SideBySide,
};
use policy::compiled::{CompiledKey, Mesh};
use policy::documents::{
    Access, AuthStyle, BaseUrl, Documents, KeyState, OnNoAnswer, Owner, PathStyle, Provider,
    ProviderAccess, ProviderKey, ProviderKeySelector, ProviderKeyState, ProviderSelector, Route,
    RouteTarget, Scope, StreamUsage, Subscription, Team, Tls, VirtualKey,
};
use policy::guardrail::{CompiledGuardrail, GuardCanary, GuardrailRules};
use policy::ids::{
    ExchangeId, GuardrailId, HolderId, KeyId, ProviderId, ProviderKeyId, RouteId, TeamId,
};
use policy::key::VirtualKeySecret;
use policy::pattern::ModelPattern;
use policy::secret::Secret;
use policy::surface::Dialect;
use policy::units::Timestamp;
use uuid::Uuid;

pub(crate) const T0: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A mesh with two Anthropic providers, one OpenAI provider, one alias and one key.
pub(crate) struct World {
    pub(crate) mesh: Rc<Mesh>,
    key: Rc<CompiledKey>,
    guard: Option<Rc<Guard>>,
    pub(crate) desk: Rc<RefCell<Desk>>,
    side_by_side: Rc<SideBySide>,
    pub(crate) dropped: Rc<RefCell<DroppedHeaders>>,
    cooling: Rc<RefCell<KeyCooling>>,
}

impl Default for World {
    fn default() -> Self {
        Self::of(&documents())
    }
}

impl World {
    /// Adds an Azure provider (`az-…`) and one of the Gemini dialect (`gemini-…`, `tunedModels/…`), each behind an
    /// alias too.
    pub(crate) fn with_models_in_paths() -> Self {
        let mut documents = documents();
        let mut azure = provider(4, "azure-a", Dialect::Openai, &["az-4o"]);
        azure.models = vec![pattern("az-*")];
        azure.base_url.path = "/openai".to_owned();
        azure.auth = AuthStyle::ApiKey;
        azure.path_style = PathStyle::AzureDeployments {
            api_version: "2024-10-21".to_owned(),
        };
        let mut gemini = provider(5, "gemini-a", Dialect::Gemini, &["gemini-a"]);
        gemini.models = vec![pattern("gemini-*"), pattern("tunedModels/*")];
        gemini.auth = AuthStyle::XGoogApiKey;
        for (seed, alias, provider, model) in [
            (21, "deployed/alias", &azure, "az-4o"),
            (22, "tuned", &gemini, "tunedModels/cats"),
            (23, "tunedModels/base", &gemini, "gemini-a"),
        ] {
            let id = RouteId::new(uuid(seed));
            let route = Route {
                id,
                scope: Scope::Global,
                alias: pattern(alias),
                targets: vec![RouteTarget {
                    provider: provider.name.clone(),
                    model: Some(model.to_owned()),
                    priority: 0,
                    weight: 1,
                }],
            };
            documents.routes.insert(id, route);
        }
        for provider in [azure, gemini] {
            documents.providers.insert(provider.id, provider);
        }
        for key in documents.keys.values_mut() {
            let access = &mut key.access;
            access.denied_models = vec![pattern("az-5"), pattern("tunedModels/dogs")];
        }
        Self::of(&documents)
    }

    fn of(documents: &Documents) -> Self {
        let secrets = policy::compile::MeshSecrets {
            canary: Secret::new("canary"),
            token_key: Secret::new("07".repeat(32)),
        };
        let compiled = policy::compile::compile(documents, secrets).unwrap();
        let key = compiled.keys.into_values().next().unwrap();
        Self {
            mesh: Rc::new(compiled.mesh),
            key: Rc::new(key),
            guard: None,
            desk: Rc::new(RefCell::new(Desk::new(HolderId::from_bytes([3; 16])))),
            side_by_side: Rc::default(),
            dropped: Rc::default(),
            cooling: Rc::default(),
        }
    }
}

impl World {
    /// A mesh with one guardrail.
    pub(crate) fn guarded(rules: GuardrailRules) -> Self {
        let mut world = Self::default();
        let mesh = world.mesh_mut();
        mesh.guardrails.push(guardrail(rules));
        let guard = Guard::new(mesh, &|_| None, 7).unwrap();
        assert!(guard.prove().iter().all(|(_, found)| *found));
        world.guard = Some(Rc::new(guard));
        world
    }

    pub(crate) fn mesh_mut(&mut self) -> &mut Mesh {
        Rc::get_mut(&mut self.mesh).unwrap()
    }

    /// What governs once policy has changed so.
    pub(crate) fn changed(&self, change: impl FnOnce(&mut Mesh, &mut CompiledKey)) -> Governed {
        let (mut mesh, mut key) = ((*self.mesh).clone(), (*self.key).clone());
        change(&mut mesh, &mut key);
        let guard = (!mesh.guardrails.is_empty())
            .then(|| Rc::new(Guard::new(&mesh, &|_| None, 7).unwrap()));
        Governed {
            limits: Rc::new(Limits::new(&mesh)),
            mesh: Rc::new(mesh),
            guard,
            key: KeyNow::Is(Rc::new(key)),
        }
    }

    pub(crate) fn key_mut(&mut self) -> &mut CompiledKey {
        Rc::get_mut(&mut self.key).unwrap()
    }
}

/// A guardrail that finds `SECRET-` and six digits by the rule `marker`.
pub(crate) fn guardrail(rules: GuardrailRules) -> CompiledGuardrail {
    CompiledGuardrail {
        id: GuardrailId::new(uuid(77)),
        name: "g".to_owned(),
        rules,
        canary: GuardCanary {
            text: "SECRET-000000".to_owned(),
            rule: "marker".to_owned(),
        },
    }
}

pub(crate) fn key_text() -> String {
    VirtualKeySecret::from_bytes([7; 32]).expose().to_owned()
}

fn documents() -> Documents {
    let mut documents = Documents::default();
    for provider in [
        provider(
            1,
            "anthropic-a",
            Dialect::Anthropic,
            &["claude-a", "claude-secret"],
        ),
        provider(2, "anthropic-b", Dialect::Anthropic, &["claude-b"]),
        provider(3, "openai-a", Dialect::Openai, &["gpt-a"]),
    ] {
        documents.providers.insert(provider.id, provider);
    }
    let team = Team {
        id: TeamId::new(uuid(9)),
        name: "t".to_owned(),
        customer: None,
        access: None,
    };
    let key = VirtualKey {
        id: KeyId::new(uuid(8)),
        name: "k".to_owned(),
        hash: VirtualKeySecret::from_bytes([7; 32]).hash(),
        owner: Owner::Team(team.id),
        environment: "dev".to_owned(),
        state: KeyState::Active,
        expires_at: None,
        access: Access {
            providers: vec![ProviderAccess {
                provider: ProviderSelector("*".to_owned()),
                models: vec![pattern("*")],
                denied_models: vec![pattern("*secret*")],
                provider_keys: vec![ProviderKeySelector("*".to_owned())],
                weight: 1,
            }],
            ..Access::default()
        },
        subscription: Subscription::Refused,
        opaque_paths: Vec::new(),
        on_revoke: None,
    };
    documents.teams.insert(team.id, team);
    documents.keys.insert(key.id, key);
    let target = |provider: &str, model: &str, priority| RouteTarget {
        provider: provider.to_owned(),
        model: Some(model.to_owned()),
        priority,
        weight: 1,
    };
    let route = Route {
        id: RouteId::new(uuid(5)),
        scope: Scope::Global,
        alias: pattern("smart"),
        targets: vec![
            target("anthropic-a", "claude-a", 0),
            target("anthropic-b", "claude-b", 1),
        ],
    };
    documents.routes.insert(route.id, route);
    documents
}

fn provider(seed: u8, name: &str, dialect: Dialect, models: &[&str]) -> Provider {
    Provider {
        id: ProviderId::new(uuid(seed)),
        name: name.to_owned(),
        dialect,
        base_url: BaseUrl {
            tls: Tls::Verified,
            host: format!("{name}.test"),
            port: 443,
            path: String::new(),
        },
        auth: if dialect == Dialect::Openai {
            AuthStyle::Bearer
        } else {
            AuthStyle::XApiKey
        },
        path_style: PathStyle::Native,
        hosts: if seed == 1 {
            vec!["api.anthropic.com".to_owned()]
        } else {
            Vec::new()
        },
        models: models.iter().map(|model| pattern(model)).collect(),
        listed_models: models.iter().map(|model| (*model).to_owned()).collect(),
        keys: vec![ProviderKey {
            id: ProviderKeyId::new(uuid(seed + 100)),
            name: "k".to_owned(),
            secret: Secret::new(format!("secret-of-{name}")),
            weight: 1,
            state: ProviderKeyState::Active,
        }],
        stream_usage: StreamUsage::Ask,
        price_table: "free".to_owned(),
        stream_header_timeout_ms: 60_000,
        whole_header_timeout_ms: 600_000,
        idle_timeout_ms: None,
        on_no_answer: OnNoAnswer::Again,
        pass_request_headers: Vec::new(),
        pass_response_headers: Vec::new(),
        set_request_headers: BTreeMap::new(),
    }
}

fn pattern(text: &str) -> ModelPattern {
    ModelPattern::parse(text).unwrap()
}

pub(crate) fn uuid(seed: u8) -> Uuid {
    Uuid::from_bytes([seed; 16])
}

/// An exchange under way.
pub(crate) struct Driven {
    pub(crate) exchange: Exchange,
    key: Rc<CompiledKey>,
    /// What came before the key was asked for.
    early: Option<Command>,
    pub(crate) now: Timestamp,
}

impl Driven {
    pub(crate) fn post(world: &World, path: &str, more: &[(&str, &str)], body: &str) -> Self {
        let key = key_text();
        let mut headers = vec![("x-api-key", key.as_str())];
        headers.extend(more);
        Self::post_as(world, path, &headers, body)
    }

    pub(crate) fn post_as(world: &World, path: &str, headers: &[(&str, &str)], body: &str) -> Self {
        let mut driven = Self::begin(
            Some(Rc::clone(&world.mesh)),
            world,
            "POST",
            path,
            headers,
            body.len(),
        );
        driven.push(Input::RequestBody {
            chunk: body.as_bytes(),
            end_of_stream: true,
        });
        driven
    }

    /// A request with these headers and no others of its own; its body comes in pieces.
    pub(crate) fn plain(
        world: &World,
        path: &str,
        headers: &[(&str, &str)],
        pieces: &[&[u8]],
    ) -> Self {
        let mut driven = Self::begin_with(
            Some(Rc::clone(&world.mesh)),
            world,
            &[
                &[
                    (":method", "POST"),
                    (":path", path),
                    (":authority", "localhost:8080"),
                    ("x-api-key", &key_text()),
                ],
                headers,
            ]
            .concat(),
            false,
        );
        for (place, piece) in pieces.iter().enumerate() {
            if !driven.exchange.is_running() {
                break;
            }
            driven.push(Input::RequestBody {
                chunk: piece,
                end_of_stream: place + 1 == pieces.len(),
            });
        }
        driven
    }

    pub(crate) fn bodyless(world: &World, path: &str, headers: &[(&str, &str)]) -> Self {
        let mesh = Some(Rc::clone(&world.mesh));
        Self::begin(mesh, world, "POST", path, headers, 0)
    }

    pub(crate) fn begin_post(world: &World, path: &str) -> Self {
        let mesh = Some(Rc::clone(&world.mesh));
        Self::begin(mesh, world, "POST", path, &[("x-api-key", &key_text())], 64)
    }

    pub(crate) fn get(world: &World, path: &str) -> Self {
        let key = key_text();
        let mesh = Some(Rc::clone(&world.mesh));
        Self::begin(
            mesh,
            world,
            "GET",
            path,
            &[("authorization", &format!("Bearer {key}"))],
            0,
        )
    }

    pub(crate) fn without_mesh(world: &World, path: &str, body: &str) -> Self {
        let key = key_text();
        Self::begin(
            None,
            world,
            "POST",
            path,
            &[("x-api-key", &key)],
            body.len(),
        )
    }

    pub(crate) fn chunked(
        world: &World,
        path: &str,
        body: &str,
        cuts: &[proptest::sample::Index],
    ) -> Self {
        let key = key_text();
        let mesh = Some(Rc::clone(&world.mesh));
        let mut driven = Self::begin(
            mesh,
            world,
            "POST",
            path,
            &[("x-api-key", &key)],
            body.len(),
        );
        let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        at.sort_unstable();
        at.push(body.len());
        let mut start = 0;
        for end in at {
            let last = end == body.len();
            driven.push(Input::RequestBody {
                chunk: &body.as_bytes()[start..end],
                end_of_stream: last,
            });
            start = end;
            if last || !driven.exchange.is_running() {
                break;
            }
        }
        driven
    }

    fn begin(
        mesh: Option<Rc<Mesh>>,
        world: &World,
        method: &str,
        path: &str,
        more: &[(&str, &str)],
        length: usize,
    ) -> Self {
        let ends = length == 0;
        let length = length.to_string();
        let mut pairs = vec![
            (":method", method),
            (":path", path),
            (":authority", "localhost:8080"),
        ];
        if method == "POST" {
            pairs.extend([
                ("content-type", "application/json"),
                ("content-length", length.as_str()),
            ]);
        }
        pairs.extend(more);
        Self::begin_with(mesh, world, &pairs, ends)
    }

    /// A request with these headers and no others.
    pub(crate) fn raw(world: &World, pairs: &[(&str, &str)], end_of_stream: bool) -> Self {
        Self::begin_with(Some(Rc::clone(&world.mesh)), world, pairs, end_of_stream)
    }

    fn begin_with(
        mesh: Option<Rc<Mesh>>,
        world: &World,
        pairs: &[(&str, &str)],
        ends: bool,
    ) -> Self {
        let seed = ExchangeSeed {
            id: ExchangeId::new(uuid(1)),
            mesh,
            mesh_is_stale: false,
            guard: world.guard.clone(),
            limits: Rc::new(Limits::new(&world.mesh)),
            desk: Rc::clone(&world.desk),
            side_by_side: Rc::clone(&world.side_by_side),
            dropped: Rc::clone(&world.dropped),
            cooling: Rc::clone(&world.cooling),
            records_are_full: false,
            now: T0,
        };
        let mut driven = Self {
            exchange: Exchange::new(seed),
            key: Rc::clone(&world.key),
            early: None,
            now: T0,
        };
        let headers = Rc::new(pairs.iter().copied().collect::<Headers>());
        driven.push(Input::RequestHeaders {
            headers: &headers,
            end_of_stream: ends,
        });
        let Some(command) = driven.exchange.poll_command() else {
            return driven;
        };
        if matches!(command, Command::FindKey(_)) {
            let key = Rc::clone(&driven.key);
            driven.push(Input::KeyFound(Some(key)));
        } else {
            driven.early = Some(command);
        }
        driven
    }

    pub(crate) fn push(&mut self, input: Input<'_>) {
        self.exchange.handle(self.now, input);
    }

    pub(crate) fn pass(&mut self, millis: u64) {
        self.now = Timestamp::from_millis(self.now.as_millis() + millis);
    }

    pub(crate) fn pass_deadline(&mut self) {
        self.now = self.exchange.poll_deadline().unwrap();
        self.push(Input::DeadlinePassed);
    }

    pub(crate) fn commands(&mut self) -> Vec<Command> {
        self.early
            .take()
            .into_iter()
            .chain(std::iter::from_fn(|| self.exchange.poll_command()))
            .collect()
    }

    #[track_caller]
    pub(crate) fn reply(&mut self) -> Reply {
        match self.commands().as_slice() {
            [Command::Reply(reply)] => reply.clone(),
            other => panic!("not a refusal: {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn forwarded(&mut self) -> Vec<HeaderEdit> {
        match self.commands().as_slice() {
            [Command::Forward { edits }] => edits.clone(),
            other => panic!("not forwarded: {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn consulted(&mut self) -> CallId {
        match self.commands().as_slice() {
            [Command::Consult { call, .. }] => *call,
            other => panic!("nothing asked: {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn attempt(&mut self, number: u32, host: Option<&str>) -> Vec<HeaderEdit> {
        self.push(Input::AttemptStarted {
            number: AttemptNumber(number),
            host_provider: host,
        });
        match self.exchange.poll_command() {
            Some(Command::EditAttempt { edits }) => edits,
            other => panic!("not an attempt: {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn refused_attempt(&mut self, number: u32, host: Option<&str>) -> Reply {
        self.push(Input::AttemptStarted {
            number: AttemptNumber(number),
            host_provider: host,
        });
        match self.commands().as_slice() {
            [Command::RefuseAttempt(reply)] => reply.clone(),
            other => panic!("not refused: {other:?}"),
        }
    }

    /// The body as the attempt's provider gets it.
    #[track_caller]
    pub(crate) fn spliced(&mut self, body: &str) -> String {
        match self.exchange.poll_command() {
            Some(Command::SplicePrefix(mut splice)) => {
                String::from_utf8(apply(body.as_bytes(), &mut splice.splices).unwrap()).unwrap()
            }
            other => panic!("nothing spliced: {other:?}"),
        }
    }

    /// An answer to its end; returns what the client sees of it.
    pub(crate) fn answer(
        &mut self,
        number: u32,
        status: u16,
        content_type: &str,
        chunks: &[&[u8]],
    ) -> Vec<u8> {
        let mut seen = self.begin_answer(number, status, content_type, chunks);
        self.push(Input::AttemptBody {
            number: AttemptNumber(number),
            chunk: &[],
            end_of_stream: true,
        });
        for command in self.commands() {
            if let Command::ReplaceChunk(bytes) = command {
                seen.extend(bytes);
            }
        }
        self.push(Input::ResponseEnded);
        seen
    }

    pub(crate) fn begin_answer(
        &mut self,
        number: u32,
        status: u16,
        content_type: &str,
        chunks: &[&[u8]],
    ) -> Vec<u8> {
        self.begin_answer_with(number, status, &[("content-type", content_type)], chunks)
    }

    pub(crate) fn begin_answer_with(
        &mut self,
        number: u32,
        status: u16,
        headers: &[(&str, &str)],
        chunks: &[&[u8]],
    ) -> Vec<u8> {
        let number = AttemptNumber(number);
        let headers: Headers = headers.iter().copied().collect();
        self.push(Input::AttemptHeaders {
            number,
            status,
            headers: &headers,
            end_of_stream: false,
        });
        self.push(Input::ResponseHeaders {
            status,
            details: "",
            end_of_stream: false,
        });
        self.commands();
        let mut seen = Vec::new();
        for chunk in chunks {
            let input = Input::AttemptBody {
                number,
                chunk,
                end_of_stream: false,
            };
            let flow = self.exchange.handle(self.now, input);
            let mut replaced = None;
            while let Some(command) = self.exchange.poll_command() {
                if let Command::ReplaceChunk(bytes) = command {
                    replaced = Some(bytes);
                } else {
                    let is_kept = matches!(command, Command::KeepOwned(_) | Command::KeepItem(_));
                    assert!(is_kept, "{command:?}");
                }
            }
            match replaced {
                Some(bytes) => seen.extend(bytes),
                None if flow == Flow::Hold => {}
                None => seen.extend_from_slice(chunk),
            }
        }
        seen
    }

    #[track_caller]
    pub(crate) fn proxy_error(&mut self, status: u16) -> Reply {
        self.proxy_answer(status, "")
    }

    #[track_caller]
    pub(crate) fn proxy_answer(&mut self, status: u16, details: &str) -> Reply {
        self.push(Input::ResponseHeaders {
            status,
            details,
            end_of_stream: false,
        });
        match self.commands().as_slice() {
            [
                Command::RewriteResponse(reply),
                Command::EditResponse { .. },
            ] => reply.clone(),
            other => panic!("not rewritten: {other:?}"),
        }
    }

    /// The exchange's id as the client reads it on whatever it is answered.
    pub(crate) fn shown_id(&mut self) -> Option<String> {
        self.push(Input::ResponseHeaders {
            status: 200,
            details: "",
            end_of_stream: false,
        });
        let commands = self.commands();
        commands.iter().find_map(|command| {
            let Command::EditResponse { edits } = command else {
                return None;
            };
            edit(edits, "x-weir-exchange-id").map(str::to_owned)
        })
    }

    #[track_caller]
    pub(crate) fn close(&mut self, peer: ClosedBy) -> ExchangeRecord {
        self.push(Input::ResponseHeaders {
            status: self.answered(),
            details: "",
            end_of_stream: false,
        });
        self.commands();
        self.push(Input::Closed {
            peer,
            response_bytes: 0,
        });
        match self.commands().as_slice() {
            [Command::Record(record)] => record.as_ref().clone(),
            other => panic!("no record: {other:?}"),
        }
    }

    /// The status that the client has, as far as the exchange knows; a local reply's comes back as headers, too.
    fn answered(&self) -> u16 {
        self.exchange.progress(self.now).status
    }
}

pub(crate) fn code_of(reply: &Reply) -> String {
    let code = reply
        .headers
        .iter()
        .find(|(name, _)| *name == "x-weir-code");
    code.map(|(_, value)| value.clone()).unwrap_or_default()
}

pub(crate) fn edit<'a>(edits: &'a [HeaderEdit], wanted: &str) -> Option<&'a str> {
    edits.iter().find_map(|edit| match edit {
        HeaderEdit::Set(name, value) if *name == wanted => std::str::from_utf8(value).ok(),
        HeaderEdit::Set(..) | HeaderEdit::Add(..) | HeaderEdit::Remove(_) => None,
    })
}
