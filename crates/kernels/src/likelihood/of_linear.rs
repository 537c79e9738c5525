//! The term of a layer's outputs that nobody else wants: they are made, used and overwritten while they are in the cache.

use std::ops::Range;

use super::Reconstruction;
use crate::activation::{Activation, add_bias_activate};
use crate::linear::{LinearShape, Outputs};
use crate::pool::{self, SharedMut};
use crate::scratch::Kept;

/// Outputs at a time: 800 KiB, which stay in the L2 cache or fall into the next; fewer rows read the weights more often, which costs more.
const TILE_FLOATS: usize = 200 * 1024;
/// Fewest and most rows at a time: each pass over the weights should serve several.
const ROWS: [usize; 2] = [32, 256];

/// Sums `term` over each row of `x W^T + bias`, for examples of `width` values. Where `target` has fewer rows than `x`, each serves as many of them in a row.
pub(crate) fn rows_of_linear(
    term: Reconstruction,
    width: usize,
    shape: LinearShape,
    [x, weight, bias]: [&[f32]; 3],
    target: &[f32],
    sums: &mut [f32],
) {
    let LinearShape { batch, outputs, .. } = shape;
    let share = batch / (target.len() / width).max(1);
    let layer = Outputs::of(shape, x, weight);
    let together = (TILE_FLOATS / outputs / ROWS[0] * ROWS[0]).clamp(ROWS[0], ROWS[1]);
    let sums = SharedMut::new(sums);
    pool::run(batch.div_ceil(together), |part| {
        let rows: Range<usize> = part * together..(part * together + together).min(batch);
        let mut tile = Kept::floats(rows.len() * outputs);
        layer.write(rows.clone(), &mut tile);
        // SAFETY: each row belongs to one part, and the buffer outlives the region.
        let sums = unsafe { sums.slice(rows.clone()) };
        for ((row, outputs), sum) in rows.zip(tile.chunks_exact_mut(outputs)).zip(sums) {
            add_bias_activate(outputs, bias, Activation::None);
            *sum = term.row(outputs, &target[row / share * width..][..width]);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 37 + seed * 11) % 199) as f32 / 400.0 - 0.25).collect()
    }

    #[test]
    fn terms_of_outputs_are_those_of_the_layer() {
        let large: &[_] = if cfg!(miri) { &[] } else { &[(300, 70, 90, 3), (128, 400, 784, 1), (50, 130, 4000, 50)] };
        for &(batch, inputs, width, share) in [(1, 1, 1, 1), (6, 5, 3, 2), (7, 3, 9, 7)].iter().chain(large) {
            for term in [Reconstruction::Bernoulli, Reconstruction::DiscretisedLogistic] {
                let shape = LinearShape { batch, inputs, outputs: term.parameters(width) };
                // About half of the inputs are 0, as after a ReLU.
                let x: Vec<f32> = numbers(batch * inputs, 1).into_iter().map(|v| v.max(0.0)).collect();
                let (weight, bias) = (numbers(shape.outputs * inputs, 2), numbers(shape.outputs, 3));
                let target: Vec<f32> = numbers(batch / share * width, 4).into_iter().map(|v| v + 0.5).collect();
                let (mut outputs, mut expected) = (vec![0.0; batch * shape.outputs], vec![0.0; batch]);
                linear::forward(shape, &x, &weight, &bias, Activation::None, &mut outputs, None);
                super::super::rows(term, width, &outputs, &target, &mut expected, None);
                let mut found = vec![f32::NAN; batch];
                rows_of_linear(term, width, shape, [&x, &weight, &bias], &target, &mut found);
                for (found, expected) in found.iter().zip(&expected) {
                    assert!(
                        (found - expected).abs() <= 1e-5 * expected.abs().max(1.0),
                        "{shape:?}: {found} {expected}"
                    );
                }
            }
        }
    }
}
