use proptest::prelude::*;

use super::*;
use crate::cut;

static ANY: Shape<&str> = Shape::scalar("any", Want::Capture);
static TEXT: Shape<&str> = Shape::scalar("text", Want::Pieces);
static NESTED: Shape<&str> =
    Shape::object("nested", &[key("name", &ANY), key("again", &NESTED)]).or_items(&NESTED);
static ROOT: Shape<&str> = Shape::object(
    "root",
    &[
        key("name", &ANY),
        key("text", &TEXT),
        key("list", &NESTED),
        key("again", &NESTED),
    ],
);
static JUDGED: Shape<&str> = Shape::object(
    "root",
    &[key("model", &ANY), key("max_tokens", &ANY).or("maxTokens")],
)
.judged();

/// Everything a visitor was told, as text; pieces of one string are joined.
#[derive(Default)]
struct Told(Vec<String>, String);

impl Visitor for Told {
    type Tag = &'static str;

    fn begin(&mut self, tag: &'static str, container: Container, at: u64) {
        self.0.push(format!("begin {tag} {container:?} {at}"));
    }

    fn end(&mut self, tag: &'static str, closed: Closed) {
        let Closed {
            container,
            span,
            is_empty,
        } = closed;
        let filling = if is_empty { " empty" } else { "" };
        self.0.push(format!(
            "end {tag} {container:?} {}..{}{filling}",
            span.start, span.end
        ));
    }

    fn scalar(&mut self, tag: &'static str, value: Scalar<'_>, span: Span) {
        let pieces = std::mem::take(&mut self.1);
        self.0.push(format!(
            "{tag} {value:?} {pieces:?} {}..{}",
            span.start, span.end
        ));
    }

    fn piece(&mut self, _: &'static str, piece: &[u8]) {
        self.1.push_str(str::from_utf8(piece).unwrap());
    }
}

fn walk(
    root: &'static Shape<&'static str>,
    chunks: &[&[u8]],
) -> (Vec<String>, Result<(), JsonError>) {
    let mut walker = Walker::new(root);
    let mut told = Told::default();
    let pushed = chunks
        .iter()
        .try_for_each(|chunk| walker.push(chunk, &mut told));
    let ended = pushed.and_then(|()| walker.finish(&mut told));
    (told.0, ended)
}

#[track_caller]
fn check(text: impl AsRef<[u8]>, want: Result<(), JsonError>) {
    let text = text.as_ref();
    assert_eq!(walk(&ROOT, &[text]).1, want, "whole");
    let bytes: Vec<&[u8]> = text.chunks(1).collect();
    assert_eq!(walk(&ROOT, &bytes).1, want, "bytewise");
}

#[track_caller]
fn check_told(text: &str, want: &[&str]) {
    let (told, ended) = walk(&ROOT, &[text.as_bytes()]);
    assert_eq!(ended, Ok(()));
    assert_eq!(told, want);
}

#[track_caller]
fn check_judged(text: &str, want: Result<(), JsonError>) {
    assert_eq!(walk(&JUDGED, &[text.as_bytes()]).1, want);
}

#[test]
fn grammatical_texts_pass() {
    for text in [
        "{}",
        "[]",
        " [ ] ",
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1.5e-7",
        "1E+2",
        "\"\"",
        "[1,2]",
        "{\"a\":{\"b\":[{}]}}",
        "\"\\u00e9\\ud83d\\ude00\\ud83d\"",
        "\"\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}\"",
        "\t\r\n1\n",
    ] {
        check(text, Ok(()));
    }
}

#[test]
fn a_byte_that_cannot_stand_there_is_named() {
    for (text, at) in [
        ("[1,]", 3),
        ("{\"a\":1,}", 7),
        ("{a:1}", 1),
        ("{\"a\" 1}", 5),
        ("[1 2]", 3),
        ("[1}", 2),
        ("{\"a\":1]", 6),
        ("01", 1),
        ("-a", 1),
        ("1.e", 2),
        ("[1.]", 3),
        ("1e+x", 3),
        ("+1", 0),
        ("nul1", 3),
        ("True", 0),
        ("{} {}", 3),
        ("{}x", 2),
        ("\"\\x\"", 2),
        ("\"\\u12g4\"", 5),
        ("\"a\nb\"", 2),
        ("\"\0\"", 1),
        ("\0", 0),
        ("[1\0]", 2),
        ("'a'", 0),
        ("// {}", 0),
        ("NaN", 0),
        ("\u{feff}\u{feff}", 0),
    ] {
        let want = if text.starts_with('\u{feff}') {
            JsonError::Bom
        } else {
            JsonError::Invalid { at }
        };
        check(text, Err(want));
    }
}

#[test]
fn a_byte_order_mark_is_told_from_other_letters() {
    check("\u{feff}{}", Err(JsonError::Bom));
    check("\u{ff5b}", Err(JsonError::Invalid { at: 0 }));
    check(b"\xEF\xBB", Err(JsonError::Truncated { at: 2 }));
}

