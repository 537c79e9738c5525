//! Bad data (D1-D4, D9), seen from the command: exit code 3, the place in the file, the cure, and memory that does not follow a lying header.

use std::io::Write;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::{Chance, Folder};

/// Address space in megabytes for reading files of up to 47 MB.
const MEMORY: usize = 400;

fn header(count: u32, height: u32, width: u32) -> Vec<u8> {
    [0x803, count, height, width].into_iter().flat_map(u32::to_be_bytes).collect()
}

/// Images whose pixels do not compress away.
fn idx(count: u32, height: u32, width: u32) -> Vec<u8> {
    let mut chance = Chance(7);
    let pixels = (0..count * height * width).map(|_| chance.below(256) as u8);
    header(count, height, width).into_iter().chain(pixels).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Both commands that open data say the same.
#[track_caller]
fn refused(folder: &Folder, name: &str, parts: &[&str]) {
    let began = Instant::now();
    for line in [format!("data {name}"), format!("train --data {name} --out run")] {
        let parts: Vec<&str> = [&[name, "help: "], parts].concat();
        folder.run_within(MEMORY, &line).refused(3, &parts);
    }
    assert!(!folder.path("run").exists());
    assert!(began.elapsed() < Duration::from_secs(3), "{name} took {:?}", began.elapsed());
}

#[test]
fn d1_a_gzip_file_cut_off_anywhere_is_never_a_smaller_data_set() {
    let folder = Folder::new();
    let whole = gzip(&idx(60, 8, 8));
    folder.write("whole.gz", &whole);
    folder.run("data whole.gz").done();
    let ends = (1..20).map(|share| whole.len() * share / 20).chain((1..=8).map(|end| whole.len() - end));
    for end in ends {
        folder.write("cut.gz", &whole[..end]);
        folder
            .run("data cut.gz")
            .refused(3, &["cut.gz", "gzip stream ends early at byte", "download or copy it again"]);
    }
    folder.write("cut.gz", &whole[..whole.len() / 2]);
    refused(&folder, "cut.gz", &["60 images of 8 x 8", "got "]);
    let mut flipped = whole.clone();
    let crc = flipped.len() - 7;
    flipped[crc] ^= 1;
    folder.write("flipped.gz", &flipped);
    refused(&folder, "flipped.gz", &["damaged"]);
    folder.write("tail.gz", [&whole[..], b"garbage that is no gzip"].concat());
    refused(&folder, "tail.gz", &["followed by other bytes"]);
    folder.write("plain", &idx(60, 8, 8)[..3000]);
    refused(&folder, "plain", &["byte 3000", "60 images of 8 x 8", "got 46 images", "cut off"]);
}

#[test]
fn d2_files_that_are_something_else_are_named() {
    let folder = Folder::new();
    let labels: Vec<u8> = [&[0, 0, 8, 1, 0, 0, 0, 9][..], &[1; 9]].concat();
    for (name, bytes, found) in [
        ("labels", labels.clone(), "IDX labels"),
        ("labels.gz", gzip(&labels), "IDX labels (magic 0x00000801) inside gzip"),
        ("floats", [&[0, 0, 0x0d, 3][..], &[0; 40]].concat(), "32-bit floats"),
    ] {
        folder.write(name, bytes);
        refused(&folder, name, &["bytes 0..4", "expected IDX images (magic 0x00000803)", found]);
    }
    // A picture is a set of one; what begins as nothing that is read is told what is.
    folder.write("photo.gz", b"\xff\xd8\xff\xe0 and more of it");
    refused(&folder, "photo.gz", &["expected a readable JPEG file"]);
    for (name, bytes, found) in [
        ("empty", vec![], "an empty file"),
        ("three", vec![0, 0, 8], "a file of 3 bytes"),
        ("page.html", b"<html><body>404 not found</body></html>".to_vec(), "an HTML page"),
    ] {
        folder.write(name, bytes);
        refused(&folder, name, &["expected a folder of pictures", "or IDX files", found]);
    }
}

#[test]
fn d3_sizes_in_a_header_are_not_believed() {
    let folder = Folder::new();
    for (name, bytes, found) in [
        ("all", header(u32::MAX, u32::MAX, u32::MAX), "4294967295 x 4294967295 x 4294967295"),
        ("wide", header(1, u32::MAX, u32::MAX), "1 x 4294967295 x 4294967295"),
        ("more", [header(1_000_000_000, 28, 28), vec![0; 784]].concat(), "got 1 images"),
        ("none", header(0, 28, 28), "count 0"),
        ("flat", header(5, 0, 28), "height 0"),
        ("thin", header(5, 28, 0), "width 0"),
    ] {
        folder.write(name, &bytes);
        refused(&folder, name, &[found]);
        folder.write(&format!("{name}.gz"), gzip(&bytes));
        refused(&folder, &format!("{name}.gz"), &[]);
    }
}

#[test]
fn d4_a_gzip_bomb_is_read_as_far_as_its_header_promises() {
    let folder = Folder::new();
    // A thousand members of ten million zeros each: ten megabytes that unpack to ten gigabytes.
    let member = gzip(&vec![0; 10_000_000]);
    let bomb = [gzip(&header(60_000, 28, 28)), member.repeat(1_000)].concat();
    assert!(bomb.len() > 9_000_000);
    folder.write("bomb.gz", bomb);
    refused(&folder, "bomb.gz", &["60000 images of 28 x 28", "more data than header declares"]);
}

#[test]
fn d9_folders_without_data_say_what_was_looked_for() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("nothing")).unwrap();
    folder.write("texts/readme.md", "no images");
    folder.write("hidden/.images", "none either");
    folder.write("void/a.png", "");
    for name in ["nothing", "texts", "hidden"] {
        refused(&folder, name, &[".png", "found", "four IDX files"]);
    }
    refused(&folder, "void", &["a.png", "--on-bad-image skip"]);
    folder.write("half/train-images-idx3-ubyte", idx(5, 4, 4));
    refused(&folder, "half", &["no train-labels-idx1-ubyte", "no t10k-images"]);
    refused(&folder, "nowhere", &["a path that exists", "digits, sprites, mnist, fashion-mnist"]);
    folder
        .run("train --data mnist --out run")
        .refused(3, &["four IDX files", "train-images-idx3-ubyte.gz", "home", "--data PATH"]);
}

