//! Pictures of codes that are symbols.

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::pictures::{Pictures, ShowAs};
use crate::data::batch::Given;
use crate::data::source::ImageShape;
use crate::error::Result;
use crate::models::{Ask, Generate, Model, Show};
use crate::random::{Draws, Purpose};
use crate::space::{Rows, Space};
use crate::tensors::values_of;

/// Codes that are decoded at once.
const TOGETHER: usize = 256;

/// Draws rows of symbols; `progress` hears of steps done and of how many, and ends it by saying no.
///
/// # Shapes
/// - returns: `[count, numel]`, channel first; none where progress said no
///
/// # Errors
/// As [`Generate::begin`].
pub fn draw_symbols(
    generator: &dyn Generate,
    ask: &Ask,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Option<Vec<u16>>> {
    let mut generating = generator.begin(ask)?;
    loop {
        let (done, of) = generating.step();
        if done >= of {
            break;
        }
        if !progress(done, of) {
            return Ok(None);
        }
    }
    Ok(Some(Rows::joined_symbols(&generating.finish())))
}

/// Decodes rows of symbols.
///
/// # Shapes
/// - `symbols`: `[n, numel]` of the model's space of codes
///
/// # Errors
/// [`crate::Error::Unsupported`] for a model that does not decode, and as
/// [`Likelihood::sample`](crate::distributions::Likelihood::sample).
///
/// # Panics
/// If `symbols` is no whole number of rows, or a symbol is beyond the codebook.
pub fn decode_symbols(model: &dyn Model, symbols: &[u16], show: ShowAs, device: &Device) -> Result<Pictures> {
    let decoder = model.decode_or_refuse()?;
    let width = Space::joined(decoder.codes()).numel();
    assert!(symbols.len().is_multiple_of(width), "{} symbols are no whole number of rows", symbols.len());
    let [channels, height, columns] = model.space().shape;
    let mut pixels = Vec::new();
    for (chunk, rows) in symbols.chunks(TOGETHER * width).enumerate() {
        let rows: Vec<i32> = rows.iter().map(|&symbol| i32::from(symbol)).collect();
        let rows = TensorData::new(rows.clone(), [rows.len() / width, width]);
        let rows = Rows::parted(&Tensor::<2, Int>::from_data(rows, device), decoder.codes());
        let decoded = match show {
            ShowAs::Mean => decoder.decode(&rows, &Given::default(), Show::Mean),
            ShowAs::Draw { seed } => {
                let draws = &mut Draws::new(seed, Purpose::Likelihood, 0, chunk as u64);
                decoder.decode(&rows, &Given::default(), Show::Draw(draws))
            }
        };
        pixels.extend(values_of(decoded?.real()));
    }
    Ok(Pictures { shape: ImageShape { channels, height, width: columns }, pixels })
}
