use super::*;
use proptest::prelude::*;

/// What a form holds, a part after the other.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told(Vec<(Option<Media>, Vec<u8>)>);

fn read(body: &[u8], pieces: &[&[u8]]) -> Result<Told, FormError> {
    let mut reader = FormReader::new("B");
    let mut told = Told::default();
    let mut tell = |event: FormEvent<'_>| match event {
        FormEvent::Part(media) => told.0.push((media, Vec::new())),
        FormEvent::Bytes(bytes) => {
            if let Some((_, part)) = told.0.last_mut() {
                part.extend_from_slice(bytes);
            }
        }
    };
    if pieces.is_empty() {
        reader.push(body, &mut tell)?;
    }
    for piece in pieces {
        reader.push(piece, &mut tell)?;
    }
    reader.finish()?;
    Ok(told)
}

fn form(head: &str, content: &str) -> String {
    format!("--B\r\n{head}\r\n\r\n{content}\r\n--B--\r\n")
}

const FIELD: &str = "Content-Disposition: form-data; name=\"f\"";

#[track_caller]
fn check(body: &str, want: Result<Vec<(Option<Media>, &str)>, FormError>) {
    let want = want.map(|parts| {
        let parts = parts.into_iter();
        Told(
            parts
                .map(|(media, text)| (media, text.as_bytes().to_vec()))
                .collect(),
        )
    });
    assert_eq!(read(body.as_bytes(), &[]), want, "{body:?}");
}

#[test]
fn parts_of_plain_forms() {
    check(&form(FIELD, "hello"), Ok(vec![(None, "hello")]));
    check(&form(FIELD, ""), Ok(vec![(None, "")]));
    check(
        &form(FIELD, "\r\n--A\r\n-"),
        Ok(vec![(None, "\r\n--A\r\n-")]),
    );
    for (head, media) in [
        ("Content-Type: text/plain; charset=utf-8", None),
        ("content-type:application/json", None),
        ("CONTENT-TYPE: Audio/MPEG", Some(Media::Audio)),
        ("Content-Type: image/png", Some(Media::Image)),
        ("Content-Type: video/mp4", Some(Media::Video)),
        ("Content-Type: application/octet-stream", Some(Media::File)),
        ("Content-Type: text/html", Some(Media::File)),
        ("Content-Transfer-Encoding: binary", None),
        ("Content-Transfer-Encoding: 8BIT", None),
        ("Content-Length: 1", None),
    ] {
        check(
            &form(&format!("{FIELD}; filename=\"a.b\"\r\n{head}"), "x"),
            Ok(vec![(media, "x")]),
        );
    }
    let two = format!(
        "--B\r\n{FIELD}\r\n\r\na\r\n--B\r\n{FIELD}\r\nContent-Type: audio/wav\r\n\r\nb\r\n--B--"
    );
    check(&two, Ok(vec![(None, "a"), (Some(Media::Audio), "b")]));
    check(
        &form(&format!("{FIELD}; filename*=UTF-8''%e2%82%ac"), "x"),
        Ok(vec![(None, "x")]),
    );
}

