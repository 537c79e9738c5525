//! A tensor of a network that batches move and gradients do not.

use burn::module::{Content, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Tensor};

/// A tensor with a name and an id, never with a gradient: a running statistic, a moving average, a codebook.
///
/// It is visited as parameters are, so files hold it under its path through the module. A clone is a value of its own: what one model sees
/// does not reach another, unlike with Burn's `RunningState`. A forward pass never writes it; it stages a new value with
/// [`Pass::see`](super::Pass::see), which the trainer puts in place after the step.
///
/// ```
/// use burn::tensor::Tensor;
/// use elbo::networks::Buffer;
///
/// let device = elbo::device::choose("cpu")?;
/// let mean = Buffer::new(Tensor::<1>::zeros([3], &device));
/// assert_eq!(mean.val().dims(), [3]);
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Buffer<const D: usize> {
    id: ParamId,
    value: Tensor<D>,
}

impl<const D: usize> Buffer<D> {
    /// A buffer that starts at `value`.
    pub fn new(value: Tensor<D>) -> Self {
        Self { id: ParamId::new(), value }
    }

    /// The value it holds.
    pub fn val(&self) -> Tensor<D> {
        self.value.clone()
    }

    /// The same buffer with another value of the same shape.
    ///
    /// # Panics
    /// If the shape is another.
    #[must_use]
    pub fn holding(self, value: Tensor<D>) -> Self {
        assert_eq!(value.dims(), self.value.dims(), "a buffer keeps its shape");
        Self { value, ..self }
    }

    /// What the trainer knows it by.
    pub(crate) fn id(&self) -> ParamId {
        self.id
    }
}

impl<const D: usize> Module for Buffer<D> {
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        visitor.visit_float(&Param::initialized(self.id, self.value.clone()));
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        let (_, value, _) = mapper.map_float(Param::initialized(self.id, self.value)).consume();
        // A mapper may transform the value, but a buffer never asks for a gradient.
        Self { id: self.id, value: value.set_require_grad(false) }
    }

    fn to_device(self, device: &Device) -> Self {
        Self { value: self.value.to_device(device), ..self }
    }

    fn fork(self, device: &Device) -> Self {
        self.to_device(device)
    }

    fn collect_devices(&self, mut devices: Vec<Device>) -> Vec<Device> {
        let device = self.value.device();
        if !devices.contains(&device) {
            devices.push(device);
        }
        devices
    }

    fn materialize(self) -> Self {
        self
    }

    fn valid(&self) -> Self {
        Self { id: self.id, value: self.value.clone().without_autodiff() }
    }

    fn train(self) -> Self {
        let value = if self.value.device().is_autodiff() { self.value } else { Tensor::from_inner(self.value) };
        Self { value, ..self }
    }
}

impl<const D: usize> std::fmt::Display for Buffer<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer(id={})", self.id)
    }
}

impl<const D: usize> ModuleDisplayDefault for Buffer<D> {
    fn content(&self, content: Content) -> Option<Content> {
        content.add_formatted(&"Buffer".to_string()).optional()
    }
}

impl<const D: usize> ModuleDisplay for Buffer<D> {}
