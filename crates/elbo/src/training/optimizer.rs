//! Adam and AdamW over all parameters of a module.

use std::iter::Peekable;
use std::vec::IntoIter;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use elbo_kernels::{AdamStep, Parameter, Updated};

use super::config::{Decays, OptimizerConfig, OptimizerKind};
use super::schedule::Schedule;
use crate::models::Update;
use crate::run::parameters;

/// First and second moment of one parameter, flattened; none before its first gradient.
pub type AdamMoments = Option<(Tensor<1>, Tensor<1>)>;

/// An optimiser with its moments, one pair for each parameter in the order Burn visits them.
///
/// Burn's own Adam keeps the same numbers, but steps through a dozen tensor operations for each parameter; this one hands each to
/// [`elbo_kernels::adam`], which updates in place.
///
/// ```
/// use burn::module::Module;
/// use burn::optim::GradientsParams;
/// use burn::tensor::Tensor;
/// use elbo::networks::{Activation, Linear};
/// use elbo::random::{Draws, Purpose};
/// use elbo::training::{Optimizer, OptimizerConfig};
///
/// let device = elbo::device::choose("cpu")?.autodiff();
/// let mut layer = Linear::init(3, 1, &mut Draws::new(0, Purpose::Weights, 0, 0), &device);
/// let loss = |layer: &Linear| layer.forward(Tensor::ones([1, 3], &device), Activation::None).square().sum();
/// let before = loss(&layer).into_scalar::<f32>();
///
/// let mut optimizer = Optimizer::new(OptimizerConfig { clip_norm: 1.0, ..Default::default() });
/// let gradients = GradientsParams::from_module(&mut loss(&layer).backward(), &layer);
/// let (layer, stepped) = optimizer.step(layer, gradients, 1e-2);
/// assert!(stepped.gradient_norm.unwrap() > 0.0 && loss(&layer).into_scalar::<f32>() < before);
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Optimizer {
    config: OptimizerConfig,
    /// Name of its update.
    name: &'static str,
    /// Whether it moves the parameter of each place in visiting order; empty for all.
    moves: Vec<bool>,
    time: u64,
    moments: Vec<AdamMoments>,
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Stepped {
    /// Global norm of the gradient before clipping; only known when clipping is on.
    pub gradient_norm: Option<f64>,
    /// Place, in visiting order, of the first parameter whose gradient was not finite. The weights are then of no use.
    pub not_finite: Option<usize>,
}

impl Optimizer {
    /// An optimiser of all parameters before its first step.
    pub fn new(config: OptimizerConfig) -> Self {
        Self { config, name: Update::ALL[0].name, moves: Vec::new(), time: 0, moments: Vec::new() }
    }

    /// An optimiser of an update's parameters before its first step. `[optimizer]` is the first update's, `[optimizer.updates.NAME]` changes it for
    /// the update of that name.
    pub fn of<M: Module>(update: &Update, config: &OptimizerConfig, model: &M) -> Self {
        let moves = match update.parameters {
            [] => Vec::new(),
            _ => parameters::shapes(model).iter().map(|(name, _)| update.moves(name)).collect(),
        };
        Self { name: update.name, moves, ..Self::new(config.of_update(update.name)) }
    }

    /// The same as it was after `time` steps, with the moments of each parameter in visiting order.
    #[must_use]
    pub fn restored(self, time: u64, moments: Vec<AdamMoments>) -> Self {
        Self { time, moments, ..self }
    }

    /// Name of the update whose parameters it moves.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// A schedule of its own, where the configuration gives one.
    pub fn schedule(&self) -> Option<&Schedule> {
        self.config.schedule.as_ref()
    }

    /// The moments of each parameter in visiting order; empty before the first step.
    pub fn moments(&self) -> &[AdamMoments] {
        &self.moments
    }

    /// The learning rate before any schedule; lower while it warms up.
    pub fn lr(&self) -> f64 {
        self.lr_after(self.time)
    }

    /// The same as it was after `taken` steps.
    pub(super) fn lr_after(&self, taken: u64) -> f64 {
        self.config.lr * self.config.warmth(taken)
    }

    /// How many steps it has taken.
    pub fn time(&self) -> u64 {
        self.time
    }

    /// Takes one step at learning rate `lr`.
    ///
    /// With clipping on, gradients are first scaled so that their global norm is at most `clip_norm`, with PyTorch's
    /// `clip_norm / (norm + 1e-6)`.
    pub fn step<M: Module>(&mut self, model: M, mut gradients: GradientsParams, lr: f64) -> (M, Stepped) {
        if !self.moves.is_empty() {
            model.visit(&mut Drop { gradients: &mut gradients, moves: &self.moves, place: 0 });
        }
        let gradient_norm = (self.config.clip_norm > 0.0).then(|| global_norm(&model, &gradients));
        let clip = gradient_norm.map_or(1.0, |norm| (self.config.clip_norm / (norm + 1e-6)).min(1.0));
        self.time += 1;
        let decoupled = self.config.kind == OptimizerKind::AdamW;
        let step = AdamStep {
            lr,
            beta1: self.config.betas[0],
            beta2: self.config.betas[1],
            eps: self.config.eps,
            l2: if decoupled { 0.0 } else { self.config.weight_decay },
            decay: if decoupled { self.config.weight_decay } else { 0.0 },
            gradient_scale: clip,
            time: self.time,
        };
        let mut taken = Take {
            gradients: &mut gradients,
            moments: &mut self.moments,
            decays: self.config.decays,
            place: 0,
            places: Vec::new(),
            parameters: Vec::new(),
        };
        let model = model.map(&mut taken);
        let Take { places, parameters, .. } = taken;
        let (shapes, parameters): (Vec<_>, Vec<_>) = parameters.into_iter().unzip();
        let updated = elbo_kernels::adam_all(parameters, &step);
        let not_finite = places.iter().zip(&updated).find(|(_, updated)| !updated.finite).map(|(place, _)| *place);
        let mut weights = Vec::with_capacity(updated.len());
        for ((place, shape), Updated { weight, m, v, .. }) in places.into_iter().zip(shapes).zip(updated) {
            self.moments[place] = Some((m, v));
            weights.push((place, shape, weight));
        }
        let model = model.map(&mut PutBack { weights: weights.into_iter().peekable(), place: 0 });
        (model, Stepped { gradient_norm, not_finite })
    }
}

/// A walk that takes out the parameters that have a gradient, with all that their update needs.
///
/// They leave the model so that no second handle on a weight turns its update in place into a copy.
struct Take<'a> {
    gradients: &'a mut GradientsParams,
    moments: &'a mut Vec<AdamMoments>,
    decays: Decays,
    /// Of the parameter that comes next, in visiting order.
    place: usize,
    places: Vec<usize>,
    /// Each with its shape.
    parameters: Vec<(Vec<usize>, Parameter)>,
}

