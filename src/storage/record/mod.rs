//! The stored encoding of what the ports carry: one format for every adapter.
//!
//! Owns the bytes of a record: an envelope with a format version and a checksum around a JSON
//! body. Refuses to read what is damaged or newer, and never guesses: a field that it does not
//! know is an error, since to drop it would be to lose it. The domain knows nothing of this.
//!
//! Invariants:
//! - The envelope (`crc32c`, 4 bytes; `version`, 2 bytes; both little-endian; then the body) is
//!   the same in every version, so that every release can tell damage from news.
//! - The checksum covers the version, the body and which record it is (which chat, which
//!   position): a record that turns up somewhere else is damaged too.
//! - What was written stays readable. `tests/golden/record` holds a file for every kind; a change
//!   that alters one needs a new version here and a reader for the old.

mod audit;
mod event;
mod history;
mod party;
#[cfg(test)]
mod roundtrip_tests;
mod rows;
#[cfg(test)]
mod tests;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::audit::{AuditEntry, AuditId, AuditOutcome};
use crate::domain::operator::OperatorRecord;
use crate::domain::{ChannelId, ChatId, Party, Recorded, Seq, UserId};
use crate::storage::{EndedChat, HistoryPoint, HistoryRow, Moving, OpenChat, StoreError};

#[cfg(test)]
pub(crate) use roundtrip_tests::event as any_event;

use audit::{AuditOutcomeRecord, AuditRecord};
use event::RecordedRecord;
use history::HistoryRecord;
use rows::{EndedChatRecord, MovingRecord, OpenChatRecord, OperatorStoredRecord};

/// The version that this release writes, and the newest that it reads. In 2 a chat knows what the
/// latest token of its customer says: name, priority and when it was issued; and an event has the
/// names of those in it. A record of 1 lacks
/// these, and is read as one that does not know them.
pub const FORMAT_VERSION: u16 = 2;

/// Bytes of the envelope in front of the body.
const ENVELOPE_BYTES: usize = 6;

/// Bytes of the checksum at its very front.
const CHECKSUM_BYTES: usize = 4;

/// Why stored bytes cannot be understood. None of the texts shows what a record says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes are not those that were written.
    #[error("{which} is damaged: {what}")]
    Damaged {
        /// Which record.
        which: String,
        /// What is wrong with it.
        what: String,
    },
    /// A newer release wrote it.
    #[error(
        "{which} has format {found}, this release reads up to {FORMAT_VERSION}: \
         run the release that wrote it, or a newer one"
    )]
    Newer {
        /// Which record.
        which: String,
        /// Its version.
        found: u16,
    },
    /// It cannot be written; only a value that the domain would refuse can cause this.
    #[error("{which} cannot be encoded: {what}")]
    Unwritable {
        /// Which record.
        which: String,
        /// What is wrong with it.
        what: String,
    },
}

impl From<RecordError> for StoreError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Damaged { .. } | RecordError::Newer { .. } => {
                Self::Damaged { reason: error.to_string() }
            }
            RecordError::Unwritable { .. } => Self::Unavailable { reason: error.to_string() },
        }
    }
}

/// Where a record belongs; part of its checksum, and what errors call it.
#[derive(Debug, Clone, Copy)]
pub enum Slot<'a> {
    /// A position of a chat's log.
    Event(ChatId, Seq),
    /// A chat's row among the open ones.
    OpenChat(ChatId),
    /// That row's mark.
    Moving(ChatId),
    /// A chat's row among those of its channel that have ended.
    EndedChat(ChannelId, ChatId),
    /// A chat's row in the history.
    History(HistoryPoint),
    /// An operator's record.
    Operator(UserId),
    /// A document of a kind, with its version.
    Document(&'a str, &'a str, u64),
    /// An entry of the audit trail.
    Audit(AuditId),
    /// What became of that act.
    AuditOutcome(AuditId),
}

impl Slot<'_> {
    fn checksum(self, crc: u32) -> u32 {
        let add = crc32c::crc32c_append;
        let id = |crc, tag: u8, id: &uuid::Uuid| add(add(crc, &[tag]), id.as_bytes());
        match self {
            Self::Event(chat, seq) => add(id(crc, 1, &chat.0), &seq.to_le_bytes()),
            Self::OpenChat(chat) => id(crc, 2, &chat.0),
            Self::Moving(chat) => id(crc, 3, &chat.0),
            Self::Operator(user) => id(crc, 4, &user.0),
            Self::Document(kind, name, version) => {
                // Lengths come first, so that no two run together into the same bytes.
                let crc = add(add(crc, &[5]), &(kind.len() as u64).to_le_bytes());
                let crc = add(add(crc, kind.as_bytes()), name.as_bytes());
                add(crc, &version.to_le_bytes())
            }
            Self::Audit(id) => add(add(crc, &[6]), &id.key()),
            Self::AuditOutcome(id) => add(add(crc, &[7]), &id.key()),
            Self::EndedChat(channel, chat) => add(id(crc, 8, &channel.0), chat.0.as_bytes()),
            Self::History(place) => add(id(crc, 9, &place.chat.0), &place.started.0.to_le_bytes()),
        }
    }
}

