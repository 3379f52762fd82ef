//! Visitors and the servers of their sites.

use super::act::Act;
use super::gate::Access;
use super::permit::Asker;
use super::principal::{AccessError, Holder, Invalid, Visitor, VisitorToken, Who};
use super::revoked::For;
use super::token::Claims;
use crate::audit::Note;
use crate::domain::audit::{AuditAct, AuditSubject};
use crate::domain::{ChannelId, Customer, CustomerId, Name, Priority, Profile, Timestamp};

impl Access {
    /// A visitor's token for a channel.
    pub async fn visitor_token(
        &self,
        channel: ChannelId,
        visitor: Visitor,
        act: &Act<'_>,
    ) -> Result<VisitorToken, AccessError> {
        let _permit = act.permit().await?;
        let now = act.at();
        let name = visitor.name.as_deref().map(Name::new).transpose()?;
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
            name: name.map(|name| name.as_str().to_owned()),
            from: from.0,
            until: until.0,
        })?;
        Ok(VisitorToken { token, customer, until })
    }

    /// Revokes all tokens that a customer has when this is carried out, by what `now` says then; durably.
    /// The caller holds no permit. Errors with `TooManyRevoked`, and nothing has changed, when
    /// [`REVOKED_CUSTOMERS_MAX`](super::limits::REVOKED_CUSTOMERS_MAX) others of the channel are.
    pub async fn revoke_customer(
        &self,
        customer: Customer,
        act: &Act<'_>,
        now: impl Fn() -> Timestamp,
    ) -> Result<(), AccessError> {
        self.revoke(customer, For::Itself, act, now).await
    }

    /// The same of one who is being erased: up to
    /// [`REVOKED_FOR_ERASURE_MAX`](super::limits::REVOKED_FOR_ERASURE_MAX).
    pub async fn revoke_erased(
        &self,
        customer: Customer,
        act: &Act<'_>,
        now: impl Fn() -> Timestamp,
    ) -> Result<(), AccessError> {
        self.revoke(customer, For::Erasure, act, now).await
    }

    /// Whether there is room for the revocation that an erasure of this customer needs; to be asked before
    /// anything of it is done. Errors with `TooManyRevoked`.
    pub fn may_erase(&self, customer: Customer) -> Result<(), AccessError> {
        let room = self.revoked.room(customer, For::Erasure);
        if room { Ok(()) } else { Err(AccessError::TooManyRevoked) }
    }

    async fn revoke(
        &self,
        customer: Customer,
        what: For,
        act: &Act<'_>,
        now: impl Fn() -> Timestamp,
    ) -> Result<(), AccessError> {
        let channel = customer.channel;
        if self.catalog.snapshot().channel(channel).is_none() {
            return Err(AccessError::NoChannel { channel });
        }
        if !self.revoked.room(customer, what) {
            return Err(AccessError::TooManyRevoked);
        }
        let note = Note {
            act: AuditAct::VisitorTokensRevoked,
            subject: Some(AuditSubject::Customer { channel, customer: Some(customer.id) }),
            changes: Vec::new(),
        };
        let revoked = act.carry_out(note, self.revoked.revoke(customer, what, now)).await;
        self.tell(Holder::Customer(customer));
        let room = revoked?;
        act.settle(0, |asker| asker == Asker::Visitor(customer)).await;
        if room { Ok(()) } else { Err(AccessError::TooManyRevoked) }
    }

    /// Makes the site key of a channel anew; the former one no longer counts. The key is shown
    /// this once.
    pub async fn new_site_key(
        &self,
        channel: ChannelId,
        version: u64,
        act: &Act<'_>,
    ) -> Result<String, AccessError> {
        let snapshot = self.catalog.snapshot();
        let found = snapshot.channel(channel);
        let mut changed =
            found.map(|found| (**found).clone()).ok_or(AccessError::NoChannel { channel })?;
        changed.version = version;
        changed.site_key += 1;
        let n = changed.site_key;
        self.catalog.put(changed, act).await?;
        self.sign(&Claims::Site { channel: channel.0, n })
    }

    /// A channel that was deactivated keeps its visitors: their open chats go on.
    /// One that was issued ahead of `now`, by a clock that was set back since or after a revocation,
    /// counts as issued now: else no later one would count.
    pub(super) fn check_visitor(&self, claims: &Claims, now: Timestamp) -> Result<Who, Invalid> {
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
        let profile = Profile {
            issued_at: Timestamp(*from).min(now),
            priority: Priority::new(*priority).map_err(|_| Invalid::Token)?,
            // One that could not be shown was signed by a release without that rule.
            name: name.as_deref().and_then(|name| Name::new(name).ok()),
        };
        Ok(Who::Customer { customer, profile })
    }
}
