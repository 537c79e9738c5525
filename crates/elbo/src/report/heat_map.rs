//! Values of a coarse map laid over a picture: which part of it is strange, or where many codes are used.
//!
//! Every picture keeps its own greys below the heat, at half their brightness, so that one sees what is meant. The heat
//! goes from nothing to orange on a scale that the caller sets, and that several pictures share.

use crate::data::source::ImageShape;

/// The colour of the highest value.
const HOT: [f32; 3] = [1.0, 0.55, 0.12];
/// How much of the picture shows through where there is no heat, and how much of it the highest value covers.
const BRIGHTNESS: f32 = 0.6;
const COVER: f32 = 0.85;

/// A picture in RGB under the heat of a map of `rows x columns` values, `most` of which are hottest.
///
/// Each value covers the pixels that its place of the map stands for. Values below 0 are cold, those above `most` as hot
/// as it.
///
/// # Shapes
/// - `pixels`: `[channels, height, width]` of `shape`, values in [0, 1]
/// - `values`: `[rows, columns]`
/// - returns: `[3, height, width]`
///
/// # Panics
/// If the lengths are others, or the map is empty.
///
/// ```
/// use elbo::data::ImageShape;
/// use elbo::report::heat_map::heated;
///
/// let shape = ImageShape { channels: 1, height: 2, width: 4 };
/// let rgb = heated(&[0.0; 8], shape, &[0.0, 3.0], [1, 2], 3.0);
/// assert_eq!((rgb.len(), rgb[0], rgb[3] > 0.5), (24, 0.0, true)); // the right half is hot
/// ```
pub fn heated(pixels: &[f32], shape: ImageShape, values: &[f32], [rows, columns]: [usize; 2], most: f32) -> Vec<f32> {
    let ImageShape { channels, height, width } = shape;
    assert_eq!((pixels.len(), values.len()), (shape.numel(), rows * columns), "a picture and a map of their sizes");
    let plane = height * width;
    let mut rgb = Vec::with_capacity(3 * plane);
    for (colour, hot) in HOT.into_iter().enumerate() {
        // Of pictures with other channels than colours the first is shown.
        let channel = if channels == 3 { colour } else { 0 };
        for (i, pixel) in pixels[channel * plane..][..plane].iter().enumerate() {
            let (row, column) = (i / width * rows / height, i % width * columns / width);
            let heat = COVER * (values[row * columns + column] / most.max(f32::MIN_POSITIVE)).clamp(0.0, 1.0);
            rgb.push((1.0 - heat) * BRIGHTNESS * pixel.clamp(0.0, 1.0) + heat * hot);
        }
    }
    rgb
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_lies_where_its_place_is_and_pictures_show_through() {
        let shape = ImageShape { channels: 1, height: 4, width: 4 };
        let pixels: Vec<f32> = (0..16).map(|i| if i == 0 { 1.0 } else { 0.0 }).collect();
        let rgb = heated(&pixels, shape, &[0.0, 0.0, 0.0, 2.0], [2, 2], 2.0);
        assert_eq!((rgb[0], rgb[1], rgb[16], rgb[32]), (BRIGHTNESS, 0.0, BRIGHTNESS, BRIGHTNESS), "grey without heat");
        let hot: Vec<usize> = (0..16).filter(|&i| rgb[i] > 0.5 && i != 0).collect();
        assert_eq!(hot, [10, 11, 14, 15], "the last quarter");
        assert!((rgb[10] - COVER * HOT[0]).abs() < 1e-6 && rgb[10 + 32] < rgb[10 + 16]);
    }

    #[test]
    fn what_is_beyond_the_scale_is_its_end() {
        let shape = ImageShape { channels: 3, height: 1, width: 2 };
        let pixels = [0.0, 0.2, 0.0, 0.4, 0.0, 0.6];
        let rgb = heated(&pixels, shape, &[9.0, -9.0], [1, 2], 1.0);
        assert!((rgb[0] - COVER * HOT[0]).abs() < 1e-6);
        assert!((rgb[1] - 0.2 * BRIGHTNESS).abs() < 1e-6 && (rgb[5] - 0.6 * BRIGHTNESS).abs() < 1e-6, "its colours");
        // A map without any heat is none.
        assert!(heated(&pixels, shape, &[0.0, 0.0], [1, 2], 0.0).iter().all(|value| value.is_finite()));
    }
}
