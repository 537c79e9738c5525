//! `.npy` and `.npz` (D5, D6).

use std::io::Write;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;

/// A `.npy` file of version 1.
pub(super) fn npy(descr: &str, fortran: bool, shape: &[usize], payload: &[u8]) -> Vec<u8> {
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let order = if fortran { "True" } else { "False" };
    framed(&format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({sizes}), }}"), payload)
}

pub(super) fn framed(text: &str, payload: &[u8]) -> Vec<u8> {
    let unpadded = 10 + text.len() + 1;
    let padded = format!("{text}{}\n", " ".repeat(unpadded.next_multiple_of(64) - unpadded));
    [b"\x93NUMPY\x01\x00", &(padded.len() as u16).to_le_bytes()[..], padded.as_bytes(), payload].concat()
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

pub(super) fn npz(method: CompressionMethod, entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn bytes_are_images_and_stay_bytes() {
    let pixels: Vec<u8> = (0..24).map(|i| i * 10).collect();
    let splits = opened("a.npy", &npy("|u1", false, &[2, 3, 4], &pixels), "");
    let source = splits.train.source();
    assert_eq!((source.domain(), source.shape(), source.name()), (Domain::Levels, ImageShape::grey(3, 4), "a"));
    assert_eq!(source.bytes().unwrap(), pixels);
    assert_eq!(values(&splits.train)[1], 10.0 / 255.0);
    assert!(source.notes()[0].contains("uint8 [2, 3, 4] taken as images of bytes"), "{:?}", source.notes());
}

#[test]
fn colour_is_brought_to_channels_first_from_either_side_and_order() {
    let (n, h, w) = (2, 2, 4);
    let at = |n: usize, c: usize, y: usize, x: usize| (n * 100 + c * 30 + y * 10 + x) as u8;
    let mut wanted = Vec::new();
    let (mut last, mut fortran) = (Vec::new(), vec![0; n * h * w * 3]);
    for i in 0..n {
        (0..3).for_each(|c| (0..h).for_each(|y| (0..w).for_each(|x| wanted.push(at(i, c, y, x)))));
        (0..h).for_each(|y| (0..w).for_each(|x| (0..3).for_each(|c| last.push(at(i, c, y, x)))));
        (0..h).for_each(|y| {
            (0..w).for_each(|x| (0..3).for_each(|c| fortran[i + n * (y + h * (x + w * c))] = at(i, c, y, x)))
        });
    }
    for bytes in [
        npy("|u1", false, &[n, 3, h, w], &wanted),
        npy("|u1", false, &[n, h, w, 3], &last),
        npy("|u1", true, &[n, h, w, 3], &fortran),
    ] {
        let splits = opened("a.npy", &bytes, "");
        let source = splits.train.source();
        assert_eq!(source.shape(), ImageShape { channels: 3, height: h, width: w });
        assert_eq!(source.bytes().unwrap(), wanted);
    }
    let grey = opened("a.npy", &npy("|u1", false, &[3, 5, 4, 1], &[7; 60]), "");
    assert_eq!(grey.train.source().shape(), ImageShape::grey(5, 4));
    refused("a.npy", &npy("|u1", false, &[2, 3, 4, 3], &[0; 72]), "", &["shape [2, 3, 4, 3]", "1 or 3 channels"]);
    refused("a.npy", &npy("|u1", false, &[2, 4, 4, 4], &[0; 128]), "", &["shape [2, 4, 4, 4]", "1 or 3 channels"]);
}

#[test]
fn floats_are_images_in_unit_range_and_never_rescaled() {
    let unit = [0.0, 1.0, 0.25, 0.5];
    let splits = opened("a.npy", &npy("<f4", false, &[2, 1, 2], &f32s(&unit)), "");
    assert_eq!((splits.train.source().domain(), values(&splits.train)), (Domain::Unit, unit.to_vec()));
    let whole = npy("<f4", false, &[1, 2, 2], &f32s(&[0.0, 255.0, 7.0, 1.0]));
    refused("a.npy", &whole, "", &["[0, 0, 1]: expected a value in [0, 1], found 255", "--set data.range=byte"]);
    let splits = opened("a.npy", &whole, "range = 'byte'");
    assert_eq!(
        (splits.train.source().domain(), splits.train.source().bytes().unwrap()),
        (Domain::Levels, &[0, 255, 7, 1][..])
    );
    let half = npy("<f4", false, &[1, 2, 2], &f32s(&[0.0, 255.0, 7.5, 1.0]));
    refused("a.npy", &half, "range = 'byte'", &["[0, 1, 0]: expected a whole number from 0 to 255, found 7.5"]);
    refused("a.npy", &whole, "range = 'real'", &["data.range", "unit or byte"]);
    // Rows may be images too, when asked.
    let rows = opened("a.npy", &npy("<f4", false, &[2, 2], &f32s(&unit)), "range = 'unit'");
    assert_eq!((rows.train.source().domain(), rows.train.source().shape()), (Domain::Unit, ImageShape::grey(1, 2)));
    let bits = opened("a.npy", &npy("|b1", false, &[1, 1, 3], &[0, 1, 1]), "");
    assert_eq!((bits.train.source().domain(), values(&bits.train)), (Domain::Unit, vec![0.0, 1.0, 1.0]));
}

#[test]
fn d5_values_that_are_not_finite_or_out_of_range_are_named_wherever_they_are() {
    for (bad, shown) in
        [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf"), (-0.5, "-0.5"), (1.001, "1.00")]
    {
        for (place, index) in [(0, "[0, 0, 0]"), (7, "[1, 1, 1]"), (11, "[2, 1, 1]")] {
            let mut floats = [0.5f32; 12];
            floats[place] = bad;
            let bytes = npy("<f4", false, &[3, 2, 2], &f32s(&floats));
            refused("a.npy", &bytes, "", &[index, &format!("found {shown}")]);
            if !bad.is_finite() {
                let row = format!("[{}, {}]", place / 4, place % 4);
                let bytes = npy("<f4", false, &[3, 4], &f32s(&floats));
                refused("a.npy", &bytes, "", &[&row, "finite", &format!("found {shown}"), "data.missing=drop"]);
                let dropped = opened("a.npy", &bytes, "missing = 'drop'");
                assert_eq!(dropped.train.len(), 2);
                assert!(dropped.train.source().notes()[1].starts_with("1 of 3 rows dropped"));
            }
        }
    }
    for place in [0, 3, 5] {
        let mut words = [7i16; 6];
        words[place] = 256;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        let index = format!("[{}, 0, {}]", place / 3, place % 3);
        refused("a.npy", &npy(">i2", false, &[2, 1, 3], &bytes), "", &[&index, "found 256", "0 to 255"]);
    }
}

#[test]
fn d6_every_number_type_and_order_gives_the_same_rows() {
    // Halves are exact in all of them.
    let rows = [[1.0, -2.0], [3.0, 40.0], [5.0, 6.0]];
    let floats: Vec<f64> = rows.iter().flatten().copied().collect();
    let bytes = |size: usize, big: bool, float: bool, order: &[usize]| -> Vec<u8> {
        let encode = |value: f64| -> Vec<u8> {
            let little = match (size, float) {
                (2, true) => half::f16::from_f64(value).to_le_bytes().to_vec(),
                (4, true) => (value as f32).to_le_bytes().to_vec(),
                (8, true) => value.to_le_bytes().to_vec(),
                _ => (value as i64).to_le_bytes()[..size].to_vec(),
            };
            if big { little.into_iter().rev().collect() } else { little }
        };
        order.iter().flat_map(|&place| encode(floats[place])).collect()
    };
    for (kind, size) in [("f", 2), ("f", 4), ("f", 8), ("i", 1), ("i", 2), ("i", 4), ("i", 8)] {
        for big in [false, true] {
            for (fortran, order) in [(false, [0, 1, 2, 3, 4, 5]), (true, [0, 2, 4, 1, 3, 5])] {
                let descr = format!(
                    "{}{kind}{size}",
                    if size == 1 {
                        "|"
                    } else if big {
                        ">"
                    } else {
                        "<"
                    }
                );
                let payload = bytes(size, big, kind == "f", &order);
                let splits = opened("a.npy", &npy(&descr, fortran, &[3, 2], &payload), "");
                let source = splits.train.source();
                assert_eq!((source.domain(), source.shape()), (Domain::Real, ImageShape::grey(1, 2)), "{descr}");
                assert_eq!(source.columns().unwrap().names, ["x0", "x1"]);
                assert_close(&originals(&splits.train), &floats);
            }
        }
    }
}

#[test]
fn d6_files_shorter_or_longer_than_their_header_says_are_refused() {
    let whole = npy("<f4", false, &[2, 1, 2], &f32s(&[0.5; 4]));
    for end in 0..whole.len() {
        refused("a.npy", &whole[..end], "", &["help: "]);
    }
    refused(
        "a.npy",
        &whole[..whole.len() - 1],
        "",
        &["4 values of float32 [2, 1, 2]", "the end of the file after 3 of them"],
    );
    refused("a.npy", &[&whole[..], &[0]].concat(), "", &["4 values of float32", "more bytes after them"]);
    for name in ["a.npy", "without_an_extension"] {
        assert_eq!(opened(name, &whole, "").train.len(), 2);
    }
}

#[test]
fn d6_headers_that_lie_are_refused_by_name() {
    let with_length = |version: u8, length: &[u8]| [b"\x93NUMPY", &[version, 0][..], length, b"{'descr'"].concat();
    refused("a.npy", &with_length(2, &[0xff; 4]), "", &["header length", "at most 65536 bytes", "4294967295"]);
    refused("a.npy", &with_length(2, &65_537u32.to_le_bytes()), "", &["65537 bytes"]);
    refused("a.npy", &with_length(3, &100u32.to_le_bytes()), "", &["100 bytes", "the end of the file"]);
    refused("a.npy", &with_length(9, &[0; 4]), "", &["version", "found 9"]);
    refused("a.npy", b"PK\x03\x04 and more", "", &["found a zip archive", "numpy.save"]);
    refused("a.npy", b"", "", &["magic"]);
    for (text, found) in [
        ("[('a', 1)]", "[('a', 1)]"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (2, 2), }", "pickle"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (), }", "shape []"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (4, ), }", "shape [4]"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 28, 28), }", "shape [0, 28, 28]"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 0), }", "shape [2, 0]"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2, 2, 2, 2), }", "shape [2, 2, 2, 2, 2]"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967295, 4294967295, 2), }", "4294967295"),
        // 16 TB that are not there.
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967295, 1000), }",
            "the end of the file after 4 of them",
        ),
    ] {
        refused("a.npy", &framed(text, &[0; 16]), "", &[found, "help: "]);
    }
}

