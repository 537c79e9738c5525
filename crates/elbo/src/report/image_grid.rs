//! Images tiled into one picture.
//!
//! Pixels come as the data set or the decoder gives them, `[n, channels, height, width]`, either `f32` in `[0, 1]` or
//! `u8`. The picture keeps one pixel per pixel unless asked to enlarge by a whole number, and enlarging repeats pixels,
//! so a 28x28 digit stays crisp. One channel gives a grey picture, three a coloured one; anything else is refused by
//! [`ImageBatch::new`], since there is no honest colour for it.
//!
//! ```
//! use elbo::report::image_grid::{GridLayout, ImageBatch, image_grid, png};
//!
//! let pixels = vec![128u8; 6 * 28 * 28]; // six grey images
//! let layout = GridLayout { columns: 3, padding: 2, ..Default::default() };
//! let picture = image_grid(ImageBatch::new(&pixels, 1, 28, 28)?, layout)?;
//! assert_eq!((picture.width(), picture.height()), (3 * 30 + 2, 2 * 30 + 2));
//! assert_eq!(&png(&picture)?[1..4], b"PNG");
//! # Ok::<(), elbo::Error>(())
//! ```

use std::io::Cursor;

pub use image::DynamicImage;
use image::{GrayImage, ImageFormat, RgbImage};

use crate::error::{Error, Result};

/// Pictures with more pixels than this are refused: no browser shows them and the number is surely a mistake.
const MOST_PIXELS: usize = 1 << 28;

/// A pixel that can be shown.
pub trait Pixel: Copy {
    /// Brightness, 0 to 255. Values outside the range are clamped; NaN is black.
    fn byte(self) -> u8;
}

impl Pixel for u8 {
    fn byte(self) -> u8 {
        self
    }
}

impl Pixel for f32 {
    fn byte(self) -> u8 {
        (self.clamp(0.0, 1.0) * 255.0).round() as u8
    }
}

/// Images of one size, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct ImageBatch<'a, P> {
    pixels: &'a [P],
    channels: usize,
    height: usize,
    width: usize,
}

impl<'a, P: Pixel> ImageBatch<'a, P> {
    /// Views `pixels` as `[n, channels, height, width]`, with `n` found by division.
    ///
    /// # Errors
    /// If there are neither one nor three channels, a side is zero, or `pixels` is not a whole number of images.
    pub fn new(pixels: &'a [P], channels: usize, height: usize, width: usize) -> Result<Self> {
        let size = channels.checked_mul(height).and_then(|size| size.checked_mul(width)).unwrap_or(0);
        if !matches!(channels, 1 | 3) || size == 0 || !pixels.len().is_multiple_of(size) {
            return Err(Error::config(
                "images",
                "whole images of 1 or 3 channels and at least one pixel",
                format!("{} values as [n, {channels}, {height}, {width}]", pixels.len()),
                "give the shape the data set declares; choose 1 or 3 of the channels to look at",
            ));
        }
        Ok(Self { pixels, channels, height, width })
    }

    /// How many images there are.
    pub fn len(&self) -> usize {
        self.pixels.len() / self.size()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.pixels.is_empty()
    }

    fn size(&self) -> usize {
        self.channels * self.height * self.width
    }

    fn image(&self, index: usize) -> &'a [P] {
        &self.pixels[index * self.size()..(index + 1) * self.size()]
    }

    fn same_shape(&self, other: &Self) -> bool {
        (self.channels, self.height, self.width) == (other.channels, other.height, other.width)
    }
}

/// How images are tiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GridLayout {
    /// Images per row. Zero means as many as make the picture about square.
    pub columns: usize,
    /// Pixels between images and around them, before enlarging.
    pub padding: usize,
    /// Brightness of the space between images.
    pub background: u8,
    /// Every pixel becomes a square of this side; zero counts as one.
    pub scale: usize,
}

impl Default for GridLayout {
    /// About square, two dark-grey pixels between images, not enlarged.
    fn default() -> Self {
        Self { columns: 0, padding: 2, background: 40, scale: 1 }
    }
}

/// Tiles the images row by row. No images give a picture of the padding alone.
///
/// # Errors
/// If the picture would have more than 2^28 pixels.
pub fn image_grid<P: Pixel>(images: ImageBatch<'_, P>, layout: GridLayout) -> Result<DynamicImage> {
    let cells: Vec<&[P]> = (0..images.len()).map(|index| images.image(index)).collect();
    tile(&cells, &images, columns(layout, cells.len()), layout)
}

