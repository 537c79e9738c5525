//! The normalisations on slices.

use std::mem::MaybeUninit;
use std::ops::Range;

use crate::pool::{self, Room, SharedMut};
use crate::simd;

/// Values that justify one more part.
const PART_VALUES: usize = 32_768;
/// Rows between two additions to the float64 sums of the parameters' gradients.
const BLOCK_ROWS: usize = 16;
/// Partial sums of a row, whatever the width of vectors: results are those of one order of summation.
const LANES: usize = 32;
/// Mean and inverse deviation of each row.
const STATISTICS: usize = 2;

/// What is done to each row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Normalisation<'a> {
    pub weight: &'a [f32],
    /// Added at the end; without it the mean stays, which is root-mean-square normalisation.
    pub bias: Option<&'a [f32]>,
    pub eps: f64,
}

/// The gradients.
pub(crate) struct Gradients {
    /// None where `dy` was turned into it, or where nobody asked.
    pub dx: Option<Vec<f32>>,
    pub dweight: Vec<f32>,
    pub dbias: Vec<f32>,
}

/// What comes from above, and where the gradient of `x` goes.
pub(crate) enum Upstream<'a> {
    /// `dx` takes its place.
    Own(&'a mut [f32]),
    /// Somebody else holds it too: `dx` is new.
    Shared(&'a [f32]),
    /// No `dx` is wanted.
    Last(&'a [f32]),
}

impl Normalisation<'_> {
    fn width(&self) -> usize {
        self.weight.len()
    }

    fn parts(&self, rows: usize) -> usize {
        pool::parts_for(rows, self.width(), PART_VALUES, 1)
    }

    /// `y` and the statistics, `[rows, 2]`.
    pub(crate) fn forward(&self, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (width, rows) = (self.width(), x.len() / self.width());
        let (mut y, mut statistics) = (Room::new(x.len()), vec![0f32; STATISTICS * rows]);
        let (target, numbers) = (y.target(x.len()), SharedMut::new(&mut statistics));
        let zeros = vec![0f32; width];
        let bias = self.bias.unwrap_or(&zeros);
        let parts = self.parts(rows);
        pool::run(parts, |part| {
            for block in blocks(pool::part_range(rows, parts, part, 1)) {
                let values = block.start * width..block.end * width;
                // SAFETY: each row and its statistics belong to one part, and the buffers outlive the region.
                let (y, numbers) = unsafe {
                    let numbers = numbers.slice(block.start * STATISTICS..block.end * STATISTICS);
                    (target.slice(values.clone()), numbers)
                };
                normalise(&x[values], self.weight, bias, self.bias.is_some(), self.eps, y, numbers);
            }
        });
        // SAFETY: the parts cover all rows.
        (unsafe { y.written(x.len()) }, statistics)
    }

    /// The gradients from `dy` and what [`Self::forward`] found.
    pub(crate) fn backward(&self, x: &[f32], statistics: &[f32], dy: Upstream<'_>) -> Gradients {
        let (width, rows) = (self.width(), x.len() / self.width());
        let parts = self.parts(rows);
        let is_new = matches!(dy, Upstream::Shared(_));
        let mut new = Room::new(if is_new { x.len() } else { 0 });
        let slopes = Slopes::new(dy, &mut new);
        let mut partial = vec![0f64; parts * 2 * width];
        let sums = SharedMut::new(&mut partial);
        pool::run(parts, |part| {
            // SAFETY: each part owns its sums, and the buffer outlives the region.
            let totals = unsafe { sums.slice(part * 2 * width..(part + 1) * 2 * width) };
            let mut block_sums = vec![0f32; 2 * width];
            for block in blocks(pool::part_range(rows, parts, part, 1)) {
                let values = block.start * width..block.end * width;
                let numbers = &statistics[block.start * STATISTICS..block.end * STATISTICS];
                let (dweight, dbias) = block_sums.split_at_mut(width);
                // SAFETY: each row belongs to one part, and the buffers outlive the region.
                unsafe {
                    slopes.turn(values.clone(), |dy, dx| {
                        slopes_back(&x[values], numbers, self.weight, self.bias.is_some(), dy, dx, dweight, dbias);
                    });
                }
                totals.iter_mut().zip(&block_sums).for_each(|(total, sum)| *total += f64::from(*sum));
                block_sums.fill(0.0);
            }
        });
        let mut totals = vec![0f64; 2 * width];
        for row in partial.chunks_exact(2 * width) {
            totals.iter_mut().zip(row).for_each(|(total, value)| *total += value);
        }
        let mut dweight: Vec<f32> = totals.iter().map(|total| *total as f32).collect();
        let dbias = dweight.split_off(width);
        // SAFETY: the parts cover all rows.
        let dx = is_new.then(|| unsafe { new.written(x.len()) });
        Gradients { dx, dweight, dbias }
    }
}

fn blocks(rows: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    rows.clone().step_by(BLOCK_ROWS).map(move |start| start..(start + BLOCK_ROWS).min(rows.end))
}

/// Where parts find `dy` and leave `dx`.
enum Slopes<'a> {
    Own(SharedMut<f32>),
    Shared(&'a [f32], SharedMut<MaybeUninit<f32>>),
    Last(&'a [f32]),
}

impl<'a> Slopes<'a> {
    fn new(dy: Upstream<'a>, new: &mut Room) -> Self {
        match dy {
            Upstream::Own(dy) => Self::Own(SharedMut::new(dy)),
            Upstream::Shared(dy) => Self::Shared(dy, new.target(dy.len())),
            Upstream::Last(dy) => Self::Last(dy),
        }
    }

    /// Calls `work(dy, dx)` for some values, all of which it writes.
    ///
    /// # Safety
    /// The buffers live on, and nobody else has these values meanwhile.
    unsafe fn turn(&self, values: Range<usize>, work: impl FnOnce(&[f32], &mut [MaybeUninit<f32>])) {
        match self {
            // A copy of few rows stays in the cache, and lets both be read and written in one vector loop.
            Self::Own(dy) => {
                // SAFETY: the caller's promise.
                let dx = unsafe { dy.slice(values) };
                let dy = Vec::from(&*dx);
                // SAFETY: of one layout, and `work` leaves a number at each place.
                work(&dy, unsafe { &mut *(std::ptr::from_mut(dx) as *mut [MaybeUninit<f32>]) });
            }
            // SAFETY: the caller's promise.
            Self::Shared(dy, new) => work(&dy[values.clone()], unsafe { new.slice(values) }),
            Self::Last(dy) => work(&dy[values.clone()], &mut vec![MaybeUninit::uninit(); values.len()]),
        }
    }
}

/// Rows of which each step is done before the next one, so that one row's sum is added up while the next row is read. They
/// stay in the first-level cache.
fn rows_together(width: usize) -> usize {
    (1024 / width).clamp(1, BLOCK_ROWS)
}

/// The sum over a row, value by value as `add` takes it in.
#[inline(always)]
fn total(row: &[f32], add: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().fold(0.0, |sum, v| add(sum, *v));
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, v)| *lane = add(*lane, *v));
    }
    rest + simd::sum_of_lanes(&simd::folded(lanes))
}

