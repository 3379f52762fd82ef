//! Every move of a chat, legal or not: what each call and message does in each state.

use crate::domain::{Reach, Timestamp};
use crate::machine::chat::tests::{Bench, variant};
use crate::machine::chat::{ChatCall, ChatEffect, ChatInput, Decided, Saying, Target};
use crate::machine::fixture::*;
use crate::machine::message::{AssignBy, Peer, ToChat, ToOperator};

const STATES: [&str; 9] =
    ["nothing", "waiting", "offered", "to_all", "new", "progress", "moving", "completed", "missed"];

/// A chat in the state. Ann has the offer and the chat, Bob the offer to all and the transfer.
fn in_state(state: &str) -> Bench {
    let mut bench = Bench::new();
    if state == "nothing" {
        return bench;
    }
    bench.call(open());
    match state {
        "waiting" => return bench,
        "missed" => {
            bench.call(end(customer(), "left"));
            return bench;
        }
        "to_all" => {
            bench.say(offer(1, OFFER, Reach::ToAll, &[ANN, BOB]));
            return bench;
        }
        _ => {}
    }
    bench.say(offer(1, OFFER, Reach::Directed, &[ANN]));
    if state == "offered" {
        return bench;
    }
    bench.say(accept(ANN, OFFER, "accepted", Timestamp(u64::MAX)));
    if state == "new" {
        return bench;
    }
    bench.call(send(user(ANN), "hello", "Good morning"));
    match state {
        "moving" => {
            let to = Target::Operator(BOB);
            bench.call(ChatCall::Transfer { by: user(ANN), command: command("moved"), to });
        }
        "completed" => {
            bench.call(end(user(ANN), "done"));
        }
        _ => assert_eq!(state, "progress"),
    }
    bench
}

fn call(call: ChatCall) -> ChatInput {
    ChatInput::Call(99, call)
}

fn transfer(by: crate::machine::chat::Author, to: Target) -> ChatInput {
    call(ChatCall::Transfer { by, command: command("x"), to })
}

/// All that can be said to a chat, by name.
fn inputs(bench: &Bench) -> Vec<(&'static str, ChatInput)> {
    let always = Timestamp(u64::MAX);
    let placement = bench.chat.placement();
    let (operator, reservation) = (BOB, bench.chat.transfer().map_or(OFFER, |t| t.reservation));
    let by = AssignBy::Transfer(reservation);
    let said = ChatInput::Said;
    let take = |any| AssignBy::Take { placement, queues: vec![QUEUE], any };
    vec![
        ("open", call(open())),
        ("customer writes", call(send(customer(), "x", "hi"))),
        ("ann writes", call(send(user(ANN), "x", "hi"))),
        ("bob writes", call(send(user(BOB), "x", "hi"))),
        ("ann begins", call(ChatCall::Begin { by: user(ANN), command: command("x") })),
        ("bob begins", call(ChatCall::Begin { by: user(BOB), command: command("x") })),
        ("customer ends", call(end(customer(), "x"))),
        ("ann ends", call(end(user(ANN), "x"))),
        ("bob ends", call(end(user(BOB), "x"))),
        ("admin ends", call(end(administrator(CYD), "x"))),
        ("ann to queue", transfer(user(ANN), Target::Queue(OTHER_QUEUE))),
        ("bob to queue", transfer(user(BOB), Target::Queue(OTHER_QUEUE))),
        ("admin to queue", transfer(administrator(CYD), Target::Queue(OTHER_QUEUE))),
        ("admin to same", transfer(administrator(CYD), Target::Queue(QUEUE))),
        ("ann to bob", transfer(user(ANN), Target::Operator(BOB))),
        ("admin to ann", transfer(administrator(CYD), Target::Operator(ANN))),
        ("continue", call(ChatCall::Continue { chat: OTHER_CHAT })),
        ("offer", said(offer(placement, OTHER_OFFER, Reach::Directed, &[CYD]))),
        (
            "late offer",
            said(offer(placement.wrapping_sub(1), OTHER_OFFER, Reach::Directed, &[CYD])),
        ),
        ("ann accepts", said(accept(ANN, OFFER, "x", always))),
        ("cyd accepts", said(accept(CYD, OFFER, "x", always))),
        ("bob takes", {
            said(ToChat::Assign {
                operator: BOB,
                command: Some(command("x")),
                by: take(false),
                valid_until: always,
            })
        }),
        ("bob is given", said(ToChat::Assign { operator, command: None, by, valid_until: always })),
        ("bob refuses", {
            let standing = crate::domain::operator::Standing::Full;
            said(ToChat::ReserveRefused { reservation, standing })
        }),
        ("ann declines", {
            said(ToChat::Decline { offer: OFFER, operator: ANN, stay: 0, command: command("x") })
        }),
        ("ann withdraws", {
            let reason = crate::domain::event::WithdrawReason::NotReady;
            let peer = Peer::Operator(ANN);
            said(ToChat::Withdraw { peer, offer: OFFER, operator: ANN, stay: 0, reason })
        }),
        ("lapse", said(ToChat::Lapse { placement, offer: OFFER, stands_ms: TIMEOUT_MS })),
        ("ann is gone", said(ToChat::OwnerGone { operator: ANN, placement })),
        ("rehomed", said(ToChat::Rehome { queue: QUEUE, to: OTHER_QUEUE })),
        ("astray", said(ToChat::Rehome { queue: OTHER_QUEUE, to: QUEUE })),
        ("time", ChatInput::Tick),
        ("another token", call(ChatCall::UpdateCustomer { by: customer(), profile: named() })),
        ("ann's token", call(ChatCall::UpdateCustomer { by: user(ANN), profile: named() })),
    ]
}