#[test]
fn d9_one_image_trains_and_so_do_fewer_than_a_batch() {
    let folder = Folder::new();
    for (count, height, width) in [(1, 8, 8), (2, 5, 7), (10, 1, 1), (40, 3, 100)] {
        let name = format!("images-{count}");
        folder.write(&name, idx(count, height, width));
        folder.run(&format!("data {name} --out {name}.png")).done();
        let line = format!(
            "train --data {name} --set network.hidden=[8] --set model.latent=2 --epochs 2 --out run-{count} --json"
        );
        let value = folder.run(&line).done().json();
        // A set so small that nothing is held back for the test has no test numbers.
        let held_back = crate::support::info(&folder.path(&format!("run-{count}")))["data"]["test"] != 0;
        assert_eq!(value["test"]["loss"].as_f64().is_some_and(f64::is_finite), held_back, "{value}");
        folder.run(&format!("encode run-{count} --split all --out z.npy")).done();
        folder.run(&format!("sample run-{count} --out s.png")).done();
        folder.run(&format!("reconstruct run-{count} --split all --out r.png")).done();
        folder.run(&format!("resume run-{count} --epochs 3")).done();
    }
    folder.run("eval run-1").refused(2, &["--split", "empty `test`"]);
    folder.run("interpolate run-1 --split all --out i.png").refused(2, &["at least two images"]);
}

#[test]
fn pictures_of_one_value_and_other_shapes_are_survived() {
    let folder = Folder::new();
    folder.write("black", [header(50, 4, 4), vec![0; 800]].concat());
    folder.write("white", [header(50, 4, 4), vec![255; 800]].concat());
    for name in ["black", "white"] {
        let seen = folder.run(&format!("data {name} --json")).done().json();
        let findings = seen["findings"].to_string();
        assert!(findings.contains("all 42 images are the same"), "{findings}");
        folder
            .run(&format!(
                "train --data {name} --set network.hidden=[8] --set model.latent=2 --epochs 2 --out {name}-run"
            ))
            .done();
    }
    folder.write("small", idx(30, 5, 5));
    folder.run("eval black-run --data small").refused(3, &["small", "image shape", "1 x 4 x 4", "1 x 5 x 5"]);
    // What the run held back of its own data says nothing of others.
    folder.run("train --data black --set data.validation=30 --set network.hidden=[8] --epochs 1 --out held").done();
    folder.write("few", idx(5, 4, 4));
    assert_eq!(folder.run("eval held --data few --json").done().json()["n"], 5);
    folder.run("bench --data small").refused(2, &["--data", "784"]);
}

#[test]
fn the_doctor_holds_the_likelihood_against_the_values() {
    let folder = Folder::new();
    folder.write("grey", idx(60, 8, 8));
    folder.write("rows.csv", "a,b\n1,2\n3,5\n-4,1\n0,7\n2,2\n");
    let said = |line: &str| {
        let report = folder.run(&format!("data {line} --json")).done().json();
        let findings = report["findings"].as_array().expect("a list").clone();
        let about = |finding: &serde_json::Value| finding["message"].as_str().is_some_and(|m| m.contains("likelihood"));
        findings.into_iter().find(about).map(|finding| {
            let text = |key: &str| finding[key].as_str().expect("text").to_owned();
            (text("severity"), text("help"))
        })
    };
    let (severity, help) = said("grey").expect("bernoulli on grey values");
    assert_eq!(severity, "note");
    // The cure is a flag that cures.
    assert!(
        help.contains("--set data.binarize=dynamic") && help.contains("--set model.likelihood=discretised-logistic")
    );
    assert_eq!(said("grey --set data.binarize=dynamic"), None);
    assert_eq!(said("grey --set model.likelihood=discretised-logistic"), None);
    assert_eq!(said("grey --recipe cifar10-conv"), None);
    assert_eq!(said("rows.csv"), None, "`elbo train` takes the recipe `table`");
    let (severity, help) = said("rows.csv --set model.likelihood=bernoulli").expect("no likelihood of real numbers");
    assert_eq!(severity, "warning");
    assert!(help.contains("--set model.likelihood=gaussian-shared"), "{help}");
}
