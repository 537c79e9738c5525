//! The one error type of this crate.
//!
//! Every variant carries the place (file, key, tensor, byte), what was expected, what was found and what to do about
//! it, as named fields: callers match on them and never parse text. Nothing here is printed by the library; the
//! command turns [`Error::kind`] into its exit code and the fields into its message.
//!
//! ```
//! use elbo::ErrorKind;
//! use elbo::recipe::Layers;
//!
//! let error = Layers::from_recipe("mnist-bc").unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::Usage);
//! assert_eq!(error.help(), "did you mean `mnist-bce`?");
//! ```

use std::any::Any;
use std::borrow::Cow;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::text::{cut, one_line};

/// What kind of trouble it is. The `elbo` command maps each kind to one exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request itself is wrong: a flag, a configuration key, a name that does not exist (exit code 2).
    Usage,
    /// A data file or folder is missing, damaged or not what it claims to be (exit code 3).
    Data,
    /// A model file, checkpoint or run directory is missing, damaged or does not fit (exit code 4).
    Model,
    /// The operating system refused to read or write (exit code 5).
    Io,
    /// Training produced a number that is not finite (exit code 6).
    Diverged,
    /// Something failed that is none of the above (exit code 1).
    Other,
}

/// Everything that can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration value, recipe or argument that cannot be used.
    #[error("{}", shown(&["`", key, "`: expected ", expected, ", found ", found]))]
    Config {
        /// The dotted key or flag, for example `training.batch_size`.
        key: String,
        /// What would have been accepted.
        expected: String,
        /// What was given.
        found: String,
        /// What to do about it.
        help: String,
    },
    /// A data source that cannot be read as what it should be.
    #[error("{}", in_path(path, place, expected, found))]
    Data {
        /// The file or folder.
        path: PathBuf,
        /// Where in it: a byte offset, a field, an image index.
        place: String,
        /// What a good file has there.
        expected: String,
        /// What this one has.
        found: String,
        /// What to do about it.
        help: String,
    },
    /// A checkpoint, weight file or run directory that cannot be used.
    #[error("{}", in_path(path, place, expected, found))]
    Model {
        /// The file or directory.
        path: PathBuf,
        /// Where in it: a tensor name, a field of the header, a key of the configuration.
        place: String,
        /// What would have fitted.
        expected: String,
        /// What is there.
        found: String,
        /// What to do about it.
        help: String,
    },
    /// Something was asked of a trained model that it cannot do.
    #[error("{}", shown(&["`", wanted_by, "`: expected a run that ", wanted, ", found ", found]))]
    Unsupported {
        /// What asked: a command, a metric, an endpoint.
        wanted_by: String,
        /// The missing capability, as "a run that ...".
        wanted: String,
        /// The run, its model, and what that can do.
        found: String,
        /// What to do about it.
        help: String,
    },
    /// The operating system refused.
    #[error("{}", shown(&[&path.to_string_lossy(), ": cannot ", action, ": ", &source.to_string()]))]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was being done, as a verb: `read`, `create`, `rename`.
        action: &'static str,
        /// The system's own words.
        #[source]
        source: io::Error,
    },
    /// A loss or gradient that is not finite. The last good checkpoint is untouched.
    #[error("training diverged at epoch {epoch}, step {step}: {term} is {value}{}", first_tensor(tensor))]
    Diverged {
        /// Epoch, counted from 1.
        epoch: usize,
        /// Optimiser step within the whole run, counted from 1.
        step: usize,
        /// The first term found not finite: `recon`, `kl`, `loss` or `gradient`.
        term: String,
        /// Its value: NaN or an infinity.
        value: f32,
        /// The first parameter (in file order) that holds a non-finite weight or gradient, if one does.
        tensor: Option<String>,
    },
    /// A network transfer failed.
    #[error("{}", shown(&["cannot download ", url, ": ", message]))]
    Download {
        /// The address asked.
        url: String,
        /// What the transfer said.
        message: String,
        /// What to do about it.
        help: String,
    },
    /// Somebody asked to stop before there was a result.
    #[error("interrupted")]
    Interrupted,
    /// The program contradicts itself: a panic, on whichever thread. What was saved before is sound.
    #[error("{}", shown(&["internal error: ", message]))]
    Internal {
        /// The panic's message.
        message: String,
        /// What to do about it.
        help: String,
    },
}

