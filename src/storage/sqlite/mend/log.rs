//! The log and its index: every row that can be read, in its order; and of what cannot be read at
//! least the chat whose it was, so that no chat goes on as if it had never been.

use std::collections::{BTreeMap, HashMap};

use rusqlite::Connection;

use crate::domain::{ChatEvent, ChatId, Seq};
use crate::storage::record::{self, RecordError};

use super::super::damage::{is_damage, is_failing_page};
use super::super::limits::{HOLE_MAX, MEND_FOLD_EVENTS};
use super::super::log_rows::LogRows;
use super::super::recent::{Entry, Position, Recent};
use super::super::sql::{self, LOST, ReadError};
use super::MendError;

/// What became of the log.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct LogFound {
    /// Chats of which events are lost or damaged, with how many.
    pub damaged: BTreeMap<ChatId, u64>,
    /// Rows that are lost and belong to nobody known.
    pub unknown_rows: u64,
    /// Whether rows may be lost at the end of which nothing tells.
    pub end_unknown: bool,
}

/// Copies the log from a damaged database into a new one, whose index it makes.
pub(super) struct LogCopy<'a> {
    from: &'a Connection,
    /// Reads pages that do not fit their checksums: each record tells by itself whether it is whole.
    raw: &'a Connection,
    /// Whether no row can have vanished from such a page; unknown until one has failed.
    sound: Option<bool>,
    to: &'a Connection,
    /// Positions of the new log have no holes.
    last: Position,
    batch: Vec<Entry>,
    /// The ends of the chats in the batch.
    tails: HashMap<ChatId, Seq>,
    lost_rows: u64,
    lost_events: u64,
    /// Chats were forgotten: where their rows were are holes in which nothing is lost.
    holes: bool,
    found: LogFound,
    /// Whether the customers' conversations are to be taken from the log.
    conversations: bool,
}

type LogRow = (Entry, Vec<u8>);

impl<'a> LogCopy<'a> {
    /// From a connection that verifies pages and one that reads them as they are.
    pub fn new(
        (from, raw): (&'a Connection, &'a Connection),
        to: &'a Connection,
        conversations: bool,
    ) -> Self {
        Self {
            from,
            raw,
            sound: None,
            to,
            last: 0,
            batch: Vec::new(),
            tails: HashMap::new(),
            lost_rows: 0,
            lost_events: 0,
            holes: false,
            found: LogFound::default(),
            conversations,
        }
    }

    /// All of it.
    pub fn run(mut self) -> Result<LogFound, MendError> {
        self.holes = sql::any_forgotten(self.to)?;
        // The index was made from rows that were there.
        let folded = sql::counter(self.to, "folded")?;
        self.to.execute_batch("BEGIN")?;
        let at = self.rows()?;
        self.end(at, folded)?;
        self.fold()?;
        self.what_the_index_knows()?;
        self.fold()?;
        self.to.execute_batch("COMMIT")?;
        self.found.unknown_rows = self.lost_rows.saturating_sub(self.lost_events);
        Ok(self.found)
    }

    /// Every row that can be read; answers the position of the last one.
    fn rows(&mut self) -> Result<Position, MendError> {
        let mut at = 0;
        while !self.range(&mut at)? {
            let Some(row) = self.behind_the_damage(at)? else { break };
            self.arrived(&mut at, row)?;
        }
        Ok(at)
    }

    /// Rows in their order until one cannot be read; answers whether that was the end.
    fn range(&mut self, at: &mut Position) -> Result<bool, MendError> {
        let from = self.from;
        let text =
            "SELECT position, chat, seq, record FROM log WHERE position > ? ORDER BY position";
        let mut statement = match from.prepare_cached(text) {
            Err(error) if is_damage(&error) => return Ok(false),
            prepared => prepared?,
        };
        let mut rows = statement.query([*at])?;
        loop {
            let row = match rows.next() {
                Err(error) if is_damage(&error) => return Ok(false),
                row => row?,
            };
            let Some(row) = row else { return Ok(true) };
            // One that cannot be read leaves a hole, and that is counted when the next one comes.
            if let Some(row) = read_row(row) {
                self.arrived(at, row)?;
            }
        }
    }

