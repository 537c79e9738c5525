//! The explorer behind `elbo serve`: a service over saved and growing runs, and one web page on top of it.
//!
//! A report shows what was chosen beforehand. The explorer answers questions that come up while looking: what lies between these two
//! images, what does this dimension do, which images sit in this corner of the latent plane, and how does it all move while the model trains.
//!
//! What it holds itself to:
//!
//! - it only reads: a run directory is the same before and after. The one thing it can do to a run is to stop it as Ctrl-C would;
//! - it listens on the loopback address unless told otherwise, wants a token anywhere else, and no request names a file: clients name runs by
//!   ids that the service made up;
//! - the queue for the model is bounded, every request has a deadline, and what is too much is refused at once instead of waiting;
//! - the page is part of the binary and fetches nothing from anywhere else.
//!
//! Handlers check requests and put work for models into the queue of one thread (`worker`), which decodes what waits for the same run in one
//! pass. `elbo serve` calls [`Explorer::bind`] and [`Explorer::serve`].

mod analysis;
mod api;
mod assets;
mod background;
mod catalog;
mod codes;
mod datasets;
mod door;
mod guard;
mod heavy;
mod layouts;
mod limits;
mod metrics;
mod models;
mod plane;
mod problem;
mod run_entry;
mod samplers;
mod server;
mod service;
mod worker;

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::Device;
use elbo::tasks::Reading;
use elbo::{Error, Result};

pub use limits::Limits;

/// What is shared by all handlers.
type App = Arc<service::Service>;

/// What to show, where, and to whom.
#[derive(Debug, Clone)]
pub struct Options {
    /// Run directories, and folders of such.
    pub runs: Vec<PathBuf>,
    /// The address to listen on.
    pub host: IpAddr,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// What clients have to show; required for any address but the loopback's.
    pub token: Option<String>,
    /// Where models compute.
    pub device: Device,
    /// Bounds of the service.
    pub limits: Limits,
    /// How the data of runs are read. Where it names data, those of each run are looked for there first.
    pub reading: Reading,
}

impl Options {
    /// Runs on the loopback address, on a free port.
    pub fn new(runs: Vec<PathBuf>, device: Device) -> Self {
        Self {
            runs,
            host: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            token: None,
            device,
            limits: Limits::default(),
            reading: Reading::default(),
        }
    }

    /// Checks what does not depend on the machine.
    ///
    /// # Errors
    /// [`Error::Config`] without a token for an address that others can reach, or with a token that no header can carry.
    pub fn check(&self) -> Result<()> {
        if self.token.is_none() && !self.host.is_loopback() {
            let help = "anyone who can reach this address could use the service: give a secret, for example `--token \"$(openssl rand -hex 16)\"`";
            return Err(Error::config("--token", "a token for any address but 127.0.0.1", "none", help));
        }
        let plain = |token: &String| {
            token.len() >= 8 && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
        };
        if self.token.as_ref().is_some_and(|token| !plain(token)) {
            let expected = "at least 8 letters, digits, `-`, `_`, `.` or `~`";
            return Err(Error::config("--token", expected, "another", "`openssl rand -hex 16` prints a good one"));
        }
        Ok(())
    }
}

/// A service that listens.
pub struct Explorer {
    listener: std::net::TcpListener,
    address: SocketAddr,
    app: App,
}

impl Explorer {
    /// Takes the address and looks for runs. Connections wait until [`Explorer::serve`] is called.
    ///
    /// # Errors
    /// As [`Options::check`]; [`Error::Config`] if the address cannot be taken.
    pub fn bind(options: Options) -> Result<Self> {
        options.check()?;
        let asked = SocketAddr::new(options.host, options.port);
        let refused = |error: std::io::Error| {
            let help = "another process may have the port: choose another `--port`, or 0 for a free one";
            Error::config("--port", format!("{asked} to listen on"), error.to_string(), help)
        };
        let listener = std::net::TcpListener::bind(asked).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let guard = guard::Guard { token: options.token, loopback: options.host.is_loopback() };
        let catalog = catalog::Catalog::new(options.runs);
        Ok(Self {
            listener,
            address,
            app: service::Service::new(catalog, options.device, options.reading, options.limits, guard),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many runs there are so far.
    pub fn runs(&self) -> usize {
        self.app.catalog.listed().len()
    }

    /// Serves until `end` is ready; then finishes what is under way, refuses what waits, and returns.
    ///
    /// # Errors
    /// [`Error::Config`] if the system gives no threads or no events.
    pub fn serve(self, end: impl Future<Output = ()>) -> Result<()> {
        let refused = |error: std::io::Error| {
            Error::config("serve", "an asynchronous runtime", error.to_string(), "see the system's message")
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(refused)?;
        let outcome: Result<()> = runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(self.listener).map_err(refused)?;
            let (router, app) = (api::router(Arc::clone(&self.app)), self.app);
            tokio::spawn(Arc::clone(&app).watch_folders());
            let warming = Arc::clone(&app);
            tokio::spawn(async move { warming.warm_up().await });
            server::serve(listener, app, router, end).await;
            Ok(())
        });
        // Whatever still opens data is not waited for.
        runtime.shutdown_background();
        outcome
    }
}
