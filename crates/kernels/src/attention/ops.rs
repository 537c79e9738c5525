//! The public attention.

use burn::tensor::Tensor;

use super::extension::AttentionOps;
use super::reference;
use crate::extension::{Router, is_fused};

/// Scaled dot-product attention (Vaswani et al. 2017, arXiv:1706.03762, eq. 1).
///
/// `y = softmax(q k^T / sqrt(width)) v` for each head of each example; PyTorch's
/// `scaled_dot_product_attention` with the tokens before the heads. With `causal`, query `i` sees
/// the keys `0..=i + keys - queries`: the last query sees them all, so the first keys may be a
/// prefix that was computed before.
///
/// No more than a tile of scores is in memory at a time, forwards or backwards. Queries, keys and
/// values may be views: they are read where they lie as long as the values of one head follow each
/// other, so a part of a wider layer's output needs no copy. The result and the gradients are
/// contiguous. A number that is not finite in `v` may reach queries that do not see it.
///
/// # Shapes
/// - `q`: `[batch, queries, heads, width]`; `k`, `v`: `[batch, keys, heads, width]`
/// - returns: `[batch, queries, heads, width]`
///
/// # Panics
/// If the shapes do not fit, there are no keys or no width, or `causal` meets fewer keys than queries.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use elbo_kernels::attention;
///
/// // Two tokens, one head of width 1: the second key is 20 times as long, and a score of 20 against 1 leaves no doubt.
/// let device = Device::default();
/// let tokens = |values: [f32; 2]| Tensor::<4>::from_data([[[[values[0]]], [[values[1]]]]], &device);
/// let (q, k, v) = (tokens([1.0, 1.0]), tokens([1.0, 20.0]), tokens([3.0, 5.0]));
/// let y = attention(q, k, v, true).into_data().to_vec::<f32>().unwrap();
/// assert!(y[0] == 3.0 && (y[1] - 5.0).abs() < 1e-6);
/// ```
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, causal: bool) -> Tensor<4> {
    let ([batch, queries, heads, width], [.., keys, _, _]) = (q.dims(), k.dims());
    assert!(keys > 0 && width > 0, "keys {:?} have tokens and a width", k.dims());
    for tensor in [&k, &v] {
        assert_eq!(tensor.dims(), [batch, keys, heads, width], "keys and values for queries {:?}", q.dims());
    }
    assert!(!causal || keys >= queries, "the last of {queries} queries sees {keys} keys, the first none");
    if !is_fused(&q) {
        return reference::attention(q, k, v, causal);
    }
    Tensor::from_dispatch(Router::elbo_attention(q.into_dispatch(), k.into_dispatch(), v.into_dispatch(), causal))
}

/// [`attention`] of queries, keys and values that a dense layer gave together: the queries of all heads,
/// then the keys, then the values.
///
/// Its gradient is written where the layer takes it, which spares putting three gradients together.
///
/// # Shapes
/// - `mixed`: `[batch, tokens, 3 * heads, width]`
/// - returns: `[batch, tokens, heads, width]`
///
/// # Panics
/// If the third size is no multiple of three, or there are no tokens or no width.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use elbo_kernels::self_attention;
///
/// // Query, key and value of two tokens: equal scores share the values alike.
/// let device = Device::default();
/// let mixed = Tensor::<4>::from_data([[[[0.0], [1.0], [3.0]], [[0.0], [1.0], [5.0]]]], &device);
/// assert_eq!(self_attention(mixed, true).into_data().to_vec::<f32>().unwrap(), [3.0, 4.0]);
/// ```
pub fn self_attention(mixed: Tensor<4>, causal: bool) -> Tensor<4> {
    let [_, tokens, parts, width] = mixed.dims();
    assert!(parts.is_multiple_of(3), "queries, keys and values of each head: {parts} are no multiple of three");
    assert!(tokens > 0 && width > 0, "tokens and a width in {:?}", mixed.dims());
    if !is_fused(&mixed) {
        return reference::self_attention(mixed, causal);
    }
    Tensor::from_dispatch(Router::elbo_self_attention(mixed.into_dispatch(), causal))
}
