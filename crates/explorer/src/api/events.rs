//! Server-sent events: a summary whenever a run is new or has changed.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use super::request::RunRequest;
use crate::App;
use crate::run_entry::Listed;

/// Between two signs of life, so that connections that have died are found.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Events on their way to a slow reader.
const ON_THEIR_WAY: usize = 16;

/// `GET /api/events`: changes of any run.
pub async fn all(State(app): State<App>) -> Response {
    changes(app, None)
}

/// `GET /api/runs/{id}/events`: changes of one run.
pub async fn of_run(asked: RunRequest) -> Response {
    changes(asked.app, Some(asked.run.id.clone()))
}

/// A stream of events that a task writes until the client has gone or the service ends.
fn changes(app: App, only: Option<String>) -> Response {
    let (sender, receiver) = mpsc::channel(ON_THEIR_WAY);
    tokio::spawn(tell(app, only, sender));
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    (headers, Body::new(Events(receiver))).into_response()
}

/// Begins with the state as it is, so that nothing is missed between a page's first look and this. `None` once nobody reads.
async fn tell(app: App, only: Option<String>, sender: mpsc::Sender<Bytes>) -> Option<()> {
    let wanted = |run: &Listed| only.as_ref().is_none_or(|id| id == run.id());
    let (mut listener, mut closing) = (app.changes.subscribe(), app.closing.subscribe());
    let now: Vec<Listed> = app.catalog.listed().into_iter().filter(|run| wanted(run)).collect();
    // A comment, so that a client knows at once that it is heard.
    sender.send(Bytes::from_static(b": listening\n\n")).await.ok()?;
    for run in now {
        sender.send(event(&run)).await.ok()?;
    }
    loop {
        let text = tokio::select! {
            change = listener.recv() => match change {
                Ok(run) if wanted(&run) => event(&run),
                Ok(_) => continue,
                // Too many changes for this listener: the page asks anew.
                Err(RecvError::Lagged(_)) => Bytes::from_static(b"event: lagged\ndata: {}\n\n"),
                Err(RecvError::Closed) => return Some(()),
            },
            () = tokio::time::sleep(HEARTBEAT) => Bytes::from_static(b": still here\n\n"),
            () = sender.closed() => return None,
            _ = closing.changed() => return Some(()),
        };
        sender.send(text).await.ok()?;
    }
}

/// One event. JSON has no line breaks, so one line of data holds it.
fn event(run: &Listed) -> Bytes {
    let data = serde_json::to_string(run).unwrap_or_default();
    format!("event: run\ndata: {data}\n\n").into()
}

/// A body made of events.
struct Events(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
