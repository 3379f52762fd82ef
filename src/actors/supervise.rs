//! The supervisors: they execute the table in [`super::tree`]. Each starts the children of its
//! kind when asked, starts failed ones again, and takes nothing that a child says.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::watch;

use crate::domain::limits::CHAT_SHARDS;
use crate::domain::{ChatId, QueueId, Timestamp, UserId};
use crate::machine::Life;
use crate::telemetry;

use super::chat::ChatShell;
use super::directory::Directory;
use super::follower::FollowerShell;
use super::limits::ALARM_EVERY_MS;
use super::message::{ChatMessage, FollowerMessage, OperatorMessage, QueueMessage};
use super::operator::OperatorShell;
use super::queue::QueueShell;
use super::retention::Sweeper;
use super::router::Router;
use super::shared::Shared;
use super::supervisors::{SupervisorMessage, Supervisors};
use super::tree::{Restart, backoff_ms, child};

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
    .index(chat, |index| index.wants(chat)));
kind!(Queues, "queue", QueueId, QueueMessage, queues, QueueShell, |shared, queue| {
    shared.roster.look(|roster| roster.queues.contains_key(&queue))
});
kind!(Operators, "operator", UserId, OperatorMessage, operators, OperatorShell, |_, _| true);
kind!(Followers, "follower", &'static str, FollowerMessage, followers, FollowerShell, |_, _| true);

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
        let id = match message {
            SupervisorMessage::Start(_) if state.shared.is_stopping() => return Ok(()),
            SupervisorMessage::Start(id) => id,
            #[allow(clippy::panic, reason = "this is what it is for")]
            SupervisorMessage::Crash => panic!("crashed by a test"),
        };
        let life = state.shared.next_life();
        match K::spawn(Arc::clone(&state.shared), id, life, myself.get_cell()).await {
            Ok(actor) => {
                state.running.insert(actor.get_id(), (id, life));
                K::directory(&state.shared).started(id, life, actor);
            }
            Err(error) => {
                let wanted = || K::wanted(&state.shared, id);
                if K::directory(&state.shared).give_up(id, wanted) {
                    tracing::error!(kind = K::NAME, %id, %error, "an actor could not be started");
                    state.again(id, &myself);
                } else {
                    tracing::info!(kind = K::NAME, %id, %error, "an actor is not wanted any more");
                    state.failures.remove(&id);
                }
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
            telemetry::restarted(K::NAME);
            tracing::warn!(kind = K::NAME, %id, %error, "an actor failed");
        }
        if state.shared.is_stopping() {
            return Ok(());
        }
        let again = match child(K::NAME).restart {
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
        let wait = backoff_ms(child(K::NAME), failures, self.shared.now());
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
        for chat in shared.indexes(|index| index.due(now)).flatten() {
            if shared.chats.reserve(chat) {
                shared.start_chat(chat);
            }
        }
        Ok(())
    }
}

/// The root: starts the supervisors, and says when one of them has ended.
struct Root {
    ended: watch::Sender<bool>,
}

impl Actor for Root {
    type Msg = ();
    type State = Arc<Shared>;
    type Arguments = Arc<Shared>;

    async fn pre_start(
        &self,
        myself: ActorRef<()>,
        shared: Arc<Shared>,
    ) -> Result<Arc<Shared>, ActorProcessingErr> {
        let cell = myself.get_cell();
        let mut chats = Vec::with_capacity(CHAT_SHARDS);
        for _ in 0..CHAT_SHARDS {
            chats.push(supervise::<Chats>(&shared, &cell).await?);
        }
        let queues = supervise::<Queues>(&shared, &cell).await?;
        let operators = supervise::<Operators>(&shared, &cell).await?;
        let followers = supervise::<Followers>(&shared, &cell).await?;
        let (alarm, _) = Actor::spawn_linked(None, Alarm, Arc::clone(&shared), cell).await?;
        let (alarm, lived) = (alarm.get_cell(), Mutex::new(HashSet::new()));
        let retention = OnceLock::new();
        let supervisors =
            Supervisors { chats, queues, operators, followers, alarm, retention, lived };
        let _ = shared.supervisors.set(supervisors);
        Ok(Arc::clone(&shared))
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<()>,
        event: SupervisionEvent,
        shared: &mut Arc<Shared>,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(..) | SupervisionEvent::ActorTerminated(..)
                if shared.is_stopping() => {}
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

/// Starts the sweeper below the root.
pub(super) async fn start_sweeper(router: &Router) -> Result<(), ractor::SpawnErr> {
    let root = router.root.clone();
    let (sweeper, _) = Actor::spawn_linked(None, Sweeper, router.clone(), root).await?;
    if let Some(supervisors) = router.shared.supervisors.get() {
        let _ = supervisors.retention.set(sweeper.get_cell());
    }
    Ok(())
}
