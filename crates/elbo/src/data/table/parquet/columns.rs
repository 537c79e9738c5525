//! The columns of a Parquet file: what they hold, and their values.

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::schema::types::ColumnDescriptor;

/// A column that holds values: a field of a struct counts by its path, `image.bytes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaf {
    pub name: String,
    pub kind: Kind,
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Text,
    Bytes,
    /// In words.
    Other(String),
}

impl Kind {
    pub fn can_label(&self) -> bool {
        matches!(self, Self::Number | Self::Text)
    }

    pub fn words(&self) -> String {
        match self {
            Self::Number => "numbers".into(),
            Self::Text => "text".into(),
            Self::Bytes => "bytes".into(),
            Self::Other(words) => words.clone(),
        }
    }
}

impl Leaf {
    pub fn of(column: &ColumnDescriptor) -> Self {
        Self { name: column.path().parts().join("."), kind: kind(column) }
    }
}

fn kind(column: &ColumnDescriptor) -> Kind {
    if column.max_rep_level() > 0 {
        return Kind::Other("lists".into());
    }
    let (logical, converted) = (column.logical_type_ref(), column.converted_type());
    match (column.physical_type(), logical) {
        (_, Some(LogicalType::Decimal(_))) => Kind::Other("decimals".into()),
        (_, Some(LogicalType::Date)) => Kind::Other("dates".into()),
        (_, Some(LogicalType::Time(_))) => Kind::Other("times of day".into()),
        (_, Some(LogicalType::Timestamp(_))) => Kind::Other("points in time".into()),
        (Type::BOOLEAN | Type::FLOAT | Type::DOUBLE, _) => Kind::Number,
        (Type::INT32 | Type::INT64, Some(LogicalType::Integer(_)) | None) => match converted {
            ConvertedType::DECIMAL => Kind::Other("decimals".into()),
            ConvertedType::DATE => Kind::Other("dates".into()),
            ConvertedType::TIME_MILLIS | ConvertedType::TIME_MICROS => Kind::Other("times of day".into()),
            ConvertedType::TIMESTAMP_MILLIS | ConvertedType::TIMESTAMP_MICROS => Kind::Other("points in time".into()),
            _ => Kind::Number,
        },
        (Type::INT96, _) => Kind::Other("points in time".into()),
        (Type::BYTE_ARRAY, Some(LogicalType::String | LogicalType::Enum)) => Kind::Text,
        (Type::BYTE_ARRAY, None) if matches!(converted, ConvertedType::UTF8 | ConvertedType::ENUM) => Kind::Text,
        (Type::BYTE_ARRAY, None) if converted == ConvertedType::NONE => Kind::Bytes,
        (Type::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::Float16)) => Kind::Other("float16: save as float32".into()),
        (_, Some(logical)) => Kind::Other(format!("{logical:?}").to_lowercase()),
        (physical, None) => Kind::Other(format!("{physical:?}").to_lowercase()),
    }
}

/// The values of a column in a row group.
pub(super) enum Column {
    /// NaN where there is none.
    Numbers(Vec<f64>),
    Bytes(Vec<Option<ByteArray>>),
}

impl Column {
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Bytes(values) => values.len(),
        }
    }
}

/// Rows decoded at a time.
const BATCH: usize = 64 * 1024;

/// Reads at most one row more than `rows`, so that too many are noticed and a file that lies costs no memory.
pub(super) fn read(reader: ColumnReader, column: &ColumnDescriptor, rows: usize) -> Result<Column, ParquetError> {
    let unsigned = is_unsigned(column);
    let def = column.max_def_level();
    Ok(match reader {
        ColumnReader::BoolColumnReader(reader) => numbers(reader, def, rows, |value| f64::from(u8::from(value)))?,
        ColumnReader::Int32ColumnReader(reader) if unsigned => {
            numbers(reader, def, rows, |value| f64::from(value as u32))?
        }
        ColumnReader::Int32ColumnReader(reader) => numbers(reader, def, rows, f64::from)?,
        ColumnReader::Int64ColumnReader(reader) if unsigned => numbers(reader, def, rows, |value| value as u64 as f64)?,
        ColumnReader::Int64ColumnReader(reader) => numbers(reader, def, rows, |value| value as f64)?,
        ColumnReader::FloatColumnReader(reader) => numbers(reader, def, rows, f64::from)?,
        ColumnReader::DoubleColumnReader(reader) => numbers(reader, def, rows, |value| value)?,
        ColumnReader::ByteArrayColumnReader(reader) => Column::Bytes(optional(reader, def, rows)?),
        _ => return Err(ParquetError::General("a column of another type than its schema says".into())),
    })
}

