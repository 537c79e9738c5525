//! The three passes against loops that follow the definition, in float64, on both engines.

use super::engine::Engine;
use super::epilogue::Epilogue;
use super::shape::{ConvGeometry, ConvShape, Extent, Stride};
use super::{to_image::to_image, to_map::to_map, weight_gradient::weight_gradient};
use crate::activation::Activation;

/// A small generator: the tests need variety, not quality.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 20
    }

    fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[(self.next() % from.len() as u64) as usize]
    }

    fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| (self.next() % 2001) as f32 / 1000.0 - 1.0).collect()
    }
}

/// Calls `visit(image value, map value, weight)` with the indices of every multiply-add.
fn visit(shape: &ConvShape, mut visit: impl FnMut(usize, usize, usize)) {
    let (image, map, [rows, cols]) = (shape.image, shape.map, shape.kernel);
    let inside = |axis: usize, at: usize, tap: usize, size: usize| {
        (at * shape.stride[axis] + tap).checked_sub(shape.padding[axis]).filter(|place| *place < size)
    };
    for n in 0..shape.batch {
        for (y, x) in (0..map.height).flat_map(|y| (0..map.width).map(move |x| (y, x))) {
            for (u, v) in (0..rows).flat_map(|u| (0..cols).map(move |v| (u, v))) {
                let (Some(i), Some(j)) = (inside(0, y, u, image.height), inside(1, x, v, image.width)) else {
                    continue;
                };
                let from = ((n * image.height + i) * image.width + j) * image.channels;
                let to = ((n * map.height + y) * map.width + x) * map.channels;
                for (c, o) in (0..image.channels).flat_map(|c| (0..map.channels).map(move |o| (c, o))) {
                    visit(from + c, to + o, ((o * image.channels + c) * rows + u) * cols + v);
                }
            }
        }
    }
}

/// `max|found - expected| / max|expected|`.
fn error(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(1e-30, |most: f64, v| most.max(v.abs()));
    let worst = found.iter().zip(expected).map(|(f, e)| (f64::from(*f) - e).abs());
    worst.fold(0.0, |most: f64, d| if d > most || d.is_nan() { d } else { most }) / largest
}

/// The errors of the three passes.
fn errors(engine: Engine, shape: &ConvShape, numbers: &mut Numbers) -> [f64; 3] {
    let (image, map) =
        (numbers.floats(shape.batch * shape.image.values()), numbers.floats(shape.batch * shape.map.values()));
    let weight = numbers.floats(shape.weights());
    let (map_bias, image_bias) = (numbers.floats(shape.map.channels), numbers.floats(shape.image.channels));
    let filled =
        |count: usize, bias: &[f32]| -> Vec<f64> { bias.iter().cycle().take(count).map(|v| f64::from(*v)).collect() };
    let mut expected = [filled(map.len(), &map_bias), filled(image.len(), &image_bias), vec![0.0; weight.len()]];
    visit(shape, |i, m, w| {
        expected[0][m] += f64::from(image[i]) * f64::from(weight[w]);
        expected[1][i] += f64::from(map[m]) * f64::from(weight[w]);
        expected[2][w] += f64::from(map[m]) * f64::from(image[i]);
    });
    // NaN everywhere: whatever is not written shows.
    let mut found = [vec![f32::NAN; map.len()], vec![f32::NAN; image.len()], vec![f32::NAN; weight.len()]];
    let with = |bias: &[f32]| Epilogue::new(bias, Activation::None);
    to_map(engine, shape, &image, &weight, &with(&map_bias), &mut found[0], None);
    to_image(engine, shape, &map, &weight, &with(&image_bias), &mut found[1], None);
    weight_gradient(engine, shape, &image, &map, &mut found[2]);
    std::array::from_fn(|i| error(&found[i], &expected[i]))
}

/// Multiply-adds of the largest shape Miri takes on.
const MIRI_WORK: usize = 6_000;

/// A shape, or `None` if the window does not fit.
fn shape(
    batch: usize,
    [height, width]: [usize; 2],
    [inputs, outputs]: [usize; 2],
    kernel: [usize; 2],
    stride: impl Stride,
    padding: [usize; 2],
) -> Option<ConvShape> {
    let stride = stride.by_axis();
    let geometry = ConvGeometry { stride, padding };
    let image = Extent { height, width, channels: inputs };
    let [height, width] = geometry.output_size([height, width], kernel)?;
    let shape = ConvShape { batch, image, map: Extent { height, width, channels: outputs }, kernel, stride, padding };
    (!cfg!(miri) || shape.work() < MIRI_WORK).then_some(shape)
}

