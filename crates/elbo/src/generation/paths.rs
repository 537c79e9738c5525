//! Paths from one code to another.

use super::decoder::CodeDecoder;
use super::latent_grids::fraction;
use super::pictures::{Pictures, decode};

/// Directions whose angle has a sine below this have no great circle that rounding does not choose.
const LEAST_SINE: f64 = 1e-6;

/// How an interpolation moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Path {
    /// Along the straight line.
    Linear,
    /// Along the great circle: stays where N(0, I) has its mass (White 2016, arXiv:1609.04468, section 2.1).
    Spherical,
}

/// Codes from `a` to `b`, both included.
///
/// Linear: `(1 - t) a + t b`. Spherical: `|z(t)| = (1 - t) |a| + t |b|`, in the direction
/// `(sin((1 - t) w) a/|a| + sin(t w) b/|b|) / sin w` with `w` the angle between `a` and `b`. For equal lengths that is White's equation; where lengths
/// differ White applies the weights to `a` and `b` themselves, which for a wide angle makes a code longer than both.
///
/// Of parallel codes, and where one is 0, the limit of that is the straight line, and it is taken. Opposite codes have no great circle of their own: the
/// line between them is taken too, which passes through 0.
///
/// # Shapes
/// - `a`, `b`: `[latent]`
/// - returns: `[steps, latent]`; one step is the middle
///
/// ```
/// use elbo::generation::{Path, interpolation_codes};
///
/// let line = interpolation_codes(&[2.0, 0.0], &[0.0, 2.0], 3, Path::Linear);
/// assert_eq!(line[2..4], [1.0, 1.0]);
/// let circle = interpolation_codes(&[2.0, 0.0], &[0.0, 2.0], 3, Path::Spherical);
/// assert!((circle[2].hypot(circle[3]) - 2.0).abs() < 1e-6);
/// ```
///
/// # Panics
/// If the two have different lengths.
pub fn interpolation_codes(a: &[f32], b: &[f32], steps: usize, path: Path) -> Vec<f32> {
    assert_eq!(a.len(), b.len(), "codes of one space");
    let circle = (path == Path::Spherical).then(|| Circle::between(a, b)).flatten();
    (0..steps)
        .flat_map(|step| {
            let t = f64::from(fraction(step, steps, 0.0, 1.0));
            let (wa, wb) = circle.map_or((1.0 - t, t), |circle| circle.weights(t));
            a.iter().zip(b).map(move |(x, y)| (wa * f64::from(*x) + wb * f64::from(*y)) as f32)
        })
        .collect()
}

/// The great circle through two directions.
#[derive(Clone, Copy)]
struct Circle {
    lengths: [f64; 2],
    angle: f64,
    sine: f64,
}

impl Circle {
    /// None where the two directions do not span a plane.
    fn between(a: &[f32], b: &[f32]) -> Option<Self> {
        let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
        let lengths = [dot(a, a).sqrt(), dot(b, b).sqrt()];
        let angle = (dot(a, b) / (lengths[0] * lengths[1])).clamp(-1.0, 1.0).acos();
        let sine = angle.sin();
        // Written so that NaN, of a code of length 0, is none too.
        (sine > LEAST_SINE).then_some(Self { lengths, angle, sine })
    }

    fn weights(self, t: f64) -> (f64, f64) {
        let [a, b] = self.lengths;
        let length = a + (b - a) * t;
        let part = |share: f64, own: f64| (share * self.angle).sin() / self.sine * length / own;
        (part(1.0 - t, a), part(t, b))
    }
}

/// Codes along a path through all `waypoints`, `steps` on each leg with both its ends; a waypoint between two legs comes once.
///
/// # Shapes
/// - `waypoints`: `[n, latent]`
/// - returns: `[(n - 1) (steps - 1) + 1, latent]`
///
/// ```
/// use elbo::generation::{Path, path_codes};
///
/// assert_eq!(path_codes(&[0.0, 2.0, 0.0], 1, 3, Path::Linear), [0.0, 1.0, 2.0, 1.0, 0.0]);
/// ```
///
/// # Panics
/// If there are fewer than two waypoints, or fewer than two steps.
pub fn path_codes(waypoints: &[f32], latent: usize, steps: usize, path: Path) -> Vec<f32> {
    assert!(waypoints.len() >= 2 * latent && steps >= 2, "{} values, {steps} steps", waypoints.len());
    let points: Vec<&[f32]> = waypoints.chunks_exact(latent).collect();
    let mut codes = points[0].to_vec();
    for leg in points.windows(2) {
        codes.extend_from_slice(&interpolation_codes(leg[0], leg[1], steps, path)[latent..]);
    }
    codes
}

/// The order of `count` frames there and back: each end is shown once, so that a repeating film does not halt there.
///
/// ```
/// assert_eq!(elbo::generation::there_and_back(4), [0, 1, 2, 3, 2, 1]);
/// ```
pub fn there_and_back(count: usize) -> Vec<usize> {
    (0..count).chain((1..count.saturating_sub(1)).rev()).collect()
}

