//! `y = activation(x W^T + b)` and its gradients, each in one parallel region per matrix product.
//!
//! Weights keep PyTorch's orientation `[out, in]`, so files need no transposing; measured on the development machine the forward product is 5 % slower
//! and the data gradient 6 % faster than with `[in, out]`. Work is cut by shape alone (see [`crate::pool`]) into calls of the `gemm` crate that
//! each run on one thread: cutting along output columns costs 3 to 6 % in repeated packing at four parts and needs no reduction, so results do
//! not depend on the thread count.

use std::ops::Range;

use crate::activation::{self, Activation};
pub(crate) use crate::matrix::Matrix;
use crate::matrix::{Sizes, multiply};
#[cfg(all(target_arch = "x86_64", not(miri)))]
use crate::packed::Packed;
use crate::pool::{self, SharedMut};
use crate::scratch::Kept;

/// Multiply-adds that justify one more part: about 10 microseconds on one core, so that the narrow layers around a code are shared as well.
const PART_WORK: usize = 1_000_000;

/// How one product `[rows, cols]` is cut: into stripes of columns or, where those would be thin, of rows.
#[derive(Clone, Copy)]
struct Cut {
    rows: usize,
    cols: usize,
    parts: usize,
    by_columns: bool,
}

impl Cut {
    fn of(rows: usize, cols: usize, inner: usize) -> Self {
        let by_columns = cols >= rows || cols >= 256;
        let (length, across) = if by_columns { (cols, rows) } else { (rows, cols) };
        Self { rows, cols, parts: pool::parts_for(length, across * inner, PART_WORK, 64), by_columns }
    }

    fn part(&self, index: usize) -> (Range<usize>, Range<usize>) {
        if self.by_columns {
            (0..self.rows, pool::part_range(self.cols, self.parts, index, 64))
        } else {
            (pool::part_range(self.rows, self.parts, index, 16), 0..self.cols)
        }
    }
}

/// A product `out = a b` and how it is cut.
enum Product<'a> {
    Dense {
        a: Matrix<'a>,
        b: Matrix<'a>,
        sizes: Sizes,
        cut: Cut,
    },
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    Packed(Packed),
}

impl<'a> Product<'a> {
    fn dense(a: Matrix<'a>, b: Matrix<'a>, sizes: Sizes) -> Self {
        Self::Dense { a, b, sizes, cut: Cut::of(sizes.rows, sizes.columns, sizes.terms) }
    }

    /// The fastest product, which may skip the zeros of `a`.
    fn with_zeros_left(a: Matrix<'a>, b: Matrix<'a>, sizes: Sizes) -> Self {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        if let Some(product) = Packed::left(a, b, sizes) {
            return Self::Packed(product);
        }
        Self::dense(a, b, sizes)
    }

    /// The fastest product, which may skip the zeros of `b`.
    fn with_zeros_right(a: Matrix<'a>, b: Matrix<'a>, sizes: Sizes) -> Self {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        if let Some(product) = Packed::right(a, b, sizes) {
            return Self::Packed(product);
        }
        Self::dense(a, b, sizes)
    }

    fn parts(&self) -> usize {
        match self {
            Self::Dense { cut, .. } => cut.parts,
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Self::Packed(product) => product.parts(),
        }
    }

    /// Computes one part of `out`, `[rows, columns]`; returns its rows and columns.
    fn run(&self, part: usize, out: &SharedMut<f32>) -> (Range<usize>, Range<usize>) {
        match self {
            Self::Dense { a, b, sizes, cut } => {
                let (rows, cols) = cut.part(part);
                multiply(out, sizes.columns, *a, *b, sizes.terms, rows.clone(), cols.clone());
                (rows, cols)
            }
            // SAFETY: parts own disjoint rows x columns of `out`, which the callers below keep for the region.
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Self::Packed(product) => unsafe { product.run(part, out) },
        }
    }
}

/// Speed of one large product without zeros on the threads in use, in units of 1e9 floating-point operations a second: what layers can reach at most, but for
/// products that skip zeros. Convolutions are bounded by vector instructions, also where layers have tiles. The best of some repetitions, about 0.2 s in all.
///
/// ```
/// assert!(elbo_kernels::peak_gflops() > 0.0);
/// ```
pub fn peak_gflops() -> f64 {
    const SIZE: usize = 1024;
    const REPETITIONS: usize = 24;
    let (a, b, mut out) = (vec![0.5f32; SIZE * SIZE], vec![0.25f32; SIZE * SIZE], vec![0f32; SIZE * SIZE]);
    let sizes = Sizes { rows: SIZE, terms: SIZE, columns: SIZE };
    let mut best = f64::INFINITY;
    for _ in 0..REPETITIONS {
        let (started, out) = (std::time::Instant::now(), SharedMut::new(&mut out));
        let product = Product::with_zeros_left(Matrix::rows(&a, SIZE), Matrix::rows(&b, SIZE).transposed(), sizes);
        pool::run(product.parts(), |part| {
            product.run(part, &out);
        });
        best = best.min(started.elapsed().as_secs_f64());
    }
    std::hint::black_box(&out);
    2.0 * (SIZE * SIZE * SIZE) as f64 / best / 1e9
}

