//! Weight files: safetensors with 32-bit floats in them, and nothing else.
//!
//! A weight file comes from anywhere, so every number it declares is checked before it is believed: the header's
//! length before the header is read, the tensors' places and sizes before a value is allocated, each value before it
//! is handed on. Either the whole file is returned or an error that names the tensor; nothing is half loaded. Refused
//! are pickles (they run code), other number types (no silent conversion), NaN and infinities (they train into more
//! NaN), bytes that belong to no tensor, and anything over the limits below.
//!
//! The `safetensors` crate wrote the rules and supplies the number types. The header is read here all the same, for
//! three reasons: the crate allows a header of 100 MB, lets a repeated name replace the earlier tensor, and does not
//! say which tensor is wrong. Tests hold the two readers against each other, so that what passes here passes there.
//!
//! ```
//! use elbo::run::weights::{self, NamedTensor};
//!
//! let bias = NamedTensor { name: "mean.bias".into(), shape: vec![2], values: vec![0.5, -1.0] };
//! let bytes = weights::to_bytes(&[bias.clone()], &Default::default());
//! assert_eq!(weights::from_bytes(&bytes, "in memory")?.tensors, [bias]);
//!
//! let error = weights::from_bytes(&bytes[..bytes.len() - 1], "cut.safetensors").unwrap_err();
//! assert!(error.to_string().starts_with("cut.safetensors: "));
//! # Ok::<(), elbo::Error>(())
//! ```

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::marker::PhantomData;
use std::path::Path;

use safetensors::Dtype;
use serde::de::value::{Error as DtypeError, StrDeserializer};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};

/// Longest header accepted, in bytes. A header entry takes about 100 bytes, so this is room for [`MAX_TENSORS`].
pub const MAX_HEADER_BYTES: u64 = 1 << 20;
/// Most tensors accepted in one file.
pub const MAX_TENSORS: usize = 4096;
/// Longest file accepted, in bytes: two thousand million parameters.
pub const MAX_FILE_BYTES: u64 = 8 << 30;

const LENGTH_BYTES: usize = 8;
const METADATA_KEY: &str = "__metadata__";
const LISTED: usize = 5;
const DAMAGED: &str = "the file is damaged or is not safetensors: copy it again from where it came, or save it again";
const OTHER_MODEL: &str = "these weights belong to another model: check that the configuration beside them is theirs";

/// A tensor by name: its shape, and its values in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// The name, in PyTorch's manner: `encoder.0.weight`.
    pub name: String,
    /// Length of each dimension; empty for a scalar.
    pub shape: Vec<usize>,
    /// The values, as many as the product of `shape`.
    pub values: Vec<f32>,
}

/// The content of a weight file.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightFile {
    /// The tensors in the order of their data in the file.
    pub tensors: Vec<NamedTensor>,
    /// Free text beside the tensors.
    pub metadata: BTreeMap<String, String>,
}

/// What the header says of one tensor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// The header's tensors by name.
type Entries = Vec<(String, Entry)>;

/// The tensors as safetensors, in the order given: equal input gives equal bytes.
///
/// # Panics
/// If a tensor's values do not fill its shape, if a name is used twice or reserved, or if there is more than [`read`]
/// takes back. All of these are mistakes of the calling code.
pub fn to_bytes(tensors: &[NamedTensor], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    assert!(tensors.len() <= MAX_TENSORS, "{} tensors are more than {MAX_TENSORS}", tensors.len());
    let mut names = HashSet::from([METADATA_KEY]);
    let mut fields = Vec::with_capacity(tensors.len() + 1);
    if !metadata.is_empty() {
        fields.push(json_field(METADATA_KEY, metadata));
    }
    let mut begin = 0;
    for NamedTensor { name, shape, values } in tensors {
        assert!(names.insert(name), "tensor name {} is reserved or used twice", quoted(name));
        assert_eq!(shape.iter().product::<usize>(), values.len(), "tensor {}: shape {shape:?}", quoted(name));
        let end = begin + 4 * values.len() as u64;
        let shape = shape.iter().map(|&n| n as u64).collect();
        fields.push(json_field(name, &Entry { dtype: "F32".into(), shape, data_offsets: (begin, end) }));
        begin = end;
    }
    let mut header = format!("{{{}}}", fields.join(",")).into_bytes();
    header.resize(header.len().next_multiple_of(LENGTH_BYTES), b' ');
    assert!(header.len() as u64 <= MAX_HEADER_BYTES, "a header of {} bytes is too long", header.len());

    let mut bytes = Vec::with_capacity(LENGTH_BYTES + header.len() + begin as usize);
    bytes.extend((header.len() as u64).to_le_bytes());
    bytes.extend(header);
    bytes.extend(tensors.iter().flat_map(|tensor| &tensor.values).flat_map(|value| value.to_le_bytes()));
    bytes
}