/// Decodes [`interpolation_codes`].
///
/// ```
/// # use elbo::generation::CodeDecoder;
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::{Architecture, Vae};
/// # use elbo::networks::NetworkConfig;
/// # let device = elbo::device::choose("cpu")?;
/// # let vae = Vae::init(&Architecture::new([1, 28, 28], 2, &NetworkConfig::default(), Likelihood::Bernoulli), 0, &device);
/// use elbo::generation::{Path, interpolate};
///
/// let walk = interpolate(&CodeDecoder::of(&vae, &device)?, &[2.0, 0.0], &[0.0, 2.0], 12, Path::Spherical);
/// assert_eq!(walk.len(), 12);
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn interpolate(decoder: &CodeDecoder<'_>, a: &[f32], b: &[f32], steps: usize, path: Path) -> Pictures {
    decode(decoder, &interpolation_codes(a, b, steps, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (found_value, value) in found.iter().zip(expected) {
            assert!((found_value - value).abs() < 1e-5 * (1.0 + value.abs()), "{found:?}, not {expected:?}");
        }
    }

    #[test]
    fn both_paths_reach_both_ends() {
        let (a, b) = ([1.0, 0.0, 2.0], [0.0, 3.0, 1.0]);
        for path in [Path::Linear, Path::Spherical] {
            let codes = interpolation_codes(&a, &b, 7, path);
            close(&codes[..3], &a);
            close(&codes[18..], &b);
        }
    }

    #[test]
    fn a_quarter_circle_is_cosines_and_sines_and_lengths_grow_evenly() {
        let steps = 10;
        for (from, to) in [(3.0, 3.0), (1.0, 4.0)] {
            let codes = interpolation_codes(&[from, 0.0], &[0.0, to], steps, Path::Spherical);
            let at = |t: f32| {
                let (length, angle) = (from + (to - from) * t, t * std::f32::consts::FRAC_PI_2);
                [length * angle.cos(), length * angle.sin()]
            };
            let expected: Vec<f32> = (0..steps).flat_map(|step| at(step as f32 / 9.0)).collect();
            close(&codes, &expected);
        }
    }

    #[test]
    fn white_s_equation_holds_for_equal_lengths() {
        // 5 (cos, sin) at 0.3 and 2.1 radians; the middle is at 1.2.
        let at = |angle: f32| [5.0 * angle.cos(), 5.0 * angle.sin()];
        let codes = interpolation_codes(&at(0.3), &at(2.1), 3, Path::Spherical);
        close(&codes[2..4], &at(1.2));
    }

    #[test]
    fn parallel_codes_are_met_by_their_line() {
        let codes = interpolation_codes(&[1.0, 2.0], &[3.0, 6.0], 3, Path::Spherical);
        close(&codes, &[1.0, 2.0, 2.0, 4.0, 3.0, 6.0]);
        // Nearly parallel: the limit of the circle is the same.
        let near = interpolation_codes(&[1.0, 0.0], &[1.0, 1e-4], 3, Path::Spherical);
        close(&near[2..4], &[1.0, 5e-5]);
        let same = interpolation_codes(&[1.5, -2.0], &[1.5, -2.0], 4, Path::Spherical);
        close(&same, &[1.5, -2.0, 1.5, -2.0, 1.5, -2.0, 1.5, -2.0]);
    }

    #[test]
    fn opposite_codes_and_codes_of_zero_take_the_line() {
        let through_zero = interpolation_codes(&[1.0, -2.0], &[-1.0, 2.0], 3, Path::Spherical);
        close(&through_zero, &[1.0, -2.0, 0.0, 0.0, -1.0, 2.0]);
        let from_zero = interpolation_codes(&[0.0, 0.0], &[3.0, 4.0], 3, Path::Spherical);
        close(&from_zero, &[0.0, 0.0, 1.5, 2.0, 3.0, 4.0]);
        let nowhere = interpolation_codes(&[0.0; 3], &[0.0; 3], 2, Path::Spherical);
        close(&nowhere, &[0.0; 6]);
    }

    #[test]
    fn lengths_beyond_the_square_root_of_f32_do_not_overflow() {
        let codes = interpolation_codes(&[1e30, 0.0], &[0.0, 1e30], 3, Path::Spherical);
        close(&codes[2..4].iter().map(|v| v / 1e30).collect::<Vec<_>>(), &[0.5f32.sqrt(), 0.5f32.sqrt()]);
    }

    #[test]
    fn a_path_passes_each_waypoint_once() {
        let codes = path_codes(&[1.0, 0.0, 0.0, 1.0, -1.0, 0.0], 2, 5, Path::Spherical);
        assert_eq!(codes.len(), 2 * 9);
        close(&codes[8..10], &[0.0, 1.0]);
        for code in codes.chunks(2) {
            assert!((code[0].hypot(code[1]) - 1.0).abs() < 1e-6, "on the circle");
        }
        assert_eq!((there_and_back(1), there_and_back(2), there_and_back(0)), (vec![0], vec![0, 1], vec![]));
    }
}
