//! What is refused: bad requests, strangers, and more than can be done.

use super::*;

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
        ("sample", r#"{"truncation": 0}"#.into(), Some("truncation")),
        ("sample", r#"{"truncation": 1e9}"#.into(), Some("truncation")),
        ("mixture", r#"{"sampler": "maf"}"#.into(), Some("sampler")),
        ("mixture", r#"{"dims": [3, 0]}"#.into(), Some("dims[0]")),
        ("mixture", r#"{"method": "magic"}"#.into(), Some("method")),
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
        ("project", r#"{"method": "tsne", "z": [[0,0,0]]}"#.into(), Some("z")),
        ("mixture", r#"{"method": "tsne"}"#.into(), Some("method")),
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
