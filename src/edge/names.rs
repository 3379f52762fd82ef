//! The names that participants see of each other.

use crate::catalog::{Sender, Snapshot};
use crate::domain::{ChannelId, UserId};
use crate::protocol::{Audience, Names};

/// Names as the catalog has them, for one chat and one audience.
#[derive(Debug, Clone, Copy)]
pub struct CatalogNames<'a> {
    /// The catalog.
    pub snapshot: &'a Snapshot,
    /// The chat's channel.
    pub channel: ChannelId,
    /// Who looks.
    pub audience: Audience,
}

impl Names for CatalogNames<'_> {
    /// Colleagues see the operator's name; customers that of the channel, if the channel says so.
    fn of(&self, user: UserId) -> Option<String> {
        let channel = self.snapshot.channel(self.channel);
        let own = || self.snapshot.user(user).map(|user| user.name.clone());
        match (self.audience, channel.map(|channel| channel.sender)) {
            (Audience::Staff, _) | (Audience::Customer, Some(Sender::Operator)) => own(),
            (Audience::Customer, Some(Sender::Channel)) => {
                channel.map(|channel| channel.name.clone())
            }
            (Audience::Customer, None) => None,
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
            let channel = Channel {
                sender,
                ..Channel::new(site, "Shop", Provider::WebChat, queue)
            };
            let user = User::new(anna, "Anna", "anna", Role::Operator);
            let snapshot = Snapshot::of([user], [], [channel]);
            let names = |audience, channel| CatalogNames {
                snapshot: &snapshot,
                channel,
                audience,
            };
            assert_eq!(
                names(Audience::Customer, site).of(anna).as_deref(),
                Some(seen)
            );
            assert_eq!(
                names(Audience::Staff, site).of(anna).as_deref(),
                Some("Anna")
            );
            let gone = ChannelId::from_u128(9);
            assert_eq!(names(Audience::Customer, gone).of(anna), None);
        }
    }
}
