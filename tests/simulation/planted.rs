//! Faults planted by hand: each must be caught, or the simulation proves nothing.

use switchboard::domain::operator::Standing;
use switchboard::domain::{ChatEvent, Priority, Reach, Timestamp};
use switchboard::machine::chat::Refusal;
use switchboard::machine::chat::driver::{Action, ChatAction, StoreCall};
use switchboard::machine::chat::{Chat, ChatCall, ChatInput};
use switchboard::machine::message::{AssignedAt, ToChat, ToOperator, ToQueue};
use switchboard::machine::operator::OperatorInput;
use switchboard::machine::queue::{QueueEffect, QueueInput};

use crate::world::{Happening, Plan};

/// A fault in the router, made by what the world does to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// Operators never hear that an offer or a chat is no longer theirs.
    LostWithdrawal,
    /// Operators count one slot more than they have.
    CapacityOffByOne,
    /// A call is answered before its events are durable.
    AcknowledgedBeforeAppend,
    /// Nobody is told of a freed slot.
    SilentFreedSlot,
    /// Queues never hear of a chat.
    LostArrival,
    /// Accepts never reach the chat.
    LostAssign,
    /// Operators keep no slot for what is offered to all.
    KeepsNothing,
    /// Operators tell queues of a slot that they refuse to hold.
    SaysFree,
    /// Chats count by their last event, though the process's clock is behind it.
    ClockOfTheChat,
    /// A new life of an operator does not know what its screens show.
    ForgetsScreens,
    /// What the log says of an old id is not found.
    BlindSearch,
    /// Operators are told yes of an id that stands for something else.
    RecallsAnything,
    /// Operators do not hear of changed limits.
    KeepsOldLimits,
    /// Nobody comes into an offer to all that is out.
    LostWiden,
    /// What an operator said in one stay in an offer counts for the next one, too.
    MixesStays,
    /// Queues do not hear whose a chat is.
    NamelessChats,
    /// Chats never hear that their owner is absent.
    LostOwnerGone,
    /// Queues hear of no priority.
    StalePriority,
    /// Chats go by the token that comes last.
    TokensByArrival,
    /// A chat that ended leaves the open ones before it is among those that have ended.
    EndedRowLast,
    /// Queues do not hear when operators accepted a chat or since when they are idle.
    DeafToWork,
    /// Queues leave one of several members out of an offer to all.
    LeavesOneOut,
    /// Operators do not hear what every second queue quotes.
    DeafToQuotes,
    /// Chats that moved wait since then.
    ForgetsAge,
    /// Queues take whoever is away for one who is offline.
    MistakesAway,
    /// Operators do not hear that an offer lapsed.
    DeafToLapses,
    /// Chats remember no refusal.
    ForgetsRefusals,
    /// Operators forget when they accepted a chat.
    ForgetsAccepts,
    /// Nobody is shown that somebody dropped out of an offer.
    KeepsSilent,
    /// Rows are written without who refused the chat.
    OldRows,
    /// The rows of a chat are not written with its events, though the store can.
    RowsApart,
    /// Queues hear late of every chat.
    SlowArrivals,
    /// Chats do not hear that they were heard.
    Unheard,
}

impl Planted {
    /// Whether this fault swallows the message.
    pub fn loses(self, what: &Happening) -> bool {
        match (self, what) {
            (Self::LostWithdrawal, Happening::ToOperator(to, ToOperator::At(at))) => {
                at.place.owner() != Some(*to)
                    && at.place.offer().is_none_or(|offer| !offer.to.contains(to))
            }
            (Self::SilentFreedSlot, Happening::ToQueue(_, said)) => match said {
                ToQueue::State(_) | ToQueue::Pull { .. } | ToQueue::Give { .. } => true,
                ToQueue::At(_) | ToQueue::ReserveAnswer { .. } => false,
            },
            (Self::LostArrival, Happening::ToQueue(_, ToQueue::At(_))) => true,
            (Self::Unheard, Happening::ToChat(_, ChatInput::Said(ToChat::Seen { .. }))) => true,
            (Self::LostWiden, Happening::ToChat(_, ChatInput::Said(said))) => {
                matches!(said, ToChat::Widen { .. })
            }
            (Self::LostAssign, Happening::ToChat(_, ChatInput::Said(said))) => {
                matches!(said, ToChat::Assign { .. })
            }
            _ => false,
        }
    }

