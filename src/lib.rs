//! Switchboard: an actor-based, real-time chat router.
//!
//! Read in this order: [`domain`] (the words), [`routing`] (the rules, pure), [`machine`] (what
//! decides, pure), [`storage`] (the ports and their adapters).
//! `ARCHITECTURE.md` shows how they stand on each other.

pub mod access;
pub mod catalog;
pub mod config;
pub mod domain;
pub mod edge;
pub mod protocol;
pub mod storage;
