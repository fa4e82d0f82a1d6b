//! What the proxy says where no filter ran: `local_reply_config`, written from the table of its answers.

use dialects::refusal::{Details, ProxyReply};
use serde_json::{Value, json};

use crate::render::template::yaml;

/// Returns the field `local_reply_config` of a connection manager.
pub(super) fn local_replies() -> String {
    // An answer of the filter's own says what it is already; it must not be compared with every row.
    let ours = r#"response.code < 400 || "x-weir-code" in response.headers"#;
    let mut mappers = vec![json!({"filter": filter(ours)})];
    let mut rows = ProxyReply::ALL.iter().peekable();
    while let Some(row) = rows.next() {
        let mut conditions = vec![condition(row)];
        while let Some(next) = rows.next_if(|next| is_same(next, row)) {
            conditions.push(condition(next));
        }
        mappers.push(json!({
            "filter": filter(&conditions.join(" || ")),
            "headers_to_add": [{
                "header": {"key": "x-weir-code", "value": row.code.name()},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }],
            "body_format_override": {"json_format": row.body()},
        }));
    }
    yaml(&json!({"local_reply_config": {"mappers": mappers}}))
}

fn is_same(one: &ProxyReply, other: &ProxyReply) -> bool {
    (one.code, one.message) == (other.code, other.message)
}

fn condition(row: &ProxyReply) -> String {
    match row.details {
        Details::Are(details) => format!("response.code_details == {}", json!(details)),
        // What the filter answers without a word has none.
        Details::Begin("") => String::from(r#"response.code_details != """#),
        Details::Begin(start) => {
            format!("response.code_details.startsWith({})", json!(start))
        }
    }
}

fn filter(expression: &str) -> Value {
    json!({"extension_filter": {
        "name": "envoy.access_loggers.extension_filters.cel",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
            "expression": expression,
        },
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_rendered_and_the_last_takes_the_rest() {
        let text = local_replies();
        for row in ProxyReply::ALL {
            let (Details::Are(details) | Details::Begin(details)) = row.details;
            assert!(text.contains(details), "{details}");
            assert!(text.contains(row.message), "{}", row.message);
        }
        assert_eq!(text.matches(r#"code_details != \"\""#).count(), 1, "{text}");
        // Envoy reads `%` as the start of a command.
        assert!(!text.contains('%'), "{text}");
    }
}