#[test]
fn means_and_deviations_are_of_the_training_rows_alone() {
    let rows: Vec<f32> = (0..200).map(|i| if i % 2 == 0 { i as f32 } else { 5.0 }).collect();
    let bytes = npy("<f4", false, &[100, 2], &f32s(&rows));
    let splits = open_bytes("a.npy", &bytes, "test = 0.2\nvalidation = 0.1").unwrap();
    let columns = splits.train.source().columns().unwrap().clone();
    let train: Vec<f64> = splits.train.indices().iter().map(|i| f64::from(2 * i)).collect();
    assert_eq!(train.len(), 70);
    let mean = train.iter().sum::<f64>() / 70.0;
    let std = (train.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 70.0).sqrt();
    assert!((columns.mean[0] - mean).abs() < 1e-12 && (columns.std[0] - std).abs() < 1e-12, "{columns:?}");
    assert_eq!((columns.mean[1], columns.std[1]), (5.0, 1.0));
    let seen: Vec<f64> = values(&splits.train).chunks(2).map(|row| f64::from(row[0])).collect();
    assert!(seen.iter().sum::<f64>().abs() < 1e-4);
    let test: Vec<f64> = splits.test.indices().iter().flat_map(|i| [f64::from(2 * i), 5.0]).collect();
    assert_close(&originals(&splits.test), &test);
    // The limit comes before the means.
    let few = open_bytes("a.npy", &bytes, "test = 0.2\nvalidation = 0.1\nlimit = 10").unwrap();
    let train: f64 = few.train.indices().iter().map(|i| f64::from(2 * i)).sum();
    assert!((few.train.source().columns().unwrap().mean[0] - train / 10.0).abs() < 1e-12);
}