/// The values of a column as texts, whole numbers with all their digits; nothing where there is none. As [`read`], one row more than `rows`.
pub(super) fn texts(
    reader: ColumnReader,
    column: &ColumnDescriptor,
    rows: usize,
) -> Result<Vec<Option<String>>, ParquetError> {
    fn of<T: DataType>(values: Vec<Option<T::T>>, text: impl Fn(T::T) -> String) -> Vec<Option<String>> {
        values.into_iter().map(|value| value.map(&text)).collect()
    }
    let unsigned = is_unsigned(column);
    let def = column.max_def_level();
    Ok(match reader {
        ColumnReader::BoolColumnReader(reader) => of::<BoolType>(optional(reader, def, rows)?, |v| v.to_string()),
        ColumnReader::Int32ColumnReader(reader) if unsigned => {
            of::<Int32Type>(optional(reader, def, rows)?, |v| (v as u32).to_string())
        }
        ColumnReader::Int32ColumnReader(reader) => of::<Int32Type>(optional(reader, def, rows)?, |v| v.to_string()),
        ColumnReader::Int64ColumnReader(reader) if unsigned => {
            of::<Int64Type>(optional(reader, def, rows)?, |v| (v as u64).to_string())
        }
        ColumnReader::Int64ColumnReader(reader) => of::<Int64Type>(optional(reader, def, rows)?, |v| v.to_string()),
        ColumnReader::FloatColumnReader(reader) => of::<FloatType>(optional(reader, def, rows)?, |v| v.to_string()),
        ColumnReader::DoubleColumnReader(reader) => of::<DoubleType>(optional(reader, def, rows)?, |v| v.to_string()),
        ColumnReader::ByteArrayColumnReader(reader) => {
            of::<ByteArrayType>(optional(reader, def, rows)?, |v| String::from_utf8_lossy(v.data()).into_owned())
        }
        _ => return Err(ParquetError::General("a column that is neither numbers nor text".into())),
    })
}

fn is_unsigned(column: &ColumnDescriptor) -> bool {
    match column.logical_type_ref() {
        Some(LogicalType::Integer(kind)) => !kind.is_signed,
        _ => matches!(column.converted_type(), ConvertedType::UINT_32 | ConvertedType::UINT_64),
    }
}

fn numbers<T: DataType>(
    reader: ColumnReaderImpl<T>,
    def: i16,
    rows: usize,
    convert: impl Fn(T::T) -> f64,
) -> Result<Column, ParquetError> {
    let values = optional(reader, def, rows)?;
    Ok(Column::Numbers(values.into_iter().map(|value| value.map_or(f64::NAN, &convert)).collect()))
}

/// The values, with nothing where the definition level says that there is none.
fn optional<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    def: i16,
    rows: usize,
) -> Result<Vec<Option<T::T>>, ParquetError> {
    let mut all = Vec::new();
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    while all.len() <= rows {
        let wanted = BATCH.min(rows + 1 - all.len());
        let (records, _, _) = reader.read_records(wanted, (def > 0).then_some(&mut levels), None, &mut values)?;
        if records == 0 {
            break;
        }
        let mut present = values.drain(..);
        match def {
            0 => all.extend(present.map(Some)),
            def => all.extend(levels.drain(..).map(|level| if level == def { present.next() } else { None })),
        }
    }
    Ok(all)
}
