//! What a chat knows of its customer: the latest token counts, and takes no room from anybody.

use crate::domain::limits::CUSTOMER_UPDATES_MAX;
use crate::domain::{ChatEvent, Name, Priority, Profile, Reach, Recorded, Timestamp};
use crate::machine::chat::tests::{Bench, refusal};
use crate::machine::chat::{ChatCall, ChatEffect, Refusal};
use crate::machine::fixture::*;
use crate::storage::Moving;

fn token(issued_at: u64, priority: u8, name: &str) -> Profile {
    Profile {
        issued_at: Timestamp(issued_at),
        priority: Priority::new(priority).unwrap(),
        name: Some(Name::new(name).unwrap()),
    }
}

fn update(profile: &Profile) -> ChatCall {
    ChatCall::UpdateCustomer { by: customer(), profile: profile.clone() }
}

fn write(id: &str, profile: &Profile) -> ChatCall {
    let (by, id, text) = (customer(), command(id), text("words"));
    ChatCall::Send { by, id, text, profile: Some(profile.clone()) }
}

fn open_with(profile: &Profile) -> ChatCall {
    let ChatCall::Open { customer, command, queue, continues, .. } = open() else { panic!() };
    ChatCall::Open { customer, command, queue, continues, profile: profile.clone() }
}

#[test]
fn the_later_token_counts_in_whatever_order_they_come() {
    let (older, newer) = (token(5, 1, "Ann"), token(9, 3, "Anna"));
    let (twin, other) = (token(9, 3, "Berta"), token(9, 2, "Zoe"));
    let tokens = [&older, &newer, &twin, &other];
    for first in tokens {
        for second in tokens {
            for third in tokens {
                let mut bench = Bench::opened();
                for token in [first, second, third] {
                    bench.call(update(token));
                }
                let latest = [first, second, third].into_iter().max().unwrap();
                assert_eq!(bench.chat.profile(), latest, "{first:?} {second:?} {third:?}");
                assert_eq!(bench.folded(), bench.chat);
            }
        }
    }
}

#[test]
fn every_word_of_the_customer_brings_what_its_token_says_and_one_that_says_the_same_leaves_no_trace()
 {
    let mut bench = Bench::new();
    bench.call(open_with(&token(1, 0, "Ann")));
    assert_eq!(bench.chat.profile(), &token(1, 0, "Ann"));
    assert!(bench.call(write("m1", &token(2, 0, "Ann"))).events.len() == 1, "the same again");
    let said = bench.call(write("m2", &token(3, 4, "Anna")));
    let [ChatEvent::CustomerUpdated { profile }, ChatEvent::Message { .. }] = &said.events[..]
    else {
        panic!("{said:?}")
    };
    assert_eq!(*profile, token(3, 4, "Anna"));
    let [ChatEffect::AnswerRecorded(_, seq)] = said.effects[..] else { panic!("{said:?}") };
    assert_eq!(seq, bench.chat.tail(), "answered with the message, not with the token");
    // The same message again is answered as it was, whatever token it comes with.
    assert!(bench.call(write("m2", &token(8, 8, "Anne"))).events.is_empty());
    // Another tab opens the chat that is open.
    let again = bench.call(open_with(&token(9, 4, "Anne")));
    assert!(matches!(again.events[..], [ChatEvent::CustomerUpdated { .. }]), "{again:?}");
    assert!(matches!(again.effects[..], [ChatEffect::Answer(_, Ok(answer))] if answer.seq == 1));
    let stranger = ChatCall::UpdateCustomer { by: user(ANN), profile: token(99, 9, "Eve") };
    assert_eq!(refusal(&bench.call(stranger)), Some(Refusal::NotYours));
}

#[test]
fn a_chat_in_a_line_tells_its_queue_of_another_priority_and_its_row_does_not_miss_it() {
    for offered in [false, true] {
        let mut bench = Bench::opened();
        if offered {
            bench.say(offer(1, OFFER, Reach::Directed, &[ANN]));
        }
        let (placement, version) = (bench.chat.placement(), bench.chat.at().unwrap().version);
        let named = bench.call(update(&token(1, 0, "Ann")));
        assert_eq!((named.intent, bench.chat.at().unwrap().version), (None, version));
        let since = bench.chat.at().unwrap().since;
        let ranked = bench.later(5).call(update(&token(2, 5, "Ann")));
        assert_eq!(ranked.intent, Some(Moving { to: None }));
        let at = bench.chat.at().unwrap();
        assert_eq!((at.placement, at.version), (placement, bench.chat.tail()));
        assert_eq!((at.since, at.priority.points()), (since, 5), "its age is kept");
        assert_eq!(bench.chat.row().unwrap().priority.points(), 5);
    }
}

#[test]
fn an_owned_chat_and_one_that_has_ended_rank_nowhere() {
    let mut bench = Bench::opened();
    bench.say(offer(1, OFFER, Reach::Directed, &[ANN]));
    bench.say(accept(ANN, OFFER, "yes", Timestamp(u64::MAX)));
    let version = bench.chat.at().unwrap().version;
    let owned = bench.call(update(&token(1, 5, "Ann")));
    assert_eq!((owned.intent, bench.chat.at().unwrap().version), (None, version));
    assert_eq!(bench.chat.profile().priority.points(), 5, "it counts when it waits again");
    bench.call(end(customer(), "bye"));
    let ended = bench.call(update(&token(9, 9, "Anna")));
    assert!(ended.events.is_empty() && refusal(&ended).is_none(), "{ended:?}");
}

#[test]
fn a_customer_with_ever_new_names_takes_neither_memory_nor_room() {
    let mut bench = Bench::opened();
    let size = |bench: &Bench| format!("{:?}", bench.chat).len();
    bench.call(update(&token(1, 1, "name 00001")));
    let before = size(&bench);
    for n in 2..=CUSTOMER_UPDATES_MAX {
        let profile = token(n, 1, &format!("name {n:05}"));
        let (seq, at) = (bench.chat.tail() + 1, bench.now);
        let (event, names) = (ChatEvent::CustomerUpdated { profile }, Default::default());
        bench.chat.apply(&Recorded { seq, at, event, names });
    }
    assert!(size(&bench) < before + 20, "numbers have grown, nothing else");
    let last = token(CUSTOMER_UPDATES_MAX, 1, "name 10000");
    assert_eq!(bench.chat.profile(), &last);
    // One more is not written down; people and offers have the room that they had.
    assert!(bench.call(update(&token(u64::MAX, 9, "one more"))).events.is_empty());
    assert_eq!(bench.chat.profile(), &last);
    assert_eq!(bench.call(write("m", &token(u64::MAX, 9, "one more"))).events.len(), 1);
    assert!(!bench.say(offer(1, OFFER, Reach::Directed, &[ANN])).events.is_empty());
    assert!(!bench.chat.at().unwrap().spent);
    let routing = bench.chat.tail() - bench.chat.messages() - bench.chat.updates;
    assert_eq!(routing, 3, "opened, placed, offered");
}
