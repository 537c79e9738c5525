//! Plain Burn twins of the changes of resolution.

use burn::tensor::Tensor;

/// Twin of [`crate::upsample_nearest`].
pub fn upsample_nearest(x: Tensor<4>, [rows, cols]: [usize; 2]) -> Tensor<4> {
    let [batch, height, width, channels] = x.dims();
    let repeated =
        x.reshape([batch, height, 1, width, 1, channels]).expand([batch, height, rows, width, cols, channels]);
    repeated.reshape([batch, height * rows, width * cols, channels])
}

/// Twin of [`crate::average_pool`].
pub fn average_pool(x: Tensor<4>, [rows, cols]: [usize; 2]) -> Tensor<4> {
    let [batch, height, width, channels] = x.dims();
    let (height, width) = (height / rows, width / cols);
    let whole = x.narrow(1, 0, height * rows).narrow(2, 0, width * cols);
    let windows = whole.reshape([batch, height, rows, width, cols, channels]);
    windows.mean_dim(2).mean_dim(4).reshape([batch, height, width, channels])
}