impl ModuleMapper for Take<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let place = self.place;
        self.place += 1;
        if self.moments.len() <= place {
            self.moments.push(None);
        }
        let (id, weight, mapper) = param.consume();
        let Some(gradient) = self.gradients.remove::<D>(id) else {
            return Param::from_mapped_value(id, weight, mapper);
        };
        // Dropping the graph's handle leaves this one alone with the storage.
        let weight = weight.inner();
        let (dims, device) = (weight.dims(), weight.device());
        let count = dims.iter().product::<usize>();
        let zeros = || Tensor::<1>::zeros([count], &device);
        let (m, v) = self.moments[place].take().unwrap_or_else(|| (zeros(), zeros()));
        let [weight, gradient] = [weight, gradient].map(|tensor| tensor.reshape([count]));
        self.places.push(place);
        let decays = self.decays == Decays::All || D > 1;
        self.parameters.push((dims.to_vec(), Parameter { weight, gradient, m, v, decays }));
        Param::from_mapped_value(id, Tensor::from_inner(Tensor::zeros([1; D], &device)), mapper)
    }
}

/// A walk that drops the gradients of parameters that belong to other optimisers.
struct Drop<'a> {
    gradients: &'a mut GradientsParams,
    moves: &'a [bool],
    place: usize,
}

impl ModuleVisitor for Drop<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !self.moves[self.place] {
            self.gradients.remove::<D>(param.id);
        }
        self.place += 1;
    }
}

/// A walk that puts updated weights where [`Take`] found them: place, shape and weight, in order.
struct PutBack {
    weights: Peekable<IntoIter<(usize, Vec<usize>, Tensor<1>)>>,
    place: usize,
}

impl ModuleMapper for PutBack {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let place = self.place;
        self.place += 1;
        let Some((_, shape, weight)) = self.weights.next_if(|(next, ..)| *next == place) else { return param };
        let (id, _, mapper) = param.consume();
        let shape: [usize; D] = shape.try_into().expect("the shape it was taken with");
        Param::from_mapped_value(id, Tensor::from_inner(weight.reshape(shape)).require_grad(), mapper)
    }
}

/// Root of the sum of squares over all gradients.
fn global_norm<M: Module>(model: &M, gradients: &GradientsParams) -> f64 {
    struct Norm<'a> {
        gradients: &'a GradientsParams,
        sum: f64,
    }
    impl ModuleVisitor for Norm<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.gradients.get::<D>(param.id) {
                let count = gradient.dims().iter().product::<usize>();
                self.sum += elbo_kernels::sum_of_squares(gradient.reshape([count]));
            }
        }
    }
    let mut norm = Norm { gradients, sum: 0.0 };
    model.visit(&mut norm);
    norm.sum.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks::{Activation, Linear};
    use crate::random::{Draws, Purpose};
    use crate::tensors::values_of;

    /// Weights and biases after a step of AdamW at rate 0.1 without a gradient's pull on the first column.
    fn after_a_step(decays: Decays) -> [Vec<f32>; 2] {
        let device = crate::device::choose("cpu").unwrap().autodiff();
        let layer = Linear::init(3, 2, &mut Draws::new(0, Purpose::Weights, 0, 0), &device);
        let config = OptimizerConfig { kind: OptimizerKind::AdamW, weight_decay: 0.5, decays, ..Default::default() };
        let loss = layer.forward(Tensor::ones([1, 3], &device), Activation::None).square().sum();
        let gradients = GradientsParams::from_module(&mut loss.backward(), &layer);
        let (layer, _) = Optimizer::new(config).step(layer, gradients, 0.1);
        [values_of(layer.weight.val()), values_of(layer.bias.val())]
    }

    #[test]
    fn decay_of_matrices_leaves_biases_alone() {
        let device = crate::device::choose("cpu").unwrap();
        let before = Linear::init(3, 2, &mut Draws::new(0, Purpose::Weights, 0, 0), &device);
        let [all, matrices] = [Decays::All, Decays::Matrices].map(after_a_step);
        assert_eq!(all[0], matrices[0], "weights decay either way");
        for (i, bias) in values_of(before.bias.val()).into_iter().enumerate() {
            // Decay at rate 0.1 takes 0.1 * 0.5 of what there was.
            assert!((matrices[1][i] - all[1][i] - 0.05 * bias).abs() < 1e-6, "bias {i}");
            assert!(bias.abs() > 1e-3, "a bias that decay would move");
        }
    }
}
