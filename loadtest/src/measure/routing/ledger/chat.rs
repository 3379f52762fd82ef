//! What is known of a chat, and how long it waited.

/// How long a chat was open before it was offered for the first time, or taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// When it was due, µs.
    pub due_us: u64,
    /// From the answer that it is open, µs; 0 when the offer was read before that answer.
    pub us: u64,
    /// From when it was due, µs: what the customer has waited in all.
    pub since_due_us: u64,
    /// Whether somebody who may have it had room when it was opened, and nobody was in front of it who might take
    /// that: then it waited for the router, and not for people.
    pub was_room: bool,
}

#[derive(Debug, Default)]
pub(super) struct Chat {
    pub(super) queue: Option<usize>,
    pub(super) opened: Option<Opened>,
    pub(super) presented_us: Option<u64>,
    pub(super) screens: usize,
    pub(super) owner: Option<usize>,
    pub(super) is_ended: bool,
}

impl Chat {
    /// Whether anybody was shown it.
    pub(super) fn was_seen(&self) -> bool {
        self.presented_us.is_some() || self.owner.is_some() || self.is_ended
    }
}

/// The answer that a chat is open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opened {
    pub(super) due_us: u64,
    pub(super) at_us: u64,
    pub(super) was_room: bool,
}

impl Opened {
    /// It has waited until now.
    pub(super) fn until(self, now_us: u64) -> Wait {
        let Self { due_us, at_us, was_room } = self;
        let (us, since_due_us) = (now_us.saturating_sub(at_us), now_us.saturating_sub(due_us));
        Wait { due_us, us, since_due_us, was_room }
    }
}