/// The cure for a run directory with something in it that no run has.
const OWN_FILES: &str = "a run is a folder of plain files and folders, none of them endless; if you trust what is there, put a copy in its place, else remove it";

/// Something in the place of a file or folder that is not touched, inside an [`io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("expected {expected}, found {found}")]
pub(crate) struct Refused {
    path: PathBuf,
    expected: String,
    found: String,
}

impl Refused {
    pub(crate) fn of(path: &Path, expected: impl Into<String>, found: impl Into<String>) -> io::Error {
        let refused = Self { path: path.to_owned(), expected: expected.into(), found: found.into() };
        io::Error::new(io::ErrorKind::InvalidInput, refused)
    }
}

/// Longest message in characters that is shown whole; of a longer one, each part is cut to [`MAX_PART`].
const MAX_MESSAGE: usize = 1200;
/// Most characters of one part of a message that is too long.
const MAX_PART: usize = 240;
/// Most characters of a help.
const MAX_HELP: usize = 900;

/// A message of parts that may come from a file: nothing in it steers a terminal, and it ends. This is the one place
/// where messages of errors are made.
fn shown(parts: &[&str]) -> String {
    let whole = parts.concat();
    match whole.chars().nth(MAX_MESSAGE) {
        None => one_line(&whole).into_owned(),
        // Escapes are longer than what they stand for, so they are cut with it.
        Some(_) => parts.iter().map(|part| cut(&one_line(part), MAX_PART).into_owned()).collect(),
    }
}

fn in_path(path: &Path, place: &str, expected: &str, found: &str) -> String {
    shown(&[&path.to_string_lossy(), ": ", place, ": expected ", expected, ", found ", found])
}

/// A help that is fit to be shown.
fn clean(help: impl Into<String>) -> String {
    let help = help.into();
    match (one_line(&help), help.len() > MAX_HELP) {
        (Cow::Borrowed(_), false) => help,
        (clean, _) => cut(&clean, MAX_HELP).into_owned(),
    }
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".into())
}