#[test]
fn malformed_utf8_is_named_where_its_sequence_begins() {
    for bytes in [
        &b"\"ab\x80\""[..],
        b"\"ab\xC1\xBF\"",
        b"\"ab\xE0\x9F\xBF\"",
        b"\"ab\xED\xA0\x80\"",
        b"\"ab\xF0\x8F\xBF\xBF\"",
        b"\"ab\xF4\x90\x80\x80\"",
        b"\"ab\xF5\x80\x80\x80\"",
        b"\"ab\xC3\"",
        b"\"ab\xE2\x82\"",
        b"\"ab\xFF\"",
    ] {
        check(bytes, Err(JsonError::NotUtf8 { at: 3 }));
    }
}

#[test]
fn text_that_ends_early_is_truncated() {
    for text in [
        "", " ", "{", "[1", "{\"a\"", "{\"a\":", "\"abc", "\"abc\\", "\"\\u12", "-", "1.", "1e",
        "tru", "[[]",
    ] {
        let at = u64::try_from(text.len()).unwrap();
        check(text, Err(JsonError::Truncated { at }));
    }
    check(b"\"\xE2\x82", Err(JsonError::Truncated { at: 3 }));
}

#[test]
fn containers_nest_to_the_bound_and_no_deeper() {
    check("[".repeat(128) + &"]".repeat(128), Ok(()));
    check("[".repeat(129), Err(JsonError::TooDeep { at: 128 }));
    let nested = "{\"again\":".repeat(128) + "{}" + &"}".repeat(128);
    check(&nested, Err(JsonError::TooDeep { at: 9 * 128 }));
}

#[test]
fn scalars_are_told_decoded_with_their_span() {
    check_told(
        r#"{"name":"a\n\u00e9\ud83d\ude00\ud83dz","na\u006de":12,"skip":"x"}"#,
        &[
            "begin root Object 0",
            "any Text { value: \"a\\né😀\u{fffd}z\", whole: true } \"\" 8..38",
            "any Number(\"12\") \"\" 51..53",
            "end root Object 0..65",
        ],
    );
}

#[test]
fn pieces_are_told_before_their_string_ends() {
    check_told(
        r#"{"text":"a\tb ü","text":"","text":null,"name":[]}"#,
        &[
            "begin root Object 0",
            "text Text { value: \"\", whole: false } \"a\\tb ü\" 8..17",
            "text Text { value: \"\", whole: false } \"\" 25..27",
            "text Null \"\" 35..39",
            "begin any Array 47",
            "end any Array 47..49 empty",
            "end root Object 0..50",
        ],
    );
}

#[test]
fn shapes_may_refer_to_themselves() {
    check_told(
        r#"{"list":[{"again":{"name":true}},7,[{"name":"n"}]],"other":{"name":1}}"#,
        &[
            "begin root Object 0",
            "begin nested Array 8",
            "begin nested Object 9",
            "begin nested Object 18",
            "any Bool(true) \"\" 26..30",
            "end nested Object 18..31",
            "end nested Object 9..32",
            "nested Number(\"7\") \"\" 33..34",
            "begin nested Array 35",
            "begin nested Object 36",
            "any Text { value: \"n\", whole: true } \"\" 44..47",
            "end nested Object 36..48",
            "end nested Array 35..49",
            "end nested Array 8..50",
            "end root Object 0..70",
        ],
    );
}

#[test]
fn a_long_string_is_kept_up_to_the_bound() {
    for (filling, kept) in [
        ("x", CAPTURE_BYTES),
        ("€", CAPTURE_BYTES / 3 * 3),
        ("x\\n", CAPTURE_BYTES),
    ] {
        let text = format!("{{\"name\":\"{}\"}}", filling.repeat(CAPTURE_BYTES + 1));
        let mut length = None;
        for chunk in [1, 7, 100_000] {
            let chunks: Vec<&[u8]> = text.as_bytes().chunks(chunk).collect();
            let (told, ended) = walk(&ROOT, &chunks);
            assert_eq!(ended, Ok(()));
            assert!(told[1].contains("whole: false"));
            assert_eq!(*length.get_or_insert(told[1].len()), told[1].len());
        }
        assert!(length.unwrap() >= kept);
    }
}

#[test]
fn a_long_number_has_no_written_form() {
    let digits = "1".repeat(64);
    check_told(
        &format!("{{\"name\":{digits}}}"),
        &[
            "begin root Object 0",
            &format!("any Number(\"{digits}\") \"\" 8..72"),
            "end root Object 0..73",
        ],
    );
    check_told(
        &format!("{{\"name\":{digits}1}}"),
        &[
            "begin root Object 0",
            "any Number(\"\") \"\" 8..73",
            "end root Object 0..74",
        ],
    );
}