    /// The next row that can be read by itself.
    fn behind_the_damage(&mut self, at: Position) -> Result<Option<LogRow>, MendError> {
        let mut unreadable = 0;
        for position in at + 1..=at + HOLE_MAX {
            match self.row(position)? {
                Row::None => {}
                Row::Unreadable => unreadable += 1,
                Row::Read(row) => {
                    // Without holes they are counted by their positions.
                    self.lost_rows += if self.holes { unreadable } else { 0 };
                    return Ok(Some(row));
                }
            }
        }
        Ok(None)
    }

    /// What is at a position, also on a page that does not fit its checksum.
    fn row(&mut self, position: Position) -> Result<Row, MendError> {
        match read_at(self.from, position) {
            Err(error) if is_failing_page(&error) => {}
            Err(error) if is_damage(&error) => return Ok(Row::Unreadable),
            read => return Ok(read?),
        }
        match read_at(self.raw, position) {
            Err(error) if is_damage(&error) => Ok(Row::Unreadable),
            // It may have been there.
            Ok(Row::None) if !self.is_sound()? => Ok(Row::Unreadable),
            read => Ok(read?),
        }
    }

    /// Whether SQLite finds the pages of the log in order, so that none of them hides a row: every byte of
    /// a page belongs to a row or is said to be free.
    fn is_sound(&mut self) -> Result<bool, MendError> {
        if let Some(sound) = self.sound {
            return Ok(sound);
        }
        let found =
            self.raw.query_row("PRAGMA quick_check(log)", (), |row| row.get::<_, String>(0));
        let sound = match found {
            Ok(found) => found == "ok",
            Err(error) if is_damage(&error) => false,
            Err(error) => return Err(error.into()),
        };
        self.sound = Some(sound);
        Ok(sound)
    }

    fn arrived(&mut self, at: &mut Position, (entry, sealed): LogRow) -> Result<(), MendError> {
        let hole = entry.position - *at - 1;
        // Such a position is a damaged one itself; the row's true place is a hole.
        if !(0..HOLE_MAX).contains(&hole) {
            return Ok(());
        }
        self.lost_rows += if self.holes { 0 } else { hole.unsigned_abs() };
        *at = entry.position;
        self.take(entry, &sealed)
    }

    /// What is missing behind the last row.
    fn end(&mut self, at: Position, folded: Position) -> Result<(), MendError> {
        let last = match sql::last_position(self.from) {
            Err(error) if is_failing_page(&error) && self.is_sound()? => {
                sql::last_position(self.raw)
            }
            last => last,
        };
        let known = match last {
            Ok(last) => (0..HOLE_MAX).contains(&(last - at)).then_some(last),
            Err(error) if is_damage(&error) => None,
            Err(error) => return Err(error.into()),
        };
        self.found.end_unknown = known.is_none();
        if !self.holes {
            self.lost_rows += (known.unwrap_or(at).max(folded) - at).max(0).unsigned_abs();
        }
        Ok(())
    }

    fn take(&mut self, entry: Entry, sealed: &[u8]) -> Result<(), MendError> {
        let Entry { chat, seq, .. } = entry;
        // What is left of it is about to be removed.
        if self.holes && sql::is_forgotten(self.to, chat)? {
            return Ok(());
        }
        let tail = self.tail(chat)?;
        let read = record::decode_event(chat, seq, sealed);
        match &read {
            Ok(event) => {
                if seq <= tail || seq - tail > HOLE_MAX.unsigned_abs() {
                    self.lost_rows += 1;
                    return Ok(());
                }
                if self.conversations
                    && let ChatEvent::Opened { customer, command, .. } = &event.event
                {
                    let (channel, customer) =
                        (customer.channel.0.as_bytes(), customer.id.0.as_bytes());
                    sql::opened(self.to, channel, customer, command.as_str(), chat)?;
                }
            }
            // What a newer release wrote is whole, and nothing for this one to judge.
            Err(RecordError::Newer { .. }) => {
                let what = read.err().map(|error| error.to_string()).unwrap_or_default();
                return Err(MendError::Newer(what));
            }
            Err(RecordError::Damaged { .. } | RecordError::Unwritable { .. }) => {
                // Of whom it is cannot be trusted unless it goes on with that chat.
                if seq != tail + 1 {
                    self.lost_rows += 1;
                    return Ok(());
                }
                *self.found.damaged.entry(chat).or_default() += 1;
            }
        }
        self.lose(chat, tail + 1, seq)?;
        self.last += 1;
        let kept = Entry { chat, seq, position: self.last };
        sql::append(self.to, kept, sealed)?;
        self.add(kept)
    }

