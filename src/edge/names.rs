//! The names that participants see of each other.

use crate::catalog::{Sender, Snapshot};
use crate::domain::{Audience, ChannelId, Name, UserId};
use crate::protocol::Names;

/// Who looks at names. A customer sees chats of its own channel only, staff those of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Viewer {
    /// A colleague.
    Staff,
    /// A customer of the channel.
    CustomerOf(ChannelId),
}

impl Viewer {
    /// Which of the two views of a chat it gets.
    pub fn audience(self) -> Audience {
        match self {
            Self::Staff => Audience::Staff,
            Self::CustomerOf(_) => Audience::Customer,
        }
    }
}

/// Names as the catalog has them, for one viewer.
#[derive(Debug, Clone, Copy)]
pub struct CatalogNames<'a> {
    /// The catalog.
    pub snapshot: &'a Snapshot,
    /// Who looks.
    pub viewer: Viewer,
}

impl Names for CatalogNames<'_> {
    /// Colleagues see the operator's name; customers that of the channel, if it speaks for its
    /// operators, or spoke for them then. Each name is that of its time, as far as it is known.
    fn of(&self, user: UserId, then: Option<&Name>, spoke: Option<&Name>) -> Option<String> {
        let text = |name: &Name| name.as_str().to_owned();
        let today = || self.snapshot.user(user).map(|user| user.name.clone());
        let own = || then.map(text).or_else(today);
        let channel = match self.viewer {
            Viewer::Staff => return own(),
            Viewer::CustomerOf(channel) => self.snapshot.channel(channel)?,
        };
        match (spoke, channel.sender) {
            (Some(spoke), _) => Some(text(spoke)),
            (None, Sender::Operator) => own(),
            (None, Sender::Channel) => Some(channel.name.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Channel, Provider, Role, User};
    use crate::domain::QueueId;

    #[test]
    fn a_customer_sees_the_sender_that_the_channel_says() {
        let (anna, site) = (UserId::from_u128(1), ChannelId::from_u128(2));
        let queue = QueueId::from_u128(3);
        for (sender, seen) in [(Sender::Operator, "Anna"), (Sender::Channel, "Shop")] {
            let channel =
                Channel { sender, ..Channel::new(site, "Shop", Provider::WebChat, queue) };
            let user = User::new(anna, "Anna", "anna", Role::Operator);
            let snapshot = Snapshot::of([user], [], [channel]);
            let names = |viewer| CatalogNames { snapshot: &snapshot, viewer };
            let now = |viewer| names(viewer).of(anna, None, None);
            assert_eq!(now(Viewer::CustomerOf(site)).as_deref(), Some(seen));
            assert_eq!(now(Viewer::Staff).as_deref(), Some("Anna"));
            let gone = ChannelId::from_u128(9);
            assert_eq!(now(Viewer::CustomerOf(gone)), None);
            // What was said under another name keeps it; who hides its operators, hides all of them.
            let (then, spoke) = (Name::new("Anne").unwrap(), Name::new("Store").unwrap());
            let of = |viewer, spoke| names(viewer).of(anna, Some(&then), spoke);
            assert_eq!(of(Viewer::Staff, None).as_deref(), Some("Anne"));
            assert_eq!(of(Viewer::Staff, Some(&spoke)).as_deref(), Some("Anne"));
            assert_eq!(of(Viewer::CustomerOf(site), Some(&spoke)).as_deref(), Some("Store"));
            let seen = if sender == Sender::Operator { "Anne" } else { "Shop" };
            assert_eq!(of(Viewer::CustomerOf(site), None).as_deref(), Some(seen));
        }
    }
}
