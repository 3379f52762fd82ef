//! Keeps the router's roster in step with the catalog, and tells the sockets when tokens may have
//! been revoked.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;

use super::limits::{AUDIT_EVERY, PRUNE_EVERY};
use crate::access::{Access, Holder};
use crate::actors::{OperatorSettings, Roster, Router};
use crate::catalog::{Channel, Sender, Snapshot, User};
use crate::domain::{ChannelId, Name, QueueId, RoutingSettings, UserId};
use crate::edge::Edge;

/// The roster that a catalog means.
pub(super) fn roster(snapshot: &Snapshot, settings: RoutingSettings) -> Roster {
    Roster {
        channels: channels(snapshot),
        retention: retention(snapshot),
        queues: snapshot.queues().map(|queue| (queue.id, (**queue).clone())).collect(),
        operators: operators(snapshot),
        names: names(snapshot),
        speaking: speaking(snapshot),
        settings,
    }
}

fn channels(snapshot: &Snapshot) -> BTreeMap<ChannelId, QueueId> {
    let taking = snapshot.channels().filter(|channel| {
        let queue = snapshot.queue(channel.queue);
        channel.active && queue.is_some_and(|queue| queue.active)
    });
    taking.map(|channel| (channel.id, channel.queue)).collect()
}

/// Of all channels: one that takes no chats has had some.
fn retention(snapshot: &Snapshot) -> BTreeMap<ChannelId, u16> {
    let channels = snapshot.channels();
    channels.filter_map(|channel| Some((channel.id, channel.retention_days?))).collect()
}

fn operators(snapshot: &Snapshot) -> BTreeMap<UserId, OperatorSettings> {
    let serving = snapshot.users().filter(|user| user.role.serves_chats());
    serving.map(|user| (user.id, settings(user))).collect()
}

/// A name that was stored before names had rules stays what it is.
fn names(snapshot: &Snapshot) -> BTreeMap<UserId, Name> {
    snapshot.users().filter_map(|user| Some((user.id, Name::kept(&user.name).ok()?))).collect()
}

fn speaking(snapshot: &Snapshot) -> BTreeMap<ChannelId, Name> {
    let speaking = snapshot.channels().filter(|channel| channel.sender == Sender::Channel);
    let named = |channel: &Arc<Channel>| Some((channel.id, Name::kept(&channel.name).ok()?));
    speaking.filter_map(named).collect()
}

/// What differs: what there is now, and none for what is no more.
fn changed<K: Ord + Copy, V: PartialEq + Clone>(
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
) -> Vec<(K, Option<V>)> {
    let come = new.iter().filter(|(key, value)| old.get(key) != Some(value));
    let gone = old.keys().filter(|key| !new.contains_key(key));
    come.map(|(key, value)| (*key, Some(value.clone())))
        .chain(gone.map(|key| (*key, None)))
        .collect()
}

fn settings(user: &User) -> OperatorSettings {
    OperatorSettings { capacity: user.capacity, active: user.can_serve() }
}

/// Follows the catalog and the gate as long as the edge lives. `seen` is what the router was
/// started with.
pub(super) async fn follow(edge: Arc<Edge>, mut seen: Arc<Snapshot>) {
    let mut changes = edge.catalog.changes();
    let mut revocations = edge.access.revocations();
    edge.access.permits().followed(seen.revision);
    // What changed since `seen` was taken counts, too.
    changes.mark_changed();
    loop {
        tokio::select! {
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = Arc::clone(&changes.borrow_and_update());
                apply(&edge.router, &seen, &now);
                ask_sockets(&edge, &seen, &now);
                edge.access.permits().followed(now.revision);
                seen = now;
            }
            revoked = revocations.recv() => match revoked {
                Ok(holder) => drop(edge.rights_changed(holder)),
                Err(RecvError::Lagged(_)) => drop(edge.all_rights_changed()),
                Err(RecvError::Closed) => return,
            },
        }
    }
}

