//! Going on with a run (T3, T6): the same bits as without the pause, and no going on with what is another run.

use std::fs;

use serde_json::Value;

use crate::support::{Folder, edit, info, reseal, snapshot, training};

const BASE: &str = "--set schedule={kind=\"constant\"} --set data.count=300 --set network.hidden=[16] --set model.latent=3 --batch-size 64";

#[test]
fn n_and_n_epochs_are_2n_epochs() {
    let folder = Folder::new();
    for (name, settings) in [
        ("warm-up and clipping", "--set loss.warmup_epochs=3 --set loss.beta=2 --set optimizer.clip_norm=0.5"),
        ("adamw", "--set optimizer.kind=adamw --set optimizer.weight_decay=0.01 --set optimizer.eps=1e-5"),
        ("coupled decay, sums", "--set optimizer.weight_decay=1e-4 --set training.reduction=sum"),
        ("cycles", "--set loss.cycle_epochs=2 --set loss.free_bits=0.1"),
        (
            "stairs, gaussian",
            "--set schedule={kind=\"step\",epochs=1.5,factor=0.5} --set model.likelihood=gaussian --set model.sigma=0.3",
        ),
        ("capacity", "--set loss.capacity={gamma=3.0,target=4.0,epochs=3.0}"),
        ("autoencoder", "--set model.kind=ae --set model.likelihood=sse"),
        ("no validation", "--set data.validation=0"),
        ("validation is test", "--set data.validation=test"),
        ("mini checkpoints", "--set training.checkpoint_seconds=0.001"),
    ] {
        folder.run(&format!("train {BASE} {settings} --epochs 4 --out whole")).done();
        folder.run(&format!("train {BASE} {settings} --epochs 2 --out halves")).done();
        folder.run("resume halves --epochs 4").done();
        assert_eq!(training(&folder.path("halves")), training(&folder.path("whole")), "{name}");
        for run in ["whole", "halves"] {
            fs::remove_dir_all(folder.path(run)).unwrap();
        }
    }
}

#[test]
fn early_stopping_remembers_across_a_pause() {
    let folder = Folder::new();
    // No epoch improves by a million nats: patience runs out after the fourth.
    let settings = format!("{BASE} --set early_stopping.patience=3 --set early_stopping.min_delta=1e6");
    folder.run(&format!("train {settings} --epochs 9 --out whole")).done();
    folder.run(&format!("train {settings} --epochs 2 --out halves")).done();
    let resumed = folder.run("resume halves --epochs 9 --json").done();
    assert_eq!((&resumed.json()["status"], &resumed.json()["epochs"]), (&"stopped early".into(), &4.into()));
    assert_eq!(training(&folder.path("halves")), training(&folder.path("whole")));
    assert_eq!(folder.run("eval whole --json").done().json()["checkpoint"], "best");

    let before = snapshot(&folder.path("whole"));
    folder.run("resume whole").done();
    folder.run("resume whole --epochs 20").refused(2, &["--epochs", "early stopping", "epoch 4", "patience"]);
    assert_eq!(snapshot(&folder.path("whole")), before);
}

#[test]
fn equal_seeds_and_any_number_of_threads_give_equal_bits() {
    let folder = Folder::new();
    for (out, flags) in
        [("a", "--threads 1"), ("b", "--threads 1"), ("c", "--threads 2"), ("d", "--threads 5"), ("e", "--seed 1")]
    {
        folder.run(&format!("train {BASE} --set network.hidden=[100,50] --epochs 2 --out {out} {flags}")).done();
    }
    let [a, b, c, d, e] = ["a", "b", "c", "d", "e"].map(|run| training(&folder.path(run)));
    assert_eq!(a, b, "again");
    assert_eq!(a, c, "two threads");
    assert_eq!(a, d, "five threads");
    assert_ne!(a[0], e[0], "another seed");
}

#[test]
fn a_finished_run_stays_as_it_is_until_more_epochs_are_asked_for() {
    let folder = Folder::new();
    folder.run(&format!("train {BASE} --epochs 2 --out run")).done();
    let before = snapshot(&folder.path("run"));
    let again = folder.run("resume run --json").done();
    assert!(again.stderr.contains("nothing left to train") && again.stderr.contains("--epochs"), "{}", again.stderr);
    assert_eq!((&again.json()["status"], &again.json()["epochs"]), (&"finished".into(), &2.into()));
    assert!(again.json()["test"]["loss"].is_number());
    assert_eq!(snapshot(&folder.path("run")), before);
    folder.run("resume run --epochs 2").done();
    assert_eq!(snapshot(&folder.path("run")), before);
    folder.run("resume run --epochs 1").refused(2, &["--epochs", "at least 2", "in all"]);
    folder.run("resume run --epochs 0").refused(2, &["--epochs"]);
    assert_eq!(snapshot(&folder.path("run")), before);
}

#[test]
fn a_report_that_was_cut_short_is_drawn_by_resuming() {
    let folder = Folder::new();
    folder.run(&format!("train {BASE} --epochs 2 --out run")).done();
    let whole = training(&folder.path("run"));
    // As a kill between the last checkpoint and the report leaves it.
    edit(&folder.path("run/run.json"), "\"finished\"", "\"running\"");
    edit(&folder.path("run/run.json"), "\"epochs\": 2", "\"epochs\": 1");
    fs::remove_file(folder.path("run/report.html")).unwrap();
    fs::remove_file(folder.path("run/metrics.csv")).unwrap();
    folder.run("resume run").done();
    assert_eq!(training(&folder.path("run")), whole);
    assert!(folder.path("run/report.html").is_file());
}

