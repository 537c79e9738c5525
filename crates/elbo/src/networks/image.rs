//! Between the flat rows that models speak, channel first, and the images with channels last that the kernels want.

use burn::tensor::Tensor;

/// # Shapes
/// - `rows`: `[batch, channels * height * width]`, channel first
/// - returns: `[batch, height, width, channels]`
pub(crate) fn from_rows(rows: Tensor<2>, [channels, height, width]: [usize; 3]) -> Tensor<4> {
    let batch = rows.dims()[0];
    // With one channel or one pixel both orders are the same memory; a permuted view would be copied by the next kernel.
    if channels == 1 || height * width == 1 {
        return rows.reshape([batch, height, width, channels]);
    }
    rows.reshape([batch, channels, height, width]).permute([0, 2, 3, 1])
}

/// The way back.
///
/// # Shapes
/// - `images`: `[batch, height, width, channels]`
/// - returns: `[batch, channels * height * width]`, channel first
pub(crate) fn to_rows(images: Tensor<4>) -> Tensor<2> {
    let [_, height, width, channels] = images.dims();
    if channels == 1 || height * width == 1 {
        return images.flatten(1, 3);
    }
    images.permute([0, 3, 1, 2]).flatten(1, 3)
}
