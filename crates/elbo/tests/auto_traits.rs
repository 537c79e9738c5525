//! What may cross threads: an engineer who embeds a decoder shares it between requests.

use elbo::data::{InMemory, Splits, Subset};
use elbo::evaluation::{Codes, Evaluation};
use elbo::generation::Pictures;
use elbo::models::{Ae, Cvae, Iwae, Model, Vae};
use elbo::random::Draws;
use elbo::recipe::{Layers, RunConfig};
use elbo::run::directory::RunDir;
use elbo::tasks::{Finished, Run, TrainingRun};
use elbo::training::{Checkpoints, Optimizer, Stop, TrainState, Trainer};

fn sends<T: Send>() {}
fn shares<T: Send + Sync>() {}

#[test]
fn models_and_results_are_shared_and_training_is_sent() {
    shares::<elbo::Error>();
    shares::<(RunConfig, Layers, RunDir, Checkpoints)>();
    shares::<(InMemory, Subset, Splits)>();
    shares::<(Ae, Vae, Iwae, Cvae, Box<dyn Model>, Run)>();
    shares::<(Codes, Evaluation, Pictures, Draws, Stop, TrainState, Finished)>();
    sends::<(Optimizer, TrainingRun)>();
    sends::<Trainer<'static, Vae>>();
}
