//! NumPy's `.npz`: a zip archive of `.npy` arrays.
//!
//! | asked | taken |
//! |---|---|
//! | `data.array` | that array |
//! | nothing | examples of a training part (`x_train`, `train_images`); else the only array of two to four dimensions that is no labels; else the first there is of `images`, `x`, `arr_0`, `imgs`, ... |
//! | `data.label` | that array as classes: numbers, text, or Python objects that are such |
//! | nothing | labels of the same part (`y_train`, `train_labels`; `labels` or `y` beside examples without a part) |
//!
//! With examples of a training part come those of the validation and test parts under the same word, as in the `mnist.npz` of Keras and
//! the files of MedMNIST. Case does not matter. What is not used is told, also what cannot be: other Python objects, other members.

mod names;

use std::fs::File;
use std::io::BufReader;

use zip::ZipArchive;
use zip::read::ZipFile;

use self::names::{EXAMPLES, Meant, PartName, Role, meant};
use super::array::{Array, Kept};
use super::dtype::Kind;
use super::labels::{Classes, Labels, MAX_CLASSES};
use super::meaning::meaning;
use super::{Content, Loaded, Part, Request, hashed, images, listed, objects};
use crate::data::zip_directory;
use crate::error::{Error, Result};
use crate::suggest::did_you_mean;

/// More entries than this are no set of arrays.
const MAX_ENTRIES: usize = 4096;

/// Reads a `.npz` file.
pub(super) fn load(request: &Request<'_>) -> Result<Loaded> {
    let mut archive = Archive::open(request)?;
    let examples = archive.examples()?;
    let (mut classes, mut used) = (Classes::default(), vec![examples.clone()]);
    let labels = archive.labels_of(&examples, None)?;
    used.extend(labels.as_ref().map(|wanted| wanted.name.clone()));
    let mut train = archive.part(&examples, labels, &mut classes)?;
    let [validation, test] = [PartName::Validation, PartName::Test].map(|part| archive.sibling(&examples, part));
    let mut other = |name: Option<String>, part| -> Result<Option<Part>> {
        let Some(name) = name else { return Ok(None) };
        let labels = archive.labels_of(&name, Some(part))?.filter(|_| train.labels.is_some());
        used.extend([Some(name.clone()), labels.as_ref().map(|wanted| wanted.name.clone())].into_iter().flatten());
        archive.part(&name, labels, &mut classes).map(Some)
    };
    let validation = other(validation, PartName::Validation)?;
    let mut test = other(test, PartName::Test)?;
    train.notes.extend(archive.unused(&used));
    let mut parts = None;
    if let Some(validation) = validation {
        let counts = [train.count(), validation.count(), test.as_ref().map_or(0, Part::count)];
        train = train.with(request, validation)?;
        train = match test.take() {
            Some(test) => train.with(request, test)?,
            None => train,
        };
        let mut end = 0;
        parts = Some(counts.map(|count| {
            end += count as u32;
            (end - count as u32..end).collect()
        }));
    }
    let labels = [Some(&mut train), test.as_mut()].into_iter().flatten().filter_map(|part| part.labels.as_mut());
    let label_names = classes.sorted(labels);
    Ok(Loaded { train, test, parts, label_names, sha256: archive.sha256 })
}

/// Whether the array of examples holds rows, by its header.
pub(super) fn holds_rows(request: &Request<'_>) -> Result<bool> {
    let mut archive = Archive::open(request)?;
    let name = archive.examples()?;
    archive.read(&name, |array| Ok(meaning(array)?.is_rows()))
}

struct Archive<'a> {
    request: &'a Request<'a>,
    zip: ZipArchive<BufReader<File>>,
    /// The arrays, by name without `.npy`.
    members: Vec<Member>,
    /// Other members of the archive.
    others: Vec<String>,
    /// Bytes of the file.
    size: u64,
    sha256: String,
}

/// An array of the archive.
struct Member {
    name: String,
    meant: Option<Meant>,
    /// Its type and shape, or why it cannot be used.
    header: Result<Header, String>,
}

/// Type, its name, and shape.
type Header = (Kind, String, Vec<usize>);

/// Whether an array may hold examples.
fn is_usable((kind, _, shape): &Header) -> bool {
    !matches!(kind, Kind::Unicode | Kind::Ascii | Kind::Object) && (2..=4).contains(&shape.len())
}

impl Member {
    fn is_labels(&self) -> bool {
        matches!(self.meant, Some(Meant { role: Role::Labels(_), .. }))
    }

