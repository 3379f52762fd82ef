//! The format holds still: golden files for every kind of record.
//!
//! After a deliberate change (a new version and a reader for the old), or for a new kind:
//! `UPDATE_GOLDEN=1 cargo test record::` writes the files anew.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::domain::audit::{AuditAct, AuditActor, AuditChange, AuditSubject};
use crate::domain::chat::{Outcome, Reach};
use crate::domain::event::{
    AssignedHow, Decision, OfferEnd, PlacedCause, TransferFailure, Trigger, WithdrawReason,
};
use crate::domain::operator::{AwayReason, Standing};
use crate::domain::{
    AwayReasonId, ChannelId, ChatEvent, ChatState, CommandId, Customer, CustomerId, EventNames,
    MessageText, Name, Offer, OfferId, Place, Priority, Profile, QueueId, Rule, Status, Timestamp,
    Weight,
};
use crate::storage::HistoryEnd;

pub(super) const STANDINGS: [Standing; 15] = [
    Standing::Free,
    Standing::Unknown,
    Standing::Offline,
    Standing::Away,
    Standing::Busy,
    Standing::NotConnected,
    Standing::Full,
    Standing::Kept,
    Standing::Choosing,
    Standing::CoolingDown,
    Standing::Declined,
    Standing::ShownLately,
    Standing::Asked,
    Standing::NotMember,
    Standing::Owner,
];

fn golden(name: &str, bytes: &[u8]) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/record");
    let file = folder.join(format!("{name}.json"));
    let text = format!("{}\n", std::str::from_utf8(bytes).unwrap());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(&file, &text).unwrap();
    }
    let stored = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    assert_eq!(text, stored, "the format of {name} has changed: {}", file.display());
}

/// What a golden file of an event is called; a new event does not compile without a name.
fn name(event: &ChatEvent) -> &'static str {
    match event {
        ChatEvent::Opened { .. } => "opened",
        ChatEvent::CustomerUpdated { .. } => "customer_updated",
        ChatEvent::Message { .. } => "message",
        ChatEvent::Placed { .. } => "placed",
        ChatEvent::Offered { .. } => "offered",
        ChatEvent::OfferWidened { .. } => "offer_widened",
        ChatEvent::Declined { .. } => "declined",
        ChatEvent::OfferNarrowed { .. } => "offer_narrowed",
        ChatEvent::OfferEnded { .. } => "offer_ended",
        ChatEvent::Assigned { .. } => "assigned",
        ChatEvent::Begun { .. } => "begun",
        ChatEvent::TransferAsked { .. } => "transfer_asked",
        ChatEvent::TransferFailed { .. } => "transfer_failed",
        ChatEvent::Ended { .. } => "ended",
        ChatEvent::ContinuedIn { .. } => "continued_in",
    }
}

/// How many kinds of event there are; [`name`] lists them.
const EVENT_KINDS: usize = 15;

