//! What a store promises of the history.

use std::collections::BTreeSet;

use switchboard::domain::{ChatId, ChatState, CustomerId, Name, Party, QueueId, Timestamp, UserId};
use switchboard::storage::{
    HISTORY_ROWS_MAX, HistoryEnd, HistoryOf, HistoryOrder, HistoryPoint, HistoryQuery, HistoryRow,
    Store,
};

use crate::rng::Rng;
use crate::samples::{channel, chat, customer_of, user};
use crate::subject::Subject;

/// The length of an hour, ms, and of a day.
const HOUR_MS: u64 = 3_600_000;
pub const DAY_MS: u64 = 24 * HOUR_MS;

const ORDERS: [HistoryOrder; 2] = [HistoryOrder::OldestFirst, HistoryOrder::NewestFirst];

/// More pages than any list of these tests has.
const PAGES_MAX: usize = 4_000;

fn queue(n: u128) -> QueueId {
    QueueId::from_u128(n)
}

/// A chat that was opened then, waits in queue 1 and has had no owner.
pub fn row(n: u128, started: u64) -> HistoryRow {
    HistoryRow {
        chat: chat(n),
        started: Timestamp(started),
        customer: customer_of(1, 7),
        name: None,
        queues: BTreeSet::from([queue(1)]),
        queue: Some(queue(1)),
        operators: BTreeSet::new(),
        owner: None,
        state: ChatState::Waiting,
        ended: None,
    }
}

/// Any row of a chat, of few queues, operators and customers, so that each has many.
fn any_row(rng: &mut Rng, n: u128) -> HistoryRow {
    // Some at the same moment, some at the ends of hours and days.
    let day = [40, 41, 41, 43, 200][rng.below(5)] * DAY_MS;
    let at = [0, 1, HOUR_MS - 1, HOUR_MS, DAY_MS - 1, rng.next() % DAY_MS][rng.below(6)];
    let mut set =
        |of: usize| (0..rng.below(4)).map(|_| rng.below(of) as u128).collect::<BTreeSet<_>>();
    let (queues, operators) = (set(3), set(4));
    let ended = rng.one_in(2).then_some(HistoryEnd {
        at: Timestamp(day + at + 5),
        by: Party::Customer(CustomerId::from_u128(7)),
        owner: None,
    });
    HistoryRow {
        customer: customer_of(rng.below(2) as u128, rng.below(3) as u128),
        name: Name::new(&format!("Anna {n}")).ok().filter(|_| rng.one_in(2)),
        queue: queues.first().copied().map(queue),
        queues: queues.into_iter().map(queue).collect(),
        owner: operators.first().copied().map(user),
        operators: operators.into_iter().map(user).collect(),
        state: if ended.is_some() { ChatState::Completed } else { ChatState::New },
        ended,
        ..row(n, day + at)
    }
}

pub fn all(of: HistoryOf, order: HistoryOrder) -> HistoryQuery {
    let (from, to) = (Timestamp(0), Timestamp(u64::MAX));
    HistoryQuery { of, from, to, order, after: None, limit: HISTORY_ROWS_MAX }
}

/// All that a query finds, page by page.
pub async fn pages(store: &Store, query: HistoryQuery) -> Vec<HistoryRow> {
    let (mut found, mut after) = (Vec::new(), query.after);
    for _ in 0..PAGES_MAX {
        let page = store.history.list(HistoryQuery { after, ..query }).await.unwrap();
        assert!(page.rows.len() <= query.limit, "{} of {}", page.rows.len(), query.limit);
        found.extend(page.rows);
        match page.next {
            None => return found,
            next => after = next,
        }
    }
    panic!("{query:?} has no end");
}

/// What a query has to find.
fn expected(rows: &[HistoryRow], query: HistoryQuery) -> Vec<HistoryRow> {
    let HistoryQuery { from, to, after, .. } = query;
    let is_of = |row: &HistoryRow| match query.of {
        HistoryOf::All => true,
        HistoryOf::Queue(queue) => row.queues.contains(&queue),
        HistoryOf::Channel(channel) => row.customer.channel == channel,
        HistoryOf::Operator(operator) => row.operators.contains(&operator),
        HistoryOf::Customer(customer) => row.customer == customer,
    };
    let in_time = |row: &HistoryRow| (from..to).contains(&row.started);
    let mut rows: Vec<_> = rows.iter().filter(|row| is_of(row) && in_time(row)).cloned().collect();
    rows.sort_by_key(|row| (row.started, row.chat));
    if query.order == HistoryOrder::NewestFirst {
        rows.reverse();
    }
    let behind = |row: &HistoryRow| match query.order {
        HistoryOrder::OldestFirst => Some(row.place()) > after,
        HistoryOrder::NewestFirst => after.is_none_or(|after| row.place() < after),
    };
    rows.retain(behind);
    rows
}

