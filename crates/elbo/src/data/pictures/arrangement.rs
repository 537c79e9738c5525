//! From paths to classes and parts: what the folders around a picture mean.
//!
//! A single folder around everything says nothing and is looked through. If the first level then is `train` with `test`,
//! `val`, `valid` or `validation` beside it and nothing else, these are the parts, and classes come one level below. The
//! first folder of what remains is the class; pictures outside any folder have none.

use std::collections::BTreeSet;

use super::{Entry, Listing, Origin};
use crate::error::{Error, Result};

/// Name endings of files that are taken for pictures.
pub(super) const ENDINGS: [&str; 10] = ["png", "jpg", "jpeg", "jfif", "webp", "bmp", "gif", "pgm", "ppm", "pnm"];

/// Whether a file of this name is taken for a picture. The content decides what it is then.
pub(super) fn is_picture(name: &[u8]) -> bool {
    let Some(dot) = name.iter().rposition(|&byte| byte == b'.') else { return false };
    ENDINGS.iter().any(|ending| name[dot + 1..].eq_ignore_ascii_case(ending.as_bytes()))
}

/// Whether files and folders of this name are passed over: hidden ones, and what macOS puts into archives.
pub(super) fn is_hidden(name: &[u8]) -> bool {
    name.first() == Some(&b'.') || name == b"__MACOSX"
}

/// A path for messages: what is no UTF-8 or would confuse a terminal is written as `\xNN` or `\n`.
pub(super) fn escaped(path: &[u8]) -> String {
    let mut text = String::new();
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                c if c.is_control() || c == '\\' => text.extend(c.escape_default()),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// The pictures of an archive, whose `members` are raw names in their order and what finds their bytes.
///
/// # Errors
/// [`Error::Data`] if there are none; `pack` is the command that would make such an archive.
pub(super) fn listed<P>(origin: Origin, members: Vec<(Vec<u8>, P)>, pack: &str) -> Result<(Listing, Vec<P>)> {
    if members.is_empty() {
        let help = format!("pack a folder of pictures: `{pack}`");
        return Err(Error::data(origin.path, "images", "pictures (.png, .jpg, ...) in the archive", "none", help));
    }
    let (names, places) = members.into_iter().map(|(name, place)| (escaped(&name), place)).unzip();
    Ok((Listing { origin, entries: arranged(names) }, places))
}

/// The entries of pictures whose paths are `names`, in the same order.
pub(super) fn arranged(names: Vec<String>) -> Vec<Entry> {
    let skipped = common_folders(&names);
    let parts = has_parts(&names, skipped);
    names.into_iter().map(|name| entry(name, skipped, parts)).collect()
}

fn entry(name: String, skipped: usize, parts: bool) -> Entry {
    let (part, label) = {
        let mut folders = folders(&name).skip(skipped);
        let part = if parts { folders.next().and_then(part_of) } else { None };
        (part.map(str::to_owned), folders.next().map(str::to_owned))
    };
    Entry { name, label, part }
}

/// The folders of a path, outermost first.
fn folders(name: &str) -> impl Iterator<Item = &str> {
    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    folder.split('/').filter(|part| !part.is_empty())
}

/// How many outer folders all pictures share.
fn common_folders(names: &[String]) -> usize {
    let Some(first) = names.first() else { return 0 };
    let mut common: Vec<_> = folders(first).collect();
    for name in names {
        let shared = folders(name).zip(&common).take_while(|(a, b)| a == *b).count();
        common.truncate(shared);
    }
    common.len()
}

fn has_parts(names: &[String], skipped: usize) -> bool {
    let mut found = BTreeSet::new();
    for name in names {
        match folders(name).nth(skipped).and_then(part_of) {
            Some(part) => found.insert(part),
            None => return false,
        };
    }
    found.len() > 1 && found.contains("train")
}

fn part_of(folder: &str) -> Option<&'static str> {
    match folder {
        "train" => Some("train"),
        "test" => Some("test"),
        "val" | "valid" | "validation" => Some("validation"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Vec<(Option<String>, Option<String>)> {
        arranged(names.iter().map(|name| (*name).to_owned()).collect()).into_iter().map(|e| (e.part, e.label)).collect()
    }

    fn pair(part: &str, label: &str) -> (Option<String>, Option<String>) {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        (some(part), some(label))
    }

    #[test]
    fn first_folders_are_classes() {
        assert_eq!(of(&["cat/1.png", "dog/deep/2.png", "3.png"]), [pair("", "cat"), pair("", "dog"), pair("", "")]);
        assert_eq!(of(&["1.png", "2.png"]), [pair("", ""), pair("", "")]);
    }

    #[test]
    fn train_beside_test_are_parts() {
        let expected = [pair("test", "cat"), pair("train", "cat"), pair("train", ""), pair("validation", "dog")];
        assert_eq!(of(&["test/cat/1.png", "train/cat/1.png", "train/x.png", "val/dog/a/1.png"]), expected);
        assert_eq!(of(&["s/test/1.png", "s/train/1.png"]), [pair("test", ""), pair("train", "")]);
        // A class that happens to be called so.
        assert_eq!(of(&["bus/1.png", "train/1.png"]), [pair("", "bus"), pair("", "train")]);
        assert_eq!(of(&["1.png", "test/1.png", "train/1.png"])[1], pair("", "test"));
    }

    #[test]
    fn one_folder_around_everything_is_looked_through() {
        assert_eq!(of(&["all/in/cat/1.png", "all/in/dog/1.png"]), [pair("", "cat"), pair("", "dog")]);
        assert_eq!(of(&["celeba/1.png", "celeba/2.png"]), [pair("", ""), pair("", "")]);
        assert_eq!(of(&["train/cat/1.png", "train/dog/1.png"]), [pair("", "cat"), pair("", "dog")]);
    }

    #[test]
    fn names_are_fit_to_be_shown() {
        assert_eq!(escaped(b"a/\xff\nb\\.png"), "a/\\xff\\nb\\\\.png");
        assert_eq!(escaped("Gr\u{f6}\u{df}e.png".as_bytes()), "Gr\u{f6}\u{df}e.png");
        assert!(is_picture(b"-x.JPEG") && is_picture(b".png") && !is_picture(b"png") && !is_picture(b"a.txt"));
        assert!(is_hidden(b".DS_Store") && is_hidden(b"._x.png") && !is_hidden(b"x.png"));
    }
}
