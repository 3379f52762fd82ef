//! Puts [`Disk`]s under SQLite: a VFS of its own for the files, SQLite's own for time, sleep and
//! randomness. Locks and shared memory live in this process, as all connections do.
//!
//! The only unsafe code of the tests. Its grounds, once for all functions here:
//! - SQLite calls the methods with pointers that it made itself, valid for the call: names end
//!   with a zero byte, buffers have the length that it says, and a file is one that `x_open`
//!   filled, between its opening and its close.
//! - `Handle` begins with `sqlite3_file`, as SQLite wants it, and is exclusively its connection's.
//! - The memory of a shared region lives until the last connection unmapped it.

#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, Once};

use rusqlite::ffi;

use crate::disk::{Disk, Trouble};

/// The name by which SQLite knows the VFS.
pub const VFS: &str = "power-loss";

/// Slots of locks in the shared memory of a WAL.
const SHM_SLOTS: usize = 8;

/// Longest path, bytes.
const PATH_MAX_BYTES: c_int = 1_024;

static DISKS: LazyLock<Mutex<HashMap<String, Mounted>>> = LazyLock::new(Mutex::default);

/// A disk in the place of a folder, and what its users share besides its files.
#[derive(Clone)]
struct Mounted {
    disk: Arc<Disk>,
    shared: Arc<Mutex<HashMap<(u64, String), Shared>>>,
}

/// What the connections to one file share in one life of the disk.
#[derive(Default)]
struct Shared {
    locks: HashMap<usize, c_int>,
    slots: [i32; SHM_SLOTS],
    regions: Vec<Box<[u64]>>,
    mapped: usize,
}

#[repr(C)]
struct Handle {
    base: ffi::sqlite3_file,
    open: *mut Open,
}

/// One open file.
struct Open {
    mounted: Mounted,
    life: u64,
    name: String,
    delete_on_close: bool,
    /// The next sync also syncs the folder, as SQLite's own VFS does it with new journals.
    sync_folder: bool,
    shm_shared: u32,
    shm_exclusive: u32,
    shm_mapped: bool,
}

impl Open {
    fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn shared<T>(&self, work: impl FnOnce(&mut Shared) -> T) -> T {
        let mut shared = self.mounted.shared.lock().unwrap();
        work(shared.entry((self.life, self.name.clone())).or_default())
    }
}

/// Lets files in `folder` live on `disk`, for as long as the answer is kept.
pub fn mount(folder: &Path, disk: &Arc<Disk>) -> Mount {
    register();
    let folder = folder.to_str().unwrap().to_owned();
    let mounted = Mounted { disk: Arc::clone(disk), shared: Arc::default() };
    DISKS.lock().unwrap().insert(folder.clone(), mounted);
    Mount(folder)
}

/// Unmounts when dropped.
pub struct Mount(String);

impl Drop for Mount {
    fn drop(&mut self) {
        DISKS.lock().unwrap().remove(&self.0);
    }
}

fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the default VFS lives as long as the process, and ours is leaked to do so too.
        unsafe {
            let own = ffi::sqlite3_vfs_find(std::ptr::null());
            assert!(!own.is_null(), "SQLite has a VFS of its own");
            let vfs = ffi::sqlite3_vfs {
                iVersion: 1,
                szOsFile: size_of::<Handle>() as c_int,
                mxPathname: PATH_MAX_BYTES,
                zName: CString::new(VFS).unwrap().into_raw(),
                pAppData: own.cast(),
                xOpen: Some(x_open),
                xDelete: Some(x_delete),
                xAccess: Some(x_access),
                xFullPathname: Some(x_full_pathname),
                xRandomness: (*own).xRandomness,
                xSleep: (*own).xSleep,
                xCurrentTime: (*own).xCurrentTime,
                ..std::mem::zeroed()
            };
            let result = ffi::sqlite3_vfs_register(Box::into_raw(Box::new(vfs)), 0);
            assert_eq!(result, ffi::SQLITE_OK);
        }
    });
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
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

/// The disk and the name on it for a path.
unsafe fn find(path: *const c_char) -> Option<(Mounted, String)> {
    let path = unsafe { CStr::from_ptr(path) }.to_str().ok()?;
    let (folder, name) = path.rsplit_once('/')?;
    let mounted = DISKS.lock().unwrap().get(folder)?.clone();
    Some((mounted, name.to_owned()))
}

unsafe fn opened<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Open {
    unsafe { &mut *(*file.cast::<Handle>()).open }
}

fn code(result: Result<(), Trouble>, otherwise: c_int) -> c_int {
    match result {
        Ok(()) => ffi::SQLITE_OK,
        Err(Trouble::Full) => ffi::SQLITE_FULL,
        Err(Trouble::SyncFailed) => ffi::SQLITE_IOERR_FSYNC,
        Err(Trouble::Missing) => ffi::SQLITE_CANTOPEN,
        Err(Trouble::Off) => otherwise,
    }
}

