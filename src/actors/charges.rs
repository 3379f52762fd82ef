//! What openings cost: a chat is opened once and charged once, however many tabs open it at the same
//! moment.
//!
//! Owns the openings that are under way, by chat. Whoever comes first is charged, and whoever comes while
//! that is under way is not; when none of them opened it, the charge is given back.
//! Invariant: as many entries as chats that calls of this process are opening.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::{ChatId, Customer};

use super::intake::{Opens, TooMany};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Charges(Mutex<HashMap<ChatId, UnderWay>>);

#[derive(Debug)]
struct UnderWay {
    calls: usize,
    /// One of them may have opened it.
    earned: bool,
}

/// One call's part in it, for as long as it goes on. One that is dropped may have opened the chat.
pub(super) struct Charge<'a> {
    charges: &'a Charges,
    chat: ChatId,
    customer: Customer,
    opens: &'a dyn Opens,
    opened: bool,
}

impl Charges {
    /// Takes what the opening costs, unless another call has for this chat. Errors when it is too many.
    pub(super) fn take<'a>(
        &'a self,
        chat: ChatId,
        customer: Customer,
        opens: &'a dyn Opens,
    ) -> Result<Charge<'a>, TooMany> {
        let mut under_way = self.lock();
        match under_way.get_mut(&chat) {
            Some(opening) => opening.calls += 1,
            None => {
                opens.take(customer)?;
                under_way.insert(chat, UnderWay { calls: 1, earned: false });
            }
        }
        Ok(Charge { charges: self, chat, customer, opens, opened: true })
    }

    /// Whether somebody is opening the chat, and has been charged.
    pub(super) fn covers(&self, chat: ChatId) -> bool {
        self.lock().contains_key(&chat)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ChatId, UnderWay>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut under_way = self.charges.lock();
        let Some(opening) = under_way.get_mut(&self.chat) else { return };
        opening.calls -= 1;
        opening.earned |= self.opened;
        if opening.calls > 0 {
            return;
        }
        if !opening.earned {
            self.opens.give_back(self.customer);
        }
        under_way.remove(&self.chat);
    }
}
