//! `weir run`: a coding agent with the settings for a mesh, in its environment and arguments alone.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::ValueEnum;
use policy::secret::Secret;
use serde_json::{Value, json};

use super::data::{DataError, DataFolder};
use super::endpoint::{Addresses, Endpoint, Examples};
use super::gemini_settings::{self, GeminiSettingsError};
use super::left;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  weir run claude
  weir run claude -- -p \"Explain this repository\"
  weir run codex -- exec --skip-git-repo-check \"Fix the failing test\"
  WEIR_URL=https://mesh.example WEIR_KEY=sk-weir-… weir run gemini")]
pub(super) struct Args {
    /// Agent to start; it must be installed
    agent: Agent,
    /// Folder of the mesh on this machine, when neither --url nor --key is given
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = ".weir",
        env = "WEIR_DATA"
    )]
    data: PathBuf,
    /// Base URL of the mesh
    #[arg(long, env = "WEIR_URL")]
    url: Option<String>,
    /// Virtual key
    #[arg(long, env = "WEIR_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Base URL of the admin API, where this asks what is left to the key; known for a mesh on this machine
    #[arg(long, env = "WEIR_ADMIN_URL")]
    admin_url: Option<String>,
    /// Arguments for the agent, after `--`
    #[arg(last = true, value_name = "ARGS")]
    rest: Vec<OsString>,
}

/// The agents that `weir run` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Agent {
    /// Claude Code
    Claude,
    /// OpenAI Codex
    Codex,
    /// Gemini CLI
    Gemini,
    /// OpenCode
    Opencode,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    GeminiSettings(#[from] GeminiSettingsError),
    #[error("no address is known for the mesh in `{path}`: start it with `weir up`, or give --url")]
    NoUrl { path: PathBuf },
    #[error("there is no virtual key in `{path}`: start the mesh with `weir up`, or give --key")]
    NoKey { path: PathBuf },
    #[error("--url is not a base URL: it starts with http:// or https:// and names a host")]
    BadUrl,
    #[error("`{program}` is not installed or not on the PATH: install it with `{install}`")]
    NotInstalled {
        program: &'static str,
        install: &'static str,
    },
    #[error("`{program}` cannot be started")]
    Start {
        program: &'static str,
        source: io::Error,
    },
}

/// Becomes the agent, so that its exit code, signals and terminal are its own; returns only if that fails.
pub(super) fn run(args: &Args) -> Result<ExitCode, RunError> {
    let mesh = mesh(args)?;
    let mut launch = Launch::new(args.agent, &mesh.endpoint, &mesh.examples, &args.rest);
    if args.agent == Agent::Gemini {
        let settings = gemini_settings::write(mesh.folder.as_ref().map(DataFolder::root))?;
        launch
            .set
            .push((gemini_settings::VARIABLE, settings.into_os_string()));
    }
    if let Some(admin_url) = &mesh.admin_url {
        left::say_left(admin_url, &mesh.endpoint.key);
    }
    let source = launch.command().exec();
    if source.kind() == io::ErrorKind::NotFound {
        return Err(RunError::NotInstalled {
            program: launch.program,
            install: args.agent.install_line(),
        });
    }
    Err(RunError::Start {
        program: launch.program,
        source,
    })
}

/// What is known of the mesh to use.
#[derive(Debug)]
struct Mesh {
    endpoint: Endpoint,
    examples: Examples,
    /// `None` when the command line said everything.
    folder: Option<DataFolder>,
    /// Where to ask what is left; `None` when it is not known.
    admin_url: Option<String>,
}

