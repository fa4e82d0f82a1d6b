//! Texts of bodies: what is told does not depend on chunks, and edits of any text leave JSON.

use dialects::laws;

/// Runs one body.
pub fn run(body: &[u8]) {
    assert_eq!(laws::content(body), Ok(()));
}
