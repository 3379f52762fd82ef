//! The actors, driven through their one handle: whole lives, crashes at any point, restarts,
//! sleep, bounds, the tree, and configuration while running.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

#[path = "../support/ended.rs"]
mod ended;
#[path = "../support/hooked.rs"]
mod hooked;

mod bounds;
mod chain;
mod configuration;
mod crashes;
mod damaged_row;
mod feed;
mod follow;
mod homes;
mod life;
mod looks;
mod openings;
mod parked;
mod restart;
mod retention;
mod sleep;
mod store;
mod tree;
mod watermarks;
mod whole;
mod world;
