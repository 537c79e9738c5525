//! `elbo score` and training on some of the classes: what is flagged, what it is compared with, and what is refused.

use serde_json::{Value, json};

use crate::support::{Folder, SMALL, edit, info, training};

const ONE_CLASS: &str = "--set data.count=900 --set data.labels=[3] --set data.validation=0.2";

/// Rows of a CSV file by the names of its columns.
fn table(folder: &Folder, name: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let text = std::fs::read_to_string(folder.path(name)).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let rows: Vec<_> = lines.collect();
    assert!(rows.iter().all(|row| row.len() == header.len()));
    (header, rows)
}

fn column<'a>((header, rows): &'a (Vec<String>, Vec<Vec<String>>), name: &str) -> Vec<&'a str> {
    let place = header.iter().position(|column| column == name).unwrap_or_else(|| panic!("no column {name}"));
    rows.iter().map(|row| row[place].as_str()).collect()
}

fn floats(words: &[&str]) -> Vec<f64> {
    words.iter().map(|word| word.parse().unwrap()).collect()
}

#[track_caller]
fn float(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("a number: {value}"))
}

#[test]
fn one_class_is_trained_on_and_all_are_scored() {
    let folder = Folder::new();
    folder.run(&format!("train {SMALL} {ONE_CLASS} --out run")).done();
    let data = info(&folder.path("run"))["data"].clone();
    let parts = ["train", "validation", "test"].map(|part| data[part].as_u64().unwrap());
    assert!(parts[0] + parts[1] == 90 && parts[1] > 9 && parts[2] == 15, "a tenth of each part: {data}");

    let found = folder.run("score run --by all --k 5 --false-alarm 0.1 --out s.csv --json").done().json();
    assert_eq!((&found["split"], &found["n"], &found["n_normal"]), (&"test".into(), &150.into(), &15.into()));
    assert_eq!((&found["normal"], &found["threshold_from"]), (&json!(["3"]), &"validation".into()));
    let rows = table(&folder, "s.csv");
    let header = "index,path,label,score,nll-iw,recon,mahalanobis,typicality,flagged,anomaly";
    assert_eq!(rows.0.join(","), header);
    assert_eq!(column(&rows, "index"), (0..150).map(|i| i.to_string()).collect::<Vec<_>>());
    let (labels, anomalous) = (column(&rows, "label"), column(&rows, "anomaly"));
    assert!(labels.iter().zip(&anomalous).all(|(label, anomaly)| (*label == "3") == (*anomaly == "no")));

    for (name, csv) in
        [("neg-elbo", "score"), ("recon", "recon"), ("mahalanobis", "mahalanobis"), ("typicality", "typicality")]
    {
        let (values, score) = (floats(&column(&rows, csv)), &found["scores"][name]);
        assert!((values.iter().sum::<f64>() / 150.0 - float(&score["mean"])).abs() < 1e-9, "{name}");
        // By the definition: pairs of one anomaly and one normal example.
        let of = |kind: &str| {
            let chosen = values.iter().zip(&anomalous).filter(|(_, anomaly)| **anomaly == kind);
            chosen.map(|(value, _)| *value).collect::<Vec<f64>>()
        };
        let (normal, strange) = (of("no"), of("yes"));
        let won: usize = strange.iter().map(|a| normal.iter().filter(|b| a > b).count()).sum();
        let auroc = won as f64 / (normal.len() * strange.len()) as f64;
        assert!((float(&score["auroc"]["value"]) - auroc).abs() < 1e-9, "{name}: {score}");
        assert!(float(&score["average_precision"]["value"]) > 0.5 && float(&score["auroc"]["stderr"]) > 0.0, "{name}");
        let threshold = float(&score["threshold"]["value"]);
        assert!(float(&score["threshold"]["found"]) <= 0.1);
        for (key, values) in [("false_alarms", &normal), ("detected", &strange), ("flagged", &values)] {
            let above = values.iter().filter(|value| **value > threshold).count();
            assert_eq!(
                (&score[key]["flagged"], &score[key]["n"]),
                (&above.into(), &values.len().into()),
                "{name} {key}"
            );
        }
    }
    let threshold = float(&found["scores"]["neg-elbo"]["threshold"]["value"]);
    let scores = floats(&column(&rows, "score"));
    assert!(
        column(&rows, "flagged").iter().zip(scores).all(|(flagged, score)| (*flagged == "yes") == (score > threshold))
    );
    // The threshold's rate on the validation split, from the scores of that split.
    folder.run("score run --split validation --normal 3 --out v.csv").done();
    let validation = table(&folder, "v.csv");
    let of_class = column(&validation, "label").iter().filter(|label| **label == "3").count();
    assert_eq!(of_class as u64, parts[1]);
    // Equal seeds give equal bytes, on any number of threads.
    folder.run("score run --by all --k 5 --false-alarm 0.1 --out again.csv --threads 2").done();
    assert_eq!(std::fs::read(folder.path("again.csv")).unwrap(), std::fs::read(folder.path("s.csv")).unwrap());
}

