//! The sizes of an image as it is halved layer by layer, and how each layer leads down and exactly back.

use std::fmt::Write as _;

use elbo_kernels::{ConvGeometry, ConvTransposeGeometry};

use crate::error::{Error, Result};

/// Halves the image with each layer.
const STRIDE: usize = 2;

/// One halving of an image of any height and width: a side of `n` pixels becomes `ceil(n / 2)`, and the transposed convolution leads back to `n`.
///
/// | side | windows of 4 | windows of 3 or 5 |
/// |---|---|---|
/// | even | padding 1, output padding 0 | padding 1 or 2, output padding 1 |
/// | odd | padding 2, output padding 1 | padding 1 or 2, output padding 0 |
///
/// Paddings are PyTorch's, one for each axis: `nn.Conv2d(i, o, kernel, 2, padding)` and
/// `nn.ConvTranspose2d(o, i, kernel, 2, padding, output_padding)`.
///
/// ```
/// use elbo::networks::Halving;
///
/// let halving = Halving { kernel: 4, large: [61, 48] };
/// assert_eq!(halving.small(), [31, 24]);
/// assert_eq!((halving.down().padding, halving.up().output_padding), ([2, 1], [1, 0]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Halving {
    /// Side of the square windows.
    pub kernel: usize,
    /// Height and width before; the decoder's after.
    pub large: [usize; 2],
}

impl Halving {
    /// Height and width after.
    pub fn small(self) -> [usize; 2] {
        self.large.map(|side| side.div_ceil(STRIDE))
    }

    /// The convolution that halves.
    pub fn down(self) -> ConvGeometry {
        ConvGeometry { stride: STRIDE, padding: self.padding() }
    }

    /// The transposed convolution that leads back.
    pub fn up(self) -> ConvTransposeGeometry {
        let (padding, small) = (self.padding(), self.small());
        let without = |axis: usize| (small[axis] - 1) * STRIDE + self.kernel - 2 * padding[axis];
        let output_padding = [0, 1].map(|axis| self.large[axis] - without(axis));
        ConvTransposeGeometry { stride: STRIDE, padding, output_padding }
    }

    fn padding(self) -> [usize; 2] {
        // An odd side needs one more zero to round up. Windows of an odd size have it anyway; those of an even size get one on both sides.
        let more = |side: usize| if self.kernel.is_multiple_of(2) { side % STRIDE } else { 0 };
        self.large.map(|side| (self.kernel - 1) / STRIDE + more(side))
    }
}

/// A network's halvings, each with the channels after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pyramid {
    /// Channels, height and width of the image.
    pub shape: [usize; 3],
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub halving: Halving,
    /// Channels before and after, on the way down.
    pub inputs: usize,
    pub channels: usize,
}

impl Pyramid {
    /// Halvings of images of `shape` to these channels.
    ///
    /// # Errors
    /// [`Error::Config`] that follows the layers to the one that has nothing left to halve.
    pub fn new(kernel: usize, channels: &[usize], shape: [usize; 3]) -> Result<Self> {
        let sides = [shape[1], shape[2]];
        if channels.len() > most_halvings(sides) {
            return Err(too_small(channels, sides));
        }
        let inputs = [shape[0]].into_iter().chain(channels.iter().copied());
        let steps = inputs.zip(channels).zip(levels(sides));
        let steps =
            steps.map(|((inputs, &channels), large)| Step { halving: Halving { kernel, large }, inputs, channels });
        Ok(Self { shape, steps: steps.collect() })
    }

    /// The smallest image, if its unhalved form has `channels` (the decoder's may differ from the data's).
    pub fn smallest(&self, channels: usize) -> [usize; 3] {
        match self.steps.last() {
            Some(step) => [step.channels, step.halving.small()[0], step.halving.small()[1]],
            None => [channels, self.shape[1], self.shape[2]],
        }
    }
}

/// The sides of the image, then after one halving, two, ...
fn levels(sides: [usize; 2]) -> impl Iterator<Item = [usize; 2]> {
    std::iter::successors(Some(sides), |sides| Some(sides.map(|side| side.div_ceil(STRIDE))))
}

