//! Threads that share the work of a step.
//!
//! The thread that runs a session leads: it puts up a job, takes part in it, and waits for the others. Helpers come when
//! they are ready and wait between jobs, awake for a moment, then asleep. A job is a list of items, taken one by one;
//! nobody waits for a helper that has not begun.
//!
//! It is built on `std` alone, so that native builds test what pages run: there, helpers are workers whose modules share
//! one memory, and `park` is `memory.atomic.wait32`.

use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

/// Builds that can have more than one thread.
const THREADS: bool = cfg!(any(not(target_arch = "wasm32"), feature = "threads"));

/// How often to look before falling asleep in the middle of a run: some hundreds of microseconds. Waking up takes a tenth of
/// a millisecond, which is longer than many steps. Natively each time is a pause of the processor.
const SPINS: u32 = if cfg!(target_arch = "wasm32") { 200_000 } else { 5_000 };

/// The bit of [`Shared::gate`] that says that helpers may begin; the others count those that have.
const OPEN: u32 = 1 << 31;

/// A job as helpers see it. It lies on the leader's stack.
#[derive(Clone, Copy)]
struct Job {
    /// Works on items until there are none left, as a worker of that number.
    work: unsafe fn(*const (), usize),
    data: *const (),
    /// Helpers with numbers from this on are not needed.
    workers: usize,
}

struct Shared {
    /// Raised with each job.
    epoch: AtomicU32,
    gate: AtomicU32,
    /// Only changed while the gate is closed and nobody is inside.
    job: UnsafeCell<Option<Job>>,
    /// Who waits for the job to end.
    leader: Mutex<Option<Thread>>,
    helpers: Mutex<Vec<Thread>>,
    /// How many runs go on, in which one job follows another.
    runs: AtomicU32,
    /// Whether someone leads a job.
    leading: AtomicBool,
    /// A helper has crashed.
    failed: AtomicBool,
    /// Helpers are to leave.
    closed: AtomicBool,
}

// SAFETY: `job` is written by the one leader (`leading`) while the gate is closed and empty, and read by helpers that
// have passed the gate, which orders the two. What its pointer refers to is `Sync`, see `Pool::for_each`.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

/// Threads that work on a job together: the one that has it, and helpers.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

impl Default for Pool {
    fn default() -> Self {
        Self::new()
    }
}

impl Pool {
    /// Without helpers, for now.
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                epoch: AtomicU32::new(0),
                gate: AtomicU32::new(0),
                job: UnsafeCell::new(None),
                leader: Mutex::new(None),
                helpers: Mutex::new(Vec::new()),
                runs: AtomicU32::new(0),
                leading: AtomicBool::new(false),
                failed: AtomicBool::new(false),
                closed: AtomicBool::new(false),
            }),
        }
    }

    /// Makes the calling thread a helper, until the pool is closed.
    pub fn help(&self) {
        let shared = &*self.shared;
        let number = {
            let mut helpers = lock(&shared.helpers);
            helpers.push(thread::current());
            helpers.len()
        };
        // One before any, so that a job that is there already is seen.
        let mut seen = shared.epoch.load(Ordering::Acquire).wrapping_sub(1);
        loop {
            let called = || shared.epoch.load(Ordering::Acquire) != seen || shared.closed.load(Ordering::Acquire);
            wait(called, || shared.runs.load(Ordering::Relaxed) > 0);
            if shared.closed.load(Ordering::Acquire) {
                return;
            }
            seen = shared.epoch.load(Ordering::Acquire);
            shared.take_part(number);
        }
    }

    /// Helpers stay awake for a while after each job, until the result is dropped.
    pub fn run(&self) -> Running<'_> {
        self.shared.runs.fetch_add(1, Ordering::Relaxed);
        if THREADS {
            self.shared.wake(usize::MAX);
        }
        Running(&self.shared)
    }

    /// How many threads there are: helpers, and the one that leads.
    pub fn threads(&self) -> usize {
        if !THREADS {
            return 1;
        }
        1 + lock(&self.shared.helpers).len()
    }

    /// Sends the helpers away.
    pub fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.wake(usize::MAX);
    }

    /// To be called when a helper has crashed: its part of a job is never done, and the memory may be in any state. The
    /// job panics, and so do all further ones.
    pub fn fail(&self) {
        self.shared.failed.store(true, Ordering::Release);
        self.shared.wake_leader();
    }

    /// Calls `f` once for each item, on as many threads as there are `states`, at most; each uses a state of its own.
    /// Items are taken in order.
    ///
    /// # Panics
    /// If `f` does, on any thread, or there is no state.
    pub fn for_each<S: Send, T: Send>(&self, states: &mut [S], items: &mut [T], f: impl Fn(&mut S, &mut T) + Sync) {
        self.check();
        let alone = !THREADS || states.len() <= 1 || items.len() <= 1;
        if alone || self.shared.leading.swap(true, Ordering::Acquire) {
            let state = states.first_mut().expect("a state");
            return items.iter_mut().for_each(|item| f(state, item));
        }
        let task = Task {
            workers: states.len().min(items.len()),
            states: states.as_mut_ptr(),
            items: items.as_mut_ptr(),
            len: items.len(),
            next: AtomicUsize::new(0),
            f,
        };
        let job = task.job();
        let leading = Leading(&self.shared);
        *lock(&self.shared.leader) = Some(thread::current());
        // SAFETY: this thread alone leads, and the gate is closed: no helper reads.
        unsafe { *self.shared.job.get() = Some(job) };
        self.shared.gate.store(OPEN, Ordering::Release);
        self.shared.epoch.fetch_add(1, Ordering::Release);
        self.shared.wake(job.workers - 1);
        // SAFETY: `task` outlives `leading`, which waits for all; this is worker 0.
        unsafe { (job.work)(job.data, 0) };
        drop(leading);
        self.check();
    }

    fn check(&self) {
        assert!(!THREADS || !self.shared.failed.load(Ordering::Acquire), "a helper has crashed");
    }
}

