//! Who is let in: nobody new once the service ends, no more bytes than there is room for; and whatever happens inside, an answer comes out.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::App;
use crate::limits::LARGE;
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
        return sent(&app, answered(next.run(request)).await);
    }
    let mut refusal = Problem::closing().into_response();
    refusal.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    refusal
}

/// An answer with the room that it takes until its client has taken it, or a refusal where there is none.
fn sent(app: &App, answer: Response) -> Response {
    let size = answer.body().size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
    if size <= LARGE {
        return answer;
    }
    // An answer larger than all room there is has it to itself.
    let units = size.div_ceil(LARGE).min(app.limits.answers_bytes.div_ceil(LARGE)) as u32;
    match Arc::clone(&app.answers).try_acquire_many_owned(units) {
        Ok(room) => answer.map(|body| Body::new(Roomy { body, _room: room })),
        Err(_) => {
            let message = "too many large answers have not been taken yet: try again in a second";
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "busy", message).into_response()
        }
    }
}

/// A body with the room it takes.
struct Roomy {
    body: Body,
    _room: OwnedSemaphorePermit,
}

impl HttpBody for Roomy {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
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
