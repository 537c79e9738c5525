//! What an array stands for: images of bytes, images in [0, 1], or rows of numbers.

use std::io::Read;

use memmap2::Mmap;

use super::array::{Array, Kept};
use super::cells::Cells;
use super::dtype::Kind;
use super::identity::Identity;
use super::images::Pixels;
use super::layout::Layout;
use super::mapped::Numbers;
use super::{Content, Missing, Part, Range, chosen, dropped_note};
use crate::data::source::ImageShape;
use crate::error::{Error, Result};

/// How an array is taken.
#[derive(Debug)]
pub(super) struct Meaning {
    /// Of one example.
    shape: ImageShape,
    /// Examples first, then channels, rows, columns; or examples and columns.
    layout: Layout,
    range: Range,
    /// Whether `data.range` said so.
    by_request: bool,
    /// What values are multiplied by: 1, or 1/65535 for levels of 16 bits.
    scale: f64,
    /// Columns kept, for rows.
    columns: Vec<usize>,
    names: Vec<String>,
}

/// Decides from type, dimensions and `data.range`.
///
/// # Errors
/// [`Error::Data`] for dimensions that are none of images or rows, or are empty; [`Error::Config`] for keys that do not fit.
pub(super) fn meaning<R: Read>(array: &Array<'_, R>) -> Result<Meaning> {
    let (shape, request) = (&array.header.shape, array.request);
    let layout = Layout::new(shape, array.header.fortran);
    let (layout, image) = match *shape.as_slice() {
        [_, width] => (layout, ImageShape::grey(1, width)),
        [_, height, width] => (layout, ImageShape::grey(height, width)),
        [_, first, middle, last] => match (is_colour(first), is_colour(last)) {
            (true, false) => (layout, ImageShape { channels: first, height: middle, width: last }),
            (false, true) => (layout.channels_first(), ImageShape { channels: last, height: first, width: middle }),
            _ => return Err(unclear_channels(array)),
        },
        _ => return Err(wrong_dimensions(array)),
    };
    if shape.contains(&0) {
        let help = "check how the array was made: it holds nothing to train on";
        return Err(array.error("header", "sizes of at least 1", format!("shape {shape:?}"), help));
    }
    let words = array.header.dtype.kind == Kind::Unsigned && array.header.dtype.size == 2 && shape.len() > 2;
    let scale = if words && request.deep { 1.0 / 65_535.0 } else { 1.0 };
    if request.deep && !words && request.strict {
        let help = "leave `data.depth` away: it is for pictures, and for images of uint16";
        return Err(Error::config("data.depth", "8 for this array", "16", help));
    }
    let range = request.range.unwrap_or(match array.header.dtype.kind {
        _ if words && request.deep => Range::Unit,
        _ if shape.len() == 2 => Range::Real,
        Kind::Signed | Kind::Unsigned => Range::Byte,
        Kind::Float | Kind::Bool | Kind::Unicode | Kind::Ascii | Kind::Object => Range::Unit,
    });
    if range == Range::Real && shape.len() > 2 {
        let help = "images are `unit` or `byte`; for rows of real numbers save `array.reshape(len(array), -1)`";
        return Err(Error::config("data.range", "unit or byte for an array of images", "real", help));
    }
    let names: Vec<String> = match range {
        Range::Real => (0..image.width).map(|column| format!("x{column}")).collect(),
        _ => Vec::new(),
    };
    if range != Range::Real && request.strict && !request.columns.is_empty() {
        let help = "remove the key, or set `data.range = \"real\"` for rows of numbers";
        let found = format!("{:?}", request.columns);
        return Err(Error::config("data.columns", "nothing: images have no columns", found, help));
    }
    let columns = if range == Range::Real { chosen(request, &names)? } else { Vec::new() };
    let names = columns.iter().map(|&column| names[column].clone()).collect();
    let by_request = request.range.is_some();
    Ok(Meaning { shape: image, layout, range, by_request, scale, columns, names })
}

fn is_colour(channels: usize) -> bool {
    channels == 1 || channels == 3
}

fn unclear_channels<R: Read>(array: &Array<'_, R>) -> Error {
    let expected = "[n, channels, height, width] or [n, height, width, channels] with 1 or 3 channels on one side only";
    let help = "save grey images as [n, height, width]; colour images need 3 channels";
    array.error("header", expected, format!("shape {:?}", array.header.shape), help)
}

fn wrong_dimensions<R: Read>(array: &Array<'_, R>) -> Error {
    let expected = "[n, d] for rows, or [n, h, w], [n, h, w, c] or [n, c, h, w] for images";
    let help = match array.header.shape.len() {
        0 | 1 => "give an array of many examples: `array.reshape(n, -1)`",
        _ => "give an array of images or of rows: `array.reshape(n, -1)`",
    };
    array.error("header", expected, format!("shape {:?}", array.header.shape), help)
}

