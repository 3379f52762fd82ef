//! Checksums of pages: what stands in the bytes that every page of a database has reserved at its end.
//!
//! Owns what is written there and what fits. A checksum covers the page's content and its number, so
//! that a page that was written to the wrong place is seen too. One that is whole, in its place, and of
//! before fits: that a disk did not write what it was told to is seen by whoever compares pages.
//! [`super::checksum_vfs`] calls this for every page that SQLite reads and writes.
//!
//! Databases of former releases have nothing reserved, and their pages are as SQLite left them.

use std::ops::Range;

/// Bytes at the end of a page: the checksum, then [`ALGORITHM`]. SQLite's limit is 255, and the header of a
/// database says how many it has ([`RESERVED_AT`]).
pub(super) const RESERVED_BYTES: usize = 8;

/// Bytes of the checksum itself, little-endian; CRC-32C.
const CHECKSUM_BYTES: usize = 4;

/// Says how the checksum was made; another way needs another name. It is never zero, so no page that
/// was written is all zeros, and one that has become so does not fit.
const ALGORITHM: [u8; RESERVED_BYTES - CHECKSUM_BYTES] = *b"c32c";

/// What every database begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Where the header says how many bytes a page has, big-endian; 1 for [`PAGE_MOST_BYTES`].
const PAGE_SIZE_AT: Range<usize> = 16..18;

/// Where the header says how the database is written and read.
pub(super) const VERSIONS_AT: Range<usize> = 18..20;

/// What it says there of one with a log of writes.
pub(super) const WITH_LOG_OF_WRITES: [u8; 2] = [2; 2];

/// Where the header says how many bytes of a page are reserved.
const RESERVED_AT: usize = 20;

/// Bytes of the header of a database.
pub(super) const HEADER_BYTES: usize = 100;

/// Fewest bytes that SQLite lets a page have, and the most.
const PAGE_LEAST_BYTES: usize = 512;
const PAGE_MOST_BYTES: usize = 65_536;

/// What becomes of the pages that one connection reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Pages {
    /// One that does not fit its checksum is not read.
    Verified,
    /// They are read as they are: for whoever has another way to tell what is damaged. What is
    /// written gets its checksum all the same, so nothing is written but what was judged.
    Unverified,
    /// They are read and written as they are, for a copy that shows what is damaged. The first one,
    /// in which a copy counts for itself, gets its checksum.
    Kept,
}

/// Bytes of a page by the header of a database; none when there is no such number.
pub(super) fn page_bytes(header: &[u8]) -> Option<usize> {
    let number: [u8; 2] = header.get(PAGE_SIZE_AT)?.try_into().ok()?;
    let bytes = match u16::from_be_bytes(number) {
        1 => PAGE_MOST_BYTES,
        bytes => bytes.into(),
    };
    is_size(bytes).then_some(bytes)
}

/// Whether the header says that pages have room for our checksums.
pub(super) fn has_room(header: &[u8]) -> bool {
    header.starts_with(MAGIC)
        && header.get(RESERVED_AT).is_some_and(|bytes| usize::from(*bytes) == RESERVED_BYTES)
}

/// Whether these last bytes of a page are a checksum of ours, whatever it covers.
pub(super) fn names_algorithm(end: &[u8]) -> bool {
    end.ends_with(&ALGORITHM)
}

fn is_size(bytes: usize) -> bool {
    bytes.is_power_of_two() && (PAGE_LEAST_BYTES..=PAGE_MOST_BYTES).contains(&bytes)
}

/// The number of the page that lies there, from 1 on; none when it is less than one, as the header is
/// that SQLite reads by itself.
fn number(at: u64, bytes: usize) -> Option<u64> {
    let size = u64::try_from(bytes).ok().filter(|_| is_size(bytes))?;
    at.is_multiple_of(size).then_some(at / size + 1)
}

