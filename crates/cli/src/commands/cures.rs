//! The cures that errors about data print, applied: so `elbo data` goes on to the next problem, and ends with one command line that has all.

use clap::Parser;
use elbo::shell::quoted;

use crate::args::{Data, Pictures, Table};

/// Flags of a cure, or those that the user gave.
#[derive(Debug, Default, Clone, Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
pub struct Flags {
    #[command(flatten)]
    pub pictures: Pictures,
    #[command(flatten)]
    pub table: Table,
    #[arg(long = "set")]
    pub set: Vec<String>,
}

impl Flags {
    /// Those that the user gave.
    pub fn of(args: &Data) -> Self {
        Self { pictures: args.pictures.clone(), table: args.table.clone(), set: args.set.clone() }
    }

    /// Adds the first cure that a help prints, between backticks; none if it prints none, or only what is there already.
    pub fn with_cure(&self, help: &str) -> Option<Self> {
        let cure = help.split('`').skip(1).step_by(2).find(|code| code.starts_with("--"))?;
        let mut all = words(&self.to_line());
        all.extend(words(cure));
        // Of a flag given twice the last counts.
        let merged = Self::try_parse_from(last_of_each(all)).ok()?;
        (merged.to_line() != self.to_line()).then_some(merged)
    }

    /// As they are typed.
    pub fn to_line(&self) -> String {
        let Self { pictures, table, set } = self;
        let one = |flag: &str, value: &Option<String>| value.as_ref().map(|value| format!("{flag} {}", quoted(value)));
        let columns = (!table.columns.is_empty()).then(|| table.columns.join(","));
        let mut line: Vec<String> = [
            one("--size", &pictures.size),
            one("--fit", &pictures.fit),
            one("--channels", &pictures.channels.map(|channels| channels.to_string())),
            one("--on-bad-image", &pictures.on_bad_image),
            one("--label", &table.rows.label),
            one("--id", &table.rows.id),
            one("--missing", &table.rows.missing),
            one("--columns", &columns),
        ]
        .into_iter()
        .flatten()
        .collect();
        line.extend(set.iter().map(|assignment| format!("--set {}", quoted(assignment))));
        line.join(" ")
    }
}

/// Flags with their values, without those that are given again later; `--set` by its key.
fn last_of_each(words: Vec<String>) -> Vec<String> {
    let pairs: Vec<&[String]> = words.chunks(2).collect();
    let key = |pair: &[String]| match (pair.first().map(String::as_str), pair.get(1)) {
        (Some("--set"), Some(assignment)) => assignment.split('=').next().unwrap_or_default().to_owned(),
        (Some("--label"), _) => "data.label".to_owned(),
        (Some("--missing"), _) => "data.missing".to_owned(),
        (Some(flag), _) => flag.to_owned(),
        (None, _) => String::new(),
    };
    let kept = pairs
        .iter()
        .enumerate()
        .filter(|(place, pair)| !pairs[place + 1..].iter().any(|later| key(later) == key(pair)));
    kept.flat_map(|(_, pair)| pair.iter().cloned()).collect()
}

/// The words of a line as a POSIX shell splits it, as far as [`quoted`] quotes.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut inside, mut begun) = (Vec::new(), String::new(), false, false);
    let mut letters = line.chars();
    while let Some(c) = letters.next() {
        match c {
            '\'' => (inside, begun) = (!inside, true),
            '\\' if !inside => word.extend(letters.next()),
            ' ' if !inside => {
                if begun || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            c => word.push(c),
        }
    }
    if begun || !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cures_are_added_once_and_the_last_counts() {
        let none = Flags::default();
        let size = none.with_cure("bring them to one size with `--size 6x6 --fit crop` (or another)").unwrap();
        assert_eq!(size.to_line(), "--size 6x6 --fit crop");
        assert!(size.with_cure("bring them to one size with `--size 6x6 --fit crop`").is_none());
        let both = size.with_cure("leave out such files with `--on-bad-image skip`").unwrap();
        assert_eq!(both.to_line(), "--size 6x6 --fit crop --on-bad-image skip");
        let other = both.with_cure("`--size 3x3`").unwrap();
        assert_eq!(other.to_line(), "--size 3x3 --fit crop --on-bad-image skip");
        assert!(
            none.with_cure("check the path").is_none() && none.with_cure("`elbo data` and `--no-such-flag`").is_none()
        );
    }

    #[test]
    fn quoted_settings_come_back() {
        let cure = "to leave it out: `--set 'data.columns=[\"petal length\", \"it'\\''s\"]'`";
        let flags = Flags::default().with_cure(cure).unwrap();
        assert_eq!(flags.set, ["data.columns=[\"petal length\", \"it's\"]"]);
        assert_eq!(words(&flags.to_line()), ["--set", "data.columns=[\"petal length\", \"it's\"]"]);
    }
}
