//! The sets known by name, `mnist`, `fashion-mnist` and `cifar10`: found on disk or fetched, and checked byte for byte; and IDX
//! files of one's own, given by path.
//!
//! A known set is its content, not a file name: whatever is found under the name must have the sha256 of the published
//! images and labels, or it is refused. So a result on `mnist` is a result on MNIST. Files that differ on purpose are
//! read with [`open_idx`], under their own name.
//!
//! The hashes are of the uncompressed files, since mirrors and users compress them anew. MNIST's were taken from the
//! original files. Fashion-MNIST's label hashes were computed from the publisher's own repository, whose `.gz` files
//! have the MD5 sums printed in its readme; its image hashes are those that independent projects publish beside the
//! very same label hashes.

use std::path::{Path, PathBuf};

use crate::data::cache_folder::{Network, Places, fingerprint};
use crate::data::cifar10;
use crate::data::download::{Limits, download};
use crate::data::idx::{IdxImages, IdxLabels, read_images, read_labels};
use crate::data::progress::Progress;
use crate::data::source::{ImageShape, InMemory};
use crate::error::{Error, Result};
use crate::suggest::did_you_mean;

/// No file of a known set is larger than this.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// The names [`load`] accepts.
pub fn known_names() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|set| set.name).chain([cifar10::NAME])
}

/// Loads the train and test images of the known set `name`.
///
/// The files (of `cifar10`, those of its binary version or their archive) are looked for in `folder`, in `$ELBO_DATA/NAME` and in the cache (`$ELBO_HOME/data/NAME`, or
/// `elbo/data/NAME` in the user's cache folder), plain or gzip; the first place that has all is used. If none has
/// and the network is allowed, they are fetched into the cache. Both sources carry one fingerprint, the sha256 over the
/// hashes of the files.
///
/// # Errors
/// [`Error::Config`] for a name that is not known, [`Error::Data`] if the files are not found or are not those of the
/// set, [`Error::Download`] if they cannot be fetched.
///
/// ```
/// use elbo::ErrorKind;
/// use elbo::data::{Network, known};
///
/// // Not a known name: the error lists those that are.
/// let error = known::load("mnsit", None, Network::Offline).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Usage);
/// ```
pub fn load(name: &str, folder: Option<&Path>, network: Network) -> Result<(InMemory, InMemory)> {
    load_observed(name, folder, network, &mut |_| {})
}

