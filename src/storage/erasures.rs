//! The file of erasures: keyed hashes of erased customers with the time of each, beside a store and its
//! copies, so that an erasure outlives the restore of a copy that was made before it.
//!
//! Owns the file's form. Refuses to know whom a hash means: that takes the key, which is in the store
//! and not in the file.
//! Invariants: lines are only added, each durable when it is answered for; a last line that a crash cut
//! off was never answered for, and is dropped.
//!
//! The form: a line `switchboard erasures 1 KEY`, then lines `HASH TIME`: hex, and ms since 1970.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::domain::Timestamp;

use super::files;

/// What the file's first line begins with.
const FORM: &str = "switchboard erasures 1 ";

/// Bytes of a hash.
pub const MARK_BYTES: usize = 32;

/// A keyed hash of a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(pub [u8; MARK_BYTES]);

impl Mark {
    /// The mark of that text, which is its hex form; none when it is no such text.
    pub fn parse(text: &str) -> Option<Self> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|n| u8::try_from(n).ok());
        let mut mark = [0; MARK_BYTES];
        if pairs.len() != MARK_BYTES || !rest.is_empty() {
            return None;
        }
        for (byte, [high, low]) in mark.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(mark))
    }
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// When each was erased last.
pub type Erased = BTreeMap<Mark, Timestamp>;

/// Why the file cannot be used. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ErasuresError {
    /// It cannot be read or written.
    #[error("the file of erasures {file}: {source}; check that it may be read and written")]
    File {
        /// Which.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is of another store.
    #[error(
        "the file of erasures {file} has {erasures} erasures of another store, which cannot be applied to \
         this one: put the file of this store in its place, or, if this is a new store, move it away"
    )]
    Foreign {
        /// Which.
        file: PathBuf,
        /// How many it has.
        erasures: usize,
    },
    /// It is something else, or of a newer release.
    #[error("{file} is no file of erasures that this release knows; move it away")]
    Unknown {
        /// Which.
        file: PathBuf,
    },
}

/// See the module.
#[derive(Debug)]
pub struct ErasuresFile {
    path: PathBuf,
}

impl ErasuresFile {
    /// The file, made if it is not there, and what it says. `key` names the store's key. Blocks.
    pub fn open(path: &Path, key: &str) -> Result<(Self, Erased), ErasuresError> {
        let blame = |source| ErasuresError::File { file: path.to_owned(), source };
        let mut file = files::open_or_make(path).map_err(blame)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(blame)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let mut lines = text[..whole].lines();
        let first = lines.next();
        let erased = read(path, lines);
        match first.map(|first| first.strip_prefix(FORM)) {
            Some(Some(of)) if of == key => {
                file.set_len(whole as u64).and_then(|()| file.sync_all()).map_err(blame)?;
            }
            Some(Some(_)) if !erased.is_empty() => {
                let (file, erasures) = (path.to_owned(), erased.len());
                return Err(ErasuresError::Foreign { file, erasures });
            }
            // One that says nothing of anybody begins anew.
            Some(Some(_)) => begin(&mut file, path, key).map_err(blame)?,
            None if FORM.starts_with(text.get(..FORM.len()).unwrap_or(&text)) => {
                begin(&mut file, path, key).map_err(blame)?;
            }
            Some(None) | None => return Err(ErasuresError::Unknown { file: path.to_owned() }),
        }
        Ok((Self { path: path.to_owned() }, erased))
    }

    /// Adds erasures. Durable when it answers. Blocks.
    pub fn add(&self, erased: &Erased) -> io::Result<()> {
        let mut file = std::fs::OpenOptions::new().append(true).open(&self.path)?;
        let lines = erased.iter().map(|(mark, at)| format!("{mark} {}\n", at.0));
        file.write_all(lines.collect::<String>().as_bytes())?;
        file.sync_all()
    }
}

fn read<'a>(path: &Path, lines: impl Iterator<Item = &'a str>) -> Erased {
    let mut erased = Erased::new();
    for (n, line) in (2..).zip(lines) {
        let parts = line.split_once(' ');
        let read = parts.and_then(|(mark, at)| Some((Mark::parse(mark)?, at.parse().ok()?)));
        match read {
            Some((mark, at)) => {
                let known = erased.entry(mark).or_insert(Timestamp(at));
                *known = Timestamp(at).max(*known);
            }
            None => tracing::error!(
                file = %path.display(), line = n,
                "an erasure cannot be read: erase that customer again after a copy was restored"
            ),
        }
    }
    erased
}

fn begin(file: &mut File, path: &Path, key: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(format!("{FORM}{key}\n").as_bytes())?;
    file.sync_all()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Copies the file beside a copy of its store, over an earlier one; nothing when there is none. Blocks.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let text = match std::fs::read(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read?,
    };
    let mut file = files::make_anew(to)?;
    file.write_all(&text)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(n: u8) -> Mark {
        Mark([n; MARK_BYTES])
    }

    #[test]
    fn what_was_added_is_there_and_what_was_cut_off_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("erasures");
        let (file, erased) = ErasuresFile::open(&path, "k").unwrap();
        assert!(erased.is_empty());
        file.add(&Erased::from([(mark(1), Timestamp(5)), (mark(0xab), Timestamp(6))])).unwrap();
        file.add(&Erased::from([(mark(1), Timestamp(4))])).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let expected = Erased::from([(mark(1), Timestamp(5)), (mark(0xab), Timestamp(6))]);
        // A crash may leave any part of a line.
        for cut in 1..=70 {
            let mut bytes = whole.clone();
            bytes.extend_from_slice(&format!("{} 7\n", mark(9)).as_bytes()[..cut.min(66)]);
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(ErasuresFile::open(&path, "k").unwrap().1, expected, "{cut}");
            assert_eq!(std::fs::read(&path).unwrap(), whole, "{cut}");
        }
        std::fs::write(&path, [&whole[..], b"xyz 1\n"].concat()).unwrap();
        assert_eq!(ErasuresFile::open(&path, "k").unwrap().1, expected, "a bad line hinders none");
    }

    #[test]
    fn another_stores_file_is_refused_unless_it_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("erasures");
        ErasuresFile::open(&path, "other").unwrap();
        let (file, _) = ErasuresFile::open(&path, "k").unwrap();
        file.add(&Erased::from([(mark(1), Timestamp(5))])).unwrap();
        let refused = ErasuresFile::open(&path, "other").unwrap_err();
        assert!(matches!(refused, ErasuresError::Foreign { erasures: 1, .. }), "{refused}");
        assert!(ErasuresFile::open(&path, "k").is_ok());
        for text in ["something else\n", "something", "switchboard erasures 2 k\n"] {
            std::fs::write(&path, text).unwrap();
            let refused = ErasuresFile::open(&path, "k").unwrap_err();
            assert!(matches!(refused, ErasuresError::Unknown { .. }), "{refused}");
        }
        // A crash at the very first line.
        for cut in 0..FORM.len() {
            std::fs::write(&path, &FORM[..cut]).unwrap();
            assert!(ErasuresFile::open(&path, "k").is_ok(), "{cut}");
        }
    }

    #[test]
    fn marks_are_written_as_hex() {
        assert_eq!(Mark::parse(&mark(0xf0).to_string()), Some(mark(0xf0)));
        for text in ["", "f", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(Mark::parse(text), None, "{text}");
        }
    }
}
