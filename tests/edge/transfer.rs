//! `switchboard store` as an operator of machines meets it.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::storage::sqlite::{SqliteOptions, SqliteStore};

use crate::client::Client;
use crate::harness::id;
use crate::process::{command, refused, said, serve, signal, start, tokens};
use crate::samples::{chat, messages};

/// Chats of a store that is killed while it is filled, and their events.
const CHATS: u128 = 3_000;
const EVENTS: u64 = 8;

/// By how much the store grows, bytes, before the import is killed again, and how often that is
/// looked at.
const KILL_EVERY_BYTES: u64 = 768 * 1024;
const LOOK_EVERY: Duration = Duration::from_millis(1);

fn store(what: &str, file: &Path, data: &Path) -> Command {
    let mut command = command();
    command.args(["store", what]).arg(file).arg("--data").arg(data);
    command
}

#[tokio::test]
async fn a_store_goes_into_a_file_and_a_new_one_serves_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new, file) =
        (folder.path().join("old"), folder.path().join("new"), folder.path().join("copy"));
    let mut process = start(&old);
    let (_, visitor) = tokens(process.address, "anna").await;
    let mut customer = Client::connect(process.address).await;
    customer.open(&visitor, json!([])).await.unwrap();
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let chat = customer.call("chat.open", open.clone()).await.unwrap()["chat"].clone();
    let text = json!({"chat": chat, "client_message_id": "m1", "text": "are you there?"});
    customer.call("message.send", text).await.unwrap();
    let resume = resume(&chat, &customer.event("message").await["cursor"]);

    let in_use = refused(&mut store("export", &file, &old));
    assert!(in_use.contains("stop that one first") && !file.exists(), "{in_use}");
    signal(&process.child, "-TERM");
    let ended = tokio::task::spawn_blocking(move || process.child.wait());
    assert!(ended.await.unwrap().unwrap().success());
    let told = said(&mut store("export", &file, &old));
    assert!(told.contains("1 chats, ") && told.contains("1 open chats"), "{told}");
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&file).unwrap());
        assert_eq!(mode & 0o077, 0, "nobody else reads it");
    }
    let again = refused(&mut store("export", &file, &old));
    assert!(again.contains("there already"), "{again}");
    assert!(said(command().args(["store", "check"]).arg(&file)).contains("is whole"));
    let not_empty = refused(&mut store("import", &file, &old));
    assert!(not_empty.contains("not empty"), "{not_empty}");

    said(&mut store("import", &file, &new));
    let process = start(&new);
    let mut customer = Client::connect(process.address).await;
    let opened = customer.open(&visitor, resume.clone()).await.unwrap();
    assert_eq!(
        opened["chats"][0]["reload"], true,
        "positions of another history count for nothing"
    );
    let former = json!({"chat": chat, "after": resume[0]["cursor"]});
    let refused = customer.call("chat.history", former).await.unwrap_err();
    assert_eq!(refused["data"]["name"], "cursor_invalid");
    let same = customer.call("chat.open", open).await.unwrap()["chat"].clone();
    assert_eq!(same, chat, "the same token, command and chat");
    let history = customer.call("chat.history", json!({"chat": chat})).await.unwrap();
    assert!(history.to_string().contains("are you there?"), "{history}");
    assert_eq!(noted(process.address).await, ["store.imported"]);
}

/// What was done to the store from the command line, by its audit trail: acts that took effect.
pub async fn noted(address: std::net::SocketAddr) -> Vec<String> {
    let (admin, _) = tokens(address, "admin").await;
    let path = "/api/v1/audit?actor=command_line";
    let (status, text) = crate::harness::request(address, "GET", path, &admin, None).await;
    assert_eq!(status, 200, "{text}");
    let page: Value = serde_json::from_str(&text).unwrap();
    let rows = page["items"].as_array().unwrap().iter();
    let rows = rows.inspect(|row| {
        assert_eq!((&row["outcome"], &row["subject"]), (&json!("done"), &json!("store")), "{row}");
    });
    rows.map(|row| row["act"].as_str().unwrap().to_owned()).collect()
}

fn resume(chat: &Value, cursor: &Value) -> Value {
    json!([{"chat": chat, "cursor": cursor}])
}

