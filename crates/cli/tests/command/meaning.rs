//! What results mean: which row a number is of, which examples were taken, which numbers compare, and that printed cures work.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Folder, Outcome, info};

/// Rows `p0`, `p1`, ... of two columns and a class; every fifth row has a gap.
fn gaps() -> String {
    let row = |i: usize| {
        let gap = if i % 5 == 2 { String::new() } else { format!("{}", i as f64 * 0.5) };
        format!("p{i},{gap},{},{}\n", (i * i % 17) as f64, if i.is_multiple_of(3) { "a" } else { "b" })
    };
    format!("patient,x,y,kind\n{}", (0..40).map(row).collect::<String>())
}

/// The rows of a CSV file by the names of their columns.
fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let header: Vec<String> = lines.next().unwrap().split(',').map(str::to_owned).collect();
    lines.map(|line| header.iter().cloned().zip(line.split(',').map(str::to_owned)).collect()).collect()
}

const QUICK: &str = "--epochs 1 --batch-size 8";

/// Every row's index, identifier and class are those of the file.
#[track_caller]
fn belong_together(found: &[BTreeMap<String, String>]) {
    for row in found {
        let index: usize = row["index"].parse().unwrap();
        assert_eq!(row["patient"], format!("p{index}"), "{row:?}");
        assert!(index % 5 != 2, "a row with a gap: {row:?}");
        if let Some(class) = row.get("label") {
            assert_eq!(class, if index.is_multiple_of(3) { "a" } else { "b" }, "{row:?}");
        }
    }
}

#[test]
fn an_index_is_the_row_of_the_file_whatever_was_dropped() {
    let folder = Folder::new();
    folder.write("t.csv", gaps());
    folder.run(&format!("train --data t.csv --label kind --id patient --missing drop --out r {QUICK}")).done();
    folder.run("encode r --split all --out e.csv").done();
    // An array has no place for an index.
    let told = folder.run("encode r --split all --out e.npy").done();
    assert!(told.stderr.contains("code i is not that of example i"), "{}", told.stderr);
    let encoded = rows(&folder.path("e.csv"));
    assert_eq!(encoded.len(), 32);
    belong_together(&encoded);
    assert_eq!(encoded.last().unwrap()["index"], "39");
    folder.run("score r --split all --out s.csv").done();
    belong_together(&rows(&folder.path("s.csv")));
    let told = folder.run("--json reconstruct r --split all -n 10 --out c.csv").done().json();
    let reconstructed = rows(&folder.path("c.csv"));
    belong_together(&reconstructed);
    let index: Vec<String> = reconstructed.iter().map(|row| row["index"].clone()).collect();
    let said: Vec<String> = told["index"].as_array().unwrap().iter().map(Value::to_string).collect();
    assert_eq!(index, said);
    // Parts and other data keep it too, and the identifier may come with the command.
    folder.run("encode r --split train --out p.csv").done();
    belong_together(&rows(&folder.path("p.csv")));
    folder.write("other.csv", gaps());
    folder.run("score r --data other.csv --missing drop --id patient --out o.csv").done();
    belong_together(&rows(&folder.path("o.csv")));
    folder.run("encode r --split all --out e.parquet").done();
    assert_eq!(&fs::read(folder.path("e.parquet")).unwrap()[..4], b"PAR1");
}

#[test]
fn pictures_left_out_are_counted_by_an_index() {
    let folder = Folder::new();
    for i in 0..12 {
        let pixels: Vec<u8> = (0..64).map(|p| (p * 3 + i * 7) as u8).collect();
        folder.write(&format!("f/{i:02}.pgm"), [b"P5 8 8 255\n".as_slice(), &pixels].concat());
    }
    folder.write("f/03.pgm", b"no picture");
    folder.run(&format!("train --data f --on-bad-image skip --out r --set network.hidden=[8] {QUICK}")).done();
    folder.run("encode r --split all --out e.csv").done();
    for row in rows(&folder.path("e.csv")) {
        assert_eq!(row["path"], format!("{:02}.pgm", row["index"].parse::<usize>().unwrap()), "{row:?}");
    }
}

/// 60 rows ordered by class, as folders and many tables are.
fn ordered() -> String {
    let row = |i: usize| format!("{},{},{}\n", i, i * 7 % 13, ["a", "b", "c"][i / 20]);
    format!("x,y,kind\n{}", (0..60).map(row).collect::<String>())
}

