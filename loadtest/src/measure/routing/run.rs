//! One run against a router: everybody comes, a line forms, chats come and go for a while, and the last ones are
//! served.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::json;
use switchboard::domain::Rule;
use switchboard::domain::limits::COOL_DOWN_MS;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Duration, Instant, sleep, sleep_until, timeout};
use uuid::Uuid;

use super::customer::Customer;
use super::hall::{Hall, Stage};
use super::ledger::{CHATS_MAX, Ledger, Rules};
use super::operator::{Conduct, Operator};
use super::{Arrivals, RoutingError, Wanted, serves};
use crate::draw::{Draw, Purpose};
use crate::measure::report::Round;
use crate::measure::session::{Heard, Session, SessionError, Way};
use crate::measure::tokens::{self, own_address};
use crate::measure::watch::{Seen, Watch, Watched};
use crate::run::progress::Progress;
use crate::run::provision::Provisioned;

/// How long the line may take to form, and people to go.
pub(super) const STEP_LIMIT: Duration = Duration::from_secs(120);

/// How long the last chats may take when no further ones come: longer than who declined one is not asked.
const DRAIN_LIMIT: Duration = Duration::from_secs(60);

/// How often it is looked who waits beside whom then, and the line of progress drawn.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Most pages of the line that are read at the end.
const LINE_PAGES_MAX: usize = 1_000;

/// A minute, µs.
const MINUTE_US: u64 = 60_000_000;

/// Everybody is there.
pub(in crate::measure) struct Run<'a> {
    address: String,
    hall: Rc<Hall>,
    tell: watch::Sender<Stage>,
    people: RefCell<JoinSet<()>>,
    progress: RefCell<Progress>,
    began: Instant,
    words: &'a str,
}

impl<'a> Run<'a> {
    /// Everybody comes.
    pub(in crate::measure) async fn begin(
        wanted: &Wanted,
        address: &str,
        there: &Provisioned,
        words: &'a str,
    ) -> Result<Self, RoutingError> {
        let (tell, stage) = watch::channel(Stage::Line);
        let rules = Rules {
            capacity: wanted.capacity as usize,
            serves: (0..wanted.operators).map(|who| serves(who, wanted.queues)).collect(),
            cool_down_us: COOL_DOWN_MS * 1_000,
            are_asked: wanted.rule != Rule::Manual,
            chats_max: CHATS_MAX,
        };
        let numbers = there.doors.iter().map(|door| door.queue.to_string()).zip(0..);
        let queues = numbers.filter_map(|(id, number)| Some((Uuid::parse_str(&id).ok()?, number)));
        let at_a_time = match wanted.arrivals {
            Arrivals::PerSecond(_) => None,
            Arrivals::AtATime(chats) => Some(chats),
        };
        let (ledger, queues) = (Ledger::new(rules), queues.collect());
        let hall = Hall::new(stage, ledger, queues, at_a_time, wanted.customers);
        let hall = Rc::new(hall.map_err(|error| RoutingError::Times(error.to_string()))?);
        let mut run = Self {
            address: address.to_owned(),
            hall,
            tell,
            people: RefCell::default(),
            progress: RefCell::default(),
            began: Instant::now(),
            words,
        };
        run.operators_come(wanted, there).await?;
        run.customers_come(wanted, there).await?;
        Ok(run)
    }

    async fn operators_come(
        &mut self,
        wanted: &Wanted,
        there: &Provisioned,
    ) -> Result<(), RoutingError> {
        let tokens = tokens::operators(&self.address, &there.operators).await?;
        let every_us = match u64::from(wanted.steps_away_per_minute) {
            0 => None,
            often => Some(MINUTE_US / often),
        };
        for (place, token) in tokens.iter().enumerate() {
            let (own, address) = (Some(own_address(place)), self.address.clone());
            let way = Way { own, address, token: token.clone() };
            let (session, _) = way.come().await?;
            // One after the other, evenly.
            let steps_away_us = every_us.map(|every_us| {
                (every_us * (place as u64 + 1), every_us * wanted.operators as u64)
            });
            let conduct = Conduct {
                declines_percent: wanted.declines_percent,
                keeps_us: u64::try_from(wanted.keeps.as_micros()).unwrap_or(u64::MAX),
                writes: wanted.writes,
                takes: wanted.rule == Rule::Manual,
                steps_away_us,
            };
            let draw = Draw::new(wanted.seed, Purpose::Routing, place as u64);
            let hall = Rc::clone(&self.hall);
            let operator = Operator::new(place, (session, way), hall, (conduct, draw));
            self.people.get_mut().spawn_local(operator.play());
            self.show("operators come", (place, wanted.operators), wanted.whole());
        }
        Ok(())
    }