unsafe extern "C" fn x_open(
    _: *mut ffi::sqlite3_vfs,
    path: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    unsafe { (*file).pMethods = std::ptr::null() };
    // No statement of the store needs a temporary file; none may escape the disk.
    if path.is_null() {
        return ffi::SQLITE_CANTOPEN;
    }
    let Some((mounted, name)) = (unsafe { find(path) }) else {
        return ffi::SQLITE_CANTOPEN;
    };
    let create = flags & ffi::SQLITE_OPEN_CREATE != 0;
    let result = code(mounted.disk.open(&name, create), ffi::SQLITE_CANTOPEN);
    if result != ffi::SQLITE_OK {
        return result;
    }
    let open = Open {
        life: mounted.disk.life(),
        mounted,
        name,
        sync_folder: create && flags & (ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL) != 0,
        delete_on_close: flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0,
        shm_shared: 0,
        shm_exclusive: 0,
        shm_mapped: false,
    };
    unsafe {
        if !out_flags.is_null() {
            *out_flags = flags;
        }
        (*file.cast::<Handle>()).open = Box::into_raw(Box::new(open));
        (*file).pMethods = &raw const METHODS;
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn x_delete(_: *mut ffi::sqlite3_vfs, path: *const c_char, _: c_int) -> c_int {
    match unsafe { find(path) } {
        Some((mounted, name)) => code(mounted.disk.delete(&name), ffi::SQLITE_IOERR_DELETE),
        None => ffi::SQLITE_IOERR_DELETE,
    }
}

unsafe extern "C" fn x_access(
    _: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let there = match unsafe { find(path) } {
        Some((mounted, name)) => flags != ffi::SQLITE_ACCESS_EXISTS || mounted.disk.exists(&name),
        None => false,
    };
    unsafe { *out = there.into() };
    ffi::SQLITE_OK
}

unsafe extern "C" fn x_full_pathname(
    _: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    size: c_int,
    out: *mut c_char,
) -> c_int {
    let path = unsafe { CStr::from_ptr(path) }.to_bytes_with_nul();
    if path.len() > size as usize {
        return ffi::SQLITE_CANTOPEN;
    }
    unsafe { std::ptr::copy_nonoverlapping(path.as_ptr(), out.cast(), path.len()) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn x_close(file: *mut ffi::sqlite3_file) -> c_int {
    let open = unsafe { Box::from_raw((*file.cast::<Handle>()).open) };
    open.shared(|shared| shared.locks.remove(&open.id()));
    if open.delete_on_close {
        let _ = open.mounted.disk.delete(&open.name);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn x_read(
    file: *mut ffi::sqlite3_file,
    to: *mut c_void,
    len: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    let open = unsafe { opened(file) };
    let to = unsafe { std::slice::from_raw_parts_mut(to.cast::<u8>(), len as usize) };
    match open.mounted.disk.read(open.life, &open.name, at as usize, to) {
        Ok(read) if read == to.len() => ffi::SQLITE_OK,
        Ok(read) => {
            // SQLite wants what is missing as zeros.
            to[read..].fill(0);
            ffi::SQLITE_IOERR_SHORT_READ
        }
        Err(_) => ffi::SQLITE_IOERR_READ,
    }
}

unsafe extern "C" fn x_write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    len: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    let open = unsafe { opened(file) };
    let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), len as usize) };
    let written = open.mounted.disk.write(open.life, &open.name, at as usize, bytes);
    code(written, ffi::SQLITE_IOERR_WRITE)
}

unsafe extern "C" fn x_truncate(file: *mut ffi::sqlite3_file, len: ffi::sqlite3_int64) -> c_int {
    let open = unsafe { opened(file) };
    let done = open.mounted.disk.truncate(open.life, &open.name, len as usize);
    code(done, ffi::SQLITE_IOERR_TRUNCATE)
}

unsafe extern "C" fn x_sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    let open = unsafe { opened(file) };
    let disk = &open.mounted.disk;
    let mut synced = disk.sync(open.life, &open.name);
    if std::mem::replace(&mut open.sync_folder, false) {
        synced = synced.and_then(|()| disk.sync_folder(open.life));
    }
    code(synced, ffi::SQLITE_IOERR_FSYNC)
}

unsafe extern "C" fn x_file_size(
    file: *mut ffi::sqlite3_file,
    out: *mut ffi::sqlite3_int64,
) -> c_int {
    let open = unsafe { opened(file) };
    match open.mounted.disk.len(open.life, &open.name) {
        Ok(len) => {
            unsafe { *out = len as ffi::sqlite3_int64 };
            ffi::SQLITE_OK
        }
        Err(_) => ffi::SQLITE_IOERR_FSTAT,
    }
}

unsafe extern "C" fn x_lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    let open = unsafe { opened(file) };
    let id = open.id();
    open.shared(|shared| {
        let others = shared.locks.iter().filter(|(other, _)| **other != id);
        let highest = others.map(|(_, level)| *level).max().unwrap_or(0);
        let own = shared.locks.get(&id).copied().unwrap_or(0);
        let granted = match level {
            ffi::SQLITE_LOCK_SHARED if highest < ffi::SQLITE_LOCK_PENDING => level,
            ffi::SQLITE_LOCK_RESERVED if highest < ffi::SQLITE_LOCK_RESERVED => level,
            ffi::SQLITE_LOCK_EXCLUSIVE if highest < ffi::SQLITE_LOCK_SHARED => level,
            ffi::SQLITE_LOCK_EXCLUSIVE if highest < ffi::SQLITE_LOCK_RESERVED => {
                ffi::SQLITE_LOCK_PENDING
            }
            _ => own,
        };
        shared.locks.insert(id, granted.max(own));
        if granted.max(own) >= level { ffi::SQLITE_OK } else { ffi::SQLITE_BUSY }
    })
}