pub async fn the_history_is_filtered_and_sorted_through_every_page(subject: Subject) {
    let mut rng = Rng::new(10);
    let mut rows: Vec<HistoryRow> = (0..60).map(|n| any_row(&mut rng, n)).collect();
    for row in &rows {
        subject.store.history.put(row.clone()).await.unwrap();
    }
    // Some are told of again, as their chats go on.
    for row in rows.iter_mut().step_by(3) {
        row.queues.insert(queue(2));
        row.operators.insert(user(3));
        (row.owner, row.state) = (Some(user(3)), ChatState::InProgress);
        subject.store.history.put(row.clone()).await.unwrap();
    }
    let subject = subject.restart().await;
    let lists: Vec<HistoryOf> = [HistoryOf::All, HistoryOf::Queue(queue(9))]
        .into_iter()
        .chain((0..3).map(|n| HistoryOf::Queue(queue(n))))
        .chain((0..2).map(|n| HistoryOf::Channel(channel(n))))
        .chain((0..4).map(|n| HistoryOf::Operator(user(n))))
        .chain((0..6).map(|n| HistoryOf::Customer(customer_of(n % 2, n / 2))))
        .collect();
    let day = |n: u64| Timestamp(n * DAY_MS);
    let ranges = [
        (Timestamp(0), Timestamp(u64::MAX)),
        (day(41), day(43)),
        (Timestamp(40 * DAY_MS + HOUR_MS), Timestamp(43 * DAY_MS + 1)),
        (day(43), day(43)),
        (day(44), day(41)),
    ];
    for order in ORDERS {
        for of in &lists {
            for (from, to) in ranges {
                for limit in [1, 2, 7, 100] {
                    let query = HistoryQuery { from, to, limit, ..all(*of, order) };
                    let found = pages(&subject.store, query).await;
                    assert_eq!(found, expected(&rows, query), "{query:?}");
                }
            }
        }
        // From any place on, also one where no chat is.
        for n in 0..20 {
            let started = Timestamp([40, 41, 43, 100][n % 4] * DAY_MS + (n as u64 / 4));
            let after = Some(HistoryPoint { started, chat: chat(n as u128) });
            let query = HistoryQuery { after, limit: 3, ..all(HistoryOf::All, order) };
            assert_eq!(pages(&subject.store, query).await, expected(&rows, query), "{query:?}");
        }
    }
}

pub async fn pages_of_the_history_do_not_shift(subject: Subject) {
    let store = &subject.store;
    let rows: Vec<HistoryRow> = (0..20).map(|n| row(n, 40 * DAY_MS + 1_000 * n as u64)).collect();
    for row in &rows {
        store.history.put(row.clone()).await.unwrap();
    }
    let mut added = 100;
    for order in ORDERS {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let query = HistoryQuery { after, limit: 3, ..all(HistoryOf::Queue(queue(1)), order) };
            let page = store.history.list(query).await.unwrap();
            found.extend(page.rows.into_iter().filter(|row| row.chat < chat(100)));
            // Before and behind what was read, and what was read changes.
            for at in [40 * DAY_MS - 1, 40 * DAY_MS + 500, 41 * DAY_MS] {
                store.history.put(row(added, at)).await.unwrap();
                added += 1;
            }
            let changed = HistoryRow { operators: BTreeSet::from([user(1)]), ..rows[0].clone() };
            store.history.put(changed).await.unwrap();
            match page.next {
                None => break,
                next => after = next,
            }
            if added > 400 {
                break;
            }
        }
        let found: Vec<ChatId> = found.iter().map(|row| row.chat).collect();
        let mut all: Vec<ChatId> = rows.iter().map(|row| row.chat).collect();
        if order == HistoryOrder::NewestFirst {
            all.reverse();
        }
        assert_eq!(found, all, "{order:?}");
    }
}

