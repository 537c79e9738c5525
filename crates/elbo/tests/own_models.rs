//! What a model of one's own may rely on: its bound is what is minimised, its methods are called whoever holds it, its statistics move once a step, and
//! what it cannot do is refused.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use elbo::data::batch::{Batch, Given, batch};
use elbo::data::digits;
use elbo::data::split::{Splits, Subset};
use elbo::distributions::{Likelihood, Link, Observation};
use elbo::error::{Error, ErrorKind, Result};
use elbo::evaluation;
use elbo::models::{
    Architecture, Bound, Capability, Decode, Encode, Generate, Iwae, Learner, Loss, Model, Posterior, Report, Show,
    StandardNormal, Terms, Update, VectorCode,
};
use elbo::networks::{Activation::None as Identity, Linear, NetworkConfig, Pass, When};
use elbo::random::{Draws, Purpose};
use elbo::run::parameters;
use elbo::space::{Rows, Space};
use elbo::tensors::values_of;
use elbo::training::{Checkpoints, OptimizerConfig, Quiet, Stop, Trainer};

const SHAPE: [usize; 3] = [1, 28, 28];
const PIXELS: usize = 784;

fn data(train: u32, validation: u32) -> Splits {
    let source = Arc::new(digits::generate(5, (train + validation) as usize));
    let part = |range: std::ops::Range<u32>| Subset::new(source.clone(), range.collect::<Vec<_>>());
    let validation = Some(part(train..train + validation)).filter(|split| !split.is_empty());
    Splits { train: part(0..train), validation, test: part(0..0), validation_is_test: false }
}

/// A number whose bound is least at 3 and whose reconstruction error is least at 0. Nothing else: it has no code.
#[derive(Module, Debug)]
struct Number {
    value: Param<Tensor<1>>,
}

impl Number {
    fn at(value: f32) -> Self {
        Self { value: Param::from_data([value], &Device::default()) }
    }

    fn now(&self) -> f32 {
        values_of(self.value.val())[0]
    }
}

impl Model for Number {
    fn space(&self) -> Space {
        SHAPE.into()
    }

    fn bound(&self) -> Option<&dyn Bound> {
        Some(self)
    }
}

impl Bound for Number {
    fn terms(&self, batch: &Batch, _: &Pass) -> Terms {
        let of_each = |value: Tensor<1>| value.expand([batch.len()]);
        let kl = Tensor::zeros([batch.len(), 1], &batch.x.real().device());
        let bound = of_each((self.value.val() - 3.0).square());
        Terms { recon: of_each(self.value.val().square()), kl, bound: Some(bound) }
    }

    fn has_own_objective(&self) -> bool {
        true
    }
}

impl Learner for Number {
    fn reports(&self) -> &'static [Report] {
        &[Report::RECON, Report::KL]
    }

    fn loss(&self, _: usize, batch: &Batch, pass: &Pass) -> Loss {
        self.objective().at(pass.when()).loss(self.terms(batch, pass))
    }
}

#[test]
fn a_bound_without_a_kl_is_what_training_minimises() {
    let data = data(64, 16);
    let optimizer = OptimizerConfig { lr: 0.1, ..Default::default() };
    let mut trainer = Trainer::new(Number::at(1.0), &data, optimizer, &Device::default());
    (trainer.config.epochs, trainer.config.batch_size) = (40, 16);
    trainer.run(&mut Quiet, &Stop::new()).unwrap();
    let last = trainer.state.history.last().unwrap().clone();
    let value = trainer.into_model().now();
    assert!((value - 3.0).abs() < 0.05, "{value}: `recon` alone would lead to 0");
    let validation = last.validation.unwrap();
    assert!((validation.loss() - f64::from((value - 3.0).powi(2))).abs() < 1e-6, "{validation:?}");
    assert!((validation.get("recon").unwrap() - f64::from(value.powi(2))).abs() < 1e-4, "{validation:?}");
}

/// Two updates of which only the second reports anything.
#[derive(Module, Debug)]
struct Silent {
    first: Param<Tensor<1>>,
    second: Param<Tensor<1>>,
}

impl Model for Silent {
    fn space(&self) -> Space {
        SHAPE.into()
    }
}

