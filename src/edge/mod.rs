//! Between the network and the router: what turns requests into values, events into frames, and
//! errors into answers.
//!
//! Owns routes, sockets, and every limit on what a client may do. Refuses to decide anything about
//! chats: it asks the one handle below it.
//! Invariants: whoever asks is known and permitted before anything is done; every error has one
//! form and says what to do; nothing that a client does makes memory grow without bound.
//!
//! Reading order: [`routes`] (every path), [`socket`](socket/mod.rs), [`rest`](rest/mod.rs),
//! [`state`] (what they share), [`limits`].

mod admission;
mod bodies;
mod client;
mod errors;
mod holders;
mod host;
pub mod limits;
mod listen;
mod named;
mod names;
mod origin;
mod pace;
mod rest;
mod routes;
mod socket;
mod state;

pub use admission::{Admission, Admitted, Refused};
pub use bodies::{
    channel_from, channel_response, operator_response, queue_from, queue_response, reason_from,
    reason_response, user_from, user_request, user_response,
};
pub use client::{ClientAddress, TrustedProxies};
pub use errors::{
    access_error, catalog_error, close_of, forbidden, frame_of, lost_error, store_error,
};
pub use host::check_host;
pub use listen::{ConnectionLimits, Ways, listen};
pub use names::{CatalogNames, Viewer};
pub use origin::origin_allowed;
pub use pace::{Pace, TooFast};
pub use routes::{Readiness, operations, public};
pub use state::{Alive, Edge, EdgeOptions};