#[test]
fn a_limit_takes_of_each_class_its_share_by_the_seed_and_says_so() {
    let folder = Folder::new();
    folder.write("t.csv", ordered());
    let data = folder.run("--json data t.csv --label kind --set data.limit=18").done().json();
    let counts: Vec<u64> =
        data["labels"].as_array().unwrap().iter().map(|label| label["count"].as_u64().unwrap()).collect();
    assert!(counts.iter().all(|count| (5..=7).contains(count)) && counts.iter().sum::<u64>() == 18, "{data}");
    assert!(data["findings"].to_string().contains("chosen at random"), "{data}");
    let trained = |out: &str, flags: &str| {
        let line = format!("train --data t.csv --label kind --set data.limit=18 --out {out} {QUICK} {flags}");
        folder.run(&line).done()
    };
    assert!(trained("r", "").stderr.contains("18 of"), "train says it too");
    trained("again", "");
    trained("other", "--seed 1");
    let chosen = |run: &str| info(&folder.path(run))["data"]["train_sha256"].clone();
    assert_eq!((chosen("r"), chosen("r") == chosen("other")), (chosen("again"), false));
    // What was trained on is what is opened again.
    folder.run("encode r --split train --out e.csv").done();
    assert_eq!(rows(&folder.path("e.csv")).len(), 18);
    let eval = folder.run("--json eval r --split all --limit 9").done().json();
    assert_eq!(eval["n"], 9);
}

#[test]
fn a_key_that_does_nothing_is_refused() {
    let folder = Folder::new();
    folder.write("t.csv", ordered());
    for (line, key) in [
        ("train --data sprites --set data.count=8000", "data.count"),
        ("train --data t.csv --size 64", "data.size"),
        ("train --set data.test=0.3", "data.test"),
        ("train --data sprites --missing drop", "data.missing"),
        ("data digits --id x", "data.id"),
    ] {
        folder.run(line).refused(2, &[key, "does nothing"]);
    }
    assert!(!folder.path("runs").exists(), "refused before anything is made");
    // What a recipe says of its own data is no such key.
    folder.run("--json data t.csv --recipe digits --set model.likelihood=gaussian-shared --label kind").done();
}

#[test]
fn an_autoencoder_has_no_elbo_and_runs_are_not_ranked_with_it() {
    let folder = Folder::new();
    let trained = folder.run(&format!("--json train --set model.kind=ae --out ae {}", crate::support::SMALL)).done();
    assert!(trained.json()["test"].get("elbo").is_none(), "{trained:?}");
    assert!(!folder.train("ae2", "--set model.kind=ae").done().stdout.contains("elbo -"));
    folder.train("one", "").done();
    folder.train("four", "--set loss.beta=4").done();
    folder.train("ten", "--seed 3").done();
    let eval = folder.run("--json eval ae").done().json();
    assert!(eval["metrics"].get("elbo").is_none(), "{eval}");
    let mixed = folder.run("--json compare ae one").done().json();
    assert_eq!((&mixed["comparable"], &mixed["runs"][0]["elbo"]), (&Value::Bool(false), &Value::Null), "{mixed}");
    let text = folder.run("compare ae one").done().stdout;
    assert!(text.contains("no ranking") && !text.contains("highest"), "{text}");
    let page = fs::read_to_string(folder.path("compare.html")).unwrap();
    assert!(page.contains("no ranking") && !page.contains("the best of these"), "no ranking anywhere");
    // Across betas the ELBO ranks, never the loss.
    let betas = folder.run("compare one four").done().stdout;
    assert_eq!(betas.matches("highest ELBO").count(), 1, "{betas}");
    // Other digits: another seed.
    let data = folder.run("compare one ten").done().stdout;
    assert!(data.contains("data of these runs differ") && !data.contains("highest"), "{data}");
    let page = fs::read_to_string(folder.path("one/report.html")).unwrap();
    assert!(page.contains("cross-entropy on grey values"), "the report says what its numbers are");
}

