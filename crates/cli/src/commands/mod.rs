//! One file a group of commands; each takes its flags, calls the library and says what came of it.

mod arithmetic;
mod bench;
mod compare;
mod cures;
mod data;
mod encode;
mod eval;
mod fitting;
mod gmm;
mod heat;
mod key_reference;
mod manual;
mod model;
mod neighbours;
mod pictures;
mod plot;
mod priors;
mod recipes;
mod score;
mod serve;
mod source;
mod symbols;
mod train;
mod walks;

use crate::args::{Cli, Command};
use crate::output::Context;

/// Runs a command; returns its exit code.
pub fn run(command: Command, device: &str, context: Context) -> anyhow::Result<u8> {
    match command {
        Command::Train(args) => return train::train(args, device, context),
        Command::Resume(args) => return train::resume(args, device, context),
        Command::Eval(args) => eval::eval(&args, device, context)?,
        Command::Sample(args) => return pictures::sample(&args, device, context),
        Command::Complete(args) => return symbols::complete(&args, device, context),
        Command::Reconstruct(args) => pictures::reconstruct(&args, device, context)?,
        Command::Traverse(args) => walks::traverse(&args, device, context)?,
        Command::Interpolate(args) => walks::interpolate(&args, device, context)?,
        Command::Grid(args) => pictures::grid(&args, device, context)?,
        Command::Encode(args) => encode::encode(&args, device, context)?,
        Command::Score(args) => score::score(&args, device, context)?,
        Command::Arithmetic(args) => arithmetic::arithmetic(&args, device, context)?,
        Command::Neighbours(args) => neighbours::neighbours(&args, device, context)?,
        Command::Report(args) => compare::report(&args, device, context)?,
        Command::Compare(args) => compare::compare(&args, device, context)?,
        Command::Gmm(args) => gmm::gmm(&args, device, context)?,
        Command::Priors(args) => return priors::priors(&args, device, context),
        Command::Recipes(args) => recipes::recipes(&args, context)?,
        Command::Data(args) => return data::data(&args, context),
        Command::Config(args) => recipes::config(args, context)?,
        Command::Bench(args) => bench::bench(&args, device, context)?,
        Command::Serve(args) => return serve::serve(args, device, context),
        Command::Completions(args) => completions(&args)?,
        Command::Man(args) => manual::man(&args)?,
    }
    Ok(0)
}

fn completions(args: &crate::args::Completions) -> anyhow::Result<()> {
    let mut command = <Cli as clap::CommandFactory>::command();
    // By way of memory: clap_complete panics where standard output is closed or full.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "elbo", &mut script);
    crate::output::print(&String::from_utf8_lossy(&script))
}
