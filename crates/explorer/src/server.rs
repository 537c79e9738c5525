//! Connections: accepted up to a cap, given up when the other side is too slow, finished when the service ends.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep, sleep};

use crate::App;

/// Bytes of a request's head.
const MAX_HEAD: usize = 64 << 10;
/// Headers of a request.
const MAX_HEADERS: usize = 100;
/// At least so long new requests are told that the service ends, so that whoever balances load notices.
const GRACE: Duration = Duration::from_millis(250);
/// For answers on their way when all have been given.
const LAST_BYTES: Duration = Duration::from_secs(5);

/// Serves until `end` is ready; then finishes what is under way and tells whoever comes that it is too late, as long as
/// [`drain`](crate::Limits::drain) at most.
pub(crate) async fn serve(listener: TcpListener, app: App, router: Router, end: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(app.limits.connections));
    let mut end = std::pin::pin!(end);
    let mut last = None::<Pin<Box<dyn Future<Output = ()> + Send>>>;
    loop {
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await.expect("the semaphore is never closed");
            (listener.accept().await, slot)
        };
        let over = async {
            match last.as_mut() {
                Some(last) => last.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = &mut end, if !*app.closing.borrow() => {
                app.close();
                let app = Arc::clone(&app);
                last = Some(Box::pin(async move {
                    let all_answered = async { tokio::join!(sleep(GRACE), app.inside.empty()) };
                    let _ = tokio::time::timeout(app.limits.drain, all_answered).await;
                }));
            }
            () = over => break,
            (connection, slot) = accepted => match connection {
                Ok((stream, _)) => {
                    let connection = graceful.watch(connection_of(stream, &app, &router));
                    let app = Arc::clone(&app);
                    tokio::spawn(async move {
                        app.metrics.connections.fetch_add(1, Relaxed);
                        // Whatever ends a connection early concerns its client alone.
                        let _ = connection.await;
                        app.metrics.connections.fetch_sub(1, Relaxed);
                        drop(slot);
                    });
                }
                // Out of files, most likely: others have to end first.
                Err(_) => sleep(Duration::from_millis(20)).await,
            },
        }
    }
    drop(listener);
    app.give_up();
    let _ = tokio::time::timeout(LAST_BYTES, graceful.shutdown()).await;
}

type Connection = http1::Connection<TokioIo<Patient>, TowerToHyperService<Router>>;

fn connection_of(stream: TcpStream, app: &App, router: &Router) -> Connection {
    // Answers are small and wanted at once.
    let _ = stream.set_nodelay(true);
    let stream = Patient { stream, patience: app.limits.write_time, blocked: None };
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(app.limits.header_time)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()))
}

/// A stream that fails when the other side takes nothing for too long.
struct Patient {
    stream: TcpStream,
    patience: Duration,
    /// Set while a write waits.
    blocked: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn judge<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.blocked = None;
            return written;
        }
        let patience = self.patience;
        let blocked = self.blocked.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + patience)));
        match blocked.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes no bytes"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.judge(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
