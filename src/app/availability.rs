//! Whether the store is there: what a start does while it is not, and how readiness follows it.
//!
//! A start waits for a store that is not there yet, however long: the process is not ready, says
//! why on `/readyz` and in its log, and needs nobody to start it again. What only somebody can put
//! right ends it. Later the same: a store that is away makes the process not ready until it answers
//! again. The log has one line at each turn.
//! Invariant: what has ended stays not ready, whatever the store does.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::limits::{LOGIN_PATIENCE, STORE_LOOK_EVERY, STORE_TOLD_EVERY};
use super::store::{OpenError, OpenedStore, StoreChoice};
use crate::edge::Readiness;
use crate::storage::StoreHealth;
use crate::telemetry;

/// Opens the store, and waits while it is not there. Drop the future to give up. Errors with what
/// does not pass by itself, and with a login that is refused for [`LOGIN_PATIENCE`].
pub(super) async fn open(
    store: &StoreChoice,
    ready: &watch::Sender<Readiness>,
) -> Result<OpenedStore, OpenError> {
    open_within(store, ready, LOGIN_PATIENCE, STORE_LOOK_EVERY).await
}

async fn open_within(
    store: &StoreChoice,
    ready: &watch::Sender<Readiness>,
    login_patience: Duration,
    look_every: Duration,
) -> Result<OpenedStore, OpenError> {
    telemetry::store_available(false);
    let mut told: Option<Instant> = None;
    let mut refused_since: Option<Instant> = None;
    loop {
        match store.open().await {
            Ok(opened) => {
                if told.is_some() {
                    tracing::info!("the store is there; going on");
                    ready.send_replace(Readiness::Starting);
                }
                telemetry::store_available(true);
                return Ok(opened);
            }
            Err(error) if error.may_pass() => {
                let since = *refused_since.get_or_insert_with(Instant::now);
                if !error.is_login() {
                    refused_since = None;
                } else if since.elapsed() >= login_patience {
                    return Err(error);
                }
                ready.send_replace(Readiness::Waiting(format!("waiting for the store: {error}")));
                if told.is_none_or(|told| told.elapsed() >= STORE_TOLD_EVERY) {
                    tracing::warn!(%error, "the store is not there; waiting for it");
                    told = Some(Instant::now());
                }
            }
            Err(error) => return Err(error),
        }
        sleep(look_every).await;
    }
}

/// The server serves from now on, unless it has ended already.
pub(super) fn begin(ready: &watch::Sender<Readiness>) {
    ready.send_modify(|ready| match ready {
        Readiness::Starting | Readiness::Ready | Readiness::Waiting(_) => *ready = Readiness::Ready,
        Readiness::NotReady(_) => {}
    });
}

/// Makes the readiness of a server that serves follow its store, until the store is closed.
pub(super) async fn follow(
    mut health: watch::Receiver<StoreHealth>,
    ready: watch::Sender<Readiness>,
) {
    let mut answered = true;
    loop {
        let now = health.borrow_and_update().clone();
        let answers = now == StoreHealth::Answers;
        if answers != answered {
            turned(&now);
            answered = answers;
        }
        ready.send_if_modified(|ready| turn(ready, now));
        if health.changed().await.is_err() {
            return;
        }
    }
}

fn turned(now: &StoreHealth) {
    match now {
        StoreHealth::Answers => {
            telemetry::store_available(true);
            tracing::info!("the store answers again; ready");
        }
        StoreHealth::Away { reason } => {
            telemetry::store_available(false);
            tracing::warn!(
                reason,
                "the store does not answer; not ready, and calls are refused until it does"
            );
        }
    }
}

