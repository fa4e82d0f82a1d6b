//! What Weir costs, measured.
//!
//! The parts of the harness: request bodies of a coding agent ([`bodies`]), what a provider answers ([`answers`])
//! and a provider that answers so at little cost ([`provider`]), load ([`load`]), the clocks of processes
//! ([`process_clock`]), and the systems to compare ([`sides`]). The measurements themselves are [`overhead`], two builds
//! of the filter beside each other ([`paired`]), [`plateau`], [`soak`] and [`crowd`].
//!
//! Every measurement checks the answers it times: a fast wrong gateway fails.

pub mod answers;
pub mod bodies;
pub mod crowd;
mod http1;
pub mod load;
pub mod overhead;
pub mod paired;
pub mod plateau;
pub mod process_clock;
pub mod provider;
pub mod report;
pub mod rig;
pub mod scenario;
pub mod sides;
pub mod soak;

/// Does what a bench measures. Callgrind counts the instructions from here to its return and no others
/// (`cargo xtask instructions`), so what makes the input stands outside.
#[inline(never)]
pub fn counted<T>(run: impl FnOnce() -> T) -> T {
    run()
}
