//! The whole supervision tree, as one table that the supervisors execute and that can be shown.
//!
//! ```text
//! root
//! ├─ chats/0 … chats/15     one shard of the chats each
//! │  └─ a chat              transient: restarted when it fails, gone when it has stopped
//! ├─ queues
//! │  └─ a queue             permanent
//! ├─ operators
//! │  └─ an operator         permanent
//! └─ alarm                  wakes sleeping chats whose deadline has come
//! ```
//!
//! A child that fails is started again after a wait that doubles with each failure in a window.
//! One that fails more often than its intensity allows waits the longest time between starts: a
//! chat that cannot be read must not take its neighbours down. A supervisor that fails takes its
//! children with it and is escalated: the process ends, and the next one starts from what is
//! durable.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::watch;

use crate::domain::{ChatId, QueueId, Timestamp, UserId};
use crate::machine::Life;

use super::chat::{ChatMessage, ChatShell};
use super::directory::Directory;
use super::operator::OperatorShell;
use super::queue::QueueShell;
use super::shared::Shared;

/// How many supervisors share the chats: one would have to link and unlink every chat.
pub const CHAT_SHARDS: usize = 16;

/// When a child is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Whenever it ends.
    Permanent,
    /// When it fails, not when it stops by itself.
    Transient,
    /// Never: its end ends its parent.
    Escalate,
}

/// One line of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Child {
    /// What it is.
    pub name: &'static str,
    /// Its parent.
    pub parent: &'static str,
    /// When it is started again.
    pub restart: Restart,
    /// How many failures within [`Child::window_ms`] before it waits the longest time.
    pub intensity: u32,
    /// The window, ms.
    pub window_ms: u64,
    /// The shortest and the longest wait before a start, ms.
    pub backoff_ms: (u64, u64),
    /// How long it may take to finish what it has when the process ends, ms.
    pub shutdown_ms: u64,
}

/// Every child there is.
pub const TREE: &[Child] = &[
    Child {
        name: "chat",
        parent: "chats",
        restart: Restart::Transient,
        intensity: 5,
        window_ms: 10_000,
        backoff_ms: (5, 10_000),
        shutdown_ms: 5_000,
    },
    Child {
        name: "queue",
        parent: "queues",
        restart: Restart::Permanent,
        intensity: 5,
        window_ms: 10_000,
        backoff_ms: (5, 5_000),
        shutdown_ms: 1_000,
    },
    Child {
        name: "operator",
        parent: "operators",
        restart: Restart::Permanent,
        intensity: 5,
        window_ms: 10_000,
        backoff_ms: (5, 5_000),
        shutdown_ms: 1_000,
    },
    Child {
        name: "chats",
        parent: "root",
        restart: Restart::Escalate,
        intensity: 0,
        window_ms: 0,
        backoff_ms: (0, 0),
        shutdown_ms: 5_000,
    },
    Child {
        name: "queues",
        parent: "root",
        restart: Restart::Escalate,
        intensity: 0,
        window_ms: 0,
        backoff_ms: (0, 0),
        shutdown_ms: 1_000,
    },
    Child {
        name: "operators",
        parent: "root",
        restart: Restart::Escalate,
        intensity: 0,
        window_ms: 0,
        backoff_ms: (0, 0),
        shutdown_ms: 1_000,
    },
    Child {
        name: "alarm",
        parent: "root",
        restart: Restart::Escalate,
        intensity: 0,
        window_ms: 0,
        backoff_ms: (0, 0),
        shutdown_ms: 0,
    },
];

/// How often the alarm looks for sleeping chats whose deadline has come, ms.
pub const ALARM_EVERY_MS: u64 = 250;

/// The line of a child. The table is part of the program, so there is one for every kind.
fn line(name: &'static str) -> &'static Child {
    TREE.iter().find(|child| child.name == name).unwrap_or(&TREE[0])
}

/// How long to wait before a child is started again, given when it has failed lately. Forgets
/// failures before the window.
fn backoff_ms(child: &Child, failures: &mut VecDeque<Timestamp>, now: Timestamp) -> u64 {
    while failures.front().is_some_and(|at| now.since_ms(*at) > child.window_ms) {
        failures.pop_front();
    }
    failures.push_back(now);
    let (shortest, longest) = child.backoff_ms;
    let failed = failures.len() as u32;
    if failed > child.intensity {
        failures.pop_front();
        return longest;
    }
    (shortest << (failed - 1)).min(longest)
}

/// A kind of child, as its supervisor starts it.
pub(super) trait Kind: Send + Sync + 'static {
    type Id: Eq + Hash + Copy + Send + Sync + fmt::Display + 'static;
    type Message: ractor::Message;
    const NAME: &'static str;
    fn directory(shared: &Shared) -> &Directory<Self::Id, Self::Message>;
    /// Whether a failed one is to be started though nobody asks for it.
    fn wanted(shared: &Shared, id: Self::Id) -> bool;
    fn spawn(
        shared: Arc<Shared>,
        id: Self::Id,
        life: Life,
        parent: ActorCell,
    ) -> impl Future<Output = Result<ActorRef<Self::Message>, ractor::SpawnErr>> + Send;
}

