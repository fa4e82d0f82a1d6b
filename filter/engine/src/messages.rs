//! The whole conversation between an exchange and its adapter: inputs pushed in, commands polled out.

use std::borrow::Cow;
use std::rc::Rc;

use dialects::refusal::Reply;
use policy::compiled::{CompiledKey, Mesh, Principal};
use policy::key::KeyHash;
use policy::quota::AccountId;
use policy::quota::lease::{GrantAnswer, GrantRequest};
use policy::quota::slices::{Need, Spare};
use policy::secret::Secret;

use crate::guard::{Guard, Minted, TokenScope};
use crate::headers::Headers;
use crate::quota::Limits;
use crate::record::ExchangeRecord;

/// Number of an attempt of one exchange, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttemptNumber(pub u32);

/// One question to the service; answers that come for another call are strays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallId(pub u32);

/// Stands for the id of something that a provider keeps, in its owner's hands.
pub type OwnedMark = [u8; 16];

/// What an exchange takes of an account without a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    pub account: AccountId,
    pub amount: u64,
    /// What all exchanges of the process may take together until the service is heard again.
    pub cap: u64,
}

/// What governs an exchange from here on: pushed when policy has changed since it was last told.
#[derive(Clone, Debug)]
pub struct Governed {
    pub mesh: Rc<Mesh>,
    pub guard: Option<Rc<Guard>>,
    pub limits: Rc<Limits>,
    pub key: KeyNow,
}

/// What became of the key that a request came with.
#[derive(Clone, Debug)]
pub enum KeyNow {
    AsBefore,
    Is(Rc<CompiledKey>),
    /// It was removed, or has another secret.
    Gone,
}

/// What happens to an exchange.
#[derive(Debug)]
pub enum Input<'a> {
    /// The client's request headers.
    RequestHeaders {
        headers: &'a Rc<Headers>,
        end_of_stream: bool,
    },
    /// Answer to [`Command::FindKey`]: `None` when no such key exists.
    KeyFound(Option<Rc<CompiledKey>>),
    /// Policy has changed. In every state, and before an input that may let a request go on.
    Governed(&'a Governed),
    /// Answer to [`Command::FindMarks`]: those that are known.
    MarksFound(&'a [[u8; 16]]),
    /// Answer to [`Command::FindSpares`].
    SparesFound(&'a [Spare]),
    /// Answer to [`Command::TakeCredit`]: the first account that has none left, if any; nothing was taken then.
    CreditTaken(Option<AccountId>),
    /// The next bytes of the client's request body.
    RequestBody {
        chunk: &'a [u8],
        end_of_stream: bool,
    },
    /// The proxy holds so many bytes of the request body, read or not.
    RequestHeld { bytes: u64 },
    /// The proxy holds as much of this client's request bodies as it may; this one cannot be held on.
    NoRoom,
    /// The request ended with trailers.
    RequestTrailers,
    /// Answer to [`Command::Consult`] or [`Command::ConsultLater`].
    Consulted { call: CallId, answer: ConsultAnswer },
    /// The deadline that [`Exchange::poll_deadline`](crate::Exchange::poll_deadline) named has passed.
    DeadlinePassed,
    /// Envoy starts an attempt; `host_provider` is the provider that the chosen host belongs to.
    AttemptStarted {
        number: AttemptNumber,
        host_provider: Option<&'a str>,
    },
    /// An attempt is over, and nothing of an answer has come. `connected_ms`: how long after its start the proxy had a
    /// connection for it; `None` if it never had.
    AttemptLost {
        number: AttemptNumber,
        connected_ms: Option<u64>,
    },
    /// Response headers of an attempt.
    AttemptHeaders {
        number: AttemptNumber,
        status: u16,
        headers: &'a Headers,
        end_of_stream: bool,
    },
    /// The next bytes of an attempt's response body.
    AttemptBody {
        number: AttemptNumber,
        chunk: &'a [u8],
        end_of_stream: bool,
    },
    /// Response headers on their way to the client, ours and Envoy's own included.
    ///
    /// `details` is how the proxy names an answer that it made itself, and empty for every other.
    ResponseHeaders {
        status: u16,
        details: &'a str,
        end_of_stream: bool,
    },
    /// Headers or trailers could not be changed as a command or a list wanted it, or the exchange could not be named
    /// to the upstream chain.
    NotEdited,
    /// The response body has reached its end on the way to the client.
    ResponseEnded,
    /// The exchange is over, one way or another.
    Closed { peer: ClosedBy, response_bytes: u64 },
}

/// Who ended an exchange, as far as the proxy knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedBy {
    /// Nothing unusual.
    Nobody,
    /// The client's connection or stream went away.
    Client,
    /// The proxy itself is going down.
    Proxy,
}

/// What the service answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsultAnswer {
    /// The ids belong to the principal's team.
    Owned,
    /// They do not, or nobody knows them.
    NotOwned,
    /// The tokens of the session that are known, with their values.
    Tokens(Vec<(String, Secret)>),
    /// Slices were leased, or not.
    Grant(GrantAnswer),
    /// No answer: the call failed or timed out.
    Unreachable,
}

