//! Puts [`checksums`] under SQLite: a VFS that goes over another one, the system's or
//! a test's, and hands everything on but the pages of database files. The log of writes and journals go
//! straight to the other: they have checksums of their own, and SQLite has computed those before.
//!
//! Unsafe code, which only the allocator has beside it. Its grounds, once for all functions here:
//! - SQLite calls the methods with pointers that it made itself, valid for the call: buffers have the
//!   length that it says, and a file is one that `x_open` filled, between its opening and its close.
//! - `Handle` begins with `sqlite3_file`, as SQLite wants it, and is exclusively its connection's. The
//!   other VFS's file lies behind it: `szOsFile` has room for both, and the size of `Handle` is a
//!   multiple of its alignment, which no file of a VFS exceeds.
//! - A VFS that was registered is never taken back: its memory, its name and the other VFS, which was
//!   found by its name, live as long as the process.
//! - Nothing here panics, so nothing unwinds into SQLite.

#![allow(unsafe_code, reason = "SQLite takes a VFS as a table of C functions")]

use std::collections::HashMap;
use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::{LazyLock, Mutex, PoisonError};

use rusqlite::{Connection, ffi};

use super::checksums::{
    self, Guard, HEADER_BYTES, Pages, RESERVED_BYTES, VERSIONS_AT, WITH_LOG_OF_WRITES,
};

/// Where SQLite locks a database file: the page that lies there is never used.
const LOCKS_AT: u64 = 0x4000_0000;

/// What a VFS of ours goes over, and for what.
struct Below {
    vfs: *mut ffi::sqlite3_vfs,
    pages: Pages,
}

/// An open database file. The other VFS's file follows it in memory.
#[repr(C)]
struct Handle {
    base: ffi::sqlite3_file,
    guard: *mut Guard,
}

type Registered = HashMap<(Option<String>, Pages), String>;

static REGISTERED: LazyLock<Mutex<Registered>> = LazyLock::new(Mutex::default);

/// The name of the VFS that goes over `base`, none for the system's own, and treats pages so. Errors
/// when SQLite knows no such base.
pub(super) fn over(base: Option<&str>, pages: Pages) -> rusqlite::Result<String> {
    let mut registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (base.map(str::to_owned), pages);
    if let Some(name) = registered.get(&key) {
        return Ok(name.clone());
    }
    let name = format!("switchboard-{pages:?}-over-{}", base.unwrap_or("the-system"));
    register(base, pages, &name)?;
    registered.insert(key, name.clone());
    Ok(name)
}

fn register(base: Option<&str>, pages: Pages, name: &str) -> rusqlite::Result<()> {
    let base = base.map(CString::new).transpose()?;
    let own = CString::new(name)?;
    let sought = base.as_ref().map_or(std::ptr::null(), |base| base.as_ptr());
    // SAFETY: a name or null is what it takes.
    let vfs = unsafe { ffi::sqlite3_vfs_find(sought) };
    if vfs.is_null() {
        return Err(failure(ffi::SQLITE_NOTFOUND, "SQLite knows no such VFS"));
    }
    // SAFETY: registered, so valid for ever.
    let (file_bytes, path_bytes) = unsafe { ((*vfs).szOsFile, (*vfs).mxPathname) };
    let ours = ffi::sqlite3_vfs {
        iVersion: 1,
        szOsFile: size_of::<Handle>() as c_int + file_bytes,
        mxPathname: path_bytes,
        pNext: std::ptr::null_mut(),
        zName: own.into_raw(),
        pAppData: Box::into_raw(Box::new(Below { vfs, pages })).cast(),
        xOpen: Some(x_open),
        xDelete: Some(x_delete),
        xAccess: Some(x_access),
        xFullPathname: Some(x_full_pathname),
        // No extension is ever loaded.
        xDlOpen: None,
        xDlError: None,
        xDlSym: None,
        xDlClose: None,
        xRandomness: Some(x_randomness),
        xSleep: Some(x_sleep),
        xCurrentTime: Some(x_current_time),
        xGetLastError: Some(x_get_last_error),
        xCurrentTimeInt64: None,
        xSetSystemCall: None,
        xGetSystemCall: None,
        xNextSystemCall: None,
    };
    // SAFETY: leaked, so valid for ever.
    match unsafe { ffi::sqlite3_vfs_register(Box::into_raw(Box::new(ours)), 0) } {
        ffi::SQLITE_OK => Ok(()),
        code => Err(failure(code, "SQLite does not take the VFS")),
    }
}

