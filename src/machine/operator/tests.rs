//! The operator machine by itself: lapses, presence, recovery, deactivation, connections.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::event::{OfferEnd, WithdrawReason};
use crate::domain::limits::{
    ASSIGN_LIMIT_MS, CALLS_HELD_MAX, PRESENCE_GRACE_MS, PROBE_EVERY_MS, PROBE_LIMIT_MS,
    RECALL_LIMIT_MS,
};
use crate::domain::operator::{AwayReason, OperatorRecord, Standing};
use crate::domain::{
    ChatId, Offer, OfferId, Place, Priority, QueueId, Reach, RoutingSettings, Status, Timestamp,
};
use crate::machine::chat::Refusal;
use crate::machine::fixture::*;
use crate::machine::message::{Asked, AssignBy, AssignedAt, ChatAt, ToChat, ToOperator, ToQueue};
use crate::machine::operator::{
    Account, Beginning, Gone, Held, Notice, Operator, OperatorAnswer, OperatorCall, OperatorEffect,
    OperatorInput, Terms,
};
use crate::storage::{Moving, OpenChat};

mod assigning;
mod fitting;
mod keeping;
mod kept;
mod membership;
mod pull;
mod telling;

const START: Timestamp = Timestamp(1_000_000);
/// The first life of a process.
const FIRST: Beginning = Beginning { now: START, follows: false, grace_until: START };
/// One after another in the same process.
const NEXT: Beginning = Beginning { follows: true, ..FIRST };
const ABSENT_MS: u64 = 5_000;

#[test]
fn a_take_keeps_the_queues_own_limit() {
    let mut desk = Desk::present(3);
    let mut account = account(3);
    account.per_operator_limits = Arc::new(BTreeMap::from([(QUEUE, 1)]));
    desk.step(OperatorInput::Account(account));
    desk.say(ToOperator::At(at(chat(1), 2, owned())));
    let take =
        OperatorCall::Take { chat: chat(2), command: command("t"), chat_administrator: true };
    desk.step(OperatorInput::Call(5, take));
    // The chat tells its placement, and with it the queue that it is in.
    let by = AssignBy::Take { placement: 0, queues: Vec::new(), any: true };
    let effects = desk.say(ToOperator::AssignAnswer {
        command: Some(command("t")),
        by,
        result: Err(Refusal::WrongState { state: crate::domain::ChatState::Waiting }),
        at: Some(at(chat(2), 1, Place::Waiting)),
        chat: chat(2),
    });
    assert_eq!(answers(&effects), [(5, Err(Refusal::NoSlot(Standing::Full)))]);
    assert_eq!(desk.ann.load(), 1);
}

#[test]
fn a_decline_whose_id_was_used_for_something_else_is_refused_and_the_offer_stands() {
    let mut desk = Desk::present(1);
    let offer = desk.offered(chat(1), true);
    let decline = OperatorCall::Decline { chat: chat(1), offer, command: command("used") };
    desk.step(OperatorInput::Call(6, decline));
    let live = Offer {
        id: offer,
        reach: Reach::Directed,
        to: Arc::new([ANN].into()),
        returned: Default::default(),
        expires_at: desk.now.plus_ms(10_000),
    };
    let effects = desk.say(ToOperator::Recalled {
        chat: chat(1),
        command: command("used"),
        asked: Asked::Decline(offer),
        result: Some(Err(Refusal::IdReused)),
        at: Some(at(chat(1), 2, Place::Offered(live))),
    });
    assert_eq!(answers(&effects), [(6, Err(Refusal::IdReused))]);
    assert!(matches!(desk.ann.slots()[&chat(1)].held, Held::Offered { .. }));
}

#[test]
fn an_id_used_for_something_else_is_refused_though_the_chat_is_hers_or_is_becoming_hers() {
    let mut desk = Desk::present(2);
    let offer = desk.offered(chat(1), true);
    let accept = |id| OperatorCall::Accept { chat: chat(1), offer, command: command(id) };
    let recalled = |id, result, at| ToOperator::Recalled {
        chat: chat(1),
        command: command(id),
        asked: Asked::Accept(offer),
        result,
        at: Some(at),
    };
    let live = desk.live(chat(1), offer, Reach::Directed);
    desk.step(OperatorInput::Call(1, accept("yes")));
    // The same under other ids meanwhile: one of them is new, one stands for a message.
    for (call, id) in [(2, "new"), (3, "message")] {
        assert_eq!(answers(&desk.step(OperatorInput::Call(call, accept(id)))), []);
    }
    assert_eq!(answers(&desk.say(recalled("new", None, live.clone()))), [], "it is under way");
    let reused = Some(Err(Refusal::IdReused));
    let effects = desk.say(recalled("message", reused, live));
    assert_eq!(answers(&effects), [(3, Err(Refusal::IdReused))]);
    let effects = desk.say(ToOperator::At(at(chat(1), 3, owned())));
    let yes = Ok(OperatorAnswer::Assigned(AssignedAt { seq: 3, at: Timestamp(1_000) }));
    assert_eq!(answers(&effects), [(1, yes), (2, yes)]);
    // And when the chat is hers.
    desk.step(OperatorInput::Call(4, accept("message")));
    let effects = desk.say(recalled("message", reused, at(chat(1), 3, owned())));
    assert_eq!(answers(&effects), [(4, Err(Refusal::IdReused))]);
}

