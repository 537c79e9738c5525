//! Server-sent events: a summary whenever a run is new or has changed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use tokio::sync::broadcast::error::RecvError;

use crate::App;
use crate::problem::Problem;
use crate::run::Run;

/// Between two signs of life, so that connections that have died are found.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// `GET /api/events`: changes of any run.
pub async fn all(State(app): State<App>) -> Response {
    changes(app, None)
}

/// `GET /api/runs/{id}/events`: changes of one run.
pub async fn of_run(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Problem> {
    let run = app.run(&id)?;
    Ok(changes(app, Some(run.id.clone())))
}

/// Begins with the state as it is, so that nothing is missed between a page's first look and this.
fn changes(app: App, only: Option<String>) -> Response {
    let wanted = move |run: &Run| only.as_ref().is_none_or(|id| *id == run.id);
    let mut listener = app.changes.subscribe();
    let mut closing = app.closing.subscribe();
    let now: Vec<Arc<Run>> = app.catalog.runs().into_iter().filter(|run| wanted(run)).collect();
    let stream = async_stream(move |sender| async move {
        for run in now {
            sender.send(event(&run)).await?;
        }
        loop {
            let change = tokio::select! {
                change = listener.recv() => change,
                _ = closing.changed() => return Some(()),
            };
            match change {
                Ok(run) if wanted(&run) => sender.send(event(&run)).await?,
                Ok(_) => {}
                // Too many changes for this listener: the page asks anew.
                Err(RecvError::Lagged(_)) => sender.send(Event::default().event("lagged").data("{}")).await?,
                Err(RecvError::Closed) => return Some(()),
            }
        }
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response()
}

fn event(run: &Run) -> Event {
    let event = Event::default().event("run");
    event.json_data(&run.summary).unwrap_or_default()
}

/// Where a task puts the events of a stream; `None` once nobody reads them.
struct Sender(tokio::sync::mpsc::Sender<Event>);

impl Sender {
    async fn send(&self, event: Event) -> Option<()> {
        self.0.send(event).await.ok()
    }
}

/// A stream fed by a task, which ends when the stream is dropped.
fn async_stream<F: Future<Output = Option<()>> + Send + 'static>(
    feed: impl FnOnce(Sender) -> F,
) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    let (sender, receiver) = tokio::sync::mpsc::channel(16);
    tokio::spawn(feed(Sender(sender)));
    Received(receiver)
}

struct Received(tokio::sync::mpsc::Receiver<Event>);

impl Stream for Received {
    type Item = Result<Event, Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|event| event.map(Ok))
    }
}
