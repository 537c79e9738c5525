//! Collections as wholes: from a folder or archive to splits, with and without a cache. D7 to D12 are numbers of the list of faults this
//! project answers for.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::ImageFormat;
use tempfile::TempDir;

use super::source::Pictures;
use super::testing::{append, colour, encoded, grey, png, put, tar_header};
use super::*;
use crate::data::source::{ImageShape, Source};
use crate::error::{Error, ErrorKind};

/// A folder for pictures and one for the cache.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("set")
    }

    fn cache(&self) -> PathBuf {
        self.0.path().join("cache")
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.root().join(name);
        put(&path, bytes);
        path
    }

    fn open(&self, settings: Settings) -> Result<Pictures> {
        self.open_telling(settings, &mut |_| {})
    }

    fn open_telling(&self, settings: Settings, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Pictures> {
        open_collection(Arc::new(Folder::scan(&self.root())?), settings, Some(&self.cache()), progress)
    }

    fn cache_files(&self, ending: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.cache()).map(|entries| entries.map(|e| e.unwrap().path()).collect::<Vec<_>>());
        entries.unwrap_or_default().into_iter().filter(|path| path.extension().is_some_and(|e| e == ending)).collect()
    }
}

fn open_collection(
    collection: Arc<dyn Collection>,
    settings: Settings,
    cache: Option<&Path>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Pictures> {
    Pictures::open(&collection.listing().origin, &mut || Ok(Arc::clone(&collection)), &settings, cache, progress)
}

const SKIP: Settings =
    Settings { size: None, fit: Fit::Crop, channels: None, depth: None, on_bad_image: OnBadImage::Skip, fresh: false };
const FAIL: Settings = Settings { on_bad_image: OnBadImage::Fail, ..SKIP };

fn sized(height: u32, width: u32) -> Settings {
    Settings { size: Some(Size { height, width }), ..FAIL }
}

fn names(pictures: &Pictures) -> Vec<String> {
    (0..pictures.len()).map(|index| pictures.id(index).unwrap()).collect()
}

fn refusal(result: Result<Pictures>) -> Error {
    result.err().expect("a refusal")
}

fn pixels(pictures: &Pictures, index: usize) -> Vec<u8> {
    let mut pixels = vec![0; pictures.shape().numel()];
    pictures.read(index, &mut pixels);
    pixels
}

#[test]
fn a_folder_becomes_pixels_with_classes() {
    let place = Place::new();
    for (i, name) in ["dog/b.png", "cat/a.png", "dog/a.png", "c.png"].iter().enumerate() {
        place.put(name, &png(&grey(5, 4, i as u32)));
    }
    place.put("dog/notes.txt", b"not a picture");
    place.put(".hidden/x.png", b"not looked at");
    let mut notes = Vec::new();
    let mut tell = |p: Progress<'_>| {
        if let Progress::Note(note) = p {
            notes.push(note.to_owned())
        }
    };
    let pictures = place.open_telling(FAIL, &mut tell).unwrap();
    assert_eq!(names(&pictures), ["c.png", "cat/a.png", "dog/a.png", "dog/b.png"]);
    assert_eq!(pictures.label_names(), ["cat", "dog"]);
    assert_eq!([0, 1, 2, 3].map(|i| pictures.label(i)), [None, Some(0), Some(1), Some(1)]);
    assert_eq!((pictures.name(), pictures.shape()), ("set", ImageShape::grey(5, 4)));
    assert_eq!(pixels(&pictures, 3), grey(5, 4, 0).into_bytes());
    assert_eq!(pictures.bytes().unwrap().len(), 4 * 20);
    assert!(notes.iter().any(|n| n.contains("size 5x4")) && notes.iter().any(|n| n.contains("1 channel")), "{notes:?}");
    let division = Division { test: 0.25, validation: Validation::Count(1), seed: 1 };
    let splits = pictures.split(division).unwrap();
    assert_eq!((splits.train.len(), splits.validation.unwrap().len(), splits.test.len()), (2, 1, 1));
}

