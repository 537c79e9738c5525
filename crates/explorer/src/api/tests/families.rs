//! Every family of models at every address, and what only a conditional one is told.

use elbo::evaluation;
use elbo::models::{Capability, KINDS, Kind};

use super::*;
use crate::run_entry::{Listed, RunEntry};

/// Families of models of what one sees; those of codes alone, the priors, are asked through the run whose codes they model.
fn families() -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().filter(|kind| kind.can.contains(&Capability::Observe))
}

/// A folder with a tiny run of each family, named after it.
static FAMILIES: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    for kind in families() {
        // The whole table in one: the recipe's `latent` is no key of every family.
        let own = format!("model={{ kind = \"{}\" }}", kind.name);
        let mut settings = vec!["data.count=200", "training.epochs=1", "network.hidden=[16]", own.as_str()];
        if kind.keys.contains(&"latent") {
            settings.push("model.latent=2");
        }
        train(&folder.path().join(kind.name), &settings);
    }
    folder
});

fn family(kind: &str) -> Run {
    Run::open(FAMILIES.path().join(kind), None, &elbo::device::choose("cpu").unwrap()).unwrap()
}

fn with_families<F: Future<Output = ()>>(test: impl FnOnce(Router, App) -> F) {
    serving(FAMILIES.path(), Limits::default(), test);
}

/// A good request to each address of a run; those of its training and its files ask no model anything.
fn requests(latent: usize) -> Vec<(&'static str, Option<Value>)> {
    let z = vec![0.5; latent];
    let mut requests = vec![("", None), ("/metrics", None), ("/examples/test/0", None), ("/pictures/1", None)];
    requests.extend(asked_of_models(&z));
    requests
}

fn asked_of_models(z: &[f64]) -> Vec<(&'static str, Option<Value>)> {
    vec![
        ("/dimensions", None),
        ("/reference", None),
        ("/codes", None),
        ("/codebook", Some(json!({}))),
        ("/code", Some(json!({ "code": 0 }))),
        ("/encode", Some(json!({ "indices": [0] }))),
        ("/decode", Some(json!({ "z": [z] }))),
        ("/reconstruct", Some(json!({ "indices": [0] }))),
        ("/sample", Some(json!({ "n": 2 }))),
        ("/sample", Some(json!({ "n": 2, "sampler": "gaussian" }))),
        ("/interpolate", Some(json!({ "a": z, "b": z, "steps": 2 }))),
        ("/score", Some(json!({ "indices": [0], "neighbours": 1 }))),
        ("/project", Some(json!({}))),
        ("/mixture", Some(json!({ "sampler": "gaussian" }))),
    ]
}

async fn ask(router: &Router, path: &str, body: &Option<Value>) -> Answer {
    match body {
        Some(body) => post(router, path, body).await,
        None => get(router, path).await,
    }
}