fn failure(code: c_int, what: &str) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(what.to_owned()))
}

/// Whether the pages of a database have checksums.
pub(super) fn has_checksums(of: &Connection) -> rusqlite::Result<bool> {
    let file = file_of(of)?;
    // SAFETY: a file of ours, open as long as its connection.
    Ok(unsafe { guard(file) }.has_checksums())
}

/// Pages of a database that do not fit their checksums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Failing {
    /// How many.
    pub pages: u64,
    /// The first of them; pages count from 1.
    pub first: u64,
}

/// Looks at every page in the file, which nobody may write meanwhile; none has anything to fit in a
/// database without checksums. What only the log of writes has is not looked at.
pub(super) fn failing(of: &Connection) -> rusqlite::Result<Failing> {
    let number = |name: &str| of.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
    let (pages, size) = (number("page_count")?, number("page_size")?);
    let mut found = Failing::default();
    if !has_checksums(of)? {
        return Ok(found);
    }
    let file = file_of(of)?;
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    for page in (1..=pages).filter(|page| (page - 1) * size != LOCKS_AT) {
        // SAFETY: a file of ours, open as long as its connection.
        match unsafe { read_below(file, &mut bytes, (page - 1) * size) } {
            ffi::SQLITE_OK | ffi::SQLITE_IOERR_SHORT_READ => {}
            code => return Err(failure(code, "a page cannot be read")),
        }
        if !checksums::fits(page, &bytes) {
            found.pages += 1;
            found.first = if found.pages == 1 { page } else { found.first };
        }
    }
    Ok(found)
}

/// Says in the header that the database has a log of writes, and nothing else: SQLite would write the whole
/// first page for that, with a checksum that a damaged one must not get. So one that was whole does not fit
/// from here on, until it is replaced.
pub(super) fn give_log_of_writes(to: &Connection) -> rusqlite::Result<()> {
    let file = file_of(to)?;
    let (versions, len) = (WITH_LOG_OF_WRITES, WITH_LOG_OF_WRITES.len() as c_int);
    let at = VERSIONS_AT.start as ffi::sqlite3_int64;
    let from = versions.as_ptr().cast::<c_void>();
    // SAFETY: a file of ours, open as long as its connection, and a buffer of the length that is said.
    let written = unsafe {
        match x_write(file, from, len, at) {
            ffi::SQLITE_OK => x_sync(file, ffi::SQLITE_SYNC_NORMAL),
            code => code,
        }
    };
    match written {
        ffi::SQLITE_OK => Ok(()),
        code => Err(failure(code, "the header cannot be written")),
    }
}