macro_rules! kind {
    ($kind:ident, $name:literal, $id:ty, $message:ty, $directory:ident, $shell:ident, $wanted:expr) => {
        pub(super) struct $kind;

        impl Kind for $kind {
            type Id = $id;
            type Message = $message;
            const NAME: &'static str = $name;

            fn directory(shared: &Shared) -> &Directory<Self::Id, Self::Message> {
                &shared.$directory
            }

            fn wanted(shared: &Shared, id: Self::Id) -> bool {
                let wanted: fn(&Shared, $id) -> bool = $wanted;
                wanted(shared, id)
            }

            async fn spawn(
                shared: Arc<Shared>,
                id: Self::Id,
                life: Life,
                parent: ActorCell,
            ) -> Result<ActorRef<Self::Message>, ractor::SpawnErr> {
                let arguments = (shared, id, life);
                Actor::spawn_linked(None, $shell, arguments, parent).await.map(|(actor, _)| actor)
            }
        }
    };
}

kind!(Chats, "chat", ChatId, ChatMessage, chats, ChatShell, |shared, chat| shared
    .index(|index| index.get(chat).is_some()));
kind!(Queues, "queue", QueueId, super::queue::QueueMessage, queues, QueueShell, |shared, queue| {
    shared.roster.look(|roster| roster.queues.contains_key(&queue))
});
kind!(
    Operators,
    "operator",
    UserId,
    super::operator::OperatorMessage,
    operators,
    OperatorShell,
    |_, _| true
);

pub(super) enum SupervisorMessage<I> {
    Start(I),
}

/// Starts and restarts the children of one kind.
struct Supervisor<K>(std::marker::PhantomData<fn() -> K>);

struct SupervisorState<K: Kind> {
    shared: Arc<Shared>,
    running: HashMap<ActorId, (K::Id, Life)>,
    failures: HashMap<K::Id, VecDeque<Timestamp>>,
}

impl<K: Kind> Actor for Supervisor<K> {
    type Msg = SupervisorMessage<K::Id>;
    type State = SupervisorState<K>;
    type Arguments = Arc<Shared>;

    async fn pre_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        shared: Arc<Shared>,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(SupervisorState { shared, running: HashMap::new(), failures: HashMap::new() })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let SupervisorMessage::Start(id) = message;
        let life = state.shared.next_life();
        match K::spawn(Arc::clone(&state.shared), id, life, myself.get_cell()).await {
            Ok(actor) => {
                state.running.insert(actor.get_id(), (id, life));
                K::directory(&state.shared).started(id, life, actor);
            }
            Err(error) => {
                tracing::error!(kind = K::NAME, %id, %error, "an actor could not be started");
                state.again(id, &myself);
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let (actor, failure) = match event {
            SupervisionEvent::ActorTerminated(actor, _, _) => (actor, None),
            SupervisionEvent::ActorFailed(actor, error) => (actor, Some(error)),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {
                return Ok(());
            }
        };
        let Some((id, life)) = state.running.remove(&actor.get_id()) else { return Ok(()) };
        let failed = failure.is_some();
        if let Some(error) = failure {
            state.shared.restarts.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(kind = K::NAME, %id, %error, "an actor failed");
        }
        let again = match line(K::NAME).restart {
            Restart::Permanent => K::wanted(&state.shared, id),
            Restart::Transient | Restart::Escalate => failed && K::wanted(&state.shared, id),
        };
        if K::directory(&state.shared).ended(id, life, again) {
            if failed {
                state.again(id, &myself);
            } else {
                myself.send_message(SupervisorMessage::Start(id))?;
            }
        } else {
            state.failures.remove(&id);
        }
        Ok(())
    }
}

impl<K: Kind> SupervisorState<K> {
    fn again(&mut self, id: K::Id, myself: &ActorRef<SupervisorMessage<K::Id>>) {
        let failures = self.failures.entry(id).or_default();
        let wait = backoff_ms(line(K::NAME), failures, self.shared.now());
        myself.send_after(Duration::from_millis(wait), move || SupervisorMessage::Start(id));
    }
}

/// Wakes sleeping chats whose deadline has come.
struct Alarm;

impl Actor for Alarm {
    type Msg = ();
    type State = Arc<Shared>;
    type Arguments = Arc<Shared>;

    async fn pre_start(
        &self,
        myself: ActorRef<()>,
        shared: Arc<Shared>,
    ) -> Result<Arc<Shared>, ActorProcessingErr> {
        myself.send_interval(Duration::from_millis(ALARM_EVERY_MS), || ());
        Ok(shared)
    }

