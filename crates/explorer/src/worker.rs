//! The one thread that computes.
//!
//! Kernels share one pool of threads, so two models at once would only wait for each other; and a computation must not hold up the
//! threads that serve connections. So handlers put work into a bounded queue and wait for the reply:
//!
//! - a full queue refuses at once ([`Problem::busy`]), so that waiting is bounded;
//! - work whose deadline has passed, or whose client has gone, is dropped before it is begun;
//! - decodes that wait for the same run are done in one forward pass: under load the model's cost is shared;
//! - long work (the codes of a whole split) comes in steps, and whoever waits goes between them;
//! - a panic ends one piece of work, never the thread; three in a row make the service say that it is not ready.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use elbo::generation::{self, Pictures, ShowAs};
use tokio::sync::oneshot;

use crate::metrics::Metrics;
use crate::models::{Loaded, Models};
use crate::problem::Problem;
use crate::run_entry::RunEntry;

/// Panics in a row after which the service is not ready.
const MAX_PANICS: usize = 3;
/// Deadlines that one piece of work may last before the worker counts as stuck: nothing it does should take one.
const STUCK: u32 = 2;

type Reply<T> = oneshot::Sender<Result<T, Problem>>;

/// The handlers' side of the worker. It ends with the last handle.
#[derive(Debug)]
pub(crate) struct Worker {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    capacity: usize,
    /// Codes decoded in one pass.
    batch: usize,
    deadline: Duration,
    panics: Panics,
    /// Since when the work under way is; none while there is none.
    busy_since: Mutex<Option<Instant>>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Queue {
    urgent: VecDeque<Job>,
    /// Long work, a step at a time.
    patient: VecDeque<Box<dyn Step>>,
    closed: bool,
}

struct Job {
    work: Work,
    deadline: Instant,
}

enum Work {
    Decode { run: Arc<RunEntry>, codes: Codes, reply: Reply<Pictures> },
    Call(Box<dyn Call>),
}

/// Codes on their way to a decoder.
struct Codes {
    /// `[n, latent]`, row after row.
    z: Vec<f32>,
    /// What a conditional model is told of each; empty for another.
    classes: Vec<u32>,
}

/// Work with its reply, whatever its type.
trait Call: Send {
    fn abandoned(&self) -> bool;
    fn refuse(self: Box<Self>, problem: Problem);
    fn run(self: Box<Self>, models: &mut Models, panics: &Panics);
}

/// Long work: called until it says what came of it.
trait Step: Send {
    fn abandoned(&self) -> bool;
    /// Returns whether there is more to do.
    fn step(&mut self, models: &mut Models, panics: &Panics) -> bool;
}

struct Once<T, F> {
    work: F,
    reply: Reply<T>,
}

impl<T: Send, F: FnOnce(&mut Models) -> Result<T, Problem> + Send> Call for Once<T, F> {
    fn abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn refuse(self: Box<Self>, problem: Problem) {
        let _ = self.reply.send(Err(problem));
    }

