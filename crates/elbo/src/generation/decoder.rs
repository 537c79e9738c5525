//! A decoder with all that a picture of a code needs.

use burn::tensor::{Device, Tensor, TensorData};

use super::pictures::{Pictures, ShowAs};
use crate::data::batch::Given;
use crate::data::source::ImageShape;
use crate::error::Result;
use crate::models::{Decode, Model, Show};
use crate::random::{Draws, Purpose};
use crate::tensors::values_of;

/// Codes that are decoded at once.
const TOGETHER: usize = 512;

/// A decoder of one vector code, with the device to compute on and, for a conditional model, the class to decode.
///
/// ```
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::{Architecture, Vae};
/// # use elbo::networks::NetworkConfig;
/// # let (device, network) = (elbo::device::choose("cpu")?, NetworkConfig::default());
/// # let vae = Vae::init(&Architecture::new([1, 28, 28], 2, &network, Likelihood::Bernoulli), 0, &device);
/// use elbo::generation::CodeDecoder;
///
/// let decoder = CodeDecoder::of(&vae, &device)?;
/// assert_eq!((decoder.latent(), decoder.means(&[0.0, 0.0, 1.5, -0.5]).len()), (2, 2 * 784));
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct CodeDecoder<'a> {
    decoder: &'a dyn Decode,
    latent: usize,
    class: Option<u32>,
    device: &'a Device,
}

impl<'a> CodeDecoder<'a> {
    /// That of a model. A conditional model decodes its first class until [`CodeDecoder::of_class`] says otherwise.
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`] for a model that does not decode one code of real numbers.
    pub fn of(model: &'a dyn Model, device: &'a Device) -> Result<Self> {
        let decoder = model.decode_vectors_or_refuse()?;
        let class = model.needs().class.then_some(0);
        Ok(Self { decoder, latent: decoder.codes()[0].numel(), class, device })
    }

    /// The same for another class; a model that needs none ignores it.
    #[must_use]
    pub fn of_class(self, class: u32) -> Self {
        Self { class: self.class.map(|_| class), ..self }
    }

    /// Dimensions of the code.
    pub fn latent(&self) -> usize {
        self.latent
    }

    /// Shape of what is decoded.
    pub fn shape(&self) -> ImageShape {
        let [channels, height, width] = self.decoder.space().shape;
        ImageShape { channels, height, width }
    }

    /// Whether it decodes one class at a time.
    pub fn is_conditional(&self) -> bool {
        self.class.is_some()
    }

    /// E[x|z] of codes. `[n, numel]`.
    ///
    /// # Shapes
    /// - `codes`: `[n, latent]`, row after row
    ///
    /// # Panics
    /// If `codes` is not a whole number of codes.
    pub fn means(&self, codes: &[f32]) -> Vec<f32> {
        self.shown(codes, &[], ShowAs::Mean).expect("a mean is always there")
    }

    /// The same with a class for each code.
    ///
    /// # Panics
    /// As [`CodeDecoder::means`], and if there is not a class for each code.
    pub fn means_of_classes(&self, codes: &[f32], classes: &[u32]) -> Vec<f32> {
        assert_eq!(classes.len() * self.latent, codes.len(), "a class for each code");
        self.shown(codes, classes, ShowAs::Mean).expect("a mean is always there")
    }

    /// Means or draws as pictures; `classes` holds one for each code, or none for the decoder's own.
    ///
    /// # Errors
    /// As [`Likelihood::sample`](crate::distributions::Likelihood::sample): nothing can be drawn from squared errors or a surrogate.
    ///
    /// # Panics
    /// As [`CodeDecoder::means`].
    pub(super) fn shown(&self, codes: &[f32], classes: &[u32], show: ShowAs) -> Result<Vec<f32>> {
        assert!(codes.len().is_multiple_of(self.latent), "{} values are no whole number of codes", codes.len());
        let mut values = Vec::with_capacity(codes.len() / self.latent * self.shape().numel());
        for (chunk, rows) in codes.chunks(TOGETHER * self.latent).enumerate() {
            let n = rows.len() / self.latent;
            let z = Tensor::<2>::from_data(TensorData::new(rows.to_vec(), [n, self.latent]), self.device);
            let given = self.given(classes, chunk * TOGETHER, n);
            let decoded = match show {
                ShowAs::Mean => self.decoder.decode(&[z.into()], &given, Show::Mean),
                ShowAs::Draw { seed } => {
                    let draws = &mut Draws::new(seed, Purpose::Likelihood, 0, chunk as u64);
                    self.decoder.decode(&[z.into()], &given, Show::Draw(draws))
                }
            };
            values.extend(values_of(decoded?.real()));
        }
        Ok(values)
    }

    fn given(&self, classes: &[u32], first: usize, n: usize) -> Given {
        match self.class {
            None => Given::default(),
            Some(_) if !classes.is_empty() => Given::of_classes(&classes[first..first + n], self.device),
            Some(class) => Given::of_class(class, n, self.device),
        }
    }

    pub(super) fn pictures(&self, pixels: Vec<f32>) -> Pictures {
        Pictures { shape: self.shape(), pixels }
    }
}
