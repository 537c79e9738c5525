//! Gaussian mixtures of tables and of codes, samplers of a run, and what is said when they are fitted.

use std::fs;

use serde_json::Value;

use crate::support::{Chance, Folder};

/// Sums of twelve uniforms: close to normal.
fn normal(chance: &mut Chance) -> f64 {
    (0..12).map(|_| chance.below(1000) as f64 / 999.0).sum::<f64>() - 6.0
}

/// Two groups, 100 and 300 rows, in columns of very different units.
fn groups() -> String {
    let mut chance = Chance(5);
    let rows = (0..400).map(|i| {
        let (a, b) = (normal(&mut chance), normal(&mut chance));
        let (length, weight) = if i % 4 == 0 { (2.0 * a, 0.5 * b) } else { (30.0 + a, 4.0 + 0.3 * a + b) };
        format!("{},{}\n", 1e6 + 1e3 * length, 1e-3 * weight)
    });
    format!("length,weight\n{}", rows.collect::<String>())
}

fn close(value: &Value, expected: f64, within: f64) {
    let value = value.as_f64().unwrap();
    assert!((value - expected).abs() <= within, "{value} where {expected} is expected");
}

#[test]
fn a_mixture_of_a_table_is_in_its_units() {
    let folder = Folder::new();
    folder.write("groups.csv", groups());
    let line = "--json gmm groups.csv --components 2 --seed 1 --out m.json --plot m.png";
    let json = folder.run(line).done().json();
    let small = usize::from(json["weights"][0].as_f64().unwrap() > 0.5);
    close(&json["weights"][small], 0.25, 1e-3);
    close(&json["means"][small][0], 1e6, 500.0);
    close(&json["means"][1 - small][0], 1e6 + 30e3, 300.0);
    close(&json["means"][1 - small][1], 4e-3, 2e-4);
    close(&json["covariances"][1 - small][0][0], 1e6, 2.5e5);
    close(&json["covariances"][1 - small][0][1], 0.3, 0.15);
    // Entropies of two Gaussians that lie apart, and of the choice between them.
    let entropy = |s: f64| 0.5 * (std::f64::consts::TAU * std::f64::consts::E * s * s).ln();
    let expected = -0.25 * (entropy(2e3) + entropy(0.5e-3)) - 0.75 * (entropy(1e3) + entropy(1e-3))
        + 0.25 * 0.25f64.ln()
        + 0.75 * 0.75f64.ln();
    close(&json["log_likelihood"], expected, 0.1);
    let (n, log_likelihood) = (400.0, json["log_likelihood"].as_f64().unwrap());
    close(&json["bic"], 11.0 * f64::ln(n) - 2.0 * n * log_likelihood, 1e-6);
    close(&json["aic"], 22.0 - 2.0 * n * log_likelihood, 1e-6);
    assert_eq!((json["converged"].as_bool(), json["covariance"].as_str()), (Some(true), Some("full")));
    for key in ["iterations", "n", "components", "seed", "sha256", "columns"] {
        assert!(!json[key].is_null(), "{key} in {json}");
    }
    assert!(fs::read(folder.path("m.png")).unwrap().starts_with(b"\x89PNG"));
    let written: Value = serde_json::from_slice(&fs::read(folder.path("m.json")).unwrap()).unwrap();
    assert_eq!((&written["means"], &written["weights"]), (&json["means"], &json["weights"]));
    assert_eq!(folder.run(line).done().json(), json, "equal seeds, equal numbers");

    for (covariance, shape) in [("diagonal", [2, 2]), ("tied", [2, 2])] {
        let json = folder.run(&format!("--json gmm groups.csv -k 2 --covariance {covariance}")).done().json();
        let covariances = json["covariances"].as_array().unwrap();
        assert_eq!([covariances.len(), covariances[0].as_array().unwrap().len()], shape, "{json}");
        assert!(covariances[0][0].is_number(), "{covariance}: {json}");
    }
}

