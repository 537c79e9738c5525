//! What the user reads: results on standard output, errors on standard error, and both as JSON when asked.

use std::io::{self, Write};
use std::process::ExitCode;

use elbo::ErrorKind;
use elbo::text::{cut, lines};
use serde_json::{Value, json};

/// How to talk.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// One JSON object on standard output.
    pub json: bool,
    /// Nothing but errors on standard error.
    pub quiet: bool,
}

impl Context {
    /// Prints a result: `value` as JSON, or `text`.
    pub fn result(self, value: Value, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        match self.json {
            true => print(&with_version(value).to_string()),
            false => print(&text()),
        }
    }

    /// Prints a line on standard error, unless quiet.
    pub fn note(self, text: impl AsRef<str>) {
        if !self.quiet {
            // A closed standard error is no reason to stop training.
            let _ = writeln!(io::stderr(), "{}", lines(text.as_ref()));
        }
    }
}

/// Tells, even when quiet, why weights are not the newest there are.
pub fn warn_of_damage(passed_over: &[elbo::Error]) {
    for error in passed_over {
        let _ = writeln!(io::stderr(), "warning: {error}\n  the checkpoint saved before it is used instead");
    }
}

/// Prints to standard output, control characters spelt out: names in a table may come from a file. A reader that has gone away (`| head`) is no error.
pub fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(io::stdout(), "{}", lines(text.trim_end())) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("cannot write to standard output"))
        }
        _ => Ok(()),
    }
}

fn with_version(value: Value) -> Value {
    let mut object = serde_json::Map::from_iter([("schema_version".to_owned(), json!(1))]);
    if let Value::Object(fields) = value {
        object.extend(fields);
    }
    Value::Object(object)
}

/// Reports a failed command; returns its exit code.
pub fn failure(error: &anyhow::Error, context: Context) -> ExitCode {
    ExitCode::from(failure_code(error, context))
}

/// [`failure`], with the exit code as a number.
pub fn failure_code(error: &anyhow::Error, context: Context) -> u8 {
    let known = error.downcast_ref::<elbo::Error>();
    let (kind, code) = match known {
        Some(error) => code_of(error.kind()),
        None if error.is::<io::Error>() => code_of(ErrorKind::Io),
        None => code_of(ErrorKind::Other),
    };
    let help = known.map(|error| error.help().to_owned()).unwrap_or_default();
    let path = known.and_then(|error| error.path()).map(|path| path.display().to_string());
    let message = known.map_or_else(|| fit(&error.to_string()), in_flags);
    if context.json {
        let object = json!({ "error": { "kind": kind, "message": message, "path": path, "help": help } });
        let _ = print(&with_version(object).to_string());
    }
    let _ = writeln!(io::stderr(), "error: {message}");
    for cause in error.chain().skip(1) {
        // Our own messages already tell their cause.
        let cause = fit(&cause.to_string());
        if !message.contains(&cause) {
            let _ = writeln!(io::stderr(), "caused by: {cause}");
        }
    }
    if !help.is_empty() {
        let _ = writeln!(io::stderr(), "help: {help}");
    }
    code
}

/// A message that the library did not make, without what steers a terminal and not without end.
fn fit(message: &str) -> String {
    cut(&lines(message), 1200).into_owned()
}

/// Keys of the library's errors that are flags here; all others are keys of a recipe or name what they concern.
const FLAGS: [&str; 20] = [
    "by",
    "checkpoint",
    "codes",
    "components",
    "data",
    "device",
    "epochs",
    "false_alarm",
    "features",
    "limit",
    "metrics",
    "n",
    "normal",
    "observation",
    "out",
    "precision",
    "reg_covar",
    "sampler",
    "samples",
    "set",
];

/// The message of a library's error, with the flag in place of the key where there is one.
fn in_flags(error: &elbo::Error) -> String {
    let message = error.to_string();
    match error {
        elbo::Error::Config { key, .. } if FLAGS.contains(&key.as_str()) => {
            message.replacen(&format!("`{key}`"), &format!("`--{}`", key.replace('_', "-")), 1)
        }
        _ => message,
    }
}

fn code_of(kind: ErrorKind) -> (&'static str, u8) {
    match kind {
        ErrorKind::Usage => ("usage", 2),
        ErrorKind::Data => ("data", 3),
        ErrorKind::Model => ("model", 4),
        ErrorKind::Io => ("io", 5),
        ErrorKind::Diverged => ("diverged", 6),
        _ => ("other", 1),
    }
}

/// Reports flags that do not parse; help and version are no errors.
pub fn usage(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind as Kind;
    let shown = matches!(error.kind(), Kind::DisplayHelp | Kind::DisplayVersion);
    // What is no Unicode is seen here too.
    if !shown && std::env::args_os().any(|arg| arg == "--json") {
        let text = error.render().to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        let object =
            json!({ "error": { "kind": "usage", "message": message, "path": null, "help": "see `elbo --help`" } });
        let _ = print(&with_version(object).to_string());
    }
    let _ = error.print();
    ExitCode::from(if shown { 0 } else { 2 })
}