/// Sizes of a layer: `batch` examples, `inputs` to `outputs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LinearShape {
    pub batch: usize,
    pub inputs: usize,
    pub outputs: usize,
}

/// The forward pass. Writes `y`, and the value before the activation into `pre` when given (GELU and SiLU need it later).
pub(crate) fn forward(
    shape: LinearShape,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    activation: Activation,
    y: &mut [f32],
    pre: Option<&mut [f32]>,
) {
    let outputs = shape.outputs;
    let Outputs(product) = Outputs::of(shape, x, weight);
    let (y, pre) = (SharedMut::new(y), pre.map(SharedMut::new));
    pool::run(product.parts(), |part| {
        let (rows, cols) = product.run(part, pre.as_ref().unwrap_or(&y));
        for r in rows {
            let span = r * outputs + cols.start..r * outputs + cols.end;
            // SAFETY: parts own disjoint rows x cols of both buffers, which outlive the region.
            unsafe {
                match &pre {
                    None => activation::add_bias_activate(y.slice(span), &bias[cols.clone()], activation),
                    Some(pre) => {
                        activation::add_bias_activate(pre.slice(span.clone()), &bias[cols.clone()], Activation::None);
                        activation::activate(pre.slice(span.clone()), y.slice(span), activation);
                    }
                }
            }
        }
    });
}

/// What a layer gives before bias and activation, some rows at a time.
pub(crate) struct Outputs<'a>(Product<'a>);

impl<'a> Outputs<'a> {
    /// Of `x`, `[batch, inputs]`.
    pub(crate) fn of(shape: LinearShape, x: &'a [f32], weight: &'a [f32]) -> Self {
        let LinearShape { batch, inputs, outputs } = shape;
        let sizes = Sizes { rows: batch, terms: inputs, columns: outputs };
        Self(Product::with_zeros_left(Matrix::rows(x, inputs), Matrix::rows(weight, inputs).transposed(), sizes))
    }

    /// Writes `rows`, the first a multiple of 16, to `out`, `[rows, outputs]`.
    ///
    /// # Panics
    /// If the rows are not the layer's, or `out` does not hold them alone.
    pub(crate) fn write(&self, rows: Range<usize>, out: &mut [f32]) {
        match &self.0 {
            Product::Dense { a, b, sizes, .. } => {
                assert!(rows.end <= sizes.rows && out.len() == rows.len() * sizes.columns, "rows of the layer");
                let (a, rows) = (a.without_rows(rows.start), 0..rows.len());
                multiply(&SharedMut::new(out), sizes.columns, a, *b, sizes.terms, rows, 0..sizes.columns);
            }
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Product::Packed(product) => product.write_rows(rows, out),
        }
    }
}

/// The gradients of a layer.
pub(crate) struct Gradients<'a> {
    pub dx: Option<&'a mut [f32]>,
    pub dweight: &'a mut [f32],
    pub dbias: &'a mut [f32],
}

/// The backward pass from `dy`. `saved` is `y`, or the value before the activation for GELU and SiLU.
pub(crate) fn backward(
    shape: LinearShape,
    x: &[f32],
    weight: &[f32],
    saved: &[f32],
    dy: &[f32],
    activation: Activation,
    gradients: Gradients<'_>,
) {
    let LinearShape { batch, inputs, outputs } = shape;
    let Gradients { dx, dweight, dbias } = gradients;
    let mut dpre = Kept::floats(batch * outputs);
    through_activation(shape, saved, dy, activation, &mut dpre, dbias);

    let dpre = Matrix::rows(&dpre, outputs);
    let weight_sizes = Sizes { rows: outputs, terms: batch, columns: inputs };
    let for_weight = Product::with_zeros_right(dpre.transposed(), Matrix::rows(x, inputs), weight_sizes);
    let dweight = SharedMut::new(dweight);
    let for_data = dx.map(|dx| {
        let sizes = Sizes { rows: batch, terms: outputs, columns: inputs };
        (Product::with_zeros_left(dpre, Matrix::rows(weight, inputs), sizes), SharedMut::new(dx))
    });
    let weight_parts = for_weight.parts();
    let data_parts = for_data.as_ref().map_or(0, |(product, _)| product.parts());
    // Both products in one region: their parts fill each other's gaps.
    pool::run(weight_parts + data_parts, |part| {
        match (&for_data, pool::merged(part, [weight_parts, data_parts])) {
            (Some((product, dx)), (true, part)) => product.run(part, dx),
            (_, (_, part)) => for_weight.run(part, &dweight),
        };
    });
}