    /// The message as this fault has it told.
    pub fn alters(self, mut what: Happening) -> Happening {
        if self == Self::RecallsAnything
            && let Happening::ToOperator(_, ToOperator::Recalled { result, at, .. }) = &mut what
            && *result == Some(Err(Refusal::IdReused))
            && let Some(at) = at
        {
            *result = Some(Ok(AssignedAt { seq: at.version, at: at.moved_at }));
        }
        if self == Self::NamelessChats
            && let Happening::ToQueue(_, ToQueue::At(at)) = &mut what
        {
            at.customer = None;
        }
        if self == Self::StalePriority
            && let Happening::ToQueue(_, ToQueue::At(at)) = &mut what
        {
            at.priority = Priority::default();
        }
        if self == Self::SaysFree
            && let Happening::ToQueue(
                _,
                ToQueue::State(state)
                | ToQueue::ReserveAnswer { state, .. }
                | ToQueue::Pull { state, .. }
                | ToQueue::Give { state, .. },
            ) = &mut what
            && matches!(state.standing, Standing::Full | Standing::Kept)
        {
            (state.standing, state.free) = (Standing::Free, 1);
        }
        what
    }
}

impl Plan {
    /// The time by which a chat counts.
    pub fn clock_of(&self, now: Timestamp, chat: &Chat) -> Timestamp {
        match self.planted {
            Some(Planted::ClockOfTheChat) => now.max(chat.last_at()),
            Some(_) | None => now,
        }
    }
}

impl Planted {
    /// The input as this fault has a chat understand it.
    pub fn misreads(self, now: Timestamp, mut input: ChatInput) -> ChatInput {
        if self == Self::TokensByArrival
            && let ChatInput::Call(_, ChatCall::UpdateCustomer { profile, .. }) = &mut input
        {
            profile.issued_at = now;
        }
        input
    }
}

impl Planted {
    /// What this fault has a queue understand.
    pub fn misleads_queue(self, mut input: QueueInput) -> QueueInput {
        if let QueueInput::Said(
            ToQueue::State(state)
            | ToQueue::ReserveAnswer { state, .. }
            | ToQueue::Pull { state, .. }
            | ToQueue::Give { state, .. },
        ) = &mut input
        {
            match self {
                Self::DeafToWork => {
                    (state.last_accept, state.idle_since) = (None, Timestamp::default());
                }
                Self::MistakesAway if state.standing == Standing::Away => {
                    state.standing = Standing::Offline;
                }
                _ => {}
            }
        }
        input
    }

    /// What it has an operator understand.
    pub fn misleads_operator(self, mut input: OperatorInput) -> OperatorInput {
        match (self, &mut input) {
            (Self::DeafToQuotes, OperatorInput::Said(ToOperator::Best { queue, best, .. }))
                if queue.0.as_u128().is_multiple_of(2) =>
            {
                *best = None
            }
            (Self::DeafToLapses, OperatorInput::Said(ToOperator::At(at))) => at.last_offer = None,
            (
                Self::ForgetsAccepts,
                OperatorInput::Said(
                    ToOperator::At(at) | ToOperator::AssignAnswer { at: Some(at), .. },
                ),
            ) => at.moved_at = Timestamp::default(),
            _ => {}
        }
        input
    }

    /// What it has a queue say.
    pub fn misspeaks(self, effects: &mut [QueueEffect]) {
        for effect in effects {
            if let (
                Self::LeavesOneOut,
                QueueEffect::ToChat(_, ToChat::Offer { reach: Reach::ToAll, to, .. }),
            ) = (self, effect)
                && to.len() > 1
            {
                to.pop();
            }
        }
    }

