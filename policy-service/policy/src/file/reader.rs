//! Reading JSON so that everything that is wrong with it is reported at once.
//!
//! A deserialiser stops at the first error. So what it stopped at is noted and taken out, and the rest is read
//! again, until nothing is left to complain about.

use core::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_path_to_error::{Path, Segment};

use crate::check::Problem;

/// More than these are not looked for.
const MAX_PROBLEMS: usize = 100;

/// Fields whose value is never repeated in a message.
const SECRET_FIELDS: [&str; 1] = ["secret"];

/// Reads a `T`; for this to be strict, `T` and all in it must deny unknown fields.
///
/// ```
/// #[derive(Debug, serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Team {
///     name: String,
/// }
///
/// let problems = policy::file::read_json::<Team>(br#"{"name": 5, "limt": 1}"#).unwrap_err();
/// assert_eq!(problems[0].to_string(), "`limt`: unknown field `limt`, expected `name`");
/// assert_eq!(problems[1].path, "name");
/// ```
///
/// # Errors
/// Every unknown, repeated, missing and badly typed field, sorted by place; one problem without a place when the
/// bytes are not JSON.
pub fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let seed = Unique {
        path: String::new(),
        problems: &mut problems,
    };
    let value = seed
        .deserialize(&mut json)
        .and_then(|value| json.end().map(|()| value));
    let mut value = match value {
        Ok(value @ Value::Object(_)) => value,
        Ok(_) => return Err(vec![Problem::new("", "must be a JSON object")]),
        Err(error) => {
            return Err(vec![Problem::new(
                "",
                format!("not readable as JSON: {error}"),
            )]);
        }
    };
    let mut removed = Removed::default();
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(value.clone()) {
            Ok(read) if problems.is_empty() => return Ok(read),
            Ok(_) => break,
            Err(error) => error,
        };
        let place = removed.original(error.path());
        let message = error.inner().to_string();
        let is_consequence = missing_field(&message)
            .is_some_and(|field| removed.fields.contains(&join(&place, field)));
        if !is_consequence {
            problems.push(Problem::new(place.clone(), shown(&place, message)));
        }
        if problems.len() >= MAX_PROBLEMS || !removed.take_out(&mut value, error.path()) {
            break;
        }
    }
    problems.sort();
    problems.dedup();
    Err(problems)
}

fn shown(place: &str, message: String) -> String {
    let field = place.rsplit('.').next().unwrap_or(place);
    if SECRET_FIELDS.contains(&field) {
        return "must be a text".to_owned();
    }
    // What the deserialiser expects is told in terms of the program; the reader knows JSON.
    let Some((found, expected)) = message.rsplit_once(", expected ") else {
        return message;
    };
    let found = without_value(found);
    let expected = match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" => "a whole number, not negative",
        "a sequence" => "a list",
        other if other.starts_with("struct ") => "an object",
        other => other,
    };
    format!("{found}, expected {expected}")
}

/// Leaves out what was written: a credential may stand where another field belongs. Names of fields stay.
///
/// `invalid type: string "x"` becomes `invalid type: string`, `` unknown variant `x` `` becomes `unknown word`.
fn without_value(found: &str) -> &str {
    if found.starts_with("unknown variant ") {
        return "unknown word";
    }
    let is_of_value = found.starts_with("invalid type: ") || found.starts_with("invalid value: ");
    let value = found.find(['"', '`']).filter(|_| is_of_value);
    let kind = value.and_then(|at| found.get(..at));
    kind.map_or(found, str::trim_end)
}

fn missing_field(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.strip_suffix('`')
}

fn join(place: &str, field: &str) -> String {
    if place.is_empty() {
        field.to_owned()
    } else {
        format!("{place}.{field}")
    }
}

/// What was taken out, so that later places can be told in terms of the text as it was written.
#[derive(Default)]
struct Removed {
    fields: Vec<String>,
    /// Place of a list, and the number of one of its elements as it was written; ascending for each list.
    elements: Vec<(String, usize)>,
}