/// Whether `now` can be halved once more. A side of one pixel can not, unless the image never had more there: then it is no image but a line, and only its
/// other side counts.
fn can_halve(image: [usize; 2], now: [usize; 2]) -> bool {
    image != [1, 1] && image.iter().zip(now).all(|(&whole, side)| side > 1 || whole == 1)
}

/// How often images of `sides` (height, width) can be halved.
///
/// ```
/// use elbo::networks::most_halvings;
///
/// assert_eq!([[28, 28], [112, 92], [2, 3], [33, 1], [1, 1]].map(most_halvings), [5, 7, 1, 6, 0]);
/// ```
pub fn most_halvings(sides: [usize; 2]) -> usize {
    levels(sides).take_while(|&now| can_halve(sides, now)).count()
}

/// How often images of `sides` can be halved with at least `smallest` pixels left on each side; once at least, where that is possible.
pub(super) fn halvings_down_to(smallest: usize, sides: [usize; 2]) -> usize {
    let large = |after: &[usize; 2]| sides.iter().zip(after).all(|(&whole, &side)| side >= smallest || whole == 1);
    let most = most_halvings(sides);
    levels(sides).skip(1).take(most).take_while(large).count().clamp(1.min(most), most)
}

fn too_small(channels: &[usize], sides: [usize; 2]) -> Error {
    let fits = most_halvings(sides);
    let mut walk = format!("{} layers", channels.len());
    for (i, [height, width]) in levels(sides).take(fits + 1).enumerate() {
        let end = match i == fits {
            true => "cannot be halved".to_owned(),
            false => format!("{} x {}", height.div_ceil(STRIDE), width.div_ceil(STRIDE)),
        };
        let _ = write!(walk, "{} layer {}: {height} x {width} -> {end}", if i == 0 { ":" } else { "," }, i + 1);
    }
    let help = match fits {
        0 => "no layer fits: `--set network.channels=auto` leaves them out".into(),
        _ => {
            let some = channels[..fits].iter().map(usize::to_string).collect::<Vec<_>>().join(",");
            let layers = if fits == 1 { "1 layer fits" } else { &format!("{fits} layers fit") };
            format!("{layers}: `--set network.channels=[{some}]`, or `auto`")
        }
    };
    let expected = format!("at most {fits} halvings of images of {} x {}", sides[0], sides[1]);
    Error::config("network.channels", expected, walk, help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn down_rounds_up_and_up_leads_back_for_every_size() {
        for kernel in [3, 4, 5] {
            for large in (1..40).flat_map(|height| (1..40).map(move |width| [height, width])) {
                let halving = Halving { kernel, large };
                let windows = [kernel; 2];
                assert_eq!(halving.down().output_size(large, windows), Some(halving.small()), "{halving:?}");
                assert_eq!(halving.up().output_size(halving.small(), windows), Some(large), "{halving:?}");
            }
        }
    }

    #[test]
    fn even_sizes_have_a_padding_of_one() {
        let halving = Halving { kernel: 4, large: [28, 14] };
        assert_eq!(halving.down(), ConvGeometry { stride: 2, padding: [1; 2] });
        assert_eq!(halving.up(), ConvTransposeGeometry { stride: 2, padding: [1; 2], output_padding: [0; 2] });
    }

    #[test]
    fn too_many_layers_are_followed_to_where_they_end() {
        let error = Pyramid::new(4, &[8, 16, 32], [1, 8, 4]).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("layer 1: 8 x 4 -> 4 x 2, layer 2: 4 x 2 -> 2 x 1, layer 3: 2 x 1 -> cannot be halved")
        );
        assert!(message.contains("at most 2 halvings"), "{message}");
        assert!(error.help().contains("2 layers fit: `--set network.channels=[8,16]`"), "{}", error.help());

        let error = Pyramid::new(4, &[8], [3, 1, 1]).unwrap_err();
        assert!(error.to_string().contains("layer 1: 1 x 1 -> cannot be halved"), "{error}");
        assert!(error.help().contains("no layer fits"), "{}", error.help());
    }

    #[test]
    fn a_line_is_halved_along_its_length() {
        let pyramid = Pyramid::new(4, &[8, 16], [1, 33, 1]).unwrap();
        assert_eq!(pyramid.smallest(1), [16, 9, 1]);
        assert_eq!(Pyramid::new(4, &[], [3, 1, 1]).unwrap().smallest(5), [5, 1, 1]);
    }
}