#[test]
fn a_judged_key_stands_once() {
    check_judged(r#"{"model":1,"other":1,"other":2}"#, Ok(()));
    check_judged(r#"{"model":1,"x":{"model":2}}"#, Ok(()));
    check_judged(
        r#"{"model":1,"model":2}"#,
        Err(JsonError::Duplicate {
            field: "model",
            at: 11,
        }),
    );
}

#[test]
fn two_spellings_of_one_field_are_a_duplicate() {
    let (_, ended) = walk(&JUDGED, &[br#"{"max_tokens":1,"maxTokens":2}"#]);
    assert_eq!(
        ended,
        Err(JsonError::Duplicate {
            field: "maxTokens",
            at: 16
        })
    );
}

#[test]
fn a_judged_key_has_one_spelling() {
    for key in [
        "Model",
        "MODEL",
        "mod\\u0065l",
        "\\u004dodel",
        "model\\u0000",
        "model\\u0000x",
    ] {
        check_judged(
            &format!("{{\"{key}\":1}}"),
            Err(JsonError::Disguised {
                field: "model",
                at: 1,
            }),
        );
    }
    for key in ["max_to\u{212a}ens", "max_token\u{17f}", "max_token\\u017f"] {
        check_judged(
            &format!("{{\"{key}\":1}}"),
            Err(JsonError::Disguised {
                field: "max_tokens",
                at: 1,
            }),
        );
    }
    for key in [
        "models",
        "mode",
        "xmodel",
        "model ",
        "m\\u00f6del",
        "max_tök",
        "m\\u0000odel",
    ] {
        check_judged(&format!("{{\"{key}\":1}}"), Ok(()));
    }
}

#[test]
fn an_error_stays() {
    let mut walker = Walker::new(&ROOT);
    let mut told = Told::default();
    let error = walker.push(b"{x", &mut told).unwrap_err();
    assert_eq!(walker.push(b"{}", &mut told), Err(error));
    assert_eq!(walker.finish(&mut told), Err(error));
    walker.reset();
    walker.push(b"{}", &mut told).unwrap();
    assert_eq!(walker.finish(&mut told), Ok(()));
}

/// JSON and what nearly is JSON: fragments strung together.
fn near_json() -> impl Strategy<Value = Vec<u8>> {
    let fragments = prop::sample::select(vec![
        &b"{"[..],
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\"",
        b"\\",
        b"\\u00",
        b"\\ud83d",
        b"\\u0065",
        b"\"name\"",
        b"\"text\":",
        b"\"a\"",
        b"1",
        b"-",
        b".5",
        b"e9",
        b"0",
        b"true",
        b"null",
        b" ",
        b"\n",
        b"\xC3\xA9",
        b"\xE2\x82\xAC",
        b"\xF0\x9F",
        b"\x98\x80",
        b"\x80",
        b"{\"name\":\"x\"}",
        b"[1,2]",
        b"\0",
        b"abcdefghijklmnopqrstuvwxyz",
    ]);
    prop::collection::vec(fragments, 0..24).prop_map(|parts| parts.concat())
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-1e9..1e9).prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    let key = prop_oneof![
        Just("name".to_owned()),
        Just("text".to_owned()),
        Just("again".to_owned()),
        any::<String>()
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::hash_map(key.clone(), inner, 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

/// What serde_json makes of the text, with our two stricter rules added.
fn reference_accepts(text: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(text) else {
        return false;
    };
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
        && depth(text.as_bytes()) <= MAX_DEPTH
}

fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0, 0, false, false);
    for byte in text {
        match (quoted, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => quoted = !quoted,
            (false, b'{' | b'[') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (false, b'}' | b']') => depth -= 1,
            _ => {}
        }
    }
    deepest
}

proptest! {
    #[test]
    fn accepts_what_serde_json_accepts(text in near_json()) {
        prop_assert_eq!(walk(&ROOT, &[&text]).1.is_ok(), reference_accepts(&text));
    }

    #[test]
    fn accepts_random_bytes_as_serde_json_does(text: Vec<u8>) {
        prop_assert_eq!(walk(&ROOT, &[&text]).1.is_ok(), reference_accepts(&text));
    }

    #[test]
    fn accepts_everything_serde_json_prints(value in any_json(), pretty: bool) {
        let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
        prop_assert_eq!(walk(&ROOT, &[&text]).1, Ok(()));
    }

    #[test]
    fn decodes_as_serde_json_does(text: String) {
        let json = serde_json::json!({ "name": text }).to_string();
        let (told, _) = walk(&ROOT, &[json.as_bytes()]);
        prop_assume!(text.len() <= CAPTURE_BYTES);
        let want = format!("any {:?} \"\"", Scalar::Text { value: &text, whole: true });
        prop_assert!(told[1].starts_with(&want), "{} / {}", told[1], want);
    }

    #[test]
    fn chunking_never_changes_what_is_told(text in near_json(), cuts: Vec<prop::sample::Index>) {
        prop_assert_eq!(walk(&ROOT, &cut(&text, &cuts)), walk(&ROOT, &[&text]));
    }

    #[test]
    fn chunking_never_changes_what_is_told_of_json(value in any_json(), cuts: Vec<prop::sample::Index>) {
        let text = serde_json::to_vec(&value).unwrap();
        prop_assert_eq!(walk(&ROOT, &cut(&text, &cuts)), walk(&ROOT, &[&text]));
    }
}
