//! The working memory of password hashes: 19 MiB each. It is used again while others wait for theirs,
//! and given back to the system when nobody does.
//!
//! Smaller pieces of it would stay with the allocator: some sixty megabytes for every thread that ever
//! hashed, by the C library.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argon2::Block;

use super::limits::HASH_ROOM_MIN_BYTES;

/// Blocks for which room is reserved at least.
const MAPPED_BLOCKS: usize = HASH_ROOM_MIN_BYTES / Block::SIZE;

/// See the module.
#[derive(Default)]
pub(super) struct Blocks {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Who hashes, or waits to.
    interested: usize,
    /// At most one for each hash that ever worked at the same time.
    free: Vec<Vec<Block>>,
}

impl Blocks {
    /// Whoever is going to hash says so before it waits.
    pub fn interest(self: &Arc<Self>) -> Interest {
        self.kept().interested += 1;
        Interest { blocks: Arc::clone(self) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody hashes, or waits to; until it is dropped, memory that others return is kept.
pub(super) struct Interest {
    blocks: Arc<Blocks>,
}

impl Interest {
    /// Does the job with `count` blocks, whose content is whatever was left there; `None` without
    /// memory.
    pub fn lend<T>(&self, count: usize, job: impl FnOnce(&mut [Block]) -> T) -> Option<T> {
        let kept = self.blocks.kept().free.pop();
        let mut memory = kept.unwrap_or_default();
        memory.try_reserve_exact(count.max(MAPPED_BLOCKS).saturating_sub(memory.len())).ok()?;
        memory.resize(count, Block::new());
        let done = job(&mut memory);
        self.blocks.kept().free.push(memory);
        Some(done)
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        let mut kept = self.blocks.kept();
        kept.interested -= 1;
        if kept.interested == 0 {
            kept.free = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_while_somebody_waits_and_given_back_then() {
        let blocks = Arc::new(Blocks::default());
        let (first, second) = (blocks.interest(), blocks.interest());
        let place = |memory: &mut [Block]| (memory.len(), memory.as_ptr() as usize);
        let (count, at) = first.lend(8, place).unwrap();
        assert_eq!(count, 8);
        drop(first);
        assert_eq!(second.lend(8, place), Some((8, at)));
        assert_eq!(second.lend(5, place), Some((5, at)), "a cheaper hash");
        assert_eq!(blocks.kept().free.len(), 1);
        drop(second);
        assert_eq!(blocks.kept().free.len(), 0);
    }

    #[test]
    fn two_that_hash_at_once_have_memory_of_their_own() {
        let blocks = Arc::new(Blocks::default());
        let (first, second) = (blocks.interest(), blocks.interest());
        let place = |memory: &mut [Block]| memory.as_ptr() as usize;
        let (outer, inner) =
            first.lend(8, |memory| (place(memory), second.lend(8, place).unwrap())).unwrap();
        assert_ne!(outer, inner);
        assert_eq!(blocks.kept().free.len(), 2);
    }
}
