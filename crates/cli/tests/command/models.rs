//! Damaged, foreign and impossible models (M1-M3, M5): refused by name and place, with nothing half-loaded and nothing huge allocated.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::{Chance, Folder, edit, info, reseal, training};

/// Address space in megabytes in which everything here must fit; the sizes asked for are up to a billion times that.
const MEMORY: usize = 400;

/// A run with nothing to fall back on.
fn trained() -> Folder {
    let folder = Folder::new();
    folder.train("run", "").done();
    for name in ["last.previous", "best.previous"] {
        fs::remove_dir_all(folder.path("run/checkpoints").join(name)).unwrap();
    }
    folder
}

#[test]
fn a_damaged_checkpoint_is_told_of_and_the_one_before_it_taken() {
    let folder = Folder::new();
    folder.train("whole", "").done();
    folder.train("run", "").done();
    let path = folder.path("run/checkpoints/last/model.safetensors");
    let damage = |path: &std::path::Path, byte: usize| {
        let mut bytes = fs::read(path).unwrap();
        bytes[byte] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    damage(&path, 3000);
    let warned = ["warning: ", "last/model.safetensors", "SHA-256", "saved before it"];
    for line in ["eval run --json", "sample run --out x.png --quiet", "compare run"] {
        let outcome = folder.run(line).done();
        assert!(warned.iter().all(|part| outcome.stderr.contains(part)), "{line}: {}", outcome.stderr);
    }
    // What training lost is trained again, to the same bits.
    let resumed = folder.run("resume run").done();
    assert!(warned.iter().all(|part| resumed.stderr.contains(part)), "{}", resumed.stderr);
    assert_eq!(training(&folder.path("run")), training(&folder.path("whole")));
    assert!(!folder.run("eval run").done().stderr.contains("warning"));
    // With both damaged there is nothing left to take.
    damage(&path, 4000);
    damage(&folder.path("run/checkpoints/last.previous/model.safetensors"), 4000);
    folder.run("eval run").refused(4, &["last/model.safetensors", "SHA-256"]);
    folder.run("resume run").refused(4, &["last/model.safetensors", "SHA-256"]);
}

#[test]
fn damage_of_any_kind_to_a_weight_file_is_noticed() {
    let folder = trained();
    let path = folder.path("run/checkpoints/last/model.safetensors");
    let good = fs::read(&path).unwrap();
    let mut chance = Chance(3);
    for i in 0..24 {
        let mut bytes = good.clone();
        match i {
            0..8 => bytes.truncate(chance.below(good.len())),
            8 => bytes.clear(),
            9 => bytes.push(0),
            _ => {
                let place = chance.below(good.len());
                bytes[place] ^= 1 << chance.below(8);
            }
        }
        fs::write(&path, bytes).unwrap();
        folder.run("eval run").refused(4, &["last/model.safetensors", "expected ", "train again"]);
        folder.run("resume run --epochs 3").refused(4, &["model.safetensors"]);
    }
    fs::write(&path, good).unwrap();
    folder.run("eval run").done();
}

/// Here somebody also made the manifest fit: the file's own rules must hold.
#[test]
fn a_weight_file_that_lies_is_refused_whatever_its_manifest_says() {
    let folder = trained();
    let checkpoint = folder.path("run/checkpoints/last");
    let path = checkpoint.join("model.safetensors");
    let good = fs::read(&path).unwrap();
    let length = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let header = String::from_utf8(good[8..8 + length].to_vec()).unwrap();
    let rebuilt = |header: &str, data: &[u8]| [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat();
    let with_length = |length: u64| [&length.to_le_bytes(), &good[8..]].concat();
    let mut nan = good.clone();
    let end = nan.len();
    nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    let data = &good[8 + length..];
    for (name, bytes, parts) in [
        ("empty", Vec::new(), vec![]),
        ("seven bytes", good[..7].to_vec(), vec![]),
        ("header of 2^63", with_length(1 << 63), vec!["header"]),
        ("header of 100,000,001", with_length(100_000_001), vec!["header"]),
        ("header to the end", with_length(good.len() as u64 - 9), vec![]),
        ("no JSON", rebuilt("{ this is no JSON }", data), vec![]),
        ("deep", rebuilt(&"[".repeat(10_000), data), vec![]),
        ("missing tensor", rebuilt("{}", &[]), vec!["encoder.layers.0"]),
        ("a pickle", b"\x80\x02}q\x00.".to_vec(), vec![]),
        ("renamed", rebuilt(&header.replace("mean.weight", "meen.weight"), data), vec!["mean.weight"]),
        ("other type", rebuilt(&header.replacen("F32", "F16", 1), data), vec![]),
        ("NaN", nan, vec!["tensor `", "finite", "NaN"]),
        ("trailing", [&good[..], b"more"].concat(), vec![]),
    ] {
        fs::write(&path, bytes).unwrap();
        reseal(&checkpoint);
        let began = Instant::now();
        for line in ["eval run", "resume run --epochs 3"] {
            let outcome = folder.run_within(MEMORY, line);
            let parts: Vec<&str> = [&["model.safetensors"], &parts[..]].concat();
            assert_eq!(outcome.code, Some(4), "{name}: {outcome:?}");
            outcome.refused(4, &parts);
        }
        assert!(began.elapsed() < Duration::from_secs(4), "{name}");
    }
}

#[test]
fn missing_and_foreign_checkpoints_are_explained() {
    let folder = trained();
    fs::rename(folder.path("run/checkpoints/best"), folder.path("aside")).unwrap();
    folder.run("eval run --checkpoint best").refused(4, &["checkpoints/best", "saved weights", "--checkpoint last"]);
    fs::rename(folder.path("run/checkpoints"), folder.path("gone")).unwrap();
    for line in ["eval run", "sample run --out x.png", "encode run --out z.npy", "report run", "compare run"] {
        folder.run(line).refused(4, &["checkpoints/last", "saved weights", "elbo resume"]);
    }
    fs::rename(folder.path("gone"), folder.path("run/checkpoints")).unwrap();

    fs::remove_file(folder.path("run/checkpoints/last/model.safetensors")).unwrap();
    folder.run("eval run").refused(4, &["model.safetensors", "no such file"]);
    // Another model's checkpoint, sound in itself.
    folder.train("wide", "--set network.hidden=[20]").done();
    fs::remove_dir_all(folder.path("run/checkpoints/last")).unwrap();
    fs::rename(folder.path("wide/checkpoints/last"), folder.path("run/checkpoints/last")).unwrap();
    folder.run("eval run").refused(4, &["model.safetensors", "encoder.layers.0.weight", "16", "20"]);
    folder.run("resume run --epochs 3").refused(4, &["config.toml", "hidden = [16]", "hidden = [20]"]);
}

#[test]
fn a_configuration_of_another_network_is_refused_by_tensor_and_before_allocation() {
    let folder = trained();
    let config = folder.path("run/config.toml");
    let original = fs::read_to_string(&config).unwrap();
    for (from, to, parts) in [
        ("latent = 3", "latent = 4", vec!["model.safetensors", "mean.weight"]),
        ("hidden = [16]", "hidden = [16, 8]", vec!["model.safetensors", "encoder.layers.1"]),
        ("kind = \"vae\"", "kind = \"ae\"", vec!["model.safetensors"]),
        ("latent = 3", "latent = 0", vec!["config.toml", "model.latent"]),
        ("latent = 3", "latent = 1000000000", vec!["config.toml", "model.latent", "65536"]),
        ("latent = 3", "latent = -3", vec!["config.toml", "line ", "whole number"]),
        ("hidden = [16]", "hidden = [1000000, 1000000]", vec!["config.toml", "network.hidden", "parameters"]),
        ("hidden = [16]", "hidden = [100000]", vec!["model.safetensors", "size", "parameters"]),
        ("hidden = [16]", "hidden = [9223372036854775807]", vec!["config.toml", "network.hidden"]),
    ] {
        fs::write(&config, original.replace(from, to)).unwrap();
        folder.run_within(MEMORY, "eval run").refused(4, &parts);
    }
}

#[test]
fn damaged_run_facts_are_refused() {
    let folder = trained();
    let path = folder.path("run/run.json");
    let original = fs::read_to_string(&path).unwrap();
    for (bytes, parts) in [
        (String::new(), vec!["run.json", "JSON"]),
        (original[..original.len() / 2].to_owned(), vec!["run.json", "JSON"]),
        ("[".repeat(100_000), vec!["run.json", "JSON"]),
        ("{\"format\": 1}".to_owned(), vec!["run.json", "missing field"]),
        (original.replace("28,", "0,"), vec!["run.json", "data.shape"]),
        (original.replace("28,", "4294967296,"), vec!["run.json", "data.shape"]),
        (original.replace("28,", "-1,"), vec!["run.json"]),
        (original.replace("28,", "29,"), vec!["encoder.layers.0.weight"]),
        (original.replace("28,", "1000000,"), vec!["model.safetensors", "size", "parameters"]),
    ] {
        fs::write(&path, bytes).unwrap();
        let outcome = folder.run_within(MEMORY, "sample run --out x.png");
        outcome.refused(4, &parts);
    }
    fs::write(&path, original).unwrap();
    assert_eq!(info(&folder.path("run"))["status"], "finished");
    edit(&path, "\"status\": \"finished\"", "\"status\": \"dancing\"");
    folder.run("sample run --out x.png").done();
}

#[test]
fn pickles_and_other_files_are_no_runs_and_no_recipes() {
    let folder = Folder::new();
    folder.write("model.pt", b"\x80\x02}q\x00.");
    folder.write("notes.txt", "hello");
    folder.write("picture.toml", b"\x89PNG\r\n\x1a\n\xff");
    folder.write("big.toml", vec![b'#'; 2 << 20]);
    fs::create_dir(folder.path("empty")).unwrap();
    for line in ["eval model.pt", "resume model.pt", "sample model.pt --out x.png"] {
        folder.run(line).refused(4, &["model.pt", "a file", "pickle", "not loaded"]);
    }
    folder.run("train model.pt").refused(2, &["model.pt", "pickle", "not loaded"]);
    folder.run("eval notes.txt").refused(4, &["notes.txt", "run directory", "a file"]);
    folder.run("eval empty").refused(4, &["empty", "without run.json"]);
    folder.run("train notes.txt").refused(2, &["notes.txt:1"]);
    folder.run("train picture.toml").refused(2, &["picture.toml", "UTF-8"]);
    folder.run("train big.toml").refused(2, &["bytes", "no recipe"]);
    folder.run("train empty").refused(2, &["recipe", "`empty`"]);
}

#[test]
fn impossible_sizes_are_refused_before_anything_is_allocated() {
    let folder = Folder::new();
    for (setting, key) in [
        ("model.latent=0", "model.latent"),
        ("model.latent=-1", "model.latent"),
        ("model.latent=1000000000", "model.latent"),
        ("model.latent=9223372036854775807", "model.latent"),
        ("model.latent=9223372036854775808", "model.latent"),
        ("model.latent=2.5", "model.latent"),
        ("model.latent=many", "model.latent"),
        ("network.hidden=[0]", "network.hidden"),
        ("network.hidden=[-4]", "network.hidden"),
        ("network.hidden=[9223372036854775807]", "network.hidden"),
        ("network.hidden=[9223372036854775808]", "network.hidden"),
        ("network.hidden=[1000000,1000000]", "network.hidden"),
        ("network.hidden=400", "network.hidden"),
        ("network.hidden=[[400]]", "network.hidden"),
        ("training.batch_size=0", "training.batch_size"),
        ("training.batch_size=9223372036854775807", "training.batch_size"),
        ("training.epochs=0", "training.epochs"),
        ("data.count=0", "data.count"),
        ("data.count=9223372036854775807", "data.count"),
        ("data.validation=-1", "data.validation"),
        ("data.validation=1.5", "data.validation"),
        ("data.test=1.0", "data.test"),
        ("model.sigma=0.1", "model.sigma"),
        ("optimizer.lr=nan", "optimizer.lr"),
        ("optimizer.lr=-1", "optimizer.lr"),
        ("optimizer.betas=[1.0,1.0]", "optimizer.betas"),
        ("optimizer.betas=[0.9]", "optimizer.betas"),
        ("loss.beta=inf", "loss.beta"),
        ("schedule.kind=linear", "schedule"),
        ("training.checkpoint_seconds=-1", "training.checkpoint_seconds"),
        ("network.layers=3", "network.layers"),
        ("../../etc/passwd=1", "../../etc/passwd"),
        ("=1", ""),
        ("name=../../x", "name"),
        ("name=/tmp/x", "name"),
        ("model=3", "model"),
        ("model.latent.x=3", "model.latent"),
    ] {
        let began = Instant::now();
        let line = format!("train --out run --set {setting}");
        folder.run_within(MEMORY, &line).refused(2, &[key, "help: "]);
        assert!(began.elapsed() < Duration::from_secs(2), "{setting}");
        // The same in a file, where it may be no TOML at all.
        if let Some((table, assignment)) = setting.split_once('.').filter(|(table, _)| !table.is_empty()) {
            folder.write("bad.toml", format!("[{table}]\n{assignment}\n"));
            folder.run_within(MEMORY, "train bad.toml --out run").refused(2, &["help: "]);
        }
        assert!(!folder.path("run").exists(), "{setting}");
    }
}
