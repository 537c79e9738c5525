//! Long computations that no request waits for to their end: begun when first asked for, watched while they last, kept afterwards.
//!
//! They run on a thread of their own, one at a time, since each takes all cores: the worker goes on answering beside it.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};

use crate::problem::Problem;

/// How long a request waits for what is being computed before it is told so.
pub(crate) const PATIENCE: Duration = Duration::from_millis(300);

/// The turn to compute beside the worker, held by one at a time.
#[derive(Debug, Clone)]
pub(crate) struct Alone(Arc<Semaphore>);

impl Default for Alone {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Alone {
    /// Computes on a thread of its own, when nothing else does.
    pub async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> elbo::Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = Arc::clone(&self.0).acquire_owned().await.map_err(|_| Problem::closing())?;
        let computing = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            elbo::Error::catch(work)
        });
        Ok(computing.await.map_err(|_| Problem::internal())??)
    }

    /// Refuses whatever has not begun.
    pub fn close(&self) {
        self.0.close();
    }
}

/// What there is of a computation.
#[derive(Debug)]
pub(crate) enum State<T> {
    /// Since so long.
    Computing(Duration),
    Ready(Arc<T>),
}

type Outcome<T> = Option<Result<Arc<T>, Problem>>;

#[derive(Debug)]
struct Job<K, T> {
    key: K,
    began: Instant,
    outcome: watch::Receiver<Outcome<T>>,
}

/// Computations of one kind, by key.
#[derive(Debug)]
pub(crate) struct Background<K, T> {
    capacity: usize,
    /// The one asked for last at the end.
    jobs: Mutex<Vec<Job<K, T>>>,
}

impl<K: PartialEq, T: Send + Sync + 'static> Background<K, T> {
    /// Keeps so many results.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, jobs: Mutex::default() }
    }

    /// The result for `key`, if it is there within `patience`; `make` is called if nobody has asked for it before. It goes on when whoever asked has gone.
    ///
    /// # Errors
    /// What `make` ended with, after which the next call tries again; [`Problem::busy`] if as many are under way as are kept.
    pub async fn get<F: Future<Output = Result<T, Problem>> + Send + 'static>(
        &self,
        key: K,
        patience: Duration,
        make: impl FnOnce() -> F,
    ) -> Result<State<T>, Problem> {
        let (mut outcome, began) = self.job(key, make)?;
        let waited = tokio::time::timeout(patience, outcome.wait_for(Option::is_some)).await;
        match waited {
            Err(_) => Ok(State::Computing(began.elapsed())),
            // Without an outcome its task has ended: it panicked.
            Ok(outcome) => match outcome.ok().and_then(|outcome| outcome.clone()) {
                Some(outcome) => outcome.map(State::Ready),
                None => Err(Problem::internal()),
            },
        }
    }

    fn job<F: Future<Output = Result<T, Problem>> + Send + 'static>(
        &self,
        key: K,
        make: impl FnOnce() -> F,
    ) -> Result<(watch::Receiver<Outcome<T>>, Instant), Problem> {
        let mut jobs = self.lock();
        jobs.retain(|job| !has_failed(job));
        let job = match jobs.iter().position(|job| job.key == key) {
            Some(place) => jobs.remove(place),
            None => {
                if jobs.len() >= self.capacity {
                    let ended = jobs.iter().position(|job| job.outcome.borrow().is_some());
                    let ended = ended.ok_or_else(|| Problem::busy(self.capacity))?;
                    jobs.remove(ended);
                }
                let (sender, outcome) = watch::channel(None);
                let work = make();
                tokio::spawn(async move { sender.send_replace(Some(work.await.map(Arc::new))) });
                Job { key, began: Instant::now(), outcome }
            }
        };
        let answer = (job.outcome.clone(), job.began);
        jobs.push(job);
        Ok(answer)
    }

    /// No invariant outlasts a statement, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Vec<Job<K, T>>> {
        self.jobs.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn has_failed<K, T>(job: &Job<K, T>) -> bool {
    let lost = job.outcome.has_changed().is_err();
    match &*job.outcome.borrow() {
        Some(outcome) => outcome.is_err(),
        None => lost,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn what_takes_long_is_told_of_made_once_and_kept() {
        let background = Background::new(2);
        let made = Arc::new(AtomicUsize::new(0));
        let (release, held) = tokio::sync::oneshot::channel::<()>();
        let count = Arc::clone(&made);
        let slow = || async move {
            held.await.unwrap();
            count.fetch_add(1, Relaxed);
            Ok(7)
        };
        let state = background.get("a", SHORT, slow).await.unwrap();
        assert!(matches!(state, State::Computing(since) if since >= SHORT), "{state:?}");
        let never = || async { Err::<i32, _>(Problem::conflict("it is under way")) };
        assert!(matches!(background.get("a", SHORT, never).await.unwrap(), State::Computing(_)));
        release.send(()).unwrap();
        assert!(matches!(background.get("a", LONG, never).await.unwrap(), State::Ready(value) if *value == 7));
        assert_eq!(made.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn failures_are_tried_again_and_no_more_are_begun_than_are_kept() {
        let background = Background::new(1);
        let failing = || async { Err::<u8, _>(Problem::conflict("no data")) };
        assert_eq!(background.get(1, LONG, failing).await.unwrap_err(), Problem::conflict("no data"));
        assert!(
            matches!(background.get(1, LONG, || async { Ok(5) }).await.unwrap(), State::Ready(value) if *value == 5)
        );
        let endless = || std::future::pending::<Result<u8, Problem>>();
        assert!(
            matches!(background.get(2, SHORT, endless).await.unwrap(), State::Computing(_)),
            "in place of the first"
        );
        assert_eq!(background.get(3, SHORT, endless).await.unwrap_err().kind, "busy");
        let panicking = Background::new(1);
        let panics = || async { if true { panic!("on purpose") } else { Ok(5) } };
        assert_eq!(panicking.get(1, LONG, panics).await.unwrap_err(), Problem::internal());
        assert!(matches!(panicking.get(1, LONG, || async { Ok(5) }).await.unwrap(), State::Ready(_)));
    }
}
