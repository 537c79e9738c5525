//! `elbo serve`: the explorer.

use std::path::PathBuf;

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
        ..Options::new(args.runs, elbo::device::choose(device)?)
    };
    let token = options.token.clone();
    let explorer = Explorer::bind(options)?;
    let url = format!("http://{}/", explorer.address());
    let runs = explorer.runs();
    context.result(json!({ "url": url, "port": explorer.address().port(), "runs": runs }), || format!("serving on {url}"))?;
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

/// A place that is not there is most likely a typing mistake; only the usual folder may come later.
fn check_places(runs: &[PathBuf]) -> elbo::Result<()> {
    let missing = runs.iter().find(|path| !path.exists() && path.as_os_str() != "runs");
    missing.map_or(Ok(()), |path| {
        let help = "give run directories, or folders that hold some";
        Err(elbo::Error::model(path, "run", "a folder", "no such folder", help))
    })
}