fn json_field(key: &str, value: &impl Serialize) -> String {
    let json = |text: serde_json::Result<String>| text.expect("strings and whole numbers always become JSON");
    format!("{}:{}", json(serde_json::to_string(key)), json(serde_json::to_string(value)))
}

/// Reads and checks a whole weight file.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, [`Error::Model`] naming the place if it is not what this module takes.
pub fn read(path: impl AsRef<Path>) -> Result<WeightFile> {
    let path = path.as_ref();
    // Asked before opening: opening a named pipe would wait for ever.
    if !fs::metadata(path).map_err(Error::io(path, "read"))?.is_file() {
        return Err(Error::model(path, "file", "a safetensors file", "a folder or device", "give the file itself"));
    }
    read_open(File::open(path).map_err(Error::io(path, "open"))?, path)
}

/// The same as [`read`] for a file that is open; `path` is what errors name.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_open(file: File, path: &Path) -> Result<WeightFile> {
    let length = file.metadata().map_err(Error::io(path, "read"))?.len();
    read_from(BufReader::new(file), length, path)
}

/// The same as [`read`] for bytes in memory; `path` is what errors name.
///
/// # Errors
/// [`Error::Model`] naming the place.
pub fn from_bytes(bytes: &[u8], path: impl AsRef<Path>) -> Result<WeightFile> {
    read_from(bytes, bytes.len() as u64, path.as_ref())
}

fn read_from(mut reader: impl Read, length: u64, path: &Path) -> Result<WeightFile> {
    let text = read_header(&mut reader, length, path)?;
    let (mut entries, metadata) = parse_header(&text)
        .map_err(|error| damaged(path, "header", "a JSON object of tensors", shortened(&error.to_string())))?;
    let data_bytes = length - (LENGTH_BYTES + text.len()) as u64;
    entries.sort_by_key(|(_, entry)| entry.data_offsets);
    let mut end = 0;
    for (name, entry) in &entries {
        check_entry(name, entry, end, data_bytes, path)?;
        end = entry.data_offsets.1;
    }
    if end != data_bytes {
        let found = format!("{} bytes that belong to no tensor", data_bytes - end);
        return Err(damaged(path, "end of file", "the last tensor to end the file", found));
    }
    let tensors = entries.into_iter().map(|(name, entry)| read_tensor(&mut reader, name, &entry, path));
    Ok(WeightFile { tensors: tensors.collect::<Result<_>>()?, metadata })
}

fn read_header(reader: &mut impl Read, length: u64, path: &Path) -> Result<String> {
    let mut prefix = [0; LENGTH_BYTES];
    if length < LENGTH_BYTES as u64 || length > MAX_FILE_BYTES {
        let expected = format!("{LENGTH_BYTES} to {MAX_FILE_BYTES} bytes");
        return Err(damaged(path, "file length", expected, format!("{length} bytes")));
    }
    reader.read_exact(&mut prefix).map_err(Error::io(path, "read"))?;
    let header_bytes = u64::from_le_bytes(prefix);
    let most = MAX_HEADER_BYTES.min(length - LENGTH_BYTES as u64);
    if header_bytes > most {
        let (expected, found) = (format!("a header of at most {most} bytes"), format!("a length of {header_bytes}"));
        return Err(pickle(&prefix, path).unwrap_or_else(|| damaged(path, "bytes 0..8", expected, found)));
    }
    let mut header = vec![0; header_bytes as usize];
    reader.read_exact(&mut header).map_err(Error::io(path, "read"))?;
    if header.first() != Some(&b'{') {
        let other = || damaged(path, "byte 8", "`{`, where the header starts", "something else");
        return Err(pickle(&prefix, path).unwrap_or_else(other));
    }
    String::from_utf8(header).map_err(|error| {
        let place = format!("byte {}", LENGTH_BYTES + error.utf8_error().valid_up_to());
        damaged(path, place, "a header in UTF-8", "bytes that are not")
    })
}

