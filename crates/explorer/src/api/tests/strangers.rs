//! Run directories from elsewhere, and those that change while they are served: other runs go on being answered.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::*;

/// A folder with a good run and a copy of it to be spoilt.
fn two_runs() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["good", "evil"] {
        let copied = Command::new("cp").arg("-r").args([path(), folder.path().join(name)]).status().unwrap();
        assert!(copied.success());
    }
    folder
}

fn put(path: &Path, make: impl FnOnce(&Path)) {
    let _ = fs::remove_file(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    make(path);
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

async fn the_good_run_answers(router: &Router) {
    let began = Instant::now();
    let answer = post(router, "/api/runs/good/decode", &json!({ "z": [[0, 0, 0]] })).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn pipes_in_a_run_hold_up_nobody() {
    for name in ["metrics.jsonl", "run.json", "config.toml", "run.lock"] {
        let runs = two_runs();
        put(&runs.path().join("evil").join(name), fifo);
        serving(runs.path(), Limits::default(), |router, _| async move {
            the_good_run_answers(&router).await;
            let listed = get(&router, "/api/runs").await.json();
            let evil = listed.as_array().unwrap().iter().find(|run| run["id"] == "evil").unwrap().clone();
            assert_eq!(evil["status"], "unreadable", "{name}: {evil}");
            assert!(evil["error"].as_str().unwrap().contains("found a pipe"), "{name}: {evil}");
            assert_eq!(get(&router, "/api/runs/evil").await.status, StatusCode::CONFLICT);
        });
    }
}

#[test]
fn a_sampler_that_is_a_pipe_or_a_link_fails_alone() {
    let (runs, outside) = (two_runs(), tempfile::tempdir().unwrap());
    fs::write(outside.path().join("secret"), "private key").unwrap();
    put(&runs.path().join("evil/priors/mixture.json"), fifo);
    put(&runs.path().join("evil/priors/gaussian.json"), |path| symlink(outside.path().join("secret"), path).unwrap());
    serving(runs.path(), Limits::default(), |router, app| async move {
        the_good_run_answers(&router).await;
        app.warm_up().await;
        for sampler in ["mixture", "gaussian"] {
            let answer = post(&router, "/api/runs/evil/sample", &json!({ "n": 1, "sampler": sampler })).await;
            assert_eq!(answer.status, StatusCode::CONFLICT, "{sampler}");
            assert!(!String::from_utf8_lossy(&answer.body).contains("private"));
        }
        the_good_run_answers(&router).await;
        assert_eq!(get(&router, "/readyz").await.status, StatusCode::OK);
    });
}

#[test]
fn no_file_from_outside_a_run_is_sent() {
    let (runs, outside) = (two_runs(), tempfile::tempdir().unwrap());
    let secret = outside.path().join("secret");
    fs::write(&secret, "private key").unwrap();
    fs::write(outside.path().join("epoch-0001.png"), "\u{89}PNG private key").unwrap();
    let (evil, good) = (runs.path().join("evil"), runs.path().join("good"));
    // One picture is a link, one has a second name, and the folder of the other run's is a link.
    put(&evil.join("samples/epoch-0001.png"), |path| symlink(&secret, path).unwrap());
    put(&evil.join("samples/epoch-0002.png"), |path| fs::hard_link(&secret, path).unwrap());
    fs::remove_dir_all(good.join("samples")).unwrap();
    symlink(outside.path(), good.join("samples")).unwrap();
    put(&evil.join("config.toml"), |path| symlink(&secret, path).unwrap());
    serving(runs.path(), Limits::default(), |router, _| async move {
        for address in
            ["evil/pictures/1", "evil/pictures/2", "evil/reconstructions/1", "good/pictures/1", "evil", "evil/metrics"]
        {
            let answer = get(&router, &format!("/api/runs/{address}")).await;
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            assert!([404, 409].contains(&answer.status.as_u16()), "{address}: {}", answer.status);
            assert!(!text.contains("private key"), "{address}: {text}");
        }
    });
}

/// A model is loaded; then the configuration tells of another.
#[test]
fn a_configuration_that_changes_under_its_model_is_a_conflict_until_they_fit() {
    let runs = two_runs();
    let config = runs.path().join("good/config.toml");
    let text = fs::read_to_string(&config).unwrap();
    serving(runs.path(), Limits::default(), |router, app| async move {
        the_good_run_answers(&router).await;
        let changes = [
            text.replace("latent = 3", "latent = 4"),
            text.replace("latent = 3", "latent = 2"),
            text.replace("[24]", "[25]"),
            text.replace("kind = \"vae\"", "kind = \"ae\""),
        ];
        for changed in changes {
            assert_ne!(changed, text);
            fs::write(&config, &changed).unwrap();
            app.catalog.rescan();
            for latent in [2, 3, 4] {
                for count in [1, 2, 3] {
                    let z = vec![vec![0.0; latent]; count];
                    let answer = post(&router, "/api/runs/good/decode", &json!({ "z": z })).await;
                    let fine = [409, 422].contains(&answer.status.as_u16());
                    assert!(fine, "{latent} {count}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
                }
            }
            for address in ["dimensions", "reference"] {
                let status = get(&router, &format!("/api/runs/good/{address}")).await.status;
                assert_eq!(status, StatusCode::CONFLICT, "{address}");
            }
            let sampled = post(&router, "/api/runs/good/sample", &json!({ "n": 2 })).await;
            assert_eq!(sampled.status, StatusCode::CONFLICT);
            fs::write(&config, &text).unwrap();
            app.catalog.rescan();
            the_good_run_answers(&router).await;
        }
        // More epochs are no other model.
        let longer = text.replace("epochs = 2", "epochs = 9");
        assert_ne!(longer, text);
        fs::write(&config, longer).unwrap();
        app.catalog.rescan();
        the_good_run_answers(&router).await;
    });
}

/// A grey PNG of side x side black pixels: little to send, much to decode.
fn large_png(side: u32) -> Vec<u8> {
    let black = vec![0.0f32; side as usize * side as usize];
    let batch = ImageBatch::new(&black, 1, side as usize, side as usize).unwrap();
    let layout = GridLayout { columns: 1, padding: 0, ..Default::default() };
    image_grid::png(&image_grid::image_grid(batch, layout).unwrap()).unwrap()
}

#[test]
fn pictures_that_take_long_stall_nobody_else_and_end_at_the_deadline() {
    let limits = Limits { deadline: Duration::from_millis(1000), ..Limits::default() };
    serving(two_runs().path(), limits, |router, _| async move {
        the_good_run_answers(&router).await;
        let body = json!({ "images": vec![STANDARD.encode(large_png(6000)); 25] });
        let slow: Vec<_> = (0..3)
            .map(|_| {
                let (router, body) = (router.clone(), body.clone());
                tokio::spawn(async move { post(&router, "/api/runs/good/encode", &body).await.status })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(200)).await;
        for _ in 0..5 {
            let began = Instant::now();
            assert_eq!(get(&router, "/healthz").await.status, StatusCode::OK);
            assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
            the_good_run_answers(&router).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let mut late = 0;
        for slow in slow {
            let status = slow.await.unwrap();
            assert!([200, 504].contains(&status.as_u16()), "{status}");
            late += usize::from(status == StatusCode::GATEWAY_TIMEOUT);
        }
        assert!(late > 0, "75 pictures of 36 million pixels in a second");
    });
}

#[test]
fn large_bodies_find_room_or_are_refused() {
    let limits = Limits {
        body_bytes: 1 << 20,
        bodies_bytes: 1 << 20,
        deadline: Duration::from_millis(300),
        body_time: Duration::from_secs(2),
        ..Limits::default()
    };
    serving(two_runs().path(), limits, |router, app| async move {
        let room = app.room.available_permits();
        let taken = app.room.acquire_many(room as u32).await.unwrap();
        let large = json!({ "z": vec![[0.0, 0.0, 0.0]; 1000], "extra": " ".repeat(100_000) });
        // With its length, as a client sends it.
        let ask = |body: Value| {
            let (router, text) = (router.clone(), body.to_string());
            let length = text.len().to_string();
            async move {
                let headers = [("content-length", length.as_str())];
                send(&router, request("POST", "/api/runs/good/decode", &headers, text)).await.status
            }
        };
        assert_eq!(ask(large.clone()).await, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(ask(json!({ "z": [[0, 0, 0]] })).await, StatusCode::OK, "small ones always find room");
        drop(taken);
        assert_eq!(ask(large).await, StatusCode::BAD_REQUEST, "read, and refused for its field");
        assert_eq!(app.room.available_permits(), room);
    });
}

#[test]
fn large_answers_find_room_or_are_not_given() {
    let limits = Limits { answers_bytes: 1 << 20, ..Limits::default() };
    serving(two_runs().path(), limits, |router, app| async move {
        let room = app.answers.available_permits();
        let ask = |n: usize| request("POST", "/api/runs/good/sample", &[], json!({ "n": n }).to_string());
        // Taken by nobody, the first answer keeps its room.
        let first = router.clone().oneshot(ask(512)).await.unwrap();
        assert_eq!((first.status(), app.answers.available_permits()), (StatusCode::OK, 0));
        assert_eq!(send(&router, ask(512)).await.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(send(&router, ask(1)).await.status, StatusCode::OK, "small ones always find room");
        assert_eq!(get(&router, "/healthz").await.status, StatusCode::OK);
        assert!(to_bytes(first.into_body(), 1 << 28).await.unwrap().len() > 1 << 20);
        assert_eq!(app.answers.available_permits(), room);
        assert_eq!(send(&router, ask(512)).await.status, StatusCode::OK);
    });
}

#[test]
fn a_worker_that_is_stuck_is_not_ready() {
    let limits = Limits { deadline: Duration::from_millis(100), ..Limits::default() };
    serving(two_runs().path(), limits, |router, app| async move {
        app.warm_up().await;
        assert_eq!(get(&router, "/readyz").await.status, StatusCode::OK);
        let (release, held) = std::sync::mpsc::channel::<()>();
        let stuck = Arc::clone(&app);
        let work = tokio::spawn(async move { stuck.worker.call(move |_| Ok(held.recv().is_ok())).await });
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(get(&router, "/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(get(&router, "/healthz").await.status, StatusCode::OK);
        release.send(()).unwrap();
        let _ = work.await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(get(&router, "/readyz").await.status, StatusCode::OK);
    });
}
