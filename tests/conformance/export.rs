//! Copies of whole stores, between every two kinds of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use sha2::Digest as _;
use switchboard::domain::audit::{AuditId, AuditOutcome};
use switchboard::domain::operator::{AwayReason, OperatorRecord};
use switchboard::domain::{
    ChatEvent, ChatId, Name, Party, Priority, Profile, Recorded, Seq, Status, Timestamp,
};
use switchboard::storage::export::{
    ExportError, Occasion, Patience, Section, Summary, check, export, import, is_half_imported,
};
use switchboard::storage::memory::MemoryStore;
use switchboard::storage::{ClaimOpen, Moving, Store, Watermark};

use crate::samples::{chat, command, customer, customer_of, message, messages, open_chat, user};
use crate::subject::{Kind, Subject, block_on, block_on_of};
use crate::suite_audit::{about, entry};

/// More events than a line of a stream has, twice.
const LONG: Seq = 600;

/// A bit of everything, and `chats` chats.
pub async fn fill(store: &Store, chats: u128) {
    for n in 0..chats {
        let claim = store.log.claim(chat(n)).await.unwrap().claim;
        store.log.append(claim, messages(1..=1 + n as u64 % 40)).await.unwrap();
    }
    for (n, events) in [(1_000_000, LONG), (1_000_001, 256), (1_000_002, 257)] {
        let claim = store.log.claim(chat(n)).await.unwrap().claim;
        store.log.append(claim, messages(1..=events)).await.unwrap();
    }
    let claim = store.log.claim(chat(1_000_003)).await.unwrap().claim;
    store.log.append(claim, vec![message(1, "\"\\\n\u{0}\u{7f}é👍🏽 <&>")]).await.unwrap();

    let mut about_to_open = open_chat(2_000_000, 7);
    about_to_open.place = None;
    let mut moving = open_chat(1, 5);
    moving.moving = Some(Moving { to: Some(user(3)) });
    for row in [open_chat(2, 3), about_to_open, moving] {
        store.open_chats.put(row).await.unwrap();
    }
    for n in 0..5 {
        let watermarks = [
            (Party::Customer(customer(n).id), Watermark { delivered: 3, read: 2 }),
            (Party::User(user(n)), Watermark { delivered: u64::MAX >> 1, read: 1 }),
            (Party::System, Watermark { delivered: 1, read: 0 }),
        ];
        store.watermarks.raise(chat(n), BTreeMap::from(watermarks)).await.unwrap();
        let record = OperatorRecord {
            status: Status::Away(AwayReason::new("lunch, \"late\"").unwrap()),
            last_accept: Some(Timestamp(5)),
            lapses_in_row: n as u32,
            last_closed: [chat(n)].into(),
        };
        store.operators.save(user(n), record).await.unwrap();
    }
    // The latest chat is not that of the last command in the order of their texts.
    for (n, ids) in [(1, &["z", "b", "a", "m"][..]), (2, &["only"])] {
        let mut after = None;
        for (id, number) in ids.iter().zip(n * 100..) {
            let talks = &store.conversations;
            let new = chat(number);
            talks.claim_open(customer_of(n, n), &command(id), new, after).await.unwrap();
            after = Some(new);
        }
    }
    for (version, body) in (0..3).zip([&b"one"[..], b"\0\xff\n", b"three"]) {
        store.documents.put("queue", "a/b \"c\"", version, body.to_vec()).await.unwrap();
    }
    store.documents.put("session", "s", 0, vec![]).await.unwrap();
    for _ in 0..5 {
        store.processes.begin().await.unwrap();
    }
    for n in 0..600 {
        store.audit.record(entry(n * 1_000_000, n)).await.unwrap();
    }
    store.audit.record(about(5, 600, 1, 1)).await.unwrap();
    store.audit.conclude(entry(0, 0).id, AuditOutcome::Counted(5)).await.unwrap();
}

