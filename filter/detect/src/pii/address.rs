//! Addresses of hosts: IPv4 and IPv6.

use core::net::Ipv6Addr;
use core::ops::Range;

use super::chain::{Chain, Separator};
use super::context;
use crate::tape::{Tape, is_word};

/// Words that say that four small numbers are an address.
const ADDRESS_WORDS: &[&str] = &[
    "address",
    "server",
    "client",
    "remote",
    "gateway",
    "nameserver",
    "resolver",
    "ip",
    "ipv4",
    "host",
    "addr",
    "dns",
    "peer",
    "from",
    "subnet",
    "cidr",
    "inet",
];

/// Words that say that four numbers are a version.
const VERSION_WORDS: &[&str] = &[
    "version", "release", "revision", "ver", "rev", "tag", "build",
];

/// Longest text of an IPv6 address, an embedded IPv4 address among it.
const MAX_V6: usize = 45;

/// Returns whether a chain is an IPv4 address of somebody.
///
/// Not taken: loopback, `0.x`, masks and broadcasts (`255.x`), multicast and reserved ranges, versions (by a word
/// before them, an operator, or a name joined to them), and four single digits that nobody calls an address. Private
/// and documentation ranges are taken: the former tell how a network is built.
pub(super) fn is_v4(tape: &Tape<'_>, chain: &Chain) -> bool {
    if chain.shape().len() != 4
        || chain.separator() != Some(Separator::Dot)
        || chain.shape().iter().any(|length| *length > 3)
    {
        return false;
    }
    let mut parts = [0u32; 4];
    for (place, part) in parts.iter_mut().enumerate() {
        let text = chain.group(tape, place);
        *part = chain.value(tape, place);
        if *part > 255 || (text.len() > 1 && text.first() == Some(&b'0')) {
            return false;
        }
    }
    let [first, second, third, fourth] = parts;
    if matches!(first, 0 | 127 | 224..) {
        return false;
    }
    let range = chain.range();
    if is_version(tape, range.start) {
        return false;
    }
    let small = parts.iter().all(|part| *part < 10);
    let network = second == 0 && third == 0 && fourth == 0;
    let same = parts.iter().all(|part| *part == first);
    (!small && !network) || same || context::before(tape, range.start, ADDRESS_WORDS)
}

/// Whether what begins at `start` reads as a version.
fn is_version(tape: &Tape<'_>, start: usize) -> bool {
    let mut at = start;
    while matches!(tape.before(at), b' ' | b'"' | b'\'') && start - at < 3 {
        at -= 1;
    }
    match tape.before(at) {
        b'^' | b'~' | b'<' => true,
        b'>' => tape.before(at - 1) != b'-',
        b'=' => matches!(tape.before(at - 1), b'=' | b'>' | b'<' | b'~' | b'!'),
        // `package@1.2.3.4` is a version, `user@10.1.2.3` an address.
        b'/' => !matches!(tape.before(at - 1), b'/' | b' ' | 0) && names_version(tape, start),
        _ => names_version(tape, start),
    }
}

fn names_version(tape: &Tape<'_>, start: usize) -> bool {
    let near = tape.slice(start.saturating_sub(24)..start);
    let line = near
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    context::before(
        &Tape::whole(near.get(line..).unwrap_or_default()),
        near.len() - line,
        VERSION_WORDS,
    )
}

/// Returns the IPv6 address around the digit at `at`.
///
/// It holds a digit next to a colon, and either a `::` or a group of three or four digits; not taken: loopback,
/// unspecified, multicast, and short forms that are as likely a path in code (`a::b2`).
/// `tried` becomes where the token ends that the digit is in.
pub(super) fn find_v6(
    tape: &Tape<'_>,
    at: usize,
    floor: usize,
    tried: &mut usize,
) -> Option<Range<usize>> {
    let mut start = at;
    while start > floor && at - start <= MAX_V6 && is_v6(tape.before(start)) {
        start -= 1;
    }
    let mut end = at;
    while end - start <= MAX_V6 && is_v6(tape.at(end)) {
        end += 1;
    }
    *tried = end.max(at + 1);
    if end - start > MAX_V6 {
        // A longer token is no address, whichever of its digits is asked; it is left in one go.
        let rest = tape.bytes().get(at..).unwrap_or_default();
        *tried = at + rest.iter().take_while(|byte| is_v6(**byte)).count().max(1);
        return None;
    }
    if is_word(tape.before(start)) || is_word(tape.at(end)) {
        return None;
    }
    while matches!(tape.before(end), b'.')
        || (tape.before(end) == b':' && tape.before(end - 1) != b':')
    {
        end -= 1;
    }
    let text = core::str::from_utf8(tape.slice(start..end)).ok()?;
    let groups: Vec<&str> = text.split(':').filter(|group| !group.is_empty()).collect();
    if groups.len() < 2 || !groups.iter().any(|group| group.len() >= 3) {
        return None;
    }
    let address: Ipv6Addr = text.parse().ok()?;
    if address.is_loopback() || address.is_unspecified() || address.is_multicast() {
        return None;
    }
    let head = address.segments()[0];
    let routed = matches!(head, 0x2000..=0x3FFF | 0xFC00..=0xFDFF | 0xFE80..=0xFEBF);
    (routed || groups.len() >= 4).then_some(start..end)
}

const fn is_v6(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == b':' || byte == b'.'
}
