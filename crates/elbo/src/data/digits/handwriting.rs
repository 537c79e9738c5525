//! A hand that writes: chooses a style, strays from it, slants, bends and presses, then fits the result into the frame.
//!
//! What varies comes from two levels. Knots stray each on their own, the ends of strokes further than the middles; and
//! the finished curve is sheared, turned and bent as a whole by a free-form deformation over a 4x4 grid of control
//! points, the way one writer's digits all lean and bulge alike. Fitting comes last, as it did for MNIST: scaled to the
//! box with proportions kept, then shifted so that the centre of mass of the ink is the centre of the picture.

use super::SIDE;
use super::draws::Draws;
use super::skeletons::{Knot, Stroke, Style, styles};
use super::stroke::{Dab, Vec2, trace};

/// Strokes in pixels, and how soft their edges are.
pub(super) struct Written {
    pub(super) strokes: Vec<Vec<Dab>>,
    /// Pixels from the edge of the ink to where it is full on one side and gone on the other.
    pub(super) softness: f32,
}

/// Spacing of the points of a flattened curve, in heights of the digit: about 1.6 pixels.
const STEP: f32 = 0.08;

/// How far ink stays from the border of the picture, in pixels, softness included.
const MARGIN: f32 = 1.5;

/// Writes `digit` once.
pub(super) fn write(digit: u8, draws: &mut Draws) -> Written {
    let style = choose(styles(digit), draws);
    let looseness = draws.uniform(0.5, 1.7);
    let mut curves: Vec<Vec<Vec2>> =
        style.strokes.iter().map(|stroke| flatten(stroke, 0.022 * looseness, draws)).collect();
    let posture = Posture::draw(digit, looseness, draws);
    curves.iter_mut().flatten().for_each(|point| *point = posture.apply(*point));
    let pen = Pen::draw(draws);
    let strokes = curves.iter().map(|curve| pen.press(curve, draws)).collect();
    frame(strokes, &pen, draws)
}

