//! The REST interface under `/api/v1`, as types: bodies, errors, and the list of routes from which
//! the OpenAPI document is made.
//!
//! Owns names and shapes. Refuses to know how a route is carried out.
//! Invariants: unknown members of a request are refused; every change names the version that it
//! saw; secrets never show in `Debug`.

pub mod audit;
pub mod body;
pub mod chat;
pub mod chats_cursor;
pub mod error;
pub mod openapi;
pub mod patch;
pub mod query;
pub mod routes;

pub use error::{ErrorResponse, PROBLEM_TYPE, RestErrorKind};
pub use openapi::openapi;
pub use patch::{MERGE_PATCH_TYPE, MergePatch};
pub use routes::{Route, Verb};
