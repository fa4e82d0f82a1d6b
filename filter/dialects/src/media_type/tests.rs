use super::*;
use proptest::prelude::*;

#[track_caller]
fn check(value: &str, want: Result<BodyType, MediaTypeError>) {
    assert_eq!(body_type([value.as_bytes()]), want, "{value:?}");
}

#[test]
fn json_in_every_plain_spelling() {
    for value in [
        "application/json",
        "Application/JSON",
        "APPLICATION/json",
        "application/json;charset=utf-8",
        "application/json; charset=utf-8",
        "application/json; charset=UTF-8",
        "application/json; Charset=Utf-8",
        "application/json; charset=utf8",
        "application/json; charset=UTF8",
        "application/json; charset=\"utf-8\"",
        "application/json; charset=\"UTF8\"",
        "application/json ; charset=utf-8",
        "application/json\t;\tcharset=utf-8",
        " application/json ",
        "application/json;",
        "application/json; ;",
        "application/json; charset=utf-8;",
        "application/json; charset=utf-8; version=1",
        "application/vnd.api+json",
        "application/vnd.api+json; profile=\"https://example.test/p\"",
    ] {
        check(value, Ok(BodyType::Json));
    }
}

#[test]
fn another_character_set_is_refused_however_it_is_written() {
    for value in [
        "application/json; charset=utf-7",
        "application/json; charset=UTF-7",
        "application/json;charset=\"utf-7\"",
        "application/json; CHARSET=utf-16",
        "application/json; charset=utf-16le",
        "application/json; charset=utf-32",
        "application/json; charset=iso-8859-1",
        "application/json; charset=us-ascii",
        "application/json; charset=utf-8-sig",
        "application/json; charset='utf-8'",
        "application/json; charset=utf_8",
        "text/plain; charset=utf-7",
        "text/event-stream; charset=utf-16",
        "multipart/form-data; boundary=x; charset=utf-7",
        "application/octet-stream; charset=utf-7",
        "image/png; charset=ibm037",
        "application/json; x-charset=utf-7",
        "application/json; profile=\"charset\"",
        "application/charset+json",
        "application/json; profile=charset",
    ] {
        check(value, Err(MediaTypeError::Charset));
    }
}

const AMBIGUOUS: [(&str, MediaTypeError); 43] = [
    ("application/json, text/plain", MediaTypeError::Repeated),
    (
        "application/json,application/json",
        MediaTypeError::Repeated,
    ),
    (
        "application/json; charset=utf-8, application/json; charset=utf-7",
        MediaTypeError::Repeated,
    ),
    (
        "application/json; charset=utf-8; charset=utf-7",
        MediaTypeError::Repeated,
    ),
    (
        "application/json; charset=utf-7; charset=utf-8",
        MediaTypeError::Repeated,
    ),
    (
        "application/json; charset=utf-8; Charset=utf-8",
        MediaTypeError::Repeated,
    ),
    (
        "multipart/form-data; boundary=a; boundary=b",
        MediaTypeError::Repeated,
    ),
    ("", MediaTypeError::Malformed),
    (";", MediaTypeError::Malformed),
    ("json", MediaTypeError::Malformed),
    ("application/", MediaTypeError::Malformed),
    ("/json", MediaTypeError::Malformed),
    ("application/ json", MediaTypeError::Malformed),
    ("application /json", MediaTypeError::Malformed),
    ("application/json charset=utf-7", MediaTypeError::Malformed),
    (
        "application/json; charset = utf-8",
        MediaTypeError::Malformed,
    ),
    (
        "application/json; charset= utf-8",
        MediaTypeError::Malformed,
    ),
    (
        "application/json; charset =utf-8",
        MediaTypeError::Malformed,
    ),
    ("application/json; charset", MediaTypeError::Malformed),
    ("application/json; charset=", MediaTypeError::Malformed),
    ("application/json; charset=\"\"", MediaTypeError::Malformed),
    (
        "application/json; charset=\"utf-8",
        MediaTypeError::Malformed,
    ),
    (
        "application/json; charset=utf-8\"",
        MediaTypeError::Malformed,
    ),
    (
        "application/json; charset=\"u\\tf-7\"",
        MediaTypeError::Malformed,
    ),
    (
        "application/json; charset=\"utf-8;utf-7\"",
        MediaTypeError::Malformed,
    ),
    (
        "application/json; charset*=utf-7''utf-7",
        MediaTypeError::Malformed,
    ),
    (
        "application/json; charset*0=utf-; charset*1=7",
        MediaTypeError::Malformed,
    ),
    (
        "application/json\u{b}; charset=utf-8",
        MediaTypeError::Malformed,
    ),
    (
        "application/json\u{a0}; charset=utf-8",
        MediaTypeError::Malformed,
    ),
    (
        "application/json; version=\"a b\"",
        MediaTypeError::Malformed,
    ),
    ("multipart/form-data", MediaTypeError::Malformed),
    (
        "multipart/form-data; boundary=\"a b\"",
        MediaTypeError::Malformed,
    ),
    (
        "application/json; encoding=utf-7",
        MediaTypeError::Parameter,
    ),
    ("application/json; boundary=x", MediaTypeError::Parameter),
    ("text/plain; format=flowed", MediaTypeError::Parameter),
    (
        "multipart/form-data; boundary=x; start=y",
        MediaTypeError::Parameter,
    ),
    ("multipart/mixed; boundary=x", MediaTypeError::Unlisted),
    ("text/html", MediaTypeError::Unlisted),
    ("text/xml", MediaTypeError::Unlisted),
    ("application/xml", MediaTypeError::Unlisted),
    (
        "application/x-www-form-urlencoded",
        MediaTypeError::Unlisted,
    ),
    ("text/json", MediaTypeError::Unlisted),
    ("*/*", MediaTypeError::Unlisted),
];

