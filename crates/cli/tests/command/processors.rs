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
