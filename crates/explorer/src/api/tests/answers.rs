//! What is answered: the same numbers as the library's.

use elbo::priors::{CodesKind, Draw, Sampler, sampler_codes};
use elbo::projection::{TsneOptions, tsne};
use elbo::tasks::{FitSettings, Reading};

use super::*;
use crate::analysis::Of;
use crate::run_entry::Listed;

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
        assert_eq!((&run["pictures"], &run["reconstructions"]), (&json!(2), &json!(2)));
        let pairs = get(&router, "/api/runs/small-001/reconstructions/1").await;
        assert!(&pairs.body[1..4] == b"PNG" && pairs.body != picture.body);
        let bad = get(&router, "/api/runs/small-001/reconstructions/one").await;
        assert_eq!((bad.status, bad.json()["field"].clone()), (StatusCode::UNPROCESSABLE_ENTITY, json!("epoch")));
    });
}

#[test]
fn decoded_codes_are_the_librarys() {
    with_service(|router, _| async move {
        let (run, z) = (loaded(), [0.3f32, -1.0, 2.0, 0.0, 0.0, 0.0]);
        let expected = generation::decode(&run.decoder("test").unwrap(), &z).pixels;
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
        let run = loaded();
        let body = json!({ "n": 5, "seed": 9, "sampler": "normal", "temperature": 0.7 });
        let answer = post(&router, "/api/runs/small-001/sample", &body).await;
        let expected = generation::sample(&run.decoder("test").unwrap(), 5, 0.7, 9).pixels;
        assert!(close(&answer.floats("images"), &expected, 1e-6));
        assert_eq!(answer.floats("z"), generation::sample_codes(3, 5, 0.7, 9));
        let again = post(&router, "/api/runs/small-001/sample", &body).await;
        assert_eq!(again.body, answer.body);
        assert_eq!(post(&router, "/api/runs/small-001/sample", &json!({})).await.json()["shape"][0], json!(64));
    });
}

/// Fitted to all training codes, for there are fewer than the bound, and again from the same seed: the same samples.
#[test]
fn fitted_samplers_draw_what_the_library_draws() {
    with_service(|router, app| async move {
        let run = loaded();
        let gallery = app.analyses.get(&app.run("small-001").unwrap(), Of::Gallery).await.unwrap();
        let seed = run.config.training.seed;
        let codes = sampler_codes(gallery.codes.clone(), CodesKind::Sample, seed).unwrap();
        for kind in [SamplerKind::Gaussian, SamplerKind::Mixture, SamplerKind::prior("maf")] {
            let expected = Sampler::fit(&kind, &codes, 3, seed, &run.device).unwrap();
            let draw = Draw { count: 6, temperature: 0.8, truncation: Some(1.5), seed: 4 };
            let body = json!({ "n": 6, "seed": 4, "sampler": kind, "temperature": 0.8, "truncation": 1.5 });
            let answer = until_ready(&router, "/api/runs/small-001/sample", &body).await;
            let z = expected.sample(&draw);
            assert!(close(&answer.floats("z"), &z, 1e-5), "{kind}: {:?} and {z:?}", answer.floats("z"));
            let pictures = generation::decode(&run.decoder("test").unwrap(), &z).pixels;
            assert!(close(&answer.floats("images"), &pictures, 1e-5), "{kind}");
        }
        assert!(!path().join("priors").exists(), "a run directory is only read");
    });
}

/// What `elbo sample --sampler` has fitted is used as it is, until the weights change.
#[test]
fn a_stored_sampler_is_taken_from_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("small-001");
    copy_folder(&path(), &copy);
    let device = elbo::device::choose("cpu").unwrap();
    let run = Run::open(&copy, None, &device).unwrap();
    let settings = FitSettings { codes: Some(CodesKind::Mean), seed: 77 };
    let (stored, _) = run.sampler(&SamplerKind::Gaussian, settings).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let catalog = Catalog::new(vec![folder.path().to_owned()]);
        let router = router(Service::new(catalog, device.clone(), Reading::default(), Limits::default(), here()));
        let body = json!({ "n": 3, "seed": 1, "sampler": "gaussian" });
        let z = until_ready(&router, "/api/runs/small-001/sample", &body).await.floats("z");
        assert_eq!(z, stored.sampler.sample(&Draw { count: 3, seed: 1, ..Draw::default() }));
        let body = json!({ "sampler": "gaussian", "dims": [0, 2] });
        let seen = until_ready(&router, "/api/runs/small-001/mixture", &body).await.json();
        assert_eq!((&seen["stored"], &seen["n"]), (&json!(true), &json!(stored.record.n)));
        let Sampler::Gaussian(gaussian) = &stored.sampler else { panic!("another sampler") };
        let covariance = gaussian.covariance_of(0);
        let component = &seen["components"][0];
        assert_eq!(component["mean"], json!([gaussian.means()[0][0], gaussian.means()[0][2]]));
        assert_eq!(component["covariance"][0][1], json!(covariance[0][2]));
        assert_eq!(component["covariance"][1][1], json!(covariance[2][2]));
    });
}

