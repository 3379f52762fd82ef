//! A customer at a server that says what a script has it say.

use std::collections::BTreeSet;

use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local, yield_now};
use tokio::time::{Duration, timeout};
use tokio_tungstenite::accept_async;

use super::*;
use crate::measure::found::Found;
use crate::measure::report::Round;
use crate::measure::routing::ledger::{CHATS_MAX, Ledger, Rules};
use crate::measure::wire::{Frame, Incoming, Outgoing, Side};

const CHAT: Uuid = Uuid::from_u128(1);

/// What the server does with the chat that it should not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Unanswered,
    WithoutChat,
    EndUntold,
}

/// Opens one chat, which is over at once.
async fn serve(stream: TcpStream, fault: Fault, hall: Rc<Hall>, done: watch::Sender<Stage>) {
    let (mut calls, out) = accept_async(stream).await.unwrap().into_inner().into_split();
    let (mut incoming, mut outgoing) = (Incoming::new(Side::Server), Outgoing::new(Side::Server));
    while incoming.read(&mut calls).await.is_ok() {
        while let Some(Frame::Text(text)) = incoming.next_frame().unwrap() {
            let call: Value = serde_json::from_slice(text).unwrap();
            let result = match fault {
                Fault::WithoutChat => json!({}),
                Fault::None | Fault::Unanswered | Fault::EndUntold => json!({ "chat": CHAT }),
            };
            if fault != Fault::Unanswered {
                let answer = json!({ "id": call["id"], "result": result });
                outgoing.text(answer.to_string().as_bytes());
            }
            if fault == Fault::None {
                let params = json!({ "chat": CHAT, "kind": "ended" });
                let ended = json!({ "method": "chat.event", "params": params });
                outgoing.text(ended.to_string().as_bytes());
            }
            outgoing.write(&out).unwrap();
            while fault == Fault::EndUntold && hall.opened() == 0 {
                yield_now().await;
            }
            done.send_replace(Stage::Over);
        }
    }
}

fn played(fault: Fault) -> (Found, Round) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (tell, stage) = watch::channel(Stage::Going);
        let serves = vec![BTreeSet::from([0])];
        let rules =
            Rules { capacity: 1, serves, cool_down_us: 0, are_asked: true, chats_max: CHATS_MAX };
        let mut hall = Hall::new(stage, Ledger::new(rules), [].into(), None, 1).unwrap();
        if matches!(fault, Fault::Unanswered | Fault::EndUntold) {
            // What is not said at all does not come later either.
            hall.patience = Duration::ZERO;
        }
        let hall = Rc::new(hall);
        let at_server = Rc::clone(&hall);
        spawn_local(async move {
            serve(listener.accept().await.unwrap().0, fault, at_server, tell).await;
        });
        hall.measure(u64::MAX);
        // An operator has ended it before the customer hears of it.
        hall.ledger.borrow_mut().ended(0, CHAT);
        let session = Session::without(None, &address, "/").await.unwrap();
        let customer = Customer::new(0, (0, "channel".to_owned()), session, Rc::clone(&hall));
        assert!(hall.send_one(hall.clock.us()));
        timeout(Duration::from_secs(30), customer.play()).await.unwrap();
        let found = hall.ledger.borrow_mut().finish(&BTreeSet::new());
        let mut round = Round::default();
        hall.note(&mut round, 1.0);
        (found, round)
    })
}

#[test]
fn a_chat_is_opened_and_over_and_what_is_late_is_waited_for() {
    let (found, round) = played(Fault::None);
    assert_eq!(found, Found::default());
    assert_eq!((round.figures["opened_per_second"], round.times["open"].count), (1.0, 1));
}

#[test]
fn what_a_customer_is_never_told_is_seen() {
    for (fault, words, opens) in [
        (Fault::Unanswered, "customer 0 was never answered its chat.open", 1),
        (Fault::WithoutChat, "customer 0 was answered a chat.open without a chat", 0),
        (Fault::EndUntold, "is over", 1),
    ] {
        let (found, round) = played(fault);
        let told = found.violations();
        assert!(told.len() == 1 && told[0].contains(words), "{fault:?}: {told:?}");
        assert_eq!(round.times["open"].count, opens, "{fault:?}");
    }
}
