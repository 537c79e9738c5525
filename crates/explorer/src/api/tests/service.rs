//! The service around the models: the page, the description, the headers, the counters.

use super::*;

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
    let samplers = document.pointer(
        "/paths/~1api~1runs~1{id}~1sample/post/requestBody/content/application~1json/schema/properties/sampler/enum",
    );
    assert_eq!(samplers, Some(&json!(SamplerKind::builtin())));
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
