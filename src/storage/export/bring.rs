//! Into a store: through the same ports that the router writes by, each step such that it may be
//! repeated.

use std::io::BufRead;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::domain::audit::{AuditEntry, AuditId};
use crate::domain::{ChatId, Recorded, Seq, UserId};
use crate::storage::{ClaimOpen, Conversation, Store, StoreError};

use super::limits::{APPEND_EVENTS, BATCH_BYTES, BATCH_LINES, CALLS_IN_FLIGHT};
use super::stream::{Header, Item, Reader};
use super::tally::{Section, Summary};
use super::{ExportError, IMPORT_ID, IMPORT_KIND, Patience, Report, Stage, item};

/// What is filled.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub store: &'a Store,
    pub patience: Patience,
}

/// That a store is being filled: a document with the id of the export, and behind it the key of the
/// import's entry in the audit trail, if it has one. The releases before wrote the id alone.
pub(super) struct ImportFlag {
    /// The document's.
    pub version: u64,
    /// The entry: what is no part of the export.
    pub entry: Option<AuditId>,
}

/// Flags the store as one that is being filled from this export, with this entry; answers the flag.
/// Errors unless the store is empty or has the flag of this export: then the entry is the one that it
/// names, and this one if it names none. May be repeated.
pub(super) async fn begin(
    store: &Store,
    header: &Header,
    entry: Option<AuditId>,
) -> Result<ImportFlag, ExportError> {
    let export = header.id.as_bytes();
    let found = store.documents.get(IMPORT_KIND, IMPORT_ID).await?;
    let version = match found {
        Some(flag) => {
            let named = flag.body.strip_prefix(export).ok_or(ExportError::HalfImported)?;
            if named.is_empty() && entry.is_some() {
                flag.version
            } else {
                let key = <[u8; 16]>::try_from(named);
                let entry = key.ok().map(AuditId::from_key);
                return Ok(ImportFlag { version: flag.version, entry });
            }
        }
        None => {
            if let Some(what) = holds(store).await? {
                return Err(ExportError::NotEmpty { what });
            }
            0
        }
    };
    let mut body = export.to_vec();
    body.extend(entry.map(AuditId::key).into_iter().flatten());
    let version = store.documents.put(IMPORT_KIND, IMPORT_ID, version, body).await?;
    Ok(ImportFlag { version, entry })
}

/// What the store holds, if anything.
async fn holds(store: &Store) -> Result<Option<String>, StoreError> {
    /// Whether a listing has an item; a page without one may have a next.
    macro_rules! any {
        ($list:ident) => {{
            let mut at = None;
            loop {
                let page = store.inventory.$list(at.as_ref(), 1).await?;
                if !page.items.is_empty() || page.next.is_none() {
                    break !page.items.is_empty();
                }
                at = page.next;
            }
        }};
    }
    if let Some(kind) = store.inventory.document_kinds().await?.first() {
        return Ok(Some(format!("documents of the kind {kind}")));
    }
    let found = [
        (any!(operators), Section::Operators),
        (any!(conversations), Section::Conversations),
        (any!(chats), Section::Chats),
        (any!(watched), Section::Watermarks),
        (has_open_chats(store).await?, Section::OpenChats),
        (!store.audit.newest(AuditId::END, AuditId::FIRST, 1).await?.is_empty(), Section::Audit),
    ];
    let found = found.into_iter().find(|(any, _)| *any);
    Ok(found.map(|(_, section)| section.name().to_owned()))
}

/// One line's worth, read and ready to be stored.
enum Step {
    Document(String, crate::storage::Document),
    Operator(UserId, crate::domain::operator::OperatorRecord),
    Conversation(Conversation),
    Log { chat: ChatId, first: Seq, last: bool, events: Vec<Recorded> },
    Watermarks(ChatId, std::collections::BTreeMap<crate::domain::Party, crate::storage::Watermark>),
    OpenChat(crate::storage::OpenChat),
    Audit(AuditEntry),
}