/// One event of each kind, and one for each way in which a part of it can differ.
fn samples() -> Vec<ChatEvent> {
    let command = CommandId::new("c-1").unwrap();
    let (offer, operator) = (OfferId::of(3, 4), UserId::from_u128(5));
    let (customer, by) = (CustomerId::from_u128(6), Party::User(operator));
    let offered = |reach, rule, trigger, standings: &[Standing]| ChatEvent::Offered {
        placement: 2,
        offer,
        reach,
        to: vec![operator, UserId::from_u128(7)],
        expires_at: Timestamp(30_000),
        process: 3,
        decision: Decision {
            rule,
            config_version: 8,
            trigger,
            runners_up: vec![UserId::from_u128(9)],
            standings: standings.iter().map(|one| (*one, 2)).collect(),
        },
    };
    let ended = |by, command, outcome| ChatEvent::Ended { placement: 9, by, command, outcome };
    let assigned =
        |how| ChatEvent::Assigned { placement: 3, operator, how, command: command.clone() };
    let placed = |cause| ChatEvent::Placed {
        placement: 1,
        queue: QueueId::from_u128(10),
        weight: Weight::default(),
        cause,
    };
    let profile = |name: Option<&str>| Profile {
        issued_at: Timestamp(900),
        priority: Priority::new(2).unwrap(),
        name: name.map(|name| Name::new(name).unwrap()),
    };
    let opened = |continues, name| ChatEvent::Opened {
        customer: Customer { channel: ChannelId::from_u128(11), id: customer },
        command: command.clone(),
        profile: profile(name),
        continues,
    };
    let message = |from| ChatEvent::Message {
        from,
        id: command.clone(),
        text: MessageText::new("h\u{e9}llo \"you\"\n").unwrap(),
    };
    let mut samples = vec![
        opened(None, None),
        opened(Some(ChatId::from_u128(12)), Some("Zo\u{eb}")),
        ChatEvent::CustomerUpdated { profile: profile(Some("Zo\u{eb}")) },
        ChatEvent::CustomerUpdated { profile: profile(None) },
        message(Party::Customer(customer)),
        message(by),
        message(Party::System),
        placed(PlacedCause::Opened),
        placed(PlacedCause::Transferred { by, command: command.clone() }),
        placed(PlacedCause::OwnerGone { operator }),
        offered(Reach::Directed, Rule::LeastLoaded, Trigger::Push, &STANDINGS),
        offered(Reach::Directed, Rule::LongestIdle, Trigger::Pull, &[]),
        offered(Reach::ToAll, Rule::ToAll, Trigger::Push, &[]),
        offered(Reach::ToAll, Rule::Manual, Trigger::Push, &[]),
        ChatEvent::OfferWidened { offer, to: vec![operator] },
        ChatEvent::Declined { offer, operator, command: command.clone() },
        assigned(AssignedHow::Accepted { offer }),
        assigned(AssignedHow::Taken),
        assigned(AssignedHow::Transferred { by, reservation: offer }),
        ChatEvent::Begun { by, command: command.clone() },
        ChatEvent::TransferAsked {
            by,
            command: command.clone(),
            to: operator,
            reservation: offer,
            expires_at: Timestamp(2_000),
        },
        ended(Party::Customer(customer), Some(command.clone()), Outcome::Completed),
        ended(Party::System, None, Outcome::Missed),
        ChatEvent::ContinuedIn { chat: ChatId::from_u128(13) },
    ];
    let reasons =
        [WithdrawReason::NotReady, WithdrawReason::NotReserved, WithdrawReason::NotEligible];
    let ends = [OfferEnd::Declined, OfferEnd::Lapsed, OfferEnd::Restart];
    let ends = ends.into_iter().chain(reasons.map(OfferEnd::Withdrawn));
    samples.extend(ends.map(|how| ChatEvent::OfferEnded { placement: 3, offer, how }));
    samples.extend(reasons.map(|reason| ChatEvent::OfferNarrowed { offer, operator, reason }));
    let failures = [TransferFailure::NoAnswer, TransferFailure::Overtaken];
    let failures = failures.into_iter().chain(STANDINGS.map(TransferFailure::Refused));
    samples.extend(failures.map(|reason| ChatEvent::TransferFailed { reservation: offer, reason }));
    samples
}

/// Two chats' ends.
fn ended_chats() -> [EndedChat; 2] {
    [1, 0].map(|n| EndedChat {
        chat: ChatId::from_u128(n),
        customer: Customer { channel: ChannelId::from_u128(2), id: CustomerId::from_u128(3 + n) },
        at: Timestamp(1_000 * n as u64),
    })
}

#[test]
fn ended_chats_are_stored_as_the_golden_file_says() {
    let mut bodies = Vec::new();
    for ended in ended_chats() {
        let (channel, chat) = (ended.customer.channel, ended.chat);
        let sealed = encode_ended_chat(&ended).unwrap();
        assert_eq!(decode_ended_chat(channel, chat, &sealed).unwrap(), ended);
        let elsewhere = decode_ended_chat(ChannelId::from_u128(9), chat, &sealed);
        assert!(matches!(elsewhere, Err(RecordError::Damaged { .. })), "its place is sealed too");
        bodies.push(unseal(Slot::EndedChat(channel, chat), &sealed).unwrap().to_vec());
    }
    golden("ended_chat", &bodies.join(&b'\n'));
}

