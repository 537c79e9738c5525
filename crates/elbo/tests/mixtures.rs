//! Gaussian mixtures against scikit-learn from the same starts (`fixtures/gmm`), and what must hold for any rows.

#[path = "../../kernels/tests/support/fixture.rs"]
mod fixture;

use elbo::ErrorKind;
use elbo::mixtures::{CovarianceKind, Covariances, EmConfig, GaussianMixture, fit, fit_from};
use elbo::random::{Draws, Purpose};
use fixture::{count, list, number, numbers, read, text};
use proptest::prelude::*;
use serde_json::Value;

/// Largest difference from scikit-learn, relative to 1 or the number if that is larger.
const TOLERANCE: f64 = 1e-6;

const KINDS: [CovarianceKind; 3] = [CovarianceKind::Full, CovarianceKind::Diagonal, CovarianceKind::Tied];

/// All numbers of nested lists.
fn flat(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(flat).collect(),
        value => vec![number(value)],
    }
}

fn flat_covariances(mixture: &GaussianMixture) -> Vec<f64> {
    match mixture.covariances() {
        Covariances::Full(all) => all.into_iter().flatten().flatten().collect(),
        Covariances::Rows(all) => all.into_iter().flatten().collect(),
    }
}

fn mixture_of(case: &Value, parameters: &Value) -> GaussianMixture {
    let mut plain = parameters.clone();
    let fields = plain.as_object_mut().expect("an object");
    fields.retain(|key, _| ["weights", "means", "covariances"].contains(&key.as_str()));
    fields.insert("covariance".into(), case["covariance"].clone());
    serde_json::from_value(plain).unwrap_or_else(|error| panic!("{}: {error}", case["name"]))
}

/// Adds a line for each pair that differs.
fn compare(missed: &mut Vec<String>, what: &str, ours: &[f64], theirs: &[f64]) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        let distance = (a - b).abs();
        if distance.is_nan() || distance > TOLERANCE * b.abs().max(1.0) {
            missed.push(format!("{what} [{i}]: {a} where scikit-learn has {b}"));
        }
    }
}

#[test]
fn equal_starts_end_at_scikit_learns_numbers() {
    let file = read("gmm/cases.json");
    let (mut missed, mut rows, mut compared) = (Vec::new(), Vec::new(), 0);
    for case in list(&file["cases"]) {
        if let Some(stored) = case.get("rows") {
            rows = flat(stored);
        }
        let start = mixture_of(case, &case["start"]);
        for end in list(&case["ends"]) {
            let tolerance = number(&end["tolerance"]);
            let name = format!("{} {} {tolerance:e}", text(&case["name"]), text(&case["covariance"]));
            let config = EmConfig {
                reg_covar: number(&file["reg_covar"]),
                tolerance,
                max_iterations: 2000,
                ..Default::default()
            };
            let fitted =
                fit_from(&rows, start.dims(), &start, &config).unwrap_or_else(|error| panic!("{name}: {error}"));
            let mixture = &fitted.mixture;
            let means: Vec<f64> = mixture.means().iter().flatten().copied().collect();
            let head = &rows[..5 * start.dims()];
            let n = fitted.n as f64;
            compare(&mut missed, &format!("{name}: weights"), mixture.weights(), &numbers(&end["weights"]));
            compare(&mut missed, &format!("{name}: means"), &means, &flat(&end["means"]));
            compare(
                &mut missed,
                &format!("{name}: covariances"),
                &flat_covariances(mixture),
                &flat(&end["covariances"]),
            );
            compare(&mut missed, &format!("{name}: log_prob"), &mixture.log_prob(head), &numbers(&end["log_prob"]));
            let shares = flat(&end["responsibilities"]);
            compare(&mut missed, &format!("{name}: responsibilities"), &mixture.responsibilities(head), &shares);
            let ours = [fitted.log_likelihood, fitted.bic() / n, fitted.aic() / n];
            let theirs = [number(&end["log_likelihood"]), number(&end["bic"]) / n, number(&end["aic"]) / n];
            compare(&mut missed, &format!("{name}: log_likelihood, bic / n, aic / n"), &ours, &theirs);
            let (ours, theirs) =
                ((fitted.iterations, fitted.converged), (count(&end["iterations"]), &end["converged"]));
            if ours != (theirs.0, theirs.1 == true) {
                missed.push(format!("{name}: iterations, converged: {ours:?} where scikit-learn has {theirs:?}"));
            }
            // What scikit-learn ended at has the density it says, without any EM of ours.
            let end_point = mixture_of(case, end).log_likelihood(&rows);
            compare(&mut missed, &format!("{name}: density"), &[end_point], &[number(&end["log_likelihood"])]);
            compared += 1;
        }
    }
    assert!(compared >= 18, "{compared} fits compared");
    assert!(missed.is_empty(), "{} differences:\n{}", missed.len(), missed.join("\n"));
}

