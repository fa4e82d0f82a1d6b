//! Request bodies that the proxy holds: how far each was read, and who reads on when.
//!
//! No callback reads more than [`READ_BYTES`] of a body. What a callback leaves unread is read from the held buffer in
//! later ticks, in turns: key by key, and of each key stream by stream. So neither a body that a decompressor brought
//! at once nor sixteen of one key keep the worker from the small requests of another.
//!
//! What is read at once shrinks while pieces take long, so that a tick is over in some milliseconds whatever is found.
//!
//! A tick is what the proxy lets wait for its sockets in between. A message to a shared queue is none: the proxy
//! delivers it before it looks at its sockets again, and a VM that writes to itself would starve them.

use std::collections::BTreeSet;
use std::time::Duration;

use engine::Input;
use engine::turns::{Room, Turns};
use policy::ids::KeyId;
use policy::units::Timestamp;

use crate::govern;
use crate::host::{self, READ_BYTES, Side};
use crate::vm::{self, Running};

/// Until the next tick while bodies wait; the proxy's timers are no finer.
pub(crate) const FAST: Duration = Duration::from_millis(1);

/// How long a tick reads on, a piece at a time; the sockets wait meanwhile.
const SLICE_MS: u64 = 5;

/// What is read at once when a larger piece takes longer than that, because there is much to be found in it.
const SMALL_PIECE_BYTES: usize = 4 * 1024;

/// Bytes of request bodies that the proxy holds at once for this VM, which does not copy them.
const HELD_BYTES: usize = 512 * 1024 * 1024;

/// Whose bodies they are; everybody without a key is one.
pub(crate) type Holder = Option<KeyId>;

/// The bodies of this VM.
#[derive(Debug)]
pub(crate) struct Bodies {
    /// What is read at once.
    piece: usize,
    turns: Turns<Holder>,
    room: Room<Holder>,
    /// Streams of which more than one piece was read and more is to be.
    large: BTreeSet<u64>,
}

impl Default for Bodies {
    fn default() -> Self {
        Self {
            piece: READ_BYTES,
            turns: Turns::default(),
            room: Room::default(),
            large: BTreeSet::new(),
        }
    }
}

impl Bodies {
    /// Takes note of how long a piece took.
    fn took(&mut self, millis: u64) {
        if millis >= SLICE_MS {
            self.piece = (self.piece / 2).max(SMALL_PIECE_BYTES);
        } else if millis <= 1 {
            self.piece = self.piece.saturating_mul(2).min(READ_BYTES);
        }
    }
}

/// One body.
#[derive(Debug, Default)]
pub(crate) struct Body {
    /// Bytes that the proxy holds.
    arrived: usize,
    /// Bytes that the engine has seen.
    read: usize,
    end: Option<End>,
    is_read: bool,
    /// Who holds how much of the VM's room.
    taken: Option<(Holder, usize)>,
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Data,
    Trailers,
}

impl Body {
    /// Notes what has come.
    pub(crate) fn came(&mut self, arrived: usize, end: Option<End>) {
        self.arrived = self.arrived.max(arrived);
        self.end = self.end.or(end);
    }

    /// Says that nobody reads on: all of it was read, or the request was decided.
    pub(crate) fn is_done(&mut self) {
        self.is_read = true;
    }

    /// Whether nobody reads on.
    pub(crate) fn was_decided(&self) -> bool {
        self.is_read
    }

    /// Whether something is to be done that no callback will ask for.
    pub(crate) fn waits(&self) -> bool {
        !self.is_read && (self.read < self.arrived || self.end.is_some())
    }

    /// Takes the next piece out of the proxy's buffer; the stream is entered.
    fn next_piece(&mut self) -> Vec<u8> {
        let most = vm::with(|vm| vm.bodies.piece);
        let length = self.arrived.saturating_sub(self.read).min(most);
        if length == 0 {
            return Vec::new();
        }
        let piece = host::body(Side::Request, self.read, length);
        // What the proxy does not show cannot be read later either.
        self.read = match piece.len() {
            0 => self.arrived,
            length => self.read.saturating_add(length),
        };
        piece
    }

