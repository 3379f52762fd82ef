//! Copies of a whole store: into a file, and from a file into an empty store of any kind.
//!
//! Owns the stream (`docs/export.md`), its checks, and the order in which a store is read and
//! filled. Works through the ports only, so it goes between any two stores. Refuses a store that
//! holds anything else, a stream that is not whole, and a store that a router uses meanwhile, as far
//! as the store's own lock shows that.
//!
//! Invariants:
//! - A stream is read to its end and held against its checksums before anything of it is stored.
//! - What is stored first is a flag; it goes last, after the store was read back and found equal.
//!   While it is there no router starts on the store.
//! - Every step may be repeated: one that the store refuses for now is tried again for a while, and
//!   an import that was interrupted is run again, and goes on.
//!
//! Reading order: `stream` (the form), `item` (what is in it), `walk` (out of a store), `bring` (into
//! one).

mod again;
mod bring;
mod item;
mod limits;
mod stream;
mod tally;
mod walk;

use std::io::{BufRead, Seek, SeekFrom, Write};

use crate::domain::audit::{AuditChange, AuditEntry, AuditOutcome};
use crate::storage::{AppendError, Documents, Store, StoreError, record};

use stream::{FORMAT, Item, Reader, Writer};

pub use again::Patience;
pub use stream::Header;
pub use tally::{Section, Summary, Tally};

/// The kind of the document that flags a store which holds a part of an import.
const IMPORT_KIND: &str = "import";

/// The id of that document.
const IMPORT_ID: &str = "1";

/// Why a store was not copied. Each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// The store does not answer, or cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store did not take events.
    #[error("{0}; run the import again, it goes on where it was")]
    Append(#[from] AppendError),
    /// The file cannot be read or written.
    #[error("the file: {what}")]
    File {
        /// What the system says.
        what: String,
    },
    /// It is no export at all.
    #[error("this is no export of a store")]
    NoExport,
    /// A newer release wrote it.
    #[error(
        "the export has format {found}, this release reads up to {known}: import it with the \
         release that made it, or a newer one"
    )]
    Newer {
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// It is not what was written.
    #[error("line {line} of the export is damaged: {what}; take another copy of the file")]
    Damaged {
        /// Which line, from 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// Its end is missing.
    #[error("the export ends too early, in or before line {line}; take another copy of the file")]
    CutOff {
        /// Where it ends.
        line: u64,
    },
    /// An import goes into an empty store.
    #[error("the store is not empty, it has {what}; import into an empty one")]
    NotEmpty {
        /// What it has.
        what: String,
    },
    /// The store holds a part of an import that was interrupted.
    #[error(
        "the store holds a part of an import that did not end: run `switchboard store import` again \
         with the same file, or take an empty store"
    )]
    HalfImported,
    /// What was read back is not what was brought.
    #[error("what the store holds is not what the export has: {what}; import into an empty one")]
    Differs {
        /// The first difference.
        what: String,
    },
}

impl ExportError {
    fn io(error: std::io::Error) -> Self {
        Self::File { what: error.to_string() }
    }

    /// Only a value that the domain would refuse can cause this.
    fn unwritable(error: impl std::fmt::Display) -> Self {
        Self::File { what: format!("a line cannot be written: {error}") }
    }
}

/// What is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The chats are counted.
    Counting,
    /// The store is written to the file; in chats.
    Writing,
    /// The file is checked; in bytes.
    Checking,
    /// The file is brought into the store; in bytes.
    Bringing,
    /// The store is read back; in chats.
    ReadingBack,
    /// The logs are compared with the history; in chats.
    Comparing,
    /// It is looked what the history has besides; in chats.
    Leftovers,
}

/// Hears how far it is.
pub trait Report: Send {
    /// So much is done of so much; 0 when that is not known.
    fn at(&mut self, stage: Stage, done: u64, of: u64);
}

/// Nobody wants to know.
impl Report for () {
    fn at(&mut self, _: Stage, _: u64, _: u64) {}
}

/// Which export this is, as its first line says.
#[derive(Debug, Clone)]
pub struct Occasion {
    /// An id that no other export has.
    pub id: uuid::Uuid,
    /// Now, ms since 1970 in UTC.
    pub at: u64,
    /// This release.
    pub release: String,
}

/// Whether the store holds a part of an import, so that no router may run on it.
pub async fn is_half_imported(documents: &dyn Documents) -> Result<bool, StoreError> {
    Ok(documents.get(IMPORT_KIND, IMPORT_ID).await?.is_some())
}

