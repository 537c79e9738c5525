//! From knots to ink: smooth curves through points, and a canvas that turns pen strokes into grey pixels.
//!
//! Curves follow circular arcs where the knots lie on a circle, so a few knots make a round bowl. The canvas keeps, for
//! each pixel, the distance to the nearest edge of ink; softness is applied once at the end, so that strokes that cross
//! or touch do not add up to brighter spots.

use std::ops::{Add, Mul, Sub};

use super::SIDE;

/// A point or a displacement; x to the right, y down.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Vec2 {
    pub(super) x: f32,
    pub(super) y: f32,
}

impl Vec2 {
    pub(super) fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }

    pub(super) fn dot(self, other: Self) -> f32 {
        self.x * other.x + self.y * other.y
    }

    pub(super) fn length(self) -> f32 {
        self.dot(self).sqrt()
    }

    /// The same direction with length one; zero stays zero.
    pub(super) fn unit(self) -> Self {
        let length = self.length();
        if length > 0.0 { self * (1.0 / length) } else { self }
    }
}

impl Add for Vec2 {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::new(self.x + other.x, self.y + other.y)
    }
}

impl Sub for Vec2 {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self::new(self.x - other.x, self.y - other.y)
    }
}

impl Mul<f32> for Vec2 {
    type Output = Self;
    fn mul(self, factor: f32) -> Self {
        Self::new(self.x * factor, self.y * factor)
    }
}

/// Appends a smooth curve through `knots` to `path`, as points at most `step` apart.
///
/// The first knot is left out when `path` already ends there.
pub(super) fn trace(knots: &[Vec2], step: f32, path: &mut Vec<Vec2>) {
    let Some(&first) = knots.first() else { return };
    if path.last() != Some(&first) {
        path.push(first);
    }
    let directions = directions(knots);
    for (ends, tangents) in knots.windows(2).zip(directions.windows(2)) {
        trace_piece(ends[0], ends[1], tangents[0], tangents[1], step, path);
    }
}

/// The direction of travel at each knot: that of the circle through it and its neighbours.
fn directions(knots: &[Vec2]) -> Vec<Vec2> {
    let last = knots.len() - 1;
    let mut directions = vec![Vec2::default(); knots.len()];
    for i in 1..last {
        let (before, after) = (knots[i] - knots[i - 1], knots[i + 1] - knots[i]);
        directions[i] = (before.unit() * after.length() + after.unit() * before.length()).unit();
    }
    if last == 1 {
        directions.fill((knots[1] - knots[0]).unit());
    } else if last > 1 {
        directions[0] = mirrored(directions[1], knots[1] - knots[0]);
        directions[last] = mirrored(directions[last - 1], knots[last] - knots[last - 1]);
    }
    directions
}

/// The direction at the far end of an arc over `chord` that has `direction` at this end.
fn mirrored(direction: Vec2, chord: Vec2) -> Vec2 {
    let along = chord.unit();
    along * (2.0 * direction.dot(along)) - direction
}

/// A cubic Hermite piece from `a` to `b`, without its first point.
fn trace_piece(a: Vec2, b: Vec2, leaving: Vec2, arriving: Vec2, step: f32, path: &mut Vec<Vec2>) {
    // This speed makes an eighth of a circle from an eighth of a circle.
    const SPEED: f32 = 1.05;
    let chord = (b - a).length();
    let (leaving, arriving) = (leaving * (chord * SPEED), arriving * (chord * SPEED));
    let pieces = (chord * 1.1 / step).ceil().max(1.0) as usize;
    path.extend((1..=pieces).map(|i| {
        let t = i as f32 / pieces as f32;
        let (t2, t3) = (t * t, t * t * t);
        let ends = a * (2.0 * t3 - 3.0 * t2 + 1.0) + b * (3.0 * t2 - 2.0 * t3);
        ends + leaving * (t3 - 2.0 * t2 + t) + arriving * (t3 - t2)
    }));
}

/// Where the pen stood and how wide it was, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Dab {
    pub(super) at: Vec2,
    pub(super) radius: f32,
}

/// For each pixel the signed distance from its centre to the nearest edge of ink, negative inside, in pixels.
pub(super) struct Canvas([f32; SIDE * SIDE]);

impl Canvas {
    /// No ink anywhere.
    pub(super) fn blank() -> Self {
        Self([f32::INFINITY; SIDE * SIDE])
    }

    /// Draws a stroke whose distances are exact up to `softness` pixels from the ink; beyond, they are not needed.
    pub(super) fn draw(&mut self, stroke: &[Dab], softness: f32) {
        if let [dab] = stroke {
            self.draw_piece(*dab, *dab, softness);
        }
        stroke.windows(2).for_each(|ends| self.draw_piece(ends[0], ends[1], softness));
    }

