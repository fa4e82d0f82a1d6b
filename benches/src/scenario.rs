//! One kind of exchange: what is asked, how it is answered, and what the client must get.

use anyhow::Result;

use crate::answers::{self, DELIVERY_HEADER, Delivery};
use crate::bodies::{Api, Body, ModelPlace};
use crate::load::{Ask, Expected};
use crate::sides::{Side, Sort};

/// The model that clients name when an alias is to be resolved.
pub const ALIAS: &str = "bench-alias";

/// Whether the model is asked for by its own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    Own,
    /// By an alias, so that the gateway must splice the body.
    Alias,
}

/// One kind of exchange.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub api: Api,
    pub bytes: usize,
    pub place: ModelPlace,
    pub naming: Naming,
    pub delivery: Delivery,
    /// Events of a streamed answer.
    pub events: usize,
}

impl Scenario {
    /// Returns the scenarios of the overhead table, cheapest first.
    pub fn all(events: usize) -> Vec<Self> {
        let mut all = Vec::new();
        let own = |api, bytes, delivery| Self {
            api,
            bytes,
            place: ModelPlace::First,
            naming: Naming::Own,
            delivery,
            events,
        };
        for api in [Api::AnthropicMessages, Api::OpenaiChat] {
            for bytes in [1, 50, 500].map(|kib| kib * 1_024) {
                for delivery in [Delivery::Json, Delivery::Flushed, Delivery::Coalesced] {
                    all.push(own(api, bytes, delivery));
                }
            }
        }
        let base = own(Api::AnthropicMessages, 500 * 1_024, Delivery::Json);
        all.push(Self {
            place: ModelPlace::Last,
            ..base
        });
        all.push(Self {
            naming: Naming::Alias,
            ..base
        });
        all.push(Self {
            naming: Naming::Alias,
            place: ModelPlace::Last,
            ..base
        });
        all
    }

    /// Returns the name of the row.
    pub fn name(&self) -> String {
        let api = match self.api {
            Api::AnthropicMessages => "anthropic messages",
            Api::OpenaiChat => "openai chat",
            Api::OpenaiResponses => "openai responses",
            Api::GeminiGenerate => "gemini generate",
        };
        let place = match self.place {
            ModelPlace::First => "",
            ModelPlace::Last => ", model last",
        };
        let naming = match self.naming {
            Naming::Own => "",
            Naming::Alias => ", alias",
        };
        format!(
            "{api}, {} KB, {}{place}{naming}",
            self.bytes / 1_024,
            self.delivery.name()
        )
    }

    /// Whether the answer is an event stream.
    pub fn streams(&self) -> bool {
        self.delivery != Delivery::Json
    }

    const fn model(&self) -> &'static str {
        match self.api {
            Api::AnthropicMessages => "claude-sonnet-4-5",
            Api::OpenaiChat | Api::OpenaiResponses => "gpt-5",
            Api::GeminiGenerate => "gemini-2.5-pro",
        }
    }

    const fn path(&self) -> &'static str {
        match self.api {
            Api::AnthropicMessages => "/v1/messages",
            Api::OpenaiChat => "/v1/chat/completions",
            Api::OpenaiResponses => "/v1/responses",
            Api::GeminiGenerate => "/v1beta/models/gemini-2.5-pro:generateContent",
        }
    }

    /// Makes the request for `side`, and what must come back.
    ///
    /// # Errors
    /// When a side other than ours is to resolve an alias.
    pub fn ask(&self, side: &Side) -> Result<Ask> {
        let model = match (self.naming, side.sort) {
            (Naming::Alias, Sort::Weir) => ALIAS.to_owned(),
            (Naming::Own | Naming::Alias, _) => side
                .models
                .clone()
                .unwrap_or_else(|| self.model().to_owned()),
        };
        let body = Body {
            api: self.api,
            model: &model,
            place: self.place,
            stream: self.streams(),
            bytes: self.bytes,
        }
        .make();
        let mut request = format!(
            "POST {}{} HTTP/1.1\r\nhost: {}\r\n",
            side.prefix(self.api),
            self.path(),
            side.address
        );
        for (name, value) in self.headers(&side.key) {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!(
            "{DELIVERY_HEADER}: {}\r\ncontent-length: {}\r\n\r\n",
            self.delivery.name(),
            body.len()
        ));
        let mut bytes = request.into_bytes();
        bytes.extend(body);
        Ok(Ask {
            bytes,
            status: 200,
            expected: self.expected(side.sort),
        })
    }

    /// What Claude Code and the official OpenAI client send along.
    fn headers(&self, key: &str) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("accept", "application/json".to_owned()),
            ("content-type", "application/json".to_owned()),
            ("x-stainless-arch", "x64".to_owned()),
            ("x-stainless-lang", "js".to_owned()),
            ("x-stainless-os", "Linux".to_owned()),
            ("x-stainless-package-version", "0.70.0".to_owned()),
            ("x-stainless-retry-count", "0".to_owned()),
            ("x-stainless-runtime", "node".to_owned()),
            ("x-stainless-runtime-version", "v22.11.0".to_owned()),
            ("x-stainless-timeout", "600".to_owned()),
        ];
        match self.api {
            Api::AnthropicMessages => headers.extend([
                (
                    "user-agent",
                    "claude-cli/2.1.300 (external, cli)".to_owned(),
                ),
                (
                    "anthropic-beta",
                    "claude-code-20250219,interleaved-thinking-2025-05-14".to_owned(),
                ),
                (
                    "anthropic-dangerous-direct-browser-access",
                    "true".to_owned(),
                ),
                ("anthropic-version", "2023-06-01".to_owned()),
                ("x-app", "cli".to_owned()),
                (
                    "x-claude-code-session-id",
                    "7f9c2ba4-e88f-4d6a-9f0e-2f0f3c1a5b6d".to_owned(),
                ),
                ("x-api-key", key.to_owned()),
            ]),
            Api::OpenaiChat | Api::OpenaiResponses => headers.extend([
                ("user-agent", "OpenAI/JS 6.8.0".to_owned()),
                ("authorization", format!("Bearer {key}")),
            ]),
            Api::GeminiGenerate => headers.extend([
                ("user-agent", "GeminiCLI/0.20.0 (linux; x64)".to_owned()),
                ("x-goog-api-key", key.to_owned()),
            ]),
        }
        headers
    }

    fn expected(&self, sort: Sort) -> Expected {
        match (sort, self.delivery) {
            (Sort::Other, _) => Expected::Anything,
            (Sort::Plain | Sort::Weir, Delivery::Json) => {
                Expected::Exactly(answers::whole(self.api).into_bytes())
            }
            (Sort::Plain, Delivery::Flushed | Delivery::Coalesced) => Expected::Exactly(
                answers::events(self.api, self.events, false)
                    .concat()
                    .into_bytes(),
            ),
            (Sort::Weir, Delivery::Flushed | Delivery::Coalesced) => {
                // Weir asks OpenAI's chat for the usage event and takes that one event out again.
                let asks = self.api == Api::OpenaiChat;
                let mut events = answers::events(self.api, self.events, asks);
                events.retain(|event| !event.contains("\"choices\":[],"));
                Expected::Exactly(events.concat().into_bytes())
            }
        }
    }
}