pub fn occasion(id: u128) -> Occasion {
    Occasion { id: uuid::Uuid::from_u128(id), at: 5, release: "0.0.0".to_owned() }
}

pub async fn exported(store: &Store, id: u128) -> (Vec<u8>, Summary) {
    let mut stream = Vec::new();
    let occasion = occasion(id);
    let summary = export(store, occasion, &mut stream, Patience::NONE, &mut ()).await.unwrap();
    (stream, summary)
}

pub async fn imported(store: &Store, stream: &[u8]) -> Result<Summary, ExportError> {
    import(store, Cursor::new(stream), None, Patience::NONE, &mut ()).await
}

/// All that a stream says, whatever order the store was read in.
pub fn contents(stream: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8(stream.to_vec()).unwrap();
    let lines = text.lines().map(|line| line[9..].to_owned());
    lines.filter(|line| !line.starts_with("{\"export\"") && !line.starts_with("{\"end\"")).collect()
}

/// Holds what a copy must have against the store itself, not against another export.
pub async fn is_as_filled(store: &Store, chats: u128) {
    for n in [0, 1, chats - 1] {
        let found = store.log.read(chat(n), 1, 1_000).await.unwrap();
        assert_eq!(found, messages(1..=1 + n as u64 % 40));
    }
    assert_eq!(store.log.read(chat(1_000_000), 1, 1_000).await.unwrap(), messages(1..=LONG));
    let rows = store.open_chats.scan(None, 10).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.chat).collect::<Vec<_>>(), [1, 2, 2_000_000].map(chat));
    assert_eq!(rows[0].moving, Some(Moving { to: Some(user(3)) }));
    let watermarks = store.watermarks.load(chat(4)).await.unwrap();
    assert_eq!(watermarks[&Party::Customer(customer(4).id)], Watermark { delivered: 3, read: 2 });
    assert_eq!(store.operators.load(user(4)).await.unwrap().lapses_in_row, 4);
    let talks = &store.conversations;
    assert_eq!(talks.latest(customer(1)).await.unwrap(), Some(chat(103)));
    let (id, after) = (command("b"), Some(chat(103)));
    let again = talks.claim_open(customer(1), &id, chat(9), after).await.unwrap();
    assert_eq!(again, ClaimOpen::Existing(chat(101)), "its chat for ever");
    let document = store.documents.get("queue", "a/b \"c\"").await.unwrap().unwrap();
    assert_eq!((document.version, &document.body[..]), (3, &b"three"[..]));
    assert!(store.inventory.last_process().await.unwrap() >= 5);
    let trail = store.audit.newest(AuditId::END, AuditId::FIRST, 1_000).await.unwrap();
    assert_eq!((trail.len(), &trail[0]), (601, &entry(599 * 1_000_000, 599)));
    assert_eq!(trail[600].outcome, Some(AuditOutcome::Counted(5)));
    assert!(!is_half_imported(&*store.documents).await.unwrap());
}

/// Copies a store of one kind to one of another. Nothing happens where a kind cannot be had.
async fn copy(from: Kind, to: Kind) {
    let Some(source) = Subject::new(from).await else { return };
    fill(&source.store, 100).await;
    let (stream, written) = exported(&source.store, 1).await;
    let (header, checked) = check(Cursor::new(&stream), &mut ()).unwrap();
    assert_eq!((header.id, &checked), (occasion(1).id, &written));
    let Some(target) = Subject::new(to).await else { return };
    assert_eq!(imported(&target.store, &stream).await.unwrap(), written);
    let target = target.restart().await;
    is_as_filled(&target.store, 100).await;
    let (again, _) = exported(&target.store, 2).await;
    assert_eq!(contents(&again), contents(&stream), "{from:?} to {to:?}");
    let claim = target.store.log.claim(chat(0)).await.unwrap();
    target.store.log.append(claim.claim, messages(2..=2)).await.unwrap();
}

