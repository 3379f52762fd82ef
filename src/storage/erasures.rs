//! The file of erasures: keyed hashes of erased customers with the time of each, beside a store and its
//! copies, so that an erasure outlives the restore of a copy that was made before it.
//!
//! Owns the file's form. Refuses to know whom a hash means: that takes the key, which is in the store
//! and not in the file.
//! Invariants: lines are added, each durable when it is answered for; a last line that a crash or a full
//! disk cut off was never answered for, and is dropped before the next is added. A file of which most says
//! nothing any more is written anew, in the place of the former one.
//!
//! The form: a line `switchboard erasures 1 KEY`, then lines `HASH TIME`: hex, and ms since 1970.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::Timestamp;

use super::files;

/// What the file's first line begins with.
const FORM: &str = "switchboard erasures 1 ";

/// How often a file at least doubles before it is written anew, bytes: some hundred lines.
const COMPACT_MIN_BYTES: u64 = 16 * 1_024;

/// Bytes of a hash.
pub const HASH_BYTES: usize = 32;

/// A keyed hash of a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustomerHash(pub [u8; HASH_BYTES]);

impl CustomerHash {
    /// The hash of that text, which is its hex form; none when it is no such text.
    pub fn parse(text: &str) -> Option<Self> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|n| u8::try_from(n).ok());
        let mut hash = [0; HASH_BYTES];
        if pairs.len() != HASH_BYTES || !rest.is_empty() {
            return None;
        }
        for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(hash))
    }
}

impl std::fmt::Display for CustomerHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// When each was erased last.
pub type Erased = BTreeMap<CustomerHash, Timestamp>;

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
    /// The length at which it is written anew, bytes.
    compact_at: AtomicU64,
}

impl ErasuresFile {
    /// The file, made if it is not there, and what it says. `key` names the store's key. Blocks.
    pub fn open(path: &Path, key: &str) -> Result<(Self, Erased), ErasuresError> {
        let blame = |source| ErasuresError::File { file: path.to_owned(), source };
        let mut file = files::open_or_make(path).map_err(blame)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(blame)?;
        let whole = whole(&text);
        let mut lines = text[..whole].split(|byte| *byte == b'\n');
        let first = lines.next().filter(|_| whole > 0).map(String::from_utf8_lossy);
        let erased = read(path, lines);
        match first.as_ref().map(|first| first.strip_prefix(FORM)) {
            Some(Some(of)) if of == key => {
                file.set_len(whole as u64).and_then(|()| file.sync_all()).map_err(blame)?;
            }
            Some(Some(_)) if !erased.is_empty() => {
                let (file, erasures) = (path.to_owned(), erased.len());
                return Err(ErasuresError::Foreign { file, erasures });
            }
            // One that says nothing of anybody begins anew.
            Some(Some(_)) => begin(&mut file, path, key).map_err(blame)?,
            None if FORM.as_bytes().starts_with(text.get(..FORM.len()).unwrap_or(&text)) => {
                begin(&mut file, path, key).map_err(blame)?;
            }
            Some(None) | None => return Err(ErasuresError::Unknown { file: path.to_owned() }),
        }
        let file = Self { path: path.to_owned(), compact_at: AtomicU64::new(0) };
        file.compact(key).map_err(blame)?;
        Ok((file, erased))
    }

    /// Writes the file anew if that makes it half as long; without losing a line that cannot be read.
    fn compact(&self, key: &str) -> io::Result<()> {
        let text = std::fs::read(&self.path)?;
        let mut lines = text[..whole(&text)].split(|byte| *byte == b'\n').skip(1);
        let (mut erased, mut unread) = (Erased::new(), Vec::new());
        for line in lines.by_ref().filter(|line| !line.is_empty()) {
            match read_line(line) {
                Some((hash, at)) => keep(&mut erased, hash, at),
                None => unread.extend([line, b"\n"].concat()),
            }
        }
        let kept: String = erased.iter().map(line).collect();
        let anew = [format!("{FORM}{key}\n").as_bytes(), kept.as_bytes(), &unread].concat();
        let most = (2 * anew.len() as u64).max(COMPACT_MIN_BYTES);
        self.compact_at.store(most, Ordering::Relaxed);
        if (text.len() as u64) < most {
            return Ok(());
        }
        let part = self.path.with_added_extension("part");
        let mut file = files::make_anew(&part)?;
        file.write_all(&anew)?;
        file.sync_all()?;
        std::fs::rename(&part, &self.path)?;
        sync_folder(&self.path)
    }