impl Learner for Silent {
    fn reports(&self) -> &'static [Report] {
        &[Report { name: "distance", unit: "squares", definition: "(second - 5)^2" }]
    }
    fn updates(&self) -> &'static [Update] {
        &[Update { name: "first", parameters: &["first"] }, Update { name: "second", parameters: &["second"] }]
    }
    fn loss(&self, update: usize, _: &Batch, _: &Pass) -> Loss {
        match update {
            0 => Loss { total: self.first.val().square(), reports: Vec::new() },
            _ => {
                let distance = (self.second.val() - 5.0).square();
                Loss { total: distance.clone(), reports: vec![distance] }
            }
        }
    }
}

#[test]
fn the_loss_is_the_first_updates_though_it_reports_nothing() {
    let (data, device) = (data(40, 20), Device::default());
    let [first, second] = [2.0, 1.0].map(|value| Param::from_data([value], &device));
    let still = OptimizerConfig { lr: 0.0, ..Default::default() };
    let mut trainer = Trainer::new(Silent { first, second }, &data, still, &device);
    trainer.config.epochs = 1;
    trainer.run(&mut Quiet, &Stop::new()).unwrap();
    let record = &trainer.state.history[0];
    for means in [&record.train, record.validation.as_ref().unwrap()] {
        assert_eq!((means.loss(), means.get("distance")), (4.0, Some(16.0)));
    }
}

/// The fault was a division by the size of the code in the first validation.
#[test]
fn a_model_without_a_code_validates_and_is_refused_what_needs_one() {
    let data = data(40, 600); // more than one batch of validation
    let mut trainer = Trainer::new(Number::at(1.0), &data, OptimizerConfig::default(), &Device::default());
    trainer.config.epochs = 1;
    trainer.run(&mut Quiet, &Stop::new()).unwrap();
    assert!(trainer.state.history[0].validation.as_ref().unwrap().loss().is_finite());

    let (number, device, split) = (Number::at(1.0), Device::default(), data.validation.unwrap());
    let model: &dyn Model = &number;
    assert_eq!(Capability::of(model), [Capability::Bound]);
    let sampling = evaluation::ImportanceSampling { samples: 5, seed: 0 };
    let refusals = [
        evaluation::encode(model, &split, &device).err(),
        evaluation::evaluate(model, &split, 0, &device).err(),
        evaluation::reconstruction_errors(model, &split, &device).err(),
        evaluation::importance_weighted(model, &split, sampling, &device, &mut |_| {}).err(),
        evaluation::similarity(model, &split, &device).err(),
        elbo::generation::CodeDecoder::of(model, &device).err(),
        model.prior_or_refuse().err(),
        model.reconstruct(&Batch::of(batch(&split, &[0], &device))).err(),
    ];
    for (place, refusal) in refusals.into_iter().enumerate() {
        let Some(Error::Unsupported { found, .. }) = &refusal else { panic!("{place}: {refusal:?}") };
        assert_eq!(
            (found.as_str(), refusal.as_ref().map(Error::kind)),
            ("one that bounds log p(x)", Some(ErrorKind::Usage))
        );
    }
}

/// A linear autoencoder that overrides each method that a model around one vector code may.
#[derive(Module, Debug)]
struct Overriding {
    encoder: Linear,
    decoder: Linear,
    observation: Observation,
    #[module(skip)]
    codes: [Space; 1],
    #[module(skip)]
    prior: StandardNormal,
}

fn overriding(seed: u64) -> Overriding {
    let (draws, device) = (&mut Draws::new(seed, Purpose::Weights, 0, 0), Device::default());
    let [encoder, decoder] = [(PIXELS, 3), (3, PIXELS)].map(|(from, to)| Linear::init(from, to, draws, &device));
    let observation = Observation::new(Likelihood::Sse { link: Link::Identity }, &device);
    let prior = StandardNormal([Space::vector(3)]);
    Overriding { encoder, decoder, observation, codes: [Space::vector(3)], prior }
}

