//! The worker pool: short parallel regions without a system call in the common case.
//!
//! A training step is a chain of regions of 10 to 300 microseconds. Waking a sleeping thread costs about 50, so workers
//! spin for a bounded time after each region, then yield, then park (`SPINS`, `YIELDS`). The caller takes part in the work.
//!
//! Results never depend on the number of threads: callers cut their work into parts by shape alone, and the pool only
//! decides who runs which part. A second region started while one is running (two trainers in one process, or a region
//! inside a region) runs on its own thread alone: slower, never a deadlock. A panic in a part is caught, the other parts
//! finish, and the caller panics with the same message.

use std::any::Any;
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Arc, Mutex, OnceLock, TryLockError};
use std::thread::{self, Thread};

/// Rounds of `spin_loop` a worker waits for the next region before it starts to yield. Miri, to which a round is long, gets to the rest sooner.
const SPINS: u32 = if cfg!(miri) { 8 } else { 4_000 };
/// Rounds of `yield_now` after that, before it parks.
const YIELDS: u32 = if cfg!(miri) { 3 } else { 200 };

/// Which end of the parts that are left a thread takes its next one from. The caller takes the first, workers take the last: of two threads each meets
/// about the same half of every region, and so of what the region before left in its caches.
#[derive(Clone, Copy)]
enum End {
    First,
    Last,
}

/// One part of a region: called with the part's number.
type Part<'a> = &'a (dyn Fn(usize) + Sync);

/// What the current region runs. Valid while any of its parts is unfinished.
#[derive(Clone, Copy)]
struct Job(*const (dyn Fn(usize) + Sync));

struct Shared {
    /// generation (32 bits) | one past the last part left (16) | the first part left (16). Claiming a part is one compare-and-swap on this word,
    /// so a late worker can never claim a part of a region that is over.
    ticket: AtomicU64,
    /// Parts of the current region that have finished.
    done: AtomicUsize,
    job: UnsafeCell<Option<Job>>,
    /// The first panic of the current region.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// Workers beyond this many stand aside: the user's thread limit less the caller.
    active: AtomicUsize,
}

// SAFETY: `job` is written only by the thread that holds the region lock while every part of the previous region is done, and
// read only after a successful claim, whose acquire ordering makes that write visible; everything else is atomic or locked.
unsafe impl Sync for Shared {}
// SAFETY: the pointer inside `job` is only ever used between publication and the end of the region, see `Pool::run`.
unsafe impl Send for Shared {}

struct Worker {
    thread: Thread,
    parked: Arc<AtomicBool>,
}

struct Pool {
    shared: Arc<Shared>,
    workers: Mutex<Vec<Worker>>,
    /// Held by the thread whose region runs.
    region: Mutex<()>,
    threads: AtomicUsize,
}

fn pool() -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(|| Pool {
        shared: Arc::new(Shared {
            ticket: AtomicU64::new(0),
            done: AtomicUsize::new(0),
            job: UnsafeCell::new(None),
            panic: Mutex::new(None),
            active: AtomicUsize::new(0),
        }),
        workers: Mutex::new(Vec::new()),
        region: Mutex::new(()),
        threads: AtomicUsize::new(thread::available_parallelism().map_or(1, usize::from)),
    })
}

/// Sets how many threads parallel regions use, the caller included; at least 1. It changes speed, never a result.
///
/// ```
/// elbo_kernels::set_threads(1);
/// assert_eq!(elbo_kernels::threads(), 1);
/// ```
pub fn set_threads(threads: usize) {
    pool().threads.store(threads.max(1), Relaxed);
}

/// How many threads parallel regions use. The default is what the system makes available.
pub fn threads() -> usize {
    pool().threads.load(Relaxed)
}

/// Runs `part(0)`, ..., `part(parts - 1)`, in any order and on any thread, and returns when all are done.
///
/// # Panics
/// With a part's own message if a part panics, after the other parts have finished.
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
///
/// let sum = AtomicUsize::new(0);
/// elbo_kernels::parallel(10, |part| {
///     sum.fetch_add(part, Relaxed);
/// });
/// assert_eq!(sum.into_inner(), 45);
/// ```
pub fn run(parts: usize, part: impl Fn(usize) + Sync) {
    let pool = pool();
    if parts <= 1 || pool.threads.load(Relaxed) == 1 {
        return (0..parts).for_each(part);
    }
    let region = match pool.region.try_lock() {
        Ok(region) => Some(region),
        // The lock guards no data: a region that ended in a panic leaves nothing behind.
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    };
    match region {
        // 65,535 parts at most fit the ticket; nothing here cuts work that fine.
        Some(_region) if parts < 1 << 16 => pool.run(parts, &part),
        _ => (0..parts).for_each(part),
    }
}

