//! A chat in which everything happens, and what each audience sees of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use switchboard::domain::event::{
    AssignedHow, Decision, OfferEnd, PlacedCause, TransferFailure, Trigger, WithdrawReason,
};
use switchboard::domain::operator::Standing;
use switchboard::domain::{
    Audience, ChatEvent, ChatId, CommandId, Customer, EventNames, MessageText, Name, Outcome,
    Party, Priority, Profile, Reach, Recorded, Rule, Timestamp, UserId,
};
use switchboard::protocol::event::ChatEventFrame;
use switchboard::protocol::{Names, View};

use crate::samples::{ANNA, AT, BORIS, CHANNEL, CHAT, CUSTOMER, OFFER, QUEUE, STORE};

struct Named;

impl Names for Named {
    fn of(&self, user: UserId, then: Option<&Name>, channel: Option<&Name>) -> Option<String> {
        assert_eq!(channel, None, "the channel lets its operators speak");
        then.map(|name| name.as_str().to_owned()).or((user == ANNA).then(|| "Anna".to_owned()))
    }
}

fn profile(priority: u8, name: &str) -> Profile {
    Profile {
        issued_at: Timestamp(AT),
        priority: Priority::new(priority).unwrap(),
        name: Some(Name::new(name).unwrap()),
    }
}

fn command(text: &str) -> CommandId {
    CommandId::new(text).unwrap()
}

/// The log of a chat in which everything happens.
pub fn log() -> Vec<(&'static str, ChatEvent)> {
    let by = Party::User(ANNA);
    let transferred = PlacedCause::Transferred { by, command: command("c-7") };
    let placed =
        |cause| ChatEvent::Placed { placement: 1, queue: QUEUE, weight: Default::default(), cause };
    let assigned =
        |how| ChatEvent::Assigned { placement: 3, operator: ANNA, how, command: command("c-2") };
    vec![
        (
            "opened",
            ChatEvent::Opened {
                customer: Customer { channel: CHANNEL, id: CUSTOMER },
                command: command("c-1"),
                profile: profile(3, "Ольга"),
                continues: Some(ChatId::from_u128(9)),
            },
        ),
        ("placed_opened", placed(PlacedCause::Opened)),
        ("placed_transferred", placed(transferred)),
        ("placed_owner_gone", placed(PlacedCause::OwnerGone { operator: BORIS })),
        (
            "message_customer",
            ChatEvent::Message {
                from: Party::Customer(CUSTOMER),
                id: command("m-1"),
                text: MessageText::new("Привет 👋").unwrap(),
            },
        ),
        (
            "message_operator",
            ChatEvent::Message {
                from: by,
                id: command("m-2"),
                text: MessageText::new("Hello").unwrap(),
            },
        ),
        ("offered", offered()),
        ("offer_widened", ChatEvent::OfferWidened { offer: OFFER, to: vec![BORIS] }),
        (
            "declined",
            ChatEvent::Declined { offer: OFFER, operator: BORIS, command: command("c-3") },
        ),
        (
            "offer_narrowed",
            ChatEvent::OfferNarrowed {
                offer: OFFER,
                operator: BORIS,
                reason: WithdrawReason::NotReady,
            },
        ),
        (
            "offer_ended",
            ChatEvent::OfferEnded { placement: 3, offer: OFFER, how: OfferEnd::Lapsed },
        ),
        ("assigned_accepted", assigned(AssignedHow::Accepted { offer: OFFER })),
        ("assigned_taken", assigned(AssignedHow::Taken)),
        ("assigned_transferred", assigned(AssignedHow::Transferred { by, reservation: OFFER })),
        ("begun", ChatEvent::Begun { by, command: command("c-4") }),
        (
            "transfer_asked",
            ChatEvent::TransferAsked {
                by,
                command: command("c-5"),
                to: BORIS,
                reservation: OFFER,
                expires_at: Timestamp(AT + 2_000),
            },
        ),
        (
            "transfer_failed",
            ChatEvent::TransferFailed {
                reservation: OFFER,
                reason: TransferFailure::Refused(Standing::Full),
            },
        ),
        (
            "ended",
            ChatEvent::Ended {
                placement: 4,
                by,
                command: Some(command("c-6")),
                outcome: Outcome::Completed,
            },
        ),
        ("continued_in", ChatEvent::ContinuedIn { chat: ChatId::from_u128(10) }),
        ("customer_updated", ChatEvent::CustomerUpdated { profile: profile(5, "Ольга П.") }),
    ]
}

fn offered() -> ChatEvent {
    ChatEvent::Offered {
        placement: 2,
        offer: OFFER,
        reach: Reach::ToAll,
        to: vec![ANNA, BORIS],
        expires_at: Timestamp(AT + 30_000),
        process: 1,
        decision: Decision {
            rule: Rule::ToAll,
            config_version: 4,
            trigger: Trigger::Push,
            runners_up: vec![],
            standings: BTreeMap::from([(Standing::Free, 2), (Standing::Offline, 5)]),
        },
    }
}

/// What an audience sees of [`log`].
pub fn events(audience: Audience) -> Vec<(&'static str, ChatEventFrame)> {
    let view = View { chat: CHAT, incarnation: STORE, audience, names: &Named };
    let seen = (1..).zip(log()).filter_map(|(seq, (name, event))| {
        let at = Timestamp(AT + seq);
        // Anna's name is of before names were kept.
        let by_customer = matches!(event, ChatEvent::Message { from: Party::Customer(_), .. });
        let by = by_customer.then(|| Name::new("Ольга").unwrap());
        let names = EventNames { by, ..Default::default() };
        let shown = audience.show(Arc::new(Recorded { seq, at, event, names }))?;
        Some((name, view.frame(&shown).unwrap()))
    });
    seen.collect()
}
