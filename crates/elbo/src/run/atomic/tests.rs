//! Saves interrupted after every single step, twice in a row, by errors and by kill -9.

use super::*;
use crate::error::ErrorKind;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

type Named = Vec<(&'static str, Vec<u8>)>;
/// What performs steps.
type Act<'a> = &'a mut dyn FnMut(&Files, Step) -> io::Result<()>;

/// Files whose bytes tell the step they belong to.
fn files_of(step: u64) -> Named {
    vec![("model.safetensors", vec![step as u8; 3000]), ("state.json", format!("{{\"step\":{step}}}").into_bytes())]
}

fn save_on(act: Act, target: &Path, step: u64) -> Result<()> {
    let files = files_of(step);
    let files: Vec<_> = files.iter().map(|(name, bytes)| (*name, &bytes[..])).collect();
    write_dir_on(&mut Disk { files: &below(target), act }, target, step, &files)
}

fn save(target: &Path, step: u64) {
    save_on(&mut failing(usize::MAX, Fault::Full, &mut 0), target, step).unwrap();
}

/// The files of the folder that a path is in.
fn below(path: &Path) -> Files {
    Files::new(root_of(path))
}

/// The step of the checkpoint found, once its files are seen to be of that step.
fn found(target: &Path) -> u64 {
    let checkpoint = open_dir(target).unwrap();
    let expected = files_of(checkpoint.step).into_iter().map(|(name, bytes)| (name.to_string(), bytes));
    assert!(checkpoint.files == expected.collect(), "files of another step than {}", checkpoint.step);
    checkpoint.step
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn run_folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("last");
    (folder, target)
}

/// How a disk lets the writer down at one step: it half does the step, then fails.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    /// Nothing after it happens: the process is dead.
    Crash,
    /// The next step works again, so cleaning up is possible.
    Full,
}

/// A disk that fails at step number `at`, and the number of steps asked of it so far.
fn failing(at: usize, fault: Fault, asked: &mut usize) -> impl FnMut(&Files, Step) -> io::Result<()> {
    move |files, step| {
        *asked += 1;
        if *asked - 1 < at || (fault == Fault::Full && *asked - 1 > at) {
            // Storing for good takes its time, and no power fails here.
            return if let Step::Write(path, bytes) = step { fs::write(path, bytes) } else { perform(files, step) };
        }
        if let (Step::Write(path, bytes), true) = (step, *asked - 1 == at) {
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }
        Err(io::Error::new(io::ErrorKind::StorageFull, "no room left"))
    }
}

/// Saves `step`, failing at step number `at`. Whether it came to that.
fn failed(target: &Path, step: u64, at: usize, fault: Fault) -> (bool, Result<()>) {
    let mut asked = 0;
    let result = save_on(&mut failing(at, fault, &mut asked), target, step);
    (asked > at, result)
}

#[test]
fn a_crash_after_any_step_leaves_the_old_checkpoint_or_the_new() {
    let mut outcomes = [0; 3];
    for first in 0.. {
        let mut more = false;
        for second in 0.. {
            let (folder, target) = run_folder();
            save(&target, 1);
            more = failed(&target, 2, first, Fault::Crash).0;
            let between = found(&target);
            assert!(between == 1 || between == 2, "crash at {first}: {between}");
            let crashed = failed(&target, 3, second, Fault::Crash).0;
            let after = found(&target);
            assert!(after == between || after == 3, "crashes at {first}, {second}: {between}, then {after}");
            outcomes[after as usize - 1] += 1;
            save(&target, 4);
            assert_eq!(found(&target), 4);
            assert_settled(folder.path());
            if !crashed {
                break;
            }
        }
        if !more {
            break;
        }
    }
    assert!(outcomes.iter().all(|&count| count > 10), "old and new in good number: {outcomes:?}");
}

/// Nothing lies about but the checkpoint and, from the second save on, the sound one before it.
fn assert_settled(folder: &Path) {
    let names = names_in(folder);
    assert!(names == ["last"] || names == ["last", "last.previous"], "{names:?}");
    if names.len() == 2 {
        load(&Files::new(folder), &folder.join("last.previous")).unwrap();
    }
}

#[test]
fn a_crash_during_the_first_save_leaves_nothing_or_all() {
    for at in 0.. {
        let (folder, target) = run_folder();
        let crashed = failed(&target, 1, at, Fault::Crash).0;
        match open_dir(&target) {
            Ok(checkpoint) => assert_eq!(checkpoint.step, 1),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Model, "{error}"),
        }
        save(&target, 2);
        assert_eq!(found(&target), 2);
        assert_settled(folder.path());
        if !crashed {
            break;
        }
    }
}