/// Tiles row pairs: originals above, what became of them below. The longer of the two is cut.
///
/// # Errors
/// If the two have images of different shapes, or the picture would have more than 2^28 pixels.
pub fn side_by_side<P: Pixel>(
    originals: ImageBatch<'_, P>,
    reconstructions: ImageBatch<'_, P>,
    layout: GridLayout,
) -> Result<DynamicImage> {
    if !originals.same_shape(&reconstructions) {
        let shape = |batch: &ImageBatch<'_, P>| format!("[{}, {}, {}]", batch.channels, batch.height, batch.width);
        return Err(Error::config(
            "reconstructions",
            format!("images of shape {}", shape(&originals)),
            shape(&reconstructions),
            "reconstruct with the run that was trained on this data",
        ));
    }
    let count = originals.len().min(reconstructions.len());
    let columns = if layout.columns == 0 { count.clamp(1, 12) } else { layout.columns.min(count.max(1)) };
    let mut cells: Vec<&[P]> = Vec::with_capacity(2 * count.next_multiple_of(columns));
    for first in (0..count).step_by(columns) {
        for batch in [&originals, &reconstructions] {
            let row = (first..first + columns).map(|index| if index < count { batch.image(index) } else { &[] });
            cells.extend(row);
        }
    }
    tile(&cells, &originals, columns, layout)
}

/// PNG bytes of a picture. Equal pictures give equal bytes.
///
/// # Errors
/// If the encoder refuses the picture, which a picture made here does not cause.
pub fn png(picture: &DynamicImage) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).map_err(|error| {
        let size = format!("{} x {} pixels ({error})", picture.width(), picture.height());
        Error::config("picture", "a picture that can be written as PNG", size, "make the picture smaller")
    })?;
    Ok(bytes.into_inner())
}

/// Pictures of one size as a GIF that repeats, each shown for `milliseconds`; [`Animation`](super::animation::Animation) has more choices.
///
/// # Errors
/// As [`Animation::gif`](super::animation::Animation::gif).
///
/// ```
/// use elbo::report::image_grid::{GridLayout, ImageBatch, gif, image_grid};
///
/// let frame = |value| image_grid(ImageBatch::new(&[value; 4], 1, 2, 2)?, GridLayout::default());
/// let bytes = gif(&[frame(0u8)?, frame(255u8)?], 60)?;
/// assert_eq!(&bytes[..6], b"GIF89a");
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn gif(frames: &[DynamicImage], milliseconds: u32) -> Result<Vec<u8>> {
    super::animation::Animation { milliseconds: milliseconds.min(u16::MAX.into()) as u16, times: 0 }.gif(frames)
}

fn columns(layout: GridLayout, count: usize) -> usize {
    if layout.columns > 0 {
        return layout.columns.min(count.max(1));
    }
    (count as f64).sqrt().ceil().max(1.0) as usize
}

/// Draws the cells row by row; an empty cell stays background.
fn tile<P: Pixel>(
    cells: &[&[P]],
    shape: &ImageBatch<'_, P>,
    columns: usize,
    layout: GridLayout,
) -> Result<DynamicImage> {
    let scale = layout.scale.max(1);
    let across = side(columns, shape.width, layout.padding, scale);
    let down = side(cells.len().div_ceil(columns), shape.height, layout.padding, scale);
    let (across, down) = match (across, down) {
        (Some(across), Some(down)) if across.saturating_mul(down) <= MOST_PIXELS => (across, down),
        _ => return Err(too_large(cells.len(), shape.height, shape.width, scale)),
    };
    let mut canvas = vec![layout.background; across * down * shape.channels];
    for (index, cell) in cells.iter().enumerate().filter(|(_, cell)| !cell.is_empty()) {
        let left = (layout.padding + index % columns * (shape.width + layout.padding)) * scale;
        let top = (layout.padding + index / columns * (shape.height + layout.padding)) * scale;
        paint(&mut canvas, across, (left, top), cell, shape, scale);
    }
    Ok(picture(canvas, across as u32, down as u32, shape.channels))
}

/// Pixels along one side, at least one; `None` on overflow.
fn side(cells: usize, size: usize, padding: usize, scale: usize) -> Option<usize> {
    size.checked_add(padding)?.checked_mul(cells)?.checked_add(padding)?.max(1).checked_mul(scale)
}

fn paint<P: Pixel>(
    canvas: &mut [u8],
    across: usize,
    (left, top): (usize, usize),
    cell: &[P],
    shape: &ImageBatch<'_, P>,
    scale: usize,
) {
    let plane = shape.height * shape.width;
    for y in 0..shape.height * scale {
        let from = y / scale * shape.width;
        let start = ((top + y) * across + left) * shape.channels;
        let row = &mut canvas[start..start + shape.width * scale * shape.channels];
        for (x, pixel) in row.chunks_exact_mut(shape.channels).enumerate() {
            for (channel, value) in pixel.iter_mut().enumerate() {
                *value = cell[channel * plane + from + x / scale].byte();
            }
        }
    }
}

fn picture(canvas: Vec<u8>, across: u32, down: u32, channels: usize) -> DynamicImage {
    let expectation = "the canvas was allocated for this size";
    if channels == 1 {
        DynamicImage::ImageLuma8(GrayImage::from_raw(across, down, canvas).expect(expectation))
    } else {
        DynamicImage::ImageRgb8(RgbImage::from_raw(across, down, canvas).expect(expectation))
    }
}

