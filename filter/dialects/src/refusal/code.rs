//! The table of refusals: one row for each code.

/// What went wrong, in the terms that every provider has words for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// No credential, or one that is not valid.
    Credential,
    /// Known, but not allowed.
    Permission,
    /// The request is wrong in itself.
    Request,
    /// The request is larger than may be.
    TooLarge,
    /// There is no such model.
    Model,
    /// There is nothing else of that name.
    NotFound,
    /// What the request says is not allowed.
    Content,
    /// Money is used up.
    Budget,
    /// Too much in too short a time.
    Rate,
    /// A part of the mesh or a provider is away.
    Unavailable,
    /// A provider took too long.
    Timeout,
    /// A fault of ours.
    Fault,
}

/// Whether the same request may succeed a little later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// A person has to do something first.
    Terminal,
    /// Worth another try after some whole seconds, unless the refusal says otherwise.
    After {
        /// The wait when the refusal names none.
        default_secs: u32,
    },
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub name: &'static str,
    pub status: u16,
    pub kind: Kind,
    pub retry: Retry,
    pub meaning: &'static str,
    pub what_to_do: &'static str,
}

const TERMINAL: Retry = Retry::Terminal;

const fn after(default_secs: u32) -> Retry {
    Retry::After { default_secs }
}

macro_rules! refusal_codes {
    ($($code:ident $name:literal $status:literal $kind:ident $retry:expr, $meaning:literal, $what_to_do:literal;)*) => {
        /// Why a request was refused. Names are stable: they are never renamed or reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum RefusalCode {
            $(#[doc = $meaning] $code,)*
        }

        impl RefusalCode {
            /// All codes, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$code,)*];

            pub(super) const fn row(self) -> Row {
                match self {
                    $(Self::$code => Row {
                        name: $name,
                        status: $status,
                        kind: Kind::$kind,
                        retry: $retry,
                        meaning: $meaning,
                        what_to_do: $what_to_do,
                    },)*
                }
            }
        }
    };
}

