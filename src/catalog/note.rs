//! What the audit trail says of a change: each field that differs, from what to what. Secrets are
//! named without their values.

use crate::audit::Note;
use crate::domain::audit::{AuditAct, AuditChange, AuditSubject};
use crate::domain::{Queue, UserId};

use super::channel::Channel;
use super::reason::ListedReason;
use super::record::rule_word;
use super::user::User;

/// Fields with their values, always the same ones in the same order.
type Fields = Vec<(&'static str, Option<String>)>;

/// What differs between the two.
fn differing(from: Option<Fields>, to: Option<Fields>) -> Vec<AuditChange> {
    let names = from.as_ref().or(to.as_ref()).into_iter().flatten();
    let names: Vec<_> = names.map(|(name, _)| *name).collect();
    let value = |of: &Option<Fields>, n: usize| of.as_ref().and_then(|of| of[n].1.clone());
    let all = names.iter().enumerate().map(|(n, name)| AuditChange {
        field: (*name).to_owned(),
        from: value(&from, n),
        to: value(&to, n),
    });
    all.filter(|change| change.from != change.to).collect()
}

fn text(value: impl ToString) -> Option<String> {
    Some(value.to_string())
}

// Whoever adds a field to one of them decides here whether it is told.

fn of_user(user: &User) -> Fields {
    #[rustfmt::skip]
    let User {
        id: _, version: _, name, login, role, active, capacity, password: _, demo_password,
        epoch: _,
    } = user;
    vec![
        ("name", text(name)),
        ("login", text(login)),
        ("role", text(role.word())),
        ("active", text(active)),
        ("capacity", text(capacity)),
        ("demo_password", text(demo_password)),
    ]
}

fn of_queue(queue: &Queue) -> Fields {
    #[rustfmt::skip]
    let Queue {
        id: _, version: _, name, active, rule, members: _, priority, offer_timeout_ms,
        per_operator_limit, absent_owner_limit_ms,
    } = queue;
    vec![
        ("name", text(name)),
        ("active", text(active)),
        ("rule", text(rule_word(*rule))),
        ("priority", text(priority.points())),
        ("offer_timeout_ms", text(offer_timeout_ms)),
        ("per_operator_limit", per_operator_limit.and_then(text)),
        ("absent_owner_limit_ms", absent_owner_limit_ms.and_then(text)),
    ]
}

fn of_channel(channel: &Channel) -> Fields {
    #[rustfmt::skip]
    let Channel {
        id: _, version: _, name, provider, active, queue, language, image, sender, reference,
        retention_days, site_key: _, visitor_epoch,
    } = channel;
    vec![
        ("name", text(name)),
        ("provider", text(provider.word())),
        ("active", text(active)),
        ("queue", text(queue)),
        ("language", language.clone()),
        ("image", image.clone()),
        ("sender", text(sender.word())),
        ("reference", reference.clone()),
        ("retention_days", retention_days.and_then(text)),
        ("visitor_epoch", text(visitor_epoch)),
    ]
}

fn of_reason(reason: &ListedReason) -> Fields {
    let ListedReason { id: _, version: _, name, active } = reason;
    vec![("name", text(name)), ("active", text(active))]
}

/// A user is created or changed.
pub(super) fn user(former: Option<&User>, now: &User) -> Note {
    let mut changes = differing(former.map(of_user), Some(of_user(now)));
    if former.and_then(|former| former.password.as_ref()) != now.password.as_ref() {
        changes.push(AuditChange { field: "password".to_owned(), from: None, to: None });
    }
    let act = if former.is_some() { AuditAct::UserChanged } else { AuditAct::UserCreated };
    Note { act, subject: Some(AuditSubject::User(now.id)), changes }
}

/// A queue is created, changed or deleted.
pub(super) fn queue(former: Option<&Queue>, now: Option<&Queue>) -> Note {
    let mut changes = differing(former.map(of_queue), now.map(of_queue));
    // Of a queue with many members, those who come and go.
    let (gone, come) = (members_without(former, now), members_without(now, former));
    if gone.is_some() || come.is_some() {
        changes.push(AuditChange { field: "members".to_owned(), from: gone, to: come });
    }
    let act = match (former, now) {
        (None, _) => AuditAct::QueueCreated,
        (Some(_), Some(_)) => AuditAct::QueueChanged,
        (Some(_), None) => AuditAct::QueueDeleted,
    };
    let id = now.or(former).map(|queue| queue.id);
    Note { act, subject: id.map(AuditSubject::Queue), changes }
}

fn members_without(of: Option<&Queue>, without: Option<&Queue>) -> Option<String> {
    let stays = |user: &UserId| without.is_some_and(|other| other.members.contains(user));
    let left = of?.members.iter().filter(|user| !stays(user)).map(UserId::to_string);
    let left: Vec<String> = left.collect();
    (!left.is_empty()).then(|| left.join(" "))
}

/// A channel is created, changed or deleted, or its site key is made anew.
pub(super) fn channel(former: Option<&Channel>, now: Option<&Channel>) -> Note {
    let mut changes = differing(former.map(of_channel), now.map(of_channel));
    let key = |channel: Option<&Channel>| channel.map_or(0, |channel| channel.site_key);
    if now.is_some() && key(former) != key(now) {
        changes.push(AuditChange { field: "site_key".to_owned(), from: None, to: None });
    }
    let act = match (former, now) {
        (None, _) => AuditAct::ChannelCreated,
        (Some(_), Some(_)) => AuditAct::ChannelChanged,
        (Some(_), None) => AuditAct::ChannelDeleted,
    };
    let id = now.or(former).map(|channel| channel.id);
    Note { act, subject: id.map(AuditSubject::Channel), changes }
}

/// A reason to be away is created, changed or deleted.
pub(super) fn reason(former: Option<&ListedReason>, now: Option<&ListedReason>) -> Note {
    let changes = differing(former.map(of_reason), now.map(of_reason));
    let act = match (former, now) {
        (None, _) => AuditAct::AwayReasonCreated,
        (Some(_), Some(_)) => AuditAct::AwayReasonChanged,
        (Some(_), None) => AuditAct::AwayReasonDeleted,
    };
    let id = now.or(former).map(|reason| reason.id);
    Note { act, subject: id.map(AuditSubject::AwayReason), changes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{PasswordHash, Provider, Role};
    use crate::domain::{ChannelId, QueueId, Rule};

    fn told(note: &Note) -> Vec<String> {
        let show = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let changes = note.changes.iter();
        changes.map(|c| format!("{}: {} > {}", c.field, show(&c.from), show(&c.to))).collect()
    }

    #[test]
    fn a_change_says_what_differs_and_no_secret() {
        let anna = User::new(UserId::from_u128(1), "Anna", "anna", Role::Operator);
        let hash = PasswordHash::from_phc("$argon2id$secret".to_owned());
        let promoted = User { role: Role::Administrator, password: Some(hash), ..anna.clone() };
        let note = user(Some(&anna), &promoted);
        assert_eq!(told(&note), ["role: operator > administrator", "password: - > -"]);
        assert!(!format!("{note:?}").contains("secret"));
        assert_eq!(user(Some(&anna), &anna).changes, []);
        assert_eq!(user(None, &anna).act, AuditAct::UserCreated);
        let [boris, clara] = [2, 3].map(UserId::from_u128);
        let sales = Queue {
            members: [anna.id, boris].into(),
            ..Queue::new(QueueId::from_u128(4), "Sales", Rule::ToAll)
        };
        let other = Queue { members: [anna.id, clara].into(), ..sales.clone() };
        let note = queue(Some(&sales), Some(&other));
        assert_eq!(told(&note), [format!("members: {boris} > {clara}")]);
        assert_eq!(queue(Some(&sales), None).act, AuditAct::QueueDeleted);
        let site = Channel::new(ChannelId::from_u128(5), "Site", Provider::WebChat, sales.id);
        let keyed = Channel { site_key: 1, ..site.clone() };
        assert_eq!(told(&channel(Some(&site), Some(&keyed))), ["site_key: - > -"]);
    }
}
