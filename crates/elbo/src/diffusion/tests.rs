//! Oracles in closed form: Gaussian data and mixtures of two, whose denoisers are known.

use super::ancestral::{forward_variance, posterior_variance};
use super::*;
use crate::random::{Draws, Purpose};

const TARGETS: [Target; 4] = [Target::Clean, Target::Noise, Target::Velocity, Target::Flow];

/// The denoiser of data from N(m, v).
fn gaussian(m: f64, v: f64) -> impl FnMut(&[f64], f64) -> Vec<f64> {
    move |x, sigma| x.iter().map(|x| m + v / (v + sigma * sigma) * (x - m)).collect()
}

/// That of a mixture of N(-2, 0.04), which comes with probability `share`, and N(2, 0.04).
fn mixture(share: f64) -> impl FnMut(&[f64], f64) -> Vec<f64> {
    move |x, sigma| {
        let variance = 0.04 + sigma * sigma;
        let of = |x: &f64| {
            let log_odds = (share / (1.0 - share)).ln() - 4.0 * x / variance;
            let first = 1.0 / (1.0 + (-log_odds).exp());
            let at = |m: f64| m + 0.04 / variance * (x - m);
            first * at(-2.0) + (1.0 - first) * at(2.0)
        };
        x.iter().map(of).collect()
    }
}

fn normals(seed: u64) -> impl FnMut(usize) -> Vec<f64> {
    let mut draws = Draws::new(seed, Purpose::Prior, 0, 0);
    move |n| draws.normals(n).into_iter().map(f64::from).collect()
}