    /// What it has a chat do.
    pub fn misguides(self, action: &mut Action) {
        match (self, &mut *action) {
            (
                Self::OldRows,
                Action::Own(ChatAction::Row(Some(row)) | ChatAction::Index(Some(row))),
            ) => row.refused_by.clear(),
            (Self::RowsApart, Action::Store(StoreCall::AppendWith(_, _, beside))) => {
                beside.rows.clear();
            }
            (Self::KeepsSilent, Action::Publish(events)) => events
                .retain(|told| !matches!(told.recorded.event, ChatEvent::OfferNarrowed { .. })),
            _ => {}
        }
        if let Action::Own(ChatAction::ToQueue(_, ToQueue::At(at))) = action {
            match self {
                Self::ForgetsAge => at.since = at.moved_at,
                Self::ForgetsRefusals => at.refused_by = Default::default(),
                _ => {}
            }
        }
    }
}

/// Seeds tried until one catches the fault: several times as many as the rarest needs.
const SEEDS: u64 = 200;

/// The messages with which the fault is caught, one for each seed that catches it.
fn catches(planted: Planted, faults: bool) -> impl Iterator<Item = String> {
    let plan = Plan { faults, planted: Some(planted), ..Plan::default() };
    (0..SEEDS).filter_map(move |seed| {
        let payload = std::panic::catch_unwind(|| crate::run(seed, plan)).err()?;
        let text = payload
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Some(text.expect("invariants panic with a text"))
    })
}

/// The message with which the fault was caught first.
fn caught(planted: Planted, faults: bool) -> String {
    let first = catches(planted, faults).next();
    first.unwrap_or_else(|| panic!("{planted:?} was not caught in {SEEDS} seeds"))
}

#[test]
fn a_lost_withdrawal_is_caught() {
    let by = caught(Planted::LostWithdrawal, true);
    assert!(by.contains("still holds") || by.contains("on the screen of"), "{by}");
}

#[test]
fn a_capacity_off_by_one_is_caught() {
    let by = caught(Planted::CapacityOffByOne, false);
    assert!(by.contains("above its capacity"), "{by}");
}

#[test]
fn an_acknowledgement_before_the_append_is_caught() {
    let by = caught(Planted::AcknowledgedBeforeAppend, true);
    assert!(by.contains("acknowledged"), "{by}");
}

#[test]
fn a_freed_slot_that_nobody_is_told_of_is_caught() {
    let by = caught(Planted::SilentFreedSlot, false);
    assert!(by.contains("waits beside"), "{by}");
}

#[test]
fn an_arrival_that_the_queue_never_hears_of_is_caught() {
    let by = caught(Planted::LostArrival, false);
    assert!(by.contains("is not in the line"), "{by}");
}

#[test]
fn a_slot_given_past_an_older_offer_to_all_is_caught() {
    let by = caught(Planted::KeepsNothing, false);
    assert!(by.contains("had no chance"), "{by}");
}

#[test]
fn an_operator_that_goes_on_by_a_former_limit_is_caught() {
    let by = caught(Planted::KeepsOldLimits, true);
    assert!(by.contains("in force"), "{by}");
}

#[test]
fn an_offer_to_all_that_does_not_reach_who_comes_free_is_caught() {
    let by = caught(Planted::LostWiden, false);
    assert!(by.contains("does not see"), "{by}");
}

#[test]
fn a_late_word_that_counts_for_a_later_stay_in_an_offer_is_caught() {
    let by = caught(Planted::MixesStays, true);
    assert!(by.contains("in its stay"), "{by}");
}

#[test]
fn an_absent_owner_who_keeps_its_chats_is_caught() {
    let by = caught(Planted::LostOwnerGone, true);
    assert!(by.contains("who is absent"), "{by}");
}

#[test]
fn one_chat_of_a_visitor_after_the_other_while_others_wait_is_caught() {
    let by = caught(Planted::NamelessChats, false);
    assert!(by.contains("of the same visitor"), "{by}");
}

#[test]
fn a_queue_that_does_not_hear_of_another_priority_is_caught() {
    let by = caught(Planted::StalePriority, false);
    assert!(by.contains("ranks by an old token"), "{by}");
}

#[test]
fn a_chat_that_goes_by_the_token_that_comes_last_is_caught() {
    let by = caught(Planted::TokensByArrival, false);
    assert!(by.contains("though it was told of"), "{by}");
}

#[test]
fn a_chat_that_ended_and_is_in_no_index_after_a_crash_is_caught() {
    let by = caught(Planted::EndedRowLast, true);
    assert!(by.contains("among those that have ended"), "{by}");
}

