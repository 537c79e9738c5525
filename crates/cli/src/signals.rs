//! Ctrl-C, SIGTERM and a closed terminal: the first finishes the step and saves, the second leaves at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::SeqCst};

use elbo::training::Stop;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// What the signal thread and the command share.
#[derive(Debug, Default)]
pub struct Interruption {
    /// Read by the training loop.
    pub stop: Stop,
    /// Whether there is anything to save: before, one signal is enough to leave.
    training: AtomicBool,
    signal: AtomicI32,
}

impl Interruption {
    /// Starts listening.
    ///
    /// # Errors
    /// If the system refuses the handlers.
    pub fn listen() -> anyhow::Result<Arc<Self>> {
        let shared = Arc::new(Self::default());
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let seen = Arc::clone(&shared);
        std::thread::spawn(move || {
            for signal in signals.forever() {
                let first = seen.signal.swap(signal, SeqCst) == 0;
                if !first || !seen.training.load(SeqCst) {
                    std::process::exit(128 + signal);
                }
                seen.stop.request();
            }
        });
        Ok(shared)
    }

    /// From now on a signal means: finish the step and save.
    pub fn training_begins(&self) {
        self.training.store(true, SeqCst);
    }

    /// From now on a signal leaves at once again.
    pub fn training_ends(&self) {
        self.training.store(false, SeqCst);
    }

    /// The exit code of an interrupted run, by the shell's rule: 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP.
    pub fn exit_code(&self) -> u8 {
        128 + u8::try_from(self.signal.load(SeqCst)).unwrap_or(SIGINT as u8)
    }
}
