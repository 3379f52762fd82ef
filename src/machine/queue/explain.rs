//! Why a chat of this line waits.

use crate::domain::limits::TO_ALL_OFFERS_MAX;
use crate::domain::operator::Standing;
use crate::domain::{ChatId, Offer, Reach, Timestamp};
use crate::routing::Asks;
use crate::routing::explain::{Explanation, WhyWaits, candidates, why};

use super::Queue;
use super::line::Phase;

impl Queue {
    /// Why the chat waits; none when it is not in this line.
    pub fn explain(&self, chat: ChatId, now: Timestamp) -> Option<Explanation> {
        let entry = self.line.get(chat)?;
        let case = self.case(entry, now);
        let (candidates, standings) = candidates(&self.pool, case);
        let why = match &entry.phase {
            Phase::Reserving { offer, .. } | Phase::Offering { offer, .. } => {
                WhyWaits::BeingOffered { offer: *offer }
            }
            Phase::Offered => match entry.at.place.offer() {
                // It stands on screens, but whoever sees it has no room to accept it.
                Some(offer) if offer.reach == Reach::ToAll && self.all_full(offer) => {
                    WhyWaits::AllFull
                }
                Some(offer) => WhyWaits::Offered { offer: offer.id, expires_at: offer.expires_at },
                None => WhyWaits::ThisMoment,
            },
            Phase::Waiting if entry.at.spent => WhyWaits::OfferedTooOften,
            Phase::Waiting => match why(&self.pool, self.config.rule, case) {
                WhyWaits::ThisMoment if self.all_offers_out() => {
                    WhyWaits::OffersOut { limit: TO_ALL_OFFERS_MAX as u32 }
                }
                why => why,
            },
        };
        Some(Explanation {
            chat,
            queue: self.config.id,
            rule: self.config.rule,
            config_version: self.config.version,
            since: entry.at.since,
            rank: entry.rank,
            position: self.line.ahead_of(entry.rank, chat) + 1,
            why,
            standings,
            candidates,
        })
    }

    fn all_full(&self, offer: &Offer) -> bool {
        let full = |operator| self.pool.standing(operator) == Standing::Full;
        !offer.to.is_empty() && offer.to.iter().copied().all(full)
    }

    fn all_offers_out(&self) -> bool {
        self.asks() == Asks::All && !self.line.has_room_to_all()
    }
}