/// A run, see [`Pool::run`].
pub struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.runs.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Ends the job, also where the leader panics: helpers use what is on its stack.
struct Leading<'a>(&'a Shared);

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        let shared = self.0;
        shared.gate.fetch_and(!OPEN, Ordering::AcqRel);
        let done = || {
            if cfg!(target_arch = "wasm32") && shared.failed.load(Ordering::Acquire) {
                // Nothing can be unwound there, and this instance is not used again.
                panic!("a helper has crashed");
            }
            shared.gate.load(Ordering::Acquire) == 0
        };
        wait(done, || true);
        shared.leading.store(false, Ordering::Release);
    }
}

impl Shared {
    /// Works on the job, if the gate is still open.
    fn take_part(&self, number: usize) {
        let enter = |gate: u32| (gate & OPEN != 0).then_some(gate + 1);
        if self.gate.fetch_update(Ordering::AcqRel, Ordering::Acquire, enter).is_err() {
            return;
        }
        // SAFETY: the leader changes it only when nobody is inside.
        let job = unsafe { *self.job.get() }.expect("a job behind an open gate");
        if number < job.workers {
            // SAFETY: what `data` points to lives until all have left; each helper has its own number.
            let done = catch_unwind(AssertUnwindSafe(|| unsafe { (job.work)(job.data, number) }));
            if done.is_err() {
                self.failed.store(true, Ordering::Release);
            }
        }
        if self.gate.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.wake_leader();
        }
    }

    fn wake_leader(&self) {
        if let Some(leader) = &*lock(&self.leader) {
            leader.unpark();
        }
    }

    fn wake(&self, most: usize) {
        for helper in lock(&self.helpers).iter().take(most) {
            helper.unpark();
        }
    }
}

/// No lock is held where anything could panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until it is so, for a while awake if that is worth it. Whoever makes it so has to unpark this thread.
fn wait(is_so: impl Fn() -> bool, is_worth_it: impl Fn() -> bool) {
    let mut spins = 0;
    while !is_so() {
        if spins < SPINS && is_worth_it() {
            spins += 1;
            std::hint::spin_loop();
        } else {
            thread::park();
            // Called, perhaps only to be ready.
            spins = 0;
        }
    }
}

/// What the workers of a job share.
struct Task<S, T, F> {
    workers: usize,
    states: *mut S,
    items: *mut T,
    len: usize,
    /// The first item that nobody has taken.
    next: AtomicUsize,
    f: F,
}

