//! CIFAR-10 in its binary version: 50,000 train and 10,000 test pictures of 3 x 32 x 32 in ten classes.
//!
//! Alex Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009. Six files of 10,000 records: one byte for the class,
//! then 1024 bytes each of red, green and blue. They are found unpacked or in the published `.tar.gz`, and are what they are by their
//! sha256, like the sets in [`known`](super::known). Where there are only `train-20k.tar` and `test-2k.tar`, tar archives of JPEG files
//! in `train/CLASS` and `test/CLASS`, they are opened as `cifar10-jpeg`: the same subject, but no set to compare published numbers on.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::cache_folder::{self, Network};
use super::download::{Limits, download};
use super::idx::hex;
use super::pictures::{self, Division, Settings};
use super::progress::Progress;
use super::source::{ImageShape, InMemory};
use super::split::{self, Splits};
use crate::error::{Error, Result};

/// The name it is known by.
pub(super) const NAME: &str = "cifar10";

const FOLDER: &str = "cifar-10-batches-bin";
const ARCHIVE: &str = "cifar-10-binary.tar.gz";
/// The archive has 170,052,171 bytes.
const MAX_ARCHIVE_BYTES: u64 = 256 << 20;
const JPEGS: [&str; 2] = ["train-20k.tar", "test-2k.tar"];
const FILES: [&str; 6] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
];
const SHAPE: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };
const RECORD: usize = 1 + 3 * 32 * 32;
const LABELS: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// The published content: what is looked for, and where.
struct Published {
    mirrors: &'static [&'static str],
    /// Of the unpacked files, in the order of [`FILES`].
    sha256: [&'static str; 6],
    /// Records in each file.
    records: usize,
}

static PUBLISHED: Published = Published {
    mirrors: &["https://www.cs.toronto.edu/~kriz"],
    sha256: [
        "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
        "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
        "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
        "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
        "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
        "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
    ],
    records: 10_000,
};