    fn run(self: Box<Self>, models: &mut Models, panics: &Panics) {
        let Self { work, reply } = *self;
        // Whoever asked may have gone.
        let _ = reply.send(panics.guard(|| work(models)));
    }
}

struct Steps<T, F> {
    work: F,
    reply: Option<Reply<T>>,
}

impl<T: Send, F: FnMut(&mut Models) -> Result<Option<T>, Problem> + Send> Step for Steps<T, F> {
    fn abandoned(&self) -> bool {
        self.reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    fn step(&mut self, models: &mut Models, panics: &Panics) -> bool {
        let outcome = match panics.guard(|| (self.work)(models)) {
            Ok(None) => return true,
            Ok(Some(value)) => Ok(value),
            Err(problem) => Err(problem),
        };
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(outcome);
        }
        false
    }
}

/// Counts the pieces of work in a row that ended in a panic.
#[derive(Default)]
struct Panics {
    in_a_row: AtomicUsize,
}

impl Panics {
    /// Runs work; a panic becomes [`Problem::internal`]. It is counted before there is an answer: who has the answer and asks for
    /// readiness next is told of it.
    fn guard<T>(&self, work: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
        let outcome = catch_unwind(AssertUnwindSafe(work));
        let panics = if outcome.is_ok() { 0 } else { self.in_a_row.load(Relaxed) + 1 };
        self.in_a_row.store(panics, Relaxed);
        outcome.unwrap_or_else(|_| Err(Problem::internal()))
    }
}

impl Worker {
    /// Starts the thread.
    pub fn start(models: Models, capacity: usize, batch: usize, deadline: Duration, metrics: Arc<Metrics>) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            capacity,
            batch,
            deadline,
            panics: Panics::default(),
            busy_since: Mutex::default(),
            metrics,
        });
        let worker = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("elbo-models".into())
            .spawn(move || worker.work(models))
            .expect("the system starts a thread");
        Self { shared }
    }

    /// Whether work is done as it should be: without panics, and without a piece of it that never ends.
    pub fn is_sound(&self) -> bool {
        let busy_since = *self.shared.busy_since.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let is_stuck = busy_since.is_some_and(|since| since.elapsed() > self.shared.deadline * STUCK);
        self.shared.panics.in_a_row.load(Relaxed) < MAX_PANICS && !is_stuck
    }

    /// Decodes codes `z` to E[x|z], together with what else waits for the same run. `classes` holds one for each code
    /// if the run is told classes.
    pub async fn decode(&self, run: &Arc<RunEntry>, z: Vec<f32>, classes: Vec<u32>) -> Result<Pictures, Problem> {
        let (reply, answer) = oneshot::channel();
        let codes = Codes { z, classes };
        self.submit(Work::Decode { run: Arc::clone(run), codes, reply }, answer).await
    }

    /// A run's model, loaded if it was not.
    pub async fn loaded(&self, run: &Arc<RunEntry>) -> Result<Loaded, Problem> {
        let run = Arc::clone(run);
        self.call(move |models| models.get(&run)).await
    }

    /// Does a piece of work on the worker's thread.
    pub async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Models) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        self.submit(Work::Call(Box::new(Once { work, reply })), answer).await
    }

    /// Calls `work` until it returns something, whenever nothing else waits. It has no deadline.
    pub async fn steps<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Models) -> Result<Option<T>, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        {
            let mut queue = self.shared.lock();
            if queue.closed {
                return Err(Problem::closing());
            }
            if queue.patient.len() >= self.shared.capacity {
                return Err(Problem::busy(queue.patient.len()));
            }
            queue.patient.push_back(Box::new(Steps { work, reply: Some(reply) }));
        }
        self.shared.wake.notify_one();
        answer.await.unwrap_or_else(|_| Err(Problem::closing()))
    }

    /// Refuses what comes and what waits; what is under way is finished.
    pub fn close(&self) {
        let mut queue = self.shared.lock();
        queue.closed = true;
        queue.patient.clear();
        for job in queue.urgent.drain(..) {
            job.refuse(Problem::closing());
        }
        drop(queue);
        self.shared.wake.notify_all();
    }

    async fn submit<T>(&self, work: Work, answer: oneshot::Receiver<Result<T, Problem>>) -> Result<T, Problem> {
        let deadline = Instant::now() + self.shared.deadline;
        {
            let mut queue = self.shared.lock();
            if queue.closed {
                return Err(Problem::closing());
            }
            if queue.urgent.len() >= self.shared.capacity {
                self.shared.metrics.refused.fetch_add(1, Relaxed);
                return Err(Problem::busy(queue.urgent.len()));
            }
            queue.urgent.push_back(Job { work, deadline });
            self.shared.metrics.queued.store(queue.urgent.len(), Relaxed);
        }
        self.shared.wake.notify_one();
        match tokio::time::timeout_at(deadline.into(), answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Problem::closing()),
            Err(_) => Err(Problem::late(self.shared.deadline)),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.close();
    }
}

impl Job {
    fn abandoned(&self) -> bool {
        match &self.work {
            Work::Decode { reply, .. } => reply.is_closed(),
            Work::Call(call) => call.abandoned(),
        }
    }

    fn refuse(self, problem: Problem) {
        match self.work {
            Work::Decode { reply, .. } => drop(reply.send(Err(problem))),
            Work::Call(call) => call.refuse(problem),
        }
    }
}

/// What the thread does next.
enum Next {
    Urgent(Job),
    Patient(Box<dyn Step>),
}

