//! Work that takes long beside the threads that serve: reading large requests, decoding pictures, writing large answers.
//!
//! The threads that serve connections answer `/healthz` as well, so nothing that a client can make long runs on them. It waits for a
//! turn, of which there are few, so that memory is bounded too; whoever waits or works longer than the deadline gets 504, and work
//! whose client has lost patience ends at its next step.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::problem::Problem;

/// Turns for one kind of work.
#[derive(Debug)]
pub(crate) struct Heavy {
    turns: Arc<Semaphore>,
    deadline: Duration,
}

/// Until when a piece of work is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    end: Instant,
    deadline: Duration,
    given_up: Arc<AtomicBool>,
}

impl Wanted {
    /// Asked between the steps of long work.
    ///
    /// # Errors
    /// [`Problem::late`] once nobody waits any more.
    pub fn check(&self) -> Result<(), Problem> {
        match self.given_up.load(Relaxed) || self.end <= Instant::now() {
            true => Err(Problem::late(self.deadline)),
            false => Ok(()),
        }
    }
}

/// Says that nobody waits any more when the request ends, whatever ends it.
struct GivenUp(Arc<AtomicBool>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

impl Heavy {
    /// So many pieces of work at once, each within the deadline.
    pub fn new(turns: usize, deadline: Duration) -> Self {
        Self { turns: Arc::new(Semaphore::new(turns)), deadline }
    }

    /// Does a piece of work when it is its turn.
    ///
    /// # Errors
    /// Those of the work; [`Problem::late`] if it is not done in time, [`Problem::internal`] if it panics.
    pub async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Wanted) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let wanted = Wanted {
            end: Instant::now() + self.deadline,
            deadline: self.deadline,
            given_up: Arc::new(AtomicBool::new(false)),
        };
        let (end, _given_up) = (wanted.end, GivenUp(Arc::clone(&wanted.given_up)));
        let turns = Arc::clone(&self.turns);
        let done = async move {
            let turn = turns.acquire_owned().await.map_err(|_| Problem::closing())?;
            let work = move || {
                let _turn = turn;
                wanted.check()?;
                catch_unwind(AssertUnwindSafe(|| work(&wanted))).unwrap_or_else(|_| Err(Problem::internal()))
            };
            tokio::task::spawn_blocking(work).await.map_err(|_| Problem::internal())?
        };
        tokio::time::timeout_at(end.into(), done).await.unwrap_or_else(|_| Err(Problem::late(self.deadline)))
    }

    /// Does small work at once and large work when it is its turn.
    ///
    /// # Errors
    /// As [`Heavy::compute`].
    pub async fn compute_if<T: Send + 'static>(
        &self,
        large: bool,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        if large { self.compute(|_| work()).await } else { work() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn work_takes_turns_and_is_given_up_at_the_deadline() {
        let heavy = Arc::new(Heavy::new(1, Duration::from_millis(150)));
        let (seen, steps) = mpsc::channel();
        let endless = move |wanted: &Wanted| -> Result<(), Problem> {
            loop {
                wanted.check()?;
                seen.send(()).unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        let began = Instant::now();
        let first = tokio::spawn({
            let heavy = Arc::clone(&heavy);
            async move { heavy.compute(endless).await }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        // The second waits for its turn, and longer than the first works.
        assert_eq!(heavy.compute(|_| Ok(7)).await, Ok(7));
        assert_eq!(first.await.unwrap().unwrap_err().kind, "deadline");
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert!(steps.iter().count() > 3, "ends, so that the channel closes");
    }

    #[tokio::test]
    async fn who_has_gone_is_not_worked_for_and_a_panic_is_one_answer() {
        let heavy = Arc::new(Heavy::new(1, Duration::from_secs(60)));
        let (ended, end) = mpsc::channel();
        let work = {
            let heavy = Arc::clone(&heavy);
            async move {
                let work = move |wanted: &Wanted| -> Result<(), Problem> {
                    while wanted.check().is_ok() {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    ended.send(()).unwrap();
                    Ok(())
                };
                heavy.compute(work).await
            }
        };
        let client = tokio::spawn(work);
        tokio::time::sleep(Duration::from_millis(50)).await;
        client.abort();
        tokio::task::spawn_blocking(move || end.recv_timeout(Duration::from_secs(5)).unwrap()).await.unwrap();
        let panics = heavy.compute(|_| if true { panic!("on purpose") } else { Ok(()) }).await;
        assert_eq!(panics, Err(Problem::internal()));
        assert_eq!(heavy.compute_if(true, || Ok(1)).await, Ok(1));
    }
}
