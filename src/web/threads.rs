//! What builds with threads have besides: one memory serves all instances of a session, each in a worker of its own.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasm_bindgen::prelude::*;

use crate::engine::Pool;

/// Of the one session that this memory serves.
pub(super) static POOL: LazyLock<Pool> = LazyLock::new(Pool::new);

/// How many threads there will be, helpers and the one that runs the session.
static THREADS: AtomicUsize = AtomicUsize::new(1);

/// See [`set_threads`].
pub(super) fn threads() -> usize {
    THREADS.load(Ordering::Relaxed)
}

/// Says how many threads sessions that are made from now on can count on.
#[wasm_bindgen(js_name = setThreads)]
pub fn set_threads(threads: usize) {
    THREADS.store(threads, Ordering::Relaxed);
}

/// Makes the calling worker a helper. Does not come back while the session lives: the worker can only be terminated.
#[wasm_bindgen]
pub fn help() {
    POOL.help();
}

/// To be called in a helper that has trapped. The run that it took part in traps as well, in the session's worker.
#[wasm_bindgen(js_name = helperFailed)]
pub fn helper_failed() {
    POOL.fail();
}
