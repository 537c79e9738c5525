//! What a data set is to the rest of the library: numbered examples of one shape, as bytes.

use serde::{Deserialize, Serialize};

use crate::space::{Domain, Space};

/// The shape of one image.
///
/// ```
/// use elbo::data::ImageShape;
///
/// let shape = ImageShape { channels: 3, height: 32, width: 32 };
/// assert_eq!((shape.numel(), shape.to_string().as_str()), (3072, "3 x 32 x 32"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageShape {
    /// Colour channels: 1 for grey, 3 for RGB.
    pub channels: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Columns of pixels.
    pub width: usize,
}

impl ImageShape {
    /// A grey image of `height` x `width`.
    pub fn grey(height: usize, width: usize) -> Self {
        Self { channels: 1, height, width }
    }

    /// Channels, height and width.
    pub fn dims(&self) -> [usize; 3] {
        [self.channels, self.height, self.width]
    }

    /// Whether images of this shape, one after another, have three channels that are equal everywhere.
    pub(super) fn is_colourless<T: PartialEq>(&self, values: &[T]) -> bool {
        let plane = self.height * self.width;
        let equal = |image: &[T]| image[..plane] == image[plane..2 * plane] && image[..plane] == image[2 * plane..];
        self.channels == 3 && values.chunks_exact(3 * plane.max(1)).all(equal)
    }

    /// Values per image: `channels * height * width`.
    pub fn numel(&self) -> usize {
        self.channels * self.height * self.width
    }
}

impl std::fmt::Display for ImageShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} x {} x {}", self.channels, self.height, self.width)
    }
}

/// The columns of a table, and how their values were standardised: `value = (original - mean) / std`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Columns {
    /// Name of each column.
    pub names: Vec<String>,
    /// What was subtracted.
    pub mean: Vec<f64>,
    /// What was divided by after that.
    pub std: Vec<f64>,
}

impl Columns {
    /// `(value - mean) / std` of a value in `column`.
    pub fn standardised(&self, column: usize, value: f64) -> f32 {
        ((value - self.mean[column]) / self.std[column]) as f32
    }

    /// Rows of standardised values in the units of the table: `value * std + mean`, in float64, since a column such as a date in
    /// milliseconds has more digits than float32.
    ///
    /// ```
    /// use elbo::data::Columns;
    ///
    /// let columns = Columns { names: vec!["cm".into(), "kg".into()], mean: vec![170.0, 70.0], std: vec![10.0, 12.0] };
    /// assert_eq!(columns.original(&[0.5, -1.0, 0.0, 0.0]), [175.0, 58.0, 170.0, 70.0]);
    /// ```
    pub fn original(&self, values: &[f32]) -> Vec<f64> {
        let scales = self.std.iter().zip(&self.mean).cycle();
        values.iter().zip(scales).map(|(&value, (std, mean))| f64::from(value) * std + mean).collect()
    }

    /// Rows of standardised values as CSV in the units of the table, with a header. Digits beyond what float32 tells are left away.
    ///
    /// ```
    /// use elbo::data::Columns;
    ///
    /// let columns = Columns { names: vec!["cm".into(), "kg, dry".into()], mean: vec![170.0, 70.0], std: vec![10.0, 12.0] };
    /// assert_eq!(columns.csv(&[0.5, -1.0]), "cm,\"kg, dry\"\n175,58\n");
    /// ```
    pub fn csv(&self, values: &[f32]) -> String {
        let header: Vec<String> = self.names.iter().map(|name| csv_field(name)).collect();
        let mut text = header.join(",") + "\n";
        for (row, standardised) in self.original(values).chunks(self.names.len()).zip(values.chunks(self.names.len())) {
            let fields = row.iter().zip(standardised).zip(&self.std).map(|((value, z), std)| {
                // A float32 near z is exact to about z * 2^-24, and so is the original to std times that.
                decimal(*value, std * f64::from(z.abs().max(1.0)) * 2f64.powi(-24))
            });
            text += &(fields.collect::<Vec<_>>().join(",") + "\n");
        }
        text
    }
}