fn parse_header(text: &str) -> serde_json::Result<(Entries, BTreeMap<String, String>)> {
    let mut entries = Vec::new();
    let mut metadata = BTreeMap::new();
    for (name, Object(fields)) in serde_json::from_str::<Object<Object<Value>>>(text)?.0 {
        let fields = Value::Object(fields.into_iter().collect());
        if name == METADATA_KEY {
            metadata = serde_json::from_value(fields)?;
        } else {
            let named = |error| serde_json::Error::custom(format!("{}: {error}", quoted(&name)));
            entries.push((name.clone(), serde_json::from_value(fields).map_err(named)?));
        }
    }
    if entries.len() > MAX_TENSORS {
        return Err(serde_json::Error::custom(format!("more than {MAX_TENSORS} tensors")));
    }
    Ok((entries, metadata))
}

/// The error for a pickle or the zip archive PyTorch puts around one. Only asked once the file is known not to be
/// safetensors: a header of 640 bytes has a length that starts like a pickle, `80 02`.
fn pickle(prefix: &[u8; LENGTH_BYTES], path: &Path) -> Option<Error> {
    let found = match prefix {
        [b'P', b'K', ..] => "a zip archive (PyTorch's `.pt` is a pickle in a zip)",
        [0x80, 1..=5, ..] => "a pickle",
        _ => return None,
    };
    let help = "a pickle can run code and is never loaded; in Python, \
                `safetensors.torch.save_file(model.state_dict(), \"model.safetensors\")` writes what is needed";
    Some(Error::model(path, "first bytes", "safetensors", found, help))
}

/// Checks what the header says of one tensor, whose data should start where the one before ended.
fn check_entry(name: &str, entry: &Entry, start: u64, data_bytes: u64, path: &Path) -> Result<()> {
    let (begin, end) = entry.data_offsets;
    let wrong = |expected: String, found: String| Err(damaged(path, place_of(name), expected, found));
    if end < begin {
        return wrong("offsets in ascending order".into(), format!("{begin}..{end}"));
    }
    if end > data_bytes {
        return wrong(format!("data within the file's {data_bytes} bytes of values"), format!("{begin}..{end}"));
    }
    if begin != start {
        let fault = if begin < start { "overlaps the tensor before" } else { "leaves a hole before it" };
        return wrong(format!("data starting at {start}"), format!("{begin}..{end}, which {fault}"));
    }
    let Ok(dtype) = Dtype::deserialize(StrDeserializer::<DtypeError>::new(&entry.dtype)) else {
        return wrong("number type F32".into(), format!("unknown type {}", quoted(&entry.dtype)));
    };
    let elements = entry.shape.iter().try_fold(1, |product: u64, &n| product.checked_mul(n));
    let bits = elements.and_then(|elements| elements.checked_mul(dtype.bitsize() as u64));
    if bits != Some(8 * (end - begin)) {
        let shape = shortened(&format!("{:?}", entry.shape));
        let found = format!("{} bytes for {shape} of {dtype:?}", end - begin);
        return wrong("as many bytes as shape and type need".into(), found);
    }
    if dtype != Dtype::F32 {
        let help = "values are not converted silently: save the weights as 32-bit floats (PyTorch: `model.float()`)";
        return Err(Error::model(path, place_of(name), "number type F32", format!("{dtype:?}"), help));
    }
    Ok(())
}

/// Reads the values of a checked entry; the reader stands at its first byte.
fn read_tensor(reader: &mut impl Read, name: String, entry: &Entry, path: &Path) -> Result<NamedTensor> {
    let bytes = entry.data_offsets.1 - entry.data_offsets.0;
    let shape = entry.shape.iter().map(|&n| usize::try_from(n)).collect::<Result<Vec<_>, _>>();
    let mut values: Vec<f32> = Vec::new();
    // An empty tensor may have a dimension beyond this machine's words; a full one only what memory can hold.
    let (Ok(shape), Ok(())) = (shape, values.try_reserve_exact((bytes / 4) as usize)) else {
        let (expected, help) = ("a tensor that fits in memory", "use a machine with more memory, or a smaller model");
        return Err(Error::model(path, place_of(&name), expected, format!("{bytes} bytes"), help));
    };
    let mut buffer = [0; 1 << 14];
    let mut left = bytes as usize;
    while left > 0 {
        let part = &mut buffer[..left.min(1 << 14)];
        reader.read_exact(part).map_err(Error::io(path, "read"))?;
        values.extend(part.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)));
        left -= part.len();
    }
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        let (place, found) = (format!("{}, value {index}", place_of(&name)), values[index].to_string());
        let help = "these weights come from a training that diverged: use an earlier checkpoint";
        return Err(Error::model(path, place, "a finite number", found, help));
    }
    Ok(NamedTensor { name, shape, values })
}