impl Pool {
    fn run(&self, parts: usize, part: Part<'_>) {
        self.start_workers();
        let shared = &self.shared;
        let generation = (shared.ticket.load(Relaxed) >> 32).wrapping_add(1) & 0xffff_ffff;
        // SAFETY: only the lifetime is erased; `part` outlives this call, which returns only after `done == parts`, and no
        // worker touches the pointer without having claimed one of those parts.
        let job = Job(unsafe { std::mem::transmute::<Part<'_>, Part<'static>>(part) });
        // SAFETY: this thread holds the region lock and all parts of the last region are done, so nobody reads `job` now.
        unsafe { *shared.job.get() = Some(job) };
        shared.done.store(0, Relaxed);
        shared.ticket.store(generation << 32 | (parts as u64) << 16, SeqCst);
        self.unpark(parts);

        while shared.claim_and_run(End::First) {}
        let mut rounds = 0u32;
        while shared.done.load(Acquire) < parts {
            rounds += 1;
            if rounds < SPINS { std::hint::spin_loop() } else { thread::yield_now() }
        }
        let panicked = shared.panic.lock().unwrap_or_else(|e| e.into_inner()).take();
        if let Some(payload) = panicked {
            resume_unwind(payload);
        }
    }

    /// Starts workers up to the thread limit and tells those beyond it to stand aside.
    fn start_workers(&self) {
        let wanted = self.threads.load(Relaxed) - 1;
        if self.shared.active.swap(wanted, Relaxed) >= wanted {
            return;
        }
        let mut workers = self.workers.lock().unwrap_or_else(|e| e.into_inner());
        while workers.len() < wanted {
            let number = workers.len();
            let (shared, parked) = (Arc::clone(&self.shared), Arc::new(AtomicBool::new(false)));
            let flag = Arc::clone(&parked);
            let spawned =
                thread::Builder::new().name(format!("elbo-{number}")).spawn(move || serve(&shared, number, &flag));
            // A system that refuses threads costs speed, not the run.
            let Ok(handle) = spawned else { break };
            workers.push(Worker { thread: handle.thread().clone(), parked });
        }
    }

    fn unpark(&self, parts: usize) {
        let workers = self.workers.lock().unwrap_or_else(|e| e.into_inner());
        let wanted = self.shared.active.load(Relaxed).min(parts - 1);
        for worker in workers.iter().take(wanted) {
            if worker.parked.swap(false, SeqCst) {
                worker.thread.unpark();
            }
        }
    }
}

impl Shared {
    /// Claims one part and runs it; false when none is left.
    fn claim_and_run(&self, end: End) -> bool {
        let mut ticket = self.ticket.load(SeqCst);
        loop {
            let (last, first) = ((ticket >> 16) & 0xffff, ticket & 0xffff);
            if first >= last {
                return false;
            }
            let (part, rest) = match end {
                End::First => (first, ticket + 1),
                End::Last => (last - 1, ticket - (1 << 16)),
            };
            match self.ticket.compare_exchange_weak(ticket, rest, AcqRel, Acquire) {
                Ok(_) => {
                    self.run_part(part as usize);
                    return true;
                }
                Err(now) => ticket = now,
            }
        }
    }

    fn run_part(&self, part: usize) {
        // SAFETY: the caller claimed a part of the current region, so `job` was published before (acquire) and stays
        // valid until `done` counts this part.
        let outcome = catch_unwind(AssertUnwindSafe(|| unsafe {
            if let Some(Job(job)) = *self.job.get() {
                (*job)(part);
            }
        }));
        if let Err(payload) = outcome {
            self.panic.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert(payload);
        }
        self.done.fetch_add(1, Release);
    }

    fn has_work(&self) -> bool {
        let ticket = self.ticket.load(SeqCst);
        ticket & 0xffff < (ticket >> 16) & 0xffff
    }
}

