//! What a target takes from the heap, which has to stay in proportion to what it is given.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The system's allocator, and a count of what is taken from it. Fuzzing has one thread.
struct Counting;

static TAKEN: AtomicUsize = AtomicUsize::new(0);
static TAKEN_MAX: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: the system's allocator does it all.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let taken = TAKEN.fetch_add(layout.size(), Relaxed) + layout.size();
        TAKEN_MAX.fetch_max(taken, Relaxed);
        // SAFETY: the caller keeps to the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        TAKEN.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps to the same contract.
        unsafe { System.dealloc(place, layout) }
    }
}

/// Calls a target with `data`.
pub(crate) fn bounded(target: fn(&[u8]), data: &[u8]) {
    let before = TAKEN.load(Relaxed);
    TAKEN_MAX.store(before, Relaxed);
    target(data);
    let taken = TAKEN_MAX.load(Relaxed).saturating_sub(before);
    assert!(taken <= FLOOR + FACTOR * data.len(), "{taken} bytes for {}", data.len());
}

/// What an inflated content and its elements take, with the limits of the targets.
const FLOOR: usize = 512 << 10;
/// A structure of some hundred bytes can be one byte on the wire, and vectors grow by doubling.
const FACTOR: usize = 1 << 10;
