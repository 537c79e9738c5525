//! From paths to classes and parts: what the folders around a picture mean.
//!
//! A single folder around everything says nothing and is looked through. If folders of the next level are called like a
//! training part and a test or validation part ([`part_of`]), these are the parts, and classes come one level below; or
//! the other way round, parts inside of classes. What lies beside the parts is left out and told, since nobody knows
//! which part it belongs to. The first folder of what remains is the class; pictures outside any folder have none.

use std::collections::{BTreeMap, BTreeSet};

use super::left_out::LeftOut;

use super::{Entry, Listing, Origin};
use crate::error::{Error, Result};

/// Name endings of files that are taken for pictures.
pub(super) const ENDINGS: [&str; 16] = [
    "png", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "dib", "gif", "tif", "tiff", "tga", "pbm", "pgm", "ppm", "pnm",
];

/// Whether a file of this name is taken for a picture. The content decides what it is then.
pub(super) fn is_picture(name: &[u8]) -> bool {
    let Some(dot) = name.iter().rposition(|&byte| byte == b'.') else { return false };
    ENDINGS.iter().any(|ending| name[dot + 1..].eq_ignore_ascii_case(ending.as_bytes()))
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

/// The pictures of an archive, whose `members` are raw names in their order and what finds their bytes; and what is told of the rest.
///
/// # Errors
/// [`Error::Data`] if there are none; `pack` is the command that would make such an archive.
pub(super) fn listed<P>(
    origin: Origin,
    members: Vec<(Vec<u8>, P)>,
    left_out: &LeftOut,
    pack: &str,
) -> Result<(Listing, Vec<P>, Told)> {
    if members.is_empty() {
        let help = left_out.cure().map_or_else(|| format!("pack a folder of pictures: `{pack}`"), str::to_owned);
        let found = left_out.in_words().map_or_else(|| "none".to_owned(), |only| format!("none, only {only}"));
        return Err(Error::data(origin.path, "images", "pictures (.png, .jpg, ...) in the archive", found, help));
    }
    let names: Vec<String> = members.iter().map(|(name, _)| escaped(name)).collect();
    let Arrangement { placed, mut told } = Arrangement::of(&names);
    let kept = names.into_iter().zip(members).zip(placed).filter_map(|((name, (_, place)), placed)| {
        placed.map(|Placed { part, label }| (Entry { name, label, part }, place))
    });
    let (entries, places) = kept.unzip();
    told.add(left_out);
    Ok((Listing { origin, entries }, places, told))
}

/// What is told of a collection beside its pictures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub notes: Vec<String>,
    /// Likely to spoil the result.
    pub warnings: Vec<String>,
}

impl Told {
    /// Adds what was not taken: as a warning if there are pictures among it.
    pub fn add(&mut self, left_out: &LeftOut) {
        self.notes.extend(left_out.notes());
        self.warnings.extend(left_out.warning());
    }
}

/// Class and part of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    pub part: Option<String>,
    pub label: Option<String>,
}

/// Where each picture of a collection belongs.
pub(super) struct Arrangement {
    /// In the order of the names; none for a picture that is left out.
    pub placed: Vec<Option<Placed>>,
    pub told: Told,
}

impl Arrangement {
    /// Of pictures whose paths are `names`.
    pub fn of(names: &[String]) -> Self {
        let skipped = common_folders(names);
        let found = [skipped, skipped + 1].into_iter().find_map(|level| Some((level, parts_at(names, level)?)));
        match found {
            Some((level, parts)) => Self::with_parts(names, skipped, level, &parts),
            None => Self::without_parts(names, skipped),
        }
    }

    /// Parts are the folders at `level`, classes the first other folder.
    fn with_parts(names: &[String], skipped: usize, level: usize, parts: &Parts<'_>) -> Self {
        let mut beside: BTreeMap<String, usize> = BTreeMap::new();
        let placed = names.iter().map(|name| {
            let Some(part) = folders(name).nth(level).and_then(|folder| parts.get(folder)) else {
                let place = folders(name).nth(level).map_or_else(
                    || name.clone(),
                    |_| folders(name).take(level + 1).collect::<Vec<_>>().join("/") + "/",
                );
                *beside.entry(place).or_default() += 1;
                return None;
            };
            let class = if level > skipped { skipped } else { level + 1 };
            let label = folders(name).nth(class).map(str::to_owned);
            Some(Placed { part: Some((*part).to_owned()), label })
        });
        let placed = placed.collect();
        let told = Told { notes: Vec::new(), warnings: left_beside(&beside).into_iter().collect() };
        Self { placed, told }
    }

