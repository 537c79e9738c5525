//! Fused operations against their twins at drawn shapes: odd sizes, few and many channels, strides, paddings, threads, instruction sets
//! and values that are not finite. `fuzz/` draws from the same cases for longer.

mod support {
    pub mod activations;
    pub mod cases;
    #[allow(dead_code, reason = "cases draw their own layers")]
    pub mod grids;
    #[allow(dead_code, reason = "as above")]
    pub mod images;
}

use elbo_kernels::simd::Level;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use support::cases::{Case, KINDS};

/// Checks `count` cases of one kind; failing ones are shrunk to the simplest choices that still fail.
fn holds(kind: usize, count: u32) {
    let config = ProptestConfig {
        cases: count,
        rng_seed: RngSeed::Fixed(0x6b65_726e ^ kind as u64),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let choices = prop::collection::vec(any::<u16>(), 24);
    let outcome = TestRunner::new(config).run(&choices, |choices| {
        let mut choices = choices.into_iter();
        let mut pick = |n: usize| usize::from(choices.next().unwrap_or(0)) % n;
        Case::draw(kind, &mut pick).check().map_err(TestCaseError::fail)
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn layers() {
    holds(0, 400);
}

#[test]
fn convolutions() {
    holds(1, 400);
}

#[test]
fn transposed_convolutions() {
    holds(2, 400);
}

#[test]
fn batch_normalisations() {
    holds(3, 400);
}

#[test]
fn likelihoods() {
    holds(4, 300);
}

#[test]
fn latent_terms() {
    holds(KINDS - 1, 300);
}

/// Found by fuzzing: a window of 4 x 5 over a single pixel with padding 3 and 2 has columns that meet none. One form gives their weights the
/// gradient 0, the other NaN, as soon as that pixel is infinite.
#[test]
fn a_window_place_without_pixels_is_not_compared_where_a_pixel_is_infinite() {
    use elbo_kernels::ConvGeometry;
    use support::cases::Operation;

    let conv =
        |padding, x| Operation::Conv { x, outputs: 2, kernel: [4, 5], geometry: ConvGeometry { stride: 1, padding } };
    for level in [Level::Avx512, Level::Avx2, Level::Baseline] {
        for (padding, x) in [([3, 2], [1, 1, 1, 5]), ([3, 4], [1, 1, 1, 5]), ([1, 1], [1, 6, 7, 2])] {
            for value in [f32::INFINITY, f32::NAN] {
                Case::plain(conv(padding, x), level).wild(value, 11_576).check().unwrap_or_else(|why| panic!("{why}"));
            }
        }
    }
}

/// The sizes that break kernels first, each on every instruction set of this machine.
#[test]
fn few_and_odd_channels_at_odd_sizes_with_stride_two() {
    use elbo_kernels::{ConvGeometry, ConvTransposeGeometry};
    use support::cases::Operation;

    for level in [Level::Avx512, Level::Avx2, Level::Baseline] {
        for (inputs, outputs) in [1, 3, 5, 33].into_iter().flat_map(|i| [1, 3, 5, 33].map(|o| (i, o))) {
            for (batch, height, width) in [(1, 7, 11), (1, 9, 5), (2, 13, 1)] {
                let (x, kernel) = ([batch, height, width, inputs], [3, 3]);
                let down = ConvGeometry { stride: 2, padding: [1; 2] };
                let up = ConvTransposeGeometry { stride: 2, padding: [1; 2], output_padding: [1; 2] };
                for operation in [
                    Operation::Conv { x, outputs, kernel, geometry: down },
                    Operation::ConvTranspose { x, outputs, kernel, geometry: up },
                    Operation::BatchNorm { x, inference: false },
                ] {
                    Case::plain(operation, level).check().unwrap();
                }
            }
        }
    }
}
