use sha2::{Digest, Sha256};

use super::*;
use crate::data::download::loopback;
use crate::data::idx::hex;
use crate::data::source::Source;
use flate2::{Compression, write::GzEncoder};
use std::fs;
use std::io::Write;

/// The four files of a made-up set: 6 train and 3 test images of 2 x 2, labels up to 9.
fn contents() -> [Vec<u8>; 4] {
    let images = |count: u8| {
        let mut bytes = vec![0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 2, 0, 0, 0, 2];
        bytes.extend((0..count * 4).map(|i| i * 7 + count));
        bytes
    };
    let labels = |labels: &[u8]| [&[0, 0, 8, 1, 0, 0, 0, labels.len() as u8], labels].concat();
    [images(6), labels(&[0, 1, 2, 3, 4, 9]), images(3), labels(&[5, 6, 7])]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn write_set(folder: &Path, names: [&str; 4]) {
    fs::create_dir_all(folder).unwrap();
    for (name, bytes) in names.iter().zip(contents()) {
        let bytes = if name.ends_with(".gz") { gzip(&bytes) } else { bytes };
        fs::write(folder.join(name), bytes).unwrap();
    }
}

const MIXED_NAMES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels.idx1-ubyte", "t10k-images-idx3-ubyte.gz", "t10k-labels.idx1-ubyte.gz"];

/// A known set with the made-up content; what is kept in memory for good is a few hundred bytes of a test.
fn made_up(mirrors: Vec<String>) -> KnownSet {
    let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let mirrors = Box::leak(mirrors.into_iter().map(leak).collect::<Vec<_>>().into_boxed_slice());
    let sha256 = contents().map(|bytes| leak(hex(&Sha256::digest(bytes))));
    KnownSet { name: "made-up", mirrors, sha256, labels: KNOWN[0].labels }
}

fn places(folders: &[&Path]) -> Places {
    Places { folders: folders.iter().map(PathBuf::from).collect(), cache: folders.last().map(PathBuf::from) }
}

#[test]
fn the_first_place_with_all_four_files_is_used() {
    let root = tempfile::tempdir().unwrap();
    let (partial, full) = (root.path().join("partial"), root.path().join("full"));
    write_set(&partial, MIXED_NAMES);
    fs::remove_file(partial.join(MIXED_NAMES[3])).unwrap();
    write_set(&full, MIXED_NAMES);
    let (train, test) =
        made_up(vec![]).load(&places(&[&partial, &full]), Network::Offline, &mut |_| panic!("no download")).unwrap();
    assert_eq!((train.len(), test.len(), train.shape()), (6, 3, ImageShape::grey(2, 2)));
    assert_eq!((train.label(5), test.label(0)), (Some(9), Some(5)));
    assert_eq!((train.name(), train.fingerprint()), ("made-up", test.fingerprint()));
    assert_eq!(train.fingerprint().len(), 64);
}

#[test]
fn places_are_searched_in_the_documented_order() {
    let of = |folder, data: &str, home: &str| Places::of("mnist", folder, Some(data.into()), Some(home.into()));
    let places = of(Some(Path::new("given")), "data", "home");
    let expected = ["given", "data/mnist", "home/data/mnist"].map(PathBuf::from);
    assert_eq!(places.folders, expected);
    assert_eq!(places.cache.as_deref(), Some(Path::new("home/data/mnist")));
    assert_eq!(of(None, "", "home").folders, [PathBuf::from("home/data/mnist")]);
}

#[test]
fn offline_says_where_it_looked_and_what_to_put_where() {
    let root = tempfile::tempdir().unwrap();
    let (partial, none) = (root.path().join("partial"), root.path().join("none"));
    write_set(&partial, MIXED_NAMES);
    fs::remove_file(partial.join(MIXED_NAMES[3])).unwrap();
    let error = made_up(vec!["http://mirror".into()])
        .load(&places(&[&partial, &none]), Network::Offline, &mut |_| {})
        .unwrap_err();
    let message = error.to_string();
    assert!(message.contains(&format!("no t10k-labels-idx1-ubyte in {}", partial.display())), "{message}");
    assert!(message.contains(&format!("none of them in {}", none.display())), "{message}");
    for part in ["train-images-idx3-ubyte.gz", &none.display().to_string(), "http://mirror", "--data PATH"] {
        assert!(error.help().contains(part), "{} lacks {part}", error.help());
    }
}

#[test]
fn other_content_under_a_known_name_is_refused() {
    let root = tempfile::tempdir().unwrap();
    write_set(root.path(), MIXED_NAMES);
    let error = KNOWN[0].load(&places(&[root.path()]), Network::Offline, &mut |_| {}).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("expected sha256 ba891046") && message.contains("found sha256 "), "{message}");
    assert!(error.help().contains("--data PATH"));
}

