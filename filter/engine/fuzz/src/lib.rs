//! Bodies of the fuzz targets, shared by `cargo fuzz` and by the test that replays the committed corpora.
//!
//! Each takes one input and panics when a law is broken: nothing depends on chunk boundaries, nothing panics,
//! and where there is another reader of the same format, both agree.

mod chunks;
pub mod content_texts;
pub mod engine_exchange;
pub mod engine_inputs;
pub mod json_walk;
pub mod request_body;
pub mod sse_stream;
pub mod stream_edit;
pub mod usage;
pub mod usage_event;
pub mod world;

/// Runs one input.
type Target = fn(&[u8]);

/// All targets by the name of their corpus folder.
pub const TARGETS: &[(&str, Target)] = &[
    ("json_walk", json_walk::run),
    ("request_body", request_body::run),
    ("content_texts", content_texts::run),
    ("sse_stream", sse_stream::run),
    ("stream_edit", stream_edit::run),
    ("usage_anthropic", usage::anthropic),
    ("usage_openai_chat", usage::openai_chat),
    ("usage_openai_responses", usage::openai_responses),
    ("usage_gemini", usage::gemini),
    ("usage_event", usage_event::run),
    ("engine_exchange", engine_exchange::run),
    ("engine_inputs", engine_inputs::run),
];