impl std::fmt::Display for Slot<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Event(chat, seq) => write!(f, "event {seq} of chat {chat}"),
            Self::OpenChat(chat) => write!(f, "the open-chats row of chat {chat}"),
            Self::Moving(chat) => write!(f, "the mark of chat {chat}"),
            Self::EndedChat(_, chat) => write!(f, "the ended-chats row of chat {chat}"),
            Self::History(place) => write!(f, "the history row of chat {}", place.chat),
            Self::Operator(user) => write!(f, "the record of operator {user}"),
            Self::Document(kind, id, version) => {
                write!(f, "version {version} of the document {kind}/{id}")
            }
            Self::Audit(id) => write!(f, "entry {id} of the audit trail"),
            Self::AuditOutcome(id) => write!(f, "the outcome of entry {id} of the audit trail"),
        }
    }
}

/// Puts the envelope around a body.
pub fn seal(slot: Slot<'_>, body: &[u8]) -> Vec<u8> {
    seal_as(slot, FORMAT_VERSION, body)
}

/// Like [`seal`], in the name of any version; tests play a newer release with it.
pub fn seal_as(slot: Slot<'_>, version: u16, body: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(ENVELOPE_BYTES + body.len());
    sealed.extend_from_slice(&[0; CHECKSUM_BYTES]);
    sealed.extend_from_slice(&version.to_le_bytes());
    sealed.extend_from_slice(body);
    let crc = slot.checksum(crc32c::crc32c(&sealed[CHECKSUM_BYTES..]));
    sealed[..CHECKSUM_BYTES].copy_from_slice(&crc.to_le_bytes());
    sealed
}

/// Checks the envelope and answers the body. Errors when the checksum does not fit the bytes and
/// that record, or when a newer release wrote it.
pub fn unseal<'a>(slot: Slot<'_>, sealed: &'a [u8]) -> Result<&'a [u8], RecordError> {
    let damaged = |what: String| RecordError::Damaged { which: slot.to_string(), what };
    let Some((crc, covered)) = sealed.split_first_chunk::<CHECKSUM_BYTES>() else {
        return Err(damaged(format!("{} bytes are too few", sealed.len())));
    };
    let Some((version, body)) = covered.split_first_chunk::<2>() else {
        return Err(damaged(format!("{} bytes are too few", sealed.len())));
    };
    let (stored, computed) = (u32::from_le_bytes(*crc), slot.checksum(crc32c::crc32c(covered)));
    if stored != computed {
        return Err(damaged(format!(
            "its checksum is {stored:08x}, its bytes make {computed:08x}"
        )));
    }
    match u16::from_le_bytes(*version) {
        0 => Err(damaged("format 0 was never written".to_owned())),
        1..=FORMAT_VERSION => Ok(body),
        found => Err(RecordError::Newer { which: slot.to_string(), found }),
    }
}

/// As [`unseal`], of a listing, which goes on behind what is damaged. Errors with what a newer release
/// wrote.
pub(super) fn listed_body(
    slot: Slot<'_>,
    sealed: &[u8],
) -> Result<Result<Vec<u8>, StoreError>, RecordError> {
    match unseal(slot, sealed) {
        Ok(body) => Ok(Ok(body.to_vec())),
        Err(error @ RecordError::Damaged { .. }) => Ok(Err(error.into())),
        Err(error @ (RecordError::Newer { .. } | RecordError::Unwritable { .. })) => Err(error),
    }
}

/// Room for the body of most records, so that it grows once: one of a message of 120 bytes has some 250.
const MOST_BODIES_BYTES: usize = 512;

fn encode<T: Serialize>(slot: Slot<'_>, record: &T) -> Result<Vec<u8>, RecordError> {
    let mut body = Vec::with_capacity(MOST_BODIES_BYTES);
    serde_json::to_writer(&mut body, record).map_err(|error| RecordError::Unwritable {
        which: slot.to_string(),
        what: error.to_string(),
    })?;
    Ok(seal(slot, &body))
}

fn decode<T: DeserializeOwned>(slot: Slot<'_>, sealed: &[u8]) -> Result<T, RecordError> {
    serde_json::from_slice(unseal(slot, sealed)?).map_err(|error| {
        // serde's own text may quote a value, and values are what customers wrote.
        let what =
            format!("its body is no record (byte {} of line {})", error.column(), error.line());
        RecordError::Damaged { which: slot.to_string(), what }
    })
}

/// A value that was read but that the domain refuses.
fn refused(slot: Slot<'_>, error: impl std::fmt::Display) -> RecordError {
    RecordError::Damaged { which: slot.to_string(), what: error.to_string() }
}

