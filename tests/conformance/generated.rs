//! Random calls get the same answers from every store as from the memory model, across restarts, folds
//! and checkpoints. A failure is shrunk to the shortest list of calls that shows it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use switchboard::domain::operator::OperatorRecord;
use switchboard::domain::{ChatId, Party, Recorded};
use switchboard::storage::{
    AppendError, Beside, Claim, Moving, OpenChat, RowUpdate, Store, Watermark,
};

use crate::samples::{chat, command, customer, message, open_chat, user};
use crate::subject::{Kind, Subject, block_on_of};

/// Keys of each kind: few, so that calls meet.
const KEYS: u128 = 3;

#[derive(Debug, Clone)]
enum Call {
    Restart,
    Claim {
        chat: u128,
    },
    /// Under the `claim`th claim that was ever answered; `skip` positions after the tail as the
    /// last claim of the chat or append to it told.
    Append {
        claim: usize,
        skip: i64,
        events: u64,
        /// A row that is written with it.
        row: Option<u64>,
    },
    Read {
        chat: u128,
        from: u64,
        limit: usize,
    },
    PutOpen {
        chat: u128,
        since: u64,
    },
    Mark {
        chat: u128,
        to: Option<u128>,
    },
    Remove {
        chat: u128,
    },
    Scan {
        after: Option<u128>,
        limit: usize,
    },
    Open {
        customer: u128,
        command: u8,
        chat: u128,
        after: Option<u128>,
    },
    Latest {
        customer: u128,
    },
    Save {
        user: u128,
        lapses: u32,
    },
    Load {
        user: u128,
    },
    Raise {
        chat: u128,
        party: u128,
        delivered: u64,
        read: u64,
    },
    Watermarks {
        chat: u128,
    },
    /// By every port that holds something of it.
    Forget {
        chat: u128,
    },
    ForgetTalk {
        customer: u128,
        chat: u128,
    },
    Commands {
        customer: u128,
    },
    Put {
        id: u8,
        expected: u64,
        body: Vec<u8>,
    },
    Get {
        id: u8,
    },
    Delete {
        id: u8,
        expected: u64,
    },
    List {
        after: Option<u8>,
        limit: usize,
    },
}

fn call() -> impl Strategy<Value = Call> {
    let key = || 0..KEYS;
    let (small, limit) = (|| 0..4_u64, || 0..5_usize);
    prop_oneof![
        1 => Just(Call::Restart),
        4 => key().prop_map(|chat| Call::Claim { chat }),
        12 => (
            any::<usize>(),
            prop::sample::select(vec![0, 0, 0, 0, -1, 1]),
            small(),
            prop::option::of(small()),
        ).prop_map(|(claim, skip, events, row)| Call::Append { claim, skip, events, row }),
        4 => (key(), 0..12_u64, 0..12_usize)
            .prop_map(|(chat, from, limit)| Call::Read { chat, from, limit }),
        3 => (key(), small()).prop_map(|(chat, since)| Call::PutOpen { chat, since }),
        2 => (key(), prop::option::of(key())).prop_map(|(chat, to)| Call::Mark { chat, to }),
        1 => key().prop_map(|chat| Call::Remove { chat }),
        2 => (prop::option::of(key()), limit()).prop_map(|(after, limit)| Call::Scan { after, limit }),
        4 => (0..2_u128, 0..6_u8, 0..6_u128, prop::option::of(0..6_u128)).prop_map(
            |(customer, command, chat, after)| Call::Open { customer, command, chat, after }
        ),
        1 => (0..2_u128).prop_map(|customer| Call::Latest { customer }),
        1 => (key(), any::<u32>()).prop_map(|(user, lapses)| Call::Save { user, lapses }),
        1 => key().prop_map(|user| Call::Load { user }),
        3 => (key(), key(), small(), small()).prop_map(
            |(chat, party, delivered, read)| Call::Raise { chat, party, delivered, read }
        ),
        1 => key().prop_map(|chat| Call::Watermarks { chat }),
        1 => key().prop_map(|chat| Call::Forget { chat }),
        1 => (0..2_u128, 0..6_u128)
            .prop_map(|(customer, chat)| Call::ForgetTalk { customer, chat }),
        1 => (0..2_u128).prop_map(|customer| Call::Commands { customer }),
        4 => (0..3_u8, 0..3_u64, prop::collection::vec(any::<u8>(), 0..9))
            .prop_map(|(id, expected, body)| Call::Put { id, expected, body }),
        1 => (0..3_u8).prop_map(|id| Call::Get { id }),
        1 => (0..3_u8, 0..3_u64).prop_map(|(id, expected)| Call::Delete { id, expected }),
        1 => (prop::option::of(0..3_u8), limit()).prop_map(|(after, limit)| Call::List { after, limit }),
    ]
}

