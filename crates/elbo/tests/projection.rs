//! Principal components and t-SNE against scikit-learn, on 300 of its digits (`fixtures/projection`).

use elbo::projection::{Projection, Tsne, TsneOptions, tsne};
use serde_json::Value;

struct Case {
    fixture: Value,
    rows: Vec<f64>,
    dims: usize,
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn case() -> Case {
    let fixture: Value = serde_json::from_str(include_str!("../../../fixtures/projection/cases.json")).unwrap();
    let rows: Vec<f64> = fixture["rows"].as_array().unwrap().iter().flat_map(numbers).collect();
    Case { fixture, rows, dims: 64 }
}

#[test]
fn principal_components_are_scikit_learn_s() {
    let Case { fixture, rows, dims } = case();
    let expected = &fixture["pca"];
    let found = Projection::principal(&rows, dims, 5).unwrap();
    for (share, expected) in found.shares.iter().zip(numbers(&expected["explained_variance_ratio"])) {
        assert!((share - expected).abs() < 1e-12, "{share} {expected}");
    }
    for (direction, name) in found.directions.iter().zip(["first", "second"]) {
        for (entry, expected) in direction.iter().zip(numbers(&expected[name])) {
            assert!((entry - expected).abs() < 1e-10, "{name}: {entry} {expected}");
        }
    }
}

/// Squared distances of all pairs, `[n, n]`.
fn distances(rows: &[f64], dims: usize) -> Vec<Vec<f64>> {
    let square = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    rows.chunks(dims).map(|a| rows.chunks(dims).map(|b| square(a, b)).collect()).collect()
}

/// The others of `i` by distance, nearest first.
fn order(distances: &[f64], i: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..distances.len()).filter(|j| *j != i).collect();
    order.sort_by(|a, b| distances[*a].total_cmp(&distances[*b]));
    order
}

/// Venna & Kaski 2001: 1 less the ranks by which neighbours on the map are no neighbours in truth.
fn trustworthiness(rows: &[Vec<f64>], map: &[Vec<f64>], k: usize) -> f64 {
    let n = rows.len();
    let penalty: usize = (0..n)
        .map(|i| {
            let truth = order(&rows[i], i);
            let rank = |j: usize| truth.iter().position(|other| *other == j).unwrap() + 1;
            order(&map[i], i)[..k].iter().map(|&j| rank(j).saturating_sub(k)).sum::<usize>()
        })
        .sum();
    1.0 - 2.0 * penalty as f64 / (n * k * (2 * n - 3 * k - 1)) as f64
}

fn on_map(map: &Tsne) -> Vec<f64> {
    map.points.iter().flatten().map(|v| f64::from(*v)).collect()
}

#[test]
fn the_map_is_as_good_as_scikit_learn_s() {
    let Case { fixture, rows, dims } = case();
    let expected = &fixture["tsne"];
    let number = |name: &str| expected[name].as_f64().unwrap();
    let options = TsneOptions { perplexity: number("perplexity"), ..Default::default() };
    let found = tsne(&rows, dims, &options).unwrap();
    let (truth, map) = (distances(&rows, dims), distances(&on_map(&found), 2));
    let trust = trustworthiness(&truth, &map, 10);
    let labels = numbers(&fixture["labels"]);
    let agree = (0..labels.len()).filter(|&i| labels[order(&map[i], i)[0]] == labels[i]).count();
    let agreement = agree as f64 / labels.len() as f64;
    println!("KL {} trustworthiness {trust} agreement {agreement}; scikit-learn: {expected}", found.kl_divergence);
    assert!(found.kl_divergence < 1.1 * number("kl_divergence"), "{}", found.kl_divergence);
    assert!(trust > number("trustworthiness") - 0.01, "{trust}");
    assert!(agreement > number("agreement") - 0.02, "{agreement}");
}