#[test]
fn a_full_disk_keeps_the_old_checkpoint_and_leaves_nothing_behind() {
    for at in 0.. {
        let (folder, target) = run_folder();
        save(&target, 1);
        let (failed, result) = failed(&target, 2, at, Fault::Full);
        let names = names_in(folder.path());
        assert!(!names.iter().any(|name| name.contains("writing")), "step {at}: {names:?}");
        match result {
            Ok(()) => assert_eq!(found(&target), 2, "step {at}"),
            // The last step is to store the renames; that it failed does not undo them.
            Err(_) if names.contains(&"last.previous".into()) => assert_eq!(found(&target), 2, "step {at}"),
            Err(error) => {
                assert_eq!((found(&target), names), (1, vec!["last".into()]), "step {at}");
                assert_eq!(error.kind(), ErrorKind::Io);
                let told = error.to_string().contains("bytes to write, ");
                assert!(told || at > 3, "a failed write tells the room needed: {error}");
            }
        }
        save(&target, 3);
        assert_eq!(found(&target), 3);
        assert_settled(folder.path());
        if !failed {
            break;
        }
    }
}

#[test]
fn says_which_folder_it_took() {
    let (_folder, target) = run_folder();
    let missing = open_dir(&target).unwrap_err();
    assert!(missing.to_string().ends_with("expected a folder with a complete manifest, found none"), "{missing}");
    save(&target, 1);
    assert_eq!(open_dir(&target).unwrap().origin, Origin::Target);
    let (previous, writing) = (sibling(&target, "previous").unwrap(), sibling(&target, "writing").unwrap());
    fs::rename(&target, &previous).unwrap();
    assert_eq!(open_dir(&target).unwrap().origin, Origin::Previous);
    save(&target, 2);
    fs::rename(&target, &writing).unwrap();
    let checkpoint = open_dir(&target).unwrap();
    assert_eq!((checkpoint.origin, checkpoint.step, checkpoint.dir), (Origin::Writing, 2, writing));
}

#[test]
fn any_flipped_bit_is_noticed() {
    let (_folder, target) = run_folder();
    save(&target, 1);
    for name in ["state.json", "model.safetensors", MANIFEST] {
        let path = target.join(name);
        let good = fs::read(&path).unwrap();
        for bit in (0..8 * good.len()).step_by(if name == MANIFEST { 1 } else { 97 }) {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, bad).unwrap();
            match open_dir(&target) {
                Err(error) => assert_eq!(error.kind(), ErrorKind::Model, "{name}, bit {bit}: {error}"),
                // The manifest is not signed: white space may change, and the step become another number.
                Ok(_) => assert_eq!(name, MANIFEST),
            }
        }
        fs::write(&path, &good[..good.len() - 1]).unwrap();
        assert!(open_dir(&target).is_err(), "{name} cut");
        fs::write(&path, good).unwrap();
    }
    fs::write(target.join("state.json"), b"{\"step\":7}").unwrap();
    let error = open_dir(&target).unwrap_err();
    assert!(error.to_string().contains("state.json: content: expected SHA-256 "), "{error}");
    assert_eq!(found_after_damage(&target), (1, Origin::Previous));
}

/// Puts a sound checkpoint of step 1 beside the damaged target.
fn found_after_damage(target: &Path) -> (u64, Origin) {
    let damaged = target.with_file_name("damaged");
    fs::rename(target, &damaged).unwrap();
    save(target, 1);
    fs::rename(target, sibling(target, "previous").unwrap()).unwrap();
    fs::rename(damaged, target).unwrap();
    let checkpoint = open_dir(target).unwrap();
    assert_eq!(checkpoint.passed_over.len(), 1);
    (checkpoint.step, checkpoint.origin)
}

#[test]
fn keeps_what_it_did_not_write() {
    let (folder, target) = run_folder();
    fs::create_dir_all(target.join("photos")).unwrap();
    save(&target, 1);
    assert_eq!(names_in(folder.path()), ["last", "last.kept-1"]);
    fs::write(target.join("notes.txt"), "dear diary").unwrap();
    save(&target, 2);
    assert_eq!(names_in(folder.path()), ["last", "last.kept-1", "last.previous"]);
    save(&target, 3);
    assert_eq!(names_in(folder.path()), ["last", "last.kept-1", "last.previous", "last.previous.kept-1"]);
    assert_eq!(fs::read_to_string(folder.path().join("last.previous.kept-1/notes.txt")).unwrap(), "dear diary");
    assert_eq!(names_in(&folder.path().join("last.kept-1")), ["photos"]);
    assert_eq!(found(&target), 3);
}