/// Writes all of the store. No router may run on it meanwhile. The caller makes what was written
/// durable.
pub async fn export(
    store: &Store,
    occasion: Occasion,
    to: impl Write + Send,
    patience: Patience,
    report: &mut dyn Report,
) -> Result<Summary, ExportError> {
    let half = patience.keep_trying(async || Ok(is_half_imported(&*store.documents).await?));
    if half.await? {
        return Err(ExportError::HalfImported);
    }
    let mut stream = Writer::new(to);
    stream.write(&Item::Export(Header {
        format: FORMAT,
        records: record::FORMAT_VERSION,
        id: occasion.id,
        at: occasion.at,
        release: occasion.release,
    }))?;
    let source = walk::Source { store, patience, but: None };
    let sink = &mut |item: &Item| stream.write(item);
    let summary = walk::walk(source, Stage::Writing, report, sink).await?;
    stream.write(&Item::End(summary.clone()))?;
    stream.flush()?;
    Ok(summary)
}

/// Reads all of a store, as an export does, and writes nothing. No router may run on it meanwhile.
pub async fn read(
    store: &Store,
    patience: Patience,
    report: &mut dyn Report,
) -> Result<Summary, ExportError> {
    let source = walk::Source { store, patience, but: None };
    walk::walk(source, Stage::ReadingBack, report, &mut |_| Ok(())).await
}

/// Reads an export to its end and holds it against its checksums. It does not look into records.
pub fn check(
    mut from: impl BufRead + Seek,
    report: &mut dyn Report,
) -> Result<(Header, Summary), ExportError> {
    let length = rewound(&mut from)?;
    let mut stream = Reader::new(from);
    let header = read_header(&mut stream)?;
    loop {
        let Some((item, _)) = stream.next()? else {
            return Err(stream.cut_off());
        };
        report.at(Stage::Checking, stream.bytes, length);
        if let Item::End(summary) = item {
            return match stream.next()? {
                None => Ok((header, summary)),
                Some(_) => Err(stream.damaged("it comes after the end")),
            };
        }
    }
}

/// Fills an empty store, or goes on with one that holds a part of this very export. No router may
/// run on it meanwhile; none starts on it until this has ended well. Durable when it answers.
///
/// `entry` says in the audit trail who does it: it is there before anything else is brought, and has
/// its outcome before the flag goes. One that was interrupted goes on with the entry that it has.
/// None: nobody but this process has the store.
pub async fn import(
    store: &Store,
    mut from: impl BufRead + Seek + Send,
    entry: Option<AuditEntry>,
    patience: Patience,
    report: &mut dyn Report,
) -> Result<Summary, ExportError> {
    let (header, should) = check(&mut from, report)?;
    let id = entry.as_ref().map(|entry| entry.id);
    let flag = patience.keep_trying(async || bring::begin(store, &header, id).await).await?;
    if let (Some(entry), Some(id)) = (entry, flag.entry) {
        let to = Some(header.id.to_string());
        let changes = vec![AuditChange { field: "export".to_owned(), from: None, to }];
        let entry = AuditEntry { id, changes, ..entry };
        patience.keep_trying(async || Ok(store.audit.record(entry.clone()).await?)).await?;
    }
    let length = rewound(&mut from)?;
    let mut stream = Reader::new(from);
    read_header(&mut stream)?;
    let target = bring::Target { store, patience };
    let brought = bring::bring(target, &mut stream, header.records, length, report).await?;
    // A release with newer records writes them anew, and sums them differently.
    if header.records == record::FORMAT_VERSION
        && let Some(what) = brought.differs(&should)
    {
        return Err(stream.damaged(&format!("the export has {what}")));
    }
    let source = walk::Source { store, patience, but: flag.entry };
    let held = walk::walk(source, Stage::ReadingBack, report, &mut |_| Ok(())).await?;
    if let Some(what) = held.differs(&brought) {
        return Err(ExportError::Differs { what });
    }
    if let Some(id) = flag.entry {
        let done = async || Ok(store.audit.conclude(id, AuditOutcome::Done).await?);
        patience.keep_trying(done).await?;
    }
    let unflagged = patience.keep_trying(async || {
        match store.documents.delete(IMPORT_KIND, IMPORT_ID, flag.version).await {
            // Nobody else is there who could: an earlier try did it, and was not told.
            Ok(()) | Err(StoreError::VersionConflict { found: 0, .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    });
    unflagged.await?;
    Ok(brought)
}

fn read_header<R: BufRead>(stream: &mut Reader<R>) -> Result<Header, ExportError> {
    let Some((Item::Export(header), _)) = stream.next()? else {
        return Err(ExportError::NoExport);
    };
    let known = u32::from(record::FORMAT_VERSION);
    match u32::from(header.records) {
        _ if header.format > FORMAT => {
            Err(ExportError::Newer { found: header.format, known: FORMAT })
        }
        found if found > known => Err(ExportError::Newer { found, known }),
        _ => Ok(header),
    }
}

/// From its beginning again; answers its length, bytes.
fn rewound(from: &mut impl Seek) -> Result<u64, ExportError> {
    let length = from.seek(SeekFrom::End(0)).map_err(ExportError::io)?;
    from.seek(SeekFrom::Start(0)).map_err(ExportError::io)?;
    Ok(length)
}
