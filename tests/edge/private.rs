//! Who may read the files of a store: its owner, whatever the umask of the process.

#![cfg(unix)]

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use crate::process::{Starting, command, serve, signal, start};

/// Names and permissions of the folder (as ".") and of what is in it.
fn permissions(folder: &Path) -> BTreeMap<String, u32> {
    let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap());
    let files = files.map(|file| (file.file_name().into_string().unwrap(), mode(&file.path())));
    files.chain([(".".to_owned(), mode(folder))]).collect()
}

fn set(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The same command in a process whose umask takes nothing away.
fn without_umask(of: &Command) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "umask 0; exec \"$0\" \"$@\""]).arg(of.get_program()).args(of.get_args());
    command.env_clear().stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    command
}

#[tokio::test]
async fn only_the_owner_may_read_what_a_store_and_its_copies_are_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let (data, copies) = (folder.path().join("above").join("data"), folder.path().join("copies"));
    let mut process = Starting::new(without_umask(&serve(&data))).ready();
    let found = permissions(&data);
    for name in [".", "switchboard.db", "switchboard.db-wal", "switchboard.db-shm"] {
        assert!(found.contains_key(name), "{name} in {found:?}");
    }
    let private = |(name, mode): (&String, &u32)| *mode == if name == "." { 0o700 } else { 0o600 };
    assert!(found.iter().all(private), "{found:?}");
    assert_eq!(permissions(data.parent().unwrap())["."], 0o700);
    signal(&process.child, "-TERM");
    assert!(process.child.wait().unwrap().success());

    std::fs::create_dir(&copies).unwrap();
    // What an interrupted export of a former release left.
    std::fs::write(copies.join("copy.part"), "").unwrap();
    set(&copies.join("copy.part"), 0o666);
    let mut export = command();
    export.args(["store", "export"]).arg(copies.join("copy")).arg("--data").arg(&data);
    let export = without_umask(&export).output().unwrap();
    assert!(export.status.success(), "{}", String::from_utf8_lossy(&export.stderr));
    assert_eq!(permissions(&copies)["copy"], 0o600);
}

#[tokio::test]
async fn a_folder_that_others_may_read_is_said_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    drop(start(&data));
    set(&data, 0o755);
    set(&data.join("switchboard.db"), 0o644);
    let mut starting = Starting::new(serve(&data));
    let said = starting.until(|line| {
        line["message"].as_str().is_some_and(|text| text.contains("others than their owner"))
    });
    let text = said.to_string();
    assert!(text.contains("chmod") && text.contains("switchboard.db"), "{text}");
    drop(starting.ready());
    let found = permissions(&data);
    assert_eq!((found["."], found["switchboard.db"]), (0o755, 0o644));
}