impl VectorCode for Overriding {
    fn codes(&self) -> &[Space; 1] {
        &self.codes
    }
    fn observed(&self) -> &Observation {
        &self.observation
    }
    fn posterior(&self, batch: &Batch, _: &Pass) -> Posterior {
        Posterior::Point(self.encoder.forward(batch.x.real(), Identity))
    }
    fn parameters(&self, z: Tensor<2>, _: &Given, _: &Pass) -> Tensor<2> {
        self.decoder.forward(z, Identity)
    }
    // Twice the code enters the last layer: what `nll` takes differs from what `parameters` gives, so that it shows which was called.
    fn all_but_last(&self, z: Tensor<2>, _: &Given) -> Option<(Tensor<2>, &Linear)> {
        Some((z * 2.0, &self.decoder))
    }
    fn codes_at_once(&self) -> usize {
        7
    }
    fn code_prior(&self) -> Option<&dyn Generate> {
        Some(&self.prior)
    }
}

impl Model for Overriding {
    fn space(&self) -> Space {
        SHAPE.into()
    }
    fn encoder(&self) -> Option<&dyn Encode> {
        Some(self)
    }
    fn decoder(&self) -> Option<&dyn Decode> {
        Some(self)
    }
    fn examples_at_once(&self) -> usize {
        11
    }
}

impl Learner for Overriding {
    fn reports(&self) -> &'static [Report] {
        &[]
    }
    fn loss(&self, _: usize, batch: &Batch, pass: &Pass) -> Loss {
        let z = self.posterior(batch, pass).mean();
        let total = self.observation.nll(self.parameters(z, &batch.given, pass), batch.x.real(), pass).mean();
        Loss { total, reports: Vec::new() }
    }
}

/// A model that decodes in a way of its own: pictures of one grey, the code's, and one grey more where drawn.
#[derive(Module, Debug)]
struct Grey {
    unused: Param<Tensor<1>>,
    #[module(skip)]
    codes: [Space; 1],
}

impl Model for Grey {
    fn space(&self) -> Space {
        SHAPE.into()
    }
    fn decoder(&self) -> Option<&dyn Decode> {
        Some(self)
    }
}

impl Decode for Grey {
    fn codes(&self) -> &[Space] {
        &self.codes
    }
    fn decode(&self, codes: &[Rows], _: &Given, show: Show<'_>) -> Result<Rows> {
        let grey = codes[0].real().expand([codes[0].len(), PIXELS]);
        Ok(Rows::Real(if matches!(show, Show::Draw(_)) { grey + 0.25 } else { grey }))
    }
}

/// Saves a model's weights and loads them as whoever opens a run does: the type is forgotten.
fn loaded<M: Module + Model + 'static>(saved: &M, fresh: M) -> Box<dyn Model> {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(folder.path(), "");
    checkpoints.save_best(saved, &Default::default()).unwrap();
    Box::new(checkpoints.load("best", fresh).unwrap().0)
}

#[test]
fn overrides_hold_for_a_model_that_was_loaded() {
    let (saved, device) = (overriding(1), Device::default());
    let model = loaded(&saved, overriding(2));
    let decoder = model.decoder().expect("it decodes");
    let observe = decoder.observation().expect("p(x|z) in closed form");
    assert_eq!((observe.codes_at_once(), model.examples_at_once()), (7, 11));
    assert_eq!(decoder.prior().expect("a prior").spaces(), [Space::vector(3)]);
    let (z, x) = (Tensor::<2>::ones([2, 3], &device), Tensor::<2>::zeros([2, PIXELS], &device));
    let given = Given::default();
    let [once, twice] = [1.0, 2.0].map(|factor| {
        let mean = saved.decoder.forward(z.clone() * factor, Identity);
        values_of(mean.square().sum_dim(1).squeeze_dim::<1>(1))
    });
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs());
    assert!(!near(&once, &twice));
    assert!(near(&values_of(observe.nll(&[z.clone().into()], &given, x.clone())), &twice), "its own `all_but_last`");
    assert!(near(&values_of(observe.recon(&[z.into()], &given, x)), &once), "its own `parameters`");

    let grey = || Grey { unused: Param::from_data([0.0], &device), codes: [Space::vector(1)] };
    let model = loaded(&grey(), grey());
    let code = || [Rows::Real(Tensor::<2>::ones([1, 1], &device) * 0.5)];
    let decoder = model.decode_or_refuse().unwrap();
    let mean = decoder.decode(&code(), &given, Show::Mean).unwrap().real();
    let drawn = decoder.decode(&code(), &given, Show::Draw(&mut Draws::new(0, Purpose::Likelihood, 0, 0))).unwrap();
    assert_eq!((values_of(mean), values_of(drawn.real())), (vec![0.5; PIXELS], vec![0.75; PIXELS]));
    assert!(decoder.observation().is_none() && decoder.prior().is_none());
}