impl Shared {
    /// No invariant of the queue outlasts a statement, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn work(&self, mut models: Models) {
        while let Some(next) = self.next() {
            self.is_busy(true);
            match next {
                Next::Patient(mut step) => {
                    if !step.abandoned() && step.step(&mut models, &self.panics) {
                        self.lock().patient.push_back(step);
                    }
                }
                Next::Urgent(job) if job.abandoned() => {}
                Next::Urgent(job) if job.deadline <= Instant::now() => job.refuse(Problem::late(self.deadline)),
                Next::Urgent(Job { work: Work::Call(call), .. }) => call.run(&mut models, &self.panics),
                Next::Urgent(Job { work: Work::Decode { run, codes, reply }, .. }) => {
                    self.decode(&mut models, &run, codes, reply);
                }
            }
            self.is_busy(false);
        }
    }

    fn is_busy(&self, busy: bool) {
        *self.busy_since.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = busy.then(Instant::now);
    }

    fn next(&self) -> Option<Next> {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.urgent.pop_front() {
                self.metrics.queued.store(queue.urgent.len(), Relaxed);
                return Some(Next::Urgent(job));
            }
            if let Some(step) = queue.patient.pop_front() {
                return Some(Next::Patient(step));
            }
            if queue.closed {
                return None;
            }
            queue = self.wake.wait(queue).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }

    /// One forward pass for this request and those that wait for the same run.
    fn decode(&self, models: &mut Models, run: &Arc<RunEntry>, codes: Codes, reply: Reply<Pictures>) {
        let mut waiting = vec![(codes.z.len(), reply)];
        let mut together = codes;
        let outcome = self.panics.guard(|| {
            let loaded = models.get(run)?;
            let decoder = loaded.run.decoder("decode")?;
            let latent = decoder.latent();
            if !together.z.len().is_multiple_of(latent) {
                return Err(Problem::changed());
            }
            self.join(run, self.batch * latent, &mut together, &mut waiting);
            self.metrics.batches.fetch_add(1, Relaxed);
            self.metrics.decoded.fetch_add(together.z.len() / latent, Relaxed);
            let pictures = generation::show_of_classes(&decoder, &together.z, &together.classes, ShowAs::Mean)?;
            Ok((pictures, latent))
        });
        match outcome {
            Ok((pictures, latent)) => share(pictures, latent, waiting),
            Err(problem) => waiting.into_iter().for_each(|(_, reply)| drop(reply.send(Err(problem.clone())))),
        }
    }

    /// Takes decodes of the same run out of the queue, up to `most` numbers in all.
    fn join(
        &self,
        run: &Arc<RunEntry>,
        most: usize,
        together: &mut Codes,
        waiting: &mut Vec<(usize, Reply<Pictures>)>,
    ) {
        let mut queue = self.lock();
        let (now, mut left) = (Instant::now(), VecDeque::with_capacity(queue.urgent.len()));
        for job in queue.urgent.drain(..) {
            match job {
                Job { work: Work::Decode { run: other, codes, reply }, deadline }
                    if other.id == run.id
                        && other.identity == run.identity
                        && deadline > now
                        && together.z.len() + codes.z.len() <= most =>
                {
                    if !reply.is_closed() {
                        together.z.extend_from_slice(&codes.z);
                        together.classes.extend_from_slice(&codes.classes);
                        waiting.push((codes.z.len(), reply));
                    }
                }
                job => left.push_back(job),
            }
        }
        queue.urgent = left;
        self.metrics.queued.store(queue.urgent.len(), Relaxed);
    }
}

/// Gives each request its own pictures.
fn share(pictures: Pictures, latent: usize, waiting: Vec<(usize, Reply<Pictures>)>) {
    let Pictures { shape, mut pixels } = pictures;
    if let [(_, _)] = waiting.as_slice() {
        let (_, reply) = waiting.into_iter().next().expect("there is one");
        let _ = reply.send(Ok(Pictures { shape, pixels }));
        return;
    }
    // From the end, so that nothing is moved twice.
    for (numbers, reply) in waiting.into_iter().rev() {
        let own = pixels.split_off(pixels.len() - numbers / latent * shape.numel());
        let _ = reply.send(Ok(Pictures { shape, pixels: own }));
    }
}
