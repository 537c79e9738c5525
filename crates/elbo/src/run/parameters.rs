//! Names and values of a module's parameters: the bridge between Burn's modules and safetensors files.
//!
//! A parameter's name is its path through the module, dots between, exactly what PyTorch calls it when the Python module has
//! the same fields: `encoder.layers.0.weight`. Enum variants do not appear in names.
//!
//! ```
//! use elbo::distributions::Likelihood;
//! use elbo::models::{Architecture, Vae};
//! use elbo::networks::NetworkConfig;
//! use elbo::run::parameters;
//!
//! let (network, device) = (NetworkConfig::default(), elbo::device::choose("cpu")?);
//! let model = Vae::init(&Architecture::new([1, 28, 28], 2, &network, Likelihood::Bernoulli), 0, &device);
//! let names: Vec<String> = parameters::shapes(&model).into_iter().map(|(name, _)| name).collect();
//! assert_eq!(names[2..4], ["mean.weight", "mean.bias"]);
//! # Ok::<(), elbo::Error>(())
//! ```

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};

use super::weights::NamedTensor;
use crate::tensors::values_of;

/// The path to the parameter being visited.
#[derive(Default)]
struct Path(Vec<String>);

impl Path {
    fn enter(&mut self, name: &str, container: &str) {
        if !container.starts_with("Enum:") {
            self.0.push(name.to_owned());
        }
    }

    fn exit(&mut self, container: &str) {
        if !container.starts_with("Enum:") {
            self.0.pop();
        }
    }
}

/// Name and shape of every parameter, in visiting order.
pub fn shapes<M: Module>(module: &M) -> Vec<(String, Vec<usize>)> {
    struct Shapes(Path, Vec<(String, Vec<usize>)>);
    impl ModuleVisitor for Shapes {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.0.enter(name, container);
        }
        fn exit_module(&mut self, _: &str, container: &str) {
            self.0.exit(container);
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.1.push((self.0.0.join("."), param.lazy_shape().to_vec()));
        }
    }
    let mut shapes = Shapes(Path::default(), Vec::new());
    module.visit(&mut shapes);
    shapes.1
}

/// Every parameter with its values, in visiting order.
pub fn export<M: Module>(module: &M) -> Vec<NamedTensor> {
    struct Export(Path, Vec<NamedTensor>);
    impl ModuleVisitor for Export {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.0.enter(name, container);
        }
        fn exit_module(&mut self, _: &str, container: &str) {
            self.0.exit(container);
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let tensor = param.val();
            self.1.push(NamedTensor {
                name: self.0.0.join("."),
                shape: tensor.dims().to_vec(),
                values: values_of(tensor),
            });
        }
    }
    let mut export = Export(Path::default(), Vec::new());
    module.visit(&mut export);
    export.1
}

/// Replaces every parameter by the tensor of the same place.
///
/// # Panics
/// If the tensors are not those of [`shapes`], in that order; [`super::weights::check`] makes sure of it.
pub fn import<M: Module>(module: M, tensors: Vec<NamedTensor>) -> M {
    struct Import(std::vec::IntoIter<NamedTensor>);
    impl ModuleMapper for Import {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let tensor = self.0.next().expect("one tensor for each parameter");
            param.map(|old| {
                assert_eq!(old.dims().as_slice(), tensor.shape, "shape of `{}`", tensor.name);
                let data = TensorData::new(tensor.values, tensor.shape);
                let value = Tensor::from_data(data, &old.device());
                value.set_require_grad(old.is_require_grad())
            })
        }
    }
    let mut import = Import(tensors.into_iter());
    let module = module.map(&mut import);
    assert!(import.0.next().is_none(), "no tensor left over");
    module
}
