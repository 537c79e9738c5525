//! Sprites: a white square, ellipse or heart on black, with every factor of variation known.
//!
//! The grid of factors is that of dSprites (Matthey et al. 2017): 3 shapes, 6 scales from 0.5 to 1, 40 orientations
//! from 0 to one full turn, 32 columns and 32 rows, 737,280 pictures of 64x64 pixels in that order, the row changing
//! fastest. It shows whether a model's latents line up with the factors. As in dSprites, the first and the last
//! orientation are the same: both ends of the turn are in the grid.
//!
//! Pictures are drawn when they are read; stored they would take 3 GB. Pixels are 0 or 255, nothing between: that is
//! what dSprites has and what a Bernoulli likelihood describes. Outlines are this crate's own, so pictures resemble
//! those of dSprites without being the same pixels.
//!
//! ```
//! use elbo::data::source::Source;
//! use elbo::data::sprites::{self, Sprites};
//!
//! let set = Sprites::new();
//! let index = sprites::index_of([2, 5, 0, 16, 16]);
//! assert_eq!(set.factors(index), [2, 5, 0, 16, 16]);
//! assert_eq!(set.label_names()[set.label(index).unwrap() as usize], "heart");
//!
//! let mut pixels = vec![0; set.shape().numel()];
//! set.read(index, &mut pixels);
//! assert!(pixels.contains(&255));
//! ```

use std::f64::consts::TAU;

use sha2::{Digest, Sha256};

use crate::data::idx::hex;
use crate::data::source::{ImageShape, Source};

/// Rows and columns of a sprite's picture.
pub const SIDE: usize = 64;

/// Names and sizes of the factors, slowest first.
///
/// `scale` s stands for `0.5 + 0.1 s`, `orientation` o for `o / 39` of a turn, anticlockwise; `x` and `y` put the
/// centre of the sprite on the centre of the pixel in column `16 + x` and row `16 + y`, counted from the upper left.
pub const FACTORS: [(&str, usize); 5] = [("shape", 3), ("scale", 6), ("orientation", 40), ("x", 32), ("y", 32)];

/// Number of pictures: the product of the factors' sizes.
pub const COUNT: usize = 3 * 6 * 40 * 32 * 32;

/// Raised whenever a factor combination no longer gives the same pixels; part of the fingerprint.
const VERSION: u64 = 1;

/// Column of the pixel that the leftmost sprites are centred on, and row of the topmost ones.
const FIRST_CENTRE: usize = 16;

/// The index of the picture with these factors: shape, scale, orientation, x, y.
///
/// ```
/// use elbo::data::sprites;
///
/// assert_eq!(sprites::index_of([0, 0, 0, 0, 1]), 1);
/// assert_eq!(sprites::index_of([2, 5, 39, 31, 31]), sprites::COUNT - 1);
/// ```
///
/// # Panics
/// If a factor is not below its size in [`FACTORS`].
pub fn index_of(factors: [u32; 5]) -> usize {
    FACTORS.iter().zip(factors).fold(0, |index, (&(name, size), factor)| {
        assert!((factor as usize) < size, "{name} {factor} is not below {size}");
        index * size + factor as usize
    })
}

/// The factors of picture `index`, each below its size in [`FACTORS`]: the inverse of [`index_of`].
///
/// ```
/// use elbo::data::sprites;
///
/// assert_eq!(sprites::factors_of(32 * 32), [0, 0, 1, 0, 0]);
/// ```
///
/// # Panics
/// If `index` is not below [`COUNT`].
pub fn factors_of(index: usize) -> [u32; 5] {
    assert!(index < COUNT, "sprite {index} of {COUNT}");
    let mut rest = index;
    let mut factors = [0; 5];
    for (factor, (_, size)) in factors.iter_mut().zip(FACTORS).rev() {
        *factor = (rest % size) as u32;
        rest /= size;
    }
    factors
}

/// All sprites as a [`Source`] named `sprites`. The label is the shape.
///
/// ```
/// use elbo::data::source::Source;
/// use elbo::data::sprites::Sprites;
///
/// let set = Sprites::new();
/// assert_eq!((set.len(), set.shape().to_string()), (737_280, "1 x 64 x 64".to_owned()));
/// assert_eq!(set.factor_names()[2], ("orientation", 40));
/// ```
#[derive(Debug, Clone)]
pub struct Sprites {
    label_names: Vec<String>,
    fingerprint: String,
}