#[test]
fn tables_have_the_values_of_their_papers() {
    let linear = NoiseTable::linear(1000, 1e-4, 0.02);
    let by_hand = |t: usize| (0..t).map(|i| (1.0 - (1e-4 + (0.02 - 1e-4) * i as f64 / 999.0)).ln()).sum::<f64>().exp();
    for t in [1, 2, 500, 1000] {
        assert!((linear.alpha_bar(t) / by_hand(t) - 1.0).abs() < 1e-12, "{t}");
    }
    assert!((linear.alpha_bar(1000) - 4.035829765e-5).abs() < 1e-13, "{}", linear.alpha_bar(1000));
    let cosine = NoiseTable::cosine(1000);
    let f = |t: f64| ((t + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2);
    assert!((cosine.alpha_bar(500) - f(0.5) / f(0.0)).abs() < 1e-12);
    assert_eq!((cosine.beta(1000), cosine.sigma(0)), (0.999, 0.0));
    assert!(cosine.sigma(1000).is_finite());
}

#[test]
fn variances_of_steps_are_those_of_ddpm() {
    let table = NoiseTable::linear(100, 1e-3, 0.1);
    for t in [2, 17, 100] {
        let (from, to, kept) = (table.sigma(t), table.sigma(t - 1), table.alpha_bar(t - 1));
        let posterior = (1.0 - kept) / (1.0 - table.alpha_bar(t)) * table.beta(t);
        assert!((posterior_variance(from, to) * kept / posterior - 1.0).abs() < 1e-9, "{t}");
        assert!((forward_variance(from, to) * kept / table.beta(t) - 1.0).abs() < 1e-9, "{t}");
        // The posterior's mean, eq. 7, of x_0 = 0.7 and z_t = -1.3.
        let (alpha, alpha_before) = (table.alpha_bar(t).sqrt(), kept.sqrt());
        let mean = alpha_before * table.beta(t) / (1.0 - table.alpha_bar(t)) * 0.7
            + (1.0 - table.beta(t)).sqrt() * (1.0 - kept) / (1.0 - table.alpha_bar(t)) * -1.3;
        let method = Method::Ancestral(Variance::Posterior);
        let step = method.step(&mut |_: &[f64], _| vec![0.7], &[-1.3 / alpha], (from, to), &mut |n| vec![0.0; n]);
        assert!((step[0] * alpha_before - mean).abs() < 1e-9, "{t}");
    }
}

#[test]
fn targets_go_there_and_back() {
    for sigma in [0.002, 0.5, 1.0, 80.0] {
        let (clean, n) = (0.3, -1.7);
        let x = clean + sigma * n;
        for kind in TARGETS {
            let there = target(kind, x, clean, sigma);
            assert!((denoised(kind, x, there, sigma) - clean).abs() < 1e-9, "{kind:?} at {sigma}");
        }
        let alpha = 1.0 / (1.0 + sigma * sigma).sqrt();
        let v = alpha * n - sigma * alpha * clean;
        assert!((target(Target::Velocity, x, clean, sigma) - v).abs() < 1e-9);
        assert!((target(Target::Flow, x, clean, sigma) - (n - clean)).abs() < 1e-9);
        // A weight of a target is its error over that of D.
        for kind in TARGETS {
            let error = target(kind, x, clean + 0.01, sigma) - target(kind, x, clean, sigma);
            let weight = Weighting::Of(kind).weight(1.0, sigma);
            assert!(((error / 0.01).powi(2) / weight - 1.0).abs() < 1e-6, "{kind:?} at {sigma}");
        }
    }
    assert_eq!(Weighting::MinSnr { gamma: 5.0 }.weight(1.0, 0.1), 5.0);
    assert_eq!(Weighting::MinSnr { gamma: 5.0 }.weight(1.0, 2.0), 0.25);
    assert_eq!((guided(0.1, 0.7, 1.0), guided(0.5, 0.75, 2.0), guided(0.5, 0.75, 0.0)), (0.7, 1.0, 0.5));
}

#[test]
fn the_networks_target_has_variance_one_and_a_silent_network_a_loss_of_one() {
    for (sd, sigma) in [(0.5, 0.01), (0.5, 3.0), (2.0, 80.0)] {
        let (at, n) = (Preconditioner { sd }, 100_000);
        let (mut draw, mut loss) = (normals(3), 0.0);
        for (a, b) in draw(n).into_iter().zip(draw(n)) {
            let (clean, x) = (sd * a, sd * a + sigma * b);
            let target = at.network_target(x, clean, sigma);
            let silent = at.skip(sigma) * x;
            assert!((at.weight(sigma) * (silent - clean).powi(2) / target.powi(2) - 1.0).abs() < 1e-6);
            loss += target * target / n as f64;
        }
        assert!((loss - 1.0).abs() < 0.02, "{loss}");
        assert!((at.skip(sigma) * 2.0 + at.output(sigma) * at.network_target(2.0, 0.3, sigma) - 0.3).abs() < 1e-9);
    }
}

#[test]
fn errors_fall_with_the_order_of_the_method() {
    let (m, v, high, low) = (0.3, 0.25, 80.0, 0.02);
    let (start, exact) = (41.0, m + (41.0 - m) * f64::sqrt((v + low * low) / (v + high * high)));
    let end = |method: Method, steps: usize| {
        let levels = Levels::karras(steps + 1, low, high).unwrap();
        let pairs = levels.pairs().take(steps);
        pairs.fold(vec![start], |x, pair| method.step(&mut gaussian(m, v), &x, pair, &mut |n| vec![0.0; n]))[0]
    };
    for (method, range) in [(Method::Euler, 1.8..2.2), (Method::Heun, 3.6..4.4)] {
        let error = |steps| (end(method, steps) - exact).abs();
        for steps in [128, 256] {
            let ratio = error(steps) / error(2 * steps);
            assert!(range.contains(&ratio), "{method:?}, {steps}: {ratio}");
        }
    }
    assert_eq!(end(Method::Ddim { eta: 0.0 }, 20).to_bits() >> 8, end(Method::Euler, 20).to_bits() >> 8);
}

#[test]
fn the_last_variance_is_that_of_the_data() {
    // The flow is linear: what it multiplies deviations by is the deviation that N(0, 80^2) ends with. The method itself errs by
    // 0.0018247 at 64 levels for a variance of 0.25 (computed apart from this code), and by less for a smaller one.
    let error = |v: f64, steps: usize| {
        let levels = Levels::karras(steps, 0.002, 80.0).unwrap();
        let run = Method::Heun.run(&mut gaussian(0.0, v), vec![80.0], &levels, &mut |n| vec![0.0; n]);
        run[0] * run[0] - v
    };
    assert!((error(0.25, 64) - 0.001_824_745_94).abs() < 1e-10, "{}", error(0.25, 64));
    assert!(error(0.1, 64).abs() < 1e-3 && error(0.25, 128).abs() < 1e-3);
    let levels = Levels::karras(64, 0.002, 80.0).unwrap();
    assert_eq!((Method::Heun.evaluations(&levels), Method::Euler.evaluations(&levels)), (127, 64));
}

#[test]
fn samples_have_the_weights_of_their_modes() {
    let n = 10_000;
    let levels = Levels::karras(40, 0.002, 80.0).unwrap();
    let methods =
        [Method::Heun, Method::Ddim { eta: 1.0 }, Method::Ancestral(Variance::Posterior), Method::Ddim { eta: 0.5 }];
    for method in methods {
        let mut noise = normals(5);
        let start = noise(n).into_iter().map(|value| 80.0 * value).collect();
        let ends = method.run(&mut mixture(0.3), start, &levels, &mut noise);
        let share = ends.iter().filter(|x| **x < 0.0).count() as f64 / n as f64;
        assert!((share - 0.3).abs() < 3.0 * (0.21 / n as f64).sqrt() + 0.005, "{method:?}: {share}");
        let near = ends.iter().filter(|x| (x.abs() - 2.0).abs() < 0.6).count();
        assert!(near > n * 99 / 100, "{method:?}: {near}");
    }
}

#[test]
fn eta_one_is_the_ancestral_step_to_rounding() {
    let noise = &mut |n| vec![0.7; n];
    let step = |method: Method, noise: &mut dyn FnMut(usize) -> Vec<f64>| {
        method.step(&mut gaussian(0.3, 0.25), &[1.0, -4.0], (3.0, 1.1), noise)
    };
    let (a, b) = (step(Method::Ddim { eta: 1.0 }, noise), step(Method::Ancestral(Variance::Posterior), noise));
    assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12));
}