#[test]
fn every_family_answers_every_address_or_says_what_it_cannot_do() {
    with_families(|router, _| async move {
        let mut wrong = Vec::new();
        for kind in families() {
            for (address, body) in requests(2) {
                let answer = ask(&router, &format!("/api/runs/{}{address}", kind.name), &body).await;
                let refused = answer.status == StatusCode::CONFLICT && answer.json()["type"] == json!("capability");
                if !refused && ![StatusCode::OK, StatusCode::ACCEPTED].contains(&answer.status) {
                    let told = String::from_utf8_lossy(&answer.body).into_owned();
                    wrong.push(format!("{} {address}: {} {told}", kind.name, answer.status));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

#[test]
fn what_a_run_cannot_do_is_a_conflict_that_names_it() {
    with_families(|router, app| async move {
        let known = app.run("vae").unwrap();
        for (id, latent) in [("mute", 0), ("symbols", 0)] {
            let mut run = RunEntry { id: id.into(), ..(*known).clone() };
            (run.summary.id, run.summary.name, run.summary.latent) = (id.into(), id.into(), latent);
            if id == "mute" {
                run.summary.can = &[];
            }
            app.catalog.insert(Listed::Run(Arc::new(run)));
            for (address, body) in asked_of_models(&[]) {
                let answer = ask(&router, &format!("/api/runs/{id}{address}"), &body).await;
                let told = answer.json();
                assert_eq!((answer.status, &told["type"]), (StatusCode::CONFLICT, &json!("capability")), "{address}");
                let text = told["error"].as_str().unwrap();
                assert!(text.contains(id) && !text.contains('/'), "{address}: {text}");
            }
            assert_eq!(get(&router, &format!("/api/runs/{id}/metrics")).await.status, StatusCode::OK);
        }
    });
}

#[test]
fn a_run_says_what_it_can_do_and_what_it_reports() {
    with_families(|router, _| async move {
        for kind in families() {
            let run = get(&router, &format!("/api/runs/{}", kind.name)).await.json();
            assert_eq!((&run["can"], &run["kind"]), (&json!(kind.can), &json!(kind.name)));
            let history = get(&router, &format!("/api/runs/{}/metrics", kind.name)).await.json();
            let reported: Vec<&String> = history[0]["train"].as_object().unwrap().keys().collect();
            let terms = run["terms"].as_array().unwrap();
            assert_eq!(reported.len(), terms.len(), "{}", kind.name);
            assert!(terms.iter().all(|term| reported.iter().any(|name| term["name"] == json!(name))), "{run}");
        }
        let run = get(&router, "/api/runs/cvae").await.json();
        assert_eq!((&run["conditional"], run["classes"].as_array().unwrap().len()), (&json!(true), 10));
        assert_eq!(run["can"], json!(["encode", "decode", "prior", "observe", "bound"]));
        assert_eq!(get(&router, "/api/runs/vae").await.json()["conditional"], json!(false));
        assert_eq!(get(&router, "/api/runs/ae").await.json()["can"], json!(["encode", "decode", "observe"]));
    });
}

/// What a run can do is asked of its capabilities, so that a new family needs no line here.
#[test]
fn neither_page_nor_service_knows_a_family_by_name() {
    fn texts(folder: &std::path::Path, found: &mut Vec<(PathBuf, String)>) {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true if path.ends_with("tests") || path.ends_with("vendor") => {}
                true => texts(&path, found),
                false => found.push((path.clone(), std::fs::read_to_string(&path).unwrap())),
            }
        }
    }
    let (home, mut found) = (std::path::Path::new(env!("CARGO_MANIFEST_DIR")), Vec::new());
    ["src", "ui"].iter().for_each(|folder| texts(&home.join(folder), &mut found));
    assert!(found.len() > 30, "{} files", found.len());
    for (path, text) in found {
        for kind in families() {
            let quoted = ["\"", "'", "`"].map(|quote| format!("{quote}{}{quote}", kind.name));
            let named = quoted.iter().find(|name| text.contains(name.as_str()));
            assert_eq!(named, None, "{}", path.display());
        }
    }
}

#[test]
fn samplers_in_a_run_are_listed_once_they_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("small-001");
    answers::copy_folder(&path(), &copy);
    let catalog = Catalog::new(vec![folder.path().to_owned()]);
    let priors = |catalog: &Catalog| catalog.runs()[0].summary.priors.clone();
    assert!(priors(&catalog).is_empty());
    let run = Run::open(&copy, None, &elbo::device::choose("cpu").unwrap()).unwrap();
    run.sampler(&SamplerKind::Gaussian, elbo::tasks::FitSettings::default()).unwrap();
    assert_eq!(catalog.rescan().len(), 1, "a new sampler is a change");
    assert_eq!(priors(&catalog), [SamplerKind::Gaussian]);
}

#[test]
fn a_conditional_run_decodes_the_class_it_is_told() {
    with_families(|router, _| async move {
        let (run, z) = (family("cvae"), [0.4f32, -0.7]);
        let decoder = run.decoder("test").unwrap();
        let expected = |class| decoder.of_class(class).means(&z);
        let decode = async |class: Value| {
            let body = json!({ "z": [z], "class": class });
            post(&router, "/api/runs/cvae/decode", &body).await.floats("images")
        };
        for (class, place) in [(json!("7"), 7), (json!(7), 7), (json!(null), 0), (json!([3, "4"]), 3)] {
            assert!(close(&decode(class.clone()).await, &expected(place), 1e-6), "{class}");
        }
        assert!(!close(&expected(7), &expected(0), 1e-3), "classes differ");
        let body = json!({ "z": [z, z, z], "class": [1, 2] });
        let in_turn = post(&router, "/api/runs/cvae/decode", &body).await.floats("images");
        assert!(close(&in_turn, &[expected(1), expected(2), expected(1)].concat(), 1e-6));
        let body = json!({ "n": 3, "class": ["8", "9"] });
        let sample = post(&router, "/api/runs/cvae/sample", &body).await;
        assert_eq!(sample.json()["class"], json!([8, 9, 8]));
        assert!(close(&sample.floats("images"), &decoder.means_of_classes(&sample.floats("z"), &[8, 9, 8]), 1e-6));
        let body = json!({ "a": z, "b": z, "steps": 1, "class": 5 });
        assert!(close(&post(&router, "/api/runs/cvae/interpolate", &body).await.floats("images"), &expected(5), 1e-5));
    });
}

#[test]
fn examples_are_told_their_own_class_or_the_one_that_is_sent() {
    with_families(|router, _| async move {
        let run = family("cvae");
        let split = run.open_data(None).unwrap().test;
        let own = evaluation::encode(run.model.as_ref(), &split.select(&[0, 5]), &run.device).unwrap();
        let encode = async |body: Value| post(&router, "/api/runs/cvae/encode", &body).await;
        let answer = encode(json!({ "indices": [0, 5] })).await;
        assert!(close(&answer.floats("mean"), &own.mean, 1e-5));
        assert_eq!(answer.json()["class"], json!(own.labels.unwrap()));
        let mut pixels = vec![0u8; 784];
        split.read(5, &mut pixels);
        let values: Vec<f32> = pixels.iter().map(|byte| f32::from(*byte) / 255.0).collect();
        let told = encode(json!({ "indices": [5], "class": "3" })).await;
        assert!(!close(&told.floats("mean"), &own.mean[2..], 1e-4) || split.label(5) == Some(3));
        assert!(close(&encode(json!({ "x": [values], "class": 3 })).await.floats("mean"), &told.floats("mean"), 1e-5));
        let headers = [("content-type", "application/octet-stream")];
        let raw = send(&router, request("POST", "/api/runs/cvae/encode?class=3", &headers, pixels)).await;
        assert!(close(&raw.floats("mean"), &told.floats("mean"), 1e-5));
        let again = post(&router, "/api/runs/cvae/reconstruct", &json!({ "indices": [0, 5] })).await;
        let expected = generation::reconstruct(run.model.as_ref(), &split, &[0, 5], &run.device).unwrap().pixels;
        assert!(close(&again.floats("images"), &expected, 1e-5));
        let score = async |body: Value| post(&router, "/api/runs/cvae/score", &body).await.floats("score")[0];
        assert_ne!(score(json!({ "indices": [5] })).await, score(json!({ "indices": [5], "class": [4] })).await);
    });
}

#[test]
fn classes_that_are_none_are_refused_by_field() {
    with_families(|router, _| async move {
        let cases = [
            ("cvae", json!("eleven"), 422),
            ("cvae", json!(10), 422),
            ("cvae", json!([]), 422),
            ("cvae", json!([1, "eleven"]), 422),
            ("cvae", json!(-1), 400),
            ("cvae", json!(1.5), 400),
            ("cvae", json!({ "a": 1 }), 400),
            ("vae", json!("3"), 422),
        ];
        for (run, class, status) in cases {
            for (address, mut body) in [
                ("decode", json!({ "z": [[0, 0]] })),
                ("sample", json!({})),
                ("interpolate", json!({ "a": [0, 0], "b": [1, 1] })),
                ("encode", json!({ "indices": [0] })),
                ("score", json!({ "indices": [0] })),
            ] {
                body["class"] = class.clone();
                let answer = post(&router, &format!("/api/runs/{run}/{address}"), &body).await;
                let field = answer.json()["field"].clone();
                assert_eq!((answer.status.as_u16(), field), (status, json!("class")), "{run} {address} {class}");
            }
        }
    });
}

/// Requests for different classes of one run that wait together still get their own.
#[test]
fn classes_are_not_mixed_up_in_one_pass() {
    with_families(|router, app| async move {
        let (run, hold) = (family("cvae"), Arc::clone(&app));
        let pause = |_: &mut crate::models::Models| {
            std::thread::sleep(Duration::from_millis(300));
            Ok(())
        };
        let blocker = tokio::spawn(async move { hold.worker.call(pause).await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        let ask = |class: u32| {
            let router = router.clone();
            let body = json!({ "z": [[0.5, 1.0], [0.0, class]], "class": class });
            tokio::spawn(async move { post(&router, "/api/runs/cvae/decode", &body).await })
        };
        let asked: Vec<_> = (0..10).map(ask).collect();
        blocker.await.unwrap().unwrap();
        let decoder = run.decoder("test").unwrap();
        for (class, answer) in asked.into_iter().enumerate() {
            let alone = decoder.of_class(class as u32).means(&[0.5, 1.0, 0.0, class as f32]);
            assert!(close(&answer.await.unwrap().floats("images"), &alone, 2e-6), "{class}");
        }
        assert!(app.metrics.batches.load(std::sync::atomic::Ordering::Relaxed) <= 3);
    });
}
