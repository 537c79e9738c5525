//! Parquet files that pyarrow and pandas wrote (`fixtures/parquet/generate.py`), and what becomes of damaged ones.

use std::path::PathBuf;

use serde_json::Value;

use super::*;
use crate::data::pictures::Collection;
use crate::data::table::cells::Cells;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/parquet").join(name)
}

fn expected() -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixture("expected.json")).unwrap()).unwrap()
}

/// The rows of a file as they were read, before anything is standardised.
fn rows(name: &str, config: &DataConfig) -> Loaded {
    let path = fixture(name);
    match super::super::parquet::open(&Request::new(&path, config, None)) {
        Ok(Opened::Rows(loaded)) => loaded,
        Ok(Opened::Pictures(_)) => panic!("{name} is pictures"),
        Err(error) => panic!("{name}: {error} ({})", error.help()),
    }
}

fn pictures(name: &str) -> Arc<dyn Collection> {
    let (path, config) = (fixture(name), DataConfig::default());
    match super::super::parquet::open(&Request::new(&path, &config, None)).unwrap() {
        Opened::Pictures(pictures) => pictures,
        Opened::Rows(_) => panic!("{name} is rows"),
    }
}

#[test]
fn every_type_compression_and_encoding_gives_pyarrows_numbers() {
    let expected = expected();
    for name in ["numbers-snappy", "numbers-zstd", "numbers-gzip", "numbers-none", "numbers-delta"] {
        let config = DataConfig { label: Some("kind".into()), ..Default::default() };
        let loaded = rows(&format!("{name}.parquet"), &config);
        let Content::Rows { names, cells: Cells::Read(cells), .. } = &loaded.train.content else { panic!("rows") };
        let columns = &expected["tables"][name];
        assert_eq!(names.len(), if name == "numbers-delta" { 4 } else { 10 });
        for (column, values) in names.iter().map(|column| (column, columns[column].as_array().unwrap())) {
            let place = names.iter().position(|name| name == column).unwrap();
            let found: Vec<f64> = cells.chunks_exact(names.len()).map(|row| row[place]).collect();
            let number =
                |value: &Value| value.as_f64().unwrap_or_else(|| f64::from(u8::from(value.as_bool().unwrap())));
            assert_eq!(found, values.iter().map(number).collect::<Vec<_>>(), "{name}, {column}");
        }
        assert_eq!(loaded.label_names, ["ant", "bee", "cow"]);
        let labels = loaded.train.labels.unwrap();
        assert_eq!(labels.0, (0..40).map(|i| i % 3).collect::<Vec<u32>>());
    }
}

#[test]
fn missing_values_are_refused_or_dropped_with_their_labels() {
    assert_refused(open_path(&fixture("nulls.parquet"), ""), &["row 1, column `a`", "null", "data.missing=drop"]);
    let settings = "missing = 'drop'\ntest = 0\nvalidation = 0";
    let splits = open_path(&fixture("nulls.parquet"), settings).unwrap();
    assert_close(&originals(&splits.train), &[1.0, 1.0, 4.0, 4.0]);
    assert_eq!(label_names(&splits.train), ["x", "y"].map(|name| Some(name.to_owned())));
    assert_eq!(splits.train.source().notes(), ["2 of 4 rows dropped: a value is missing or not finite"]);
    let one = open_path(&fixture("nulls.parquet"), &format!("{settings}\ncolumns = ['b']")).unwrap();
    assert_close(&originals(&one.train), &[1.0, 2.0, 4.0]);
    assert_eq!(label_names(&one.train)[1], None);
}

#[test]
fn columns_that_are_no_numbers_are_refused_with_the_cure() {
    let cure = "--set 'data.columns=[\"a\"]'";
    assert_refused(open_path(&fixture("lists.parquet"), ""), &["embedding", "found lists", cure]);
    assert_refused(open_path(&fixture("times.parquet"), ""), &["column `when`", "found points in time", cure]);
    assert_refused(
        open_path(&fixture("times.parquet"), "columns = ['a', 'text']"),
        &["column `text`", "--set data.label=text"],
    );
    assert_refused(open_path(&fixture("times.parquet"), "label = 'when'"), &["column `when`", "classes"]);
    assert_refused(open_path(&fixture("times.parquet"), "array = 'x'"), &["data.array"]);
    assert_refused(open_path(&fixture("empty.parquet"), "label = 'kind'"), &["rows of the train part", "found none"]);
    let splits =
        open_path(&fixture("times.parquet"), "columns = ['a']\nlabel = 'text'\ntest = 0\nvalidation = 0").unwrap();
    assert_close(&originals(&splits.train), &[1.0, 2.0]);
    // The index that pandas adds is no column.
    let splits = open_path(&fixture("pandas.parquet"), "test = 0\nvalidation = 0").unwrap();
    assert_eq!(splits.train.source().columns().unwrap().names, ["a", "b"]);
}