/// `dpre = dy * activation'` and `dbias = sum over the batch of dpre`, in stripes of columns so that each sum has one owner and one order.
fn through_activation(
    shape: LinearShape,
    saved: &[f32],
    dy: &[f32],
    activation: Activation,
    dpre: &mut [f32],
    dbias: &mut [f32],
) {
    let LinearShape { batch, outputs, .. } = shape;
    dbias.fill(0.0);
    let parts = pool::parts_for(outputs, batch, 16_384, 64);
    let (dpre, dbias) = (SharedMut::new(dpre), SharedMut::new(dbias));
    pool::run(parts, |part| {
        let cols = pool::part_range(outputs, parts, part, 16);
        for r in 0..batch {
            let span = r * outputs + cols.start..r * outputs + cols.end;
            // SAFETY: parts own disjoint columns of both buffers, which outlive the region.
            unsafe {
                let (dx, sum) = (dpre.slice(span.clone()), dbias.slice(cols.clone()));
                activation::activation_gradient(&dy[span.clone()], &saved[span], dx, sum, activation);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole numbers, so that every order of summation gives the same result.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 37 + seed * 11) % 17) as f32 - 8.0).collect()
    }

    #[test]
    fn layers_and_gradients_are_exact_sums() {
        // Cut by rows, by columns and into several parts where time allows.
        let large: &[_] = if cfg!(miri) { &[] } else { &[(128, 300, 400), (2048, 65, 40)] };
        for &(batch, inputs, outputs) in [(1, 1, 1), (3, 5, 2), (2, 17, 33), (20, 3, 1), (5, 1, 70)].iter().chain(large)
        {
            let [x, weight] = [batch, outputs].map(|rows| numbers(rows * inputs, rows));
            let (bias, dy) = (numbers(outputs, 3), numbers(batch * outputs, 4));
            let shape = LinearShape { batch, inputs, outputs };
            let (mut y, mut pre) = (vec![f32::NAN; batch * outputs], vec![f32::NAN; batch * outputs]);
            forward(shape, &x, &weight, &bias, Activation::Relu, &mut y, None);
            forward(shape, &x, &weight, &bias, Activation::None, &mut pre.clone(), Some(&mut pre));
            let sum = |r: usize, o: usize| (0..inputs).map(|i| x[r * inputs + i] * weight[o * inputs + i]).sum::<f32>();
            for (at, value) in pre.iter().enumerate() {
                assert_eq!(*value, sum(at / outputs, at % outputs) + bias[at % outputs], "{shape:?}");
            }
            assert!(y.iter().zip(&pre).all(|(y, pre)| *y == pre.max(0.0)));

            let slope: Vec<f32> = dy.iter().zip(&y).map(|(d, y)| if *y > 0.0 { *d } else { 0.0 }).collect();
            let [mut dx, mut dweight] = [batch, outputs].map(|rows| vec![f32::NAN; rows * inputs]);
            let mut dbias = vec![f32::NAN; outputs];
            let gradients = Gradients { dx: Some(&mut dx), dweight: &mut dweight, dbias: &mut dbias };
            backward(shape, &x, &weight, &y, &dy, Activation::Relu, gradients);
            let rows = 0..batch;
            for (at, found) in dx.iter().enumerate() {
                let (r, i) = (at / inputs, at % inputs);
                assert_eq!(*found, (0..outputs).map(|o| slope[r * outputs + o] * weight[o * inputs + i]).sum::<f32>());
            }
            for (at, found) in dweight.iter().enumerate() {
                let (o, i) = (at / inputs, at % inputs);
                assert_eq!(*found, rows.clone().map(|r| slope[r * outputs + o] * x[r * inputs + i]).sum::<f32>());
            }
            for (o, found) in dbias.iter().enumerate() {
                assert_eq!(*found, rows.clone().map(|r| slope[r * outputs + o]).sum::<f32>());
            }
        }
    }
}
