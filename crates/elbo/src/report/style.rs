//! Colours of the report: one ink list, in a light and a dark version, shared by figures and page.
//!
//! A chart names what a colour means ([`Ink`]) and never which colour it is, so that every figure exists in both themes
//! and looks like the page around it. The series colours stay apart for the common colour-vision deficiencies and keep
//! enough contrast on both backgrounds; beyond the listed classes hues are spread by the golden angle, which never
//! repeats.

/// Which background a figure is drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Theme {
    /// Dark ink on white, also the right one for paper.
    Light,
    /// Light ink on near-black.
    Dark,
}

impl Theme {
    /// Both themes, light first.
    pub const BOTH: [Self; 2] = [Self::Light, Self::Dark];

    /// `light` or `dark`, as used in file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// What a colour stands for in a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// The n-th curve of a chart; they repeat after eight.
    Series(usize),
    /// The n-th label of a labelled data set; they do not repeat.
    Class(usize),
    /// Bars and areas of the one thing a chart shows.
    Fill,
    /// What should step back: inactive dimensions, guides.
    Muted,
    /// Lines drawn over a fill, such as a reference density.
    Strong,
}

/// Surface and text colours of one theme, as `#rrggbb`. The same values are in `report.css`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surface {
    pub background: &'static str,
    pub text: &'static str,
    pub quiet: &'static str,
    pub grid: &'static str,
}

impl Surface {
    pub fn of(theme: Theme) -> Self {
        match theme {
            Theme::Light => Self { background: "#ffffff", text: "#23262d", quiet: "#9aa1ad", grid: "#eceef2" },
            Theme::Dark => Self { background: "#191c22", text: "#dfe3ea", quiet: "#6b7482", grid: "#2a2f38" },
        }
    }
}

const SERIES: [[&str; 8]; 2] = [
    ["#2f6fde", "#e2711d", "#1b998b", "#b5379b", "#7a5cd6", "#b08900", "#c8354a", "#5b6675"],
    ["#6ea8ff", "#ff9f55", "#3fd0bd", "#f07ad6", "#b19bff", "#e0bd3a", "#ff7f8c", "#a3adba"],
];

const CLASSES: [[&str; 10]; 2] = [
    ["#3366cc", "#e2711d", "#1f9e5a", "#d62b3f", "#8250c4", "#8c5a3c", "#d94fa5", "#6b7280", "#a8a000", "#12a5bd"],
    ["#6c9bff", "#ffa04d", "#4fd18b", "#ff6b78", "#b590ff", "#cf9a78", "#ff8fd0", "#a9b1bd", "#d9d24a", "#46d3e8"],
];

impl Ink {
    /// The colour as `#rrggbb`.
    pub fn hex(self, theme: Theme) -> String {
        let dark = usize::from(theme == Theme::Dark);
        match self {
            Self::Series(index) => SERIES[dark][index % SERIES[dark].len()].to_owned(),
            Self::Class(index) => match CLASSES[dark].get(index) {
                Some(colour) => (*colour).to_owned(),
                None => spread_hue(index, theme),
            },
            Self::Fill => ["#8db1ef", "#3d66a8"][dark].to_owned(),
            Self::Muted => ["#c3c8d1", "#4a515d"][dark].to_owned(),
            Self::Strong => ["#d1495b", "#ff8c9a"][dark].to_owned(),
        }
    }
}

/// A colour for class `index`, hues 137.5 degrees apart so that neighbours in the list differ most.
fn spread_hue(index: usize, theme: Theme) -> String {
    let hue = (index as f64 * 137.507_764).rem_euclid(360.0);
    let lightness = match theme {
        Theme::Light => [0.42, 0.55, 0.34],
        Theme::Dark => [0.68, 0.78, 0.58],
    }[index % 3];
    let [red, green, blue] = hsl(hue, 0.62, lightness);
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// Hue in degrees, saturation and lightness in `[0, 1]`, to 8-bit red, green, blue.
fn hsl(hue: f64, saturation: f64, lightness: f64) -> [u8; 3] {
    let reach = saturation * lightness.min(1.0 - lightness);
    [0.0, 8.0, 4.0].map(|offset: f64| {
        let k = (offset + hue / 30.0) % 12.0;
        let channel = lightness - reach * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0);
        (channel * 255.0).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn is_hex(colour: &str) -> bool {
        colour.len() == 7 && colour.starts_with('#') && colour[1..].bytes().all(|byte| byte.is_ascii_hexdigit())
    }

    #[test]
    fn every_ink_is_a_colour_in_both_themes() {
        for theme in Theme::BOTH {
            for ink in [Ink::Series(0), Ink::Series(99), Ink::Class(3), Ink::Class(999), Ink::Fill, Ink::Muted] {
                assert!(is_hex(&ink.hex(theme)), "{ink:?} in {theme:?} is {}", ink.hex(theme));
            }
        }
        assert_ne!(Ink::Strong.hex(Theme::Light), Ink::Strong.hex(Theme::Dark));
    }

    #[test]
    fn sixty_classes_have_sixty_colours() {
        for theme in Theme::BOTH {
            let colours: HashSet<_> = (0..60).map(|class| Ink::Class(class).hex(theme)).collect();
            assert_eq!(colours.len(), 60);
        }
    }

    #[test]
    fn hsl_corners_are_exact() {
        assert_eq!(hsl(0.0, 1.0, 0.5), [255, 0, 0]);
        assert_eq!(hsl(120.0, 1.0, 0.5), [0, 255, 0]);
        assert_eq!(hsl(240.0, 0.0, 1.0), [255, 255, 255]);
    }

    #[test]
    fn the_page_uses_the_same_surfaces() {
        let css = include_str!("report.css");
        for theme in Theme::BOTH {
            let surface = Surface::of(theme);
            for colour in [surface.background, surface.text] {
                assert!(css.contains(colour), "{colour} of {theme:?} is not in report.css");
            }
        }
    }
}
