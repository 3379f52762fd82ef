//! Holds every store to the words of the ports (`src/storage/mod.rs`).
//!
//! - `suite`: what every port promises, run against the memory model, SQLite on this machine's
//!   disk, SQLite on a disk of ours that can lose its power, and the distributed store.
//! - `generated`: random calls get the same answers from every store as from the model.
//! - `cql`: what only the distributed store can meet: writes that arrive after their claim is dead,
//!   answers that do not, owners that are gone (`cql_owner`), the row that says who owns
//!   (`cql_lease`), claims within a process (`cql_claims`), what removed rows leave behind
//!   (`cql_tombstones`), parts of the history (`cql_history`). All have `cql` in their names.
//! - `power_loss`: seeds of lost power; nothing acknowledged is missing, nothing is there
//!   by half, and with `synchronous=OFF` the same check finds losses; `power_loss_repair`: damage and
//!   repairs in them.
//! - `damage`: damaged, newer and foreign files, folders in use; `damage_pages`: 64 bytes of any page;
//!   `damage_checksums`: damage that leaves pages well formed, and databases without checksums of pages.
//! - `export`: copies of whole stores between every two kinds, and of damaged exports none;
//!   `export_trouble` and `cql_export`: copies while a store fails, is interrupted, or lies.
//! - `trouble`: full disks, failed syncs, full queues; groups and checkpoints; the model's faults.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/cql.rs"]
mod cql_server;
#[path = "../support/keyspace.rs"]
mod cql_support;
#[path = "../support/hooked.rs"]
mod hooked;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/samples.rs"]
mod samples;

mod cql;
mod cql_claims;
mod cql_export;
mod cql_feed;
mod cql_history;
mod cql_lease;
mod cql_owner;
mod cql_tombstones;
mod damage;
mod damage_before;
mod damage_checksums;
mod damage_first_page;
mod damage_pages;
mod damage_tables;
mod disk;
mod expected;
mod export;
mod export_trouble;
mod forget;
mod generated;
mod history_compared;
mod history_rows;
mod power_loss;
mod power_loss_repair;
mod power_loss_vfs;
mod rng;
mod subject;
mod suite;
mod suite_audit;
mod suite_ended;
mod suite_feed;
mod suite_follow;
mod suite_forget;
mod suite_history;
mod suite_history_compared;
mod suite_history_writer;
mod suite_inventory;
mod suite_log;
mod suite_moves;
mod tally;
mod trouble;
