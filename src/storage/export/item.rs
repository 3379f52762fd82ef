//! Between what a store holds and the lines of a stream. Records travel as the JSON that they are
//! stored as, without their envelope; which record it is, which the checksum of the envelope covers, is in the line.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::domain::audit::{AuditEntry, AuditId};
use crate::domain::operator::OperatorRecord;
use crate::domain::{
    ChannelId, ChatId, CommandId, Customer, CustomerId, Party, Recorded, Seq, UserId,
};
use crate::storage::record::{self, Slot};
use crate::storage::{Conversation, Document, OpenChat, StoreError, Watermark};

use super::ExportError;
use super::stream::{ConversationItem, DamagedItem, DocumentItem, Item, LogItem};

/// Why a line cannot be taken; without what it says.
pub(super) type Refusal = String;

/// The JSON within a sealed record.
fn body(slot: Slot<'_>, sealed: &[u8]) -> Result<Box<RawValue>, ExportError> {
    let body = record::unseal(slot, sealed).map_err(StoreError::from)?;
    let text = String::from_utf8(body.to_vec()).map_err(ExportError::unwritable)?;
    RawValue::from_string(text).map_err(ExportError::unwritable)
}

/// The sealed record around JSON of this version of records.
fn sealed(slot: Slot<'_>, records: u16, body: &RawValue) -> Vec<u8> {
    record::seal_as(slot, records, body.get().as_bytes())
}

pub(super) fn document(kind: &str, document: &Document) -> Item {
    let Document { id, version, body } = document;
    let body = STANDARD.encode(body);
    Item::Document(DocumentItem { kind: kind.to_owned(), id: id.clone(), version: *version, body })
}

pub(super) fn read_document(item: &DocumentItem) -> Result<Document, Refusal> {
    let body = STANDARD.decode(&item.body).map_err(|_| "its body is not in Base64".to_owned())?;
    Ok(Document { id: item.id.clone(), version: item.version, body })
}

pub(super) fn operator(user: UserId, found: &OperatorRecord) -> Result<Item, ExportError> {
    let slot = Slot::Operator(user);
    let found = record::encode_operator(user, found).map_err(StoreError::from)?;
    Ok(Item::Operator { operator: user.0, record: body(slot, &found)? })
}

pub(super) fn read_operator(
    user: UserId,
    records: u16,
    body: &RawValue,
) -> Result<OperatorRecord, Refusal> {
    let sealed = sealed(Slot::Operator(user), records, body);
    record::decode_operator(user, &sealed).map_err(|error| error.to_string())
}

pub(super) fn conversation(of: &Conversation) -> Item {
    let commands = of.commands.iter().map(|(id, chat)| (id.as_str().to_owned(), chat.0));
    Item::Conversation(ConversationItem {
        channel: of.customer.channel.0,
        customer: of.customer.id.0,
        latest: of.latest.0,
        commands: commands.collect(),
    })
}

pub(super) fn read_conversation(item: &ConversationItem) -> Result<Conversation, Refusal> {
    let command = |(id, chat): &(String, Uuid)| {
        let id = CommandId::new(id).map_err(|error| error.to_string())?;
        Ok::<_, Refusal>((id, ChatId(*chat)))
    };
    let commands = item.commands.iter().map(command).collect::<Result<Vec<_>, _>>();
    Ok(Conversation {
        customer: Customer { channel: ChannelId(item.channel), id: CustomerId(item.customer) },
        latest: ChatId(item.latest),
        commands: commands?,
    })
}

/// Events that follow one another, at least one.
pub(super) fn log(
    chat: ChatId,
    first: Seq,
    events: &[Recorded],
    last: bool,
) -> Result<LogItem, ExportError> {
    let records = events.iter().map(|event| {
        let slot = Slot::Event(chat, event.seq);
        body(slot, &record::encode_event(chat, event).map_err(StoreError::from)?)
    });
    let records = records.collect::<Result<_, ExportError>>()?;
    Ok(LogItem { chat: chat.0, first, last, records })
}

/// What can be read of a chat that is damaged.
pub(super) fn damaged(
    chat: ChatId,
    why: &str,
    events: &[Recorded],
) -> Result<DamagedItem, ExportError> {
    let records = events.iter().map(|event| {
        let slot = Slot::Event(chat, event.seq);
        let sealed = record::encode_event(chat, event).map_err(StoreError::from)?;
        Ok((event.seq, body(slot, &sealed)?))
    });
    let records = records.collect::<Result<_, ExportError>>()?;
    Ok(DamagedItem { chat: chat.0, why: why.to_owned(), records })
}

pub(super) fn read_log(item: &LogItem, records: u16) -> Result<Vec<Recorded>, Refusal> {
    let chat = ChatId(item.chat);
    if item.records.is_empty() || item.first.checked_add(item.records.len() as u64).is_none() {
        return Err(format!("the events of chat {chat} are not numbered"));
    }
    let events = (item.first..).zip(&item.records).map(|(seq, body)| {
        let sealed = sealed(Slot::Event(chat, seq), records, body);
        record::decode_event(chat, seq, &sealed).map_err(|error| error.to_string())
    });
    events.collect()
}