#[test]
fn laws_draw_their_levels() {
    assert!((Law::Edm.level(0.5, 0.5, 0.0) - (-1.2f64).exp()).abs() < 1e-12);
    assert!((Law::Edm.level(1.0, 0.5, 1.0) - 2.0).abs() < 1e-12, "-1.2 + ln 2 + 1.2");
    let table = NoiseTable::cosine(10);
    let law = Law::Table(table.clone());
    assert_eq!((law.level(1.0, 0.0, 0.0), law.level(1.0, 0.999, 0.0)), (table.sigma(1), table.sigma(10)));
    assert_eq!(Law::Flow(Times::Uniform).level(1.0, 0.75, 0.0), 3.0);
    assert_eq!(Law::Flow(Times::LogitNormal { mean: 0.0, deviation: 1.0 }).level(1.0, 0.1, 0.0), 1.0);
}

#[test]
fn lists_of_levels_are_kept_as_given_or_refused() {
    let levels = Levels::karras(18, 0.002, 80.0).unwrap();
    let list = levels.as_slice();
    assert_eq!((list.len(), list[0], list[17], list[18]), (19, 80.0, 0.002, 0.0));
    assert!((list[1] - 57.58598).abs() < 1e-4, "{}", list[1]);
    assert_eq!(Levels::karras(1, 0.002, 80.0).unwrap().as_slice(), [80.0, 0.0]);
    assert!(Levels::karras(0, 0.002, 80.0).is_err() && Levels::karras(5, 1.0, 1.0).is_err());
    for wrong in [vec![], vec![0.0], vec![1.0, 2.0, 0.0], vec![2.0, 1.0], vec![f64::NAN, 0.0]] {
        assert!(Levels::new(wrong).is_err());
    }
    let table = NoiseTable::linear(1000, 1e-4, 0.02);
    let spaced = Levels::of_table(&table, 7).unwrap();
    assert_eq!((spaced.steps(), spaced.highest(), spaced.as_slice()[6]), (7, table.sigma(1000), table.sigma(1)));
    assert_eq!(Levels::of_table(&table, 1000).unwrap().as_slice()[3], table.sigma(997));
    assert!(Levels::of_table(&table, 1001).is_err());
    assert_eq!(levels.from_level(0.002).unwrap().as_slice(), [0.002, 0.0]);
    assert!(levels.from_level(0.0).is_err());
}