impl Meaning {
    pub fn is_rows(&self) -> bool {
        self.range == Range::Real
    }

    /// Whether the file's bytes can serve as they are.
    pub fn can_be_mapped<R: Read>(&self, array: &Array<'_, R>) -> bool {
        let native = array.header.dtype.is_native(self.range != Range::Byte);
        let whole = self.range != Range::Real || self.columns.len() == self.shape.width;
        native && whole && self.layout.is_contiguous() && array.request.missing == Missing::Fail
    }

    /// The part as a mapped file; its values are checked, its length must have been.
    pub fn map<R: Read>(&self, array: &Array<'_, R>, map: Mmap) -> Result<Part> {
        let start = array.start();
        let unaligned = || {
            let help = "save the array again with a current NumPy, which aligns it";
            array.error("header", "values aligned to their size", format!("values from byte {start}"), help)
        };
        let size =
            format!("memory-mapped: {:.2} GB stay on disk and must not change during a run", map.len() as f64 / 1e9);
        let content = match self.range {
            Range::Byte => Content::Images {
                shape: self.shape,
                pixels: Pixels::Bytes(Numbers::mapped(map, start).ok_or_else(unaligned)?),
            },
            range => {
                let values = Numbers::<f32>::mapped(map, start).ok_or_else(unaligned)?;
                let mut look = Look::default();
                values
                    .as_slice()
                    .iter()
                    .enumerate()
                    .for_each(|(place, &value)| look.see(self, place, f64::from(value)));
                self.check(array, &look)?;
                match range {
                    Range::Unit => Content::Images { shape: self.shape, pixels: Pixels::Unit(values) },
                    _ => self.rows(Cells::Single(values)),
                }
            }
        };
        Ok(Part { content, labels: None, identity: Identity::default(), notes: vec![self.note(array), size] })
    }

    /// Reads the part into memory.
    pub fn read<R: Read>(&self, array: &mut Array<'_, R>) -> Result<Kept> {
        // Real numbers are held as float64 first, and as float32 when they are standardised.
        array.check_memory(match self.range {
            Range::Byte => 1,
            Range::Unit => 4,
            Range::Real => 12,
        })?;
        let (note, mut colourless) = (self.note(array), false);
        let (content, rows) = match self.range {
            Range::Byte => {
                let pixels = self.layout.arrange(self.bytes(array)?);
                colourless = self.shape.is_colourless(&pixels);
                (Content::Images { shape: self.shape, pixels: Pixels::Bytes(Numbers::Owned(pixels)) }, None)
            }
            Range::Unit => {
                let values = self.layout.arrange(self.values(array, |value| (value * self.scale) as f32)?);
                colourless = self.shape.is_colourless(&values);
                (Content::Images { shape: self.shape, pixels: Pixels::Unit(Numbers::Owned(values)) }, None)
            }
            Range::Real => {
                let values = self.layout.arrange(self.values(array, |value| value)?);
                let (values, rows) = self.chosen(values);
                if values.is_empty() {
                    let help = "check how the array was made";
                    return Err(array.error("rows", "rows without missing values", "none", help));
                }
                (self.rows(Cells::Read(values)), rows)
            }
        };
        let count = array.header.shape[0];
        let dropped = rows.as_ref().map_or(0, |rows| count - rows.len());
        let grey = "3 channels, all equal: the images are grey stored as colour; save one channel (`array[..., 0]`)";
        let grey = colourless.then(|| grey.to_owned());
        let notes = [Some(note), grey, dropped_note(dropped, count)].into_iter().flatten().collect();
        let identity = match &rows {
            Some(rows) => Identity::of_rows(rows.iter().map(|row| *row as u64).collect()),
            None => Identity::default(),
        };
        Ok(Kept { part: Part { content, labels: None, identity, notes }, count, rows })
    }

    fn rows(&self, cells: Cells) -> Content {
        let shape = ImageShape::grey(1, self.names.len());
        Content::Rows { names: self.names.clone(), shape, cells }
    }

    fn bytes<R: Read>(&self, array: &mut Array<'_, R>) -> Result<Vec<u8>> {
        if !array.header.dtype.is_native(false) {
            return self.values(array, |value| value as u8);
        }
        let mut bytes = Vec::with_capacity(array.capacity());
        array.for_bytes(|_, chunk| bytes.extend_from_slice(chunk))?;
        Ok(bytes)
    }

