//! Providers come, change and go through the API while Envoy runs; what is revoked is refused everywhere at once.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use weir_tests::client::{Answered, Request};
use weir_tests::http1::{BodyReader, Framing, read_head};
use weir_tests::mesh::tenant::{self, Dialect, Registration, Tenant, id, provider_secret, unique};
use weir_tests::mesh::{Mesh, Options};
use weir_tests::provider::answer::Answer;
use weir_tests::provider::{MockProvider, anthropic, openai};
use weir_tests::surfaces;
use weir_tests::tokens::Tokens;
use weir_tests::wait;

static MESH: LazyLock<Mesh> = LazyLock::new(|| Mesh::start(&Options::default()));

fn hello() -> Answer {
    Answer::json(200, &anthropic::message("m", "hello", Tokens::new(1, 1)))
}

fn ask(model: &str) -> Request {
    let body = json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]});
    Request::post("/v1/messages", &body)
}

fn provider_path(mesh: &Mesh, name: &str) -> String {
    let found = mesh.admin().get(&format!("/providers?name={name}"));
    format!("/providers/{}", id(&found["items"][0]))
}

#[test]
fn a_provider_comes_moves_and_goes_while_envoy_runs() {
    let envoy = MESH.envoy_pid();
    let (old, new) = (MockProvider::always(hello()), MockProvider::always(hello()));
    let tenant = MESH.tenant(&[Registration::new(Dialect::Anthropic, &old)]);
    let name = &tenant.providers[0];
    assert_eq!(MESH.send(&tenant.sign(ask("m"))).status, 200);
    assert_eq!((old.count(), new.count()), (1, 0));

    // Requests go on while it moves, and none is lost.
    let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mistakes = std::thread::scope(|scope| {
        let load = || {
            let mut mistakes = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                let answered = MESH.send(&tenant.sign(ask("m")));
                sent.fetch_add(1, Ordering::SeqCst);
                if answered.status != 200 {
                    mistakes.push(format!("{} {}", answered.status, answered.text()));
                }
            }
            mistakes
        };
        let loads = [scope.spawn(load), scope.spawn(load)];
        wait::until("requests before", || {
            (sent.load(Ordering::SeqCst) > 50).then_some(())
        });
        let path = provider_path(&MESH, name);
        MESH.change(|admin| admin.patch(&path, &json!({"base_url": new.url("")})));
        let at = sent.load(Ordering::SeqCst);
        wait::until("requests after", || {
            (sent.load(Ordering::SeqCst) > at + 50).then_some(())
        });
        stop.store(true, Ordering::SeqCst);
        loads.map(|load| load.join().unwrap()).concat()
    });
    assert_eq!(mistakes, Vec::<String>::new());
    old.forget();
    new.forget();
    assert_eq!(MESH.send(&tenant.sign(ask("m"))).status, 200);
    assert_eq!((old.count(), new.count()), (0, 1));
    assert_eq!(MESH.envoy_pid(), envoy);
    eprintln!(
        "{} requests while a provider moved, none failed",
        sent.load(Ordering::SeqCst)
    );
}

#[test]
fn a_provider_that_is_removed_is_not_asked_any_more() {
    let provider = MockProvider::always(hello());
    let registration = Registration::new(Dialect::Anthropic, &provider);
    let name = registration.name().to_owned();
    let any = json!({"access": {"providers": [{"provider": "*", "models": ["*"], "provider_keys": ["*"]}]}});
    let tenant = MESH.tenant_with(&[registration], &any);
    let mut request = tenant.sign(ask("m"));
    request.target = format!("/p/{name}/v1/messages");
    assert_eq!(MESH.send(&request).status, 200);
    let path = provider_path(&MESH, &name);
    MESH.change(|admin| admin.delete(&path));
    let refused = MESH.send(&request);
    assert!(
        refused.weir_code().is_some() && refused.status >= 400,
        "{refused:?}"
    );
    eprintln!(
        "a removed provider: {} {:?}",
        refused.status,
        refused.weir_code()
    );
    assert_eq!(provider.count(), 1);
}

