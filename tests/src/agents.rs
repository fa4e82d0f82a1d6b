//! The real coding agents, run once without a person, in a home of their own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::parts;
use crate::process::{self, Finished};
use crate::provider::agents::Task;

/// How long one run may take before the test gives up on it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where an agent sends its requests, and with which key.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Base URL without a version.
    pub base: String,
    /// The key; `None` for an agent that was given none.
    pub key: Option<String>,
    pub model: String,
}

/// A folder to work in and a home that nobody else uses.
#[derive(Debug)]
pub struct Desk {
    folder: TempDir,
}

impl Default for Desk {
    fn default() -> Self {
        Self::new()
    }
}

impl Desk {
    /// Makes an empty desk.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("weir-desk-")
            .tempdir()
            .expect("a temporary folder");
        for name in ["home", "work"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder for the agent");
        }
        Self { folder }
    }

    /// Returns the folder the agent works in.
    pub fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Returns a task that leaves `notes.txt` behind.
    pub fn task(&self) -> Task {
        Task {
            file: self.work().join("notes.txt").display().to_string(),
            content: "the weir holds".to_owned(),
            farewell: "The note is written.".to_owned(),
        }
    }

    /// Returns what the agent wrote for `task`.
    pub fn written(&self, task: &Task) -> Option<String> {
        std::fs::read_to_string(&task.file).ok()
    }

    /// Runs Claude Code with `prompt`.
    pub fn claude_code(&self, endpoint: &Endpoint, prompt: &str) -> Finished {
        self.claude_code_with(endpoint, prompt, &[])
    }

    /// Runs Claude Code with `prompt` and more arguments.
    pub fn claude_code_with(&self, endpoint: &Endpoint, prompt: &str, more: &[&str]) -> Finished {
        let mut command = self.command(&parts::client("claude"));
        command
            .args([
                "-p",
                prompt,
                "--output-format",
                "json",
                "--model",
                &endpoint.model,
            ])
            .args(["--allowedTools", "Write,Bash"])
            .args(more)
            .env("ANTHROPIC_BASE_URL", &endpoint.base)
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .env("DISABLE_AUTOUPDATER", "1");
        if let Some(key) = &endpoint.key {
            command.env("ANTHROPIC_AUTH_TOKEN", key);
        }
        process::finish(command, PATIENCE)
    }

    /// Runs Codex with `prompt`.
    pub fn codex(&self, endpoint: &Endpoint, prompt: &str) -> Finished {
        let home = self.home().join(".codex");
        std::fs::create_dir_all(&home).expect("a folder for Codex");
        let config = format!(
            "model = \"{}\"\nmodel_provider = \"mesh\"\n\n[model_providers.mesh]\nname = \"mesh\"\n\
             base_url = \"{}/v1\"\nenv_key = \"MESH_KEY\"\nwire_api = \"responses\"\n",
            endpoint.model, endpoint.base
        );
        std::fs::write(home.join("config.toml"), config).expect("Codex's configuration");
        let mut command = self.command(&parts::client("codex"));
        command
            .args(["exec", "--skip-git-repo-check", "--disable", "plugins"])
            .args(["--dangerously-bypass-approvals-and-sandbox", prompt])
            .env("CODEX_HOME", &home)
            .env("MESH_KEY", endpoint.key.as_deref().unwrap_or("none"));
        process::finish(command, PATIENCE)
    }

    /// Runs Gemini CLI with `prompt`.
    pub fn gemini_cli(&self, endpoint: &Endpoint, prompt: &str) -> Finished {
        let home = self.home().join(".gemini");
        std::fs::create_dir_all(&home).expect("a folder for Gemini CLI");
        let settings = json!({"security": {"auth": {"selectedType": "gemini-api-key"}}});
        std::fs::write(home.join("settings.json"), settings.to_string()).expect("its settings");
        let mut command = self.command(&parts::client("gemini"));
        command
            .args(["--skip-trust", "-m", &endpoint.model, "-p", prompt])
            .env("GOOGLE_GEMINI_BASE_URL", &endpoint.base)
            .env("GEMINI_API_KEY", endpoint.key.as_deref().unwrap_or("none"));
        process::finish(command, PATIENCE)
    }

    /// Runs OpenCode with `prompt` through one of its provider kinds (`openai`, `anthropic`, `google`…).
    pub fn opencode(&self, endpoint: &Endpoint, kind: &str, prompt: &str) -> Finished {
        let version = if kind == "google" { "v1beta" } else { "v1" };
        let config = json!({"provider": {"mesh": {
            "npm": format!("@ai-sdk/{kind}"),
            "name": "mesh",
            "options": {
                "baseURL": format!("{}/{version}", endpoint.base),
                "apiKey": endpoint.key.as_deref().unwrap_or("none"),
            },
            "models": {&endpoint.model: {"name": endpoint.model}},
        }}});
        let file = self.work().join("opencode.json");
        std::fs::write(file, config.to_string()).expect("OpenCode's configuration");
        let mut command = self.command(&parts::client("opencode"));
        let model = format!("mesh/{}", endpoint.model);
        command.args(["run", "-m", &model, prompt]);
        process::finish(command, PATIENCE)
    }

    /// Runs a Python script with the SDKs at hand.
    pub fn python(&self, script: &str, arguments: &[&str]) -> Finished {
        let mut command = self.command(Path::new("python3"));
        command
            .env("PYTHONPATH", parts::python_path())
            .arg("-c")
            .arg(script)
            .args(arguments);
        process::finish(command, PATIENCE)
    }

    /// Runs a line of shell with the agents and `weir` on the search path.
    pub fn shell(&self, line: &str) -> Finished {
        let mut path = OsString::from(parts::clients_path());
        for folder in [
            parts::weir().parent().map(Path::to_path_buf),
            std::env::var_os("PATH").map(PathBuf::from),
        ] {
            path.push(":");
            path.push(folder.unwrap_or_default());
        }
        let mut command = self.command(Path::new("sh"));
        command
            .env("PATH", path)
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .env("DISABLE_AUTOUPDATER", "1")
            .args(["-c", line]);
        process::finish(command, PATIENCE)
    }

    /// Lists what lies in the agent's home, with the size of each file.
    pub fn home_files(&self) -> Vec<(PathBuf, u64)> {
        let mut found = Vec::new();
        let mut folders = vec![self.home()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.metadata() {
                    Ok(facts) if facts.is_dir() => folders.push(entry.path()),
                    Ok(facts) => found.push((entry.path(), facts.len())),
                    Err(_) => {}
                }
            }
        }
        found.sort();
        found
    }

    /// A command that inherits nothing but the search path.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let path: OsString = std::env::var_os("PATH").unwrap_or_default();
        command
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.home())
            .env("NO_PROXY", "127.0.0.1,localhost")
            .env("LANG", "C.UTF-8")
            .current_dir(self.work());
        command
    }
}
