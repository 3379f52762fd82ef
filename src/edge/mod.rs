//! Between the wire and the router: what turns requests into values and errors into answers.
//!
//! Owns conversions, and the small machines that bound what a client may do. Refuses to decide
//! anything about chats. Nothing here does I/O or reads a clock.

mod admission;
mod bodies;
mod errors;
mod names;
mod origin;
mod pace;

pub use admission::{Admission, Admitted, Refused};
pub use bodies::{
    channel_from, channel_response, operator_response, queue_from, queue_response, user_from,
    user_response,
};
pub use errors::{access_error, catalog_error, close_of, forbidden, frame_of, store_error};
pub use names::CatalogNames;
pub use origin::origin_allowed;
pub use pace::{Pace, TooFast};
