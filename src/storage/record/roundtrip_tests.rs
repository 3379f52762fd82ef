//! Whatever the domain can say comes back from its record as it was.

use proptest::prelude::*;

use super::tests::STANDINGS;
use super::*;
use crate::domain::chat::{Outcome, Reach};
use crate::domain::event::{
    AssignedHow, Decision, OfferEnd, PlacedCause, TransferFailure, Trigger, WithdrawReason,
};
use crate::domain::limits::CHAT_WEIGHT_MAX;
use crate::domain::{
    ChannelId, ChatEvent, CommandId, Customer, CustomerId, EventNames, MessageText, Name, OfferId,
    Priority, Profile, QueueId, Rule, Timestamp, Weight,
};

fn ids<T: std::fmt::Debug>(make: impl Fn(u128) -> T) -> impl Strategy<Value = T> {
    any::<u128>().prop_map(make)
}

fn at() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp)
}

fn command() -> impl Strategy<Value = CommandId> {
    "[!-~]{1,64}".prop_map(|text| CommandId::new(&text).unwrap())
}

fn party() -> impl Strategy<Value = Party> {
    prop_oneof![
        ids(CustomerId::from_u128).prop_map(Party::Customer),
        ids(UserId::from_u128).prop_map(Party::User),
        Just(Party::System),
    ]
}

fn text() -> impl Strategy<Value = MessageText> {
    let odd = prop_oneof![any::<String>(), Just("\0\u{1F600}\"\\\n\u{2028}".to_owned())];
    odd.prop_filter_map("not empty", |text| MessageText::new(&text).ok())
}

fn people() -> impl Strategy<Value = Vec<UserId>> {
    prop::collection::vec(ids(UserId::from_u128), 0..4)
}

fn withdraw() -> impl Strategy<Value = WithdrawReason> {
    prop::sample::select(vec![
        WithdrawReason::NotReady,
        WithdrawReason::NotReserved,
        WithdrawReason::NotEligible,
    ])
}

fn reach() -> impl Strategy<Value = Reach> {
    prop::sample::select(vec![Reach::Directed, Reach::ToAll])
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop::sample::select(vec![Outcome::Completed, Outcome::Missed])
}

fn decision() -> impl Strategy<Value = Decision> {
    let rules = vec![Rule::ToAll, Rule::LeastLoaded, Rule::LongestIdle, Rule::Manual];
    let standing = prop::sample::select(STANDINGS.to_vec());
    (
        prop::sample::select(rules),
        any::<u64>(),
        prop::sample::select(vec![Trigger::Push, Trigger::Pull]),
        people(),
        prop::collection::btree_map(standing, any::<u32>(), 0..13),
    )
        .prop_map(|(rule, config_version, trigger, runners_up, standings)| Decision {
            rule,
            config_version,
            trigger,
            runners_up,
            standings,
        })
}

fn cause() -> impl Strategy<Value = PlacedCause> {
    prop_oneof![
        Just(PlacedCause::Opened),
        (party(), command()).prop_map(|(by, command)| PlacedCause::Transferred { by, command }),
        ids(UserId::from_u128).prop_map(|operator| PlacedCause::OwnerGone { operator }),
    ]
}

fn offer_end() -> impl Strategy<Value = OfferEnd> {
    prop_oneof![
        Just(OfferEnd::Declined),
        Just(OfferEnd::Lapsed),
        withdraw().prop_map(OfferEnd::Withdrawn),
        Just(OfferEnd::Restart),
    ]
}

fn assigned_how() -> impl Strategy<Value = AssignedHow> {
    let offer = || ids(OfferId::from_u128);
    prop_oneof![
        offer().prop_map(|offer| AssignedHow::Accepted { offer }),
        Just(AssignedHow::Taken),
        (party(), offer())
            .prop_map(|(by, reservation)| AssignedHow::Transferred { by, reservation }),
    ]
}

fn failure() -> impl Strategy<Value = TransferFailure> {
    prop_oneof![
        prop::sample::select(STANDINGS.to_vec()).prop_map(TransferFailure::Refused),
        Just(TransferFailure::NoAnswer),
        Just(TransferFailure::Overtaken),
    ]
}

fn weight() -> impl Strategy<Value = Weight> {
    (1..=CHAT_WEIGHT_MAX).prop_map(|slots| Weight::new(slots).unwrap())
}

fn priority() -> impl Strategy<Value = Priority> {
    (0..=10u8).prop_map(|points| Priority::new(points).unwrap())
}

