//! The page: files of `ui/`, part of the binary.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// One file, by the path it is asked for.
struct Asset {
    path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

macro_rules! assets {
    ($($path:literal => $kind:literal, $file:literal;)*) => {
        &[$(Asset { path: $path, kind: $kind, bytes: include_bytes!(concat!("../ui/", $file)) }),*]
    };
}

const ASSETS: &[Asset] = assets! {
    "/" => "text/html; charset=utf-8", "index.html";
    "/ui/style.css" => "text/css; charset=utf-8", "style.css";
    "/ui/icon.svg" => "image/svg+xml", "icon.svg";
    "/ui/app.js" => "text/javascript; charset=utf-8", "app.js";
    "/ui/api.js" => "text/javascript; charset=utf-8", "api.js";
    "/ui/codebook.js" => "text/javascript; charset=utf-8", "codebook.js";
    "/ui/codegrid.js" => "text/javascript; charset=utf-8", "codegrid.js";
    "/ui/compare.js" => "text/javascript; charset=utf-8", "compare.js";
    "/ui/complete.js" => "text/javascript; charset=utf-8", "complete.js";
    "/ui/drawing.js" => "text/javascript; charset=utf-8", "drawing.js";
    "/ui/knobs.js" => "text/javascript; charset=utf-8", "knobs.js";
    "/ui/make.js" => "text/javascript; charset=utf-8", "make.js";
    "/ui/map.js" => "text/javascript; charset=utf-8", "map.js";
    "/ui/needs.js" => "text/javascript; charset=utf-8", "needs.js";
    "/ui/parts.js" => "text/javascript; charset=utf-8", "parts.js";
    "/ui/runs.js" => "text/javascript; charset=utf-8", "runs.js";
    "/ui/theme.js" => "text/javascript; charset=utf-8", "theme.js";
    "/ui/training.js" => "text/javascript; charset=utf-8", "training.js";
    "/ui/try.js" => "text/javascript; charset=utf-8", "try.js";
    "/ui/views.js" => "text/javascript; charset=utf-8", "views.js";
    "/ui/vendor/preact-htm.js" => "text/javascript; charset=utf-8", "vendor/preact-htm.js";
    "/ui/vendor/uplot.js" => "text/javascript; charset=utf-8", "vendor/uplot.js";
    "/ui/vendor/uplot.css" => "text/css; charset=utf-8", "vendor/uplot.css";
};

/// All paths, for the router.
pub(crate) fn paths() -> impl Iterator<Item = &'static str> {
    ASSETS.iter().map(|asset| asset.path)
}

/// The file at `path`. A browser that has this version already is told so.
pub(crate) fn serve(path: &str, headers: &HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.path == path) else {
        return crate::problem::Problem::not_found("page").into_response();
    };
    let tag = etag(asset.bytes);
    let cached = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let (status, body) = match cached {
        true => (StatusCode::NOT_MODIFIED, Body::empty()),
        false => (StatusCode::OK, Body::from(asset.bytes)),
    };
    let tag = HeaderValue::from_str(&tag).expect("hexadecimal digits in quotes");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::ETAG, tag),
    ];
    (status, headers, body).into_response()
}

/// FNV-1a of the content: it only has to differ between versions.
fn etag(bytes: &[u8]) -> String {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("\"{hash:016x}\"")
}
