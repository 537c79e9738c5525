//! CSV, good and bad.

use super::*;

const IRIS: &str = "length,width,species\n5.1,3.5,setosa\n7.0,3.2,versicolor\n6.3,3.3,virginica\n4.9,3.0,setosa\n";

#[test]
fn numbers_are_columns_and_the_label_is_a_class() {
    let splits = opened("iris.csv", IRIS.as_bytes(), "label = 'species'");
    let source = splits.train.source();
    assert_eq!((source.name(), source.domain(), source.shape()), ("iris", Domain::Real, ImageShape::grey(1, 2)));
    assert_eq!(source.columns().unwrap().names, ["length", "width"]);
    assert_eq!(source.label_names(), ["setosa", "versicolor", "virginica"]);
    assert_eq!(label_names(&splits.train)[2], Some("virginica".into()));
    assert_close(&originals(&splits.train), &[5.1, 3.5, 7.0, 3.2, 6.3, 3.3, 4.9, 3.0]);
    let columns = source.columns().unwrap();
    assert!((columns.mean[0] - 5.825).abs() < 1e-12 && (columns.mean[1] - 3.25).abs() < 1e-12);
}

#[test]
fn separators_quotes_line_ends_and_byte_order_marks_change_nothing() {
    let wanted = originals(&opened("a.csv", IRIS.as_bytes(), "label = 'species'").train);
    let quoted = IRIS.replace("setosa", "\"set\"\"o\"\"sa,\nsecond line\"");
    let cases = [
        IRIS.replace('\n', "\r\n"),
        IRIS.replace(',', ";"),
        IRIS.replace(',', "\t"),
        format!("\u{feff}{IRIS}"),
        IRIS.trim_end().to_owned(),
        IRIS.replace(",3.", " , 3."),
        IRIS.replace('\n', "\n\n"),
        IRIS.replace("length", "\"length\""),
        quoted.clone(),
    ];
    for text in &cases {
        let splits = opened("a.csv", text.as_bytes(), "label = 'species'");
        assert_eq!(originals(&splits.train), wanted, "{text}");
        assert_eq!(splits.train.source().columns().unwrap().names, ["length", "width"], "{text}");
    }
    let splits = opened("a.csv", quoted.as_bytes(), "label = 'species'");
    assert_eq!(label_names(&splits.train)[0], Some("set\"o\"sa,\nsecond line".into()));
    // Lines are counted as an editor counts them.
    refused("a.csv", quoted.replace("7.0", "x").as_bytes(), "label = 'species'", &["line 4", "column `length`", "`x`"]);
}

#[test]
fn without_names_the_first_line_is_a_row() {
    let splits = opened("a.csv", b"1,2\n3,4.5\n-1e3,6\n", "");
    assert_eq!(splits.train.source().columns().unwrap().names, ["x0", "x1"]);
    assert_close(&originals(&splits.train), &[1.0, 2.0, 3.0, 4.5, -1000.0, 6.0]);
}

#[test]
fn columns_are_chosen_in_the_order_asked() {
    let splits = opened("a.csv", b"a,b,c\n1,x,3\n4,y,6\n", "columns = ['c', 'a']");
    assert_eq!(splits.train.source().columns().unwrap().names, ["c", "a"]);
    assert_close(&originals(&splits.train), &[3.0, 1.0, 6.0, 4.0]);
    refused("a.csv", b"alpha,b\n1,2\n", "columns = ['alhpa']", &["a column `alhpa`", "did you mean `alpha`?"]);
    refused("a.csv", b"a,b\n1,2\n", "columns = ['a', 'a']", &["data.columns", "`a` twice"]);
    refused("a.csv", b"a,b\n1,2\n", "columns = ['a', 'b']\nlabel = 'b'", &["data.columns", "`b` in both"]);
    refused("a.csv", b"a,b\n1,2\n", "label = 'c'", &["a column `c` for labels", "one of `a`, `b`"]);
}

