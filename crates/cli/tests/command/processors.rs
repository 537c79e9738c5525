//! Fewer processors than threads (T7), and binary pixels that no number of threads changes.

use crate::support::{Folder, SMALL, training};

/// As small, with binary pixels, and a schedule that more epochs do not stretch.
const BINARY: &str = "--set data.count=300 --set network.hidden=[16] --set model.latent=3 --batch-size 32 \
                      --set data.binarize=dynamic --set schedule.kind=constant";

#[test]
fn four_threads_on_one_processor_finish_with_the_same_bytes() {
    let folder = Folder::new();
    folder.train("one", "--threads 1").done();
    let Some(outcome) = folder.run_on_one_processor(&format!("train {SMALL} --out four --threads 4")) else {
        println!("skipped: this system has no taskset");
        return;
    };
    outcome.done();
    assert_eq!(training(&folder.path("four")), training(&folder.path("one")));
}

#[test]
fn bfloat16_products_are_refused_where_there_are_none_and_resumed_alike_where_there_are() {
    let folder = Folder::new();
    folder.run(&format!("train {SMALL} --precision f16 --out no")).refused(2, &["training.precision", "bf16"]);
    folder.run("bench --precision f16").refused(2, &["training.precision", "bf16"]);
    let mut without = folder.command(&format!("train {SMALL} --precision bf16 --out no"));
    folder.start(without.env("ELBO_SIMD", "avx2")).finish().refused(2, &["training.precision", "--precision f32"]);
    assert!(!folder.path("no").exists());

    // Layers that are large enough to be rounded.
    let wide = "train --set data.count=300 --set network.hidden=[200] --set model.latent=3 --set schedule.kind=constant --batch-size 100";
    let first = folder.run(&format!("{wide} --precision bf16 --out half --epochs 1 --threads 2"));
    if first.stderr.contains("training.precision") {
        println!("skipped: this processor does not multiply bfloat16");
        first.refused(2, &["training.precision", "--precision f32"]);
        return;
    }
    first.done();
    folder.run("bench encode --precision bf16").refused(2, &["--precision", "f32"]);
    folder.run("resume half --epochs 2 --threads 1").done();
    folder.run(&format!("{wide} --precision bf16 --out whole --epochs 2 --threads 1")).done();
    folder.run(&format!("{wide} --out full --epochs 2 --threads 1")).done();
    assert_eq!(training(&folder.path("half")), training(&folder.path("whole")));
    assert_ne!(training(&folder.path("full")), training(&folder.path("whole")));
    let loss = |run: &str| {
        let found = folder.run(&format!("eval {run} --json")).done().json();
        found["metrics"]["recon"]["value"].as_f64().expect("a number")
    };
    let (whole, full) = (loss("whole"), loss("full"));
    assert!((whole / full - 1.0).abs() < 0.01, "{whole} beside {full} in float32");
}

#[test]
fn binary_pixels_are_resumed_alike_and_refused_by_a_wrong_name() {
    let folder = Folder::new();
    folder.run(&format!("train {BINARY} --out whole --epochs 2 --threads 1")).done();
    folder.train("grey", "").done();
    folder.run(&format!("train {BINARY} --out half --epochs 1 --threads 3")).done();
    folder.run("resume half --epochs 2").done();
    assert_eq!(training(&folder.path("half")), training(&folder.path("whole")));
    assert_ne!(training(&folder.path("grey")), training(&folder.path("whole")));
    let loss =
        |run: &str| folder.run(&format!("eval {run} --json")).done().json()["metrics"]["recon"]["value"].as_f64();
    assert_eq!(loss("whole"), loss("half"));
    folder.run(&format!("train {SMALL} --out no --set data.binarize=static")).refused(2, &["data.binarize", "dynamic"]);
}