    /// Whether it may hold examples.
    fn is_usable(&self) -> bool {
        self.header.as_ref().is_ok_and(is_usable)
    }

    fn in_words(&self) -> String {
        match &self.header {
            Ok((_, dtype, shape)) => format!("`{}` ({dtype} {shape:?})", self.name),
            Err(found) => format!("`{}` ({found})", self.name),
        }
    }
}

/// An array of labels.
struct Wanted {
    name: String,
    /// Whether `data.label` named it: then it must serve.
    by_request: bool,
}

impl<'a> Archive<'a> {
    fn open(request: &'a Request<'a>) -> Result<Self> {
        let mut file = File::open(request.path).map_err(Error::io(request.path, "open"))?;
        let (size, sha256) = hashed(&mut file).map_err(Error::io(request.path, "read"))?;
        let help = "give a whole file that `numpy.savez` wrote; if this was one, it was cut off: copy it again";
        let broken = |expected: String, found: String| request.error("archive", expected, found, help);
        zip_directory::read(&mut file, size)
            .map_err(|fault| broken(format!("a zip archive of arrays (npz) with {}", fault.expected), fault.found))?;
        let zip = ZipArchive::new(BufReader::new(file))
            .map_err(|error| broken("a zip archive of arrays (npz)".into(), error.to_string()))?;
        if zip.len() > MAX_ENTRIES {
            let (expected, found) = (format!("at most {MAX_ENTRIES} entries"), zip.len().to_string());
            return Err(request.error("archive", expected, found, "save the arrays you need in a file of their own"));
        }
        let names: Vec<String> = zip.file_names().flatten().map(|name| name.into_owned()).collect();
        let mut archive = Self { request, zip, members: Vec::new(), others: Vec::new(), size, sha256 };
        for entry in names {
            match entry.strip_suffix(".npy") {
                Some(name) => {
                    let header = archive.header(name)?;
                    archive.members.push(Member { name: name.to_owned(), meant: meant(name), header });
                }
                None => archive.others.push(entry),
            }
        }
        Ok(archive)
    }

    /// Type and shape of an array, or what it has instead. What will not be read as examples is read here, so that damage to it is no other
    /// meaning: a label less, or an array that seems unusable.
    fn header(&mut self, name: &str) -> Result<Result<Header, String>> {
        let (request, size) = (self.request, self.size);
        let entry = format!("{name}.npy");
        let header = match self.zip.by_name(&entry) {
            Err(error) => return Ok(Err(error.to_string())),
            Ok(entry) => match Array::begin_any(request, name, entry, size) {
                Ok(array) => {
                    let header = (array.header.dtype.kind, array.header.dtype.name(), array.header.shape.clone());
                    if !is_usable(&header) {
                        array.drain()?;
                    }
                    return Ok(Ok(header));
                }
                Err(Error::Data { found, .. }) => found,
                Err(error) => error.to_string(),
            },
        };
        let mut entry = self.zip.by_name(&entry).map_err(|error| unreadable(request, name, &error))?;
        std::io::copy(&mut entry, &mut std::io::sink()).map_err(|error| {
            let help = "the file was cut off or damaged: copy or save it again";
            request.error(format!("{name}: content"), "an array", format!("damaged content ({error})"), help)
        })?;
        Ok(Err(header))
    }

    fn names(&self) -> Vec<String> {
        self.members.iter().map(|member| member.name.clone()).collect()
    }

    fn has(&self, name: &str) -> bool {
        self.members.iter().any(|member| member.name == name)
    }

    /// The arrays whose names say this, the surest first.
    fn meaning(&self, is: impl Fn(&Meant) -> Option<usize>) -> Vec<&Member> {
        let place = |member: &&Member| member.meant.as_ref().and_then(&is);
        let mut found: Vec<&Member> = self.members.iter().filter(|member| place(member).is_some()).collect();
        found.sort_by_key(|member| place(member));
        found
    }

