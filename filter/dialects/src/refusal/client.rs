//! Which program asks, by what it says of itself.

/// A client whose reaction to refusals is known, or any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Client {
    /// Claude Code.
    ClaudeCode,
    /// OpenAI Codex.
    Codex,
    /// Gemini CLI.
    GeminiCli,
    /// OpenCode.
    OpenCode,
    /// Anthropic's SDK in any language.
    AnthropicSdk,
    /// OpenAI's SDK in any language.
    OpenaiSdk,
    /// Google's `google-genai` SDK.
    GoogleGenai,
    /// Everything else.
    Other,
}

impl Client {
    /// All clients, in their fixed order.
    pub const ALL: [Self; 8] = [
        Self::ClaudeCode,
        Self::Codex,
        Self::GeminiCli,
        Self::OpenCode,
        Self::AnthropicSdk,
        Self::OpenaiSdk,
        Self::GoogleGenai,
        Self::Other,
    ];

    /// Recognises the client by its user agent and by headers that only one client sends.
    ///
    /// `has_header` is asked with lowercase names.
    ///
    /// ```
    /// use dialects::refusal::Client;
    ///
    /// assert_eq!(Client::detect("claude-cli/2.1.197 (external, cli)", |_| false), Client::ClaudeCode);
    /// assert_eq!(Client::detect("", |name| name == "originator"), Client::Codex);
    /// assert_eq!(Client::detect("curl/8.5.0", |_| false), Client::Other);
    /// ```
    pub fn detect(user_agent: &str, has_header: impl Fn(&str) -> bool) -> Self {
        const PREFIXES: [(&str, Client); 13] = [
            ("claude-cli/", Client::ClaudeCode),
            ("codex_", Client::Codex),
            ("codex-", Client::Codex),
            ("GeminiCLI", Client::GeminiCli),
            ("opencode/", Client::OpenCode),
            ("Anthropic/", Client::AnthropicSdk),
            ("AsyncAnthropic/", Client::AnthropicSdk),
            ("anthropic-sdk-", Client::AnthropicSdk),
            ("OpenAI/", Client::OpenaiSdk),
            ("AsyncOpenAI/", Client::OpenaiSdk),
            ("AzureOpenAI/", Client::OpenaiSdk),
            ("AsyncAzureOpenAI/", Client::OpenaiSdk),
            ("google-genai-sdk/", Client::GoogleGenai),
        ];
        let by_agent = PREFIXES
            .into_iter()
            .find(|(prefix, _)| user_agent.starts_with(prefix))
            .map(|(_, client)| client);
        match by_agent {
            Some(client) => client,
            None if has_header("originator") => Self::Codex,
            None if has_header("x-claude-code-session-id") => Self::ClaudeCode,
            None => Self::Other,
        }
    }

    /// Returns the name used in records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude_code",
            Self::Codex => "codex",
            Self::GeminiCli => "gemini_cli",
            Self::OpenCode => "opencode",
            Self::AnthropicSdk => "anthropic_sdk",
            Self::OpenaiSdk => "openai_sdk",
            Self::GoogleGenai => "google_genai",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Client;

    #[track_caller]
    fn check(user_agent: &str, want: Client) {
        assert_eq!(Client::detect(user_agent, |_| false), want, "{user_agent}");
    }

    #[test]
    fn the_user_agent_names_the_client() {
        check("claude-cli/2.1.329 (external, sdk-cli)", Client::ClaudeCode);
        check("codex_exec/0.169.0 (Linux; x86_64) unknown", Client::Codex);
        check("codex_cli_rs/0.169.0", Client::Codex);
        check(
            "GeminiCLI/0.61.0/gemini-3-pro (linux; x64)",
            Client::GeminiCli,
        );
        check("opencode/1.18.33 ai-sdk/provider-utils/4", Client::OpenCode);
        check("Anthropic/Python 2.11.0", Client::AnthropicSdk);
        check("AsyncAnthropic/Python 2.11.0", Client::AnthropicSdk);
        check("Anthropic/JS 0.70.0", Client::AnthropicSdk);
        check("OpenAI/Python 3.52.0", Client::OpenaiSdk);
        check("AsyncOpenAI/Python 3.52.0", Client::OpenaiSdk);
        check("google-genai-sdk/3.4.0 gl-python/3.12", Client::GoogleGenai);
        check("", Client::Other);
        check("Mozilla/5.0 claude-cli/2", Client::Other);
    }

    #[test]
    fn a_header_of_its_own_names_an_agent_without_user_agent() {
        assert_eq!(
            Client::detect("", |name| name == "originator"),
            Client::Codex
        );
        assert_eq!(
            Client::detect("", |name| name == "x-claude-code-session-id"),
            Client::ClaudeCode
        );
    }

    #[test]
    fn the_user_agent_goes_before_headers() {
        assert_eq!(
            Client::detect("OpenAI/JS 6.0.0", |_| true),
            Client::OpenaiSdk
        );
    }

    #[test]
    fn names_are_unique() {
        let mut names = Client::ALL.map(Client::name);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
