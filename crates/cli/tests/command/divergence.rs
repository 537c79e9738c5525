//! Numbers that are not finite (T4): training stops, says where, and what was saved before stays good.

use crate::support::{Folder, SMALL, info};

#[test]
fn a_wild_learning_rate_stops_with_code_6_and_says_where() {
    let folder = Folder::new();
    for rate in ["1e6", "1e30", "1e39"] {
        let out = format!("run-{rate}");
        let outcome = folder.run(&format!("train {SMALL} --set optimizer.lr={rate} --out {out}"));
        outcome.refused(6, &["epoch 1, step ", " is ", "optimizer.lr", "optimizer.clip_norm"]);
        assert_eq!(info(&folder.path(&out))["status"], "diverged");
        assert!(!folder.path(&out).join("checkpoints/last").exists(), "nothing good was there to save");
        folder.run(&format!("eval {out}")).refused(4, &["saved weights", "diverged"]);
    }
    // A weight beyond float32 makes the loss infinite while both its terms are finite.
    folder
        .run(&format!("train {SMALL} --set loss.beta=1e300 --out heavy"))
        .refused(6, &["epoch 1, step 1: loss is inf"]);
}

#[test]
fn what_was_saved_before_stays_finite_and_loads() {
    let folder = Folder::new();
    for (name, flags) in [
        ("validation", ""),
        ("none", "--set data.validation=0"),
        ("often", "--set training.checkpoint_seconds=1e-9"),
        ("one step an epoch", "--set data.validation=0 --set data.limit=30"),
    ] {
        let out = name.replace(' ', "-");
        // One sane epoch, then a rate that blows up.
        let rate = "--set schedule={kind=\"step\",epochs=1,factor=1e33}";
        let outcome = folder.run(&format!("train {SMALL} {rate} {flags} --out {out}"));
        outcome.refused(6, &["epoch 2, step "]);
        assert_eq!(info(&folder.path(&out))["status"], "diverged", "{name}");
        for checkpoint in ["last", "best"] {
            let value = folder.run(&format!("eval {out} --checkpoint {checkpoint} --json")).done().json();
            let loss = value["metrics"]["loss"]["value"].as_f64();
            assert!(loss.is_some_and(|loss| (1.0..1000.0).contains(&loss)), "{name}, {checkpoint}: {loss:?}");
        }
        folder.run(&format!("sample {out} --out {out}.png")).done();
        // The same settings lead to the same place.
        folder.run(&format!("resume {out}")).refused(6, &["epoch 2, step "]);
    }
}

#[test]
fn clipping_cures_it() {
    let folder = Folder::new();
    // Sums instead of means and a steep likelihood: gradients of a million.
    let steep = "--set model.likelihood=gaussian --set model.sigma=0.001 --set training.reduction=sum";
    folder.run(&format!("train {SMALL} {steep} --set optimizer.clip_norm=1 --out run")).done();
}
