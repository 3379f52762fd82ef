//! An operator at a server that says what a script has it say.

use std::collections::BTreeSet;

use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Duration, timeout};
use tokio_tungstenite::accept_async;

use super::*;
use switchboard::protocol::value::{Token, WireText};

use crate::draw::Purpose;
use crate::measure::found::Found;
use crate::measure::report::Round;
use crate::measure::routing::ledger::{Ledger, Rules};
use crate::measure::wire::{Frame, Incoming, Outgoing, Side};

const QUEUE: Uuid = Uuid::from_u128(1_000);

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// What the server does with the second chat that it should not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    OtherQueue,
    OtherChat,
    AcceptedTwice,
    Unanswered,
    Refused,
    Closed,
}

/// Offers chats 1 to 3, the third one before it answers the end of the first.
async fn serve(stream: TcpStream, fault: Fault, done: watch::Sender<Stage>) {
    let (mut calls, out) = accept_async(stream).await.unwrap().into_inner().into_split();
    let (mut incoming, mut outgoing) = (Incoming::new(Side::Server), Outgoing::new(Side::Server));
    while incoming.read(&mut calls).await.is_ok() {
        while let Some(Frame::Text(text)) = incoming.next_frame().unwrap() {
            let call: Value = serde_json::from_slice(text).unwrap();
            let chat = call["params"]["chat"].as_str().map(|id| Uuid::parse_str(id).unwrap());
            let is = |which| chat == Some(Uuid::from_u128(2)) && fault == which;
            if is(Fault::Closed) {
                return;
            }
            let answer = match is(Fault::Refused) {
                true => json!({ "id": call["id"], "error": { "data": { "name": "internal" } } }),
                false if is(Fault::OtherChat) => {
                    json!({ "id": call["id"], "result": { "chat": Uuid::from_u128(9) } })
                }
                false => json!({ "id": call["id"], "result": { "chat": chat } }),
            };
            let offers: &[u128] = match (call["method"].as_str().unwrap(), chat) {
                ("operator.set_status", _) => &[1, 2],
                ("chat.end", Some(chat)) if chat == Uuid::from_u128(1) => &[3],
                _ => &[],
            };
            for number in offers.iter().copied() {
                let queue = match number == 2 && fault == Fault::OtherQueue {
                    true => Uuid::nil(),
                    false => QUEUE,
                };
                let id = Uuid::from_u128(number);
                let params = json!({ "chat": id, "offer": id, "queue": queue });
                let offer = json!({ "method": "offer.presented", "params": params });
                outgoing.text(offer.to_string().as_bytes());
            }
            let answers = match fault {
                Fault::AcceptedTwice if is(fault) => 2,
                Fault::Unanswered if is(fault) => 0,
                _ => 1,
            };
            for _ in 0..answers {
                outgoing.text(answer.to_string().as_bytes());
            }
            let is_last = call["method"] == "chat.end" && chat == Some(Uuid::from_u128(3));
            outgoing.write(&out).unwrap();
            if is_last {
                done.send_replace(Stage::Over);
            }
        }
    }
}

fn way(address: &str) -> Way {
    let token = Token::read("anybody's").unwrap();
    Way { own: None, address: address.to_owned(), token }
}

fn played(fault: Fault) -> (Found, Round) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (tell, stage) = watch::channel(Stage::Going);
        spawn_local(async move { serve(listener.accept().await.unwrap().0, fault, tell).await });
        let rules = Rules {
            capacity: 2,
            serves: vec![BTreeSet::from([0])],
            cool_down_us: 0,
            are_asked: true,
            chats_max: 3,
        };
        let queues = [(QUEUE, 0)].into();
        let mut hall = Hall::new(stage, Ledger::new(rules), queues, None, 0).unwrap();
        if fault == Fault::Unanswered {
            // What is not said at all does not come later either.
            hall.patience = Duration::ZERO;
        }
        let hall = Rc::new(hall);
        hall.measure(u64::MAX);
        let now_us = hall.clock.us();
        for chat in 1..=3 {
            hall.ledger.borrow_mut().opened(Uuid::from_u128(chat), 0, (now_us, now_us));
        }
        let conduct = Conduct {
            declines_percent: 0,
            keeps_us: 0,
            writes: true,
            takes: false,
            steps_away_us: None,
        };
        let session = Session::without(None, &address, "/").await.unwrap();
        let draw = Draw::new(1, Purpose::Routing, 0);
        let operator =
            Operator::new(0, (session, way(&address)), Rc::clone(&hall), (conduct, draw));
        timeout(Duration::from_secs(30), operator.play()).await.unwrap();
        let found = hall.ledger.borrow_mut().finish(&BTreeSet::new());
        let mut round = Round::default();
        hall.note(&mut round, 1.0);
        (found, round)
    })
}

#[test]
fn chats_are_accepted_while_there_is_room_and_ended_and_the_next_offer_is_timed() {
    let (found, round) = played(Fault::None);
    assert_eq!(found, Found::default());
    let figure = |name: &str| round.figures[name];
    assert_eq!((figure("offered_per_second"), figure("accepted_per_second")), (3.0, 3.0));
    assert_eq!(figure("ended_per_second"), 3.0);
    assert_eq!(round.times["assign"].count, 3);
    assert_eq!((round.times["next"].count, round.times["next"].max_us), (1, 0));
}

