//! The handlers, without a socket.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use elbo::data::ImageShape;
use elbo::experiment::{Experiment, Trained};
use elbo::generation;
use elbo::recipe::Layers;
use elbo::report::image_grid::{self, GridLayout, ImageBatch};
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
    let mut layers = Layers::from_recipe("digits").unwrap();
    for setting in ["data.count=300", "training.epochs=2", "network.hidden=[24]", "model.latent=3"] {
        layers.set(setting).unwrap();
    }
    let device = elbo::device::choose("cpu").unwrap();
    let path = folder.path().join("small-001");
    let experiment = Experiment::create(layers.build().unwrap(), path, &device, "cpu", &mut |_| {}).unwrap();
    experiment.train(&mut Quiet, &Stop::new()).unwrap();
    folder
});

fn path() -> PathBuf {
    RUNS.path().join("small-001")
}

fn trained() -> Trained {
    Trained::load(path(), None, &elbo::device::choose("cpu").unwrap()).unwrap()
}

fn service(limits: Limits, guard: Guard) -> App {
    let device = elbo::device::choose("cpu").unwrap();
    Service::new(Catalog::new(vec![RUNS.path().to_owned()]), device, limits, guard)
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
fn with_service<F: Future<Output = ()>>(test: impl FnOnce(Router, App) -> F) {
    with_limits(Limits::default(), test);
}

fn with_limits<F: Future<Output = ()>>(limits: Limits, test: impl FnOnce(Router, App) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let app = service(limits, here());
        test(router(Arc::clone(&app)), app).await;
    });
}

fn close(a: &[f32], b: &[f32], tolerance: f32) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance)
}

#[test]
fn a_run_is_listed_and_described() {
    with_service(|router, _| async move {
        let list = get(&router, "/api/runs").await.json();
        assert_eq!((list[0]["id"].as_str(), list[0]["latent"].as_u64()), (Some("small-001"), Some(3)));
        let run = get(&router, "/api/runs/small-001").await.json();
        assert_eq!(run["shape"], json!([1, 28, 28]));
        assert_eq!(run["status"], json!("finished"));
        assert_eq!(run["labels"].as_array().unwrap().len(), 10);
        assert_eq!(run["live"], json!(false));
        assert!(run["config"].as_str().unwrap().contains("latent = 3"));
        let elbo = run["test"]["elbo"].as_f64().unwrap();
        assert!((elbo + run["test"]["recon"].as_f64().unwrap() + run["test"]["kl"].as_f64().unwrap()).abs() < 1e-9);
        let history = get(&router, "/api/runs/small-001/metrics").await.json();
        assert_eq!(history.as_array().unwrap().len(), 2);
        let picture = get(&router, "/api/runs/small-001/pictures/2").await;
        assert_eq!(&picture.body[1..4], b"PNG");
        assert_eq!(get(&router, "/api/runs/small-001/pictures/3").await.status, StatusCode::NOT_FOUND);
    });
}

#[test]
fn decoded_codes_are_the_librarys() {
    with_service(|router, _| async move {
        let (run, z) = (trained(), [0.3f32, -1.0, 2.0, 0.0, 0.0, 0.0]);
        let expected = generation::decode(&run.model, run.shape, &z, &run.device).pixels;
        let path = "/api/runs/small-001/decode";
        let body = json!({ "z": [&z[..3], &z[3..]] });
        let answer = post(&router, path, &body).await;
        assert_eq!(answer.json()["shape"], json!([2, 1, 28, 28]));
        assert!(close(&answer.floats("images"), &expected, 1e-6));
        let accept = |kind| send(&router, request("POST", path, &[("accept", kind)], body.to_string()));
        let raw = accept("application/octet-stream").await;
        assert_eq!((raw.header("x-elbo-shape"), raw.header("x-elbo-type")), ("2,1,28,28", "u8"));
        assert!(raw.body.iter().zip(&expected).all(|(byte, value)| (f32::from(*byte) - 255.0 * value).abs() <= 0.51));
        assert_eq!(&accept("image/png").await.body[1..4], b"PNG");
        assert_eq!(&accept("image/gif").await.body[..6], b"GIF89a");
        assert_eq!(accept("text/html").await.status, StatusCode::NOT_ACCEPTABLE);
        assert_eq!(accept("text/html, */*;q=0.1").await.status, StatusCode::OK);
    });
}

