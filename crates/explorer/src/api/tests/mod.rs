//! The handlers, without a socket.

mod answers;
mod codes;
mod families;
mod refusals;
mod service;
#[cfg(unix)]
mod strangers;

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use elbo::generation;
use elbo::priors::SamplerKind;
use elbo::recipe::Layers;
use elbo::report::image_grid::{self, GridLayout, ImageBatch};
use elbo::tasks::{Reading, Run, TrainingRun};
use elbo::training::{Quiet, Stop};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use super::{OPENAPI, router, routes};
use crate::App;
use crate::catalog::Catalog;
use crate::guard::Guard;
use crate::limits::Limits;
use crate::problem::Problem;
use crate::service::Service;

/// A folder with one run of three latent dimensions, trained once for all tests.
static RUNS: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let settings = ["data.count=300", "training.epochs=2", "network.hidden=[24]", "model.latent=3"];
    train(&folder.path().join("small-001"), &settings);
    folder
});

/// Trains the recipe `digits` with these settings.
fn train(path: &Path, settings: &[&str]) {
    let mut layers = Layers::from_recipe("digits").unwrap();
    settings.iter().for_each(|setting| layers.set(setting).unwrap());
    let device = elbo::device::choose("cpu").unwrap();
    let training = TrainingRun::create(layers.build().unwrap(), path, &device, "cpu", &mut |_| {}).unwrap();
    training.train(&mut Quiet, &Stop::new()).unwrap();
}

fn path() -> PathBuf {
    RUNS.path().join("small-001")
}

fn loaded() -> Run {
    Run::open(path(), None, &elbo::device::choose("cpu").unwrap()).unwrap()
}

fn service(limits: Limits, guard: Guard) -> App {
    let device = elbo::device::choose("cpu").unwrap();
    Service::new(Catalog::new(vec![RUNS.path().to_owned()]), device, Reading::default(), limits, guard)
}

fn here() -> Guard {
    Guard { token: None, loopback: true }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&self.body)))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Numbers of a nested list of the answer.
    fn floats(&self, field: &str) -> Vec<f32> {
        fn collect(value: &Value, numbers: &mut Vec<f32>) {
            match value {
                Value::Array(values) => values.iter().for_each(|value| collect(value, numbers)),
                number => numbers.push(number.as_f64().unwrap() as f32),
            }
        }
        let mut numbers = Vec::new();
        collect(&self.json()[field], &mut numbers);
        numbers
    }
}

async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Answer { status: parts.status, headers: parts.headers, body: to_bytes(body, 1 << 28).await.unwrap().to_vec() }
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if headers.iter().all(|(name, _)| *name != "host") {
        request = request.header("host", "127.0.0.1:7878");
    }
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(body.into()).unwrap()
}

async fn get(router: &Router, path: &str) -> Answer {
    send(router, request("GET", path, &[], "")).await
}

async fn post(router: &Router, path: &str, body: &Value) -> Answer {
    send(router, request("POST", path, &[("content-type", "application/json")], body.to_string())).await
}

/// Runs a test with a service of default limits.
/// Serves a folder of runs.
fn serving<F: Future<Output = ()>>(runs: &Path, limits: Limits, test: impl FnOnce(Router, App) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let device = elbo::device::choose("cpu").unwrap();
        let app = Service::new(Catalog::new(vec![runs.to_owned()]), device, Reading::default(), limits, here());
        test(router(Arc::clone(&app)), app).await;
    });
}

fn with_service<F: Future<Output = ()>>(test: impl FnOnce(Router, App) -> F) {
    with_limits(Limits::default(), test);
}

fn with_limits<F: Future<Output = ()>>(limits: Limits, test: impl FnOnce(Router, App) -> F) {
    serving(RUNS.path(), limits, test);
}

fn close(a: &[f32], b: &[f32], tolerance: f32) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance)
}