/// A worker's life: run parts, spin, yield, park.
fn serve(shared: &Shared, number: usize, parked: &AtomicBool) {
    let mut idle = 0u32;
    loop {
        let wanted = number < shared.active.load(Relaxed);
        if wanted && shared.claim_and_run(End::Last) {
            idle = 0;
            continue;
        }
        idle += 1;
        if wanted && idle < SPINS {
            std::hint::spin_loop();
        } else if wanted && idle < SPINS + YIELDS {
            thread::yield_now();
        } else {
            parked.store(true, SeqCst);
            // A region published between the last look and the flag would not have seen the flag: look again.
            if !(wanted && shared.has_work()) {
                thread::park();
            }
            parked.store(false, SeqCst);
            idle = 0;
        }
    }
}

/// How many parts to cut `length` units into, by shape alone: about `work` operations each at `per_unit` operations a unit, parts no
/// shorter than `least` units and no more than 16 of them.
pub(crate) fn parts_for(length: usize, per_unit: usize, work: usize, least: usize) -> usize {
    // Miri is to see small tests cut as well.
    let work = if cfg!(miri) { work / 1024 } else { work };
    let by_work = length.saturating_mul(per_unit) / work.max(1);
    by_work.min(length / least.max(1)).clamp(1, 16)
}

/// The bounds of part `index` of `parts` over `0..length`, cut at multiples of `align`.
pub(crate) fn part_range(length: usize, parts: usize, index: usize, align: usize) -> std::ops::Range<usize> {
    let blocks = length.div_ceil(align);
    let bound = |i: usize| (blocks * i / parts * align).min(length);
    bound(index)..bound(index + 1)
}

/// Two lists of parts as one region, in which both go on evenly: whether `part` is the second list's, and which one there. Threads that share a region from both
/// ends so share either list.
pub(crate) fn merged(part: usize, [first, second]: [usize; 2]) -> (bool, usize) {
    let before = |part: usize| part * first / (first + second);
    let (done, with) = (before(part), before(part + 1));
    if with > done { (false, done) } else { (true, part - done) }
}

/// Zeros, written by all threads: one alone takes 30 microseconds for the gradient of a layer of 784 by 400.
pub(crate) fn zeros(count: usize) -> Vec<f32> {
    let mut values = Vec::with_capacity(count);
    let target = SharedMut::new(&mut values.spare_capacity_mut()[..count]);
    let parts = parts_for(count, 1, 24_576, 64);
    run(parts, |part| {
        // SAFETY: parts own disjoint ranges, and the buffer outlives the region.
        unsafe { target.slice(part_range(count, parts, part, 64)) }.fill(MaybeUninit::new(0f32));
    });
    // SAFETY: the parts' ranges cover all of them, and each was written.
    unsafe { values.set_len(count) };
    values
}

/// Room for floats that the parts of a region write: what is written anyway need not be set to 0 before.
pub(crate) struct Room(Vec<f32>);

impl Room {
    /// For `count` floats.
    pub(crate) fn new(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    /// The whole room, for the parts to share. It has exactly `count` places.
    pub(crate) fn target(&mut self, count: usize) -> SharedMut<MaybeUninit<f32>> {
        SharedMut::new(&mut self.0.spare_capacity_mut()[..count])
    }

    /// The floats.
    ///
    /// # Safety
    /// The first `count` places were written.
    pub(crate) unsafe fn written(mut self, count: usize) -> Vec<f32> {
        // SAFETY: initialised by the caller's promise, and within the capacity or `target` had panicked.
        unsafe { self.0.set_len(count) };
        self.0
    }
}

/// The places as floats, set to 0 first: cheap for a few rows, which stay in the cache until they are overwritten.
pub(crate) fn zeroed(places: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    places.fill(MaybeUninit::new(0.0));
    // SAFETY: each was just written.
    unsafe { places.assume_init_mut() }
}

/// A pointer that parts of one region may share to write disjoint ranges of one buffer.
#[derive(Clone, Copy)]
pub(crate) struct SharedMut<T>(*mut T, usize);

// SAFETY: the pointer is only dereferenced through `slice`, whose contract demands disjoint ranges.
unsafe impl<T: Send> Send for SharedMut<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SharedMut<T> {}

impl<T> SharedMut<T> {
    pub(crate) fn new(buffer: &mut [T]) -> Self {
        Self(buffer.as_mut_ptr(), buffer.len())
    }