#[test]
fn without_test_examples_there_are_no_test_numbers_and_the_proposed_commands_work() {
    let folder = Folder::new();
    folder.write("t.csv", ordered());
    let line = format!("train --data t.csv --label kind --set data.test=0 {QUICK} --out r");
    let trained = folder.run(&line).done();
    assert!(trained.stdout.contains("no test examples"), "{}", trained.stdout);
    assert_eq!(info(&folder.path("r"))["test"], Value::Null);
    let json = folder.run(&format!("--json {line}2")).done().json();
    assert_eq!(json["test"], Value::Null);
    run_proposed(&folder, &trained);
    let spaced = folder.start(folder.command("train --epochs 1 --set data.count=200 --set network.hidden=[8]").args([
        "--out",
        "a run",
        "--set",
        "model.latent=2",
    ]));
    run_proposed(&folder, &spaced.finish().done());
}

#[test]
fn a_run_of_symbols_is_offered_a_prior_and_nothing_that_asks_for_a_vector() {
    let folder = Folder::new();
    let line = "train digits --set data.count=200 --epochs 1 --set quantizer.codes=8 --set network.hidden=[16]";
    let trained = folder.run(&format!("{line} --set model={{kind=\"vq-vae\"}} --out codes")).done();
    assert!(trained.stdout.contains("elbo train autoregressive --codes-of codes"), "{}", trained.stdout);
    run_proposed(&folder, &trained);
}

/// Runs every command that is proposed at the end of training, as a shell does.
#[track_caller]
fn run_proposed(folder: &Folder, trained: &Outcome) {
    let lines = trained.stdout.split("try    ").nth(1).expect("proposals").lines();
    let mut count = 0;
    for line in lines.map(str::trim).filter(|line| line.starts_with("elbo ")) {
        in_shell(folder, line).done();
        count += 1;
    }
    assert!(count >= 3, "{}", trained.stdout);
}

/// Runs a line as a shell does.
fn in_shell(folder: &Folder, line: &str) -> Outcome {
    let script = line.replacen("elbo ", "\"$ELBO\" ", 1);
    let mut command = Command::new("sh");
    command.args(["-c", &script]).env("ELBO", env!("CARGO_BIN_EXE_elbo"));
    folder.at_home(&mut command);
    folder.start(&mut command).finish()
}

/// The words of a message's help that stand in backquotes and begin with two dashes.
fn flags(stderr: &str) -> Vec<String> {
    let help = stderr.split("help: ").nth(1).unwrap_or_default();
    help.split('`').skip(1).step_by(2).filter(|word| word.starts_with("--")).map(str::to_owned).collect()
}

/// The cure that an error prints works with the command that printed it.
#[test]
fn the_cure_of_each_error_works_with_the_command_that_printed_it() {
    let folder = Folder::new();
    folder.write("whole.csv", gaps().lines().filter(|line| !line.contains(",,")).collect::<Vec<_>>().join("\n"));
    folder.write("gaps.csv", gaps());
    let columns = "--label kind --id patient";
    folder.run(&format!("train --data whole.csv {columns} --out t {QUICK}")).done();
    for i in 0..12 {
        let pixels: Vec<u8> = (0..64).map(|p| (p * 3 + i * 7) as u8).collect();
        folder.write(&format!("good/{i:02}.pgm"), [b"P5 8 8 255\n".as_slice(), &pixels].concat());
        folder.write(&format!("bad/{i:02}.pgm"), [b"P5 8 8 255\n".as_slice(), &pixels].concat());
    }
    folder.write("bad/05.pgm", b"P5 8 8 255\n short");
    folder.run(&format!("train --data good --out p --set network.hidden=[8] {QUICK}")).done();
    for line in [
        format!("train --data gaps.csv {columns} --out new {QUICK}"),
        format!("data gaps.csv {columns}"),
        "gmm gaps.csv --columns x,y -k 2".into(),
        "score t --data gaps.csv".into(),
        "encode t --data gaps.csv --out e.csv".into(),
        "eval t --data gaps.csv".into(),
        "reconstruct t --data gaps.csv --out r.csv".into(),
        "interpolate t --data gaps.csv --out i.csv".into(),
        format!("train --data bad --out new2 --set network.hidden=[8] {QUICK}"),
        "data bad".into(),
        "score p --data bad".into(),
        "score p --anomalies bad".into(),
        "encode p --data bad --out e2.csv".into(),
        "eval p --data bad".into(),
        "reconstruct p --data bad --out r.png".into(),
        "interpolate p --data bad --out i.png".into(),
        "traverse p --data bad --image 0 --out t.png".into(),
        "neighbours p --data bad -n 4 --out n.png".into(),
        "arithmetic p --data bad --from 1,2 --add good --out a.png".into(),
        "arithmetic p --from 0 --split train --add bad --out a2.png".into(),
    ] {
        let failed = folder.run(&line);
        assert_eq!(failed.code, Some(3), "{line}: {failed:?}");
        let flags = flags(&failed.stderr);
        assert!(!flags.is_empty(), "{line}: {}", failed.stderr);
        in_shell(&folder, &format!("elbo {line} {}", flags[0])).done();
    }
}