fn checksum(page: u64, content: &[u8]) -> [u8; CHECKSUM_BYTES] {
    crc32c::crc32c_append(crc32c::crc32c(content), &page.to_le_bytes()).to_le_bytes()
}

/// Writes its checksum into a page.
fn seal(page: u64, bytes: &mut [u8]) {
    if let Some((content, reserved)) = bytes.split_last_chunk_mut::<RESERVED_BYTES>() {
        let (sum, algorithm) = reserved.split_at_mut(CHECKSUM_BYTES);
        sum.copy_from_slice(&checksum(page, content));
        algorithm.copy_from_slice(&ALGORITHM);
    }
}

/// Whether a page is what was written there. One of zeros never was, though it looks like much that is
/// whole: the end of a long value, a page without rows. Those that SQLite frees are written too, since
/// every connection that writes overwrites what it removes, and it reads no page that it never wrote.
pub(super) fn fits(page: u64, bytes: &[u8]) -> bool {
    let Some((content, reserved)) = bytes.split_last_chunk::<RESERVED_BYTES>() else {
        return false;
    };
    let (sum, algorithm) = reserved.split_at(CHECKSUM_BYTES);
    algorithm == ALGORITHM && sum == checksum(page, content)
}

/// One open database file: whether its pages have checksums, and what that means for them.
pub(super) struct Guard {
    pages: Pages,
    has_checksums: bool,
    scratch: Vec<u8>,
}

impl Guard {
    /// Of a file that is empty or whose header and end of the first page are these.
    pub fn new(pages: Pages, header: &[u8], end: &[u8]) -> Self {
        Self { pages, has_checksums: has_room(header) || names_algorithm(end), scratch: Vec::new() }
    }

    /// Whether the pages have checksums.
    pub fn has_checksums(&self) -> bool {
        self.has_checksums
    }

    /// Whether SQLite may have what was read there.
    pub fn lets_read(&mut self, at: u64, bytes: &[u8]) -> bool {
        let Some(page) = number(at, bytes.len()) else { return true };
        // Two witnesses, so that no damage of one of them takes the checksums away.
        if page == 1 && (has_room(bytes) || names_algorithm(bytes)) {
            self.has_checksums = true;
        }
        match self.pages {
            Pages::Verified => !self.has_checksums || fits(page, bytes),
            Pages::Unverified | Pages::Kept => true,
        }
    }

