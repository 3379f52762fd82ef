//! What openings cost: a chat is opened once and charged once, however many tabs open it at the same
//! moment.
//!
//! Owns the openings that are under way, by chat. Whoever comes first is charged, and whoever comes while
//! that is under way is not; when none of them opened it, the charge goes back to whoever it was taken
//! from, whichever of them ends last.
//! Invariant: as many entries as chats that calls of this process are opening.

use std::collections::HashMap;

use crate::domain::{ChatId, Customer};

use super::sharded::Sharded;

/// Bounds how many chats are opened. Asked when a chat is about to be opened, and not before: what is
/// answered from what is known costs nothing.
pub trait Opens: Send + Sync {
    /// Whether one more may be opened now. Costs nothing.
    fn look(&self, customer: Customer) -> Result<(), TooMany>;

    /// One more. Answers how to give it back, when it was not opened after all: that may be found out
    /// when whoever took it is gone. Errors when it is too many; then it costs nothing.
    fn take(&self, customer: Customer) -> Result<GiveBack, TooMany>;
}

/// Gives back what was taken, to whom it was taken from.
pub type GiveBack = Box<dyn FnOnce() + Send>;

/// More chats are opened than may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many chats opened; try again in {} s", .retry_after_ms / 1_000)]
pub struct TooMany {
    /// When one may be opened again, ms from now.
    pub retry_after_ms: u64,
}

/// See the module.
#[derive(Default)]
pub(super) struct Charges(Sharded<HashMap<ChatId, UnderWay>>);

struct UnderWay {
    calls: usize,
    /// One of them may have opened it.
    earned: bool,
    give_back: GiveBack,
}

/// One call's part in it, for as long as it goes on. One that is dropped may have opened the chat.
pub(super) struct Charge<'a> {
    charges: &'a Charges,
    chat: ChatId,
    opened: bool,
}

impl Charges {
    /// Takes what the opening costs, unless another call has for this chat. Errors when it is too many.
    pub(super) fn take(
        &self,
        chat: ChatId,
        customer: Customer,
        opens: &dyn Opens,
    ) -> Result<Charge<'_>, TooMany> {
        self.0.of(chat, |under_way| {
            match under_way.get_mut(&chat) {
                Some(opening) => opening.calls += 1,
                None => {
                    let give_back = opens.take(customer)?;
                    under_way.insert(chat, UnderWay { calls: 1, earned: false, give_back });
                }
            }
            Ok(())
        })?;
        Ok(Charge { charges: self, chat, opened: true })
    }

    /// Whether somebody is opening the chat, and has been charged.
    pub(super) fn covers(&self, chat: ChatId) -> bool {
        self.0.of(chat, |under_way| under_way.contains_key(&chat))
    }
}

impl Charge<'_> {
    /// This call did not open the chat.
    pub(super) fn not_earned(mut self) {
        self.opened = false;
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        self.charges.0.of(self.chat, |under_way| {
            let Some(opening) = under_way.get_mut(&self.chat) else { return };
            opening.calls -= 1;
            opening.earned |= self.opened;
            if opening.calls > 0 {
                return;
            }
            if let Some(opening) = under_way.remove(&self.chat)
                && !opening.earned
            {
                (opening.give_back)();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

    use super::*;
    use crate::domain::{ChannelId, CustomerId};

    /// One network's openings.
    #[derive(Default)]
    struct Network(Arc<AtomicI64>);

    impl Opens for Network {
        fn look(&self, _: Customer) -> Result<(), TooMany> {
            Ok(())
        }

        fn take(&self, _: Customer) -> Result<GiveBack, TooMany> {
            self.0.fetch_add(1, SeqCst);
            let taken = Arc::clone(&self.0);
            Ok(Box::new(move || {
                taken.fetch_sub(1, SeqCst);
            }))
        }
    }

    #[test]
    fn what_nobody_earned_goes_back_to_whoever_was_charged() {
        let customer = Customer { channel: ChannelId::from_u128(1), id: CustomerId::from_u128(1) };
        let (charges, chat) = (Charges::default(), ChatId::from_u128(1));
        let (one, two) = (Network::default(), Network::default());
        let first = charges.take(chat, customer, &one).unwrap();
        let second = charges.take(chat, customer, &two).unwrap();
        first.not_earned();
        second.not_earned();
        let taken = (one.0.load(SeqCst), two.0.load(SeqCst));
        assert_eq!(taken, (0, 0));
    }
}
