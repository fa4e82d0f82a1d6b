//! Tools of the client, and tools that the provider runs.

use super::*;

/// What is not known to be run by the client may act before it answers.
#[test]
fn tools_that_run_at_the_provider_are_told() {
    use Surface::{AnthropicMessages, GeminiGenerate, OpenaiChat, OpenaiResponses};
    let own = |surface, tools: &str| (surface, format!(r#""tools":[{tools}]"#), false);
    let hosted = |surface, tools: &str| (surface, format!(r#""tools":[{tools}]"#), true);
    let on_top = |surface, member: &str| (surface, member.to_owned(), true);
    for (surface, members, want) in [
        own(
            AnthropicMessages,
            r#"{"name":"a","input_schema":{"type":"web_search"}}"#,
        ),
        own(
            AnthropicMessages,
            r#"{"type":"custom","name":"a"},{"type":"bash_20250124","name":"bash"}"#,
        ),
        own(
            AnthropicMessages,
            r#"{"type":"text_editor_20250728","name":"e"},{"type":"memory_20250818","name":"m"}"#,
        ),
        hosted(
            AnthropicMessages,
            r#"{"type":"web_search_20250305","name":"web_search"}"#,
        ),
        hosted(
            AnthropicMessages,
            r#"{"name":"a"},{"type":"code_execution_20250825","name":"c"}"#,
        ),
        hosted(
            AnthropicMessages,
            r#"{"type":"bash","name":"not a version"}"#,
        ),
        hosted(
            AnthropicMessages,
            r#"{"type":"something_new_20300101","name":"n"}"#,
        ),
        on_top(
            AnthropicMessages,
            r#""mcp_servers":[{"type":"url","url":"https://mcp.example.com","name":"x"}]"#,
        ),
        own(
            OpenaiResponses,
            r#"{"type":"function","name":"f"},{"type":"custom","name":"c"},{"type":"local_shell"}"#,
        ),
        own(
            OpenaiResponses,
            r#"{"type":"namespace","name":"n","tools":[{"type":"function","name":"f"}]}"#,
        ),
        hosted(
            OpenaiResponses,
            r#"{"type":"namespace","name":"n","tools":[{"type":"web_search"}]}"#,
        ),
        hosted(OpenaiResponses, r#"{"type":"web_search"}"#),
        hosted(
            OpenaiResponses,
            r#"{"type":"code_interpreter","container":{"type":"auto"}}"#,
        ),
        own(
            OpenaiChat,
            r#"{"type":"function","function":{"name":"f","parameters":{"type":"web_search"}}}"#,
        ),
        own(OpenaiChat, r#"{"type":"custom","custom":{"name":"f"}}"#),
        hosted(OpenaiChat, r#"{"type":"browser_search"}"#),
        on_top(OpenaiChat, r#""web_search_options":{}"#),
        own(
            GeminiGenerate,
            r#"{"functionDeclarations":[{"name":"f"}]},{"function_declarations":[]}"#,
        ),
        hosted(GeminiGenerate, r#"{"googleSearch":{}}"#),
        hosted(
            GeminiGenerate,
            r#"{"functionDeclarations":[],"codeExecution":{}}"#,
        ),
        hosted(GeminiGenerate, r#"{"urlContext":{}}"#),
        hosted(GeminiGenerate, r#"{"name":{}}"#),
        hosted(
            GeminiGenerate,
            r#"{"fileSearch":{"fileSearchStoreNames":["fileSearchStores/a"]}}"#,
        ),
    ] {
        let facts = facts(surface, &format!(r#"{{"model":"m",{members}}}"#));
        assert_eq!(facts.hosted_tools, want, "{surface:?} {members}");
    }
}
