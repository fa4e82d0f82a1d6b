//! Ids that clients and providers give a request: in which form one is kept, and asked for.

/// Most bytes of an id that are kept; the longest documented one has 512 (OpenAI's `X-Client-Request-Id`).
pub const LONGEST: usize = 512;

/// Returns what is kept of an id: its visible ASCII, as far as it is not too long. What has none is no id.
///
/// ```
/// use policy::request_id::kept;
///
/// assert_eq!(kept(b"req_01 \xff"), Some("req_01".to_owned()));
/// assert_eq!(kept(b" \t"), None);
/// ```
pub fn kept(id: &[u8]) -> Option<String> {
    let visible = id.iter().copied().filter(u8::is_ascii_graphic);
    let kept: String = visible.take(LONGEST).map(char::from).collect();
    (!kept.is_empty()).then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_bytes_are_dropped_and_length_is_bounded() {
        for (id, want) in [
            (&b"abc-123_x.y:z/+="[..], Some("abc-123_x.y:z/+=")),
            (b"a b\tc\r\nd\0e\x7f", Some("abcde")),
            ("käse".as_bytes(), Some("kse")),
            (b"\xff\xfe", None),
            (b"", None),
        ] {
            assert_eq!(kept(id).as_deref(), want, "{id:?}");
        }
        let long = vec![b'x'; LONGEST + 1];
        assert_eq!(kept(&long).map(|id| id.len()), Some(LONGEST));
    }

    #[test]
    fn what_was_kept_is_kept_as_it_is() {
        for id in ["req_1", &"y".repeat(LONGEST)] {
            assert_eq!(kept(id.as_bytes()).as_deref(), Some(id));
        }
    }
}
