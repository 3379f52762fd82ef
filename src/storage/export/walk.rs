//! Everything that a store holds, once, as lines: what an export writes and what a verification
//! counts.

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::domain::audit::AuditId;
use crate::domain::{ChatId, Recorded};
use crate::storage::{
    Cursor, OperatorRecordError, Page, Store, StoreError, clock_trust, ended, feed, incarnation,
};

use super::limits::{CALLS_IN_FLIGHT, DAMAGED_IN_VAIN, LINE_EVENTS, PAGE_ITEMS, REPORT_ITEMS};
use super::stream::{DamagedItem, Item, LogItem};
use super::tally::{Section, Summary};
use super::{ExportError, IMPORT_KIND, Patience, Report, Stage, item};

/// What is read, and how patiently.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub store: &'a Store,
    pub patience: Patience,
    /// The entry of the audit trail that is left out: that of the import itself.
    pub but: Option<AuditId>,
}

impl<'a> Source<'a> {
    /// Reads something, again while the store does not answer.
    async fn read<T>(
        self,
        mut what: impl AsyncFnMut(&'a Store) -> Result<T, StoreError>,
    ) -> Result<T, ExportError> {
        self.patience.keep_trying(async || Ok(what(self.store).await?)).await
    }
}

/// Takes the lines; counts and sums them, and reports the progress.
struct Visit<'a> {
    sink: &'a mut (dyn FnMut(&Item) -> Result<(), ExportError> + Send),
    report: &'a mut dyn Report,
    stage: Stage,
    /// How many chats there are.
    chats: u64,
    log: item::LogHash,
    summary: Summary,
}

impl Visit<'_> {
    fn take(&mut self, section: Section, item: &Item) -> Result<(), ExportError> {
        self.summary.tally(section).add(item::hash(item)?);
        (self.sink)(item)
    }

    /// A line of a chat that cannot be copied.
    fn damaged(&mut self, item: DamagedItem) -> Result<(), ExportError> {
        self.summary.damaged.insert(item.chat);
        (self.sink)(&Item::Damaged(item))
    }

    fn take_log(&mut self, item: LogItem) -> Result<(), ExportError> {
        let differs = |what: String| ExportError::Store(StoreError::Damaged { reason: what });
        if let Some((hash, events)) = self.log.add(&item).map_err(differs)? {
            self.summary.tally(Section::Chats).add(hash);
            self.summary.events += events;
            let done = self.summary.count(Section::Chats);
            if done.is_multiple_of(REPORT_ITEMS) || done == self.chats {
                self.report.at(self.stage, done, self.chats);
            }
        }
        (self.sink)(&Item::Log(item))
    }
}

/// Goes through the store. `sink` gets every line but the first and the last of a stream. The
/// store must not change meanwhile.
pub(super) async fn walk(
    source: Source<'_>,
    stage: Stage,
    report: &mut dyn Report,
    sink: &mut (dyn FnMut(&Item) -> Result<(), ExportError> + Send),
) -> Result<Summary, ExportError> {
    let chats = count_chats(source, report).await?;
    let (log, summary) = Default::default();
    let mut visit = Visit { sink, report, stage, chats, log, summary };
    documents(source, &mut visit).await?;
    operators(source, &mut visit).await?;
    conversations(source, &mut visit).await?;
    logs(source, &mut visit).await?;
    watermarks(source, &mut visit).await?;
    open_chats(source, &mut visit).await?;
    audit(source, &mut visit).await?;
    visit.summary.process = source.read(async |store| store.inventory.last_process().await).await?;
    Ok(visit.summary)
}

/// How many chats there are: what "time left" is reckoned with.
async fn count_chats(source: Source<'_>, report: &mut dyn Report) -> Result<u64, ExportError> {
    let (mut count, mut at) = (0, None);
    loop {
        let page = source.read(async |store| store.inventory.chats(at.as_ref(), PAGE_ITEMS).await);
        let Page { items, next } = page.await?;
        count += items.len() as u64;
        report.at(Stage::Counting, count, 0);
        at = next;
        if at.is_none() {
            return Ok(count);
        }
    }
}