#[test]
fn what_two_readers_could_read_in_two_ways_is_refused() {
    for (value, error) in AMBIGUOUS {
        check(value, Err(error));
    }
    let twice: [&[u8]; 2] = [b"application/json", b"application/json"];
    assert_eq!(body_type(twice), Err(MediaTypeError::Repeated));
    assert_eq!(
        body_type([&b"application/json; charset=\xff"[..]]),
        Err(MediaTypeError::Malformed)
    );
    let long = format!("application/json; version={}", "1".repeat(LONGEST));
    check(&long, Err(MediaTypeError::Malformed));
}

#[test]
fn kinds_of_the_list() {
    let form = |boundary: &str| {
        Ok(BodyType::Form {
            boundary: boundary.to_owned(),
        })
    };
    check(
        "multipart/form-data; boundary=----WebKitFormBoundaryA1",
        form("----WebKitFormBoundaryA1"),
    );
    check(
        "Multipart/Form-Data; Boundary=\"a:b/c\"; charset=utf-8",
        form("a:b/c"),
    );
    check(
        "text/event-stream; charset=UTF-8",
        Ok(BodyType::EventStream),
    );
    check("text/plain", Ok(BodyType::Text));
    check("text/csv; header=present", Ok(BodyType::Text));
    check("application/x-ndjson", Ok(BodyType::Text));
    check("image/png", Ok(BodyType::Binary(Media::Image)));
    check(
        "audio/webm; codecs=opus",
        Ok(BodyType::Binary(Media::Audio)),
    );
    check("video/mp4", Ok(BodyType::Binary(Media::Video)));
    check("application/pdf", Ok(BodyType::Binary(Media::File)));
    assert_eq!(body_type([]), Ok(BodyType::Undeclared));
}

#[test]
fn encodings_that_leave_a_body_as_it_is() {
    for (values, plain, one) in [
        (&[][..], true, false),
        (&["identity"][..], true, false),
        (&["Identity"], true, false),
        (&["identity", "identity"], false, false),
        (&["identity, identity"], false, false),
        (&[""], false, false),
        (&["gzip"], false, true),
        (&["GZip"], false, true),
        (&["zstd"], false, true),
        (&["br"], false, true),
        (&["x-gzip"], false, false),
        (&["deflate"], false, false),
        (&["gzip, gzip"], false, false),
        (&["gzip, zstd"], false, false),
        (&["gzip", "gzip"], false, false),
        (&["gzip,"], false, false),
        (&["identity, gzip"], false, false),
        (&["gzip, identity"], false, false),
        (&["aws-chunked"], false, false),
    ] {
        let bytes = || values.iter().map(|value| value.as_bytes());
        assert_eq!(is_plain(bytes()), plain, "{values:?}");
        assert_eq!(is_one_coding(bytes()), one, "{values:?}");
    }
}

