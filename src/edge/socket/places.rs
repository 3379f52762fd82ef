//! The places of calls that were put off. Whoever is told "later" sends the same call again; what
//! the same person did in the conversation after it must not go before it meanwhile, in whatever
//! order the repeats come.
//!
//! A call that was put off keeps its place until it is answered otherwise, or is not repeated within
//! [`PLACE_KEPT_MS`] after it was due: then the client has given it up. What comes behind it is put
//! off, too, however long the client insists: an outage may be long, and what a customer says to a
//! chat that has ended goes into the one that continues it, so no later call is known to be about
//! something else. An operator's lanes are single chats, so one that cannot be read does not hold up
//! the others.
//!
//! Invariants: at most [`UNANSWERED_MAX`] places, as many calls as a client may have open (one
//! beyond them gets none); a repeat has the place of the first time, also while that is still under
//! way.

use std::collections::BTreeMap;

use crate::domain::{ChatId, CommandId, Timestamp};
use crate::edge::limits::{PLACE_KEPT_MS, PLACE_WAIT_MS, UNAVAILABLE_RETRY_MS};
use crate::protocol::limits::UNANSWERED_MAX;
use crate::protocol::{Lane, Method};

/// What a call has to do with the order of its lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    /// It changes the conversation.
    Keeps(Change),
    /// Nothing.
    Free,
}

/// What a client calls a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// The chat that it names; none for one that is to be opened.
    pub chat: Option<ChatId>,
    pub method: Method,
    pub id: CommandId,
}

/// A call's place among those of its lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ticket {
    pub lane: Lane,
    order: Order,
    /// By arrival; a repeat has that of the first time.
    number: u64,
}

/// A call with a place: it is under way, or was put off.
#[derive(Debug)]
struct Place {
    lane: Lane,
    change: Change,
    /// How many times it is under way.
    under_way: u32,
    put_off: Option<PutOff>,
}

#[derive(Debug, Clone, Copy)]
struct PutOff {
    /// For the last time.
    last: Timestamp,
    /// When the client sends it again.
    due: Timestamp,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Places {
    kept: BTreeMap<u64, Place>,
    last: u64,
}

impl Places {
    /// The place of a call that has come. Each is to be [`answered`](Self::answered).
    pub fn ticket(&mut self, lane: Lane, order: Order) -> Ticket {
        let Order::Keeps(change) = &order else {
            return Ticket { lane, order, number: 0 };
        };
        let known = self.kept.iter_mut().find(|(_, p)| p.lane == lane && p.change == *change);
        let number = match known {
            Some((number, place)) => {
                place.under_way += 1;
                *number
            }
            None => {
                self.last += 1;
                let change = change.clone();
                let place = Place { lane, change, under_way: 1, put_off: None };
                self.kept.insert(self.last, place);
                self.last
            }
        };
        Ticket { lane, order, number }
    }

    /// Errors when the call has to wait for one in front of it, with how long, ms.
    pub fn turn(&mut self, ticket: &Ticket, now: Timestamp) -> Result<(), u64> {
        if ticket.order == Order::Free {
            return Ok(());
        }
        self.forget(now);
        let before = self.kept.range(..ticket.number).map(|(_, place)| place);
        let mut before = before.filter(|place| place.lane == ticket.lane);
        match before.find_map(|place| place.put_off) {
            Some(PutOff { due, .. }) if due > now => Err(due.since_ms(now) + PLACE_WAIT_MS),
            // Its client is late; nobody is to ask more often for that.
            Some(_) => Err(UNAVAILABLE_RETRY_MS),
            None => Ok(()),
        }
    }

    /// The call was answered: with "later", after so many ms, or with its end.
    pub fn answered(&mut self, ticket: &Ticket, later_ms: Option<u64>, now: Timestamp) {
        let put_off = self.kept.values().filter(|place| place.put_off.is_some()).count();
        let Some(place) = self.kept.get_mut(&ticket.number) else { return };
        place.under_way = place.under_way.saturating_sub(1);
        match later_ms {
            Some(after_ms) if place.put_off.is_some() || put_off < UNANSWERED_MAX => {
                place.put_off = Some(PutOff { last: now, due: now.plus_ms(after_ms) });
            }
            Some(_) => {}
            None => place.put_off = None,
        }
        if place.under_way == 0 && place.put_off.is_none() {
            self.kept.remove(&ticket.number);
        }
    }

