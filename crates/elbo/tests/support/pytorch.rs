//! What every comparison with PyTorch needs: arrays, weights and gradients.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use elbo::run::parameters;
use elbo::run::weights::{self, NamedTensor, WeightFile};
use elbo::tensors::values_of;
use serde_json::Value;

use super::fixture::{count, list, numbers};

/// The shape of a stored array.
pub fn shape_of(array: &Value) -> Vec<usize> {
    list(&array["shape"]).iter().map(count).collect()
}

/// The values of a stored array.
pub fn floats(array: &Value) -> Vec<f32> {
    numbers(array).into_iter().map(|value| value as f32).collect()
}

/// A stored array of two axes.
pub fn matrix(array: &Value, device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(floats(array), shape_of(array)), device)
}

/// `model` with the weights of a case, taken in the way weight files are: checked by name and shape.
pub fn with_weights<M: Module>(model: M, case: &Value) -> M {
    let entries = case["weights"].as_object().expect("weights by name");
    let named = |(name, array): (&String, &Value)| {
        let (name, shape, values) = (name.clone(), shape_of(array), floats(array));
        NamedTensor { name, shape, values }
    };
    let mut tensors: Vec<_> = entries.iter().map(named).collect();
    let state = "observation.running_error";
    if parameters::shapes(&model).iter().any(|(name, _)| name == state) {
        // elbo's own, before its first batch.
        tensors.push(NamedTensor { name: state.into(), shape: vec![1], values: vec![0.0] });
    }
    let file = WeightFile { tensors, metadata: Default::default() };
    let tensors = weights::check(file, &parameters::shapes(&model), "case").expect("PyTorch's names and shapes");
    parameters::import(model, tensors)
}

/// The gradient of each parameter, in visiting order; none for a running average.
pub fn gradients_of<M: Module>(model: &M, loss: &Tensor<1>) -> Vec<Option<Vec<f32>>> {
    struct Collect(GradientsParams, Vec<Option<Vec<f32>>>);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.1.push(self.0.get::<D>(param.id).map(values_of));
        }
    }
    let mut collect = Collect(GradientsParams::from_grads(loss.backward(), model), Vec::new());
    model.visit(&mut collect);
    collect.1
}
