//! The history beside the logs, as `switchboard store check` tells it.

use super::compare::{FaultyChats, HistoryCompared, HistoryFault, compare_history};
use super::progress::Bar;
use crate::storage::Store;
use crate::storage::export::Patience;
use crate::storage::sqlite::{SqliteOptions, SqliteStore};

/// Compares those of an embedded store, of so many chats, and changes nothing of it. None: an earlier release
/// wrote it last, and its history is not made yet.
pub(super) async fn embedded(
    options: &SqliteOptions,
    chats: u64,
) -> Result<Option<HistoryCompared>, String> {
    let opened = SqliteStore::open_to_read(options).map_err(|error| error.to_string())?;
    let Some(opened) = opened.map(std::sync::Arc::new) else { return Ok(None) };
    compare(&opened.store(), chats).await.map(Some)
}

/// Compares those of a store of so many chats.
pub(super) async fn compare(store: &Store, chats: u64) -> Result<HistoryCompared, String> {
    let mut bar = Bar::new();
    let compared = compare_history(store, Patience::USUAL, chats, &mut bar).await;
    drop(bar);
    compared.map_err(|error| error.to_string())
}

/// Tells what was found. Errors with what to do about it.
pub(super) fn say(compared: Option<&HistoryCompared>) -> Result<(), String> {
    let Some(compared) = compared else {
        println!(
            "the history was not compared with the logs: an earlier release wrote the store last, and the \
             next start of the router brings it up to date"
        );
        return Ok(());
    };
    if compared.is_to_be_made {
        println!(
            "the history is not made yet, or not to its end: the next start of the router makes it, or \
             `switchboard store history rebuild`"
        );
    }
    lines(compared).iter().for_each(|line| println!("{line}"));
    match (problems(compared), compared.is_to_be_made) {
        ((0, 0), true) => Ok(()),
        ((0, 0), false) => {
            println!("the history says what the logs say, of {} chats", compared.chats);
            Ok(())
        }
        ((0, unread), _) => Err(format!(
            "{unread} logs cannot be read: restore a backup, or go on without these chats"
        )),
        ((rows, _), _) => Err(format!(
            "the history has {rows} problems; `switchboard store history rebuild` makes it anew from the logs"
        )),
    }
}

/// How much is wrong with the history, and how many logs cannot be read.
fn problems(compared: &HistoryCompared) -> (u64, u64) {
    let mut count = (0, 0);
    for (fault, chats) in &compared.found {
        match fault {
            HistoryFault::Late => {}
            HistoryFault::NoLog => count.1 += chats.count,
            HistoryFault::Behind
            | HistoryFault::Missing
            | HistoryFault::Differs
            | HistoryFault::Unlisted
            | HistoryFault::Mislisted
            | HistoryFault::Damaged
            | HistoryFault::NoChat => count.0 += chats.count,
        }
    }
    count
}

/// A line for each kind of what was found.
fn lines(compared: &HistoryCompared) -> Vec<String> {
    let line = |(fault, chats): (&HistoryFault, &FaultyChats)| {
        let first: Vec<_> = chats.first.iter().map(ToString::to_string).collect();
        let more = if chats.count > first.len() as u64 { ", the first of them" } else { "" };
        format!("history: {} ({}{more}: {})", told(*fault), chats.count, first.join(", "))
    };
    compared.found.iter().map(line).collect()
}

/// What is the matter, in words.
fn told(fault: HistoryFault) -> &'static str {
    match fault {
        HistoryFault::Late => "chats of which it is late, as it may be: the next start takes them",
        HistoryFault::Behind => "chats whose rows are behind their logs, and stay so",
        HistoryFault::Missing => "chats without a row",
        HistoryFault::Differs => "chats whose rows say what their logs never said",
        HistoryFault::Unlisted => "chats that are missing on a list of theirs",
        HistoryFault::Mislisted => "chats on a list, or by a time, that is not theirs",
        HistoryFault::Damaged => "chats with a row that cannot be read",
        HistoryFault::NoChat => "rows whose chats are not there",
        HistoryFault::NoLog => "chats that were not compared, as their logs cannot be read",
    }
}
