//! Who of those that wait is served next, and how much each may hold.
//!
//! One client with many large bodies must cost another nothing but its share: holders are served in a circle, and of
//! each holder its streams are. What a holder may hold shrinks as others hold more, and a part is kept for those that
//! hold little.
//!
//! ```
//! use engine::turns::Turns;
//!
//! let mut turns = Turns::default();
//! for stream in [1, 2, 3] {
//!     turns.join("many", stream);
//! }
//! turns.join("one", 9);
//! let order: Vec<u64> = std::iter::from_fn(|| turns.next().map(|(_, stream)| stream)).collect();
//! assert_eq!(order, [1, 9, 2, 3]);
//! ```

use std::collections::VecDeque;

/// Streams that wait to be served, one piece each.
#[derive(Debug)]
pub struct Turns<H> {
    /// In the order in which they are served; none without a stream.
    holders: VecDeque<(H, VecDeque<u64>)>,
}

impl<H> Default for Turns<H> {
    fn default() -> Self {
        Self {
            holders: VecDeque::new(),
        }
    }
}

impl<H: PartialEq> Turns<H> {
    /// Lets a stream wait, behind the others of its holder; one that waits already keeps its place.
    pub fn join(&mut self, holder: H, stream: u64) {
        let waiting = self.holders.iter_mut().find(|(other, _)| *other == holder);
        match waiting {
            Some((_, streams)) if streams.contains(&stream) => {}
            Some((_, streams)) => streams.push_back(stream),
            None => self.holders.push_back((holder, VecDeque::from([stream]))),
        }
    }

    /// Takes the stream whose turn it is; it joins again if it has more to do.
    #[expect(
        clippy::should_implement_trait,
        reason = "what is taken joins again: it is no sequence with an end"
    )]
    pub fn next(&mut self) -> Option<(H, u64)>
    where
        H: Clone,
    {
        let (holder, mut streams) = self.holders.pop_front()?;
        let stream = streams.pop_front()?;
        if !streams.is_empty() {
            self.holders.push_back((holder.clone(), streams));
        }
        Some((holder, stream))
    }

    /// Lets a stream wait no longer.
    pub fn leave(&mut self, stream: u64) {
        for (_, streams) in &mut self.holders {
            streams.retain(|other| *other != stream);
        }
        self.holders.retain(|(_, streams)| !streams.is_empty());
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.holders.is_empty()
    }
}

/// A holder of no more than this part of all holds little.
const LITTLE: usize = 128;

/// This part of all is there besides, for those that hold little.
const RESERVE: usize = 4;

/// What all holders hold of something bounded.
///
/// A holder may hold as much as is free beside it, so one alone half of all. When others hold nearly all, it may still
/// hold a little, out of a reserve that nobody else uses.
#[derive(Debug)]
pub struct Room<H> {
    held: usize,
    by: Vec<(H, usize)>,
}

impl<H> Default for Room<H> {
    fn default() -> Self {
        Self {
            held: 0,
            by: Vec::new(),
        }
    }
}

impl<H: PartialEq> Room<H> {
    /// Takes `bytes` of the `most` that all may hold; `false`, and nothing taken, if that is more than the holder may.
    #[must_use]
    pub fn take(&mut self, holder: H, bytes: usize, most: usize) -> bool {
        let held = self.held.saturating_add(bytes);
        let place = self.by.iter().position(|(other, _)| *other == holder);
        let own = place.and_then(|place| self.by.get_mut(place));
        let before = own.as_ref().map_or(0, |(_, own)| *own);
        let after = before.saturating_add(bytes);
        let is_little = after <= most / LITTLE && held <= most.saturating_add(most / RESERVE);
        if after > most.saturating_sub(held) && !is_little {
            return false;
        }
        self.held = held;
        match own {
            Some((_, own)) => *own = after,
            None => self.by.push((holder, after)),
        }
        true
    }

    /// Gives back what was taken.
    pub fn give_back(&mut self, holder: &H, bytes: usize) {
        if let Some(place) = self.by.iter().position(|(other, _)| other == holder)
            && let Some((_, own)) = self.by.get_mut(place)
        {
            let given = bytes.min(*own);
            *own -= given;
            self.held = self.held.saturating_sub(given);
            if *own == 0 {
                self.by.swap_remove(place);
            }
        }
    }

    /// Returns what all hold together.
    pub fn held(&self) -> usize {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn who_has_one_stream_is_served_as_often_as_who_has_many() {
        let mut turns = Turns::default();
        (0..16).for_each(|stream| turns.join('a', stream));
        turns.join('b', 99);
        let mut served = 0;
        for _ in 0..20 {
            let (holder, stream) = turns.next().unwrap();
            served += usize::from(holder == 'b');
            turns.join(holder, stream);
        }
        assert_eq!(served, 10);
    }

    #[test]
    fn streams_of_one_holder_take_turns() {
        let mut turns = Turns::default();
        (0..3).for_each(|stream| turns.join('a', stream));
        turns.join('a', 1);
        let mut order = Vec::new();
        for _ in 0..6 {
            let (holder, stream) = turns.next().unwrap();
            order.push(stream);
            turns.join(holder, stream);
        }
        assert_eq!(order, [0, 1, 2, 0, 1, 2]);
        (0..3).for_each(|stream| turns.leave(stream));
        assert!(turns.is_empty());
        assert_eq!(turns.next(), None);
    }

    #[test]
    fn one_holder_never_takes_what_another_needs() {
        let mut room = Room::default();
        while room.take("greedy", 31, 512) {}
        assert_eq!(room.held(), 248);
        assert!(room.take("other", 31, 512));
        assert!(!room.take("greedy", 31, 512));
        room.give_back(&"greedy", 248);
        assert!(room.take("greedy", 62, 512));
    }

    proptest! {
        #[test]
        fn whoever_holds_little_finds_room(takes in prop::collection::vec((0..8u8, 1..4_000usize), 0..300)) {
            let most = 128_000;
            let mut room = Room::default();
            let mut own = std::collections::BTreeMap::new();
            for (holder, bytes) in takes {
                if room.take(holder, bytes, most) {
                    *own.entry(holder).or_insert(0) += bytes;
                }
            }
            prop_assert_eq!(room.held(), own.values().sum::<usize>());
            prop_assert!(room.held() <= most + 8 * 1_000);
            for newcomer in 100..120 {
                prop_assert!(room.take(newcomer, 1_000, most));
            }
            for (holder, bytes) in own {
                room.give_back(&holder, bytes);
            }
            for newcomer in 100..120 {
                room.give_back(&newcomer, 1_000);
            }
            prop_assert_eq!(room.held(), 0);
        }
    }
}