#[test]
fn answers_may_have_parameters_that_mean_nothing() {
    for (value, want) in [
        (&b"application/json; charset=utf-8"[..], Ok(BodyType::Json)),
        (b"Application/Json;CHARSET=\"UTF8\"", Ok(BodyType::Json)),
        (
            b"text/event-stream; charset=\xff",
            Ok(BodyType::EventStream),
        ),
        (
            "application/json; t=\u{4e2d}".as_bytes(),
            Ok(BodyType::Json),
        ),
        (
            b"application/json; odata.metadata=minimal; odata.streaming=true",
            Ok(BodyType::Json),
        ),
        (b"text/plain; format=flowed", Ok(BodyType::Text)),
        (
            b"application/json; charset=utf-7",
            Err(MediaTypeError::Charset),
        ),
        (
            b"application/json; charset=utf-7\xff",
            Err(MediaTypeError::Charset),
        ),
        (
            b"application/json; charset=\xffutf-7",
            Err(MediaTypeError::Charset),
        ),
        (
            b"application/json; charset = utf-7",
            Err(MediaTypeError::Charset),
        ),
        (
            b"application/json; charset*=utf-7",
            Err(MediaTypeError::Charset),
        ),
        (
            b"application/json; x-charset=utf-7",
            Err(MediaTypeError::Charset),
        ),
        (
            b"application/json charset=utf-7",
            Err(MediaTypeError::Charset),
        ),
        (
            b"application/json; charset=utf-8; charset=utf-7",
            Err(MediaTypeError::Charset),
        ),
        (
            b"application/json; charset=iso-8859-1",
            Err(MediaTypeError::Charset),
        ),
        (
            b"application/json, text/plain",
            Err(MediaTypeError::Repeated),
        ),
        (
            b"application/json; t=\"a, b\"",
            Err(MediaTypeError::Repeated),
        ),
        (b"application/ json", Err(MediaTypeError::Malformed)),
        (b"application/json\xff", Err(MediaTypeError::Malformed)),
        (b"", Err(MediaTypeError::Malformed)),
        (b"text/html", Err(MediaTypeError::Unlisted)),
        (
            b"multipart/form-data; boundary=x",
            Err(MediaTypeError::Unlisted),
        ),
    ] {
        assert_eq!(
            answer_type([value]),
            want,
            "{}",
            String::from_utf8_lossy(value)
        );
    }
    let twice: [&[u8]; 2] = [b"application/json", b"application/json"];
    assert_eq!(answer_type(twice), Err(MediaTypeError::Repeated));
    assert_eq!(answer_type([]), Ok(BodyType::Undeclared));
}

/// Character sets as readers find them that look for the word anywhere, as some do by expression.
fn leniently(value: &str) -> Vec<String> {
    let lower = value.to_ascii_lowercase();
    lower
        .match_indices("charset")
        .map(|(at, word)| {
            let rest: String = lower
                .get(at + word.len()..)
                .unwrap_or_default()
                .chars()
                .skip_while(|it| " \t*0123456789".contains(*it))
                .collect();
            let rest = rest.strip_prefix('=').unwrap_or_default();
            let rest = rest.trim_start_matches([' ', '\t', '"', '\'', '\\']);
            rest.chars()
                .take_while(|it| !" \t;,\"'\\".contains(*it))
                .collect()
        })
        .collect()
}

proptest! {
    /// No spelling that passes is one that a lenient reader takes for another character set.
    #[test]
    fn no_reader_finds_another_character_set(
        kind in "(application/json|text/plain|multipart/form-data; boundary=b|image/png)",
        pieces in prop::collection::vec(
            "([;, \t=\"'*\\\\]|charset|CHARSET|Charset|x-charset|utf-8|utf8|utf-7|UTF-16|\"utf-8\"|\"utf-7\"|version|application/json|0|1)",
            0..9,
        ),
    ) {
        let value = format!("{kind}{}", pieces.concat());
        if body_type([value.as_bytes()]).is_ok() {
            for charset in leniently(&value) {
                prop_assert!(matches!(charset.as_str(), "utf-8" | "utf8"), "{value:?} reads as {charset:?}");
            }
            prop_assert!(!value.contains(','), "{value:?}");
        }
        if answer_type([value.as_bytes()]).is_ok() {
            for charset in leniently(&value) {
                let is_none = !charset.contains(|it: char| it.is_ascii_alphanumeric());
                prop_assert!(is_none || matches!(charset.as_str(), "utf-8" | "utf8"), "{value:?} reads as {charset:?}");
            }
        }
    }

    #[test]
    fn any_bytes_are_judged(value: Vec<u8>) {
        let _any = (body_type([value.as_slice()]), answer_type([value.as_slice()]));
    }
}
