//! The supervisors: they execute the table in [`super::tree`]. Each starts the children of its
//! kind when asked, starts failed ones again, keeps what idle ones leave to the actors that follow them, and
//! takes nothing that a child says.

use std::collections::{HashMap, HashSet, VecDeque};
use std::convert::Infallible;
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

use super::chat::{ChatShell, ChatState};
use super::directory::{Directory, Ending};
use super::follower::FollowerShell;
use super::limits::ALARM_EVERY_MS;
use super::message::{ChatMessage, FollowerMessage, OperatorMessage, QueueMessage};
use super::operator::{OperatorShell, OperatorState};
use super::parked::{Left, Parked};
use super::queue::QueueShell;
use super::retention::Sweeper;
use super::router::Router;
use super::shared::Shared;
use super::supervisors::{SupervisorMessage, Supervisors};
use super::tree::{Restart, backoff_ms, child};

/// What is to be done with what is parked once it is due.
pub(super) enum WhenDue {
    /// Start an actor that goes on with it.
    Start,
    /// Forget it: whoever wants it anew reads what is durable.
    Forget,
}

/// A kind of child, as its supervisor starts it.
pub(super) trait Kind: Send + Sync + 'static {
    type Id: Eq + Hash + Ord + Copy + Send + Sync + fmt::Display + 'static;
    type Message: ractor::Message;
    type State: ractor::State;
    const NAME: &'static str;
    const WHEN_DUE: WhenDue;
    fn directory(shared: &Shared) -> &Directory<Self::Id, Self::Message>;
    /// Whether a failed one is to be started though nobody asks for it.
    fn wanted(shared: &Shared, id: Self::Id) -> bool;
    /// What one that has stopped by itself leaves to the actor that goes on with its life; none: its life
    /// has ended.
    fn leaves(state: Self::State) -> Option<Left<Self::State>>;
    /// The first actor of a life, or one that goes on with what is parked of it.
    fn spawn(
        shared: Arc<Shared>,
        id: Self::Id,
        life: Life,
        parked: Option<Self::State>,
        parent: ActorCell,
    ) -> impl Future<Output = Result<ActorRef<Self::Message>, ractor::SpawnErr>> + Send;
}

macro_rules! kind {
    (
        $kind:ident, $name:literal, $id:ty, $message:ty, $directory:ident, $wanted:expr,
        $state:ty, $when_due:ident, $leaves:expr, $spawn:expr
    ) => {
        pub(super) struct $kind;

        impl Kind for $kind {
            type Id = $id;
            type Message = $message;
            type State = $state;
            const NAME: &'static str = $name;
            const WHEN_DUE: WhenDue = WhenDue::$when_due;

            fn directory(shared: &Shared) -> &Directory<Self::Id, Self::Message> {
                &shared.$directory
            }

            fn wanted(shared: &Shared, id: Self::Id) -> bool {
                let wanted: fn(&Shared, $id) -> bool = $wanted;
                wanted(shared, id)
            }

            fn leaves(state: Self::State) -> Option<Left<Self::State>> {
                let leaves: fn(Self::State) -> Option<Left<Self::State>> = $leaves;
                leaves(state)
            }

            async fn spawn(
                shared: Arc<Shared>,
                id: Self::Id,
                life: Life,
                parked: Option<Self::State>,
                parent: ActorCell,
            ) -> Result<ActorRef<Self::Message>, ractor::SpawnErr> {
                let spawn = $spawn;
                let (shell, arguments) = spawn((shared, id, life), parked);
                Actor::spawn_linked(None, shell, arguments, parent).await.map(|(actor, _)| actor)
            }
        }
    };
}