simd::multiversion! {
    fused FUSED:
    /// Writes `y` and the statistics of some rows; `centred` tells whether the mean is taken off, for which it is 0 so far.
    fn normalise(x: &[f32], weight: &[f32], bias: &[f32], centred: bool, eps: f64, y: &mut [MaybeUninit<f32>], numbers: &mut [f32]) {
        let (width, group) = (weight.len(), rows_together(weight.len()));
        let groups = x.chunks(group * width).zip(y.chunks_mut(group * width)).zip(numbers.chunks_mut(group * STATISTICS));
        for ((x, y), numbers) in groups {
            if centred {
                for (x, numbers) in x.chunks_exact(width).zip(numbers.chunks_exact_mut(STATISTICS)) {
                    numbers[0] = total(x, |sum, v| sum + v) / width as f32;
                }
            }
            for (x, numbers) in x.chunks_exact(width).zip(numbers.chunks_exact_mut(STATISTICS)) {
                let mean = numbers[0];
                let squares = total(x, |sum, v| simd::multiply_add::<FUSED>(v - mean, v - mean, sum));
                numbers[1] = (1.0 / (f64::from(squares / width as f32) + eps).sqrt()) as f32;
            }
            let rows = x.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(numbers.chunks_exact(STATISTICS));
            for ((x, y), numbers) in rows {
                let (mean, inverse) = (numbers[0], numbers[1]);
                simd::prefetch(x.as_ptr().wrapping_add(group * width), width);
                for (((x, y), w), b) in x.iter().zip(y).zip(weight).zip(bias) {
                    y.write(simd::multiply_add::<FUSED>((*x - mean) * inverse, *w, *b));
                }
            }
        }
    }
}