#[test]
fn a_mixture_on_a_plane_has_all_its_weight() {
    with_service(|router, _| async move {
        let seen = until_ready(&router, "/api/runs/small-001/mixture", &json!({ "method": "pca" })).await.json();
        let components = seen["components"].as_array().unwrap();
        let weight: f64 = components.iter().map(|component| component["weight"].as_f64().unwrap()).sum();
        assert!((weight - 1.0).abs() < 1e-9 && components.len() > 1 && seen["stored"] == json!(false), "{seen}");
    });
}

#[test]
fn neighbours_are_laid_out_in_the_background() {
    with_service(|router, _| async move {
        let path = "/api/runs/small-001/project";
        let answer = until_ready(&router, path, &json!({ "method": "tsne" })).await;
        let run = loaded();
        let split = run.open_data(None).unwrap().test;
        let codes = elbo::evaluation::encode(run.model.as_ref(), &split, &run.device).unwrap().mean;
        let rows: Vec<f64> = codes.iter().map(|&value| f64::from(value)).collect();
        let expected = tsne(&rows, 3, &TsneOptions::for_rows(split.len())).unwrap().points.into_flattened();
        assert!(close(&answer.floats("points"), &expected, 1e-3), "as the library lays them out");
        let found = answer.json();
        assert_eq!(found["indices"].as_array().unwrap().len(), split.len());
        assert_eq!((&found["origin"], &found["split"]), (&Value::Null, &json!("test")));
    });
}

/// Asks again while the answer is that it is being computed.
async fn until_ready(router: &Router, path: &str, body: &Value) -> Answer {
    loop {
        let answer = post(router, path, body).await;
        if answer.status != StatusCode::ACCEPTED {
            assert_eq!(answer.status, StatusCode::OK, "{:?}", String::from_utf8_lossy(&answer.body));
            return answer;
        }
        assert_eq!(answer.json()["status"], json!("computing"));
    }
}

pub(super) fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        match from.is_dir() {
            true => copy_folder(&from, &to),
            false => drop(std::fs::copy(from, to).unwrap()),
        }
    }
}

#[test]
fn a_run_that_cannot_be_read_is_shown_and_refused() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("torn");
    copy_folder(&path(), &copy);
    std::fs::write(copy.join("config.toml"), "format = 1\nnonsense = true\n").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let catalog = Catalog::new(vec![folder.path().to_owned()]);
        let device = elbo::device::choose("cpu").unwrap();
        let app = Service::new(catalog, device, Reading::default(), Limits::default(), here());
        let router = router(Arc::clone(&app));
        let list = get(&router, "/api/runs").await.json();
        assert_eq!((&list[0]["id"], &list[0]["status"]), (&json!("torn"), &json!("unreadable")));
        assert!(list[0]["error"].as_str().unwrap().contains("nonsense"), "{list}");
        let refused = get(&router, "/api/runs/torn").await;
        assert_eq!(refused.status, StatusCode::CONFLICT);
        assert!(refused.json()["error"].as_str().unwrap().contains("nonsense"));
        // Put right, it is a run like any other at the next look.
        std::fs::copy(path().join("config.toml"), copy.join("config.toml")).unwrap();
        let found = app.catalog.rescan();
        assert!(matches!(found.as_slice(), [Listed::Run(_)]), "{found:?}");
        assert_eq!(get(&router, "/api/runs/torn").await.status, StatusCode::OK);
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
        let run = loaded();
        let split = run.open_data(None).unwrap().test;
        let mut bytes = vec![0u8; 784];
        split.read(4, &mut bytes);
        let values: Vec<f32> = bytes.iter().map(|byte| f32::from(*byte) / 255.0).collect();
        let grid = image_grid::image_grid(
            ImageBatch::new(&bytes, 1, 28, 28).unwrap(),
            GridLayout { padding: 0, ..Default::default() },
        );
        let png = image_grid::png(&grid.unwrap()).unwrap();
        let expected = elbo::evaluation::encode(run.model.as_ref(), &split.select(&[4]), &run.device).unwrap();
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
        let run = loaded();
        let split = run.open_data(None).unwrap().test;
        let answer = post(&router, "/api/runs/small-001/reconstruct", &json!({ "indices": [0, 7] })).await;
        let expected = generation::reconstruct(run.model.as_ref(), &split, &[0, 7], &run.device).unwrap().pixels;
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
        let run = loaded();
        let split = run.open_data(None).unwrap().test;
        let codes = elbo::evaluation::encode(run.model.as_ref(), &split, &run.device).unwrap().mean;
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
        let expected = elbo::evaluation::evaluate(run.model.as_ref(), &split, 0, &run.device).unwrap().kl_per_dim;
        for (found, expected) in dimensions["dimensions"].as_array().unwrap().iter().zip(&expected) {
            assert!((found["kl"].as_f64().unwrap() - expected).abs() < 1e-5, "{found}, expected {expected}");
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
        app.changes.send(Listed::Run(run)).unwrap();
        assert!(next().await.starts_with("event: run\ndata: {"));
    });
}

