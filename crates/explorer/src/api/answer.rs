//! Answers: numbers as JSON, pictures as JSON, bytes, PNG or GIF, by what the client accepts.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use elbo::data::{Columns, ImageShape};
use elbo::generation::Pictures;
use elbo::report::image_grid::{self, GridLayout, ImageBatch};
use serde_json::{Map, Value, json};

use super::json::Json;
use crate::problem::{Problem, shortened};

/// Dimensions of a binary answer, comma-separated.
const SHAPE: HeaderName = HeaderName::from_static("x-elbo-shape");
/// `u8` or `f32` (little endian).
const TYPE: HeaderName = HeaderName::from_static("x-elbo-type");

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    /// `application/octet-stream`.
    Raw,
    Png,
}

impl Format {
    fn of(kind: &str) -> Option<Self> {
        match kind {
            "application/json" | "application/*" | "*/*" => Some(Self::Json),
            "application/octet-stream" => Some(Self::Raw),
            "image/png" | "image/*" => Some(Self::Png),
            _ => None,
        }
    }

    /// The first format the client accepts of those `offered`; the first of them if it does not say.
    pub fn wanted(headers: &HeaderMap, offered: &[Self]) -> Result<Self, Problem> {
        let Some(accept) = headers.get(header::ACCEPT) else { return Ok(offered[0]) };
        let accept = accept.to_str().unwrap_or_default();
        let kinds = accept.split(',').filter_map(|kind| kind.split(';').next()).map(str::trim);
        for kind in kinds {
            match Self::of(kind) {
                Some(_) if kind == "*/*" => return Ok(offered[0]),
                Some(format) if offered.contains(&format) => return Ok(format),
                _ => {}
            }
        }
        let message = format!("nothing of `{}` is offered here", shortened(accept));
        Err(Problem { field: Some("Accept".into()), ..Problem::new(StatusCode::NOT_ACCEPTABLE, "format", message) })
    }
}

/// A JSON object.
pub fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// Pictures, with further fields for JSON.
pub fn pictures(
    format: Format,
    pictures: &Pictures,
    columns: Option<&Columns>,
    fields: Map<String, Value>,
) -> Result<Response, Problem> {
    let ImageShape { channels, height, width } = pictures.shape;
    if columns.is_some() && format != Format::Json {
        let message = "the run was trained on a table: its rows are no pictures, ask for application/json";
        return Err(Problem { field: Some("Accept".into()), ..Problem::new(StatusCode::NOT_ACCEPTABLE, "format", message) });
    }
    match format {
        Format::Json => {
            let mut fields = fields;
            let images: Vec<&[f32]> = pictures.pixels.chunks_exact(pictures.shape.numel()).collect();
            fields.insert("shape".into(), json!([images.len(), channels, height, width]));
            if let Some(columns) = columns {
                let rows = columns.original(&pictures.pixels);
                fields.insert("columns".into(), json!(columns.names));
                fields.insert("rows".into(), rows.chunks(columns.names.len()).collect());
            }
            fields.insert("images".into(), json!(images));
            Ok(Json(fields).into_response())
        }
        Format::Raw => Ok(raw(&bytes(&pictures.pixels), &[pictures.len(), channels, height, width], "u8")),
        Format::Png => {
            let layout = GridLayout { columns: 0, padding: usize::from(pictures.len() > 1), ..Default::default() };
            let batch = ImageBatch::new(&pictures.pixels, channels, height, width)?;
            let png = image_grid::png(&image_grid::image_grid(batch, layout)?)?;
            Ok(([(header::CONTENT_TYPE, "image/png")], png).into_response())
        }
    }
}

/// Values in [0, 1] as the nearest of 256 levels.
pub fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().map(|value| (value.clamp(0.0, 1.0) * 255.0).round() as u8).collect()
}

/// Numbers as little-endian float32.
pub fn floats(values: &[f32], shape: &[usize]) -> Response {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    raw(&bytes, shape, "f32")
}

fn raw(bytes: &[u8], shape: &[usize], kind: &'static str) -> Response {
    let shape = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (SHAPE, HeaderValue::from_str(&shape).expect("digits and commas")),
        (TYPE, HeaderValue::from_static(kind)),
    ];
    (headers, bytes.to_vec()).into_response()
}