/// One of the two, and what differs between them without harm: the numbers of the claims.
struct Side {
    kind: Kind,
    subject: Option<Subject>,
    claims: Vec<Claim>,
    tails: BTreeMap<ChatId, u64>,
}

impl Side {
    fn new(kind: Kind) -> Self {
        let subject = block_on_of(kind, Subject::new(kind));
        Self { kind, subject, claims: Vec::new(), tails: BTreeMap::new() }
    }

    /// Makes a call and answers what can be compared.
    fn make(&mut self, call: &Call) -> String {
        if let Call::Restart = call {
            let subject = self.subject.take().map(Subject::restart);
            self.subject = subject.map(|restarted| block_on_of(self.kind, restarted));
            return String::new();
        }
        let store = self.subject.as_ref().map(|subject| subject.store.clone());
        match store {
            Some(store) => block_on_of(self.kind, self.run(store, call)),
            None => "no store".to_owned(),
        }
    }

    async fn run(&mut self, store: Store, call: &Call) -> String {
        let party = |n: u128| match n {
            0 => Party::System,
            1 => Party::Customer(customer(1).id),
            _ => Party::User(user(n)),
        };
        match call.clone() {
            Call::Restart => String::new(),
            Call::Claim { chat: n } => {
                let claimed = store.log.claim(chat(n)).await;
                if let Ok(claimed) = claimed {
                    let newest = self.claims.iter().all(|old| old.epoch != claimed.claim.epoch);
                    self.claims.push(claimed.claim);
                    self.tails.insert(chat(n), claimed.tail);
                    return format!("{} {newest}", claimed.tail);
                }
                format!("{claimed:?}")
            }
            Call::Append { claim, skip, events, row } => {
                let Some(claim) = self.claims.get(claim % self.claims.len().max(1)).copied() else {
                    return String::new();
                };
                let tail = self.tails.entry(claim.chat).or_default();
                let first = tail.saturating_add_signed(skip) + 1;
                let list = (first..first + events).map(|seq| message(seq, "text"));
                let answer = append(&store, claim, list.collect(), row).await;
                if answer.is_ok() {
                    *tail = first + events - 1;
                }
                format!("{answer:?}")
            }
            Call::Read { chat: n, from, limit } => {
                format!("{:?}", store.log.read(chat(n), from, limit).await)
            }
            Call::PutOpen { chat: n, since } => {
                format!("{:?}", store.open_chats.put(open_chat(n, since)).await)
            }
            Call::Mark { chat: n, to } => {
                let to = to.map(user);
                format!("{:?}", store.open_chats.mark(chat(n), Moving { to }).await)
            }
            Call::Remove { chat: n } => format!("{:?}", store.open_chats.remove(chat(n)).await),
            Call::Scan { after, limit } => {
                format!("{:?}", store.open_chats.scan(after.map(chat), limit).await)
            }
            Call::Open { customer: who, command: id, chat: n, after } => {
                let (talks, id) = (&store.conversations, command(&format!("c{id}")));
                let (who, after) = (customer(who), after.map(chat));
                format!("{:?}", talks.claim_open(who, &id, chat(n), after).await)
            }
            Call::Latest { customer: who } => {
                format!("{:?}", store.conversations.latest(customer(who)).await)
            }
            Call::Save { user: n, lapses } => {
                let record = OperatorRecord { lapses_in_row: lapses, ..OperatorRecord::default() };
                format!("{:?}", store.operators.save(user(n), record).await)
            }
            Call::Load { user: n } => format!("{:?}", store.operators.load(user(n)).await),
            Call::Raise { chat: n, party: who, delivered, read } => {
                let watermarks = BTreeMap::from([(party(who), Watermark::of(delivered, read))]);
                format!("{:?}", store.watermarks.raise(chat(n), watermarks).await)
            }
            Call::Watermarks { chat: n } => format!("{:?}", store.watermarks.load(chat(n)).await),
            Call::Forget { chat: n } => {
                let forgotten = store.log.forget(chat(n)).await;
                let watermarks = store.watermarks.forget(chat(n)).await;
                let row = store.open_chats.remove(chat(n)).await;
                let is_forgotten = store.log.is_forgotten(chat(n)).await;
                self.tails.remove(&chat(n));
                format!("{forgotten:?} {watermarks:?} {row:?} {is_forgotten:?}")
            }
            Call::ForgetTalk { customer: who, chat: n } => {
                format!("{:?}", store.conversations.forget(customer(who), chat(n)).await)
            }
            Call::Commands { customer: who } => {
                format!("{:?}", store.conversations.commands(customer(who)).await)
            }
            Call::Put { id, expected, body } => {
                let id = id.to_string();
                format!("{:?}", store.documents.put("kind", &id, expected, body).await)
            }
            Call::Get { id } => {
                format!("{:?}", store.documents.get("kind", &id.to_string()).await)
            }
            Call::Delete { id, expected } => {
                let id = id.to_string();
                format!("{:?}", store.documents.delete("kind", &id, expected).await)
            }
            Call::List { after, limit } => {
                let after = after.map(|id| id.to_string());
                format!("{:?}", store.documents.list("kind", after.as_deref(), limit).await)
            }
        }
    }
}

