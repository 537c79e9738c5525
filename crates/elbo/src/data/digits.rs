//! Handwritten-looking digits, made on the spot: a data set that needs no download.
//!
//! Each digit starts from one of several skeletons (a 4 open or closed, a 7 with or without a crossbar) whose knots are
//! jittered, joined by smooth curves, bent, slanted and drawn with a pen of varying width. Like MNIST, the result is
//! white ink on black, scaled to fit a 20x20 box and placed with its centre of mass in the middle of 28x28 pixels. It
//! is no copy of MNIST: numbers measured here compare models with one another, not with published results.
//!
//! Digit `index` depends on `seed` and `index` alone, so any count, order or thread gives the same picture, and 60,000
//! digits begin with the same 20,000. Only additions, multiplications, divisions and square roots are used, which IEEE
//! 754 rounds alike everywhere; sines and logarithms differ between platforms' libraries, so there are none, and one
//! sha256 in the tests pins the pixels on all of them.
//!
//! ```
//! use elbo::data::digits;
//! use elbo::data::source::Source;
//!
//! let set = digits::generate(7, 100);
//! assert_eq!((set.len(), set.shape().to_string()), (100, "1 x 28 x 28".to_owned()));
//!
//! let (pixels, label) = digits::render(7, 42);
//! assert_eq!(set.label(42), Some(u32::from(label)));
//! assert!(pixels.contains(&255));
//! ```

mod draws;
mod handwriting;
mod skeletons;
mod stroke;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::data::idx::hex;
use crate::data::source::{ImageShape, InMemory};
use draws::Draws;
use stroke::Canvas;

/// Rows and columns of a digit's picture.
pub const SIDE: usize = 28;

/// Pixels of a digit's picture, and bytes: `SIDE * SIDE`.
pub const PIXELS: usize = SIDE * SIDE;

/// Raised whenever the same seed and index no longer give the same pixels; part of the fingerprint.
const VERSION: u64 = 1;

/// Which independent stream of random numbers is meant: the one that shuffles labels or the one that moves the pen.
const LABEL_TAG: u64 = 1;
const PEN_TAG: u64 = 2;

/// The digit that picture `index` of `seed` shows, 0 to 9, without drawing it.
///
/// Every ten indices from a multiple of ten hold each digit once, in shuffled order, so classes are balanced exactly.
///
/// ```
/// use elbo::data::digits;
///
/// let mut ten: Vec<u8> = (50..60).map(|index| digits::label(3, index)).collect();
/// ten.sort();
/// assert_eq!(ten, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
/// ```
pub fn label(seed: u64, index: u64) -> u8 {
    let mut order: [u8; 10] = std::array::from_fn(|digit| digit as u8);
    Draws::new(seed, index / 10, LABEL_TAG).shuffle(&mut order);
    order[(index % 10) as usize]
}

/// Draws picture `index` of `seed`: its 784 bytes, row by row, 0 for paper and 255 for ink, and its digit.
///
/// ```
/// use elbo::data::digits;
///
/// assert_eq!(digits::render(1, 5), digits::render(1, 5));
/// assert_ne!(digits::render(1, 5).0, digits::render(2, 5).0);
/// ```
pub fn render(seed: u64, index: u64) -> (Vec<u8>, u8) {
    let mut pixels = vec![0; PIXELS];
    let label = render_into(seed, index, &mut pixels);
    (pixels, label)
}

/// Draws picture `index` of `seed` over `pixels` and returns its digit: [`render`] without the allocation.
///
/// ```
/// use elbo::data::digits;
///
/// let mut pixels = [0; digits::PIXELS];
/// let label = digits::render_into(1, 5, &mut pixels);
/// assert_eq!(label, digits::label(1, 5));
/// ```
///
/// # Panics
/// If `pixels` does not hold [`PIXELS`] bytes.
pub fn render_into(seed: u64, index: u64, pixels: &mut [u8]) -> u8 {
    assert_eq!(pixels.len(), PIXELS, "a digit has {PIXELS} pixels");
    let label = label(seed, index);
    let mut draws = Draws::new(seed, index, PEN_TAG);
    let written = handwriting::write(label, &mut draws);
    let mut canvas = Canvas::blank();
    written.strokes.iter().for_each(|stroke| canvas.draw(stroke, written.softness));
    canvas.develop(written.softness, pixels);
    label
}

/// Draws the first `count` pictures of `seed`, in parallel, into a data set named `digits`.
///
/// ```
/// use elbo::data::digits;
/// use elbo::data::source::Source;
///
/// let set = digits::generate(0, 30);
/// assert_eq!(set.name(), "digits");
/// assert_eq!(set.label_names()[9], "9");
/// ```
pub fn generate(seed: u64, count: usize) -> InMemory {
    let mut pixels = vec![0; count * PIXELS];
    let mut labels = vec![0; count];
    pixels
        .par_chunks_exact_mut(PIXELS)
        .zip(&mut labels)
        .enumerate()
        .for_each(|(index, (picture, label))| *label = render_into(seed, index as u64, picture));
    let names = (0..10).map(|digit| digit.to_string()).collect();
    InMemory::new("digits", ImageShape::grey(SIDE, SIDE), pixels, fingerprint(seed, count)).labels(labels, names)
}

