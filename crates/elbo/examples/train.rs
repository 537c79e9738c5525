//! Trains a variational autoencoder in memory, prints the loss of each epoch and writes a picture of samples.
//!
//! `cargo run --release --example train [digits|mnist|fashion-mnist] [EPOCHS]`

use elbo::data::{self, DataConfig, Validation};
use elbo::distributions::Likelihood;
use elbo::generation::{self, CodeDecoder};
use elbo::models::{Architecture, Vae};
use elbo::networks::NetworkConfig;
use elbo::report::image_grid::{self, GridLayout, ImageBatch};
use elbo::run::atomic;
use elbo::training::{EpochEnd, Observer, OptimizerConfig, Stop, Trainer};

/// Told of every step and epoch; the library itself prints nothing.
struct Print;

impl Observer for Print {
    fn epoch(&mut self, end: &EpochEnd<'_>) -> elbo::Result<()> {
        let terms: Vec<String> = end.record.train.iter().map(|(name, value)| format!("{name} {value:.2}")).collect();
        println!("epoch {}: {} nats per image, {:.0} images/s", end.record.epoch, terms.join(", "), end.images_per_s);
        Ok(())
    }
}

fn main() -> elbo::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let source = arguments.next().unwrap_or_else(|| "digits".into());
    let epochs = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(3);

    let config = DataConfig { source, validation: Validation::Test, ..Default::default() };
    let data = data::open(&config, 0, &mut |_| {})?;
    let shape = data.train.source().shape();
    let device = elbo::device::choose("cpu")?;
    let network = NetworkConfig::default();
    let vae = Vae::init(&Architecture::new(shape.dims(), 20, &network, Likelihood::Bernoulli), 0, &device);

    let mut trainer = Trainer::new(vae, &data, OptimizerConfig::default(), &device);
    trainer.config.epochs = epochs;
    trainer.run(&mut Print, &Stop::new())?;

    let model = trainer.into_model();
    let samples = generation::sample(&CodeDecoder::of(&model, &device)?, 64, 1.0, 0);
    let images = ImageBatch::new(&samples.pixels, shape.channels, shape.height, shape.width)?;
    let picture = image_grid::image_grid(images, GridLayout::default())?;
    atomic::write_file("samples.png", &image_grid::png(&picture)?)?;
    println!("64 samples in samples.png");
    Ok(())
}