/// The tensors of `file` in the order of `expected`, a list of names and shapes, if they are exactly those.
///
/// # Errors
/// [`Error::Model`] naming what is missing, what is too much, or whose shape differs.
///
/// ```
/// use elbo::run::weights::{self, NamedTensor};
///
/// let bias = NamedTensor { name: "mean.bias".into(), shape: vec![2], values: vec![0.5, -1.0] };
/// let file = weights::from_bytes(&weights::to_bytes(&[bias], &Default::default()), "w.safetensors")?;
/// let error = weights::check(file, &[("mean.bias".into(), vec![20])], "w.safetensors").unwrap_err();
/// assert!(error.to_string().contains("mean.bias") && error.to_string().contains("20"), "{error}");
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn check(file: WeightFile, expected: &[(String, Vec<usize>)], path: impl AsRef<Path>) -> Result<Vec<NamedTensor>> {
    let path = path.as_ref();
    let count = file.tensors.len();
    let mut found: HashMap<String, NamedTensor> = file.tensors.into_iter().map(|t| (t.name.clone(), t)).collect();
    let mut tensors = Vec::with_capacity(expected.len());
    let mut missing = Vec::new();
    for (name, _) in expected {
        match found.remove(name) {
            Some(tensor) => tensors.push(tensor),
            None => missing.push(name.as_str()),
        }
    }
    let mut extra: Vec<_> = found.keys().map(String::as_str).collect();
    extra.sort_unstable();
    if !missing.is_empty() || !extra.is_empty() {
        let list = |what: &str, names: &[&str]| (!names.is_empty()).then(|| format!("{what} {}", listed(names)));
        let lists = [list("missing", &missing), list("not of this model", &extra)];
        let found = format!("{count}: {}", lists.into_iter().flatten().collect::<Vec<_>>().join("; "));
        return Err(Error::model(path, "tensors", format!("the model's {}", expected.len()), found, OTHER_MODEL));
    }
    check_shapes(&tensors, expected, path)?;
    Ok(tensors)
}

fn check_shapes(tensors: &[NamedTensor], expected: &[(String, Vec<usize>)], path: &Path) -> Result<()> {
    let mut wrong = tensors.iter().zip(expected).filter(|(tensor, (_, shape))| tensor.shape != *shape);
    let Some((tensor, (_, shape))) = wrong.next() else { return Ok(()) };
    let transposed = tensor.shape.iter().rev().eq(shape);
    let hint = if transposed { ", which looks transposed" } else { "" };
    let more = match wrong.count() {
        0 => String::new(),
        more => format!(" (and {more} more tensors differ)"),
    };
    let help = if transposed { "store linear layers as PyTorch does: [outputs, inputs]" } else { OTHER_MODEL };
    let found = format!("{:?}{hint}{more}", tensor.shape);
    Err(Error::model(path, place_of(&tensor.name), format!("shape {shape:?}"), found, help))
}

/// A JSON object in its own order whose keys are all different, which JSON itself does not ask for: with a key given
/// twice, two readers can see two different files.
struct Object<V>(Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Object<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for ObjectVisitor<V> {
    type Value = Object<V>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Object<V>, M::Error> {
        let mut fields = Vec::new();
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                return Err(M::Error::custom(format!("{} twice", quoted(&key))));
            }
            let value = map.next_value().map_err(|error| M::Error::custom(format!("{}: {error}", quoted(&key))))?;
            fields.push((key, value));
        }
        Ok(Object(fields))
    }
}

fn damaged(path: &Path, place: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) -> Error {
    Error::model(path, place, expected, found, DAMAGED)
}

fn place_of(name: &str) -> String {
    format!("tensor {}", quoted(name))
}

/// A name from a file, fit for a terminal: without control characters, and short.
fn quoted(name: &str) -> String {
    format!("`{}`", shortened(name))
}

/// At most 200 characters of text, those that would move a cursor or turn a line around spelt out.
fn shortened(text: &str) -> String {
    let (start, dots) = text.char_indices().nth(200).map_or((text, ""), |(cut, _)| (&text[..cut], "..."));
    let spelt = |c: char| if "\\'\"".contains(c) { c.to_string() } else { c.escape_debug().to_string() };
    start.chars().map(spelt).collect::<String>() + dots
}

fn listed(names: &[&str]) -> String {
    let first = names.iter().take(LISTED).map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(LISTED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