fn mesh(args: &Args) -> Result<Mesh, RunError> {
    let folder = match (&args.url, &args.key) {
        (Some(_), Some(_)) => None,
        _ => Some(DataFolder::existing(&args.data)?),
    };
    let path = || args.data.clone();
    let addresses = folder.as_ref().map(Addresses::load).transpose()?.flatten();
    let url = match (&args.url, &addresses) {
        (Some(url), _) => base_url(url)?,
        (None, Some(addresses)) => addresses.mesh_url.clone(),
        (None, None) => return Err(RunError::NoUrl { path: path() }),
    };
    let key = match (&args.key, &folder) {
        (Some(key), _) => Secret::new(key.trim()),
        (None, Some(folder)) => folder
            .read_secret(&folder.virtual_key())?
            .ok_or_else(|| RunError::NoKey { path: path() })?,
        (None, None) => return Err(RunError::NoKey { path: path() }),
    };
    // The admin API of this machine knows nothing of another mesh.
    let own = addresses.as_ref().filter(|_| args.url.is_none());
    let admin_url = args.admin_url.as_ref().or(own.map(|it| &it.admin_url));
    Ok(Mesh {
        endpoint: Endpoint { url, key },
        admin_url: admin_url.cloned(),
        examples: addresses.map(|it| it.examples).unwrap_or_default(),
        folder,
    })
}

fn base_url(url: &str) -> Result<String, RunError> {
    let trimmed = url.trim().trim_end_matches('/');
    let rest = trimmed
        .strip_prefix("http://")
        .or_else(|| trimmed.strip_prefix("https://"));
    match rest {
        Some(host) if !host.is_empty() => Ok(trimmed.to_owned()),
        _ => Err(RunError::BadUrl),
    }
}

