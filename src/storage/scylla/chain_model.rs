//! Tries the argument of `chain`: claims that answer and claims that fail half-way, appends whose
//! outcome nobody knows, writes that arrive whenever they like or never, and reads that see any of
//! what is under way, as a quorum does while a write is on one replica of three.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::chain::{Append, Chain, Row, first_append};

/// The database: what every quorum sees, and what some may.
#[derive(Default)]
struct World {
    landed: BTreeMap<(u64, std::cmp::Reverse<u64>), Row>,
    under_way: Vec<Row>,
    last_epoch: u64,
    /// Who may append.
    holder: Option<u64>,
    /// What was acknowledged, or found by a claim that answered.
    firm: Vec<u64>,
    /// An append whose outcome is open: some claim decides.
    open: Option<Vec<u64>>,
    events: u64,
}

#[derive(Debug, Clone)]
enum Step {
    /// What of the writes under way it sees; whether its seal and its fence are acknowledged.
    Claim {
        sees: u32,
        sealed: bool,
        fenced: bool,
    },
    Append {
        events: usize,
        acknowledged: bool,
    },
    /// One of those under way arrives.
    Land(usize),
    /// One of those under way is lost.
    Lose(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (any::<u32>(), prop::bool::weighted(0.7), prop::bool::weighted(0.7))
            .prop_map(|(sees, sealed, fenced)| Step::Claim { sees, sealed, fenced }),
        4 => (1..4_usize, prop::bool::weighted(0.6))
            .prop_map(|(events, acknowledged)| Step::Append { events, acknowledged }),
        3 => (0..16_usize).prop_map(Step::Land),
        1 => (0..16_usize).prop_map(Step::Lose),
    ]
}

fn number(record: &[u8]) -> u64 {
    record.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn numbers(append: &Append) -> impl Iterator<Item = u64> {
    append.records.iter().map(|record| number(record))
}

impl World {
    fn put(&mut self, row: Row, acknowledged: bool) {
        if acknowledged {
            self.land(row);
        } else {
            self.under_way.push(row);
        }
    }

    fn land(&mut self, row: Row) {
        let key = (row.seq, std::cmp::Reverse(row.epoch));
        let kept = self.landed.entry(key).or_insert_with(|| row.clone());
        match (&kept.records, row.records) {
            // Of a cell there is one value; a fence is a row without that cell.
            (Some(kept), Some(records)) => assert_eq!(*kept, records, "a cell was written anew"),
            (None, records) => kept.records = records,
            (Some(_), None) => {}
        }
    }

    /// What a quorum read sees that meets some of what is under way.
    fn seen(&self, sees: u32) -> Vec<Row> {
        let mut world = World { landed: self.landed.clone(), ..World::default() };
        for (n, row) in self.under_way.iter().enumerate() {
            if sees >> (n % 32) & 1 == 1 {
                world.land(row.clone());
            }
        }
        world.landed.into_values().collect()
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Claim { sees, sealed, fenced } => {
                self.holder = None;
                self.last_epoch += 1;
                let epoch = self.last_epoch;
                let (next, appends) = log(&self.seen(*sees), 1);
                if let Some(last) = appends.last().cloned() {
                    let records = Some(last.records);
                    self.put(Row { seq: last.first, epoch, records }, *sealed);
                }
                self.put(Row { seq: next, epoch, records: None }, *fenced);
                if *fenced && (*sealed || appends.is_empty()) {
                    self.firm = appends.iter().flat_map(numbers).collect();
                    self.open = None;
                    self.holder = Some(epoch);
                }
            }
            Step::Append { events, acknowledged } => {
                let Some(epoch) = self.holder else { return };
                let first = self.events + 1;
                self.events += *events as u64;
                let new: Vec<u64> = (first..=self.events).collect();
                let records = new.iter().map(|number| number.to_be_bytes().to_vec()).collect();
                let seq = self.firm.len() as u64 + 1;
                self.put(Row { seq, epoch, records: Some(records) }, *acknowledged);
                if *acknowledged {
                    self.firm.extend(new);
                } else {
                    self.open = Some(new);
                    self.holder = None;
                }
            }
            Step::Land(n) => {
                if !self.under_way.is_empty() {
                    let row = self.under_way.remove(n % self.under_way.len());
                    self.land(row);
                }
            }
            Step::Lose(n) => {
                if !self.under_way.is_empty() {
                    self.under_way.remove(n % self.under_way.len());
                }
            }
        }
    }

    /// Whatever a read meets: the firm part, and behind it at most the open append, whole.
    fn check(&self, sees: u32) {
        let rows = self.seen(sees);
        let found: Vec<u64> = log(&rows, 1).1.iter().flat_map(numbers).collect();
        let with_open: Vec<u64> =
            self.firm.iter().chain(self.open.iter().flatten()).copied().collect();
        assert!(found == self.firm || found == with_open, "{found:?}, firm {:?}", self.firm);
        for from in 1..=found.len() {
            let (_, appends) = log(&rows, from as u64);
            let first = appends.first().map_or(1, |append| append.first) as usize;
            assert!(first <= from, "begins at {first}, not up to {from}");
            let read: Vec<u64> = appends.iter().flat_map(numbers).collect();
            assert_eq!(read, found[first - 1..], "from {from}");
        }
    }
}

/// What a reader finds from a position on, the way the adapter begins there: at the last append
/// up to it.
fn log(rows: &[Row], from: u64) -> (u64, Vec<Append>) {
    let before: Vec<Row> = rows.iter().filter(|row| row.seq <= from).cloned().collect();
    let mut chain = Chain::start();
    let mut begin = 0;
    // The fewest rows in which there is an append, as a page may end anywhere.
    for at in (0..before.len()).rev().filter(|_| from > 1) {
        let cut = at > 0 && before[at - 1].seq == before[at].seq;
        if !cut && let Some(found) = first_append(&before[at..]) {
            begin = at + found;
            chain = Chain::from(before[begin].seq);
            break;
        }
    }
    let mut appends = Vec::new();
    for row in &rows[begin..] {
        appends.extend(chain.take(row.clone()).unwrap());
    }
    (chain.next, appends)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn late_writes_change_nothing_that_is_firm(
        steps in prop::collection::vec((step(), any::<u32>()), 1..40)
    ) {
        let mut world = World::default();
        for (step, sees) in &steps {
            world.step(step);
            for sees in [0, u32::MAX, *sees] {
                world.check(sees);
            }
        }
    }
}
