//! How often what happened in the runs that lose their power.

use std::sync::atomic::AtomicUsize;

/// How often what happened, over all seeds.
#[derive(Debug, Default)]
pub struct Tally {
    pub cut_at_open: AtomicUsize,
    pub cut_under_way: AtomicUsize,
    pub cut_at_close: AtomicUsize,
    pub cut_at_rest: AtomicUsize,
    pub closed_cleanly: AtomicUsize,
    pub killed: AtomicUsize,
    pub acknowledged: AtomicUsize,
    pub came_true: AtomicUsize,
    pub came_to_nothing: AtomicUsize,
    pub folds: AtomicUsize,
    pub checkpoints: AtomicUsize,
    pub forgotten: AtomicUsize,
    pub damaged: AtomicUsize,
    pub started_again: AtomicUsize,
    pub rebuilt: AtomicUsize,
    pub repaired: AtomicUsize,
    pub cut_in_repair: AtomicUsize,
    pub converted: AtomicUsize,
    pub moved: AtomicUsize,
    pub not_moved: AtomicUsize,
}
