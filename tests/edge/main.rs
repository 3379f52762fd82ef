//! The server through real sockets: what a client sees, and what it cannot do.

mod client;
mod harness;
mod limits;
mod live;
mod resume;
mod rights;
mod walk;
mod wrong;
