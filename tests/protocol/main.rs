//! The wire, from outside: golden files, strictness, and the documents made from the types.

mod documents;
mod golden;
mod samples;
mod strict;