simd::multiversion! {
    fused FUSED:
    /// `dx` of some rows; adds to the gradients of weight and bias.
    ///
    /// With `h = (x - mean) / deviation` and `g = dy weight`: `dx = (g - mean(g) - h mean(g h)) / deviation`
    /// (Ba et al. 2016, arXiv:1607.06450, section 3, differentiated); without `mean(g)` where the mean stays.
    fn slopes_back(
        x: &[f32], numbers: &[f32], weight: &[f32], centred: bool, dy: &[f32], dx: &mut [MaybeUninit<f32>], dweight: &mut [f32], dbias: &mut [f32],
    ) {
        let (width, group) = (weight.len(), rows_together(weight.len()));
        let groups = x.chunks(group * width).zip(dy.chunks(group * width)).zip(dx.chunks_mut(group * width));
        for (((x, dy), dx), numbers) in groups.zip(numbers.chunks(group * STATISTICS)) {
            let rows = || x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(numbers.chunks_exact(STATISTICS));
            // What is taken off: a share of the offset, and a constant.
            let mut shares = [[0f32; 2]; BLOCK_ROWS];
            for (((x, dy), numbers), share) in rows().zip(&mut shares) {
                let (mean, inverse) = (numbers[0], numbers[1]);
                let [sum, product] = row_sums::<FUSED>(x, dy, weight, mean);
                let constant = if centred { sum / width as f32 * inverse } else { 0.0 };
                *share = [product / width as f32 * inverse * inverse * inverse, constant];
            }
            let (dweight, dbias) = (&mut dweight[..width], &mut dbias[..width]);
            for ((((x, dy), numbers), [slope, constant]), dx) in rows().zip(shares).zip(dx.chunks_exact_mut(width)) {
                let (mean, inverse) = (numbers[0], numbers[1]);
                for next in [x, dy] {
                    simd::prefetch(next.as_ptr().wrapping_add(group * width), width);
                }
                for i in 0..width {
                    let (offset, dy) = (x[i] - mean, dy[i]);
                    let gradient = simd::multiply_add::<FUSED>(dy, weight[i] * inverse, -constant);
                    dx[i].write(simd::multiply_add::<FUSED>(offset, -slope, gradient));
                    dweight[i] = simd::multiply_add::<FUSED>(dy, offset * inverse, dweight[i]);
                    dbias[i] += dy;
                }
            }
        }
    }
}

