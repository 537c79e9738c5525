//! Parquet: any bytes, and columns that must come back as they were written, in each packing.

#![no_main]

use std::sync::Arc;

use elbo::data::DataConfig;
use libfuzzer_sys::fuzz_target;
use parquet::basic::{BrotliLevel, Compression, ZstdLevel};
use parquet::data_type::DoubleType;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

#[path = "support/lenient.rs"]
mod lenient;
#[path = "support/data.rs"]
mod support;

use lenient::lenient;

fn written(columns: [&[f64]; 2], packing: Compression) -> Vec<u8> {
    let schema = Arc::new(parse_message_type("message m { required double a; required double b; }").expect("a schema"));
    let properties = Arc::new(WriterProperties::builder().set_compression(packing).build());
    let mut file = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut file, schema, properties).expect("a writer");
    let mut group = writer.next_row_group().expect("a group");
    for values in columns {
        let mut column = group.next_column().expect("a column").expect("one more");
        column.typed::<DoubleType>().write_batch(values, None, None).expect("memory");
        column.close().expect("memory");
    }
    group.close().expect("memory");
    writer.close().expect("memory");
    file
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, bytes)) = bytes.split_first() else { return };
    if kind % 2 == 0 {
        return support::stranger("a.parquet", bytes, lenient());
    }
    let numbers: Vec<f64> = bytes.iter().map(|&byte| f64::from(byte) - 100.0).collect();
    let count = numbers.len() / 2;
    if count == 0 {
        return;
    }
    let columns = [&numbers[..count], &numbers[count..2 * count]];
    let level = |level: &str| level.to_owned();
    let packings = [
        (level("none"), Compression::UNCOMPRESSED),
        (level("snappy"), Compression::SNAPPY),
        (level("gzip"), Compression::GZIP(Default::default())),
        (level("lz4"), Compression::LZ4_RAW),
        (level("brotli"), Compression::BROTLI(BrotliLevel::default())),
        (level("zstd"), Compression::ZSTD(ZstdLevel::default())),
    ];
    for (name, packing) in packings {
        let path = support::put("b.parquet", &written(columns, packing));
        let splits = support::open(&path, DataConfig::default()).expect("a good table");
        let back = splits.train.source().columns().expect("a table").original(&support::values(&splits.train));
        for (row, pair) in back.chunks_exact(2).enumerate() {
            assert!((pair[0] - columns[0][row]).abs() < 1e-3 && (pair[1] - columns[1][row]).abs() < 1e-3, "{name}");
        }
    }
});