#[test]
fn a_mapped_file_gives_the_same_values_as_a_loaded_one() {
    let folder = tempfile::tempdir().unwrap();
    let floats: Vec<f32> = (0..60).map(|i| i as f32 / 60.0).collect();
    let cases = [
        ("unit.npy", npy("<f4", false, &[5, 3, 4], &f32s(&floats)), true),
        ("rows.npy", npy("<f4", false, &[12, 5], &f32s(&floats)), true),
        ("bytes.npy", npy("|u1", false, &[5, 3, 4], &[9; 60]), true),
        ("colour.npy", npy("|u1", false, &[5, 2, 2, 3], &[9; 60]), false),
        ("big.npy", npy(">f4", false, &[12, 5], &[0; 240]), false),
    ];
    for (name, bytes, maps) in cases {
        let path = folder.path().join(name);
        std::fs::write(&path, &bytes).unwrap();
        let config = DataConfig { source: path.to_str().unwrap().into(), test: 0.25, ..Default::default() };
        let open = |map_above| {
            let request = Request { map_above, ..Request::new(&path, &config, None) };
            split_up(&request, npy::load(&request).unwrap(), &config, 3, None).unwrap()
        };
        let (mapped, loaded) = (open(0), open(MAP_ABOVE));
        let is_mapped =
            |splits: &Splits| splits.train.source().notes().iter().any(|note| note.contains("memory-mapped"));
        assert_eq!((is_mapped(&mapped), is_mapped(&loaded)), (maps, false), "{name}");
        assert_eq!(mapped.train.source().fingerprint(), loaded.train.source().fingerprint());
        assert_eq!(mapped.train.source().columns(), loaded.train.source().columns());
        for (mapped, loaded) in [(&mapped.train, &loaded.train), (&mapped.test, &loaded.test)] {
            assert_eq!(values(mapped), values(loaded), "{name}");
        }
        // Cut off or with a bad value, it is refused all the same.
        for (end, value) in [(bytes.len() - 1, None), (bytes.len(), Some(f32::NAN))] {
            let mut bad = bytes[..end].to_vec();
            if let Some(value) = value.filter(|_| name != "bytes.npy" && maps) {
                bad.truncate(end - 4);
                bad.extend(value.to_le_bytes());
            } else if value.is_some() {
                continue;
            }
            std::fs::write(&path, bad).unwrap();
            let request = Request { map_above: 0, ..Request::new(&path, &config, None) };
            assert!(npy::load(&request).is_err(), "{name} {end}");
        }
    }
}

