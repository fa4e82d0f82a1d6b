//! The exchange of a Weir mesh, one request and its response, as a sans-IO state machine.
//!
//! Inputs are pushed into an [`Exchange`], commands are polled out of it. It knows no proxy, no clock and no
//! randomness: the filter drives it inside Envoy, tests and fuzzers drive it natively, and the same inputs
//! always give the same commands. It calls nobody; what it needs from outside it asks for by a command.
//!
//! Wire formats are the business of `dialects`, who may do what that of `policy`.

#![forbid(unsafe_code)]

mod cors;
pub mod credential;
mod dropped;
mod exchange;
pub mod guard;
mod headers;
mod key_cooling;
pub mod messages;
mod output_rates;
mod path;
mod query;
pub mod quota;
mod record;
mod side_by_side;
mod ticket;
pub mod turns;
mod upstream;

pub use dropped::DroppedHeaders;
pub use exchange::{Exchange, ExchangeSeed};
pub use headers::Headers;
pub use key_cooling::KeyCooling;
pub use messages::{Command, Flow, HeaderEdit, Input};
pub use record::{AttemptRecord, Ended, ExchangeRecord};
pub use side_by_side::{Place, SideBySide};
pub use ticket::{TICKET_BYTES, TicketError, Tickets};