    fn values<T, R: Read>(&self, array: &mut Array<'_, R>, convert: impl Fn(f64) -> T) -> Result<Vec<T>> {
        let mut values = Vec::with_capacity(array.capacity());
        let mut look = Look::default();
        array.for_values(|place, value| {
            look.see(self, place, value);
            values.push(convert(value));
        })?;
        if self.range != Range::Real || array.request.missing != Missing::Drop {
            self.check(array, &look)?;
        }
        Ok(values)
    }

    /// The wanted columns of the rows in which they are all finite, and which rows these are where some may be dropped.
    fn chosen(&self, values: Vec<f64>) -> (Vec<f64>, Option<Vec<usize>>) {
        let width = self.layout.dims[1];
        if self.columns.len() == width && values.iter().all(|value| value.is_finite()) {
            return (values, None);
        }
        let finite = |row: &&[f64]| self.columns.iter().all(|&column| row[column].is_finite());
        let rows: Vec<usize> =
            values.chunks_exact(width).enumerate().filter(|(_, row)| finite(row)).map(|(index, _)| index).collect();
        let kept = |row: &usize| &values[row * width..][..width];
        let cells = rows.iter().map(kept).flat_map(|row| self.columns.iter().map(|&column| row[column]));
        (cells.collect(), Some(rows))
    }

    fn accepts(&self, value: f64) -> bool {
        match self.range {
            Range::Unit => (0.0..=1.0).contains(&value),
            Range::Byte => (0.0..=255.0).contains(&value) && value.fract() == 0.0,
            Range::Real => value.is_finite(),
        }
    }

    fn check<R: Read>(&self, array: &Array<'_, R>, look: &Look) -> Result<()> {
        let Some((place, value)) = look.bad else { return Ok(()) };
        let expected = match self.range {
            _ if !value.is_finite() => "a finite value",
            Range::Unit => "a value in [0, 1]",
            Range::Byte => "a whole number from 0 to 255",
            Range::Real => "a finite value",
        };
        Err(array.bad_value(place, expected, value, self.cure(array, look)))
    }

    /// What helps all values, not only the first bad one.
    fn cure<R: Read>(&self, array: &Array<'_, R>, look: &Look) -> &'static str {
        let dtype = array.header.dtype;
        let is_uint16 = dtype.kind == Kind::Unsigned && dtype.size == 2;
        match self.range {
            Range::Real => "`--set data.missing=drop` leaves such rows out and counts them",
            _ if !look.finite => "remove such images, or replace the value, before saving the array",
            Range::Unit if look.bytes => "for whole numbers from 0 to 255 `--set data.range=byte`",
            Range::Byte if look.unit => "for values in [0, 1] `--set data.range=unit`",
            Range::Byte if look.words && is_uint16 => {
                "for 16 bits `--set data.depth=16`; or scale the values before saving"
            }
            Range::Byte if look.words => {
                "save 16 bits as such, `x.astype(\"uint16\")`, and set `data.depth = 16`; or scale the values"
            }
            _ => "scale the values before saving: `x = (x - x.min()) / (x.max() - x.min())`",
        }
    }

    /// What was decided, in words.
    fn note<R: Read>(&self, array: &Array<'_, R>) -> String {
        let (dtype, shape) = (array.header.dtype.name(), &array.header.shape);
        let taken = match self.range {
            Range::Byte => "images of bytes 0 to 255",
            Range::Unit if self.scale < 1.0 => "images of 16 bits, level / 65535",
            Range::Unit => "images with values in [0, 1]",
            Range::Real => "rows, each column standardised",
        };
        let why = if self.by_request { "as asked" } else { "by its type and dimensions" };
        let name = if array.name.is_empty() { String::new() } else { format!("`{}`, ", array.name) };
        format!("{name}{dtype} {shape:?} taken as {taken} (`data.range = \"{}\"`, {why})", self.range.word())
    }
}

/// What a pass over all values finds.
struct Look {
    /// The first value that is not accepted, with its place.
    bad: Option<(usize, f64)>,
    /// Whether all values are finite, in [0, 1], whole numbers up to 255, whole numbers up to 65535.
    finite: bool,
    unit: bool,
    bytes: bool,
    words: bool,
}

impl Default for Look {
    fn default() -> Self {
        Self { bad: None, finite: true, unit: true, bytes: true, words: true }
    }
}

impl Look {
    fn see(&mut self, meaning: &Meaning, place: usize, value: f64) {
        if self.bad.is_none() && !meaning.accepts(value * meaning.scale) {
            self.bad = Some((place, value));
        }
        // Saturating and without a fraction: a whole number from 0 to 65535 comes back as it was.
        let word = f64::from(value as u16) == value;
        self.finite &= value.is_finite();
        self.unit &= (0.0..=1.0).contains(&value);
        self.bytes &= word && value <= 255.0;
        self.words &= word;
    }
}