#[test]
fn npz_as_keras_has_it_gives_both_parts_and_labels() {
    let images =
        |n: usize, first: u8| npy("|u1", false, &[n, 2, 2], &(0..4 * n).map(|i| first + i as u8).collect::<Vec<_>>());
    let entries = [
        ("x_test.npy", images(2, 100)),
        ("x_train.npy", images(5, 0)),
        ("y_train.npy", npy("|u1", false, &[5], &[10, 9, 9, 2, 10])),
        ("y_test.npy", npy("<i8", false, &[2], &[2i64.to_le_bytes(), 11i64.to_le_bytes()].concat())),
    ];
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let bytes = npz(method, &entries);
        let splits = opened("mnist.npz", &bytes, "");
        assert_eq!((splits.train.len(), splits.test.len()), (5, 2));
        assert_eq!(splits.train.source().label_names(), ["2", "9", "10", "11"]);
        assert_eq!(label_names(&splits.train), ["10", "9", "9", "2", "10"].map(|name| Some(name.to_owned())));
        assert_eq!(label_names(&splits.test), ["2", "11"].map(|name| Some(name.to_owned())));
        assert_eq!(splits.test.source().bytes().unwrap()[0], 100);
        for end in (0..bytes.len()).step_by(7) {
            refused("mnist.npz", &bytes[..end], "", &["help: "]);
        }
    }
}