#[test]
fn text_columns_are_refused_with_the_cure() {
    let cure = "--set 'data.columns=[\"length\", \"width\"]'";
    refused("a.csv", IRIS.as_bytes(), "", &["line 2, column `species`", "`setosa`", "--set data.label=species", cure]);
    refused("a.csv", b"a,b\n1,2\n3,4,5\n", "", &["line 3", "expected 2 fields, found 3"]);
    refused("a.csv", b"a,b\n1,2\n3\n", "", &["line 3", "expected 2 fields, found 1"]);
    refused("a.csv", b"a,b\n1,2\n\"3,4\n5,6\n", "", &["line 3", "expected 2 fields, found 1"]);
    refused("a.csv", b"a,b\n1,2\n3,1.5.2\n", "", &["line 3, column `b`", "`1.5.2`", "correct the value"]);
    refused("a.csv", b"a,b\n1,2\n3,\"4,5\"\n", "", &["line 3, column `b`", "`4,5`"]);
}

#[test]
fn missing_values_are_refused_with_their_place_or_dropped_and_counted() {
    for missing in ["", "NA", "nan", "NaN", "inf", "-Infinity", "null", "None", "?", "N/A", "1e999"] {
        let text = format!("a,b\n1,2\n3,{missing}\n5,6\n");
        refused("a.csv", text.as_bytes(), "", &["line 3, column `b`", "a finite number", "--set data.missing=drop"]);
        let splits = opened("a.csv", text.as_bytes(), "missing = 'drop'");
        assert_close(&originals(&splits.train), &[1.0, 2.0, 5.0, 6.0]);
        assert_eq!(splits.train.source().notes(), ["1 of 3 rows dropped: a value is missing or not finite"]);
        // Elsewhere it does no harm.
        assert_eq!(opened("a.csv", text.as_bytes(), "columns = ['a']").train.len(), 3);
    }
    refused("a.csv", b"a\nNA\nNA\n", "missing = 'drop'", &["none: all 2 miss a value"]);
    refused("a.csv", b"a\n1\nx\n", "missing = 'drop'", &["line 3, column `a`", "`x`"]);
    let unlabelled = opened("a.csv", b"a,c\n1,u\n2,\n3,v\n", "label = 'c'");
    assert_eq!(label_names(&unlabelled.train), [Some("u".into()), None, Some("v".into())]);
}

#[test]
fn files_that_are_no_tables_are_refused_by_name() {
    refused("a.csv", b"", "", &["an empty file"]);
    refused("a.csv", b"\n\n\n", "", &["an empty file"]);
    refused("a.csv", b"a,b\n", "", &["rows", "found none"]);
    refused("a.csv", b"a,b,a\n1,2,3\n", "", &["line 1", "`a` twice", "rename"]);
    refused("a.csv", b",a,b\n0,1,2\n", "", &["column 1", "expected a name", "to_csv", "'data.columns=[\"a\", \"b\"]'"]);
    assert_eq!(opened("a.csv", b",a,b\n0,1,2\n", "columns = ['a', 'b']").train.len(), 1);
    refused("a.csv", b"name\nx\n", "label = 'name'", &["at least one column of numbers"]);
    refused("a.csv", b"caf\xe9,b\n1,2\n", "", &["line 1, field 1", "UTF-8", "iconv"]);
    refused("a.csv", b"a,b\n1,2\n1,\xff\n", "", &["line 3, field 2", "0xff"]);
    refused("a.csv", b"\xff\xfea\0,\0b\0\n\0", "", &["found UTF-16"]);
    refused("a.csv", b"\x1f\x8b\x08\0\0\0\0\0", "", &["found gzip", "unpacked"]);
    refused("a.csv", b"PK\x03\x04 a spreadsheet", "", &["found a zip archive"]);
    refused("a.csv", b"a,b\0\n1,2\n", "", &["text in UTF-8"]);
    refused("a.csv", IRIS.as_bytes(), "array = 'x'\nlabel = 'species'", &["data.array", "table"]);
    refused("a.csv", IRIS.as_bytes(), "range = 'byte'\nlabel = 'species'", &["data.range", "table"]);
}