fn choose(styles: &'static [Style], draws: &mut Draws) -> &'static Style {
    let mut rest = draws.below(styles.iter().map(|style| style.weight).sum());
    let chosen = styles.iter().find(|style| {
        let found = rest < style.weight;
        rest = rest.saturating_sub(style.weight);
        found
    });
    chosen.unwrap_or(&styles[0])
}

/// The curve of one stroke, its knots astray by about `astray` heights.
fn flatten(stroke: Stroke, astray: f32, draws: &mut Draws) -> Vec<Vec2> {
    let mut path = Vec::with_capacity(64);
    let mut run = Vec::with_capacity(16);
    for (i, knots) in stroke.iter().enumerate() {
        run.clear();
        run.extend(path.last());
        for (j, &knot) in knots.iter().enumerate() {
            let first = i == 0 && j == 0;
            let last = i + 1 == stroke.len() && j + 1 == knots.len();
            run.push(stray(knot, if first || last { 1.8 * astray } else { astray }, draws));
        }
        trace(&run, STEP, &mut path);
    }
    path
}

fn stray((x, y): Knot, deviation: f32, draws: &mut Draws) -> Vec2 {
    let exact = Vec2::new(f32::from(x), f32::from(y)) * 0.01;
    exact + Vec2::new(draws.normal(0.0, deviation), draws.normal(0.0, deviation))
}

/// How a digit stands: bent, stretched, slanted and turned, in this order.
struct Posture {
    bend: [[Vec2; 4]; 4],
    stretch: f32,
    slant: f32,
    cos: f32,
    sin: f32,
}

impl Posture {
    fn draw(digit: u8, looseness: f32, draws: &mut Draws) -> Self {
        let spread = 0.055 * looseness;
        let bend = std::array::from_fn(|_| {
            std::array::from_fn(|_| Vec2::new(draws.normal(0.0, spread), draws.normal(0.0, spread)))
        });
        // A lone vertical line is written with any slant; other digits would turn strange.
        let slant = if digit == 1 { draws.normal(0.3, 0.32) } else { draws.normal(0.16, 0.2) };
        let tangent = draws.normal(0.0, 0.08);
        let cos = 1.0 / (1.0 + tangent * tangent).sqrt();
        Self { bend, stretch: draws.uniform(0.85, 1.45), slant, cos, sin: tangent * cos }
    }

    fn apply(&self, point: Vec2) -> Vec2 {
        let bent = point + self.displacement(point);
        let (x, y) = (bent.x * self.stretch - self.slant * bent.y, bent.y);
        Vec2::new(x * self.cos - y * self.sin, x * self.sin + y * self.cos)
    }

    /// The free-form deformation (Sederberg & Parry 1986): Bernstein polynomials over the box of the skeletons.
    fn displacement(&self, point: Vec2) -> Vec2 {
        let (across, down) = (bernstein(point.x / 0.66), bernstein(point.y));
        let mut sum = Vec2::default();
        for (row, v) in self.bend.iter().zip(down) {
            for (&control, u) in row.iter().zip(across) {
                sum = sum + control * (u * v);
            }
        }
        sum
    }
}

/// The four cubic Bernstein polynomials at `t`.
fn bernstein(t: f32) -> [f32; 4] {
    let s = 1.0 - t;
    [s * s * s, 3.0 * s * s * t, 3.0 * s * t * t, t * t * t]
}

/// What it writes with, and how hard it presses.
struct Pen {
    /// Half the width of a line, in pixels.
    radius: f32,
    softness: f32,
    /// A broad nib draws wider across this direction than along it.
    nib: Vec2,
    /// The longer side of the digit, ink included, as a part of the box.
    size: f32,
}

impl Pen {
    fn draw(draws: &mut Draws) -> Self {
        Self {
            radius: draws.normal(1.38, 0.36).clamp(0.65, 2.2),
            softness: draws.uniform(0.55, 0.95),
            nib: Vec2::new(draws.uniform(-1.0, 1.0), draws.uniform(-1.0, 1.0)) * 0.45,
            size: draws.uniform(0.94, 1.03),
        }
    }

    /// Dabs along `curve`. Pressure drifts from one end to the other, and paper makes the edges a little rough.
    fn press(&self, curve: &[Vec2], draws: &mut Draws) -> Vec<Dab> {
        let pressure: [f32; 4] = std::array::from_fn(|_| draws.normal(1.0, 0.14));
        let ends = (curve.len().max(2) - 1) as f32;
        let dab = |(i, &at): (usize, &Vec2)| {
            let t = i as f32 / ends;
            let along = (curve[(i + 1).min(curve.len() - 1)] - curve[i.saturating_sub(1)]).unit();
            let drift: f32 = pressure.iter().zip(bernstein(t)).map(|(p, b)| p * b).sum();
            let thinning = along.dot(self.nib);
            let roughness = draws.uniform(0.92, 1.08);
            Dab { at, radius: self.radius * drift * roughness * (1.0 - thinning * thinning) }
        };
        curve.iter().enumerate().map(dab).collect()
    }
}

/// Scales to the box, keeping proportions, and moves the centre of mass to the middle of the picture.
fn frame(mut strokes: Vec<Vec<Dab>>, pen: &Pen, draws: &mut Draws) -> Written {
    const BOX: f32 = 20.0;
    let (low, high) = bounds(&strokes, |_| 0.0);
    let extent = (high.x - low.x).max(high.y - low.y).max(0.1);
    let scale = (BOX * pen.size - 2.0 * pen.radius) / extent;
    strokes.iter_mut().flatten().for_each(|dab| dab.at = dab.at * scale);

    let middle = Vec2::new(SIDE as f32 / 2.0 + draws.normal(0.0, 0.3), SIDE as f32 / 2.0 + draws.normal(0.0, 0.3));
    let (low, high) = bounds(&strokes, |dab| dab.radius + pen.softness + MARGIN);
    let shift = middle - centre_of_mass(&strokes);
    let shift = Vec2::new(inside(shift.x, low.x, high.x), inside(shift.y, low.y, high.y));
    strokes.iter_mut().flatten().for_each(|dab| dab.at = dab.at + shift);
    Written { strokes, softness: pen.softness }
}

/// The corners of the box around all dabs, each with `room` around it.
fn bounds(strokes: &[Vec<Dab>], room: impl Fn(&Dab) -> f32) -> (Vec2, Vec2) {
    let start = (Vec2::new(f32::INFINITY, f32::INFINITY), Vec2::new(f32::NEG_INFINITY, f32::NEG_INFINITY));
    strokes.iter().flatten().fold(start, |(low, high), dab| {
        let (at, room) = (dab.at, room(dab));
        (
            Vec2::new(low.x.min(at.x - room), low.y.min(at.y - room)),
            Vec2::new(high.x.max(at.x + room), high.y.max(at.y + room)),
        )
    })
}

/// Of lines weighted by length and width; crossings count twice, which moves it by a fraction of a pixel.
fn centre_of_mass(strokes: &[Vec<Dab>]) -> Vec2 {
    let (mut sum, mut mass) = (Vec2::default(), 0.0);
    for ends in strokes.iter().flat_map(|stroke| stroke.windows(2)) {
        let weight = (ends[1].at - ends[0].at).length() * (ends[0].radius + ends[1].radius);
        sum = sum + (ends[0].at + ends[1].at) * (0.5 * weight);
        mass += weight;
    }
    sum * (1.0 / mass)
}

/// The shift nearest to `shift` that keeps `low..high` within the picture.
fn inside(shift: f32, low: f32, high: f32) -> f32 {
    shift.min(SIDE as f32 - high).max(-low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ink_keeps_its_margin_and_fills_the_box() {
        for index in 0..2000 {
            let digit = (index % 10) as u8;
            let written = write(digit, &mut Draws::new(3, index, 0));
            let (low, high) = bounds(&written.strokes, |dab| dab.radius + written.softness);
            let limit = SIDE as f32 - MARGIN + 1e-3;
            assert!(low.x.min(low.y) >= MARGIN - 1e-3 && high.x.max(high.y) <= limit, "a {digit}: {low:?} {high:?}");
            let longer = (high.x - low.x).max(high.y - low.y);
            assert!((16.0..24.0).contains(&longer), "a {digit} is {longer} pixels long");
        }
    }

    #[test]
    fn styles_are_chosen_by_weight() {
        static STYLES: [Style; 3] =
            [Style { weight: 1, strokes: &[] }, Style { weight: 0, strokes: &[] }, Style { weight: 3, strokes: &[] }];
        let mut draws = Draws::new(1, 0, 0);
        let mut counts = [0; 5];
        (0..4000).for_each(|_| counts[choose(&STYLES, &mut draws).weight as usize] += 1);
        assert_eq!(counts[0], 0);
        assert!((850..1150).contains(&counts[1]), "{counts:?}");
    }

    #[test]
    fn bernstein_polynomials_sum_to_one() {
        for t in [-0.1, 0.0, 0.3, 0.5, 1.0, 1.2] {
            assert!((bernstein(t).iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
        assert_eq!(bernstein(0.0), [1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_posture_without_bend_shears_and_turns() {
        let still = Posture { bend: [[Vec2::default(); 4]; 4], stretch: 2.0, slant: 0.5, cos: 1.0, sin: 0.0 };
        assert_eq!(still.apply(Vec2::new(0.5, 1.0)), Vec2::new(0.5, 1.0));
        assert_eq!(still.apply(Vec2::new(0.5, 0.0)), Vec2::new(1.0, 0.0));
        let pushed = Posture { bend: [[Vec2::new(0.1, 0.0); 4]; 4], stretch: 1.0, slant: 0.0, ..still };
        assert!((pushed.apply(Vec2::new(0.3, 0.7)) - Vec2::new(0.4, 0.7)).length() < 1e-6);
    }

    #[test]
    fn slants_differ_and_lean_right_on_average() {
        let slants: Vec<f32> = (0..500).map(|i| Posture::draw(7, 1.0, &mut Draws::new(8, i, 0)).slant).collect();
        let mean = slants.iter().sum::<f32>() / 500.0;
        assert!((0.12..0.2).contains(&mean), "{mean}");
        assert!(slants.iter().any(|&slant| slant < -0.1) && slants.iter().any(|&slant| slant > 0.4));
    }

    #[test]
    fn a_shift_is_kept_inside() {
        assert_eq!(inside(0.0, 2.0, 26.0), 0.0);
        assert_eq!(inside(0.0, 4.0, 30.0), -2.0);
        assert_eq!(inside(0.0, -3.0, 20.0), 3.0);
    }
}
