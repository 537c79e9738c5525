//! NumPy's `.npz`: a zip archive of `.npy` arrays.
//!
//! | asked | taken |
//! |---|---|
//! | `data.array` | that array |
//! | nothing | the only one that is no labels, else the first there is of `x_train`, `images`, `x`, `arr_0` |
//! | `data.label` | that array as classes |
//! | nothing | `y_train` beside `x_train`; else `labels` or `y` |
//!
//! With `x_train` come `x_test` and `y_test` as the test part, as in the `mnist.npz` of Keras.

use std::fs::File;
use std::io::BufReader;

use zip::ZipArchive;
use zip::read::ZipFile;

use super::array::{Array, Kept};
use super::labels::{Classes, Labels, MAX_CLASSES};
use super::meaning::meaning;
use super::{Loaded, Part, Request, hashed, listed};
use crate::error::{Error, Result};
use crate::suggest::did_you_mean;

/// More entries than this are no set of arrays.
const MAX_ENTRIES: usize = 4096;

/// Names under which examples are looked for, in this order.
const EXAMPLES: [&str; 4] = ["x_train", "images", "x", "arr_0"];
/// Names under which labels are looked for; `y_train` belongs to `x_train`.
const LABELS: [&str; 3] = ["y_train", "labels", "y"];