#[test]
fn data_that_moved_are_found_by_their_content() {
    let folder = Folder::new();
    folder.write("here/t.csv", ordered());
    folder.run(&format!("train --data here/t.csv --label kind --out r {QUICK}")).done();
    let before = folder.run("--json eval r").done().json();
    fs::create_dir(folder.path("there")).unwrap();
    fs::rename(folder.path("here/t.csv"), folder.path("there/t.csv")).unwrap();
    folder.run("eval r").refused(3, &["--data PATH", "resume r --data"]);
    // Nothing but what reads data needs any.
    folder.run("sample r --out s.csv").done();
    let there = folder.path("there/t.csv").display().to_string();
    assert_eq!(folder.run("--json eval r --split test --data there/t.csv").done().json()["metrics"], before["metrics"]);
    for line in ["report r", "compare r", "sample r --sampler gaussian --out g.csv", "gmm r -k 2"] {
        folder.run(&format!("{line} --data {there}")).done();
    }
    let mut elsewhere = folder.command("--json eval r");
    elsewhere.env("ELBO_DATA", folder.path("there"));
    assert_eq!(folder.start(&mut elsewhere).finish().done().json()["metrics"], before["metrics"]);
    // Other content is other data, and the run's own are not split anew.
    folder.write("other.csv", ordered().replace("19,", "18,"));
    folder.run("report r --data other.csv").refused(3, &["content sha256"]);
    folder.run("eval r --data there/t.csv --split test --set data.test=0.5").done();
    folder.run("report r --data there/t.csv --set data.test=0.5").refused(2, &["data.test", "run's own data"]);
    folder.run("resume r --epochs 2 --data there/t.csv").done();
    folder.run("eval r").done();
    folder.run("resume r --epochs 3").done();
}

#[test]
fn equal_codes_are_told_and_no_file_holds_nan() {
    let folder = Folder::new();
    let equal: String = (0..40).map(|_| "1,2,3\n").collect();
    folder.write("equal.csv", format!("a,b,c\n{equal}"));
    folder.run(&format!("train --data equal.csv --out r {QUICK}")).done();
    for flags in ["--project tsne", "--project pca", "--plot p.png"] {
        folder.run(&format!("encode r --split all --out e.csv {flags}")).refused(2, &["codes that differ", "equal"]);
    }
    assert!(!folder.path("e.csv").exists());
    folder.run("encode r --split all --out e.csv").done();
    assert!(!fs::read_to_string(folder.path("e.csv")).unwrap().contains("NaN"));
    for line in ["eval r --split all", "eval r --split all --metrics all", "score r --split all --by all"] {
        let outcome = folder.run(line);
        assert!(outcome.code != Some(0) || !outcome.stdout.contains("NaN"), "{line}: {outcome:?}");
    }
}

#[test]
fn a_single_anomaly_is_told_with_its_interval() {
    let folder = Folder::new();
    folder.write("t.csv", ordered());
    folder.write("one.csv", "x,y,kind\n500,500,c\n");
    folder.run(&format!("train --data t.csv --label kind --out r {QUICK}")).done();
    let found = folder.run("--json score r --split all --anomalies one.csv").done().json();
    let auroc = &found["scores"]["neg-elbo"]["auroc"];
    assert!(auroc["stderr"].as_f64().unwrap() > 0.05, "{auroc}");
    assert!(auroc["definition"].as_str().unwrap().contains("95 % interval"), "{auroc}");
}

