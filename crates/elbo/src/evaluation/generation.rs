//! What is made beside what there is: every distance between the two sets, with the space it is taken in.

use super::coverage::{NEIGHBOURS, coverage};
use super::features::FeatureSpace;
use super::frechet::{Moments, frechet_distance};
use super::kernel_distance::kernel_distances;
use super::metric::Metric;
use super::points::Features;
use crate::error::Result;

/// Those of `fid`, `kid`, `precision`, `recall`, `density` and `coverage` that are `wanted`, of points `made` of codes from `source` beside `real` ones. Distances of
/// different spaces do not compare: these are not the published numbers, which are of Inception's features.
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
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<(&'static str, Metric)>> {
    let sets = format!(
        "{} samples (decoded means of codes from {source}) against {} images, features {}: {}",
        made.n(),
        real.n(),
        space.name,
        space.description
    );
    let mut metrics = Vec::new();
    if wanted("fid") {
        let fid = frechet_distance(&Moments::of(real)?, &Moments::of(made)?)?;
        metrics.push(("fid", Metric::new(fid, "squared distance", format!("Frechet distance of Gaussians, {sets}"))));
    }
    if wanted("kid") {
        let kernel = "unbiased squared MMD, kernel (x.y / dims + 1)^3, mean over blocks of at most 1000";
        let found = Metric::mean_of(&kernel_distances(real, made), "squared distance", format!("{kernel}, {sets}"));
        metrics.push(("kid", found));
    }
    // All four come of the same n squared distances.
    if ["precision", "recall", "density", "coverage"].into_iter().any(wanted) {
        let found = coverage(real, made, NEIGHBOURS);
        let metric =
            |value: f64, unit: &str, what: &str| Metric::new(value, unit, format!("{what}, k = {NEIGHBOURS}, {sets}"));
        let density = "images' balls around a sample over k";
        metrics.extend([
            ("precision", metric(found.precision, "share", "samples within the k-th neighbour of any image")),
            ("recall", metric(found.recall, "share", "images within the k-th neighbour of any sample")),
            ("density", metric(found.density, "1 for equal", density)),
            ("coverage", metric(found.coverage, "share", "images with a sample within their k-th neighbour")),
        ]);
    }
    Ok(metrics)
}