/// Every surface of a dialect below a base path, with the credential in the header the provider wants.
#[test]
#[expect(clippy::too_many_lines, clippy::type_complexity, reason = "a table")]
fn base_paths_and_credential_styles() {
    let cases: [(Dialect, &str, &str, &str, &[(&str, &str)]); 5] = [
        (
            Dialect::Openai,
            "/openai/v1",
            "api_key",
            "api-key",
            &[
                ("chat", "/openai/v1/chat/completions"),
                ("responses", "/openai/v1/responses"),
                ("embeddings", "/openai/v1/embeddings"),
            ],
        ),
        (
            Dialect::Openai,
            "/inference/v1",
            "bearer",
            "authorization",
            &[
                ("chat stream", "/inference/v1/chat/completions"),
                ("embeddings", "/inference/v1/embeddings"),
            ],
        ),
        (
            Dialect::Anthropic,
            "/anthropic",
            "x_api_key",
            "x-api-key",
            &[
                ("messages", "/anthropic/v1/messages?beta=true"),
                ("count_tokens", "/anthropic/v1/messages/count_tokens"),
            ],
        ),
        (
            Dialect::Anthropic,
            "/deep/er",
            "bearer",
            "authorization",
            &[("messages stream", "/deep/er/v1/messages?beta=true")],
        ),
        (
            Dialect::Gemini,
            "/vertex",
            "x_goog_api_key",
            "x-goog-api-key",
            &[
                ("generate", "/vertex/v1beta/models/model-1:generateContent"),
                (
                    "generate stream",
                    "/vertex/v1beta/models/model-1:streamGenerateContent?alt=sse",
                ),
            ],
        ),
    ];
    for (dialect, base, style, header, surfaces) in cases {
        let provider = MockProvider::always(Answer::empty(200));
        let registration = Registration::new(dialect, &provider)
            .with("base_url", json!(provider.url(base)))
            .with("auth", json!(style));
        let secret = provider_secret(registration.name());
        let tenant = MESH.tenant(&[registration]);
        for (name, target) in surfaces {
            provider.forget();
            let case = surfaces::case(name, "model-1");
            let answer = case.answer.clone();
            provider.script(move |_, _| answer.clone());
            let answered = MESH.send(&tenant.sign(case.request()));
            assert_eq!(
                (answered.status, &answered.body),
                (200, &case.answer.body()),
                "{name} at {base}"
            );
            let seen = provider.only();
            assert_eq!((seen.target.as_str(), &seen.body), (*target, &case.body));
            let expected = if style == "bearer" {
                format!("Bearer {secret}")
            } else {
                secret.clone()
            };
            assert_eq!(seen.fields.all(header), [expected]);
            let others = ["authorization", "x-api-key", "api-key", "x-goog-api-key"]
                .iter()
                .filter(|other| **other != header);
            assert!(
                others.clone().all(|other| seen.fields.get(other).is_none()),
                "{seen:#?}"
            );
        }
    }
}

#[test]
fn azure_deployments_by_model() {
    let provider = MockProvider::always(Answer::json(
        200,
        &openai::chat("m", "ok", Tokens::new(1, 1)),
    ));
    let registration = Registration::new(Dialect::Openai, &provider)
        .with("base_url", json!(provider.url("/openai")))
        .with("auth", json!("api_key"))
        .with(
            "path_style",
            json!({"azure_deployments": {"api_version": "2024-10-21"}}),
        );
    let secret = provider_secret(registration.name());
    let tenant = MESH.tenant(&[registration]);
    for model in ["gpt-5", "my-deployment_2.1"] {
        provider.forget();
        let request = Request::post(
            "/v1/chat/completions",
            &json!({"model": model, "messages": []}),
        );
        assert_eq!(MESH.send(&tenant.sign(request)).status, 200);
        let seen = provider.only();
        assert_eq!(
            seen.target,
            format!("/openai/deployments/{model}/chat/completions?api-version=2024-10-21")
        );
        assert_eq!(seen.fields.all("api-key"), std::slice::from_ref(&secret));
    }
}

