//! What is made beside what there is: every distance between the two sets, with the space it is taken in.

use super::coverage::{NEIGHBOURS, coverage};
use super::features::FeatureSpace;
use super::frechet::{Moments, frechet_distance};
use super::kernel_distance::kernel_distances;
use super::metric::Metric;
use super::points::Features;
use crate::error::Result;

/// `fid`, `kid`, `precision`, `recall`, `density` and `coverage` of points `made` of codes from `source` beside `real` ones. Distances of different spaces do not compare:
/// these are not the published numbers, which are of Inception's features.
///
/// # Errors
/// As [`frechet_distance`].
///
/// # Panics
/// As [`coverage`].
pub fn generation_metrics(
    real: &Features,
    made: &Features,
    space: &FeatureSpace,
    source: &str,
) -> Result<Vec<(&'static str, Metric)>> {
    let sets = format!(
        "{} samples (decoded means of codes from {source}) against {} images, features {}: {}",
        made.n(),
        real.n(),
        space.name,
        space.description
    );
    let share = |value: f64, what: &str| Metric::new(value, "share", format!("{what}, k = {NEIGHBOURS}, {sets}"));
    let fid = frechet_distance(&Moments::of(real)?, &Moments::of(made)?)?;
    let kernel = "unbiased squared MMD, kernel (x.y / dims + 1)^3, mean over blocks of at most 1000";
    let found = coverage(real, made, NEIGHBOURS);
    Ok(vec![
        ("fid", Metric::new(fid, "squared distance", format!("Frechet distance of Gaussians, {sets}"))),
        ("kid", Metric::mean_of(&kernel_distances(real, made), "squared distance", format!("{kernel}, {sets}"))),
        ("precision", share(found.precision, "samples within the k-th neighbour of any image")),
        ("recall", share(found.recall, "images within the k-th neighbour of any sample")),
        (
            "density",
            Metric { unit: "1 for equal".into(), ..share(found.density, "images' balls around a sample over k") },
        ),
        ("coverage", share(found.coverage, "images with a sample within their k-th neighbour")),
    ])
}
