//! Switchboard: an actor-based, real-time chat router.
//!
//! Read in this order: [`domain`] (the words), [`routing`] (the rules, pure), [`machine`] (what
//! decides, pure), [`storage`] (the ports and their adapters), [`actors`] (machines brought to
//! life, and the one handle to them), [`protocol`] (the wire), [`access`], [`catalog`] and [`audit`]
//! (who may do what, what is configured, and who did what), [`edge`] (sockets and REST), [`telemetry`] (the metrics),
//! [`app`] (one process of it all).
//! `ARCHITECTURE.md` shows how they stand on each other.

pub mod access;
pub mod actors;
pub mod app;
pub mod audit;
pub mod catalog;
pub mod config;
pub mod domain;
pub mod edge;
pub mod machine;
pub mod protocol;
pub mod routing;
pub mod storage;
pub mod telemetry;
