//! Codes as tables other programs read: CSV and Parquet.

use std::fmt::Write;
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, Repetition, Type as PhysicalType, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;

use crate::data::csv_field;
use crate::error::{Error, Result};

/// Rows of a group of a Parquet file: readers skip and parallelise by groups.
const GROUP: usize = 100_000;

/// One row for each example, column after column.
///
/// ```
/// use elbo::report::code_table::CodeTable;
///
/// let table = CodeTable {
///     index: vec![4, 9],
///     path: None,
///     id: Some(("patient".into(), vec!["p7".into(), "p1".into()])),
///     label: vec![Some("cat".into()), None],
///     latent: 1,
///     mean: &[0.5, -1.0],
///     log_var: None,
///     plane: Some(&[[1.0, 2.0], [3.0, 4.0]]),
/// };
/// assert_eq!(table.csv(), "index,patient,label,mean_0,x,y\n4,p7,cat,0.5,1,2\n9,p1,,-1,3,4\n");
/// assert_eq!(&table.parquet()?[..4], b"PAR1");
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct CodeTable<'a> {
    /// Place of each example in its source, those left out counted.
    pub index: Vec<u64>,
    /// What each is called where it comes from, of sources that have such names.
    pub path: Option<Vec<String>>,
    /// The column of identifiers by its name, and what it says of each; of sources that have one.
    pub id: Option<(String, Vec<String>)>,
    /// Class of each, where known.
    pub label: Vec<Option<String>>,
    /// Dimensions of a code.
    pub latent: usize,
    /// Means of the posteriors, `[n, latent]` row by row.
    pub mean: &'a [f32],
    /// `[n, latent]`; none for an autoencoder.
    pub log_var: Option<&'a [f32]>,
    /// Where each lies in the plane.
    pub plane: Option<&'a [[f32; 2]]>,
}

impl CodeTable<'_> {
    /// `index[,path][,ID],label,mean_0,...[,log_var_0,...][,x,y]`, with a header; fields are quoted as RFC 4180 says.
    pub fn csv(&self) -> String {
        let names = |prefix: &str| (0..self.latent).map(|j| format!(",{prefix}_{j}")).collect::<String>();
        let mut text = String::from(if self.path.is_some() { "index,path" } else { "index" });
        text += &self.id_header().map_or(String::new(), |name| format!(",{}", csv_field(name)));
        text += ",label";
        text += &names("mean");
        text += &self.log_var.map_or(String::new(), |_| names("log_var"));
        text += if self.plane.is_some() { ",x,y\n" } else { "\n" };
        for (i, index) in self.index.iter().enumerate() {
            let path = self.path.as_ref().map_or(String::new(), |paths| format!(",{}", csv_field(&paths[i])));
            let id = self.id.as_ref().map_or(String::new(), |(_, ids)| format!(",{}", csv_field(&ids[i])));
            let label = self.label[i].as_deref().map_or(String::new(), csv_field);
            // Writing to a string does not fail.
            let _ = write!(text, "{index}{path}{id},{label}");
            let row = |values: &[f32]| values[i * self.latent..(i + 1) * self.latent].to_vec();
            let point = self.plane.map(|plane| plane[i].to_vec());
            for value in [Some(row(self.mean)), self.log_var.map(row), point].into_iter().flatten().flatten() {
                let _ = write!(text, ",{value}");
            }
            text.push('\n');
        }
        text
    }

    /// What the column of identifiers is called here: `id` where its own name is taken.
    fn id_header(&self) -> Option<&str> {
        self.id.as_ref().map(|(name, _)| id_header(name))
    }

    /// A Parquet file: `index` (int64), `path`, identifiers where there are any and `label` (text, null where unknown), `z0`, ... (float32 posterior means) and, where there is a plane, `x`
    /// and `y`. Equal tables give equal bytes.
    ///
    /// # Errors
    /// [`Error::Internal`] if the writer refuses the table, which one made as documented does not cause.
    pub fn parquet(&self) -> Result<Vec<u8>> {
        self.write_parquet().map_err(|error| Error::Internal {
            message: format!("a table that cannot be written as Parquet: {error}"),
            help: "write .csv or .npy instead, and report this".into(),
        })
    }

    /// The columns, built rather than parsed: names of identifiers may hold spaces.
    fn schema(&self) -> std::result::Result<Type, ParquetError> {
        let number = |name: &str, kind| {
            Type::primitive_type_builder(name, kind).with_repetition(Repetition::REQUIRED).build().map(Arc::new)
        };
        let text = |name: &str| {
            Type::primitive_type_builder(name, PhysicalType::BYTE_ARRAY)
                .with_repetition(Repetition::OPTIONAL)
                .with_converted_type(ConvertedType::UTF8)
                .build()
                .map(Arc::new)
        };
        let mut fields = vec![number("index", PhysicalType::INT64)?, text("path")?];
        if let Some(name) = self.id_header() {
            fields.push(text(name)?);
        }
        fields.push(text("label")?);
        let plane = if self.plane.is_some() { &["x", "y"][..] } else { &[] };
        let floats = (0..self.latent).map(|j| format!("z{j}")).chain(plane.iter().map(|axis| (*axis).to_owned()));
        for name in floats {
            fields.push(number(&name, PhysicalType::FLOAT)?);
        }
        Type::group_type_builder("codes").with_fields(fields).build()
    }

    fn write_parquet(&self) -> std::result::Result<Vec<u8>, ParquetError> {
        let schema = self.schema()?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            // Floats hardly repeat, and a dictionary of them is tried in vain.
            .set_dictionary_enabled(false)
            .build();
        let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))?;
        for first in (0..self.index.len()).step_by(GROUP) {
            let rows = first..(first + GROUP).min(self.index.len());
            let mut group = writer.next_row_group()?;
            let mut next =
                |write: &mut dyn FnMut(&mut SerializedColumnWriter<'_>) -> std::result::Result<usize, ParquetError>| {
                    let mut column = group.next_column()?.expect("as many columns as the schema has");
                    write(&mut column)?;
                    column.close()
                };
            let index: Vec<i64> = self.index[rows.clone()].iter().map(|i| *i as i64).collect();
            next(&mut |column| column.typed::<Int64Type>().write_batch(&index, None, None))?;
            let path: Vec<Option<&str>> =
                rows.clone().map(|i| self.path.as_ref().map(|paths| paths[i].as_str())).collect();
            next(&mut |column| texts(column, &path))?;
            if let Some((_, ids)) = &self.id {
                let ids: Vec<Option<&str>> = rows.clone().map(|i| Some(ids[i].as_str())).collect();
                next(&mut |column| texts(column, &ids))?;
            }
            let label: Vec<Option<&str>> = rows.clone().map(|i| self.label[i].as_deref()).collect();
            next(&mut |column| texts(column, &label))?;
            for j in 0..self.latent {
                let values: Vec<f32> = rows.clone().map(|i| self.mean[i * self.latent + j]).collect();
                next(&mut |column| column.typed::<FloatType>().write_batch(&values, None, None))?;
            }
            for axis in 0..self.plane.map_or(0, |_| 2) {
                let values: Vec<f32> = rows.clone().filter_map(|i| self.plane.map(|plane| plane[i][axis])).collect();
                next(&mut |column| column.typed::<FloatType>().write_batch(&values, None, None))?;
            }
            group.close()?;
        }
        writer.into_inner()
    }
}

