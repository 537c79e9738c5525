//! The doctor's findings, and that every cure is a setting that exists.

use elbo::data::{self, DataConfig};
use elbo::distributions::Likelihood;
use elbo::evaluation::{self, Codes, Evaluation, ModelFinding, Patient, Similarity, examine};
use elbo::models::{Architecture, Capacity, ObjectiveConfig, Vae};
use elbo::networks::NetworkConfig;
use elbo::recipe::Layers;
use elbo::run::history::{EpochRecord, Means};

/// Terms of an untrained model: its code says nothing.
fn untrained() -> Evaluation {
    let data = data::open(&DataConfig { count: 60, ..Default::default() }, 0, &mut |_| {}).unwrap();
    let device = elbo::device::choose("cpu").unwrap();
    let vae =
        Vae::init(&Architecture::new([1, 28, 28], 4, &NetworkConfig::mlp(&[8]), Likelihood::Bernoulli), 0, &device);
    evaluation::evaluate(&vae, &data.test, 0, &device).unwrap()
}

fn codes(spread: [f32; 4], log_var: f32) -> Codes {
    let mean = (0..200).flat_map(|i| spread.map(|s| if i % 2 == 0 { s } else { -s })).collect();
    Codes { latent: 4, mean, log_var: Some(vec![log_var; 800]), labels: None }
}

fn epoch(epoch: usize, kl: f64, train: f64, held: f64) -> EpochRecord {
    let terms = |loss| Means::of([("recon", loss - kl), ("kl", kl), ("loss", loss)]);
    let mut record = EpochRecord::new(epoch, epoch, 1e-3, terms(train));
    (record.beta, record.validation) = (Some(1.0), Some(terms(held)));
    record
}

#[track_caller]
fn has(findings: &[ModelFinding], words: &str, cure: &str) {
    let found = findings.iter().find(|f| f.finding.contains(words)).unwrap_or_else(|| panic!("{words}: {findings:?}"));
    assert!(found.cure.contains(cure), "{found:?}");
    let setting = found.cure.strip_prefix("--set ").and_then(|rest| rest.split(' ').next()).expect("a flag first");
    // The cure can be typed as it stands.
    let mut layers = Layers::from_recipe("digits").unwrap();
    if setting.starts_with("loss.capacity.target") {
        layers.set("loss.capacity={ gamma = 10.0, target = 5.0 }").unwrap();
    }
    layers.set(setting).unwrap_or_else(|error| panic!("{setting}: {error}"));
    layers.build().unwrap_or_else(|error| panic!("{setting}: {error}"));
}

#[test]
fn each_illness_is_found_and_its_cure_is_a_setting() {
    let (terms, plain) = (untrained(), ObjectiveConfig::default());
    let blurred = Similarity { edges: [0.2, 1.0], ..Default::default() };
    let healthy = [epoch(1, 10.0, 120.0, 121.0), epoch(2, 12.0, 110.0, 112.0)];
    let look = |codes: &Codes, similarity, objective: &ObjectiveConfig, history: &[EpochRecord]| {
        examine(&Patient { evaluation: &terms, codes, similarity, objective, history })
    };

    let silent = look(&codes([0.0; 4], 0.0), None, &plain, &healthy);
    has(&silent, "posterior collapse: 0 of 4", "loss.warmup_epochs=10");
    for (objective, cure) in [
        (ObjectiveConfig { warmup_epochs: 10.0, ..plain }, "loss.free_bits=0.1"),
        (ObjectiveConfig { beta: 4.0, ..plain }, "loss.beta=2"),
        (ObjectiveConfig { warmup_epochs: 5.0, free_bits: 0.2, ..plain }, "loss.beta=0.5"),
        (
            ObjectiveConfig { capacity: Some(Capacity { gamma: 1.0, target: 5.0, epochs: 0.0 }), ..plain },
            "loss.capacity.target=10",
        ),
    ] {
        has(&look(&codes([0.0; 4], 0.0), None, &objective, &healthy), "collapse", cure);
    }
    let falling = [epoch(1, 20.0, 120.0, 121.0), epoch(2, 4.0, 110.0, 112.0)];
    has(
        &look(&codes([1.0; 4], -1.0), None, &plain, &falling),
        "the KL fell in training from 20.00",
        "loss.warmup_epochs",
    );
    has(&look(&codes([1.0; 4], -20.0), None, &plain, &healthy), "codes are points", "loss.beta=4");
    has(&look(&codes([1.0; 4], 3.0), None, &plain, &healthy), "wider than the prior", "optimizer.lr");
    has(&look(&codes([1.0; 4], -1.0), Some(&blurred), &plain, &healthy), "20 % of the images' edge", "model.latent=8");
    let overfitted = [epoch(1, 10.0, 120.0, 121.0), epoch(2, 12.0, 80.0, 130.0)];
    has(&look(&codes([1.0; 4], -1.0), None, &plain, &overfitted), "overfitting", "early_stopping.patience=5");
}

#[test]
fn unused_dimensions_are_told_with_the_kl_of_each() {
    let mut evaluation = untrained();
    evaluation.kl.iter_mut().for_each(|kl| *kl += 5.0);
    let codes = codes([1.0, 1.0, 0.0, 1.0], -1.0);
    let plain = ObjectiveConfig::default();
    let patient = Patient { evaluation: &evaluation, codes: &codes, similarity: None, objective: &plain, history: &[] };
    has(&examine(&patient), "1 of 4 latent dimensions are inactive; KL of each in nats:", "model.latent=3");
}

#[test]
fn a_healthy_model_and_an_autoencoder_are_left_alone() {
    let (mut evaluation, plain) = (untrained(), ObjectiveConfig::default());
    evaluation.kl.iter_mut().for_each(|kl| *kl += 5.0);
    let sharp = Similarity { edges: [0.9, 1.0], ..Default::default() };
    let history = [epoch(1, 10.0, 120.0, 121.0), epoch(2, 12.0, 110.0, 112.0)];
    let codes = codes([1.0; 4], -1.0);
    let patient = Patient {
        evaluation: &evaluation,
        codes: &codes,
        similarity: Some(&sharp),
        objective: &plain,
        history: &history,
    };
    assert_eq!(examine(&patient), []);
    let ae = Codes { log_var: None, ..codes.clone() };
    assert_eq!(examine(&Patient { codes: &ae, ..patient }), []);
}

#[test]
fn codes_outside_the_prior_are_found_and_ordinary_softness_is_not_blur() {
    let (mut evaluation, plain) = (untrained(), ObjectiveConfig::default());
    evaluation.kl.iter_mut().for_each(|kl| *kl += 5.0);
    let look = |codes: &Codes, kept: f64| {
        let similarity = Similarity { edges: [kept, 1.0], ..Default::default() };
        let patient =
            Patient { evaluation: &evaluation, codes, similarity: Some(&similarity), objective: &plain, history: &[] };
        examine(&patient)
    };
    let wide = codes([1.0, 3.0, 1.0, 1.0], -1.0);
    has(&look(&wide, 0.9), "codes lie outside N(0, I) in 1 of 4 dimensions: those of z1", "--sampler gaussian");
    let mut shifted = codes([1.0; 4], -1.0);
    shifted.mean.chunks_exact_mut(4).for_each(|code| code[2] += 2.5);
    has(&look(&shifted, 0.9), "z2 have mean 2.50", "loss.beta=2");
    // 46 % of the edges is what the reference `mnist-bce` keeps.
    assert_eq!(look(&codes([1.0; 4], -1.0), 0.46), []);
}