#[test]
fn npz_arrays_are_found_by_name_or_asked_for() {
    let rows = npy("<f4", false, &[3, 2], &f32s(&[0.0, 1.0, f32::NAN, 3.0, 4.0, 5.0]));
    let classes = npy("<f4", false, &[3], &f32s(&[0.0, 1.0, 2.0]));
    let stored = |entries: &[(&str, Vec<u8>)]| npz(CompressionMethod::Stored, entries);
    // Dropped rows take their labels along.
    let bytes = stored(&[("features.npy", rows.clone()), ("y.npy", classes.clone())]);
    let splits = opened("a.npz", &bytes, "missing = 'drop'");
    assert_eq!(label_names(&splits.train), ["0", "2"].map(|name| Some(name.to_owned())));
    assert_close(&originals(&splits.train), &[0.0, 1.0, 4.0, 5.0]);
    refused("a.npz", &bytes, "", &["features: [1, 0]", "found NaN"]);
    let two = stored(&[("a.npy", rows.clone()), ("b.npy", rows.clone())]);
    refused("a.npz", &two, "", &["`a`, `b`", "data.array=NAME"]);
    refused("a.npz", &two, "array = 'c'", &["an array `c`", "`a`, `b`"]);
    assert_eq!(opened("a.npz", &two, "array = 'b'\nmissing = 'drop'").train.len(), 2);
    refused("a.npz", &stored(&[("readme.txt", b"hello".to_vec())]), "", &["no arrays"]);
    // Targets that are no classes are left alone unless asked for.
    let targets = npy("<f4", false, &[3], &f32s(&[0.5, 1.0, 2.0]));
    let bytes = stored(&[("x.npy", rows), ("y.npy", targets)]);
    let splits = opened("a.npz", &bytes, "missing = 'drop'");
    assert_eq!(splits.train.label(0), None);
    assert!(splits.train.source().notes()[2].contains("`y` is not used as labels: it has the value 0.5"));
    refused("a.npz", &bytes, "missing = 'drop'\nlabel = 'y'", &["3 whole numbers as labels", "0.5"]);
    let few = stored(&[
        ("x.npy", npy("|u1", false, &[3, 1, 1], &[1, 2, 3])),
        ("labels.npy", npy("|u1", false, &[2], &[0, 1])),
    ]);
    refused("a.npz", &few, "label = 'labels'", &["3 whole numbers as labels", "shape [2]"]);
}

#[test]
fn npz_content_that_was_damaged_is_refused() {
    let entries = [("x.npy", npy("|u1", false, &[4, 8, 8], &[9; 256]))];
    let mut bytes = npz(CompressionMethod::Stored, &entries);
    let inside = bytes.windows(8).position(|window| window == [9; 8]).unwrap();
    bytes[inside + 3] = 8;
    refused("a.npz", &bytes, "", &["x: ", "damaged"]);
    // An entry that promises more than it holds.
    let short = [("x.npy", npy("|u1", false, &[1 << 20, 1 << 10, 1 << 10], &[0; 10]))];
    refused("a.npz", &npz(CompressionMethod::Deflated, &short), "", &["the end of the file after 10 of them"]);
}

#[test]
fn other_data_is_standardised_by_the_columns_of_the_model() {
    let trained = Columns { names: vec!["x0".into(), "x1".into()], mean: vec![10.0, 0.0], std: vec![2.0, 5.0] };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.npy");
    std::fs::write(&path, npy("<f4", false, &[2, 2], &f32s(&[12.0, 5.0, 6.0, -10.0]))).unwrap();
    let config = DataConfig {
        source: path.to_str().unwrap().into(),
        test: 0.0,
        validation: split::Validation::NONE,
        label: Some("gone".into()),
        ..Default::default()
    };
    let splits = crate::data::open_for(&config, 0, Some(&trained), &mut |_| {}).unwrap();
    assert_eq!(values(&splits.train), [1.0, 1.0, -2.0, -2.0]);
    let part = Subset::new(Arc::clone(splits.train.source()), [1]);
    assert_close(&originals(&part), &[6.0, -10.0]);
}

