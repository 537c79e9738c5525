//! Answers: numbers as JSON, pictures as JSON, bytes, PNG or GIF, by what the client accepts.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use elbo::data::{Columns, ImageShape};
use elbo::generation::Pictures;
use elbo::report::image_grid::{self, GridLayout, ImageBatch};
use serde::Serialize;
use serde_json::json;

use super::json::Json;
use crate::problem::{Problem, shortened};

/// Dimensions of a binary answer, comma-separated.
const SHAPE: HeaderName = HeaderName::from_static("x-elbo-shape");
/// `u8` or `f32` (little endian).
const TYPE: HeaderName = HeaderName::from_static("x-elbo-type");

/// Small pictures are enlarged to about this many pixels in an animation.
const GIF_SIDE: usize = 168;
/// How long an animation shows each picture.
const FRAME_MS: u32 = 60;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    /// Bytes, as `application/octet-stream`.
    Raw,
    Png,
    /// An animation, one picture after the other.
    Gif,
}

impl Format {
    fn of(kind: &str) -> Option<Self> {
        match kind {
            "application/json" | "application/*" | "*/*" => Some(Self::Json),
            "application/octet-stream" => Some(Self::Raw),
            "image/png" | "image/*" => Some(Self::Png),
            "image/gif" => Some(Self::Gif),
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

/// What stands beside pictures in JSON.
#[derive(Debug, Default, Serialize)]
pub struct Tables {
    /// Tables of numbers, by name.
    #[serde(flatten)]
    numbers: BTreeMap<&'static str, Table>,
    /// The class of each picture, of a conditional run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    class: Vec<u32>,
    /// The codes of each picture, of a run whose codes are symbols.
    #[serde(skip_serializing_if = "Option::is_none")]
    symbols: Option<Symbols>,
}

impl Tables {
    /// These tables, each with its width, and the class of each picture where there is one.
    pub fn of<const N: usize>(numbers: [(&'static str, Vec<f32>, usize); N], class: Vec<u32>) -> Self {
        let numbers = numbers.into_iter().map(|(name, values, width)| (name, Table { values, width })).collect();
        Self { numbers, class, symbols: None }
    }

    /// The same with the codes of each picture, rows of `width`.
    pub fn with_symbols(self, values: Vec<u16>, width: usize) -> Self {
        Self { symbols: Some(Symbols { values, width }), ..self }
    }

    /// How many numbers there are.
    pub fn len(&self) -> usize {
        let symbols = self.symbols.as_ref().map_or(0, |symbols| symbols.values.len());
        self.numbers.values().map(|table| table.values.len()).sum::<usize>() + symbols
    }
}

/// Codes row after row; in JSON a list of rows.
#[derive(Debug)]
pub struct Symbols {
    pub values: Vec<u16>,
    pub width: usize,
}

impl Serialize for Symbols {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.values.chunks_exact(self.width.max(1)))
    }
}

/// Numbers row after row; in JSON a list of rows.
#[derive(Debug)]
struct Table {
    values: Vec<f32>,
    width: usize,
}

impl Serialize for Table {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        rows(&self.values, self.width).serialize(serializer)
    }
}

/// The classes that a run was told, if it was told any.
pub fn told(classes: &[u32]) -> Option<&[u32]> {
    (!classes.is_empty()).then_some(classes)
}

/// Pictures as JSON. Numbers are written as the float32 they are, in as few digits as tell them.
#[derive(Serialize)]
struct Shown<'a> {
    /// Number of pictures, channels, height, width.
    shape: [usize; 4],
    images: Vec<&'a [f32]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<Vec<&'a [f64]>>,
    #[serde(flatten)]
    tables: &'a Tables,
}

/// Numbers row after row, as rows.
pub fn rows(values: &[f32], width: usize) -> Vec<&[f32]> {
    values.chunks_exact(width.max(1)).collect()
}

/// Pictures, with further tables for JSON.
pub fn pictures(
    format: Format,
    pictures: &Pictures,
    columns: Option<&Columns>,
    tables: &Tables,
) -> Result<Response, Problem> {
    let ImageShape { channels, height, width } = pictures.shape;
    if columns.is_some() && format != Format::Json {
        let message = "the run was trained on a table: its rows are no pictures, ask for application/json";
        return Err(Problem {
            field: Some("Accept".into()),
            ..Problem::new(StatusCode::NOT_ACCEPTABLE, "format", message)
        });
    }
    match format {
        Format::Json => {
            let original = columns.map(|columns| columns.original(&pictures.pixels));
            let across = columns.map_or(1, |columns| columns.names.len());
            let shown = Shown {
                shape: [pictures.len(), channels, height, width],
                images: rows(&pictures.pixels, pictures.shape.numel()),
                columns: columns.map(|columns| columns.names.as_slice()),
                rows: original.as_ref().map(|values| values.chunks(across).collect()),
                tables,
            };
            Ok(Json(shown).into_response())
        }
        Format::Raw => Ok(raw(bytes(&pictures.pixels), &[pictures.len(), channels, height, width], "u8")),
        Format::Png => {
            let layout = GridLayout { columns: 0, padding: usize::from(pictures.len() > 1), ..Default::default() };
            let batch = ImageBatch::new(&pictures.pixels, channels, height, width)?;
            let png = image_grid::png(&image_grid::image_grid(batch, layout)?)?;
            Ok(([(header::CONTENT_TYPE, "image/png")], png).into_response())
        }
        Format::Gif => {
            let scale = (GIF_SIDE / height.max(width).max(1)).clamp(1, 8);
            let layout = GridLayout { columns: 1, padding: 0, scale, ..Default::default() };
            let frames = pictures.pixels.chunks_exact(pictures.shape.numel());
            let frames =
                frames.map(|frame| image_grid::image_grid(ImageBatch::new(frame, channels, height, width)?, layout));
            let gif = image_grid::gif(&frames.collect::<elbo::Result<Vec<_>>>()?, FRAME_MS)?;
            Ok(([(header::CONTENT_TYPE, "image/gif")], gif).into_response())
        }
    }
}

/// Values in [0, 1] as the nearest of 256 levels. (Adding a half and cutting is many values at a time; `round` would be a call for each.)
pub fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().map(|value| (value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8).collect()
}

/// Numbers as little-endian float32.
pub fn floats(values: &[f32], shape: &[usize]) -> Response {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    raw(bytes, shape, "f32")
}

fn raw(bytes: Vec<u8>, shape: &[usize], kind: &'static str) -> Response {
    let shape = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (SHAPE, HeaderValue::from_str(&shape).expect("digits and commas")),
        (TYPE, HeaderValue::from_static(kind)),
    ];
    (headers, bytes).into_response()
}

/// What is not there yet: 202, so that the client asks again.
pub fn computing(what: &str, since: Duration) -> Response {
    let body = Json(json!({ "status": "computing", "what": what, "seconds": since.as_secs_f32() }));
    (StatusCode::ACCEPTED, [(header::RETRY_AFTER, HeaderValue::from_static("1"))], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_nearest_levels() {
        for level in 0..=255u8 {
            let value = f32::from(level) / 255.0;
            assert_eq!(bytes(&[value, value + 0.0019, value - 0.0019]), [level; 3]);
        }
        assert_eq!(bytes(&[-1.0, 2.0, f32::NAN, f32::INFINITY]), [0, 255, 0, 255]);
    }
}