/// Ann at work: the machine, and the time.
struct Desk {
    ann: Operator,
    now: Timestamp,
    offers: u64,
}

fn account(capacity: u32) -> Account {
    let terms = Terms {
        directed: true,
        manual: false,
        priority: Priority::default(),
        offer_timeout_ms: 30_000,
    };
    Account {
        capacity,
        active: true,
        queues: BTreeMap::from([(QUEUE, terms)]),
        per_operator_limits: Default::default(),
        absent_owner_limits_ms: Arc::new(BTreeMap::from([(QUEUE, ABSENT_MS)])),
        settings: RoutingSettings::default(),
    }
}

impl Desk {
    /// Ready and live, without a connection.
    fn absent(capacity: u32, rows: Vec<OpenChat>) -> Self {
        let record = OperatorRecord { status: Status::Ready, ..Default::default() };
        let ann = Operator::new(ANN, account(capacity), record, 1, FIRST);
        let mut desk = Self { ann, now: START, offers: 0 };
        assert!(desk.step(OperatorInput::Tick).contains(&OperatorEffect::ReadIndex));
        desk.step(OperatorInput::Recovered(rows));
        desk
    }

    /// There, and nothing waits for her.
    fn present(capacity: u32) -> Self {
        let mut desk = Self::absent(capacity, Vec::new());
        desk.connect(1);
        assert_eq!(desk.ann.standing(), Standing::Free);
        desk
    }

    /// Takes an input; answers pulls with nothing, and saves at once.
    fn step(&mut self, input: OperatorInput) -> Vec<OperatorEffect> {
        let mut effects = self.ann.step(self.now, input);
        self.ann.assert_invariants();
        let mut n = 0;
        while let Some(effect) = effects.get(n) {
            n += 1;
            let input = match effect {
                OperatorEffect::ToQueue(queue, ToQueue::Pull { pull, .. }) => {
                    let best = ToOperator::Best { queue: *queue, pull: *pull, best: None };
                    OperatorInput::Said(best)
                }
                OperatorEffect::Save(_) => OperatorInput::Saved(true),
                _ => continue,
            };
            effects.extend(self.ann.step(self.now, input));
            self.ann.assert_invariants();
        }
        effects
    }

    fn later(&mut self, ms: u64) -> Vec<OperatorEffect> {
        self.now = self.now.plus_ms(ms);
        self.step(OperatorInput::Tick)
    }

    /// Goes on from one time that she asked to be woken at to the next, while her page answers, until
    /// this one: nothing else has to happen for what is due then.
    fn woken_at(&mut self, at: Timestamp) -> Vec<OperatorEffect> {
        loop {
            let next = self.ann.next_deadline(self.now).expect("something is to come");
            assert!(next <= at, "nothing wakes her at {at}, but at {next}");
            self.now = next.max(self.now);
            let effects = self.step(OperatorInput::Tick);
            self.answer_probes(&effects);
            if next == at {
                return effects;
            }
        }
    }

    fn say(&mut self, said: ToOperator) -> Vec<OperatorEffect> {
        self.step(OperatorInput::Said(said))
    }

    fn connect(&mut self, connection: u64) {
        let effects = self.step(OperatorInput::Connected(connection));
        self.answer_probes(&effects);
    }

    fn answer_probes(&mut self, effects: &[OperatorEffect]) {
        for effect in effects {
            if let OperatorEffect::Probe(connection, probe) = effect {
                self.step(OperatorInput::ProbeAnswered(*connection, *probe));
            }
        }
    }