/// Text of `width` characters as NumPy's `<U` has it.
fn utf32(texts: &[&str], width: usize) -> Vec<u8> {
    let padded = |text: &str| text.chars().map(u32::from).chain(std::iter::repeat(0)).take(width).collect::<Vec<_>>();
    texts.iter().flat_map(|text| padded(text)).flat_map(u32::to_le_bytes).collect()
}

#[test]
fn keys_of_every_custom_bring_labels_and_parts() {
    let images =
        |n: usize, first: u8| npy("|u1", false, &[n, 2, 2], &(0..n as u8 * 4).map(|i| first + i).collect::<Vec<_>>());
    let labels = |values: &[u8]| npy("|u1", false, &[values.len(), 1], values);
    for [x, y] in
        [["X_train", "y_train"], ["train_images", "train_labels"], ["trainX", "trainY"], ["TRAIN_X", "TRAIN_Y"]]
    {
        let test = |name: &str| name.replace("train", "test").replace("TRAIN", "TEST") + ".npy";
        let set = npz(
            CompressionMethod::Stored,
            &[
                (&format!("{x}.npy"), images(4, 10)),
                (&format!("{y}.npy"), labels(&[1, 0, 1, 3])),
                (&test(x), images(2, 90)),
                (&test(y), labels(&[3, 0])),
            ],
        );
        for settings in [String::new(), format!("array = '{x}'")] {
            let splits = opened("a.npz", &set, &settings);
            assert_eq!((splits.train.len(), splits.test.len()), (4, 2), "{x} {settings}");
            assert_eq!(splits.train.source().label_names(), ["0", "1", "3"]);
            assert_eq!(label_names(&splits.test), [Some("3".into()), Some("0".into())], "{x}");
        }
    }
    let parts = ["train", "val", "test"].map(|part| format!("{part}_images.npy"));
    let names = ["train", "val", "test"].map(|part| format!("{part}_labels.npy"));
    let entries = [
        (parts[0].as_str(), images(4, 0)),
        (names[0].as_str(), labels(&[0, 1, 0, 1])),
        (parts[1].as_str(), images(1, 50)),
        (names[1].as_str(), labels(&[1])),
        (parts[2].as_str(), images(2, 70)),
        (names[2].as_str(), labels(&[0, 1])),
    ];
    let splits = opened("medmnist.npz", &npz(CompressionMethod::Deflated, &entries), "");
    let validation = splits.validation.unwrap();
    assert_eq!((splits.train.len(), validation.len(), splits.test.len()), (4, 1, 2));
    assert_eq!(validation.class(0), Some("1"));
    let mut pixels = [0; 4];
    splits.test.read(1, &mut pixels);
    assert_eq!(pixels, [74, 75, 76, 77]);
}

#[test]
fn text_is_classes_and_what_cannot_be_used_is_told() {
    let x = npy("|u1", false, &[3, 2, 2], &[7; 12]);
    let y = npy("<U6", false, &[3], &utf32(&["setosa", "iris", "setosa"], 6));
    let objects = framed("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }", b"\x80\x04pickle");
    let set = npz(
        CompressionMethod::Stored,
        &[("x.npy", x.clone()), ("y.npy", y), ("meta.npy", objects.clone()), ("readme.txt", b"hello".to_vec())],
    );
    let splits = opened("a.npz", &set, "");
    assert_eq!(label_names(&splits.train), [Some("setosa".into()), Some("iris".into()), Some("setosa".into())]);
    let notes = splits.train.source().notes().join("\n");
    assert!(notes.contains("not used: `meta` (Python objects [3])") && notes.contains("`readme.txt`"), "{notes}");
    let bytes = npz(CompressionMethod::Stored, &[("x.npy", x.clone()), ("y.npy", npy("|S2", false, &[3], b"abc\0ab"))]);
    assert_eq!(opened("a.npz", &bytes, "").train.source().label_names(), ["ab", "c"]);
    // Labels that are objects of no known kind are left out with a word.
    let set = npz(CompressionMethod::Stored, &[("x.npy", x), ("y.npy", objects)]);
    let splits = opened("a.npz", &set, "");
    assert!(
        splits.train.source().notes().join("\n").contains("`y` is not used as labels"),
        "{:?}",
        splits.train.source().notes()
    );
    refused("a.npz", &set, "label = 'y'", &["y", "Python objects that are no texts and numbers"]);
}

