//! Erasures, and copies of the store that were made before them.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use switchboard::app::{ERASURES_FILE, Server, StoreChoice};
use switchboard::config::Settings;
use switchboard::storage::export::{Occasion, Patience, export, import};
use switchboard::storage::sqlite::{DATABASE_FILE, open_past_the_store};

use crate::cql_support::Keyspace;
use crate::erase::{SECRET, erase, finds, message, open, opened};
use crate::harness::{World, plan, settings};

async fn start(settings: &Settings, store: &StoreChoice) -> World {
    World { server: Server::start(plan(settings.clone(), store.clone())).await.unwrap() }
}

/// A customer with a chat that has ended and one that is open.
async fn talked(world: &World) -> (String, [Value; 2]) {
    let (token, who) = world.visitor("Shop", None).await;
    let mut customer = opened(world, &token).await;
    let first = customer.call("chat.open", open("c1")).await.unwrap()["chat"].clone();
    customer.call("message.send", message(&first, "m1", SECRET)).await.unwrap();
    customer.call("chat.end", json!({"command_id": "e1", "chat": first})).await.unwrap();
    let second = customer.call("chat.open", open("c2")).await.unwrap()["chat"].clone();
    customer.call("message.send", message(&second, "m2", SECRET)).await.unwrap();
    (who, [first, second])
}

async fn status(world: &World, chat: &Value) -> u16 {
    let admin = world.log_in("admin").await;
    let path = format!("/api/v1/chats/{}", chat.as_str().unwrap());
    world.ask("GET", &path, &admin, None).await.0
}

async fn are_gone(world: &World, chats: &[Value; 2]) {
    for chat in chats {
        assert_eq!(status(world, chat).await, 404);
    }
}

/// Entries of erasures that were applied at a start, which all took effect.
async fn applied(world: &World) -> usize {
    let admin = world.log_in("admin").await;
    let path = "/api/v1/audit?actor=system&subject=store";
    let (status, page) = world.ask("GET", path, &admin, None).await;
    assert_eq!(status, 200, "{page}");
    let rows = page["items"].as_array().unwrap().iter();
    let applied: Vec<_> = rows.filter(|row| row["act"] == "erasures.applied").collect();
    assert!(applied.iter().all(|row| row["outcome"] == "done"), "{applied:?}");
    applied.len()
}

/// The database as it is now, with nobody on it.
fn copied(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join(DATABASE_FILE)).unwrap()
}

fn set_back(folder: &Path, copy: &[u8]) {
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.join(format!("{DATABASE_FILE}{suffix}")));
    }
    std::fs::write(folder.join(DATABASE_FILE), copy).unwrap();
}

#[tokio::test]
async fn an_erasure_outlives_a_copy_that_was_made_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, store) = (settings(), StoreChoice::Sqlite(folder.path().to_owned()));
    let world = start(&settings, &store).await;
    let (who, chats) = talked(&world).await;
    let (_, other) = talked(&world).await;
    world.server.stop().await;
    let before = copied(folder.path());
    assert!(before.windows(SECRET.len()).any(|bytes| bytes == SECRET.as_bytes()));

    let world = start(&settings, &store).await;
    erase(&world, &who).await;
    are_gone(&world, &chats).await;
    // The customer comes back as somebody new.
    let (token, _) = world.visitor("Shop", Some(&who)).await;
    let mut customer = opened(&world, &token).await;
    let fresh = customer.call("chat.open", open("c2")).await.unwrap()["chat"].clone();
    world.server.stop().await;
    let after = copied(folder.path());
    let file = std::fs::read_to_string(folder.path().join(ERASURES_FILE)).unwrap();
    assert_eq!(file.lines().count(), 2, "{file}");
    for id in [who.clone(), who.replace('-', "")] {
        assert!(!file.contains(&id), "the hash tells nobody");
    }

    // Set back to before the erasure: it is applied before anybody is served, open chats included.
    set_back(folder.path(), &before);
    let world = start(&settings, &store).await;
    are_gone(&world, &chats).await;
    for chat in &other {
        assert_eq!(status(&world, chat).await, 200, "another customer's");
    }
    assert_eq!(applied(&world).await, 1, "by an entry in its audit trail");
    world.server.stop().await;
    let world = start(&settings, &store).await;
    are_gone(&world, &chats).await;
    assert_eq!(applied(&world).await, 1, "once");
    // Of the other customer the text is there, so the search would find it.
    assert!(finds(folder.path(), SECRET));
    world.server.stop().await;

    // Set back to after it: what came since stays.
    set_back(folder.path(), &after);
    let world = start(&settings, &store).await;
    are_gone(&world, &chats).await;
    assert_eq!(status(&world, &fresh).await, 200);
    world.server.stop().await;
    // Also when it is applied once more.
    let database = open_past_the_store(&folder.path().join(DATABASE_FILE), None).unwrap();
    let of_customer = "SELECT count(*) FROM documents WHERE kind = 'erased' AND instr(body, ?)";
    let named: u32 = database.query_row(of_customer, [who.as_bytes()], |row| row.get(0)).unwrap();
    assert_eq!(named, 0, "only while it was under way");
    let removed = database.execute("DELETE FROM documents WHERE kind = 'erased'", ()).unwrap();
    assert_eq!(removed, 1);
    drop(database);
    let world = start(&settings, &store).await;
    are_gone(&world, &chats).await;
    assert_eq!(status(&world, &fresh).await, 200);
    world.server.stop().await;
}

