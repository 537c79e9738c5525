//! Trains a variational autoencoder on the built-in digits and prints the loss of each epoch.
//!
//! `cargo run --release --example train [mnist]`

use burn::tensor::Device;
use elbo::data::{self, DataConfig, Validation};
use elbo::distributions::Likelihood;
use elbo::models::Vae;
use elbo::networks::MlpConfig;
use elbo::training::{EpochEnd, Observer, OptimizerConfig, Stop, Trainer};

struct Print;

impl Observer for Print {
    fn epoch(&mut self, end: &EpochEnd<'_>) -> elbo::Result<()> {
        let train = end.record.train;
        println!(
            "epoch {}: recon {:.2} + kl {:.2} nats, {:.0} images/s",
            end.record.epoch, train.recon, train.kl, end.images_per_s
        );
        Ok(())
    }
}

fn main() -> elbo::Result<()> {
    let source = std::env::args().nth(1).unwrap_or_else(|| "digits".into());
    let config = DataConfig { source, validation: Validation::Test, ..Default::default() };
    let data = data::open(&config, 0, &mut |_| {})?;
    let device = Device::default();
    let vae = Vae::init(784, 20, &MlpConfig::default(), Likelihood::Bernoulli, 0, &device);
    let mut trainer = Trainer::new(vae, &data, OptimizerConfig::default(), &device);
    trainer.config.epochs = 3;
    trainer.run(&mut Print, &Stop::new())?;
    println!("{:#?}", trainer.state.history.last());
    Ok(())
}
