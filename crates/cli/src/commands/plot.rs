//! The file behind `--plot`: one chart, as its name ends.

use std::path::Path;

use elbo::report::{Figure, Theme};
use elbo::run::atomic;

/// Refuses a name that no chart can have, before anything is computed.
pub fn check(path: &Path, example: &str) -> elbo::Result<()> {
    if ["png", "svg"].iter().any(|end| path.extension().is_some_and(|extension| extension == *end)) {
        return Ok(());
    }
    let (found, help) = (path.display().to_string(), format!("for example `--plot {example}`"));
    Err(elbo::Error::config("--plot", "a name that ends in .png or .svg", found, help))
}

/// Writes a chart as .svg, or else as .png.
pub fn write(path: &Path, figure: &Figure) -> elbo::Result<()> {
    match path.extension().is_some_and(|extension| extension == "svg") {
        true => atomic::write_file(path, figure.svg(Theme::Light).as_bytes()),
        false => atomic::write_file(path, &figure.png(Theme::Light)),
    }
}
