//! Event files for TensorBoard: scalars and PNG images, nothing more.
//!
//! An event file is a row of records: the length of a protocol buffer, a checksum of that length, the buffer, a
//! checksum of it. The messages below hold the fields that are written and no others, numbered as in TensorFlow's
//! `event.proto` and `summary.proto`; TensorBoard fills in the rest. They are written out by hand because they are
//! short, and because generating them would need a protobuf compiler on every machine that builds this.
//!
//! A resumed run writes a new file that starts by telling TensorBoard from which step on the earlier files no longer
//! count. A record cut short by a crash does no harm: TensorBoard stops reading that file there.

use std::env;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

use prost::{Enumeration, Message, Oneof};

use super::files::Files;
use crate::error::{Error, Result};

const FILE_VERSION: &str = "brain.Event:2";

/// Appends events to one file, which appears in TensorBoard when its folder is given as `--logdir`.
///
/// ```
/// use elbo::run::tensorboard::EventWriter;
///
/// # let folder = tempfile::tempdir().unwrap();
/// let mut events = EventWriter::create(folder.path(), None)?;
/// events.scalar(1, "train/loss", 170.9)?;
/// events.scalar(2, "train/loss", 118.7)?;
/// events.flush()?;
/// assert!(events.path().is_file()); // tensorboard --logdir FOLDER
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: BufWriter<File>,
}

impl EventWriter {
    /// Starts an event file in `dir`, which must exist. With `purge_step`, TensorBoard drops what earlier files of the
    /// folder hold for this step and later ones: give a resumed run's first step.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be created or written.
    pub fn create(dir: impl AsRef<Path>, purge_step: Option<i64>) -> Result<Self> {
        Self::create_in(&Files::new(dir.as_ref()), dir.as_ref(), purge_step)
    }

    /// [`EventWriter::create`] below the root of some files.
    pub(super) fn create_in(files: &Files, dir: &Path, purge_step: Option<i64>) -> Result<Self> {
        let (path, file) = create_new(files, dir)?;
        let mut writer = Self { path, file: BufWriter::new(file) };
        writer.append(0, What::FileVersion(FILE_VERSION.into()))?;
        if let Some(step) = purge_step {
            writer.append(step, What::SessionLog(SessionLog { status: SessionStatus::Start.into() }))?;
        }
        writer.flush()?;
        Ok(writer)
    }

    /// The file written to.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds one point to the curve `tag`, for example `loss/train`.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn scalar(&mut self, step: i64, tag: &str, value: f32) -> Result<()> {
        self.summary(step, tag, Content::SimpleValue(value))
    }

    /// Adds a picture of `width` x `height` pixels: `png` is a whole PNG file.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn image_png(&mut self, step: i64, tag: &str, width: u32, height: u32, png: &[u8]) -> Result<()> {
        let [width, height] = [width, height].map(|pixels| i32::try_from(pixels).unwrap_or(i32::MAX));
        let image = Image { height, width, colorspace: channels_of(png), encoded_image_string: png.into() };
        self.summary(step, tag, Content::Image(image))
    }

    /// Hands everything to the operating system, so that TensorBoard sees it.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(Error::io(&self.path, "write"))
    }

    fn summary(&mut self, step: i64, tag: &str, content: Content) -> Result<()> {
        let value = Value { tag: tag.into(), content: Some(content) };
        self.append(step, What::Summary(Summary { value: vec![value] }))
    }

    fn append(&mut self, step: i64, what: What) -> Result<()> {
        let event = Event { wall_time: seconds_since_1970(), step, what: Some(what) };
        write_record(&mut self.file, &event.encode_to_vec()).map_err(Error::io(&self.path, "write"))
    }
}

/// One record: length, checksum of the length, data, checksum of the data, all numbers little-endian.
fn write_record(file: &mut impl Write, data: &[u8]) -> io::Result<()> {
    let length = (data.len() as u64).to_le_bytes();
    file.write_all(&length)?;
    file.write_all(&masked_crc(&length).to_le_bytes())?;
    file.write_all(data)?;
    file.write_all(&masked_crc(data).to_le_bytes())
}

/// CRC-32C, turned and shifted as TFRecord files want it, so that the checksum of data that holds checksums stays
/// meaningful.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Creates `events.out.tfevents.SECONDS.HOST.PID`. TensorBoard reads the files in the order of their names, so another
/// one of the same process and second gets a number at the end.
fn create_new(files: &Files, dir: &Path) -> Result<(PathBuf, File)> {
    let name = format!("events.out.tfevents.{:010.0}.{}.{}", seconds_since_1970().floor(), host(), process::id());
    let mut path = dir.join(&name);
    let mut number = 0;
    loop {
        match files.create_new(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                number += 1;
                path = dir.join(format!("{name}.{number}"));
            }
            Err(error) => return Err(Error::io(path, "create")(error)),
        }
    }
}

/// The machine's name as a part of a file name.
fn host() -> String {
    let told =
        fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| env::var("COMPUTERNAME")).unwrap_or_default();
    let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
    let name: String = told.chars().filter(plain).take(64).collect();
    if name.is_empty() { "localhost".into() } else { name }
}

fn seconds_since_1970() -> f64 {
    // A clock before 1970 is wrong anyway, and no reason to stop a training.
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Channels of a PNG by the colour type in its header: 1 grey, 2 grey with alpha, 3 RGB, 4 RGBA.
fn channels_of(png: &[u8]) -> i32 {
    match png.get(25) {
        Some(0) => 1,
        Some(4) => 2,
        Some(6) => 4,
        _ => 3,
    }
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, Oneof)]
enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(enumeration = "SessionStatus", tag = "1")]
    status: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