    /// The range as a slice.
    ///
    /// # Safety
    /// The buffer outlives the region, and no two live slices overlap.
    ///
    /// # Panics
    /// If the range leaves the buffer.
    #[allow(clippy::mut_from_ref, reason = "that is its purpose; the contract above makes it sound")]
    pub(crate) unsafe fn slice(&self, range: std::ops::Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.1, "{range:?} leaves a buffer of {}", self.1);
        // SAFETY: in bounds by the assertion; disjoint by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(range.start), range.len()) }
    }

    /// Elements of the buffer.
    pub(crate) fn len(&self) -> usize {
        self.1
    }

    /// The start of the buffer, for kernels that take strides.
    pub(crate) fn as_mut_ptr(&self) -> *mut T {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Miri checks every access and needs few repetitions.
    const REPETITIONS: usize = if cfg!(miri) { 4 } else { 50 };

    #[test]
    fn every_part_runs_exactly_once() {
        for parts in [0, 1, 2, 3, 7, 64, if cfg!(miri) { 100 } else { 1000 }] {
            let counts: Vec<AtomicUsize> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
            for _ in 0..REPETITIONS {
                run(parts, |i| {
                    counts[i].fetch_add(1, Relaxed);
                });
            }
            assert!(counts.iter().all(|c| c.load(Relaxed) == REPETITIONS), "{parts} parts");
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_survives() {
        let caught = catch_unwind(|| run(8, |i| assert!(i != 5, "part five failed")));
        let message = *caught.unwrap_err().downcast::<&str>().unwrap();
        assert_eq!(message, "part five failed");
        let sum = AtomicUsize::new(0);
        run(8, |i| {
            sum.fetch_add(i, Relaxed);
        });
        assert_eq!(sum.load(Relaxed), 28);
    }

    #[test]
    fn regions_from_several_threads_and_inside_regions_finish() {
        let total = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..4 * REPETITIONS {
                        run(4, |_| {
                            run(3, |_| {
                                total.fetch_add(1, Relaxed);
                            })
                        });
                    }
                });
            }
        });
        assert_eq!(total.load(Relaxed), 4 * 4 * REPETITIONS * 12);
    }

    /// What kernels do: disjoint ranges of one plain buffer, written by any thread and read by the caller after the region.
    #[test]
    fn writes_of_all_parts_are_seen_after_the_region() {
        let mut buffer = vec![0usize; 300];
        for round in 1..=2 * REPETITIONS {
            let (count, target) = (buffer.len(), SharedMut::new(&mut buffer));
            run(7, |part| {
                let range = part_range(count, 7, part, 16);
                // SAFETY: parts own disjoint ranges, and the buffer outlives the region.
                unsafe { target.slice(range) }.iter_mut().for_each(|value| *value += round);
            });
            assert!(buffer.iter().all(|value| *value == round * (round + 1) / 2));
            // Long enough, now and then, for workers to park.
            if round % 3 == 0 {
                thread::sleep(std::time::Duration::from_millis(1));
            }
        }
    }

    #[test]
    fn zeros_are_zeros_from_one_part_or_many() {
        for count in [0, 1, 1000, if cfg!(miri) { 2_000 } else { 300_001 }] {
            assert_eq!(zeros(count), vec![0.0; count]);
        }
    }

    #[test]
    fn merged_lists_are_whole_and_go_on_evenly() {
        for sizes in [[1, 0], [0, 3], [1, 1], [2, 16], [16, 7], [5, 5]] {
            let all = sizes[0] + sizes[1];
            let places: Vec<_> = (0..all).map(|part| merged(part, sizes)).collect();
            for (second, size) in [(false, sizes[0]), (true, sizes[1])] {
                let of_list: Vec<usize> = places.iter().filter(|(list, _)| *list == second).map(|(_, i)| *i).collect();
                assert_eq!(of_list, (0..size).collect::<Vec<_>>());
                let half = places[..all / 2].iter().filter(|(list, _)| *list == second).count();
                assert!(
                    (half as f64 - size as f64 / 2.0).abs() <= 1.0,
                    "{half} of {size} in the first half of {sizes:?}"
                );
            }
        }
    }

    #[test]
    fn ranges_cover_everything_once() {
        for (length, parts, align) in [(0, 1, 16), (1, 4, 16), (400, 4, 16), (784, 3, 16), (17, 5, 1)] {
            let mut next = 0;
            for i in 0..parts {
                let range = part_range(length, parts, i, align);
                assert_eq!(range.start, next);
                next = range.end;
            }
            assert_eq!(next, length);
        }
    }
}