#[tokio::test]
async fn a_store_that_was_set_back_is_told_and_clients_load_anew() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut process = start(&data);
    let (_, visitor) = tokens(process.address, "anna").await;
    let mut customer = Client::connect(process.address).await;
    customer.open(&visitor, json!([])).await.unwrap();
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let chat = customer.call("chat.open", open).await.unwrap()["chat"].clone();
    let text = json!({"chat": chat, "client_message_id": "m1", "text": "a"});
    customer.call("message.send", text).await.unwrap();
    let resume = resume(&chat, &customer.event("message").await["cursor"]);
    for (told, loads_anew) in [(false, false), (true, true)] {
        signal(&process.child, "-TERM");
        let ended = tokio::task::spawn_blocking(move || process.child.wait());
        assert!(ended.await.unwrap().unwrap().success());
        let options = SqliteOptions::new(&data);
        let position = async |write: bool| {
            let documents = Arc::new(SqliteStore::open(&options).unwrap()).store().documents;
            if write {
                documents.put("feed_positions", "test", 0, b"[]".to_vec()).await.unwrap();
            }
            documents.get("feed_positions", "test").await.unwrap().unwrap().body
        };
        if told {
            assert_eq!(position(true).await, b"[]");
            said(command().args(["store", "restored", "--data"]).arg(&data));
            assert_eq!(position(false).await, b"null", "who follows begins from nothing");
        }
        process = start(&data);
        let mut customer = Client::connect(process.address).await;
        let opened = customer.open(&visitor, resume.clone()).await.unwrap();
        assert_eq!(opened["chats"][0]["reload"], loads_anew);
        let expected: &[&str] = if told { &["store.restored"] } else { &[] };
        assert_eq!(noted(process.address).await, expected);
    }
}

#[test]
fn a_damaged_copy_and_a_half_filled_store_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("copy"));
    std::fs::write(&file, "no export\n").unwrap();
    for command in
        [&mut store("import", &file, &data), command().args(["store", "check"]).arg(&file)]
    {
        let told = refused(command);
        assert!(told.contains("copy: this is no export"), "{told}");
    }
    let told = refused(command().args(["store", "check"]).arg(folder.path().join("none")));
    assert!(told.contains("none: "), "{told}");

    let sqlite = Arc::new(SqliteStore::open(&SqliteOptions::new(&data)).unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(sqlite.store().documents.put("import", "1", 0, vec![1; 16])).unwrap();
    drop(sqlite);
    for command in [&mut serve(&data), &mut store("export", &folder.path().join("new"), &data)] {
        let told = refused(command);
        assert!(told.contains("run `switchboard store import` again"), "{told}");
    }
}

/// Bytes of the files in a folder that may not be there yet.
fn size(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}

/// The last line of a copy: counts and sums, whatever order the store was read in.
fn end(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().next_back().unwrap()[9..].to_owned()
}

#[test]
fn an_import_that_is_killed_again_and_again_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let sqlite = Arc::new(SqliteStore::open(&SqliteOptions::new(path("old"))).unwrap());
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let log = sqlite.store().log;
        for n in 0..CHATS {
            let claim = log.claim(chat(n)).await.unwrap().claim;
            log.append(claim, messages(1..=EVENTS)).await.unwrap();
        }
    });
    drop(sqlite);
    said(&mut store("export", &path("copy"), &path("old")));

    let (mut largest, mut killed) = (0, 0);
    'ended: loop {
        let mut import = store("import", &path("copy"), &path("new")).spawn().unwrap();
        loop {
            if import.try_wait().unwrap().is_some() {
                let output = import.wait_with_output().unwrap();
                let told = String::from_utf8_lossy(&output.stderr);
                // Or the last one was killed when it had done all and was closing the store.
                assert!(output.status.success() || told.contains("not empty"), "{told}");
                break 'ended;
            }
            let now = size(&path("new"));
            if now > largest + KILL_EVERY_BYTES {
                import.kill().unwrap();
                import.wait().unwrap();
                (largest, killed) = (now, killed + 1);
                break;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
    assert!(killed > 0, "it was killed in the middle");
    said(&mut store("export", &path("again"), &path("new")));
    let without_trail = |file: &str| {
        let mut end: Value = serde_json::from_str(&end(&path(file))).unwrap();
        let trail = end["end"]["sections"].as_object_mut().unwrap().remove("audit");
        (end, trail.map_or(json!(0), |trail| trail["count"].clone()))
    };
    let (copied, none) = without_trail("copy");
    assert_eq!(without_trail("again"), (copied, json!(1)), "and one entry of the import");
    assert_eq!(none, json!(0));
}