fn first_tensor(tensor: &Option<String>) -> String {
    tensor.as_ref().map(|name| format!(" (first non-finite tensor: `{name}`)")).unwrap_or_default()
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A [`Error::Config`] from its four parts.
    pub fn config(
        key: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self::Config { key: key.into(), expected: expected.into(), found: found.into(), help: clean(help) }
    }

    /// A [`Error::Data`] from its five parts.
    pub fn data(
        path: impl AsRef<Path>,
        place: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self::Data {
            path: path.as_ref().to_owned(),
            place: place.into(),
            expected: expected.into(),
            found: found.into(),
            help: clean(help),
        }
    }

    /// A [`Error::Model`] from its five parts.
    pub fn model(
        path: impl AsRef<Path>,
        place: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self::Model {
            path: path.as_ref().to_owned(),
            place: place.into(),
            expected: expected.into(),
            found: found.into(),
            help: clean(help),
        }
    }

    /// A closure for `map_err` that adds path and action to an [`io::Error`]. What was refused before it was read or written, a link in
    /// the place of a file of a run, becomes an [`Error::Model`].
    pub fn io(path: impl AsRef<Path>, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| match source.get_ref().and_then(|inner| inner.downcast_ref::<Refused>()) {
            Some(Refused { path, expected, found }) => Self::model(path, "file", expected, found, OWN_FILES),
            None => Self::Io { path, action, source },
        }
    }

    /// Runs `work`; a panic in it, on this thread or on one that works for it, becomes [`Error::Internal`].
    ///
    /// What `work` was changing may be left half changed: drop it.
    ///
    /// # Errors
    /// Those of `work`, and the panic.
    ///
    /// ```
    /// use elbo::{Error, ErrorKind};
    ///
    /// # std::panic::set_hook(Box::new(|_| {}));
    /// let outcome: elbo::Result<()> = Error::catch(|| panic!("seven is not even"));
    /// let error = outcome.unwrap_err();
    /// assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Other, "internal error: seven is not even"));
    /// ```
    pub fn catch<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
            let help = "this is a mistake in elbo, not in your input: please report the command and this message; what was saved \
                        before, if anything, is sound, and `elbo resume` continues from it";
            Err(Self::Internal { message: message_of(payload.as_ref()), help: help.into() })
        })
    }

    /// What kind of trouble this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config { .. } | Self::Unsupported { .. } => ErrorKind::Usage,
            Self::Data { .. } | Self::Download { .. } => ErrorKind::Data,
            Self::Model { .. } => ErrorKind::Model,
            Self::Io { .. } => ErrorKind::Io,
            Self::Diverged { .. } => ErrorKind::Diverged,
            Self::Internal { .. } | Self::Interrupted => ErrorKind::Other,
        }
    }

    /// The file or directory concerned, where there is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Data { path, .. } | Self::Model { path, .. } | Self::Io { path, .. } => Some(path),
            Self::Config { .. }
            | Self::Unsupported { .. }
            | Self::Diverged { .. }
            | Self::Download { .. }
            | Self::Internal { .. }
            | Self::Interrupted => None,
        }
    }

    /// What to do about it, in one or two sentences.
    pub fn help(&self) -> &str {
        match self {
            Self::Config { help, .. }
            | Self::Data { help, .. }
            | Self::Model { help, .. }
            | Self::Unsupported { help, .. }
            | Self::Download { help, .. }
            | Self::Internal { help, .. } => help,
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => "check the path for a typing mistake",
                io::ErrorKind::PermissionDenied => "check the permissions of the file and of its folder",
                io::ErrorKind::StorageFull => {
                    "free some disk space, then `elbo resume` continues from the last checkpoint"
                }
                _ => "see the system's message above",
            },
            Self::Interrupted => "ask again",
            Self::Diverged { .. } => {
                "train again with a lower learning rate (`--set optimizer.lr=1e-4`) or with clipped gradients \
                 (`--set optimizer.clip_norm=1.0`); what was saved before, if anything, is sound and kept"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_place_expectation_and_finding() {
        let error = Error::data("a.idx", "bytes 0..4", "magic 2051", "magic 2049", "give the image file");
        assert_eq!(error.to_string(), "a.idx: bytes 0..4: expected magic 2051, found magic 2049");
        assert_eq!(error.kind(), ErrorKind::Data);
        assert_eq!(error.path(), Some(Path::new("a.idx")));
        assert_eq!(error.help(), "give the image file");
    }

    #[test]
    fn a_message_steers_no_terminal_and_ends() {
        let escape = "\u{1b}]0;owned\u{7}\u{1b}[31m\u{9b}2J\u{202e}";
        let endless = "[]".repeat(400_000) + escape;
        for found in [escape, &endless] {
            let errors = [
                Error::config(found, found, found, found),
                Error::data(found, found, found, found, found),
                Error::model(found, found, found, found, found),
                Error::io(found, "read")(io::Error::other(found)),
                Error::Download { url: found.into(), message: found.into(), help: String::new() },
                Error::Internal { message: found.into(), help: String::new() },
            ];
            for error in errors {
                let text = format!("{error}{}", error.help());
                assert!(!text.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}']), "{text:?}");
                assert!(text.len() < 2048, "{} bytes", text.len());
            }
        }
        let parts = Error::data("t.csv", "column `b\u{1b}`", "a number", "`x`", "rename `b\u{1b}`");
        assert_eq!(parts.to_string(), "t.csv: column `b\\u{1b}`: expected a number, found `x`");
        assert_eq!(parts.help(), "rename `b\\u{1b}`");
    }

    #[test]
    fn divergence_names_step_term_and_tensor() {
        let error = Error::Diverged {
            epoch: 2,
            step: 17,
            term: "kl".into(),
            value: f32::INFINITY,
            tensor: Some("log_var.weight".into()),
        };
        assert_eq!(
            error.to_string(),
            "training diverged at epoch 2, step 17: kl is inf (first non-finite tensor: `log_var.weight`)"
        );
    }
}
