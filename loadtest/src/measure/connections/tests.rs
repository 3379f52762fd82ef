//! Sockets at a server that serves all of them but one as it should.

use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio_tungstenite::accept_async;

use super::*;
use crate::measure::wire::{Frame, Incoming, Outgoing, Side};

/// What becomes of the third socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Closed,
    AnsweredTwice,
    AnsweredWrong,
}

async fn serve(stream: TcpStream, fault: Fault) {
    let stream = accept_async(stream).await.unwrap().into_inner();
    if fault == Fault::Closed {
        return;
    }
    let (mut incoming, mut outgoing) = (Incoming::new(Side::Server), Outgoing::new(Side::Server));
    let (mut calls, answers_to) = stream.into_split();
    while incoming.read(&mut calls).await.is_ok() {
        while let Some(frame) = incoming.next_frame().unwrap() {
            let Frame::Text(_) = frame else { continue };
            let answers: &[&str] = match fault {
                Fault::None | Fault::Closed => &[r#"{"id":1,"result":{}}"#],
                Fault::AnsweredTwice => &[r#"{"id":1,"result":{}}"#; 2],
                Fault::AnsweredWrong => &[r#"{"id":7,"result":{}}"#, r#"{"id":1,"result":{}}"#],
            };
            answers.iter().for_each(|answer| outgoing.text(answer.as_bytes()));
            outgoing.write(&answers_to).unwrap();
        }
    }
}

fn round(fault: Fault) -> Round {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        spawn_local(async move {
            for place in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                spawn_local(serve(stream, if place == 2 { fault } else { Fault::None }));
            }
        });
        let wanted = Wanted {
            customers: 4,
            operators: 0,
            per_second: 100,
            ping_every: None,
            hold: Duration::from_millis(200),
            cores: None,
        };
        let visit =
            |place| Visit { own: own_address(place), to: To::Socket(format!("/ws?{place}")) };
        let visits = (0..4).map(visit).collect();
        let watched = Watched { process: Some(std::process::id()), ..Watched::default() };
        measured(&wanted, address, visits, watched, "a test").await.unwrap()
    })
}

#[test]
fn what_becomes_of_one_socket_of_many_is_seen() {
    let whole = round(Fault::None);
    assert_eq!((whole.violated, whole.figures["sessions"]), (0, 4.0), "{:?}", whole.violations);
    assert_eq!(whole.times["session_open"].count, 4);
    for (fault, words) in [
        (Fault::Closed, "session 2 ended while it was idle"),
        (Fault::AnsweredTwice, "session 2 was answered call 1"),
        (Fault::AnsweredWrong, "session 2 was answered call 7"),
    ] {
        let round = round(fault);
        assert!(round.violations.iter().any(|told| told.contains(words)), "{round:?}");
    }
}