    /// The events from `first` to before `end` were there and are not.
    fn lose(&mut self, chat: ChatId, first: Seq, end: Seq) -> Result<(), MendError> {
        if first < end {
            *self.found.damaged.entry(chat).or_default() += end - first;
            self.lost_events += end - first;
        }
        for seq in first..end {
            self.add(Entry { chat, seq, position: LOST })?;
        }
        Ok(())
    }

    fn add(&mut self, entry: Entry) -> Result<(), MendError> {
        self.tails.insert(entry.chat, entry.seq);
        self.batch.push(entry);
        if self.batch.len() >= MEND_FOLD_EVENTS { self.fold() } else { Ok(()) }
    }

    fn tail(&self, chat: ChatId) -> Result<Seq, MendError> {
        match self.tails.get(&chat) {
            Some(tail) => Ok(*tail),
            None => {
                let log = LogRows { connection: self.to, unverified: None };
                Ok(sql::indexed_tail(log, chat)?)
            }
        }
    }

    fn fold(&mut self) -> Result<(), MendError> {
        let recent = Recent::default();
        // Each goes on with its chat: `take` and `lose` see to that.
        let added = recent.add(std::mem::take(&mut self.batch));
        debug_assert_eq!(added, Ok(()));
        sql::fold(self.to, &recent.sorted(), self.last)?;
        self.tails.clear();
        self.to.execute_batch("COMMIT; BEGIN")?;
        Ok(())
    }

    /// Ends of chats that the log has lost and the old index still knows.
    fn what_the_index_knows(&mut self) -> Result<(), MendError> {
        if self.lost_rows <= self.lost_events && !self.found.end_unknown {
            return Ok(());
        }
        let mut ends: BTreeMap<ChatId, Seq> = BTreeMap::new();
        for order in ["ASC", "DESC"] {
            let text = format!("SELECT chat FROM log_index ORDER BY chat {order}, first {order}");
            let mut statement = match self.from.prepare(&text) {
                Err(error) if is_damage(&error) => continue,
                prepared => prepared?,
            };
            let mut rows = statement.query(())?;
            loop {
                match rows.next() {
                    Err(error) if is_damage(&error) => break,
                    Err(error) => return Err(error.into()),
                    Ok(None) => break,
                    Ok(Some(row)) => {
                        if let Ok(chat) = sql::id(row, 0) {
                            ends.insert(ChatId(chat), 0);
                        }
                    }
                }
            }
        }
        for chat in ends.into_keys() {
            if self.holes && sql::is_forgotten(self.to, chat)? {
                continue;
            }
            let tail = self.tail(chat)?;
            let known = match sql::indexed(self.from, chat, tail + 1, Seq::MAX, HOLE_MAX as usize) {
                Err(ReadError::Sqlite(error)) if !is_damage(&error) => return Err(error.into()),
                Err(_) => continue,
                Ok(known) => known,
            };
            // What stands at such a position would have been taken, if it were this event.
            let numbered = known
                .iter()
                .zip(tail + 1..)
                .take_while(|((seq, at), next)| seq == next && *at != LOST);
            let lost = numbered.count() as u64;
            self.lose(chat, tail + 1, tail + 1 + lost)?;
        }
        Ok(())
    }
}

/// What is at a position of the log.
enum Row {
    Read(LogRow),
    /// Nothing, and nothing has been since the chat that had it was forgotten.
    None,
    /// Something that cannot be read, or perhaps something.
    Unreadable,
}

fn read_at(connection: &Connection, position: Position) -> rusqlite::Result<Row> {
    let text = "SELECT position, chat, seq, record FROM log WHERE position = ?";
    let mut statement = connection.prepare_cached(text)?;
    let mut rows = statement.query([position])?;
    Ok(match rows.next()? {
        None => Row::None,
        Some(row) => read_row(row).map_or(Row::Unreadable, Row::Read),
    })
}

/// The row, if its place and chat can be read; its record may be lost.
fn read_row(row: &rusqlite::Row<'_>) -> Option<LogRow> {
    let entry = Entry {
        position: row.get(0).ok()?,
        chat: ChatId(sql::id(row, 1).ok()?),
        seq: row.get::<_, Seq>(2).ok().filter(|seq| *seq > 0)?,
    };
    Some((entry, row.get(3).unwrap_or_default()))
}
