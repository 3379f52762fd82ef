//! The places of messages that were put off. Whoever is told "later" sends the same message again;
//! what the same person sent into the conversation after it must not go before it meanwhile, in
//! whatever order the repeats come.
//!
//! A message that was put off keeps its place until it is answered otherwise, or is not repeated
//! for [`PLACE_KEPT_MS`]: then the client has given it up. What comes behind it is put off, too.
//! Invariant: at most [`UNANSWERED_MAX`] places, since no client has more calls without an answer.

use std::collections::BTreeMap;

use super::calls::Lane;
use crate::domain::{ChatId, CommandId, Timestamp};
use crate::edge::limits::{PLACE_KEPT_MS, PLACE_WAIT_MS};
use crate::protocol::limits::UNANSWERED_MAX;

/// What a call has to do with the order of its lane's messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    /// A message: keeps its place when it is put off.
    Message(ChatId, CommandId),
    /// Comes behind the messages that were sent before it.
    Follows,
    /// Nothing.
    Free,
}

/// A call's place among those of its lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ticket {
    pub lane: Lane,
    order: Order,
    /// By arrival; a repeat has that of the first time.
    number: u64,
}

#[derive(Debug)]
struct Place {
    lane: Lane,
    message: (ChatId, CommandId),
    /// When the client sends it again.
    due: Timestamp,
    kept_until: Timestamp,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Places {
    kept: BTreeMap<u64, Place>,
    last: u64,
}

impl Places {
    /// The place of a call that has come.
    pub fn ticket(&mut self, lane: Lane, order: Order) -> Ticket {
        let known = match &order {
            Order::Message(chat, id) => self.kept.iter().find(|(_, place)| {
                place.lane == lane && (place.message.0, &place.message.1) == (*chat, id)
            }),
            Order::Follows | Order::Free => None,
        };
        let number = known.map(|(number, _)| *number).unwrap_or_else(|| {
            self.last += 1;
            self.last
        });
        Ticket { lane, order, number }
    }

    /// Errors when the call has to wait for one in front of it, with how long, ms.
    pub fn turn(&mut self, ticket: &Ticket, now: Timestamp) -> Result<(), u64> {
        if ticket.order == Order::Free || self.kept.is_empty() {
            return Ok(());
        }
        self.kept.retain(|_, place| now < place.kept_until);
        let mut before = self.kept.range(..ticket.number).map(|(_, place)| place);
        match before.rfind(|place| place.lane == ticket.lane) {
            Some(place) => Err(place.due.since_ms(now) + PLACE_WAIT_MS),
            None => Ok(()),
        }
    }

    /// The call was answered: with "later", after so many ms, or with its end.
    pub fn answered(&mut self, ticket: Ticket, later_ms: Option<u64>, now: Timestamp) {
        let Order::Message(chat, id) = ticket.order else { return };
        match later_ms {
            Some(after_ms) => {
                let known = self.kept.contains_key(&ticket.number);
                if known || self.kept.len() < UNANSWERED_MAX {
                    let (due, message) = (now.plus_ms(after_ms), (chat, id));
                    let kept_until = now.plus_ms(PLACE_KEPT_MS);
                    let place = Place { lane: ticket.lane, message, due, kept_until };
                    self.kept.insert(ticket.number, place);
                }
            }
            None => drop(self.kept.remove(&ticket.number)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANE: Lane = Lane::Conversation;

    fn message(n: u32) -> Order {
        Order::Message(ChatId::from_u128(1), CommandId::new(&n.to_string()).unwrap())
    }

    /// Sends a message; it is carried out, and answered so, if it is its turn.
    fn sent(places: &mut Places, n: u32, later_ms: Option<u64>, now: u64) -> bool {
        let ticket = places.ticket(LANE, message(n));
        let turn = places.turn(&ticket, Timestamp(now));
        let later_ms = turn.err().or(later_ms);
        places.answered(ticket, later_ms, Timestamp(now));
        turn.is_ok()
    }

    #[test]
    fn repeats_are_carried_out_in_the_order_of_the_first_time_however_they_come() {
        let mut places = Places::default();
        assert!(sent(&mut places, 1, Some(500), 0));
        for n in 2..=4 {
            assert!(!sent(&mut places, n, None, 1), "{n} waits for 1");
        }
        for (n, goes) in [(3, false), (1, true), (4, false), (2, true), (3, true), (4, true)] {
            assert_eq!(sent(&mut places, n, None, 500), goes, "{n}");
        }
        assert!(places.kept.is_empty());
        assert!(sent(&mut places, 5, None, 501));
    }

    #[test]
    fn a_message_that_is_given_up_holds_up_the_others_for_a_while_only() {
        let mut places = Places::default();
        sent(&mut places, 1, Some(500), 0);
        assert!(!sent(&mut places, 2, None, PLACE_KEPT_MS - 1));
        assert!(sent(&mut places, 2, None, PLACE_KEPT_MS));
    }

    #[test]
    fn other_lanes_and_what_has_no_order_go_on_and_an_end_follows_the_messages() {
        let mut places = Places::default();
        sent(&mut places, 1, Some(500), 0);
        let other = places.ticket(Lane::Chat(ChatId::from_u128(2)), message(2));
        assert_eq!(places.turn(&other, Timestamp(1)), Ok(()));
        let read = places.ticket(LANE, Order::Free);
        assert_eq!(places.turn(&read, Timestamp(1)), Ok(()));
        let end = places.ticket(LANE, Order::Follows);
        assert_eq!(places.turn(&end, Timestamp(1)), Err(499 + PLACE_WAIT_MS));
        places.answered(end, Some(600), Timestamp(1));
        assert!(sent(&mut places, 1, None, 500), "an end keeps no place");
        assert!(places.kept.is_empty());
    }

    #[test]
    fn places_are_bounded() {
        let mut places = Places::default();
        for n in 0..200 {
            sent(&mut places, n, Some(500), 0);
        }
        assert_eq!(places.kept.len(), UNANSWERED_MAX);
    }
}
