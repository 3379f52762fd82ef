//! What is written of a chat's rows, and in which order.

use super::Bench;
use crate::domain::Reach;
use crate::machine::chat::Chat;
use crate::machine::fixture::*;
use crate::storage::RowUpdate;

#[test]
fn a_chat_that_ended_is_among_those_before_it_leaves_the_open_ones() {
    let mut bench = Bench::opened();
    let row = bench.chat.row().unwrap();
    assert_eq!(bench.chat.row_updates(Some(row.clone())), [RowUpdate::Open(row)]);
    bench.call(end(customer(), "bye"));
    let ended = bench.chat.ended_row().unwrap();
    assert_eq!(bench.chat.row_updates(None), [RowUpdate::Ended(ended), RowUpdate::NotOpen]);
    // One that is forgotten has not ended, as far as anybody knows.
    assert_eq!(Chat::new(CHAT).row_updates(None), [RowUpdate::NotOpen]);
}

#[test]
fn the_members_to_whom_a_chat_is_offered_are_not_written() {
    let mut bench = Bench::opened();
    bench.say(offer(1, OFFER, Reach::ToAll, &[ANN, BOB]));
    let row = bench.chat.row().unwrap();
    let writes = bench.chat.row_updates(Some(row));
    let [RowUpdate::Open(written)] = writes.as_slice() else { panic!("{writes:?}") };
    assert!(written.place.as_ref().unwrap().offer().unwrap().to.is_empty(), "{written:?}");
}