    /// The name of the array of examples.
    fn examples(&self) -> Result<String> {
        match self.request.array {
            Some(name) if self.has(name) => return Ok(name.to_owned()),
            Some(name) if self.request.strict => return Err(self.no_such_array("data.array", name)),
            _ => {}
        }
        let of = |part: Option<PartName>| {
            self.meaning(|meant| match meant.role {
                Role::Examples(place) if meant.part == part => Some(place),
                _ => None,
            })
        };
        let asked = [self.request.label, self.request.id];
        let is_label = |member: &&Member| member.is_labels() || asked.contains(&Some(member.name.as_str()));
        let others: Vec<&Member> = self.members.iter().filter(|member| !is_label(member)).collect();
        let usable: Vec<&Member> = others.iter().copied().filter(|member| member.is_usable()).collect();
        let named = [of(Some(PartName::Train)), of(None)].concat();
        let found = match (&others[..], &usable[..], named.first()) {
            ([only], ..) | (_, [only], _) => Some(*only),
            (.., Some(named)) => Some(*named),
            _ => None,
        };
        found.map(|member| member.name.clone()).ok_or_else(|| {
            let names = EXAMPLES[..3].iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let expected = format!("one array of examples, or one named `x_train`, `train_images`, {names}");
            let found = if self.members.is_empty() { "no arrays".into() } else { listed(&self.names()) };
            let help = match usable.first() {
                Some(first) => format!(
                    "say which (`data.array=NAME`), for example `--set {}`",
                    crate::shell::quoted(&format!("data.array={}", first.name))
                ),
                None => "say which: `--set data.array=NAME`".into(),
            };
            self.request.error("arrays", expected, found, &help)
        })
    }

    /// The examples of another part, under the same word as `examples`.
    fn sibling(&self, examples: &str, part: PartName) -> Option<String> {
        let Meant { role, part: own } = meant(examples)?;
        if matches!(own, Some(PartName::Validation | PartName::Test)) {
            return None;
        }
        let found = self.members.iter().find(|member| member.meant == Some(Meant { role, part: Some(part) }));
        found.map(|member| member.name.clone())
    }

    /// The labels that belong to the array `examples`, of a held-out part where one is given.
    fn labels_of(&self, examples: &str, held_out: Option<PartName>) -> Result<Option<Wanted>> {
        match self.request.label.filter(|_| held_out.is_none()) {
            Some(name) if self.has(name) => return Ok(Some(Wanted { name: name.into(), by_request: true })),
            Some(name) if self.request.strict => return Err(self.no_such_array("data.label", name)),
            _ => {}
        }
        let part = held_out.or_else(|| meant(examples).and_then(|meant| meant.part));
        let fitting = self.meaning(|meant| match meant.role {
            Role::Labels(place) if meant.part == part => Some(place),
            _ => None,
        });
        let found = fitting.iter().find(|member| member.name != examples);
        Ok(found.map(|member| Wanted { name: member.name.clone(), by_request: false }))
    }

    /// Gives a part the identifiers that `data.id` names: an array with a number for each of the `count` examples of the file, of which `rows`
    /// were kept.
    fn identify(&mut self, part: &mut Part, examples: &str, count: usize, rows: Option<&[usize]>) -> Result<()> {
        let Some(asked) = self.request.id else { return Ok(()) };
        // Beside `x_train` and `id_train` lie `x_test` and `id_test`.
        let held_out = match meant(examples).and_then(|meant| meant.part) {
            Some(PartName::Test) => Some("test"),
            Some(PartName::Validation) => Some("val"),
            _ => None,
        };
        let is_test = held_out.is_some();
        let name = &held_out.map_or_else(|| asked.to_owned(), |part| asked.replace("train", part));
        match self.has(name) && !(is_test && name == asked) {
            true => {}
            false if self.request.strict && !is_test => return Err(self.no_such_array("data.id", name)),
            false => return Ok(()),
        }
        let ids = self.read_any(name, |array| {
            let shape = array.header.shape.clone();
            if shape.first() != Some(&count) || array.header.len != count {
                let (found, help) = (format!("shape {shape:?}"), "choose another array with `data.id`, or none");
                return Err(array.error("header", format!("{count} identifiers"), found, help));
            }
            let dtype = array.header.dtype;
            if dtype.kind == Kind::Object {
                let ids = objects::texts(&array.pickle()?, count).map_err(|found| {
                    let help = "save identifiers as texts or whole numbers, for example `ids.astype(str)`";
                    array.error("content", format!("{count} identifiers"), found, help)
                })?;
                return Ok(ids.into_iter().map(Option::unwrap_or_default).collect());
            }
            let mut ids = Vec::with_capacity(array.capacity());
            array.for_bytes(|_, bytes| ids.extend(bytes.chunks_exact(dtype.size).map(|id| dtype.text(id))))?;
            Ok(ids)
        })?;
        let kept = |rows: &[usize]| rows.iter().map(|&row| ids[row].clone()).collect();
        let kept: Vec<String> = rows.map_or_else(|| ids.clone(), kept);
        part.identity = std::mem::take(&mut part.identity).with_ids(asked, kept);
        Ok(())
    }

