//! Whose sockets are open, so that a revocation wakes those whom it concerns and nobody else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::access::Holder;
use crate::domain::{ChannelId, Customer, CustomerId};

/// The sockets by the holders of their tokens.
#[derive(Debug, Clone, Default)]
pub(super) struct Holders(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    next: u64,
    sockets: BTreeMap<(Holder, u64), Arc<Notify>>,
}

/// An open session of a holder; it is forgotten when dropped.
#[derive(Debug)]
pub(super) struct Held {
    key: (Holder, u64),
    asked: Arc<Notify>,
    of: Holders,
}

impl Holders {
    /// Notes an open session.
    pub fn hold(&self, holder: Holder) -> Held {
        let mut open = self.open();
        let (key, asked) = ((holder, open.next), Arc::new(Notify::new()));
        open.next += 1;
        open.sockets.insert(key, Arc::clone(&asked));
        Held { key, asked, of: self.clone() }
    }

    /// Has the sockets of a holder ask whether they still may. Answers how many there are.
    pub fn ask(&self, holder: Holder) -> usize {
        self.ask_between(holder, holder)
    }

    /// The same for all customers of a channel.
    pub fn ask_channel(&self, channel: ChannelId) -> usize {
        let of = |id| Holder::Customer(Customer { channel, id: CustomerId::from_u128(id) });
        self.ask_between(of(0), of(u128::MAX))
    }

    /// The same for everybody.
    pub fn ask_all(&self) -> usize {
        wake(self.open().sockets.values())
    }

    fn ask_between(&self, first: Holder, last: Holder) -> usize {
        wake(self.open().sockets.range((first, 0)..=(last, u64::MAX)).map(|(_, asked)| asked))
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A permit is kept until the socket looks: none is lost between two of its steps.
fn wake<'a>(sockets: impl Iterator<Item = &'a Arc<Notify>>) -> usize {
    sockets.inspect(|asked| asked.notify_one()).count()
}

impl Held {
    /// Ends when the session has to ask whether it still may.
    pub fn is_asked(&self) -> OwnedNotified {
        Arc::clone(&self.asked).notified_owned()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.of.open().sockets.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::domain::UserId;

    fn user(n: u128) -> Holder {
        Holder::User(UserId::from_u128(n))
    }

    fn customer(channel: u128, n: u128) -> Holder {
        let (channel, id) = (ChannelId::from_u128(channel), CustomerId::from_u128(n));
        Holder::Customer(Customer { channel, id })
    }

    #[test]
    fn only_those_whom_it_concerns_are_asked() {
        let holders = Holders::default();
        let [anna, also_anna, boris] = [1, 1, 2].map(|n| holders.hold(user(n)));
        let [vera, other, elsewhere] =
            [customer(1, 1), customer(1, u128::MAX), customer(2, 1)].map(|who| holders.hold(who));
        let asked = |held: &Held| held.is_asked().now_or_never().is_some();
        assert_eq!(holders.ask(user(1)), 2);
        assert!(asked(&anna) && asked(&also_anna));
        assert!(![&boris, &vera, &other, &elsewhere].into_iter().any(asked));
        assert_eq!(holders.ask(customer(1, 1)), 1);
        assert!(asked(&vera) && !asked(&other) && !asked(&elsewhere) && !asked(&boris));
        assert_eq!(holders.ask_channel(ChannelId::from_u128(1)), 2);
        assert!(asked(&vera) && asked(&other) && !asked(&elsewhere) && !asked(&anna));
        assert_eq!(holders.ask_all(), 6);
        drop((anna, also_anna));
        assert_eq!(holders.ask(user(1)), 0);
        drop((boris, vera, other, elsewhere));
        assert!(holders.open().sockets.is_empty(), "nobody is remembered");
    }
}
