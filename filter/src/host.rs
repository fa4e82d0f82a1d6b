//! Every call into the proxy, and nothing else.
//!
//! The SDK panics on a status that it does not expect, and a panic traps the VM with every stream on it. So each
//! function here says in which phase it is valid, uses the `_bytes` forms only, and turns what can fail into an
//! `Option` or a `Result`.

use std::time::{Duration, UNIX_EPOCH};

use engine::{HeaderEdit, Headers};
use policy::units::Timestamp;
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, LogLevel, MapType, Status};

/// Body bytes copied into the VM at once: its memory never shrinks.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// Behind the last byte of any buffer.
const END: usize = 0x7fff_ffff;

/// Which side of an exchange a header list or body belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Response,
}

impl Side {
    const fn headers(self) -> MapType {
        match self {
            Self::Request => MapType::HttpRequestHeaders,
            Self::Response => MapType::HttpResponseHeaders,
        }
    }

    const fn trailers(self) -> MapType {
        match self {
            Self::Request => MapType::HttpRequestTrailers,
            Self::Response => MapType::HttpResponseTrailers,
        }
    }

    const fn body(self) -> BufferType {
        match self {
            Self::Request => BufferType::HttpRequestBody,
            Self::Response => BufferType::HttpResponseBody,
        }
    }
}