refusal_codes! {
    MissingCredential "missing_credential" 401 Credential TERMINAL,
        "No virtual key was sent, or a provider's own key in its place.",
        "Set your virtual key (`sk-weir-…`) as the API key.";
    UnknownKey "unknown_key" 401 Credential TERMINAL,
        "The virtual key is well formed, but this mesh does not know it.",
        "Check that key and base URL belong together; ask your administrator for a key.";
    MalformedKey "malformed_key" 401 Credential TERMINAL,
        "The virtual key's checksum does not match: it is mistyped or cut.",
        "Copy the key again.";
    KeyRevoked "key_revoked" 401 Credential TERMINAL,
        "The virtual key was revoked.",
        "Ask your administrator for a new key.";
    KeyExpired "key_expired" 401 Credential TERMINAL,
        "The virtual key's time is over.",
        "Ask your administrator for a new key.";
    KeyInactive "key_inactive" 401 Credential TERMINAL,
        "The virtual key is switched off.",
        "Ask your administrator to switch it on.";
    DuplicateCredential "duplicate_credential" 400 Request TERMINAL,
        "One credential header stands twice in the request.",
        "Send each credential header once.";
    ConflictingCredentials "conflicting_credentials" 400 Request TERMINAL,
        "Two different virtual keys were sent.",
        "Send one; look for a second one in environment variables and settings.";
    ModelMissing "model_missing" 400 Request TERMINAL,
        "The request names no model.",
        "Set `model`.";
    ModelNotAllowed "model_not_allowed" 403 Permission TERMINAL,
        "The virtual key may not use this model, or no provider of this mesh serves it: clients are not told which. The record tells (`model_not_allowed`, `model_unknown` or `provider_not_allowed`).",
        "Choose a model that `GET /v1/models` lists, or ask your administrator.";
    ProviderNotAllowed "provider_not_allowed" 403 Permission TERMINAL,
        "The virtual key may not use the provider, or there is none of that name, or it is not clear which one is meant.",
        "Name an allowed provider with `/p/{provider}/` before the path, or ask your administrator.";
    ModelUnknown "model_unknown" 404 Model TERMINAL,
        "The one model that was asked about (`GET /v1/models/{model}`) is none that the virtual key may use, or another path serves the model. In records also: no provider of this mesh serves it.",
        "Choose a model that `GET /v1/models` lists, or take the path that the message names.";
    PathNotAllowed "path_not_allowed" 403 Permission TERMINAL,
        "The path is outside the model APIs and the virtual key does not name it, or it administers a provider or gives out its credentials.",
        "Ask your administrator to name the path in the key, without a wildcard if it is an unusual one; administration is never passed on.";
    UnknownPath "unknown_path" 404 NotFound TERMINAL,
        "No provider API has this path.",
        "Check the base URL; the prefixes `/anthropic`, `/openai` and `/genai` choose an API.";
    MethodNotAllowed "method_not_allowed" 405 Request TERMINAL,
        "The path exists, but not with this HTTP method.",
        "Use the method that the provider documents for the path.";
    BadPath "bad_path" 400 Request TERMINAL,
        "The path can be read in two ways: encoded slashes, dot segments or empty segments.",
        "Send the path in plain form.";
    ModelNameInvalid "model_name_invalid" 400 Request TERMINAL,
        "The model's name cannot stand in the path under which its provider serves it.",
        "Use a name of letters, digits, `-`, `_` and `.`, or an alias.";
    QueryNotAllowed "query_not_allowed" 400 Request TERMINAL,
        "The query holds a parameter that does not pass here, or can be read in two ways.",
        "Leave out what the message names; `docs/query-parameters.md` lists what passes.";
    MisdirectedHost "misdirected_host" 421 Request TERMINAL,
        "The host name is neither this mesh's own nor a registered provider's.",
        "Use a host name of the mesh, or have it added to the mesh's hosts.";
    ForeignOrigin "foreign_origin" 403 Permission TERMINAL,
        "A web page asks without a virtual key, in a mesh that observes requests without one, and its origin is not named in `cors_origins`.",
        "Send a virtual key, or have the page's origin added to `cors_origins` in the settings.";
    WebsocketUnsupported "websocket_unsupported" 426 Request TERMINAL,
        "WebSockets are not tunnelled.",
        "Nothing: clients fall back to HTTP on the same path.";
    MalformedRequest "malformed_request" 400 Request TERMINAL,
        "The request is not HTTP that can be read in one way only.",
        "Send proper HTTP/1.1 or HTTP/2, with a host.";
    HeadersTooLarge "headers_too_large" 431 Request TERMINAL,
        "The request's headers are longer, or more, than this mesh accepts: 96 KiB and 200 fields.",
        "Send fewer and shorter headers.";
    RequestTimeout "request_timeout" 408 Request TERMINAL,
        "The request did not arrive whole in time: its headers within 30 seconds, all of it within 300.",
        "Send it again over a faster connection, or shorten it.";
    BodyTooLarge "body_too_large" 413 TooLarge TERMINAL,
        "The body is larger than this mesh accepts.",
        "Shorten or compact the conversation, or have the cap raised.";
    BadJson "bad_json" 400 Request TERMINAL,
        "The body is not the JSON that this API expects.",
        "Correct the body; the message says where it breaks.";
    DisguisedField "disguised_field" 400 Request TERMINAL,
        "A field that policy depends on is written with escapes or in another case.",
        "Write the field as the provider documents it.";
    DuplicateField "duplicate_field" 400 Request TERMINAL,
        "A field that policy depends on stands twice.",
        "Send the field once.";
    FieldNotAllowed "field_not_allowed" 403 Permission TERMINAL,
        "A field would send the request to another address, account, provider or route than policy chose.",
        "Leave out the field that the message names; providers, keys and fallbacks are an administrator's choice.";
    WrongContentType "wrong_content_type" 415 Request TERMINAL,
        "The body is not declared as what the API takes, or could be read in two ways: another character set than UTF-8, a second type, a form whose parts are not plain.",
        "Send `content-type: application/json`, or a form with plain parts where the API takes forms; UTF-8 in any case.";
    BadEncoding "bad_encoding" 415 Request TERMINAL,
        "The body's compression is damaged, not understood, listed more than once, or expands too far.",
        "Send one of gzip, zstd and br, or no compression.";
    StatefulIdUnknown "stateful_id_unknown" 404 NotFound TERMINAL,
        "The request refers to something that your team did not create through this mesh.",
        "Send the conversation itself, or an id that was created here.";
    BackgroundUnsupported "background_unsupported" 400 Request TERMINAL,
        "Background work is not metered and therefore refused.",
        "Send the request without `background`.";
    SubscriptionNotAllowed "subscription_not_allowed" 403 Permission TERMINAL,
        "The virtual key may not be used beside a provider login of your own.",
        "Use the virtual key alone, or ask your administrator.";
    PriceUnknown "price_unknown" 403 Permission TERMINAL,
        "The model has no price, and policy refuses what it cannot price.",
        "Ask your administrator to set a price.";
    NoSnapshot "no_snapshot" 503 Unavailable after(1),
        "This proxy has not received its policy yet.",
        "Try again in a moment; if it stays, look whether the proxy reaches the policy service.";
    PolicyStale "policy_stale" 503 Unavailable after(5),
        "This proxy's policy is older than it may be.",
        "Look whether the proxy reaches the policy service.";
    PolicyChanged "policy_changed" 503 Unavailable after(1),
        "What governs this request changed while it was held: its guardrails, its targets or its owner.",
        "Send it again; it is then judged as a whole by what governs it.";
    Busy "busy" 503 Unavailable after(2),
        "This proxy does as much at once as it may: for the virtual key, of request bodies, of memory, or of connections to the provider.",
        "Try again; run less side by side, or add workers or proxies if it is frequent.";
    PlanUnavailable "plan_unavailable" 503 Unavailable after(1),
        "The proxy has no route yet for the targets that were chosen.",
        "Try again in a moment; if it stays, look whether the proxy receives its clusters.";
    NoUsableProviderKey "no_usable_provider_key" 503 Unavailable TERMINAL,
        "No provider key that the virtual key may use is left.",
        "An administrator has to replace a bad provider key or allow another.";
    RecordQueueFull "record_queue_full" 503 Unavailable after(2),
        "What was used can no longer be recorded, so nothing more is admitted.",
        "Look whether the proxy reaches the policy service.";
    ServiceUnreachable "service_unreachable" 503 Unavailable after(1),
        "The policy service did not answer a question this request depends on.",
        "Try again; look whether the proxy reaches the policy service.";
    UpstreamUnreachable "upstream_unreachable" 502 Unavailable after(2),
        "No provider could be reached for this request, or the connection to it ended before an answer began.",
        "Try again; look at the provider's state and at the network.";
    UpstreamTimeout "upstream_timeout" 504 Timeout after(2),
        "The provider did not begin to answer in time.",
        "Try again; the first request may have been billed.";
    AnswerTooLarge "answer_too_large" 502 Fault TERMINAL,
        "The provider's answer is larger than can be held where it must be held whole.",
        "Ask for a stream, or for a shorter answer.";
    GuardrailBlocked "guardrail_blocked" 400 Content TERMINAL,
        "A guardrail does not let this content pass.",
        "Take out what the message names.";
    BudgetExhausted "budget_exhausted" 429 Budget TERMINAL,
        "A budget that this request falls under is used up.",
        "Wait for its reset, or ask whom the message names.";
    RateLimited "rate_limited" 429 Rate after(10),
        "A rate limit is reached.",
        "Wait as long as `retry-after` says. Above 60 seconds the clients stop and show the text.";
    Contended "contended" 429 Rate after(1),
        "What is left of a limit is held by requests that are running.",
        "Try again in a moment.";
    Internal "internal" 500 Fault after(1),
        "A fault in the mesh itself.",
        "Try again; if it stays, report it with the time.";
}

impl RefusalCode {
    /// Returns the stable name: the value of `x-weir-code` and of metric labels.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// Returns the HTTP status that says what is meant, whatever a particular client is sent.
    pub const fn status(self) -> u16 {
        self.row().status
    }

    /// Returns whether the same request may succeed later.
    pub const fn retry(self) -> Retry {
        self.row().retry
    }

    /// Returns what the code means, in a sentence.
    pub const fn meaning(self) -> &'static str {
        self.row().meaning
    }

    /// Returns what the user or the administrator can do about it.
    pub const fn what_to_do(self) -> &'static str {
        self.row().what_to_do
    }
}