fn fingerprint(seed: u64, count: usize) -> String {
    let identity = format!("elbo digits version {VERSION} seed {seed} count {count}");
    hex(&Sha256::digest(identity))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::source::Source;

    fn pictures(seed: u64, range: std::ops::Range<u64>) -> Vec<(Vec<u8>, u8)> {
        range.map(|index| render(seed, index)).collect()
    }

    #[test]
    fn a_thousand_digits_are_the_same_bytes_on_every_platform() {
        let set = generate(0, 1000);
        let bytes = set.bytes().expect("the set lies in memory");
        assert_eq!(
            hex(&Sha256::digest(bytes)),
            "729e26bedcb8ff5ead043490edb0e3fb66a6123613f84bd77d6784a0a35873d5",
            "raise VERSION with it"
        );
    }

    #[test]
    fn order_count_and_threads_change_nothing() {
        let with_threads = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a small pool");
            pool.install(|| generate(5, 200))
        };
        let (one, three, more) = (with_threads(1), with_threads(3), generate(5, 300));
        assert_eq!(one.bytes(), three.bytes());
        assert_eq!(one.bytes().unwrap(), &more.bytes().unwrap()[..200 * PIXELS]);
        let mut pixels = [9; PIXELS];
        for index in (0..200).rev() {
            let label = render_into(5, index as u64, &mut pixels);
            assert_eq!(&one.bytes().unwrap()[index * PIXELS..(index + 1) * PIXELS], &pixels);
            assert_eq!(one.label(index), Some(u32::from(label)));
        }
    }

    #[test]
    fn labels_are_balanced_and_not_in_a_pattern() {
        let labels: Vec<u8> = (0..1000).map(|index| label(2, index)).collect();
        let counts: Vec<usize> = (0..10).map(|digit| labels.iter().filter(|&&l| l == digit).count()).collect();
        assert_eq!(counts, [100; 10]);
        assert_ne!(labels, (0..1000).map(|index| label(3, index)).collect::<Vec<_>>());
        let repeats = labels.iter().zip(&labels[10..]).filter(|(a, b)| a == b).count();
        assert!((50..150).contains(&repeats), "{repeats} of 990 repeat ten later; about 99 by chance");
    }

    #[test]
    fn ink_is_as_plentiful_as_in_mnist_and_stays_off_the_border() {
        let mut total = 0.0;
        for (pixels, label) in pictures(11, 0..2000) {
            let ink = pixels.iter().map(|&p| f64::from(p)).sum::<f64>() / (255.0 * PIXELS as f64);
            assert!((0.015..0.42).contains(&ink), "a {label} has ink {ink}");
            assert!(pixels.iter().any(|&p| p > 200), "a {label} is faint");
            total += ink / 2000.0;
            let border = |i: usize| [i / SIDE, i % SIDE].iter().any(|&place| place == 0 || place == SIDE - 1);
            assert!((0..PIXELS).all(|i| pixels[i] == 0 || !border(i)), "a {label} touches the border");
        }
        assert!((0.12..0.15).contains(&total), "mean {total}; MNIST has 0.131");
    }

    #[test]
    fn the_centre_of_mass_is_near_the_middle() {
        for (pixels, label) in pictures(12, 0..500) {
            let mass: f64 = pixels.iter().map(|&p| f64::from(p)).sum();
            let moment = |at: fn(usize) -> usize| {
                pixels.iter().enumerate().map(|(i, &p)| (at(i) as f64 + 0.5) * f64::from(p)).sum::<f64>() / mass
            };
            let (x, y) = (moment(|i| i % SIDE), moment(|i| i / SIDE));
            assert!((x - 14.0).abs() < 2.5 && (y - 14.0).abs() < 2.5, "a {label} is centred on {x}, {y}");
        }
    }

    #[test]
    fn the_nearest_class_mean_is_often_but_not_always_right() {
        let (train, test) = (pictures(1, 0..2000), pictures(2, 0..500));
        let mut means = vec![[0.0_f32; PIXELS]; 10];
        for (pixels, label) in &train {
            means[usize::from(*label)].iter_mut().zip(pixels).for_each(|(m, &p)| *m += f32::from(p) / 200.0);
        }
        let distance = |mean: &[f32], pixels: &[u8]| -> f32 {
            mean.iter().zip(pixels).map(|(m, &p)| (m - f32::from(p)).powi(2)).sum()
        };
        let right = test.iter().filter(|(pixels, label)| {
            let nearest = (0..10).min_by(|&a, &b| distance(&means[a], pixels).total_cmp(&distance(&means[b], pixels)));
            nearest == Some(usize::from(*label))
        });
        let share = right.count() as f32 / 500.0;
        assert!((0.75..0.95).contains(&share), "{share} right; on MNIST it is 0.82");
    }

    #[test]
    fn no_two_pictures_are_alike() {
        let all: std::collections::HashSet<Vec<u8>> = pictures(4, 0..1000).into_iter().map(|(p, _)| p).collect();
        assert_eq!(all.len(), 1000);
    }

    #[test]
    fn the_fingerprint_names_seed_and_count() {
        let print = |seed, count| generate(seed, count).fingerprint().to_owned();
        assert_eq!(print(1, 3), print(1, 3));
        assert_ne!(print(1, 3), print(2, 3));
        assert_ne!(print(1, 3), print(1, 4));
        assert_eq!(print(1, 0).len(), 64);
    }

    #[test]
    #[should_panic(expected = "a digit has 784 pixels")]
    fn a_buffer_of_another_size_is_refused() {
        render_into(0, 0, &mut [0; 783]);
    }
}
