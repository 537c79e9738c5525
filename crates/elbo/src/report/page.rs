//! The frame every HTML page of this crate stands in, and the pieces pages are made of.
//!
//! A page is one file: styles are inlined, pictures are `data:` addresses, there is no script, and a content security
//! policy forbids the browser to fetch anything at all, so that what is written here is also enforced there. All text
//! goes through [`escape`]; pictures are bytes and carry nothing else.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::figures::Figure;
use super::style::Theme;

const STYLE: &str = include_str!("report.css");

/// A picture's bytes together with what they are.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Media {
    /// A PNG file.
    Png(Vec<u8>),
    /// An SVG document.
    Svg(String),
}

/// A picture with its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// What is shown, or shown in the light theme where there is a dark one.
    pub light: Media,
    /// The same for the dark theme.
    pub dark: Option<Media>,
    /// What is seen, for readers who cannot see it.
    pub alt: String,
    /// A line under the picture, or nothing.
    pub caption: String,
    /// Whether the picture consists of small images whose pixels must stay square when enlarged.
    pub pixel_art: bool,
}

impl Picture {
    /// A chart as a drawing: small, sharp at any size, right for curves and histograms.
    pub fn drawing(figure: &Figure, alt: impl Into<String>) -> Self {
        let media = |theme| Media::Svg(figure.svg(theme));
        Self::chart(media(Theme::Light), media(Theme::Dark), alt)
    }

    /// A chart as pixels: right for thousands of points, whose drawing would be larger.
    pub fn rendering(figure: &Figure, alt: impl Into<String>) -> Self {
        let media = |theme| Media::Png(figure.png(theme));
        Self::chart(media(Theme::Light), media(Theme::Dark), alt)
    }

    /// A grid of data set images as a PNG file, one file pixel per image pixel; the page enlarges it.
    pub fn pixels(png: Vec<u8>, alt: impl Into<String>) -> Self {
        Self { light: Media::Png(png), dark: None, alt: alt.into(), caption: String::new(), pixel_art: true }
    }

    /// The same picture with a line under it.
    #[must_use]
    pub fn with_caption(mut self, caption: impl Into<String>) -> Self {
        self.caption = caption.into();
        self
    }

    fn chart(light: Media, dark: Media, alt: impl Into<String>) -> Self {
        Self { light, dark: Some(dark), alt: alt.into(), caption: String::new(), pixel_art: false }
    }

    /// The `<figure>` element.
    pub(super) fn html(&self) -> String {
        let dark = self.dark.as_ref().map_or_else(String::new, |dark| {
            format!("<source media=\"(prefers-color-scheme: dark)\" srcset=\"{}\">", dark.data_uri())
        });
        let caption = match self.caption.as_str() {
            "" => String::new(),
            text => format!("<figcaption>{}</figcaption>", escape(text)),
        };
        format!(
            "<figure class=\"{}\"><picture>{dark}<img src=\"{}\" alt=\"{}\"{}></picture>{caption}</figure>",
            if self.pixel_art { "pixels" } else { "chart" },
            self.light.data_uri(),
            escape(&self.alt),
            self.dimensions(),
        )
    }

    /// Size attributes, so that the page does not jump, and for pixel art the largest whole enlargement that fits.
    fn dimensions(&self) -> String {
        let Some((width, height)) = self.light.png_size() else { return String::new() };
        let times = (WIDEST_PIXELS / width.max(1)).min(TALLEST_PIXELS / height.max(1));
        let enlarged = width.saturating_mul(times.clamp(1, MOST_ENLARGED));
        let style = if self.pixel_art { format!(" style=\"max-width:{enlarged}px\"") } else { String::new() };
        format!(" width=\"{width}\" height=\"{height}\"{style}")
    }
}

/// Pixel art is enlarged by a whole number up to about this many CSS pixels.
const WIDEST_PIXELS: u32 = 1000;

/// And to about this height, so that a picture and its words share the screen.
const TALLEST_PIXELS: u32 = 680;

/// And by no more than this: a single digit need not fill the screen.
const MOST_ENLARGED: u32 = 4;

impl Media {
    fn data_uri(&self) -> String {
        match self {
            Self::Png(bytes) => format!("data:image/png;base64,{}", BASE64.encode(bytes)),
            Self::Svg(text) => format!("data:image/svg+xml;base64,{}", BASE64.encode(text)),
        }
    }

    /// Width and height from a PNG header; `None` for anything else.
    fn png_size(&self) -> Option<(u32, u32)> {
        let Self::Png(bytes) = self else { return None };
        let number = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        (bytes.get(12..16)? == b"IHDR").then_some((number(16)?, number(20)?))
    }
}

/// Text made safe for element content and for quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // Control characters are not allowed in HTML and could hide text.
            control if control.is_control() && !matches!(control, '\n' | '\t') => safe.push('\u{fffd}'),
            other => safe.push(other),
        }
    }
    safe
}

/// A number as the page shows it: two decimals, more where two would say nothing, `not finite` where there is none.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        size if !size.is_finite() => "not finite".into(),
        0.0 => "0.00".into(),
        size if !(1e-4..1e7).contains(&size) => format!("{value:.2e}"),
        size if size < 0.01 => format!("{value:.4}"),
        size if size < 1.0 => format!("{value:.3}"),
        _ => format!("{value:.2}"),
    }
}

