//! Request bodies: facts do not depend on chunks, and splices change what they say and nothing else.

use dialects::request::{BodyError, RequestFacts, RequestReader};
use dialects::splice::{apply, apply_prefix, include_usage_splice, model_splices, reach};
use policy::surface::Surface;
use serde_json::Value;

use super::chunks;

fn read(surface: Surface, pieces: &[&[u8]]) -> Option<Result<RequestFacts, BodyError>> {
    let mut reader = RequestReader::new(surface)?;
    for piece in pieces {
        if let Err(error) = reader.push(piece) {
            return Some(Err(error));
        }
    }
    Some(reader.finish())
}

/// Runs one input: the first byte chooses the surface, the second how to cut.
pub fn run(input: &[u8]) {
    let Some((choice, input)) = chunks::split(input) else {
        return;
    };
    let Some((cutting, body)) = chunks::split(input) else {
        return;
    };
    let Some(&surface) = Surface::ALL.get(usize::from(choice) % Surface::ALL.len()) else {
        return;
    };
    let whole = read(surface, &[body]);
    assert_eq!(
        whole,
        read(surface, &chunks::cut(cutting, body)),
        "facts depend on chunks"
    );
    let Some(Ok(facts)) = whole else { return };
    assert_eq!(facts.bytes, body.len() as u64);
    if let Some(model) = &facts.model {
        let literal = span(body, model.span.start, model.span.end);
        assert_eq!(
            serde_json::from_slice::<Value>(literal).ok(),
            Some(Value::from(model.value.as_str())),
            "the span is another's"
        );
    }
    splices_say_what_they_mean(&facts, body);
}

fn splices_say_what_they_mean(facts: &RequestFacts, body: &[u8]) {
    let mut splices = model_splices(facts, "another \"model\"");
    splices.extend(include_usage_splice(facts));
    let spliced = apply(body, &mut splices).expect("splices of one body fit it");
    let head = span(body, 0, reach(&splices));
    let prefix = apply_prefix(head, &mut splices).expect("splices fit the bytes they reach");
    let mut by_prefix = prefix.with;
    by_prefix.extend_from_slice(body.get(prefix.drop..).unwrap_or_default());
    assert_eq!(spliced, by_prefix, "a spliced prefix is another body");
    // Numbers out of any range are JSON all the same; the other parser cannot tell what became of them.
    let (Ok(before), Ok(after)) = (
        serde_json::from_slice::<Value>(body),
        serde_json::from_slice::<Value>(&spliced),
    ) else {
        return;
    };
    if let (Value::Object(mut before), Value::Object(mut after)) = (before, after) {
        if facts.model.is_some() {
            let model = after.remove("model").unwrap_or_default();
            assert!(
                model
                    .as_str()
                    .is_some_and(|model| model.ends_with("another \"model\"")),
                "the model was not replaced"
            );
            before.remove("model");
        }
        if include_usage_splice(facts).is_some() {
            let options = after.remove("stream_options").unwrap_or_default();
            assert_eq!(
                options.get("include_usage"),
                Some(&Value::Bool(true)),
                "usage is not asked for"
            );
            before.remove("stream_options");
        }
        if facts.nested_models.is_empty() {
            assert_eq!(before, after, "something else was changed");
        }
    }
}

fn span(body: &[u8], start: u64, end: u64) -> &[u8] {
    let at = |offset: u64| usize::try_from(offset).expect("an offset in memory");
    body.get(at(start)..at(end)).expect("a span of the body")
}
