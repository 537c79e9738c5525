//! What a run folder holds is whole: after kills at any time every epoch has its pictures and its line for TensorBoard; a run that is
//! removed under its trainer ends it; what cannot be kept is still given.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Chance, Folder, Kills, go_on, info, training};

/// Four short epochs.
const KILLED: &str =
    "--set data.count=300 --set network.hidden=[16] --set model.latent=2 --epochs 4 --batch-size 64 -q";

/// The pictures of a run by name.
fn samples(run: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(run.join("samples")).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

/// A varint and what follows it.
fn varint(bytes: &[u8]) -> (u64, &[u8]) {
    let end = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap();
    let value = bytes[..=end].iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f));
    (value, &bytes[end + 1..])
}

/// The fields of a protocol buffer: number, and a number or bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, u64, &[u8])> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (key, rest) = varint(bytes);
        let (value, content, rest) = match key & 7 {
            0 => {
                let (value, rest) = varint(rest);
                (value, &rest[..0], rest)
            }
            1 => (0, &rest[..8], &rest[8..]),
            5 => (0, &rest[..4], &rest[4..]),
            _ => {
                let (length, rest) = varint(rest);
                (0, &rest[..length as usize], &rest[length as usize..])
            }
        };
        found.push((key >> 3, value, content));
        bytes = rest;
    }
    found
}

/// The records of an event file, up to one that was cut short.
fn records(bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while rest.len() > 16 {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        if rest.len() < length + 16 {
            break;
        }
        found.push(&rest[12..12 + length]);
        rest = &rest[length + 16..];
    }
    found
}