/// The stored form of one event of a chat.
pub fn encode_event(chat: ChatId, recorded: &Recorded) -> Result<Vec<u8>, RecordError> {
    encode(Slot::Event(chat, recorded.seq), &RecordedRecord::from(recorded))
}

/// Reads the event that stands at `seq` in the log of `chat`.
pub fn decode_event(chat: ChatId, seq: Seq, sealed: &[u8]) -> Result<Recorded, RecordError> {
    let slot = Slot::Event(chat, seq);
    let record: RecordedRecord = decode(slot, sealed)?;
    record.into_domain(seq).map_err(|error| refused(slot, error))
}

/// The stored form of an open chat, without its mark, which changes on its own.
pub fn encode_open_chat(row: &OpenChat) -> Result<Vec<u8>, RecordError> {
    encode(Slot::OpenChat(row.chat), &OpenChatRecord::from(row))
}

/// Reads a row with its mark.
pub fn decode_open_chat(
    chat: ChatId,
    sealed: &[u8],
    mark: Option<&[u8]>,
) -> Result<OpenChat, RecordError> {
    let slot = Slot::OpenChat(chat);
    let record: OpenChatRecord = decode(slot, sealed)?;
    let moving = mark.map(|mark| decode::<MovingRecord>(Slot::Moving(chat), mark));
    record
        .into_domain(chat, moving.transpose()?.map(Moving::from))
        .map_err(|error| refused(slot, error))
}

/// The stored form of a mark.
pub fn encode_moving(chat: ChatId, moving: Moving) -> Result<Vec<u8>, RecordError> {
    encode(Slot::Moving(chat), &MovingRecord::from(moving))
}

/// The stored form of a chat that has ended.
pub fn encode_ended_chat(ended: &EndedChat) -> Result<Vec<u8>, RecordError> {
    let slot = Slot::EndedChat(ended.customer.channel, ended.chat);
    encode(slot, &EndedChatRecord::from(ended))
}

/// Reads the row of a chat that has ended.
pub fn decode_ended_chat(
    channel: ChannelId,
    chat: ChatId,
    sealed: &[u8],
) -> Result<EndedChat, RecordError> {
    let record: EndedChatRecord = decode(Slot::EndedChat(channel, chat), sealed)?;
    Ok(record.into_domain(channel, chat))
}

/// The stored form of a row of the history, but for its place.
pub fn encode_history(row: &HistoryRow) -> Result<Vec<u8>, RecordError> {
    encode(Slot::History(row.place()), &HistoryRecord::from(row))
}

/// Reads the row of the history that stands at this place.
pub fn decode_history(place: HistoryPoint, sealed: &[u8]) -> Result<HistoryRow, RecordError> {
    let slot = Slot::History(place);
    let record: HistoryRecord = decode(slot, sealed)?;
    record.into_domain(place).map_err(|error| refused(slot, error))
}

/// The stored form of an operator's record.
pub fn encode_operator(user: UserId, record: &OperatorRecord) -> Result<Vec<u8>, RecordError> {
    encode(Slot::Operator(user), &OperatorStoredRecord::from(record))
}

/// Reads the record of `user`.
pub fn decode_operator(user: UserId, sealed: &[u8]) -> Result<OperatorRecord, RecordError> {
    let slot = Slot::Operator(user);
    let record: OperatorStoredRecord = decode(slot, sealed)?;
    record.into_domain().map_err(|error| refused(slot, error))
}

/// The stored form of an entry of the audit trail, without its outcome, which comes later.
pub fn encode_audit(entry: &AuditEntry) -> Result<Vec<u8>, RecordError> {
    encode(Slot::Audit(entry.id), &AuditRecord::from(entry))
}

/// Reads an entry with its outcome, if it has one yet.
pub fn decode_audit(
    id: AuditId,
    sealed: &[u8],
    outcome: Option<&[u8]>,
) -> Result<AuditEntry, RecordError> {
    let slot = Slot::Audit(id);
    let record: AuditRecord = decode(slot, sealed)?;
    let outcome =
        outcome.map(|sealed| decode::<AuditOutcomeRecord>(Slot::AuditOutcome(id), sealed));
    let outcome = outcome.transpose()?.map(AuditOutcome::from);
    record.into_domain(id, outcome).map_err(|error| refused(slot, error))
}

/// The stored form of what became of an act.
pub fn encode_audit_outcome(id: AuditId, outcome: AuditOutcome) -> Result<Vec<u8>, RecordError> {
    encode(Slot::AuditOutcome(id), &AuditOutcomeRecord::from(outcome))
}

/// The stored key of a party: a tag, then the 16 bytes of the id, if it has one.
pub fn encode_party(party: Party) -> Vec<u8> {
    party::key(party)
}

/// Reads the key of a party; none when it is no such key.
pub fn decode_party(key: &[u8]) -> Option<Party> {
    party::from_key(key)
}