impl Removed {
    /// Returns `path` in terms of the text as it was written.
    fn original(&self, path: &Path) -> String {
        self.original_of(path.iter())
    }

    fn original_of<'p>(&self, segments: impl Iterator<Item = &'p Segment>) -> String {
        let mut place = String::new();
        for segment in segments {
            match segment {
                Segment::Seq { index } => {
                    let number = self.original_number(&place, *index);
                    place = format!("{place}[{number}]");
                }
                Segment::Map { key } | Segment::Enum { variant: key } => place = join(&place, key),
                Segment::Unknown => {}
            }
        }
        place
    }

    fn original_number(&self, list: &str, index: usize) -> usize {
        let mut number = index;
        for (_, removed) in self.elements.iter().filter(|(place, _)| place == list) {
            if *removed <= number {
                number = number.saturating_add(1);
            }
        }
        number
    }

    /// Takes what `path` leads to, or the nearest thing around it that exists, out of `value`.
    fn take_out(&mut self, value: &mut Value, path: &Path) -> bool {
        let segments = path
            .iter()
            .filter(|segment| !matches!(segment, Segment::Unknown));
        let segments = segments.collect::<Vec<_>>();
        for length in (1..=segments.len()).rev() {
            let Some((last, parents)) = segments.get(..length).and_then(<[_]>::split_last) else {
                return false;
            };
            let parent = parents
                .iter()
                .try_fold(&mut *value, |value, segment| match segment {
                    Segment::Seq { index } => value.get_mut(*index),
                    Segment::Map { key } | Segment::Enum { variant: key } => {
                        value.get_mut(key.as_str())
                    }
                    Segment::Unknown => None,
                });
            let place = self.original_of(parents.iter().copied());
            match (parent, last) {
                (
                    Some(Value::Object(object)),
                    Segment::Map { key } | Segment::Enum { variant: key },
                ) => {
                    if object.remove(key).is_some() {
                        self.fields.push(join(&place, key));
                        return true;
                    }
                }
                (Some(Value::Array(list)), Segment::Seq { index }) if *index < list.len() => {
                    list.remove(*index);
                    let number = self.original_number(&place, *index);
                    self.elements.push((place, number));
                    self.elements.sort();
                    return true;
                }
                (
                    _,
                    Segment::Seq { .. }
                    | Segment::Map { .. }
                    | Segment::Enum { .. }
                    | Segment::Unknown,
                ) => {}
            }
        }
        false
    }
}

/// Reads any JSON and notes the fields that an object holds twice.
struct Unique<'a> {
    path: String,
    problems: &'a mut Vec<Problem>,
}

