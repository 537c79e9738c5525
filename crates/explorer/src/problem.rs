//! What went wrong, as a status and a JSON object `{error, type, field}`.

use std::path::Path;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use elbo::{Error, ErrorKind};
use serde_json::json;

use crate::limits::MAX_QUOTED;

/// Why a request is not answered. The text names the field and the limit, and never a path of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub status: StatusCode,
    /// A word for programs.
    pub kind: &'static str,
    pub message: String,
    /// The part of the request that is to blame.
    pub field: Option<String>,
}

impl Problem {
    pub fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into(), field: None }
    }

    /// A value that cannot be used.
    pub fn field(field: impl Into<String>, expected: impl std::fmt::Display, found: impl std::fmt::Display) -> Self {
        let (field, found) = (field.into(), shortened(&found.to_string()));
        let message = format!("`{field}`: expected {expected}, found {found}");
        Self { field: Some(field), ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_value", message) }
    }

    /// A body that cannot be read.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", message)
    }

    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}"))
    }

    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    /// The model that is loaded is not the one that the run's files now tell of.
    pub fn changed() -> Self {
        Self::conflict("the run's configuration and its model do not fit: undo the change, or train the run again")
    }

    /// More requests wait than are let in.
    pub fn busy(queue: usize) -> Self {
        let message = format!("{queue} requests are waiting already: try again in a second");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", message)
    }

    /// The answer would come too late.
    pub fn late(deadline: std::time::Duration) -> Self {
        let message = format!("no answer within {:.1} s: ask for less, or later", deadline.as_secs_f64());
        Self::new(StatusCode::GATEWAY_TIMEOUT, "deadline", message)
    }

    pub fn closing() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "closing", "the service is being stopped")
    }

    /// The program contradicts itself.
    pub fn internal() -> Self {
        let message = "a mistake in elbo, not in the request: please report what was asked";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    /// What the library says of a run or its data. Paths stay out of it.
    pub fn of(error: &Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Usage => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::Data | ErrorKind::Model | ErrorKind::Io => StatusCode::CONFLICT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let (kind, message) = match error {
            Error::Config { key, expected, found, .. } => return Self::field(key, expected, found),
            Error::Data { place, expected, found, .. } => {
                ("data", format!("the run's data cannot be used: {place}: expected {expected}, found {found}"))
            }
            Error::Model { path, place, expected, found, .. } => {
                let file = file_name(path);
                ("model", format!("the run cannot be loaded: {file}: {place}: expected {expected}, found {found}"))
            }
            Error::Io { path, action, source } => {
                ("io", format!("cannot {action} `{}` of the run: {source}", file_name(path)))
            }
            Error::Unsupported { wanted_by, wanted, found, .. } => {
                let message = format!("`{wanted_by}` needs a run that {wanted}: this one is {found}");
                return Self::new(StatusCode::CONFLICT, "capability", message);
            }
            Error::Download { .. } => ("data", "the run's data cannot be downloaded".to_owned()),
            _ => return Self::internal(),
        };
        Self::new(status, kind, message)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::of(&error)
    }
}

/// The last name of a path: where it lies is nobody's business.
fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    shortened(&name.chars().flat_map(char::escape_debug).collect::<String>())
}

/// What a client sent, cut to what a message bears.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.message, "type": self.kind, "field": self.field }).to_string();
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
