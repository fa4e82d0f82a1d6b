//! How much of one virtual key runs side by side.
//!
//! A stream costs a connection to a provider, memory and time of a worker whatever is paid for it, so one key
//! must not have as many as a connection, or a hundred connections, can carry.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use policy::ids::KeyId;

/// Counts the exchanges of each key that run in this VM.
#[derive(Debug, Default)]
pub struct SideBySide {
    /// Keys without an exchange are not in it.
    running: RefCell<BTreeMap<KeyId, u32>>,
}

/// One counted exchange; it counts until it is dropped.
#[derive(Debug)]
pub struct Place {
    all: Rc<SideBySide>,
    key: KeyId,
}

impl SideBySide {
    /// Counts an exchange of `key`; `None` when `most` of them run already.
    pub fn take(self: &Rc<Self>, key: KeyId, most: u32) -> Option<Place> {
        let mut running = self.running.borrow_mut();
        let count = running.entry(key).or_default();
        if *count >= most {
            if *count == 0 {
                running.remove(&key);
            }
            return None;
        }
        *count = count.saturating_add(1);
        Some(Place {
            all: Rc::clone(self),
            key,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = self.all.running.borrow_mut();
        if let Some(count) = running.get_mut(&self.key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                running.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: KeyId = KeyId::from_bytes([1; 16]);
    const OTHER: KeyId = KeyId::from_bytes([2; 16]);

    #[test]
    fn a_key_has_its_bound_and_no_other_key_feels_it() {
        let all = Rc::new(SideBySide::default());
        let first = all.take(ONE, 2);
        let second = all.take(ONE, 2);
        assert!(first.is_some() && second.is_some());
        assert!(all.take(ONE, 2).is_none());
        assert!(all.take(OTHER, 2).is_some());
        drop(first);
        assert!(all.take(ONE, 2).is_some());
    }

    #[test]
    fn a_key_without_exchanges_takes_no_memory() {
        let all = Rc::new(SideBySide::default());
        drop(all.take(ONE, 1));
        assert!(all.take(OTHER, 0).is_none());
        assert!(all.running.borrow().is_empty());
    }
}