#[test]
fn a_copy_is_the_same_between_every_two_kinds() {
    let kinds = [Kind::Memory, Kind::Sqlite, Kind::SqliteOnOurDisk];
    for (from, to) in kinds.iter().flat_map(|from| kinds.map(|to| (*from, to))) {
        block_on(copy(from, to));
    }
}

#[test]
fn a_copy_is_the_same_to_cql_and_back() {
    for (from, to) in [(Kind::Sqlite, Kind::Cql), (Kind::Cql, Kind::Sqlite), (Kind::Cql, Kind::Cql)]
    {
        block_on_of(Kind::Cql, copy(from, to));
    }
}

#[test]
fn an_empty_store_is_copied_too() {
    block_on(async {
        let (stream, summary) = exported(&Subject::new(Kind::Sqlite).await.unwrap().store, 1).await;
        assert!(Section::ALL.iter().all(|section| summary.count(*section) == 0));
        imported(&Subject::new(Kind::Memory).await.unwrap().store, &stream).await.unwrap();
    });
}

/// The stream with some lines changed, and whether a line's own checksum was made to fit again.
fn with_lines(stream: &[u8], change: impl FnOnce(&mut Vec<String>)) -> Vec<u8> {
    let text = String::from_utf8(stream.to_vec()).unwrap();
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    change(&mut lines);
    lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect()
}

/// As [`with_lines`], over the JSON, with all checksums made to fit.
fn with_json(stream: &[u8], change: impl FnOnce(&mut Vec<String>)) -> Vec<u8> {
    let mut crc = 0;
    with_lines(stream, |lines| {
        lines.iter_mut().for_each(|line| drop(line.drain(..9)));
        change(lines);
        for line in lines {
            crc = crc32c::crc32c_append(crc, line.as_bytes());
            *line = format!("{crc:08x} {line}");
        }
    })
}

#[test]
fn a_damaged_export_is_refused_before_anything_is_stored() {
    block_on(async {
        let source = Subject::new(Kind::Memory).await.unwrap();
        fill(&source.store, 30).await;
        let (stream, _) = exported(&source.store, 1).await;
        let target = Subject::new(Kind::Memory).await.unwrap();
        let refused = async |bytes: Vec<u8>| {
            let error = imported(&target.store, &bytes).await.unwrap_err();
            assert!(!is_half_imported(&*target.store.documents).await.unwrap(), "{error}");
            let text = error.to_string();
            assert!(!text.contains("text of"), "what customers wrote is not shown: {text}");
            error
        };
        for at in (0..stream.len()).step_by(37) {
            let mut bytes = stream.clone();
            bytes[at] ^= 1;
            let error = refused(bytes).await;
            let known = matches!(
                error,
                ExportError::Damaged { .. } | ExportError::NoExport | ExportError::CutOff { .. }
            );
            assert!(known, "byte {at}: {error:?}");
            let error = refused(stream[..at].to_vec()).await;
            let short = matches!(error, ExportError::CutOff { .. } | ExportError::NoExport);
            assert!(short, "cut at {at}: {error:?}");
        }
        let no_end = with_lines(&stream, |lines| drop(lines.pop()));
        assert!(matches!(refused(no_end).await, ExportError::CutOff { .. }));
        let swapped = with_lines(&stream, |lines| lines.swap(3, 4));
        assert!(matches!(refused(swapped).await, ExportError::Damaged { line: 4, .. }));
        let without = with_lines(&stream, |lines| drop(lines.remove(5)));
        assert!(matches!(refused(without).await, ExportError::Damaged { line: 6, .. }));
        let twice = with_lines(&stream, |lines| lines.insert(5, lines[5].clone()));
        assert!(matches!(refused(twice).await, ExportError::Damaged { line: 7, .. }));
        let more = with_json(&stream, |lines| lines.push(lines[1].clone()));
        assert!(matches!(refused(more).await, ExportError::Damaged { .. }));
        for other in ["", "\n", "hello\n", "CREATE TABLE chats;\nand more\n"] {
            assert_eq!(refused(other.into()).await, ExportError::NoExport, "{other:?}");
        }
        let newer = with_json(&stream, |lines| {
            lines[0] = "{\"export\":{\"format\":7,\"what\":\"is new\"}}".to_owned();
        });
        assert!(matches!(refused(newer).await, ExportError::Newer { found: 7, .. }));
        let newer = with_json(&stream, |lines| {
            lines[0] = lines[0].replace("\"records\":2", "\"records\":9");
        });
        assert!(matches!(refused(newer).await, ExportError::Newer { found: 9, .. }));
    });
}

