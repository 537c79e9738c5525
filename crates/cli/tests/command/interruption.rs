//! Signals at any time (T1, T5): a run that was killed or interrupted ends with the same bytes as one that was not.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::{Chance, Folder, Kills, edit, go_on, info, training};

/// Six epochs of ten steps, with a checkpoint after almost every one of them.
const KILLED: &str = "--set data.count=300 --set network.hidden=[16] --set model.latent=3 --epochs 6 --batch-size 28 \
                      --set training.checkpoint_seconds=0.005 --set loss.warmup_epochs=4";

/// Enough epochs for a signal to meet it at work.
const LONG: &str = "--set data.count=1500 --set network.hidden=[16] --set model.latent=3 --epochs 30 --batch-size 32";

#[test]
fn fifty_kills_and_some_interruptions_at_random_times_change_nothing() {
    let folder = Folder::new();
    folder.run(&format!("train {KILLED} --out whole")).done();
    let whole = training(&folder.path("whole"));
    let mut chance = Chance(20);
    let (mut kills, mut runs) = (0, 0);
    while kills < 50 {
        let run = format!("run-{runs}");
        runs += 1;
        // Some runs are killed once, others again and again.
        let how = Kills { most: 8, within_ms: 250, signals: &["KILL", "KILL", "KILL", "INT"] };
        kills += chance.kill_until_done(&how, || go_on(&folder, &run, &format!("train {KILLED} --out {run}")));
        assert_eq!(training(&folder.path(&run)), whole, "{run}, after {kills} kills in all");
        assert!(leftovers(&folder.path(&run)).is_empty(), "{:?}", leftovers(&folder.path(&run)));
    }
    assert!(runs >= 5, "several fresh runs: {runs}");
}

/// Files and folders of saves that were cut short.
fn leftovers(run: &Path) -> Vec<String> {
    let names = crate::support::snapshot(run).into_keys().map(|path| path.display().to_string());
    names.filter(|name| [".writing", ".kept"].iter().any(|part| name.contains(part))).collect()
}

#[test]
fn one_signal_saves_and_leaves_and_resuming_gives_the_same_bits() {
    let folder = Folder::new();
    folder.run(&format!("train {LONG} --out whole")).done();
    let whole = training(&folder.path("whole"));
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut running = folder.start(&mut folder.command(&format!("train {LONG} --out {signal} --json")));
        running.wait_until(|r| r.stderr().contains("epoch  2/30"));
        let sent = Instant::now();
        running.signal(signal);
        let outcome = running.finish();
        assert!(sent.elapsed() < Duration::from_secs(5), "{:?}", sent.elapsed());
        assert_eq!(outcome.code, Some(code), "{outcome:?}");
        let value = outcome.json();
        assert_eq!(value["status"], "interrupted");
        assert!(value["test"].is_null(), "{value}");
        assert_eq!(info(&folder.path(signal))["status"], "interrupted");
        folder.run(&format!("eval {signal}")).done();

        // And once more, this time the resumed one.
        let mut running = folder.start(&mut folder.command(&format!("resume {signal}")));
        running.wait_until(|r| r.stderr().contains("epoch  8/30"));
        running.signal(signal);
        let outcome = running.finish();
        assert_eq!(outcome.code, Some(code), "{outcome:?}");
        assert!(outcome.stdout.contains(&format!("elbo resume {signal}")), "says how to go on: {}", outcome.stdout);
        folder.run(&format!("resume {signal}")).done();
        assert_eq!(training(&folder.path(signal)), whole);
    }
}

#[test]
fn two_signals_leave_at_once_and_what_is_on_disk_is_valid() {
    let folder = Folder::new();
    folder.run(&format!("train {LONG} --out whole")).done();
    for (i, pause) in [0, 1, 3, 10].into_iter().enumerate() {
        let run = format!("run-{i}");
        let mut running = folder.start(&mut folder.command(&format!("train {LONG} --out {run}")));
        running.wait_until(|r| r.stderr().contains("epoch  3/30"));
        running.signal("INT");
        std::thread::sleep(Duration::from_millis(pause));
        running.signal("INT");
        assert_eq!(running.finish().code, Some(130));
        folder.run(&format!("eval {run} --checkpoint best")).done();
        folder.run(&format!("resume {run}")).done();
        assert_eq!(training(&folder.path(&run)), training(&folder.path("whole")), "{run}");
    }
}

