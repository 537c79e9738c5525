//! N(0, I): the prior of a VAE.

use burn::tensor::{Device, Tensor, TensorData};

use super::{Ask, Generate, Generating};
use crate::error::Result;
use crate::space::{Rows, Space};

/// N(0, I) over a vector code.
///
/// ```
/// use elbo::models::{Ask, Generate, StandardNormal};
/// use elbo::space::Space;
///
/// let prior: &dyn Generate = &StandardNormal([Space::vector(3)]);
/// let rows = prior.generate(&Ask::new(5, 0))?;
/// assert_eq!(rows[0].real().dims(), [5, 3]);
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct StandardNormal(
    /// The space of its rows.
    pub [Space; 1],
);

impl Generate for StandardNormal {
    fn spaces(&self) -> &[Space] {
        &self.0
    }

    fn begin<'a>(&'a self, ask: &Ask) -> Result<Box<dyn Generating + 'a>> {
        let width = self.0[0].numel();
        let draws = TensorData::new(ask.normals(width, 0), [ask.count, width]);
        Ok(Box::new(Drawn(Tensor::from_data(draws, &Device::default()))))
    }
}

/// Rows that were drawn in one step.
struct Drawn(Tensor<2>);

impl Generating for Drawn {
    fn step(&mut self) -> (usize, usize) {
        (1, 1)
    }

    fn finish(self: Box<Self>) -> Vec<Rows> {
        vec![Rows::Real(self.0)]
    }
}
