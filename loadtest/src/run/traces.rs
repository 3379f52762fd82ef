//! A search for what was to be forgotten: byte by byte in whatever files there are, or cell by cell in a
//! keyspace.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use switchboard::storage::scylla::{ScyllaOptions, every_cell};

use super::RunError;

/// Deepest folder that is looked into.
const DEPTH_MAX: usize = 4;

/// What is read at a time, bytes.
const CHUNK_BYTES: usize = 1 << 20;

/// Where is looked.
#[derive(Debug, Clone)]
pub enum Place {
    /// In the files of a folder, or in one file.
    Files(PathBuf),
    /// In all cells that a keyspace answers. What its server keeps of deleted ones until it compacts them
    /// is not looked at.
    Keyspace(Box<ScyllaOptions>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(path) => path.display().fmt(f),
            Self::Keyspace(options) => write!(f, "the keyspace {}", options.keyspace),
        }
    }
}

/// The texts that begin with `prefix`, each `length` bytes long in all, wherever they stand in a place.
pub async fn texts(
    place: &Place,
    prefix: &str,
    length: usize,
) -> Result<BTreeSet<String>, RunError> {
    let failed = |why: String| RunError::Search { place: place.to_string(), why };
    match place {
        Place::Files(path) => {
            in_files(path, prefix, length).map_err(|error| failed(error.to_string()))
        }
        Place::Keyspace(options) => {
            let mut found = BTreeSet::new();
            // Reading from memory does not fail.
            let look = |cell: &[u8]| drop(search(cell, prefix.as_bytes(), length, &mut found));
            every_cell(options, look).await.map_err(|error| failed(error.to_string()))?;
            Ok(found)
        }
    }
}

/// What cannot be read while it is looked at, because it has just been removed, has nothing.
fn in_files(place: &Path, prefix: &str, length: usize) -> std::io::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for file in files(place, 0)? {
        match File::open(&file) {
            Ok(open) => search(open, prefix.as_bytes(), length, &mut found)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn files(place: &Path, depth: usize) -> std::io::Result<Vec<PathBuf>> {
    if !place.is_dir() {
        return Ok(if place.is_file() { vec![place.to_owned()] } else { Vec::new() });
    }
    let mut all = Vec::new();
    if depth < DEPTH_MAX {
        for entry in std::fs::read_dir(place)? {
            all.extend(files(&entry?.path(), depth + 1)?);
        }
    }
    Ok(all)
}

fn search(
    file: impl Read,
    prefix: &[u8],
    length: usize,
    found: &mut BTreeSet<String>,
) -> std::io::Result<()> {
    let mut reader = BufReader::with_capacity(CHUNK_BYTES, file);
    // What may be the beginning of a text that goes on in the next chunk.
    let mut kept: Vec<u8> = Vec::new();
    loop {
        let chunk = reader.fill_buf()?;
        let (read, end) = (chunk.len(), chunk.is_empty());
        kept.extend_from_slice(chunk);
        reader.consume(read);
        let whole = if end { kept.len() } else { (kept.len() + 1).saturating_sub(length) };
        let starts = (0..whole).filter(|at| kept[*at..].starts_with(prefix));
        for at in starts {
            let text = &kept[at..kept.len().min(at + length)];
            found.insert(String::from_utf8_lossy(text).into_owned());
        }
        if end {
            return Ok(());
        }
        kept.drain(..whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes so many at a time.
    struct Slowly<'a>(&'a [u8], usize);

    impl Read for Slowly<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let n = self.1.min(into.len());
            (&mut self.0).take(n as u64).read(into)
        }
    }

    #[test]
    fn a_text_is_found_wherever_chunks_end() {
        let file = b"xx forget-me-0001 yy forget-forget-me-0002forget-me-00";
        for at_a_time in 1..=file.len() {
            let mut found = BTreeSet::new();
            search(Slowly(file, at_a_time), b"forget-me-", 14, &mut found).unwrap();
            let found: Vec<&str> = found.iter().map(String::as_str).collect();
            assert_eq!(found, ["forget-me-00", "forget-me-0001", "forget-me-0002"], "{at_a_time}");
        }
    }
}