/// A chat that nobody had yet, and one that has all there is.
fn history_rows() -> [HistoryRow; 2] {
    let customer = Customer { channel: ChannelId::from_u128(2), id: CustomerId::from_u128(3) };
    let open = HistoryRow {
        chat: ChatId::from_u128(1),
        started: Timestamp(1_000),
        customer,
        name: None,
        queues: [4].map(QueueId::from_u128).into(),
        queue: Some(QueueId::from_u128(4)),
        operators: Default::default(),
        owner: None,
        state: ChatState::Waiting,
        ended: None,
    };
    let owner = Some(UserId::from_u128(7));
    let ended = HistoryRow {
        chat: ChatId::from_u128(8),
        name: Some(Name::new("Anna").unwrap()),
        queues: [4, 5].map(QueueId::from_u128).into(),
        operators: [6, 7].map(UserId::from_u128).into(),
        owner,
        state: ChatState::Completed,
        ended: Some(HistoryEnd { at: Timestamp(9_000), by: Party::Customer(customer.id), owner }),
        ..open.clone()
    };
    [open, ended]
}

#[test]
fn history_rows_are_stored_as_the_golden_file_says() {
    let mut bodies = Vec::new();
    for row in history_rows() {
        let sealed = encode_history(&row).unwrap();
        assert_eq!(decode_history(row.place(), &sealed).unwrap(), row);
        let later = HistoryPoint { started: Timestamp(1_001), ..row.place() };
        let elsewhere = decode_history(later, &sealed);
        assert!(matches!(elsewhere, Err(RecordError::Damaged { .. })), "its place is sealed too");
        bodies.push(unseal(Slot::History(row.place()), &sealed).unwrap().to_vec());
    }
    golden("history", &bodies.join(&b'\n'));
    for state in [
        ChatState::Waiting,
        ChatState::Offered,
        ChatState::New,
        ChatState::InProgress,
        ChatState::Completed,
        ChatState::Missed,
    ] {
        let [row, _] = history_rows();
        let row = HistoryRow { state, ..row };
        assert_eq!(decode_history(row.place(), &encode_history(&row).unwrap()).unwrap(), row);
    }
}

#[test]
fn the_golden_ended_chats_can_still_be_read() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/record");
    let file = std::fs::read_to_string(folder.join("ended_chat.json")).unwrap();
    for (body, ended) in file.lines().zip(ended_chats()) {
        let (channel, chat) = (ended.customer.channel, ended.chat);
        let sealed = seal_as(Slot::EndedChat(channel, chat), 1, body.as_bytes());
        assert_eq!(decode_ended_chat(channel, chat, &sealed).unwrap(), ended);
    }
}

fn names() -> EventNames {
    let name = |name| Name::new(name).ok();
    EventNames { by: name("Ann"), other: name("\"B\u{f3}b\""), channel: name("Shop") }
}

#[test]
fn the_names_in_an_event_are_stored_as_the_golden_file_says() {
    let chat = ChatId::from_u128(1);
    let mut bodies = Vec::new();
    let only_by = EventNames { other: None, channel: None, ..names() };
    for names in [names(), only_by] {
        let event = ChatEvent::ContinuedIn { chat: ChatId::from_u128(13) };
        let recorded = Recorded { seq: 7, at: Timestamp(1_000), event, names };
        let sealed = encode_event(chat, &recorded).unwrap();
        bodies.push(unseal(Slot::Event(chat, 7), &sealed).unwrap().to_vec());
        assert_eq!(decode_event(chat, 7, &sealed), Ok(recorded));
    }
    golden("names", &bodies.join(&b'\n'));
}

#[test]
fn events_are_stored_as_the_golden_files_say() {
    let chat = ChatId::from_u128(1);
    let mut files: BTreeMap<&str, Vec<Vec<u8>>> = BTreeMap::new();
    for event in samples() {
        let recorded = Recorded { seq: 7, at: Timestamp(1_000), event, names: Default::default() };
        let sealed = encode_event(chat, &recorded).unwrap();
        let body = unseal(Slot::Event(chat, 7), &sealed).unwrap().to_vec();
        files.entry(name(&recorded.event)).or_default().push(body);
    }
    assert_eq!(files.len(), EVENT_KINDS);
    for (name, bodies) in files {
        golden(name, &bodies.join(&b'\n'));
    }
}

/// What the first format can say of it; none when it has no such event.
fn in_format_1(event: ChatEvent) -> Option<ChatEvent> {
    match event {
        ChatEvent::Opened { customer, command, profile, continues } => {
            let profile = Profile { priority: profile.priority, ..Profile::default() };
            Some(ChatEvent::Opened { customer, command, profile, continues })
        }
        ChatEvent::CustomerUpdated { .. } => None,
        ChatEvent::Offered { placement, offer, reach, to, expires_at, process, mut decision } => {
            decision.standings.remove(&Standing::ShownLately);
            Some(ChatEvent::Offered { placement, offer, reach, to, expires_at, process, decision })
        }
        ChatEvent::TransferFailed {
            reason: TransferFailure::Refused(Standing::ShownLately),
            ..
        } => None,
        event => Some(event),
    }
}

