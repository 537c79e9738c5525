//! Strangers' data, seen from the command: every problem at once, cures that work, nothing left out in silence, messages that steer no terminal.

use serde_json::Value;

use crate::support::Folder;

/// Grey pictures as PGM, `width` wide.
fn pgm(width: usize, height: usize, seed: u8) -> Vec<u8> {
    let header = format!("P5 {width} {height} 255\n").into_bytes();
    [header, (0..width * height).map(|i| seed.wrapping_mul(37).wrapping_add(i as u8)).collect()].concat()
}

/// The words of a command line with no quotes in it, without `elbo`.
fn line_of(output: &str) -> String {
    let line = output.lines().find_map(|line| line.strip_prefix("with these cures: elbo ")).expect("a command line");
    line.to_owned()
}

#[test]
fn every_problem_of_a_folder_is_told_at_once_and_the_last_line_cures_all() {
    let folder = Folder::new();
    for i in 0..12 {
        folder.write(&format!("photos/cat/{i}.pgm"), pgm(8, 8, i));
    }
    folder.write("photos/cat/wide.pgm", pgm(16, 8, 3));
    folder.write("photos/cat/cut.pgm", &pgm(8, 8, 1)[..20]);
    folder.write("photos/cat/IMG_1.HEIC", b"\0\0\0\x18ftypheic");
    folder.write("photos/cat/copy.pgm", pgm(8, 8, 5));
    let told = folder.run("data photos").refused(3, &["cut.pgm", "wide.pgm", "--on-bad-image skip", "--size 8x8"]);
    assert!(told.stdout.contains("1 .heic") && told.stdout.contains("`cat/copy.pgm`"), "{}", told.stdout);
    let line = line_of(&told.stdout);
    assert!(line.starts_with("train conv --data photos"), "{line}");
    folder.run(&line.replace("train conv --data", "data")).done();
    let small = "--epochs 1 --set network.channels=[4] --set model.latent=2 --out run --json";
    folder.run(&format!("{line} {small}")).done();
    let info: Value = serde_json::from_slice(&std::fs::read(folder.path("run/run.json")).unwrap()).unwrap();
    let notes = info["data"]["notes"].to_string();
    assert!(notes.contains("1 .heic") && notes.contains("cat/cut.pgm"), "{notes}");
    let report = std::fs::read_to_string(folder.path("run/report.html")).unwrap();
    assert!(report.contains("1 .heic"), "the report says nothing of what was left out");
    // One JSON object has all of it.
    let object = folder.run("data photos --json");
    let object = object.json();
    assert_eq!(object["problems"].as_array().unwrap().len(), 2, "{object}");
    assert!(object["duplicates"].to_string().contains("cat/copy.pgm"), "{object}");
}

#[test]
fn every_problem_of_a_table_is_told_at_once() {
    let folder = Folder::new();
    let rows: String =
        (0..40).map(|i| format!("{i},{},c{}\n", if i == 30 { "NA".into() } else { i.to_string() }, i % 2)).collect();
    folder.write("t.csv", format!("petal length,b,class\n{rows}"));
    let told = folder
        .run("data t.csv")
        .refused(3, &["line 2, column `class`", "--set data.label=class", "line 32", "data.missing=drop"]);
    let line = line_of(&told.stdout);
    assert_eq!(line, "train --data t.csv --label class --set data.missing=drop");
    folder.run(&format!("{line} --epochs 1 --out run")).done();
    // Points in time keep their digits in arrays too.
    let times: String = (0..60).map(|i| format!("{},{i}\n", 1_700_000_000_000u64 + i)).collect();
    folder.write("time.csv", format!("when,b\n{times}"));
    folder.run("train --data time.csv --epochs 1 --out times").done();
    folder.run("sample times -n 4 --out rows.npy").done();
    let array = std::fs::read(folder.path("rows.npy")).unwrap();
    assert!(String::from_utf8_lossy(&array[..80]).contains("<f8"), "rows are float64");
}

#[test]
fn names_of_files_steer_no_terminal() {
    let escape = "\x1b]0;owned\x07\x1b[31m";
    let folder = Folder::new();
    let rows: String = (0..30).map(|i| format!("{i},{},{}\n", i * i % 7, i % 3)).collect();
    folder.write("t.csv", format!("a,b{escape},c\n{rows}"));
    let report = folder.run("data t.csv").done();
    folder.write("bad.csv", format!("a,b{escape},c\n1,x,3\n"));
    let refused = folder.run("data bad.csv");
    folder.write(&format!("set/c{escape}/1.pgm"), pgm(4, 4, 1));
    folder.write("set/d/2.pgm", pgm(4, 4, 2));
    let classes = folder.run("data set").done();
    for outcome in [&report, &refused, &classes] {
        assert!(!(outcome.stdout.clone() + &outcome.stderr).contains('\x1b'), "{outcome:?}");
    }
    folder.write("wide.csv", format!("{},b\n1,x\n", "a".repeat(300_000)));
    let outcome = folder.run("data wide.csv --columns zz");
    assert!(outcome.stderr.len() < 2048, "{} bytes", outcome.stderr.len());
}

#[test]
fn one_picture_is_a_set_of_one_and_other_files_are_named_with_a_way() {
    let folder = Folder::new();
    folder.write("photo.pgm", pgm(28, 28, 1));
    assert!(folder.run("data photo.pgm").done().stdout.contains("1 train"));
    folder.train("run", "").done();
    folder.run("score run --data photo.pgm --split all --out s.csv").done();
    for (name, start, found) in [
        ("a.heic", &b"\0\0\0\x18ftypheic\0\0\0\0"[..], "a HEIC picture"),
        ("b.h5", b"\x89HDF\r\n\x1a\nxxxxxxxx", "HDF5"),
        ("c.7z", b"7z\xbc\xaf\x27\x1cxxxxxxxx", "7z archive"),
        ("d.mat", b"MATLAB 5.0 MAT-file", "MATLAB"),
        ("e.pkl", b"\x80\x04\x95xxxxxxxx", "pickle"),
    ] {
        folder.write(name, start);
        let refused = folder.run(&format!("data {name}")).refused(3, &[name, found]);
        assert!(!refused.stderr.contains("idx3") && !refused.stderr.contains("damaged"), "{}", refused.stderr);
    }
}

#[test]
fn pictures_of_16_bits_are_told_of_and_kept_in_training() {
    let folder = Folder::new();
    for i in 0..20u16 {
        let values: Vec<u8> = (0..64u16).flat_map(|v| (v * 60 + i).to_be_bytes()).collect();
        folder.write(&format!("deep/{i}.pgm"), [b"P5 8 8 65535\n".to_vec(), values].concat());
    }
    let small = "--epochs 1 --set network.hidden=[8] --set model.latent=2";
    let told = folder.run(&format!("train --data deep {small} --out shallow")).done();
    assert!(
        told.stderr.contains("warning: 16 bits become 8") && told.stderr.contains("data.depth=16"),
        "{}",
        told.stderr
    );
    let kept = folder.run(&format!("train --data deep {small} --set data.depth=16 --out kept")).done();
    assert!(!kept.stderr.contains("warning: 16 bits"), "{}", kept.stderr);
    let info: Value = serde_json::from_slice(&std::fs::read(folder.path("kept/run.json")).unwrap()).unwrap();
    assert_eq!(info["data"]["domain"], "unit", "{info}");
}
