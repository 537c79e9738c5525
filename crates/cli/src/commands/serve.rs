//! `elbo serve`: the explorer.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use elbo_explorer::{Explorer, Options};
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::oneshot;

use crate::args::Serve;
use crate::output::Context;

/// Serves until a signal; returns 0, since ending is what was asked for. A second signal leaves at once.
pub fn serve(args: Serve, device: &str, context: Context) -> anyhow::Result<u8> {
    check_places(&args.runs)?;
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let options = Options {
        host: args.host,
        port: args.port,
        token: args.token,
        reading: args.own.settings()?,
        ..Options::new(args.runs, elbo::device::choose(device)?)
    };
    let token = options.token.clone();
    let explorer = Explorer::bind(options)?;
    let url = format!("http://{}/", explorer.address());
    let runs = explorer.runs();
    context.result(json!({ "url": url, "port": explorer.address().port(), "runs": runs }), || {
        format!("serving on {url}")
    })?;
    if runs == 0 {
        context.note("no runs there yet: they appear as soon as `elbo train` has begun one");
    }
    if token.is_some() {
        context.note("open it once with ?token=TOKEN added to the address");
    }
    context.note("Ctrl-C ends it");
    let (end, ended) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let mut end = Some(end);
        for signal in signals.forever() {
            match end.take() {
                Some(end) => drop(end.send(())),
                None => std::process::exit(128 + signal),
            }
        }
    });
    explorer.serve(async {
        let _ = ended.await;
    })?;
    Ok(0)
}

/// The explorer beside a training, for as long as this lives. Its stop button sends this process the signal that Ctrl-C sends.
pub struct Beside {
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Beside {
    /// Serves the run at `path`, on another port if this one is taken.
    pub fn start(path: &Path, port: u16, device: &str, context: Context) -> anyhow::Result<Self> {
        let options = Options::new(vec![path.to_owned()], elbo::device::choose(device)?);
        let explorer = Explorer::bind(Options { port, ..options.clone() }).or_else(|_| Explorer::bind(options))?;
        context.note(format!("page   http://{}/", explorer.address()));
        let (end, ended) = oneshot::channel();
        let serve = move || {
            // Training goes on without a page.
            let _ = explorer.serve(async {
                let _ = ended.await;
            });
        };
        Ok(Self { end: Some(end), thread: Some(std::thread::spawn(serve)) })
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A place that cannot be looked into is most likely a typing mistake; only the usual folder may come later.
fn check_places(runs: &[PathBuf]) -> elbo::Result<()> {
    for path in runs {
        match path.read_dir() {
            Err(error) if error.kind() == ErrorKind::NotFound && path.as_os_str() == "runs" => {}
            found => drop(found.map_err(elbo::Error::io(path, "read"))?),
        }
    }
    Ok(())
}