#[test]
fn what_a_server_gives_to_the_wrong_one_is_seen() {
    for (fault, words) in [
        (Fault::OtherQueue, "chat 00000000-0000-0000-0000-000000000002 was offered to operator 0"),
        (Fault::OtherChat, "operator 0 was given chat 00000000-0000-0000-0000-000000000009"),
        (Fault::AcceptedTwice, "operator 0 was answered call"),
        (Fault::Unanswered, "operator 0 was never answered: Accept("),
        (Fault::Closed, "the session of operator 0 has ended"),
    ] {
        let (found, _) = played(fault);
        assert!(found.violations().iter().any(|told| told.contains(words)), "{fault:?}: {found:?}");
    }
    assert_eq!(played(Fault::Refused).0.refusals(), "refused: internal");
}

/// Gives chats 1 and 2 away, and tells who comes back which ones are its own, and that chat 3 is offered to it.
async fn serve_twice(listener: TcpListener, own: &[u128], tell: watch::Sender<Stage>) {
    let offer = |number: u128| json!({ "chat": id(number), "offer": id(number), "queue": QUEUE });
    for _ in 0..2 {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut calls, out) = accept_async(stream).await.unwrap().into_inner().into_split();
        let (mut incoming, mut outgoing) =
            (Incoming::new(Side::Server), Outgoing::new(Side::Server));
        while incoming.read(&mut calls).await.is_ok() {
            while let Some(Frame::Text(text)) = incoming.next_frame().unwrap() {
                let call: Value = serde_json::from_slice(text).unwrap();
                let chat = call["params"]["chat"].as_str().map(|id| Uuid::parse_str(id).unwrap());
                let chats: Vec<Value> = own.iter().map(|chat| json!({ "id": id(*chat) })).collect();
                let result = match call["method"].as_str().unwrap() {
                    "session.open" => json!({ "chats": chats, "offers": [offer(3)] }),
                    "operator.set_status" => {
                        for params in [offer(1), offer(2)] {
                            let offer = json!({ "method": "offer.presented", "params": params });
                            outgoing.text(offer.to_string().as_bytes());
                        }
                        json!({})
                    }
                    _ => json!({ "chat": chat }),
                };
                let answer = json!({ "id": call["id"], "result": result });
                outgoing.text(answer.to_string().as_bytes());
                if call["method"] == "session.open" {
                    let probe = json!({ "method": "presence.probe", "params": { "probe": 7 } });
                    outgoing.text(probe.to_string().as_bytes());
                }
                outgoing.write(&out).unwrap();
                if chat == Some(id(2)) {
                    tell.send_replace(Stage::Going);
                } else if chat == Some(id(3)) {
                    tell.send_replace(Stage::Over);
                }
            }
        }
        tell.send_if_modified(|stage| {
            let leaves = *stage == Stage::Going;
            *stage = if leaves { Stage::Draining } else { *stage };
            leaves
        });
    }
}

/// One who leaves as soon as it has two chats; what was found when it had its third one.
fn back(own: &'static [u128]) -> Found {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (tell, stage) = watch::channel(Stage::Draining);
        spawn_local(serve_twice(listener, own, tell));
        let serves = vec![BTreeSet::from([0]); 2];
        let rules = Rules { capacity: 3, serves, cool_down_us: 0, are_asked: true, chats_max: 3 };
        let hall = Hall::new(stage, Ledger::new(rules), [(QUEUE, 0)].into(), None, 0).unwrap();
        let hall = Rc::new(hall);
        hall.measure(u64::MAX);
        for chat in 1..=3 {
            hall.ledger.borrow_mut().opened(id(chat), 0, (0, 0));
        }
        let conduct = Conduct {
            declines_percent: 0,
            keeps_us: DAY_US,
            writes: false,
            takes: false,
            steps_away_us: Some((0, DAY_US)),
        };
        let session = Session::without(None, &address, "/").await.unwrap();
        // Its neighbour would leave by its status.
        let draw = Draw::new(1, Purpose::Routing, 1);
        let operator =
            Operator::new(1, (session, way(&address)), Rc::clone(&hall), (conduct, draw));
        timeout(Duration::from_secs(30), operator.play()).await.unwrap();
        let mut round = Round::default();
        hall.note(&mut round, 1.0);
        assert_eq!((round.figures["came_back"], round.figures["accepted_per_second"]), (1.0, 3.0));
        assert!(hall.ledger.borrow().is_ready(1), "it has proven that it is back");
        hall.ledger.borrow_mut().finish(&BTreeSet::new())
    })
}

#[test]
fn who_closes_its_socket_comes_back_to_the_chats_and_offers_that_it_had() {
    assert_eq!(back(&[1, 2]), Found::default());
    let told = back(&[1]).violations().to_vec();
    assert!(told.len() == 1 && told[0].contains("was not told of its chat"), "{told:?}");
}
