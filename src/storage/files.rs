//! Files of a store and copies of it. They hold messages, password hashes and the keys of tokens:
//! only their owner may read them, whatever the process's umask lets through.
//!
//! What is there already is never changed, since somebody may have given others the right on
//! purpose; it is said ([`open_to_others`]).

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// The permissions that a group or everybody else may have.
#[cfg(unix)]
const OTHERS: u32 = 0o077;

/// Most names that are said; the advice is the same for all of them.
const NAMES_MAX: usize = 16;

/// Makes a folder, with those above it, unless it is there.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Opens a file for reading and writing, and makes it if it is not there.
pub(crate) fn open_or_make(file: &Path) -> io::Result<File> {
    private().create(true).truncate(false).read(true).open(file)
}

/// Makes a file of this name. One that is there already is removed before: it may belong to
/// somebody else's idea of who may read it.
pub(crate) fn make_anew(file: &Path) -> io::Result<File> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    private().create_new(true).open(file)
}

/// Takes a file that was just made, as a socket, from everybody but its owner.
#[cfg(unix)]
pub(crate) fn only_for_owner(file: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600))
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// The folder and the files in it that others than their owner may use. What cannot be looked at
/// is left out: this is advice.
pub(crate) fn open_to_others(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.path());
    let all = std::iter::once(folder.to_owned()).chain(files);
    all.filter(|path| is_open_to_others(path)).take(NAMES_MAX).collect()
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::symlink_metadata(path)
        .is_ok_and(|found| !found.is_symlink() && found.permissions().mode() & OTHERS != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_: &Path) -> bool {
    false
}