/// What to start, in which environment.
#[derive(Debug)]
struct Launch {
    program: &'static str,
    args: Vec<OsString>,
    set: Vec<(&'static str, OsString)>,
    keys: Vec<(&'static str, Secret)>,
    /// Variables that would lead the agent elsewhere or send a second credential along.
    unset: Vec<&'static str>,
}

impl Launch {
    fn new(agent: Agent, endpoint: &Endpoint, examples: &Examples, rest: &[OsString]) -> Self {
        let mut launch = match agent {
            Agent::Claude => claude(endpoint),
            Agent::Codex => codex(endpoint),
            Agent::Gemini => gemini(endpoint),
            Agent::Opencode => opencode(endpoint, examples),
        };
        launch.args.extend(rest.iter().cloned());
        launch
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.program);
        command.args(&self.args);
        for name in &self.unset {
            command.env_remove(name);
        }
        let set = self
            .set
            .iter()
            .map(|(name, value)| (name, value.as_os_str()));
        let keys = self
            .keys
            .iter()
            .map(|(name, key)| (name, OsStr::new(key.expose())));
        command.envs(set.chain(keys));
        command
    }
}

fn claude(endpoint: &Endpoint) -> Launch {
    Launch {
        program: "claude",
        args: Vec::new(),
        set: vec![("ANTHROPIC_BASE_URL", endpoint.url.as_str().into())],
        keys: vec![("ANTHROPIC_AUTH_TOKEN", endpoint.key.clone())],
        unset: vec![
            "ANTHROPIC_API_KEY",
            "CLAUDE_CODE_OAUTH_TOKEN",
            "CLAUDE_CODE_USE_BEDROCK",
            "CLAUDE_CODE_USE_VERTEX",
            "CLAUDE_CODE_USE_FOUNDRY",
        ],
    }
}

fn codex(endpoint: &Endpoint) -> Launch {
    let settings = [
        ("model_provider", json!("weir")),
        ("model_providers.weir.name", json!("Weir")),
        (
            "model_providers.weir.base_url",
            json!(format!("{}/v1", endpoint.url)),
        ),
        ("model_providers.weir.env_key", json!("WEIR_KEY")),
        ("model_providers.weir.wire_api", json!("responses")),
        // The mesh answers an upgrade with 426; saying so here spares the attempt.
        ("model_providers.weir.supports_websockets", json!(false)),
    ];
    // JSON strings and booleans are TOML values too.
    let args = settings
        .into_iter()
        .flat_map(|(name, value)| ["-c".into(), format!("{name}={value}").into()])
        .collect();
    Launch {
        program: "codex",
        args,
        set: Vec::new(),
        keys: vec![("WEIR_KEY", endpoint.key.clone())],
        unset: Vec::new(),
    }
}

fn gemini(endpoint: &Endpoint) -> Launch {
    Launch {
        program: "gemini",
        args: Vec::new(),
        set: vec![("GOOGLE_GEMINI_BASE_URL", endpoint.url.as_str().into())],
        keys: vec![("GEMINI_API_KEY", endpoint.key.clone())],
        unset: vec![
            "GOOGLE_API_KEY",
            "GOOGLE_GENAI_USE_VERTEXAI",
            "GOOGLE_GENAI_USE_GCA",
            "GOOGLE_VERTEX_BASE_URL",
            "GEMINI_API_KEY_AUTH_MECHANISM",
        ],
    }
}

fn opencode(endpoint: &Endpoint, examples: &Examples) -> Launch {
    let config = opencode_config(&endpoint.url, examples).to_string();
    Launch {
        program: "opencode",
        args: Vec::new(),
        set: vec![("OPENCODE_CONFIG_CONTENT", config.into())],
        keys: vec![("WEIR_KEY", endpoint.key.clone())],
        unset: Vec::new(),
    }
}

/// OpenCode's configuration for the mesh at `url`; it reads the key from the variable `WEIR_KEY`.
pub(super) fn opencode_config(url: &str, examples: &Examples) -> Value {
    let options =
        |path: &str| json!({"baseURL": format!("{url}{path}"), "apiKey": "{env:WEIR_KEY}"});
    if let Some(model) = examples.openai.as_ref().filter(|_| examples.demo) {
        // OpenCode knows no such model, so it is told about a provider of its own.
        return json!({
            "provider": {"weir": {
                "npm": "@ai-sdk/openai-compatible",
                "name": "Weir demo",
                "options": options("/v1"),
                "models": {model: {"name": model}},
            }},
            "enabled_providers": ["weir"],
            "model": format!("weir/{model}"),
            "small_model": format!("weir/{model}"),
        });
    }
    json!({
        "provider": {
            "anthropic": {"options": options("/v1")},
            "openai": {"options": options("/v1")},
            "google": {"options": options("/v1beta")},
        },
        "enabled_providers": ["anthropic", "openai", "google"],
    })
}

impl Agent {
    fn install_line(self) -> &'static str {
        match self {
            Self::Claude => "npm install -g @anthropic-ai/claude-code",
            Self::Codex => "npm install -g @openai/codex",
            Self::Gemini => "npm install -g @google/gemini-cli",
            Self::Opencode => "npm install -g opencode-ai",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sk-weir-test";

    fn launch(agent: Agent, rest: &[&str]) -> Launch {
        let endpoint = Endpoint {
            url: "http://127.0.0.1:8080".to_owned(),
            key: Secret::new(KEY),
        };
        let rest: Vec<OsString> = rest.iter().map(OsString::from).collect();
        Launch::new(agent, &endpoint, &Examples::default(), &rest)
    }

    fn variable<'a>(launch: &'a Launch, name: &str) -> Option<&'a str> {
        let plain = launch
            .set
            .iter()
            .map(|(have, value)| (*have, value.to_str().unwrap()));
        let keys = launch.keys.iter().map(|(have, key)| (*have, key.expose()));
        plain
            .chain(keys)
            .find(|(have, _)| *have == name)
            .map(|(_, value)| value)
    }

    #[test]
    fn claude_takes_base_url_and_token_and_no_other_credential() {
        let launch = launch(Agent::Claude, &["-p", "hi"]);
        assert_eq!(launch.program, "claude");
        assert_eq!(launch.args, ["-p", "hi"]);
        assert_eq!(
            variable(&launch, "ANTHROPIC_BASE_URL"),
            Some("http://127.0.0.1:8080")
        );
        assert_eq!(variable(&launch, "ANTHROPIC_AUTH_TOKEN"), Some(KEY));
        assert!(launch.unset.contains(&"ANTHROPIC_API_KEY"));
    }