    async fn customers_come(
        &mut self,
        wanted: &Wanted,
        there: &Provisioned,
    ) -> Result<(), RoutingError> {
        let tokens = tokens::visitors(&there.doors, wanted.customers).await?;
        let doors = there.doors.iter().enumerate().cycle();
        for (place, (token, (queue, door))) in tokens.iter().zip(doors).enumerate() {
            let own = own_address(wanted.operators + place);
            let session = Session::open(Some(own), &self.address, token).await?;
            let door = (queue, door.channel.to_string());
            let customer = Customer::new(place, door, session, Rc::clone(&self.hall));
            self.people.get_mut().spawn_local(customer.play());
            self.show("customers come", (place, wanted.customers), wanted.whole());
        }
        Ok(())
    }

    /// Plays, and says what came of it.
    pub(in crate::measure) async fn measured(
        self,
        wanted: &Wanted,
        watched: Watched,
        there: &Provisioned,
    ) -> Result<Round, RoutingError> {
        self.line_forms(wanted).await?;
        self.tell.send_replace(Stage::Going);
        let arrivals = match wanted.arrivals {
            Arrivals::AtATime(_) => {
                self.hall.fill();
                None
            }
            Arrivals::PerSecond(rate) => {
                Some(self.people.borrow_mut().spawn_local(arrive(Rc::clone(&self.hall), rate)))
            }
        };
        self.goes_on("warming up", wanted.warm_up, wanted.whole()).await?;
        self.hall.measure(u64::try_from(wanted.time.as_micros()).unwrap_or(u64::MAX));
        let hall = Rc::clone(&self.hall);
        let server = Watch::begin(watched, move || hall.since_the_last());
        let own = Watched { process: Some(std::process::id()), ..Watched::default() };
        let driver = Watch::begin(own, BTreeMap::new);
        self.goes_on("measuring", wanted.time, wanted.time).await?;
        let (server, driver) = (server.end(), driver.end());
        self.tell.send_replace(Stage::Draining);
        if let Some(arrivals) = arrivals {
            arrivals.abort();
        }
        self.drains().await?;
        let drained_us = self.hall.clock.us();
        let line = self.line(there).await?;
        self.ends((&line, drained_us), wanted.time.as_secs_f64(), server, &driver).await
    }

