//! Visitors and the servers of their sites.

use super::gate::Access;
use super::limits::VISITOR_NAME_MAX_BYTES;
use super::principal::{AccessError, Holder, Invalid, Visitor, VisitorToken, Who};
use super::token::Claims;
use crate::domain::name::name;
use crate::domain::{ChannelId, Customer, CustomerId, Priority, Timestamp};

impl Access {
    /// A visitor's token for a channel.
    pub fn visitor_token(
        &self,
        channel: ChannelId,
        visitor: Visitor,
        now: Timestamp,
    ) -> Result<VisitorToken, AccessError> {
        let name = visitor.name.map(|text| name(&text, VISITOR_NAME_MAX_BYTES)).transpose()?;
        let snapshot = self.catalog.snapshot();
        let found = snapshot.channel(channel).filter(|channel| channel.active);
        let found = found.ok_or(AccessError::NoChannel { channel })?;
        let customer = match visitor.customer {
            Some(customer) => customer,
            None => CustomerId(uuid::Builder::from_random_bytes(self.random()?).into_uuid()),
        };
        // A token issued in the millisecond of a revocation comes after it.
        let revoked = self.revoked.at(Customer { channel, id: customer }).map(|at| at.plus_ms(1));
        let from = revoked.unwrap_or(now).max(now);
        let until = now.plus_ms(self.lives.visitor_ms);
        let token = self.sign(&Claims::Visitor {
            channel: channel.0,
            epoch: found.visitor_epoch,
            customer: customer.0,
            priority: visitor.priority.points(),
            name,
            from: from.0,
            until: until.0,
        })?;
        Ok(VisitorToken { token, customer, until })
    }

    /// Revokes all tokens that a customer has, durably.
    pub async fn revoke_customer(
        &self,
        customer: Customer,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        let channel = customer.channel;
        if self.catalog.snapshot().channel(channel).is_none() {
            return Err(AccessError::NoChannel { channel });
        }
        let room = self.revoked.revoke(customer, now).await;
        self.tell(Holder::Customer(customer));
        let room = room?;
        if room { Ok(()) } else { Err(AccessError::TooManyRevoked) }
    }

    /// Makes the site key of a channel anew; the former one no longer counts. The key is shown
    /// this once.
    pub async fn new_site_key(
        &self,
        channel: ChannelId,
        version: u64,
    ) -> Result<String, AccessError> {
        let snapshot = self.catalog.snapshot();
        let found = snapshot.channel(channel);
        let mut changed =
            found.map(|found| (**found).clone()).ok_or(AccessError::NoChannel { channel })?;
        changed.version = version;
        changed.site_key += 1;
        let n = changed.site_key;
        self.catalog.put_channel(changed).await?;
        self.sign(&Claims::Site { channel: channel.0, n })
    }

    /// A channel that was deactivated keeps its visitors: their open chats go on.
    pub(super) fn check_visitor(&self, claims: &Claims) -> Result<Who, Invalid> {
        let Claims::Visitor { channel, epoch, customer, priority, name, from, until: _ } = claims
        else {
            return Err(Invalid::Token);
        };
        let channel = ChannelId(*channel);
        let customer = Customer { channel, id: CustomerId(*customer) };
        let snapshot = self.catalog.snapshot();
        let found = snapshot.channel(channel).ok_or(Invalid::Revoked)?;
        let revoked = self.revoked.at(customer).is_some_and(|at| *from <= at.0);
        if found.visitor_epoch != *epoch || revoked {
            return Err(Invalid::Revoked);
        }
        Ok(Who::Customer {
            customer,
            priority: Priority::new(*priority).map_err(|_| Invalid::Token)?,
            name: name.clone(),
        })
    }
}