impl<'de> DeserializeSeed<'de> for Unique<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        loop {
            let path = format!("{}[{}]", self.path, values.len());
            match list.next_element_seed(Unique {
                path,
                problems: &mut *self.problems,
            })? {
                Some(value) => values.push(value),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(key) = object.next_key::<String>()? {
            let path = join(&self.path, &key);
            let seed = Unique {
                path: path.clone(),
                problems: &mut *self.problems,
            };
            let value = object.next_value_seed(seed)?;
            if values.insert(key, value).is_some() {
                self.problems.push(Problem::new(path, "is given twice"));
            }
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::pattern::ModelPattern;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the reading is tested")]
    struct Outer {
        name: String,
        #[serde(default)]
        items: Vec<Item>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the reading is tested")]
    struct Item {
        weight: u8,
        #[serde(default)]
        models: Vec<ModelPattern>,
        #[serde(default)]
        secret: Option<String>,
        #[serde(default)]
        kind: Option<Kind>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case", deny_unknown_fields)]
    #[expect(dead_code, reason = "only the reading is tested")]
    enum Kind {
        Plain,
        Sized { bytes: u8 },
    }

    #[track_caller]
    fn check(text: &str, want: &[&str]) {
        let problems = read_json::<Outer>(text.as_bytes())
            .err()
            .unwrap_or_default();
        let got = problems.iter().map(Problem::to_string).collect::<Vec<_>>();
        assert_eq!(got.len(), want.len(), "{got:#?}");
        for (got, want) in got.iter().zip(want) {
            assert!(got.starts_with(want), "{got} does not start with {want}");
        }
    }

    #[test]
    fn a_right_text_is_read() {
        check(
            r#"{"name": "a", "items": [{"weight": 1, "models": ["gpt-*"], "kind": {"sized": {"bytes": 1}}}]}"#,
            &[],
        );
    }

    #[test]
    fn every_wrong_field_is_told() {
        check(
            r#"{"name": 5, "limt": 1, "items": [
                {"weight": 300, "modles": []},
                {"weight": 1, "models": ["a", "regex:(", "b", 7, ""]},
                {"models": []},
                {"weight": 1, "kind": {"sized": {"byts": 1, "bytes": 2}}},
                {"weight": 1, "kind": "other"},
                5,
                {"weight": -1}
            ]}"#,
            &[
                "`items[0].modles`: unknown field `modles`, expected one of `weight`",
                "`items[0].weight`: invalid value: integer, expected a whole number from 0 to 255",
                "`items[1].models[1]`: `regex:(` is not a regular expression",
                "`items[1].models[3]`: invalid type: integer, expected",
                "`items[1].models[4]`: a pattern must not be empty",
                "`items[2]`: missing field `weight`",
                "`items[3].kind.sized.byts`: unknown field `byts`",
                "`items[4].kind`: unknown word, expected",
                "`items[5]`: invalid type: integer, expected an object",
                "`items[6].weight`: invalid value: integer, expected",
                "`limt`: unknown field `limt`",
                "`name`: invalid type: integer, expected",
            ],
        );
    }

    #[test]
    fn what_was_written_is_not_told_again() {
        const WRITTEN: &str = "hunter2";
        for text in [
            r#"{"name": "a", "items": "hunter2"}"#,
            r#"{"name": "a", "items": ["hunter2"]}"#,
            r#"{"name": "a", "items": "hunter2, expected nothing"}"#,
            r#"{"name": "a", "items": [{"weight": "hunter2"}]}"#,
            r#"{"name": "a", "items": [{"weight": "`hunter2`"}]}"#,
            r#"{"name": "a", "items": [{"weight": 1, "kind": "hunter2"}]}"#,
            r#"{"name": "a", "items": [{"weight": 1, "kind": "hunter2, expected `x`"}]}"#,
            r#"{"name": "a", "items": [{"weight": 1, "kind": {"sized": "hunter2"}}]}"#,
            r#"{"name": "a", "items": [{"weight": 1, "kind": {"hunter2": {}}}]}"#,
            r#"{"name": ["hunter2"]}"#,
            r#"{"name": {"hunter2": 1}}"#,
            r#""hunter2""#,
            r#"hunter2"#,
            r#"{"name": hunter2}"#,
            r#"{"name": "a"} hunter2"#,
        ] {
            let problems = read_json::<Outer>(text.as_bytes()).unwrap_err();
            for problem in &problems {
                assert!(!problem.message.contains(WRITTEN), "{text}: {problem}");
            }
        }
    }

    #[test]
    fn repeated_fields_are_told() {
        check(
            r#"{"name": "a", "name": "b", "items": [{"weight": 1}, {"weight": 1, "weight": 2}]}"#,
            &[
                "`items[1].weight`: is given twice",
                "`name`: is given twice",
            ],
        );
    }

    #[test]
    fn a_missing_field_at_the_top_is_told() {
        check("{}", &["missing field `name`"]);
        check("[]", &["must be a JSON object"]);
        check("7", &["must be a JSON object"]);
    }

    #[test]
    fn texts_that_are_no_json_are_told() {
        check("", &["not readable as JSON"]);
        check("{", &["not readable as JSON"]);
        check("{} {}", &["not readable as JSON"]);
        check(&"[".repeat(1_000), &["not readable as JSON"]);
    }

    #[test]
    fn a_secret_is_not_repeated() {
        check(
            r#"{"name": "a", "items": [{"weight": 1, "secret": 123456}]}"#,
            &["`items[0].secret`: must be a text"],
        );
    }
}