/// The binary version, as train and test pictures: from the first of `folders` that has it, or fetched into `cache`.
///
/// # Errors
/// As [`super::known::load`].
pub(super) fn load(
    folders: &[PathBuf],
    cache: Option<&Path>,
    network: Network,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(InMemory, InMemory)> {
    PUBLISHED.load(folders, cache, network, progress)
}

/// The binary version, or the JPEG files where only these are there.
///
/// # Errors
/// As [`super::known::load`] and [`pictures::open_path`].
pub(super) fn open(
    folders: &[PathBuf],
    cache: Option<&Path>,
    network: Network,
    settings: &Settings,
    division: Division,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Splits> {
    let jpegs = |folder: &&PathBuf| JPEGS.iter().all(|name| folder.join(name).is_file());
    match (folders.iter().find_map(|folder| find(folder)), folders.iter().find(jpegs)) {
        (None, Some(folder)) => {
            let note = format!(
                "JPEG pictures from {}, not the published CIFAR-10: numbers on them compare with nothing published; \
                 put {ARCHIVE} there for those",
                folder.display()
            );
            progress(Progress::Note(&note));
            let archives = JPEGS.map(|name| folder.join(name));
            pictures::open_tars("cifar10-jpeg", folder, &archives, settings, division, progress)
        }
        _ => {
            let (train, test) = load(folders, cache, network, progress)?;
            split::split_with_test(Arc::new(train), Arc::new(test), division.validation, division.seed)
        }
    }
}

/// Where the content is.
enum Place {
    Files([PathBuf; 6]),
    Archive(PathBuf),
}

fn find(folder: &Path) -> Option<Place> {
    let files = |folder: PathBuf| Some(FILES.map(|name| folder.join(name))).filter(|f| f.iter().all(|p| p.is_file()));
    let unpacked = files(folder.join(FOLDER)).or_else(|| files(folder.to_owned())).map(Place::Files);
    unpacked.or_else(|| Some(folder.join(ARCHIVE)).filter(|path| path.is_file()).map(Place::Archive))
}

impl Published {
    fn load(
        &self,
        folders: &[PathBuf],
        cache: Option<&Path>,
        network: Network,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(InMemory, InMemory)> {
        let place = match (folders.iter().find_map(|folder| find(folder)), cache, network) {
            (Some(place), ..) => place,
            (None, Some(cache), Network::Allowed) => Place::Archive(self.fetch(cache, progress)?),
            _ => return Err(self.not_found(folders)),
        };
        let files = self.read(&place)?;
        let print = cache_folder::fingerprint(&self.sha256);
        let (train, test) = files.split_at(FILES.len() - 1);
        Ok((self.source(train, &print)?, self.source(test, &print)?))
    }

    fn fetch(&self, cache: &Path, progress: &mut dyn FnMut(Progress<'_>)) -> Result<PathBuf> {
        let target = cache.join(ARCHIVE);
        let urls: Vec<_> = self.mirrors.iter().map(|mirror| format!("{mirror}/{ARCHIVE}")).collect();
        let check = |path: &Path| self.read(&Place::Archive(path.to_owned())).map(drop);
        let mut report = |done, total| progress(Progress::Download { target: &target, done, total });
        download(&urls, &target, &Limits::for_size(MAX_ARCHIVE_BYTES), &check, &mut report)?;
        Ok(target)
    }

    /// The content of the six files, checked.
    fn read(&self, place: &Place) -> Result<Vec<(PathBuf, Vec<u8>)>> {
        let limit = (self.records * RECORD) as u64;
        let files = match place {
            Place::Files(paths) => paths.iter().map(|path| read_file(path, limit)).collect::<Result<Vec<_>>>()?,
            Place::Archive(path) => self.unpack(path)?,
        };
        for ((path, bytes), expected) in files.iter().zip(self.sha256) {
            let found = hex(&Sha256::digest(bytes));
            if found != expected {
                let help = "this is not the published CIFAR-10: remove the file to have it downloaded again";
                return Err(Error::data(
                    path,
                    "content",
                    format!("sha256 {expected}"),
                    format!("sha256 {found}"),
                    help,
                ));
            }
        }
        Ok(files)
    }

    fn unpack(&self, path: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
        let wanted = |name: &[u8]| {
            let last = name.rsplit(|&byte| byte == b'/').next();
            FILES.iter().position(|file| last == Some(file.as_bytes()))
        };
        let mut found: [Option<Vec<u8>>; 6] = Default::default();
        let max = (self.records * RECORD) as u64;
        pictures::read_members(path, &mut |name, len, content| {
            let Some(file) = wanted(name).filter(|_| len <= max) else { return Ok(()) };
            let mut bytes = Vec::with_capacity(len as usize);
            content.read_to_end(&mut bytes).map_err(|error| {
                let help = "the archive is damaged or cut short: remove it to have it downloaded again";
                Error::data(path, FILES[file], format!("{len} bytes"), error.to_string(), help)
            })?;
            found[file] = Some(bytes);
            Ok(())
        })?;
        let named = found.into_iter().zip(FILES).map(|(bytes, name)| {
            let missing = || Error::data(path, "files", name, "none of that name", "fetch the archive again");
            Ok((path.join(name), bytes.ok_or_else(missing)?))
        });
        named.collect()
    }

    fn source(&self, files: &[(PathBuf, Vec<u8>)], print: &str) -> Result<InMemory> {
        let (mut pixels, mut labels) = (Vec::with_capacity(files.len() * self.records * (RECORD - 1)), Vec::new());
        for record in files.iter().flat_map(|(_, bytes)| bytes.chunks_exact(RECORD)) {
            labels.push(record[0]);
            pixels.extend_from_slice(&record[1..]);
        }
        Ok(InMemory::new(NAME, SHAPE, pixels, print).labels(labels, LABELS.map(str::to_owned).into()))
    }

    fn not_found(&self, folders: &[PathBuf]) -> Error {
        let places: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        let put = folders.last().map_or_else(|| "a folder".to_owned(), |folder| folder.display().to_string());
        let help = format!(
            "put {ARCHIVE} (no need to unpack) into {put}; it is at {}. Or allow the download",
            self.mirrors.join(" and ")
        );
        let found = format!("neither in {}", places.join(", "));
        Error::data(put, format!("files of `{NAME}`"), format!("{ARCHIVE} or the folder {FOLDER}"), found, help)
    }
}

fn read_file(path: &Path, limit: u64) -> Result<(PathBuf, Vec<u8>)> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(Error::io(path, "open"))?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(Error::io(path, "read"))?;
    Ok((path.to_owned(), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::download::loopback;
    use crate::data::source::Source;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    /// Two records a file: labels `file` and 9, pixels all 10 and 20 more than the file's number.
    fn content(file: u8) -> Vec<u8> {
        [vec![file], vec![file + 10; RECORD - 1], vec![9], vec![file + 20; RECORD - 1]].concat()
    }

    fn made_up(mirror: &str) -> Published {
        let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
        let sha256 = std::array::from_fn(|file| leak(hex(&Sha256::digest(content(file as u8)))));
        Published { mirrors: Box::leak(Box::new([leak(mirror.to_owned())])), sha256, records: 2 }
    }

    fn archive() -> Vec<u8> {
        let mut tar = Vec::new();
        pictures::testing::append(&mut tar, "cifar-10-batches-bin/batches.meta.txt", b"airplane");
        for (file, name) in FILES.iter().enumerate() {
            pictures::testing::append(&mut tar, &format!("{FOLDER}/{name}"), &content(file as u8));
        }
        tar.extend([0; 1024]);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&tar).unwrap();
        encoder.finish().unwrap()
    }

    fn check(train: &InMemory, test: &InMemory) {
        assert_eq!((train.len(), test.len(), train.shape()), (10, 2, SHAPE));
        assert_eq!((train.label(8), train.label(9), test.label(0)), (Some(4), Some(9), Some(5)));
        let mut pixels = vec![0; RECORD - 1];
        train.read(3, &mut pixels);
        assert_eq!((pixels[0], pixels[RECORD - 2]), (21, 21));
        assert_eq!((train.name(), train.label_names().len(), train.fingerprint()), (NAME, 10, test.fingerprint()));
    }

    #[test]
    fn it_is_found_unpacked_packed_and_fetched() {
        let root = tempfile::tempdir().unwrap();
        let server = loopback::serve(vec![Box::new(|_, path| {
            assert_eq!(path, format!("/{ARCHIVE}"));
            let body = archive();
            loopback::answer("200 OK", "", body.len(), &body)
        })]);
        let set = made_up(server.url.trim_end_matches("/file.gz"));
        let cache = root.path().join("cache");
        let (train, test) =
            set.load(std::slice::from_ref(&cache), Some(&cache), Network::Allowed, &mut |_| {}).unwrap();
        check(&train, &test);
        // Now it is there, packed.
        let (train, test) = set.load(&[cache], None, Network::Offline, &mut |_| {}).unwrap();
        check(&train, &test);
        let unpacked = root.path().join("unpacked");
        std::fs::create_dir_all(unpacked.join(FOLDER)).unwrap();
        for (file, name) in FILES.iter().enumerate() {
            std::fs::write(unpacked.join(FOLDER).join(name), content(file as u8)).unwrap();
        }
        let (train, test) = set.load(std::slice::from_ref(&unpacked), None, Network::Offline, &mut |_| {}).unwrap();
        check(&train, &test);
        let changed = unpacked.join(FOLDER).join(FILES[2]);
        std::fs::write(&changed, content(7)).unwrap();
        let error = set.load(&[unpacked], None, Network::Offline, &mut |_| {}).unwrap_err();
        assert_eq!(error.path(), Some(changed.as_path()), "{error}");
    }

    #[test]
    fn what_is_missing_is_named() {
        let root = tempfile::tempdir().unwrap();
        let error =
            made_up("https://mirror").load(&[root.path().into()], None, Network::Offline, &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains(ARCHIVE) && error.help().contains("https://mirror"), "{error}");
        std::fs::write(root.path().join(ARCHIVE), &archive()[..500]).unwrap();
        let error = made_up("x").load(&[root.path().into()], None, Network::Offline, &mut |_| {}).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Data, "{error}");
    }
}
