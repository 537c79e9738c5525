//! Plain Burn twin of attention.

use burn::tensor::{Bool, Tensor, TensorData, activation};

/// Twin of [`crate::attention`](crate::attention()), with all scores in memory.
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, causal: bool) -> Tensor<4> {
    let ([_, queries, _, width], [_, keys, ..]) = (q.dims(), k.dims());
    let [q, k, v] = [q, k, v].map(|tensor| tensor.swap_dims(1, 2));
    let mut scores = (q * (width as f64).sqrt().recip()).matmul(k.transpose());
    if causal {
        let hidden = (0..queries).flat_map(|i| (0..keys).map(move |j| j + queries > i + keys)).collect::<Vec<bool>>();
        let hidden = Tensor::<2, Bool>::from_data(TensorData::new(hidden, [queries, keys]), &scores.device());
        scores = scores.mask_fill(hidden.unsqueeze::<4>(), f32::NEG_INFINITY);
    }
    activation::softmax(scores, 3).matmul(v).swap_dims(1, 2)
}

/// Twin of [`crate::self_attention`].
pub fn self_attention(mixed: Tensor<4>, causal: bool) -> Tensor<4> {
    let heads = mixed.dims()[2] / 3;
    let [q, k, v] = [0, 1, 2].map(|part| mixed.clone().narrow(2, part * heads, heads));
    attention(q, k, v, causal)
}