/// Reads a `.npz` file.
pub(super) fn load(request: &Request<'_>) -> Result<Loaded> {
    let mut archive = Archive::open(request)?;
    let name = archive.examples()?;
    let mut classes = Classes::default();
    let mut train = archive.part(&name, archive.labels_of(&name)?, &mut classes)?;
    let mut test = match name == "x_train" && archive.has("x_test") {
        true => {
            let labels = archive.has("y_test").then(|| Wanted { name: "y_test".into(), by_request: false });
            Some(archive.part("x_test", labels.filter(|_| train.labels.is_some()), &mut classes)?)
        }
        false => None,
    };
    let labels = [Some(&mut train), test.as_mut()].into_iter().flatten().filter_map(|part| part.labels.as_mut());
    let label_names = classes.sorted(labels);
    Ok(Loaded { train, test, parts: None, label_names, sha256: archive.sha256 })
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
    names: Vec<String>,
    /// Bytes of the file.
    size: u64,
    sha256: String,
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
        let zip = ZipArchive::new(BufReader::new(file)).map_err(|error| {
            let help = "give a whole file that `numpy.savez` wrote; if this was one, it was cut off: copy it again";
            request.error("archive", "a zip archive of arrays (npz)", error.to_string(), help)
        })?;
        if zip.len() > MAX_ENTRIES {
            let (expected, found) = (format!("at most {MAX_ENTRIES} entries"), zip.len().to_string());
            return Err(request.error("archive", expected, found, "save the arrays you need in a file of their own"));
        }
        let name = |entry: &str| entry.strip_suffix(".npy").map(str::to_owned);
        let names = zip.file_names().flatten().filter_map(|entry| name(&entry)).collect();
        Ok(Self { request, zip, names, size, sha256 })
    }

    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// The name of the array of examples.
    fn examples(&self) -> Result<String> {
        match self.request.array {
            Some(name) if self.has(name) => return Ok(name.to_owned()),
            Some(name) if self.request.strict => return Err(self.no_such_array("data.array", name)),
            _ => {}
        }
        let is_label = |name: &String| {
            let asked = [self.request.label, self.request.id].contains(&Some(name.as_str()));
            LABELS.contains(&name.as_str()) || name == "y_test" || asked
        };
        let others: Vec<&String> = self.names.iter().filter(|name| !is_label(name)).collect();
        let known = EXAMPLES.iter().find(|name| self.has(name)).map(|name| name.to_string());
        match (&others[..], known) {
            ([only], _) => Ok(only.to_string()),
            (_, Some(known)) => Ok(known),
            _ => {
                let expected =
                    format!("one array, or one named {}", EXAMPLES.map(|name| format!("`{name}`")).join(", "));
                let found = if self.names.is_empty() { "no arrays".into() } else { listed(&self.names) };
                Err(self.request.error("arrays", expected, found, "say which: `--set data.array=NAME`"))
            }
        }
    }

    /// The labels that belong to the array `examples`.
    fn labels_of(&self, examples: &str) -> Result<Option<Wanted>> {
        match self.request.label {
            Some(name) if self.has(name) => return Ok(Some(Wanted { name: name.into(), by_request: true })),
            Some(name) if self.request.strict => return Err(self.no_such_array("data.label", name)),
            _ => {}
        }
        let fits = |name: &&str| self.has(name) && (*name == "y_train") == (examples == "x_train");
        Ok(LABELS.iter().find(|name| fits(name)).map(|name| Wanted { name: name.to_string(), by_request: false }))
    }

    /// Gives a part the identifiers that `data.id` names: an array with a number for each of the `count` examples of the file, of which `rows`
    /// were kept.
    fn identify(&mut self, part: &mut Part, is_test: bool, count: usize, rows: Option<&[usize]>) -> Result<()> {
        let Some(asked) = self.request.id else { return Ok(()) };
        // Beside `x_train` and `id_train` lie `x_test` and `id_test`.
        let name = &if is_test { asked.replace("train", "test") } else { asked.to_owned() };
        match self.has(name) && !(is_test && name == asked) {
            true => {}
            false if self.request.strict && !is_test => return Err(self.no_such_array("data.id", name)),
            false => return Ok(()),
        }
        let ids = self.read(name, |array| {
            let shape = array.header.shape.clone();
            if shape.first() != Some(&count) || array.header.len != count {
                let (found, help) = (format!("shape {shape:?}"), "choose another array with `data.id`, or none");
                return Err(array.error("header", format!("{count} identifiers"), found, help));
            }
            let (dtype, mut ids) = (array.header.dtype, Vec::with_capacity(array.capacity()));
            array.for_bytes(|_, bytes| ids.extend(bytes.chunks_exact(dtype.size).map(|id| dtype.text(id))))?;
            Ok(ids)
        })?;
        let kept = |rows: &[usize]| rows.iter().map(|&row| ids[row].clone()).collect();
        let kept: Vec<String> = rows.map_or_else(|| ids.clone(), kept);
        part.identity = std::mem::take(&mut part.identity).with_ids(asked, kept);
        Ok(())
    }

    fn no_such_array(&self, key: &str, name: &str) -> Error {
        let help = match did_you_mean(name, self.names.iter().map(String::as_str)) {
            Some(close) => format!("did you mean `{close}`?"),
            None => format!("set `{key}` to one of them"),
        };
        self.request.error("arrays", format!("an array `{name}`"), listed(&self.names), &help)
    }

    /// Reads examples and their labels.
    fn part(&mut self, name: &str, labels: Option<Wanted>, classes: &mut Classes) -> Result<Part> {
        let Kept { mut part, count, rows } = self.read(name, |array| meaning(array)?.read(array))?;
        self.identify(&mut part, name == "x_test", count, rows.as_deref())?;
        let Some(Wanted { name, by_request }) = labels else { return Ok(part) };
        match self.read(&name, |array| read_labels(array, count, classes))? {
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

    fn read<T>(&mut self, name: &str, read: impl FnOnce(&mut Array<'_, Entry<'_>>) -> Result<T>) -> Result<T> {
        let (request, size) = (self.request, self.size);
        let entry = self.zip.by_name(&format!("{name}.npy")).map_err(|error| {
            let help = "save the file again with `numpy.savez`";
            request.error(name, "a stored or deflated array", error.to_string(), help)
        })?;
        read(&mut Array::begin(request, name, entry, size)?)
    }
}

type Entry<'a> = ZipFile<'a, BufReader<File>>;

/// Classes from an array of `count` whole numbers, or what it has instead.
fn read_labels(
    array: &mut Array<'_, Entry<'_>>,
    count: usize,
    classes: &mut Classes,
) -> Result<std::result::Result<Labels, String>> {
    let shape = &array.header.shape;
    if array.header.len != count || shape.first() != Some(&count) {
        return Ok(Err(format!("shape {shape:?}")));
    }
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