fn too_large(count: usize, height: usize, width: usize, scale: usize) -> Error {
    Error::config(
        "images",
        format!("a picture of at most {MOST_PIXELS} pixels"),
        format!("{count} images of {height} x {width}, enlarged {scale} times"),
        "show fewer images or enlarge them less",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::GenericImageView;

    fn batch(pixels: &[f32]) -> ImageBatch<'_, f32> {
        ImageBatch::new(pixels, 1, 1, 2).expect("1 x 2 images")
    }

    fn grey(picture: &DynamicImage) -> Vec<u8> {
        picture.to_luma8().into_raw()
    }

    #[test]
    fn tiles_are_placed_row_by_row_with_padding() {
        let layout = GridLayout { columns: 2, padding: 1, background: 9, scale: 1 };
        let picture = image_grid(batch(&[0.0, 1.0, 0.5, 2.0, f32::NAN, -3.0]), layout).expect("a grid");
        assert_eq!(picture.dimensions(), (7, 5));
        let expected = [
            [9, 9, 9, 9, 9, 9, 9],
            [9, 0, 255, 9, 128, 255, 9],
            [9, 9, 9, 9, 9, 9, 9],
            [9, 0, 0, 9, 9, 9, 9],
            [9, 9, 9, 9, 9, 9, 9],
        ];
        assert_eq!(grey(&picture), expected.concat());
    }

    #[test]
    fn enlarging_repeats_pixels() {
        let layout = GridLayout { columns: 1, padding: 0, background: 0, scale: 3 };
        let picture = image_grid(batch(&[0.2, 0.4]), layout).expect("a grid");
        assert_eq!(grey(&picture), [[51, 51, 51, 102, 102, 102]; 3].concat());
    }

    #[test]
    fn colour_planes_become_interleaved() {
        let pixels: [u8; 6] = [1, 2, 3, 4, 5, 6];
        let images = ImageBatch::new(&pixels, 3, 1, 2).expect("one image");
        let picture = image_grid(images, GridLayout { padding: 0, ..GridLayout::default() }).expect("a grid");
        assert_eq!(picture.to_rgb8().into_raw(), [1, 3, 5, 2, 4, 6]);
    }

    #[test]
    fn originals_stand_above_reconstructions() {
        let layout = GridLayout { columns: 2, padding: 0, background: 7, scale: 1 };
        let before = [10, 11, 20, 21, 30, 31];
        let after = [12, 13, 22, 23, 32, 33];
        let view = |pixels| ImageBatch::new(pixels, 1, 1, 2).expect("1 x 2 images");
        let picture = side_by_side::<u8>(view(&before), view(&after), layout).expect("a grid");
        assert_eq!(grey(&picture), [[10, 11, 20, 21], [12, 13, 22, 23], [30, 31, 7, 7], [32, 33, 7, 7]].concat());
    }

    #[test]
    fn png_keeps_every_pixel_and_is_deterministic() {
        let picture = image_grid(batch(&[0.1, 0.9, 0.3, 0.6]), GridLayout::default()).expect("a grid");
        let bytes = png(&picture).expect("a PNG");
        assert_eq!(bytes, png(&picture).expect("a PNG"));
        assert_eq!(grey(&image::load_from_memory(&bytes).expect("decodes")), grey(&picture));
    }

    #[test]
    fn nothing_gives_a_small_picture() {
        for padding in [0, 2] {
            let layout = GridLayout { padding, ..GridLayout::default() };
            let picture = image_grid(batch(&[]), layout).expect("a grid");
            assert!(picture.width() > 0 && picture.height() > 0);
            assert!(side_by_side(batch(&[]), batch(&[]), layout).is_ok());
        }
    }

    #[test]
    fn wrong_shapes_are_refused() {
        let pixels = [0.0_f32; 8];
        let shapes = [(2, 1, 4), (1, 0, 4), (1, 3, 3), (0, 1, 1), (3, usize::MAX, 2), (4, 1, 2)];
        for (channels, height, width) in shapes {
            assert!(ImageBatch::new(&pixels, channels, height, width).is_err(), "[{channels}, {height}, {width}]");
        }
        let wide = ImageBatch::new(&pixels, 1, 1, 4).expect("1 x 4 images");
        let square = ImageBatch::new(&pixels, 1, 2, 2).expect("2 x 2 images");
        assert!(side_by_side(wide, square, GridLayout::default()).is_err());
    }

    #[test]
    fn pictures_too_large_for_memory_are_refused() {
        for scale in [1 << 20, usize::MAX] {
            let layout = GridLayout { scale, ..GridLayout::default() };
            assert!(image_grid(batch(&[0.0; 4]), layout).is_err());
        }
        let layout = GridLayout { padding: usize::MAX, ..GridLayout::default() };
        assert!(image_grid(batch(&[0.0; 4]), layout).is_err());
    }
}