/// What a client calls the model is one segment of the provider's path, or the request goes nowhere.
#[test]
fn a_model_never_leaves_its_place_in_a_path() {
    let provider = MockProvider::always(Answer::json(
        200,
        &openai::chat("m", "ok", Tokens::new(1, 1)),
    ));
    let azure = Registration::new(Dialect::Openai, &provider)
        .with("base_url", json!(provider.url("/openai")))
        .with("auth", json!("api_key"))
        .with(
            "path_style",
            json!({"azure_deployments": {"api_version": "2024-10-21"}}),
        );
    let gemini = Registration::new(Dialect::Gemini, &provider);
    let mut access = tenant::access(&[azure.name(), gemini.name()], &["*"]);
    access["denied_models"] = json!(["az-5", "tunedModels/dogs"]);
    let tenant = MESH.tenant_with(&[azure, gemini], &json!({"access": access}));
    let check = |target: &str, model: &str, code: &str| {
        let body = json!({"model": model, "messages": []});
        let request = tenant.sign(Request::post(target, &body));
        let refused = MESH.send(&request);
        assert_eq!(
            refused.weir_code().as_deref(),
            Some(code),
            "{target} {model}"
        );
        assert_eq!(
            refused.status,
            if code == "model_not_allowed" {
                403
            } else {
                400
            }
        );
    };
    for model in [
        "az-4o/../../files?api-version=2024-10-21&x=",
        "az-5/chat/completions?api-version=2024-10-21&x=",
        "az-4o/..",
        "az-4o%2f..%2f..%2ffiles",
        "az-4o?x",
        "az-4o#x",
        "az-4o;x",
        "az-4o\\..",
        "az-4\u{ff0f}o",
        "..",
    ] {
        check("/v1/chat/completions", model, "model_name_invalid");
    }
    check("/v1/chat/completions", "AZ-5", "model_not_allowed");
    for (target, code) in [
        ("/v1beta/models/a:b:generateContent", "model_name_invalid"),
        ("/models/-a:generateContent", "model_name_invalid"),
        (
            "/v1beta/tunedModels/dogs:generateContent",
            "model_not_allowed",
        ),
        ("/genai/TunedModels/dogs:generateContent", "bad_path"),
    ] {
        check(target, "tunedModels/dogs", code);
    }
    assert_eq!(provider.count(), 0);
    for (target, want) in [
        (
            "/models/g-1:generateContent",
            "/v1beta/models/g-1:generateContent",
        ),
        (
            "/genai/models/g-1:streamGenerateContent?%61lt=sse",
            "/v1beta/models/g-1:streamGenerateContent?alt=sse",
        ),
        (
            "/v1beta/tunedModels/cats:generateContent",
            "/v1beta/tunedModels/cats:generateContent",
        ),
    ] {
        provider.forget();
        let request = tenant.sign(Request::post(target, &json!({"contents": []})));
        assert_eq!(MESH.send(&request).status, 200, "{target}");
        assert_eq!(provider.only().target, want);
    }
}

/// A local provider that wants no credential gets none.
#[test]
fn a_provider_without_credentials_gets_none() {
    let provider = MockProvider::always(Answer::json(
        200,
        &openai::chat("m", "ok", Tokens::new(1, 1)),
    ));
    let registration = Registration::new(Dialect::Openai, &provider)
        .with("auth", json!("none"))
        .with("keys", json!([]));
    let tenant = MESH.tenant(&[registration]);
    let request = Request::post(
        "/v1/chat/completions",
        &json!({"model": "m", "messages": []}),
    );
    assert_eq!(MESH.send(&tenant.sign(request)).status, 200);
    let seen = provider.only();
    for header in ["authorization", "x-api-key", "api-key", "x-goog-api-key"] {
        assert_eq!(seen.fields.get(header), None);
    }
}

/// A provider behind TLS that answers every request alike and counts them.
struct TlsProvider {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

type Ca = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Ca {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // By default the authority and what it signs would bear the same name.
    params
        .distinguished_name
        .push(DnType::CommonName, unique("authority"));
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn pem(ca: &Ca) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(ca.der());
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}

impl TlsProvider {
    /// Starts one whose certificate for `names` comes from `ca`.
    fn start(ca: &Ca, names: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, ca)
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, seen) = (Arc::clone(&config), Arc::clone(&seen));
                // A peer that does not like the certificate goes away, which is its right.
                std::thread::spawn(move || serve_tls(stream, config, &seen).unwrap_or_default());
            }
        });
        Self { address, requests }
    }

    fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

fn serve_tls(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    while let Some(head) = read_head(&mut stream)? {
        BodyReader::new(Framing::of(&head.fields, Framing::None)).rest(&mut stream)?;
        let server_name = stream
            .get_ref()
            .conn
            .server_name()
            .unwrap_or_default()
            .to_owned();
        seen.lock().unwrap().push(format!(
            "{} {server_name}",
            head.fields.get("host").unwrap_or_default()
        ));
        let body = hello().body();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.get_mut().write_all(head.as_bytes())?;
        stream.get_mut().write_all(&body)?;
    }
    Ok(())
}