    /// A directed offer of the chat, shown or not.
    fn offered(&mut self, chat: ChatId, shown: bool) -> OfferId {
        self.offers += 1;
        let offer = OfferId::of(50, self.offers);
        let expires_at = self.now.plus_ms(TIMEOUT_MS);
        self.say(ToOperator::Reserve { queue: QUEUE, offer, chat, rank: 0, expires_at });
        self.say(ToOperator::At(self.live(chat, offer, Reach::Directed)));
        assert!(matches!(self.ann.slots()[&chat].held, Held::Offered { .. }));
        if shown {
            self.step(OperatorInput::Call(1, OperatorCall::Shown { chat, offer }));
        }
        offer
    }

    fn invited(&mut self, chat: ChatId) -> OfferId {
        self.offers += 1;
        let offer = OfferId::of(50, self.offers);
        self.say(ToOperator::At(self.live(chat, offer, Reach::ToAll)));
        assert!(self.ann.invites().contains_key(&chat));
        offer
    }

    fn live(&self, chat: ChatId, id: OfferId, reach: Reach) -> ChatAt {
        let (to, expires_at) = (Arc::new([ANN].into()), self.now.plus_ms(TIMEOUT_MS));
        at(
            chat,
            2,
            Place::Offered(Offer { id, reach, to, returned: Default::default(), expires_at }),
        )
    }

    fn lapsed(&mut self, chat: ChatId, offer: OfferId) -> Vec<OperatorEffect> {
        let last_offer = Some((offer, OfferEnd::Lapsed));
        self.say(ToOperator::At(ChatAt { last_offer, ..at(chat, 3, Place::Waiting) }))
    }

    fn owns(&mut self, chat: ChatId) {
        let offer = self.offered(chat, true);
        let accept = OperatorCall::Accept { chat, offer, command: command("yes") };
        self.step(OperatorInput::Call(2, accept));
        self.say(ToOperator::At(at(chat, 3, owned())));
        assert_eq!(self.ann.slots()[&chat].held, Held::Active);
    }

    fn deactivate(&mut self) -> Vec<OperatorEffect> {
        let inactive = Account { active: false, ..self.ann.account().clone() };
        self.step(OperatorInput::Account(inactive))
    }
}

fn owned() -> Place {
    Place::Assigned { owner: ANN, begun: false }
}

fn chat(n: u128) -> ChatId {
    ChatId::from_u128(0xc0 + n)
}

pub(super) fn row(chat: ChatId, place: Place, moving: Option<Moving>) -> OpenChat {
    let at = at(chat, 2, place);
    OpenChat {
        chat,
        queue: QUEUE,
        placement: 2,
        priority: at.priority,
        since: at.since,
        refused_by: BTreeMap::new(),
        place: Some(at.place),
        next_deadline: None,
        moving,
    }
}

fn withdrawn(effects: &[OperatorEffect], chat: ChatId) -> Option<WithdrawReason> {
    effects.iter().find_map(|effect| match effect {
        OperatorEffect::ToChat(of, ToChat::Withdraw { reason, .. }) if *of == chat => Some(*reason),
        _ => None,
    })
}

fn owner_gone(effects: &[OperatorEffect], chat: ChatId) -> bool {
    effects.iter().any(|effect| {
        matches!(effect, OperatorEffect::ToChat(of, ToChat::OwnerGone { .. }) if *of == chat)
    })
}

fn answers(effects: &[OperatorEffect]) -> Vec<(u64, Result<OperatorAnswer, Refusal>)> {
    let answers = effects.iter().filter_map(|effect| match effect {
        OperatorEffect::Answer(call, answer) => Some((*call, *answer)),
        _ => None,
    });
    answers.collect()
}

#[test]
fn offers_that_lapse_in_a_row_set_her_away_and_she_is_told() {
    let mut desk = Desk::present(3);
    for n in 0..3 {
        assert_eq!(*desk.ann.status(), Status::Ready, "after {n}");
        let offer = desk.offered(chat(n), true);
        let effects = desk.lapsed(chat(n), offer);
        assert!(effects.contains(&OperatorEffect::Show(Notice::OfferWithdrawn {
            chat: chat(n),
            offer,
            reason: Gone::Lapsed
        })));
    }
    let away = Status::Away(AwayReason::missed_offers());
    assert_eq!((desk.ann.status(), desk.ann.record().lapses_in_row), (&away, 0));
    assert_eq!(desk.ann.standing(), Standing::Away);
}

#[test]
fn a_decline_or_an_accept_in_between_begins_the_row_anew() {
    for accepts in [true, false] {
        let mut desk = Desk::present(3);
        for n in 0..2 {
            let offer = desk.offered(chat(n), true);
            desk.lapsed(chat(n), offer);
        }
        assert_eq!(desk.ann.record().lapses_in_row, 2);
        if accepts {
            desk.owns(chat(9));
        } else {
            let offer = desk.offered(chat(9), true);
            let decline = OperatorCall::Decline { chat: chat(9), offer, command: command("no") };
            desk.step(OperatorInput::Call(3, decline));
        }
        assert_eq!(desk.ann.record().lapses_in_row, 0);
    }
}