    fn no_such_array(&self, key: &str, name: &str) -> Error {
        let names = self.names();
        let help = match did_you_mean(name, names.iter().map(String::as_str)) {
            Some(close) => format!("did you mean `{close}`?"),
            None => format!("set `{key}` to one of them"),
        };
        self.request.error("arrays", format!("an array `{name}`"), listed(&names), &help)
    }

    /// What is in the archive beside the arrays `used`, in words.
    fn unused(&self, used: &[String]) -> Option<String> {
        const SHOWN: usize = 12;
        let arrays = self.members.iter().filter(|member| !used.contains(&member.name)).map(Member::in_words);
        let all: Vec<String> = arrays.chain(self.others.iter().map(|name| format!("`{name}` (no array)"))).collect();
        let rest = all.len().saturating_sub(SHOWN);
        let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
        let shown = all.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
        (!all.is_empty()).then(|| format!("not used: {shown}{rest}"))
    }

    /// Reads examples and their labels.
    fn part(&mut self, name: &str, labels: Option<Wanted>, classes: &mut Classes) -> Result<Part> {
        let Kept { mut part, count, rows } = self.read(name, |array| meaning(array)?.read(array))?;
        self.identify(&mut part, name, count, rows.as_deref())?;
        let Some(Wanted { name, by_request }) = labels else { return Ok(part) };
        match self.labels(&name, count, classes)? {
            Ok(Labels(labels)) => {
                let kept = rows.map(|rows| rows.into_iter().map(|row| labels[row]).collect());
                part.labels = Some(Labels(kept.unwrap_or(labels)));
            }
            Err(found) if by_request => {
                let help = "choose another array, or none, with `data.label`";
                return Err(self.request.error(name, format!("{count} whole numbers as labels"), found, help));
            }
            Err(found) => part.notes.push(format!("`{name}` is not used as labels: it has {found}")),
        }
        Ok(part)
    }

    /// Classes from the array `name` of `count` numbers or texts, or what it has instead.
    fn labels(&mut self, name: &str, count: usize, classes: &mut Classes) -> Result<Result<Labels, String>> {
        let member = self.members.iter().find(|member| member.name == name);
        if let Some(Err(found)) = member.map(|member| &member.header) {
            return Ok(Err(found.clone()));
        }
        self.read_any(name, |array| read_labels(array, count, classes))
    }

    /// [`Archive::read`] of numbers or text.
    fn read_any<T>(&mut self, name: &str, read: impl FnOnce(&mut Array<'_, Entry<'_>>) -> Result<T>) -> Result<T> {
        let (request, size) = (self.request, self.size);
        let entry = self.zip.by_name(&format!("{name}.npy")).map_err(|error| unreadable(request, name, &error))?;
        read(&mut Array::begin_any(request, name, entry, size)?)
    }

    fn read<T>(&mut self, name: &str, read: impl FnOnce(&mut Array<'_, Entry<'_>>) -> Result<T>) -> Result<T> {
        let (request, size) = (self.request, self.size);
        let entry = self.zip.by_name(&format!("{name}.npy")).map_err(|error| unreadable(request, name, &error))?;
        read(&mut Array::begin(request, name, entry, size)?)
    }
}

fn unreadable(request: &Request<'_>, name: &str, error: &zip::result::ZipError) -> Error {
    let help = "save the file again with `numpy.savez`";
    request.error(name, "a stored or deflated array", error.to_string(), help)
}

type Entry<'a> = ZipFile<'a, BufReader<File>>;

fn read_labels(
    array: &mut Array<'_, Entry<'_>>,
    count: usize,
    classes: &mut Classes,
) -> Result<Result<Labels, String>> {
    let shape = &array.header.shape;
    // A column of labels, as MedMNIST has it, is as good as a list.
    if array.header.len != count || shape.first() != Some(&count) {
        let found = format!("shape {shape:?}");
        // Of two dimensions, it was not read to its checksum yet.
        if array.header.dtype.kind != Kind::Object {
            array.for_bytes(|_, _| {})?;
        }
        return Ok(Err(found));
    }
    let size = array.header.dtype.size as u64;
    array.check_memory(size)?;
    match array.header.dtype.kind {
        Kind::Unicode | Kind::Ascii => text_labels(array, classes),
        Kind::Object => object_labels(array, count, classes),
        _ => number_labels(array, classes),
    }
}

