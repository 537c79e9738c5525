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
