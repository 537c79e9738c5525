//! The convolutional VAE as a whole: it learns, its names are PyTorch's, and what is saved is what was trained, running statistics included.

use elbo::data::{self, DataConfig, Validation};
use elbo::distributions::Likelihood;
use elbo::generation::{self, CodeDecoder};
use elbo::models::{Architecture, Model, Vae};
use elbo::networks::NetworkConfig;
use elbo::recipe::Layers;
use elbo::run::parameters;
use elbo::tasks::{Run, TrainingRun};
use elbo::training::{Checkpoints, Ending, OptimizerConfig, Quiet, Stop, Trainer};

const SHAPE: [usize; 3] = [1, 28, 28];

fn model(seed: u64) -> Vae {
    let device = elbo::device::choose("cpu").unwrap();
    Vae::init(&Architecture::new(SHAPE, 4, &NetworkConfig::conv(&[8, 16]), Likelihood::Bernoulli), seed, &device)
}

#[test]
fn it_learns_and_its_checkpoint_holds_the_running_statistics() {
    let device = elbo::device::choose("cpu").unwrap();
    let config = DataConfig { count: 600, validation: Validation::NONE, ..Default::default() };
    let data = data::open(&config, 0, &mut |_| {}).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(folder.path(), "");
    let mut trainer = Trainer::new(model(0), &data, OptimizerConfig::default(), &device);
    trainer.config.epochs = 3;
    trainer.config.batch_size = 32;
    trainer.checkpoints = Some(checkpoints.clone());
    trainer.run(&mut Quiet, &Stop::new()).unwrap();

    let losses: Vec<f64> = trainer.state.history.iter().map(|epoch| epoch.train.loss()).collect();
    assert!(losses[2] < 0.75 * losses[0], "{losses:?}");

    let trained = trainer.into_model();
    let (loaded, _) = checkpoints.load("last", model(9)).unwrap();
    let decoded = |vae: &Vae| generation::sample(&CodeDecoder::of(vae, &device).unwrap(), 4, 1.0, 0).pixels;
    assert_eq!(decoded(&trained), decoded(&loaded));

    let variances: Vec<_> =
        parameters::export(&loaded).into_iter().filter(|t| t.name.ends_with("running_var")).collect();
    assert_eq!(variances.len(), 3);
    assert!(variances.iter().all(|t| t.values.iter().any(|v| (v - 1.0).abs() > 1e-3)), "they moved from their start");
}

#[test]
fn a_chosen_size_is_written_into_the_run() {
    let device = elbo::device::choose("cpu").unwrap();
    for (recipe, narrow) in [("conv", "network.hidden=[9]"), ("resnet", "network.blocks=0")] {
        let folder = tempfile::tempdir().unwrap();
        let mut layers = Layers::from_recipe(recipe).unwrap();
        for setting in ["data.count=40", "training.epochs=1", "training.batch_size=16", "model.kind=ae", narrow] {
            layers.set(setting).unwrap();
        }
        let out = folder.path().join("run");
        let config = layers.build().unwrap();
        let training = TrainingRun::create(config, &out, &device, "cpu", &mut |_| {}).unwrap();
        assert_eq!(training.train(&mut Quiet, &Stop::new()).unwrap().ending, Ending::Finished);
        let written = std::fs::read_to_string(out.join("config.toml")).unwrap();
        assert!(written.contains("channels = [32, 64, 128]"), "{written}");
        assert_eq!(
            Run::load(&out, None, &device).unwrap().config.network.resolved(SHAPE).features(SHAPE),
            match recipe {
                "conv" => 9,
                _ => 128 * 4 * 4,
            }
        );
    }
}

#[test]
fn names_and_shapes_are_pytorchs() {
    let shapes = parameters::shapes(&model(0));
    let expected: &[(&str, &[usize])] = &[
        ("encoder.layers.0.weight", &[8, 1, 4, 4]),
        ("encoder.layers.0.bias", &[8]),
        ("encoder.layers.1.weight", &[16, 8, 4, 4]),
        ("encoder.norms.1.running_mean", &[16]),
        ("mean.weight", &[4, 16 * 7 * 7]),
        ("decoder.input.weight", &[16 * 7 * 7, 4]),
        ("decoder.layers.0.weight", &[16, 8, 4, 4]),
        ("decoder.layers.1.weight", &[8, 1, 4, 4]),
        ("decoder.norms.0.weight", &[8]),
    ];
    for (name, shape) in expected {
        let found = shapes.iter().find(|(known, _)| known == name);
        assert_eq!(found.map(|(_, s)| s.as_slice()), Some(*shape), "{name}");
    }
    assert_eq!(model(0).space().numel(), 784);
}
