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

/// Removes sessions, revocations and entries of the audit trail that are over, now and then.
pub(super) async fn prune(access: Arc<Access>, router: Router, audit_kept_ms: u64) {
    loop {
        tokio::time::sleep(PRUNE_EVERY).await;
        if let Err(error) = access.prune(router.now()).await {
            tracing::warn!(%error, "what is over was not removed; it is tried again");
        }
        if let Err(error) = access.trail().remove_old(router.now(), audit_kept_ms).await {
            tracing::warn!(%error, "the old audit trail was not removed; it is tried again");
        }
    }
}

/// Writes what is left over of the audit trail, every few seconds.
pub(super) async fn audit(access: Arc<Access>, router: Router) {
    loop {
        tokio::time::sleep(AUDIT_EVERY).await;
        access.trail().tend(router.now()).await;
    }
}
