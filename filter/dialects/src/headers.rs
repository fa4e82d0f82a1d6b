//! Which headers pass between a client and a provider, as data of each dialect.
//!
//! What is not listed does not pass, so nothing has to be known about what is bad. The lists hold what the newest
//! agents and SDKs send and what providers answer (`.tools/clients` and recorded answers); each entry is a whole
//! name, or a prefix with `*` behind it where a vendor adds names without notice. [`policy::header::covers`] says
//! what a prefix covers: never a spelling with `_`, never what chooses an account, never a credential on its way up.
//!
//! Account choosers and logins stand in a list of their own, which counts only when the client's own login travels.

/// Makes a list's names: as text, and as one comparison that the compiler lays out by length.
macro_rules! names {
    ($($name:literal,)+) => {
        $crate::headers::Names {
            #[cfg(test)]
            all: &[$($name),+],
            has: |name| matches!(name, $($name)|+),
        }
    };
}

mod anthropic;
#[cfg(test)]
mod docs;
mod gemini;
mod openai;
#[cfg(test)]
mod tests;

use policy::header::{HeaderWay, covers};
use policy::surface::Dialect;

/// The lists of one dialect.
#[derive(Debug)]
pub struct HeaderLists {
    request: List,
    response: List,
    /// What goes up, and comes back, only beside the client's own login.
    login: &'static [&'static str],
}

/// What passes one way, beside what passes in every dialect.
#[derive(Debug)]
struct List {
    names: Names,
    /// What a prefix covers may stand among the names, too, where it is found sooner.
    prefixes: &'static [&'static str],
}

/// Whole names.
#[derive(Debug)]
struct Names {
    /// Sorted.
    #[cfg(test)]
    all: &'static [&'static str],
    has: fn(&str) -> bool,
}

/// What says how a request is to be read and answered, who asks, and in which conversation and trace.
const REQUEST: List = List {
    names: names![
        "accept",
        "accept-encoding",
        "accept-language",
        "content-encoding",
        "content-length",
        "content-type",
        "session-id",
        "traceparent",
        "tracestate",
        "user-agent",
        "x-client-request-id",
        // OpenCode and what is built like it; Fireworks routes by it to a warm prompt cache.
        "x-parent-session-id",
        "x-session-affinity",
        "x-session-id",
        // The SDKs that Stainless makes, for every vendor.
        "x-stainless-arch",
        "x-stainless-async",
        "x-stainless-helper-method",
        "x-stainless-lang",
        "x-stainless-os",
        "x-stainless-package-version",
        "x-stainless-read-timeout",
        "x-stainless-retry-count",
        "x-stainless-runtime",
        "x-stainless-runtime-version",
        "x-stainless-timeout",
    ],
    prefixes: &["x-stainless-*"],
};

/// What says how an answer is to be read, when to ask again, and by which id the provider knows it.
const RESPONSE: List = List {
    names: names![
        "accept-ranges",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-range",
        "content-type",
        "date",
        "etag",
        "last-modified",
        "request-id",
        "retry-after",
        "retry-after-ms",
        "server-timing",
        "traceparent",
        "vary",
        "x-accel-buffering",
        "x-request-id",
        "x-should-retry",
    ],
    prefixes: &["ratelimit-*", "x-ratelimit-*"],
};

/// Returns the lists of `dialect`.
///
/// ```
/// use dialects::headers;
/// use policy::surface::Dialect;
///
/// let lists = headers::lists(Dialect::Anthropic);
/// assert!(lists.passes_up("anthropic-beta", false));
/// assert!(!lists.passes_up("anthropic-workspace-id", false));
/// assert!(lists.passes_up("anthropic-workspace-id", true));
/// assert!(!lists.passes_back("set-cookie", true));
/// ```
pub const fn lists(dialect: Dialect) -> &'static HeaderLists {
    match dialect {
        Dialect::Anthropic => &anthropic::LISTS,
        Dialect::Openai => &openai::LISTS,
        Dialect::Gemini => &gemini::LISTS,
    }
}

impl HeaderLists {
    /// Whether a client's header goes up to the provider. `own_login`: beside the client's own login.
    pub fn passes_up(&self, name: &str, own_login: bool) -> bool {
        let way = HeaderWay::Request;
        REQUEST.covers(name, way)
            || self.request.covers(name, way)
            || (own_login && self.login.contains(&name))
    }

    /// Whether a provider's header comes back to the client.
    pub fn passes_back(&self, name: &str, own_login: bool) -> bool {
        let way = HeaderWay::Response;
        RESPONSE.covers(name, way)
            || self.response.covers(name, way)
            || (own_login && self.login.contains(&name))
    }
}

impl List {
    fn covers(&self, name: &str, way: HeaderWay) -> bool {
        (self.names.has)(name) || self.prefixes.iter().any(|prefix| covers(prefix, name, way))
    }
}
