//! Every frame has a golden file: what clients rely on cannot change unnoticed.
//! `UPDATE_GOLDEN=1 cargo test --test protocol` writes them anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use switchboard::protocol::call::Method;
use switchboard::protocol::envelope::{FromServer, read_from_server, write_request};
use switchboard::protocol::limits::{
    CHAT_LIST_MAX, FRAME_MAX_BYTES, OPENED_OFFERS_MAX, RESUME_MAX, TEXT_ESCAPED_MAX_BYTES,
};
use switchboard::protocol::{
    ErrorKind, Notification, RequestId, read_request, write_error, write_notification, write_result,
};

use crate::samples;

pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub fn updating() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

fn id() -> RequestId {
    RequestId::Number(1)
}

fn file(direction: &str, method: &str, variant: &str) -> String {
    let dot = if variant.is_empty() { "" } else { "." };
    format!("{direction}.{method}{dot}{variant}.json")
}

/// Every golden file's name and the frame that belongs into it.
fn frames() -> BTreeMap<String, String> {
    let mut frames = BTreeMap::new();
    for (method, variant, params) in samples::calls() {
        let call = method.read(&params.to_string()).unwrap();
        let text = write_request(&id(), &call).unwrap();
        frames.insert(file("call", method.name(), variant), text);
    }
    for (method, variant, result) in samples::answers() {
        let text = write_result(&id(), &result).unwrap();
        frames.insert(file("answer", method.name(), variant), text);
    }
    for (variant, notification) in samples::notifications() {
        let text = write_notification(&notification).unwrap();
        frames.insert(file("notify", notification.name(), &variant), text);
    }
    for error in samples::errors() {
        let text = write_error(Some(&id()), &error).unwrap();
        frames.insert(file("error", error.kind().name(), ""), text);
    }
    frames
}

fn pretty(frame: &str) -> String {
    let value: Value = serde_json::from_str(frame).unwrap();
    format!("{}\n", serde_json::to_string_pretty(&value).unwrap())
}

#[test]
fn every_frame_is_as_its_golden_file_says() {
    let folder = repository("tests/golden/protocol");
    let frames = frames();
    if updating() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        for (name, frame) in &frames {
            fs::write(folder.join(name), pretty(frame)).unwrap();
        }
    }
    let there: BTreeSet<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let wanted: BTreeSet<String> = frames.keys().cloned().collect();
    assert_eq!(there, wanted, "golden files and frames differ");
    for (name, frame) in &frames {
        let golden = fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(golden, pretty(frame), "{name} changed");
    }
}

#[test]
fn every_method_notification_and_error_has_an_example() {
    let called: BTreeSet<_> = samples::calls().iter().map(|(method, ..)| *method).collect();
    let answered: BTreeSet<_> = samples::answers().iter().map(|(method, ..)| *method).collect();
    let all: BTreeSet<_> = Method::ALL.iter().copied().collect();
    assert_eq!(called, all);
    assert_eq!(answered, all);
    let told: BTreeSet<_> = samples::notifications().iter().map(|(_, n)| n.name()).collect();
    assert_eq!(told, Notification::NAMES.iter().copied().collect());
    let failed: BTreeSet<_> = samples::errors().iter().map(|error| error.kind()).collect();
    assert_eq!(failed, ErrorKind::ALL.iter().copied().collect());
}

#[test]
fn every_call_comes_back_as_it_was_written() {
    for (method, _, params) in samples::calls() {
        let call = method.read(&params.to_string()).unwrap();
        let text = write_request(&id(), &call).unwrap();
        let request = read_request(text.as_bytes()).unwrap();
        assert_eq!(request.call, call);
        assert_eq!(request.id, id());
        assert_eq!(serde_json::to_value(&call).unwrap(), params);
    }
}

#[test]
fn a_client_reads_all_that_a_server_writes() {
    for (method, _, result) in samples::answers() {
        let text = write_result(&id(), &result).unwrap();
        let Ok(FromServer::Answer { id: Some(_), outcome: Ok(read) }) = read_from_server(&text)
        else {
            panic!("{text}");
        };
        method.answers_with(read.get()).unwrap();
    }
    for (_, notification) in samples::notifications() {
        let text = write_notification(&notification).unwrap();
        let Ok(FromServer::Notification(read)) = read_from_server(&text) else {
            panic!("{text}");
        };
        assert_eq!(read, notification);
    }
    for error in samples::errors() {
        let text = write_error(None, &error).unwrap();
        let Ok(FromServer::Answer { id: None, outcome: Err(read) }) = read_from_server(&text)
        else {
            panic!("{text}");
        };
        assert_eq!(read, error);
    }
}

/// What a customer sees; everything else stays inside.
#[test]
fn a_customer_never_sees_how_the_chat_was_routed() {
    let seen: Vec<_> = crate::log::events(switchboard::domain::Audience::Customer);
    let names: Vec<_> = seen.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        [
            "opened",
            "placed_opened",
            "placed_transferred",
            "placed_owner_gone",
            "message_customer",
            "message_operator",
            "assigned_accepted",
            "assigned_taken",
            "assigned_transferred",
            "ended",
            "continued_in",
        ]
    );
    for (name, event) in seen {
        let text = serde_json::to_string(&event).unwrap();
        for inside in [
            samples::ANNA.to_string(),
            samples::BORIS.to_string(),
            samples::QUEUE.to_string(),
            samples::OFFER.to_string(),
            "priority".to_owned(),
        ] {
            assert!(!text.contains(&inside), "{name} shows {inside} to a customer");
        }
    }
}

#[test]
fn the_largest_frames_fit() {
    let offer = serde_json::to_string(&samples::offer()).unwrap().len() + 1;
    let chat = serde_json::to_string(&samples::session_chat()).unwrap().len() + 1;
    let brief = serde_json::to_string(&samples::brief()).unwrap().len() + 1;
    // Numbers may have more digits than in the examples.
    let digits = 40;
    let envelope = 1_024;
    let opened = OPENED_OFFERS_MAX * (offer + digits) + RESUME_MAX * (chat + digits) + envelope;
    assert!(opened <= FRAME_MAX_BYTES, "session.open: {opened}");
    let listed = CHAT_LIST_MAX * (brief + digits) + envelope;
    assert!(listed <= FRAME_MAX_BYTES, "chat.list: {listed}");
    let message = TEXT_ESCAPED_MAX_BYTES + envelope;
    assert!(message <= switchboard::protocol::limits::HISTORY_PAGE_MAX_BYTES);
}