#[test]
fn other_commands_keep_to_the_classes_of_the_run_and_say_so() {
    let folder = Folder::new();
    folder.run(&format!("train {SMALL} {ONE_CLASS} --out run")).done();
    let found = folder.run("eval run --json").done().json();
    assert_eq!((&found["n"], &found["classes"]), (&15.into(), &json!(["3"])));
    let told = info(&folder.path("run"))["test"]["recon"].as_f64().unwrap();
    assert_eq!(found["metrics"]["recon"]["value"].as_f64().unwrap(), told);
    assert!(folder.run("eval run").done().stdout.contains("test split, 15 images of class 3"));
    let all = folder.run("eval run --split all --json").done().json();
    assert_eq!((&all["n"], &all["classes"]), (&1050.into(), &Value::Null));
    let page = std::fs::read_to_string(folder.path("run/report.html")).unwrap();
    assert!(page.contains("3 only, in every part"));
    folder.run("encode run --split train --out z.csv").done();
    let codes = table(&folder, "z.csv");
    assert!(column(&codes, "label").iter().all(|label| *label == "3"));
    assert!(column(&codes, "index").iter().any(|index| index.parse::<usize>().unwrap() > 500), "drawn from everywhere");
}

#[test]
fn a_run_of_one_class_resumes_bit_for_bit_and_no_other_class_takes_its_place() {
    let folder = Folder::new();
    let small = "--set schedule={kind=\"constant\"} --set network.hidden=[16] --set model.latent=3";
    for (epochs, out) in [(4, "whole"), (2, "halves")] {
        folder.run(&format!("train {small} {ONE_CLASS} --epochs {epochs} --out {out}")).done();
    }
    folder.run("resume halves --epochs 4").done();
    assert_eq!(training(&folder.path("halves")), training(&folder.path("whole")));
    edit(&folder.path("halves/config.toml"), "labels = [\"3\"]", "labels = [\"4\"]");
    folder.run("resume halves --epochs 6").refused(4, &["labels = [\"3\"]", "labels = [\"4\"]"]);
    let names = "--set data.labels=[\"three\"]";
    folder.run(&format!("train {SMALL} {names} --out bad")).refused(2, &["data.labels", "0, 1, 2, 3, 4", "`three`"]);
    assert!(!folder.path("bad").exists());
}

#[test]
fn other_data_beside_the_split_are_anomalies() {
    let folder = Folder::new();
    folder.train("run", "--set data.validation=0.1").done();
    folder.run("sample run --out noise.npy -n 40 --temperature 3").done();
    let found = folder.run("score run --anomalies noise.npy --by recon,neg-elbo --out s.csv --json").done().json();
    assert_eq!((&found["n"], &found["n_normal"], &found["n_anomalies"]), (&90.into(), &50.into(), &40.into()));
    assert_eq!((&found["normal"], &found["anomalies"]), (&json!([]), &"noise.npy".into()));
    let rows = table(&folder, "s.csv");
    assert_eq!(rows.0.join(","), "index,path,label,score,neg-elbo,flagged,anomaly");
    assert_eq!(column(&rows, "anomaly").iter().filter(|anomaly| **anomaly == "yes").count(), 40);
    assert_eq!(column(&rows, "index")[50..].join(","), (0..40).map(|i| i.to_string()).collect::<Vec<_>>().join(","));
    // The mean of the scores of a split is what `eval` tells of it.
    let eval = folder.run("eval run --json").done().json();
    let alone = folder.run("score run --out alone.csv --json").done().json();
    let mean = float(&alone["scores"]["neg-elbo"]["mean"]);
    assert!((mean + float(&eval["metrics"]["elbo"]["value"])).abs() < 1e-5, "{alone}");
    let alone_rows = table(&folder, "alone.csv");
    assert_eq!(alone_rows.0.join(","), "index,path,label,score,flagged", "whether these are anomalies is not known");
    assert_eq!(alone["scores"]["neg-elbo"]["auroc"], Value::Null);
    // Other data alone: all of it, with the run's own threshold.
    let other = folder.run("score run --data noise.npy --json").done().json();
    assert_eq!((&other["n"], &other["split"]), (&40.into(), &"all".into()));
    assert_eq!(other["scores"]["neg-elbo"]["threshold"], alone["scores"]["neg-elbo"]["threshold"]);
    let few = folder.run("score run --anomalies noise.npy --limit 10 --normal 1,2,3,4,5 --json").done().json();
    assert_eq!(few["n"], 20);
    assert!(few["n_anomalies"].as_u64().unwrap() > 10, "digits of other classes too: {few}");
    let text = folder.run("score run --anomalies noise.npy").done().stdout;
    for part in ["50 normal", "40 anomalies", "AUROC", "recon + kl"] {
        assert!(text.contains(part), "`{part}` is not in {text}");
    }
}