#[test]
fn huge_fields_and_too_many_columns_do_not_fill_the_memory() {
    let unclosed = format!("a,b\n1,2\n\"3,4\n{}", "5,6\n".repeat(2 << 20));
    refused("a.csv", unclosed.as_bytes(), "", &["line 3", "more than 4194304 bytes", "quote"]);
    let wide = format!("{}\n", vec!["c"; 70_000].join(","));
    refused("a.csv", wide.as_bytes(), "", &["line 1", "more than 65536 columns"]);
    let long = format!("a\n{}1\n", "0".repeat(1 << 20));
    assert_close(&originals(&opened("a.csv", long.as_bytes(), "").train), &[1.0]);
}

#[test]
fn constant_columns_become_zero_and_come_back() {
    let splits = opened("a.csv", b"a,b\n1,7\n2,7\n4,7\n", "");
    let seen = values(&splits.train);
    assert!(seen.chunks(2).all(|row| row[1] == 0.0 && row[0] != 0.0));
    assert_close(&originals(&splits.train), &[1.0, 7.0, 2.0, 7.0, 4.0, 7.0]);
    refused("a.csv", b"a,b\n1,1e308\n2,-1e308\n", "", &["column `b`", "spread"]);
}

#[test]
fn the_fingerprint_is_the_sha256_of_the_file() {
    use sha2::Digest;
    let splits = opened("iris.csv", IRIS.as_bytes(), "label = 'species'");
    let expected = crate::data::idx::hex(&sha2::Sha256::digest(IRIS.as_bytes()));
    assert_eq!(splits.train.source().fingerprint(), expected);
}

#[test]
fn the_doctor_reports_columns_in_their_own_units() {
    let rows: String =
        (0..200).map(|i| format!("{},{},9,c{}\n", 160 + i % 40, 1e6 * f64::from(i % 7), i % 2)).collect();
    let text = format!("cm,income,always,class\n{rows}");
    let report = crate::data::inspect(&opened("people.csv", text.as_bytes(), "label = 'class'"));
    let columns: Vec<_> = report.columns.iter().map(|column| (column.name.as_str(), column.min, column.max)).collect();
    for ((name, min, max), wanted) in
        columns.iter().zip([("cm", 160.0, 199.0), ("income", 0.0, 6e6), ("always", 9.0, 9.0)])
    {
        assert_eq!(*name, wanted.0);
        assert!(
            (min - wanted.1).abs() <= 1e-6 * wanted.2 && (max - wanted.2).abs() <= 1e-6 * wanted.2,
            "{name} {min} {max}"
        );
    }
    assert!((report.columns[0].mean - 179.5).abs() < 1e-4 && (report.columns[0].std - 11.5434).abs() < 1e-3);
    assert_eq!(report.columns[2].std, 0.0);
    assert_eq!(report.range_bytes, None);
    let messages: Vec<&str> = report.findings.iter().map(|finding| finding.message.as_str()).collect();
    assert!(messages.contains(&"1 of 3 columns hold one value in all train rows: `always`"), "{messages:?}");
    assert!(messages.contains(&"there are only 200 rows to train on"), "{messages:?}");
    assert_eq!(report.labels.iter().map(|label| label.count).collect::<Vec<_>>(), [100, 100]);
    // One wrong value drowns the others.
    let rows: String = (0..2000).map(|i| format!("{}\n", if i == 7 { 1e12 } else { f64::from(i % 10) })).collect();
    let report = crate::data::inspect(&opened("a.csv", format!("income\n{rows}").as_bytes(), ""));
    assert!(report.findings.iter().any(|finding| finding.message.contains("`income` first")), "{:?}", report.findings);
}

#[test]
fn rows_are_written_as_they_are_read() {
    let text = "a,\"b, \"\"x\"\"\",when\n5.1,-0.001,1700000000123\n4.9,0.002,1700000000999\n6.25,1000,1700000000500\n";
    let splits = opened("a.csv", text.as_bytes(), "");
    let columns = splits.train.source().columns().unwrap();
    let written = columns.csv(&values(&splits.train));
    let again = opened("a.csv", written.as_bytes(), "");
    assert_eq!(again.train.source().columns().unwrap().names, columns.names);
    assert_close(&originals(&again.train), &originals(&splits.train));
    let first = written.lines().nth(1).unwrap();
    assert!(first.starts_with("5.1") && first.len() < 45, "{first}");
}

