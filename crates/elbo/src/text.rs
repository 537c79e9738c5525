//! Text that came from a file, fit to be shown: what would steer a terminal is spelt out, and what has no end is cut.
//!
//! Names and values of strangers' files stand in messages and tables. A terminal obeys the control characters among
//! them (ECMA-48): it would change its title, its colours or what it shows. Marks of writing direction
//! (UAX #9, section 2) make a text read otherwise than it is. Both are shown as escapes of Rust: `\u{1b}`.

use std::borrow::Cow;

/// Whether a terminal would act on `c` instead of showing it, or show its neighbours in another order.
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `text` with all that would steer a terminal spelt out, line breaks too.
///
/// ```
/// use elbo::text::one_line;
///
/// assert_eq!(one_line("red \u{1b}[31m\n"), "red \\u{1b}[31m\\n");
/// assert_eq!(one_line("Größe"), "Größe");
/// ```
pub fn one_line(text: &str) -> Cow<'_, str> {
    spelt(text, steers)
}

/// `text` with all that would steer a terminal spelt out, except for line breaks and tabs.
///
/// ```
/// use elbo::text::lines;
///
/// assert_eq!(lines("a\tb\n\u{7}c"), "a\tb\n\\u{7}c");
/// ```
pub fn lines(text: &str) -> Cow<'_, str> {
    spelt(text, |c| steers(c) && !matches!(c, '\n' | '\t'))
}

fn spelt(text: &str, spelt_out: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&spelt_out) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if spelt_out(c) => clean.extend(c.escape_default()),
            c => clean.push(c),
        }
    }
    Cow::Owned(clean)
}

/// The first `most` characters of `text`, and how many it has when that is not all.
///
/// ```
/// use elbo::text::cut;
///
/// assert_eq!(cut("abc", 3), "abc");
/// assert_eq!(cut("abcdef", 3), "abc... (6 characters)");
/// ```
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}... ({} characters)", &text[..end], text.chars().count())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_control_character_is_spelt_out() {
        for code in (0..0x20).chain(0x7f..0xa0).chain([0x202e, 0x2066, 0x2028, 0x200f]) {
            let c = char::from_u32(code).unwrap();
            let text = format!("a{c}b");
            assert!(!one_line(&text).contains(c), "{code:x}");
            assert_eq!(lines(&text).contains(c), matches!(c, '\n' | '\t'), "{code:x}");
        }
    }

    #[test]
    fn clean_text_is_not_copied() {
        assert!(matches!(one_line("plain `text` \\ é"), Cow::Borrowed(_)));
        assert!(matches!(cut("plain", 5), Cow::Borrowed(_)));
    }
}
