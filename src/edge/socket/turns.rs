//! The turns of calls that were put off. Whoever is told "later" sends the same call again; what
//! the same person did in the conversation after it must not go before it meanwhile, in whatever
//! order the repeats come.
//!
//! A call that was put off keeps its turn until it is answered otherwise, or is not repeated within
//! [`TURN_KEPT_MS`] after it was due: then the client has given it up. What comes behind it is put
//! off, too, however long the client insists: an outage may be long, and what a customer says to a
//! chat that has ended goes into the one that continues it, so no later call is known to be about
//! something else. An operator's lanes are single chats, so one that cannot be read does not hold up
//! the others.
//!
//! Invariants: at most [`UNANSWERED_MAX`] turns, as many calls as a client may have open (one
//! beyond them gets none); a repeat has the turn of the first time, also while that is still under
//! way.

use crate::domain::{ChatId, CommandId, Timestamp};
use crate::edge::limits::{TURN_KEPT_MS, TURN_WAIT_MS, UNAVAILABLE_RETRY_MS};
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

/// A call's turn among those of its lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ticket {
    pub lane: Lane,
    order: Order,
    /// By arrival; a repeat has that of the first time.
    number: u64,
}

/// A call with a turn: it is under way, or was put off.
#[derive(Debug)]
struct Arrival {
    /// Counts up.
    number: u64,
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
pub(super) struct Turns {
    /// By their numbers.
    kept: Vec<Arrival>,
    last: u64,
}

impl Turns {
    /// The turn of a call that has come. Each is to be [`answered`](Self::answered).
    pub fn ticket(&mut self, lane: Lane, order: Order) -> Ticket {
        let Order::Keeps(change) = &order else {
            return Ticket { lane, order, number: 0 };
        };
        let known = self.kept.iter_mut().find(|p| p.lane == lane && p.change == *change);
        let number = match known {
            Some(arrival) => {
                arrival.under_way += 1;
                arrival.number
            }
            None => {
                self.last += 1;
                let (number, change) = (self.last, change.clone());
                if self.kept.is_empty() {
                    // Most clients have one call at a time.
                    self.kept.reserve_exact(1);
                }
                self.kept.push(Arrival { number, lane, change, under_way: 1, put_off: None });
                number
            }
        };
        Ticket { lane, order, number }
    }

    /// Errors when the call has to wait for one in front of it, with how long, ms; not for those that are
    /// carried out together with it, which are in front of it there as well.
    pub fn turn(
        &mut self,
        ticket: &Ticket,
        together: &[Ticket],
        now: Timestamp,
    ) -> Result<(), u64> {
        if ticket.order == Order::Free {
            return Ok(());
        }
        self.forget(now);
        let waits_for = |number: u64| !together.iter().any(|other| other.number == number);
        let in_front = self.kept.iter().take_while(|arrival| arrival.number < ticket.number);
        let mut before =
            in_front.filter(|arrival| arrival.lane == ticket.lane && waits_for(arrival.number));
        match before.find_map(|arrival| arrival.put_off) {
            Some(PutOff { due, .. }) if due > now => Err(due.since_ms(now) + TURN_WAIT_MS),
            // Its client is late; nobody is to ask more often for that.
            Some(_) => Err(UNAVAILABLE_RETRY_MS),
            None => Ok(()),
        }
    }

    /// The call was answered: with "later", after so many ms, or with its end.
    pub fn answered(&mut self, ticket: &Ticket, later_ms: Option<u64>, now: Timestamp) {
        let put_off = self.kept.iter().filter(|arrival| arrival.put_off.is_some()).count();
        let Ok(at) = self.kept.binary_search_by_key(&ticket.number, |arrival| arrival.number)
        else {
            return;
        };
        let arrival = &mut self.kept[at];
        arrival.under_way = arrival.under_way.saturating_sub(1);
        match later_ms {
            Some(after_ms) if arrival.put_off.is_some() || put_off < UNANSWERED_MAX => {
                arrival.put_off = Some(PutOff { last: now, due: now.plus_ms(after_ms) });
            }
            Some(_) => {}
            None => arrival.put_off = None,
        }
        if arrival.under_way == 0 && arrival.put_off.is_none() {
            self.kept.remove(at);
        }
    }