/// [`load`] that reports the progress of downloads.
///
/// # Errors
/// As [`load`].
pub fn load_observed(
    name: &str,
    folder: Option<&Path>,
    network: Network,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(InMemory, InMemory)> {
    let places = Places::from_env(name, folder);
    match name {
        cifar10::NAME => cifar10::load(&places.folders, places.cache.as_deref(), network, progress),
        name => find_set(name)?.load(&places, network, progress),
    }
}

/// Opens IDX files by path: a folder with the four files named as MNIST's, or one file of images.
///
/// A folder gives train and test images; a single file gives all its images and no test images. The labels of a single
/// file are read from beside it when its name says where: `images-idx3` becomes `labels-idx1`. A folder with the
/// content of a known set takes its name and class names; others are named after the path, their classes by number.
///
/// # Errors
/// [`Error::Data`] if a file is missing, damaged, or does not fit the others.
///
/// ```
/// use elbo::data::{Source, known};
///
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("train-images-idx3-ubyte"); // two images of 1 x 3
/// std::fs::write(&path, [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3][..], &[9; 6]].concat()).unwrap();
/// let (images, test) = known::open_idx(&path)?;
/// assert_eq!((images.len(), images.shape().to_string().as_str(), test.is_none()), (2, "1 x 1 x 3", true));
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn open_idx(path: &Path) -> Result<(InMemory, Option<InMemory>)> {
    if !path.is_dir() {
        return open_single(path).map(|images| (images, None));
    }
    let mut four = Four::read(&find_files(path).map_err(|missing| missing_files(path, &missing))?)?;
    let known = KNOWN.iter().find(|set| set.sha256 == four.hashes());
    let name = known.map_or_else(|| name_of(path), |set| set.name.to_owned());
    let labels = known.map(KnownSet::label_names).unwrap_or_else(|| four.numbered());
    let (train, test) = four.into_sources(&name, labels);
    Ok((train, Some(test)))
}

/// Whether `path` is a folder with any of the four files, and so is meant as one of IDX files.
pub(super) fn is_idx_folder(path: &Path) -> bool {
    (0..FILES.len()).any(|index| find_file(path, index).is_some())
}

/// A published set: four IDX files.
struct KnownSet {
    name: &'static str,
    /// Addresses of folders that hold the four `.gz` files.
    mirrors: &'static [&'static str],
    /// Of the uncompressed files, in the order of [`FILES`].
    sha256: [&'static str; 4],
    labels: [&'static str; 10],
}

/// Name and dimensions of the four files: train images and labels, test images and labels.
const FILES: [(&str, &str); 4] =
    [("train-images", "idx3"), ("train-labels", "idx1"), ("t10k-images", "idx3"), ("t10k-labels", "idx1")];

static KNOWN: [KnownSet; 2] = [
    KnownSet {
        name: "mnist",
        mirrors: &[
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "https://storage.googleapis.com/cvdf-datasets/mnist",
        ],
        sha256: [
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ],
        labels: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    },
    KnownSet {
        name: "fashion-mnist",
        // The publisher's own storage speaks no https; the sha256 is what makes it safe.
        mirrors: &[
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        ],
        sha256: [
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ],
        labels: [
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ],
    },
];

fn find_set(name: &str) -> Result<&'static KnownSet> {
    KNOWN.iter().find(|set| set.name == name).ok_or_else(|| {
        let names = known_names().collect::<Vec<_>>().join(", ");
        let help = match did_you_mean(name, known_names()) {
            Some(close) => format!("did you mean `{close}`?"),
            None => "use a known name, or give the path of your own files".to_owned(),
        };
        Error::config("data", format!("one of {names}"), format!("`{name}`"), help)
    })
}

impl KnownSet {
    fn load(
        &self,
        places: &Places,
        network: Network,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(InMemory, InMemory)> {
        let found = places.folders.iter().find_map(|folder| find_files(folder).ok());
        let files = match (found, &places.cache, network) {
            (Some(files), _, _) => files,
            (None, Some(cache), Network::Allowed) => self.fetch(cache, progress)?,
            _ => return Err(self.not_found(places)),
        };
        let four = Four::read(&files)?;
        for ((path, expected), found) in files.iter().zip(self.sha256).zip(four.hashes()) {
            self.check_sha256(path, expected, found)?;
        }
        Ok(four.into_sources(self.name, self.label_names()))
    }

    fn label_names(&self) -> Vec<String> {
        self.labels.map(str::to_owned).into()
    }

    /// Downloads what the cache lacks.
    fn fetch(&self, cache: &Path, progress: &mut dyn FnMut(Progress<'_>)) -> Result<[PathBuf; 4]> {
        for index in 0..FILES.len() {
            if find_file(cache, index).is_some() {
                continue;
            }
            let name = format!("{}.gz", file_name(index));
            let urls: Vec<_> = self.mirrors.iter().map(|mirror| format!("{mirror}/{name}")).collect();
            let target = cache.join(&name);
            let check = |path: &Path| self.check_sha256(path, self.sha256[index], &content_sha256(path, index)?);
            let mut report = |done, total| progress(Progress::Download { target: &target, done, total });
            download(&urls, &target, &Limits::for_size(MAX_FILE_BYTES), &check, &mut report)?;
        }
        find_files(cache).map_err(|missing| missing_files(cache, &missing))
    }

    fn check_sha256(&self, path: &Path, expected: &str, found: &str) -> Result<()> {
        if expected == found {
            return Ok(());
        }
        let help = format!(
            "this is not the published {}: remove the file to have it downloaded again, or give its folder with \
             `--data PATH` to use it as a set of your own",
            self.name
        );
        Err(Error::data(path, "content", format!("sha256 {expected}"), format!("sha256 {found}"), help))
    }

    fn not_found(&self, places: &Places) -> Error {
        let looked: Vec<_> =
            places.folders.iter().map(|folder| format!("{} in {}", lacks(folder), folder.display())).collect();
        let put = places.cache.as_ref().or(places.folders.first());
        let place = put.map_or_else(|| "a folder".to_owned(), |folder| folder.display().to_string());
        let names = (0..FILES.len()).map(|index| format!("{}.gz", file_name(index))).collect::<Vec<_>>().join(", ");
        let help = format!(
            "put {names} (no need to unpack) into {place}; they are at {}. Or allow the download, or name a folder \
             that has them with `--data PATH`",
            self.mirrors.join(" and "),
        );
        let found = if looked.is_empty() { "no folder to look in".to_owned() } else { looked.join("; ") };
        let path = put.cloned().unwrap_or_else(|| PathBuf::from(self.name));
        Error::data(path, format!("files of `{}`", self.name), "four IDX files, plain or gzip", found, help)
    }
}

/// What a folder has not of the four files, in words.
fn lacks(folder: &Path) -> String {
    match find_files(folder) {
        Err(missing) if missing.len() < FILES.len() => format!("no {}", missing.join(", no ")),
        _ => "none of them".to_owned(),
    }
}

fn missing_files(folder: &Path, missing: &[String]) -> Error {
    let help =
        "put all four files into one folder, named as MNIST's, plain or gzip; or give the path of one file of images";
    let expected = "train-images, train-labels, t10k-images and t10k-labels as IDX files";
    Error::data(folder, "files", expected, format!("no {}", missing.join(", no ")), help)
}

/// The name a file usually has, without `.gz`.
fn file_name(index: usize) -> String {
    let (stem, dimensions) = FILES[index];
    format!("{stem}-{dimensions}-ubyte")
}

/// A file of the four under any of the names in use, unpacked ones first because they read faster.
fn find_file(folder: &Path, index: usize) -> Option<PathBuf> {
    let (stem, dimensions) = FILES[index];
    let spellings = ["-", "."].map(|joint| format!("{stem}{joint}{dimensions}-ubyte"));
    let names = ["", ".gz"].into_iter().flat_map(|end| spellings.iter().map(move |name| format!("{name}{end}")));
    names.map(|name| folder.join(name)).find(|path| path.is_file())
}

/// The four files of a folder, or the names of those it lacks.
fn find_files(folder: &Path) -> Result<[PathBuf; 4], Vec<String>> {
    let found: [_; 4] = std::array::from_fn(|index| find_file(folder, index));
    if found.iter().all(Option::is_some) {
        return Ok(found.map(Option::unwrap_or_default));
    }
    Err((0..FILES.len()).filter(|&index| found[index].is_none()).map(file_name).collect())
}

fn content_sha256(path: &Path, index: usize) -> Result<String> {
    match FILES[index].1 {
        "idx3" => Ok(read_images(path)?.sha256),
        _ => Ok(read_labels(path)?.sha256),
    }
}

/// The content of the four files, known to fit together.
struct Four {
    train: IdxImages,
    train_labels: IdxLabels,
    test: IdxImages,
    test_labels: IdxLabels,
}

impl Four {
    fn read(files: &[PathBuf; 4]) -> Result<Self> {
        // The train images are most of the work; the other three files are read meanwhile.
        let (train, rest) = rayon::join(
            || read_images(&files[0]),
            || Ok((read_labels(&files[1])?, read_images(&files[2])?, read_labels(&files[3])?)),
        );
        let (train, (train_labels, test, test_labels)) = (train?, rest?);
        check_count(&files[1], &train_labels, &train)?;
        check_count(&files[3], &test_labels, &test)?;
        if (train.height, train.width) != (test.height, test.width) {
            let expected = format!("images of {} x {}, as the train images", train.height, train.width);
            let found = format!("{} x {}", test.height, test.width);
            return Err(Error::data(&files[2], "header", expected, found, "give train and test files of one set"));
        }
        Ok(Self { train, train_labels, test, test_labels })
    }

    /// In the order of [`FILES`].
    fn hashes(&self) -> [&str; 4] {
        [&self.train.sha256, &self.train_labels.sha256, &self.test.sha256, &self.test_labels.sha256]
    }

    /// Names of the classes, which are numbered anew.
    fn numbered(&mut self) -> Vec<String> {
        numbered(&mut [&mut self.train_labels.labels, &mut self.test_labels.labels])
    }

    fn into_sources(self, name: &str, labels: Vec<String>) -> (InMemory, InMemory) {
        let print = fingerprint(&self.hashes());
        let train = source(name, self.train, Some(self.train_labels), labels.clone(), &print);
        (train, source(name, self.test, Some(self.test_labels), labels, &print))
    }
}

fn source(name: &str, images: IdxImages, labels: Option<IdxLabels>, names: Vec<String>, print: &str) -> InMemory {
    let shape = ImageShape::grey(images.height, images.width);
    let source = InMemory::new(name, shape, images.pixels, print);
    match labels {
        Some(labels) => source.labels(labels.labels, names),
        None => source,
    }
}

fn check_count(path: &Path, labels: &IdxLabels, images: &IdxImages) -> Result<()> {
    if labels.labels.len() == images.count {
        return Ok(());
    }
    let (expected, found) = (format!("{}, one for each image", images.count), format!("{}", labels.labels.len()));
    Err(Error::data(path, "number of labels", expected, found, "give images and labels of one set"))
}

/// Class names: the numbers from the smallest label to the largest. The labels become places among them, so that labels from 1 on, as
/// EMNIST has them, make no class 0 that nobody has seen.
fn numbered(labels: &mut [&mut Vec<u8>]) -> Vec<String> {
    let all = || labels.iter().flat_map(|labels| labels.iter().copied());
    let (Some(smallest), Some(largest)) = (all().min(), all().max()) else { return Vec::new() };
    labels.iter_mut().flat_map(|labels| labels.iter_mut()).for_each(|label| *label -= smallest);
    (smallest..=largest).map(|label| label.to_string()).collect()
}

fn name_of(path: &Path) -> String {
    path.file_stem().map_or_else(|| "idx".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

fn open_single(path: &Path) -> Result<InMemory> {
    let images = read_images(path)?;
    let mut labels = match labels_beside(path) {
        Some(labels_path) => {
            let labels = read_labels(&labels_path)?;
            check_count(&labels_path, &labels, &images)?;
            Some(labels)
        }
        None => None,
    };
    let names = labels.as_mut().map(|labels| numbered(&mut [&mut labels.labels])).unwrap_or_default();
    let hashes: Vec<_> =
        [Some(&images.sha256), labels.as_ref().map(|labels| &labels.sha256)].into_iter().flatten().collect();
    let print = fingerprint(&hashes.iter().map(|hash| hash.as_str()).collect::<Vec<_>>());
    Ok(source(&name_of(path), images, labels, names, &print))
}

/// The labels that belong to a file of images by their name, plain or gzip whatever the images are.
fn labels_beside(images: &Path) -> Option<PathBuf> {
    let name = images.file_name()?.to_str()?;
    let renamed = ["-", "."].into_iter().find_map(|joint| {
        let (from, to) = (format!("images{joint}idx3"), format!("labels{joint}idx1"));
        name.contains(&from).then(|| name.replacen(&from, &to, 1))
    })?;
    let plain = renamed.strip_suffix(".gz").unwrap_or(&renamed);
    [plain.to_owned(), format!("{plain}.gz")].iter().map(|name| images.with_file_name(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests;
