//! The wire, from outside: golden files, strictness, and the documents made from the types.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod documents;
mod golden;
mod log;
mod rest;
mod samples;
mod strict;
