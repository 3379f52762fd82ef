//! Whether the history says what the logs say: chat by chat, on a store on which no router runs.
//!
//! Owns what counts as wrong. Refuses to change anything: what a rebuild is for.
//! A row follows its log, so one that is behind is nothing wrong as long as its chat is still to be taken.
//! Reads page by page, first all chats with a log, then all chats of the history.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::actors::HistoryWriter;
use crate::domain::{ChatId, Recorded, Seq};
use crate::machine::chat::History;
use crate::machine::chat::driver::READ_PAGE;
use crate::storage::export::{ExportError, Patience, Report, Stage};
use crate::storage::{FeedDue, HistoryOf, HistoryPlace, HistoryRow, Store, StoreError};

use super::limits::{COMPARE_PAGE, COMPARED_AT_ONCE, FAULTY_TOLD};

/// What may be with a chat in the history. In the order in which it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HistoryFault {
    /// It is behind its log, or not there yet, or not gone yet, and the next start takes it: no damage.
    Late,
    /// It is behind its log, and nobody takes it again.
    Behind,
    /// It has no row, and nobody takes it again.
    Missing,
    /// A row says what its log has never said: something else, or more than there is.
    Differs,
    /// It has a row, but not on each of the lists that the row names.
    Unlisted,
    /// It is on a list to which it does not belong, or by a wrong time.
    Mislisted,
    /// A row cannot be read.
    Damaged,
    /// Something of it is in the history, and there is no log.
    NoChat,
    /// Its log cannot be read, so that nothing is known.
    NoLog,
}

/// The chats with which the same is the matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FaultyChats {
    /// How many.
    pub count: u64,
    /// The first of them, at most [`FAULTY_TOLD`].
    pub first: Vec<ChatId>,
}

/// What a comparison has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistoryCompared {
    /// Chats with a log.
    pub chats: u64,
    /// Whether the next start makes the history from nothing, or goes on with that.
    pub is_to_be_made: bool,
    /// What is the matter, and with which chats.
    pub found: BTreeMap<HistoryFault, FaultyChats>,
}

impl HistoryCompared {
    fn note(&mut self, chat: ChatId, faults: BTreeSet<HistoryFault>) {
        for fault in faults {
            let chats = self.found.entry(fault).or_default();
            chats.count += 1;
            if chats.first.len() < FAULTY_TOLD {
                chats.first.push(chat);
            }
        }
    }
}

impl HistoryFault {
    /// Whether the next start makes it good when it takes the chat. What no log ever said is told all the same,
    /// unless all of it is made anyway.
    fn passes(self, is_to_be_made: bool) -> bool {
        match self {
            Self::Late | Self::Behind | Self::Missing | Self::Unlisted | Self::NoChat => true,
            Self::Differs | Self::Damaged => is_to_be_made,
            Self::Mislisted | Self::NoLog => false,
        }
    }
}

/// Compares the history with the logs, on a store on which no router runs. `chats` says how many there are,
/// for the progress. Errors with what the store met.
pub async fn compare_history(
    store: &Store,
    patience: Patience,
    chats: u64,
    report: &mut dyn Report,
) -> Result<HistoryCompared, ExportError> {
    let due = patience.keep_trying(async || Ok(FeedDue::of(store, HistoryWriter::NAME).await?));
    let comparison = Comparison { store, patience, due: due.await? };
    let is_to_be_made = comparison.due.is_all();
    let mut compared = HistoryCompared { is_to_be_made, ..HistoryCompared::default() };
    comparison.logs(&mut compared, chats, report).await?;
    comparison.rest(&mut compared, report).await?;
    Ok(compared)
}

struct Comparison<'a> {
    store: &'a Store,
    patience: Patience,
    due: FeedDue,
}

