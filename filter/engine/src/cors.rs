//! Requests of web pages: who of them may ask, and what browsers are told of it (Fetch, "CORS protocol").
//!
//! No cookie means anything here, so credentials are never allowed, and `*` stands for every header but
//! `authorization`, which has to be named.

use dialects::refusal::Reply;

use crate::headers::Headers;

/// How long a browser may keep what a preflight was answered.
const MAX_AGE_SECS: &str = "600";

/// What the mesh says to the page that asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cors {
    /// The mesh names no origin: nothing is said.
    #[default]
    Off,
    /// It names others, or no page asks.
    NotNamed,
    /// It names this one.
    Allowed(String),
}

impl Cors {
    /// Compares the origin of a request with those that may ask.
    pub(crate) fn of(origins: &[String], headers: &Headers) -> Self {
        if origins.is_empty() {
            return Self::Off;
        }
        let mut sent = headers.all("origin");
        let (Some(origin), None) = (sent.next(), sent.next()) else {
            return Self::NotNamed;
        };
        let named = origins.iter().find(|named| named.as_bytes() == origin);
        named.cloned().map_or(Self::NotNamed, Self::Allowed)
    }

    /// Answers a preflight: a question of the browser before the request of the page, without any key.
    pub(crate) fn preflight(&self, method: &str, headers: &Headers) -> Option<Reply> {
        let asks = method == "OPTIONS"
            && headers.get("origin").is_some()
            && headers.get("access-control-request-method").is_some();
        let mut told = match self {
            Self::NotNamed | Self::Allowed(_) if asks => Vec::new(),
            Self::Off | Self::NotNamed | Self::Allowed(_) => return None,
        };
        let status = match self {
            Self::Allowed(_) => 204,
            Self::Off | Self::NotNamed => 403,
        };
        if status == 204 {
            told.extend([
                (
                    "access-control-allow-methods",
                    "GET, HEAD, POST, PUT, PATCH, DELETE",
                ),
                ("access-control-allow-headers", "*, authorization"),
                ("access-control-max-age", MAX_AGE_SECS),
            ]);
            if headers.get("access-control-request-private-network") == Some(b"true") {
                told.push(("access-control-allow-private-network", "true"));
            }
        }
        let told = told.into_iter();
        Some(Reply {
            status,
            headers: told.map(|(name, value)| (name, value.to_owned())).collect(),
            body: Vec::new(),
        })
    }

    /// Returns what every answer carries.
    pub(crate) fn headers(&self) -> Vec<(&'static str, String)> {
        let vary = ("vary", "origin".to_owned());
        match self {
            Self::Off => Vec::new(),
            Self::NotNamed => vec![vary],
            Self::Allowed(origin) => vec![
                ("access-control-allow-origin", origin.clone()),
                ("access-control-expose-headers", "*".to_owned()),
                vary,
            ],
        }
    }

    /// Whether a page asks that nobody named. Programs send neither header; what a person typed into the address bar
    /// has no site that asks. That page and mesh have one origin says nothing: a name can lead anywhere.
    pub(crate) fn is_foreign(&self, headers: &Headers) -> bool {
        match self {
            Self::Allowed(_) => false,
            Self::Off | Self::NotNamed => {
                let mut sites = headers.all("sec-fetch-site");
                headers.get("origin").is_some() || sites.any(|site| site != b"none")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMED: &str = "https://app.example";

    fn of(pairs: &[(&str, &str)]) -> (Cors, Headers) {
        let headers = pairs.iter().copied().collect();
        (Cors::of(&[NAMED.to_owned()], &headers), headers)
    }

    #[test]
    fn an_origin_is_named_or_it_is_not() {
        for (origin, is_named) in [
            (NAMED, true),
            ("https://app.example:443", false),
            ("https://app.example.evil", false),
            ("https://evil/https://app.example", false),
            ("http://app.example", false),
            ("HTTPS://APP.EXAMPLE", false),
            ("https://app.example,https://evil", false),
            ("null", false),
            ("", false),
            ("*", false),
        ] {
            let (cors, headers) = of(&[("origin", origin)]);
            assert_eq!(
                cors,
                if is_named {
                    Cors::Allowed(NAMED.to_owned())
                } else {
                    Cors::NotNamed
                },
                "{origin}"
            );
            assert_eq!(cors.is_foreign(&headers), !is_named, "{origin}");
        }
        assert_eq!(
            of(&[("origin", NAMED), ("origin", "https://evil")]).0,
            Cors::NotNamed
        );
    }

    #[test]
    fn pages_are_told_from_programs() {
        let rows: [(&[(&str, &str)], bool); 8] = [
            (&[], false),
            (&[("user-agent", "Mozilla/5.0")], false),
            (&[("sec-fetch-mode", "cors")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "same-site")], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("origin", "null")], true),
        ];
        for (pairs, is_foreign) in rows {
            let headers = pairs.iter().copied().collect();
            assert_eq!(Cors::Off.is_foreign(&headers), is_foreign, "{pairs:?}");
        }
    }

    #[test]
    fn only_preflights_are_answered_here() {
        let asks = [("origin", NAMED), ("access-control-request-method", "POST")];
        let (cors, headers) = of(&asks);
        let reply = cors.preflight("OPTIONS", &headers).unwrap();
        assert_eq!(reply.status, 204);
        assert!(reply.body.is_empty());
        assert_eq!(cors.preflight("POST", &headers), None);
        let (cors, headers) = of(&[("origin", NAMED)]);
        assert_eq!(cors.preflight("OPTIONS", &headers), None);
        let evil = [
            ("origin", "https://evil"),
            ("access-control-request-method", "POST"),
        ];
        let (cors, headers) = of(&evil);
        assert_eq!(cors.preflight("OPTIONS", &headers).unwrap().status, 403);
        assert_eq!(cors.headers(), [("vary", "origin".to_owned())]);
        assert_eq!(Cors::Off.preflight("OPTIONS", &headers), None);
        assert!(Cors::Off.headers().is_empty());
    }
}