    /// Gives up the places of calls that are not repeated.
    fn forget(&mut self, now: Timestamp) {
        self.kept.retain(|_, place| {
            let kept = |put_off: PutOff| now < put_off.last.max(put_off.due).plus_ms(PLACE_KEPT_MS);
            place.under_way > 0 || place.put_off.is_some_and(kept)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANE: Lane = Lane::Conversation;
    const AT: Timestamp = Timestamp(0);

    fn call(chat: u128, method: Method, n: u32) -> Order {
        let (chat, id) = (Some(ChatId::from_u128(chat)), CommandId::new(&n.to_string()).unwrap());
        Order::Keeps(Change { chat, method, id })
    }

    fn message(n: u32) -> Order {
        call(1, Method::MessageSend, n)
    }

    /// Makes a call; it is carried out, and answered so, if it is its turn.
    fn made(places: &mut Places, order: Order, later_ms: Option<u64>, now: u64) -> bool {
        let ticket = places.ticket(LANE, order);
        let turn = places.turn(&ticket, Timestamp(now));
        places.answered(&ticket, turn.err().or(later_ms), Timestamp(now));
        turn.is_ok()
    }

    fn sent(places: &mut Places, n: u32, later_ms: Option<u64>, now: u64) -> bool {
        made(places, message(n), later_ms, now)
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
    fn an_end_keeps_its_place_between_two_messages() {
        let mut places = Places::default();
        let end = || call(1, Method::ChatEnd, 2);
        assert!(sent(&mut places, 1, Some(500), 0));
        assert!(!made(&mut places, end(), None, 0));
        assert!(!sent(&mut places, 3, None, 0));
        assert!(sent(&mut places, 1, None, 500));
        assert!(!sent(&mut places, 3, None, 550), "the end was sent before it");
        assert!(made(&mut places, end(), None, 550));
        assert!(sent(&mut places, 3, None, 600));
        assert!(places.kept.is_empty());
    }

    #[test]
    fn a_repeat_of_what_is_still_under_way_has_its_place() {
        let mut places = Places::default();
        let (first, again) = (places.ticket(LANE, message(1)), places.ticket(LANE, message(1)));
        assert_eq!(places.turn(&first, AT), Ok(()));
        places.answered(&first, Some(500), AT);
        assert_eq!(places.turn(&again, AT), Ok(()), "nothing but itself is in front of it");
        places.answered(&again, None, AT);
        assert!(places.kept.is_empty());
        assert!(sent(&mut places, 2, None, 1));
    }

    #[test]
    fn a_repeat_that_is_put_off_after_the_first_was_answered_has_its_place_still() {
        let mut places = Places::default();
        let (first, again) = (places.ticket(LANE, message(1)), places.ticket(LANE, message(1)));
        places.answered(&first, None, AT);
        places.answered(&again, Some(500), AT);
        assert!(!sent(&mut places, 2, None, 1), "the client sends 1 once more");
        assert!(sent(&mut places, 1, None, 500));
        assert!(sent(&mut places, 2, None, 501));
        assert!(places.kept.is_empty());
    }

    #[test]
    fn a_call_that_is_given_up_holds_up_the_others_for_a_while_only() {
        let mut places = Places::default();
        sent(&mut places, 1, Some(500), 0);
        let waits = places.ticket(LANE, message(2));
        assert_eq!(places.turn(&waits, Timestamp(100)), Err(400 + PLACE_WAIT_MS));
        let late = Timestamp(500 + PLACE_KEPT_MS - 1);
        assert_eq!(places.turn(&waits, late), Err(UNAVAILABLE_RETRY_MS), "no faster for that");
        assert_eq!(places.turn(&waits, Timestamp(500 + PLACE_KEPT_MS)), Ok(()));
    }

    #[test]
    fn a_call_that_is_to_wait_for_long_keeps_its_place_until_then() {
        let mut places = Places::default();
        let minute = 60_000;
        sent(&mut places, 1, Some(minute), 0);
        assert!(!sent(&mut places, 2, None, minute), "1 is due at this moment");
        assert!(sent(&mut places, 1, None, minute));
    }

    #[test]
    fn however_long_a_call_is_put_off_what_came_later_stays_behind_it() {
        let mut places = Places::default();
        let end = || call(1, Method::ChatEnd, 3);
        // To the chat that continues the first one, as the client knows by then.
        let continued = || call(2, Method::MessageSend, 4);
        let mut now = 0;
        while now < 100 * PLACE_KEPT_MS {
            assert!(sent(&mut places, 1, Some(500), now));
            assert!(!sent(&mut places, 2, None, now));
            assert!(!made(&mut places, end(), None, now));
            assert!(!made(&mut places, continued(), None, now));
            now += 500;
        }
        assert!(!made(&mut places, continued(), None, now));
        assert!(sent(&mut places, 1, None, now));
        assert!(sent(&mut places, 2, None, now));
        assert!(made(&mut places, end(), None, now));
        assert!(made(&mut places, continued(), None, now));
        assert!(places.kept.is_empty());
    }

    #[test]
    fn the_same_id_in_two_chats_is_two_calls() {
        let mut places = Places::default();
        assert!(sent(&mut places, 1, Some(500), 0));
        assert!(!made(&mut places, call(2, Method::MessageSend, 1), None, 0));
    }

    #[test]
    fn a_place_does_not_grow_old_while_its_repeat_is_there() {
        let mut places = Places::default();
        sent(&mut places, 1, Some(500), 0);
        let again = places.ticket(LANE, message(1));
        assert!(!sent(&mut places, 2, None, 2 * PLACE_KEPT_MS), "1 is about to be carried out");
        assert_eq!(places.turn(&again, Timestamp(2 * PLACE_KEPT_MS)), Ok(()));
    }

    #[test]
    fn other_lanes_and_what_has_no_order_go_on() {
        let mut places = Places::default();
        sent(&mut places, 1, Some(500), 0);
        let other = places.ticket(Lane::Status, message(2));
        assert_eq!(places.turn(&other, AT), Ok(()));
        let read = places.ticket(LANE, Order::Free);
        assert_eq!(places.turn(&read, AT), Ok(()));
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
