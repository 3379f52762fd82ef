//! Holds every store to the words of the ports (`src/storage/mod.rs`).
//!
//! - `suite`: what every port promises, run against the memory model, SQLite on this machine's
//!   disk, and SQLite on a disk of ours that can lose its power.
//! - `generated`: random calls get the same answers from SQLite as from the model.
//! - `power_loss`: 1,000 seeds of lost power; nothing acknowledged is missing, nothing is there
//!   by half, and with `synchronous=OFF` the same check finds losses.
//! - `damage`: damaged, newer and foreign files, folders in use.
//! - `export`: copies of whole stores between every two kinds; interrupted, damaged, lied about.
//! - `trouble`: full disks, failed syncs, full queues; groups and checkpoints; the model's faults.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/samples.rs"]
mod samples;

mod damage;
mod disk;
mod expected;
mod export;
mod generated;
mod power_loss;
mod power_loss_vfs;
mod rng;
mod subject;
mod suite;
mod suite_inventory;
mod suite_log;
mod trouble;
