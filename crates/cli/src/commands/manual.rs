//! `elbo man`: manual pages, written from the same definitions as `--help` and the completions.

use anyhow::Context as _;
use clap::CommandFactory;
use clap_mangen::Man;

use crate::args;

/// Prints one page, or writes all of them.
pub fn man(args: &args::Man) -> anyhow::Result<()> {
    let pages = pages();
    if let Some(folder) = &args.out {
        std::fs::create_dir_all(folder).map_err(elbo::Error::io(folder, "create"))?;
        for (name, command) in pages {
            let path = folder.join(format!("{name}.1"));
            std::fs::write(&path, page(command)?).map_err(elbo::Error::io(&path, "write"))?;
        }
        return Ok(());
    }
    let wanted = args.name.as_ref().map_or_else(|| "elbo".to_owned(), |name| format!("elbo-{name}"));
    match pages.iter().find(|(name, _)| *name == wanted) {
        Some((_, command)) => crate::output::print(&String::from_utf8_lossy(&page(command.clone())?)),
        None => {
            let found = format!("`{}`", args.name.as_deref().unwrap_or_default());
            let help = "`elbo --help` lists the commands; `elbo man` without a name is the page of all";
            Err(elbo::Error::config("man", "the name of a command", found, help).into())
        }
    }
}

/// `elbo` and its commands by the names of their pages.
fn pages() -> Vec<(String, clap::Command)> {
    let mut elbo = args::Cli::command().disable_help_subcommand(true);
    // Hands the flags of all commands down, and makes the names.
    elbo.build();
    let named = |command: &clap::Command| command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let commands: Vec<_> = elbo.get_subcommands().map(|command| (named(command), command.clone())).collect();
    [(named(&elbo), elbo)].into_iter().chain(commands).collect()
}

/// A page as roff.
fn page(command: clap::Command) -> anyhow::Result<Vec<u8>> {
    let mut roff = Vec::new();
    Man::new(command).render(&mut roff).context("cannot write the page to memory")?;
    Ok(roff)
}
