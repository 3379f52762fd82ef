//! The lines of a stream, an item each: JSON behind a running checksum. `docs/export.md` describes them for
//! others; a change here needs a new `FORMAT` and a reader of the old.

use std::io::{BufRead, Read, Write};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::ExportError;
use super::limits::LINE_MAX_BYTES;
use super::tally::Summary;

/// The format that this release writes, and the newest that it reads.
/// The second one added the audit trail, and names chats that are damaged.
pub(super) const FORMAT: u32 = 2;

/// Hexadecimal digits of the checksum at the front of a line, and the space after them.
const CHECKSUM_DIGITS: usize = 8;

/// What a line of a stream says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Item {
    Export(Header),
    Document(DocumentItem),
    Operator {
        operator: Uuid,
        record: Box<RawValue>,
    },
    Conversation(ConversationItem),
    Log(LogItem),
    Damaged(DamagedItem),
    Watermarks {
        chat: Uuid,
        #[serde(rename = "marks")]
        watermarks: Vec<(String, u64, u64)>,
    },
    OpenChat {
        chat: Uuid,
        record: Box<RawValue>,
        moving: Option<Box<RawValue>>,
    },
    Audit {
        id: String,
        record: Box<RawValue>,
        outcome: Option<Box<RawValue>>,
    },
    End(Summary),
}

/// The first line: what the stream is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Of the lines.
    pub format: u32,
    /// Of the records within them.
    pub records: u16,
    /// Which export it is; no other has the same.
    pub id: Uuid,
    /// When it was made, ms since 1970 in UTC.
    pub at: u64,
    /// Which release made it.
    pub release: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DocumentItem {
    pub kind: String,
    pub id: String,
    pub version: u64,
    /// Base64, as it may be anything.
    pub body: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConversationItem {
    pub channel: Uuid,
    pub customer: Uuid,
    pub latest: Uuid,
    pub commands: Vec<(String, Uuid)>,
}

/// Events of one chat from `first` on. The lines of a chat follow one another; the last has `last`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogItem {
    pub chat: Uuid,
    pub first: u64,
    pub last: bool,
    pub records: Vec<Box<RawValue>>,
}

/// A chat that cannot be copied, and those of its events that can be read; it may have several lines.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DamagedItem {
    pub chat: Uuid,
    pub why: String,
    /// Position and record.
    pub records: Vec<(u64, Box<RawValue>)>,
}

/// Writes lines, each behind the checksum of all JSON so far.
pub(super) struct Writer<W> {
    to: W,
    crc: u32,
}

impl<W: Write> Writer<W> {
    pub fn new(to: W) -> Self {
        Self { to, crc: 0 }
    }

    pub fn write(&mut self, item: &Item) -> Result<(), ExportError> {
        let text = serde_json::to_string(item).map_err(ExportError::unwritable)?;
        self.crc = crc32c::crc32c_append(self.crc, text.as_bytes());
        writeln!(self.to, "{:08x} {text}", self.crc).map_err(ExportError::io)
    }

    pub fn flush(&mut self) -> Result<(), ExportError> {
        self.to.flush().map_err(ExportError::io)
    }
}

/// Reads lines and holds each against its checksum.
pub(super) struct Reader<R> {
    from: R,
    crc: u32,
    /// Of the line last read; the first is 1.
    number: u64,
    /// Read so far.
    pub bytes: u64,
}

impl<R: BufRead> Reader<R> {
    pub fn new(from: R) -> Self {
        Self { from, crc: 0, number: 0, bytes: 0 }
    }

    /// The next line and its length in bytes; none at the end of the stream.
    pub fn next(&mut self) -> Result<Option<(Item, usize)>, ExportError> {
        let mut bytes = Vec::new();
        let mut limited = self.from.by_ref().take(LINE_MAX_BYTES);
        let length = limited.read_until(b'\n', &mut bytes).map_err(ExportError::io)?;
        if length == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.bytes += length as u64;
        let Some(text) = bytes.strip_suffix(b"\n") else {
            return Err(if length as u64 == LINE_MAX_BYTES {
                self.damaged("the line is longer than any that was ever written")
            } else if self.number == 1 {
                ExportError::NoExport
            } else {
                ExportError::CutOff { line: self.number }
            });
        };
        let item = self.parse(text)?;
        Ok(Some((item, length)))
    }

    fn parse(&mut self, text: &[u8]) -> Result<Item, ExportError> {
        let (stored, json) = text
            .split_at_checked(CHECKSUM_DIGITS)
            .and_then(|(digits, rest)| Some((digits, rest.strip_prefix(b" ")?)))
            .and_then(|(digits, json)| Some((std::str::from_utf8(digits).ok()?, json)))
            .and_then(|(digits, json)| Some((u32::from_str_radix(digits, 16).ok()?, json)))
            .ok_or_else(|| self.unlike("it does not begin with a checksum"))?;
        self.crc = crc32c::crc32c_append(self.crc, json);
        if self.crc != stored {
            return Err(self.unlike("its checksum does not fit, here or between here and there"));
        }
        // serde's own text may quote a value, and values are what customers wrote.
        serde_json::from_slice(json).map_err(|error| {
            let newer = serde_json::from_slice::<Peek>(json).ok();
            match newer.map(|peek| peek.export.format).filter(|format| *format > FORMAT) {
                Some(found) => ExportError::Newer { found, known: FORMAT },
                None => self.damaged(&format!("no line of an export (byte {})", error.column())),
            }
        })
    }

    /// The line just read is not what was written.
    pub fn damaged(&self, what: &str) -> ExportError {
        ExportError::Damaged { line: self.number, what: what.to_owned() }
    }

    /// There should be a further line.
    pub fn cut_off(&self) -> ExportError {
        ExportError::CutOff { line: self.number + 1 }
    }

    /// As [`damaged`](Self::damaged); but who fails at once was never an export.
    fn unlike(&self, what: &str) -> ExportError {
        if self.number == 1 { ExportError::NoExport } else { self.damaged(what) }
    }
}

/// Of a first line that a newer release wrote, what every release can read.
#[derive(Deserialize)]
struct Peek {
    export: PeekHeader,
}

#[derive(Deserialize)]
struct PeekHeader {
    format: u32,
}