/// Stores all lines up to the last one, and answers what they were.
pub(super) async fn bring<R: BufRead>(
    target: Target<'_>,
    stream: &mut Reader<R>,
    records: u16,
    length: u64,
    report: &mut dyn Report,
) -> Result<Summary, ExportError> {
    let mut summary = Summary::default();
    let mut log = item::LogHash::default();
    let (mut batch, mut bytes) = (Vec::new(), 0);
    loop {
        let Some((item, size)) = stream.next()? else {
            return Err(stream.cut_off());
        };
        if let Item::End(should) = item {
            if !log.is_done() {
                return Err(stream.damaged("a chat has no last line"));
            }
            store_all(target, batch).await?;
            summary.process = should.process;
            summary.damaged_documents = should.damaged_documents;
            summary.damaged_operators = should.damaged_operators;
            target
                .patience
                .keep_trying(async || count_up(target.store, should.process).await)
                .await?;
            report.at(Stage::Bringing, length, length);
            return Ok(summary);
        }
        // A line that goes on with a chat waits until the lines before it are stored.
        let goes_on = matches!(&item, Item::Log(item) if item.first > 1);
        if goes_on || batch.len() >= BATCH_LINES || bytes >= BATCH_BYTES {
            store_all(target, std::mem::take(&mut batch)).await?;
            bytes = 0;
            report.at(Stage::Bringing, stream.bytes, length);
        }
        // What is left of a damaged chat is for people: a log with holes goes into no store.
        if let Item::Damaged(item) = item {
            summary.damaged.insert(item.chat);
            continue;
        }
        let step = step(item, records, &mut log, &mut summary);
        batch.push(step.map_err(|refused| match refused {
            Refused::Item(what) => stream.damaged(&what),
            Refused::Error(error) => error,
        })?);
        bytes += size;
    }
}

/// Why a line is no step.
enum Refused {
    Item(item::Refusal),
    Error(ExportError),
}

impl From<item::Refusal> for Refused {
    fn from(what: item::Refusal) -> Self {
        Self::Item(what)
    }
}

impl From<ExportError> for Refused {
    fn from(error: ExportError) -> Self {
        Self::Error(error)
    }
}

/// Reads a line, and adds to the summary what this release makes of it: that is what the store is
/// compared with in the end.
fn step(
    item: Item,
    records: u16,
    log: &mut item::LogHash,
    summary: &mut Summary,
) -> Result<Step, Refused> {
    let mut count =
        |section, item: &Item| item::hash(item).map(|hash| summary.tally(section).add(hash));
    match item {
        Item::Document(item) => {
            let found = item::read_document(&item)?;
            count(Section::Documents, &item::document(&item.kind, &found))?;
            Ok(Step::Document(item.kind, found))
        }
        Item::Operator { operator, record } => {
            let user = UserId(operator);
            let found = item::read_operator(user, records, &record)?;
            count(Section::Operators, &item::operator(user, &found)?)?;
            Ok(Step::Operator(user, found))
        }
        Item::Conversation(item) => {
            let found = item::read_conversation(&item)?;
            count(Section::Conversations, &item::conversation(&found))?;
            Ok(Step::Conversation(found))
        }
        Item::Log(item) => {
            let (chat, first, last) = (ChatId(item.chat), item.first, item.last);
            let events = item::read_log(&item, records)?;
            if let Some((hash, events)) = log.add(&item::log(chat, first, &events, last)?)? {
                summary.tally(Section::Chats).add(hash);
                summary.events += events;
            }
            Ok(Step::Log { chat, first, last, events })
        }
        Item::Watermarks { chat, watermarks } => {
            let (chat, watermarks) = (ChatId(chat), item::read_watermarks(&watermarks)?);
            count(Section::Watermarks, &item::watermarks(chat, &watermarks))?;
            Ok(Step::Watermarks(chat, watermarks))
        }
        Item::OpenChat { chat, record, moving } => {
            let row = item::read_open_chat(ChatId(chat), records, &record, moving.as_deref())?;
            count(Section::OpenChats, &item::open_chat(&row)?)?;
            Ok(Step::OpenChat(row))
        }
        Item::Audit { id, record, outcome } => {
            let entry = item::read_audit(&id, records, &record, outcome.as_deref())?;
            count(Section::Audit, &item::audit(&entry)?)?;
            Ok(Step::Audit(entry))
        }
        Item::Export(_) | Item::Damaged(_) | Item::End(_) => {
            Err(Refused::Item("it is out of its place".to_owned()))
        }
    }
}

