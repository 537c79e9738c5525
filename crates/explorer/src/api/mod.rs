//! The routes, and what happens to every request before its handler sees it.

mod class;
mod codes;
mod events;
mod examples;
mod json;
mod latent;
mod model;
mod parse;
mod request;
mod response;
mod runs;
mod stop;
#[cfg(test)]
mod tests;

use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};

use crate::App;
use crate::limits::LARGE;
use crate::problem::Problem;
use crate::{assets, door, guard};

/// The description of this interface.
const OPENAPI: &str = include_str!("openapi.json");

/// The interface: path and method of everything but the page. The description is held against this list.
fn routes() -> Vec<(&'static str, &'static str, MethodRouter<App>)> {
    vec![
        ("get", "/healthz", get(|| async { "ok\n" })),
        ("get", "/readyz", get(readiness)),
        ("get", "/metrics", get(metrics)),
        ("get", "/api/openapi.json", get(openapi)),
        ("get", "/api/runs", get(runs::list)),
        ("get", "/api/events", get(events::all)),
        ("get", "/api/runs/{id}", get(runs::detail)),
        ("get", "/api/runs/{id}/metrics", get(runs::history)),
        ("get", "/api/runs/{id}/events", get(events::of_run)),
        ("get", "/api/runs/{id}/pictures/{epoch}", get(runs::picture)),
        ("get", "/api/runs/{id}/reconstructions/{epoch}", get(runs::reconstructions)),
        ("get", "/api/runs/{id}/dimensions", get(latent::dimensions)),
        ("get", "/api/runs/{id}/reference", get(examples::reference)),
        ("get", "/api/runs/{id}/examples/{split}/{index}", get(examples::example)),
        ("get", "/api/runs/{id}/codes", get(codes::describe)),
        ("post", "/api/runs/{id}/codebook", post(codes::codebook)),
        ("post", "/api/runs/{id}/code", post(codes::code)),
        ("post", "/api/runs/{id}/encode", post(model::encode)),
        ("post", "/api/runs/{id}/decode", post(model::decode)),
        ("post", "/api/runs/{id}/reconstruct", post(model::reconstruct)),
        ("post", "/api/runs/{id}/sample", post(model::sample)),
        ("post", "/api/runs/{id}/interpolate", post(model::interpolate)),
        ("post", "/api/runs/{id}/score", post(examples::score)),
        ("post", "/api/runs/{id}/project", post(latent::project)),
        ("post", "/api/runs/{id}/mixture", post(latent::mixture)),
        ("post", "/api/runs/{id}/stop", post(stop::stop)),
    ]
}

/// The whole service.
pub(crate) fn router(app: App) -> Router {
    let mut router = Router::new();
    for (_, path, methods) in routes() {
        router = router.route(path, methods);
    }
    for path in assets::paths() {
        router = router.route(path, get(page));
    }
    router
        .fallback(|| async { Problem::not_found("address") })
        .method_not_allowed_fallback(|method: Method| async move {
            let message = format!("{method} is not for this address");
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", message)
        })
        // The layer below has a limit of its own, and a time.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(app.clone(), collect))
        .layer(middleware::from_fn_with_state(app.clone(), door::pass))
        .layer(middleware::from_fn_with_state(app.clone(), guard::protect))
        .route_layer(middleware::from_fn_with_state(app.clone(), count))
        .with_state(app)
}

/// Reads the body, up to its limit and within its time, before a handler is called: what comes slowly holds up nothing.
async fn collect(State(app): State<App>, request: Request, next: Next) -> Response {
    let limit = app.limits.body_bytes;
    let (parts, body) = request.into_parts();
    let declared = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if declared.is_some_and(|declared: u64| declared > limit as u64) {
        return too_large(limit).into_response();
    }
    if parts.headers.contains_key(header::CONTENT_ENCODING) {
        let message = "bodies are taken as they are: send it without `Content-Encoding`";
        return Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoding", message).into_response();
    }
    // Held until there is an answer. A body that does not say how long it is may become the longest.
    let declared = match parts.headers.contains_key(header::TRANSFER_ENCODING) {
        true => limit,
        false => declared.unwrap_or(0) as usize,
    };
    let units = if declared <= LARGE { 0 } else { declared.div_ceil(LARGE) as u32 };
    let Ok(Ok(_room)) = tokio::time::timeout(app.limits.deadline, app.room.acquire_many(units)).await else {
        return Problem::new(StatusCode::TOO_MANY_REQUESTS, "busy", "too many large requests: try again in a second")
            .into_response();
    };
    let bytes = match tokio::time::timeout(app.limits.body_time, to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) if is_too_long(&error) => return too_large(limit).into_response(),
        Ok(Err(_)) => return Problem::malformed("the body ends too early").into_response(),
        Err(_) => {
            let message = format!("the body has not come within {:.0} s", app.limits.body_time.as_secs_f64());
            return Problem::new(StatusCode::REQUEST_TIMEOUT, "slow_body", message).into_response();
        }
    };
    next.run(Request::from_parts(parts, Body::from(bytes))).await
}

fn too_large(limit: usize) -> Problem {
    Problem { field: Some("body".into()), ..Problem::too_large(format!("`body`: at most {limit} bytes are read")) }
}

/// Whether a body went beyond its limit; axum wraps what says so.
fn is_too_long(error: &axum::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.to_string().contains("length limit") {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Counts by route, so that addresses that do not exist cannot fill the table.
async fn count(State(app): State<App>, path: MatchedPath, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let response = next.run(request).await;
    app.metrics.answered(path.as_str(), response.status().as_u16(), began.elapsed());
    response
}

async fn page(uri: Uri, headers: HeaderMap) -> Response {
    assets::serve(uri.path(), &headers)
}

async fn readiness(State(app): State<App>) -> Response {
    match app.is_ready() {
        true => "ready\n".into_response(),
        false => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "no model has answered yet").into_response()
        }
    }
}

async fn metrics(State(app): State<App>) -> Response {
    let text = app.metrics.text(app.catalog.listed().len());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

/// The bytes of a request's body, read before by [`collect`].
type Content = Bytes;
