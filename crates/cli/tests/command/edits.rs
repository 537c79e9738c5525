//! `elbo arithmetic` and `neighbours`.

use std::fs;

use serde_json::Value;

use crate::support::Folder;

fn floats(folder: &Folder, name: &str) -> Vec<f32> {
    let bytes = fs::read(folder.path(name)).unwrap();
    bytes[128..].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// The mean of the codes that `elbo encode` writes for a class of a split.
fn mean_of_class(folder: &Folder, split: &str, class: &str) -> Vec<f64> {
    folder.run(&format!("encode run --split {split} --out mean.csv")).done();
    let text = fs::read_to_string(folder.path("mean.csv")).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    let chosen: Vec<_> = rows.iter().filter(|row| row[1] == class).collect();
    (2..5).map(|c| chosen.iter().map(|row| row[c].parse::<f64>().unwrap()).sum::<f64>() / chosen.len() as f64).collect()
}

#[test]
fn a_vector_is_the_difference_of_means_and_moves_pictures() {
    let folder = Folder::new();
    folder.train("run", "").done();
    let line = "arithmetic run --from 0,4,9 --add label:7 --subtract label:1 --scale 0,1,-0.5";
    let value = folder.run(&format!("{line} --out a.npy --json")).done().json();
    assert_eq!(value["rows"].to_string(), r#"["original","reconstruction","scale 0","scale 1","scale -0.5"]"#);
    let (add, subtract) = (mean_of_class(&folder, "train", "7"), mean_of_class(&folder, "train", "1"));
    let vector = numbers(&value["vector"]);
    for dim in 0..3 {
        assert!((vector[dim] - (add[dim] - subtract[dim])).abs() < 1e-5, "{value}");
    }
    let length = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
    assert!((value["vector_length"].as_f64().unwrap() - length).abs() < 1e-12);
    let pixels = floats(&folder, "a.npy");
    assert_eq!(pixels.len(), 5 * 3 * 784);
    let row = |i: usize| &pixels[i * 3 * 784..(i + 1) * 3 * 784];
    assert_eq!(row(1), row(2), "nothing added, nothing changed");
    assert_ne!(row(1), row(3));
    folder.run(&format!("{line} --out a.png")).done();
    folder.run("arithmetic run --from label:3 -n 2 --subtract label:0 --out b.png").done();
}

#[test]
fn sets_may_be_folders() {
    let folder = Folder::new();
    let pgm = |i: usize| {
        let pixels: Vec<u8> = (0..20).map(|p| (p * 7 + i * 29) as u8).collect();
        [b"P5 5 4 255\n".as_slice(), &pixels].concat()
    };
    for i in 0..24 {
        folder.write(&format!("set/{}/{i:02}.pgm", ["cat", "dog"][i % 2]), pgm(i));
    }
    folder
        .run("train --data set --set network.hidden=[8] --set model.latent=2 --epochs 1 --batch-size 4 --out run")
        .done();
    let value = folder
        .run("arithmetic run --from set/cat --add set/dog --subtract set/cat -n 5 --out a.png --json")
        .done()
        .json();
    assert_eq!((&value["add"]["n"], &value["subtract"]["n"], &value["images"]), (&12.into(), &12.into(), &5.into()));
    let by_label = folder.run("arithmetic run --add label:dog --out b.png --json").done().json();
    assert_eq!(by_label["subtract"], Value::Null);
}

#[test]
fn sets_that_cannot_be_are_refused_with_a_cure() {
    let folder = Folder::new();
    folder.train("run", "").done();
    for (code, line, parts) in [
        (2, "arithmetic run --out a.png", vec!["--add"]),
        (2, "arithmetic run --add label:eleven --out a.png", vec!["--add", "label:", "0, 1, 2", "label:eleven"]),
        (3, "arithmetic run --add nowhere --out a.png", vec!["nowhere"]),
        (2, "arithmetic run --add label:1 --from 0,77 --out a.png", vec!["--from", "0 to 49", "77"]),
        (2, "arithmetic run --add label:1 --scale nan --out a.png", vec!["--scale"]),
        (2, "arithmetic run --add label:1 --out a.gif", vec!["--out", ".png or .npy"]),
        (2, "neighbours run --out a.npy", vec!["--out", ".png"]),
        (2, "neighbours run --out a.png -k 0", vec!["--k", "1 to 50"]),
        (2, "neighbours run --out a.png --images 5000", vec!["--images", "0 to"]),
        (2, "neighbours run --out a.png --sampler best", vec!["sampler"]),
    ] {
        folder.run(line).refused(code, &parts);
    }
}

#[test]
fn training_images_are_found_to_be_copies_and_unseen_ones_are_not() {
    let folder = Folder::new();
    folder.train("run", "").done();
    let samples = folder.run("neighbours run --out s.png -n 20 -k 3 --json").done().json();
    assert_eq!((&samples["n"], &samples["k"], &samples["images"]), (&20.into(), &3.into(), &"samples".into()));
    assert_eq!(samples["pixels"]["nearest"].as_array().unwrap().len(), 20);
    assert!(samples["summary"].as_str().unwrap().contains("times as far"), "{samples}");
    for nearest in samples["codes"]["nearest"].as_array().unwrap() {
        let distances: Vec<f64> = nearest.as_array().unwrap().iter().map(|n| n["distance"].as_f64().unwrap()).collect();
        assert!(distances.len() == 3 && distances.windows(2).all(|pair| pair[0] <= pair[1]), "{nearest}");
    }
    // Held-out images beside themselves.
    let images: Vec<String> = (0..50).map(|i| i.to_string()).collect();
    let unseen = folder.run(&format!("neighbours run --out u.png --json --images {}", images.join(","))).done().json();
    assert!((unseen["pixels"]["ratio"].as_f64().unwrap() - 1.0).abs() < 1e-12, "{unseen}");
    // The data themselves: all are their own nearest training image, but for those held out.
    let copies = folder.run("neighbours run --out c.png --json --data digits -n 60").done().json();
    let zero = copies["pixels"]["nearest"].as_array().unwrap().iter().filter(|found| found[0]["distance"] == 0.0);
    assert!(zero.count() >= 40, "{}", copies["pixels"]["nearest"]);
    assert!(copies["pixels"]["ratio"].as_f64().unwrap() < 0.1);
    assert!(copies["summary"].as_str().unwrap().contains("look copied"), "{}", copies["summary"]);
}
