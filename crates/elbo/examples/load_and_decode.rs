//! Loads a run that `elbo train` made and walks from one test image to another in its latent space: what an application does with a
//! trained model.
//!
//! `cargo run --release --example load_and_decode [RUN] [OUT.png]`; without a RUN a small one is trained first.

use std::path::{Path, PathBuf};

use elbo::evaluation;
use elbo::generation::{self, Path as Walk};
use elbo::recipe::Layers;
use elbo::report::image_grid::{self, GridLayout, ImageBatch};
use elbo::run::atomic;
use elbo::tasks::{Run, TrainingRun};
use elbo::training::{Quiet, Stop};

const STEPS: usize = 12;

fn main() -> elbo::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let device = elbo::device::choose("cpu")?;
    let path = match arguments.next() {
        Some(path) => path,
        None => train_small(&device)?,
    };
    let out = arguments.next().unwrap_or_else(|| "walk.png".into());

    let run = Run::load(&path, None, &device)?;
    println!("{}: {}, `{}` weights", run.name(), run.config.describe(run.shape.dims()), run.checkpoint);
    let images = run.open_data(None)?.test.take(2);
    let codes = evaluation::encode(run.model.as_ref(), &images, &run.device)?;
    let (a, b) = codes.mean.split_at(codes.latent);
    let walk = generation::interpolate(&run.decoder("this example")?, a, b, STEPS, Walk::Spherical);
    write(&walk, &out)?;
    println!("{} images in {}", walk.len(), out.display());
    Ok(())
}

/// One epoch on a few generated digits, in a folder that is free.
fn train_small(device: &burn::tensor::Device) -> elbo::Result<PathBuf> {
    let mut layers = Layers::from_recipe("digits")?;
    layers.set("data.count=2000")?;
    layers.set("training.epochs=3")?;
    let path = elbo::run::directory::RunDir::next_free(Path::new("runs"), "example");
    let training = TrainingRun::create(layers.build()?, &path, device, "cpu", &mut |_| {})?;
    training.train(&mut Quiet, &Stop::new())?;
    println!("trained {}: see its report.html", path.display());
    Ok(path)
}

fn write(pictures: &generation::Pictures, out: &Path) -> elbo::Result<()> {
    let shape = pictures.shape;
    let images = ImageBatch::new(&pictures.pixels, shape.channels, shape.height, shape.width)?;
    let row = GridLayout { columns: STEPS, ..Default::default() };
    atomic::write_file(out, &image_grid::png(&image_grid::image_grid(images, row)?)?)
}