impl<S, T, F: Fn(&mut S, &mut T)> Task<S, T, F> {
    fn job(&self) -> Job {
        Job { work: work::<S, T, F>, data: (&raw const *self).cast(), workers: self.workers }
    }
}

/// Takes items until there are none.
///
/// # Safety
/// `data` points to a task of these types whose lists nobody else uses, and which lives as long as this runs. Each worker
/// has another `number`.
unsafe fn work<S, T, F: Fn(&mut S, &mut T)>(data: *const (), number: usize) {
    // SAFETY: as promised.
    let task = unsafe { &*data.cast::<Task<S, T, F>>() };
    assert!(number < task.workers, "a worker without a state");
    // SAFETY: below `workers`, which is at most the number of states, and nobody else has this number.
    let state = unsafe { &mut *task.states.add(number) };
    loop {
        let index = task.next.fetch_add(1, Ordering::Relaxed);
        if index >= task.len {
            return;
        }
        // SAFETY: there is such an item, and each index is given out once.
        (task.f)(state, unsafe { &mut *task.items.add(index) });
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
pub mod tests {
    use super::*;

    /// A pool with helpers; they leave with it.
    pub struct Threads {
        pub pool: Pool,
        handles: Vec<thread::JoinHandle<()>>,
    }

    impl Threads {
        pub fn new(threads: usize) -> Self {
            let pool = Pool::new();
            let handles = (1..threads)
                .map(|_| {
                    let pool = pool.clone();
                    thread::spawn(move || pool.help())
                })
                .collect();
            while pool.threads() < threads {
                thread::yield_now();
            }
            Self { pool, handles }
        }
    }

    impl Drop for Threads {
        fn drop(&mut self) {
            self.pool.close();
            self.handles.drain(..).for_each(|handle| handle.join().unwrap());
        }
    }

    #[test]
    fn every_item_once() {
        for threads in 1..=5 {
            let Threads { pool, .. } = &Threads::new(threads);
            assert_eq!(pool.threads(), threads);
            for len in (0..40).chain([1000]) {
                let mut items: Vec<usize> = (0..len).collect();
                let mut states = vec![0usize; threads];
                pool.for_each(&mut states, &mut items, |count, item| {
                    *count += 1;
                    *item += 1;
                });
                assert!(items.iter().enumerate().all(|(i, &item)| item == i + 1));
                assert_eq!(states.iter().sum::<usize>(), len);
            }
        }
    }

    #[test]
    fn helpers_do_take_part() {
        let Threads { pool, .. } = &Threads::new(3);
        // All three have to be there at once for any to go on.
        let meeting = std::sync::Barrier::new(3);
        for _ in 0..20 {
            pool.for_each(&mut [(); 3], &mut [(); 3], |_, _| {
                meeting.wait();
            });
            // Time to fall asleep.
            thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    #[test]
    fn fewer_states_than_threads() {
        let Threads { pool, .. } = &Threads::new(4);
        for _ in 0..1000 {
            let (mut states, mut items) = ([0usize; 2], [1u32; 7]);
            pool.for_each(&mut states, &mut items, |count, item| {
                *count += 1;
                *item = 0;
            });
            assert_eq!((states.iter().sum::<usize>(), items), (7, [0; 7]));
        }
    }

    #[test]
    fn a_panic_reaches_the_leader() {
        let threads = Threads::new(3);
        let run = |pool: &Pool| {
            catch_unwind(AssertUnwindSafe(|| {
                pool.for_each(&mut [(); 3], &mut [0; 50], |_, _| panic!("on purpose"));
            }))
        };
        assert!(run(&threads.pool).is_err());
        // The helpers are still there to be sent away.
        drop(threads);
    }

    #[test]
    fn nothing_goes_on_after_a_crash() {
        let Threads { pool, .. } = &Threads::new(2);
        pool.fail();
        let run = || pool.for_each(&mut [()], &mut [()], |_, _| ());
        assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
    }

    #[test]
    fn a_job_inside_of_a_job_is_done_by_one() {
        let Threads { pool, .. } = &Threads::new(2);
        let total = AtomicUsize::new(0);
        pool.for_each(&mut [(); 2], &mut [(); 4], |_, _| {
            pool.for_each(&mut [(); 2], &mut [(); 5], |_, _| {
                total.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!(total.into_inner(), 20);
    }
}