impl<'a> Comparison<'a> {
    /// Reads something, again while the store does not answer.
    async fn read<T>(
        &self,
        mut what: impl AsyncFnMut(&'a Store) -> Result<T, StoreError>,
    ) -> Result<T, ExportError> {
        self.patience.keep_trying(async || Ok(what(self.store).await?)).await
    }

    /// Looks at every chat with a log.
    async fn logs(
        &self,
        compared: &mut HistoryCompared,
        of: u64,
        report: &mut dyn Report,
    ) -> Result<(), ExportError> {
        let mut at = None;
        loop {
            let page =
                self.read(async |store| store.inventory.chats(at.as_ref(), COMPARE_PAGE).await);
            let page = page.await?;
            let look = async |chat| Ok::<_, ExportError>((chat, self.with_log(chat).await?));
            let mut looked = stream::iter(page.items).map(look).buffered(COMPARED_AT_ONCE);
            while let Some((chat, faults)) = looked.try_next().await? {
                compared.chats += 1;
                compared.note(chat, faults);
            }
            report.at(Stage::Comparing, compared.chats, of);
            at = page.next;
            if at.is_none() {
                return Ok(());
            }
        }
    }

    /// Looks at every chat of the history: whether there is a log.
    async fn rest(
        &self,
        compared: &mut HistoryCompared,
        report: &mut dyn Report,
    ) -> Result<(), ExportError> {
        let (mut at, mut done) = (None, 0);
        loop {
            let page =
                self.read(async |store| store.history.chats(at.as_ref(), COMPARE_PAGE).await);
            let page = page.await?;
            done += page.items.len() as u64;
            let look = async |chat| Ok::<_, ExportError>((chat, self.without_log(chat).await?));
            let mut looked = stream::iter(page.items).map(look).buffered(COMPARED_AT_ONCE);
            while let Some((chat, faults)) = looked.try_next().await? {
                compared.note(chat, faults);
            }
            report.at(Stage::Leftovers, done, 0);
            at = page.next;
            if at.is_none() {
                return Ok(());
            }
        }
    }

    /// What is the matter with a chat that has a log.
    async fn with_log(&self, chat: ChatId) -> Result<BTreeSet<HistoryFault>, ExportError> {
        let places = match self.read(async |store| store.history.places(chat).await).await {
            Err(ExportError::Store(StoreError::Damaged { .. })) => {
                return self.told(chat, BTreeSet::from([HistoryFault::Damaged])).await;
            }
            places => places?,
        };
        let mut seen = Seen::of(&places);
        let (mut history, mut from) = (History::new(chat), 1);
        loop {
            let read = self.read(async |store| store.log.read(chat, from, READ_PAGE).await).await;
            let page = match read {
                Err(ExportError::Store(StoreError::Damaged { .. })) => {
                    return Ok(BTreeSet::from([HistoryFault::NoLog]));
                }
                read => read?,
            };
            page.iter().for_each(|recorded| seen.hear(&mut history, recorded));
            match page.last().filter(|_| page.len() >= READ_PAGE) {
                Some(last) => from = last.seq + 1,
                None => break,
            }
        }
        self.told(chat, faults(history.row(), &seen, &places)).await
    }

    /// What is the matter with a chat of the history, if it has no log.
    async fn without_log(&self, chat: ChatId) -> Result<BTreeSet<HistoryFault>, ExportError> {
        let has_log = match self.read(async |store| store.log.read(chat, 1, 1).await).await {
            // There is one, and it was looked at.
            Err(ExportError::Store(StoreError::Damaged { .. })) => true,
            Err(ExportError::Store(StoreError::Forgotten { .. })) => false,
            read => !read?.is_empty(),
        };
        let faults = if has_log { BTreeSet::new() } else { [HistoryFault::NoChat].into() };
        self.told(chat, faults).await
    }

    /// The same, with what the next start makes good said apart.
    async fn told(
        &self,
        chat: ChatId,
        mut faults: BTreeSet<HistoryFault>,
    ) -> Result<BTreeSet<HistoryFault>, ExportError> {
        let passes = |fault: &HistoryFault| fault.passes(self.due.is_all());
        if !faults.iter().any(passes) {
            return Ok(faults);
        }
        let is_due = match self.read(async |store| self.due.has(&*store.feed, chat).await).await {
            // A router goes on past it, and takes nothing for it.
            Err(ExportError::Store(StoreError::Damaged { .. })) => false,
            is_due => is_due?,
        };
        if is_due {
            faults.retain(|fault| !passes(fault));
            faults.insert(HistoryFault::Late);
        }
        Ok(faults)
    }
}

/// The rows of a chat as they are found on its lists, each once, and up to which event its log said so last.
struct Seen(Vec<(HistoryRow, Option<Seq>)>);

impl Seen {
    fn of(places: &[HistoryPlace]) -> Self {
        let mut rows: Vec<(HistoryRow, Option<Seq>)> = Vec::new();
        for row in places.iter().filter_map(|place| place.row.as_ref().ok()?.as_ref()) {
            if rows.iter().all(|(one, _)| one != row) {
                rows.push((row.clone(), None));
            }
        }
        Self(rows)
    }

    /// Applies the next event of the log.
    fn hear(&mut self, history: &mut History, recorded: &Recorded) {
        history.apply(recorded);
        for (row, said) in &mut self.0 {
            if history.row() == Some(row) {
                *said = Some(recorded.seq);
            }
        }
    }

    /// Up to which event the log said so last; none: it never did.
    fn said(&self, row: &HistoryRow) -> Option<Seq> {
        self.0.iter().find(|(one, _)| one == row).and_then(|(_, said)| *said)
    }
}

/// What is wrong with what is found of a chat, of which the log says this row; none: it says nothing.
fn faults(
    row: Option<&HistoryRow>,
    seen: &Seen,
    places: &[HistoryPlace],
) -> BTreeSet<HistoryFault> {
    let Some(row) = row else {
        let is_there = !places.is_empty();
        return is_there.then_some(HistoryFault::NoChat).into_iter().collect();
    };
    let (mut found, mut on) = (BTreeSet::new(), BTreeSet::<HistoryOf>::new());
    let mut latest: Option<(Seq, &HistoryRow)> = None;
    for place in places {
        if !place.is_of(row) {
            found.insert(HistoryFault::Mislisted);
            continue;
        }
        match &place.row {
            Ok(None) => continue,
            Ok(Some(there)) => match seen.said(there) {
                None => {
                    found.insert(HistoryFault::Differs);
                }
                Some(said) => {
                    if there != row {
                        found.insert(HistoryFault::Behind);
                    }
                    if latest.is_none_or(|(before, _)| before < said) {
                        latest = Some((said, there));
                    }
                }
            },
            Err(_) => {
                found.insert(HistoryFault::Damaged);
            }
        }
        on.extend(place.list);
    }
    if on.is_empty() {
        found.insert(HistoryFault::Missing);
    } else if latest.is_some_and(|(_, row)| row.lists().any(|list| !on.contains(&list))) {
        found.insert(HistoryFault::Unlisted);
    }
    found
}