/// `sum g` and `sum g (x - mean)` of one row.
#[inline(always)]
fn row_sums<const FUSED: bool>(x: &[f32], dy: &[f32], weight: &[f32], mean: f32) -> [f32; 2] {
    let (mut sums, mut products) = ([0f32; LANES], [0f32; LANES]);
    let chunks = x.chunks_exact(LANES).zip(dy.chunks_exact(LANES)).zip(weight.chunks_exact(LANES));
    for ((x, dy), w) in chunks {
        for lane in 0..LANES {
            let g = dy[lane] * w[lane];
            sums[lane] += g;
            products[lane] = simd::multiply_add::<FUSED>(g, x[lane] - mean, products[lane]);
        }
    }
    let whole = x.len() / LANES * LANES;
    let (mut sum, mut product) = (0.0, 0.0);
    for ((x, dy), w) in x[whole..].iter().zip(&dy[whole..]).zip(&weight[whole..]) {
        sum += dy * w;
        product += dy * w * (x - mean);
    }
    let lanes = [sums, products].map(simd::folded);
    [sum + simd::sum_of_lanes(&lanes[0]), product + simd::sum_of_lanes(&lanes[1])]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(seed: usize, count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) % 1999) as f32 / 1000.0 - 0.9).collect()
    }

    /// `y`, `dx` of one row in float64, and its share of `dweight`.
    fn expected(x: &[f32], dy: &[f32], of: Normalisation<'_>) -> [Vec<f64>; 3] {
        let n = x.len() as f64;
        let doubles = |v: &[f32]| v.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
        let (x, dy, w) = (doubles(x), doubles(dy), doubles(of.weight));
        let mean = if of.bias.is_some() { x.iter().sum::<f64>() / n } else { 0.0 };
        let deviation = (x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n + of.eps).sqrt();
        let h: Vec<f64> = x.iter().map(|v| (v - mean) / deviation).collect();
        let g: Vec<f64> = dy.iter().zip(&w).map(|(d, w)| d * w).collect();
        let constant = if of.bias.is_some() { g.iter().sum::<f64>() / n } else { 0.0 };
        let slope = g.iter().zip(&h).map(|(g, h)| g * h).sum::<f64>() / n;
        let bias = |i: usize| of.bias.map_or(0.0, |b| f64::from(b[i]));
        let y = h.iter().zip(&w).enumerate().map(|(i, (h, w))| h * w + bias(i)).collect();
        let dx = g.iter().zip(&h).map(|(g, h)| (g - constant - h * slope) / deviation).collect();
        [y, dx, dy.iter().zip(&h).map(|(d, h)| d * h).collect()]
    }

    fn close(found: &[f32], expected: &[f64], scale: f64) -> bool {
        found.iter().zip(expected).all(|(f, e)| (f64::from(*f) - e).abs() < 1e-5 * scale)
    }

    #[test]
    fn rows_and_gradients_are_those_of_the_definition() {
        for (rows, width) in [(1, 1), (3, 5), (17, 33), (40, 64), (2, 300)] {
            let (x, dy) = (wave(1, rows * width), wave(2, rows * width));
            let (weight, bias) = (wave(3, width), wave(4, width));
            for bias in [Some(&bias[..]), None] {
                let norm = Normalisation { weight: &weight, bias, eps: 1e-3 };
                let (y, statistics) = norm.forward(&x);
                let shared = norm.backward(&x, &statistics, Upstream::Shared(&dy));
                let mut own = dy.clone();
                let in_place = norm.backward(&x, &statistics, Upstream::Own(&mut own));
                let last = norm.backward(&x, &statistics, Upstream::Last(&dy));
                let dx = shared.dx.unwrap();
                assert!(dx == own && in_place.dx.is_none() && last.dx.is_none());
                assert!(last.dweight == shared.dweight && in_place.dbias == shared.dbias);
                let mut dweight = vec![0f64; width];
                for r in 0..rows {
                    let row = r * width..(r + 1) * width;
                    let [want_y, want_dx, share] = expected(&x[row.clone()], &dy[row.clone()], norm);
                    assert!(close(&y[row.clone()], &want_y, 3.0), "{rows}x{width}");
                    assert!(close(&dx[row], &want_dx, 40.0), "{rows}x{width}");
                    dweight.iter_mut().zip(&share).for_each(|(sum, v)| *sum += v);
                }
                assert!(close(&shared.dweight, &dweight, rows as f64), "{rows}x{width}");
                let dbias: Vec<f64> =
                    (0..width).map(|i| dy.iter().skip(i).step_by(width).map(|v| f64::from(*v)).sum()).collect();
                assert!(close(&shared.dbias, &dbias, rows as f64), "{rows}x{width}");
            }
        }
    }
}