    #[test]
    fn codex_is_configured_by_flags_before_the_users_arguments() {
        let launch = launch(Agent::Codex, &["exec", "hi"]);
        let args: Vec<&str> = launch
            .args
            .iter()
            .map(|arg| arg.to_str().unwrap())
            .collect();
        assert!(args.contains(&"model_providers.weir.base_url=\"http://127.0.0.1:8080/v1\""));
        assert!(args.contains(&"model_providers.weir.wire_api=\"responses\""));
        assert!(args.contains(&"model_provider=\"weir\""));
        assert!(args.ends_with(&["exec", "hi"]));
        assert_eq!(variable(&launch, "WEIR_KEY"), Some(KEY));
    }

    #[test]
    fn gemini_takes_base_url_and_key() {
        let launch = launch(Agent::Gemini, &[]);
        assert_eq!(
            variable(&launch, "GOOGLE_GEMINI_BASE_URL"),
            Some("http://127.0.0.1:8080")
        );
        assert_eq!(variable(&launch, "GEMINI_API_KEY"), Some(KEY));
        assert!(launch.unset.contains(&"GOOGLE_GENAI_USE_VERTEXAI"));
    }

    #[test]
    fn opencode_takes_its_configuration_from_the_environment() {
        let launch = launch(Agent::Opencode, &["run", "hi"]);
        let config: Value =
            serde_json::from_str(variable(&launch, "OPENCODE_CONFIG_CONTENT").unwrap()).unwrap();
        assert_eq!(
            config
                .pointer("/provider/anthropic/options/baseURL")
                .unwrap(),
            "http://127.0.0.1:8080/v1"
        );
        assert_eq!(
            config.pointer("/provider/openai/options/apiKey").unwrap(),
            "{env:WEIR_KEY}"
        );
    }

    #[test]
    fn keys_never_stand_in_arguments_where_other_users_see_them() {
        for agent in Agent::value_variants() {
            let launch = launch(*agent, &[]);
            assert!(
                launch
                    .args
                    .iter()
                    .all(|arg| !arg.to_str().unwrap().contains(KEY)),
                "{agent:?}"
            );
            assert!(!format!("{launch:?}").contains(KEY), "{agent:?}");
        }
    }

    #[test]
    fn the_agents_environment_holds_what_was_decided() {
        let command = launch(Agent::Claude, &["-p"]).command();
        let variables: Vec<_> = command.get_envs().collect();
        assert!(variables.contains(&(OsStr::new("ANTHROPIC_API_KEY"), None)));
        let token = (OsStr::new("ANTHROPIC_AUTH_TOKEN"), Some(OsStr::new(KEY)));
        assert!(variables.contains(&token));
    }

    #[test]
    fn base_urls_lose_their_last_slash_and_need_a_scheme() {
        assert_eq!(
            base_url("https://mesh.example/").unwrap(),
            "https://mesh.example"
        );
        assert!(base_url("mesh.example").is_err());
        assert!(base_url("http://").is_err());
    }

    #[test]
    fn url_and_key_need_no_data_folder() {
        let args = Args {
            agent: Agent::Claude,
            data: PathBuf::from("/nonexistent"),
            url: Some("http://h".to_owned()),
            key: Some(KEY.to_owned()),
            admin_url: None,
            rest: Vec::new(),
        };
        let known = mesh(&args).unwrap();
        assert_eq!(known.endpoint.url, "http://h");
        assert_eq!(known.admin_url, None);
        let without_key = Args { key: None, ..args };
        assert!(matches!(
            mesh(&without_key),
            Err(RunError::Data(DataError::Missing { .. }))
        ));
    }
}