/// Has the sockets ask of users and channels that differ in what their tokens stand on.
fn ask_sockets(edge: &Edge, before: &Snapshot, now: &Snapshot) {
    for user in before.users() {
        if !now.user(user.id).is_some_and(|same| Arc::ptr_eq(same, user)) {
            edge.rights_changed(Holder::User(user.id));
        }
    }
    for channel in before.channels() {
        let stands = |now: &Arc<Channel>| now.visitor_epoch == channel.visitor_epoch;
        if !now.channel(channel.id).is_some_and(stands) {
            edge.channel_changed(channel.id);
        }
    }
}

/// Tells the router what differs.
fn apply(router: &Router, before: &Snapshot, now: &Snapshot) {
    // First: whoever may do something has a name by then.
    for (user, name) in changed(&names(before), &names(now)) {
        router.set_name(user, name);
    }
    for (channel, name) in changed(&speaking(before), &speaking(now)) {
        router.set_speaking(channel, name);
    }
    for queue in now.queues().filter(|queue| before.queue(queue.id) != Some(queue)) {
        router.set_queue((**queue).clone());
    }
    let (old, new) = (operators(before), operators(now));
    for (user, settings) in &new {
        if old.get(user) != Some(settings) {
            router.set_operator(*user, *settings);
        }
    }
    let gone = OperatorSettings { active: false, ..OperatorSettings::default() };
    for user in old.keys().filter(|user| !new.contains_key(user)) {
        router.set_operator(*user, gone);
    }
    for (channel, queue) in changed(&channels(before), &channels(now)) {
        router.set_channel(channel, queue);
    }
    for (channel, days) in changed(&retention(before), &retention(now)) {
        router.set_retention(channel, days);
    }
    for queue in before.queues().filter(|queue| now.queue(queue.id).is_none()) {
        router.remove_queue(queue.id);
    }
}

/// Removes sessions, revocations, entries of the audit trail and touches of the feed that are over: at the
/// start, since a process may live for a shorter time than it waits, and then now and then.
pub(super) async fn prune(access: Arc<Access>, router: Router, audit_kept_ms: u64) {
    loop {
        prune_once(&access, &router, audit_kept_ms).await;
        tokio::time::sleep(PRUNE_EVERY).await;
    }
}

/// Nothing on a clock that is doubted: a token that was revoked would count again once it is set right.
async fn prune_once(access: &Access, router: &Router, audit_kept_ms: u64) {
    match router.may_trust_the_clock().await {
        Ok(true) => {}
        // It was said.
        Ok(false) => return,
        Err(error) => {
            tracing::warn!(%error, "what is over was not removed, for nobody knows the clock; it is tried again");
            return;
        }
    }
    if let Err(error) = access.prune(router.now()).await {
        tracing::warn!(%error, "what is over was not removed; it is tried again");
    }
    if let Err(error) = access.trail().remove_old(router.now(), audit_kept_ms).await {
        tracing::warn!(%error, "the old audit trail was not removed; it is tried again");
    }
    if let Err(error) = router.prune_feed().await {
        tracing::warn!(%error, "old touches of the feed were not removed; it is tried again");
    }
}