/// The next process has a number behind all that the exported store gave.
async fn count_up(store: &Store, process: u64) -> Result<(), ExportError> {
    while store.inventory.last_process().await? < process {
        store.processes.begin().await?;
    }
    Ok(())
}

/// Stores these, of which no two are of one chat's log.
async fn store_all(target: Target<'_>, steps: Vec<Step>) -> Result<(), ExportError> {
    let Target { store, patience } = target;
    let one = async |step| patience.keep_trying(async || store_one(store, &step).await).await;
    let all = stream::iter(steps).map(one);
    all.buffer_unordered(CALLS_IN_FLIGHT).try_collect::<()>().await
}

/// May be repeated, whatever became of it before.
async fn store_one(store: &Store, step: &Step) -> Result<(), ExportError> {
    match step {
        Step::Document(kind, document) => {
            Ok(store.inventory.restore(kind, document.clone()).await?)
        }
        Step::Operator(user, record) => Ok(store.operators.save(*user, record.clone()).await?),
        Step::Conversation(of) => store_conversation(store, of).await,
        Step::Log { chat, first, last, events } => {
            store_log(store, *chat, *first, *last, events).await
        }
        Step::Watermarks(chat, watermarks) => {
            Ok(store.watermarks.raise(*chat, watermarks.clone()).await?)
        }
        Step::OpenChat(row) => Ok(store.open_chats.put(row.clone()).await?),
        Step::Audit(entry) => Ok(store.audit.record(entry.clone()).await?),
    }
}

/// Claims by every command, that of the latest chat last.
async fn store_conversation(store: &Store, of: &Conversation) -> Result<(), ExportError> {
    let (last, mut before): (Vec<_>, Vec<_>) =
        of.commands.iter().partition(|(_, chat)| *chat == of.latest);
    before.extend(last);
    let mut after = None;
    for (command, chat) in before {
        let (talks, chat) = (&store.conversations, *chat);
        match talks.claim_open(of.customer, command, chat, after).await? {
            ClaimOpen::Claimed => {}
            ClaimOpen::Existing(existing) if existing == chat => {}
            ClaimOpen::Existing(existing) => {
                let what =
                    format!("customer {} has chat {existing} instead of {chat}", of.customer.id);
                return Err(ExportError::Differs { what });
            }
        }
        after = Some(chat);
    }
    Ok(())
}

/// Appends what the log has not yet: it may have some from an import that was interrupted.
async fn store_log(
    store: &Store,
    chat: ChatId,
    first: Seq,
    last: bool,
    events: &[Recorded],
) -> Result<(), ExportError> {
    let claimed = store.log.claim(chat).await?;
    let end = first + events.len() as u64 - 1;
    if claimed.tail + 1 < first || (last && claimed.tail > end) {
        let what = format!("chat {chat} has {} events", claimed.tail);
        return Err(ExportError::Differs { what });
    }
    let there = events.partition_point(|event| event.seq <= claimed.tail);
    for some in events[there..].chunks(APPEND_EVENTS) {
        store.log.append(claimed.claim, some.to_vec()).await?;
    }
    Ok(())
}

/// Whether there are rows of open chats, also such that cannot be read.
async fn has_open_chats(store: &Store) -> Result<bool, StoreError> {
    let found = store.open_chats.scan(None, 1).await?;
    Ok(!found.is_empty() || !store.open_chats.damaged().await?.is_empty())
}