async fn documents(source: Source<'_>, visit: &mut Visit<'_>) -> Result<(), ExportError> {
    for kind in source.read(async |store| store.inventory.document_kinds().await).await? {
        // A copy begins an incarnation of its own, and is filled by whoever starts on it, on a clock of
        // its own.
        let own = [IMPORT_KIND, incarnation::KIND, ended::KIND, feed::POSITIONS, clock_trust::KIND];
        if own.contains(&kind.as_str()) {
            continue;
        }
        let mut after: Option<String> = None;
        loop {
            let found = source.read(async |store| {
                store.documents.list(&kind, after.as_deref(), PAGE_ITEMS).await
            });
            let found = found.await?;
            let Some(last) = found.last() else {
                break;
            };
            after = Some(last.id.clone());
            for listed in found {
                let named = format!("{kind}/{}", listed.id);
                match listed.document() {
                    Ok(document) => {
                        visit.take(Section::Documents, &item::document(&kind, &document))?;
                    }
                    Err(StoreError::Damaged { reason }) => {
                        tracing::error!(
                            document = named,
                            reason,
                            "a damaged document is not copied"
                        );
                        visit.summary.damaged_documents.insert(named);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
    Ok(())
}

async fn operators(source: Source<'_>, visit: &mut Visit<'_>) -> Result<(), ExportError> {
    let mut at: Option<Cursor> = None;
    loop {
        let page =
            source.read(async |store| store.inventory.operators(at.as_ref(), PAGE_ITEMS).await);
        let page = page.await?;
        let load = async |user| {
            let read = async |store: &Store| match store.operators.load(user).await {
                Err(OperatorRecordError::Damaged { what }) => Ok(Err(what)),
                Err(OperatorRecordError::Store(error)) => Err(error),
                Ok(record) => Ok(Ok(record)),
            };
            Ok::<_, ExportError>((user, source.read(read).await?))
        };
        let mut found = stream::iter(page.items).map(load).buffered(CALLS_IN_FLIGHT);
        while let Some((user, record)) = found.try_next().await? {
            match record {
                Ok(record) => visit.take(Section::Operators, &item::operator(user, &record)?)?,
                Err(reason) => {
                    tracing::error!(
                        operator = %user, reason,
                        "a damaged record of an operator is not copied"
                    );
                    visit.summary.damaged_operators.insert(user.0);
                }
            }
        }
        at = page.next;
        if at.is_none() {
            return Ok(());
        }
    }
}

async fn conversations(source: Source<'_>, visit: &mut Visit<'_>) -> Result<(), ExportError> {
    let mut at: Option<Cursor> = None;
    loop {
        let page =
            source.read(async |store| store.inventory.conversations(at.as_ref(), PAGE_ITEMS).await);
        let page = page.await?;
        for of in &page.items {
            visit.take(Section::Conversations, &item::conversation(of))?;
        }
        at = page.next;
        if at.is_none() {
            return Ok(());
        }
    }
}

async fn logs(source: Source<'_>, visit: &mut Visit<'_>) -> Result<(), ExportError> {
    let mut at: Option<Cursor> = None;
    loop {
        let page = source.read(async |store| store.inventory.chats(at.as_ref(), PAGE_ITEMS).await);
        let page = page.await?;
        let read = async |chat| Ok::<_, ExportError>((chat, looked_at(source, chat).await?));
        let mut found = stream::iter(page.items).map(read).buffered(CALLS_IN_FLIGHT);
        while let Some((chat, events)) = found.try_next().await? {
            match events {
                Ok(events) => one_log(source, visit, chat, events).await?,
                Err(why) => damaged_log(source, visit, chat, &why).await?,
            }
        }
        at = page.next;
        if at.is_none() {
            return Ok(());
        }
    }
}

/// What came of a read that may meet damage: the reason, if it did.
async fn readable<T>(
    read: impl Future<Output = Result<T, ExportError>>,
) -> Result<Result<T, String>, ExportError> {
    match read.await {
        Err(ExportError::Store(StoreError::Damaged { reason })) => Ok(Err(reason)),
        done => Ok(Ok(done?)),
    }
}

/// The first events of a chat, all of which can be read; or why not. So no chat is begun that
/// cannot be ended.
async fn looked_at(
    source: Source<'_>,
    chat: ChatId,
) -> Result<Result<Vec<Recorded>, String>, ExportError> {
    let mut first = 1;
    let mut begin = None;
    loop {
        let read = source.read(async |store| store.log.read(chat, first, LINE_EVENTS + 1).await);
        let events = match readable(read).await? {
            Ok(events) => events,
            Err(why) => return Ok(Err(why)),
        };
        let more = events.len() > LINE_EVENTS;
        let begin = begin.get_or_insert(events);
        if !more {
            return Ok(Ok(std::mem::take(begin)));
        }
        first += LINE_EVENTS as u64;
    }
}

/// The lines of a chat that is damaged: all of it that can be read.
async fn damaged_log(
    source: Source<'_>,
    visit: &mut Visit<'_>,
    chat: ChatId,
    why: &str,
) -> Result<(), ExportError> {
    let (mut seq, mut in_vain, mut events) = (1, 0, Vec::new());
    while in_vain < DAMAGED_IN_VAIN {
        let one = source.read(async |store| store.log.read(chat, seq, 1).await);
        match readable(one).await? {
            Ok(found) if found.is_empty() => break,
            Ok(found) => {
                events.extend(found);
                in_vain = 0;
            }
            Err(_) => in_vain += 1,
        }
        if events.len() == LINE_EVENTS {
            visit.damaged(item::damaged(chat, why, &std::mem::take(&mut events))?)?;
        }
        seq += 1;
    }
    visit.damaged(item::damaged(chat, why, &events)?)
}

/// The lines of one chat, whose first events are read already: one more than a line has, so that
/// the last line is known as the last.
async fn one_log(
    source: Source<'_>,
    visit: &mut Visit<'_>,
    chat: ChatId,
    mut events: Vec<Recorded>,
) -> Result<(), ExportError> {
    let mut first = 1;
    while events.len() > LINE_EVENTS {
        visit.take_log(item::log(chat, first, &events[..LINE_EVENTS], false)?)?;
        first += LINE_EVENTS as u64;
        events =
            source.read(async |store| store.log.read(chat, first, LINE_EVENTS + 1).await).await?;
    }
    if events.is_empty() {
        let reason = format!("chat {chat} is listed, but its log is empty");
        return Err(StoreError::Damaged { reason }.into());
    }
    visit.take_log(item::log(chat, first, &events, true)?)
}

async fn watermarks(source: Source<'_>, visit: &mut Visit<'_>) -> Result<(), ExportError> {
    let mut at: Option<Cursor> = None;
    loop {
        let page =
            source.read(async |store| store.inventory.watched(at.as_ref(), PAGE_ITEMS).await);
        let page = page.await?;
        let load = async |chat| {
            let watermarks = source.read(async |store| store.watermarks.load(chat).await);
            Ok::<_, ExportError>((chat, readable(watermarks).await?))
        };
        let mut found = stream::iter(page.items).map(load).buffered(CALLS_IN_FLIGHT);
        while let Some((chat, watermarks)) = found.try_next().await? {
            match watermarks {
                Ok(watermarks) => {
                    visit.take(Section::Watermarks, &item::watermarks(chat, &watermarks))?;
                }
                Err(why) => visit.damaged(item::damaged(chat, &why, &[])?)?,
            }
        }
        at = page.next;
        if at.is_none() {
            return Ok(());
        }
    }
}

async fn open_chats(source: Source<'_>, visit: &mut Visit<'_>) -> Result<(), ExportError> {
    let mut after = None;
    loop {
        let rows =
            source.read(async |store| store.open_chats.scan(after, PAGE_ITEMS).await).await?;
        // Without its log an open chat is none.
        for row in &rows {
            if visit.summary.damaged.contains(&row.chat.0) {
                continue;
            }
            visit.take(Section::OpenChats, &item::open_chat(row)?)?;
        }
        let Some(last) = rows.last() else { break };
        after = Some(last.chat);
    }
    // The router that starts on it next makes these anew; a copy without them would leave the chats in
    // no line.
    let damaged = source.read(async |store| store.open_chats.damaged().await).await?;
    match damaged.first() {
        None => Ok(()),
        Some(chat) => Err(StoreError::Damaged {
            reason: format!(
                "the row of open chat {chat} cannot be read; start the router on this store once, which \
                 makes it anew from the log, and export then"
            ),
        }
        .into()),
    }
}

async fn audit(source: Source<'_>, visit: &mut Visit<'_>) -> Result<(), ExportError> {
    let mut before = AuditId::END;
    loop {
        let page =
            source.read(async |store| store.audit.newest(before, AuditId::FIRST, PAGE_ITEMS).await);
        let page = page.await?;
        for entry in page.iter().filter(|entry| source.but != Some(entry.id)) {
            visit.take(Section::Audit, &item::audit(entry)?)?;
        }
        let Some(last) = page.last() else {
            return Ok(());
        };
        before = last.id;
    }
}
