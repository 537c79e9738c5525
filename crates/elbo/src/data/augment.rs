//! Small random changes to training images: each epoch sees every picture a little differently.
//!
//! Every option is off by default. Flip, shift and rotation are one resampling with bilinear weights, so an image that is only flipped or shifted
//! by whole pixels keeps its exact values; what a move uncovers repeats the edge. Pictures of 256 levels stay on those levels, which discrete
//! likelihoods rely on. Validation and test images are never touched.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::source::ImageShape;
use crate::error::{Error, Result};
use crate::random::Draws;
use crate::reference::Fields;

/// The `[augment]` table of a recipe.
///
/// ```
/// use elbo::data::{ImageShape, augment::Augment};
/// use elbo::random::{Draws, Purpose};
///
/// let augment = Augment { flip: true, ..Default::default() };
/// let seen: Vec<[f32; 2]> = (0..20)
///     .map(|step| {
///         let mut pair = [0.0, 1.0];
///         augment.apply(&mut pair, ImageShape::grey(1, 2), true, &mut Draws::new(0, Purpose::Augmentation, 1, step));
///         pair
///     })
///     .collect();
/// assert!(seen.contains(&[0.0, 1.0]) && seen.contains(&[1.0, 0.0]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, Fields)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// Mirrors left and right with probability 1/2. Right for faces and most photographs, wrong for digits and text.
    pub flip: bool,
    /// Moves by up to this many whole pixels either way, along each axis.
    pub shift: usize,
    /// Turns by up to this many degrees either way.
    pub rotation: f64,
    /// Adds up to this much to all values, either way, in units of the range 0..1.
    pub brightness: f64,
    /// Scales the distance from the image's mean by up to 1 plus or minus this.
    pub contrast: f64,
    /// Scales the distance of each colour from grey by up to 1 plus or minus this; nothing to a grey image.
    pub saturation: f64,
}

/// What happens to one image.
#[derive(Debug, Clone, Copy)]
struct Change {
    flip: bool,
    shift: [f64; 2],
    /// Radians.
    angle: f64,
    brightness: f32,
    contrast: f32,
    saturation: f32,
}

impl Augment {
    /// Whether anything is switched on.
    pub fn is_on(&self) -> bool {
        *self != Self::default()
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn check(&self) -> Result<()> {
        let limits = [
            ("augment.rotation", self.rotation, 180.0),
            ("augment.brightness", self.brightness, 1.0),
            ("augment.contrast", self.contrast, 1.0),
            ("augment.saturation", self.saturation, 1.0),
        ];
        match limits.iter().find(|(_, value, most)| !(0.0..=*most).contains(value)) {
            Some((key, value, most)) => {
                let help = "small values keep the pictures believable; 0 turns it off";
                Err(Error::config(*key, format!("a number from 0 to {most}"), value.to_string(), help))
            }
            None => Ok(()),
        }
    }

    /// Checks that examples of `shape` are pictures that these changes make sense for.
    ///
    /// # Errors
    /// [`Error::Config`] if they are rows of a table, or smaller than the shift.
    pub fn check_shape(&self, shape: ImageShape, is_table: bool) -> Result<()> {
        if is_table && self.is_on() {
            let help = "remove [augment]: columns cannot be turned or flipped";
            return Err(Error::config("augment", "pictures to change", "rows of a table", help));
        }
        if self.shift >= shape.height.min(shape.width) && self.shift > 0 {
            let expected = format!("less than the sides of {} x {}", shape.height, shape.width);
            return Err(Error::config("augment.shift", expected, self.shift.to_string(), "choose a smaller shift"));
        }
        Ok(())
    }

    /// Changes a batch in place. Each image takes the same number of draws whatever is switched on, so one option does not move another's.
    ///
    /// # Shapes
    /// - `values`: `[batch, channels, height, width]` in [0, 1]; multiples of 1/255 before and after if `levels`
    pub fn apply(&self, values: &mut [f32], shape: ImageShape, levels: bool, draws: &mut Draws) {
        let numel = shape.numel();
        let changes: Vec<Change> = (0..values.len() / numel).map(|_| self.draw(draws)).collect();
        values.par_chunks_exact_mut(numel).zip(changes).for_each_init(Vec::new, |original, (image, change)| {
            if change.moves() {
                original.clear();
                original.extend_from_slice(image);
                resample(original, image, shape, change);
            }
            if change.recolours() {
                recolour(image, shape, change);
            }
            if levels && (change.angle != 0.0 || change.recolours()) {
                image.iter_mut().for_each(|value| *value = (*value * 255.0).round() / 255.0);
            }
        });
    }

    fn draw(&self, draws: &mut Draws) -> Change {
        let flip = draws.uniform() < 0.5;
        let mut either_way = |most: f64| (2.0 * draws.uniform() - 1.0) * most;
        // A whole number from -shift to shift, all equally likely.
        let reach = self.shift as f64;
        let mut pixels = || (either_way(reach + 0.5)).round().clamp(-reach, reach);
        let shift = [pixels(), pixels()];
        Change {
            flip: flip && self.flip,
            shift,
            angle: either_way(self.rotation.to_radians()),
            brightness: either_way(self.brightness) as f32,
            contrast: 1.0 + either_way(self.contrast) as f32,
            saturation: 1.0 + either_way(self.saturation) as f32,
        }
    }
}

impl Change {
    fn moves(&self) -> bool {
        self.flip || self.shift != [0.0; 2] || self.angle != 0.0
    }

