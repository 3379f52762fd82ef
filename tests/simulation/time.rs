//! Virtual time: the heap of what is to happen, in the order of its time, then of its making.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Something to happen.
pub struct Scheduled<T> {
    pub at: u64,
    n: u64,
    /// Happenings inside the router end with its process.
    pub process: Option<u64>,
    pub what: T,
}

impl<T> PartialEq for Scheduled<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl<T> Eq for Scheduled<T> {}
impl<T> PartialOrd for Scheduled<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Scheduled<T> {
    /// Turned round: the heap gives its greatest first, which is to be the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.n).cmp(&(self.at, self.n))
    }
}

/// See the module.
pub struct Heap<T> {
    heap: BinaryHeap<Scheduled<T>>,
    n: u64,
}

impl<T> Heap<T> {
    pub fn new() -> Self {
        Self { heap: BinaryHeap::new(), n: 0 }
    }

    pub fn push(&mut self, at: u64, process: Option<u64>, what: T) {
        self.n += 1;
        self.heap.push(Scheduled { at, n: self.n, process, what });
    }

    pub fn pop(&mut self) -> Option<Scheduled<T>> {
        self.heap.pop()
    }
}