#[test]
fn an_export_that_says_wrong_things_is_refused() {
    block_on(async {
        let source = Subject::new(Kind::Memory).await.unwrap();
        fill(&source.store, 30).await;
        let (stream, _) = exported(&source.store, 1).await;
        let found = async |change: &dyn Fn(&mut Vec<String>)| {
            let stream = with_json(&stream, change);
            imported(&Subject::new(Kind::Memory).await.unwrap().store, &stream).await
        };
        let find = |lines: &[String], what: &str| {
            lines.iter().position(|line| line.starts_with(&format!("{{\"{what}\""))).unwrap()
        };
        assert!(found(&|_| {}).await.is_ok());
        for what in
            ["document", "operator", "conversation", "log", "watermarks", "open_chat", "audit"]
        {
            let gone = found(&|lines| drop(lines.remove(find(lines, what)))).await;
            assert!(matches!(gone, Err(ExportError::Damaged { .. })), "{what}: {gone:?}");
        }
        let gap = found(&|lines| {
            let at = find(lines, "log");
            lines[at] = lines[at].replace("\"first\":1", "\"first\":2");
        })
        .await;
        assert!(matches!(gap, Err(ExportError::Damaged { .. })));
        let misplaced = found(&|lines| lines.insert(2, lines[0].clone())).await;
        assert!(matches!(misplaced, Err(ExportError::Damaged { .. })), "{misplaced:?}");
    });
}

#[test]
fn only_an_empty_store_is_filled() {
    block_on(async {
        let (stream, _) = exported(&Subject::new(Kind::Memory).await.unwrap().store, 1).await;
        for section in Section::ALL {
            let memory = MemoryStore::new();
            put_one(&memory.store(), section).await;
            let refused = imported(&memory.store(), &stream).await.unwrap_err();
            let what = section.name();
            assert!(matches!(refused, ExportError::NotEmpty { .. }), "{what}: {refused:?}");
            assert!(refused.to_string().contains(what), "{what}: {refused}");
            assert!(!is_half_imported(&*memory.store().documents).await.unwrap());
        }
    });
}

/// Something of one section only.
async fn put_one(store: &Store, section: Section) {
    match section {
        Section::Documents => {
            store.documents.put("queue", "a", 0, vec![]).await.unwrap();
        }
        Section::Operators => {
            store.operators.save(user(1), OperatorRecord::default()).await.unwrap();
        }
        Section::Conversations => {
            let (id, talks) = (command("a"), &store.conversations);
            talks.claim_open(customer(1), &id, chat(1), None).await.unwrap();
        }
        Section::Chats => {
            let claim = store.log.claim(chat(1)).await.unwrap().claim;
            store.log.append(claim, messages(1..=1)).await.unwrap();
        }
        Section::Watermarks => {
            let watermarks = BTreeMap::from([(Party::System, Watermark { delivered: 1, read: 1 })]);
            store.watermarks.raise(chat(1), watermarks).await.unwrap();
        }
        Section::OpenChats => store.open_chats.put(open_chat(1, 1)).await.unwrap(),
        Section::Audit => store.audit.record(entry(1, 1)).await.unwrap(),
    }
}

