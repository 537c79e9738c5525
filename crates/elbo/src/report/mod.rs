//! Pictures and pages: pure functions from plain data to PNG, SVG and HTML.

mod chart;
mod page;
mod phases;

pub mod compare;
pub mod figures;
pub mod html;
pub mod image_grid;
pub mod latent_figures;
pub mod style;

pub use compare::{ComparedRun, Comparison};
pub use figures::Figure;
pub use html::{Estimate, Media, NextCommand, Picture, Report, Section, Summary};
pub use style::Theme;