#[test]
fn a_lapse_that_nobody_could_see_does_not_count() {
    // Never shown.
    let mut desk = Desk::present(3);
    let offer = desk.offered(chat(1), false);
    desk.lapsed(chat(1), offer);
    assert_eq!(desk.ann.record().lapses_in_row, 0, "it reached no screen");
    // Shown, then the connection was lost.
    let offer = desk.offered(chat(2), true);
    desk.step(OperatorInput::Disconnected(1));
    desk.lapsed(chat(2), offer);
    assert_eq!(desk.ann.record().lapses_in_row, 0, "nobody was there");
    // To all.
    let mut desk = Desk::present(3);
    let offer = desk.invited(chat(3));
    desk.step(OperatorInput::Call(1, OperatorCall::Shown { chat: chat(3), offer }));
    desk.lapsed(chat(3), offer);
    assert_eq!(desk.ann.record().lapses_in_row, 0, "it was for everybody");
    assert!(desk.ann.invites().is_empty());
}

#[test]
fn without_a_connection_she_keeps_her_offers_for_the_grace_and_is_offline_after_it() {
    let mut desk = Desk::present(2);
    desk.offered(chat(1), true);
    desk.step(OperatorInput::Disconnected(1));
    assert_eq!(desk.ann.standing(), Standing::NotConnected);
    let effects = desk.later(PRESENCE_GRACE_MS - 1);
    assert_eq!((withdrawn(&effects, chat(1)), desk.ann.status()), (None, &Status::Ready));
    let effects = desk.later(1);
    assert_eq!(withdrawn(&effects, chat(1)), Some(WithdrawReason::NotReady));
    assert_eq!(desk.ann.status(), &Status::Offline);
}

#[test]
fn whoever_has_just_chosen_ready_gets_the_grace_although_its_page_has_proven_nothing_yet() {
    let mut desk = Desk::absent(1, Vec::new());
    desk.later(3_600_000);
    assert_eq!(*desk.ann.status(), Status::Offline);
    desk.step(OperatorInput::Connected(1));
    let effects = desk.step(OperatorInput::Call(1, OperatorCall::SetStatus(Status::Ready)));
    assert_eq!(answers(&effects), [(1, Ok(OperatorAnswer::Done))]);
    assert_eq!(*desk.ann.status(), Status::Ready, "what was acknowledged is in force");
    desk.later(PRESENCE_GRACE_MS - 1);
    assert_eq!(*desk.ann.status(), Status::Ready);
    desk.later(1);
    assert_eq!(*desk.ann.status(), Status::Offline);
}

#[test]
fn a_chat_that_does_not_say_what_became_of_a_command_is_asked_for_a_while_only() {
    let mut desk = Desk::present(1);
    for call in 1..=CALLS_HELD_MAX as u64 {
        let accept = OperatorCall::Accept {
            chat: chat(1),
            offer: OfferId::of(9, 9),
            command: command(&format!("c{call}")),
        };
        assert_eq!(answers(&desk.step(OperatorInput::Call(call, accept))), []);
    }
    let effects = desk.later(RECALL_LIMIT_MS);
    assert_eq!(answers(&effects).len(), CALLS_HELD_MAX);
    assert!(answers(&effects).iter().all(|(_, answer)| *answer == Err(Refusal::Unavailable)));
    let decline =
        OperatorCall::Decline { chat: chat(2), offer: OfferId::of(9, 8), command: command("d") };
    assert_eq!(answers(&desk.step(OperatorInput::Call(99, decline))), [], "there is room again");
}

#[test]
fn a_page_that_hangs_counts_as_absent() {
    let mut desk = Desk::present(1);
    let effects = desk.later(PROBE_EVERY_MS);
    assert!(effects.iter().any(|effect| matches!(effect, OperatorEffect::Probe(1, _))));
    assert!(desk.ann.is_present());
    desk.later(PROBE_LIMIT_MS);
    assert_eq!(desk.ann.standing(), Standing::NotConnected);
}