const SAMPLES: usize = 3;
const LATENT: usize = 2;

/// Batch norm, and a scale that batches teach.
fn iwae(dreg: bool) -> Iwae {
    let (network, device) = (NetworkConfig::conv(&[4, 5]), Device::default());
    let likelihood = Likelihood::GaussianShared { link: Link::Sigmoid };
    let architecture = Architecture::new(SHAPE, LATENT, &network, likelihood);
    Iwae::init(&architecture, SAMPLES, 3, &device).with_dreg(dreg)
}

/// The buffers after each of `steps` steps on all of the data, at a rate of 0 so that weights stay.
fn buffers(data: &Splits, dreg: bool, steps: usize) -> Vec<Vec<(String, Vec<f32>)>> {
    let still = OptimizerConfig { lr: 0.0, ..Default::default() };
    let mut trainer = Trainer::new(iwae(dreg), data, still, &Device::default());
    (1..=steps)
        .map(|epochs| {
            trainer.config.epochs = epochs; // of one step each
            trainer.run(&mut Quiet, &Stop::new()).unwrap();
            let all = parameters::export(trainer.model()).into_iter();
            all.filter(|tensor| tensor.name.contains("running")).map(|t| (t.name, t.values)).collect()
        })
        .collect()
}

fn named<'a>(buffers: &'a [(String, Vec<f32>)], name: &str) -> &'a [f32] {
    &buffers.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no {name}")).1
}

/// The mean squared error of the batch of each step, by hand: its noise, its codes, its decoded means.
fn errors(data: &Splits, steps: usize) -> Vec<f64> {
    let (model, device) = (iwae(true).train(), Device::default().autodiff());
    let places: Vec<u32> = (0..data.train.len() as u32).collect();
    (1..=steps as u64)
        .map(|epoch| {
            let order = Draws::new(0, Purpose::Shuffle, epoch, 0).permutation(places.len() as u32);
            let x = Batch::of(batch(&data.train, &order, &device));
            let pass = Pass::new(When::Training { epochs: 0.0 }, Draws::new(0, Purpose::TrainingNoise, epoch, 0));
            let posterior = model.gaussian(&x, &pass);
            let noise = pass.normals([x.len(), SAMPLES * LATENT], &device);
            let (posterior, x, noise) = posterior.repeated(SAMPLES, x.x.real(), noise);
            let parameters = model.parameters(posterior.sample(noise), &Given::default(), &pass);
            let mean = burn::tensor::activation::sigmoid(parameters);
            f64::from(values_of((mean - x).square().mean())[0])
        })
        .collect()
}

/// The doubly reparameterized gradient takes a second pass through the decoder, which must not move its statistics again.
#[test]
fn statistics_move_once_a_step_though_dreg_decodes_twice() {
    const STEPS: usize = 3;
    let data = data(24, 0);
    let found = buffers(&data, true, STEPS);
    assert!(named(&found[0], "decoder.norms.0.running_var").iter().any(|v| (v - 1.0).abs() > 1e-3), "they move");
    // Weights at rest: the same forward passes without the second one move them by the same bits.
    assert_eq!(found, buffers(&data, false, STEPS));

    // The encoder sees the same batch in every step: from 0, running_mean = batch (1 - 0.9^n).
    let name = "encoder.norms.0.running_mean";
    for (step, after) in found.iter().enumerate() {
        let share = |n: usize| 1.0 - 0.9f64.powi(n as i32);
        for (first, now) in named(&found[0], name).iter().zip(named(after, name)) {
            let expected = f64::from(*first) / share(1) * share(step + 1);
            assert!((f64::from(*now) - expected).abs() < 1e-5, "{name} after {} steps: {now}, {expected}", step + 1);
        }
    }

    // The learned scale: the first batch's error, then a tenth of the way to each further one's.
    let mut expected = 0.0;
    for (step, error) in errors(&data, STEPS).into_iter().enumerate() {
        expected = if step == 0 { error } else { expected + 0.1 * (error - expected) };
        let running = f64::from(named(&found[step], "observation.running_error")[0]);
        assert!((running - expected).abs() < 1e-6 * expected, "step {}: {running} is not {expected}", step + 1);
    }
}