#[test]
fn samples_are_those_of_the_command() {
    with_service(|router, _| async move {
        let run = trained();
        let body = json!({ "n": 5, "seed": 9, "sampler": "normal", "temperature": 0.7 });
        let answer = post(&router, "/api/runs/small-001/sample", &body).await;
        let expected = generation::sample(&run.model, run.shape, 5, 0.7, 9, &run.device).pixels;
        assert!(close(&answer.floats("images"), &expected, 1e-6));
        assert_eq!(answer.floats("z"), generation::sample_codes(3, 5, 0.7, 9));
        let again = post(&router, "/api/runs/small-001/sample", &body).await;
        assert_eq!(again.body, answer.body);
        assert_eq!(post(&router, "/api/runs/small-001/sample", &json!({})).await.json()["shape"][0], json!(64));
    });
}

#[test]
fn walks_reach_both_ends() {
    with_service(|router, _| async move {
        let body = json!({ "a": [1, 0, 0], "b": [0, 1, 0], "steps": 5, "path": "spherical" });
        let z = post(&router, "/api/runs/small-001/interpolate", &body).await.floats("z");
        assert!(close(&z[..3], &[1.0, 0.0, 0.0], 1e-5) && close(&z[12..], &[0.0, 1.0, 0.0], 1e-5));
        assert!((z[6].hypot(z[7]) - 1.0).abs() < 1e-5);
    });
}