#[test]
fn an_owner_who_stays_away_longer_than_the_queue_allows_gives_her_chats_back() {
    let mut desk = Desk::present(2);
    desk.owns(chat(1));
    desk.step(OperatorInput::Disconnected(1));
    assert!(!owner_gone(&desk.later(ABSENT_MS - 1), chat(1)));
    assert!(owner_gone(&desk.later(1), chat(1)));
    assert_eq!(desk.ann.load(), 1, "the slot is free only by the chat's word");
    // Back before the chat has heard: she keeps it, and it is not said again.
    desk.connect(2);
    assert!(!owner_gone(&desk.later(5_000), chat(1)));
}

#[test]
fn no_owner_is_given_up_before_the_grace_of_a_restart_is_over() {
    let grace = START.plus_ms(60_000);
    let record = OperatorRecord::default();
    let ann = Operator::new(ANN, account(2), record, 1, Beginning { grace_until: grace, ..FIRST });
    let mut desk = Desk { ann, now: START, offers: 0 };
    desk.step(OperatorInput::Tick);
    desk.step(OperatorInput::Recovered(vec![row(chat(1), owned(), None)]));
    assert!(!owner_gone(&desk.later(59_999), chat(1)));
    assert!(owner_gone(&desk.later(1), chat(1)));
}

#[test]
fn a_restarted_operator_reads_its_slots_only_when_no_assign_of_before_can_land() {
    let record = OperatorRecord { status: Status::Ready, ..Default::default() };
    let ann = Operator::new(ANN, account(1), record, 2, NEXT);
    let mut desk = Desk { ann, now: START, offers: 0 };
    desk.connect(1);
    assert!(!desk.later(ASSIGN_LIMIT_MS - 1).contains(&OperatorEffect::ReadIndex));
    let offer = OFFER;
    let reserve = ToOperator::Reserve {
        queue: QUEUE,
        rank: 0,
        offer,
        chat: chat(1),
        expires_at: desk.now.plus_ms(TIMEOUT_MS),
    };
    let effects = desk.say(reserve);
    let refused = effects.iter().any(|effect| {
        matches!(
            effect,
            OperatorEffect::ToQueue(
                _,
                ToQueue::ReserveAnswer { result: Err(Standing::Choosing), .. }
            )
        )
    });
    assert!(refused, "it reserves nothing before: {effects:?}");
    assert!(desk.later(1).contains(&OperatorEffect::ReadIndex));
    desk.step(OperatorInput::Recovered(vec![row(chat(2), owned(), None)]));
    assert_eq!((desk.ann.load(), desk.ann.standing()), (1, Standing::Full));
}

#[test]
fn a_word_on_its_way_since_before_the_restart_hides_no_chat_that_the_index_has() {
    let record = OperatorRecord { status: Status::Ready, ..Default::default() };
    let ann = Operator::new(ANN, account(3), record, 2, NEXT);
    let mut desk = Desk { ann, now: START, offers: 0 };
    desk.connect(1);
    for n in 1..=3 {
        // Offered to all in placement 2, as it was once, or is.
        desk.invited(chat(n));
    }
    desk.later(ASSIGN_LIMIT_MS);
    let moving = Some(Moving { to: Some(ANN) });
    let mine = OpenChat { placement: 3, ..row(chat(1), owned(), None) };
    let older = OpenChat { placement: 1, ..row(chat(3), owned(), None) };
    let rows = vec![mine, row(chat(2), Place::Waiting, moving), older];
    desk.step(OperatorInput::Recovered(rows));
    assert_eq!(desk.ann.slots()[&chat(1)].held, Held::Active, "the index is newer");
    assert_eq!(desk.ann.slots()[&chat(2)].held, Held::Unsure, "nobody knows");
    assert!(desk.ann.invites().contains_key(&chat(3)), "the word is newer");
    assert_eq!((desk.ann.load(), desk.ann.invites().len()), (2, 1));
}

#[test]
fn a_marked_row_costs_a_slot_until_its_chat_has_told_where_it_is() {
    let moving = Some(Moving { to: Some(ANN) });
    let rows = vec![row(chat(1), Place::Waiting, moving), row(chat(2), owned(), None)];
    let mut desk = Desk::absent(2, rows);
    desk.connect(1);
    assert_eq!((desk.ann.load(), desk.ann.standing()), (2, Standing::Full));
    assert_eq!(desk.ann.slots()[&chat(1)].held, Held::Unsure);
    let effects = desk.later(5_000);
    let asked = effects.iter().any(
        |effect| matches!(effect, OperatorEffect::ToChat(of, ToChat::Ask { .. }) if *of == chat(1)),
    );
    assert!(asked, "{effects:?}");
    desk.say(ToOperator::At(at(chat(1), 2, Place::Waiting)));
    assert_eq!((desk.ann.load(), desk.ann.standing()), (1, Standing::Free));
}

