use super::*;
use crate::mixtures::{EmConfig, fit};

fn device() -> Device {
    crate::device::choose("cpu").unwrap()
}

/// Two interleaved half circles with noise.
fn moons(seed: u64, n: usize) -> Vec<f32> {
    let draws = &mut Draws::new(seed, Purpose::Choice, 0, 0);
    let noise = draws.normals(2 * n);
    let point = |i: usize| {
        let angle = PI * draws.uniform();
        let (x, y) =
            if i.is_multiple_of(2) { (angle.cos(), angle.sin()) } else { (1.0 - angle.cos(), 0.5 - angle.sin()) };
        [x as f32 + 0.1 * noise[2 * i], y as f32 + 0.1 * noise[2 * i + 1]]
    };
    (0..n).flat_map(point).collect()
}

fn quick() -> MafConfig {
    MafConfig { blocks: 4, hidden: vec![48, 48], epochs: 30, steps: 1200, batch_size: 128, ..Default::default() }
}

#[test]
fn a_flow_learns_two_moons_and_its_density_integrates_to_one() {
    let (train, test) = (moons(0, 4000), moons(1, 2000));
    let maf = Maf::fit(&train, 2, &quick(), 0, &device()).unwrap();
    let mean = |values: &[f32]| values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
    let flow = mean(&maf.log_prob(&test));
    let rows = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    let gaussian = fit(&rows(&train), 2, &EmConfig::default()).unwrap().mixture.log_likelihood(&rows(&test));
    assert!(flow > gaussian + 0.5, "{flow} nats a code, a Gaussian has {gaussian}");

    let (step, from, cells) = (0.02, -3.0, 350);
    let grid: Vec<f32> = (0..cells)
        .flat_map(|i| (0..cells).flat_map(move |j| [i, j].map(|k| (from + step * f64::from(k)) as f32)))
        .collect();
    let mass: f64 = maf.log_prob(&grid).iter().map(|&log| f64::from(log).exp()).sum::<f64>() * step * step;
    assert!((mass - 1.0).abs() < 0.01, "{mass}");

    // Samples have the likelihood of data, and lie where data lie.
    let drawn = maf.sample(&Draw { count: 2000, seed: 3, ..Default::default() });
    let own = mean(&maf.log_prob(&drawn));
    assert!((own - flow).abs() < 0.2, "samples {own}, data {flow}");

    let noise = maf.to_noise(&test);
    for (back, x) in maf.from_noise(&noise).iter().zip(&test) {
        assert!((back - x).abs() < 1e-3, "{back} {x}");
    }
}

#[test]
fn the_log_determinant_is_that_of_finite_differences() {
    let dims = 3;
    let config = MafConfig { blocks: 3, hidden: vec![24, 24], ..Default::default() };
    let flow = Flow::init(dims, &config, 5, &device());
    let forward = |x: &[f32]| {
        let (u, log_det) = flow.forward(matrix(x.to_vec(), dims, &device()));
        (values_of(u), values_of(log_det)[0])
    };
    for x in [[0.1f32, -0.4, 0.9], [2.0, 0.3, -1.1]] {
        let h = 1e-2f32;
        let column = |j: usize| {
            let (mut up, mut down) = (x, x);
            up[j] += h;
            down[j] -= h;
            let (up, down) = (forward(&up).0, forward(&down).0);
            [0, 1, 2].map(|i| f64::from(up[i] - down[i]) / f64::from(2.0 * h))
        };
        let [a, b, c] = [column(0), column(1), column(2)];
        let determinant = a[0] * (b[1] * c[2] - b[2] * c[1]) - b[0] * (a[1] * c[2] - a[2] * c[1])
            + c[0] * (a[1] * b[2] - a[2] * b[1]);
        let log_det = f64::from(forward(&x).1);
        assert!((determinant.abs().ln() - log_det).abs() < 2e-2, "{} {log_det}", determinant.abs().ln());
        assert!(log_det.abs() > 1e-3, "the test point tells something");
    }
}

#[test]
fn inverse_is_inverse_and_log_prob_is_that_of_the_noise() {
    let (dims, n) = (6, 50);
    let config = MafConfig { blocks: 4, hidden: vec![32], ..Default::default() };
    let flow = Flow::init(dims, &config, 1, &device());
    let x = Draws::new(0, Purpose::Choice, 0, 0).normals(n * dims);
    let (u, log_det) = flow.forward(matrix(x.clone(), dims, &device()));
    let log_prob = values_of(flow.log_prob(matrix(x.clone(), dims, &device())));
    for (i, u) in values_of(u.clone()).chunks(dims).enumerate() {
        let normal: f32 = u.iter().map(|u| -0.5 * (u * u + TAU.ln() as f32)).sum();
        assert!((log_prob[i] - normal - values_of(log_det.clone())[i]).abs() < 1e-4);
    }
    for (back, x) in values_of(flow.inverse(u)).iter().zip(&x) {
        assert!((back - x).abs() < 1e-4, "{back} {x}");
    }
}

#[test]
fn small_and_constant_codes_train_and_equal_seeds_are_equal() {
    let config = MafConfig { blocks: 2, hidden: vec![8], epochs: 3, ..Default::default() };
    for (codes, latent) in [(vec![1.0f32], 1), (vec![2.0; 60], 3), (moons(0, 30), 2)] {
        let fitted = || Maf::fit(&codes, latent, &config, 4, &device()).unwrap();
        let draw = Draw { count: 5, ..Default::default() };
        let drawn = fitted().sample(&draw);
        assert!(drawn.iter().all(|value| value.is_finite()), "{drawn:?}");
        assert_eq!(drawn, fitted().sample(&draw));
    }
}