#[test]
fn a_second_trainer_is_refused_by_the_number_of_the_first() {
    let folder = Folder::new();
    let mut first = folder.start(&mut folder.command(&format!("train {BASE} --epochs 100000 --out run")));
    first.wait_until(|r| r.stderr().contains("epoch      2/"));
    let pid = first.pid().to_string();
    folder.run("resume run").refused(4, &["run.lock", &format!("process {pid}"), &format!("kill {pid}")]);
    folder.run(&format!("train {BASE} --out run")).refused(2, &["--out", "not empty"]);
    // Looking is allowed.
    folder.run("eval run").done();
    first.kill();
    folder.run("resume run --epochs 1").refused(2, &["--epochs", "done"]);
}

#[test]
fn runs_begun_at_once_without_a_name_get_one_each() {
    let folder = Folder::new();
    let all: Vec<_> = (0..4).map(|_| folder.start(&mut folder.command(&format!("train {BASE} --epochs 1")))).collect();
    for running in all {
        running.finish().done();
    }
    for number in 1..=4 {
        assert_eq!(info(&folder.path(&format!("runs/digits-00{number}")))["status"], "finished");
    }
}

#[test]
fn a_configuration_that_was_edited_is_refused_by_its_lines() {
    let folder = Folder::new();
    folder.run(&format!("train {BASE} --epochs 1 --out run")).done();
    let config = folder.path("run/config.toml");
    let original = fs::read_to_string(&config).unwrap();
    edit(&config, "batch_size = 64", "batch_size = 65");
    edit(&config, "beta = 1.0", "beta = 2.0");
    folder
        .run("resume run --epochs 2")
        .refused(4, &["config.toml", "batch_size = 64", "batch_size = 65", "beta = 2.0", "undo the change"]);
    fs::write(&config, original.replace("batch_size", "batchsize")).unwrap();
    folder.run("resume run").refused(4, &["config.toml", "line ", "batchsize", "training.batch_size"]);
    fs::write(&config, original.replace("format = 1", "format = 2\nspin = 1")).unwrap();
    folder.run("resume run").refused(4, &["config.toml", "version 2", "newer"]);
    fs::write(&config, "\u{0}").unwrap();
    folder.run("eval run").refused(4, &["config.toml"]);
    fs::write(&config, b"\xff\xff").unwrap();
    folder.run("eval run").refused(4, &["config.toml", "UTF-8"]);
    // The epochs are what one may change.
    fs::write(&config, original.replace("epochs = 1\n", "epochs = 2\n")).unwrap();
    folder.run("resume run").done();
    assert_eq!(info(&folder.path("run"))["epochs"], 2);
}

#[test]
fn newer_formats_are_refused_by_number() {
    let folder = Folder::new();
    folder.run(&format!("train {BASE} --epochs 1 --out run")).done();
    let (run, last) = (folder.path("run"), folder.path("run/checkpoints/last"));
    let facts = run.join("run.json");
    edit(&facts, "\"format\": 1", "\"format\": 8, \"new\": 1");
    folder.run("resume run").refused(4, &["run.json", "version 8", "newer"]);
    folder.run("sample run --out x.png").refused(4, &["run.json", "version 8"]);
    edit(&facts, "\"format\": 8, \"new\": 1", "\"format\": 1");

    edit(&last.join("state.json"), "\"format\": 2", "\"format\": 7, \"new\": 1");
    reseal(&last);
    folder.run("resume run --epochs 2").refused(4, &["state.json", "7", "newer"]);
    edit(&last.join("state.json"), "\"format\": 7, \"new\": 1", "\"format\": 2");
    reseal(&last);

    let manifest = fs::read_to_string(last.join("manifest.json")).unwrap();
    let mut newer: Value = serde_json::from_str(&manifest).unwrap();
    newer["format_version"] = 6.into();
    fs::write(last.join("manifest.json"), newer.to_string()).unwrap();
    folder.run("resume run --epochs 2").refused(4, &["manifest.json", "format_version", "found 6", "newer"]);
    fs::write(last.join("manifest.json"), manifest).unwrap();
    folder.run("resume run --epochs 2").done();
}

#[test]
fn a_run_is_taken_up_from_any_folder() {
    let folder = Folder::new();
    let images = [[0u8, 0, 8, 3, 0, 0, 0, 30, 0, 0, 0, 2, 0, 0, 0, 2].to_vec(), (0..120).collect()].concat();
    folder.write("images", images);
    for (run, data) in [("a", "--data images"), ("b", "--set data.source=images")] {
        folder.run(&format!("train {data} --set network.hidden=[8] --epochs 1 --out elsewhere/{run}")).done();
        folder
            .start(folder.command(&format!("resume {run} --epochs 2")).current_dir(folder.path("elsewhere")))
            .finish()
            .done();
    }
}

#[test]
fn data_that_changed_are_refused() {
    let folder = Folder::new();
    let idx = |last: u8| {
        let header = [0u8, 0, 8, 3, 0, 0, 0, 30, 0, 0, 0, 4, 0, 0, 0, 4];
        header.into_iter().chain((0..479).map(|i| i as u8)).chain([last]).collect::<Vec<u8>>()
    };
    folder.write("images", idx(0));
    folder.run("train --data images --set network.hidden=[8] --set model.latent=2 --epochs 1 --out run").done();
    folder.write("images", idx(1));
    for line in ["resume run --epochs 2", "eval run", "report run"] {
        folder.run(line).refused(3, &["images", "content sha256", "restore it"]);
    }
    fs::remove_file(folder.path("images")).unwrap();
    folder.run("resume run --epochs 2").refused(3, &["images"]);
    folder.write("images", idx(0));
    folder.run("resume run --epochs 2").done();
}