/// The lines of the golden files of a kind that this version wrote.
fn golden_lines(kind: &str, version: u16) -> Vec<String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/record");
    let folder = if version == FORMAT_VERSION { folder } else { folder.join("v1") };
    let file = std::fs::read_to_string(folder.join(format!("{kind}.json"))).unwrap();
    file.lines().map(str::to_owned).collect()
}

/// Reads what older builds wrote: the golden files themselves, not what this build encodes.
#[test]
fn the_golden_files_can_still_be_read() {
    let chat = ChatId::from_u128(1);
    let of_1 = samples().into_iter().filter_map(in_format_1).collect();
    for (version, mut left) in [(1, of_1), (FORMAT_VERSION, samples())] {
        for kind in left.iter().map(name).collect::<BTreeSet<_>>() {
            for line in golden_lines(kind, version) {
                let sealed = seal_as(Slot::Event(chat, 7), version, line.as_bytes());
                let read = decode_event(chat, 7, &sealed).unwrap();
                assert_eq!((read.seq, read.at), (7, Timestamp(1_000)));
                let before = left.len();
                left.retain(|sample| *sample != read.event);
                assert_eq!(left.len(), before - 1, "{kind} of {version}: {line}");
            }
        }
        assert!(left.is_empty(), "{version}: {left:?}");
    }
}

/// Rows, operators and the trail of the first format are those of today.
#[test]
fn the_rows_of_the_first_format_can_still_be_read() {
    let (chat, user) = (ChatId::from_u128(7), UserId::from_u128(1));
    let lines = golden_lines("open_chat", 1);
    for (line, row) in lines.iter().zip(open_chats()) {
        let sealed = seal_as(Slot::OpenChat(chat), 1, line.as_bytes());
        assert_eq!(decode_open_chat(chat, &sealed, None), Ok(row), "{line}");
    }
    assert_eq!(lines.len(), open_chats().len());
    for line in golden_lines("operator", 1) {
        let sealed = seal_as(Slot::Operator(user), 1, line.as_bytes());
        assert_eq!(decode_operator(user, &sealed).unwrap().lapses_in_row, 3, "{line}");
    }
    let id = AuditId::new(Timestamp(1_000), 2, 3);
    for line in golden_lines("audit", 1) {
        let sealed = seal_as(Slot::Audit(id), 1, line.as_bytes());
        assert_eq!(decode_audit(id, &sealed, None).unwrap().changes.len(), 1, "{line}");
    }
}

fn open_chats() -> Vec<OpenChat> {
    let offer = Offer {
        id: OfferId::of(1, 2),
        reach: Reach::ToAll,
        to: Arc::new(BTreeSet::from([UserId::from_u128(3), UserId::from_u128(4)])),
        returned: Default::default(),
        expires_at: Timestamp(9_000),
    };
    let (owner, by) = (UserId::from_u128(5), Party::Customer(CustomerId::from_u128(6)));
    let places = [
        None,
        Some(Place::Waiting),
        Some(Place::Offered(offer)),
        Some(Place::Assigned { owner, begun: false }),
        Some(Place::Ended { outcome: Outcome::Missed, by }),
    ];
    let row = |place: Option<Place>| OpenChat {
        chat: ChatId::from_u128(7),
        queue: QueueId::from_u128(8),
        placement: 9,
        priority: Priority::new(10).unwrap(),
        weight: Weight::default(),
        since: Timestamp(11),
        refused_by: BTreeMap::from([(owner, Timestamp(12))]),
        next_deadline: place.as_ref().map(|_| Timestamp(13)),
        moving: None,
        place,
    };
    places.into_iter().map(row).collect()
}