fn normals(seed: u64, count: usize) -> Vec<f64> {
    Draws::new(seed, Purpose::Prior, 0, 0).normals(count).into_iter().map(f64::from).collect()
}

#[test]
fn degenerate_rows_are_regularised_or_refused_and_never_nan() {
    let noise = normals(0, 40);
    let constant: Vec<f64> = noise.iter().flat_map(|&x| [x, 3.0]).collect();
    let large: Vec<f64> = noise.iter().map(|x| 1.7e12 + x).collect();
    let tiny: Vec<f64> = noise.iter().map(|x| 1e-150 * x).collect();
    let outlier = [noise.as_slice(), &[1e140]].concat();
    let cases: [(&str, &[f64], usize, usize); 9] = [
        ("one point", &[1.0, 2.0], 2, 1),
        ("equal points", &[5.0; 12], 2, 3),
        ("two places", &[1.0, 1.0, 1.0, 2.0, 2.0, 2.0], 1, 4),
        ("as many as rows", &noise[..10], 2, 5),
        ("a constant column", &constant, 2, 3),
        ("large and close together", &large, 1, 2),
        ("tiny", &tiny, 1, 2),
        ("an outlier", &outlier, 1, 3),
        ("more columns than rows", &noise, 20, 2),
    ];
    for (name, rows, dims, components) in cases {
        for covariance in KINDS {
            let config = EmConfig { components, covariance, restarts: 2, ..Default::default() };
            let fitted = fit(rows, dims, &config).unwrap_or_else(|error| panic!("{name}, {covariance}: {error}"));
            let mixture = &fitted.mixture;
            let numbers = [mixture.weights().to_vec(), mixture.means().concat(), flat_covariances(mixture)].concat();
            assert!(numbers.iter().all(|value| value.is_finite()), "{name}, {covariance}: {mixture:?}");
            assert!(fitted.log_likelihood.is_finite(), "{name}, {covariance}: {}", fitted.log_likelihood);
            assert!(mixture.responsibilities(rows).iter().all(|share| share.is_finite()), "{name}, {covariance}");
            let drawn = mixture.sample(10, 1.0, None, &mut Draws::new(0, Purpose::Prior, 0, 0));
            assert!(drawn.iter().all(|value| value.is_finite()), "{name}, {covariance}");
        }
    }
}

