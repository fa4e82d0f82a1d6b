//! Dialects and surfaces: which wire format, and which API of it.

use serde::{Deserialize, Serialize};

/// The wire format family of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Anthropic Messages API.
    Anthropic,
    /// OpenAI API and those that speak it.
    Openai,
    /// Google Gemini API (`generativelanguage.googleapis.com`).
    Gemini,
}

impl Dialect {
    /// All dialects, in their fixed order.
    pub const ALL: [Self; 3] = [Self::Anthropic, Self::Openai, Self::Gemini];

    /// Returns the name used in configuration, records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::Openai => "openai",
            Self::Gemini => "gemini",
        }
    }
}

/// One provider API as clients see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Surface {
    /// `POST /v1/messages`
    #[serde(rename = "anthropic.messages")]
    AnthropicMessages,
    /// `POST /v1/messages/count_tokens`
    #[serde(rename = "anthropic.count_tokens")]
    AnthropicCountTokens,
    /// `GET /v1/models`, `GET /v1/models/{id}`
    #[serde(rename = "anthropic.models")]
    AnthropicModels,
    /// `POST /v1/chat/completions`
    #[serde(rename = "openai.chat")]
    OpenaiChat,
    /// `POST /v1/responses`
    #[serde(rename = "openai.responses")]
    OpenaiResponses,
    /// `POST /v1/embeddings`
    #[serde(rename = "openai.embeddings")]
    OpenaiEmbeddings,
    /// `GET /v1/models`, `GET /v1/models/{id}`
    #[serde(rename = "openai.models")]
    OpenaiModels,
    /// `POST /v1beta/models/{model}:generateContent`, `:streamGenerateContent`
    #[serde(rename = "gemini.generate")]
    GeminiGenerate,
    /// `POST /v1beta/models/{model}:countTokens`
    #[serde(rename = "gemini.count_tokens")]
    GeminiCountTokens,
    /// `POST /v1beta/models/{model}:embedContent`, `:batchEmbedContents`
    #[serde(rename = "gemini.embed")]
    GeminiEmbed,
    /// `GET /v1beta/models`, `GET /v1beta/models/{id}`
    #[serde(rename = "gemini.models")]
    GeminiModels,
    /// Any other path of a known provider.
    #[serde(rename = "anthropic.opaque")]
    AnthropicOpaque,
    /// Any other path of a known provider.
    #[serde(rename = "openai.opaque")]
    OpenaiOpaque,
    /// Any other path of a known provider.
    #[serde(rename = "gemini.opaque")]
    GeminiOpaque,
}

impl Surface {
    /// All surfaces, in their fixed order.
    pub const ALL: [Self; 14] = [
        Self::AnthropicMessages,
        Self::AnthropicCountTokens,
        Self::AnthropicModels,
        Self::OpenaiChat,
        Self::OpenaiResponses,
        Self::OpenaiEmbeddings,
        Self::OpenaiModels,
        Self::GeminiGenerate,
        Self::GeminiCountTokens,
        Self::GeminiEmbed,
        Self::GeminiModels,
        Self::AnthropicOpaque,
        Self::OpenaiOpaque,
        Self::GeminiOpaque,
    ];

    /// Returns the name used in configuration, records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AnthropicMessages => "anthropic.messages",
            Self::AnthropicCountTokens => "anthropic.count_tokens",
            Self::AnthropicModels => "anthropic.models",
            Self::OpenaiChat => "openai.chat",
            Self::OpenaiResponses => "openai.responses",
            Self::OpenaiEmbeddings => "openai.embeddings",
            Self::OpenaiModels => "openai.models",
            Self::GeminiGenerate => "gemini.generate",
            Self::GeminiCountTokens => "gemini.count_tokens",
            Self::GeminiEmbed => "gemini.embed",
            Self::GeminiModels => "gemini.models",
            Self::AnthropicOpaque => "anthropic.opaque",
            Self::OpenaiOpaque => "openai.opaque",
            Self::GeminiOpaque => "gemini.opaque",
        }
    }

    /// Returns the surface with this [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|surface| surface.name() == name)
    }

    /// Whether its answers cost tokens.
    pub const fn is_metered(self) -> bool {
        match self {
            Self::AnthropicMessages
            | Self::OpenaiChat
            | Self::OpenaiResponses
            | Self::OpenaiEmbeddings
            | Self::GeminiGenerate
            | Self::GeminiEmbed => true,
            Self::AnthropicCountTokens
            | Self::AnthropicModels
            | Self::OpenaiModels
            | Self::GeminiCountTokens
            | Self::GeminiModels
            | Self::AnthropicOpaque
            | Self::OpenaiOpaque
            | Self::GeminiOpaque => false,
        }
    }

    /// Returns the dialect of the surface.
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::AnthropicMessages
            | Self::AnthropicCountTokens
            | Self::AnthropicModels
            | Self::AnthropicOpaque => Dialect::Anthropic,
            Self::OpenaiChat
            | Self::OpenaiResponses
            | Self::OpenaiEmbeddings
            | Self::OpenaiModels
            | Self::OpenaiOpaque => Dialect::Openai,
            Self::GeminiGenerate
            | Self::GeminiCountTokens
            | Self::GeminiEmbed
            | Self::GeminiModels
            | Self::GeminiOpaque => Dialect::Gemini,
        }
    }
}
