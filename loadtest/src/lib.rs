//! The load test of Switchboard: recorded or made-up traffic, and a ledger that verifies a run.
//!
//! Read in this order: [`trace`] and [`dialog`] (what is replayed), [`patience`] (how long people
//! wait), [`plan`] (who does what, when), [`predict`] (what an ideal router would make of it),
//! [`verify`] (what must hold), [`stats`] and [`report`] (what came of it). All of that is pure: no
//! socket, no clock, no chance but a seed's. [`client`] is a client of the router, [`run`] plays
//! people on real sockets against it, [`measure`] says how fast it is beside what the machine allows,
//! [`talk`] is one of them for a person at a terminal.

pub mod client;
pub mod day;
pub mod dialog;
pub mod draw;
pub mod measure;
pub mod pace;
pub mod patience;
pub mod plan;
pub mod predict;
pub mod report;
pub mod run;
pub mod stats;
pub mod synthetic;
pub mod talk;
pub mod trace;
pub mod verify;