#[tokio::test]
async fn no_byte_of_an_erased_customer_is_left_in_a_store_that_was_set_back() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, store) = (settings(), StoreChoice::Sqlite(folder.path().to_owned()));
    let world = start(&settings, &store).await;
    let (who, chats) = talked(&world).await;
    world.server.stop().await;
    let before = copied(folder.path());
    let world = start(&settings, &store).await;
    erase(&world, &who).await;
    world.server.stop().await;
    set_back(folder.path(), &before);
    assert!(finds(folder.path(), SECRET));
    let world = start(&settings, &store).await;
    are_gone(&world, &chats).await;
    world.server.stop().await;
    assert!(!finds(folder.path(), SECRET));
}

/// An export made before an erasure, brought into another store beside the file of erasures.
async fn brought_elsewhere(settings: &Settings, from: &StoreChoice, to: &StoreChoice) {
    let world = start(settings, from).await;
    let (who, chats) = talked(&world).await;
    world.server.stop().await;
    let opened = from.open().await.unwrap();
    let occasion = Occasion { id: uuid::Uuid::from_u128(1), at: 1, release: String::new() };
    let mut stream = Vec::new();
    export(&opened.store, occasion, &mut stream, Patience::USUAL, &mut ()).await.unwrap();
    opened.close().await;
    drop(opened);
    let world = start(settings, from).await;
    erase(&world, &who).await;
    world.server.stop().await;
    let opened = to.open().await.unwrap();
    import(&opened.store, Cursor::new(&stream), None, Patience::USUAL, &mut ()).await.unwrap();
    opened.close().await;
    drop(opened);
    let world = start(settings, to).await;
    are_gone(&world, &chats).await;
    world.server.stop().await;
}

fn with_file(folder: &Path) -> Settings {
    let mut settings = settings();
    settings.server.erasures = folder.join("of-all.erasures");
    settings
}

#[tokio::test]
async fn an_import_of_before_an_erasure_brings_nobody_back() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| StoreChoice::Sqlite(folder.path().join(name));
    brought_elsewhere(&with_file(folder.path()), &at("from"), &at("to")).await;
    assert!(!finds(&folder.path().join("to"), SECRET));
}

#[tokio::test]
async fn an_import_of_before_an_erasure_brings_nobody_back_in_the_distributed_store() {
    let folder = tempfile::tempdir().unwrap();
    let (Some(from), Some(to)) = (Keyspace::new().await, Keyspace::new().await) else { return };
    let of = |keyspace: &Keyspace| StoreChoice::Scylla(Box::new(keyspace.options.clone()));
    brought_elsewhere(&with_file(folder.path()), &of(&from), &of(&to)).await;
}

#[tokio::test]
async fn the_file_of_another_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let settings = with_file(folder.path());
    let at = |name: &str| StoreChoice::Sqlite(folder.path().join(name));
    let world = start(&settings, &at("one")).await;
    let (who, _) = talked(&world).await;
    world.server.stop().await;
    // It says nothing of anybody: another store takes it.
    let world = start(&settings, &at("two")).await;
    world.server.stop().await;
    let world = start(&settings, &at("one")).await;
    erase(&world, &who).await;
    world.server.stop().await;
    let refused = Server::start(plan(settings.clone(), at("two"))).await;
    let refused = refused.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.contains("has 1 erasures of another store"), "{refused}");
    let file: PathBuf = settings.server.erasures.clone();
    std::fs::remove_file(&file).unwrap();
    // One that was lost is written anew from the store.
    let world = start(&settings, &at("one")).await;
    world.server.stop().await;
    assert_eq!(std::fs::read_to_string(file).unwrap().lines().count(), 2);
}