    fn without_parts(names: &[String], skipped: usize) -> Self {
        let placed = names.iter().map(|name| {
            let label = folders(name).nth(skipped).map(str::to_owned);
            Some(Placed { part: None, label })
        });
        let told = Told { notes: Vec::new(), warnings: like_parts(names, skipped).into_iter().collect() };
        Self { placed: placed.collect(), told }
    }
}

/// Places named in a warning.
const NAMED: usize = 5;

fn left_beside(beside: &BTreeMap<String, usize>) -> Option<String> {
    let count: usize = beside.values().sum();
    let first: Vec<_> = beside.keys().take(NAMED).map(|place| format!("`{place}`")).collect();
    let more = if beside.len() > NAMED { ", ..." } else { "" };
    let (pictures, are) =
        if count == 1 { ("1 picture lies", "is") } else { (&*format!("{count} pictures lie"), "are") };
    (count > 0).then(|| {
        format!(
            "{pictures} beside the train and test parts, in none of them, and {are} left out: {}{more}",
            first.join(", ")
        )
    })
}

/// What looks like parts and was taken otherwise.
fn like_parts(names: &[String], skipped: usize) -> Option<String> {
    let found: BTreeSet<&str> =
        names.iter().flat_map(|name| folders(name).skip(skipped).filter(|folder| part_of(folder).is_some())).collect();
    // A class called `train`, alone, holds nothing that must not be trained on.
    let harmful = found.iter().any(|folder| part_of(folder) != Some("train"));
    let (found, harmful) = if harmful { (found, true) } else { with_part_words(names, skipped) };
    let first: Vec<_> = found.iter().take(NAMED).map(|folder| format!("`{folder}`")).collect();
    let (folders, are) = if found.len() == 1 { ("a folder", "is") } else { ("folders", "are") };
    harmful.then(|| {
        format!(
            "{folders} called {} {are} no part here, since parts are `train` beside `test` or `validation`: its pictures may be trained on",
            first.join(", ")
        )
    })
}

/// The folders that have a word for a part in their names, and whether there are some to train on and others.
fn with_part_words(names: &[String], skipped: usize) -> (BTreeSet<&str>, bool) {
    let all: BTreeSet<&str> = names.iter().flat_map(|name| folders(name).skip(skipped)).collect();
    let found: Parts<'_> = all.into_iter().filter_map(|folder| Some((folder, part_in(folder)?.1))).collect();
    let harmful = are_parts(&found);
    (found.into_keys().collect(), harmful)
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

/// Folders and the parts that they are.
type Parts<'a> = BTreeMap<&'a str, &'static str>;

/// Whether some are to train on and others are not.
fn are_parts(parts: &Parts<'_>) -> bool {
    let kinds: BTreeSet<_> = parts.values().copied().collect();
    kinds.len() > 1 && kinds.contains("train")
}

/// The folders at `level` that are a part to train on and others: those called so ([`part_of`]), or all of them, where their names differ in
/// nothing but the word for a part, as `seg_train` and `seg_test` do.
fn parts_at(names: &[String], level: usize) -> Option<Parts<'_>> {
    let all: BTreeSet<&str> = names.iter().filter_map(|name| folders(name).nth(level)).collect();
    let called: Parts<'_> = all.iter().filter_map(|folder| Some((*folder, part_of(folder)?))).collect();
    if are_parts(&called) {
        return Some(called);
    }
    let stems: Option<Vec<_>> = all.iter().map(|folder| Some((*folder, part_in(folder)?))).collect();
    let stems = stems.filter(|stems| stems.iter().all(|(_, (stem, _))| *stem == stems[0].1.0))?;
    Some(stems.into_iter().map(|(folder, (_, part))| (folder, part)).collect()).filter(are_parts)
}

/// The one word for a part among others in the name of a folder, and the name without it.
fn part_in(folder: &str) -> Option<(String, &'static str)> {
    let lower = folder.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let mut parts = words.clone().filter_map(part_of);
    let part = parts.next().filter(|_| parts.next().is_none())?;
    Some((words.filter(|word| part_of(word).is_none()).collect::<Vec<_>>().join(" "), part))
}