#[test]
fn a_certificate_must_be_for_the_name_and_from_the_authority() {
    let (ca, stranger) = (authority(), authority());
    let folder = tempfile::tempdir().unwrap();
    let anchors: PathBuf = folder.path().join("anchors.pem");
    std::fs::write(&anchors, pem(&ca)).unwrap();
    let mesh = Mesh::start(&Options {
        trust_anchors: Some(anchors),
        ..Options::default()
    });
    let good = TlsProvider::start(&ca, &["localhost"]);
    let wrong_name = TlsProvider::start(&ca, &["api.example.com", "localhost.example.com"]);
    let unknown = TlsProvider::start(&stranger, &["localhost"]);
    let idle = MockProvider::always(hello());
    let registrations = [&good, &wrong_name, &unknown].map(|provider| {
        let url = format!("https://localhost:{}", provider.address.port());
        Registration::new(Dialect::Anthropic, &idle).with("base_url", json!(url))
    });
    let tenant = mesh.tenant(&registrations);
    let send = |n: usize| -> Answered {
        let mut request = tenant.sign(ask("m"));
        request.target = format!("/p/{}/v1/messages", tenant.providers[n]);
        mesh.send(&request)
    };
    for _ in 0..3 {
        let answered = send(0);
        assert_eq!(
            (answered.status, answered.body.clone()),
            (200, hello().body()),
            "{}",
            answered.text()
        );
    }
    assert_eq!(
        good.requests.lock().unwrap()[0],
        format!("localhost:{} localhost", good.address.port())
    );
    for (n, provider) in [(1, &wrong_name), (2, &unknown)] {
        let answered = send(n);
        assert_eq!(answered.status, 502, "{}", answered.text());
        assert_eq!(
            answered.weir_code().as_deref(),
            Some("upstream_unreachable")
        );
        assert_eq!(
            provider.count(),
            0,
            "a request went to a provider that is not who it should be"
        );
    }
    eprintln!(
        "TLS: right name 200; wrong name and unknown authority {}",
        send(1).status
    );
}

/// Asks over fresh connections all the time; returns when the last request began that was still admitted.
fn last_admitted(
    mesh: &Mesh,
    tenant: &Tenant,
    revoke: impl FnOnce() -> Instant,
) -> (Duration, usize, Vec<String>) {
    let (stop, admitted) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let (refused, codes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let revoked = std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let began = wait::now();
                    let answered = mesh.send(&tenant.sign(ask("m")));
                    if answered.status == 200 {
                        admitted.lock().unwrap().push(began);
                    } else {
                        refused.fetch_add(1, Ordering::SeqCst);
                        let code = format!(
                            "{} {}",
                            answered.status,
                            answered.weir_code().unwrap_or_default()
                        );
                        let mut codes = codes.lock().unwrap();
                        if !codes.contains(&code) {
                            codes.push(code);
                        }
                    }
                }
            });
        }
        wait::until("requests before", || {
            let refused = refused.load(Ordering::SeqCst);
            assert!(
                refused < 1_000,
                "refused from the start: {:?}\n{}",
                codes.lock().unwrap(),
                mesh.logs()
            );
            (admitted.lock().unwrap().len() > 30).then_some(())
        });
        let revoked = revoke();
        // One second, and then some more requests on every worker.
        wait::until("a second to pass", || {
            (revoked.elapsed() > Duration::from_secs(1)).then_some(())
        });
        let at = refused.load(Ordering::SeqCst);
        wait::until("refusals", || {
            (refused.load(Ordering::SeqCst) > at + 60).then_some(())
        });
        stop.store(true, Ordering::SeqCst);
        revoked
    });
    let admitted = admitted.into_inner().unwrap();
    let last = admitted
        .iter()
        .max()
        .unwrap()
        .saturating_duration_since(revoked);
    (last, refused.into_inner(), codes.into_inner().unwrap())
}

fn revoke(mesh: &Mesh, tenant: &Tenant) -> Instant {
    let answered: Value = mesh
        .admin()
        .post(&format!("/keys/{}/revoke", tenant.key_id), &json!({}));
    assert_eq!(answered["state"], json!("revoked"), "{answered}");
    wait::now()
}

#[test]
fn a_revoked_key_is_refused_on_every_worker_within_a_second() {
    let provider = MockProvider::always(hello());
    for round in 0..3 {
        let tenant = MESH.tenant(&[Registration::new(Dialect::Anthropic, &provider)
            .with("models", json!([unique("m"), "m"]))]);
        let (last, refused, codes) = last_admitted(&MESH, &tenant, || revoke(&MESH, &tenant));
        eprintln!(
            "revocation {round}: last admitted request began {last:?} after, then {refused} refused: {codes:?}"
        );
        assert!(
            last < Duration::from_secs(1),
            "admitted {last:?} after the revocation\n{}",
            MESH.logs()
        );
        assert_eq!(codes, ["401 key_revoked"]);
    }
}