#[test]
fn a_deactivated_operators_offers_are_not_eligible_and_its_chats_go_back_at_once() {
    let mut desk = Desk::present(3);
    desk.owns(chat(1));
    desk.offered(chat(2), true);
    let effects = desk.deactivate();
    assert_eq!(withdrawn(&effects, chat(2)), Some(WithdrawReason::NotEligible));
    assert!(owner_gone(&effects, chat(1)) || owner_gone(&desk.later(1), chat(1)));
    assert_eq!((desk.ann.status(), desk.ann.standing()), (&Status::Offline, Standing::Offline));
    let ready = OperatorCall::SetStatus(Status::Ready);
    let effects = desk.step(OperatorInput::Call(9, ready));
    assert_eq!(answers(&effects), [(9, Err(Refusal::NoSlot(Standing::Offline)))]);
}

#[test]
fn of_two_connections_that_accept_both_get_the_same_answer_and_the_offer_leaves_both() {
    let mut desk = Desk::present(1);
    desk.connect(2);
    let offer = desk.offered(chat(1), true);
    let accept = |id| OperatorCall::Accept { chat: chat(1), offer, command: command(id) };
    let effects = desk.step(OperatorInput::Call(11, accept("one")));
    assert!(answers(&effects).is_empty(), "nobody hears yes before the chat has said so");
    desk.step(OperatorInput::Call(12, accept("two")));
    let assigned = AssignedAt { seq: 3, at: desk.now };
    let won = ChatAt { moved_at: desk.now, ..at(chat(1), 3, owned()) };
    let effects = desk.say(ToOperator::AssignAnswer {
        command: Some(command("one")),
        by: AssignBy::Offer(offer, 0),
        result: Ok(assigned),
        at: Some(won.clone()),
        chat: chat(1),
    });
    let yes = Ok(OperatorAnswer::Assigned(assigned));
    assert_eq!(answers(&effects), [(11, yes)]);
    // The chat knows nothing of the other id: it asked for what has been done.
    let effects = desk.say(ToOperator::Recalled {
        chat: chat(1),
        command: command("two"),
        asked: Asked::Accept(offer),
        result: None,
        at: Some(won),
    });
    assert_eq!(answers(&effects), [(12, yes)]);
    // One connection may go: somebody is still there.
    desk.step(OperatorInput::Disconnected(1));
    assert!(desk.ann.is_present());
    desk.step(OperatorInput::Disconnected(2));
    assert!(!desk.ann.is_present());
}

#[test]
fn nothing_is_reserved_above_capacity_and_an_unconfirmed_reservation_ends_by_itself() {
    let mut desk = Desk::present(1);
    let reserve = |desk: &Desk, n: u64| ToOperator::Reserve {
        queue: QUEUE,
        rank: 0,
        offer: OfferId::of(60, n),
        chat: chat(u128::from(n)),
        expires_at: desk.now.plus_ms(TIMEOUT_MS),
    };
    let held = |effects: &[OperatorEffect]| {
        effects.iter().find_map(|effect| match effect {
            OperatorEffect::ToQueue(_, ToQueue::ReserveAnswer { result, .. }) => Some(*result),
            _ => None,
        })
    };
    let first = reserve(&desk, 1);
    assert_eq!(held(&desk.say(first.clone())), Some(Ok(())));
    assert_eq!(held(&desk.say(first)), Some(Ok(())), "a repeat");
    let second = reserve(&desk, 2);
    assert_eq!(held(&desk.say(second)), Some(Err(Standing::Full)));
    desk.later(TIMEOUT_MS);
    assert_eq!((desk.ann.load(), desk.ann.standing()), (0, Standing::Free));
    // The offer comes after all, without a slot: it is taken back, uncounted.
    let late = desk.live(chat(1), OfferId::of(60, 1), Reach::Directed);
    let effects = desk.say(ToOperator::At(late));
    assert_eq!(withdrawn(&effects, chat(1)), Some(WithdrawReason::NotReserved));
}

#[test]
fn an_offer_to_all_takes_its_slot_at_the_accept_and_is_refused_without_one() {
    let mut desk = Desk::present(1);
    let first = desk.invited(chat(1));
    let second = desk.invited(chat(2));
    assert_eq!(desk.ann.load(), 0);
    let accept = |chat, offer| OperatorCall::Accept { chat, offer, command: command("yes") };
    desk.step(OperatorInput::Call(1, accept(chat(1), first)));
    assert_eq!(desk.ann.load(), 1);
    let effects = desk.step(OperatorInput::Call(2, accept(chat(2), second)));
    assert_eq!(answers(&effects), [(2, Err(Refusal::NoSlot(Standing::Full)))]);
    assert!(desk.ann.invites().contains_key(&chat(2)), "the offer stays");
}