#[test]
fn a_missing_set_is_fetched_into_the_cache_and_found_there_afterwards() {
    let server = loopback::serve(vec![Box::new(|_, path| {
        let index = (0..4).find(|&index| path == format!("/{}.gz", file_name(index))).unwrap();
        let body = gzip(&contents()[index]);
        loopback::answer("200 OK", "", body.len(), &body)
    })]);
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("cache/made-up");
    let set = made_up(vec![server.url.trim_end_matches("/file.gz").to_owned()]);
    let mut files = std::collections::BTreeSet::new();
    let mut note = |progress: Progress<'_>| {
        if let Progress::Download { target, .. } = progress {
            files.insert(target.to_owned());
        }
    };
    let (train, _) = set.load(&places(&[&cache]), Network::Allowed, &mut note).unwrap();
    assert_eq!(train.len(), 6);
    assert_eq!(files.len(), 4);
    let again = set.load(&places(&[&cache]), Network::Offline, &mut |_| panic!("no download")).unwrap();
    assert_eq!(again.0.fingerprint(), train.fingerprint());
    assert_eq!(server.requests.lock().unwrap().len(), 4);
}

#[test]
fn names_are_suggested() {
    assert_eq!(known_names().collect::<Vec<_>>(), ["mnist", "fashion-mnist", "cifar10"]);
    for (typed, meant) in [("minst", "mnist"), ("FashionMNIST", "fashion-mnist"), ("fashion", "fashion-mnist")] {
        let error = load(typed, None, Network::Offline).unwrap_err();
        assert_eq!(error.help(), format!("did you mean `{meant}`?"));
    }
    let error = load("celeba", None, Network::Offline).unwrap_err();
    assert_eq!(error.to_string(), "`data`: expected one of mnist, fashion-mnist, cifar10, found `celeba`");
    assert!(!error.help().contains("did you mean"));
}

#[test]
fn a_folder_of_ones_own_is_opened_under_its_name() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("kuzushiji");
    write_set(&folder, MIXED_NAMES);
    let (train, test) = open_idx(&folder).unwrap();
    assert_eq!((train.name(), train.len(), test.unwrap().len()), ("kuzushiji", 6, 3));
    assert_eq!(train.label_names().len(), 10);
    fs::write(folder.join(MIXED_NAMES[3]), gzip(&contents()[1])).unwrap();
    assert!(open_idx(&folder).unwrap_err().to_string().contains("expected 3, one for each image, found 6"));
    fs::remove_file(folder.join(MIXED_NAMES[0])).unwrap();
    let message = open_idx(&folder).unwrap_err().to_string();
    assert!(message.contains("found no train-images-idx3-ubyte"), "{message}");
}

#[test]
fn a_single_file_finds_its_labels_by_name() {
    let root = tempfile::tempdir().unwrap();
    let (images, labels) =
        (root.path().join("emnist-images-idx3-ubyte"), root.path().join("emnist-labels-idx1-ubyte.gz"));
    fs::write(&images, &contents()[0]).unwrap();
    let (alone, test) = open_idx(&images).unwrap();
    assert!(test.is_none() && alone.label(0).is_none() && alone.label_names().is_empty());
    fs::write(&labels, gzip(&contents()[1])).unwrap();
    let (labelled, _) = open_idx(&images).unwrap();
    assert_eq!((labelled.label(3), labelled.label_names().len()), (Some(3), 10));
    assert_ne!(labelled.fingerprint(), alone.fingerprint());
    fs::write(&labels, &contents()[3]).unwrap();
    let message = open_idx(&images).unwrap_err().to_string();
    assert!(message.contains("number of labels: expected 6, one for each image, found 3"), "{message}");
}

#[test]
fn labels_from_1_on_make_no_class_0() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("letters-images-idx3-ubyte"), &contents()[0]).unwrap();
    fs::write(root.path().join("letters-labels-idx1-ubyte"), [0, 0, 8, 1, 0, 0, 0, 6, 1, 26, 3, 1, 2, 26]).unwrap();
    let (letters, _) = open_idx(&root.path().join("letters-images-idx3-ubyte")).unwrap();
    assert_eq!((letters.label_names().len(), &letters.label_names()[25][..]), (26, "26"));
    assert_eq!([0, 1, 2].map(|index| letters.label(index)), [Some(0), Some(25), Some(2)]);
}

#[test]
fn real_mnist_is_recognised() {
    let Some(data) = std::env::var_os("ELBO_DATA").map(PathBuf::from) else {
        println!("skipped: ELBO_DATA not set");
        return;
    };
    let (train, test) = load("mnist", None, Network::Offline).unwrap();
    assert_eq!((train.len(), test.len(), train.shape()), (60_000, 10_000, ImageShape::grey(28, 28)));
    assert_eq!((train.label(0), test.label(0)), (Some(5), Some(7)));
    let (opened, _) = open_idx(&data.join("mnist")).unwrap();
    assert_eq!((opened.name(), opened.fingerprint()), ("mnist", train.fingerprint()));
}