    /// Adds erasures. Durable when it answers. Blocks.
    pub fn add(&self, erased: &Erased) -> io::Result<()> {
        let mut file = std::fs::OpenOptions::new().read(true).write(true).open(&self.path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let end = whole(&text) as u64;
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        let lines = erased.iter().map(line).collect::<String>();
        let written = file.write_all(lines.as_bytes()).and_then(|()| file.sync_all());
        if written.is_err() {
            // Should this fail, too, the next one does it.
            let _ = file.set_len(end);
            return written;
        }
        if end + lines.len() as u64 >= self.compact_at.load(Ordering::Relaxed) {
            let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let first = String::from_utf8_lossy(first);
            // All of it is durable already; the next one tries again.
            if let Err(error) = self.compact(first.strip_prefix(FORM).unwrap_or_default()) {
                tracing::warn!(%error, "the file of erasures could not be made shorter");
            }
        }
        Ok(())
    }
}

/// The length of the lines that have an end, bytes.
fn whole(text: &[u8]) -> usize {
    text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

fn line((hash, at): (&CustomerHash, &Timestamp)) -> String {
    format!("{hash} {}\n", at.0)
}

fn read_line(line: &[u8]) -> Option<(CustomerHash, Timestamp)> {
    let (hash, at) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    Some((CustomerHash::parse(hash)?, Timestamp(at.parse().ok()?)))
}

fn keep(erased: &mut Erased, hash: CustomerHash, at: Timestamp) {
    let known = erased.entry(hash).or_insert(at);
    *known = at.max(*known);
}

fn read<'a>(path: &Path, lines: impl Iterator<Item = &'a [u8]>) -> Erased {
    let mut erased = Erased::new();
    for (n, line) in (2..).zip(lines).filter(|(_, line)| !line.is_empty()) {
        match read_line(line) {
            Some((hash, at)) => keep(&mut erased, hash, at),
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
    sync_folder(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
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

    fn hash(n: u8) -> CustomerHash {
        CustomerHash([n; HASH_BYTES])
    }

    #[test]
    fn what_was_added_is_there_and_what_was_cut_off_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("erasures");
        let (file, erased) = ErasuresFile::open(&path, "k").unwrap();
        assert!(erased.is_empty());
        file.add(&Erased::from([(hash(1), Timestamp(5)), (hash(0xab), Timestamp(6))])).unwrap();
        file.add(&Erased::from([(hash(1), Timestamp(4))])).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let expected = Erased::from([(hash(1), Timestamp(5)), (hash(0xab), Timestamp(6))]);
        // A crash may leave any part of a line.
        for cut in 1..=70 {
            let mut bytes = whole.clone();
            bytes.extend_from_slice(&format!("{} 7\n", hash(9)).as_bytes()[..cut.min(66)]);
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(ErasuresFile::open(&path, "k").unwrap().1, expected, "{cut}");
            assert_eq!(std::fs::read(&path).unwrap(), whole, "{cut}");
        }
        std::fs::write(&path, [&whole[..], b"xyz 1\n"].concat()).unwrap();
        assert_eq!(ErasuresFile::open(&path, "k").unwrap().1, expected, "a bad line hinders none");
        std::fs::write(&path, [&whole[..], b"\xff\xfe 1\n", &whole[FORM.len() + 2..]].concat())
            .unwrap();
        assert_eq!(ErasuresFile::open(&path, "k").unwrap().1, expected, "nor do odd bytes");
    }

    #[test]
    fn half_a_line_of_an_append_that_failed_spoils_no_later_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("erasures");
        let (file, _) = ErasuresFile::open(&path, "k").unwrap();
        file.add(&Erased::from([(hash(1), Timestamp(5))])).unwrap();
        let half = &hash(2).to_string()[..30];
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], half.as_bytes()].concat()).unwrap();
        file.add(&Erased::from([(hash(3), Timestamp(7))])).unwrap();
        let expected = Erased::from([(hash(1), Timestamp(5)), (hash(3), Timestamp(7))]);
        assert_eq!(ErasuresFile::open(&path, "k").unwrap().1, expected);
    }

    #[test]
    fn a_customer_who_is_erased_again_and_again_makes_the_file_no_longer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("erasures");
        let (file, _) = ErasuresFile::open(&path, "k").unwrap();
        file.add(&Erased::from([(hash(2), Timestamp(3))])).unwrap();
        let mut longest = 0;
        for at in 1..=1_000 {
            file.add(&Erased::from([(hash(1), Timestamp(at))])).unwrap();
            longest = longest.max(std::fs::metadata(&path).unwrap().len());
        }
        assert!(longest <= 2 * COMPACT_MIN_BYTES, "{longest}");
        let expected = Erased::from([(hash(1), Timestamp(1_000)), (hash(2), Timestamp(3))]);
        assert_eq!(ErasuresFile::open(&path, "k").unwrap().1, expected);
        // One that grew under a former release is made shorter by a start; what cannot be read stays.
        let mut text = std::fs::read_to_string(&path).unwrap() + "odd\n";
        (1..=1_000).for_each(|at| text += &line((&hash(1), &Timestamp(at))));
        std::fs::write(&path, text).unwrap();
        assert_eq!(ErasuresFile::open(&path, "k").unwrap().1, expected);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.lines().count() == 4 && text.contains("odd\n"), "{text}");
    }

    #[test]
    fn another_stores_file_is_refused_unless_it_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("erasures");
        ErasuresFile::open(&path, "other").unwrap();
        let (file, _) = ErasuresFile::open(&path, "k").unwrap();
        file.add(&Erased::from([(hash(1), Timestamp(5))])).unwrap();
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
    fn hashes_are_written_as_hex() {
        assert_eq!(CustomerHash::parse(&hash(0xf0).to_string()), Some(hash(0xf0)));
        for text in ["", "f", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(CustomerHash::parse(text), None, "{text}");
        }
    }
}
