//! The socket protocol: JSON-RPC 2.0 in text frames, as types.
//!
//! Owns what frames look like: methods, answers, notifications, error codes, close codes, cursors.
//! Refuses to know who may call what, how anything is carried out, and how a socket is run.
//! Invariants: no bytes make reading panic; a frame that is read is complete and within its
//! bounds; unknown members are refused; texts and tokens never show in `Debug`; every frame has a
//! golden file (`tests/golden/protocol`) and stands in the document (`docs/protocol.json`).
//!
//! Read [`call`] first: the list of the methods.

pub mod answer;
pub mod call;
pub mod close;
pub mod cursor;
pub mod document;
pub mod envelope;
pub mod error;
pub mod event;
pub mod limits;
pub mod line_cursor;
pub mod notify;
pub mod params;
pub mod rest;
pub mod strict;
pub mod value;
pub mod view;

pub use call::{Call, Lane, Method};
pub use close::{AfterClose, CloseKind};
pub use cursor::Cursor;
pub use envelope::{
    Rejected, Request, RequestId, read_request, write_error, write_notification, write_result,
};
pub use error::{ErrorFrame, ErrorKind};
pub use line_cursor::LineCursor;
pub use notify::Notification;
pub use value::Wire;
pub use view::{Names, View};
