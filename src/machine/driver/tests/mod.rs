//! The driver over an aggregate that is no chat: what it promises to everything that has a log.

mod faults;
mod group;
mod ordering;
mod snapshots;
mod steps;
mod together;
mod world;