#[test]
fn tight_clusters_far_apart_keep_their_variances_from_a_file() {
    let folder = Folder::new();
    let value = |i: usize| ((i * 7919) % 1000) as f64 / 1000.0 * 12f64.sqrt() - 3f64.sqrt();
    let rows: String = (0..300).map(|i| format!("{}\n", value(i) + if i < 150 { 0.0 } else { 1e6 })).collect();
    folder.write("t.csv", format!("t\n{rows}"));
    let found = folder.run("--json gmm t.csv -k 2").done().json();
    for covariance in found["covariances"].as_array().unwrap() {
        let variance = covariance[0][0].as_f64().unwrap();
        assert!((0.8..1.2).contains(&variance), "{found}");
    }
    // Asked to swamp them, it says so.
    let note = folder.run("gmm t.csv -k 2 --reg-covar 1e6").done().stderr;
    assert!(note.contains("exceeds the variance"), "{note}");
}

#[test]
fn data_shows_the_split_that_train_uses() {
    let folder = Folder::new();
    folder.write("t.csv", ordered());
    for i in 0..40 {
        let pixels: Vec<u8> = (0..64).map(|p| (p * 3 + i * 7) as u8).collect();
        folder.write(&format!("f/{}/{i:02}.pgm", i % 2), [b"P5 8 8 255\n".as_slice(), &pixels].concat());
    }
    for (data, flags) in
        [("t.csv", "--label kind"), ("f", "--set network.hidden=[8]"), ("t.csv", "--label kind --seed 4")]
    {
        let out = format!("r{}", data.len() + flags.len());
        folder.run(&format!("train --data {data} --out {out} {flags} {QUICK}")).done();
        let (shown, used) =
            (folder.run(&format!("--json data {data} {flags}")).done().json(), info(&folder.path(&out)));
        for part in ["train", "validation", "test"] {
            assert_eq!(shown["splits"][part], used["data"][part], "{data} {flags}: {part}");
        }
    }
}

