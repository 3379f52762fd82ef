//! What those in an event are called: put down with the event when it happens, so that a later name
//! changes nothing that was said. What people are called comes in with the input; no decision
//! depends on it.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::event::{AssignedHow, PlacedCause};
use crate::domain::{ChatEvent, EventNames, Name, Party, Person, UserId};
use crate::machine::message::ToChat;

use super::call::{Author, ChatCall, ChatInput, Target};
use super::fold::Chat;

/// What people are called at present, as far as an input concerns them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Called {
    /// Users.
    pub users: BTreeMap<UserId, Name>,
    /// The chat's channel, if it speaks for its operators.
    pub channel: Option<Name>,
}

impl Chat {
    /// The users whose names the events may need that an input leads to.
    pub fn people_of(&self, input: &ChatInput) -> BTreeSet<UserId> {
        let mut people: BTreeSet<UserId> = self.who_transfers().into_iter().collect();
        match input {
            ChatInput::Call(_, call) => people.extend(people_of_call(call)),
            ChatInput::Said(
                ToChat::Decline { operator, .. }
                | ToChat::Assign { operator, .. }
                | ToChat::Withdraw { operator, .. }
                | ToChat::OwnerGone { operator, .. },
            ) => people.extend([*operator]),
            ChatInput::Said(
                ToChat::Offer { .. }
                | ToChat::Widen { .. }
                | ToChat::Lapse { .. }
                | ToChat::Recall { .. }
                | ToChat::ReserveRefused { .. }
                | ToChat::Seen { .. }
                | ToChat::Rehome { .. }
                | ToChat::Ask { .. },
            )
            | ChatInput::Started
            | ChatInput::Tick => {}
        }
        people
    }

    /// The same of a call.
    pub fn people_of_call(&self, call: &ChatCall) -> impl Iterator<Item = UserId> {
        self.who_transfers().into_iter().chain(people_of_call(call))
    }

    fn who_transfers(&self) -> Option<UserId> {
        self.transfer.as_ref().and_then(|transfer| user_of(transfer.by))
    }

    /// The names that belong to each of these events, which follow the present ones.
    pub(super) fn names_in(&self, events: &[ChatEvent], called: &Called) -> Vec<EventNames> {
        let mut customer = self.profile.name.clone();
        let mut names = Vec::with_capacity(events.len());
        for event in events {
            if let ChatEvent::Opened { profile, .. } | ChatEvent::CustomerUpdated { profile } =
                event
            {
                customer.clone_from(&profile.name);
            }
            let name = |party: Party| match party {
                Party::Customer(_) => customer.clone(),
                Party::User(user) => called.users.get(&user).cloned(),
                Party::System => None,
            };
            let (by, other) = parties(event);
            let shown = matches!(
                event,
                ChatEvent::Message { .. } | ChatEvent::Assigned { .. } | ChatEvent::Ended { .. }
            );
            let speaks = shown && matches!(by, Some(Party::User(_)));
            names.push(EventNames {
                by: by.and_then(name),
                other: other.and_then(name),
                channel: called.channel.clone().filter(|_| speaks),
            });
        }
        names
    }
}

/// Who is in an event: whoever did it, and the other.
fn parties(event: &ChatEvent) -> (Option<Party>, Option<Party>) {
    let user = |user: &UserId| Some(Party::User(*user));
    match event {
        ChatEvent::Message { from: by, .. }
        | ChatEvent::Begun { by, .. }
        | ChatEvent::Ended { by, .. }
        | ChatEvent::Placed { cause: PlacedCause::Transferred { by, .. }, .. } => (Some(*by), None),
        ChatEvent::Placed { cause: PlacedCause::OwnerGone { operator }, .. }
        | ChatEvent::Declined { operator, .. }
        | ChatEvent::OfferNarrowed { operator, .. } => (user(operator), None),
        ChatEvent::Assigned { operator, how: AssignedHow::Transferred { by, .. }, .. } => {
            (user(operator), Some(*by))
        }
        ChatEvent::Assigned { operator, .. } => (user(operator), None),
        ChatEvent::TransferAsked { by, to, .. } => (Some(*by), user(to)),
        // These have their name in them, or nobody.
        ChatEvent::Opened { .. }
        | ChatEvent::CustomerUpdated { .. }
        | ChatEvent::Placed { cause: PlacedCause::Opened, .. }
        | ChatEvent::Offered { .. }
        | ChatEvent::OfferWidened { .. }
        | ChatEvent::OfferEnded { .. }
        | ChatEvent::TransferFailed { .. }
        | ChatEvent::ContinuedIn { .. } => (None, None),
    }
}

fn people_of_call(call: &ChatCall) -> impl Iterator<Item = UserId> {
    let author = |by: &Author| match by.person {
        Person::User(user) => Some(user),
        Person::Customer(_) | Person::System => None,
    };
    let (by, to) = match call {
        ChatCall::Send { by, .. }
        | ChatCall::UpdateCustomer { by, .. }
        | ChatCall::End { by, .. }
        | ChatCall::Begin { by, .. }
        | ChatCall::Transfer { by, to: Target::Queue(_), .. }
        | ChatCall::TransferNowhere { by, .. } => (author(by), None),
        ChatCall::Transfer { by, to: Target::Operator(to), .. } => (author(by), Some(*to)),
        ChatCall::Open { .. } | ChatCall::Continue { .. } => (None, None),
    };
    by.into_iter().chain(to)
}

fn user_of(party: Party) -> Option<UserId> {
    match party {
        Party::User(user) => Some(user),
        Party::Customer(_) | Party::System => None,
    }
}