unsafe extern "C" fn x_unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    let open = unsafe { opened(file) };
    open.shared(|shared| shared.locks.insert(open.id(), level));
    ffi::SQLITE_OK
}

unsafe extern "C" fn x_check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    let open = unsafe { opened(file) };
    let reserved =
        open.shared(|shared| shared.locks.values().any(|one| *one >= ffi::SQLITE_LOCK_RESERVED));
    unsafe { *out = reserved.into() };
    ffi::SQLITE_OK
}

unsafe extern "C" fn x_file_control(_: *mut ffi::sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn x_sector_size(_: *mut ffi::sqlite3_file) -> c_int {
    512
}

unsafe extern "C" fn x_device_characteristics(_: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn x_shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    let open = unsafe { opened(file) };
    let first = !std::mem::replace(&mut open.shm_mapped, true);
    let memory = open.shared(|shared| {
        shared.mapped += usize::from(first);
        while extend != 0 && shared.regions.len() <= region as usize {
            shared.regions.push(vec![0; size as usize / 8].into_boxed_slice());
        }
        let region = shared.regions.get_mut(region as usize);
        region.map_or(std::ptr::null_mut(), |region| region.as_mut_ptr())
    });
    unsafe { *out = memory.cast() };
    ffi::SQLITE_OK
}

unsafe extern "C" fn x_shm_lock(
    file: *mut ffi::sqlite3_file,
    offset: c_int,
    n: c_int,
    flags: c_int,
) -> c_int {
    let open = unsafe { opened(file) };
    let range = offset as usize..(offset + n) as usize;
    let mask = range.clone().fold(0_u32, |mask, slot| mask | 1 << slot);
    let (shared_before, exclusive_before) = (open.shm_shared, open.shm_exclusive);
    let granted = open.shared(|shared| {
        let slots = &mut shared.slots[range.clone()];
        if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
            for (slot, n) in slots.iter_mut().zip(range) {
                if exclusive_before & (1 << n) != 0 {
                    *slot = 0;
                } else if shared_before & (1 << n) != 0 {
                    *slot -= 1;
                }
            }
            return true;
        }
        if flags & ffi::SQLITE_SHM_SHARED != 0 {
            if shared_before & mask != 0 {
                return true;
            }
            let free = slots.iter().all(|slot| *slot >= 0);
            slots.iter_mut().filter(|_| free).for_each(|slot| *slot += 1);
            return free;
        }
        let free = slots.iter().all(|slot| *slot == 0);
        slots.iter_mut().filter(|_| free).for_each(|slot| *slot = -1);
        free
    });
    if !granted {
        return ffi::SQLITE_BUSY;
    }
    if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
        open.shm_shared &= !mask;
        open.shm_exclusive &= !mask;
    } else if flags & ffi::SQLITE_SHM_SHARED != 0 {
        open.shm_shared |= mask;
    } else {
        open.shm_exclusive |= mask;
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn x_shm_barrier(file: *mut ffi::sqlite3_file) {
    // Taking the lock is a barrier among all who take it; the fence orders the rest.
    unsafe { opened(file) }.shared(|_| ());
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

unsafe extern "C" fn x_shm_unmap(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    let open = unsafe { opened(file) };
    if std::mem::replace(&mut open.shm_mapped, false) {
        open.shared(|shared| {
            shared.mapped -= 1;
            if shared.mapped == 0 {
                shared.regions.clear();
            }
        });
    }
    ffi::SQLITE_OK
}
