//! Who is let in: nobody new once the service ends, no more bytes than there is room for; and whatever happens inside, an answer comes out.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Notify;

use crate::App;
use crate::problem::Problem;

/// Requests that were let in and have no answer yet.
#[derive(Debug, Default)]
pub(crate) struct Inside {
    count: AtomicUsize,
    left: Notify,
}

/// One of them.
struct Visit<'a>(&'a Inside);

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, SeqCst);
        self.0.left.notify_waiters();
    }
}

impl Inside {
    fn enter(&self) -> Visit<'_> {
        self.count.fetch_add(1, SeqCst);
        Visit(self)
    }

    /// Ready once nobody is inside.
    pub async fn empty(&self) {
        loop {
            let left = self.left.notified();
            if self.count.load(SeqCst) == 0 {
                return;
            }
            left.await;
        }
    }
}

/// The layer that every request goes through. Health and readiness are told to the end.
pub(crate) async fn pass(State(app): State<App>, request: Request, next: Next) -> Response {
    if matches!(request.uri().path(), "/healthz" | "/readyz") {
        return answered(next.run(request)).await;
    }
    // Counted before it is asked whether the service ends, so that no request is both let in and not waited for.
    let _visit = app.inside.enter();
    if !*app.closing.borrow() {
        return answered(next.run(request)).await;
    }
    let mut refusal = Problem::closing().into_response();
    refusal.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    refusal
}

/// The answer of a handler; of one that panics, that it did.
async fn answered(handler: impl Future<Output = Response>) -> Response {
    Caught(Box::pin(handler)).await.unwrap_or_else(|| Problem::internal().into_response())
}

/// A future whose panic is `None`.
struct Caught<F>(Pin<Box<F>>);

impl<F: Future> Future for Caught<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<F::Output>> {
        // After a panic it is never polled again.
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Some(output)),
            Err(_) => Poll::Ready(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_a_handler_is_an_answer() {
        let answer = answered(async { if true { panic!("on purpose") } else { "ok".into_response() } }).await;
        assert_eq!(answer.status().as_u16(), 500);
        assert_eq!(answered(async { "ok".into_response() }).await.status().as_u16(), 200);
    }

    #[tokio::test]
    async fn the_house_is_empty_when_all_have_left() {
        let inside = Inside::default();
        inside.empty().await;
        let visit = inside.enter();
        let waited = tokio::time::timeout(std::time::Duration::from_millis(20), inside.empty()).await;
        assert!(waited.is_err());
        drop(visit);
        inside.empty().await;
    }
}