#[test]
fn leaving_ready_is_in_force_when_it_is_durable_and_takes_back_all_but_an_assign_on_its_way() {
    let mut desk = Desk::present(3);
    desk.offered(chat(1), true);
    desk.invited(chat(2));
    let offer = desk.offered(chat(3), true);
    let accept = OperatorCall::Accept { chat: chat(3), offer, command: command("yes") };
    desk.step(OperatorInput::Call(1, accept));
    let busy = OperatorCall::SetStatus(Status::Busy);
    let effects = desk.ann.step(desk.now, OperatorInput::Call(2, busy));
    assert!(answers(&effects).is_empty(), "not before it is durable");
    assert_eq!(*desk.ann.status(), Status::Ready);
    let effects = desk.step(OperatorInput::Saved(true));
    assert_eq!(answers(&effects), [(2, Ok(OperatorAnswer::Done))]);
    assert_eq!(withdrawn(&effects, chat(1)), Some(WithdrawReason::NotReady));
    assert_eq!(withdrawn(&effects, chat(2)), Some(WithdrawReason::NotReady));
    assert_eq!(withdrawn(&effects, chat(3)), None);
    assert!(matches!(desk.ann.slots()[&chat(3)].held, Held::Assigning { .. }));
}

#[test]
fn a_deactivated_operators_offer_to_all_is_not_eligible_either() {
    let mut desk = Desk::present(3);
    desk.invited(chat(1));
    let effects = desk.deactivate();
    assert_eq!(withdrawn(&effects, chat(1)), Some(WithdrawReason::NotEligible));
}

#[test]
fn an_offer_that_is_gone_says_why() {
    let other = Offer {
        id: OfferId::of(61, 1),
        reach: Reach::Directed,
        to: Arc::new([BOB].into()),
        returned: Default::default(),
        expires_at: Timestamp(9),
    };
    let ended =
        Place::Ended { outcome: crate::domain::Outcome::Missed, by: crate::domain::Party::System };
    let withdrawn =
        |reason| (Place::Waiting, Some(OfferEnd::Withdrawn(reason)), Gone::Withdrawn(reason));
    let cases = [
        (Place::Assigned { owner: BOB, begun: false }, None, Gone::Taken),
        (ended, None, Gone::ChatEnded),
        (Place::Waiting, Some(OfferEnd::Lapsed), Gone::Lapsed),
        (Place::Offered(other), Some(OfferEnd::Lapsed), Gone::Lapsed),
        (Place::Waiting, Some(OfferEnd::Declined), Gone::Declined),
        (Place::Waiting, Some(OfferEnd::Restart), Gone::Restart),
        (Place::Waiting, None, Gone::Moved),
        withdrawn(WithdrawReason::NotEligible),
        withdrawn(WithdrawReason::NotReady),
        withdrawn(WithdrawReason::NotReserved),
    ];
    for (place, how, wanted) in cases {
        for to_all in [false, true] {
            let mut desk = Desk::present(1);
            let offer = if to_all { desk.invited(chat(1)) } else { desk.offered(chat(1), true) };
            let mut gone = at(chat(1), 9, place.clone());
            gone.last_offer = how.map(|how| (offer, how));
            let effects = desk.say(ToOperator::At(gone.clone()));
            assert_eq!(reason(&effects), Some(wanted), "{place:?} {how:?} to all: {to_all}");
        }
    }
    let mut desk = Desk::present(1);
    let offer = desk.offered(chat(1), true);
    let mut moved = at(chat(1), 9, Place::Waiting);
    (moved.queue, moved.last_offer) = (OTHER_QUEUE, Some((offer, OfferEnd::Lapsed)));
    assert_eq!(reason(&desk.say(ToOperator::At(moved))), Some(Gone::Moved));
    // The offer stands for others, without this operator.
    let mut desk = Desk::present(1);
    let offer = desk.invited(chat(1));
    let mut narrowed = desk.live(chat(1), offer, Reach::ToAll);
    narrowed.version += 1;
    if let Place::Offered(live) = &mut narrowed.place {
        live.to = Arc::new([BOB].into());
    }
    let wanted = Gone::Withdrawn(WithdrawReason::NotEligible);
    assert_eq!(reason(&desk.say(ToOperator::At(narrowed))), Some(wanted));
}

fn reason(effects: &[OperatorEffect]) -> Option<Gone> {
    effects.iter().find_map(|effect| match effect {
        OperatorEffect::Show(Notice::OfferWithdrawn { reason, .. }) => Some(*reason),
        _ => None,
    })
}

