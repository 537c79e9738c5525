//! `elbo compare` over many runs: metrics of each, and their means against a setting.

use crate::support::Folder;

#[test]
fn metrics_are_averaged_over_seeds_against_a_setting() {
    let folder = Folder::new();
    let mut runs = String::new();
    for (kind, limit, seed) in [("ae", 50, 0), ("ae", 100, 0), ("vae", 50, 0), ("vae", 50, 1), ("vae", 100, 0)] {
        let name = format!("{kind}-{limit}-{seed}");
        folder.train(&name, &format!("--set model.kind={kind} --set data.limit={limit} --seed {seed}")).done();
        runs += &format!(" {name}");
    }
    let line = format!("compare{runs} --by data.limit --metrics regularity,fid --features pixels --samples 40");
    let found = folder.run(&format!("{line} --json")).done().json();
    let run = &found["runs"][2];
    let gap = |run: &serde_json::Value| run["metrics"]["recon_gap"]["value"].as_f64().unwrap();
    let trends = found["trends"].as_array().unwrap();
    assert_eq!(
        trends.iter().map(|t| t["metric"].as_str().unwrap()).collect::<Vec<_>>(),
        ["fid", "recon_gap", "noise_tolerance"]
    );
    assert_eq!(trends[1]["by"], "training examples");
    let lines = trends[1]["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 2, "a line for each kind: {found}");
    let vae = lines.iter().find(|line| line["name"].as_str().unwrap().starts_with("VAE")).unwrap();
    let points = vae["points"].as_array().unwrap();
    assert_eq!((&points[0]["at"], &points[0]["runs"]), (&"50".into(), &2.into()));
    assert_eq!((&points[1]["at"], &points[1]["runs"]), (&"100".into(), &1.into()));
    let mean = 0.5 * (gap(run) + gap(&found["runs"][3]));
    assert!((points[0]["mean"].as_f64().unwrap() - mean).abs() < 1e-9);
    let page = std::fs::read_to_string(folder.path("compare.html")).unwrap();
    assert!(page.contains("By training examples") && page.contains("noise_tolerance"));
    assert_eq!(folder.run(&format!("{line} --threads 2 --json")).done().json(), found);
    assert!(folder.run(&line).done().stdout.contains("recon_gap"));
}

#[test]
fn settings_that_no_run_has_are_refused() {
    let folder = Folder::new();
    folder.train("run", "").done();
    folder.run("compare run --by loss.betta --metrics recon").refused(2, &["--by", "loss.betta"]);
    folder.run("compare run --by loss.beta").refused(2, &["--metrics"]);
    folder.run("compare run --metrics fidd").refused(2, &["`fid`"]);
    folder.run("eval run --metrics fid --sampler mixtur").refused(2, &["mixture"]);
}
