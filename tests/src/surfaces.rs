//! One exchange of each surface, in every form it has on the wire.

use serde_json::json;

use crate::client::Request;
use crate::mesh::tenant::Dialect;
use crate::provider::answer::Answer;
use crate::provider::{anthropic, gemini, openai};
use crate::tokens::Tokens;

/// A request and what the provider answers to it.
#[derive(Clone, Debug)]
pub struct Case {
    /// Surface and form, for messages.
    pub name: &'static str,
    /// The surface as records name it.
    pub surface: &'static str,
    pub dialect: Dialect,
    /// Path and query, as the provider's own clients send it.
    pub target: String,
    /// A body no serialiser would write: odd spaces, escapes, unknown fields.
    pub body: Vec<u8>,
    pub answer: Answer,
    /// What the answer says was used; `None` where it says nothing.
    pub tokens: Option<Tokens>,
    pub streamed: bool,
}

impl Case {
    /// Returns the request, without a credential.
    pub fn request(&self) -> Request {
        let request = Request::post_bytes(&self.target, self.body.clone());
        match self.dialect {
            Dialect::Anthropic => request.field("anthropic-version", "2023-06-01"),
            Dialect::Openai | Dialect::Gemini => request,
        }
    }
}

/// What the scripted answers report; a class that a dialect does not have is zero for it.
pub const CACHED: Tokens = Tokens {
    input: 1203,
    cache_read: 4096,
    cache_write_5m: 0,
    cache_write_1h: 0,
    output: 347,
    reasoning: 128,
    web_searches: 0,
};

/// As [`CACHED`], with the classes only Anthropic reports and without those it does not.
pub const CACHED_ANTHROPIC: Tokens = Tokens {
    cache_write_5m: 2048,
    cache_write_1h: 512,
    reasoning: 0,
    web_searches: 3,
    ..CACHED
};

const TEXT: &str = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. 🌊 \u{2028} \"Ende\" \\ / \u{7}";

/// Every case, for `model`.
pub fn all(model: &str) -> Vec<Case> {
    let mut cases = anthropic(model);
    cases.extend(openai(model));
    cases.extend(gemini(model));
    cases
}

/// Returns the case called `name`, for `model`.
#[track_caller]
pub fn case(name: &str, model: &str) -> Case {
    all(model)
        .into_iter()
        .find(|case| case.name == name)
        .unwrap_or_else(|| panic!("there is no case {name}"))
}

fn anthropic(model: &str) -> Vec<Case> {
    let body = |stream: &str| {
        format!(
            "{{ \"model\" :\"{model}\",\n\"max_tokens\":  64{stream}, \"system\":[{{\"type\":\"text\",\"text\":\
             \"\\u0041 \\/ é\",\"cache_control\":{{\"type\":\"ephemeral\"}}}}],\"messages\":[{{\"role\":\"user\",\
             \"content\":\"caf\\u00e9 \\ud83d\\ude00 \\t\"}} ] , \"unknown\":{{\"a\":[1.0,2e3,-0,null]}} }}\n"
        )
    };
    let case = |name, surface, target: &str, body: String, answer, tokens, streamed| Case {
        name,
        surface,
        dialect: Dialect::Anthropic,
        target: target.to_owned(),
        body: body.into_bytes(),
        answer,
        tokens,
        streamed,
    };
    let messages = "/v1/messages?beta=true";
    let whole = Answer::json(200, &anthropic::message(model, TEXT, CACHED_ANTHROPIC));
    let stream = Answer::sse(anthropic::stream(model, TEXT, CACHED_ANTHROPIC));
    let tool = anthropic::tool_stream(
        model,
        "Write",
        &json!({"path": "/tmp/ü", "n": 1}),
        3,
        CACHED_ANTHROPIC,
    );
    let streamed = body(", \"stream\" : true");
    let usage = Some(CACHED_ANTHROPIC);
    vec![
        case(
            "messages",
            "anthropic.messages",
            messages,
            body(""),
            whole,
            usage,
            false,
        ),
        case(
            "messages stream",
            "anthropic.messages",
            messages,
            streamed.clone(),
            stream,
            usage,
            true,
        ),
        case(
            "messages tool stream",
            "anthropic.messages",
            messages,
            streamed,
            Answer::sse(tool),
            usage,
            true,
        ),
        case(
            "count_tokens",
            "anthropic.count_tokens",
            "/v1/messages/count_tokens",
            body("").replace("\"max_tokens\":  64,", ""),
            anthropic::count(77),
            None,
            false,
        ),
    ]
}