#[test]
fn shards_in_a_folder_are_parts() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, from: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::copy(fixture(from), path).unwrap();
    };
    let sizes = |settings: &str| {
        let splits = open_path(folder.path(), &format!("label = 'kind'\n{settings}")).unwrap();
        (splits.train.len(), splits.validation.map(|part| part.len()), splits.test.len())
    };
    put("data/train-00000-of-00002.parquet", "numbers-snappy.parquet");
    put("data/train-00001-of-00002.parquet", "numbers-zstd.parquet");
    assert_eq!(sizes("validation = 0\ntest = 0.25"), (60, None, 20));
    put("data/validation-00000-of-00001.parquet", "numbers-gzip.parquet");
    assert_eq!(sizes("validation = 8\ntest = 0.25"), (60, Some(40), 20));
    put("test/0000.parquet", "numbers-none.parquet");
    assert_eq!(sizes("validation = 8"), (80, Some(40), 40));
    assert_eq!(sizes("validation = 'test'"), (80, Some(40), 40));
    let splits = open_path(folder.path(), "label = 'kind'").unwrap();
    let columns = splits.train.source().columns().unwrap();
    // Two times the same file: the means are those of one, untouched by the other parts.
    let train = rows("numbers-snappy.parquet", &DataConfig { label: Some("kind".into()), ..Default::default() });
    let Content::Rows { cells: Cells::Read(cells), .. } = &train.train.content else { panic!("rows") };
    let mean = cells.chunks_exact(10).map(|row| row[0]).sum::<f64>() / 40.0;
    assert!((columns.mean[0] - mean).abs() < 1e-12, "{} {mean}", columns.mean[0]);
    put("data/train-00002-of-00002.parquet", "times.parquet");
    assert_refused(open_path(folder.path(), "label = 'kind'"), &["train-00002", "schema", "`when`", "one table"]);
}

#[test]
fn pictures_of_the_hub_come_with_parts_labels_and_bytes() {
    let (set, expected) = (pictures("hub"), expected());
    let mut wanted: Vec<(String, Value)> = Vec::new();
    for name in ["test-00000-of-00001", "train-00000-of-00002", "train-00001-of-00002"] {
        let of_shard = expected["pictures"][format!("hub/{name}.parquet")].as_array().unwrap();
        wanted.extend(
            of_shard.iter().enumerate().map(|(row, bytes)| (format!("{name}.parquet/{row:09}"), bytes.clone())),
        );
    }
    assert_eq!((set.listing().origin.name.as_str(), set.entries().len(), wanted.len()), ("hub", 13, 13));
    let names: Vec<&str> = set.entries().iter().map(|entry| entry.name.as_str()).collect();
    assert!(names.is_sorted());
    // In an order that walks back and forth between row groups.
    for index in (0..13).map(|i| i * 5 % 13) {
        let (name, bytes) = &wanted[index];
        assert_eq!(&set.entries()[index].name, name);
        let bytes: Vec<u8> = bytes.as_array().unwrap().iter().map(|byte| byte.as_u64().unwrap() as u8).collect();
        assert_eq!(set.bytes(index).unwrap(), bytes);
    }
    assert_eq!(set.label_names().unwrap(), ["zero", "one", "two"]);
    let entry = |index: usize| (set.entries()[index].label.as_deref(), set.entries()[index].part.as_deref());
    assert_eq!(
        [entry(0), entry(4), entry(6)],
        [(Some("zero"), Some("test")), (Some("zero"), Some("train")), (Some("two"), Some("train"))]
    );
    assert_eq!(set.listing().origin.stamp, pictures("hub").listing().origin.stamp);
    let plain = pictures("plain-binary.parquet");
    assert_eq!((plain.entries().len(), plain.entries()[0].part.as_deref(), plain.label_names()), (2, None, None));
    assert_eq!(&plain.bytes(1).unwrap()[1..4], b"PNG");
}

#[test]
fn files_cut_off_anywhere_are_refused() {
    for name in ["numbers-snappy.parquet", "hub/test-00000-of-00001.parquet"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        for end in (0..whole.len()).step_by(whole.len() / 100) {
            refused("a.parquet", &whole[..end], "label = 'kind'", &["help: "]);
        }
        refused("a.parquet", &whole[..whole.len() - 1], "label = 'kind'", &["`PAR1` at the end", "cut off"]);
    }
    refused("a.parquet", b"", "", &["found an empty file"]);
    refused("a.parquet", b"PK\x03\x04....", "", &["found a zip archive"]);
    refused("a.parquet", b"PAR1PAR1", "", &["`PAR1` at the end"]);
    refused("a.parquet", b"PAR1\xff\xff\xff\xffPAR1", "", &["footer length", "4294967295"]);
    refused("a.parquet", b"PAR1\0\0\0\0PAR1", "", &["footer"]);
}

/// Every byte of the file flipped, one bit at a time by turns: it is read, or refused, and nothing panics or takes much memory.
#[test]
fn damaged_bytes_are_an_error_or_harmless() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let config = DataConfig { label: Some("kind".into()), ..Default::default() };
    let (mut read, mut bad) = (0, 0);
    for name in ["numbers-snappy.parquet", "numbers-zstd.parquet", "numbers-delta.parquet"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        for place in (0..whole.len()).step_by(3) {
            let mut bytes = whole.clone();
            bytes[place] ^= 1 << (place / 3 % 8);
            std::fs::write(&path, bytes).unwrap();
            match super::super::parquet::open(&Request::new(&path, &config, None)) {
                Ok(_) => read += 1,
                Err(error) => {
                    bad += 1;
                    assert!(
                        !error.help().is_empty() && error.path().is_some() || matches!(error, Error::Config { .. }),
                        "{error}"
                    );
                }
            }
        }
    }
    assert!(read > 100 && bad > 1000, "{read} read, {bad} refused");
}
