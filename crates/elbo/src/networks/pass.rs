//! One pass through a network: whether it trains or judges, its random draws, and what it saw on the way.
//!
//! A forward pass changes no module. What batches move (statistics of batch norm, a learned scale, a codebook) is staged here and put in place by
//! [`Pass::absorbed`], once for each optimiser step.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::Buffer;
use crate::random::Draws;

/// What a pass is for.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum When {
    /// A training step: statistics are the batch's, schedules stand where training stands.
    Training {
        /// Epochs of training done, with the fraction of the one under way.
        epochs: f64,
    },
    /// Validation, evaluation, use: statistics are the running ones, schedules have run out.
    Judging,
}

/// One pass through a network: whether it trains or judges, its random draws, and what it saw on the way.
///
/// A forward pass changes no module. What batches move is staged here and put in place by [`Pass::absorbed`], once for each optimiser step.
///
/// ```
/// use elbo::networks::{Pass, When};
/// use elbo::random::{Draws, Purpose};
///
/// let device = elbo::device::choose("cpu")?;
/// let pass = Pass::new(When::Training { epochs: 2.5 }, Draws::new(0, Purpose::TrainingNoise, 3, 0));
/// assert!(pass.trains() && pass.normals([4, 2], &device).dims() == [4, 2]);
/// let still = Pass::still(); // every draw from N(0, 1) is 0: codes are the means of their posteriors
/// assert_eq!(still.normals([1, 1], &device).into_scalar::<f32>(), 0.0);
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug)]
pub struct Pass {
    when: When,
    moment: Moment,
    noise: RefCell<Noise>,
    seen: RefCell<Seen>,
}

/// Where a training step stands in its run.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Moment {
    /// Steps taken, this one included; 0 outside training.
    pub step: u64,
    /// Share of the run that is done, from 0 to 1.
    pub done: f64,
}

/// New values of buffers, flattened. The first pass through a layer counts: a model that decodes twice in a step has still seen one batch.
type Seen = HashMap<ParamId, Tensor<1>>;

/// Where draws come from.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one value for each step")]
enum Noise {
    Drawn(Draws),
    /// Given one after another, for comparisons with other implementations.
    Given(VecDeque<Tensor<2>>),
    Zero,
}

impl Pass {
    /// A pass with draws from a stream.
    pub fn new(when: When, draws: Draws) -> Self {
        Self::with(when, Noise::Drawn(draws))
    }

    /// A pass that judges with draws from a stream.
    pub fn judging(draws: Draws) -> Self {
        Self::new(When::Judging, draws)
    }

    /// A pass that judges and whose normal draws are all 0, for what is a function of the example alone.
    pub fn still() -> Self {
        Self::with(When::Judging, Noise::Zero)
    }

    /// A pass whose normal draws are given, in the order in which the model asks for them.
    pub fn given(when: When, normals: impl IntoIterator<Item = Tensor<2>>) -> Self {
        Self::with(when, Noise::Given(normals.into_iter().collect()))
    }

    fn with(when: When, noise: Noise) -> Self {
        Self { when, moment: Moment::default(), noise: RefCell::new(noise), seen: RefCell::default() }
    }

    /// The same at a moment of the run.
    #[must_use]
    pub fn at(self, moment: Moment) -> Self {
        Self { moment, ..self }
    }

    /// Where the step stands in its run.
    pub fn moment(&self) -> Moment {
        self.moment
    }

    /// What the pass is for.
    pub fn when(&self) -> When {
        self.when
    }

    /// Whether the pass belongs to a training step.
    pub fn trains(&self) -> bool {
        matches!(self.when, When::Training { .. })
    }

    /// Independent draws from N(0, 1), the next of the stream.
    ///
    /// # Shapes
    /// - returns: `dims`
    ///
    /// # Panics
    /// If draws were given and none, or none of this shape, is left.
    pub fn normals(&self, dims: [usize; 2], device: &Device) -> Tensor<2> {
        match &mut *self.noise.borrow_mut() {
            Noise::Drawn(draws) => Tensor::from_data(TensorData::new(draws.normals(dims[0] * dims[1]), dims), device),
            Noise::Given(given) => {
                let normals = given.pop_front().expect("as many draws given as the model asks for");
                assert_eq!(normals.dims(), dims, "shape of the draws given");
                normals
            }
            Noise::Zero => Tensor::zeros(dims, device),
        }
    }

    /// `n` whole numbers uniform in 0..`bound`: time steps, classes. All 0 where draws are none.
    ///
    /// # Shapes
    /// - returns: `[n]`
    ///
    /// # Panics
    /// If `bound` is 0, or draws were given.
    pub fn below(&self, n: usize, bound: u32, device: &Device) -> Tensor<1, Int> {
        let numbers: Vec<i32> = match &mut *self.noise.borrow_mut() {
            Noise::Drawn(draws) => (0..n).map(|_| draws.below(bound) as i32).collect(),
            Noise::Given(_) => panic!("only normal draws can be given"),
            Noise::Zero => vec![0; n],
        };
        Tensor::from_data(TensorData::new(numbers, [n]), device)
    }

