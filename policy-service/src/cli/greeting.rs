//! What a person is told once a mesh is up.

use std::fmt::Write as _;
use std::path::Path;

use policy::secret::Secret;

use super::endpoint::{Addresses, Examples};
use super::{gemini_settings, run};

/// Everything the greeting shows.
#[derive(Debug)]
pub(super) struct Greeting<'a> {
    pub(super) addresses: &'a Addresses,
    pub(super) key: &'a Secret,
    /// Where the key is kept.
    pub(super) key_file: &'a Path,
    /// Gemini CLI's settings for a mesh.
    pub(super) gemini_settings: &'a Path,
    /// The admin token, at the one time it is shown.
    pub(super) admin_token: Option<&'a Secret>,
}

impl Greeting<'_> {
    /// The whole text.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        match self.write(&mut text) {
            // Writing to a string does not fail.
            Ok(()) | Err(std::fmt::Error) => text,
        }
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let url = &self.addresses.mesh_url;
        let key = self.key.expose();
        writeln!(out, "Base URL      {url}")?;
        writeln!(out, "Virtual key   {key}")?;
        writeln!(out, "              kept in {}", self.key_file.display())?;
        writeln!(
            out,
            "Admin API     {}/api/v1 (described in /api/v1/openapi.json)",
            self.addresses.admin_url
        )?;
        match self.admin_token {
            Some(token) => {
                writeln!(out, "Admin token   {}", token.expose())?;
                writeln!(
                    out,
                    "              shown this once; only its hash is kept: put it where you keep passwords"
                )?;
            }
            None => writeln!(
                out,
                "              its token was shown at the first start; `weir token --name NAME` makes another"
            )?,
        }
        writeln!(
            out,
            "\nAgents (or let `weir run claude|codex|gemini|opencode` set this):\n"
        )?;
        self.agents(out)?;
        writeln!(out, "\nTry it:\n")?;
        writeln!(out, "{}", curl(url, key, &self.addresses.examples))
    }

    fn agents(&self, out: &mut String) -> std::fmt::Result {
        let url = &self.addresses.mesh_url;
        let key = self.key.expose();
        writeln!(
            out,
            "  Claude Code   ANTHROPIC_BASE_URL={url} ANTHROPIC_AUTH_TOKEN={key} claude"
        )?;
        writeln!(
            out,
            "  Codex         WEIR_KEY={key} codex -c model_provider=weir -c model_providers.weir.name=Weir \
             -c model_providers.weir.base_url={url}/v1 -c model_providers.weir.env_key=WEIR_KEY \
             -c model_providers.weir.wire_api=responses -c model_providers.weir.supports_websockets=false"
        )?;
        writeln!(
            out,
            "  Gemini CLI    {}='{}' GOOGLE_GEMINI_BASE_URL={url} GEMINI_API_KEY={key} gemini",
            gemini_settings::VARIABLE,
            self.gemini_settings.display()
        )?;
        writeln!(
            out,
            "  OpenCode      WEIR_KEY={key} OPENCODE_CONFIG_CONTENT='{}' opencode",
            run::opencode_config(url, &self.addresses.examples)
        )
    }
}

/// A command line that works, for the first dialect that some provider speaks.
fn curl(url: &str, key: &str, examples: &Examples) -> String {
    let (path, header, body) = if let Some(model) = &examples.anthropic {
        let body = format!(
            r#"{{"model": "{model}", "max_tokens": 200, "messages": [{{"role": "user", "content": "Hello"}}]}}"#
        );
        (
            "/v1/messages".to_owned(),
            " -H 'anthropic-version: 2023-06-01'",
            body,
        )
    } else if let Some(model) = &examples.openai {
        let body = format!(
            r#"{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}"#
        );
        ("/v1/chat/completions".to_owned(), "", body)
    } else {
        let model = examples.gemini.as_deref().unwrap_or("MODEL");
        let body = r#"{"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}"#.to_owned();
        (format!("/v1beta/models/{model}:generateContent"), "", body)
    };
    format!(
        "  curl {url}{path} \\\n    -H 'authorization: Bearer {key}' -H 'content-type: application/json'{header} \\\n    -d '{body}'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(examples: Examples) -> Addresses {
        Addresses {
            mesh_url: "http://127.0.0.1:8080".to_owned(),
            admin_url: "http://127.0.0.1:8081".to_owned(),
            examples,
        }
    }

    fn text(examples: Examples, token: Option<&Secret>) -> String {
        let addresses = addresses(examples);
        let key = Secret::new("sk-weir-test");
        let key_file = Path::new("/d/virtual.key");
        let gemini_settings = Path::new("/d/gemini-settings.json");
        Greeting {
            addresses: &addresses,
            key: &key,
            key_file,
            gemini_settings,
            admin_token: token,
        }
        .text()
    }

    #[test]
    fn the_admin_token_is_shown_only_when_given() {
        let token = Secret::new("weir-admin-token");
        assert!(text(Examples::default(), Some(&token)).contains("weir-admin-token"));
        assert!(text(Examples::default(), None).contains("weir token"));
    }

    #[test]
    fn every_agent_has_its_line() {
        let text = text(Examples::default(), None);
        for part in [
            "ANTHROPIC_BASE_URL=",
            "wire_api=responses",
            "supports_websockets=false",
            "GOOGLE_GEMINI_BASE_URL=",
            "OPENCODE_CONFIG_CONTENT=",
        ] {
            assert!(text.contains(part), "{part}");
        }
    }

    #[test]
    fn the_curl_calls_a_dialect_that_some_provider_speaks() {
        let openai = Examples {
            openai: Some("gpt-x".to_owned()),
            ..Examples::default()
        };
        assert!(text(openai, None).contains("/v1/chat/completions"));
        let gemini = Examples {
            gemini: Some("g-x".to_owned()),
            ..Examples::default()
        };
        assert!(text(gemini, None).contains("/v1beta/models/g-x:generateContent"));
    }
}
