//! Folders and archives of pictures (D7-D11), seen from the command: what is said, what is decoded once only, and memory that a picture's header cannot
//! take.

use std::fs;
use std::process::Command;

use crate::support::{Folder, info};

const TINY: &str = "--set network.hidden=[8] --set model.latent=2 --epochs 1 --batch-size 4";

/// A PGM file whose pixels follow from `seed`.
fn pgm(height: usize, width: usize, seed: usize) -> Vec<u8> {
    let pixels = (0..height * width).map(|i| ((i * 7 + seed * 29) % 256) as u8);
    format!("P5 {width} {height} 255\n").into_bytes().into_iter().chain(pixels).collect()
}

/// A PNG file of 60,000 x 60,000 pixels in a hundred bytes.
fn bomb() -> Vec<u8> {
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(&[kind, data].concat());
        [&(data.len() as u32).to_be_bytes()[..], kind, data, &crc.sum().to_be_bytes()].concat()
    };
    let side = 60_000u32.to_be_bytes();
    let header = [&side[..], &side, &[1, 0, 0, 0, 0]].concat();
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &header), chunk(b"IDAT", &[0; 20]), chunk(b"IEND", b"")].concat()
}

fn with_pictures(count: usize) -> Folder {
    let folder = Folder::new();
    for i in 0..count {
        folder.write(&format!("set/{}/{i:03}.pgm", ["cat", "dog"][i % 2]), pgm(6, 5, i));
    }
    folder
}

#[test]
fn a_folder_trains_resumes_and_is_decoded_once() {
    let folder = with_pictures(40);
    let first = folder.run("data set --json").done();
    let report = first.json();
    assert_eq!(report["shape"].to_string(), "[1,6,5]");
    assert_eq!((report["name"].as_str(), report["splits"]["train"].as_u64()), (Some("set"), Some(34)));
    assert_eq!(report["labels"][1]["name"], "dog");
    let findings = report["findings"].to_string();
    assert!(findings.contains("size 6x5") && findings.contains("1 channel"), "{findings}");
    let cached = || fs::read_dir(folder.path("home/pictures")).unwrap().count();
    let files = cached();
    let trained = folder.run(&format!("train --data set {TINY} --out run")).done();
    assert!(
        trained.stderr.contains("note   size 6x5 (height x width), which all 40 pictures have"),
        "{}",
        trained.stderr
    );
    folder.run("resume run --epochs 2").done();
    assert_eq!(cached(), files, "the same cache file served all three");
    assert_eq!(info(&folder.path("run"))["data"]["shape"].to_string(), "[1,6,5]");
    folder.write("set/cat/000.pgm", pgm(6, 5, 99));
    folder.run("resume run --epochs 3").refused(3, &["content sha256", "start a new run"]);
    // Other pictures come to the size of the run's.
    folder.write("other/a.pgm", pgm(13, 9, 1));
    folder.write("other/b.pgm", pgm(7, 30, 2));
    folder.run("reconstruct run --data other --out pairs.png").done();
}

#[test]
fn d8_the_cure_for_mixed_sizes_works() {
    let folder = with_pictures(9);
    folder.write("set/cat/wide.pgm", pgm(6, 11, 1));
    let refused = folder.run("data set").refused(3, &["9 of 6x5", "cat/wide.pgm (6x11)", "--size 6x5 --fit crop"]);
    let flags = refused.stderr.split('`').find(|part| part.starts_with("--size")).unwrap().to_owned();
    let report = folder.run(&format!("data set --json {flags}")).done().json();
    assert_eq!(report["shape"].to_string(), "[1,6,5]");
    let rgb = folder.run("data set --json --size 4 --fit pad --channels 3").done().json();
    assert_eq!(rgb["shape"].to_string(), "[3,4,4]");
    let config =
        folder.run("config --data set --size 4x3 --fit stretch --channels 1 --on-bad-image skip").done().stdout;
    for line in ["size = \"4x3\"", "fit = \"stretch\"", "channels = 1", "on_bad_image = \"skip\""] {
        assert!(config.contains(line), "{config}");
    }
    folder.run("data set --size 0").refused(2, &["data.size", "HEIGHTxWIDTH"]);
    folder.run("data set --fit squeeze").refused(2, &["data.fit", "crop"]);
    folder.run("data set --channels 2").refused(2, &["data.channels", "1 or 3"]);
    folder.run("data set --on-bad-image hide").refused(2, &["data.on_bad_image", "skip"]);
}

#[test]
fn d7_a_header_takes_no_memory() {
    let folder = with_pictures(6);
    folder.write("set/cat/bomb.png", bomb());
    folder.run_within(400, "data set").refused(3, &["cat/bomb.png"]);
    let skipped = folder.run_within(400, "data set --json --on-bad-image skip").done().json();
    assert!(skipped["findings"].to_string().contains("1 of 7 files are bad and left out: cat/bomb.png"), "{skipped}");
}

#[test]
fn d9_one_picture_trains_and_none_is_said() {
    let folder = Folder::new();
    folder.write("one/a.pgm", pgm(4, 4, 0));
    folder.run(&format!("train --data one {TINY} --out run")).done();
    folder.write("none/readme.txt", "no picture");
    folder.run("data none").refused(3, &["none", "only 1 other file", "IDX files"]);
}

#[test]
fn d10_a_pipe_holds_nothing_up() {
    let folder = with_pictures(4);
    assert!(Command::new("mkfifo").arg(folder.path("set/cat/pipe.png")).status().unwrap().success());
    folder.run("data set").refused(3, &["cat/pipe.png", "a pipe, socket or device"]);
    folder.run("data set --on-bad-image skip").done();
}

#[test]
fn a_full_or_locked_cache_folder_is_no_obstacle() {
    let folder = with_pictures(4);
    folder.write("home/pictures", "a file where a folder should be");
    let report =
        folder.run("train --data set --epochs 1 --set network.hidden=[8] --set model.latent=2 --out run").done();
    assert!(report.stderr.contains("kept in memory, for this run only"), "{}", report.stderr);
}

#[test]
fn real_cifar10_pictures_train() {
    let Some(data) = std::env::var_os("ELBO_DATA") else {
        println!("skipped: ELBO_DATA not set");
        return;
    };
    let folder = Folder::new();
    let mut command = folder.command("data cifar10 --json");
    let report = folder.start(command.env("ELBO_DATA", data)).finish().done().json();
    assert_eq!((report["name"].as_str(), report["splits"]["test"].as_u64()), (Some("cifar10-jpeg"), Some(2000)));
    assert_eq!(
        (report["splits"]["train"].as_u64(), report["labels"][0]["name"].as_str()),
        (Some(19_000), Some("airplane"))
    );
}

#[test]
fn a_bench_from_files_decodes_anew_and_keeps_nothing() {
    let folder = Folder::new();
    for i in 0..60 {
        folder.write(&format!("set/{i:03}.pgm"), pgm(32, 24, i));
    }
    let measured = folder.run("bench faces --data set --seconds 1 --json").done().json();
    assert_eq!((measured["workload"].as_str(), measured["pipeline"]["decoded"].as_u64()), (Some("faces"), Some(60)));
    let speed = |value: &serde_json::Value| value.as_f64().expect("a number");
    let (steps, whole) = (&measured["images_per_s"], &measured["pipeline"]["end_to_end_images_per_s"]);
    assert!(0.0 < speed(whole) && speed(whole) < speed(steps), "{measured}");
    assert!(!folder.path("home/pictures").exists());
    folder.run("bench faces --data nowhere").refused(3, &["nowhere"]);
}