#[test]
fn refuses_newer_versions_and_names_that_lead_elsewhere() {
    let (folder, target) = run_folder();
    save(&target, 1);
    let manifest = fs::read_to_string(target.join(MANIFEST)).unwrap();
    let edit = |from, to| fs::write(target.join(MANIFEST), manifest.replace(from, to)).unwrap();
    edit("state.json", "../secret");
    assert!(open_dir(&target).unwrap_err().to_string().contains("found `../secret`"));
    edit("\"bytes\"", "\"\\u001b[31m\"");
    assert!(open_dir(&target).unwrap_err().to_string().contains("unknown field `\\u{1b}[31m`"));
    edit("\"format_version\": 1", "\"format_version\": 2, \"new\": 3");
    let error = open_dir(&target).unwrap_err();
    assert!(error.to_string().ends_with("format_version: expected at most 1, found 2"), "{error}");
    save(&target, 3);
    assert_eq!(names_in(folder.path()), ["last", "last.kept-1"], "a newer checkpoint is kept");
    fs::write(target.join(MANIFEST), vec![b' '; 1 << 17]).unwrap();
    assert!(open_dir(&target).unwrap_err().to_string().contains("at most 65536 bytes, found 131072 bytes"));
}

#[cfg(unix)]
#[test]
fn a_link_is_not_followed_into_what_it_points_to() {
    let (folder, target) = run_folder();
    let elsewhere = folder.path().join("elsewhere");
    save(&elsewhere, 1);
    std::os::unix::fs::symlink(&elsewhere, &target).unwrap();
    save(&target, 2);
    assert_eq!((found(&target), found(&elsewhere)), (2, 1));
    fs::remove_file(target.join("state.json")).unwrap();
    std::os::unix::fs::symlink(elsewhere.join("state.json"), target.join("state.json")).unwrap();
    let error = open_dir(&target).unwrap_err().to_string();
    assert!(error.ends_with("expected a plain file of the run's own, found a link"), "{error}");
}

#[test]
fn a_file_is_replaced_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.csv");
    write_file(&path, b"old").unwrap();
    for at in 0..3 {
        let mut asked = 0;
        let result = write_file_on(
            &mut Disk { files: &below(&path), act: &mut failing(at, Fault::Full, &mut asked) },
            &path,
            b"new and longer",
        );
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.path().is_some()), (ErrorKind::Io, true));
        let expected: &[u8] = if at < 2 { b"old" } else { b"new and longer" };
        assert_eq!((fs::read(&path).unwrap(), names_in(folder.path())), (expected.into(), vec!["metrics.csv".into()]));
    }
    let nowhere = write_file(folder.path().join("no/such/folder"), b"").unwrap_err();
    assert!(nowhere.to_string().contains("no/such/folder: cannot write"), "{nowhere}");
    assert!(write_file(folder.path(), b"").is_err(), "a folder is not replaced by a file");
    assert!(write_file("..", b"").is_err());
}

#[cfg(unix)]
#[test]
fn a_device_is_written_to_and_a_link_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("file"), folder.path().join("link"));
    write_file(&file, b"old").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    write_file(&link, b"new").unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(&file).unwrap(), b"new");
    write_file("/dev/null", b"gone").unwrap();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

const CHILD: &str = "ELBO_TEST_SAVE_TO";

/// Not a test of its own: what the next one starts and kills.
#[test]
fn saves_without_end_when_started_as_a_child() {
    let Ok(target) = std::env::var(CHILD) else { return };
    let start = Instant::now();
    let first = open_dir(&target).map_or(1, |checkpoint| checkpoint.step + 1);
    for step in first.. {
        save_on(&mut perform, Path::new(&target), step).unwrap();
        if start.elapsed() > Duration::from_secs(10) {
            break;
        }
    }
}

#[test]
fn kill_dash_nine_at_fifty_random_times() {
    let (_folder, target) = run_folder();
    save(&target, 1);
    let (_, module) = module_path!().split_once("::").unwrap();
    let mut last = 1;
    for round in 0..50_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("{module}::saves_without_end_when_started_as_a_child")])
            .env(CHILD, &target)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(10 + round * 7 % 23));
        child.kill().unwrap();
        child.wait().unwrap();
        let step = found(&target);
        assert!(step >= last, "round {round}: step {step} after step {last}");
        last = step;
    }
    assert!(last > 10, "the child should have saved many times, and came to step {last}");
}
