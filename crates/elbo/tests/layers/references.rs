//! The paths of a Rust source: what it imports and what it names in passing.

use crate::joined;
use crate::tokens::{Token, is, is_mark};

/// A path as it is written: `crate::data::Split` in a `use` or anywhere else.
#[derive(Clone)]
pub struct Reference {
    pub line: usize,
    /// Inline modules around it, `mod a { ... }`.
    pub inside: Vec<String>,
    pub segments: Vec<String>,
    pub in_use: bool,
    /// The name a `use` gives it.
    pub binds: Option<String>,
}

/// Every path of at least two segments, and everything in a `use`.
pub fn references_in(tokens: &[(usize, Token)]) -> Vec<Reference> {
    let (mut found, mut inline, mut depth, mut i) = (Vec::new(), Vec::<(String, usize)>::new(), 0_usize, 0);
    while i < tokens.len() {
        let inside = inline.iter().map(|(name, _)| name.clone()).collect();
        let mut reference = Reference { line: tokens[i].0, inside, segments: Vec::new(), in_use: false, binds: None };
        match &tokens[i].1 {
            Token::Mark('{') => depth += 1,
            Token::Mark('}') => {
                depth = depth.saturating_sub(1);
                inline.retain(|(_, level)| *level < depth);
            }
            Token::Word(word) if word == "mod" && is_mark(tokens, i + 2, '{') => {
                if let Some((_, Token::Word(name))) = tokens.get(i + 1) {
                    inline.push((name.clone(), depth));
                }
                i += 1;
            }
            // `impl Trait + use<'a>` is another thing.
            Token::Word(word) if word == "use" && !is_mark(tokens, i + 1, '<') => {
                reference.in_use = true;
                i = read_use(tokens, i + 1, &reference, &mut found);
                continue;
            }
            Token::Word(_) if starts_path(tokens, i) => {
                (reference.segments, i) = read_path(tokens, i);
                found.extend((reference.segments.len() > 1).then_some(reference));
                continue;
            }
            _ => {}
        }
        i += 1;
    }
    found
}

/// Whether the word here is the first of its path, not a field, a method or the end of `<T as Trait>::path`.
fn starts_path(tokens: &[(usize, Token)], i: usize) -> bool {
    let before = |back: usize| i.checked_sub(back).map(|i| &tokens[i].1);
    match before(1) {
        Some(Token::Mark('.')) => is_mark(tokens, i.saturating_sub(2), '.'),
        Some(Token::Separator) => !matches!(before(2), Some(Token::Word(_) | Token::Mark('>'))),
        _ => true,
    }
}

fn read_path(tokens: &[(usize, Token)], start: usize) -> (Vec<String>, usize) {
    let (mut segments, mut i) = (Vec::new(), start);
    while let Some((_, Token::Word(word))) = tokens.get(i) {
        segments.push(word.clone());
        i += 1;
        match tokens.get(i..i + 2) {
            Some([(_, Token::Separator), (_, Token::Word(_))]) => i += 1,
            _ => break,
        }
    }
    (segments, i)
}

/// Reads one tree of a `use` declaration, `a::{b, c as d}`, where `outer` tells what is around it; returns its end.
fn read_use(tokens: &[(usize, Token)], start: usize, outer: &Reference, found: &mut Vec<Reference>) -> usize {
    let start = start + usize::from(is(tokens, start, &Token::Separator));
    let (own, mut i) = read_path(tokens, start);
    let line = tokens.get(start).map_or(outer.line, |(line, _)| *line);
    let mut tree = Reference { line, segments: joined(&outer.segments, &own), ..outer.clone() };
    i += usize::from(is(tokens, i, &Token::Separator));
    if is_mark(tokens, i, '{') {
        i += 1;
        while i < tokens.len() && !is_mark(tokens, i, '}') {
            let end = read_use(tokens, i, &tree, found);
            // Past the comma, and past anything that is no `use` at all.
            i = if end > i && !is_mark(tokens, end, ',') { end } else { end + 1 };
        }
        return i + 1;
    }
    if tree.segments.len() > 1 && tree.segments.last().is_some_and(|last| last == "self") {
        tree.segments.pop();
    }
    tree.binds = match tokens.get(i..i + 2) {
        _ if is_mark(tokens, i, '*') => None,
        Some([(_, Token::Word(keyword)), (_, Token::Word(alias))]) if keyword == "as" => Some(alias.clone()),
        _ => tree.segments.last().cloned(),
    };
    found.push(tree);
    end_of_tree(tokens, i)
}

fn end_of_tree(tokens: &[(usize, Token)], start: usize) -> usize {
    (start..tokens.len())
        .find(|&i| [',', '}', ';'].iter().any(|&mark| is_mark(tokens, i, mark)))
        .unwrap_or(tokens.len())
}

// The checker itself, on sources made up to break each rule and to look like it.
