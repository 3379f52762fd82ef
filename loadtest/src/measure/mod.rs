//! What a server does, measured: the router and, in the same run and on the same core, floors that do the
//! least that the same work needs. So each figure is a ratio.
//!
//! [`wire`] is a socket that costs its driver little, [`mod@floor`] the floors, [`seats`] brings pairs of people
//! to their chats, [`pairs`] drives and verifies them, [`place`] says where they run and what a process took,
//! [`watch`] notes what the server took meanwhile, [`scenario`] puts that together in rounds, and [`report`] has
//! what came of them.
//!
//! [`view`] reads a report and puts it in order, [`table`] shows it on a terminal, [`html`] on a page;
//! [`compare`] holds two of them against each other; [`number`] is how all of these write numbers.
//!
//! [`connections`] and [`routing`] are scenarios of their own: what an idle session costs, and how chats find
//! their operators. Theirs are [`session`], a socket that is somebody's, [`tokens`] for many people,
//! [`found`], what should not have been, and [`files`], without which there are no sockets. [`mixed`] is all at once,
//! and [`flat`] says whether memory stays what it is meanwhile. [`outcomes`] is what came of the runs that measure
//! little and verify much.

pub mod compare;
pub mod connections;
pub mod files;
pub mod flat;
pub mod floor;
pub mod found;
pub mod html;
pub mod mixed;
pub mod number;
pub mod outcomes;
pub mod pairs;
pub mod place;
pub mod report;
pub mod routing;
#[cfg(test)]
mod sample;
pub mod scenario;
pub mod seats;
pub mod session;
pub mod table;
pub mod tokens;
pub mod view;
pub mod watch;
pub mod wire;