#[test]
fn a_first_line_that_is_a_row_is_no_header() {
    let iris = "5.1,3.5,Iris-setosa\n4.9,3.0,Iris-setosa\n7.0,3.2,Iris-versicolor\n";
    let splits = opened("a.csv", iris.as_bytes(), "label = 'x2'");
    assert_eq!((splits.train.len(), splits.train.source().columns().unwrap().names.join(" ")), (3, "x0 x1".to_owned()));
    assert!(splits.train.source().notes()[0].contains("looks like a row"), "{:?}", splits.train.source().notes());
    assert_eq!(label_names(&splits.train)[0].as_deref(), Some("Iris-setosa"));
    // The help is true for the file as it is read.
    refused("a.csv", iris.as_bytes(), "", &["line 1, column `x2`", "--set data.label=x2"]);
    assert_eq!(opened("a.csv", iris.as_bytes(), "label = 'Iris-setosa'\nheader = true").train.len(), 2);
    // Names of years, and names with text below.
    let years = opened("a.csv", b"country,2019,2020\nDE,5,6\nFR,7,8\n", "label = 'country'");
    assert_eq!(years.train.source().columns().unwrap().names, ["2019", "2020"]);
    // What pandas writes for columns without names.
    let counted = opened("a.csv", b"0,1,2,3\n5,6,7,8\n9,6,7,2\n", "");
    assert_eq!((counted.train.len(), &counted.train.source().columns().unwrap().names[3][..]), (2, "3"));
    assert_eq!(opened("a.csv", b"0,1,2,3\n5,6,7,8\n", "header = false").train.len(), 2);
}

#[test]
fn decimal_commas_are_read_where_they_are_sure() {
    let text = "a;b\n1,5;2\n-0,25;1.234,5\n";
    let splits = opened("a.csv", text.as_bytes(), "");
    assert_close(&originals(&splits.train), &[1.5, 2.0, -0.25, 1234.5]);
    assert!(splits.train.source().notes()[0].contains("decimal commas"), "{:?}", splits.train.source().notes());
    assert_close(
        &originals(&opened("a.csv", text.replace(';', "\t").as_bytes(), "").train),
        &[1.5, 2.0, -0.25, 1234.5],
    );
    // Without names too: the comma is no separator there.
    assert_close(&originals(&opened("a.csv", b"1,5;2,5\n3,5;4,25\n", "").train), &[1.5, 2.5, 3.5, 4.25]);
    // A thousand, or one and a bit: nobody knows.
    refused("a.csv", b"a;b\n1,234;2\n5,678;3\n", "", &["`1,234`", "thousands", "--set data.decimal=,"]);
    let asked = opened("a.csv", b"a;b\n1,234;2\n5,678;3\n", "decimal = ','");
    assert_close(&originals(&asked.train), &[1.234, 2.0, 5.678, 3.0]);
    refused("a.csv", b"a;b\n1,5;2\n2.5;3\n", "", &["line 2, column `a`", "`1,5`", "data.decimal"]);
    refused("a.csv", b"a,b\n1,2\n3,\"4,5\"\n", "", &["line 3, column `b`", "--set data.decimal=,"]);
    assert_eq!(opened("a.csv", b"a,b\n1,2\n3,\"4,5\"\n", "decimal = ','").train.len(), 2);
}

#[test]
fn separators_of_every_custom_are_found() {
    let wanted = originals(&opened("a.csv", IRIS.as_bytes(), "label = 'species'").train);
    for text in [
        IRIS.replace(',', "|"),
        format!("sep=;\n{}", IRIS.replace(',', ";")),
        format!("\u{feff}\"sep=;\"\r\n{}", IRIS.replace(',', ";").replace('\n', "\r\n")),
        IRIS.replace(',', "   "),
        IRIS.replace(',', " \t ").replace('\n', "  \n"),
    ] {
        let splits = opened("a.csv", text.as_bytes(), "label = 'species'");
        assert_eq!(originals(&splits.train), wanted, "{text}");
    }
    let amat = "0 1 0 1\n1 1 0 0\n0 0 1 1\n";
    assert_eq!(opened("binarized.amat", amat.as_bytes(), "header = false").train.source().shape().width, 4);
}