pub(super) fn watermarks(chat: ChatId, watermarks: &BTreeMap<Party, Watermark>) -> Item {
    let watermarks = watermarks
        .iter()
        .map(|(who, watermark)| (party(*who), watermark.delivered, watermark.read));
    Item::Watermarks { chat: chat.0, watermarks: watermarks.collect() }
}

pub(super) fn read_watermarks(
    watermarks: &[(String, Seq, Seq)],
) -> Result<BTreeMap<Party, Watermark>, Refusal> {
    let watermarks = watermarks.iter().map(|(who, delivered, read)| {
        let who = read_party(who).ok_or_else(|| "a watermark of nobody".to_owned())?;
        Ok((who, Watermark::of(*delivered, *read)))
    });
    watermarks.collect()
}

pub(super) fn open_chat(row: &OpenChat) -> Result<Item, ExportError> {
    let found = record::encode_open_chat(row).map_err(StoreError::from)?;
    let moving = row.moving.map(|moving| {
        let sealed = record::encode_moving(row.chat, moving).map_err(StoreError::from)?;
        body(Slot::Moving(row.chat), &sealed)
    });
    let record = body(Slot::OpenChat(row.chat), &found)?;
    Ok(Item::OpenChat { chat: row.chat.0, record, moving: moving.transpose()? })
}

pub(super) fn read_open_chat(
    chat: ChatId,
    records: u16,
    body: &RawValue,
    moving: Option<&RawValue>,
) -> Result<OpenChat, Refusal> {
    let row = sealed(Slot::OpenChat(chat), records, body);
    let moving = moving.map(|body| sealed(Slot::Moving(chat), records, body));
    record::decode_open_chat(chat, &row, moving.as_deref()).map_err(|error| error.to_string())
}

pub(super) fn audit(entry: &AuditEntry) -> Result<Item, ExportError> {
    let sealed = record::encode_audit(entry).map_err(StoreError::from)?;
    let outcome = entry.outcome.map(|outcome| {
        let sealed = record::encode_audit_outcome(entry.id, outcome).map_err(StoreError::from)?;
        body(Slot::AuditOutcome(entry.id), &sealed)
    });
    let record = body(Slot::Audit(entry.id), &sealed)?;
    Ok(Item::Audit { id: entry.id.to_string(), record, outcome: outcome.transpose()? })
}

pub(super) fn read_audit(
    id: &str,
    records: u16,
    body: &RawValue,
    outcome: Option<&RawValue>,
) -> Result<AuditEntry, Refusal> {
    let id =
        AuditId::parse(id).ok_or_else(|| "an entry of the audit trail has no id".to_owned())?;
    let entry = sealed(Slot::Audit(id), records, body);
    let outcome = outcome.map(|body| sealed(Slot::AuditOutcome(id), records, body));
    record::decode_audit(id, &entry, outcome.as_deref()).map_err(|error| error.to_string())
}

const CUSTOMER: &str = "customer:";
const USER: &str = "user:";
const SYSTEM: &str = "system";

fn party(who: Party) -> String {
    match who {
        Party::Customer(id) => format!("{CUSTOMER}{id}"),
        Party::User(id) => format!("{USER}{id}"),
        Party::System => SYSTEM.to_owned(),
    }
}

fn read_party(text: &str) -> Option<Party> {
    let id = |kind| text.strip_prefix(kind).and_then(|id| id.parse().ok());
    let customer = id(CUSTOMER).map(|id| Party::Customer(CustomerId(id)));
    let user = || id(USER).map(|id| Party::User(UserId(id)));
    customer.or_else(user).or_else(|| (text == SYSTEM).then_some(Party::System))
}

/// The hash of an item that is one line.
pub(super) fn hash(item: &Item) -> Result<Sha256, ExportError> {
    let text = serde_json::to_vec(item).map_err(ExportError::unwritable)?;
    Ok(Sha256::new_with_prefix(text))
}

/// The hash of a chat, which may have several lines: its id and its records, one after the other.
#[derive(Default)]
pub(super) struct LogHash(Option<(Sha256, Seq)>);

impl LogHash {
    /// Adds a line of a chat; answers the chat's hash with its number of events after its last
    /// line. Errors when the line does not follow the one before.
    pub fn add(&mut self, item: &LogItem) -> Result<Option<(Sha256, Seq)>, Refusal> {
        let begin = || (Sha256::new_with_prefix(item.chat.as_bytes()), 0);
        let (mut hash, mut events) = self.0.take().unwrap_or_else(begin);
        if item.first != events + 1 {
            return Err(format!("event {} of chat {} is not here", events + 1, item.chat));
        }
        for record in &item.records {
            hash.update(record.get());
            hash.update("\n");
        }
        events += item.records.len() as u64;
        if item.last {
            return Ok(Some((hash, events)));
        }
        self.0 = Some((hash, events));
        Ok(None)
    }

    /// Whether no chat is under way.
    pub fn is_done(&self) -> bool {
        self.0.is_none()
    }
}