#[test]
fn every_way_to_send_an_example_means_the_same() {
    with_service(|router, _| async move {
        let run = trained();
        let split = run.open_data(None).unwrap().test;
        let mut bytes = vec![0u8; 784];
        split.read(4, &mut bytes);
        let values: Vec<f32> = bytes.iter().map(|byte| f32::from(*byte) / 255.0).collect();
        let grid = image_grid::image_grid(
            ImageBatch::new(&bytes, 1, 28, 28).unwrap(),
            GridLayout { padding: 0, ..Default::default() },
        );
        let png = image_grid::png(&grid.unwrap()).unwrap();
        let expected = elbo::evaluation::encode(&run.model, &split.select(&[4]), &run.device);
        let path = "/api/runs/small-001/encode";
        let ways = [
            post(&router, path, &json!({ "indices": [4], "split": "test" })).await,
            post(&router, path, &json!({ "indices": [4] })).await,
            post(&router, path, &json!({ "x": [values] })).await,
            post(&router, path, &json!({ "images": [STANDARD.encode(&png)] })).await,
            send(&router, request("POST", path, &[("content-type", "application/octet-stream")], bytes.clone())).await,
            send(&router, request("POST", path, &[("content-type", "image/png")], png)).await,
        ];
        for (way, answer) in ways.iter().enumerate() {
            assert!(
                close(&answer.floats("mean"), &expected.mean, 1e-5),
                "way {way}: {:?}",
                String::from_utf8_lossy(&answer.body)
            );
            assert!(close(&answer.floats("log_var"), expected.log_var.as_ref().unwrap(), 1e-5), "way {way}");
        }
        let headers = [("content-type", "application/json"), ("accept", "application/octet-stream")];
        let raw = send(&router, request("POST", path, &headers, r#"{"indices": [4, 5]}"#)).await;
        assert_eq!((raw.header("x-elbo-shape"), raw.header("x-elbo-type"), raw.body.len()), ("2,3", "f32", 24));
        let example = send(
            &router,
            request("GET", "/api/runs/small-001/examples/test/4", &[("accept", "application/octet-stream")], ""),
        )
        .await;
        assert_eq!(example.body, bytes);
    });
}

#[test]
fn reconstructions_are_decoded_means() {
    with_service(|router, _| async move {
        let run = trained();
        let split = run.open_data(None).unwrap().test;
        let answer = post(&router, "/api/runs/small-001/reconstruct", &json!({ "indices": [0, 7] })).await;
        let expected = generation::reconstruct(&run.model, &split, &[0, 7], &run.device).pixels;
        assert!(close(&answer.floats("images"), &expected, 1e-5));
        assert!(close(&answer.floats("originals"), &generation::originals(&split, &[0, 7], &run.device).pixels, 1e-6));
    });
}

#[test]
fn strange_examples_score_higher_and_neighbours_are_near() {
    with_service(|router, _| async move {
        let path = "/api/runs/small-001/score";
        let own = post(&router, path, &json!({ "indices": [3], "split": "train", "neighbours": 3 })).await;
        let near = own.json()["neighbours"][0].clone();
        // Of itself, the nearest example is the example.
        assert_eq!((near[0]["index"].as_u64(), near[0]["distance"].as_f64().map(|d| d < 1e-4)), (Some(3), Some(true)));
        assert!(near[1]["distance"].as_f64() <= near[2]["distance"].as_f64());
        let noise: Vec<f32> = (0..784).map(|i| ((i * 7919) % 2) as f32).collect();
        let strange = post(&router, path, &json!({ "x": [noise], "neighbours": 1 })).await;
        assert!(strange.floats("score")[0] > own.floats("score")[0]);
        assert_eq!(strange.floats("share_above"), [0.0]);
        let own_sum = own.floats("recon")[0] + own.floats("kl")[0];
        assert!((own.floats("score")[0] - own_sum).abs() < 1e-3);
        let reference = get(&router, "/api/runs/small-001/reference").await.json();
        let counted: u64 = reference["counts"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum();
        let n = reference["n"].as_u64().unwrap();
        assert!(counted <= n && counted as f64 >= 0.99 * n as f64, "{counted} of {n}");
    });
}

#[test]
fn projections_lead_back_to_their_codes() {
    with_service(|router, _| async move {
        let run = trained();
        let split = run.open_data(None).unwrap().test;
        let codes = elbo::evaluation::encode(&run.model, &split, &run.device).mean;
        let path = "/api/runs/small-001/project";
        let answer = post(&router, path, &json!({ "method": "dims", "dims": [2, 0] })).await;
        let points = answer.floats("points");
        assert!(points.chunks(2).zip(codes.chunks(3)).all(|(p, z)| close(p, &[z[2], z[0]], 1e-5)));
        assert_eq!(answer.json()["labels"].as_array().unwrap().len(), split.len());
        // z = origin + a x + b y, projected, is (a, b).
        let plane = post(&router, path, &json!({ "method": "pca" })).await;
        let axis = |name: &str| plane.floats(name);
        let z: Vec<f32> =
            axis("origin").iter().zip(axis("x")).zip(axis("y")).map(|((o, x), y)| o + 2.0 * x - 0.5 * y).collect();
        let there = post(&router, path, &json!({ "method": "pca", "z": [z] })).await;
        assert!(close(&there.floats("points"), &[2.0, -0.5], 1e-4), "{:?}", there.floats("points"));
        let dimensions = get(&router, "/api/runs/small-001/dimensions").await.json();
        let expected =
            elbo::evaluation::evaluate(&run.model, &split, run.config.loss.target(), 0, &run.device).kl_per_dim;
        for (found, expected) in dimensions["dimensions"].as_array().unwrap().iter().zip(&expected) {
            assert!((found["kl"].as_f64().unwrap() - expected).abs() < 1e-5, "{found}, expected {expected}");
        }
    });
}

/// S3: each is refused with a status of the client's, an object, and no path of the machine.
#[test]
fn bad_requests_are_refused_by_field() {
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let many = format!("{{\"z\": [{}]}}", vec!["[0,0,0]"; 1025].join(","));
    let cases: Vec<(&str, String, Option<&str>)> = vec![
        ("decode", "{".into(), None),
        ("decode", "[]".into(), None),
        ("decode", "null".into(), None),
        ("decode", deep.clone(), None),
        ("decode", format!("{{\"z\": {deep}}}"), None),
        ("decode", "{}".into(), None),
        ("decode", r#"{"z": []}"#.into(), Some("z")),
        ("decode", r#"{"z": [[]]}"#.into(), Some("z[0]")),
        ("decode", r#"{"z": [[0,0,0],[0,0]]}"#.into(), Some("z[1]")),
        ("decode", r#"{"z": [[0,0,0]], "extra": 1}"#.into(), Some("extra")),
        ("decode", r#"{"z": [[0,0,"a"]]}"#.into(), Some("z[0][2]")),
        ("decode", r#"{"z": [[0,0,NaN]]}"#.into(), None),
        ("decode", r#"{"z": [[0,0,1e999]]}"#.into(), None),
        ("decode", r#"{"z": [[0,0,1e30]]}"#.into(), Some("z[0][2]")),
        ("decode", r#"{"z": [[0,0,1e39]]}"#.into(), None),
        ("decode", many, Some("z")),
        ("decode", "{\"z\": [[0,0,0]]} trailing".into(), None),
        ("sample", r#"{"n": 1000000000}"#.into(), Some("n")),
        ("sample", r#"{"n": 0}"#.into(), Some("n")),
        ("sample", r#"{"n": -1}"#.into(), Some("n")),
        ("sample", r#"{"seed": -1}"#.into(), Some("seed")),
        ("sample", r#"{"temperature": -0.1}"#.into(), Some("temperature")),
        ("sample", r#"{"sampler": "../../etc/passwd"}"#.into(), Some("sampler")),
        ("interpolate", r#"{"a": [0,0,0]}"#.into(), None),
        ("interpolate", r#"{"a": [0,0,0], "b": [0,0,0], "steps": 0}"#.into(), Some("steps")),
        ("interpolate", r#"{"a": [0,0,0], "b": [0,0,0], "path": "curly"}"#.into(), Some("path")),
        ("encode", "{}".into(), Some("x")),
        ("encode", r#"{"x": [[1]], "indices": [1]}"#.into(), Some("x")),
        ("encode", r#"{"x": [[1]]}"#.into(), Some("x[0]")),
        ("encode", r#"{"images": ["%%%"]}"#.into(), Some("images[0]")),
        ("encode", r#"{"images": ["AAAA"]}"#.into(), Some("images[0]")),
        ("encode", r#"{"indices": [4000000000]}"#.into(), Some("indices[0]")),
        ("encode", r#"{"indices": [0], "split": "../x"}"#.into(), Some("split")),
        ("score", r#"{"indices": [0], "neighbours": 33}"#.into(), Some("neighbours")),
        ("project", r#"{"method": "magic"}"#.into(), Some("method")),
        ("project", r#"{"dims": [0, 3]}"#.into(), Some("dims[1]")),
    ];
    with_service(|router, _| async move {
        let mut wrong = Vec::new();
        for (route, body, field) in cases {
            let shown: String = body.chars().take(60).collect();
            let path = format!("/api/runs/small-001/{route}");
            let answer = send(&router, request("POST", &path, &[("content-type", "application/json")], body)).await;
            let told = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
            let refused = [400, 413, 422].contains(&answer.status.as_u16());
            let clean = told["error"].as_str().is_some_and(|text| !text.contains(&*RUNS.path().to_string_lossy()));
            if !refused
                || !clean
                || told["type"].as_str().is_none()
                || (field.is_some() && told["field"].as_str() != field)
            {
                wrong.push(format!("{route} {shown}: {} {told}", answer.status));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

#[test]
fn a_bomb_of_a_picture_is_refused_before_it_is_decoded() {
    // A PNG of 60,000 x 60,000 pixels, in its header.
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xea\x60\0\0\xea\x60\x08\0\0\0\0".to_vec();
    png.extend([0u8; 64]);
    with_service(|router, _| async move {
        let answer =
            send(&router, request("POST", "/api/runs/small-001/encode", &[("content-type", "image/png")], png)).await;
        assert_eq!(
            (answer.status, answer.json()["field"].clone()),
            (StatusCode::UNPROCESSABLE_ENTITY, json!("body[0]"))
        );
    });
}

/// S2, as far as it does not need a socket.
#[test]
fn bodies_have_a_limit() {
    let limits = Limits { body_bytes: 1000, ..Limits::default() };
    with_limits(limits, |router, _| async move {
        let decode = |headers: &'static [(&str, &str)], body: Vec<u8>| {
            send(&router, request("POST", "/api/runs/small-001/decode", headers, body))
        };
        let padded = |length: usize| {
            let mut body = br#"{"z": [[0,0,0]]}"#.to_vec();
            body.resize(length, b' ');
            body
        };
        assert_eq!(decode(&[], padded(1000)).await.status, StatusCode::OK);
        let refused = decode(&[], padded(1001)).await;
        assert_eq!((refused.status, refused.json()["field"].clone()), (StatusCode::PAYLOAD_TOO_LARGE, json!("body")));
        assert_eq!(
            decode(&[("content-length", "10000000000")], Vec::new()).await.status,
            StatusCode::PAYLOAD_TOO_LARGE
        );
        assert_eq!(
            decode(&[("content-encoding", "gzip")], vec![0x1f, 0x8b]).await.status,
            StatusCode::UNSUPPORTED_MEDIA_TYPE
        );
    });
}

/// S6: no address and no name leads to a file.
#[test]
fn no_client_text_is_ever_a_path() {
    with_service(|router, _| async move {
        for path in [
            "/../etc/passwd",
            "/ui/../../etc/passwd",
            "/ui/%2e%2e%2f%2e%2e%2fetc/passwd",
            "/ui/..%5c..%5cetc",
            "/ui/style.css%00.js",
            "//etc/passwd",
            "/api/runs/..",
            "/api/runs/%2e%2e%2fsmall-001",
            "/api/runs/..%2f..%2fetc%2fpasswd",
            "/api/runs/%00",
            "/api/runs/small-001/..",
            "/api/runs/small-001/pictures/..%2f..%2frun.json",
            "/api/runs/small-001/examples/..%2f/0",
            "/api/runs/small-001/examples/test/-1",
            "/api/nothing",
            "/ui/",
        ] {
            let answer = get(&router, path).await;
            assert!([400, 404, 422].contains(&answer.status.as_u16()), "{path}: {}", answer.status);
            assert!(answer.json()["error"].is_string(), "{path}");
        }
        let delete = send(&router, request("DELETE", "/api/runs/small-001", &[], "")).await;
        assert_eq!((delete.status, delete.json()["type"].clone()), (StatusCode::METHOD_NOT_ALLOWED, json!("method")));
        assert_eq!(get(&router, "/api/runs/small-001/decode").await.status, StatusCode::METHOD_NOT_ALLOWED);
        for (host, status) in [("evil.example", 400), ("127.0.0.1.evil.example:7878", 400), ("localhost:7878", 200)] {
            assert_eq!(
                send(&router, request("GET", "/api/runs", &[("host", host)], "")).await.status.as_u16(),
                status,
                "{host}"
            );
        }
        let foreign =
            send(&router, request("POST", "/api/runs/small-001/stop", &[("origin", "http://evil.example")], "")).await;
        assert_eq!((foreign.status, foreign.json()["type"].clone()), (StatusCode::FORBIDDEN, json!("origin")));
        let own =
            send(&router, request("POST", "/api/runs/small-001/stop", &[("origin", "http://127.0.0.1:7878")], ""))
                .await;
        assert_eq!(own.status, StatusCode::CONFLICT, "nobody trains it");
    });
}

#[test]
fn a_token_is_asked_for_where_there_is_one() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let guard = Guard { token: Some("correct-horse".into()), loopback: false };
        let router = router(service(Limits::default(), guard));
        let with = |headers: Vec<(&'static str, &'static str)>, path: &'static str| {
            let router = router.clone();
            async move { send(&router, request("GET", path, &headers, "")).await }
        };
        assert_eq!(with(vec![], "/api/runs").await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(
            with(vec![("authorization", "Bearer wrong-horse1")], "/api/runs").await.status,
            StatusCode::UNAUTHORIZED
        );
        assert_eq!(with(vec![("authorization", "Bearer correct-horse")], "/api/runs").await.status, StatusCode::OK);
        assert_eq!(with(vec![("host", "machine.lan")], "/healthz").await.status, StatusCode::OK);
        let sign_in = with(vec![], "/?token=correct-horse").await;
        assert_eq!((sign_in.status, sign_in.header("location")), (StatusCode::SEE_OTHER, "/"));
        assert!(
            sign_in.header("set-cookie").starts_with("elbo_token=correct-horse; Path=/; HttpOnly; SameSite=Strict")
        );
        assert_eq!(with(vec![("cookie", "a=b; elbo_token=correct-horse")], "/").await.status, StatusCode::OK);
        assert_eq!(with(vec![], "/?token=wrong").await.status, StatusCode::UNAUTHORIZED);
    });
}

#[test]
fn every_answer_carries_the_security_headers() {
    with_service(|router, _| async move {
        for path in ["/", "/ui/app.js", "/api/runs", "/nothing", "/healthz"] {
            let answer = get(&router, path).await;
            let policy = answer.header("content-security-policy");
            assert!(policy.contains("script-src 'self';") && policy.contains("default-src 'none'"), "{path}: {policy}");
            assert!(!policy.contains("unsafe"), "{policy}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        }
        let page = get(&router, "/").await;
        assert!(String::from_utf8_lossy(&page.body).contains("<div id=\"app\">"));
        let tag = page.header("etag").to_owned();
        let again = send(&router, request("GET", "/", &[("if-none-match", &tag)], "")).await;
        assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));
    });
}

#[test]
fn the_description_is_complete() {
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    let described: Vec<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| methods.as_object().unwrap().keys().map(|method| (method.clone(), path.clone())))
        .collect();
    let mut routed: Vec<(String, String)> =
        routes().iter().map(|(method, path, _)| ((*method).into(), (*path).into())).collect();
    routed.sort_by(|a, b| (&a.1, &a.0).cmp(&(&b.1, &b.0)));
    let mut described = described;
    described.sort_by(|a, b| (&a.1, &a.0).cmp(&(&b.1, &b.0)));
    assert_eq!(described, routed);
    // Every reference leads somewhere.
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
    // A run has exactly the fields that are described.
    with_service(|router, _| async move {
        let run = get(&router, "/api/runs").await.json()[0].clone();
        let fields: Vec<&String> = run.as_object().unwrap().keys().collect();
        let told: Vec<&String> =
            document["components"]["schemas"]["Summary"]["properties"].as_object().unwrap().keys().collect();
        let (mut fields, mut told) = (fields, told);
        fields.sort();
        told.sort();
        assert_eq!(fields, told);
    });
}

#[test]
fn vendored_files_are_the_ones_written_down() {
    use sha2::{Digest, Sha256};
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("ui/vendor");
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    for name in ["preact-htm.js", "uplot.js", "uplot.css"] {
        let hash = Sha256::digest(std::fs::read(folder.join(name)).unwrap());
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let line = readme.lines().find(|line| line.starts_with(&format!("| `{name}`"))).unwrap();
        assert!(line.contains(&hash), "{name} has the sha256 {hash}");
    }
}

/// The page names only files that are served.
#[test]
fn every_file_the_page_asks_for_is_there() {
    with_service(|router, _| async move {
        for asset in crate::assets::paths() {
            let answer = get(&router, asset).await;
            assert_eq!(answer.status, StatusCode::OK, "{asset}");
            if asset.contains("vendor") {
                continue;
            }
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            for path in text.split('"').filter(|part| part.starts_with("/ui/") && part.contains('.')) {
                assert_eq!(get(&router, path).await.status, StatusCode::OK, "{asset} asks for {path}");
            }
            assert!(
                !text.contains("https://") && !text.contains("http://") || asset.ends_with(".svg"),
                "{asset} names another host"
            );
        }
    });
}

#[test]
fn events_begin_with_the_state_and_follow_changes() {
    with_service(|router, app| async move {
        let response = router.clone().oneshot(request("GET", "/api/runs/small-001/events", &[], "")).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut body = response.into_body();
        let mut next = async || {
            let frame =
                std::future::poll_fn(|context| hyper::body::Body::poll_frame(std::pin::Pin::new(&mut body), context));
            let frame = tokio::time::timeout(Duration::from_secs(5), frame).await.expect("an event").unwrap().unwrap();
            String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
        };
        assert_eq!(next().await, ": listening\n\n");
        assert!(next().await.contains("\"id\":\"small-001\""));
        let run = app.run("small-001").unwrap();
        app.changes.send(Arc::clone(&run)).unwrap();
        assert!(next().await.starts_with("event: run\ndata: {"));
    });
}

/// S5: what is too much is refused at once, and forgotten at once.
#[test]
fn a_full_queue_refuses_and_recovers() {
    let limits = Limits { queue: 4, ..Limits::default() };
    with_limits(limits, |router, app| async move {
        let (begun, wait) = std::sync::mpsc::channel();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let blocker = {
            let app = Arc::clone(&app);
            tokio::spawn(async move {
                app.worker
                    .call(move |_| {
                        begun.send(()).unwrap();
                        let _ = held.recv();
                        Ok(())
                    })
                    .await
            })
        };
        tokio::task::spawn_blocking(move || wait.recv().unwrap()).await.unwrap();
        let waiting: Vec<_> = (0..4)
            .map(|_| {
                let router = router.clone();
                tokio::spawn(
                    async move { post(&router, "/api/runs/small-001/decode", &json!({ "z": [[0, 0, 0]] })).await },
                )
            })
            .collect();
        let began = Instant::now();
        let body = json!({ "z": [[0, 0, 0]] });
        let refused = loop {
            let answer = post(&router, "/api/runs/small-001/decode", &body);
            match tokio::time::timeout(Duration::from_millis(200), answer).await {
                Ok(answer) => break answer,
                // It was among the four that wait.
                Err(_) => assert!(began.elapsed() < Duration::from_secs(5)),
            }
        };
        assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "1"));
        assert_eq!(refused.json()["type"], json!("busy"));
        release.send(()).unwrap();
        blocker.await.unwrap().unwrap();
        for answer in waiting {
            let status = answer.await.unwrap().status;
            assert!(status == StatusCode::OK || status == StatusCode::TOO_MANY_REQUESTS, "{status}");
        }
        assert_eq!(
            post(&router, "/api/runs/small-001/decode", &json!({ "z": [[0, 0, 0]] })).await.status,
            StatusCode::OK
        );
    });
}

#[test]
fn late_answers_are_504_and_abandoned_work_is_never_begun() {
    let limits = Limits { deadline: Duration::from_millis(150), ..Limits::default() };
    with_limits(limits, |router, app| async move {
        // Warm, so that loading does not count.
        while post(&router, "/api/runs/small-001/decode", &json!({ "z": [[0, 0, 0]] })).await.status != StatusCode::OK {
        }
        let blocker = Arc::clone(&app);
        let blocked = tokio::spawn(async move {
            blocker
                .worker
                .call(|_| {
                    std::thread::sleep(Duration::from_millis(500));
                    Ok(())
                })
                .await
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        let batches = app.metrics.decoded.load(std::sync::atomic::Ordering::Relaxed);
        let late = post(&router, "/api/runs/small-001/decode", &json!({ "z": [[0, 0, 0]] })).await;
        assert_eq!((late.status, late.json()["type"].clone()), (StatusCode::GATEWAY_TIMEOUT, json!("deadline")));
        assert_eq!(blocked.await.unwrap().unwrap_err().status, StatusCode::GATEWAY_TIMEOUT);
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!(app.metrics.decoded.load(std::sync::atomic::Ordering::Relaxed), batches, "nobody waited for it");
        assert_eq!(
            post(&router, "/api/runs/small-001/decode", &json!({ "z": [[0, 0, 0]] })).await.status,
            StatusCode::OK
        );
    });
}

/// S8.
#[test]
fn a_panic_is_one_answer_and_three_in_a_row_are_not_ready() {
    with_service(|router, app| async move {
        assert_eq!(get(&router, "/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
        app.warm_up().await;
        assert_eq!(get(&router, "/readyz").await.status, StatusCode::OK);
        for round in 0..3 {
            assert_eq!(get(&router, "/readyz").await.status, StatusCode::OK, "after {round} panics");
            let outcome: Result<(), Problem> = app.worker.call(|_| panic!("on purpose")).await;
            assert_eq!(outcome.unwrap_err().status, StatusCode::INTERNAL_SERVER_ERROR);
        }
        assert_eq!(get(&router, "/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(get(&router, "/healthz").await.status, StatusCode::OK);
        // The thread lives on, and good work makes it ready again.
        assert_eq!(
            post(&router, "/api/runs/small-001/decode", &json!({ "z": [[0, 0, 0]] })).await.status,
            StatusCode::OK
        );
        assert_eq!(get(&router, "/readyz").await.status, StatusCode::OK);
        app.close();
        assert_eq!(get(&router, "/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            post(&router, "/api/runs/small-001/decode", &json!({ "z": [[0, 0, 0]] })).await.status,
            StatusCode::SERVICE_UNAVAILABLE
        );
    });
}

/// S4: what is decoded together is what each would have got alone.
#[test]
fn decodes_that_wait_are_done_together_and_belong_to_their_requests() {
    with_service(|router, app| async move {
        let run = trained();
        let codes: Vec<[f32; 3]> = (0..40).map(|i| [i as f32 * 0.1 - 2.0, (i % 7) as f32 - 3.0, 0.5]).collect();
        let hold = Arc::clone(&app);
        let blocker = tokio::spawn(async move {
            hold.worker
                .call(|_| {
                    std::thread::sleep(Duration::from_millis(300));
                    Ok(())
                })
                .await
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        let asked: Vec<_> = codes
            .iter()
            .map(|z| {
                let (router, body) = (router.clone(), json!({ "z": [z] }));
                tokio::spawn(async move { post(&router, "/api/runs/small-001/decode", &body).await })
            })
            .collect();
        blocker.await.unwrap().unwrap();
        for (z, answer) in codes.iter().zip(asked) {
            let alone = generation::decode(&run.model, ImageShape::grey(28, 28), z, &run.device).pixels;
            assert!(close(&answer.await.unwrap().floats("images"), &alone, 2e-6), "{z:?}");
        }
        let count = |counter: &std::sync::atomic::AtomicUsize| counter.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(count(&app.metrics.decoded), 40);
        assert!(count(&app.metrics.batches) <= 3, "{} passes", count(&app.metrics.batches));
    });
}

#[test]
fn requests_are_counted_by_route() {
    with_service(|router, _| async move {
        get(&router, "/api/runs/small-001").await;
        get(&router, "/api/runs/nobody").await;
        let text = String::from_utf8(get(&router, "/metrics").await.body).unwrap();
        assert!(text.contains("elbo_requests_total{route=\"/api/runs/{id}\",status=\"200\"} 1"), "{text}");
        assert!(text.contains("elbo_requests_total{route=\"/api/runs/{id}\",status=\"404\"} 1"), "{text}");
        assert!(!text.contains("nobody"));
    });
}

#[test]
fn every_address_takes_its_own_method_only() {
    with_service(|router, _| async move {
        for (method, path, _) in routes() {
            let path = path
                .replace("{id}", "nobody")
                .replace("{epoch}", "1")
                .replace("{split}", "test")
                .replace("{index}", "0");
            let other = if method == "get" { Method::POST } else { Method::GET };
            let refused = send(&router, request(other.as_str(), &path, &[], "")).await;
            assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED, "{other} {path}");
            if path.ends_with("events") {
                continue; // a stream that has no end to wait for
            }
            let own = send(&router, request(&method.to_uppercase(), &path, &[], "")).await;
            assert_ne!(own.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        }
    });
}