#[test]
fn parts_are_those_of_the_collection() {
    let place = Place::new();
    for i in 0..10 {
        place.put(&format!("train/a/{i}.png"), &png(&grey(3, 3, i)));
    }
    place.put("test/b/1.png", &png(&grey(3, 3, 20)));
    let open = || place.open(FAIL).unwrap();
    let division = |validation| Division { test: 0.5, validation, seed: 0 };
    let splits = open().split(division(Validation::Fraction(0.2))).unwrap();
    assert_eq!((splits.train.len(), splits.validation.unwrap().len(), splits.test.len()), (8, 2, 1));
    assert_eq!((splits.train.label(0), splits.test.label(0)), (Some(0), Some(1)));
    let splits = open().split(division(Validation::Test)).unwrap();
    assert!(splits.validation_is_test && splits.train.len() == 10);
    place.put("val/a/1.png", &png(&grey(3, 3, 30)));
    let splits = open().split(division(Validation::Fraction(0.2))).unwrap();
    assert_eq!((splits.train.len(), splits.validation.unwrap().len(), splits.test.len()), (10, 1, 1));
    fs::remove_dir_all(place.root().join("test")).unwrap();
    let splits = open().split(division(Validation::Fraction(0.2))).unwrap();
    assert_eq!((splits.train.len(), splits.validation.unwrap().len(), splits.test.len()), (5, 1, 5));
}

fn members() -> Vec<(&'static str, Vec<u8>)> {
    let mut members =
        vec![("cat/2.jpg", encoded(&colour(8, 6, 4), ImageFormat::Jpeg)), ("cat/1.png", png(&grey(8, 6, 1)))];
    members.push(("dog/1.bmp", encoded(&colour(8, 6, 9), ImageFormat::Bmp)));
    members
}

fn tar_of(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar_header(b"./", 0, b'5').to_vec();
    members.iter().for_each(|(name, bytes)| append(&mut tar, &format!("./{name}"), bytes));
    tar.extend([0; 1024]);
    tar
}