/// What the readiness becomes; whether it changed.
fn turn(ready: &mut Readiness, health: StoreHealth) -> bool {
    let turned = match (&*ready, health) {
        (Readiness::Ready, StoreHealth::Away { reason }) => {
            Readiness::Waiting(format!("the store does not answer: {reason}"))
        }
        (Readiness::Waiting(_), StoreHealth::Answers) => Readiness::Ready,
        (Readiness::Ready, StoreHealth::Answers)
        | (Readiness::Waiting(_), StoreHealth::Away { .. })
        | (Readiness::Starting | Readiness::NotReady(_), _) => return false,
    };
    *ready = turned;
    true
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::storage::scylla::{Login, ScyllaOptions};

    fn away() -> StoreHealth {
        StoreHealth::Away { reason: "a test says so".to_owned() }
    }

    #[tokio::test]
    async fn readiness_follows_the_store_and_what_has_ended_stays_so() {
        let (health, seen) = watch::channel(StoreHealth::Answers);
        let (ready, mut is_ready) = watch::channel(Readiness::Starting);
        begin(&ready);
        let following = tokio::spawn(follow(seen, ready.clone()));
        health.send_replace(away());
        let waiting = |ready: &Readiness| matches!(ready, Readiness::Waiting(why) if why.contains("a test says so"));
        is_ready.wait_for(waiting).await.unwrap();
        health.send_replace(StoreHealth::Answers);
        is_ready.wait_for(|ready| *ready == Readiness::Ready).await.unwrap();
        let ended = Readiness::NotReady("stopping".to_owned());
        ready.send_replace(ended.clone());
        health.send_replace(away());
        health.send_replace(StoreHealth::Answers);
        drop(health);
        following.await.unwrap();
        begin(&ready);
        assert_eq!(*ready.borrow(), ended);
    }

    /// A database that wants a login and accepts none, in frames of CQL's version 4. Ends with the
    /// runtime.
    async fn inhospitable() -> String {
        const HEAD: usize = 9;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut head = [0; HEAD];
                    while socket.read_exact(&mut head).await.is_ok() {
                        let [_, _, stream, of, opcode, length @ ..] = head;
                        let mut body = vec![0; u32::from_be_bytes(length) as usize];
                        socket.read_exact(&mut body).await.unwrap();
                        let (opcode, body): (u8, &[u8]) = match opcode {
                            // OPTIONS: SUPPORTED, without options.
                            5 => (6, b"\0\0"),
                            // STARTUP: AUTHENTICATE, by a mechanism.
                            1 => (3, b"\0\x09by a test"),
                            // AUTH_RESPONSE: ERROR 0x0100, and a text.
                            15 => (0, b"\0\0\x01\0\0\x09not today"),
                            other => panic!("opcode {other}"),
                        };
                        let length = u8::try_from(body.len()).unwrap();
                        let head = [0x84, 0, stream, of, opcode, 0, 0, 0, length];
                        socket.write_all(&[&head[..], body].concat()).await.unwrap();
                    }
                });
            }
        });
        address
    }

    #[tokio::test]
    async fn a_login_that_is_refused_ends_the_start_after_a_while() {
        let mut options = ScyllaOptions::local("switchboard", "a test");
        options.contact_points = vec![inhospitable().await];
        let login = Login { user: "router".to_owned(), password: "wrong".to_owned() };
        for (login, says) in [(Some(login), "not today"), (None, "it wants a login and got none")] {
            options.login = login;
            let store = StoreChoice::Scylla(Box::new(options.clone()));
            let (ready, mut is_ready) = watch::channel(Readiness::Starting);
            let patience = Duration::from_millis(50);
            let opening = open_within(&store, &ready, patience, Duration::from_millis(1));
            let waited = Instant::now();
            let refused = opening.await.err().unwrap();
            assert!(waited.elapsed() >= patience, "one that starts may say so");
            assert!(refused.is_login(), "{refused:?}");
            let text = refused.to_string();
            assert!(
                text.contains(says) && text.contains("set store.user and SWITCHBOARD"),
                "{text}"
            );
            assert!(!text.contains("wrong"), "{text}");
            let waiting = is_ready.borrow_and_update().clone();
            assert!(matches!(&waiting, Readiness::Waiting(why) if why.contains(says)));
        }
        // Nobody there is not a refused login, and is waited for.
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        options.contact_points = vec![nobody.to_string()];
        let store = StoreChoice::Scylla(Box::new(options));
        let (ready, mut is_ready) = watch::channel(Readiness::Starting);
        let opening = open_within(&store, &ready, Duration::ZERO, Duration::from_millis(1));
        tokio::select! {
            opened = opening => panic!("{:?}", opened.err()),
            waiting = is_ready.wait_for(|ready| matches!(ready, Readiness::Waiting(_))) => {
                assert!(waiting.is_ok());
            }
        }
    }

    #[test]
    fn who_is_not_there_yet_is_not_made_ready_by_the_store() {
        let mut ready = Readiness::Starting;
        assert!(!turn(&mut ready, StoreHealth::Answers) && !turn(&mut ready, away()));
        assert_eq!(ready, Readiness::Starting);
    }
}
