use std::f64::consts::PI;

use super::*;
use crate::mixtures::{EmConfig, fit};
use crate::random::{Draws, Purpose};

fn device() -> Device {
    crate::device::choose("cpu").unwrap()
}

fn fitted(recipe: &str, settings: &[&str], codes: &[f32], latent: usize, seed: u64) -> NetworkPrior {
    let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
    let config = prior_config(Layers::from_recipe(recipe).unwrap(), latent, seed, &settings).unwrap();
    NetworkPrior::fit_config(&config, codes, latent, &device()).unwrap()
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

#[test]
fn a_flow_learns_two_moons_and_its_density_integrates_to_one() {
    let (train, test) = (moons(0, 4000), moons(1, 2000));
    let settings =
        ["prior.blocks=4", "prior.hidden=[48, 48]", "prior.epochs=30", "prior.steps=1200", "prior.batch_size=128"];
    let maf = fitted("maf", &settings, &train, 2, 0);
    let mean = |values: &[f32]| values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
    let flow = mean(&maf.log_prob(&test).unwrap());
    let rows = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    let gaussian = fit(&rows(&train), 2, &EmConfig::default()).unwrap().mixture.log_likelihood(&rows(&test));
    assert!(flow > gaussian + 0.5, "{flow} nats a code, a Gaussian has {gaussian}");

    let (step, from, cells) = (0.02, -3.0, 350);
    let grid: Vec<f32> = (0..cells)
        .flat_map(|i| (0..cells).flat_map(move |j| [i, j].map(|k| (from + step * f64::from(k)) as f32)))
        .collect();
    let log_prob = maf.log_prob(&grid).unwrap();
    let mass: f64 = log_prob.iter().map(|&log| f64::from(log).exp()).sum::<f64>() * step * step;
    assert!((mass - 1.0).abs() < 0.01, "{mass}");

    // Samples have the likelihood of data, and lie where data lie.
    let drawn = maf.sample(&Draw { count: 2000, seed: 3, ..Default::default() });
    let own = mean(&maf.log_prob(&drawn).unwrap());
    assert!((own - flow).abs() < 0.2, "samples {own}, data {flow}");
}

#[test]
fn samples_of_a_second_stage_have_the_moments_of_the_codes() {
    let draws = &mut Draws::new(0, Purpose::Choice, 0, 0);
    // Two groups, far from 0 and of different spread.
    let noise = draws.normals(8000);
    let group = |i: usize| if i.is_multiple_of(4) { 1.0 } else { -1.0 };
    let code = |i: usize| if i.is_multiple_of(2) { 40.0 + 3.0 * group(i) + noise[i] } else { 0.1 * noise[i] };
    let codes: Vec<f32> = (0..8000).map(code).collect();
    let settings = ["prior.hidden=[64, 64]", "prior.epochs=30", "prior.steps=1000", "prior.batch_size=128"];
    let model = fitted("two-stage", &settings, &codes, 2, 0);
    assert!(model.log_prob(&codes[..2]).is_none(), "a bound is no density");
    let drawn = model.sample(&Draw { count: 4000, seed: 1, ..Default::default() });
    let moments = |values: &[f32], j: usize| {
        let column: Vec<f64> = values.iter().skip(j).step_by(2).map(|&z| f64::from(z)).collect();
        let mean = column.iter().sum::<f64>() / column.len() as f64;
        (mean, (column.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / column.len() as f64).sqrt())
    };
    for j in 0..2 {
        let ((mean, std), (drawn_mean, drawn_std)) = (moments(&codes, j), moments(&drawn, j));
        assert!((mean - drawn_mean).abs() < 0.25 * std, "dimension {j}: {mean} {drawn_mean}");
        assert!((0.75..1.25).contains(&(drawn_std / std)), "dimension {j}: {std} {drawn_std}");
    }
    // Two groups: few samples lie between them.
    let between = drawn.iter().step_by(2).filter(|z| (*z - 40.0).abs() < 1.0).count();
    assert!(between < 800, "{between} of 4000 between the groups; a Gaussian has about 1000");
}

#[test]
fn small_and_constant_codes_train_and_equal_seeds_are_equal() {
    for (codes, latent) in [(vec![1.0f32], 1), (vec![2.0; 60], 3), (moons(0, 30), 2)] {
        for (recipe, sizes) in [("maf", "prior.blocks=2"), ("two-stage", "prior.epochs=3")] {
            let settings = [sizes, "prior.hidden=[8]", "prior.epochs=3"];
            let draw = Draw { count: 5, ..Default::default() };
            let drawn = fitted(recipe, &settings, &codes, latent, 4).sample(&draw);
            assert!(drawn.iter().all(|value| value.is_finite()), "{recipe}: {drawn:?}");
            assert_eq!(drawn, fitted(recipe, &settings, &codes, latent, 4).sample(&draw));
        }
    }
}

#[test]
fn the_defaults_are_those_that_were_always_trained() {
    let maf = prior_config(Layers::from_recipe("maf").unwrap(), 20, 0, &[]).unwrap();
    assert_eq!(maf.model, crate::models::MafConfig { blocks: 5, hidden: vec![128, 128] }.into());
    assert_eq!((maf.optimizer.lr, maf.optimizer.clip_norm, maf.training.batch_size), (1e-3, 5.0, 256));
    // 6000 steps are 28 epochs of 54,000 codes, and of 60,000 for the second stage, which holds none out, 25.
    assert_eq!((maf.clone().resolved(54_000).training.epochs, maf.resolved(900).training.epochs), (28, 60));
    let two_stage = prior_config(Layers::from_recipe("two-stage").unwrap(), 20, 0, &[]).unwrap().resolved(60_000);
    assert_eq!(two_stage.training.epochs, 25);
    assert!((two_stage.loss.warmup_epochs - 25.0 / 3.0).abs() < 1e-9, "{}", two_stage.loss.warmup_epochs);
}