    /// What is to be written there in the place of these bytes.
    pub fn written<'a>(&'a mut self, at: u64, bytes: &'a [u8]) -> &'a [u8] {
        let Some(page) = number(at, bytes.len()) else { return bytes };
        if page == 1 {
            self.has_checksums = has_room(bytes);
        }
        let seals = match self.pages {
            Pages::Verified | Pages::Unverified => self.has_checksums,
            Pages::Kept => self.has_checksums && page == 1,
        };
        if !seals {
            return bytes;
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(bytes);
        seal(page, &mut self.scratch);
        &self.scratch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 4_096;

    /// A first page that has room for checksums.
    fn first() -> Vec<u8> {
        let mut page = vec![7; PAGE];
        page[..MAGIC.len()].copy_from_slice(MAGIC);
        page[PAGE_SIZE_AT].copy_from_slice(&4_096_u16.to_be_bytes());
        page[RESERVED_AT] = RESERVED_BYTES as u8;
        page
    }

    fn guard(pages: Pages) -> Guard {
        Guard::new(pages, &first(), &[])
    }

    /// What is on the disk after this page was written as the `n`th.
    fn on_disk(n: u64, page: &[u8]) -> Vec<u8> {
        guard(Pages::Verified).written((n - 1) * PAGE as u64, page).to_vec()
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else_is() {
        let page: Vec<u8> = (0..PAGE).map(|n| n as u8).collect();
        let at = 2 * PAGE as u64;
        let whole = on_disk(3, &page);
        assert_eq!(whole[..PAGE - RESERVED_BYTES], page[..PAGE - RESERVED_BYTES]);
        assert!(guard(Pages::Verified).lets_read(at, &whole));
        for byte in 0..PAGE {
            let mut damaged = whole.clone();
            damaged[byte] ^= 0x10;
            assert!(!guard(Pages::Verified).lets_read(at, &damaged), "byte {byte}");
            assert!(guard(Pages::Unverified).lets_read(at, &damaged));
        }
        assert!(!guard(Pages::Verified).lets_read(0, &whole), "it is no first page");
        assert!(!guard(Pages::Verified).lets_read(at + PAGE as u64, &whole), "the wrong place");
        assert!(!guard(Pages::Verified).lets_read(at, &[0; PAGE]), "it was never written");
        assert!(guard(Pages::Verified).lets_read(24, &page[..16]), "no page");
        assert!(guard(Pages::Verified).lets_read(0, &page[..HEADER_BYTES]), "no page");
    }

    #[test]
    fn a_written_page_of_zeros_is_told_from_one_that_became_so() {
        let written = on_disk(9, &[0; PAGE]);
        assert!(guard(Pages::Verified).lets_read(8 * PAGE as u64, &written));
        let mut damaged = written;
        damaged[PAGE - RESERVED_BYTES..].fill(0);
        assert!(!guard(Pages::Verified).lets_read(8 * PAGE as u64, &damaged));
    }

    #[test]
    fn a_database_without_room_is_left_as_it_is() {
        let mut header = first();
        header[RESERVED_AT] = 0;
        let mut older = Guard::new(Pages::Verified, &header, &[3; RESERVED_BYTES]);
        assert!(!older.has_checksums());
        assert_eq!(older.written(0, &header).to_vec(), header);
        assert_eq!(older.written(PAGE as u64, &[5; PAGE]), [5; PAGE]);
        assert!(older.lets_read(0, &header) && older.lets_read(PAGE as u64, &[5; PAGE]));
        // Converted: from the first page on.
        let first = older.written(0, &first()).to_vec();
        assert!(older.has_checksums() && older.lets_read(0, &first));
        let second = older.written(PAGE as u64, &[5; PAGE]).to_vec();
        assert!(older.lets_read(PAGE as u64, &second) && !older.lets_read(PAGE as u64, &[5; PAGE]));
    }

    #[test]
    fn no_damage_of_the_header_takes_the_checksums_away() {
        let whole = on_disk(1, &first());
        for byte in 0..HEADER_BYTES {
            let mut damaged = whole.clone();
            damaged[byte] ^= 0x0c;
            let end = &damaged[PAGE - RESERVED_BYTES..];
            let mut opened = Guard::new(Pages::Verified, &damaged[..HEADER_BYTES], end);
            assert!(!opened.lets_read(0, &damaged), "byte {byte}");
        }
        let mut damaged = whole;
        damaged[PAGE - RESERVED_BYTES..].fill(9);
        let mut opened = Guard::new(Pages::Verified, &damaged[..HEADER_BYTES], &[9; 8]);
        assert!(!opened.lets_read(0, &damaged));
    }

    #[test]
    fn a_kept_copy_shows_what_was_damaged() {
        let mut damaged = on_disk(2, &[5; PAGE]);
        damaged[10] ^= 1;
        let mut kept = guard(Pages::Kept);
        assert_eq!(kept.written(PAGE as u64, &damaged), damaged);
        let first = kept.written(0, &first()).to_vec();
        assert!(guard(Pages::Verified).lets_read(0, &first), "it can be opened");
    }

    #[test]
    fn pages_have_the_sizes_that_sqlite_lets_them_have() {
        let of = |number: u16| {
            let mut header = first();
            header[PAGE_SIZE_AT].copy_from_slice(&number.to_be_bytes());
            page_bytes(&header)
        };
        assert_eq!((of(512), of(4_096), of(1)), (Some(512), Some(4_096), Some(65_536)));
        assert_eq!((of(0), of(256), of(4_000), page_bytes(&[])), (None, None, None, None));
    }
}