#[test]
fn no_changed_byte_of_an_archive_gives_other_numbers() {
    let values: Vec<f32> = (0..60).map(|i| i as f32 / 64.0).collect();
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let entries = [
            ("x.npy", npy("<f4", false, &[5, 3, 4], &f32s(&values))),
            ("y.npy", npy("|u1", false, &[5], &[0, 1, 2, 1, 0])),
        ];
        let whole = npz(method, &entries);
        let facts = |splits: &Splits| (super::values(&splits.train), label_names(&splits.train));
        let good = facts(&opened("a.npz", &whole, ""));
        let folder = tempfile::tempdir().unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1 << (at % 8);
            let path = folder.path().join("a.npz");
            std::fs::write(&path, &changed).unwrap();
            if let Ok(splits) = open_path(&path, "test = 0\nvalidation = 0") {
                assert_eq!(facts(&splits), good, "{method:?}, byte {at} of {}", whole.len());
            }
        }
    }
}

#[test]
fn archives_that_grow_out_of_proportion_are_refused_before_they_do() {
    // 100 MB of zeros as rows of float64 would be 1.2 GB.
    let rows = npy("|u1", false, &[100_000, 1000], &vec![0; 100_000_000]);
    let bomb = npz(CompressionMethod::Deflated, &[("x.npy", rows)]);
    assert!(bomb.len() < 1 << 20);
    refused("a.npz", &bomb, "", &["x", "1.2 GB", "536.9 MB", "unpack it first"]);
}

#[test]
fn arrays_of_16_bits_are_numbers_in_unit_range_when_asked() {
    let levels = [0u16, 4095, 65_535, 1];
    let payload: Vec<u8> = levels.iter().flat_map(|level| level.to_le_bytes()).collect();
    let array = npy("<u2", false, &[2, 1, 2], &payload);
    refused("a.npy", &array, "", &["4095", "--set data.depth=16"]);
    let splits = opened("a.npy", &array, "depth = 16");
    assert_eq!(splits.train.source().domain(), Domain::Unit);
    assert_eq!(values(&splits.train), levels.map(|level| (f64::from(level) / 65_535.0) as f32));
    refused("a.npy", &npy("|u1", false, &[2, 1, 2], &[0; 4]), "depth = 16", &["data.depth"]);
}

#[test]
fn a_cure_of_values_out_of_range_is_one_that_all_of_them_allow() {
    let help = |values: [f64; 4], settings: &str| {
        let payload: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        open_bytes("a.npy", &npy("<f8", false, &[2, 1, 2], &payload), settings).unwrap_err().help().to_owned()
    };
    assert!(help([0.0, 2.0, 255.0, 1.0], "").contains("`--set data.range=byte`"));
    assert!(help([0.0, 0.5, 1.0, 1.0], "range = 'byte'").contains("`--set data.range=unit`"));
    // The first of these might be bytes, the second is not.
    for (values, settings) in [([2.0, 2.5, 0.0, 0.0], ""), ([-1.0; 4], ""), ([0.5, 2.5, 0.0, 0.0], "range = 'byte'")] {
        let help = help(values, settings);
        assert!(help.contains("scale the values") && !help.contains("--set"), "{values:?}: {help}");
    }
    assert!(help([4095.0, 0.0, 1.0, 2.0], "range = 'byte'").contains("uint16"));
    assert!(help([2.0, f64::NAN, 0.0, 0.0], "").contains("remove such images"));
}
