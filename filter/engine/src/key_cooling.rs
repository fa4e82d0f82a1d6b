//! Provider keys that were refused lately: they are tried last, for a while, where another key is there.

use std::collections::BTreeMap;

use policy::compiled::Mesh;
use policy::ids::{KeyId, ProviderKeyId};
use policy::routing::AttemptTarget;
use policy::units::Timestamp;

/// For how long a key that was refused is tried last.
const COOLING_MS: u64 = 60_000;

/// For how long one refusal is remembered, to be confirmed by another virtual key's.
const SUSPICION_MS: u64 = 600_000;

/// Keys and models that are remembered; when there are more, the oldest suspicion goes.
const PLACES: usize = 512;

/// What this VM has seen of provider keys, by key and model.
///
/// What one virtual key provokes changes nothing for another: a key cools down for a model when requests of two
/// virtual keys were refused there and none has succeeded since. Cooling only changes the order among the keys of
/// one target; nothing is refused for it and no prompt goes elsewhere.
#[derive(Debug, Default)]
pub struct KeyCooling {
    places: BTreeMap<(ProviderKeyId, String), Place>,
}

#[derive(Debug)]
struct Place {
    /// Whose request was refused first; `None` for unkeyed traffic.
    by: Option<KeyId>,
    refused: Timestamp,
    cools_until: Option<Timestamp>,
}

impl Place {
    fn is_over(&self, now: Timestamp) -> bool {
        match self.cools_until {
            Some(until) => until <= now,
            None => now.millis_since(self.refused) >= SUSPICION_MS,
        }
    }
}

impl KeyCooling {
    /// Notes that the provider refused `key` for `model` to a request of the virtual key `by`.
    pub fn refused(&mut self, now: Timestamp, key: ProviderKeyId, model: &str, by: Option<KeyId>) {
        let name = (key, model.to_owned());
        match self.places.get_mut(&name) {
            Some(place) if !place.is_over(now) => {
                if place.by != by && place.cools_until.is_none() {
                    let until = now.as_millis().saturating_add(COOLING_MS);
                    place.cools_until = Some(Timestamp::from_millis(until));
                }
            }
            Some(_) | None => {
                self.make_room(now);
                let place = Place {
                    by,
                    refused: now,
                    cools_until: None,
                };
                self.places.insert(name, place);
            }
        }
    }

    /// Notes that the key was taken for the model.
    pub fn worked(&mut self, key: ProviderKeyId, model: &str) {
        // Nearly always empty; then nothing is copied.
        if !self.places.is_empty() {
            self.places.remove(&(key, model.to_owned()));
        }
    }

    /// Puts cooling keys behind the others of the same target.
    pub(crate) fn order(&self, now: Timestamp, mesh: &Mesh, targets: &mut [AttemptTarget]) {
        if self.places.is_empty() {
            return;
        }
        let same = |one: &AttemptTarget, next: &AttemptTarget| {
            one.provider == next.provider && one.model == next.model
        };
        for keys in targets.chunk_by_mut(same) {
            keys.sort_by_key(|target| self.cools(now, mesh, target));
        }
    }

    fn cools(&self, now: Timestamp, mesh: &Mesh, target: &AttemptTarget) -> bool {
        let provider = mesh.providers.get(target.provider);
        let key = provider
            .zip(target.key)
            .and_then(|(provider, at)| provider.keys.get(at));
        key.and_then(|key| self.places.get(&(key.id, target.model.clone())))
            .and_then(|place| place.cools_until)
            .is_some_and(|until| now < until)
    }

    fn make_room(&mut self, now: Timestamp) {
        if self.places.len() < PLACES {
            return;
        }
        self.places.retain(|_, place| !place.is_over(now));
        while self.places.len() >= PLACES {
            let oldest = self
                .places
                .iter()
                .min_by_key(|(_, place)| (place.cools_until.is_some(), place.refused))
                .map(|(name, _)| name.clone());
            let Some(oldest) = oldest else { return };
            self.places.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use policy::ids::KeyId;
    use uuid::Uuid;

    use super::*;

    const T0: Timestamp = Timestamp::from_millis(1_000_000);

    fn later(ms: u64) -> Timestamp {
        Timestamp::from_millis(T0.as_millis() + ms)
    }

    fn key(number: u128) -> ProviderKeyId {
        ProviderKeyId::new(Uuid::from_u128(number))
    }

    fn client(number: u128) -> Option<KeyId> {
        Some(KeyId::new(Uuid::from_u128(number)))
    }

    fn cools(cooling: &KeyCooling, at: Timestamp, key: ProviderKeyId, model: &str) -> bool {
        let place = cooling.places.get(&(key, model.to_owned()));
        place
            .and_then(|place| place.cools_until)
            .is_some_and(|until| at < until)
    }

    #[test]
    fn one_virtual_key_cools_nothing_however_often_it_is_refused() {
        let mut cooling = KeyCooling::default();
        for minute in 0..100 {
            cooling.refused(later(minute * 60_000), key(1), "m", client(1));
            assert!(!cools(&cooling, later(minute * 60_000), key(1), "m"));
        }
    }

    #[test]
    fn two_virtual_keys_cool_a_key_for_one_model_and_a_minute() {
        let mut cooling = KeyCooling::default();
        cooling.refused(T0, key(1), "m", client(1));
        cooling.refused(later(10), key(1), "m", client(2));
        assert!(cools(&cooling, later(11), key(1), "m"));
        assert!(!cools(&cooling, later(11), key(1), "other"));
        assert!(!cools(&cooling, later(11), key(2), "m"));
        assert!(!cools(&cooling, later(10 + COOLING_MS), key(1), "m"));
        // Afterwards it takes two again.
        cooling.refused(later(20 + COOLING_MS), key(1), "m", client(2));
        assert!(!cools(&cooling, later(30 + COOLING_MS), key(1), "m"));
    }

    #[test]
    fn a_success_between_forgets_the_refusal() {
        let mut cooling = KeyCooling::default();
        cooling.refused(T0, key(1), "m", client(1));
        cooling.worked(key(1), "m");
        cooling.refused(later(10), key(1), "m", client(2));
        assert!(!cools(&cooling, later(11), key(1), "m"));
    }

    #[test]
    fn an_old_refusal_confirms_nothing() {
        let mut cooling = KeyCooling::default();
        cooling.refused(T0, key(1), "m", client(1));
        cooling.refused(later(SUSPICION_MS), key(1), "m", client(2));
        assert!(!cools(&cooling, later(SUSPICION_MS + 1), key(1), "m"));
    }

    #[test]
    fn a_flood_of_model_names_fills_no_memory_and_ends_no_cooling() {
        let mut cooling = KeyCooling::default();
        cooling.refused(T0, key(1), "m", client(1));
        cooling.refused(later(1), key(1), "m", client(2));
        for number in 0..10_000 {
            cooling.refused(later(2), key(1), &format!("made-up-{number}"), client(3));
        }
        assert_eq!(cooling.places.len(), PLACES);
        assert!(cools(&cooling, later(3), key(1), "m"));
    }
}