fn object_labels(
    array: &mut Array<'_, Entry<'_>>,
    count: usize,
    classes: &mut Classes,
) -> Result<Result<Labels, String>> {
    let texts = match objects::texts(&array.pickle()?, count) {
        Ok(texts) => texts,
        Err(found) => return Ok(Err(found)),
    };
    let number = |text: Option<String>| text.map_or(Some(Labels::NONE), |text| classes.number(&text));
    let labels: Option<Vec<u32>> = texts.into_iter().map(number).collect();
    Ok(labels.map(Labels).ok_or_else(|| format!("more than {MAX_CLASSES} distinct objects")))
}

fn text_labels(array: &mut Array<'_, Entry<'_>>, classes: &mut Classes) -> Result<Result<Labels, String>> {
    let (dtype, mut labels, mut too_many) = (array.header.dtype, Vec::new(), false);
    array.for_bytes(|_, bytes| {
        for text in bytes.chunks_exact(dtype.size) {
            let text = dtype.text(text);
            let number = if text.is_empty() { Some(Labels::NONE) } else { classes.number(&text) };
            too_many |= number.is_none();
            labels.push(number.unwrap_or(Labels::NONE));
        }
    })?;
    Ok(if too_many { Err(format!("more than {MAX_CLASSES} distinct texts")) } else { Ok(Labels(labels)) })
}

fn number_labels(array: &mut Array<'_, Entry<'_>>, classes: &mut Classes) -> Result<Result<Labels, String>> {
    let (mut labels, mut problem) = (Vec::with_capacity(array.capacity()), None);
    array.for_values(|_, value| {
        let number = match value.fract() {
            0.0 => classes.number(&value.to_string()),
            _ => None,
        };
        if number.is_none() && problem.is_none() {
            problem = Some(match value.fract() {
                0.0 => format!("more than {MAX_CLASSES} distinct values"),
                _ => format!("the value {value}"),
            });
        }
        labels.push(number.unwrap_or(Labels::NONE));
    })?;
    Ok(problem.map_or(Ok(Labels(labels)), Err))
}

impl Part {
    /// Number of examples.
    fn count(&self) -> usize {
        match &self.content {
            Content::Images { shape, pixels } => pixels.len() / shape.numel(),
            Content::Rows { names, cells, .. } => cells.len() / names.len(),
        }
    }

    /// Followed by the examples of another part.
    fn with(mut self, request: &Request<'_>, other: Self) -> Result<Self> {
        let (train, next) = (self.content.shape(), other.content.shape());
        if train != next {
            let help = "give all parts the same dimensions";
            return Err(request.error(
                "parts",
                format!("examples of {train}, as in the train part"),
                next.to_string(),
                help,
            ));
        }
        let counts = (self.count(), other.count());
        self.identity = self.identity.followed_by(counts.0, &other.identity, counts.1);
        self.content = match (self.content, other.content) {
            (Content::Images { shape, pixels }, Content::Images { pixels: more, .. }) => {
                let joined = pixels.with(more).ok_or_else(|| {
                    let help = "save all parts with the same type of numbers";
                    request.error("parts", "bytes in all parts, or real numbers in all", "both", help)
                })?;
                Content::Images { shape, pixels: joined }
            }
            (Content::Rows { names, shape, cells }, Content::Rows { cells: more, .. }) => {
                Content::Rows { names, shape, cells: cells.with(more) }
            }
            _ => return Err(super::mixed(request, "one kind", "images and rows")),
        };
        self.labels = self.labels.zip(other.labels).map(|(Labels(mut labels), Labels(more))| {
            labels.extend(more);
            Labels(labels)
        });
        self.notes.extend(other.notes.into_iter().filter(|note| note.contains("dropped")));
        Ok(self)
    }
}

impl Content {
    fn shape(&self) -> crate::data::source::ImageShape {
        match self {
            Self::Images { shape, .. } | Self::Rows { shape, .. } => *shape,
        }
    }
}

impl images::Pixels {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.as_slice().len(),
            Self::Unit(values) => values.as_slice().len(),
        }
    }

    /// Followed by others of the same kind; none if they are of another.
    fn with(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Bytes(all), Self::Bytes(more)) => Some(Self::Bytes(all.with(&more))),
            (Self::Unit(all), Self::Unit(more)) => Some(Self::Unit(all.with(&more))),
            _ => None,
        }
    }
}
