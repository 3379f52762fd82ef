//! The server through real sockets: what a client sees, and what it cannot do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails, with the place"
)]

#[path = "../support/ended.rs"]
mod ended;
#[path = "../support/hooked.rs"]
mod hooked;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/samples.rs"]
mod samples;

mod audience;
mod audit;
mod away;
mod backup;
mod client;
mod cql;
mod cql_faults;
mod cql_figures;
mod cql_guarded;
#[path = "../support/cql.rs"]
mod cql_server;
#[path = "../support/keyspace.rs"]
mod cql_support;
mod cql_trouble;
mod damaged;
mod damaged_rows;
mod erase;
mod erased_copies;
mod foreign;
mod harness;
mod held;
mod history;
mod history_command;
mod hold;
mod identity;
mod idle;
mod limits;
mod lists;
mod live;
mod names;
mod openings;
mod patch;
mod private;
mod process;
mod proxied;
mod resume;
mod retention;
mod rights;
mod silent;
mod together;
mod tokens;
mod trail;
mod transfer;
mod tried;
mod unreachable;
mod walk;
mod wrong;
