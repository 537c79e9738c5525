use super::*;

fn rows(seed: u64, count: usize) -> Vec<f64> {
    Draws::new(seed, Purpose::Prior, 1, 0).normals(count).into_iter().map(f64::from).collect()
}

#[test]
fn traces_rise_for_each_form_and_any_regularisation() {
    // Three columns, the last a sum of the others: without `reg_covar` it has no covariance.
    let dependent: Vec<f64> = rows(1, 400).chunks(2).flat_map(|x| [x[0], x[1].powi(3), x[0] + x[1].powi(3)]).collect();
    for kind in [CovarianceKind::Full, CovarianceKind::Diagonal, CovarianceKind::Tied] {
        for reg_covar in [0.0, 1e-6, 1e-2, 10.0] {
            let config = EmConfig { components: 4, covariance: kind, reg_covar, tolerance: 0.0, ..Default::default() };
            // A fall beyond what is allowed is an error.
            let fitted = fit(&dependent, 3, &EmConfig { max_iterations: 200, ..config }).unwrap();
            assert!(fitted.trace.iter().all(|value| value.is_finite()), "{kind} {reg_covar}");
            // Without any, rounding of singular covariances is seen; with much, the M-step is not the likelihood's.
            if reg_covar == 1e-6 {
                let fall = fitted.trace.windows(2).map(|pair| pair[0] - pair[1]).fold(0.0, f64::max);
                assert!(fall < 1e-6, "{kind} {reg_covar}: fell by {fall}");
            }
        }
    }
}

#[test]
fn a_fall_beyond_what_is_allowed_is_an_error() {
    assert!(check_monotone(-1.0, -1.1, || 0.2).is_ok() && check_monotone(-1.0, -0.9, || unreachable!()).is_ok());
    let error = check_monotone(-1.0, -1.1, || 0.01).unwrap_err();
    assert!(matches!(&error, Error::Internal { message, .. } if message.contains("-1.1")), "{error}");
}

#[test]
fn the_allowed_decrease_is_that_of_the_expected_likelihood() {
    let mixture = |variance: f64| GaussianMixture::diagonal(vec![1.0], vec![vec![0.0]], vec![vec![variance]]).unwrap();
    let reg = 0.1;
    // Scatter 0.4: the best variance is 0.4, the step takes 0.5. Scatter 0: the best of at least 0.1 is 0.1, as is the step's.
    let expected = 0.5 * ((0.5f64.ln() + 0.4 / 0.5) - (0.4f64.ln() + 1.0));
    assert!((allowed_decrease(&mixture(1.0), &mixture(0.5), reg) - expected).abs() < 1e-13);
    assert!(allowed_decrease(&mixture(1.0), &mixture(0.1), reg) < 1e-13);
    assert_eq!(
        allowed_decrease(&mixture(0.01), &mixture(0.5), reg),
        f64::INFINITY,
        "a start below `reg` is promised nothing"
    );
}

#[test]
fn more_restarts_are_never_worse() {
    let rows = rows(2, 300);
    let likelihood = |restarts| {
        let config = EmConfig { components: 6, restarts, ..Default::default() };
        fit(&rows, 2, &config).unwrap().trace.last().copied().unwrap()
    };
    assert!(likelihood(8) >= likelihood(1));
}

#[test]
fn one_component_is_the_mean_and_the_covariance() {
    let rows = [1.0, 2.0, 3.0, 8.0, 5.0, 5.0];
    let fitted = fit(&rows, 2, &EmConfig { reg_covar: 0.0, ..Default::default() }).unwrap();
    assert_eq!(fitted.mixture.means(), [[3.0, 5.0]]);
    let expected = [[8.0 / 3.0, 2.0], [2.0, 6.0]];
    for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        assert!((fitted.mixture.covariance_of(0)[i][j] - expected[i][j]).abs() < 1e-9);
    }
    // The maximum of a Gaussian likelihood: -1/2 (d ln 2 pi + ln det + d).
    let log_det = (8.0 / 3.0 * 6.0 - 4.0f64).ln();
    assert!((fitted.log_likelihood + 0.5 * (2.0 * std::f64::consts::TAU.ln() + log_det + 2.0)).abs() < 1e-9);
    assert!(fitted.converged && fitted.iterations == 2, "{} iterations", fitted.iterations);
}

/// Variances of the components, the one with the smaller mean first.
fn variances(fitted: &Fitted) -> [f64; 2] {
    let mut order = [0, 1];
    order.sort_by(|&a, &b| fitted.mixture.means()[a][0].total_cmp(&fitted.mixture.means()[b][0]));
    order.map(|k| fitted.mixture.covariance_of(k)[0][0])
}

#[test]
fn tight_clusters_far_apart_keep_their_variances() {
    let z = rows(5, 400);
    let population = |values: &[f64]| variance(values);
    for far in [1e3, 1e6, 1e9] {
        let data: Vec<f64> = z.iter().enumerate().map(|(i, z)| if i < 200 { *z } else { far + z }).collect();
        // As a table is: standardised first.
        let (mean, std) = (data.iter().sum::<f64>() / 400.0, variance(&data).sqrt());
        let standard: Vec<f64> = data.iter().map(|x| (x - mean) / std).collect();
        let fitted = fit(&standard, 1, &EmConfig { components: 2, ..Default::default() }).unwrap();
        let found = variances(&fitted.rescaled(&[mean], &[std]).unwrap());
        for (found, expected) in found.into_iter().zip([population(&z[..200]), population(&z[200..])]) {
            // The regularisation is 4e-5 of a cluster of half the rows at most; the digits of 1e9 + z are 1e-7.
            assert!((found / expected - 1.0).abs() < 1e-3, "{far}: {found} for {expected}");
        }
    }
}

#[test]
fn clusters_of_different_tightness_keep_theirs_too() {
    let z = rows(6, 400);
    let data: Vec<f64> = z.iter().enumerate().map(|(i, z)| if i < 200 { *z } else { 1e4 + 1e-3 * z }).collect();
    let fitted = fit(&data, 1, &EmConfig { components: 2, ..Default::default() }).unwrap();
    let [wide, tight] = variances(&fitted);
    assert!((wide / variance(&z[..200]) - 1.0).abs() < 1e-3, "{wide}");
    assert!((tight / (1e-6 * variance(&z[200..])) - 1.0).abs() < 1e-2, "{tight}");
}

#[test]
fn one_value_far_from_all_others_does_not_widen_them() {
    let z = rows(7, 300);
    let mut data: Vec<f64> = z.iter().map(|z| 5.0 + z).collect();
    data.extend([-999_999.0; 3]);
    let (mean, std) = (data.iter().sum::<f64>() / 303.0, variance(&data).sqrt());
    let standard: Vec<f64> = data.iter().map(|x| (x - mean) / std).collect();
    let fitted = fit(&standard, 1, &EmConfig { components: 2, ..Default::default() }).unwrap();
    let [_, rest] = variances(&fitted.rescaled(&[mean], &[std]).unwrap());
    assert!((rest / variance(&z) - 1.0).abs() < 1e-3, "{rest}");
}

#[test]
fn columns_as_wide_as_their_parts_take_the_whole_of_it() {
    let even: Vec<f64> = rows(8, 3000);
    assert_eq!(regularisation(&even, 3, 1e-6), [1e-6; 3]);
    let constant = vec![2.5; 50];
    assert_eq!(regularisation(&constant, 1, 1e-6), [1e-6]);
}