#[test]
fn a_signal_while_data_are_made_leaves_nothing_behind() {
    let folder = Folder::new();
    for signal in ["INT", "TERM"] {
        let mut running = folder.start(&mut folder.command("train --set data.count=1000000 --out run"));
        std::thread::sleep(Duration::from_millis(100));
        let sent = Instant::now();
        running.signal(signal);
        let outcome = running.finish();
        assert_eq!(outcome.code, Some(if signal == "INT" { 130 } else { 143 }), "{outcome:?}");
        assert!(sent.elapsed() < Duration::from_secs(2), "{:?}", sent.elapsed());
        assert!(!folder.path("run").exists());
    }
}

#[test]
fn a_signal_before_the_first_step_or_in_the_last_save_is_survived() {
    let folder = Folder::new();
    let settings = "--set data.count=300 --set network.hidden=[16] --set model.latent=3 --epochs 1";
    folder.run(&format!("train {settings} --out whole")).done();
    let moments = [
        ("folder", [".", "."]),
        ("announced", ["run.json", "run.json"]),
        ("best", ["checkpoints/best.writing", "checkpoints/best"]),
        ("last", ["checkpoints/last.writing", "checkpoints/last"]),
        ("report", ["plots", "report.html"]),
    ];
    for (name, signs) in moments {
        let mut running = folder.start(&mut folder.command(&format!("train {settings} --out {name}")));
        let run = folder.path(name);
        running.wait_until(|_| signs.iter().any(|sign| run.join(sign).exists()));
        running.signal("INT");
        let outcome = running.finish();
        // Once the last step is done there is nothing to interrupt.
        assert!([Some(0), Some(130)].contains(&outcome.code), "{name}: {outcome:?}");
        go_on(&folder, name, &format!("train {settings} --out {name}")).finish().done();
        assert_eq!(training(&run), training(&folder.path("whole")), "{name}");
    }
}

/// Every place of the exchange of old and new checkpoint, with the kill right after it.
#[test]
fn a_checkpoint_killed_while_it_changes_places_is_put_in_its_place() {
    let folder = Folder::new();
    folder.run(&format!("train {KILLED} --out whole")).done();
    let whole = training(&folder.path("whole"));
    folder.run(&format!("train {} --out old", KILLED.replace("--epochs 6", "--epochs 5"))).done();
    for (i, (newest, old)) in
        [("last.writing", "last"), ("last.writing", "last.previous"), ("last", "last.previous")].into_iter().enumerate()
    {
        let run = folder.path(&format!("run-{i}"));
        folder.run(&format!("train {KILLED} --out run-{i}")).done();
        edit(&run.join("run.json"), "\"finished\"", "\"running\"");
        let checkpoints = run.join("checkpoints");
        std::fs::remove_dir_all(checkpoints.join("last.previous")).unwrap();
        std::fs::rename(checkpoints.join("last"), folder.path("new")).unwrap();
        let copied = std::process::Command::new("cp")
            .arg("-r")
            .arg(folder.path("old/checkpoints/last"))
            .arg(checkpoints.join(old))
            .status();
        assert!(copied.unwrap().success());
        std::fs::rename(folder.path("new"), checkpoints.join(newest)).unwrap();
        folder.run(&format!("resume run-{i}")).done();
        assert_eq!(training(&run), whole, "{newest}, {old}");
        assert!(leftovers(&run).is_empty(), "{:?}", leftovers(&run));
    }
}

/// What `kill -9` leaves when it comes before the first checkpoint is complete is no checkpoint, and no reason to refuse.
#[test]
fn a_run_killed_in_its_very_first_save_starts_over() {
    let folder = Folder::new();
    folder.run(&format!("train {KILLED} --out whole")).done();
    // What a kill leaves while `best` is written, between the two, and while `last` is written.
    for (i, (kept, halved)) in
        [(None, Some("best")), (Some("best"), None), (Some("best"), Some("last"))].into_iter().enumerate()
    {
        let leftover = format!("run-{i}");
        folder.run(&format!("train {KILLED} --out {leftover}")).done();
        let run = folder.path(&leftover);
        let checkpoints = run.join("checkpoints");
        edit(&run.join("run.json"), "\"finished\"", "\"running\"");
        for name in ["last.previous", "best.previous"] {
            std::fs::remove_dir_all(checkpoints.join(name)).unwrap();
        }
        if let Some(name) = halved {
            std::fs::rename(checkpoints.join(name), checkpoints.join(format!("{name}.writing"))).unwrap();
            std::fs::remove_file(checkpoints.join(format!("{name}.writing/manifest.json"))).unwrap();
        }
        for name in ["best", "last"].into_iter().filter(|name| Some(*name) != kept && Some(*name) != halved) {
            std::fs::remove_dir_all(checkpoints.join(name)).unwrap();
        }
        folder.run(&format!("resume {leftover}")).done();
        assert_eq!(training(&run), training(&folder.path("whole")), "{leftover}");
    }
}
