//! `elbo eval`: every group of metrics by name, what it refuses, and that equal seeds give equal answers.

use serde_json::Value;

use crate::support::{Folder, keys};

#[track_caller]
fn value(answer: &Value, name: &str) -> f64 {
    let metric = &answer["metrics"][name];
    metric["value"].as_f64().unwrap_or_else(|| panic!("`{name}` has a number: {answer}"))
}

#[test]
fn costly_metrics_come_when_they_are_named_and_say_what_they_are() {
    let folder = Folder::new();
    folder.train("run", "").done();
    let plain = folder.run("eval run --json").done().json();
    let default = ["active_units", "bits_per_dim", "elbo", "kl", "loss", "recon"];
    assert_eq!(keys(&plain["metrics"]), default);
    assert!(plain["findings"].is_array());

    let line = "eval run --metrics likelihood,information,kl,elbo --k 40 --limit 30 --json";
    let found = folder.run(line).done().json();
    assert_eq!(found["n"], 30);
    assert_eq!(found["metrics"]["nll_iw"]["k"], 40);
    // The bound with 40 samples is no worse than the ELBO, but for the noise of 30 images.
    assert!(value(&found, "nll_iw") < -value(&found, "elbo") + 1.0, "{found}");
    assert!((1.0..=40.0).contains(&value(&found, "ess")), "{found}");
    let parts = ["mutual_information", "total_correlation", "dimension_wise_kl"].map(|name| value(&found, name));
    assert!((parts.iter().sum::<f64>() - value(&found, "kl_sampled")).abs() < 1e-9, "{found}");
    let error = found["metrics"]["kl_sampled"]["stderr"].as_f64().unwrap();
    assert!((value(&found, "kl_sampled") - value(&found, "kl")).abs() < 5.0 * error + 1e-3, "{found}");
    // The same again, on two threads.
    assert_eq!(folder.run(&format!("{line} --threads 2")).done().json(), found);
    assert_ne!(value(&folder.run(&format!("{line} --seed 5")).done().json(), "nll_iw"), value(&found, "nll_iw"));

    let text = folder.run("eval run --metrics nll_iw --k 3 --limit 5").done().stdout;
    for part in ["nll_iw", "nats per example", "k = 3", "5 images"] {
        assert!(text.contains(part), "`{part}` is not in {text}");
    }
}

#[test]
fn everything_at_once_leaves_out_what_means_nothing_and_says_so() {
    let folder = Folder::new();
    folder.train("run", "").done();
    let all = folder.run("eval run --metrics all --k 5 --samples 40 --json").done();
    let found = all.json();
    for name in ["recon", "ess", "mse", "psnr", "ssim", "ms_ssim", "fid", "kid", "coverage", "linear_probe", "ari"] {
        assert!(value(&found, name).is_finite(), "{name}");
    }
    assert!(value(&found, "linear_probe") > 0.15, "chance is 0.1");
    assert!(found["metrics"]["fid"]["definition"].as_str().unwrap().contains("40 samples"));
    assert!(found["metrics"].get("mig").is_none());
    assert!(all.stderr.contains("left out disentanglement"), "{}", all.stderr);
    let help = folder.run("eval --help").done().stdout;
    for name in ["nll_iw", "mutual_information", "fid", "mig", "linear_probe", "default"] {
        assert!(help.contains(name), "`{name}` is not in {help}");
    }
}

#[test]
fn a_classifier_is_trained_once_and_named_with_its_accuracy() {
    let folder = Folder::new();
    folder.train("run", "").done();
    let line = "eval run --metrics fid,precision --samples 50 --features classifier --json";
    let first = folder.run(line).done().json();
    assert!(first["metrics"]["fid"]["definition"].as_str().unwrap().contains("accuracy 0."), "{first}");
    let kept: Vec<_> = std::fs::read_dir(folder.path("home/classifiers")).unwrap().map(Result::unwrap).collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(folder.run(line).done().json(), first);
    // A damaged one is trained anew.
    std::fs::write(kept[0].path(), "no weights").unwrap();
    assert_eq!(folder.run(line).done().json(), first);
    let pixels = folder.run("eval run --metrics fid --samples 50 --features pixels --json").done().json();
    assert_ne!(value(&pixels, "fid"), value(&first, "fid"));
}

#[test]
fn known_factors_are_scored() {
    let folder = Folder::new();
    let small =
        "--set data.limit=200 --set data.test=0.001 --set data.validation=0 --epochs 1 --set network.hidden=[8]";
    folder.run(&format!("train --data sprites {small} --out run")).done();
    let found = folder.run("eval run --metrics disentanglement --limit 300 --json").done().json();
    assert_eq!(found["metrics"].as_object().unwrap().len(), 7);
    for name in ["mig", "sap", "dci_disentanglement", "factor_vae_score", "beta_vae_score"] {
        assert!((0.0..=1.0).contains(&value(&found, name)), "{name}: {found}");
    }
}

#[test]
fn what_means_nothing_is_refused_where_it_is_asked_for_by_name() {
    let folder = Folder::new();
    folder.train("run", "").done();
    folder.train("ae", "--set model.kind=ae --set model.likelihood=sse").done();
    for (line, parts) in [
        ("eval ae --metrics nll_iw", ["squared errors", "other metrics"]),
        ("eval ae --metrics kl,mutual_information", ["posterior", "other metrics"]),
        ("eval ae --metrics bits_per_dim", ["bits_per_dim", "recon"]),
        ("eval run --metrics mig", ["factors", "--data sprites"]),
        ("eval run --metrics nll_iw --k 0", ["at least 1 sample", "5000"]),
        ("eval run --metrics fid --samples 3", ["--samples", "more than 5"]),
        ("eval run --metrics fid --features clasifier", ["--features", "did you mean `classifier`"]),
        ("eval run --metrics fid --features inception", ["inception:FILE", "docs/evaluation.md"]),
        ("eval run --limit 0", ["--limit", "at least 1"]),
    ] {
        folder.run(line).refused(2, &parts);
    }
    folder.write(
        "rows.csv",
        (0..60).map(|i| format!("{i},{}\n", i * 7 % 11)).fold("a,b\n".into(), |t: String, l| t + &l),
    );
    let table = "train --data rows.csv --epochs 1 --set network.hidden=[4] --set model.latent=1 --out table";
    folder.run(table).done();
    folder.run("eval table --metrics fid").refused(2, &["table", "images"]);
    let found = folder.run("eval table --metrics reconstruction,nll_iw --k 5 --json").done().json();
    assert_eq!(keys(&found["metrics"]), ["mse", "nll_iw"]);
}