#[test]
fn an_export_from_before_there_was_a_trail_is_read() {
    block_on(async {
        let source = Subject::new(Kind::Memory).await.unwrap();
        source.store.documents.put("queue", "a", 0, b"one".to_vec()).await.unwrap();
        let (stream, written) = exported(&source.store, 1).await;
        let former = with_json(&stream, |lines| {
            assert!(lines[0].contains("\"format\":2"), "{}", lines[0]);
            lines[0] = lines[0].replace("\"format\":2", "\"format\":1");
        });
        let target = Subject::new(Kind::Sqlite).await.unwrap();
        assert_eq!(imported(&target.store, &former).await.unwrap(), written);
    });
}

/// The sum of a chat's records as `docs/export.md` says, of a stream that has no other chat.
fn sum_of(of: ChatId, log: &str) -> String {
    let line: serde_json::Value = serde_json::from_str(log).unwrap();
    let mut hash = sha2::Sha256::new_with_prefix(of.0.as_bytes());
    // The records as they stand there, not as they would be written anew.
    let (_, records) = log.split_once("\"records\":[").unwrap();
    let mut rest = records;
    for _ in line["log"]["records"].as_array().unwrap() {
        let mut depth = 0;
        let end = rest.find(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth == 0 && c == '}'
        });
        let (record, more) = rest.split_at(end.unwrap() + 1);
        hash.update(record);
        hash.update("\n");
        rest = more.trim_start_matches(',');
    }
    let bytes = hash.finalize();
    let numbers = bytes.chunks(8).map(|eight| u64::from_le_bytes(eight.try_into().unwrap()));
    numbers.map(|number| format!("{number:016x}")).collect()
}

#[test]
fn an_export_with_records_of_the_former_format_is_read_with_what_it_knows() {
    block_on(async {
        let source = Subject::new(Kind::Memory).await.unwrap();
        let claim = source.store.log.claim(chat(1)).await.unwrap().claim;
        let priority = Priority::new(3).unwrap();
        let profile = |issued_at, name: Option<&str>| Profile {
            issued_at: Timestamp(issued_at),
            priority,
            name: name.map(|name| Name::new(name).unwrap()),
        };
        let opened = |profile| ChatEvent::Opened {
            customer: customer(1),
            command: command("c"),
            profile,
            continues: None,
        };
        let event = opened(profile(5, Some("Zoe")));
        let first = Recorded { seq: 1, at: Timestamp(9), event, names: Default::default() };
        source.store.log.append(claim, vec![first, message(2, "hello")]).await.unwrap();
        let (stream, _) = exported(&source.store, 1).await;
        let former = with_json(&stream, |lines| {
            lines[0] = lines[0].replace("\"records\":2", "\"records\":1");
            let at = lines.iter().position(|line| line.starts_with("{\"log\"")).unwrap();
            let sum = sum_of(chat(1), &lines[at]);
            lines[at] = lines[at].replace(",\"name\":\"Zoe\",\"issued_at\":5", "");
            let (end, anew) = (lines.len() - 1, sum_of(chat(1), &lines[at]));
            assert!(sum != anew && lines[end].contains(&sum), "{}", lines[end]);
            lines[end] = lines[end].replace(&sum, &anew);
        });
        for kind in [Kind::Memory, Kind::Sqlite] {
            let target = Subject::new(kind).await.unwrap();
            imported(&target.store, &former).await.unwrap();
            let target = target.restart().await;
            let log = target.store.log.read(chat(1), 1, 9).await.unwrap();
            assert_eq!(log[0].event, opened(profile(0, None)));
            assert_eq!(log[1], message(2, "hello"));
        }
    });
}

#[test]
fn thousands_of_chats_are_copied() {
    block_on(async {
        let source = Subject::new(Kind::Memory).await.unwrap();
        fill(&source.store, 5_000).await;
        let (stream, written) = exported(&source.store, 1).await;
        assert_eq!(written.count(Section::Chats), 5_004);
        let target = Subject::new(Kind::Sqlite).await.unwrap();
        assert_eq!(imported(&target.store, &stream).await.unwrap(), written);
        let (again, _) = exported(&target.restart().await.store, 2).await;
        assert_eq!(contents(&again), contents(&stream));
    });
}