/// The database file of a connection that was opened through a VFS of ours.
fn file_of(connection: &Connection) -> rusqlite::Result<*mut ffi::sqlite3_file> {
    let mut file: *mut ffi::sqlite3_file = std::ptr::null_mut();
    // SAFETY: the handle is valid as long as the connection, and this operation fills a pointer.
    let (result, methods) = unsafe {
        let to = (&raw mut file).cast::<c_void>();
        let name = c"main".as_ptr();
        let operation = ffi::SQLITE_FCNTL_FILE_POINTER;
        let result = ffi::sqlite3_file_control(connection.handle(), name, operation, to);
        (result, file.as_ref().map_or(std::ptr::null(), |file| file.pMethods))
    };
    if result != ffi::SQLITE_OK || !std::ptr::eq(methods, &raw const METHODS) {
        return Err(failure(ffi::SQLITE_MISUSE, "no database that was opened with checksums"));
    }
    Ok(file)
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    // 3 would let SQLite map the file into memory, past every check.
    iVersion: 2,
    xClose: Some(x_close),
    xRead: Some(x_read),
    xWrite: Some(x_write),
    xTruncate: Some(x_truncate),
    xSync: Some(x_sync),
    xFileSize: Some(x_file_size),
    xLock: Some(x_lock),
    xUnlock: Some(x_unlock),
    xCheckReservedLock: Some(x_check_reserved_lock),
    xFileControl: Some(x_file_control),
    xSectorSize: Some(x_sector_size),
    xDeviceCharacteristics: Some(x_device_characteristics),
    xShmMap: Some(x_shm_map),
    xShmLock: Some(x_shm_lock),
    xShmBarrier: Some(x_shm_barrier),
    xShmUnmap: Some(x_shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// Calls a method of the other VFS; a method that it does not have is the given result.
macro_rules! vfs_below {
    ($vfs:ident . $method:ident ( $($argument:expr),* ), else $without:expr) => {{
        let other = unsafe { (*(*$vfs).pAppData.cast::<Below>()).vfs };
        match unsafe { (*other).$method } {
            Some(method) => unsafe { method(other, $($argument),*) },
            None => $without,
        }
    }};
}

/// Calls a method of the other VFS's file; a method that it does not have is the given result.
macro_rules! file_below {
    ($file:ident . $method:ident ( $($argument:expr),* ), else $without:expr) => {{
        let other = unsafe { below($file) };
        match unsafe { (*(*other).pMethods).$method } {
            Some(method) => unsafe { method(other, $($argument),*) },
            None => $without,
        }
    }};
}

/// The other VFS's file behind one of ours.
unsafe fn below(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    unsafe { file.cast::<Handle>().add(1).cast() }
}

unsafe fn guard<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Guard {
    unsafe { &mut *(*file.cast::<Handle>()).guard }
}

/// Reads what is in the file, whatever it is.
unsafe fn read_below(file: *mut ffi::sqlite3_file, to: &mut [u8], at: u64) -> c_int {
    let (Ok(len), Ok(at)) = (c_int::try_from(to.len()), ffi::sqlite3_int64::try_from(at)) else {
        return ffi::SQLITE_IOERR_READ;
    };
    file_below!(file.xRead(to.as_mut_ptr().cast(), len, at), else ffi::SQLITE_IOERR_READ)
}

unsafe extern "C" fn x_open(
    vfs: *mut ffi::sqlite3_vfs,
    path: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    unsafe { (*file).pMethods = std::ptr::null() };
    if flags & ffi::SQLITE_OPEN_MAIN_DB == 0 {
        // It becomes the other's file wholly.
        return vfs_below!(vfs.xOpen(path, file, flags, out_flags), else ffi::SQLITE_CANTOPEN);
    }
    let other = unsafe { below(file) };
    let opened = vfs_below!(vfs.xOpen(path, other, flags, out_flags), else ffi::SQLITE_CANTOPEN);
    let methods = unsafe { (*other).pMethods };
    if methods.is_null() {
        return if opened == ffi::SQLITE_OK { ffi::SQLITE_CANTOPEN } else { opened };
    }
    // The log of writes needs memory that is shared.
    let shares = unsafe { (*methods).iVersion } >= METHODS.iVersion;
    if opened != ffi::SQLITE_OK || !shares {
        file_below!(file.xClose(), else ffi::SQLITE_OK);
        return if shares { opened } else { ffi::SQLITE_CANTOPEN };
    }
    let (mut header, mut end) = ([0; HEADER_BYTES], [0; RESERVED_BYTES]);
    // What cannot be read here cannot be later, and SQLite is told then.
    unsafe { read_below(file, &mut header, 0) };
    if let Some(bytes) = checksums::page_bytes(&header) {
        unsafe { read_below(file, &mut end, (bytes - RESERVED_BYTES) as u64) };
    }
    let pages = unsafe { (*(*vfs).pAppData.cast::<Below>()).pages };
    let guard = Box::new(Guard::new(pages, &header, &end));
    unsafe {
        (*file.cast::<Handle>()).guard = Box::into_raw(guard);
        (*file).pMethods = &raw const METHODS;
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn x_close(file: *mut ffi::sqlite3_file) -> c_int {
    drop(unsafe { Box::from_raw((*file.cast::<Handle>()).guard) });
    file_below!(file.xClose(), else ffi::SQLITE_OK)
}

unsafe extern "C" fn x_read(
    file: *mut ffi::sqlite3_file,
    to: *mut c_void,
    len: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    let read = file_below!(file.xRead(to, len, at), else ffi::SQLITE_IOERR_READ);
    // What is missing behind the end of a file has become zeros.
    if read != ffi::SQLITE_OK && read != ffi::SQLITE_IOERR_SHORT_READ {
        return read;
    }
    let (Ok(len), Ok(at)) = (usize::try_from(len), u64::try_from(at)) else { return read };
    let bytes = unsafe { std::slice::from_raw_parts(to.cast::<u8>(), len) };
    match unsafe { guard(file) }.lets_read(at, bytes) {
        true => read,
        false => ffi::SQLITE_IOERR_DATA,
    }
}

unsafe extern "C" fn x_write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    len: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    let (Ok(bytes), Ok(offset)) = (usize::try_from(len), u64::try_from(at)) else {
        return ffi::SQLITE_IOERR_WRITE;
    };
    let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), bytes) };
    // As long as what came.
    let written = unsafe { guard(file) }.written(offset, bytes);
    file_below!(file.xWrite(written.as_ptr().cast(), len, at), else ffi::SQLITE_IOERR_WRITE)
}