    /// How the body ends with the piece just taken, if it does.
    fn ends(&self) -> Option<End> {
        self.end.filter(|_| self.read >= self.arrived)
    }
}

/// What the engine is told of a body.
pub(crate) fn inputs(piece: &[u8], end: Option<End>) -> impl Iterator<Item = Input<'_>> {
    let is_end = end == Some(End::Data);
    let bytes = (!piece.is_empty() || is_end).then_some(Input::RequestBody {
        chunk: piece,
        end_of_stream: is_end,
    });
    let trailers = (end == Some(End::Trailers)).then_some(Input::RequestTrailers);
    bytes.into_iter().chain(trailers)
}

/// Counts what has come as held; says what the engine is told if it is too much.
pub(crate) fn hold(running: &mut Running) -> Option<Input<'static>> {
    let Running { exchange, body, .. } = running;
    let cap = exchange.body_cap_bytes();
    let bytes = u64::try_from(body.arrived).unwrap_or(u64::MAX);
    let (holder, taken) = body.taken.unwrap_or((exchange.key(), 0));
    let more = body.arrived.saturating_sub(taken);
    if more == 0 {
        return None;
    }
    if bytes > cap {
        return Some(Input::RequestHeld { bytes });
    }
    let cap = usize::try_from(cap).unwrap_or(usize::MAX);
    let most = HELD_BYTES.max(cap.saturating_mul(2));
    if !vm::with(|vm| vm.bodies.room.take(holder, more, most)) {
        return Some(Input::NoRoom);
    }
    body.taken = Some((holder, body.arrived));
    None
}

/// Gives the room of a body back: the proxy has let go of it.
pub(crate) fn release(running: &mut Running) {
    if let Some((holder, taken)) = running.body.taken.take() {
        vm::with(|vm| vm.bodies.room.give_back(&holder, taken));
    }
}

/// Takes the next piece of a body, if it may be read in the stream's own callback.
///
/// Every stream reads its first piece at once, and so does a large body while there is no other.
pub(crate) fn piece_at_once(running: &mut Running) -> Option<(Vec<u8>, Option<End>)> {
    let Running { body, serial, .. } = running;
    if body.read >= READ_BYTES {
        let is_alone = vm::with(|vm| {
            let Bodies { turns, large, .. } = &mut vm.bodies;
            large.insert(*serial);
            large.len() == 1 && turns.is_empty()
        });
        if !is_alone {
            return None;
        }
    }
    let piece = body.next_piece();
    Some((piece, body.ends()))
}

/// Lets a stream wait for its turn.
pub(crate) fn wait(running: &Running) {
    let is_first = vm::with(|vm| {
        let is_first = vm.bodies.turns.is_empty();
        let holder = running.exchange.key();
        vm.bodies.turns.join(holder, running.serial);
        is_first
    });
    if is_first {
        host::set_tick(FAST);
    }
}

/// Forgets a stream: its body was read, or it is gone.
pub(crate) fn forget(serial: u64) {
    vm::with(|vm| {
        vm.bodies.large.remove(&serial);
        vm.bodies.turns.leave(serial);
    });
}

/// Whether a body waits for its turn.
pub(crate) fn any_waits() -> bool {
    vm::with(|vm| !vm.bodies.turns.is_empty())
}

/// Reads on, piece by piece, until nobody waits or the time of a tick is over.
pub(crate) fn serve(cluster: &str, started: Timestamp) {
    let mut now = started;
    while let Some((_, serial)) = vm::with(|vm| vm.bodies.turns.next()) {
        if let Some(running) = vm::with(|vm| vm.find(serial))
            && let Ok(mut running) = running.try_borrow_mut()
            && host::enter(running.context)
        {
            let piece = running.body.next_piece();
            let end = running.body.ends();
            govern::read_late(now, &mut running, cluster, &piece, end);
            let is_left = running.body.read < running.body.arrived && running.body.waits();
            if is_left {
                vm::with(|vm| vm.bodies.turns.join(running.exchange.key(), serial));
            }
        }
        let before = now;
        now = host::now();
        vm::with(|vm| vm.bodies.took(now.millis_since(before)));
        if now.millis_since(started) >= SLICE_MS {
            return;
        }
    }
}