    /// The straight piece between two dabs, round at both ends, its radius changing evenly.
    fn draw_piece(&mut self, from: Dab, to: Dab, softness: f32) {
        let reach = from.radius.max(to.radius) + softness;
        let along = to.at - from.at;
        let per_length = 1.0 / along.dot(along).max(1e-12);
        let columns = cells(from.at.x.min(to.at.x) - reach, from.at.x.max(to.at.x) + reach);
        for row in cells(from.at.y.min(to.at.y) - reach, from.at.y.max(to.at.y) + reach) {
            for column in columns.clone() {
                let offset = Vec2::new(column as f32 + 0.5, row as f32 + 0.5) - from.at;
                let t = (offset.dot(along) * per_length).clamp(0.0, 1.0);
                let distance = (offset - along * t).length() - (from.radius + (to.radius - from.radius) * t);
                let nearest = &mut self.0[row * SIDE + column];
                *nearest = nearest.min(distance);
            }
        }
    }

    /// Writes bytes: full ink from `softness` inside the edge, none from `softness` outside it, smooth between.
    pub(super) fn develop(&self, softness: f32, pixels: &mut [u8]) {
        for (pixel, distance) in pixels.iter_mut().zip(&self.0) {
            let t = (0.5 - distance / (2.0 * softness)).clamp(0.0, 1.0);
            *pixel = (t * t * (3.0 - 2.0 * t) * 255.0 + 0.5) as u8;
        }
    }
}

/// The cells of the canvas whose centres may lie between `low` and `high`.
fn cells(low: f32, high: f32) -> std::ops::Range<usize> {
    // Casts from f32 saturate, so whatever lies outside the canvas becomes an empty range.
    low.floor() as usize..(high.ceil() as usize).min(SIDE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dab(x: f32, y: f32, radius: f32) -> Dab {
        Dab { at: Vec2::new(x, y), radius }
    }

    fn developed(strokes: &[&[Dab]]) -> [u8; SIDE * SIDE] {
        let mut canvas = Canvas::blank();
        strokes.iter().for_each(|stroke| canvas.draw(stroke, 0.5));
        let mut pixels = [0; SIDE * SIDE];
        canvas.develop(0.5, &mut pixels);
        pixels
    }

    #[test]
    fn knots_on_a_circle_give_a_circle() {
        let root_half = 0.5_f32.sqrt();
        let knots = [(1.0, 0.0), (root_half, root_half), (0.0, 1.0), (-root_half, root_half), (-1.0, 0.0)];
        let mut path = Vec::new();
        trace(&knots.map(|(x, y)| Vec2::new(x, y)), 0.05, &mut path);
        assert!(path.len() > 50);
        assert!(path.iter().all(|point| (point.length() - 1.0).abs() < 0.005), "{path:?}");
    }

    #[test]
    fn two_knots_give_a_straight_line_and_none_nothing() {
        let mut path = Vec::new();
        trace(&[], 0.1, &mut path);
        assert!(path.is_empty());
        trace(&[Vec2::new(0.0, 0.0), Vec2::new(2.0, 1.0)], 0.1, &mut path);
        assert!(path.iter().all(|point| (point.x - 2.0 * point.y).abs() < 1e-6));
        assert_eq!(path.last(), Some(&Vec2::new(2.0, 1.0)));
        assert!(path.windows(2).all(|ends| (ends[1] - ends[0]).length() <= 0.1));
    }

    #[test]
    fn a_second_run_shares_its_first_point() {
        let mut path = Vec::new();
        trace(&[Vec2::new(0.0, 0.0), Vec2::new(1.0, 0.0)], 0.5, &mut path);
        let before = path.len();
        trace(&[Vec2::new(1.0, 0.0), Vec2::new(1.0, 1.0)], 0.5, &mut path);
        assert_eq!(path.iter().filter(|&&point| point == Vec2::new(1.0, 0.0)).count(), 1);
        assert!(path.len() > before);
    }

    #[test]
    fn a_bar_has_the_area_of_its_outline() {
        let pixels = developed(&[&[dab(8.0, 14.0, 2.0), dab(20.0, 14.0, 2.0)]]);
        let area = pixels.iter().map(|&p| f32::from(p) / 255.0).sum::<f32>();
        let exact = 12.0 * 4.0 + std::f32::consts::PI * 4.0;
        assert!((area - exact).abs() < 0.02 * exact, "{area} for {exact}");
        assert_eq!((pixels[14 * SIDE + 14], pixels[10 * SIDE + 14]), (255, 0));
    }

    #[test]
    fn crossing_strokes_do_not_add_up() {
        let across: &[Dab] = &[dab(8.0, 14.0, 0.6), dab(20.0, 14.0, 0.6)];
        assert_eq!(developed(&[across, across]), developed(&[across]));
    }

    #[test]
    fn ink_off_the_canvas_is_dropped() {
        let pixels = developed(&[&[dab(-40.0, -3.0, 1.0), dab(-30.0, 99.0, 1.0)], &[dab(60.0, 14.0, 2.0)]]);
        assert!(pixels.iter().all(|&pixel| pixel == 0));
        assert_eq!(developed(&[&[dab(14.5, 14.5, 1.0)]])[14 * SIDE + 14], 255);
    }
}
