//! Waiting for a level: "is it so yet", never a sleep of a guessed length.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long a level may take on a loaded machine before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks `probe` until it has an answer; panics naming `what` after [`PATIENCE`].
#[track_caller]
pub fn until<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    until_for(what, PATIENCE, probe)
}

/// Asks `probe` until it has an answer; panics naming `what` after `patience`.
#[track_caller]
pub fn until_for<T>(what: &str, patience: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let started = now();
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(
            started.elapsed() < patience,
            "waited {patience:?} in vain: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The moment it is.
pub fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "tests measure real time")]
    Instant::now()
}

/// A door that stays shut until someone opens it; copies are the same door.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    state: Arc<(Mutex<bool>, Condvar)>,
}

impl Gate {
    /// Makes a shut gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the gate for good.
    pub fn open(&self) {
        *self.state.0.lock().unwrap() = true;
        self.state.1.notify_all();
    }

    /// Waits until the gate is open; gives up after `patience` and says whether it was opened.
    pub fn pass(&self, patience: Duration) -> bool {
        let guard = self.state.0.lock().unwrap();
        let (guard, _) = self
            .state
            .1
            .wait_timeout_while(guard, patience, |open| !*open)
            .unwrap();
        *guard
    }
}