pub async fn a_removed_row_is_on_no_list(subject: Subject) {
    let all_lists = async |store: &Store| {
        let mut found = 0;
        for of in [
            HistoryOf::All,
            HistoryOf::Queue(queue(1)),
            HistoryOf::Queue(queue(2)),
            HistoryOf::Channel(channel(1)),
            HistoryOf::Operator(user(3)),
            HistoryOf::Customer(customer_of(1, 7)),
        ] {
            let one = pages(store, all(of, HistoryOrder::OldestFirst)).await;
            let other = pages(store, all(of, HistoryOrder::NewestFirst)).await;
            assert_eq!(one.len(), other.len(), "{of:?}");
            found += one.len();
        }
        found
    };
    let first = row(1, 40 * DAY_MS);
    let moved = HistoryRow {
        queues: BTreeSet::from([queue(1), queue(2)]),
        operators: BTreeSet::from([user(3)]),
        owner: Some(user(3)),
        ..first.clone()
    };
    let subject = {
        let history = &subject.store.history;
        history.remove(chat(1)).await.unwrap();
        history.put(first.clone()).await.unwrap();
        history.put(moved.clone()).await.unwrap();
        history.put(row(2, 40 * DAY_MS + 1)).await.unwrap();
        assert_eq!(all_lists(&subject.store).await, 6 + 4);
        subject.restart().await
    };
    // Nothing but its id is known of it then.
    for _ in 0..2 {
        subject.store.history.remove(chat(1)).await.unwrap();
        assert_eq!(all_lists(&subject.store).await, 4);
    }
    // A time that was emptied gets another chat.
    subject.store.history.remove(chat(2)).await.unwrap();
    for _ in 0..2 {
        assert_eq!(all_lists(&subject.store).await, 0);
    }
    subject.store.history.put(row(3, 40 * DAY_MS + 2)).await.unwrap();
    assert_eq!(all_lists(&subject.store).await, 4);
    let subject = subject.restart().await;
    subject.store.history.put(moved).await.unwrap();
    assert_eq!(all_lists(&subject.store).await, 6 + 4);
}

/// A list that has a chat now and then is read to its end, though a page visits a part of its time.
pub async fn a_thin_history_is_read_to_its_end(subject: Subject) {
    const DAYS: u128 = 200;
    let store = &subject.store;
    for n in 0..DAYS {
        store.history.put(row(n, 1_000 * DAY_MS + n as u64 * DAY_MS)).await.unwrap();
    }
    // Of most days nothing is left.
    for n in (0..DAYS).filter(|n| n % 90 != 5) {
        store.history.remove(chat(n)).await.unwrap();
    }
    for order in ORDERS {
        for of in
            [HistoryOf::All, HistoryOf::Queue(queue(1)), HistoryOf::Customer(customer_of(1, 7))]
        {
            let found = pages(store, HistoryQuery { limit: 10, ..all(of, order) }).await;
            let mut left = vec![chat(5), chat(95), chat(185)];
            if order == HistoryOrder::NewestFirst {
                left.reverse();
            }
            let found: Vec<ChatId> = found.iter().map(|row| row.chat).collect();
            assert_eq!(found, left, "{of:?} {order:?}");
        }
    }
}

/// The largest row that can be is kept, found by each of its lists, and removed.
pub async fn a_row_with_as_many_queues_and_operators_as_may_be_is_kept(subject: Subject) {
    use switchboard::storage::{HISTORY_OPERATORS_MAX, HISTORY_QUEUES_MAX};
    let store = &subject.store;
    let large = HistoryRow {
        queues: (0..HISTORY_QUEUES_MAX as u128).map(queue).collect(),
        operators: (0..HISTORY_OPERATORS_MAX as u128).map(UserId::from_u128).collect(),
        ..row(1, 40 * DAY_MS)
    };
    store.history.put(large.clone()).await.unwrap();
    for n in [0, 50, 99] {
        for of in [HistoryOf::Queue(queue(n)), HistoryOf::Operator(user(n))] {
            let found = pages(store, all(of, HistoryOrder::OldestFirst)).await;
            assert_eq!(found, std::slice::from_ref(&large), "{of:?}");
        }
    }
    store.history.remove(chat(1)).await.unwrap();
    for of in [HistoryOf::Queue(queue(99)), HistoryOf::Operator(user(99)), HistoryOf::All] {
        assert_eq!(pages(store, all(of, HistoryOrder::OldestFirst)).await, [], "{of:?}");
    }
}

pub async fn every_chat_with_a_row_is_listed_once(subject: Subject) {
    const CHATS: u128 = 100;
    for n in 0..CHATS {
        subject.store.history.put(row(n, 40 * DAY_MS + n as u64)).await.unwrap();
    }
    let subject = subject.restart().await;
    let history = &subject.store.history;
    for n in (0..CHATS).filter(|n| n % 3 == 0) {
        history.remove(chat(n)).await.unwrap();
    }
    let (mut found, mut at) = (Vec::new(), None);
    for _ in 0..PAGES_MAX {
        let page = history.chats(at.as_ref(), 7).await.unwrap();
        assert!(page.items.len() <= 7, "{}", page.items.len());
        found.extend(page.items);
        at = page.next;
        if at.is_none() {
            break;
        }
    }
    assert_eq!(at, None);
    found.sort_unstable();
    let left: Vec<ChatId> = (0..CHATS).filter(|n| n % 3 != 0).map(chat).collect();
    assert_eq!(found, left);
}