const HEADS: [(&str, FormError); 26] = [
    (
        "Content-Transfer-Encoding: quoted-printable",
        FormError::TransferEncoding,
    ),
    (
        "Content-Transfer-Encoding: base64",
        FormError::TransferEncoding,
    ),
    (
        "content-transfer-encoding:QUOTED-PRINTABLE",
        FormError::TransferEncoding,
    ),
    (
        "Content-Transfer-Encoding: 7bit, base64",
        FormError::TransferEncoding,
    ),
    (
        "Content-Transfer-Encoding: x-uuencode",
        FormError::TransferEncoding,
    ),
    ("Content-Transfer-Encoding:", FormError::TransferEncoding),
    ("Content-Transfer-Encoding : base64", FormError::Head),
    ("Content-Transfer-Encoding\t: base64", FormError::Head),
    (" Content-Transfer-Encoding: base64", FormError::Head),
    (
        "Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64",
        FormError::Head,
    ),
    (
        "Content-Transfer-Encoding:\r\n base64",
        FormError::TransferEncoding,
    ),
    (
        "Content-Length: 1\nContent-Transfer-Encoding: base64",
        FormError::Head,
    ),
    (
        "Content-Length: 1\rContent-Transfer-Encoding: base64",
        FormError::Head,
    ),
    ("Content-Encoding: gzip", FormError::Head),
    ("X-Unheard: of", FormError::Head),
    ("no colon", FormError::Head),
    (
        "Content-Type: text/plain; charset=utf-7",
        FormError::Charset,
    ),
    (
        "Content-Type: text/html; charset=utf-16",
        FormError::Charset,
    ),
    (
        "Content-Type: application/octet-stream; charset=ibm037",
        FormError::Charset,
    ),
    (
        "Content-Type: text/plain; charset=utf-8; charset=utf-7",
        FormError::Head,
    ),
    ("Content-Type: text/plain, text/html", FormError::Head),
    (
        "Content-Type: text/plain\r\nContent-Type: text/html",
        FormError::Head,
    ),
    ("Content-Type: multipart/mixed; boundary=C", FormError::Head),
    (
        "Content-Type: multipart/form-data; boundary=C",
        FormError::Head,
    ),
    ("Content-Type:", FormError::Head),
    (
        "Content-Disposition: form-data; name=\"g\"",
        FormError::Head,
    ),
];

#[test]
fn heads_that_are_not_plain_are_refused() {
    for (head, error) in HEADS {
        check(&form(&format!("{FIELD}\r\n{head}"), "x"), Err(error));
    }
    for head in [
        "Content-Type: text/plain",
        "Content-Disposition: attachment; name=\"f\"",
        "Content-Disposition: form-data; name=\"_charset_\"",
        "Content-Disposition: form-data; name=_Charset_",
        "Content-Disposition: form-data; name=\"f\"; filename*=utf-7''x",
    ] {
        check(&form(head, "x"), Err(FormError::Head));
    }
    let long = form(
        &format!("{FIELD}; filename=\"{}\"", "x".repeat(HEAD_BYTES)),
        "x",
    );
    check(&long, Err(FormError::Head));
}

#[test]
fn forms_that_two_readers_read_in_two_ways_are_refused() {
    for body in [
        format!("before\r\n{}", form(FIELD, "x")),
        format!("\r\n{}", form(FIELD, "x")),
        format!("{}after", form(FIELD, "x")),
        form(
            FIELD,
            "x\n--B\r\nContent-Transfer-Encoding: base64\r\n\r\ny",
        ),
        form(FIELD, "x --B y"),
        form(FIELD, "x\r\n--Bx"),
        form(FIELD, "x\r\n--B \r\ny"),
        form(FIELD, "x").replace("\r\n", "\n"),
        "--B--\r\n".to_owned(),
        "--C\r\n".to_owned(),
    ] {
        check(&body, Err(FormError::Malformed));
    }
    for body in ["", "--", "--B", "--B\r", "--B\r\n"] {
        check(body, Err(FormError::Truncated));
    }
    let whole = form(FIELD, "x");
    check(whole.trim_end_matches("--\r\n"), Err(FormError::Truncated));
    let many = format!("--B\r\n{FIELD}\r\n\r\n\r\n").repeat(MOST_PARTS + 1);
    check(&many, Err(FormError::TooMany));
}

proptest! {
    #[test]
    fn cuts_change_nothing(
        pieces in prop::collection::vec("(--B|--|\r\n|\r\n\r\n|\r|\n|B|x|-|Content-Disposition: form-data; name=\"f\"|Content-Type: image/png)", 0..24),
        cuts: Vec<prop::sample::Index>,
    ) {
        let body = format!("--B\r\n{FIELD}\r\n\r\n{}", pieces.concat()).into_bytes();
        let whole = read(&body, &[]);
        let cut = crate::cut(&body, &cuts);
        match (whole, read(&body, &cut)) {
            (Ok(whole), Ok(cut)) => prop_assert_eq!(whole, cut),
            (Err(_), Err(_)) => {}
            (whole, cut) => prop_assert!(false, "{whole:?} {cut:?}"),
        }
    }
}