#[test]
fn the_strangest_examples_are_named_and_drawn() {
    let folder = Folder::new();
    folder.train("r", "").done();
    let found = folder.run("score r --split all --plot strange.png").done().stdout;
    assert!(found.contains("strangest by neg-elbo") && found.matches("index ").count() == 10, "{found}");
    assert_eq!(&fs::read(folder.path("strange.png")).unwrap()[1..4], b"PNG");
    let json = folder.run("--json score r --split all").done().json();
    let scores: Vec<f64> =
        json["strangest"].as_array().unwrap().iter().map(|one| one["score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
}

/// Weights that are finite may give results that are none: no file of them, and no exit code 0.
#[test]
fn results_that_are_not_finite_are_refused() {
    let folder = Folder::new();
    folder.train("r", "").done();
    let weights = folder.path("r/checkpoints/last/model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for value in bytes[8 + length..].as_chunks_mut::<4>().0 {
        *value = (f32::from_le_bytes(*value).signum() * 3e38).to_le_bytes();
    }
    fs::write(&weights, bytes).unwrap();
    crate::support::reseal(&folder.path("r/checkpoints/last"));
    for line in [
        "encode r --checkpoint last --out z.npy",
        "encode r --checkpoint last --out z.csv",
        "reconstruct r --checkpoint last --out r.npy",
        "reconstruct r --checkpoint last --out r.png",
        "sample r --checkpoint last --out s.npy",
        "sample r --checkpoint last --sampler gaussian --out g.npy",
        "sample r --checkpoint last --sampler maf --out m.npy",
        "gmm r --checkpoint last -k 2",
        "interpolate r --checkpoint last --out i.npy",
        "eval r --checkpoint last",
        "score r --checkpoint last --out s.csv",
    ] {
        folder.run(line).refused(4, &["finite"]);
        let out = line.split("--out ").nth(1);
        assert!(out.is_none_or(|out| !folder.path(out).exists()), "{line}");
    }
}

#[test]
fn a_table_gives_as_many_rows_as_are_asked_for() {
    let folder = Folder::new();
    folder.write("t.csv", ordered());
    folder.run(&format!("train --data t.csv --label kind --out r {QUICK}")).done();
    folder.run("sample r -n 150000 --out s.csv").done();
    assert_eq!(fs::read_to_string(folder.path("s.csv")).unwrap().lines().count(), 150_001);
    folder.run("sample r -n 100000000 --out s.csv").refused(2, &["rows of 2 columns"]);
}

/// The Python that has torch; none where there is none, which is said.
fn python() -> Option<String> {
    let candidates = std::env::var("ELBO_PYTHON").ok().into_iter().chain(["python3".to_owned()]);
    let has_torch = |python: &String| {
        let found = Command::new(python).args(["-c", "import torch, safetensors, tomllib"]).output();
        found.is_ok_and(|found| found.status.success())
    };
    let found = candidates.into_iter().find(has_torch);
    if found.is_none() {
        println!("skipped: no python3 with torch and safetensors; ELBO_PYTHON names one");
    }
    found
}

/// What `load_in_torch.py` reconstructs of zeros is what elbo does.
#[test]
fn every_kind_of_model_loads_in_torch() {
    let Some(python) = python() else { return };
    let folder = Folder::new();
    folder.write("t.csv", ordered());
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 28, 28), }";
    let padding = " ".repeat((64 - (11 + header.len()) % 64) % 64);
    let length = ((header.len() + padding.len() + 1) as u16).to_le_bytes();
    let start = [b"\x93NUMPY\x01\x00".as_slice(), &length, header.as_bytes(), padding.as_bytes(), b"\n"].concat();
    folder.write("zeros.npy", [start, vec![0; 2 * 784]].concat());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/vae/load_in_torch.py");
    let small = "--data digits --set data.count=64 --epochs 1 --batch-size 32";
    for (recipe, flags) in [
        ("digits", "--set network.hidden=[24,16]"),
        ("digits", "--set model.likelihood=gaussian-shared --set network.hidden=[24]"),
        ("digits", "--set model.likelihood=discretised-logistic --set network.hidden=[24]"),
        ("digits", "--set model.likelihood=gaussian-per-pixel --set network.hidden=[24]"),
        ("mnist-ae-20", "--set network.hidden=[24]"),
        ("iwae-short", "--set network.hidden=[24]"),
        ("conv", "--set network.channels=[4,6]"),
        ("resnet", "--set network.channels=[4,8]"),
        ("mnist-conv", ""),
        ("fashion-conv", ""),
        ("mnist-cvae", "--set network.hidden=[24]"),
        ("mnist-cvae-conv", "--set network.channels=[4,6]"),
        (
            "digits",
            "--set model={kind=\"vq-vae\",likelihood=\"gaussian\",sigma=0.3} --set network={kind=\"conv\",channels=[4,6],residual={blocks=1,width=3}}",
        ),
        (
            "digits",
            "--set model={kind=\"vq-vae\"} --set network={kind=\"conv\",channels=[4,6]} --set quantizer={kind=\"fsq\",levels=[5,3]}",
        ),
        ("digits", "--set model={kind=\"vq-vae-2\"} --set network={kind=\"conv\",channels=[4,6,8]}"),
        ("table", ""),
    ] {
        let name = format!("{recipe}-{}", flags.len());
        let data = if recipe == "table" { "--data t.csv --label kind --epochs 1" } else { small };
        folder.run(&format!("train {recipe} {data} {flags} --out {name}")).done();
        let file = folder.path(&name).join("checkpoints/last/model.safetensors");
        let loaded = Command::new(&python).arg(&script).arg(&file).output().unwrap();
        assert!(loaded.status.success(), "{name}: {}", String::from_utf8_lossy(&loaded.stderr));
        let text = String::from_utf8(loaded.stdout).unwrap();
        let values: Vec<f32> = text.split_whitespace().map(|value| value.parse().unwrap()).collect();
        assert!(
            values.len() == if recipe == "table" { 2 } else { 784 } && values.iter().all(|v| v.is_finite()),
            "{name}"
        );
        if ["table", "mnist-cvae", "mnist-cvae-conv"].contains(&recipe) {
            continue;
        }
        folder.run(&format!("reconstruct {name} --checkpoint last --data zeros.npy -n 1 --out z{name}.npy")).done();
        let bytes = fs::read(folder.path(&format!("z{name}.npy"))).unwrap();
        let pixels = &bytes[bytes.len() - 784 * 4..];
        let expected = pixels.as_chunks::<4>().0.iter().map(|pixel| f32::from_le_bytes(*pixel));
        for (place, (found, expected)) in values.iter().zip(expected).enumerate() {
            // As every comparison in float32 through a whole network: 1e-4, six decimals being printed.
            assert!((found - expected).abs() < 1e-4, "{name}, pixel {place}: {found} for {expected}");
        }
    }
}