#[test]
fn lines_are_counted_as_an_editor_counts_them() {
    for end in ["\n", "\r\n", "\r"] {
        let mut text: String = (0..48).map(|i| format!("{i},1{end}")).collect();
        text = format!("a,b{end}{text}x,1{end}");
        refused("a.csv", text.as_bytes(), "", &["line 50, column `a`"]);
        refused("a.csv", format!("sep=,{end}{text}").as_bytes(), "", &["line 51, column `a`"]);
        let spaced = text.replacen(end, &format!("{end}{end}"), 1);
        refused("a.csv", spaced.as_bytes(), "", &["line 51, column `a`"]);
    }
}

#[test]
fn packed_tables_are_unpacked_and_bounded() {
    use std::io::Write;
    let gzip = |text: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    let plain = opened("iris.csv", IRIS.as_bytes(), "label = 'species'");
    let packed = opened("iris.csv.gz", &gzip(IRIS.as_bytes()), "label = 'species'");
    assert_eq!(packed.train.source().fingerprint(), plain.train.source().fingerprint());
    assert_eq!(originals(&packed.train), originals(&plain.train));
    let cut = gzip(IRIS.as_bytes());
    refused("iris.csv.gz", &cut[..cut.len() - 9], "label = 'species'", &["damaged or cut short"]);
    // 48 million numbers of 96 MB of text, in 100 kB.
    let bomb = gzip("0,0,0,0,0,0,0,0\n".repeat(6 << 20).as_bytes());
    refused("bomb.csv.gz", &bomb, "", &["rows", "536.9 MB"]);
}

#[test]
fn points_in_time_keep_their_digits() {
    let base = 1_700_000_000_123.0;
    let rows: String = (0..50).map(|i| format!("{}\n", base + f64::from(i * 1000))).collect();
    let splits = opened("a.csv", format!("when\n{rows}").as_bytes(), "");
    let written = splits.train.source().columns().unwrap().csv(&values(&splits.train));
    for (line, i) in written.lines().skip(1).zip(0..) {
        let value: f64 = line.parse().unwrap();
        // The step of float32 at a deviation of 14 s.
        assert!((value - base - f64::from(i * 1000)).abs() < 0.01, "{line}");
    }
}

#[test]
fn rows_that_differ_beyond_float32_are_no_copies() {
    // As float32, a second within a span of thirty years is nothing.
    let rows = |step: usize| (0..40).map(|i| format!("{},1\n", i / 20 * 1_000_000_000 + i / step)).collect::<String>();
    let report = |text: String| crate::data::inspect(&opened("a.csv", format!("t,x\n{text}").as_bytes(), ""));
    let distinct = report(rows(1));
    assert!(distinct.duplicates.is_empty(), "{:?}", distinct.duplicates);
    assert_eq!(report(rows(2)).duplicates.len(), 20);
    // Of an array of float64 too, and 0 is -0.
    let values: Vec<u8> = [0.0f64, 1e9, 1e9 + 1.0, -0.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let array = super::arrays::npy("<f8", false, &[4, 1], &values);
    assert_eq!(crate::data::inspect(&opened("a.npy", &array, "")).duplicates.len(), 1);
}

#[test]
fn commas_between_thousands_are_told_as_such() {
    for field in ["1,097.5", "-12,345,678"] {
        refused("a.csv", format!("x,y\n\"{field}\",1\n2,3\n").as_bytes(), "", &[field, "between thousands"]);
    }
}

#[test]
fn a_first_line_of_numbers_is_a_row_or_counts_and_either_is_told() {
    let read = |text: &str| {
        let splits = opened("a.csv", text.as_bytes(), "");
        let source = splits.train.source();
        (source.columns().unwrap().names.clone(), source.len(), source.notes().join("\n"))
    };
    let (names, len, notes) = read("2021,2022,2023,2024\n1.5,2,3,4\n5,6.5,7,8\n");
    assert_eq!((names.join(" "), len), ("2021 2022 2023 2024".into(), 2));
    assert!(notes.contains("counts the columns"), "{notes}");
    let (names, len, notes) = read("1,2,3,4\n5,6,7,8\n");
    assert_eq!((names.join(" "), len), ("x0 x1 x2 x3".into(), 2));
    assert!(notes.contains("data.header=true"), "{notes}");
}