impl Sprites {
    /// The whole grid; nothing is drawn yet.
    pub fn new() -> Self {
        Self {
            label_names: ["square", "ellipse", "heart"].map(str::to_owned).to_vec(),
            fingerprint: hex(&Sha256::digest(format!("elbo sprites version {VERSION}"))),
        }
    }
}

impl Default for Sprites {
    fn default() -> Self {
        Self::new()
    }
}

impl Source for Sprites {
    fn name(&self) -> &str {
        "sprites"
    }

    fn len(&self) -> usize {
        COUNT
    }

    fn shape(&self) -> ImageShape {
        ImageShape::grey(SIDE, SIDE)
    }

    fn read(&self, index: usize, pixels: &mut [u8]) {
        assert_eq!(pixels.len(), SIDE * SIDE, "a sprite has {} pixels", SIDE * SIDE);
        draw(factors_of(index), pixels);
    }

    fn label(&self, index: usize) -> Option<u32> {
        Some(factors_of(index)[0])
    }

    fn label_names(&self) -> &[String] {
        &self.label_names
    }

    fn factor_names(&self) -> &[(&'static str, usize)] {
        &FACTORS
    }

    fn factors(&self, index: usize) -> Vec<u32> {
        factors_of(index).to_vec()
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// Half the side of the largest square, and the unit of the heart, in pixels.
///
/// No whole number at any scale: an edge never runs through the centre of a pixel, where rounding would decide.
const UNIT: f64 = 10.25;

/// Half the axes of the largest ellipse, in pixels.
const AXES: (f64, f64) = (14.15, 8.05);

/// How far any largest shape reaches from its centre: less than this many pixels.
const REACH: f64 = 15.0;

/// How far the heart's centre of mass lies above the origin of its equation.
const HEART_CENTRE: f64 = 0.2935;

fn draw([shape, scale, orientation, x, y]: [u32; 5], pixels: &mut [u8]) {
    pixels.fill(0);
    let covers = [in_square, in_ellipse, in_heart][shape as usize];
    let scale = 0.5 + 0.1 * f64::from(scale);
    // The last orientation is the first one: the same bits, not the sine of a rounded full turn.
    let steps = FACTORS[2].1 as u32 - 1;
    let (sin, cos) = (TAU * f64::from(orientation % steps) / f64::from(steps)).sin_cos();
    let reach = (REACH * scale).ceil() as i32;
    for down in -reach..=reach {
        for right in -reach..=reach {
            let (dx, dy) = (f64::from(right) / scale, f64::from(down) / scale);
            if covers(dx * cos - dy * sin, dx * sin + dy * cos) {
                pixels[cell(y, down) * SIDE + cell(x, right)] = 255;
            }
        }
    }
}

/// The row or column `offset` pixels from the one that factor `position` stands for.
fn cell(position: u32, offset: i32) -> usize {
    (FIRST_CENTRE + position as usize).strict_add_signed(offset as isize)
}

/// Whether the upright square of scale 1 covers the point, in pixels right of and below its centre. So do the others.
fn in_square(x: f64, y: f64) -> bool {
    x.abs().max(y.abs()) <= UNIT
}

fn in_ellipse(x: f64, y: f64) -> bool {
    (x / AXES.0).powi(2) + (y / AXES.1).powi(2) <= 1.0
}

/// The sextic heart `(x^2 + y^2 - 1)^3 = x^2 y^3`, y upwards, moved to its centre of mass.
fn in_heart(x: f64, y: f64) -> bool {
    let (x, y) = (x / UNIT, HEART_CENTRE - y / UNIT);
    (x * x + y * y - 1.0).powi(3) <= x * x * y * y * y
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(factors: [u32; 5]) -> Vec<u8> {
        let mut pixels = vec![7; SIDE * SIDE];
        Sprites::new().read(index_of(factors), &mut pixels);
        pixels
    }

    fn area(pixels: &[u8]) -> usize {
        pixels.iter().filter(|&&pixel| pixel == 255).count()
    }

    /// Every shape, scale and orientation.
    fn outlines() -> impl Iterator<Item = [u32; 3]> {
        (0..3 * 6 * 40).map(|i| [i / 240, i / 40 % 6, i % 40])
    }

    #[test]
    fn factors_and_indices_are_inverse() {
        assert_eq!(FACTORS.iter().map(|(_, size)| size).product::<usize>(), COUNT);
        assert!((0..COUNT).all(|index| index_of(factors_of(index)) == index));
        assert_eq!(factors_of(COUNT - 1), [2, 5, 39, 31, 31]);
        let set = Sprites::new();
        assert_eq!((set.len(), set.label(COUNT / 3), set.label(COUNT / 3 - 1)), (COUNT, Some(1), Some(0)));
    }

    #[test]
    #[should_panic(expected = "orientation 40 is not below 40")]
    fn a_factor_out_of_range_is_refused() {
        index_of([0, 0, 40, 0, 0]);
    }

    #[test]
    fn pixels_are_black_or_white_and_the_same_each_time() {
        for [shape, scale, orientation] in outlines() {
            let factors = [shape, scale, orientation, 9, 30];
            let pixels = picture(factors);
            assert!(pixels.iter().all(|&pixel| pixel == 0 || pixel == 255));
            assert_eq!(pixels, picture(factors));
        }
    }

    #[test]
    fn shapes_are_centred_where_x_and_y_say() {
        for [shape, scale, orientation] in outlines() {
            let (x, y) = ((orientation * 7) % 32, (orientation * 11 + scale) % 32);
            let pixels = picture([shape, scale, orientation, x, y]);
            let lit: Vec<usize> = (0..SIDE * SIDE).filter(|&i| pixels[i] == 255).collect();
            let mean = |of: fn(usize) -> usize| lit.iter().map(|&i| of(i) as f64).sum::<f64>() / lit.len() as f64;
            let (column, row) = (mean(|i| i % SIDE), mean(|i| i / SIDE));
            let off = (column - f64::from(16 + x)).abs().max((row - f64::from(16 + y)).abs());
            assert!(off < 0.25, "shape {shape}, scale {scale}, orientation {orientation}: off by {off}");
        }
    }

    #[test]
    fn area_grows_with_the_square_of_the_scale() {
        for shape in 0..3 {
            for orientation in 0..40 {
                let areas: Vec<usize> = (0..6).map(|s| area(&picture([shape, s, orientation, 16, 16]))).collect();
                assert!(areas.windows(2).all(|pair| pair[0] < pair[1]), "{areas:?}");
                let ratio = areas[5] as f64 / areas[0] as f64;
                assert!((3.3..4.7).contains(&ratio), "shape {shape}, orientation {orientation}: {areas:?}");
            }
        }
    }

    #[test]
    fn moving_a_shape_moves_its_pixels_and_clips_none() {
        for [shape, scale, orientation] in outlines() {
            let (first, last) = ([0, 0], [31, 31]);
            let [start, end] = [first, last].map(|[x, y]| picture([shape, scale, orientation, x, y]));
            let shift = 31 * SIDE + 31;
            assert_eq!(start[..SIDE * SIDE - shift], end[shift..]);
            assert_eq!(area(&start), area(&end));
            let edge = |i: usize| [i / SIDE, i % SIDE].iter().any(|&place| place == 0 || place == SIDE - 1);
            assert!((0..SIDE * SIDE).all(|i| !edge(i) || (start[i] == 0 && end[i] == 0)));
        }
    }

    #[test]
    fn no_shape_reaches_further_than_the_drawn_box() {
        for step in 0..3600 {
            let (sin, cos) = (TAU * f64::from(step) / 3600.0).sin_cos();
            let (x, y) = (REACH * cos, REACH * sin);
            assert!(!in_square(x, y) && !in_ellipse(x, y) && !in_heart(x, y));
        }
    }

    #[test]
    fn orientation_turns_all_the_way_round() {
        for shape in 0..3 {
            let at = |orientation| picture([shape, 5, orientation, 16, 16]);
            assert_eq!(at(0), at(39), "both ends of the turn are in the grid");
            assert!((1..39).all(|orientation| at(orientation) != at(0)), "shape {shape}");
        }
    }

    #[test]
    fn hearts_stand_on_their_tip_and_turn_anticlockwise() {
        let lit = |orientation: u32, right: i32, down: i32| {
            picture([2, 5, orientation, 16, 16])[cell(16, down) * SIDE + cell(16, right)] == 255
        };
        assert!(lit(0, 0, 11) && !lit(0, 0, -11), "the tip is below, the notch above");
        assert!(lit(10, 11, 0) && !lit(10, -11, 0), "after a quarter turn the tip is on the right");
    }

    #[test]
    fn shapes_have_their_areas() {
        let exact = [4.0 * UNIT * UNIT, std::f64::consts::PI * AXES.0 * AXES.1, 3.662 * UNIT * UNIT];
        for (shape, exact) in exact.into_iter().enumerate() {
            let mean = (0..39).map(|o| area(&picture([shape as u32, 5, o, 3, 3]))).sum::<usize>() as f64 / 39.0;
            assert!((mean / exact - 1.0).abs() < 0.03, "shape {shape}: {mean} pixels for {exact}");
        }
    }
}