/// Step and tag of everything that TensorBoard shows: files in the order of their names, each dropping what it purges.
fn events(run: &Path) -> BTreeSet<(u64, String)> {
    let mut names: Vec<String> =
        fs::read_dir(run).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.starts_with("events.out.tfevents."));
    names.sort();
    let mut shown = BTreeSet::new();
    for name in names {
        let bytes = fs::read(run.join(name)).unwrap();
        for record in records(&bytes) {
            let fields_of = fields(record);
            let step = fields_of.iter().find(|(number, ..)| *number == 2).map_or(0, |(_, value, _)| *value);
            for (number, _, content) in fields_of {
                match number {
                    7 => shown.retain(|(other, _): &(u64, String)| *other < step),
                    5 => {
                        for (_, _, value) in fields(content) {
                            let tag = fields(value).into_iter().find(|(number, ..)| *number == 1).unwrap().2;
                            shown.insert((step, String::from_utf8(tag.to_vec()).unwrap()));
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    shown
}

/// What is shown whoever trained: the speed of an epoch dies with the process that trained it.
fn shown(run: &Path) -> BTreeSet<(u64, String)> {
    events(run).into_iter().filter(|(_, tag)| tag != "speed/images_per_s").collect()
}

#[test]
fn an_epoch_whose_recording_was_killed_is_made_up_for() {
    let folder = Folder::new();
    folder.run(&format!("train {KILLED} --out whole")).done();
    folder.run(&format!("train {KILLED} --out run")).done();
    let run = folder.path("run");
    assert!(shown(&run).iter().filter(|(_, tag)| tag == "samples").count() == 4);
    // As `kill -9` leaves it after the checkpoint of the last epoch: nothing that follows the checkpoint is there.
    for name in ["samples/epoch-0004.png", "samples/reconstructions-0004.png"] {
        fs::remove_file(run.join(name)).unwrap();
    }
    let event = fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().path());
    let event = event.into_iter().find(|path| path.to_string_lossy().contains("tfevents")).unwrap();
    let bytes = fs::read(&event).unwrap();
    let steps = |record: &[u8]| fields(record).iter().find(|(number, ..)| *number == 2).map_or(0, |(_, step, _)| *step);
    let last = records(&bytes).into_iter().map(steps).max().unwrap();
    let kept = records(&bytes).into_iter().take_while(|record| steps(record) < last).map(|record| record.len() + 16);
    // And a line of it that was under way.
    fs::write(&event, &bytes[..kept.sum::<usize>() + 20]).unwrap();
    let mut facts = info(&run);
    (facts["epochs"], facts["status"], facts["test"]) = (3.into(), "running".into(), serde_json::Value::Null);
    fs::write(run.join("run.json"), facts.to_string()).unwrap();
    assert_ne!(shown(&run), shown(&folder.path("whole")));
    folder.run("resume run -q").done();
    assert_eq!(samples(&run), samples(&folder.path("whole")));
    assert_eq!(shown(&run), shown(&folder.path("whole")));
    assert_eq!(training(&run), training(&folder.path("whole")));
}

#[test]
fn rows_of_a_table_are_made_up_for_too() {
    let folder = Folder::new();
    let rows: String = (0..60).map(|i| format!("{},{},{}\n", i, (i * 7) % 13, (i * i) % 17)).collect();
    folder.write("table.csv", format!("a,b,c\n{rows}"));
    let line = "train --data table.csv --set network.hidden=[8] --set model.latent=2 --epochs 3 -q";
    for name in ["whole", "run"] {
        folder.run(&format!("{line} --out {name}")).done();
    }
    let run = folder.path("run");
    fs::remove_file(run.join("samples/epoch-0003.csv")).unwrap();
    let mut facts = info(&run);
    (facts["epochs"], facts["status"]) = (2.into(), "running".into());
    fs::write(run.join("run.json"), facts.to_string()).unwrap();
    folder.run("resume run -q").done();
    assert_eq!(samples(&run), samples(&folder.path("whole")));
    assert_eq!(shown(&run), shown(&folder.path("whole")));
}

#[test]
fn kills_at_random_times_leave_no_gap_in_pictures_and_events() {
    let folder = Folder::new();
    folder.run(&format!("train {KILLED} --out whole")).done();
    let (pictures, lines) = (samples(&folder.path("whole")), shown(&folder.path("whole")));
    let (mut chance, mut kills) = (Chance(7), 0);
    for number in 0.. {
        let run = format!("run-{number}");
        let how = Kills { most: 5, within_ms: 120, signals: &["KILL"] };
        kills += chance.kill_until_done(&how, || go_on(&folder, &run, &format!("train {KILLED} --out {run}")));
        assert_eq!(samples(&folder.path(&run)), pictures, "{run}");
        assert_eq!(shown(&folder.path(&run)), lines, "{run}");
        if kills >= 25 {
            break;
        }
    }
}

#[test]
fn a_run_removed_under_its_trainer_ends_it() {
    let folder = Folder::new();
    let line = "train --set data.count=600 --set network.hidden=[16] --set model.latent=2 --epochs 100000";
    for (run, gone) in [("all", ""), ("parts", "/config.toml"), ("state", "/run.json")] {
        let mut running = folder.start(&mut folder.command(&format!("{line} --out {run}")));
        running.wait_until(|_| folder.path(run).join("checkpoints/last/manifest.json").exists());
        let place = format!("{}{gone}", folder.path(run).display());
        // A file that the trainer makes meanwhile may keep its folder, and one that it is just writing comes back.
        for _ in 0..40 {
            let _ = Command::new("rm").arg("-rf").arg(&place).stderr(Stdio::null()).status();
            std::thread::sleep(std::time::Duration::from_millis(25));
        }
        running.finish().refused(5, &[run, "it has gone: something removed it while the run was trained"]);
        assert!(!folder.path(run).join("config.toml").exists() || gone == "/run.json");
    }
}

#[test]
fn a_full_table_of_files_is_told_as_such_and_leaves_nothing() {
    let folder = Folder::new();
    let train = "train -q --set data.count=300 --set network.hidden=[16] --epochs 1 --out";
    let mut refusals = 0;
    for files in 4..12 {
        let run = format!("files-{files}");
        let limited = format!("ulimit -n {files} && exec \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &limited, "sh", env!("CARGO_BIN_EXE_elbo")]).args(train.split_whitespace()).arg(&run);
        command.current_dir(folder.path("")).env("ELBO_OFFLINE", "1").env("ELBO_THREADS", "1");
        let outcome = folder.start(&mut command).finish();
        let left = fs::read_dir(folder.path(&run)).map_or(0, Iterator::count);
        match outcome.code {
            // Once it has begun it is a run, and can be taken up again.
            Some(0) => break,
            _ if folder.path(&run).join("run.json").exists() => continue,
            _ => assert_eq!(left, 0, "{files}: {outcome:?}"),
        }
        if outcome.stderr.contains(&run) {
            refusals += 1;
            outcome.refused(5, &["Too many open files"]);
        }
    }
    assert!(refusals > 0, "none came so far as to look at the folder");
}

#[test]
fn a_sampler_that_cannot_be_kept_is_still_given() {
    let folder = Folder::new();
    folder.run(&format!("train {KILLED} --out run")).done();
    // No file may have a byte: what is written to a pipe is none.
    let limited = "trap '' XFSZ; ulimit -f 0; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", limited, "sh"]);
    symlink("/dev/stdout", folder.path("out.png")).unwrap();
    command.arg(env!("CARGO_BIN_EXE_elbo")).args("sample run --sampler mixture -n 4 --out out.png --json".split(' '));
    command.current_dir(folder.path("")).env("ELBO_OFFLINE", "1").env("ELBO_HOME", folder.path("home"));
    // What is printed goes to pipes, for files take nothing.
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && output.stdout.starts_with(b"\x89PNG"), "{told}");
    assert!(told.contains("fitted `mixture` to") && told.contains("not kept in the run's folder"), "{told}");
    assert!(!folder.path("run/priors/mixture.json").exists());
    // Where it can be kept it is the same one.
    folder.run("sample run --sampler mixture -n 4 --out kept.png").done();
    assert!(folder.path("run/priors/mixture.json").exists());
}
