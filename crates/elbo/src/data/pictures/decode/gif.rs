//! GIF: the first frame on white. Its pixels stay places of the palette until they are on the canvas, which so is the only large buffer.

use std::io::Cursor;

use gif::{ColorOutput, DecodeOptions, Decoder, DecodingError, MemoryLimit};

use super::Fault;
use super::raster::Raster;
use crate::data::pictures::{MAX_DECODED_BYTES, Size};

fn open(bytes: &[u8]) -> Result<Decoder<Cursor<&[u8]>>, Fault> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    let most = std::num::NonZeroU64::new(MAX_DECODED_BYTES).expect("some bytes");
    options.set_memory_limit(MemoryLimit::Bytes(most));
    options.read_info(Cursor::new(bytes)).map_err(|error| unreadable(&error))
}

fn unreadable(error: &DecodingError) -> Fault {
    Fault::new("a whole GIF file", error.to_string())
}

/// Of the canvas.
pub(super) fn size(bytes: &[u8]) -> Result<Size, Fault> {
    let decoder = open(bytes)?;
    Ok(Size { height: decoder.height().into(), width: decoder.width().into() })
}

pub(super) fn first_frame(bytes: &[u8], size: Size) -> Result<Raster, Fault> {
    let mut decoder = open(bytes)?;
    let global = decoder.global_palette().map(<[u8]>::to_vec);
    let frame = decoder.read_next_frame().map_err(|error| unreadable(&error))?;
    let frame = frame.ok_or_else(|| Fault::new("a GIF file with a picture", "none in it"))?;
    let palette = frame.palette.as_ref().or(global.as_ref());
    let palette = palette.ok_or_else(|| Fault::new("a GIF file with a palette", "none"))?;
    let mut raster = Raster::empty(size, 3, false);
    raster.data.bytes_mut().fill(255);
    let (across, canvas) = (usize::from(frame.width), size.width as usize);
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let inside = across.min(canvas.saturating_sub(left));
    let rows = frame.buffer.chunks_exact(across.max(1)).take((size.height as usize).saturating_sub(top));
    for (row, places) in rows.enumerate() {
        let start = ((top + row) * canvas + left) * 3;
        let line = &mut raster.data.bytes_mut()[start..start + inside * 3];
        for (pixel, &place) in line.chunks_exact_mut(3).zip(places) {
            if Some(place) == frame.transparent {
                continue;
            }
            let colour = palette.get(3 * usize::from(place)..3 * usize::from(place) + 3);
            let missing = || Fault::new("colours of the palette", format!("place {place} beyond its end"));
            pixel.copy_from_slice(colour.ok_or_else(missing)?);
        }
    }
    Ok(raster)
}