/// What a release before wrote, in which no chat had a weight, byte for byte.
#[test]
fn a_chat_of_before_takes_one_slot_and_one_that_takes_more_says_so() {
    let chat = ChatId::from_u128(7);
    let slot = Slot::OpenChat(chat);
    let id = "00000000-0000-0000-0000-000000000008";
    let row = format!(
        r#"{{"queue":"{id}","placement":9,"priority":3,"since":11,"refused_by":{{}},"place":"waiting","next_deadline":null}}"#
    );
    let read = decode_open_chat(chat, &seal(slot, row.as_bytes()), None).unwrap();
    assert_eq!(read.weight.slots(), 1);
    let written = encode_open_chat(&read).unwrap();
    assert_eq!(unseal(slot, &written).unwrap(), row.as_bytes(), "it is written as it was");
    let heavy = OpenChat { weight: Weight::new(3).unwrap(), ..read };
    assert_eq!(decode_open_chat(chat, &encode_open_chat(&heavy).unwrap(), None), Ok(heavy));
    for bad in [0, 101] {
        let row = row.replace(r#""since""#, &format!(r#""weight":{bad},"since""#));
        let refused = decode_open_chat(chat, &seal(slot, row.as_bytes()), None).unwrap_err();
        assert!(refused.to_string().contains("1 to 100 slots"), "{refused}");
    }
}

#[test]
fn rows_are_stored_as_the_golden_files_say_and_come_back() {
    let mut bodies = Vec::new();
    for mut row in open_chats() {
        let sealed = encode_open_chat(&row).unwrap();
        bodies.push(unseal(Slot::OpenChat(row.chat), &sealed).unwrap().to_vec());
        assert_eq!(decode_open_chat(row.chat, &sealed, None), Ok(row.clone()));
        for to in [None, Some(UserId::from_u128(1))] {
            let mark = encode_moving(row.chat, Moving { to }).unwrap();
            row.moving = Some(Moving { to });
            assert_eq!(decode_open_chat(row.chat, &sealed, Some(&mark)), Ok(row.clone()));
        }
    }
    golden("open_chat", &bodies.join(&b'\n'));

    let operator = UserId::from_u128(1);
    let away = Status::Away(AwayReason::new("lunch").unwrap());
    let mut bodies = Vec::new();
    for status in [Status::Ready, away, Status::Busy, Status::Offline] {
        let record = OperatorRecord {
            status,
            last_accept: Some(Timestamp(2)),
            lapses_in_row: 3,
            last_closed: VecDeque::from([ChatId::from_u128(4), ChatId::from_u128(5)]),
        };
        let sealed = encode_operator(operator, &record).unwrap();
        bodies.push(unseal(Slot::Operator(operator), &sealed).unwrap().to_vec());
        assert_eq!(decode_operator(operator, &sealed), Ok(record));
    }
    golden("operator", &bodies.join(&b'\n'));
}

#[test]
fn the_trail_is_stored_as_the_golden_files_say_and_comes_back() {
    let (user, channel) = (UserId::from_u128(1), ChannelId::from_u128(2));
    let (customer, reason) = (Some(CustomerId::from_u128(3)), AwayReasonId::from_u128(5));
    let subjects = [
        None,
        Some(AuditSubject::User(user)),
        Some(AuditSubject::Queue(QueueId::from_u128(4))),
        Some(AuditSubject::Channel(channel)),
        Some(AuditSubject::Customer { channel, customer }),
        Some(AuditSubject::Customer { channel, customer: None }),
        Some(AuditSubject::Store),
        Some(AuditSubject::Trail),
    ];
    let actors = [
        AuditActor::System,
        AuditActor::CommandLine,
        AuditActor::Unknown,
        AuditActor::User(user),
        AuditActor::Site(channel),
    ];
    let addresses = [None, Some([192, 0, 2, 1].into()), Some("2001:db8::1".parse().unwrap())];
    let outcomes = [
        AuditOutcome::Done,
        AuditOutcome::Refused,
        AuditOutcome::Counted(5),
        AuditOutcome::Unknown,
    ];
    let id = AuditId::new(Timestamp(1_000), 2, 3);
    let (mut entries, mut ends) = (Vec::new(), Vec::new());
    for (n, act) in AuditAct::ALL.iter().enumerate() {
        let entry = AuditEntry {
            id,
            actor: actors[n % actors.len()],
            address: addresses[n % addresses.len()],
            act: *act,
            subject: match act {
                AuditAct::AwayReasonCreated => Some(AuditSubject::AwayReason(reason)),
                _ => subjects[n % subjects.len()],
            },
            changes: vec![AuditChange {
                field: "role".to_owned(),
                from: (n % 2 == 0).then(|| "operator".to_owned()),
                to: (n % 3 == 0).then(|| "administrator".to_owned()),
            }],
            outcome: None,
        };
        let sealed = encode_audit(&entry).unwrap();
        entries.push(unseal(Slot::Audit(id), &sealed).unwrap().to_vec());
        assert_eq!(decode_audit(id, &sealed, None), Ok(entry.clone()));
        for outcome in outcomes {
            let end = encode_audit_outcome(id, outcome).unwrap();
            let with = AuditEntry { outcome: Some(outcome), ..entry.clone() };
            assert_eq!(decode_audit(id, &sealed, Some(&end)), Ok(with));
        }
    }
    for outcome in outcomes {
        let sealed = encode_audit_outcome(id, outcome).unwrap();
        ends.push(unseal(Slot::AuditOutcome(id), &sealed).unwrap().to_vec());
    }
    golden("audit", &entries.join(&b'\n'));
    golden("audit_outcome", &ends.join(&b'\n'));
}

#[test]
fn the_envelope_never_changes() {
    let sealed = seal(Slot::Event(ChatId::from_u128(1), 2), b"{}");
    let hex: String = sealed.iter().map(|byte| format!("{byte:02x}")).collect();
    golden("envelope", format!("\"{hex}\"").as_bytes());
    assert!(hex.ends_with("02007b7d"), "version 2, then the body: {hex}");
}

#[test]
fn a_record_out_of_its_place_is_damaged() {
    let (chat, event) = (ChatId::from_u128(1), samples().remove(0));
    let recorded = Recorded { seq: 5, at: Timestamp(1), event, names: names() };
    let sealed = encode_event(chat, &recorded).unwrap();
    for (chat, seq) in [(chat, 6), (ChatId::from_u128(2), 5)] {
        let read = decode_event(chat, seq, &sealed);
        assert!(matches!(read, Err(RecordError::Damaged { .. })), "{read:?}");
    }
}

#[test]
fn a_document_fits_its_kind_its_id_and_its_version_and_no_others() {
    let sealed = seal(Slot::Document("queue", "a1", 3), b"{}");
    assert_eq!(unseal(Slot::Document("queue", "a1", 3), &sealed), Ok(&b"{}"[..]));
    for (kind, id, version) in
        [("queue", "a1", 2), ("queue", "a1", 4), ("queue", "a2", 3), ("user", "a1", 3)]
    {
        let read = unseal(Slot::Document(kind, id, version), &sealed);
        assert!(matches!(read, Err(RecordError::Damaged { .. })), "{kind} {id} {version}");
    }
    let read = unseal(Slot::Document("queuea", "1", 3), &sealed);
    assert!(matches!(read, Err(RecordError::Damaged { .. })), "two places run together");
}

#[test]
fn a_text_that_would_be_refused_today_can_still_be_read() {
    let chat = ChatId::from_u128(1);
    let text = MessageText::kept("\u{200b}").unwrap();
    let event = ChatEvent::Message { from: Party::System, id: CommandId::new("m").unwrap(), text };
    let recorded = Recorded { seq: 3, at: Timestamp(1), event, names: Default::default() };
    let sealed = encode_event(chat, &recorded).unwrap();
    assert_eq!(decode_event(chat, 3, &sealed).unwrap(), recorded);
}

#[test]
fn a_newer_record_is_refused_as_newer_and_an_unknown_field_as_damaged() {
    let (chat, slot) = (ChatId::from_u128(1), Slot::Event(ChatId::from_u128(1), 1));
    let body =
        br#"{"at":1,"event":{"continued_in":{"chat":"00000000-0000-0000-0000-000000000002"}}}"#;
    assert!(decode_event(chat, 1, &seal(slot, body)).is_ok());
    let newer = decode_event(chat, 1, &seal_as(slot, FORMAT_VERSION + 1, body));
    assert!(matches!(newer, Err(RecordError::Newer { found: 3, .. })), "{newer:?}");
    let more = body.strip_suffix(b"}").map(|body| [body, br#","mood":"my secret"}"#].concat());
    let unknown = decode_event(chat, 1, &seal(slot, &more.unwrap())).unwrap_err();
    assert!(matches!(unknown, RecordError::Damaged { .. }));
    assert!(!unknown.to_string().contains("secret"), "{unknown}");
    let text = newer.unwrap_err().to_string();
    // What a release says that reads one format less than this one.
    assert!(text.contains("has format 3, this release reads up to 2: run the release"), "{text}");
}