/// Returns the wall clock; any phase.
pub(crate) fn now() -> Timestamp {
    let since_epoch = hostcalls::get_current_time()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// Returns the whole header list; only in the headers callback, or while headers are held.
pub(crate) fn headers(side: Side) -> Headers {
    Headers::new(hostcalls::get_map_bytes(side.headers()).unwrap_or_default())
}

/// Returns the first value of a header; same phases as [`headers`].
pub(crate) fn header(side: Side, name: &str) -> Option<Vec<u8>> {
    hostcalls::get_map_value_bytes(side.headers(), name)
        .ok()
        .flatten()
}

/// The proxy did not change what it was to change: whatever it holds must not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct NotEdited;

/// Changes the header list; same phases as [`headers`].
///
/// # Errors
/// [`NotEdited`] at the first change that the proxy did not make.
pub(crate) fn edit(side: Side, edits: &[HeaderEdit]) -> Result<(), NotEdited> {
    for edit in edits {
        let outcome = match edit {
            HeaderEdit::Set(name, value) => {
                hostcalls::set_map_value_bytes(side.headers(), name, Some(value))
            }
            HeaderEdit::Add(name, value) => {
                hostcalls::add_map_value_bytes(side.headers(), name, value)
            }
            HeaderEdit::Remove(name) => hostcalls::remove_map_value(side.headers(), name),
        };
        if outcome.is_err() {
            error("a header could not be changed, and its exchange is refused");
            return Err(NotEdited);
        }
    }
    Ok(())
}

/// Leaves of the trailers what `passes`; only in that side's trailers callback.
///
/// # Errors
/// [`NotEdited`] at the first trailer that the proxy did not remove.
pub(crate) fn filter_trailers(
    side: Side,
    passes: impl Fn(&str, &[u8]) -> bool,
) -> Result<(), NotEdited> {
    let trailers = hostcalls::get_map_bytes(side.trailers()).unwrap_or_default();
    for (name, value) in &trailers {
        if !passes(name, value) && hostcalls::remove_map_value(side.trailers(), name).is_err() {
            error("a trailer could not be removed, and its exchange is refused");
            return Err(NotEdited);
        }
    }
    Ok(())
}

/// Sets the time between two ticks of the root context that the current context belongs to; zero for none.
pub(crate) fn set_tick(period: Duration) {
    if hostcalls::set_tick_period(period).is_err() {
        warn("the ticks could not be set");
    }
}

/// Returns `length` buffered body bytes from `start`; in a body or trailers callback, or while the body is held.
pub(crate) fn body(side: Side, start: usize, length: usize) -> Vec<u8> {
    hostcalls::get_buffer(side.body(), start, length)
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// Replaces the first `length` buffered bytes; only in a body callback. `false` if they are as they were.
#[must_use]
pub(crate) fn replace_prefix(side: Side, length: usize, with: &[u8]) -> bool {
    let is_replaced = hostcalls::set_buffer(side.body(), 0, length, with).is_ok();
    if !is_replaced {
        warn("a body could not be changed");
    }
    is_replaced
}

/// Takes the first `length` buffered bytes away and puts `with` behind the last ones; same phases as [`body`]. `false`
/// if the proxy did not do both.
#[must_use]
pub(crate) fn rotate(side: Side, length: usize, with: &[u8]) -> bool {
    let is_taken = hostcalls::set_buffer(side.body(), 0, length, &[]).is_ok();
    // A place beyond the end is the end.
    let is_put = with.is_empty() || hostcalls::set_buffer(side.body(), END, 0, with).is_ok();
    if !(is_taken && is_put) {
        warn("a body could not be changed");
    }
    is_taken && is_put
}

/// Replaces the first `length` buffered bytes of an answer, or breaks the answer off: what was to be taken out of it
/// must not pass.
pub(crate) fn replace_answer(length: usize, with: &[u8]) {
    if !replace_prefix(Side::Response, length, with) {
        reset_response();
    }
}

/// Answers the stream from here; until response headers have gone.
pub(crate) fn reply(reply: &dialects::refusal::Reply) {
    let headers = reply
        .headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    if hostcalls::send_http_response(u32::from(reply.status), headers, Some(&reply.body)).is_err() {
        warn("a local reply could not be sent");
        // Nobody else ends the stream.
        reset_response();
    }
}

/// Breaks the client's stream off; not in the callback that wrote the last bytes, or they are lost.
pub(crate) fn reset_response() {
    if hostcalls::reset_http_response().is_err() {
        warn("a response could not be reset");
    }
}

/// Lets a held request go on; only while it is held.
pub(crate) fn resume_request() {
    if hostcalls::resume_http_request().is_err() {
        warn("a request could not be resumed");
    }
}

/// Makes the router choose again: it chose when the headers came, before the plan was known.
pub(crate) fn clear_route_cache() {
    if hostcalls::call_foreign_function("clear_route_cache", None).is_err() {
        warn("the route cache could not be cleared");
    }
}

/// Makes `context` the one that the following calls are about; `false` when it is gone.
pub(crate) fn enter(context: u32) -> bool {
    hostcalls::set_effective_context(context).is_ok()
}

/// Returns a property of the stream or proxy.
pub(crate) fn property(path: &[&str]) -> Option<Vec<u8>> {
    hostcalls::get_property(path.to_vec()).ok().flatten()
}

/// Returns a property that is an unsigned integer.
pub(crate) fn property_u64(path: &[&str]) -> Option<u64> {
    let bytes = property(path)?;
    bytes.as_slice().try_into().ok().map(u64::from_le_bytes)
}

/// Notes `value` in the stream's filter state, where the upstream chain can read it.
///
/// # Errors
/// [`NotEdited`] if it is not there.
pub(crate) fn set_property(name: &str, value: &[u8]) -> Result<(), NotEdited> {
    hostcalls::set_property(vec![name], Some(value)).map_err(|_status| {
        error("a property could not be set, and its exchange is refused");
        NotEdited
    })
}

/// Returns a value of the process-wide store and its version; an empty value counts as absent.
pub(crate) fn shared(key: &str) -> (Option<Vec<u8>>, Option<u32>) {
    let (value, version) = hostcalls::get_shared_data(key).unwrap_or_default();
    (value.filter(|value| !value.is_empty()), version)
}

/// Writes a value of the process-wide store.
pub(crate) fn set_shared(key: &str, value: &[u8]) {
    if hostcalls::set_shared_data(key, Some(value), None).is_err() {
        warn("shared data could not be written");
    }
}

/// Writes a value if nobody has since `version`; `false` when somebody has.
///
/// The store takes version 0 for "write in any case", so the first writers of a key race: whoever wants to know
/// who won reads again.
pub(crate) fn set_shared_if(key: &str, value: &[u8], version: Option<u32>) -> bool {
    match hostcalls::set_shared_data(key, Some(value), version) {
        Ok(()) => true,
        Err(Status::CasMismatch) => false,
        Err(_) => {
            warn("shared data could not be written");
            false
        }
    }
}

/// Calls the policy service; the answer comes to the context that called. `None` when it could not be sent.
pub(crate) fn call(cluster: &str, method: &str, message: &[u8], timeout: Duration) -> Option<u32> {
    hostcalls::dispatch_grpc_call(
        cluster,
        "weir.mesh.v1.Mesh",
        method,
        Vec::new(),
        Some(message),
        timeout,
    )
    .ok()
}

/// Returns the answer of a call; only in its callback.
pub(crate) fn answer(length: usize) -> Vec<u8> {
    hostcalls::get_buffer(BufferType::GrpcReceiveBuffer, 0, length)
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// Calls a cluster over HTTP; the answer comes to the context that called. `None` when it could not be sent.
pub(crate) fn http_call(
    cluster: &str,
    headers: Vec<(&str, &str)>,
    timeout: Duration,
) -> Option<u32> {
    hostcalls::dispatch_http_call(cluster, headers, None, Vec::new(), timeout).ok()
}

/// Returns the status of an HTTP call's answer; only in its callback, and `None` when no answer came.
pub(crate) fn http_answer_status() -> Option<u16> {
    let status = hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, ":status");
    let text = String::from_utf8(status.ok().flatten()?).ok()?;
    text.parse().ok()
}

/// Returns the first `length` bytes of an HTTP call's answer; only in its callback.
pub(crate) fn http_answer_body(length: usize) -> Vec<u8> {
    hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, length)
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// Logs a sentence without anything from outside in it.
pub(crate) fn warn(sentence: &str) {
    log(LogLevel::Warn, sentence);
}

/// Logs a line whatever the log level of the proxy.
pub(crate) fn log_always(line: &str) {
    log(LogLevel::Critical, line);
}

/// Logs a sentence for the operator.
pub(crate) fn error(sentence: &str) {
    log(LogLevel::Error, sentence);
}

#[expect(
    clippy::let_underscore_must_use,
    reason = "there is nowhere to report that a log line was lost"
)]
fn log(level: LogLevel, line: &str) {
    let _ = hostcalls::log(level, line);
}

/// Returns `N` random bytes.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if getrandom::fill(&mut bytes).is_err() {
        error("the host gives no randomness");
    }
    bytes
}

/// Returns the size of this VM's memory.
pub(crate) fn memory_bytes() -> u64 {
    #[cfg(target_arch = "wasm32")]
    {
        core::arch::wasm32::memory_size(0) as u64 * 65_536
    }
    #[cfg(not(target_arch = "wasm32"))]
    {
        0
    }
}