/// Appends, and leaves the row behind that is to be there then: with the events, where the store can.
async fn append(
    store: &Store,
    claim: Claim,
    events: Vec<Recorded>,
    row: Option<u64>,
) -> Result<(), AppendError> {
    let row = row.map(|since| OpenChat { chat: claim.chat, ..open_chat(0, since) });
    let Some(moves) = &store.moves else {
        store.log.append(claim, events).await?;
        if let Some(row) = row {
            store.open_chats.put(row).await.unwrap();
        }
        return Ok(());
    };
    let rows = row.map(RowUpdate::Open).into_iter().collect();
    moves.append(claim, events, Beside { touched: None, rows }).await
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..Default::default() })]

    #[test]
    fn sqlite_answers_as_the_model_does(calls in prop::collection::vec(call(), 1..120)) {
        let mut model = Side::new(Kind::Memory);
        let mut sqlite = Side::new(Kind::SqliteOnOurDisk);
        for (n, call) in calls.iter().enumerate() {
            prop_assert_eq!(sqlite.make(call), model.make(call), "call {}: {:?}", n, call);
        }
    }
}

proptest! {
    // Each takes a second of a real server.
    #![proptest_config(ProptestConfig {
        cases: 8, max_shrink_iters: 64, failure_persistence: None, ..Default::default()
    })]

    #[test]
    fn cql_answers_as_the_model_does(calls in prop::collection::vec(call(), 60..120)) {
        let mut model = Side::new(Kind::Memory);
        let mut cql = Side::new(Kind::Cql);
        if cql.subject.is_none() {
            return Ok(());
        }
        for (n, call) in calls.iter().enumerate() {
            prop_assert_eq!(cql.make(call), model.make(call), "call {}: {:?}", n, call);
        }
    }
}
