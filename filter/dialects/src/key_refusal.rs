//! Which answers say that the provider does not take the key it was given.
//!
//! ```
//! use dialects::key_refusal::{KeyAnswer, KeyRefusalReader};
//! use policy::surface::Dialect;
//!
//! let mut reader = KeyRefusalReader::new(Dialect::Gemini, 400);
//! reader.push(br#"{"error":{"code":400,"details":[{"reason":"API_KEY_INVALID"}]}}"#);
//! assert_eq!(reader.answer(), KeyAnswer::Refused);
//! ```

use policy::surface::Dialect;

use crate::json::{Scalar, Shape, Span, Visitor, Walker, Want, key};

/// What an answer says about the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAnswer {
    /// The provider does not take the key: 401, or the form that a dialect has for it.
    Refused,
    /// 403: the key, or what was asked for with it; the answer alone does not tell which.
    Forbidden,
    /// Nothing.
    Silent,
}

/// Reads the one answer whose status alone does not tell, chunk by chunk.
///
/// Gemini says it by 400 and a reason (`google.rpc.ErrorInfo`), xAI by 400 and a sentence of its own. Neither
/// stands where a provider repeats what a client wrote. Holds no text of the body.
#[derive(Debug)]
pub struct KeyRefusalReader {
    status: u16,
    form: Option<Form>,
}

#[derive(Debug)]
struct Form {
    walker: Walker<Place>,
    found: Found,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Way,
    /// `error` as a sentence.
    Sentence,
    /// `error.details[].reason`
    Reason,
}

/// How xAI begins it.
const SENTENCE: &str = "Incorrect API key provided";
/// How Google's APIs call it; an expired key has the same reason.
const REASON: &str = "API_KEY_INVALID";

static REASON_PLACE: Shape<Place> = Shape::scalar(Place::Reason, Want::Capture);
static DETAIL: Shape<Place> = Shape::object(Place::Way, &[key("reason", &REASON_PLACE)]);
static DETAILS: Shape<Place> = Shape::array(Place::Way, &DETAIL);
static GEMINI_ERROR: Shape<Place> = Shape::object(Place::Way, &[key("details", &DETAILS)]);
/// A stream without SSE answers errors in a list.
static GEMINI: Shape<Place> =
    Shape::object(Place::Way, &[key("error", &GEMINI_ERROR)]).or_items(&GEMINI);
static SENTENCE_PLACE: Shape<Place> = Shape::scalar(Place::Sentence, Want::Capture);
static OPENAI: Shape<Place> = Shape::object(Place::Way, &[key("error", &SENTENCE_PLACE)]);

impl KeyRefusalReader {
    /// Starts before the first byte of the body of an answer with this status.
    pub fn new(dialect: Dialect, status: u16) -> Self {
        let shape = match dialect {
            Dialect::Gemini => Some(&GEMINI),
            Dialect::Openai => Some(&OPENAI),
            Dialect::Anthropic => None,
        };
        let form = shape.filter(|_| status == 400).map(|shape| Form {
            walker: Walker::new(shape),
            found: Found(false),
        });
        Self { status, form }
    }

    /// Returns whether the body says more than the status.
    pub fn reads_body(&self) -> bool {
        self.form.is_some()
    }

    /// Reads the next bytes; what is no JSON says nothing.
    pub fn push(&mut self, chunk: &[u8]) {
        if let Some(form) = &mut self.form
            && form.walker.push(chunk, &mut form.found).is_err()
        {
            self.form = None;
        }
    }

    /// Returns what the answer has said so far.
    pub fn answer(&self) -> KeyAnswer {
        match self.status {
            401 => KeyAnswer::Refused,
            403 => KeyAnswer::Forbidden,
            _ if self.form.as_ref().is_some_and(|form| form.found.0) => KeyAnswer::Refused,
            _ => KeyAnswer::Silent,
        }
    }
}

#[derive(Debug)]
struct Found(bool);

impl Visitor for Found {
    type Tag = Place;

    fn scalar(&mut self, place: Place, value: Scalar<'_>, _: Span) {
        let Scalar::Text { value, .. } = value else {
            return;
        };
        self.0 |= match place {
            Place::Reason => value == REASON,
            Place::Sentence => value.starts_with(SENTENCE),
            Place::Way => false,
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOGLE: &str = r#"{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.LocalizedMessage","locale":"en-US"},{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}"#;
    const XAI: &str =
        r#"{"code":"invalid-argument","error":"Incorrect API key provided. You can obtain one."}"#;

    #[track_caller]
    fn check(dialect: Dialect, status: u16, body: &str, want: KeyAnswer) {
        let mut reader = KeyRefusalReader::new(dialect, status);
        reader.push(body.as_bytes());
        assert_eq!(reader.answer(), want, "{body}");
    }

    #[test]
    fn statuses_and_forms_that_refuse_a_key() {
        for dialect in Dialect::ALL {
            check(dialect, 401, "{}", KeyAnswer::Refused);
            check(dialect, 401, "", KeyAnswer::Refused);
            check(dialect, 403, "{}", KeyAnswer::Forbidden);
            for status in [200, 400, 402, 404, 407, 429, 500] {
                check(dialect, status, "{}", KeyAnswer::Silent);
            }
        }
        check(Dialect::Gemini, 400, GOOGLE, KeyAnswer::Refused);
        check(
            Dialect::Gemini,
            400,
            &format!("[{GOOGLE}\n]"),
            KeyAnswer::Refused,
        );
        check(Dialect::Openai, 400, XAI, KeyAnswer::Refused);
    }

    #[test]
    fn what_a_client_has_repeated_refuses_nothing() {
        let echoes = [
            r#"{"error":{"message":"unknown name \"API_KEY_INVALID\": Incorrect API key provided"}}"#,
            r#"{"error":{"message":"no","details":[{"fieldViolations":[{"field":"reason","description":"API_KEY_INVALID"}]}]}}"#,
            r#"{"error":{"message":"no","details":[{"metadata":{"reason":"API_KEY_INVALID"}}]}}"#,
            r#"{"details":[{"reason":"API_KEY_INVALID"}]}"#,
            r#"{"error":"your model `Incorrect API key provided` does not exist"}"#,
            "reason API_KEY_INVALID",
        ];
        for dialect in Dialect::ALL {
            for body in echoes {
                check(dialect, 400, body, KeyAnswer::Silent);
            }
        }
        check(Dialect::Gemini, 404, GOOGLE, KeyAnswer::Silent);
        check(Dialect::Anthropic, 400, GOOGLE, KeyAnswer::Silent);
        check(Dialect::Openai, 400, GOOGLE, KeyAnswer::Silent);
        check(Dialect::Gemini, 400, XAI, KeyAnswer::Silent);
    }

    proptest! {
        #[test]
        fn chunking_never_changes_the_answer(cuts: [prop::sample::Index; 4]) {
            for (dialect, body) in [(Dialect::Gemini, GOOGLE), (Dialect::Openai, XAI)] {
                let mut reader = KeyRefusalReader::new(dialect, 400);
                for piece in crate::cut(body.as_bytes(), &cuts) {
                    reader.push(piece);
                }
                prop_assert_eq!(reader.answer(), KeyAnswer::Refused);
            }
        }
    }
}