enum SessionStatus {
    Unspecified = 0,
    Start = 1,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(oneof = "Content", tags = "2, 4")]
    content: Option<Content>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Content {
    #[prost(float, tag = "2")]
    SimpleValue(f32),
    #[prost(message, tag = "4")]
    Image(Image),
}

#[derive(Clone, PartialEq, Message)]
struct Image {
    #[prost(int32, tag = "1")]
    height: i32,
    #[prost(int32, tag = "2")]
    width: i32,
    #[prost(int32, tag = "3")]
    colorspace: i32,
    #[prost(bytes = "vec", tag = "4")]
    encoded_image_string: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// A grey PNG of 2 x 1 pixels.
    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x02\0\0\0\x01\x08\0\0\0\0\xd1I V\
        \0\0\0\x0bIDATx\xdac`\xf8\x0f\0\x01\x02\x01\0\xd1\x1a\xcb\x8f\0\0\0\0IEND\xaeB`\x82";

    /// Takes an event file apart, checking every checksum.
    fn events_in(path: &Path) -> Vec<Event> {
        let bytes = fs::read(path).unwrap();
        let mut rest = &bytes[..];
        let mut take = |count: usize| {
            let (part, after) = rest.split_at(count);
            rest = after;
            part
        };
        let mut events = Vec::new();
        let mut left = bytes.len();
        while left > 0 {
            let length = take(8);
            assert_eq!(take(4), masked_crc(length).to_le_bytes());
            let count = u64::from_le_bytes(length.try_into().unwrap()) as usize;
            let data = take(count);
            assert_eq!(take(4), masked_crc(data).to_le_bytes());
            events.push(Event::decode(data).unwrap());
            left -= count + 16;
        }
        events
    }

    fn write_sample(dir: &Path, purge_step: Option<i64>, steps: std::ops::Range<i64>) -> PathBuf {
        let mut writer = EventWriter::create(dir, purge_step).unwrap();
        for step in steps {
            let sign = if purge_step.is_some() { -1.0 } else { 1.0 };
            writer.scalar(step, "loss/train", sign * step as f32).unwrap();
        }
        writer.image_png(7, "samples", 2, 1, PNG).unwrap();
        writer.path().to_owned()
    }

    /// The check value of CRC-32C, and the first record of the files that TensorFlow writes, but for the time.
    #[test]
    fn checksums_are_the_published_ones() {
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(masked_crc(&24_u64.to_le_bytes()).to_le_bytes(), *b"\xa3\x7f\x4b\x22");
        let event = Event { wall_time: 1.0, step: 0, what: Some(What::FileVersion(FILE_VERSION.into())) };
        let mut record = Vec::new();
        write_record(&mut record, &event.encode_to_vec()).unwrap();
        assert_eq!(record[..20], *b"\x18\0\0\0\0\0\0\0\xa3\x7f\x4b\x22\x09\0\0\0\0\0\0\xf0");
        assert_eq!(record[20..36], *b"\x3f\x1a\x0dbrain.Event:2");
    }

    #[test]
    fn records_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = write_sample(folder.path(), Some(5), 5..7);
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("events.out.tfevents.1") && name.ends_with(&format!(".{}", process::id())), "{name}");
        let events = events_in(&path);
        let value = |tag: &str, content| What::Summary(Summary { value: vec![Value { tag: tag.into(), content }] });
        let image = Image { height: 1, width: 2, colorspace: 1, encoded_image_string: PNG.into() };
        let expected = [
            (0, What::FileVersion("brain.Event:2".into())),
            (5, What::SessionLog(SessionLog { status: 1 })),
            (5, value("loss/train", Some(Content::SimpleValue(-5.0)))),
            (6, value("loss/train", Some(Content::SimpleValue(-6.0)))),
            (7, value("samples", Some(Content::Image(image)))),
        ];
        let found: Vec<_> = events.iter().map(|event| (event.step, event.what.clone().unwrap())).collect();
        assert_eq!(found, expected);
        assert!(events.windows(2).all(|pair| pair[0].wall_time <= pair[1].wall_time));
        assert!(events[0].wall_time > 1.7e9, "a time after 2023");
    }

    #[test]
    fn a_second_file_of_the_same_second_has_its_own_name() {
        let folder = tempfile::tempdir().unwrap();
        let writers: Vec<_> = (0..3).map(|_| EventWriter::create(folder.path(), None).unwrap()).collect();
        assert!(writers.iter().all(|writer| events_in(writer.path()).len() == 1));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
        let missing = EventWriter::create(folder.path().join("nowhere"), None).unwrap_err();
        assert!(missing.to_string().contains("cannot create"), "{missing}");
    }

    /// TensorBoard's own reader, where Python has it (`ELBO_PYTHON` names the interpreter).
    #[test]
    fn tensorboard_reads_it_back() {
        let python = env::var("ELBO_PYTHON").unwrap_or_else(|_| "python3".into());
        let importable = Command::new(&python).args(["-c", "import tensorboard"]).output();
        if !importable.is_ok_and(|output| output.status.success()) {
            println!("skipped: `{python}` cannot import tensorboard");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        write_sample(folder.path(), None, 1..9);
        write_sample(folder.path(), Some(5), 5..7);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tensorboard_readback.py");
        let output = Command::new(&python).arg(script).arg(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let expected = serde_json::json!({
            "scalars": {"loss/train": [[1, 1.0], [2, 2.0], [3, 3.0], [4, 4.0], [5, -5.0], [6, -6.0]]},
            "images": {"samples": [[7, 2, 1, PNG.len()]]},
        });
        assert_eq!(found, expected);
    }
}
