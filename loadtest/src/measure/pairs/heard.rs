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

/// Ids from here on are those of answers to the server's probes.
const PROBES_FROM: u64 = 1 << 40;

/// Proves to the server that somebody is there: it closes the sockets of operators who do not.
#[derive(Debug, Default)]
pub(super) struct Probes(u64);

impl Probes {
    /// Answers what was heard, if that is a probe. Whether nothing is left to do with it: it is a probe, or says that
    /// the answer to one has come.
    pub(super) fn took(&mut self, heard: &Heard<'_>, outgoing: &mut Outgoing) -> bool {
        if heard.id.is_some_and(|id| id >= PROBES_FROM) {
            return heard.error.is_none();
        }
        let is_probe = heard.method.as_deref() == Some("presence.probe");
        let Some(probe) = heard.params.as_ref().and_then(|params| params.probe) else {
            return false;
        };
        if is_probe {
            let id = PROBES_FROM + self.0;
            self.0 += 1;
            let frame = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"presence.answer","params":{{"probe":{probe}}}}}"#
            );
            outgoing.text(frame.as_bytes());
        }
        is_probe
    }
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
