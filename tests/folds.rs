//! An old log folds as it did: logs of former releases, as they were written, against what each event made
//! of the chat then. What stands in `tests/golden/fold` is never written anew; a change that folds one
//! otherwise is a fault, or another [`FOLD_VERSION`].
//!
//! A log is a file of bodies of records, a line each, sealed as the release sealed them whose version of
//! the records its name ends with. With `UPDATE_GOLDEN` a log that has no description yet gets one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use switchboard::domain::{ChatEvent, ChatId, CustomerId, Party, Place, Recorded, UserId};
use switchboard::machine::chat::{Chat, FOLD_VERSION, History};
use switchboard::storage::record::{Slot, decode_event, seal_as};

const CHAT: ChatId = ChatId::from_u128(0xe);
const CUSTOMER: Party = Party::Customer(CustomerId::from_u128(6));
const SOMEBODY: Party = Party::User(UserId::from_u128(1));

/// How many kinds of events there are; `storage::record` names each.
const EVENT_KINDS: usize = 15;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/fold")
}

/// The logs that are kept, by name.
fn logs() -> Vec<(String, Vec<Recorded>)> {
    let files = std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path());
    let logs = files.filter(|path| path.extension().is_some_and(|ext| ext == "log"));
    let mut logs: Vec<_> = logs.map(|path| (name(&path), read(&path))).collect();
    logs.sort_by(|(one, _), (other, _)| one.cmp(other));
    logs
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

fn read(path: &Path) -> Vec<Recorded> {
    let name = name(path);
    let (_, version) = name.rsplit_once(".v").expect("the version of its records");
    let version = version.parse().unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let events = (1..).zip(text.lines()).map(|(seq, body)| {
        let sealed = seal_as(Slot::Event(CHAT, seq), version, body.as_bytes());
        decode_event(CHAT, seq, &sealed).unwrap()
    });
    events.collect()
}

/// The chat in a line: what it answers, tells others, and writes into its rows.
fn described(chat: &Chat) -> String {
    let at = chat.at();
    let at = at.as_ref();
    let offer = chat.place().and_then(Place::offer);
    let parts = [
        format!("{:?} {} v{:?}", chat.state(), chat.placement(), at.map(|at| at.version)),
        format!("{:?}", at.map(|at| (at.queue, at.weight, at.since, at.moved_at, at.spent))),
        format!("owner {:?}", chat.place().and_then(Place::owner)),
        format!("last {:?} at end {:?}", chat.last_owner(), chat.owner_at_end()),
        format!("offer {:?}", offer.map(|offer| (offer.id, offer.reach, offer.expires_at))),
        format!("to {:?}", offer.map(|offer| (&offer.to, &offer.returned))),
        format!("last {:?}", at.map(|at| at.last_offer)),
        format!("refused {:?}", at.map(|at| &at.refused_by)),
        format!(
            "transfer {:?}",
            chat.transfer().map(|transfer| (transfer.to, transfer.expires_at))
        ),
        format!("profile {:?}", chat.profile()),
        format!("unread {} {}", chat.unread(CUSTOMER, 0), chat.unread(SOMEBODY, 0)),
        format!("deadline {:?}", chat.next_deadline()),
        format!("open {} ended {:?}", chat.row().is_some(), chat.ended_row().map(|row| row.at)),
        format!("concerns {:?}", chat.concerned()),
        format!("goes on in {:?}", chat.continued_in()),
    ];
    parts.join("; ")
}

/// What each event makes of the chat.
fn folded(log: &[Recorded]) -> String {
    let mut chat = Chat::new(CHAT);
    let mut text = format!("fold version {FOLD_VERSION}\n");
    for recorded in log {
        chat.apply(recorded);
        writeln!(text, "{}: {}", recorded.seq, described(&chat)).unwrap();
    }
    text
}

#[test]
fn an_old_log_folds_as_it_did() {
    let logs = logs();
    assert!(logs.len() >= 3, "the logs are found");
    for (name, log) in logs {
        let file = folder().join(format!("{name}.txt"));
        let folded = folded(&log);
        if std::env::var_os("UPDATE_GOLDEN").is_some() && !file.exists() {
            std::fs::write(&file, &folded).unwrap();
        }
        let then = std::fs::read_to_string(&file).unwrap();
        for (now, then) in folded.lines().zip(then.lines()) {
            assert_eq!(now, then, "{name}");
        }
        assert_eq!(folded.lines().count(), then.lines().count(), "{name}");
    }
}

#[test]
fn every_kind_of_event_is_in_a_log_that_is_kept() {
    let logs = logs();
    let events =
        logs.iter().flat_map(|(_, log)| log).map(|recorded| format!("{:?}", recorded.event));
    let kinds: BTreeSet<String> =
        events.map(|text| text.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(kinds.len(), EVENT_KINDS, "{kinds:?}");
}

/// A state that was kept with its position, and the rest of the log, are the whole: a snapshot could stand
/// anywhere.
#[test]
fn the_state_at_any_position_and_the_rest_of_the_log_are_the_whole() {
    for (name, log) in logs() {
        let mut whole = Chat::new(CHAT);
        let mut kept = Vec::new();
        for recorded in &log {
            kept.push(whole.clone());
            whole.apply(recorded);
        }
        for mut state in kept {
            let tail = state.tail() as usize;
            log[tail..].iter().for_each(|recorded| state.apply(recorded));
            assert_eq!(state, whole, "{name} from {tail} on");
        }
    }
}

/// What the history keeps of a chat is what the chat itself says, after each event.
#[test]
fn the_history_folds_as_the_chat_does() {
    for (name, log) in logs() {
        let (mut chat, mut history) = (Chat::new(CHAT), History::new(CHAT));
        let (mut queues, mut owners) = (BTreeSet::new(), BTreeSet::new());
        for recorded in &log {
            chat.apply(recorded);
            history.apply(recorded);
            let at = format!("{name} at {}", recorded.seq);
            let row = history.row().expect("it is opened by its first event");
            let opened = chat.opened().unwrap();
            let begin = (row.chat, row.customer, row.started);
            assert_eq!(begin, (CHAT, opened.customer, opened.at), "{at}");
            if recorded.seq > 1 {
                assert_eq!(Some(row.state), chat.state(), "{at}");
            }
            assert_eq!((row.owner, &row.name), (chat.last_owner(), &chat.profile().name), "{at}");
            assert_eq!(row.ended.map(|end| end.at), chat.ended_row().map(|end| end.at), "{at}");
            assert_eq!(row.ended.and_then(|end| end.owner), chat.owner_at_end(), "{at}");
            let queue = chat.at().map(|at| at.queue);
            assert_eq!(row.queue, queue, "{at}");
            queues.extend(queue);
            owners.extend(chat.place().and_then(Place::owner));
            assert_eq!((&row.queues, &row.operators), (&queues, &owners), "{at}");
            assert!(row.lists().count() == 3 + queues.len() + owners.len(), "{at}");
        }
    }
}

/// Whatever changes the row of a chat is worth to be looked at at once, but for the message with which its
/// owner begins.
#[test]
fn what_changes_the_history_of_a_chat_concerns_it() {
    for (name, log) in logs() {
        let mut history = History::new(CHAT);
        for recorded in &log {
            let before = history.clone();
            history.apply(recorded);
            let changed = history != before;
            let is_message = matches!(recorded.event, ChatEvent::Message { .. });
            assert!(
                !changed || is_message || History::concerns(&recorded.event),
                "{name} {recorded:?}"
            );
        }
    }
}