/// An offer to all at this version of its placement, with Ann in this stay of hers, or without her.
fn to_all_at(desk: &Desk, version: u64, stay: Option<u32>) -> ChatAt {
    let (id, expires_at) = (OfferId::of(50, 1), desk.now.plus_ms(TIMEOUT_MS));
    let to = stay.map_or_else(|| [BOB].into(), |_| [ANN, BOB].into());
    let returned = stay.filter(|stay| *stay > 0).map(|stay| (ANN, stay)).into_iter().collect();
    let (to, returned) = (Arc::new(to), Arc::new(returned));
    let live = Offer { id, reach: Reach::ToAll, to, returned, expires_at };
    ChatAt { version, ..at(chat(1), 2, Place::Offered(live)) }
}

fn presented(effects: &[OperatorEffect]) -> usize {
    let shown = |effect: &&OperatorEffect| {
        matches!(effect, OperatorEffect::Show(Notice::OfferPresented { .. }))
    };
    effects.iter().filter(shown).count()
}

#[test]
fn an_offer_to_all_that_she_came_back_into_is_shown_again_though_she_never_heard_that_she_was_out()
{
    let mut desk = Desk::present(1);
    let first = to_all_at(&desk, 2, Some(0));
    assert_eq!(presented(&desk.say(ToOperator::At(first.clone()))), 1);
    desk.step(OperatorInput::Call(1, OperatorCall::SetStatus(Status::Busy)));
    assert!(desk.ann.invites()[&chat(1)].withdrawing);
    desk.step(OperatorInput::Call(2, OperatorCall::SetStatus(Status::Ready)));
    let again = to_all_at(&desk, 4, Some(1));
    assert_eq!(presented(&desk.say(ToOperator::At(again))), 1);
    let invite = &desk.ann.invites()[&chat(1)];
    assert_eq!((invite.stay, invite.withdrawing), (1, false));
    assert_eq!(presented(&desk.say(ToOperator::At(first))), 0, "a late word");
    assert_eq!(desk.ann.invites()[&chat(1)].stay, 1);
}

#[test]
fn a_late_word_of_an_offer_to_all_does_not_bring_it_back_to_the_screen() {
    let mut desk = Desk::present(1);
    let first = to_all_at(&desk, 2, Some(0));
    desk.say(ToOperator::At(first.clone()));
    let without = to_all_at(&desk, 3, None);
    desk.say(ToOperator::At(without));
    assert!(desk.ann.invites().is_empty());
    assert_eq!(presented(&desk.say(ToOperator::At(first))), 0);
    assert!(desk.ann.invites().is_empty());
}

#[test]
fn an_owner_who_is_offline_with_the_page_open_gives_her_chats_back_and_one_who_is_away_keeps_them()
{
    for (status, given_up) in [
        (Status::Offline, true),
        (Status::Busy, false),
        (Status::Away(AwayReason::new("lunch").unwrap()), false),
    ] {
        let mut desk = Desk::present(2);
        desk.owns(chat(1));
        desk.step(OperatorInput::Call(1, OperatorCall::SetStatus(status.clone())));
        // Short of the next probe, so that she is there all the time.
        const { assert!(ABSENT_MS < PROBE_EVERY_MS) };
        assert!(!owner_gone(&desk.later(ABSENT_MS - 1), chat(1)), "{status:?}");
        assert_eq!(owner_gone(&desk.later(1), chat(1)), given_up, "{status:?}");
        assert!(desk.ann.is_present());
    }
}

#[test]
fn an_absence_goes_on_when_a_lost_connection_turns_into_offline_and_ends_with_work() {
    let mut desk = Desk::present(2);
    desk.owns(chat(1));
    desk.step(OperatorInput::Disconnected(1));
    desk.later(ABSENT_MS - 1_000);
    desk.step(OperatorInput::Call(1, OperatorCall::SetStatus(Status::Offline)));
    desk.connect(2);
    assert!(!owner_gone(&desk.later(999), chat(1)));
    assert!(owner_gone(&desk.later(1), chat(1)), "offline goes on where the connection ended");
    let mut desk = Desk::present(2);
    desk.owns(chat(1));
    desk.step(OperatorInput::Call(1, OperatorCall::SetStatus(Status::Offline)));
    desk.later(ABSENT_MS - 1);
    desk.step(OperatorInput::Call(2, OperatorCall::SetStatus(Status::Busy)));
    assert!(!owner_gone(&desk.later(ABSENT_MS), chat(1)), "she is back at work");
}