/// What the service is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsultKind {
    /// Were these ids, and what these marks stand for, created through us by the principal's team?
    StatefulOwner {
        ids: Vec<String>,
        /// For each id what [`Command::KeepOwned`] told if this process saw it come into being for the principal: such
        /// an id needs no question.
        marks: Vec<Option<OwnedMark>>,
        /// What stands for the items that are named, if they are the principal's; each once.
        items: Vec<OwnedMark>,
        principal: Principal,
    },
    /// What do these tokens of the session stand for?
    FindTokens {
        scope: TokenScope,
        tokens: Vec<String>,
        /// The provider remembers more of the session than the request shows: every token of it is wanted.
        all_of_session: bool,
    },
    /// May so much of these quotas be used?
    Grant(GrantRequest),
}

/// What the adapter has to do, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Look the key up and push [`Input::KeyFound`].
    FindKey(KeyHash),
    /// Look up which of these values were blocked before, and push [`Input::MarksFound`].
    FindMarks(Vec<[u8; 16]>),
    /// Remember that these values were blocked, for every worker of the process.
    KeepMarks(Vec<[u8; 16]>),
    /// Remember what came into being at a provider, and for whom, for every worker of the process; before the bytes
    /// that hold its id go on.
    KeepOwned(OwnedMark),
    /// As [`KeepOwned`](Self::KeepOwned), for an item of an answer.
    KeepItem(OwnedMark),
    /// Take what other VMs of the process lent of these accounts, at most so much of each, and push
    /// [`Input::SparesFound`].
    FindSpares(Vec<Need>),
    /// Take so much of what may be used of each account while the service is away, for the whole process, and push
    /// [`Input::CreditTaken`].
    TakeCredit(Vec<Credit>),
    /// Deliver new tokens and their values to the vault of the service.
    KeepTokens(Vec<Minted>),
    /// Ask the service and push [`Input::Consulted`].
    Consult { call: CallId, kind: ConsultKind },
    /// As [`Consult`](Self::Consult), but at the next occasion and from where the answer is received even when the
    /// stream is gone.
    ConsultLater { call: CallId, kind: ConsultKind },
    /// Answer the client ourselves; nothing goes upstream.
    Reply(Reply),
    /// Answer a canary with the state of this VM.
    AnswerCanary { body_bytes: u64 },
    /// Change the request headers, then choose the route again and let the request go on.
    Forward { edits: Vec<HeaderEdit> },
    /// Change the headers of this attempt.
    EditAttempt { edits: Vec<HeaderEdit> },
    /// Replace the first `drop` bytes of this attempt's body as soon as they are there.
    SplicePrefix(PrefixSplice),
    /// Answer in place of this attempt: it must not reach the host that was chosen.
    RefuseAttempt(Reply),
    /// Put these bytes in the place of the response chunk.
    ReplaceChunk(Vec<u8>),
    /// Replace the first bytes of this attempt's answer, which is held, and let it go.
    SpliceAnswer(PrefixSplice),
    /// Turn this attempt's answer into this one.
    RewriteAnswer(Reply),
    /// End the client's stream: what it needs has been written.
    ResetStream,
    /// Turn the proxy's own error response into this one.
    RewriteResponse(Reply),
    /// Set response headers.
    EditResponse { edits: Vec<HeaderEdit> },
    /// Deliver the record, once.
    Record(Box<ExchangeRecord>),
}

/// A change of the beginning of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixSplice {
    /// Bytes of the original body that the changes lie in.
    pub length: u64,
    /// The changes inside that prefix.
    pub splices: Vec<dialects::splice::Splice>,
}

/// One change of a header list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderEdit {
    Set(Cow<'static, str>, Vec<u8>),
    /// One more value of a name that has one.
    Add(String, Vec<u8>),
    Remove(Cow<'static, str>),
}

impl HeaderEdit {
    /// Sets `name` to `value`, whatever it was.
    pub fn set(name: impl Into<Cow<'static, str>>, value: impl Into<Vec<u8>>) -> Self {
        Self::Set(name.into(), value.into())
    }

    /// Removes every value of `name`.
    pub fn remove(name: impl Into<Cow<'static, str>>) -> Self {
        Self::Remove(name.into())
    }
}

/// Whether the proxy may go on with the chunk or headers just handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Continue,
    /// Keep them until a command says otherwise.
    Hold,
}