#[test]
fn a_range_of_components_is_decided_by_its_criterion() {
    let folder = Folder::new();
    folder.write("groups.csv", groups());
    let json = folder.run("--json gmm groups.csv --components 1..4").done().json();
    assert_eq!(json["components"], 2, "{json}");
    let candidates = json["selection"]["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 4);
    let lowest = candidates.iter().map(|candidate| candidate["bic"].as_f64().unwrap()).fold(f64::INFINITY, f64::min);
    assert_eq!(json["bic"].as_f64(), Some(lowest));
    let text = folder.run("gmm groups.csv --components 1..4").done().stdout;
    assert!(text.contains("lowest BIC") && text.contains("nats a row") && text.contains("length"), "{text}");
}

#[test]
fn what_cannot_be_mixed_is_refused() {
    let folder = Folder::new();
    folder.write("groups.csv", "a,b\n1,2\n3,4\n5,6\n");
    for (flags, words) in [
        ("--components 4", "at most the 3 rows"),
        ("--components 0", "1..10"),
        ("--components 5..2", "1..10"),
        ("--components x", "1..10"),
        ("--covariance round", "round"),
        ("--restarts 0", "--restarts"),
        ("--reg-covar=-1", "--reg-covar"),
        ("--plot m.gif", ".png or .svg"),
        ("--out m.toml", ".json"),
        ("--codes mean", "run directory"),
    ] {
        folder.run(&format!("gmm groups.csv {flags}")).refused(2, &[words]);
    }
    folder.run("gmm absent.csv").refused(3, &["absent.csv"]);
    folder.run("gmm digits --components 2").refused(3, &["rows of numbers", "elbo gmm RUN"]);
    folder.run("gmm groups.csv").done();
}

#[test]
fn samplers_are_fitted_once_kept_and_fitted_again_for_other_weights() {
    let folder = Folder::new();
    folder.train("run", "").done();
    let json = folder.run("--json gmm run --components 3 --codes mean --seed 4").done().json();
    assert_eq!((json["components"].as_u64(), json["record"]["codes"].as_str()), (Some(3), Some("mean")));
    let kept = fs::read(folder.path("run/priors/mixture.json")).unwrap();
    let file: Value = serde_json::from_slice(&kept).unwrap();
    assert_eq!((&file["mixture"]["means"], &file["record"]["seed"]), (&json["means"], &serde_json::json!(4)));

    // What `elbo gmm` kept is what is sampled.
    let first = folder.run("sample run --sampler mixture --out a.npy -n 9").done();
    assert!(!first.stderr.contains("fitted"), "{}", first.stderr);
    assert_eq!(fs::read(folder.path("run/priors/mixture.json")).unwrap(), kept);
    folder.run("sample run --sampler mixture --out b.npy -n 9").done();
    folder.run("sample run --out c.npy -n 9").done();
    folder.run("sample run --sampler normal --out d.npy -n 9").done();
    folder.run("sample run --sampler mixture --temperature 0.5 --truncation 1 --out e.npy -n 9").done();
    let read = |name: &str| fs::read(folder.path(name)).unwrap();
    assert_eq!(read("a.npy"), read("b.npy"));
    assert_eq!(read("c.npy"), read("d.npy"));
    assert!(read("a.npy") != read("c.npy") && read("a.npy") != read("e.npy"));

    let said = folder.run("sample run --sampler gaussian --out f.npy -n 2").done().stderr;
    assert!(said.contains("fitted `gaussian` to") && said.contains("training codes (sample)"), "{said}");
    folder.run("resume run --epochs 3").done();
    let said = folder.run("sample run --sampler gaussian --out f.npy -n 2").done().stderr;
    assert!(said.contains("other weights"), "{said}");

    folder.run("sample run --sampler gmm --out f.npy").refused(2, &["--sampler", "mixture"]);
    folder.run("sample run --truncation 0 --out f.npy").refused(2, &["--truncation"]);
    fs::write(folder.path("run/priors/gaussian.json"), "{}").unwrap();
    folder.run("sample run --sampler gaussian --out f.npy").refused(4, &["gaussian.json", "remove the file"]);
}

#[test]
fn an_autoencoder_has_one_code_for_each_example() {
    let folder = Folder::new();
    folder.train("run", "--set model.kind=ae").done();
    let json = folder.run("--json gmm run --components 2").done().json();
    assert_eq!(json["record"]["codes"], "mean");
    folder.run("gmm run --components 2 --codes sample").refused(2, &["--codes", "autoencoder"]);
}

#[test]
fn every_sampler_stands_on_the_page_with_its_distance() {
    let folder = Folder::new();
    folder.train("run", "").done();
    let line =
        "--json priors run --out p.html --samplers normal,gaussian,mixture,maf,two-stage -n 40 --set prior.hidden=[16]";
    let json = folder.run(line).done().json();
    let rows = json["samplers"].as_array().unwrap();
    let names: Vec<_> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["training data", "reconstructions", "normal", "gaussian", "mixture", "maf", "two-stage"]);
    for row in rows {
        assert!(row["frechet"].as_f64().is_some_and(|distance| distance >= 0.0), "{row}");
    }
    assert!(json["feature_space"].as_str().unwrap().contains("principal components"), "{json}");
    let page = fs::read_to_string(folder.path("p.html")).unwrap();
    assert!(names.iter().all(|name| page.contains(name)) && page.contains("data:image/png"));
    for name in ["gaussian.json", "mixture.json", "maf/run.json", "two-stage/run.json"] {
        assert!(folder.path("run/priors").join(name).is_file(), "{name}");
    }
    let again = folder.run(line).done();
    assert!(!again.stderr.contains("fitted"), "{}", again.stderr);
    let distances = |json: &Value| -> Vec<f64> {
        json["samplers"].as_array().unwrap().iter().map(|row| row["frechet"].as_f64().unwrap()).collect()
    };
    assert_eq!(distances(&again.json()), distances(&json), "what was kept is what was fitted");
    folder.run("priors run --samplers gmm").refused(2, &["--sampler"]);
}
