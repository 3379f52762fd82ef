//! One socket that does nothing: it comes, stays, and shows at the end that it is still served.

use std::cell::RefCell;
use std::future::pending;
use std::net::Ipv4Addr;
use std::rc::Rc;

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use switchboard::protocol::value::Token;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Duration, Instant, Interval, MissedTickBehavior, interval_at};

use super::ledger::Ledger;
use crate::measure::session::{Session, SessionError};

/// How somebody comes.
#[derive(Debug, Clone)]
pub struct Visit {
    /// From which address of this machine.
    pub own: Ipv4Addr,
    /// To what.
    pub to: To,
}

/// What is come to.
#[derive(Debug, Clone)]
pub enum To {
    /// The router, with this token.
    Session(Token),
    /// A floor, by this path.
    Socket(String),
}

/// What everybody is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Nothing.
    Idle,
    /// Call something.
    Asked,
    /// Go.
    Over,
}

/// What all have in common.
pub struct Hall {
    /// The server's `host:port`.
    pub address: String,
    /// How often each asks for a sign of life; none: only the server does.
    pub ping_every: Option<Duration>,
    /// What is to be done.
    pub stage: watch::Receiver<Stage>,
    /// What is known of all.
    pub ledger: RefCell<Ledger>,
    /// Until a session was open, from when it was due, µs.
    pub open_us: RefCell<Histogram<u64>>,
}

impl Visit {
    async fn come(&self, address: &str) -> Result<Session, SessionError> {
        match &self.to {
            To::Session(token) => Session::open(Some(self.own), address, token).await,
            To::Socket(path) => Session::without(Some(self.own), address, path).await,
        }
    }

    /// The cheapest call that is answered: it touches no store. A floor knows only one.
    fn ask(&self, session: &mut Session) -> u64 {
        let (method, params): (&str, Value) = match &self.to {
            To::Session(_) => ("presence.answer", json!({ "probe": 0 })),
            To::Socket(_) => {
                let chat = uuid::Uuid::nil().to_string();
                let params = json!({ "chat": chat, "client_message_id": "last", "text": "here" });
                ("message.send", params)
            }
        };
        session.call(method, &params)
    }
}

/// Comes, and stays until all is over. The permit is given back as soon as it is there.
pub async fn live(
    hall: Rc<Hall>,
    place: usize,
    visit: Visit,
    due: Instant,
    coming: OwnedSemaphorePermit,
) {
    let came = visit.come(&hall.address).await;
    drop(coming);
    let mut session = match came {
        Ok(session) => session,
        Err(why) => return hall.ledger.borrow_mut().closed(place, &why.to_string()),
    };
    let us = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
    hall.open_us.borrow_mut().saturating_record(us);
    hall.ledger.borrow_mut().opened(place);
    if let Err(why) = stay(&hall, place, &visit, &mut session).await {
        hall.ledger.borrow_mut().closed(place, &why.to_string());
    }
}

async fn stay(
    hall: &Hall,
    place: usize,
    visit: &Visit,
    session: &mut Session,
) -> Result<(), SessionError> {
    let mut stage = hall.stage.clone();
    let mut is_asked = false;
    let mut pings = hall.ping_every.map(|every| {
        let mut pings = interval_at(Instant::now() + every, every);
        // A driver that was busy asks less often, and not twice at once.
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pings
    });
    loop {
        while let Some(heard) = session.next_heard()? {
            hall.ledger.borrow_mut().heard(place, &heard);
        }
        let now = *stage.borrow_and_update();
        if now == Stage::Over {
            return Ok(());
        }
        if now == Stage::Asked && !is_asked {
            is_asked = true;
            hall.ledger.borrow_mut().asked(place, visit.ask(session));
        }
        tokio::select! {
            turn = session.turn() => turn?,
            Ok(()) = stage.changed() => {}
            () = due(&mut pings) => {
                session.ping();
                hall.ledger.borrow_mut().pinged(place);
            }
        }
    }
}

async fn due(pings: &mut Option<Interval>) {
    match pings {
        Some(pings) => {
            pings.tick().await;
        }
        None => pending().await,
    }
}