/// What a column of identifiers is called beside the columns of results: its own name, or `id` where a result has that name.
///
/// ```
/// use elbo::report::code_table::id_header;
///
/// assert_eq!([id_header("patient id"), id_header("label")], ["patient id", "id"]);
/// ```
pub fn id_header(name: &str) -> &str {
    const TAKEN: [&str; 9] = ["index", "path", "label", "x", "y", "score", "flagged", "anomaly", ""];
    if TAKEN.contains(&name) { "id" } else { name }
}

/// A column of texts, some of them null.
fn texts(column: &mut SerializedColumnWriter<'_>, texts: &[Option<&str>]) -> std::result::Result<usize, ParquetError> {
    let there: Vec<i16> = texts.iter().map(|text| i16::from(text.is_some())).collect();
    let values: Vec<ByteArray> = texts.iter().flatten().map(|text| ByteArray::from(*text)).collect();
    column.typed::<ByteArrayType>().write_batch(&values, Some(&there), None)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    use super::*;

    #[test]
    fn a_parquet_file_holds_every_value_over_several_groups() {
        let n = GROUP + 7;
        let mean: Vec<f32> = (0..2 * n).map(|i| i as f32 * 0.25 - 3.0).collect();
        let plane: Vec<[f32; 2]> = (0..n).map(|i| [i as f32, -(i as f32)]).collect();
        let table = CodeTable {
            index: (0..n as u64).map(|i| 3 * i).collect(),
            path: Some((0..n).map(|i| format!("ä/{i}.png")).collect()),
            id: None,
            label: (0..n).map(|i| (i % 3 > 0).then(|| format!("class {}", i % 3))).collect(),
            latent: 2,
            mean: &mean,
            log_var: None,
            plane: Some(&plane),
        };
        let bytes = table.parquet().unwrap();
        assert_eq!(bytes, table.parquet().unwrap(), "equal tables, equal bytes");
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let reader = SerializedFileReader::new(file).unwrap();
        let names: Vec<String> =
            reader.metadata().file_metadata().schema_descr().columns().iter().map(|c| c.name().to_owned()).collect();
        assert_eq!(names, ["index", "path", "label", "z0", "z1", "x", "y"]);
        assert_eq!(reader.num_row_groups(), 2);
        let mut count = 0;
        for (i, row) in reader.get_row_iter(None).unwrap().map(|row| row.unwrap()).enumerate() {
            assert_eq!(row.get_long(0).unwrap(), 3 * i as i64);
            assert_eq!(row.get_string(1).unwrap(), &format!("ä/{i}.png"));
            match i % 3 {
                0 => assert!(row.get_string(2).is_err(), "null"),
                class => assert_eq!(row.get_string(2).unwrap(), &format!("class {class}")),
            }
            let floats = [3, 4, 5, 6].map(|column| row.get_float(column).unwrap());
            assert_eq!(floats, [mean[2 * i], mean[2 * i + 1], plane[i][0], plane[i][1]]);
            count += 1;
        }
        assert_eq!(count, n);
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        let table = CodeTable {
            index: vec![1],
            path: Some(vec!["a, b/c.png".into()]),
            id: None,
            label: vec![Some("say \"x\"".into())],
            latent: 1,
            mean: &[0.1],
            log_var: Some(&[-2.5]),
            plane: None,
        };
        assert_eq!(table.csv(), "index,path,label,mean_0,log_var_0\n1,\"a, b/c.png\",\"say \"\"x\"\"\",0.1,-2.5\n");
    }
}
