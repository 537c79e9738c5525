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
    let file = File::open(path).map_err(Error::io(path, "open"))?;
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
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use proptest::prelude::*;
    use safetensors::SafeTensors;

    const PATH: &str = "model.safetensors";

    fn sample() -> Vec<NamedTensor> {
        let w = NamedTensor { name: "w".into(), shape: vec![2, 3], values: vec![1.0, -2.0, 3.0, 0.5, 0.0, -0.0] };
        let b = NamedTensor { name: "b".into(), shape: vec![3], values: vec![0.1, 0.2, 0.3] };
        vec![w, b]
    }

    /// A file with this header and this many zero bytes of values.
    fn file(header: impl AsRef<[u8]>, data_bytes: usize) -> Vec<u8> {
        let header = header.as_ref();
        let length = (header.len() as u64).to_le_bytes();
        [&length[..], header, &vec![0; data_bytes]].concat()
    }

    /// The header of one tensor `w`.
    fn one(dtype: &str, shape: &str, begin: u64, end: u64) -> String {
        format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}}}"#)
    }

    /// The header of two tensors `v` and `w` of two values each.
    fn two(v: &str, w: &str) -> String {
        let entry = |offsets| format!(r#"{{"dtype":"F32","shape":[2],"data_offsets":{offsets}}}"#);
        format!(r#"{{"v":{},"w":{}}}"#, entry(v), entry(w))
    }

    fn message_of<T>(result: Result<T>) -> String {
        match result {
            Ok(_) => "accepted".into(),
            Err(error) if error.kind() != ErrorKind::Model => format!("not a model error: {error:?}"),
            Err(error) => format!("{error} | {}", error.help()),
        }
    }

    /// Reads each file and reports every one whose error lacks the words, not the first.
    fn assert_refused(cases: &[(&str, Vec<u8>, &str)]) {
        let missed = cases.iter().filter_map(|(what, bytes, words)| {
            let message = message_of(from_bytes(bytes, PATH));
            (!message.contains(words) || message.len() > 1000).then(|| format!("{what}: no `{words}` in: {message}"))
        });
        let missed: Vec<_> = missed.collect();
        assert!(missed.is_empty(), "{}", missed.join("\n"));
    }

    #[test]
    fn refuses_bad_lengths_and_headers() {
        let with_length = |n: u64| [&n.to_le_bytes()[..], &[0; 100]].concat();
        let deep = format!(r#"{{"w":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        let entry = r#"{"dtype":"F32","shape":[0],"data_offsets":[0,0]}"#;
        let many: Vec<_> = (0..MAX_TENSORS + 1).map(|i| format!(r#""{i}":{entry}"#)).collect();
        assert_refused(&[
            ("empty", vec![], "found 0 bytes"),
            ("7 bytes", vec![0; 7], "found 7 bytes"),
            ("length 0", with_length(0), "byte 8: expected `{`"),
            ("length 2^63", with_length(1 << 63), "a length of 9223372036854775808"),
            ("length over the format's cap", with_length(100_000_001), "a length of 100000001"),
            ("length up to file - 1", with_length(107), "a header of at most 100 bytes, found a length of 107"),
            ("over our own cap", file([b'{'; (1 << 20) + 1], 0), "at most 1048576 bytes"),
            ("a million entries", file(many.join(",").repeat(250), 0), "at most 1048576 bytes"),
            ("not UTF-8", file(b"{\"\xff\":0}", 0), "byte 10: expected a header in UTF-8"),
            ("not JSON", file("{hello}", 0), "header: expected a JSON object"),
            ("not an object", file("[1,2]", 0), "byte 8"),
            ("space first", file(" {}", 0), "byte 8"),
            ("text after", file("{}{}", 0), "trailing characters"),
            ("10,000 deep", file(deep, 0), "header: expected a JSON object"),
            ("a name twice", file(format!(r#"{{"w":{entry},"w":{entry}}}"#), 0), "`w` twice"),
            ("a field twice", file(r#"{"w":{"dtype":"F32","dtype":"F32"}}"#, 0), "`w`: `dtype` twice"),
            ("unknown field", file(r#"{"w":{"code":"x"}}"#, 0), "unknown field `code`"),
            ("metadata twice", file(r#"{"__metadata__":{},"__metadata__":{}}"#, 0), "`__metadata__` twice"),
            ("a metadata key twice", file(r#"{"__metadata__":{"a":"1","a":"2"}}"#, 0), "`__metadata__`: `a` twice"),
            ("metadata not text", file(r#"{"__metadata__":{"a":1}}"#, 0), "invalid type: integer `1`"),
            ("4097 tensors", file(format!("{{{}}}", many.join(",")), 0), "more than 4096 tensors"),
            ("a huge name", file(format!(r#"{{"{}":1}}"#, "\\u001b".repeat(9000)), 0), "found `\\u{1b}\\u{1b}"),
        ]);
    }

    #[test]
    fn refuses_bad_layouts_and_types() {
        let most = u64::MAX;
        assert_refused(&[
            ("overlap", file(two("[0,8]", "[4,12]"), 12), "tensor `w`: expected data starting at 8, found 4..12"),
            ("same place", file(two("[0,8]", "[0,8]"), 8), "overlaps the tensor before"),
            ("hole", file(two("[0,8]", "[12,20]"), 20), "leaves a hole before it"),
            ("hole at the start", file(one("F32", "[2]", 4, 12), 12), "expected data starting at 0, found 4..12"),
            ("reversed", file(one("F32", "[2]", 8, 0), 8), "tensor `w`: expected offsets in ascending order"),
            ("past the end", file(one("F32", "[2]", 0, 8), 7), "within the file's 7 bytes of values, found 0..8"),
            ("far past the end", file(one("F32", "[2]", 0, most), 8), "found 0..18446744073709551615"),
            ("negative", file(one("F32", "[-1]", 0, 8), 8), "`w`: invalid value: integer `-1`"),
            ("trailing bytes", file(one("F32", "[2]", 0, 8), 9), "found 1 bytes that belong to no tensor"),
            ("no tensor but bytes", file("{}", 3), "found 3 bytes that belong to no tensor"),
            ("too few bytes", file(one("F32", "[3]", 0, 8), 8), "found 8 bytes for [3] of F32"),
            ("too many bytes", file(one("F32", "[1]", 0, 8), 8), "found 8 bytes for [1] of F32"),
            ("shape overflow", file(one("F32", &format!("[{most},{most}]"), 0, 8), 8), "found 8 bytes for [1844674"),
            ("size overflow", file(one("F32", &format!("[{}]", 1u64 << 61), 0, 0), 0), "found 0 bytes for [2305843"),
            ("unknown type", file(one("F33", "[2]", 0, 8), 8), "found unknown type `F33`"),
            ("f16", file(one("F16", "[2]", 0, 4), 4), "tensor `w`: expected number type F32, found F16"),
            ("bf16", file(one("BF16", "[2]", 0, 4), 4), "found BF16 | values are not converted silently"),
            ("f64", file(one("F64", "[2]", 0, 16), 16), "expected number type F32, found F64"),
            ("int64", file(one("I64", "[2]", 0, 16), 16), "expected number type F32, found I64"),
        ]);
    }

    #[test]
    fn refuses_pickles_but_not_lengths_that_look_like_one() {
        let zip = [b"PK\x03\x04".as_slice(), &[0; 100]].concat();
        let bare = [b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20".as_slice(), &[0; 100]].concat();
        let short = [b"\x80\x02\x00\x00\x00\x00\x00\x00".as_slice(), &[b'.'; 1000]].concat();
        assert_refused(&[
            ("zip", zip, "found a zip archive (PyTorch's `.pt` is a pickle in a zip) | a pickle can run code"),
            ("bare pickle", bare, "found a pickle | a pickle can run code and is never loaded"),
            ("pickle of header length", short, "found a pickle"),
        ]);
        let long = BTreeMap::from([("x".to_string(), "y".repeat(640 - 25))]);
        let bytes = to_bytes(&[], &long);
        assert_eq!(bytes[..2], [0x80, 0x02], "the header should be 640 bytes long");
        assert_eq!(from_bytes(&bytes, PATH).unwrap().metadata, long);
    }

    #[test]
    fn refuses_values_that_are_not_finite() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut tensors = sample();
            tensors[0].values[4] = value;
            let message = message_of(from_bytes(&to_bytes(&tensors, &BTreeMap::new()), PATH));
            let expected = format!("model.safetensors: tensor `w`, value 4: expected a finite number, found {value}");
            assert!(message.starts_with(&expected), "{message}");
        }
    }

    #[test]
    fn allocates_nothing_for_a_length_that_lies() {
        // The reader holds only the length: had anything more been asked of it, the error would be one of reading.
        let prefix = 100_000_001_u64.to_le_bytes();
        let message = |bytes, length| message_of(read_from(bytes, length, Path::new(PATH)));
        assert!(message(&prefix[..], 200_000_000).contains("a length of 100000001"));
        assert!(message(&[], MAX_FILE_BYTES + 1).contains("file length"));
    }

    #[test]
    fn reads_from_disk_and_refuses_folders() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(PATH);
        assert_eq!(read(&path).unwrap_err().kind(), ErrorKind::Io);
        fs::write(&path, to_bytes(&sample(), &BTreeMap::new())).unwrap();
        assert_eq!(read(&path).unwrap().tensors, sample());
        assert!(message_of(read(folder.path())).contains("found a folder or device"));
    }

    #[test]
    fn check_orders_and_names_what_differs() {
        let check = |list: &[(&str, &[usize])]| {
            let expected: Vec<_> = list.iter().map(|(name, shape)| (name.to_string(), shape.to_vec())).collect();
            check(WeightFile { tensors: sample(), metadata: BTreeMap::new() }, &expected, PATH)
        };
        assert!(check(&[("b", &[3]), ("w", &[2, 3])]).unwrap().iter().rev().eq(&sample()));
        let other: &[(&str, &[usize])] = &["1", "2", "3", "4", "5", "6", "7"].map(|name| (name, &[][..]));
        for (list, words) in [
            (&[("w", &[2, 3][..])][..], "tensors: expected the model's 1, found 2: not of this model `b`"),
            (&[("w", &[2, 3]), ("b", &[3]), ("c", &[1])], "expected the model's 3, found 2: missing `c`"),
            (&[("w", &[3, 2]), ("b", &[3])], "`w`: expected shape [3, 2], found [2, 3], which looks transposed"),
            (&[("w", &[2, 4]), ("b", &[4])], "shape [2, 4], found [2, 3] (and 1 more tensors differ)"),
            (other, "found 2: missing `1`, `2`, `3`, `4`, `5` and 2 more; not of this model `b`, `w`"),
        ] {
            let message = message_of(check(list));
            assert!(message.contains(words), "no `{words}` in: {message}");
        }
    }

    /// What is accepted here must be accepted, with the same values, by the format's own crate.
    fn assert_agrees_with_the_reference(bytes: &[u8]) {
        let Ok(file) = from_bytes(bytes, PATH) else { return };
        let reference = SafeTensors::deserialize(bytes).expect("accepted here, refused by the safetensors crate");
        assert_eq!(reference.len(), file.tensors.len());
        for tensor in &file.tensors {
            let view = reference.tensor(&tensor.name).unwrap();
            let values: Vec<u8> = tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            assert_eq!((view.shape(), view.data()), (&tensor.shape[..], &values[..]));
        }
    }

    #[test]
    fn survives_flipped_bits_and_cuts() {
        let metadata = BTreeMap::from([("latent".to_string(), "2".to_string())]);
        let good = to_bytes(&sample(), &metadata);
        // All of them, in the header and in the values: better than the thousand at random one could draw.
        for bit in 0..8 * good.len() {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_agrees_with_the_reference(&bad);
        }
        for length in 0..good.len() {
            assert!(from_bytes(&good[..length], PATH).is_err(), "cut after {length} bytes");
        }
    }

    fn any_file() -> impl Strategy<Value = WeightFile> {
        let shape = prop::collection::vec(0..5_usize, 0..4);
        let tensor = shape.prop_flat_map(|shape| {
            let count = shape.iter().product::<usize>();
            let value = any::<f32>().prop_filter("finite", |value| value.is_finite());
            (Just(shape), prop::collection::vec(value, count))
        });
        let texts = prop::collection::btree_map(".*", ".*", 0..3);
        (prop::collection::btree_map(".{0,8}", tensor, 0..6), texts).prop_map(|(tensors, metadata)| {
            let named = |(name, (shape, values))| NamedTensor { name, shape, values };
            WeightFile { tensors: tensors.into_iter().rev().map(named).collect(), metadata }
        })
    }

    proptest! {
        #[test]
        fn round_trip(file in any_file()) {
            let bytes = to_bytes(&file.tensors, &file.metadata);
            prop_assert_eq!(&from_bytes(&bytes, PATH).unwrap(), &file);
            prop_assert_eq!(&bytes, &to_bytes(&file.tensors, &file.metadata));
            assert_agrees_with_the_reference(&bytes);
        }

        #[test]
        fn any_bytes_are_survived(header in prop::collection::vec(any::<u8>(), 0..200), data in 0..50_usize) {
            assert_agrees_with_the_reference(&header);
            assert_agrees_with_the_reference(&file(&header, data));
        }
    }
}