fn openai(model: &str) -> Vec<Case> {
    let chat = |stream: &str| {
        format!(
            "{{\"messages\" :[{{\"role\":\"user\",\"content\":[{{\"type\":\"text\",\"text\":\"\\u00fc \\/\"}}]}}],\
             \r\n \"temperature\":0.10 ,\"model\": \"{model}\"{stream},\"x_vendor\":[[],{{}}]}}"
        )
    };
    let responses = |stream: &str| {
        format!(
            "{{\"model\":\"{model}\"{stream},\"store\":false,\"include\":[\"reasoning.encrypted_content\"],\
             \"input\":[{{\"type\":\"reasoning\",\"encrypted_content\":\"gAAA==\",\"summary\":[]}},\
             {{\"role\":\"user\",\"content\":\"\\n\\u00e9\" }}],\"tools\":[] }}"
        )
    };
    let case = |name, surface, target: &str, body: String, answer, tokens, streamed| Case {
        name,
        surface,
        dialect: Dialect::Openai,
        target: target.to_owned(),
        body: body.into_bytes(),
        answer,
        tokens,
        streamed,
    };
    let usage = Some(CACHED);
    let asked = ", \"stream\":true, \"stream_options\" : {\"include_usage\" :true}";
    let embeddings = format!(
        "{{\"model\":\"{model}\",\"input\":[\"a\",\"\\u00e9\"] ,\"encoding_format\":\"float\"}}"
    );
    vec![
        case(
            "chat",
            "openai.chat",
            "/v1/chat/completions",
            chat(""),
            Answer::json(200, &openai::chat(model, TEXT, CACHED)),
            usage,
            false,
        ),
        case(
            "chat stream",
            "openai.chat",
            "/v1/chat/completions",
            chat(asked),
            Answer::sse(openai::chat_stream(model, TEXT, Some(CACHED))),
            usage,
            true,
        ),
        case(
            "responses",
            "openai.responses",
            "/v1/responses",
            responses(""),
            Answer::json(200, &openai::response(model, TEXT, CACHED)),
            usage,
            false,
        ),
        case(
            "responses stream",
            "openai.responses",
            "/v1/responses",
            responses(",\"stream\":true"),
            Answer::sse(openai::response_stream(model, TEXT, CACHED)),
            usage,
            true,
        ),
        case(
            "embeddings",
            "openai.embeddings",
            "/v1/embeddings",
            embeddings,
            openai::embeddings(model, 21),
            Some(Tokens::new(21, 0)),
            false,
        ),
    ]
}

fn gemini(model: &str) -> Vec<Case> {
    let body = "{\"contents\":[ {\"role\":\"user\",\"parts\":[{\"text\":\"\\u00e9\\/\"}]}],\
                \"generationConfig\":{\"temperature\":1.0,\"thinkingConfig\":{}} ,\"x\":null}";
    let case = |name, surface, target: String, body: &str, answer, tokens, streamed| Case {
        name,
        surface,
        dialect: Dialect::Gemini,
        target,
        body: body.as_bytes().to_vec(),
        answer,
        tokens,
        streamed,
    };
    let path = |operation: &str| format!("/v1beta/models/{model}:{operation}");
    let array = gemini::array(model, TEXT, CACHED);
    let array = array.into_iter().fold(
        Answer::bytes(200, "application/json", ""),
        |answer, write| answer.step(crate::provider::answer::Step::Write(write.into_bytes())),
    );
    let usage = Some(CACHED);
    let embed = "{\"content\":{\"parts\":[{\"text\":\"x\"}] }}";
    vec![
        case(
            "generate",
            "gemini.generate",
            path("generateContent"),
            body,
            Answer::json(200, &gemini::generate(model, TEXT, CACHED)),
            usage,
            false,
        ),
        case(
            "generate stream",
            "gemini.generate",
            path("streamGenerateContent?alt=sse"),
            body,
            Answer::sse(gemini::stream(model, TEXT, CACHED)),
            usage,
            true,
        ),
        case(
            "generate array",
            "gemini.generate",
            path("streamGenerateContent"),
            body,
            array,
            usage,
            true,
        ),
        case(
            "count tokens",
            "gemini.count_tokens",
            path("countTokens"),
            body,
            gemini::count(9),
            None,
            false,
        ),
        case(
            "embed",
            "gemini.embed",
            path("embedContent"),
            embed,
            gemini::embed(),
            None,
            false,
        ),
    ]
}
