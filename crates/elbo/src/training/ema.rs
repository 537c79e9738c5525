//! A moving average of all weights (Polyak & Juditsky 1992): steadier than the weights themselves, and what users of the model get.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

/// A second set of weights that follows the first: `average = d average + (1 - d) weight`, with `d = min(decay, (1 + t) / (10 + t))` at step `t`, so
/// that the random start is soon forgotten. Buffers, which are averages already, are copied.
///
/// ```
/// use burn::module::Module;
/// use elbo::networks::Linear;
/// use elbo::random::{Draws, Purpose};
/// use elbo::training::Ema;
///
/// let device = elbo::device::choose("cpu")?.autodiff();
/// let mut layer = |i| Linear::init(3, 1, &mut Draws::new(i, Purpose::Weights, 0, 0), &device);
/// let mut ema = Ema::of(&layer(0));
/// ema.follow(&layer(1), 1, 0.999);
/// assert_eq!(ema.model().weight.dims(), [1, 3]);
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Ema<M> {
    model: M,
}

impl<M: Module> Ema<M> {
    /// An average that starts at the model's weights.
    pub fn of(model: &M) -> Self {
        Self { model: model.valid() }
    }

    /// An average taken up again.
    pub(super) fn restored(model: M) -> Self {
        Self { model }
    }

    /// The average, without gradients.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// Follows the weights after step `step`, counted from 1.
    pub fn follow(&mut self, model: &M, step: usize, decay: f64) {
        let warm = (1.0 + step as f64) / (10.0 + step as f64);
        let mut follow = Follow { decay: decay.min(warm), newest: Newest::default() };
        model.visit(&mut follow.newest);
        self.model = self.model.clone().map(&mut follow);
    }
}

/// The newest values, flattened, and whether they are weights.
#[derive(Default)]
struct Newest(HashMap<ParamId, (Tensor<1>, bool)>);

impl ModuleVisitor for Newest {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let (is_weight, count) = (value.is_require_grad(), value.dims().iter().product::<usize>());
        self.0.insert(param.id, (value.without_autodiff().reshape([count]), is_weight));
    }
}

struct Follow {
    decay: f64,
    newest: Newest,
}

impl ModuleMapper for Follow {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some((new, is_weight)) = self.newest.0.remove(&param.id) else { return param };
        let (id, old, mapper) = param.consume();
        let new = new.reshape(old.dims());
        let value = if is_weight { old * self.decay + new * (1.0 - self.decay) } else { new };
        Param::from_mapped_value(id, value, mapper)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::networks::Buffer;
    use crate::tensors::values_of;

    #[derive(Module, Debug)]
    struct Both {
        weight: Param<Tensor<1>>,
        buffer: Buffer<1>,
    }

    #[test]
    fn weights_are_averaged_and_buffers_copied() {
        let device = Device::default().autodiff();
        let both =
            Both { weight: Param::from_data([1.0], &device), buffer: Buffer::new(Tensor::from_data([1.0], &device)) };
        let mut ema = Ema::of(&both);
        struct Double;
        impl ModuleMapper for Double {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                param.map(|value| {
                    let is_weight = value.is_require_grad();
                    Tensor::from_inner(value.without_autodiff() * 2.0).set_require_grad(is_weight)
                })
            }
        }
        let doubled = both.map(&mut Double);
        ema.follow(&doubled, 1_000_000, 0.75);
        assert_eq!((values_of(ema.model.weight.val()), values_of(ema.model.buffer.val())), (vec![1.25], vec![2.0]));
        ema.follow(&doubled, 1, 0.75); // (1 + 1) / (10 + 1)
        let expected = 1.25 * 2.0 / 11.0 + 2.0 * 9.0 / 11.0;
        assert!((values_of(ema.model.weight.val())[0] - expected as f32).abs() < 1e-6);
    }
}
