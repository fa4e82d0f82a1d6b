//! Answers in the shape of a schema, for clients that ask for JSON and repeat themselves until they get it.

use serde_json::{Map, Value, json};

/// Schemas are trees here; what is deeper gets `null`.
const DEEPEST: usize = 32;

/// Returns a value that fits `schema`, as far as types, required fields, enums and minima go.
pub(super) fn example(schema: &Value) -> Value {
    at_depth(schema, 0)
}

fn at_depth(schema: &Value, depth: usize) -> Value {
    if depth > DEEPEST {
        return Value::Null;
    }
    if let Some(chosen) = schema.get("const").or_else(|| schema.pointer("/enum/0")) {
        return chosen.clone();
    }
    let alternatives = ["anyOf", "oneOf", "allOf"];
    if let Some(first) = alternatives
        .iter()
        .find_map(|name| schema.get(name)?.get(0))
    {
        return at_depth(first, depth + 1);
    }
    let minimum = || schema.get("minimum").cloned();
    // Gemini writes types in capitals; a list of types is a choice.
    let named = schema.get("type");
    let named = named.and_then(|named| named.as_str().or_else(|| named.get(0)?.as_str()));
    match named.unwrap_or("object").to_lowercase().as_str() {
        "string" => json!("demo"),
        "integer" | "number" => minimum().unwrap_or_else(|| json!(1)),
        "boolean" => json!(true),
        "array" => json!([]),
        "null" => Value::Null,
        _ => object(schema, depth),
    }
}

fn object(schema: &Value, depth: usize) -> Value {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return json!({});
    };
    let fields: Map<String, Value> = properties
        .iter()
        .map(|(name, schema)| (name.clone(), at_depth(schema, depth + 1)))
        .collect();
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_has_the_schemas_shape() {
        let schema = json!({
            "type": "OBJECT",
            "properties": {
                "score": {"type": "integer", "minimum": 3},
                "choice": {"type": "string", "enum": ["flash", "pro"]},
                "note": {"type": ["string", "null"]},
                "parts": {"type": "array", "items": {"type": "string"}},
            },
        });
        let want = json!({"score": 3, "choice": "flash", "note": "demo", "parts": []});
        assert_eq!(example(&schema), want);
    }

    #[test]
    fn depth_has_an_end() {
        let mut schema = json!({"type": "string"});
        for _ in 0..100 {
            schema = json!({"type": "object", "properties": {"inner": schema}});
        }
        assert!(example(&schema).to_string().contains("null"));
    }
}