/// The expected bound of one value of N(0, v) data with their own denoiser, by the moments of its error: `x` has `E[x^2] = v`.
fn expected_bound(v: f64, levels: &[f64]) -> f64 {
    let (highest, lowest) = (levels[0], levels[levels.len() - 1]);
    // Two draws whose mean square is that of a normal one; the error is linear in x and n, so their means are exact.
    let (xs, ns) = ([v.sqrt(), -v.sqrt()], [1.0, -1.0]);
    let mean = |of: &mut dyn FnMut(f64, f64) -> f64| {
        xs.iter().flat_map(|&x| ns.map(|n| (x, n))).map(|(x, n)| of(x, n)).sum::<f64>() / 4.0
    };
    let steps: f64 = levels
        .windows(2)
        .map(|pair| mean(&mut |x, n| step_term(&mut gaussian(0.0, v), &[x], (pair[0], pair[1]), &[n])))
        .sum();
    // p(x given z_0) is N(x_0, lowest^2) around the state x_0 of the lowest level.
    let last = 0.5 * (1.0 + (std::f64::consts::TAU * lowest * lowest).ln());
    mean(&mut |x, _| prior_kl(x, highest)) + steps + last
}

#[test]
fn the_bound_is_above_the_exact_value_and_comes_closer_as_steps_grow() {
    let (v, low, high) = (0.25f64, 1e-3, 1e3);
    let exact = 0.5 * (1.0 + (std::f64::consts::TAU * v).ln());
    let list = |steps: usize| -> Vec<f64> {
        (0..=steps).map(|i| high * f64::powf(low / high, i as f64 / steps as f64)).collect()
    };
    let gap = |steps| expected_bound(v, &list(steps)) - exact;
    for steps in [50, 200, 800] {
        let ratio = gap(steps) / gap(2 * steps);
        assert!(gap(steps) > 0.0 && (1.8..2.2).contains(&ratio), "{steps}: {} {ratio}", gap(steps));
    }
    // The continuous form: the integral over ln sigma, by the trapezoid rule.
    let cells = 4000;
    let width = (high / low).ln() / f64::from(cells);
    let at = |i: i32| {
        let sigma = low * (f64::from(i) * width).exp();
        let of = |x: f64, n: f64| term_by_log_level(&mut gaussian(0.0, v), &[x], sigma, &[n]);
        (of(v.sqrt(), 1.0) + of(v.sqrt(), -1.0)) / 2.0 * if i == 0 || i == cells { 0.5 } else { 1.0 }
    };
    let integral: f64 = (0..=cells).map(at).sum::<f64>() * width;
    let last = 0.5 * (1.0 + (std::f64::consts::TAU * low * low).ln());
    let continuous = prior_kl(v.sqrt(), high) + integral + last;
    assert!((continuous - exact).abs() < 1e-3, "{continuous} {exact}");
}

#[test]
fn the_decoder_of_256_levels_sums_to_one() {
    let levels: Vec<f64> = (0..256).map(|level| (2 * level + 1) as f64 / 256.0 - 1.0).collect();
    for (state, sigma) in [(0.1, 0.002), (-3.0, 0.01), (0.999, 1.0)] {
        let total: f64 = (0..256).map(|level| (-level_nll(state, sigma, &levels, level)).exp()).sum();
        assert!((total - 1.0).abs() < 1e-12, "{total}");
    }
    assert!(level_nll(levels[7], 1e-4, &levels, 7).abs() < 1e-12 && level_nll(levels[7], 1e-4, &levels, 8) > 100.0);
}

#[test]
fn the_flow_gives_the_density_of_gaussian_data() {
    let (m, v) = (0.3, 0.25);
    let levels = Levels::karras(600, 0.002, 80.0).unwrap();
    let mut denoise = |x: &[f64], sigma: f64| (gaussian(m, v)(x, sigma), x.len() as f64 * v / (v + sigma * sigma));
    for x in [[0.3, 0.3], [-0.4, 1.1]] {
        let exact: f64 = x.iter().map(|x| -0.5 * ((x - m).powi(2) / v + (std::f64::consts::TAU * v).ln())).sum();
        let found = flow_log_likelihood(&mut denoise, &x, &levels);
        assert!((found - exact).abs() < 1e-3, "{found} {exact}");
    }
}