#[test]
fn a_slot_that_is_told_of_and_refused_is_caught() {
    let by = caught(Planted::SaysFree, false);
    assert!(by.contains("was asked for"), "{by}");
}

#[test]
fn a_deadline_by_the_clock_of_a_store_from_the_future_is_caught() {
    for by in catches(Planted::ClockOfTheChat, true) {
        if by.contains("by another clock") {
            return;
        }
        // What such a deadline brings about, where it shows first: it never comes.
        assert!(by.contains("transferred for ever"), "{by}");
    }
    panic!("no seed shows the deadline itself");
}

#[test]
fn a_screen_that_a_new_life_forgets_is_caught() {
    let by = caught(Planted::ForgetsScreens, true);
    assert!(by.contains("on the screen of"), "{by}");
}

#[test]
fn an_old_id_that_is_not_found_in_the_log_is_caught() {
    let by = caught(Planted::BlindSearch, true);
    assert!(by.contains("repeats") || by.contains("another answer"), "{by}");
}

#[test]
fn a_yes_to_an_id_that_stands_for_something_else_is_caught() {
    let by = caught(Planted::RecallsAnything, false);
    assert!(by.contains("acknowledged"), "{by}");
}

#[test]
fn an_accept_that_never_reaches_the_chat_is_caught() {
    let by = caught(Planted::LostAssign, false);
    assert!(by.contains("still holds"), "{by}");
}

#[test]
fn an_operator_whom_the_rule_does_not_prefer_is_caught() {
    let by = caught(Planted::DeafToWork, false);
    assert!(by.contains("prefers"), "{by}");
}

#[test]
fn an_offer_to_all_but_one_is_caught() {
    let by = caught(Planted::LeavesOneOut, false);
    assert!(by.contains("but not to"), "{by}");
}

#[test]
fn a_slot_that_goes_to_a_worse_queue_is_caught() {
    let by = caught(Planted::DeafToQuotes, false);
    assert!(by.contains("quoted were") || by.contains("though it was quoted"), "{by}");
}

#[test]
fn a_chat_that_forgets_its_age_is_caught() {
    let by = caught(Planted::ForgetsAge, false);
    assert!(by.contains("since when it waits"), "{by}");
}

#[test]
fn a_chat_that_forgets_who_refused_it_is_caught() {
    let by = caught(Planted::ForgetsRefusals, false);
    assert!(by.contains("who refused"), "{by}");
}

#[test]
fn an_untrue_explanation_is_caught() {
    let by = caught(Planted::MistakesAway, false);
    assert!(by.contains("how the members stand"), "{by}");
}

#[test]
fn a_lapse_that_is_not_counted_is_caught() {
    let by = caught(Planted::DeafToLapses, false);
    assert!(by.contains("lapsed offers in a row"), "{by}");
}

#[test]
fn an_operator_that_does_not_know_when_it_accepted_last_is_caught() {
    let by = caught(Planted::ForgetsAccepts, false);
    assert!(by.contains("accepted last"), "{by}");
}

#[test]
fn an_event_that_is_not_published_is_caught() {
    let by = caught(Planted::KeepsSilent, false);
    assert!(by.contains("without publishing"), "{by}");
}

#[test]
fn a_row_that_is_not_what_the_log_says_is_caught() {
    let by = caught(Planted::OldRows, false);
    assert!(by.contains("the row in the index"), "{by}");
}

#[test]
fn a_row_that_is_not_written_with_its_events_is_caught() {
    let by = caught(Planted::RowsApart, false);
    assert!(by.contains("the row in the store"), "{by}");
    let mut after_a_crash = catches(Planted::RowsApart, true);
    assert!(after_a_crash.any(|by| by.contains("as a process starts")));
}

#[test]
fn a_router_that_heals_slowly_is_caught() {
    let by = caught(Planted::SlowArrivals, false);
    assert!(by.contains("beside a free operator since"), "{by}");
}

#[test]
fn a_router_that_repeats_what_was_heard_is_caught() {
    let by = caught(Planted::Unheard, false);
    assert!(by.contains("messages for"), "{by}");
}
