//! What all people of a crash run share, and how they choose.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use switchboard::domain::{CommandId, QueueId, UserId};
use tokio::sync::watch;

use super::leaver::Leavers;
use crate::client::clock::Clock;
use crate::draw::{Draw, Purpose};
use crate::run::RunError;
use crate::run::recorder::Recorder;

/// How far a crash run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Everybody talks.
    Load,
    /// Chats are ended, none is opened.
    Closing,
    /// Time is up.
    Over,
}

/// See the module.
pub struct Hall {
    /// Where the server is.
    pub address: String,
    /// The run's clock.
    pub clock: Clock,
    /// What people see.
    pub recorder: Recorder,
    /// Calls without an answer, of all clients.
    pub out: Arc<AtomicUsize>,
    /// Chats that are open, by their customers.
    pub open: Gauge,
    /// Offers that operators were shown and have not answered.
    pub offers: Gauge,
    /// Where a chat may be transferred.
    pub queues: Vec<QueueId>,
    /// To whom.
    pub operators: Vec<UserId>,
    /// How far the run is.
    pub stage: watch::Receiver<Stage>,
    /// Who has itself erased.
    pub leavers: Mutex<Leavers>,
}

impl Hall {
    /// Who has itself erased, for a moment.
    pub fn leavers(&self) -> MutexGuard<'_, Leavers> {
        self.leavers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something that is counted up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicUsize);

impl Gauge {
    /// How many there are.
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// One more.
    pub fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// So many fewer.
    pub fn down(&self, n: usize) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }
}

/// One person's chance and ids.
pub struct Conduct {
    draw: Draw,
    label: String,
    commands: u64,
}

impl Conduct {
    /// The `place`th person of a kind.
    pub fn new(seed: u64, kind: char, place: usize) -> Self {
        let index = (u64::from(u32::from(kind)) << 32) | place as u64;
        Self {
            draw: Draw::new(seed, Purpose::Conduct, index),
            label: format!("{kind}{place}"),
            commands: 0,
        }
    }

    /// The next id that nobody else has.
    pub fn command(&mut self) -> Result<CommandId, RunError> {
        self.commands += 1;
        let id = format!("{}-{}", self.label, self.commands);
        CommandId::new(&id)
            .map_err(|error| RunError::Person { who: self.label.clone(), why: error.to_string() })
    }

    /// Who it is.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Uniform between two numbers, the second not included.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.draw.below(usize::try_from(to - from).unwrap_or(1)) as u64
    }

    /// Whether something of this chance happens, in percent.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.between(0, 100) < percent
    }

    /// A text of its own; its length varies.
    pub fn text(&mut self) -> String {
        let words = self.between(1, 12);
        let said = " lorem".repeat(usize::try_from(words).unwrap_or(1));
        format!("{} says {}:{said} 🙂", self.label, self.commands)
    }
}
