//! The `elbo` command: train, evaluate and explore variational autoencoders.
//!
//! `main` parses the flags as typed, runs one command and turns its outcome into an exit code: 0 done, 1 failed, 2 wrong usage,
//! 3 bad data, 4 bad model, 5 input/output, 6 diverged, 130 interrupted, 143 terminated. Results go to standard output,
//! everything else to standard error.

mod args;
mod commands;
mod output;
mod progress;
mod signals;

use std::process::ExitCode;

use clap::Parser;

/// The allocator is the largest single gain outside the kernels: a step's tensors are reused instead of mapped anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Milliseconds that freed memory stays mapped; mimalloc's own 10 are shorter than a step of a convolutional network, whose memory the system would
/// then zero anew each time. When they are over all free memory goes back at once, so that they should be many steps. `MIMALLOC_PURGE_DELAY` overrides it.
const PURGE_DELAY: u32 = 30_000;

fn main() -> ExitCode {
    elbo::device::keep_freed_memory(PURGE_DELAY);
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return output::usage(&error),
    };
    if let Some(threads) = cli.threads {
        elbo::device::set_threads(threads);
    }
    let context = output::Context { json: cli.json, quiet: cli.quiet };
    keep_panics_quiet();
    // The library returns its own panics as errors where it can; this is the last resort, for the command's.
    let outcome = elbo::Error::catch(|| Ok(commands::run(cli.command, &cli.device, context)));
    match outcome.map_err(anyhow::Error::new).flatten() {
        Ok(code) => ExitCode::from(code),
        Err(error) => output::failure(&error, context),
    }
}

/// Panics are reported once, as errors; whoever looks for their cause sets `RUST_BACKTRACE` and sees them where they happen.
fn keep_panics_quiet() {
    if std::env::var_os("RUST_BACKTRACE").is_none_or(|value| value == "0") {
        std::panic::set_hook(Box::new(|_| {}));
    }
}