#[test]
fn a_model_has_the_scores_it_has() {
    let folder = Folder::new();
    folder.train("ae", "--set model.kind=ae --set model.likelihood=sse").done();
    folder.train("sse", "--set model.likelihood=sse").done();
    let keys = |line: &str| crate::support::keys(&folder.run(line).done().json()["scores"]);
    assert_eq!(keys("score ae --json"), ["recon"]);
    assert_eq!(keys("score ae --by all --json"), ["mahalanobis", "recon"]);
    assert_eq!(keys("score sse --by all --json"), ["mahalanobis", "neg-elbo", "recon", "typicality"]);
    for (line, parts) in [
        ("score ae --by neg-elbo", ["recon, mahalanobis", "no density"]),
        ("score sse --by nll-iw", ["neg-elbo, recon, mahalanobis, typicality", "no likelihood"]),
        ("score ae --by mahalanobi", ["neg-elbo, nll-iw", "did you mean `mahalanobis`"]),
        ("score ae --false-alarm 0", ["--false-alarm", "between 0 and 1"]),
        ("score ae --false-alarm nan", ["--false-alarm", "between 0 and 1"]),
        ("score ae --normal seven", ["--normal", "0, 1, 2, 3"]),
        ("score ae --limit 0", ["--limit", "at least 1"]),
        ("score ae --out s.txt", ["--out", ".csv"]),
    ] {
        folder.run(line).refused(2, &parts);
    }
    folder.run("score ae --anomalies nowhere").refused(3, &["nowhere"]);
}

#[test]
fn without_validation_examples_there_are_scores_and_no_threshold() {
    let folder = Folder::new();
    folder.train("none", "--set data.validation=0").done();
    folder.train("few", "--set data.validation=5").done();
    folder.train("shared", "--set data.validation=test").done();
    for (run, note) in
        [("none", "data.validation"), ("few", "at least 19 validation examples"), ("shared", "test split itself")]
    {
        let outcome = folder.run(&format!("score {run} --by typicality,neg-elbo --normal 1 --out s.csv --json")).done();
        assert!(outcome.stderr.contains(note), "{}", outcome.stderr);
        let score = &outcome.json()["scores"]["typicality"];
        assert_eq!(score["threshold"].is_null(), run != "shared", "{score}");
        assert_eq!(column(&table(&folder, "s.csv"), "flagged")[0].is_empty(), run != "shared");
        assert!(score["auroc"]["value"].is_number(), "{score}");
        let definition = score["definition"].as_str().unwrap();
        assert_eq!(definition.contains("training examples"), run == "none", "{definition}");
    }
}

#[test]
fn the_plane_of_rate_and_distortion_has_the_numbers_of_the_table() {
    let folder = Folder::new();
    for beta in ["0.5", "4"] {
        folder.train(&format!("beta{beta}"), &format!("--set loss.beta={beta}")).done();
    }
    folder.train("ae", "--set model.kind=ae").done();
    let found = folder.run("compare beta0.5 beta4 ae --plot plane.svg --json").done().json();
    for run in [0, 1] {
        let row = &found["runs"][run];
        assert_eq!((&row["rate"], &row["distortion"]), (&row["kl"], &row["recon"]));
    }
    assert_eq!((&found["runs"][0]["beta"], &found["runs"][1]["beta"]), (&0.5.into(), &4.0.into()));
    assert_eq!((&found["runs"][2]["rate"], &found["runs"][2]["beta"]), (&Value::Null, &Value::Null));
    let svg = std::fs::read_to_string(folder.path("plane.svg")).unwrap();
    assert!(svg.contains("beta 0.5<") && svg.contains("beta 4<"), "{svg}");
    assert!(std::fs::read_to_string(folder.path("compare.html")).unwrap().contains("Rate and distortion"));
    folder.run("compare ae --plot plane.png").refused(2, &["--plot", "KL term"]);
    folder.run("compare beta4 --plot plane.gif").refused(2, &["--plot", ".png or .svg"]);
    folder.run("compare beta4 --plot plane.png").done();
    assert!(std::fs::read(folder.path("plane.png")).unwrap().starts_with(b"\x89PNG"));
}
