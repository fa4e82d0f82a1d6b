//! Edited streams: what passes does not depend on chunks, nothing is lost, and nothing follows an early end.

use dialects::laws;

/// Runs one stream.
pub fn run(stream: &[u8]) {
    assert_eq!(laws::stream(stream), Ok(()));
}