    /// `count` different whole numbers of 0..`of`, in random order; the first ones where draws are none. At most `of` of them.
    ///
    /// # Panics
    /// If draws were given.
    pub fn distinct(&self, count: usize, of: usize) -> Vec<usize> {
        match &mut *self.noise.borrow_mut() {
            Noise::Drawn(draws) => {
                draws.permutation(of as u32).into_iter().take(count).map(|place| place as usize).collect()
            }
            Noise::Given(_) => panic!("only normal draws can be given"),
            Noise::Zero => (0..count.min(of)).collect(),
        }
    }

    /// Inverted dropout (Srivastava et al. 2014): each value 0 with probability `rate`, else multiplied by `1 / (1 - rate)`. Nothing happens while
    /// judging, at a rate of 0, and where draws are given.
    pub fn dropped<const D: usize>(&self, x: Tensor<D>, rate: f64) -> Tensor<D> {
        if !self.trains() || rate == 0.0 {
            return x;
        }
        let Noise::Drawn(draws) = &mut *self.noise.borrow_mut() else { return x };
        let (dims, device) = (x.dims(), x.device());
        let mask = draws.kept(dims.iter().product(), rate);
        x * Tensor::from_data(TensorData::new(mask, dims), &device)
    }

    /// For each of `n` examples whether it falls to a draw of probability `rate`; none does while judging and where draws are given.
    pub fn struck(&self, n: usize, rate: f64) -> Vec<bool> {
        match &mut *self.noise.borrow_mut() {
            Noise::Drawn(draws) if self.trains() => (0..n).map(|_| draws.uniform() < rate).collect(),
            _ => vec![false; n],
        }
    }

    /// Stages a new value of a buffer. Nothing happens while judging, nor for a buffer that this pass has seen before.
    pub fn see<const D: usize>(&self, buffer: &Buffer<D>, new: impl FnOnce() -> Tensor<D>) {
        if self.trains() {
            let mut seen = self.seen.borrow_mut();
            seen.entry(buffer.id()).or_insert_with(|| {
                let new = new().without_autodiff();
                let count = new.dims().iter().product::<usize>();
                new.reshape([count])
            });
        }
    }

    /// The draws for the next pass of the same step, where they come from a stream.
    pub(crate) fn into_draws(self) -> (Option<Draws>, Absorb) {
        let draws = match self.noise.into_inner() {
            Noise::Drawn(draws) => Some(draws),
            Noise::Given(_) | Noise::Zero => None,
        };
        (draws, Absorb(self.seen.into_inner()))
    }

    /// `module` with its buffers at the values that this pass has staged.
    pub fn absorbed<M: Module>(self, module: M) -> M {
        self.into_draws().1.into(module)
    }
}

/// Staged values on their way into a module.
#[derive(Debug)]
pub(crate) struct Absorb(Seen);

impl Absorb {
    /// `module` with these values; untouched where nothing was staged.
    pub fn into<M: Module>(mut self, module: M) -> M {
        if self.0.is_empty() { module } else { module.map(&mut self) }
    }
}

impl ModuleMapper for Absorb {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(new) = self.0.remove(&param.id) else { return param };
        let (id, old, mapper) = param.consume();
        let new = new.reshape(old.dims());
        Param::from_mapped_value(id, if old.device().is_autodiff() { Tensor::from_inner(new) } else { new }, mapper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensors::values_of;

    fn buffer(value: f32) -> Buffer<1> {
        Buffer::new(Tensor::from_data([value], &Device::default()))
    }

    #[test]
    fn values_are_staged_and_the_first_of_a_step_counts() {
        let mean = buffer(1.0);
        let pass = Pass::given(When::Training { epochs: 0.0 }, []);
        pass.see(&mean, || mean.val() + 1.0);
        pass.see(&mean, || mean.val() + 7.0);
        assert_eq!(values_of(mean.val()), [1.0], "nothing moves inside the pass");
        let copy = mean.clone();
        let after = pass.absorbed(mean);
        assert_eq!((values_of(after.val()), values_of(copy.val())), (vec![2.0], vec![1.0]), "a clone is its own");
    }

    #[test]
    fn judging_stages_nothing() {
        let (mean, pass) = (buffer(1.0), Pass::still());
        pass.see(&mean, || unreachable!("no statistics are taken while judging"));
        assert_eq!(values_of(pass.absorbed(mean).val()), [1.0]);
    }
}