kind!(
    Chats,
    "chat",
    ChatId,
    ChatMessage,
    chats,
    |shared, chat| shared.index(chat, |index| index.wants(chat)),
    Box<ChatState>,
    Forget,
    ChatState::leaves,
    |life, parked| (ChatShell, (life, parked))
);
kind!(
    Queues,
    "queue",
    QueueId,
    QueueMessage,
    queues,
    |shared, queue| shared.roster.look(|roster| roster.queues.contains_key(&queue)),
    Infallible,
    Start,
    |never| match never {},
    |life, _| (QueueShell, life)
);
kind!(
    Operators,
    "operator",
    UserId,
    OperatorMessage,
    operators,
    |_, _| true,
    Box<OperatorState>,
    Start,
    OperatorState::leaves,
    |life, parked| (OperatorShell, (life, parked))
);
kind!(
    Followers,
    "follower",
    &'static str,
    FollowerMessage,
    followers,
    |_, _| true,
    Infallible,
    Start,
    |never| match never {},
    |life, _| (FollowerShell, life)
);

/// Starts and restarts the children of one kind.
struct Supervisor<K>(std::marker::PhantomData<fn() -> K>);

struct SupervisorState<K: Kind> {
    shared: Arc<Shared>,
    running: HashMap<ActorId, (K::Id, Life)>,
    parked: Parked<K::Id, K::State>,
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
        let (running, failures) = (HashMap::new(), HashMap::new());
        Ok(SupervisorState { shared, running, parked: Parked::new(), failures })
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
            SupervisorMessage::Tick => return state.look_what_is_due(&myself),
            #[allow(clippy::panic, reason = "this is what it is for")]
            SupervisorMessage::Crash => panic!("crashed by a test"),
        };
        let (life, parked) = match state.parked.take(id) {
            Some((life, parked)) => (life, Some(parked)),
            None => (state.shared.next_life(), None),
        };
        let goes_on = parked.is_some();
        match K::spawn(Arc::clone(&state.shared), id, life, parked, myself.get_cell()).await {
            Ok(actor) => {
                state.running.insert(actor.get_id(), (id, life));
                let cell = actor.get_cell();
                // One that begins asks for all that it has to know; one that goes on does not.
                if K::directory(&state.shared).started(id, life, actor).is_err() && goes_on {
                    cell.kill();
                }
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
        let (actor, left, failure) = match event {
            SupervisionEvent::ActorTerminated(actor, left, _) => (actor, left, None),
            SupervisionEvent::ActorFailed(actor, error) => (actor, None, Some(error)),
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
        let left = left.and_then(|mut left| left.take::<K::State>().ok()).and_then(K::leaves);
        let again = match child(K::NAME).restart {
            Restart::Permanent => true,
            Restart::Transient | Restart::Escalate => failed,
        };
        let ending = match left {
            Some(left) => {
                state.parked.park(id, life, left);
                Ending::Parked
            }
            None if again && K::wanted(&state.shared, id) => Ending::Again,
            None => Ending::Gone,
        };
        if K::directory(&state.shared).ended(id, life, ending) {
            if failed {
                state.again(id, &myself);
            } else {
                myself.send_message(SupervisorMessage::Start(id))?;
            }
        } else if ending == Ending::Gone {
            state.failures.remove(&id);
        }
        Ok(())
    }
}

impl<K: Kind> SupervisorState<K> {
    /// Of what is parked.
    fn look_what_is_due(
        &mut self,
        myself: &ActorRef<SupervisorMessage<K::Id>>,
    ) -> Result<(), ActorProcessingErr> {
        let directory = K::directory(&self.shared);
        for (id, life) in self.parked.due(self.shared.now()) {
            match K::WHEN_DUE {
                WhenDue::Start if directory.reserve(id) => {
                    myself.send_message(SupervisorMessage::Start(id))?;
                }
                WhenDue::Forget if directory.give_up_parked(id, life) => {
                    self.parked.take(id);
                }
                // It is being started already.
                WhenDue::Start | WhenDue::Forget => {}
            }
        }
        Ok(())
    }

    fn again(&mut self, id: K::Id, myself: &ActorRef<SupervisorMessage<K::Id>>) {
        let failures = self.failures.entry(id).or_default();
        let wait = backoff_ms(child(K::NAME), failures, self.shared.now());
        myself.send_after(Duration::from_millis(wait), move || SupervisorMessage::Start(id));
    }
}

/// Wakes sleeping chats whose deadline has come, and tells the supervisors to look what is due of what is parked.
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
        if let Some(supervisors) = shared.supervisors.get() {
            supervisors.tick();
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
