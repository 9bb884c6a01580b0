//! Whether memory ran out. Most allocations cannot be refused: then the module stops, and what it stopped for can only be
//! told by its memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};

use wasm_bindgen::prelude::*;

static LACKING: AtomicBool = AtomicBool::new(false);

/// The system's allocator, with a note of failures.
struct Noting;

fn noted(pointer: *mut u8) -> *mut u8 {
    if pointer.is_null() {
        LACKING.store(true, Ordering::Relaxed);
    }
    pointer
}

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that are asked for.
        noted(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        noted(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        noted(unsafe { System.realloc(pointer, layout, size) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Noting = Noting;

/// Whether there was no memory for something, and no error has said so. For when the module has stopped.
#[wasm_bindgen(js_name = outOfMemory)]
pub fn out_of_memory() -> bool {
    LACKING.load(Ordering::Relaxed)
}

/// An error says so.
pub fn reported() {
    LACKING.store(false, Ordering::Relaxed);
}