    async fn handle(
        &self,
        _myself: ActorRef<()>,
        (): (),
        shared: &mut Arc<Shared>,
    ) -> Result<(), ActorProcessingErr> {
        let now = shared.now();
        for chat in shared.index(|index| index.due(now)) {
            if shared.chats.reserve(chat) {
                shared.start_chat(chat);
            }
        }
        Ok(())
    }
}

/// The addresses of the supervisors.
pub(super) struct Supervisors {
    chats: Vec<ActorRef<SupervisorMessage<ChatId>>>,
    queues: ActorRef<SupervisorMessage<QueueId>>,
    operators: ActorRef<SupervisorMessage<UserId>>,
    /// Operators that have had a life in this process.
    lived: Mutex<HashSet<UserId>>,
}

impl Supervisors {
    /// The chat has an entry in the directory that says `Starting`.
    pub(super) fn start_chat(&self, chat: ChatId) {
        let shard = (chat.0.as_u128() % CHAT_SHARDS as u128) as usize;
        if let Some(supervisor) = self.chats.get(shard) {
            let _ = supervisor.send_message(SupervisorMessage::Start(chat));
        }
    }

    pub(super) fn start_queue(&self, queue: QueueId) {
        let _ = self.queues.send_message(SupervisorMessage::Start(queue));
    }

    pub(super) fn start_operator(&self, operator: UserId) {
        let _ = self.operators.send_message(SupervisorMessage::Start(operator));
    }

    /// Whether the operator had a life in this process; from now on it has.
    pub(super) fn operator_lived(&self, operator: UserId) -> bool {
        !self.lived.lock().unwrap_or_else(PoisonError::into_inner).insert(operator)
    }
}

/// The root: starts the supervisors, and says when one of them has ended.
struct Root {
    ended: watch::Sender<bool>,
}

impl Actor for Root {
    type Msg = ();
    type State = ();
    type Arguments = Arc<Shared>;

    async fn pre_start(
        &self,
        myself: ActorRef<()>,
        shared: Arc<Shared>,
    ) -> Result<(), ActorProcessingErr> {
        let cell = myself.get_cell();
        let mut chats = Vec::with_capacity(CHAT_SHARDS);
        for _ in 0..CHAT_SHARDS {
            chats.push(supervise::<Chats>(&shared, &cell).await?);
        }
        let supervisors = Supervisors {
            chats,
            queues: supervise::<Queues>(&shared, &cell).await?,
            operators: supervise::<Operators>(&shared, &cell).await?,
            lived: Mutex::new(HashSet::new()),
        };
        let _ = shared.supervisors.set(supervisors);
        Actor::spawn_linked(None, Alarm, shared, cell).await?;
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<()>,
        event: SupervisionEvent,
        _state: &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(actor, error) => {
                tracing::error!(actor = %actor.get_id(), %error, "a supervisor failed");
                self.ended.send_replace(true);
            }
            SupervisionEvent::ActorTerminated(..) => {
                self.ended.send_replace(true);
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}

async fn supervise<K: Kind>(
    shared: &Arc<Shared>,
    root: &ActorCell,
) -> Result<ActorRef<SupervisorMessage<K::Id>>, ractor::SpawnErr> {
    let supervisor = Supervisor::<K>(std::marker::PhantomData);
    let (actor, _) =
        Actor::spawn_linked(None, supervisor, Arc::clone(shared), root.clone()).await?;
    Ok(actor)
}

/// Starts the tree. The receiver turns true when a supervisor has ended, which ends the process.
pub(super) async fn start(
    shared: Arc<Shared>,
) -> Result<(ActorCell, watch::Receiver<bool>), ractor::SpawnErr> {
    let (ended, watching) = watch::channel(false);
    let (root, _) = Actor::spawn(None, Root { ended }, shared).await?;
    Ok((root.get_cell(), watching))
}

/// The tree as text, with how many of each there are.
pub fn render(counts: impl Fn(&str) -> usize) -> String {
    let mut text = String::from("root\n");
    for child in TREE.iter().filter(|child| child.parent == "root") {
        text += &format!("  {} x{} {:?}\n", child.name, counts(child.name), child.restart);
        for leaf in TREE.iter().filter(|leaf| leaf.parent == child.name) {
            text += &format!(
                "    {} x{} {:?}, {} failures in {} ms, then every {} ms; {} ms to finish\n",
                leaf.name,
                counts(leaf.name),
                leaf.restart,
                leaf.intensity,
                leaf.window_ms,
                leaf.backoff_ms.1,
                leaf.shutdown_ms
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_child_has_a_parent_and_the_table_is_what_is_shown() {
        for child in TREE {
            let known = child.parent == "root" || TREE.iter().any(|c| c.name == child.parent);
            assert!(known, "{} hangs in the air", child.name);
        }
        let shown = render(|name| name.len());
        for child in TREE {
            assert!(shown.contains(&format!("{} x{}", child.name, child.name.len())), "{shown}");
        }
    }

    #[test]
    fn a_child_that_fails_again_and_again_waits_ever_longer_and_is_never_given_up() {
        let child = line("chat");
        let mut failures = VecDeque::new();
        let waits: Vec<u64> =
            (0..8).map(|n| backoff_ms(child, &mut failures, Timestamp(n))).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 10_000, 10_000, 10_000]);
        let later = Timestamp(60_000);
        assert_eq!(backoff_ms(child, &mut failures, later), 5, "the window is over");
    }
}
