//! The allocator of the process: mimalloc for what is allocated and freed with every message, and the system's
//! for what is large.
//!
//! A message allocates and frees about a hundred small blocks, of which many are freed on another thread than their
//! own (`docs/decisions/0020-allocator.md`). What is large is rare, and mimalloc would keep its pages for the next
//! one: the memory of a password hash is given back at once ([`crate::access`]).

#![allow(
    unsafe_code,
    reason = "an allocator is unsafe to implement; each call is handed on as it came"
)]

use std::alloc::{GlobalAlloc, Layout, System};

use mimalloc::MiMalloc;

use crate::access::limits::HASH_ROOM_MIN_BYTES;

/// Blocks of this size, bytes, and above come from the system's allocator: the C library of GNU maps them one
/// by one and unmaps each when it is freed (`mallopt(3)`, `M_MMAP_THRESHOLD`, at its upper bound).
const LARGE: usize = 32 * 1024 * 1024;

const _: () =
    assert!(HASH_ROOM_MIN_BYTES >= LARGE, "what a password hash takes is given back at once");

/// By the size of a block, which whoever frees it names again.
struct BySize;

// SAFETY: both allocators keep the contract of `GlobalAlloc`, and a block goes back to the one it came from: its
// layout says which, and `realloc` stays within one or copies.
unsafe impl GlobalAlloc for BySize {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that are asked for.
        unsafe {
            if is_large(layout.size()) { System.alloc(layout) } else { MiMalloc.alloc(layout) }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            if is_large(layout.size()) {
                System.alloc_zeroed(layout)
            } else {
                MiMalloc.alloc_zeroed(layout)
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above; the layout is that of the allocation, so this is where it came from.
        unsafe {
            if is_large(layout.size()) {
                System.dealloc(block, layout)
            } else {
                MiMalloc.dealloc(block, layout)
            }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above. Where the two sizes belong to different allocators, the block is copied: the new one is
        // of `size` bytes with the alignment of the old one, which the caller promises to be a valid layout.
        unsafe {
            match (is_large(layout.size()), is_large(size)) {
                (false, false) => MiMalloc.realloc(block, layout, size),
                (true, true) => System.realloc(block, layout, size),
                _ => {
                    let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
                    if !new.is_null() {
                        std::ptr::copy_nonoverlapping(block, new, layout.size().min(size));
                        self.dealloc(block, layout);
                    }
                    new
                }
            }
        }
    }
}

const fn is_large(size: usize) -> bool {
    size >= LARGE
}

#[global_allocator]
static ALLOCATOR: BySize = BySize;

#[cfg(test)]
mod tests {
    use super::*;

    /// What a block holds has to survive that it grows over the limit, and shrinks below it.
    #[test]
    fn a_block_keeps_its_content_when_it_changes_its_allocator() {
        let mut block: Vec<u8> = Vec::with_capacity(LARGE - 8);
        block.extend((0..LARGE - 8).map(|at| at as u8));
        block.reserve_exact(16);
        assert!(block.capacity() >= LARGE);
        // The C library of GNU has its header in front of a block that it mapped by itself, and nothing else.
        #[cfg(all(target_env = "gnu", target_pointer_width = "64"))]
        assert_eq!(block.as_ptr() as usize % 4_096, 16);
        assert!(block.iter().enumerate().all(|(at, byte)| *byte == at as u8));
        block.truncate(4_000);
        block.shrink_to_fit();
        assert!(block.capacity() < LARGE);
        assert!(block.iter().enumerate().all(|(at, byte)| *byte == at as u8));
        assert_eq!(vec![0u8; LARGE].iter().position(|byte| *byte != 0), None);
    }
}
