//! How people write the ten digits: the tables behind the generator.
//!
//! A style is a list of strokes, in the order a hand writes them. A stroke is one or more smooth runs of knots; the `/`
//! between two runs marks a corner, and the run after it starts where the run before it ended. Coordinates are percent
//! of the digit's height, x to the right and y down, upright: slant and proportion come later, from the hand.

/// A point the pen passes through, x and y in percent of the digit's height.
pub(super) type Knot = (i8, i8);

/// Smooth runs, joined at corners.
pub(super) type Stroke = &'static [&'static [Knot]];

/// One way of writing one digit.
pub(super) struct Style {
    /// How common it is among the styles of the digit; only ratios count.
    pub(super) weight: u32,
    /// The strokes, first to last.
    pub(super) strokes: &'static [Stroke],
}

macro_rules! style {
    ($weight:literal; $([$($($x:literal $y:literal),+)/+]),+) => {
        Style { weight: $weight, strokes: &[$(&[$(&[$(($x, $y)),+]),+]),+] }
    };
}

/// The styles of `digit`, 0 to 9.
pub(super) fn styles(digit: u8) -> &'static [Style] {
    STYLES[usize::from(digit)]
}

const STYLES: [&[Style]; 10] = [ZERO, ONE, TWO, THREE, FOUR, FIVE, SIX, SEVEN, EIGHT, NINE];

const ZERO: &[Style] = &[
    // An oval, closed at the top.
    style!(5; [34 1, 12 14, 3 48, 12 86, 34 99, 56 86, 66 48, 56 14, 32 1]),
    // Narrow.
    style!(2; [26 1, 8 20, 3 52, 9 86, 24 99, 40 82, 46 48, 40 16, 24 2]),
    // Wide and round.
    style!(3; [46 2, 16 12, 3 48, 14 86, 46 98, 78 84, 88 48, 74 12, 42 3]),
    // The end passes the start and leaves a small tail outside.
    style!(2; [40 4, 16 14, 4 48, 14 88, 36 99, 58 84, 64 46, 50 10, 28 3, 16 10]),
    // Begun at the upper right, the end curling in.
    style!(2; [56 12, 34 2, 10 20, 3 56, 16 92, 40 97, 62 72, 64 34, 50 8, 40 14]),
    // Not quite closed.
    style!(1; [28 4, 8 26, 4 62, 18 94, 44 96, 64 68, 62 28, 44 4]),
    // Begun at the top right, the end crossing far into the middle.
    style!(1; [58 6, 36 1, 10 22, 4 60, 22 96, 50 94, 68 60, 60 20, 38 10, 26 24]),
];

const ONE: &[Style] = &[
    style!(7; [20 0, 20 50, 20 100]),
    style!(2; [24 0, 19 34, 18 68, 22 100]),
    // With a flag.
    style!(2; [4 24, 16 14, 28 0 / 28 50, 27 100]),
    // With a flag and a base.
    style!(1; [6 22, 20 14, 32 0 / 32 50, 31 97], [6 98, 32 97, 60 98]),
    // With a base alone.
    style!(1; [30 0, 30 50, 30 97], [8 97, 32 98, 56 97]),
];

const TWO: &[Style] = &[
    // A plain corner at the foot.
    style!(4; [4 22, 14 6, 34 0, 54 9, 58 30, 44 54, 22 78, 2 97 / 30 96, 66 97]),
    style!(2; [2 14, 22 2, 46 4, 58 22, 48 46, 26 74, 4 98 / 34 94, 62 98]),
    // A loop at the foot.
    style!(4; [4 18, 20 3, 42 2, 56 18, 48 46, 32 74, 14 94, 2 92, 6 79, 22 80, 40 92, 54 98, 70 90]),
    style!(2; [6 24, 16 5, 36 0, 52 14, 50 42, 34 70, 16 96, 3 96, 2 84, 14 80, 34 88, 60 99]),
    // A round foot that runs into a wavy base.
    style!(2; [2 20, 20 2, 44 3, 56 20, 44 48, 20 74, 4 96 / 20 88, 40 93, 58 99, 72 92]),
    // Low and wide, on a long base.
    style!(2; [8 22, 24 2, 52 4, 62 28, 44 58, 8 97 / 44 93, 96 97]),
    // A wide neck over a large loop.
    style!(2; [10 20, 30 1, 60 6, 68 30, 54 62, 28 94, 6 94, 4 78, 24 72, 50 84, 84 98]),
    // Almost a z.
    style!(1; [4 10, 26 3, 52 4, 58 16, 36 52, 4 96 / 32 98, 64 94]),
];

