//! Arguments and results of the operations on sequences, by name.

use burn::tensor::{Device, Int, Tensor, TensorData};
use elbo_kernels::backward_from;

/// Results by name.
pub type Results = Vec<(&'static str, Vec<f32>)>;

/// A tensor that a gradient can reach.
pub fn tensor<const D: usize>(values: &[f32], dims: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), dims), &Device::flex().autodiff())
}

/// A tensor of indices.
pub fn indices(values: &[i32]) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), &Device::flex().autodiff())
}

/// The values of a tensor in row-major order.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("float32")
}

/// `y`, `dx`, `dweight` and, where there is one, `dbias` of a normalisation of rows.
pub fn row_norm(
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    dy: &[f32],
    op: impl FnOnce(Tensor<2>, Tensor<1>, Option<Tensor<1>>) -> Tensor<2>,
) -> Results {
    let width = weight.len();
    let dims = [x.len() / width, width];
    let (x, weight) = (tensor(x, dims).require_grad(), tensor(weight, [width]).require_grad());
    let bias = bias.map(|bias| tensor(bias, [width]).require_grad());
    let y = op(x.clone(), weight.clone(), bias.clone());
    let gradients = backward_from(y.clone(), tensor(dy, dims));
    let mut found = vec![
        ("y", values(y)),
        ("dx", values(x.grad(&gradients).expect("dx"))),
        ("dweight", values(weight.grad(&gradients).expect("dweight"))),
    ];
    found.extend(bias.map(|bias| ("dbias", values(bias.grad(&gradients).expect("dbias")))));
    found
}

/// `y`, `dq`, `dk` and `dv`; `sizes` are batch, queries, keys, heads and width.
pub fn attended(
    [batch, queries, keys, heads, width]: [usize; 5],
    [q, k, v, dy]: [&[f32]; 4],
    op: impl FnOnce(Tensor<4>, Tensor<4>, Tensor<4>) -> Tensor<4>,
) -> Results {
    let dims = |tokens| [batch, tokens, heads, width];
    let q = tensor(q, dims(queries)).require_grad();
    let [k, v] = [k, v].map(|values| tensor(values, dims(keys)).require_grad());
    let y = op(q.clone(), k.clone(), v.clone());
    let gradients = backward_from(y.clone(), tensor(dy, dims(queries)));
    let slope = |tensor: &Tensor<4>| values(tensor.grad(&gradients).expect("a gradient"));
    vec![("y", values(y)), ("dq", slope(&q)), ("dk", slope(&k)), ("dv", slope(&v))]
}

/// Rows of a table and the table's gradient.
pub fn embedded(
    table: &[f32],
    width: usize,
    numbers: &[i32],
    dy: &[f32],
    op: impl FnOnce(Tensor<2>, Tensor<1, Int>) -> Tensor<2>,
) -> Results {
    let table = tensor(table, [table.len() / width, width]).require_grad();
    let y = op(table.clone(), indices(numbers));
    let gradients = backward_from(y.clone(), tensor(dy, [numbers.len(), width]));
    vec![("y", values(y)), ("dtable", values(table.grad(&gradients).expect("dtable")))]
}

/// The terms of rows of logits and the slopes of the logits.
pub fn surprised(
    logits: &[f32],
    targets: &[i32],
    dy: &[f32],
    op: impl FnOnce(Tensor<2>, Tensor<1, Int>) -> Tensor<1>,
) -> Results {
    let n = targets.len();
    let logits = tensor(logits, [n, logits.len() / n]).require_grad();
    let y = op(logits.clone(), indices(targets));
    let gradients = backward_from(y.clone(), tensor(dy, [n]));
    vec![("y", values(y)), ("dlogits", values(logits.grad(&gradients).expect("dlogits")))]
}