/// Writes what is left over of the audit trail, every few seconds.
pub(super) async fn audit(access: Arc<Access>, router: Router) {
    loop {
        tokio::time::sleep(AUDIT_EVERY).await;
        access.trail().tend(router.now()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;
    use crate::access::{Attempt, HashCost, Invalid, Visitor};
    use crate::actors::{Clock, Options};
    use crate::app::{Plan, Server, StoreChoice};
    use crate::audit::limits::{KEPT_DAYS, days_ms};
    use crate::config::Settings;
    use crate::domain::audit::{AuditAct, AuditActor, AuditEntry, AuditId};
    use crate::domain::{ChatId, Customer, Timestamp};
    use crate::storage::memory::MemoryStore;
    use crate::storage::{FeedHour, FeedPeriod, FeedPoint, FeedShard, Store};

    /// The length of an hour, ms.
    const HOUR_MS: u64 = 3_600_000;

    /// A server whose clock is doubted for so long.
    async fn serving(store: &Store, clock_doubt: Duration) -> Server {
        let mut settings = Settings::default();
        settings.server.listen = "127.0.0.1:0".parse().unwrap();
        settings.server.ops_listen = settings.server.listen;
        settings.server.seed = concat!(env!("CARGO_MANIFEST_DIR"), "/config/demo.toml").into();
        let (hash_cost, store) =
            (HashCost { memory_kib: 8, passes: 1, lanes: 1 }, StoreChoice::Given(store.clone()));
        let router = Options { clock_doubt, ..Options::default() };
        Server::start(Plan { settings, store, hash_cost, router }).await.unwrap()
    }

    #[tokio::test]
    async fn a_clock_that_jumped_ahead_brings_no_revoked_token_back_and_removes_nothing() {
        let store = MemoryStore::new().store();
        // The present is 121 days ahead of what is right.
        let right = Timestamp(Clock::start().now().0 - days_ms(121));
        let said = format!(r#"{{"trusted":{},"doubt":null}}"#, right.0).into_bytes();
        store.documents.put("clock_trust", "1", 0, said).await.unwrap();
        let id = AuditId::new(Timestamp(right.0 - days_ms(KEPT_DAYS - 1)), 1, 1);
        let (actor, act) = (AuditActor::System, AuditAct::QueueChanged);
        let changes = Vec::new();
        let entry =
            AuditEntry { id, actor, address: None, act, subject: None, changes, outcome: None };
        store.audit.record(entry).await.unwrap();
        let chat = ChatId::from_u128(1);
        let touched = [right, Clock::start().now()].map(FeedHour::of);
        let touched = touched.map(|hour| FeedPeriod { process: 0, hour });
        for period in touched {
            store.feed.touch(chat, period).await.unwrap();
        }
        let kept = async || {
            let from = FeedPoint::begin(FeedPeriod::FIRST);
            let kept = store.feed.changed(FeedShard::of(chat), from, 9).await.unwrap();
            kept.touched.into_iter().map(|touched| touched.period).collect::<Vec<_>>()
        };

        let server = serving(&store, Duration::from_secs(3_600)).await;
        let access = &server.edge().access;
        let channel = server.edge().catalog.snapshot().channels().next().unwrap().id;
        let visitor = Visitor::default();
        let issued = access.visitor_token(channel, visitor, &access.act_of_system(right)).await;
        let issued = issued.unwrap();
        let customer = Customer { channel, id: issued.customer };
        {
            let act = access.act_of_system(right);
            access.revoke_customer(customer, &act, || right).await.unwrap();
        }
        let (password, address) = ("demo-anna-01".to_owned(), Ipv4Addr::LOCALHOST.into());
        let anna = Attempt { login: "anna", password, device_mark: None, address };
        let anna = access.log_in(anna, right).await.outcome.unwrap().user;
        let later = right.plus_ms(HOUR_MS);
        let oldest = async || {
            let all = store.audit.newest(AuditId::END, AuditId::FIRST, 1_000).await.unwrap();
            all.last().unwrap().id
        };

        prune_once(access, &server.edge().router, days_ms(KEPT_DAYS)).await;
        assert_eq!(access.authenticate(&issued.token, later), Err(Invalid::Revoked));
        assert!(access.has_session(anna, later));
        assert_eq!((oldest().await, kept().await), (id, touched.to_vec()));
        server.stop().await;

        // It was right after all: then all of that is over.
        let server = serving(&store, Duration::ZERO).await;
        let access = &server.edge().access;
        prune_once(access, &server.edge().router, days_ms(KEPT_DAYS)).await;
        assert!(access.authenticate(&issued.token, later).is_ok());
        assert!(!access.has_session(anna, later));
        assert_ne!(oldest().await, id);
        assert_eq!(kept().await, touched[1..]);
        server.stop().await;
    }
}