#[test]
fn what_cannot_be_fitted_is_refused_with_its_place() {
    let fit2 = |rows: &[f64], dims, components| fit(rows, dims, &EmConfig { components, ..Default::default() });
    for (rows, dims, components, words) in [
        (&[1.0, 2.0][..], 1, 3, "at most the 2 rows"),
        (&[], 1, 1, "at least one"),
        (&[1.0, 2.0, 3.0], 2, 1, "equal length"),
        (&[1.0], 0, 1, "equal length"),
        (&[1.0, 2.0, f64::NAN, 4.0], 2, 1, "NaN in row 1"),
        (&[f64::INFINITY], 1, 1, "inf in row 0"),
        (&[1e200, -1e200], 1, 1, "squares"),
        (&[1.0, 2.0], 1, 0, "from 1 to"),
    ] {
        let error = fit2(rows, dims, components).unwrap_err();
        assert!(error.to_string().contains(words), "{rows:?}: {error}");
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
    let config = EmConfig { reg_covar: f64::NAN, ..Default::default() };
    assert!(fit(&[1.0], 1, &config).unwrap_err().to_string().contains("--reg-covar"));
    let start = GaussianMixture::diagonal(vec![1.0], vec![vec![0.0]], vec![vec![1.0]]).unwrap();
    assert!(fit_from(&[1.0, 2.0], 2, &start, &EmConfig::default()).is_err());
}

#[test]
fn a_known_mixture_is_recovered_in_any_units() {
    let truth = GaussianMixture::full(
        vec![0.25, 0.75],
        vec![vec![0.0, 0.0], vec![5.0, -3.0]],
        vec![vec![vec![1.0, 0.6], vec![0.6, 1.0]], vec![vec![2.0, -0.5], vec![-0.5, 0.5]]],
    )
    .unwrap();
    let rows = truth.sample(20_000, 1.0, None, &mut Draws::new(4, Purpose::Prior, 0, 0));
    let fitted = fit(&rows, 2, &EmConfig { components: 2, restarts: 3, ..Default::default() }).unwrap();
    let small = usize::from(fitted.mixture.weights()[0] > 0.5);
    assert!((fitted.mixture.weights()[small] - 0.25).abs() < 0.015);
    assert!((fitted.mixture.covariance_of(small)[0][1] - 0.6).abs() < 0.06);
    // The fit is better on its own rows than the truth, by about half the number of parameters over n (Wilks 1938).
    let gain = fitted.log_likelihood - truth.log_likelihood(&rows);
    assert!((0.0..2.0 * 11.0 / 20_000.0).contains(&gain), "{gain}");

    let (shift, scale) = ([1e6, -3.0], [1e3, 1e-3]);
    let moved: Vec<f64> =
        rows.chunks(2).flat_map(|x| [shift[0] + scale[0] * x[0], shift[1] + scale[1] * x[1]]).collect();
    let there = fitted.rescaled(&shift, &scale).unwrap();
    assert!((there.mixture.log_likelihood(&moved) - there.log_likelihood).abs() < 1e-6);
}

/// Rows of a few columns, some of them equal.
fn any_rows() -> impl Strategy<Value = (Vec<f64>, usize)> {
    let value = prop_oneof![4 => -5.0..5.0f64, 1 => Just(0.0), 1 => Just(2.0)];
    (1..4usize, 2..40usize).prop_flat_map(move |(dims, n)| (prop::collection::vec(value.clone(), n * dims), Just(dims)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_rows_are_fitted(case in any_rows(), components in 1..5usize, kind in 0..3usize, seed in 0..1000u64) {
        let (rows, dims) = case;
        let n = rows.len() / dims;
        let config = EmConfig { components: components.min(n), covariance: KINDS[kind], seed, ..Default::default() };
        let fitted = fit(&rows, dims, &config).unwrap();
        let mixture = &fitted.mixture;
        prop_assert!((mixture.weights().iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let shares = mixture.responsibilities(&rows);
        for row in shares.chunks(mixture.components()) {
            prop_assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
        prop_assert!((mixture.log_likelihood(&rows) - fitted.log_likelihood).abs() < 1e-6 * (1.0 + fitted.log_likelihood.abs()));
        let read: GaussianMixture = serde_json::from_str(&serde_json::to_string(mixture).unwrap()).unwrap();
        prop_assert_eq!(&read, mixture);
    }

    #[test]
    fn the_order_of_rows_does_not_matter(seed in 0..1000u64, kind in 0..3usize) {
        let rows = normals(seed, 120);
        let means = vec![vec![-1.0, 0.3], vec![0.8, -0.2]];
        let start = match KINDS[kind] {
            CovarianceKind::Full => GaussianMixture::full(vec![0.5; 2], means, vec![vec![vec![1.0, 0.0], vec![0.0, 1.0]]; 2]),
            CovarianceKind::Diagonal => GaussianMixture::diagonal(vec![0.5; 2], means, vec![vec![1.0; 2]; 2]),
            CovarianceKind::Tied => GaussianMixture::tied(vec![0.5; 2], means, vec![vec![1.0, 0.0], vec![0.0, 1.0]]),
        }.unwrap();
        let order = Draws::new(seed, Purpose::Shuffle, 0, 0).permutation(60);
        let shuffled: Vec<f64> = order.iter().flat_map(|&i| rows[2 * i as usize..][..2].to_vec()).collect();
        let config = EmConfig { max_iterations: 30, tolerance: 0.0, ..Default::default() };
        let [a, b] = [&rows, &shuffled].map(|rows| fit_from(rows, 2, &start, &config).unwrap());
        prop_assert!((a.log_likelihood - b.log_likelihood).abs() < 1e-8);
        for (a, b) in a.mixture.means().concat().iter().zip(b.mixture.means().concat()) {
            prop_assert!((a - b).abs() < 1e-6, "{} {}", a, b);
        }
    }
}