/// A count with commas between thousands.
pub(super) fn count(value: usize) -> String {
    let digits = value.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A section in the making: its anchor, heading and inner HTML, which must be safe already.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub anchor: String,
    pub heading: String,
    pub inner: String,
}

impl Block {
    pub fn new(heading: &str, inner: String) -> Self {
        Self { anchor: anchor(heading), heading: heading.to_owned(), inner }
    }
}

/// A complete page. `header` is safe HTML; sections get anchors and a list of links.
pub(super) fn page(title: &str, header: &str, blocks: &[Block]) -> String {
    let mut links = String::new();
    let mut body = String::new();
    for (index, Block { anchor, heading, inner }) in blocks.iter().enumerate() {
        let heading = escape(heading);
        let _ = write!(links, "<a href=\"#{anchor}-{index}\">{heading}</a>");
        let _ = writeln!(body, "<section id=\"{anchor}-{index}\"><h2>{heading}</h2>{inner}</section>");
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; \
         style-src 'unsafe-inline'\">\
         <title>{}</title><style>{STYLE}</style></head><body>\n\
         <header>{header}</header>\n<nav aria-label=\"Sections\">{links}</nav>\n<main>\n{body}</main>\n\
         <footer>Written by elbo {}. One file: it fetches nothing and runs no script.</footer>\n</body></html>\n",
        escape(title),
        env!("CARGO_PKG_VERSION"),
    )
}

/// Letters and digits of a heading in lower case, with single dashes between: safe in an attribute by construction.
fn anchor(heading: &str) -> String {
    let words = heading.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Asserts what every page promises: it fetches nothing, its pictures decode, and every element is closed.
    pub(in super::super) fn assert_self_contained(html: &str) {
        assert!(!html.contains("http:") && !html.contains("https:"), "the page names a network address");
        assert!(!html.contains("<script") && !html.contains("url(") && !html.contains("@import"));
        for attribute in ["src=\"", "srcset=\""] {
            for address in html.split(attribute).skip(1) {
                let address = address.split('"').next().unwrap_or_default();
                let (kind, data) = address.split_once(";base64,").expect("a base64 data address");
                let bytes = BASE64.decode(data).expect("base64");
                match kind {
                    "data:image/png" => assert!(image::load_from_memory(&bytes).is_ok()),
                    "data:image/svg+xml" => assert!(bytes.starts_with(b"<svg") || bytes.starts_with(b"<?xml")),
                    other => panic!("unexpected {other}"),
                }
            }
        }
        assert_balanced(html);
    }

    /// Asserts that elements are closed in the order they were opened. Void elements of HTML need no closing.
    fn assert_balanced(html: &str) {
        let mut open: Vec<&str> = Vec::new();
        for tag in html.split('<').skip(1) {
            let name = tag.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '/').next().unwrap_or("");
            let closed_itself = tag.split('>').next().is_some_and(|tag| tag.ends_with('/'));
            match name {
                "" | "meta" | "img" | "source" | "br" => {}
                _ if closed_itself => {}
                name if name.starts_with('/') => {
                    assert_eq!(open.pop(), Some(&name[1..]), "closed in the wrong order near `<{tag}`");
                }
                name => open.push(name),
            }
        }
        assert!(open.is_empty(), "never closed: {open:?}");
    }

    #[test]
    #[should_panic(expected = "closed in the wrong order")]
    fn the_balance_check_can_fail() {
        assert_balanced("<section><p></section></p>");
    }

    #[test]
    #[should_panic(expected = "network address")]
    fn the_fetch_check_can_fail() {
        assert_self_contained("<img src=\"https://example.org/a.png\">");
    }

    #[test]
    fn text_cannot_leave_its_place() {
        assert_eq!(escape("<b a=\"'\">&\u{7}\n"), "&lt;b a=&quot;&#39;&quot;&gt;&amp;\u{fffd}\n");
        assert_eq!(anchor("a\"><b> KL per Dimension"), "a-b-kl-per-dimension");
    }

    #[test]
    fn numbers_are_short_and_never_lie() {
        let cases = [
            (105.666, "105.67"),
            (-105.666, "-105.67"),
            (-0.0, "0.00"),
            (0.1939, "0.194"),
            (-0.00123, "-0.0012"),
            (3e-9, "3.00e-9"),
            (f64::NAN, "not finite"),
            (f64::NEG_INFINITY, "not finite"),
            (1.5e9, "1.50e9"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(value), expected);
        }
        assert_eq!([count(7), count(784), count(10_000), count(1_234_567)], ["7", "784", "10,000", "1,234,567"]);
    }

    #[test]
    fn pixel_art_is_enlarged_by_whole_numbers() {
        let widest = |width: u32, height: u32| {
            let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
            bytes.extend(width.to_be_bytes());
            bytes.extend(height.to_be_bytes());
            let text = Picture::pixels(bytes, "digits").dimensions();
            assert!(text.starts_with(&format!(" width=\"{width}\" height=\"{height}\"")), "{text}");
            text.split_once("max-width:").expect("a width").1.to_owned()
        };
        assert_eq!(widest(300, 28), "900px\"");
        assert_eq!(widest(300, 300), "600px\"");
        assert_eq!(widest(28, 28), "112px\"");
        assert_eq!(widest(4000, 28), "4000px\"");
        assert_eq!(widest(0, 0), "0px\"");
        assert_eq!(Picture::pixels(vec![1, 2, 3], "broken").dimensions(), "");
    }
}
