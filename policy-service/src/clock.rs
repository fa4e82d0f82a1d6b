//! The wall clock, read in one place; everything below the adapters takes the time as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

use policy::units::Timestamp;

/// Returns the time by the machine's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the one adapter that reads the wall clock"
)]
pub fn now() -> Timestamp {
    // A clock before 1970 counts as 1970.
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}