/// The part that a folder is called after: one word for it, in any case, with digits and words that say nothing around it, such
/// as `Train`, `testing`, `val2017` or `train_images`.
fn part_of(folder: &str) -> Option<&'static str> {
    const PLAIN: [&str; 18] = [
        "set", "sets", "image", "images", "img", "imgs", "data", "dataset", "picture", "pictures", "photo", "photos",
        "split", "part", "folder", "files", "samples", "examples",
    ];
    const PARTS: [(&str, &str); 14] = [
        ("training", "train"),
        ("train", "train"),
        ("trn", "train"),
        ("testing", "test"),
        ("test", "test"),
        ("tst", "test"),
        ("tests", "test"),
        ("holdout", "test"),
        ("validation", "validation"),
        ("valid", "validation"),
        ("val", "validation"),
        ("dev", "validation"),
        ("eval", "validation"),
        ("evaluation", "validation"),
    ];
    let word_of = |word: &str| -> Option<Option<&'static str>> {
        let exact = |word: &str| PARTS.iter().find(|(name, _)| *name == word).map(|(_, part)| *part);
        let joined = |word: &str| {
            let glued = |plain: &&str| word.strip_suffix(*plain).or_else(|| word.strip_prefix(*plain)).and_then(exact);
            PLAIN.iter().find_map(glued)
        };
        match exact(word).or_else(|| joined(word)) {
            Some(part) => Some(Some(part)),
            None => PLAIN.contains(&word).then_some(None),
        }
    };
    let lower = folder.to_ascii_lowercase();
    let words = lower.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    let mut found = None;
    for word in words {
        match (word_of(word)?, found) {
            (Some(part), None) => found = Some(part),
            (Some(part), Some(before)) if part != before => return None,
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Vec<(Option<String>, Option<String>)> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let placed = Arrangement::of(&names).placed.into_iter();
        placed.map(|placed| placed.map_or((Some("out".into()), None), |placed| (placed.part, placed.label))).collect()
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
        // A picture beside them must not turn tests into a class.
        let expected = [pair("out", ""), pair("test", ""), pair("train", "")];
        assert_eq!(of(&["1.png", "test/1.png", "train/1.png"]), expected);
    }

    fn warnings(names: &[&str]) -> Vec<String> {
        Arrangement::of(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).told.warnings
    }

    #[test]
    fn parts_are_known_in_any_case_and_by_any_usual_word() {
        for (folder, part) in [
            ("Train", "train"),
            ("TESTING", "test"),
            ("training_set", "train"),
            ("val2017", "validation"),
            ("Dev", "validation"),
            ("test-images", "test"),
            ("TrainSet", "train"),
            ("imagesTest", "test"),
        ] {
            assert_eq!(part_of(folder), Some(part), "{folder}");
        }
        for folder in ["testament", "trainers", "cat", "train_test", "images", "", "2017", "bullet train", "contest"] {
            assert_eq!(part_of(folder), None, "{folder}");
        }
        assert_eq!(of(&["Test/cat/1.png", "Train/dog/1.png"]), [pair("test", "cat"), pair("train", "dog")]);
    }

    #[test]
    fn parts_whose_names_share_another_word_are_parts() {
        for [train, test] in [["seg_train", "seg_test"], ["x_train", "x_tests"], ["Train Cats", "Test Cats"]] {
            let names = [format!("{test}/cat/1.png"), format!("{train}/dog/1.png")];
            let found = of(&[&names[0], &names[1]]);
            assert_eq!(found, [pair("test", "cat"), pair("train", "dog")], "{train}");
        }
        // Beside another class they may be classes as well.
        let found = of(&["bullet train/1.png", "bullet test/1.png", "bus/1.png"]);
        assert_eq!(found[2], pair("", "bus"));
        assert!(!warnings(&["bullet train/1.png", "bullet test/1.png", "bus/1.png"]).is_empty());
    }

    #[test]
    fn parts_may_lie_inside_of_classes() {
        let names =
            ["bolt/ground_truth/1.png", "bolt/test/bent/1.png", "bolt/train/good/1.png", "nut/train/good/1.png"];
        let expected = [pair("out", ""), pair("test", "bolt"), pair("train", "bolt"), pair("train", "nut")];
        assert_eq!(of(&names), expected);
        assert!(warnings(&names)[0].contains("`bolt/ground_truth/`"), "{:?}", warnings(&names));
    }

    #[test]
    fn what_looks_like_parts_and_is_none_is_told() {
        assert!(warnings(&["cat/1.png", "test/1.png"])[0].contains("called `test` is no part"));
        assert!(warnings(&["Test/1.png", "val/1.png"])[0].contains("`Test`, `val` are no part"));
        let beside = warnings(&["preview.png", "test/1.png", "train/1.png"]);
        assert!(beside[0].starts_with("1 picture lies beside") && beside[0].contains("`preview.png`"), "{beside:?}");
        assert!(warnings(&["cat/1.png", "dog/1.png"]).is_empty());
        assert!(warnings(&["cat/1.png", "cat/test/2.png"])[0].contains("`test`"));
        let several = warnings(&["cat_test/1.png", "cat_train/1.png", "dog_test/1.png", "dog_train/1.png"]);
        assert!(several[0].contains("`cat_test`, `cat_train`, `dog_test`"), "{several:?}");
        assert!(warnings(&["bullet train/1.png", "tube/1.png"]).is_empty());
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
    }
}