    /// Gives up the turns of calls that are not repeated.
    fn forget(&mut self, now: Timestamp) {
        self.kept.retain(|arrival| {
            let kept = |put_off: PutOff| now < put_off.last.max(put_off.due).plus_ms(TURN_KEPT_MS);
            arrival.under_way > 0 || arrival.put_off.is_some_and(kept)
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
    fn made(turns: &mut Turns, order: Order, later_ms: Option<u64>, now: u64) -> bool {
        let ticket = turns.ticket(LANE, order);
        let turn = turns.turn(&ticket, &[], Timestamp(now));
        turns.answered(&ticket, turn.err().or(later_ms), Timestamp(now));
        turn.is_ok()
    }

    fn sent(turns: &mut Turns, n: u32, later_ms: Option<u64>, now: u64) -> bool {
        made(turns, message(n), later_ms, now)
    }

    #[test]
    fn repeats_are_carried_out_in_the_order_of_the_first_time_however_they_come() {
        let mut turns = Turns::default();
        assert!(sent(&mut turns, 1, Some(500), 0));
        for n in 2..=4 {
            assert!(!sent(&mut turns, n, None, 1), "{n} waits for 1");
        }
        for (n, goes) in [(3, false), (1, true), (4, false), (2, true), (3, true), (4, true)] {
            assert_eq!(sent(&mut turns, n, None, 500), goes, "{n}");
        }
        assert!(turns.kept.is_empty());
        assert!(sent(&mut turns, 5, None, 501));
    }

    #[test]
    fn an_end_keeps_its_turn_between_two_messages() {
        let mut turns = Turns::default();
        let end = || call(1, Method::ChatEnd, 2);
        assert!(sent(&mut turns, 1, Some(500), 0));
        assert!(!made(&mut turns, end(), None, 0));
        assert!(!sent(&mut turns, 3, None, 0));
        assert!(sent(&mut turns, 1, None, 500));
        assert!(!sent(&mut turns, 3, None, 550), "the end was sent before it");
        assert!(made(&mut turns, end(), None, 550));
        assert!(sent(&mut turns, 3, None, 600));
        assert!(turns.kept.is_empty());
    }

    #[test]
    fn a_repeat_of_what_is_still_under_way_has_its_turn() {
        let mut turns = Turns::default();
        let (first, again) = (turns.ticket(LANE, message(1)), turns.ticket(LANE, message(1)));
        assert_eq!(turns.turn(&first, &[], AT), Ok(()));
        turns.answered(&first, Some(500), AT);
        assert_eq!(turns.turn(&again, &[], AT), Ok(()), "nothing but itself is in front of it");
        turns.answered(&again, None, AT);
        assert!(turns.kept.is_empty());
        assert!(sent(&mut turns, 2, None, 1));
    }

    #[test]
    fn a_repeat_that_is_put_off_after_the_first_was_answered_has_its_turn_still() {
        let mut turns = Turns::default();
        let (first, again) = (turns.ticket(LANE, message(1)), turns.ticket(LANE, message(1)));
        turns.answered(&first, None, AT);
        turns.answered(&again, Some(500), AT);
        assert!(!sent(&mut turns, 2, None, 1), "the client sends 1 once more");
        assert!(sent(&mut turns, 1, None, 500));
        assert!(sent(&mut turns, 2, None, 501));
        assert!(turns.kept.is_empty());
    }

    #[test]
    fn a_call_that_is_given_up_holds_up_the_others_for_a_while_only() {
        let mut turns = Turns::default();
        sent(&mut turns, 1, Some(500), 0);
        let waits = turns.ticket(LANE, message(2));
        assert_eq!(turns.turn(&waits, &[], Timestamp(100)), Err(400 + TURN_WAIT_MS));
        let late = Timestamp(500 + TURN_KEPT_MS - 1);
        assert_eq!(turns.turn(&waits, &[], late), Err(UNAVAILABLE_RETRY_MS), "no faster for that");
        assert_eq!(turns.turn(&waits, &[], Timestamp(500 + TURN_KEPT_MS)), Ok(()));
    }

    #[test]
    fn a_call_that_is_to_wait_for_long_keeps_its_turn_until_then() {
        let mut turns = Turns::default();
        let minute = 60_000;
        sent(&mut turns, 1, Some(minute), 0);
        assert!(!sent(&mut turns, 2, None, minute), "1 is due at this moment");
        assert!(sent(&mut turns, 1, None, minute));
    }

    #[test]
    fn however_long_a_call_is_put_off_what_came_later_stays_behind_it() {
        let mut turns = Turns::default();
        let end = || call(1, Method::ChatEnd, 3);
        // To the chat that continues the first one, as the client knows by then.
        let continued = || call(2, Method::MessageSend, 4);
        let mut now = 0;
        while now < 100 * TURN_KEPT_MS {
            assert!(sent(&mut turns, 1, Some(500), now));
            assert!(!sent(&mut turns, 2, None, now));
            assert!(!made(&mut turns, end(), None, now));
            assert!(!made(&mut turns, continued(), None, now));
            now += 500;
        }
        assert!(!made(&mut turns, continued(), None, now));
        assert!(sent(&mut turns, 1, None, now));
        assert!(sent(&mut turns, 2, None, now));
        assert!(made(&mut turns, end(), None, now));
        assert!(made(&mut turns, continued(), None, now));
        assert!(turns.kept.is_empty());
    }

    #[test]
    fn the_same_id_in_two_chats_is_two_calls() {
        let mut turns = Turns::default();
        assert!(sent(&mut turns, 1, Some(500), 0));
        assert!(!made(&mut turns, call(2, Method::MessageSend, 1), None, 0));
    }

    #[test]
    fn a_turn_does_not_grow_old_while_its_repeat_is_there() {
        let mut turns = Turns::default();
        sent(&mut turns, 1, Some(500), 0);
        let again = turns.ticket(LANE, message(1));
        assert!(!sent(&mut turns, 2, None, 2 * TURN_KEPT_MS), "1 is about to be carried out");
        assert_eq!(turns.turn(&again, &[], Timestamp(2 * TURN_KEPT_MS)), Ok(()));
    }

    #[test]
    fn other_lanes_and_what_has_no_order_go_on() {
        let mut turns = Turns::default();
        sent(&mut turns, 1, Some(500), 0);
        let other = turns.ticket(Lane::Status, message(2));
        assert_eq!(turns.turn(&other, &[], AT), Ok(()));
        let read = turns.ticket(LANE, Order::Free);
        assert_eq!(turns.turn(&read, &[], AT), Ok(()));
    }

    #[test]
    fn turns_are_bounded() {
        let mut turns = Turns::default();
        for n in 0..200 {
            sent(&mut turns, n, Some(500), 0);
        }
        assert_eq!(turns.kept.len(), UNANSWERED_MAX);
    }
}
