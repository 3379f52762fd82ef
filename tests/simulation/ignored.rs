//! A chat that is offered to all and that nobody answers, for a long time under the virtual clock.

use switchboard::domain::limits::TO_ALL_STANDS_MAX_MS;
use switchboard::domain::{ChatEvent, UserId};
use switchboard::storage::record::encode_event;

use crate::traffic;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
const DAYS: u64 = 17;

/// Two entries for each offer, a day, once they stand as long as they may, and the first few.
const ENTRIES_MAX: u64 = DAYS * 2 * (DAY_MS / TO_ALL_STANDS_MAX_MS) + 50;
/// Bytes of one entry, in the mean, at most.
const ENTRY_BYTES: u64 = 400;

#[test]
fn a_chat_that_three_members_ignore_for_seventeen_days_stays_small_and_takes_a_message() {
    let (chat, log) = traffic::ignored(3, DAYS * DAY_MS);
    let entries = log.len() as u64;
    let bytes: usize = log.iter().map(|one| encode_event(chat, one).expect("valid").len()).sum();
    println!("{entries} entries, {bytes} bytes in {DAYS} days");
    assert!(entries <= ENTRIES_MAX, "{entries} entries");
    assert!(bytes as u64 <= ENTRIES_MAX * ENTRY_BYTES, "{bytes} bytes");
    let lists: Vec<&Vec<UserId>> = log
        .iter()
        .filter_map(|recorded| match &recorded.event {
            ChatEvent::Offered { to, .. } if !to.is_empty() => Some(to),
            _ => None,
        })
        .collect();
    assert_eq!(lists.len(), 1, "named once: {lists:?}");
    // Offered all the time, but for moments: whoever is free sees it.
    let mut hidden_ms = 0;
    for (one, next) in log.iter().zip(log.iter().skip(1)) {
        if matches!(one.event, ChatEvent::OfferEnded { .. }) {
            hidden_ms += next.at.since_ms(one.at);
        }
    }
    assert!(hidden_ms <= entries, "hidden for {hidden_ms} ms");
    assert!(matches!(log.last().map(|one| &one.event), Some(ChatEvent::Message { .. })));
}