fn zip_of(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    use std::io::Write;
    let mut zip = ::zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (i, (name, bytes)) in members.iter().enumerate() {
        let methods = [::zip::CompressionMethod::Stored, ::zip::CompressionMethod::Deflated];
        let options = ::zip::write::SimpleFileOptions::default().compression_method(methods[i % 2]);
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn origin(path: &Path) -> Origin {
    Origin { name: "set".into(), path: path.into(), stamp: "a stamp".into() }
}

fn open_tar(path: &Path) -> Result<Pictures> {
    open_collection(Arc::new(tar::Tar::open(origin(path), &[path.into()], None)?), FAIL, None, &mut |_| {})
}

fn open_zip(path: &Path) -> Result<Pictures> {
    open_collection(Arc::new(zip::Zip::open(origin(path))?), FAIL, None, &mut |_| {})
}

#[test]
fn a_folder_and_its_archives_are_one_set() {
    let place = Place::new();
    members().iter().for_each(|(name, bytes)| drop(place.put(name, bytes)));
    let folder = place.open(FAIL).unwrap();
    assert_eq!(folder.shape(), ImageShape { channels: 3, height: 8, width: 6 });
    let tar = tar_of(&members());
    let at = |name: &str, bytes: &[u8]| {
        let path = place.0.path().join(name);
        put(&path, bytes);
        path
    };
    let (tar, packed, zip) = (at("a.tar", &tar), at("a.tar.gz", &gzip(&tar)), at("a.zip", &zip_of(&members())));
    for path in [&tar, &packed, &zip, &place.root()] {
        assert!(holds_pictures(path), "{}", path.display());
    }
    for other in [open_tar(&tar).unwrap(), open_tar(&packed).unwrap(), open_zip(&zip).unwrap()] {
        assert_eq!(names(&other), names(&folder));
        assert_eq!((other.bytes(), other.label(2)), (folder.bytes(), folder.label(2)));
        assert_eq!(other.fingerprint(), folder.fingerprint());
    }
}

#[test]
fn names_of_tar_may_be_long_and_odd() {
    let place = Place::new();
    let long = format!("{}/{}.png", "d".repeat(90), "n".repeat(120));
    let mut tar = Vec::new();
    // GNU's way.
    tar.extend(tar_header(b"././@LongLink", long.len() as u64 + 1, b'L'));
    tar.extend(long.as_bytes());
    tar.resize(tar.len().next_multiple_of(512), 0);
    append(&mut tar, "cut", &png(&grey(2, 2, 1)));
    // POSIX's way.
    let record = |key: &str, value: &str| {
        let rest = format!(" {key}={value}\n").len();
        let len = (rest + 1..rest + 9).find(|len| len.to_string().len() + rest == *len).unwrap();
        format!("{len} {key}={value}\n")
    };
    append(&mut tar, "header", record("path", "pax/\u{e9}\n.png").as_bytes());
    let start = tar.len() - 1024;
    tar[start..start + 512].copy_from_slice(&tar_header(
        b"header",
        record("path", "pax/\u{e9}\n.png").len() as u64,
        b'x',
    ));
    append(&mut tar, "cut", &png(&grey(2, 2, 2)));
    // The prefix field, a second version of a file, a link, what macOS adds.
    append(&mut tar, "twice.png", b"the old one");
    append(&mut tar, "twice.png", &png(&grey(2, 2, 3)));
    tar.extend(tar_header(b"link.png", 0, b'2'));
    append(&mut tar, "__MACOSX/x.png", b"junk");
    append(&mut tar, "._twice.png", b"junk");
    let path = place.put("odd.tar", &tar);
    let pictures = open_tar(&path).unwrap();
    assert_eq!(names(&pictures), [long, "pax/\u{e9}\\n.png".to_owned(), "twice.png".to_owned()]);
    assert_eq!(pixels(&pictures, 2), grey(2, 2, 3).into_bytes());
}

#[test]
fn damaged_archives_are_refused() {
    let place = Place::new();
    let (tar, zip) = (tar_of(&members()), zip_of(&members()));
    let open = |name: &str, bytes: &[u8]| {
        let path = place.put(name, bytes);
        if name.ends_with("zip") { open_zip(&path) } else { open_tar(&path) }
    };
    let content = tar.len() - 1024;
    // Cuts inside of headers and contents; whole headers only, behind which the archive may end.
    for end in [511, 700, 1100, content - 300] {
        let message = refusal(open("cut.tar", &tar[..end])).to_string();
        assert!(message.contains("byte") && message.contains("cut.tar"), "{end}: {message}");
    }
    assert!(open("short.tar", &tar[..content]).is_ok(), "without its last blocks it has all files");
    let packed = gzip(&tar);
    for share in 1..20 {
        let end = packed.len() * share / 20;
        assert_eq!(refusal(open("cut.tar.gz", &packed[..end])).kind(), ErrorKind::Data, "{end}");
    }
    let mut flipped = tar.clone();
    flipped[512 + 3] ^= 1;
    assert!(refusal(open("flipped.tar", &flipped)).to_string().contains("checksum"));
    let mut huge = tar_header(b"a.png", 0, b'0').to_vec();
    huge[124..136].copy_from_slice(b"77777777777\0");
    huge[148..156].fill(b' ');
    let sum: u32 = huge.iter().map(|&byte| u32::from(byte)).sum();
    huge[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert!(refusal(open("huge.tar", &huge)).to_string().contains("bytes of `a.png`"));
    let extension = tar_header(b"././@LongLink", 8 << 30, b'L');
    assert!(refusal(open("extension.tar", &extension)).to_string().contains("extended header"));
    assert!(refusal(open("empty.tar", &[0; 1024])).to_string().contains("found none"));
    for end in [10, zip.len() / 2, zip.len() - 5] {
        assert_eq!(refusal(open("cut.zip", &zip[..end])).kind(), ErrorKind::Data, "{end}");
    }
    // A wrong checksum in a stored member.
    let mut flipped = zip.clone();
    flipped[100] ^= 1;
    let message = refusal(open("flipped.zip", &flipped)).to_string();
    assert!(message.contains("cat/2.jpg"), "{message}");
}

#[test]
fn archives_of_every_packing_are_one_set() {
    use std::io::Write;
    let place = Place::new();
    members().iter().for_each(|(name, bytes)| drop(place.put(name, bytes)));
    let folder = place.open(FAIL).unwrap();
    let at = |name: &str, bytes: &[u8]| {
        let path = place.0.path().join(name);
        put(&path, bytes);
        path
    };
    let tar = tar_of(&members());
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(&tar).unwrap();
    let zstd = zstd::encode_all(&tar[..], 1).unwrap();
    for path in [at("a.tar.bz2", &bzip2.finish().unwrap()), at("a.tar.zst", &zstd), at("a.tgz", &gzip(&tar))] {
        assert!(holds_pictures(&path), "{}", path.display());
        let packed = open_tar(&path).unwrap();
        assert_eq!(
            (packed.bytes(), packed.fingerprint()),
            (folder.bytes(), folder.fingerprint()),
            "{}",
            path.display()
        );
    }
    // Names of programs that write `./` or, long ago on Windows, `\\`.
    for (before, between) in [("./", "/"), ("", "\\")] {
        let named: Vec<(String, Vec<u8>)> = members()
            .into_iter()
            .map(|(name, bytes)| (before.to_owned() + &name.replace('/', between), bytes))
            .collect();
        let named: Vec<(&str, Vec<u8>)> = named.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
        let zip = open_zip(&at("named.zip", &zip_of(&named))).unwrap();
        assert_eq!((names(&zip), zip.label(2)), (names(&folder), folder.label(2)), "{before}{between}");
    }
}

fn zip_with(method: ::zip::CompressionMethod) -> Vec<u8> {
    use std::io::Write;
    let mut zip = ::zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in members() {
        zip.start_file(name, ::zip::write::SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(&bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn zip_members_of_other_methods_are_read_or_named_without_a_word_of_damage() {
    let place = Place::new();
    let path = place.put("a.zip", &zip_with(::zip::CompressionMethod::Bzip2));
    assert_eq!(open_zip(&path).unwrap().len(), 3);
    // PPMd, in both headers of the first member.
    let mut other = zip_with(::zip::CompressionMethod::Stored);
    let central = other.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    (other[8], other[central + 10]) = (98, 98);
    let error = refusal(open_zip(&place.put("b.zip", &other)));
    assert!(error.to_string().contains("PPMd") && error.help().contains("whole"), "{error}: {}", error.help());
    // A password.
    let mut secret = zip_with(::zip::CompressionMethod::Stored);
    let central = secret.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    (secret[6], secret[central + 8]) = (1, 1);
    let pictures = open_zip(&place.put("c.zip", &secret)).unwrap();
    assert!(pictures.len() == 2 && pictures.warnings()[0].contains("password"), "{:?}", pictures.warnings());
}

#[test]
fn no_changed_byte_of_an_archive_gives_another_set() {
    let place = Place::new();
    let whole = zip_of(&[("a/1.bmp", encoded(&grey(6, 5, 1), ImageFormat::Bmp)), ("b/2.png", png(&grey(6, 5, 2)))]);
    let good = open_zip(&place.put("good.zip", &whole)).unwrap();
    let facts = |set: &Pictures| (names(set), set.bytes().unwrap().to_vec(), set.label_names().to_vec());
    let mut read = 0;
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        if let Ok(set) = open_zip(&place.put("changed.zip", &changed)) {
            assert_eq!(facts(&set), facts(&good), "byte {at} of {}", whole.len());
            read += 1;
        }
    }
    // Times, versions and attributes, which nobody needs.
    assert!(read < whole.len() / 4, "{read} of {}", whole.len());
}

#[test]
fn what_is_left_out_is_told_and_parts_are_guarded() {
    let place = Place::new();
    for i in 0..4 {
        place.put(&format!("Train/cat/{i}.png"), &png(&grey(3, 3, i)));
        place.put(&format!("Testing/cat/{i}.png"), &png(&grey(3, 3, 10 + i)));
    }
    place.put("preview.png", &png(&grey(3, 3, 30)));
    place.put("Train/cat/@eaDir/0.png/SYNOPHOTO_THUMB_M.png", &png(&grey(9, 9, 1)));
    place.put("Train/cat/IMG_1.HEIC", b"\0\0\0\x18ftypheic");
    place.put("labels.csv", b"a,b");
    let pictures = place.open(FAIL).unwrap();
    let warnings = pictures.warnings().join("\n");
    assert!(warnings.contains("`preview.png`") && warnings.contains("1 .heic"), "{warnings}");
    assert!(pictures.notes().join("\n").contains("1 `@eaDir`"), "{:?}", pictures.notes());
    assert_eq!(pictures.label_names(), ["cat"]);
    let splits = pictures.split(Division { test: 0.1, validation: Validation::NONE, seed: 0 }).unwrap();
    assert_eq!((splits.train.len(), splits.test.len()), (4, 4));
}

#[test]
fn grey_stored_as_colour_is_told() {
    let place = Place::new();
    for i in 0..3 {
        place.put(&format!("{i}.png"), &png(&image::DynamicImage::ImageRgb8(grey(4, 4, i).into_rgb8())));
    }
    let pictures = place.open(FAIL).unwrap();
    assert!(pictures.notes().iter().any(|note| note.contains("all equal") && note.contains("--channels 1")));
    place.put("3.png", &png(&colour(4, 4, 1)));
    assert!(!place.open(FAIL).unwrap().notes().iter().any(|note| note.contains("all equal")));
}

#[test]
fn pictures_of_16_bits_are_told_of_and_can_be_kept() {
    let place = Place::new();
    for i in 0..3u16 {
        let values: Vec<u16> = (0..16).map(|v| v * 250 + i).collect();
        let image = image::ImageBuffer::<image::Luma<u16>, _>::from_raw(4, 4, values).unwrap();
        place.put(&format!("{i}.png"), &png(&image::DynamicImage::ImageLuma16(image)));
    }
    let shallow = place.open(FAIL).unwrap();
    assert!(shallow.warnings()[0].contains("of 48 levels 16 are left"), "{:?}", shallow.warnings());
    let settings = Settings { depth: Some(16), ..FAIL };
    for deep in [place.open(settings).unwrap(), place.open(settings).unwrap()] {
        assert_eq!((deep.domain(), deep.warnings().len(), deep.bytes()), (crate::space::Domain::Unit, 0, None));
        let mut values = [0f32; 16];
        deep.read_values(2, &mut values);
        assert_eq!(values[5], 1252.0 / 65_535.0);
        assert_ne!(deep.fingerprint(), shallow.fingerprint());
    }
    let error = refusal(place.open(Settings { depth: Some(12), ..FAIL }));
    assert!(error.to_string().contains("data.depth"), "{error}");
}

/// Says that it takes a kilobyte, and holds pictures of one colour without end.
struct Swelling(Listing, Vec<u8>);

impl Collection for Swelling {
    fn listing(&self) -> &Listing {
        &self.0
    }

    fn bytes(&self, _: usize) -> Result<Vec<u8>> {
        Ok(self.1.clone())
    }

    fn stored_bytes(&self) -> u64 {
        1000
    }
}

#[test]
fn kilobytes_that_would_fill_the_disk_are_refused_before_they_do() {
    let place = Place::new();
    let entries = (0..2000).map(|i| Entry { name: format!("{i}.png"), label: None, part: None }).collect();
    let listing = Listing { origin: origin(&place.root()), entries };
    let picture = png(&image::DynamicImage::ImageLuma8(image::GrayImage::new(1000, 1000)));
    let swelling = Arc::new(Swelling(listing, picture));
    let error = refusal(open_collection(swelling.clone(), FAIL, Some(&place.cache()), &mut |_| {}));
    assert!(error.to_string().contains("2.0 GB") && error.help().contains("--size"), "{error}: {}", error.help());
    assert!(place.cache_files("pixels").is_empty() && place.cache_files("part").is_empty());
    assert_eq!(open_collection(swelling, sized(8, 8), None, &mut |_| {}).unwrap().len(), 2000);
}

#[test]
fn large_pictures_go_straight_into_the_cache() {
    let place = Place::new();
    // Above the bound for pictures that lie in rows, with the planes in order.
    let image = image::RgbImage::from_fn(4200, 2800, |x, y| image::Rgb([x as u8, y as u8, (x + y) as u8]));
    place.put("1.bmp", &encoded(&image::DynamicImage::ImageRgb8(image), ImageFormat::Bmp));
    let pictures = place.open(FAIL).unwrap();
    let bytes = pictures.bytes().unwrap();
    let plane = 4200 * 2800;
    let at = 2799 * 4200 + 4100;
    assert_eq!(
        [bytes[at], bytes[plane + at], bytes[2 * plane + at]],
        [4100u32 as u8, 2799u32 as u8, (4100 + 2799) as u8]
    );
}

#[test]
fn d8_mixed_sizes_are_listed_with_the_cure() {
    let place = Place::new();
    for i in 0..6 {
        place.put(&format!("a{i}.png"), &png(&grey(4, 6, i)));
        place.put(&format!("b{i}.png"), &png(&colour(8, 5, i)));
    }
    for i in 0..9 {
        place.put(&format!("c{i}.png"), &png(&grey(6, 6, i)));
    }
    let error = refusal(place.open(FAIL));
    let message = error.to_string();
    for part in ["9 of 6x6", "6 of 4x6", "6 of 8x5", "a0.png (4x6)", "a4.png (4x6)"] {
        assert!(message.contains(part), "{part} not in {message}");
    }
    assert!(
        !message.contains("a5.png") && error.help().contains("--size 6x6 --fit crop"),
        "{message} {}",
        error.help()
    );
    for fit in [Fit::Crop, Fit::Pad, Fit::Stretch] {
        let pictures = place.open(Settings { fit, ..sized(6, 6) }).unwrap();
        assert_eq!((pictures.len(), pictures.shape()), (21, ImageShape { channels: 3, height: 6, width: 6 }));
    }
    let pictures = place.open(Settings { channels: Some(1), ..sized(3, 2) }).unwrap();
    assert_eq!(pictures.shape(), ImageShape::grey(3, 2));
    assert!(
        pictures.notes().iter().any(|note| note.contains("21 of 21") && note.contains("from 4x5 to 8x6")),
        "{:?}",
        pictures.notes()
    );
    assert!(pictures.notes().iter().any(|note| note.contains("6 of 21 pictures lose their colour")));
}

#[test]
fn a_colour_picture_after_grey_ones_makes_all_rgb() {
    let place = Place::new();
    for i in 0..5 {
        place.put(&format!("{i}.png"), &png(&grey(4, 4, i)));
    }
    place.put("9.png", &png(&colour(4, 4, 0)));
    let pictures = place.open(FAIL).unwrap();
    assert_eq!((pictures.shape().channels, pictures.bytes().unwrap().len()), (3, 6 * 48));
    assert_eq!(pixels(&pictures, 1)[..16], grey(4, 4, 1).into_bytes()[..]);
    assert!(pictures.notes().iter().any(|note| note.contains("3 channels, since 1 of 6")), "{:?}", pictures.notes());
}

#[test]
fn d9_nothing_to_train_on_is_said_and_one_picture_is_enough() {
    let place = Place::new();
    fs::create_dir_all(place.root()).unwrap();
    let found = |place: &Place| refusal(place.open(SKIP)).to_string();
    assert!(found(&place).contains("found nothing in it") && found(&place).contains(".png, .jpg"), "{}", found(&place));
    place.put("a.txt", b"x");
    assert!(found(&place).contains("only 1 other file (1 .txt)"));
    place.put(".b.png", b"x");
    assert!(found(&place).contains("1 other file (1 .txt) and 1 hidden name"));
    let empty = place.put("empty.png", b"");
    let error = refusal(place.open(FAIL));
    assert!(error.to_string().contains("empty.png") && error.to_string().contains("an empty file"), "{error}");
    assert!(error.help().contains("--on-bad-image skip"));
    assert!(found(&place).contains("none among 1 files"));
    fs::write(&empty, png(&grey(2, 2, 0))).unwrap();
    let splits = place.open(FAIL).unwrap();
    let splits = splits.split(Division { test: 0.1, validation: Validation::Fraction(0.1), seed: 0 }).unwrap();
    assert_eq!((splits.train.len(), splits.test.len(), splits.validation.is_none()), (1, 0, true));
}

#[cfg(unix)]
mod unix {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn d10_only_regular_files_are_opened() {
        let place = Place::new();
        place.put("good.png", &png(&grey(2, 2, 0)));
        let fifo = place.root().join("pipe.png");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let _socket = UnixListener::bind(place.root().join("socket.png")).unwrap();
        symlink("/dev/zero", place.root().join("zero.png")).unwrap();
        symlink("nowhere.png", place.root().join("dangling.png")).unwrap();
        let began = Instant::now();
        let message = refusal(place.open(FAIL)).to_string();
        assert!(message.contains("dangling.png") && message.contains("leads nowhere"), "{message}");
        let pictures = place.open(SKIP).unwrap();
        assert_eq!(names(&pictures), ["good.png"]);
        let notes = pictures.notes().join("\n");
        assert!(
            notes.contains("4 of 5 files are bad and left out: dangling.png, pipe.png, socket.png, zero.png"),
            "{notes}"
        );
        assert!(began.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn d10_what_changes_or_cannot_be_read_is_named() {
        let place = Place::new();
        place.put("a.png", &png(&grey(2, 2, 0)));
        let gone = place.put("b.png", &png(&grey(2, 2, 1)));
        let cut = place.put("c.png", &png(&grey(2, 2, 2)));
        let folder = Arc::new(Folder::scan(&place.root()).unwrap());
        fs::remove_file(&gone).unwrap();
        fs::write(&cut, b"\x89PNG\r\n\x1a\n").unwrap();
        let message = refusal(open_collection(folder.clone(), FAIL, None, &mut |_| {})).to_string();
        assert!(message.contains("b.png: cannot open"), "{message}");
        let pictures = open_collection(folder, SKIP, None, &mut |_| {}).unwrap();
        assert_eq!(names(&pictures), ["a.png"]);
        let locked = place.put("locked/d.png", &png(&grey(2, 2, 3)));
        fs::set_permissions(locked.parent().unwrap(), fs::Permissions::from_mode(0o000)).unwrap();
        fs::set_permissions(place.root().join("a.png"), fs::Permissions::from_mode(0o000)).unwrap();
        if fs::read_dir(locked.parent().unwrap()).is_ok() {
            println!("skipped: permissions do not bind this user");
        } else {
            let notes = refusal(place.open(SKIP)).to_string();
            assert!(notes.contains("none among"), "{notes}");
            let message = refusal(place.open(FAIL)).to_string();
            assert!(message.contains("a.png: cannot open"), "{message}");
        }
        fs::set_permissions(locked.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn d11_links_end_and_files_come_once() {
        let (place, elsewhere) = (Place::new(), tempfile::tempdir().unwrap());
        place.put("a/1.png", &png(&grey(2, 2, 1)));
        place.put("z/2.png", &png(&grey(2, 2, 2)));
        put(elsewhere.path().join("3.png"), &png(&grey(2, 2, 3)));
        let root = place.root();
        symlink("b", root.join("a/b")).unwrap();
        symlink("..", root.join("a/up")).unwrap();
        symlink("/", root.join("a/self")).unwrap_or(());
        fs::remove_file(root.join("a/self")).unwrap();
        symlink("../z", root.join("a/other")).unwrap();
        symlink("z/2.png", root.join("again.png")).unwrap();
        fs::hard_link(root.join("a/1.png"), root.join("a/hard.png")).unwrap();
        symlink(elsewhere.path(), root.join("outside")).unwrap();
        let pictures = place.open(FAIL).unwrap();
        assert_eq!(names(&pictures), ["a/1.png", "outside/3.png", "z/2.png"]);
        assert!(pictures.notes()[0].contains("further names"), "{:?}", pictures.notes());
    }

    #[test]
    fn d11_a_tree_too_deep_is_not_followed_to_its_end() {
        let place = Place::new();
        place.put("1.png", &png(&grey(2, 2, 1)));
        let mut deep = place.root();
        for _ in 0..500 {
            deep.push("d");
        }
        fs::create_dir_all(&deep).unwrap();
        put(deep.join("2.png"), &png(&grey(2, 2, 2)));
        let message = refusal(place.open(FAIL)).to_string();
        assert!(message.contains("more than 64 folders deep"), "{message}");
        assert_eq!(names(&place.open(SKIP).unwrap()), ["1.png"]);
    }

    #[test]
    fn d12_every_name_is_read_in_the_order_of_its_bytes() {
        let place = Place::new();
        let long = format!("{}.png", "n".repeat(251));
        let odd: [&[u8]; 6] = [b"-rf.png", b"\xff\xfe.png", b"a\nb.png", b"a/z.png", b"a-.png", long.as_bytes()];
        for (i, name) in odd.iter().enumerate() {
            let path = place.root().join(OsStr::from_bytes(name));
            put(path, &png(&grey(2, 2, i as u32)));
        }
        let pictures = place.open(FAIL).unwrap();
        assert_eq!(names(&pictures), ["-rf.png", "a\\nb.png", "a-.png", "a/z.png", &long, "\\xff\\xfe.png"]);
        assert_eq!(pixels(&pictures, 5), grey(2, 2, 1).into_bytes());
        fs::write(place.root().join(OsStr::from_bytes(b"\xff\xfe.png")), b"junk").unwrap();
        let message = refusal(place.open(FAIL)).to_string();
        assert!(message.contains("\\xff\\xfe.png") && !message.contains('\u{fffd}'), "{message}");
    }

    #[test]
    fn without_a_place_for_the_cache_memory_serves() {
        let place = Place::new();
        place.put("1.png", &png(&grey(2, 2, 1)));
        put(place.cache(), b"a file where a folder should be");
        let mut notes = Vec::new();
        let mut tell = |p: Progress<'_>| {
            if let Progress::Note(note) = p {
                notes.push(note.to_owned())
            }
        };
        let pictures = place.open_telling(FAIL, &mut tell).unwrap();
        assert_eq!(pixels(&pictures, 0), grey(2, 2, 1).into_bytes());
        assert!(notes[0].contains("kept in memory") && notes[0].contains("cannot create"), "{notes:?}");
    }
}

#[test]
fn what_is_decoded_once_is_not_decoded_again() {
    let place = Place::new();
    for i in 0..3 {
        place.put(&format!("x/{i}.png"), &png(&grey(4, 4, i)));
    }
    let open = |settings| {
        let mut decoded = 0;
        let mut tell = |p: Progress<'_>| decoded += usize::from(matches!(p, Progress::Decode { .. }));
        let pictures = place.open_telling(settings, &mut tell).unwrap();
        (pictures, decoded > 0)
    };
    let (first, decoded) = open(FAIL);
    assert!(decoded);
    let (second, decoded) = open(FAIL);
    assert!(!decoded);
    assert_eq!(
        (first.bytes(), first.fingerprint(), names(&first)),
        (second.bytes(), second.fingerprint(), names(&second))
    );
    assert_eq!((second.label_names(), second.notes()), (first.label_names(), first.notes()));
    // Other settings are another file; a changed set takes the place of the old one.
    assert!(open(sized(2, 2)).1);
    assert_eq!(place.cache_files("pixels").len(), 2);
    place.put("x/0.png", &png(&grey(4, 4, 7)));
    let (third, decoded) = open(FAIL);
    assert!(decoded && third.fingerprint() != first.fingerprint());
    assert_eq!(pixels(&third, 0), grey(4, 4, 7).into_bytes());
    assert_eq!(place.cache_files("pixels").len(), 2);
    assert!(place.cache_files("part").is_empty());
    // The file that was mapped before is still what it was.
    assert_eq!(pixels(&first, 0), grey(4, 4, 0).into_bytes());
}

#[test]
fn a_damaged_cache_is_made_anew() {
    let place = Place::new();
    for i in 0..3 {
        place.put(&format!("{i}.png"), &png(&grey(30, 40, i)));
    }
    let expected = place.open(FAIL).unwrap().bytes().unwrap().to_vec();
    let path = place.cache_files("pixels").remove(0);
    let whole = fs::read(&path).unwrap();
    let opened = |bytes: &[u8]| {
        // A new file, since the old one may be mapped by others.
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
        let mut decoded = false;
        let mut tell = |p: Progress<'_>| decoded |= matches!(p, Progress::Decode { .. });
        let pictures = place.open_telling(FAIL, &mut tell).unwrap();
        assert_eq!(pictures.bytes(), Some(&expected[..]));
        decoded
    };
    assert!(!opened(&whole));
    for end in [0, 1, 47, 48, 4096, whole.len() / 2, whole.len() - 1] {
        assert!(opened(&whole[..end]), "cut at {end}");
    }
    // Magic, pixels, tables, header, length, sha256, magic; the padding in front of the pixels does not count.
    for at in
        [0, 4096, 4096 + 3599, 4096 + 3600, whole.len() - 200, whole.len() - 48, whole.len() - 30, whole.len() - 1]
    {
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        assert!(opened(&damaged), "flipped at {at} of {}", whole.len());
    }
    assert!(opened(&[whole.clone(), vec![0]].concat()));
}

#[test]
fn two_runs_that_start_at_once_share_one_file() {
    let place = Place::new();
    for i in 0..20 {
        place.put(&format!("{i}.png"), &png(&grey(30, 40, i)));
    }
    let prints: Vec<String> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| place.open(FAIL).unwrap().fingerprint().to_owned())).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert!(prints.iter().all(|print| *print == prints[0]));
    assert_eq!((place.cache_files("pixels").len(), place.cache_files("part").len()), (1, 0));
}

/// Many tiny files: 2,000, or as many as `ELBO_MANY` says (D12 asks for 200,000 in the nightly run).
#[test]
fn d12_many_files_start_quickly() {
    let count: u32 = std::env::var("ELBO_MANY").ok().and_then(|text| text.parse().ok()).unwrap_or(2000);
    let place = Place::new();
    for i in 0..count {
        place.put(&format!("{}/{i}.png", i % 10), &png(&grey(2, 2, i)));
    }
    assert_eq!(place.open(FAIL).unwrap().len(), count as usize);
    let began = std::time::Instant::now();
    let pictures = place.open(FAIL).unwrap();
    println!("{count} files again in {:?}", began.elapsed());
    assert_eq!((pictures.len(), pictures.label_names().len()), (count as usize, 10));
    assert!(began.elapsed().as_secs_f64() < 2.0 + f64::from(count) / 10_000.0);
}

#[test]
fn real_faces_and_cifar10_are_what_they_are() {
    let Some(data) = std::env::var_os("ELBO_DATA").map(PathBuf::from) else {
        println!("skipped: ELBO_DATA not set");
        return;
    };
    let cache = tempfile::tempdir().unwrap();
    let faces = Arc::new(Folder::scan(&data.join("faces/orl")).unwrap());
    let faces = open_collection(faces, FAIL, Some(cache.path()), &mut |_| {}).unwrap();
    assert_eq!((faces.len(), faces.shape(), faces.label_names().len()), (400, ImageShape::grey(112, 92), 40));
    let path = data.join("cifar10/test-2k.tar");
    let cifar = open_tar(&path).unwrap();
    assert_eq!((cifar.len(), cifar.shape().dims(), cifar.label_names().len()), (2000, [3, 32, 32], 10));
}