    async fn line_forms(&self, wanted: &Wanted) -> Result<(), RoutingError> {
        let line = wanted.line;
        for _ in 0..line {
            self.hall.send_one(self.hall.clock.us());
        }
        let until = Instant::now() + STEP_LIMIT;
        while self.hall.opened() < line {
            if Instant::now() >= until {
                let (opened, wanted) = (self.hall.opened(), line);
                let refusals = self.hall.ledger.borrow().found().refusals();
                return Err(RoutingError::Late { opened, wanted, refusals });
            }
            self.nobody_fell()?;
            self.show("a line forms", (self.hall.opened(), line), wanted.whole());
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Errors when somebody's task has panicked: nobody would play that one's part, and nobody would know.
    fn nobody_fell(&self) -> Result<(), RoutingError> {
        fallen(&mut self.people.borrow_mut())
    }

    async fn goes_on(
        &self,
        what: &str,
        time: Duration,
        left: Duration,
    ) -> Result<(), RoutingError> {
        let began = Instant::now();
        let ms = |time: Duration| usize::try_from(time.as_millis()).unwrap_or(usize::MAX);
        while began.elapsed() < time {
            let (now, line) = (began.elapsed(), self.hall.ledger.borrow().waiting());
            let what = format!("{what}, {line} in line");
            self.show(&what, (ms(now), ms(time)), left.saturating_sub(now));
            sleep(LOOK_EVERY.min(time.saturating_sub(now))).await;
            self.nobody_fell()?;
        }
        Ok(())
    }

    /// Nobody opens chats any more: all that are open are served, or the time is over.
    async fn drains(&self) -> Result<(), RoutingError> {
        let until = Instant::now() + DRAIN_LIMIT;
        let whole = self.hall.ledger.borrow().unsettled();
        while !self.hall.is_settled() && Instant::now() < until {
            self.hall.ledger.borrow_mut().look(self.hall.clock.us());
            let left = self.hall.ledger.borrow().unsettled();
            let served = whole.saturating_sub(left);
            self.show("the last chats are served", (served, whole), Duration::ZERO);
            sleep(LOOK_EVERY).await;
            self.nobody_fell()?;
        }
        Ok(())
    }

    /// All chats that wait, as the server says.
    async fn line(&self, there: &Provisioned) -> Result<BTreeSet<Uuid>, RoutingError> {
        let token = there.auditor.tokens.clone().fresh().await?;
        let mut auditor = Session::open(None, &self.address, &token.token).await?;
        let (mut line, mut after) = (BTreeSet::new(), None);
        for _ in 0..LINE_PAGES_MAX {
            let mut params = json!({ "scope": "line" });
            if let (Some(after), Some(params)) = (after.take(), params.as_object_mut()) {
                params.insert("after".to_owned(), after);
            }
            let call = auditor.call("chat.list", &params);
            let page = timeout(STEP_LIMIT, page(&mut auditor, call)).await;
            let (chats, next) = page.map_err(|_| SessionError::Late)??;
            line.extend(chats);
            match next {
                Some(next) => after = Some(next.into()),
                None => break,
            }
        }
        Ok(line)
    }

    /// Everybody goes; what came of it. Who was in line, and until when anybody was waited for, µs.
    async fn ends(
        self,
        (line, drained_us): (&BTreeSet<Uuid>, u64),
        seconds: f64,
        server: Seen,
        driver: &Seen,
    ) -> Result<Round, RoutingError> {
        self.tell.send_replace(Stage::Over);
        let mut people = self.people.into_inner();
        let all = async {
            while let Some(one) = people.join_next().await {
                ended(one)?;
            }
            Ok(())
        };
        let late = format!("not everybody has gone after {} s", STEP_LIMIT.as_secs());
        timeout(STEP_LIMIT, all).await.unwrap_or(Err(RoutingError::Ended(late)))?;
        self.progress.borrow_mut().done();
        self.hall.is_late(drained_us);
        let mut round = self.hall.ledger.borrow_mut().finish(line).into_round();
        let counts = self.hall.note(&mut round, seconds);
        if let Some(cpu_ms) = server.cpu_ms() {
            round.set("cpu_us_per_chat", cpu_ms * 1_000.0 / counts.ended as f64);
            round.set("server_cpu_share", cpu_ms / 1_000.0 / seconds);
        }
        if let Some(cpu_ms) = driver.cpu_ms() {
            round.set("driver_cpu_share", cpu_ms / 1_000.0 / seconds);
        }
        if let Some(after) = server.after {
            round.set("resident_bytes", after.resident_bytes as f64);
        }
        let lines = || server.samples.iter().filter_map(|sample| sample.values.get("line"));
        round.set("line_mean", lines().sum::<f64>() / lines().count() as f64);
        round.samples = server.samples;
        Ok(round)
    }

    /// Draws the line of progress: what goes on, and how far that is. `left` is what is still to be measured.
    fn show(&self, what: &str, (done, of): (usize, usize), left: Duration) {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let part = done as f64 / of.max(1) as f64;
        let words = format!("{}: {what}", self.words);
        self.progress.borrow_mut().show(ms(self.began.elapsed()), part, ms(left), &words);
    }
}

/// Looks whether anybody has ended by a fault of its own.
fn fallen(people: &mut JoinSet<()>) -> Result<(), RoutingError> {
    while let Some(one) = people.try_join_next() {
        ended(one)?;
    }
    Ok(())
}

/// Whoever is told to end, or comes to its end, knows why; what was found is in the ledger.
fn ended(one: Result<(), JoinError>) -> Result<(), RoutingError> {
    match one {
        Err(error) if error.is_panic() => Err(RoutingError::Ended(error.to_string())),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// One page of the line.
async fn page(
    auditor: &mut Session,
    call: u64,
) -> Result<(Vec<Uuid>, Option<String>), SessionError> {
    loop {
        while let Some(heard) = auditor.next_heard()? {
            match heard {
                Heard::Answered(id, Ok(answer)) if id == call => {
                    return Ok((answer.chats.iter().map(|chat| chat.id).collect(), answer.next));
                }
                Heard::Answered(_, Err(name)) => {
                    return Err(SessionError::Refused { method: "chat.list", name });
                }
                Heard::Answered(..) | Heard::Told(_) | Heard::Pong => {}
            }
        }
        auditor.turn().await?;
    }
}

/// Has a chat opened whenever one is due: at full milliseconds, since timers have no finer steps.
async fn arrive(hall: Rc<Hall>, rate: f64) {
    let began_ms = hall.clock.ms();
    for n in 0_u64.. {
        let due_ms = began_ms + (n as f64 * 1_000.0 / rate) as u64;
        sleep_until(hall.clock.at_ms(due_ms)).await;
        let due_us = due_ms * 1_000;
        if !hall.send_one(due_us) {
            hall.count(due_us, |counts| counts.unsent += 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;

    use super::*;

    #[test]
    fn whose_task_panics_ends_the_run_and_who_goes_does_not() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let fell = |falls: bool| {
            LocalSet::new().block_on(&runtime, async {
                let mut people = JoinSet::new();
                people.spawn_local(async {});
                people.spawn_local(std::future::pending()).abort();
                people.spawn_local(async move { assert!(!falls, "planted") });
                while !people.is_empty() {
                    tokio::task::yield_now().await;
                    fallen(&mut people)?;
                }
                Ok(())
            })
        };
        assert!(fell(false).is_ok());
        assert!(matches!(fell(true), Err(RoutingError::Ended(_))));
    }
}
