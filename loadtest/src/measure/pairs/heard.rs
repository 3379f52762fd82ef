//! What a server says to either one of a pair.

use std::borrow::Cow;

use serde::Deserialize;

use super::{Measured, PairError};
use crate::measure::wire::{Frame, Outgoing, WireError};

/// A frame from the server, as far as it matters here.
#[derive(Deserialize)]
pub(super) struct Heard<'a> {
    pub(super) id: Option<u64>,
    #[serde(borrow)]
    pub(super) method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) params: Option<Params<'a>>,
    pub(super) result: Option<Answer>,
    #[serde(borrow)]
    pub(super) error: Option<Refusal<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Params<'a> {
    #[serde(borrow)]
    pub(super) chat: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) text: Option<Cow<'a, str>>,
    pub(super) probe: Option<u64>,
}

#[derive(Deserialize)]
pub(super) struct Answer {
    pub(super) seq: Option<u64>,
}

#[derive(Deserialize)]
pub(super) struct Refusal<'a> {
    #[serde(borrow)]
    pub(super) message: Cow<'a, str>,
}

/// Reads a frame; none of one that says nothing. A ping is answered, and what cannot be read is a violation.
pub(super) fn read<'a>(
    frame: Frame<'a>,
    who: &str,
    outgoing: &mut Outgoing,
    measured: &mut Measured,
) -> Option<Heard<'a>> {
    let text = match frame {
        Frame::Text(text) => text,
        Frame::Ping(asked) => {
            outgoing.pong(asked);
            return None;
        }
        Frame::Pong => return None,
    };
    match serde_json::from_slice(text) {
        Ok(heard) => Some(heard),
        Err(error) => {
            measured.violation(|| format!("a frame to {who} cannot be read: {error}"));
            None
        }
    }
}

pub(super) fn wire(who: &'static str) -> impl Fn(WireError) -> PairError {
    move |source| PairError::Wire { who, source }
}
