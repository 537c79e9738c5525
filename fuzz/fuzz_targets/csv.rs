//! CSV: any bytes, and numbers that must come back as they were written, in every dialect.

#![no_main]

use elbo::data::{DataConfig, table::Decimal, table::Missing};
use libfuzzer_sys::fuzz_target;

#[path = "support/data.rs"]
mod support;

/// Rows of `width` numbers, written with this separator, line end and decimal sign.
fn written(numbers: &[f64], width: usize, separator: &str, end: &str, decimal: &str) -> String {
    let names: Vec<String> = (0..width).map(|column| format!("c{column}")).collect();
    let mut text = names.join(separator) + end;
    for row in numbers.chunks_exact(width) {
        let fields: Vec<String> = row.iter().map(|number| format!("{number:?}").replace('.', decimal)).collect();
        text += &(fields.join(separator) + end);
    }
    text
}

fuzz_target!(|bytes: &[u8]| {
    let [kind, width, bytes @ ..] = bytes else { return };
    if kind % 2 == 0 {
        let missing = if kind & 2 == 0 { Missing::Fail } else { Missing::Drop };
        let name = if kind & 4 == 0 { "a.csv" } else { "a.txt" };
        return support::stranger(name, bytes, DataConfig { missing, ..DataConfig::default() });
    }
    let width = usize::from(width % 4) + 1;
    let numbers: Vec<f64> =
        bytes.chunks_exact(3).map(|b| f64::from(i16::from_le_bytes([b[0], b[1]])) + f64::from(b[2]) / 256.0).collect();
    let numbers = &numbers[..numbers.len() / width * width];
    if numbers.is_empty() {
        return;
    }
    for (separator, end, decimal) in [(",", "\n", "."), (";", "\r\n", ","), ("\t", "\r", ","), ("|", "\n", ".")] {
        let text = written(numbers, width, separator, end, decimal);
        // A column of one number after another has no separator to be found by.
        let asked = if decimal == "," { Some(Decimal::Comma) } else { None };
        let config = DataConfig { decimal: asked, header: Some(true), ..DataConfig::default() };
        if width == 1 && separator != "," {
            continue;
        }
        let splits = support::open(&support::put("b.csv", text.as_bytes()), config).expect("a good table");
        let columns = splits.train.source().columns().expect("a table").clone();
        let back = columns.original(&support::values(&splits.train));
        let most = numbers.iter().fold(1.0f64, |most, number| most.max(number.abs()));
        assert_eq!(back.len(), numbers.len(), "{text}");
        assert!(back.iter().zip(numbers).all(|(a, b)| (a - b).abs() <= 1e-5 * most), "{text}");
    }
});