unsafe extern "C" fn x_truncate(file: *mut ffi::sqlite3_file, len: ffi::sqlite3_int64) -> c_int {
    file_below!(file.xTruncate(len), else ffi::SQLITE_IOERR_TRUNCATE)
}

unsafe extern "C" fn x_sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    file_below!(file.xSync(flags), else ffi::SQLITE_IOERR_FSYNC)
}

unsafe extern "C" fn x_file_size(
    file: *mut ffi::sqlite3_file,
    out: *mut ffi::sqlite3_int64,
) -> c_int {
    file_below!(file.xFileSize(out), else ffi::SQLITE_IOERR_FSTAT)
}

unsafe extern "C" fn x_lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    file_below!(file.xLock(level), else ffi::SQLITE_IOERR_LOCK)
}

unsafe extern "C" fn x_unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    file_below!(file.xUnlock(level), else ffi::SQLITE_IOERR_UNLOCK)
}

unsafe extern "C" fn x_check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    file_below!(file.xCheckReservedLock(out), else ffi::SQLITE_IOERR_CHECKRESERVEDLOCK)
}

unsafe extern "C" fn x_file_control(
    file: *mut ffi::sqlite3_file,
    operation: c_int,
    argument: *mut c_void,
) -> c_int {
    file_below!(file.xFileControl(operation, argument), else ffi::SQLITE_NOTFOUND)
}

unsafe extern "C" fn x_sector_size(file: *mut ffi::sqlite3_file) -> c_int {
    file_below!(file.xSectorSize(), else 0)
}

unsafe extern "C" fn x_device_characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    let all = file_below!(file.xDeviceCharacteristics(), else 0);
    // Else SQLite reads parts of pages, past every check.
    all & !ffi::SQLITE_IOCAP_SUBPAGE_READ
}

unsafe extern "C" fn x_shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    file_below!(file.xShmMap(region, size, extend, out), else ffi::SQLITE_IOERR_SHMMAP)
}

unsafe extern "C" fn x_shm_lock(
    file: *mut ffi::sqlite3_file,
    offset: c_int,
    n: c_int,
    flags: c_int,
) -> c_int {
    file_below!(file.xShmLock(offset, n, flags), else ffi::SQLITE_IOERR_SHMLOCK)
}

unsafe extern "C" fn x_shm_barrier(file: *mut ffi::sqlite3_file) {
    file_below!(file.xShmBarrier(), else ());
}

unsafe extern "C" fn x_shm_unmap(file: *mut ffi::sqlite3_file, delete: c_int) -> c_int {
    file_below!(file.xShmUnmap(delete), else ffi::SQLITE_OK)
}

unsafe extern "C" fn x_delete(
    vfs: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    sync: c_int,
) -> c_int {
    vfs_below!(vfs.xDelete(path, sync), else ffi::SQLITE_IOERR_DELETE)
}

unsafe extern "C" fn x_access(
    vfs: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    vfs_below!(vfs.xAccess(path, flags, out), else ffi::SQLITE_IOERR_ACCESS)
}

unsafe extern "C" fn x_full_pathname(
    vfs: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    size: c_int,
    out: *mut c_char,
) -> c_int {
    vfs_below!(vfs.xFullPathname(path, size, out), else ffi::SQLITE_CANTOPEN)
}

unsafe extern "C" fn x_randomness(
    vfs: *mut ffi::sqlite3_vfs,
    bytes: c_int,
    out: *mut c_char,
) -> c_int {
    vfs_below!(vfs.xRandomness(bytes, out), else 0)
}

unsafe extern "C" fn x_sleep(vfs: *mut ffi::sqlite3_vfs, us: c_int) -> c_int {
    vfs_below!(vfs.xSleep(us), else 0)
}

unsafe extern "C" fn x_current_time(vfs: *mut ffi::sqlite3_vfs, out: *mut f64) -> c_int {
    vfs_below!(vfs.xCurrentTime(out), else ffi::SQLITE_ERROR)
}

unsafe extern "C" fn x_get_last_error(
    vfs: *mut ffi::sqlite3_vfs,
    bytes: c_int,
    out: *mut c_char,
) -> c_int {
    vfs_below!(vfs.xGetLastError(bytes, out), else 0)
}
