//! Filling in the YAML texts beside this file.

use serde_json::Value;

/// What stands in the place of `{{name}}`.
#[derive(Clone, Debug)]
pub(crate) enum Slot {
    /// A scalar, written as JSON, which is YAML too.
    Scalar(Value),
    /// Lines, indented as far as the placeholder that stands alone on its line.
    Block(String),
}

impl Slot {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Scalar(Value::String(text.into()))
    }
}

/// Returns `template` with each `{{name}}` replaced. A name without a slot stays, and YAML refuses it.
pub(crate) fn fill(template: &str, slots: &[(&str, Slot)]) -> String {
    template
        .lines()
        .map(|line| fill_line(line, slots))
        .collect()
}

fn fill_line(line: &str, slots: &[(&str, Slot)]) -> String {
    let mut filled = line.to_owned();
    for (name, slot) in slots {
        let placeholder = format!("{{{{{name}}}}}");
        match slot {
            Slot::Scalar(value) => filled = filled.replace(&placeholder, &value.to_string()),
            Slot::Block(block) if line.trim() == placeholder => {
                let indent = line.len() - line.trim_start().len();
                return indented(block, indent);
            }
            Slot::Block(_) => {}
        }
    }
    filled.push('\n');
    filled
}

/// Returns `block` with each line that is not empty moved `indent` spaces to the right.
pub(crate) fn indented(block: &str, indent: usize) -> String {
    let line = |line: &str| {
        if line.is_empty() {
            String::from("\n")
        } else {
            format!("{:indent$}{line}\n", "")
        }
    };
    block.lines().map(line).collect()
}

/// Returns `value` as YAML in block style.
pub(crate) fn yaml(value: &Value) -> String {
    match value {
        Value::Object(fields) if !fields.is_empty() => fields
            .iter()
            .map(|(key, value)| field(key, value))
            .collect(),
        Value::Array(items) if !items.is_empty() => items.iter().map(item).collect(),
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => format!("{value}\n"),
    }
}

fn field(key: &str, value: &Value) -> String {
    let is_plain = key
        .chars()
        .all(|letter| letter.is_ascii_alphanumeric() || "_.".contains(letter));
    let key = if is_plain {
        key.to_owned()
    } else {
        Value::from(key).to_string()
    };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            format!("{key}:\n{}", indented(&yaml(value), 2))
        }
        Value::Array(items) if !items.is_empty() => format!("{key}:\n{}", yaml(value)),
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => format!("{key}: {value}\n"),
    }
}

fn item(value: &Value) -> String {
    indented(&yaml(value), 2).replacen("  ", "- ", 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_are_quoted_and_blocks_are_indented() {
        let template = "a: {{text}}\nb:\n  {{block}}\n";
        let slots = [
            ("text", Slot::text("x: \"y\" # z")),
            ("block", Slot::Block(String::from("- 1\n\n- 2\n"))),
        ];
        assert_eq!(
            fill(template, &slots),
            "a: \"x: \\\"y\\\" # z\"\nb:\n  - 1\n\n  - 2\n"
        );
    }

    #[test]
    fn values_become_block_style() {
        let value = json!({"@type": "t", "list": [{"a": 1, "b": {"c": true}}, []], "none": {}});
        let want = "\"@type\": \"t\"\nlist:\n- a: 1\n  b:\n    c: true\n- []\nnone: {}\n";
        assert_eq!(yaml(&value), want);
    }
}