fn name() -> impl Strategy<Value = Name> {
    any::<String>().prop_filter_map("a name", |text| Name::new(&text).ok())
}

fn names() -> impl Strategy<Value = EventNames> {
    let one = || prop::option::of(name());
    (one(), one(), one()).prop_map(|(by, other, channel)| EventNames { by, other, channel })
}

fn profile() -> impl Strategy<Value = Profile> {
    (at(), priority(), prop::option::of(name())).prop_map(|(issued_at, priority, name)| Profile {
        issued_at,
        priority,
        name,
    })
}

/// Any event of any kind.
pub(crate) fn event() -> impl Strategy<Value = ChatEvent> {
    let (user, offer) = (|| ids(UserId::from_u128), || ids(OfferId::from_u128));
    let placement = any::<u64>;
    prop_oneof![
        (
            ids(ChannelId::from_u128),
            ids(CustomerId::from_u128),
            command(),
            profile(),
            prop::option::of(ids(ChatId::from_u128)),
        )
            .prop_map(|(channel, id, command, profile, continues)| {
                let customer = Customer { channel, id };
                ChatEvent::Opened { customer, command, profile, continues }
            }),
        profile().prop_map(|profile| ChatEvent::CustomerUpdated { profile }),
        (party(), command(), text()).prop_map(|(from, id, text)| ChatEvent::Message {
            from,
            id,
            text
        }),
        (placement(), ids(QueueId::from_u128), weight(), cause()).prop_map(
            |(placement, queue, weight, cause)| ChatEvent::Placed {
                placement,
                queue,
                weight,
                cause
            }
        ),
        (placement(), offer(), reach(), people(), at(), any::<u64>(), decision()).prop_map(
            |(placement, offer, reach, to, expires_at, process, decision)| ChatEvent::Offered {
                placement,
                offer,
                reach,
                to,
                expires_at,
                process,
                decision,
            }
        ),
        (offer(), people()).prop_map(|(offer, to)| ChatEvent::OfferWidened { offer, to }),
        (offer(), user(), command()).prop_map(|(offer, operator, command)| ChatEvent::Declined {
            offer,
            operator,
            command
        }),
        (offer(), user(), withdraw()).prop_map(|(offer, operator, reason)| {
            ChatEvent::OfferNarrowed { offer, operator, reason }
        }),
        (placement(), offer(), offer_end()).prop_map(|(placement, offer, how)| {
            ChatEvent::OfferEnded { placement, offer, how }
        }),
        (placement(), user(), assigned_how(), command()).prop_map(
            |(placement, operator, how, command)| ChatEvent::Assigned {
                placement,
                operator,
                how,
                command
            }
        ),
        (party(), command()).prop_map(|(by, command)| ChatEvent::Begun { by, command }),
        (party(), command(), user(), offer(), at()).prop_map(
            |(by, command, to, reservation, expires_at)| ChatEvent::TransferAsked {
                by,
                command,
                to,
                reservation,
                expires_at
            }
        ),
        (offer(), failure())
            .prop_map(|(reservation, reason)| ChatEvent::TransferFailed { reservation, reason }),
        (placement(), party(), prop::option::of(command()), outcome()).prop_map(
            |(placement, by, command, outcome)| ChatEvent::Ended {
                placement,
                by,
                command,
                outcome
            }
        ),
        ids(ChatId::from_u128).prop_map(|chat| ChatEvent::ContinuedIn { chat }),
    ]
}

proptest! {
    #[test]
    fn every_event_comes_back_as_it_was(chat in ids(ChatId::from_u128), seq in any::<u64>(),
                                        at in at(), event in event(), names in names()) {
        let recorded = Recorded { seq, at, event, names };
        let sealed = encode_event(chat, &recorded).unwrap();
        prop_assert_eq!(decode_event(chat, seq, &sealed), Ok(recorded));
    }

    #[test]
    fn no_single_changed_bit_passes(event in event(), bit in any::<prop::sample::Index>()) {
        let chat = ChatId::from_u128(1);
        let recorded = Recorded { seq: 1, at: Timestamp(1), event, names: Default::default() };
        let mut sealed = encode_event(chat, &recorded).unwrap();
        let bit = bit.index(sealed.len() * 8);
        sealed[bit / 8] ^= 1 << (bit % 8);
        let damaged = matches!(decode_event(chat, 1, &sealed), Err(RecordError::Damaged { .. }));
        prop_assert!(damaged);
    }

    #[test]
    fn a_party_is_a_key(party in party()) {
        prop_assert_eq!(decode_party(&encode_party(party)), Some(party));
    }
}
