//! Text that is pasted into a shell.

/// A word as a POSIX shell takes it: as it is where no character means anything else, else in single quotes.
///
/// ```
/// use elbo::shell::quoted;
///
/// assert_eq!(quoted("runs/digits-001"), "runs/digits-001");
/// assert_eq!(quoted("runs/a run"), "'runs/a run'");
/// assert_eq!(quoted("it's"), r"'it'\\''s'");
/// ```
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}