    fn recolours(&self) -> bool {
        self.brightness != 0.0 || self.contrast != 1.0 || self.saturation != 1.0
    }
}

/// Looks up where each pixel of the changed image comes from.
fn resample(from: &[f32], to: &mut [f32], shape: ImageShape, change: Change) {
    let ImageShape { height, width, .. } = shape;
    let (sine, cosine) = change.angle.sin_cos();
    let centre = [(height as f64 - 1.0) / 2.0, (width as f64 - 1.0) / 2.0];
    let planes = from.chunks_exact(height * width).zip(to.chunks_exact_mut(height * width));
    for (from, to) in planes {
        for (i, value) in to.iter_mut().enumerate() {
            let (row, column) = ((i / width) as f64, (i % width) as f64);
            let (y, x) = (row - centre[0] - change.shift[0], column - centre[1] - change.shift[1]);
            let (y, x) = (cosine * y + sine * x, cosine * x - sine * y);
            let x = if change.flip { -x } else { x };
            *value = bilinear(from, height, width, y + centre[0], x + centre[1]);
        }
    }
}

/// The value between four pixels; outside, that of the nearest edge.
fn bilinear(plane: &[f32], height: usize, width: usize, y: f64, x: f64) -> f32 {
    let (y, x) = (y.clamp(0.0, height as f64 - 1.0), x.clamp(0.0, width as f64 - 1.0));
    let (top, left) = (y as usize, x as usize);
    let (bottom, right) = ((top + 1).min(height - 1), (left + 1).min(width - 1));
    let (down, along) = ((y - top as f64) as f32, (x - left as f64) as f32);
    let row = |row: usize| plane[row * width + left] * (1.0 - along) + plane[row * width + right] * along;
    row(top) * (1.0 - down) + row(bottom) * down
}

/// Saturation, then contrast, then brightness, kept in [0, 1].
fn recolour(image: &mut [f32], shape: ImageShape, change: Change) {
    let pixels = shape.height * shape.width;
    if shape.channels == 3 && change.saturation != 1.0 {
        for i in 0..pixels {
            let colours = [0, 1, 2].map(|channel| image[channel * pixels + i]);
            // Luma weights of ITU-R BT.601.
            let grey = 0.299 * colours[0] + 0.587 * colours[1] + 0.114 * colours[2];
            for (channel, colour) in colours.into_iter().enumerate() {
                image[channel * pixels + i] = grey + (colour - grey) * change.saturation;
            }
        }
    }
    let mean = image.iter().sum::<f32>() / image.len() as f32;
    for value in image.iter_mut() {
        *value = (mean + (*value - mean) * change.contrast + change.brightness).clamp(0.0, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    const SHAPE: ImageShape = ImageShape { channels: 1, height: 3, width: 4 };

    fn changed(values: &[f32], shape: ImageShape, change: Change) -> Vec<f32> {
        let mut to = vec![f32::NAN; values.len()];
        resample(values, &mut to, shape, change);
        to
    }

    fn nothing() -> Change {
        Change { flip: false, shift: [0.0; 2], angle: 0.0, brightness: 0.0, contrast: 1.0, saturation: 1.0 }
    }

    #[rustfmt::skip]
    const PICTURE: [f32; 12] = [
        0.0, 0.1, 0.2, 0.3,
        0.4, 0.5, 0.6, 0.7,
        0.8, 0.9, 1.0, 0.1,
    ];

    #[test]
    #[rustfmt::skip]
    fn flips_and_shifts_keep_exact_values_and_repeat_the_edge() {
        let mirrored = changed(&PICTURE, SHAPE, Change { flip: true, ..nothing() });
        assert_eq!(mirrored, [
            0.3, 0.2, 0.1, 0.0,
            0.7, 0.6, 0.5, 0.4,
            0.1, 1.0, 0.9, 0.8,
        ]);
        let moved = changed(&PICTURE, SHAPE, Change { shift: [1.0, -1.0], ..nothing() });
        assert_eq!(moved, [
            0.1, 0.2, 0.3, 0.3,
            0.1, 0.2, 0.3, 0.3,
            0.5, 0.6, 0.7, 0.7,
        ]);
    }

    #[test]
    fn a_quarter_turn_of_a_square_is_exact_to_rounding() {
        let square = ImageShape::grey(2, 2);
        let turned = changed(&[1.0, 2.0, 3.0, 4.0], square, Change { angle: std::f64::consts::FRAC_PI_2, ..nothing() });
        for (found, expected) in turned.iter().zip([2.0, 4.0, 1.0, 3.0]) {
            assert!((found - expected).abs() < 1e-6, "{turned:?}");
        }
    }

    #[test]
    fn colours_move_as_defined_and_stay_in_range() {
        let shape = ImageShape { channels: 3, height: 1, width: 1 };
        let mut grey = [0.5, 0.5, 0.5];
        recolour(&mut grey, shape, Change { saturation: 0.0, ..nothing() });
        assert!(grey.iter().all(|v| (v - 0.5).abs() < 1e-6), "{grey:?}");
        let mut red = [1.0, 0.0, 0.0];
        recolour(&mut red, shape, Change { saturation: 0.0, ..nothing() });
        assert!(red.iter().all(|v| (v - 0.299).abs() < 1e-6), "{red:?}");
        let mut pair = [0.2, 0.6];
        recolour(&mut pair, ImageShape::grey(1, 2), Change { contrast: 1.5, brightness: 0.4, ..nothing() });
        assert!((pair[0] - 0.5).abs() < 1e-6 && pair[1] == 1.0, "{pair:?}");
    }

    #[test]
    fn draws_cover_the_range_evenly_and_do_not_depend_on_other_options() {
        let augment = Augment { shift: 2, rotation: 10.0, ..Default::default() };
        let more = Augment { flip: true, brightness: 0.5, ..augment };
        let mut counts = [0; 5];
        for step in 0..2000 {
            let draws = || Draws::new(3, Purpose::Augmentation, 0, step);
            let change = augment.draw(&mut draws());
            assert!(change.angle.abs() <= 10f64.to_radians());
            assert_eq!((change.shift, change.angle), (more.draw(&mut draws()).shift, more.draw(&mut draws()).angle));
            counts[(change.shift[0] + 2.0) as usize] += 1;
        }
        assert!(counts.iter().all(|&count| (320..480).contains(&count)), "{counts:?}");
    }

    #[test]
    fn levels_stay_levels() {
        let augment = Augment { rotation: 30.0, contrast: 0.5, brightness: 0.2, ..Default::default() };
        let mut values: Vec<f32> = (0..48).map(|i| (i * 5) as f32 / 255.0).collect();
        let before = values.clone();
        augment.apply(
            &mut values,
            ImageShape { channels: 3, height: 4, width: 4 },
            true,
            &mut Draws::new(0, Purpose::Augmentation, 1, 1),
        );
        assert_ne!(values, before);
        assert!(values.iter().all(|v| (v * 255.0 - (v * 255.0).round()).abs() < 1e-4 && (0.0..=1.0).contains(v)));
    }

    #[test]
    fn wrong_numbers_and_wrong_data_are_refused() {
        let error = |augment: Augment| augment.check().unwrap_err().to_string();
        assert!(error(Augment { rotation: -1.0, ..Default::default() }).contains("augment.rotation"));
        assert!(error(Augment { contrast: f64::NAN, ..Default::default() }).contains("augment.contrast"));
        let augment = Augment { shift: 3, ..Default::default() };
        assert!(augment.check_shape(SHAPE, false).unwrap_err().to_string().contains("augment.shift"));
        assert!(augment.check_shape(ImageShape::grey(1, 9), true).unwrap_err().to_string().contains("table"));
    }
}