/// Text as one field of a CSV file, in quotes where it needs them (RFC 4180).
///
/// ```
/// use elbo::data::csv_field;
///
/// assert_eq!([csv_field("3"), csv_field("kg, dry")], ["3", "\"kg, dry\""]);
/// ```
pub fn csv_field(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) || text.trim() != text {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

/// [`decimal`] as a number again.
pub(super) fn rounded(value: f64, error: f64) -> f64 {
    decimal(value, error).parse().unwrap_or(value)
}

/// A number that is known to about `error`, without digits that mean nothing.
fn decimal(value: f64, error: f64) -> String {
    let decimals = (-error.log10()).floor().clamp(0.0, 300.0) as usize;
    let text = format!("{value:.decimals$}");
    match text.split_once('.') {
        Some((whole, part)) => match part.trim_end_matches('0') {
            "" if whole == "-0" => "0".to_owned(),
            "" => whole.to_owned(),
            part => format!("{whole}.{part}"),
        },
        None => text,
    }
}

/// A data set: `len` examples of one shape, read by index.
///
/// Pixels are bytes, channel first (`[channels, height, width]`), and stay bytes until they enter a batch; there they
/// become `byte / 255`. Sources of real numbers ([`Source::domain`]) give them by [`Source::read_values`]. A source is a
/// pure function of its index, so reading in any order or from several threads gives the same values.
///
/// ```
/// use std::sync::Arc;
///
/// use elbo::data::{ImageShape, Source, Subset};
///
/// /// Image `i` of eight is a bar `i` pixels long.
/// struct Bars;
///
/// impl Source for Bars {
///     fn name(&self) -> &str { "bars" }
///     fn len(&self) -> usize { 8 }
///     fn shape(&self) -> ImageShape { ImageShape::grey(1, 8) }
///     fn read(&self, index: usize, pixels: &mut [u8]) {
///         pixels.fill(0);
///         pixels[..index].fill(255);
///     }
///     fn label(&self, _: usize) -> Option<u32> { None }
///     fn label_names(&self) -> &[String] { &[] }
///     fn fingerprint(&self) -> &str { "bars, version 1" }
/// }
///
/// let all = Subset::all(Arc::new(Bars));
/// let mut pixels = [0; 8];
/// all.read(3, &mut pixels);
/// assert_eq!(pixels, [255, 255, 255, 0, 0, 0, 0, 0]);
/// ```
pub trait Source: Send + Sync {
    /// Short name for logs and reports, for example `mnist`.
    fn name(&self) -> &str;

    /// Number of images.
    fn len(&self) -> usize;

    /// True when there are no images.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shape all images share.
    fn shape(&self) -> ImageShape;

    /// Shape and meaning of the rows.
    fn space(&self) -> Space {
        Space { shape: self.shape().dims(), domain: self.domain() }
    }

    /// Writes image `index` into `pixels`, `shape().numel()` bytes, channel first.
    ///
    /// # Panics
    /// If `index >= len()` or `pixels` has another length.
    fn read(&self, index: usize, pixels: &mut [u8]);

    /// The class of image `index`, an index into [`Source::label_names`], where classes are known.
    fn label(&self, index: usize) -> Option<u32>;

    /// Names of the classes; empty where there are none.
    fn label_names(&self) -> &[String];

    /// Names and sizes of the ground-truth factors of variation, for generated sets that have them.
    fn factor_names(&self) -> &[(&'static str, usize)] {
        &[]
    }

    /// The factors of image `index`, one value below its size for each of [`Source::factor_names`].
    fn factors(&self, _index: usize) -> Vec<u32> {
        Vec::new()
    }

    /// All pixels, image after image, when they lie in memory that way: the batcher's fast path.
    fn bytes(&self) -> Option<&[u8]> {
        None
    }

    /// What the numbers are.
    fn domain(&self) -> Domain {
        Domain::Levels
    }

    /// Writes example `index` as the model sees it into `values`, `shape().numel()` numbers: `byte / 255`, or the real numbers
    /// themselves, for which [`Source::read`] gives only a picture.
    ///
    /// # Panics
    /// As [`Source::read`].
    fn read_values(&self, index: usize, values: &mut [f32]) {
        let mut pixels = vec![0u8; values.len()];
        self.read(index, &mut pixels);
        elbo_kernels::unit_from_bytes(&pixels, values);
    }

    /// Writes the symbols of example `index`, `shape().numel()` numbers below the `of` of [`Domain::Index`]; only sources of that domain have any.
    ///
    /// # Panics
    /// If the source has no symbols.
    fn read_symbols(&self, _index: usize, _symbols: &mut [u32]) {
        panic!("`{}` has no symbols", self.name());
    }

    /// All values, example after example, when they lie in memory as real numbers: the batcher's fast path for those.
    fn floats(&self) -> Option<&[f32]> {
        None
    }

    /// The columns, when the examples are rows of a table.
    fn columns(&self) -> Option<&Columns> {
        None
    }

    /// What image `index` is called where it comes from: a path inside a folder or archive.
    fn id(&self, _index: usize) -> Option<String> {
        None
    }

    /// The place of example `index` where it comes from: the row of the file, or the picture among those found, counted from 0 before any
    /// was left out. What joins a result to its source.
    ///
    /// # Panics
    /// If `index >= len()`.
    fn place(&self, index: usize) -> u64 {
        index as u64
    }

    /// The column that identifies examples, where one was named (`data.id`).
    fn identifier_column(&self) -> Option<&str> {
        None
    }

    /// What that column says of example `index`.
    ///
    /// # Panics
    /// If `index >= len()`.
    fn identifier(&self, _index: usize) -> Option<&str> {
        None
    }

    /// A hash of example `index` as its file has it, where [`Source::read_values`] rounds: what tells copies from what is only near.
    ///
    /// # Panics
    /// If `index >= len()`.
    fn exact_hash(&self, _index: usize) -> Option<u64> {
        None
    }

    /// What was chosen or left out on the user's behalf when the set was opened, in one sentence each.
    fn notes(&self) -> &[String] {
        &[]
    }

    /// What was noticed when the set was opened and is likely to spoil the result, in one sentence each: told before anything is trained.
    fn warnings(&self) -> &[String] {
        &[]
    }

    /// sha256 of the content in hexadecimal: of the uncompressed files for sets read from disk, of the generator's name, version and
    /// parameters for generated sets. It is written into every run, so that a resumed run can tell another data set.
    fn fingerprint(&self) -> &str;
}

/// A [`Source`] whose pixels lie in memory.
///
/// ```
/// use elbo::data::{ImageShape, InMemory, Source};
///
/// let pixels = vec![7; 3 * 4]; // three images of 2 x 2
/// let names = vec!["cat".to_owned(), "dog".to_owned()];
/// let source = InMemory::new("pets", ImageShape::grey(2, 2), pixels, "2026-11-21").labels(vec![0, 1, 1], names);
/// assert_eq!((source.len(), source.label(2)), (3, Some(1)));
/// ```
#[derive(Debug, Clone)]
pub struct InMemory {
    name: String,
    shape: ImageShape,
    pixels: Vec<u8>,
    labels: Option<Vec<u8>>,
    label_names: Vec<String>,
    fingerprint: String,
}

impl InMemory {
    /// Wraps pixels that lie image after image, channel first; classes are added by [`InMemory::labels`]. `fingerprint` is what
    /// [`Source::fingerprint`] says.
    ///
    /// # Panics
    /// If `pixels` is not a whole number of images.
    pub fn new(name: impl Into<String>, shape: ImageShape, pixels: Vec<u8>, fingerprint: impl Into<String>) -> Self {
        assert!(pixels.len().is_multiple_of(shape.numel()), "{} bytes are no whole number of images", pixels.len());
        let (name, fingerprint) = (name.into(), fingerprint.into());
        Self { name, shape, pixels, labels: None, label_names: Vec::new(), fingerprint }
    }

    /// The same images with their classes: for each image a place in `names`.
    ///
    /// # Panics
    /// If there is not one label for each image, or a label has no name.
    #[must_use]
    pub fn labels(self, labels: Vec<u8>, names: Vec<String>) -> Self {
        assert_eq!(labels.len(), self.len(), "one label for each image");
        assert!(labels.iter().all(|&label| usize::from(label) < names.len()), "each label has a name");
        Self { labels: Some(labels), label_names: names, ..self }
    }
}

impl Source for InMemory {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.pixels.len() / self.shape.numel()
    }

    fn shape(&self) -> ImageShape {
        self.shape
    }

    fn read(&self, index: usize, pixels: &mut [u8]) {
        let size = self.shape.numel();
        pixels.copy_from_slice(&self.pixels[index * size..(index + 1) * size]);
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.labels.as_ref().map(|labels| u32::from(labels[index]))
    }

    fn label_names(&self) -> &[String] {
        &self.label_names
    }

    fn bytes(&self) -> Option<&[u8]> {
        Some(&self.pixels)
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}