fn named() -> crate::domain::Profile {
    let name = crate::domain::Name::new("Zoe").ok();
    crate::domain::Profile { issued_at: Timestamp(1), name, ..Default::default() }
}

const OTHER_OFFER: crate::domain::OfferId = crate::domain::OfferId::from_u128(0xf2);

/// What came of it: the events, or why not.
fn outcome(decided: &Decided) -> String {
    if !decided.events.is_empty() {
        let names = decided.events.iter().map(|event| match event {
            crate::domain::ChatEvent::OfferEnded { how, .. } => {
                format!("OfferEnded:{}", variant(how))
            }
            crate::domain::ChatEvent::Ended { outcome, .. } => format!("Ended:{outcome:?}"),
            event => variant(event),
        });
        return names.collect::<Vec<_>>().join("+");
    }
    let refusals = decided.effects.iter().map(|effect| match effect {
        ChatEffect::Answer(_, Err(refusal)) => variant(refusal),
        ChatEffect::Answer(_, Ok(_)) => "answered".to_owned(),
        ChatEffect::AnswerRecorded(..) => "recorded".to_owned(),
        ChatEffect::AnswerLater(..) => "later".to_owned(),
        ChatEffect::Own(Saying::ToOperator(_, said)) => match said.as_ref() {
            ToOperator::AssignAnswer { result: Err(refusal), .. } => variant(refusal),
            said => variant(said),
        },
        ChatEffect::Own(Saying::Tell(_)) => "told".to_owned(),
    });
    let refusals = refusals.collect::<Vec<_>>().join("+");
    if refusals.is_empty() { "-".to_owned() } else { refusals }
}

#[test]
fn every_call_in_every_state() {
    let mut table = String::new();
    for (n, (name, _)) in inputs(&Bench::new()).into_iter().enumerate() {
        for state in STATES {
            let mut bench = in_state(state);
            // After every deadline: a lapse is one, and time alone brings the rest.
            bench.later(60_000);
            let input = inputs(&bench)[n].1.clone();
            let decided = bench.input(&input);
            table.push_str(&format!("{name:<15} {state:<9} {}\n", outcome(&decided)));
        }
    }
    let wanted = include_str!("moves.txt");
    for (got, wanted) in table.lines().zip(wanted.lines()) {
        assert_eq!(got, wanted);
    }
    assert_eq!(table.lines().count(), wanted.lines().count(), "{table}");
}
