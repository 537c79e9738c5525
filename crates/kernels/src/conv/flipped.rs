//! Convolutions of stride 1 to a map of few channels, such as a last layer that mixes features into colours.
//!
//! Few map channels would leave most lanes of a vector empty. But a convolution of stride 1 is also the transposed convolution of the flipped
//! window, with map and image exchanged: what has few channels becomes the image, which [`super::few_channels`] and [`super::weight_gradient`] handle well.

use super::shape::ConvShape;

/// Maps with more channels fill vectors well enough.
const MOST_CHANNELS: usize = 8;

/// The exchanged shape, where exchanging pays.
pub(super) fn exchanged(shape: &ConvShape) -> Option<ConvShape> {
    let ConvShape { batch, image, map, kernel, stride, padding } = *shape;
    let thin = map.channels <= MOST_CHANNELS && map.channels < image.channels;
    let padding = [(kernel[0] - 1).checked_sub(padding[0])?, (kernel[1] - 1).checked_sub(padding[1])?];
    (thin && stride == [1, 1]).then_some(ConvShape { batch, image: map, map: image, kernel, stride, padding })
}

/// The weight or its gradient for the other shape: `[columns, channels, taps]` becomes `[channels, columns, taps reversed]`.
pub(super) fn exchange(weight: &[f32], [columns, channels, taps]: [usize; 3], out: &mut [f32]) {
    for (column, from) in weight.chunks_exact(channels * taps).enumerate() {
        for (channel, from) in from.chunks_exact(taps).enumerate() {
            let start = (channel * columns + column) * taps;
            out[start..start + taps].iter_mut().zip(from.iter().rev()).for_each(|(out, value)| *out = *value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::shape::{ConvGeometry, Extent};
    use super::*;

    #[test]
    fn exchanging_twice_changes_nothing() {
        let weight: Vec<f32> = (0..3 * 5 * 9).map(|v| v as f32).collect();
        let (mut once, mut twice) = (vec![0.0; weight.len()], vec![0.0; weight.len()]);
        exchange(&weight, [3, 5, 9], &mut once);
        exchange(&once, [5, 3, 9], &mut twice);
        assert!(once != weight && twice == weight);
    }

    #[test]
    fn sizes_of_the_exchanged_shape_fit_each_other() {
        for (kernel, padding, size) in
            [([3, 3], [1, 1], 7), ([3, 3], [0, 2], 5), ([5, 1], [2, 0], 9), ([1, 1], [0, 0], 4), ([4, 2], [1, 1], 6)]
        {
            let geometry = ConvGeometry { stride: 1, padding };
            let extent = |[height, width]: [usize; 2], channels| Extent { height, width, channels };
            let (image, map) = (extent([size; 2], 20), extent(geometry.output_size([size; 2], kernel).unwrap(), 3));
            let shape = ConvShape { batch: 1, image, map, kernel, stride: [1; 2], padding };
            let other = exchanged(&shape).unwrap();
            let geometry = ConvGeometry { stride: 1, padding: other.padding };
            let sides = [other.image.height, other.image.width];
            assert_eq!(geometry.output_size(sides, kernel), Some([other.map.height, other.map.width]));
        }
    }
}