const THREE: &[Style] = &[
    // Two bowls that meet in a corner.
    style!(5; [6 13, 26 1, 48 7, 52 26, 40 42, 22 48 / 44 51, 58 70, 48 92, 24 100, 2 90]),
    style!(2; [2 8, 26 0, 50 10, 46 34, 18 46 / 44 48, 62 64, 58 86, 34 99, 4 94]),
    // A small loop between them.
    style!(2; [6 14, 26 1, 48 10, 46 32, 30 46, 18 48, 24 40, 42 48, 58 66, 52 90, 28 100, 2 90]),
    // One smooth wave.
    style!(2; [4 12, 26 1, 50 8, 50 30, 36 45, 46 54, 58 72, 46 93, 22 100, 0 92]),
    // Wide, begun with a hook.
    style!(2; [2 24, 12 5, 40 0, 62 14, 54 36, 24 46 / 56 48, 72 68, 58 92, 30 100, 2 86]),
    // A flat top.
    style!(1; [4 4, 28 3, 54 2 / 40 22, 24 40 / 46 44, 60 64, 50 90, 24 100, 2 90]),
];

const FOUR: &[Style] = &[
    // Open: an angle, then the stem.
    style!(4; [10 4, 6 26, 2 52 / 28 53, 64 49], [52 2, 48 48, 44 100]),
    // Open and round: the bowl ends in the stem.
    style!(4; [6 4, 2 28, 8 50, 28 54, 48 42, 58 8 / 54 50, 50 100]),
    style!(3; [12 2, 4 30, 6 52, 30 56, 62 46], [56 4, 54 50, 50 100]),
    // Closed, the stem apart.
    style!(2; [46 2, 24 34, 2 66 / 34 66, 68 64], [48 2, 48 50, 46 100]),
    // Closed, in one stroke.
    style!(1; [50 4, 28 22, 4 50 / 30 52, 54 42 / 52 4 / 52 50, 46 100]),
    // Open, with a short bowl high on a long stem.
    style!(1; [4 6, 3 24, 14 38, 38 36, 54 24 / 56 4 / 50 50, 40 100]),
    // Closed and wide, the bar drawn far across.
    style!(1; [44 0, 26 30, 0 60 / 38 62, 86 56], [52 20, 48 60, 42 100]),
    // An open cup on a slanted stem.
    style!(2; [14 6, 4 30, 8 48, 26 46, 50 22, 62 2 / 46 50, 30 100]),
];

const FIVE: &[Style] = &[
    // The bar apart.
    style!(4; [18 6, 13 24, 9 42 / 28 37, 50 46, 56 70, 40 94, 18 99, 0 90], [17 6, 40 5, 66 1]),
    // In one stroke.
    style!(3; [64 3, 42 5, 18 5 / 14 24, 10 43 / 30 36, 52 46, 58 70, 42 94, 18 100, 0 92]),
    // Bent like an s.
    style!(2; [62 2, 36 5, 18 18, 20 36, 42 48, 54 66, 44 90, 22 99, 0 92]),
    // A slanted back, the belly low and narrow.
    style!(2; [24 4, 16 26, 10 46 / 30 50, 44 66, 36 90, 16 99, 2 94], [24 4, 44 4, 72 0]),
    // A long bar and a small, flat belly.
    style!(1; [78 2, 50 4, 26 6 / 20 26, 16 46 / 36 48, 48 66, 32 92, 2 98]),
    // Wide, the belly round and large, its end curling in.
    style!(2; [22 4, 16 22, 12 42 / 40 32, 68 46, 70 74, 46 98, 14 96, 4 80], [22 4, 48 4, 76 2]),
];

const SIX: &[Style] = &[
    // One curl.
    style!(4; [44 1, 22 22, 7 50, 4 78, 20 99, 44 93, 52 74, 38 60, 18 66, 7 82]),
    // A straight stem and a small bowl.
    style!(3; [34 0, 16 34, 4 68, 8 94, 28 99, 46 86, 42 68, 24 66, 8 82]),
    // A hooked top and a large bowl.
    style!(2; [58 12, 42 2, 20 16, 5 48, 8 84, 32 100, 56 86, 56 60, 32 50, 8 66]),
    // Upright, closed exactly.
    style!(2; [22 0, 10 26, 3 58, 8 90, 30 99, 50 86, 52 66, 34 54, 14 60, 4 76]),
    // Leaning far over, the bowl a flat loop.
    style!(1; [72 0, 40 22, 14 54, 4 82, 18 98, 42 92, 60 74, 50 66, 26 74, 10 92]),
    // A steep stem on a wide bowl that ends inside.
    style!(2; [22 0, 6 32, 4 66, 14 94, 44 98, 72 80, 64 58, 36 60, 22 76, 28 86]),
    // A short stem, the bowl most of the digit.
    style!(1; [28 0, 10 24, 4 60, 22 96, 56 94, 68 66, 52 42, 24 50, 10 68]),
];