/// S4: what is decoded together is what each would have got alone.
#[test]
fn decodes_that_wait_are_done_together_and_belong_to_their_requests() {
    with_service(|router, app| async move {
        let run = loaded();
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
            let alone = generation::decode(&run.decoder("test").unwrap(), z).pixels;
            assert!(close(&answer.await.unwrap().floats("images"), &alone, 2e-6), "{z:?}");
        }
        let count = |counter: &std::sync::atomic::AtomicUsize| counter.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(count(&app.metrics.decoded), 40);
        assert!(count(&app.metrics.batches) <= 3, "{} passes", count(&app.metrics.batches));
    });
}

/// A run whose data were removed still decodes, and its knobs and its map know what it wrote down.
#[test]
fn knobs_and_the_decoded_map_need_no_data() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("set.npy");
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (40, 6, 6), }";
    let padding = " ".repeat((64 - (11 + header.len()) % 64) % 64);
    let length = (header.len() + padding.len() + 1) as u16;
    let pixels: Vec<u8> = (0..40 * 36u32).map(|i| (i * i % 251) as u8).collect();
    let start = [b"\x93NUMPY\x01\x00".as_slice(), &length.to_le_bytes()].concat();
    std::fs::write(&data, [&start[..], header.as_bytes(), padding.as_bytes(), b"\n", &pixels].concat()).unwrap();
    let source = format!("data.source={}", data.display());
    let settings = [source.as_str(), "training.epochs=1", "network.hidden=[8]", "model.latent=3"];
    train(&folder.path().join("gone-001"), &settings);
    std::fs::remove_file(&data).unwrap();
    let device = elbo::device::choose("cpu").unwrap();
    let catalog = Catalog::new(vec![folder.path().to_owned()]);
    let app = Service::new(catalog, device, Reading::default(), Limits::default(), here());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let router = router(Arc::clone(&app));
        let found = get(&router, "/api/runs/gone-001/dimensions").await.json();
        let dimensions = found["dimensions"].as_array().unwrap();
        assert_eq!((dimensions.len(), &found["n"]), (3, &json!(0)), "{found}");
        assert!(dimensions.iter().all(|dimension| dimension["kl"].is_number()), "{found}");
        assert!(found["without_data"].as_str().unwrap().contains("the run's data"), "{found}");
        for body in [json!({ "method": "dims", "dims": [0, 2] }), json!({ "method": "pca" })] {
            let answer = post(&router, "/api/runs/gone-001/project", &body).await;
            assert_eq!(answer.status, StatusCode::OK, "{:?}", String::from_utf8_lossy(&answer.body));
            let plane = answer.json();
            assert_eq!((&plane["points"], plane["origin"].as_array().unwrap().len()), (&json!([]), 3), "{plane}");
        }
        let decoded = post(&router, "/api/runs/gone-001/decode", &json!({ "z": [[0.0, 1.0, 0.0]] })).await;
        assert_eq!(decoded.status, StatusCode::OK);
    });
}
