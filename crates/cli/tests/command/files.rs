//! The files that commands leave: complete, in the documented form, and the same bytes for the same seed.

use std::fs;

use crate::support::{Folder, snapshot};

/// Shape and values of a float32 `.npy` file, by the format's own rules.
fn npy(bytes: &[u8]) -> (Vec<usize>, Vec<f32>) {
    assert_eq!(&bytes[..6], b"\x93NUMPY");
    let header_length = match bytes[6] {
        1 => u16::from_le_bytes([bytes[8], bytes[9]]) as usize + 10,
        _ => u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize + 12,
    };
    let header = String::from_utf8(bytes[10..header_length].to_vec()).unwrap();
    assert!(header.contains("'descr': '<f4'") && header.contains("'fortran_order': False"), "{header}");
    let shape = header.split(['(', ')']).nth(1).unwrap();
    let shape = shape.split(',').filter_map(|n| n.trim().parse().ok()).collect();
    let values = bytes[header_length..].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    (shape, values)
}

#[test]
fn a_run_has_every_file_it_promises() {
    let folder = Folder::new();
    folder.train("run", "--set model.latent=2").done();
    let files: Vec<String> = snapshot(&folder.path("run")).into_keys().map(|p| p.display().to_string()).collect();
    for name in [
        "config.toml",
        "metrics.csv",
        "metrics.jsonl",
        "events.out.tfevents.",
        "checkpoints/last/model.safetensors",
        "checkpoints/last/manifest.json",
        "checkpoints/best/model.safetensors",
        "checkpoints/best/config.toml",
        "samples/epoch-0001.png",
        "samples/epoch-0002.png",
        "samples/reconstructions-0001.png",
        "samples/reconstructions-0002.png",
        "plots/loss.png",
        "plots/recon.png",
        "plots/kl.png",
        "report.html",
        "run.json",
    ] {
        assert!(files.iter().any(|file| file.starts_with(name)), "no {name} among {files:?}");
    }
    assert!(!files.iter().any(|file| file.contains("writing")), "leftovers: {files:?}");

    let read = |name: &str| fs::read_to_string(folder.path("run").join(name)).unwrap();
    let metrics = read("metrics.csv");
    assert_eq!(metrics.lines().count(), 3, "{metrics}");
    assert!(metrics.starts_with("epoch,step,learning_rate,beta,train_recon,"), "{metrics}");
    for line in read("metrics.jsonl").lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    let page = read("report.html");
    assert!(!page.contains("<script src") && !page.contains("<link") && page.contains("data:image/png;base64,"));
    let info = crate::support::info(&folder.path("run"));
    assert_eq!((&info["format"], &info["status"], &info["epochs"]), (&1.into(), &"finished".into(), &2.into()));
    assert_eq!(info["data"]["fingerprint"].as_str().unwrap().len(), 64);
}

/// A picture is 28 x 28 bytes of its index, so that codes tell which picture they are of.
fn idx(count: u8) -> Vec<u8> {
    let header = [0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 28, 0, 0, 0, 28];
    let pixels = (0..count).flat_map(|i| (0..784u32).map(move |p| (p * u32::from(i + 1) % 251) as u8));
    header.into_iter().chain(pixels).collect()
}

#[test]
fn codes_are_float32_in_the_order_of_the_data() {
    let folder = Folder::new();
    folder.train("run", "").done();
    folder.write("all", idx(20));
    folder.run("encode run --data all --out all.npy").done();
    let (shape, codes) = npy(&fs::read(folder.path("all.npy")).unwrap());
    assert_eq!((shape, codes.len()), (vec![20, 3], 60));
    assert!(codes.iter().all(|value| value.is_finite()));

    // The first seven alone have the same codes, row by row.
    folder.write("some", idx(7));
    folder.run("encode run --data some --out some.npy").done();
    let (shape, some) = npy(&fs::read(folder.path("some.npy")).unwrap());
    assert_eq!(shape, [7, 3]);
    for (a, b) in some.iter().zip(&codes) {
        assert!((a - b).abs() < 1e-5, "{a} is not {b}");
    }

    folder.run("encode run --data all --out all.csv").done();
    let table = fs::read_to_string(folder.path("all.csv")).unwrap();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0], ["index", "label", "mean_0", "mean_1", "mean_2", "log_var_0", "log_var_1", "log_var_2"]);
    for (i, row) in rows[1..].iter().enumerate() {
        assert_eq!(row[0], i.to_string());
        assert_eq!(row[3].parse::<f32>().unwrap(), codes[3 * i + 1]);
    }
}

#[test]
fn pictures_are_arrays_too() {
    let folder = Folder::new();
    folder.train("run", "").done();
    folder.run("sample run --out s.npy -n 7").done();
    let (shape, values) = npy(&fs::read(folder.path("s.npy")).unwrap());
    assert_eq!((shape, values.len()), (vec![7, 1, 28, 28], 7 * 784));
    assert!(values.iter().all(|value| (0.0..=1.0).contains(value)));
    folder.run("reconstruct run --out r.npy -n 500 --split test").done();
    assert_eq!(npy(&fs::read(folder.path("r.npy")).unwrap()).0, [50, 1, 28, 28], "no more than there are");
}

#[test]
fn equal_seeds_give_equal_bytes_and_other_seeds_others() {
    let folder = Folder::new();
    folder.train("run", "--set model.latent=2").done();
    for (line, seeded) in [
        ("sample run --out OUT.png", true),
        ("sample run --out OUT.npy", true),
        ("reconstruct run --out OUT.png -n 6", true),
        ("reconstruct run --out OUT.npy -n 6", true),
        ("interpolate run --out OUT.png", true),
        ("data digits --set data.count=50 --out OUT.png", true),
        ("traverse run --out OUT.png", false),
        ("grid run --out OUT.png", false),
        ("grid run --spacing quantiles --out OUT.npy", false),
        ("encode run --out OUT.npy", false),
        ("encode run --split all --out OUT.csv", false),
    ] {
        let bytes = |name: &str, flags: &str| {
            let line = format!("{} {flags}", line.replace("OUT", name));
            folder.run(&line).done();
            let out = line.split_whitespace().find(|word| word.starts_with(name)).unwrap();
            fs::read(folder.path(out)).unwrap()
        };
        let first = bytes("out-a", "");
        assert_eq!(first, bytes("out-b", "--threads 2"), "{line}");
        if seeded {
            assert_ne!(first, bytes("out-c", "--seed 5"), "{line}");
        }
    }
}