fn assert_small(shape: &ConvShape, numbers: &mut Numbers) {
    for engine in Engine::all() {
        let errors = errors(engine, shape, numbers);
        assert!(errors.iter().all(|e| *e < 1e-5), "{engine:?} {shape:?}: {errors:?}");
    }
}

#[test]
fn every_kernel_stride_and_padding() {
    let mut numbers = Numbers(1);
    let mut count = 0;
    let windows =
        [1, 2, 3, 4, 5].into_iter().flat_map(|k| [1, 2, 3].into_iter().flat_map(move |s| [0, 1, 2].map(|p| (k, s, p))));
    for (kernel, stride, padding) in windows.step_by(if cfg!(miri) { 7 } else { 1 }) {
        for (size, channels) in [([7, 10], [3, 5]), ([9, 6], [16, 33]), ([5, 5], [1, 1]), ([8, 8], [33, 64])] {
            if let Some(shape) = shape(2, size, channels, [kernel, kernel], stride, [padding; 2]) {
                assert_small(&shape, &mut numbers);
                count += 1;
            }
        }
    }
    assert!(count > if cfg!(miri) { 4 } else { 170 }, "{count}");
}

#[test]
fn random_small_shapes() {
    let mut numbers = Numbers(2);
    let mut count = 0;
    while count < if cfg!(miri) { 6 } else { 300 } {
        let mut pick = |from: &[usize]| numbers.choose(from);
        let sizes = [pick(&[1, 2, 3, 5, 8, 13]), pick(&[1, 2, 4, 7, 17])];
        let channels = [pick(&[1, 2, 3, 5, 8, 9, 16, 17, 32]), pick(&[1, 2, 3, 4, 15, 16, 31, 48, 65])];
        let kernel = [pick(&[1, 2, 3, 4, 5, 7]), pick(&[1, 2, 3, 4, 6])];
        let padding = [pick(&[0, 1, 2, 3, 6]), pick(&[0, 1, 2, 3, 6])];
        let stride = [pick(&[1, 1, 2, 2, 3, 4]), pick(&[1, 1, 2, 2, 3, 5])];
        if let Some(shape) = shape(pick(&[1, 1, 3, 4]), sizes, channels, kernel, stride, padding) {
            assert_small(&shape, &mut numbers);
            count += 1;
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "millions of multiply-adds")]
fn images_too_large_for_a_tile_and_batches_of_many() {
    let mut numbers = Numbers(3);
    let cases = [
        shape(1, [131, 67], [17, 9], [3, 3], 1, [1; 2]),
        shape(2, [71, 64], [17, 24], [3, 4], [1, 2], [1; 2]),
        shape(1, [4000, 1], [32, 20], [5, 1], [2, 1], [2, 0]),
        shape(1, [3000, 1], [32, 3], [7, 1], [1, 1], [3, 0]),
        shape(1, [130, 66], [32, 16], [4, 4], 2, [1; 2]),
        shape(2, [65, 90], [24, 20], [5, 3], 3, [2; 2]),
        shape(2, [71, 34], [20, 33], [4, 4], 2, [2, 1]),
        shape(61, [9, 8], [3, 33], [4, 4], 2, [1; 2]),
        shape(37, [12, 12], [20, 40], [3, 3], 2, [1; 2]),
        shape(1, [40, 40], [1, 24], [4, 4], 2, [1; 2]),
        shape(5, [8, 8], [96, 100], [4, 4], 2, [1; 2]),
        shape(2, [3, 3], [200, 192], [3, 3], 1, [1; 2]),
    ];
    for shape in cases {
        assert_small(&shape.unwrap(), &mut numbers);
    }
}

#[test]
fn an_empty_batch_has_no_gradient() {
    let mut shape = shape(1, [6, 6], [3, 20], [3, 3], 2, [1; 2]).unwrap();
    shape.batch = 0;
    for engine in Engine::all() {
        let mut dweight = vec![f32::NAN; shape.weights()];
        weight_gradient(engine, &shape, &[], &[], &mut dweight);
        assert!(dweight.iter().all(|d| *d == 0.0));
        to_map(engine, &shape, &[], &vec![1.0; shape.weights()], &Epilogue::none(), &mut [], None);
        to_image(engine, &shape, &[], &vec![1.0; shape.weights()], &Epilogue::none(), &mut [], None);
    }
}