const SEVEN: &[Style] = &[
    style!(5; [2 7, 28 6, 58 3 / 46 32, 32 64, 24 100]),
    // A rounded shoulder.
    style!(3; [0 12, 18 4, 44 5, 58 12, 50 38, 36 66, 28 100]),
    // A serif at the left.
    style!(2; [3 24, 4 6 / 30 6, 60 4 / 44 38, 34 68, 30 100]),
    // A stroke that starts far down on the left.
    style!(3; [2 34, 6 10 / 30 12, 56 4 / 50 36, 42 66, 38 100]),
    // Wide and flat, the stem falling steeply.
    style!(2; [0 10, 32 6, 70 5, 78 12, 66 36, 56 66, 52 100]),
    // A crossbar.
    style!(2; [2 8, 30 6, 60 3 / 46 34, 32 66, 24 100], [12 52, 34 50, 58 48]),
    // A bent stem.
    style!(2; [2 14, 14 4, 36 8, 60 4 / 40 30, 28 62, 28 100]),
];

const EIGHT: &[Style] = &[
    // An s, then back up, closed at the top right.
    style!(5; [52 12, 32 1, 10 12, 14 34, 40 54, 54 76, 36 98, 10 92, 8 70, 30 48, 50 28, 50 8]),
    // The same, begun in the middle of the top.
    style!(2; [34 1, 12 10, 12 30, 34 48, 52 70, 42 96, 14 97, 6 74, 26 52, 46 30, 46 8, 30 1]),
    // Two circles.
    style!(2; [30 2, 12 10, 11 32, 28 45, 46 32, 46 10, 28 2], [28 45, 6 60, 6 86, 28 99, 52 86, 50 60, 28 45]),
    // Left open at the top.
    style!(2; [58 8, 34 4, 14 18, 22 40, 44 62, 42 90, 20 98, 8 80, 24 56, 46 34, 62 4]),
    // Narrow.
    style!(2; [34 10, 22 1, 8 14, 14 36, 30 58, 34 84, 20 99, 6 84, 10 62, 26 40, 36 16]),
    // The last stroke flung out to the upper right.
    style!(2; [44 6, 20 4, 10 20, 26 42, 42 64, 36 92, 14 98, 4 80, 22 56, 46 34, 76 4]),
    // Round loops, the lower one larger.
    style!(2; [40 2, 16 10, 18 32, 44 46, 68 70, 52 97, 18 97, 4 74, 24 50, 54 34, 60 12, 38 2]),
];

const NINE: &[Style] = &[
    // A bowl, then a straight stem.
    style!(4; [50 12, 32 2, 10 16, 4 38, 20 50, 42 36, 52 8 / 52 50, 46 100]),
    // The stem runs on from the bowl.
    style!(3; [48 14, 30 2, 8 18, 6 40, 26 48, 46 30, 50 12, 50 40, 40 72, 30 100]),
    // A curled tail.
    style!(2; [52 14, 34 2, 12 14, 6 36, 24 48, 46 36, 54 10 / 56 50, 44 90, 22 99, 2 88]),
    // A long bowl on a bent stem.
    style!(2; [46 6, 22 8, 4 32, 10 52, 32 48, 52 20, 52 6 / 46 50, 44 100]),
    // A small round bowl, apart from the stem.
    style!(2; [42 8, 22 2, 6 18, 10 38, 30 40, 44 24, 40 6], [44 8, 42 50, 36 100]),
    // Written like a g, wide and curled.
    style!(1; [60 8, 34 1, 8 16, 10 36, 36 44, 62 26, 64 10, 68 46, 56 86, 30 99, 4 88]),
    // An open top: the bowl hangs from the stem.
    style!(2; [56 4, 30 1, 8 14, 6 34, 26 44, 50 34 / 52 14 / 52 56, 48 100]),
    // A large round bowl on a short stem.
    style!(1; [56 20, 38 1, 10 10, 2 38, 20 60, 46 50, 58 22 / 56 60, 48 100]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = &'static Style> {
        STYLES.into_iter().flatten()
    }

    #[test]
    fn every_digit_has_several_styles() {
        assert!(STYLES.iter().all(|styles| styles.len() >= 4 && styles.iter().all(|style| style.weight > 0)));
    }

    #[test]
    fn skeletons_fill_their_box_from_top_to_bottom() {
        for style in all() {
            let knots: Vec<Knot> = style.strokes.concat().concat();
            let (low, high) = (knots.iter().map(|k| k.1).min(), knots.iter().map(|k| k.1).max());
            assert!(low.is_some_and(|y| (0..=8).contains(&y)), "{knots:?}");
            assert!(high.is_some_and(|y| (95..=100).contains(&y)), "{knots:?}");
            assert!(knots.iter().all(|knot| (0..=100).contains(&knot.0)), "{knots:?}");
        }
    }

    #[test]
    fn every_stroke_is_a_line_or_more() {
        let strokes = || all().flat_map(|style| style.strokes);
        assert!(strokes().all(|stroke| stroke[0].len() >= 2 && stroke.iter().all(|run| !run.is_empty())));
    }
}
