//! A server that does what it should not, and what is seen of it.

use std::net::Ipv4Addr;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::{LocalSet, spawn_local};
use tokio_tungstenite::accept_async;

use super::*;
use crate::measure::wire::{Frame, Incoming, Outgoing, Side};

/// What a server does with its third message that it should not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    ShownTwice,
    NotShown,
    ShownLate,
    AnsweredTwice,
    PositionBack,
    Refused,
    RefusedWithoutId,
    OfAnotherChat,
    StandsStill,
    AsksWho,
}

/// How long a server stands still.
const STILL: Duration = Duration::from_millis(100);

/// Serves one pair until its writer goes.
async fn serve(listener: TcpListener, fault: Fault, proven: Rc<Cell<bool>>) {
    let accept = async || {
        let (stream, _) = listener.accept().await.unwrap();
        accept_async(stream).await.unwrap().into_inner().into_split()
    };
    let streams = [accept().await, accept().await];
    let (mut incoming, mut late) = (Incoming::new(Side::Server), Vec::new());
    let [mut answers, mut events] = [(); 2].map(|()| Outgoing::new(Side::Server));
    let [(mut calls, to_writer), (mut reader, to_reader)] = streams;
    while incoming.read(&mut calls).await.is_ok() {
        while let Some(Frame::Text(text)) = incoming.next_frame().unwrap() {
            let call: Value = serde_json::from_slice(text).unwrap();
            let n = call["id"].as_u64().unwrap();
            if call["method"] == "presence.answer" {
                proven.set(call["params"]["probe"] == 9);
                answers.text(json!({ "id": n, "result": {} }).to_string().as_bytes());
                continue;
            }
            let is = |which| n == 3 && fault == which;
            if is(Fault::StandsStill) {
                tokio::time::sleep(STILL).await;
            }
            let seq = if is(Fault::PositionBack) { 1 } else { n };
            if is(Fault::AsksWho) {
                answers.text(br#"{"method":"presence.probe","params":{"probe":9,"limit_ms":5}}"#);
            }
            if is(Fault::RefusedWithoutId) {
                answers.text(br#"{"id":null,"error":{"code":1,"message":"no"}}"#);
            }
            let answer = match is(Fault::Refused) {
                true => json!({ "id": n, "error": { "code": 1, "message": "no" } }),
                false => json!({ "id": n, "result": { "seq": seq } }),
            };
            let chat = match is(Fault::OfAnotherChat) {
                true => json!("another"),
                false => call["params"]["chat"].clone(),
            };
            let event = json!({
                "method": "chat.event",
                "params": { "chat": chat, "kind": "message", "text": call["params"]["text"] },
            });
            let times = |twice| if twice { 2 } else { 1 };
            for _ in 0..times(is(Fault::AnsweredTwice)) {
                answers.text(answer.to_string().as_bytes());
            }
            if is(Fault::ShownLate) {
                late.push(event);
                continue;
            }
            for _ in 0..times(is(Fault::ShownTwice)) {
                if !is(Fault::NotShown) {
                    events.text(event.to_string().as_bytes());
                }
            }
            for event in late.drain(..) {
                events.text(event.to_string().as_bytes());
            }
        }
        answers.write(&to_writer).unwrap();
        events.write(&to_reader).unwrap();
    }
    // The reader listens longer than its writer does.
    while Incoming::new(Side::Server).read(&mut reader).await.is_ok() {}
}

const CLOSED: Load = Load {
    in_flight: 4,
    rate: None,
    warm_up: Duration::ZERO,
    time: Duration::from_millis(200),
    messages: None,
};

fn measured(fault: Fault, load: Load) -> Measured {
    measured_in(&["c"], fault, load)
}

/// The same of several chats.
fn measured_in(chats: &[&str], fault: Fault, load: Load) -> Measured {
    let chats: Rc<[String]> = chats.iter().map(|chat| (*chat).to_owned()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let proven = Rc::new(Cell::new(false));
        spawn_local(serve(listener, fault, Rc::clone(&proven)));
        let writer = Socket::connect(&address, "/").await.unwrap();
        let reader = Some(Socket::connect(&address, "/").await.unwrap());
        let pair = Pair { chats, writer, reader };
        let mut marks = 0;
        let measured = drive(vec![pair], load, |_| marks += 1).await.unwrap();
        assert_eq!((marks, proven.get()), (2, fault == Fault::AsksWho));
        measured
    })
}

#[test]
fn what_a_server_loses_doubles_or_swaps_is_seen() {
    let whole = measured(Fault::None, CLOSED);
    assert_eq!((whole.violated, whole.refused.len()), (0, 0), "{:?}", whole.violations);
    assert!(whole.acknowledged > 4 && whole.delivered > 4);
    for fault in [
        Fault::ShownTwice,
        Fault::NotShown,
        Fault::ShownLate,
        Fault::AnsweredTwice,
        Fault::PositionBack,
        Fault::OfAnotherChat,
    ] {
        let measured = measured(fault, CLOSED);
        assert!(measured.violated > 0, "{fault:?}");
    }
    for fault in [Fault::Refused, Fault::RefusedWithoutId] {
        assert_eq!(measured(fault, CLOSED).refused, BTreeMap::from([("no".to_owned(), 1)]));
    }
}

#[test]
fn in_an_open_loop_a_server_that_stands_still_is_not_asked_less() {
    // One in flight: all that is due meanwhile waits for the one that it stands still with.
    let load = Load { in_flight: 1, rate: Some(1_000.0), ..CLOSED };
    let measured = measured(Fault::StandsStill, load);
    assert_eq!(measured.violated, 0, "{:?}", measured.violations);
    let long_us = micros(STILL) / 2;
    let long = measured.acknowledge_us.count_between(long_us, LONGEST_US);
    assert!(long > 40, "{long} of {} took {long_us} us", measured.acknowledge_us.len());
    assert_eq!(measured.acknowledge_us.len(), measured.acknowledged + measured.unsent);
    // What is late for want of room is not the driver's.
    let late = measured.sent_late_us.count_between(long_us, LONGEST_US);
    assert!(late < long, "{late} were sent late");
}

#[test]
fn what_was_due_and_found_no_room_took_at_least_as_long_as_it_waited() {
    let time = STILL;
    let load = Load { in_flight: 1, rate: Some(1_000.0), time, ..CLOSED };
    let measured = measured(Fault::StandsStill, load);
    assert!(measured.unsent > 40, "{}", measured.unsent);
    let waited = measured.acknowledge_us.count_between(micros(time) / 2, LONGEST_US);
    assert!(waited > 20, "{waited}");
}

#[test]
fn a_pair_that_is_due_after_the_end_ends_with_the_others() {
    let load = Load { rate: Some(0.01), ..CLOSED };
    let measured = measured(Fault::None, load);
    assert_eq!((measured.violated, measured.unsent), (0, 0), "{:?}", measured.violations);
    assert_eq!(measured.acknowledged, 1);
}

#[test]
fn what_is_due_in_an_open_loop_comes_evenly_at_full_milliseconds() {
    let due = |place, n| Due { place, of: 4, rate: 1_000.0 }.at_us(n);
    assert_eq!([due(0, 0), due(1, 0), due(3, 0), due(0, 1)], [0, 1_000, 3_000, 4_000]);
    let fast = |place, n| Due { place, of: 4, rate: 8_000.0 }.at_us(n);
    assert_eq!([fast(0, 0), fast(3, 0), fast(0, 4), fast(1, 4)], [0, 1_000, 2_000, 3_000]);
}

#[test]
fn what_a_server_does_to_one_of_many_chats_is_seen_and_chats_may_pass_each_other() {
    const CHATS: [&str; 3] = ["a", "b", "c"];
    // Messages of other chats come before the third one.
    let late = measured_in(&CHATS, Fault::ShownLate, CLOSED);
    assert_eq!((late.violated, late.refused.len()), (0, 0), "{:?}", late.violations);
    for fault in [Fault::ShownTwice, Fault::NotShown, Fault::AnsweredTwice, Fault::OfAnotherChat] {
        assert!(measured_in(&CHATS, fault, CLOSED).violated > 0, "{fault:?}");
    }
}

#[test]
fn so_many_messages_as_are_wanted_are_measured_and_what_is_missing_of_them_is_told() {
    let load = Load { time: Duration::from_secs(30), messages: Some(50), ..CLOSED };
    let measured = measured_in(&["a", "b"], Fault::None, load);
    assert_eq!((measured.violated, measured.acknowledged), (0, 50), "{:?}", measured.violations);
    assert!(measured.seconds < 30.0, "{}", measured.seconds);
    let few = Load { messages: Some(u64::MAX / 2), ..CLOSED };
    let told = self::measured(Fault::None, few).violations;
    assert!(told.len() == 1 && told[0].contains("of its"), "{told:?}");
}

#[test]
fn a_server_that_stands_still_has_nobody_answered_for_so_long() {
    let measured = measured(Fault::StandsStill, CLOSED);
    assert!(measured.stall_us >= micros(STILL), "{}", measured.stall_us);
    assert!(measured.stall_us <= micros(CLOSED.time), "{}", measured.stall_us);
}

#[test]
fn what_is_shared_is_shared_evenly_and_all_of_it() {
    let shares: Vec<u64> = (0..3).map(|place| share(10, place, 3)).collect();
    assert_eq!(shares, [3, 3, 4]);
    assert_eq!((share(0, 0, 1), share(7, 0, 1)), (0, 7));
}

#[test]
fn who_writes_proves_to_be_there_when_the_server_asks() {
    let measured = measured(Fault::AsksWho, CLOSED);
    assert_eq!((measured.violated, measured.refused.len()), (0, 0), "{:?}", measured.violations);
}
