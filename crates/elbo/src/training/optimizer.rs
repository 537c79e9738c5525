//! Adam and AdamW over all parameters of a module.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use elbo_kernels::AdamStep;

use super::config::{OptimizerConfig, OptimizerKind};

/// First and second moment of one parameter, flattened; none before its first gradient.
pub type Moments = Option<(Tensor<1>, Tensor<1>)>;

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
    time: u64,
    moments: Vec<Moments>,
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stepped {
    /// Global norm of the gradient before clipping; only known when clipping is on.
    pub gradient_norm: Option<f64>,
    /// Place, in visiting order, of the first parameter whose gradient was not finite. The weights are then of no use.
    pub not_finite: Option<usize>,
}

impl Optimizer {
    /// An optimiser before its first step.
    pub fn new(config: OptimizerConfig) -> Self {
        Self { config, time: 0, moments: Vec::new() }
    }

    /// An optimiser as it was after `time` steps, with the moments of each parameter in visiting order.
    pub fn restore(config: OptimizerConfig, time: u64, moments: Vec<Moments>) -> Self {
        Self { config, time, moments }
    }

    /// The moments of each parameter in visiting order; empty before the first step.
    pub fn moments(&self) -> &[Moments] {
        &self.moments
    }

    /// The learning rate before any schedule.
    pub fn lr(&self) -> f64 {
        self.config.lr
    }

    /// Steps taken.
    pub fn time(&self) -> u64 {
        self.time
    }

    /// Takes one step at learning rate `lr`.
    ///
    /// With clipping on, gradients are first scaled so that their global norm is at most `clip_norm`, with PyTorch's
    /// `clip_norm / (norm + 1e-6)`.
    pub fn step<M: Module>(&mut self, model: M, mut gradients: GradientsParams, lr: f64) -> (M, Stepped) {
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
        let mut pass = Pass { step, gradients: &mut gradients, moments: &mut self.moments, place: 0, not_finite: None };
        let model = model.map(&mut pass);
        (model, Stepped { gradient_norm, not_finite: pass.not_finite })
    }
}

/// One walk over the parameters.
struct Pass<'a> {
    step: AdamStep,
    gradients: &'a mut GradientsParams,
    moments: &'a mut Vec<Moments>,
    place: usize,
    not_finite: Option<usize>,
}

impl ModuleMapper for Pass<'_> {
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
        // Dropping the graph's handle leaves this one alone with the storage, so the update is in place.
        let weight = weight.inner();
        let dims = weight.dims();
        let count = dims.iter().product::<usize>();
        let zeros = || Tensor::<1>::zeros([count], &weight.device());
        let (m, v) = self.moments[place].take().unwrap_or_else(|| (zeros(), zeros()));
        let updated = elbo_kernels::adam(weight.reshape([count]), gradient.reshape([count]), m, v, &self.step);
        if !updated.finite {
            self.not_finite.get_or_insert(place);
        }
        self.moments[place] = Some((updated.m, updated.v));
        Param::from_mapped_value(id, Tensor::from_inner(updated.weight.reshape(dims)).require_grad(), mapper)
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
