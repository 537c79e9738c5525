//! Pictures and pages: pure functions from plain data to PNG, SVG and HTML.
//!
//! ```
//! use elbo::report::{Report, Theme};
//! use elbo::report::figures::curve;
//! use elbo::run::history::{EpochRecord, Means};
//!
//! let history: Vec<EpochRecord> = (1..=10).map(|epoch| {
//!     let recon = 80.0 + 90.0 / epoch as f64;
//!     let train = Means::of([("recon", recon), ("kl", 20.0), ("loss", recon + 20.0)]);
//!     EpochRecord::new(epoch, epoch * 469, 1e-3, train)
//! }).collect();
//! let svg = curve(&history, "loss", "nats per image").svg(Theme::Light);
//! assert!(svg.contains("<svg"));
//!
//! let page = Report { title: "my run".into(), variational: true, history, ..Default::default() };
//! assert!(page.html().contains("my run"));
//! ```

mod chart;
mod page;
mod phases;
mod samplers;
mod trends;

pub mod animation;
pub mod code_table;
pub mod compare;
pub mod figures;
pub mod heat_map;
pub mod html;
pub mod image_grid;
pub mod latent_figures;
pub mod measure;
pub mod mixture_figures;
pub mod rate_distortion;
pub mod style;
pub mod table_figures;

pub use compare::{ComparedRun, Comparison};
pub use figures::Figure;
pub use html::{Estimate, Media, NextCommand, Picture, Report, Section, Summary};
pub use samplers::{SamplerPage, SamplerRow};
pub use style::Theme;
pub(crate) use trends::by_value;
pub use trends::{Trend, TrendLine, TrendPoint};
