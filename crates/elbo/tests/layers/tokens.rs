//! A Rust source as words and marks, as far as finding paths needs it.

#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    Word(String),
    /// `::`
    Separator,
    Mark(char),
}

pub type Tokens = Vec<(usize, Token)>;

/// The tokens of a Rust source with their lines, without comments, strings, characters and lifetimes.
pub fn tokens_of(text: &str) -> Tokens {
    let chars: Vec<char> = text.chars().collect();
    let (mut i, mut line, mut tokens) = (0, 1, Vec::new());
    while i < chars.len() {
        let start = i;
        let at = |offset: usize| chars.get(i + offset).copied().unwrap_or('\0');
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        if chars[i..].starts_with(&['/', '/']) {
            i = end_of(&chars, i, |rest| rest[0] == '\n');
        } else if chars[i..].starts_with(&['/', '*']) {
            i = end_of_block_comment(&chars, i);
        } else if let Some(hashes) = raw_string(&chars[i..]) {
            let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            let open = i + chars[i..].iter().position(|&c| c == '"').expect("a raw string has a quote") + 1;
            i = end_of(&chars, open, |rest| rest.starts_with(&close)) + close.len();
        } else if at(0) == '"' || (at(0) == '\'' && (at(1) == '\\' || at(2) == '\'')) {
            i = end_of_quoted(&chars, i);
        } else if at(0) == '\'' {
            i = end_of(&chars, i + 1, |rest| !is_word(rest[0]));
        } else if is_word(at(0)) {
            i = end_of(&chars, i, |rest| !is_word(rest[0]));
            tokens.push((line, Token::Word(chars[start..i].iter().collect())));
        } else if chars[i..].starts_with(&[':', ':']) {
            tokens.push((line, Token::Separator));
            i += 2;
        } else {
            if !at(0).is_whitespace() {
                tokens.push((line, Token::Mark(at(0))));
            }
            i += 1;
        }
        i = i.min(chars.len());
        line += chars[start..i].iter().filter(|&&c| c == '\n').count();
    }
    tokens
}

fn end_of(chars: &[char], start: usize, stop: impl Fn(&[char]) -> bool) -> usize {
    (start..chars.len()).find(|&i| stop(&chars[i..])).unwrap_or(chars.len())
}

fn end_of_block_comment(chars: &[char], start: usize) -> usize {
    let (mut i, mut depth) = (start + 2, 1);
    while i < chars.len() && depth > 0 {
        match chars[i..] {
            ['/', '*', ..] => (i, depth) = (i + 2, depth + 1),
            ['*', '/', ..] => (i, depth) = (i + 2, depth - 1),
            _ => i += 1,
        }
    }
    i
}

fn end_of_quoted(chars: &[char], start: usize) -> usize {
    let mut i = start + 1;
    while i < chars.len() && chars[i] != chars[start] {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// The number of `#` of the raw string that starts here, if one does.
fn raw_string(chars: &[char]) -> Option<usize> {
    let prefixes = [&['r'][..], &['b', 'r'], &['c', 'r']];
    let after = prefixes.iter().find_map(|prefix| chars.strip_prefix(*prefix))?;
    let hashes = after.iter().take_while(|&&c| c == '#').count();
    (after.get(hashes) == Some(&'"')).then_some(hashes)
}

/// The tokens outside `#[cfg(test)]` items, and the names of test modules kept in files of their own.
pub fn without_tests(tokens: Tokens) -> (Tokens, Vec<String>) {
    let (mut kept, mut modules, mut i) = (Tokens::new(), Vec::new(), 0);
    while i < tokens.len() {
        let Some(end) = end_of_test_attribute(&tokens[i..]) else {
            kept.push(tokens[i].clone());
            i += 1;
            continue;
        };
        if tokens[i + 1].1 == Token::Mark('!') {
            return (Tokens::new(), modules);
        }
        let length = length_of_item(&tokens[i + end..]);
        if let [.., (_, Token::Word(keyword)), (_, Token::Word(name)), (_, Token::Mark(';'))] =
            &tokens[..i + end + length]
            && keyword == "mod"
        {
            modules.push(name.clone());
        }
        i += end + length;
    }
    (kept, modules)
}

/// The number of tokens of `#[cfg(test)]`, or of another condition that only tests meet, if it starts here.
fn end_of_test_attribute(tokens: &[(usize, Token)]) -> Option<usize> {
    let token = |i: usize| tokens.get(i).map(|(_, token)| token);
    let bracket = if token(1) == Some(&Token::Mark('!')) { 2 } else { 1 };
    if token(0) != Some(&Token::Mark('#')) || token(bracket) != Some(&Token::Mark('[')) {
        return None;
    }
    let end = tokens.iter().position(|(_, token)| *token == Token::Mark(']'))?;
    let word = |name: &str| tokens[..end].iter().any(|(_, token)| *token == Token::Word(name.into()));
    (token(bracket + 1) == Some(&Token::Word("cfg".into())) && word("test") && !word("not") && !word("any"))
        .then_some(end + 1)
}

/// The number of tokens up to the `;` or the closed braces that end an item.
fn length_of_item(tokens: &[(usize, Token)]) -> usize {
    let mut depth = 0;
    for (i, (_, token)) in tokens.iter().enumerate() {
        match token {
            Token::Mark('(' | '[' | '{') => depth += 1,
            Token::Mark(')' | ']') => depth -= 1,
            Token::Mark('}') => {
                depth -= 1;
                if depth <= 0 {
                    return i + 1;
                }
            }
            Token::Mark(';') if depth == 0 => return i + 1,
            _ => {}
        }
    }
    tokens.len()
}

pub fn is(tokens: &[(usize, Token)], i: usize, expected: &Token) -> bool {
    tokens.get(i).is_some_and(|(_, token)| token == expected)
}

pub fn is_mark(tokens: &[(usize, Token)], i: usize, mark: char) -> bool {
    is(tokens, i, &Token::Mark(mark))
}
