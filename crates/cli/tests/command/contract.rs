//! What scripts rely on: one JSON object on standard output, everything else on standard error, and exit codes that tell what went wrong.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Folder, Outcome, SMALL, keys};

#[track_caller]
fn has_keys(value: &Value, promised: &str) {
    let found = keys(value);
    for key in promised.split(' ') {
        assert!(found.iter().any(|k| k == key), "no `{key}` among {found:?}");
    }
}

#[track_caller]
fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("`{key}` is a number: {value}"))
}

#[test]
fn training_reports_its_run_on_standard_output_and_its_progress_on_standard_error() {
    let folder = Folder::new();
    let trained = folder.train("run", "--json").done();
    let value = trained.json();
    has_keys(&value, "run status epochs seconds images_per_s peak_memory_mb test");
    assert_eq!((&value["run"], &value["status"], &value["epochs"]), (&"run".into(), &"finished".into(), &2.into()));
    let test = &value["test"];
    let [recon, kl, loss, elbo] = ["recon", "kl", "loss", "elbo"].map(|key| number(test, key));
    assert!((loss - (recon + kl)).abs() < 1e-9 && (elbo + recon + kl).abs() < 1e-9 && kl > 0.0, "{test}");
    assert!(number(&value, "seconds") > 0.0 && number(&value, "images_per_s") > 0.0);
    for shown in ["run    run", "epoch 1/2", "epoch 2/2", "summed over 784 pixels", "nats"] {
        assert!(trained.stderr.contains(shown), "`{shown}` is not in {}", trained.stderr);
    }

    let resumed = folder.run("resume run --epochs 3 --json").done();
    assert_eq!(keys(&resumed.json()), keys(&value));
    assert_eq!(resumed.json()["epochs"], 3);
}

#[test]
fn quiet_says_nothing_but_the_result() {
    let folder = Folder::new();
    let trained = folder.train("run", "--quiet --json").done();
    assert_eq!(trained.stderr, "");
    trained.json();
    let refused = folder.run("eval nowhere --quiet").refused(4, &["nowhere", "help: "]);
    assert_eq!(refused.stdout, "");
}

#[test]
fn every_command_that_looks_at_a_run_answers_in_json() {
    let folder = Folder::new();
    folder.train("run", "--set model.latent=2").done();
    let metrics = folder.run("eval run --json").done().json();
    has_keys(&metrics, "run split n metrics");
    assert_eq!((&metrics["split"], &metrics["n"]), (&"test".into(), &50.into()));
    for name in ["recon", "kl", "loss", "elbo", "bits_per_dim", "active_units"] {
        let metric = &metrics["metrics"][name];
        assert_eq!(keys(metric), ["definition", "stderr", "unit", "value"], "{name}");
        number(metric, "value");
    }
    // Every image once: 300 made for training, 50 for the test.
    let all = folder.run("eval run --split all --json").done().json();
    let part = |split: &str| folder.run(&format!("eval run --split {split} --json")).done().json();
    assert_eq!(all["n"], 350);
    let value = |value: &Value, name: &str| number(&value["metrics"][name], "value");
    let (train, held, test) = (part("train"), part("validation"), part("test"));
    let parts = [(&train, 285.0), (&held, 15.0), (&test, 50.0)];
    let mean: f64 = parts.iter().map(|(part, n)| value(part, "recon") * n / 350.0).sum();
    // The posterior noise of an image is another in another split.
    assert!((value(&all, "recon") - mean).abs() < 0.5, "{mean}");
    let two = folder.run("eval run --metrics kl,elbo --split validation --json").done().json();
    assert_eq!(keys(&two["metrics"]), ["elbo", "kl"]);

    for (line, count) in [
        ("sample run --out a.png -n 5", 5),
        ("reconstruct run --out b.npy -n 6", 6),
        ("traverse run --out c.png --steps 4", 8),
        ("traverse run --out c.png --steps 4 --image 3 --dims 1", 4),
        ("interpolate run --out d.png --from 0 --to 1 --steps 3", 3),
        ("interpolate run --out d.npy --path spherical --steps 3", 24),
        ("grid run --out e.png --size 4", 16),
        ("grid run --out e.npy --spacing quantiles", 225),
    ] {
        let value = folder.run(&format!("{line} --json")).done().json();
        assert_eq!(value["n"], count, "{line}");
        assert!(folder.path(value["out"].as_str().unwrap()).is_file(), "{line}");
    }
    let codes = folder.run("encode run --out z.csv --json").done().json();
    assert_eq!((&codes["n"], &codes["latent"], &codes["split"]), (&50.into(), &2.into(), &"test".into()));
    assert_eq!(folder.run("report run --json").done().keys(), ["report", "run"]);

    folder.train("other", "--set loss.beta=4 --set model.latent=2").done();
    let compared = folder.run("compare run other --json").done().json();
    assert_eq!(compared["runs"].as_array().unwrap().len(), 2);
    has_keys(&compared["runs"][1], "run status epochs recon kl loss elbo");
    assert!(folder.path("compare.html").is_file());
}

#[test]
fn data_and_recipes_answer_in_json() {
    let folder = Folder::new();
    let value = folder.run("data digits --set data.count=300 --json").done().json();
    has_keys(&value, "name splits shape range mean labels sha256 findings");
    assert_eq!(keys(&value["splits"]), ["test", "train", "validation"]);
    // The split that `elbo train` takes: 5 % for validation, by the recipe `digits`.
    assert_eq!((&value["splits"]["train"], &value["splits"]["test"]), (&285.into(), &50.into()));
    assert_eq!(value["shape"], serde_json::json!([1, 28, 28]));
    assert_eq!(value["sha256"].as_str().unwrap().len(), 64);
    has_keys(&value["findings"][0], "severity message help");

    let recipes = folder.run("recipes --json").done().json();
    let names: Vec<&str> = recipes["recipes"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    for name in [
        "digits",
        "conv",
        "resnet",
        "mnist-bce",
        "mnist-2d",
        "mnist-sse-2d",
        "mnist-sse-16",
        "mnist-ae-2d",
        "mnist-beta4",
        "mnist-beta05",
    ] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    assert_eq!(folder.run("recipes mnist-bce --json").done().keys(), ["name", "toml"]);
    let config = folder.run("config mnist-bce --epochs 3 --json").done().json();
    assert_eq!(
        (&config["config"]["training"]["epochs"], &config["config"]["data"]["source"]),
        (&3.into(), &"mnist".into())
    );
}

#[test]
fn the_layers_of_a_model_add_up() {
    let folder = Folder::new();
    let value = folder.run("config conv --model --shape 3x61x47 --json").done().json();
    has_keys(&value, "shape network layers parameters flops");
    assert_eq!(value["network"]["channels"], serde_json::json!([32, 64, 128]));
    let layers = value["layers"].as_array().unwrap();
    for total in ["parameters", "flops"] {
        let sum: u64 = layers.iter().map(|layer| layer[total].as_u64().unwrap()).sum();
        assert_eq!(value[total], sum);
    }
    assert_eq!(layers.last().unwrap()["output"], serde_json::json!([3, 61, 47]));
    // 784-512-256-10: the shape is that of the recipe's own data.
    let value = folder.run("config digits --set data.count=20 --model --json").done().json();
    assert_eq!((&value["shape"], &value["parameters"]), (&serde_json::json!([1, 28, 28]), &1_074_980.into()));
    let text = folder.run("config resnet --model --shape 1x8x8").done().stdout;
    assert!(text.contains("encoder.stages.0.down") && text.contains("total"), "{text}");

    let small = "config conv --set network.channels=[8,8,8] --model --shape 1x8x2";
    folder.run(small).refused(2, &["layer 2: 4 x 1 -> cannot be halved", "1 layer fits"]);
    folder.run("config --shape 1x8x8").refused(2, &["--model"]);
}

#[test]
fn a_printed_recipe_trains_and_a_printed_configuration_reads_back() {
    let folder = Folder::new();
    let recipe = folder.run("recipes mnist-bce").done().stdout;
    folder.write("mine.toml", &recipe);
    folder.run(&format!("train mine.toml --data digits {SMALL} --out run")).done();

    let config =
        folder.run("config mnist-2d --set loss.warmup_epochs=2.5 --set schedule.kind=cosine --seed 7").done().stdout;
    folder.write("again.toml", &config);
    assert_eq!(folder.run("config again.toml").done().stdout, config);
    // A run's own configuration is one too.
    assert_eq!(
        folder.run("config run/config.toml").done().stdout.trim(),
        std::fs::read_to_string(folder.path("run/config.toml")).unwrap().trim()
    );
}

#[test]
fn flags_win_over_settings_and_settings_over_the_recipe() {
    let folder = Folder::new();
    let line = "config digits --set training.epochs=5 --set data.source=sprites --set training.seed=4 --epochs 6 --data digits --json";
    let config = folder.run(line).done().json()["config"].clone();
    assert_eq!(config["training"]["epochs"], 6);
    assert_eq!(config["training"]["seed"], 4);
    assert_eq!(config["data"]["source"], "digits");
}

#[test]
fn every_kind_of_failure_has_its_exit_code_and_one_object_that_explains_it() {
    let folder = Folder::new();
    folder.train("run", "").done();
    folder.write("file", "not a folder");
    folder.write("broken-idx", "GIF89a");
    for (line, code, kind, path) in [
        ("train nosuch --json", 2, "usage", None),
        ("train --epoch 3 --json", 2, "usage", None),
        ("eval run --metrics kk --json", 2, "usage", None),
        ("train --data broken-idx --json", 3, "data", Some("broken-idx")),
        ("eval nowhere --json", 4, "model", Some("nowhere")),
        ("sample run --out file/x.png --json", 5, "io", Some("x.png")),
        ("train --set data.count=300 --set optimizer.lr=1e30 --out wild --json", 6, "diverged", None),
    ] {
        let outcome = folder.run(line).refused(code, &[]);
        let value = outcome.json();
        assert_eq!(keys(&value["error"]), ["help", "kind", "message", "path"], "{line}");
        assert_eq!(value["error"]["kind"], kind, "{line}");
        assert!(!value["error"]["help"].as_str().unwrap().is_empty(), "{line}");
        let message = value["error"]["message"].as_str().unwrap();
        assert!(outcome.stderr.contains(message), "the same words on standard error: {outcome:?}");
        match path {
            Some(path) => assert!(value["error"]["path"].as_str().unwrap().ends_with(path), "{line}: {value}"),
            None => assert!(value["error"]["path"].is_null(), "{line}: {value}"),
        }
    }
}

#[test]
fn a_typing_mistake_is_guessed() {
    let folder = Folder::new();
    folder.train("run", "").done();
    for (line, code, meant) in [
        ("trian", 2, "train"),
        ("train --epoch 3", 2, "--epochs"),
        ("train digtis", 2, "digits"),
        ("recipes mnist-bec", 2, "mnist-bce"),
        ("train mnist", 2, "elbo train --data mnist"),
        ("train --data mnits", 3, "mnist"),
        ("train --set training.epcohs=5", 2, "training.epochs"),
        ("train --set epochs=5", 2, "training.epochs"),
        ("train --set optimizer.learning_rate=5", 2, "optimizer.lr"),
        ("train --set data.count", 2, "--set optimizer.lr=3e-4"),
        ("eval run --metrics bits_per_dims", 2, "bits_per_dim"),
        ("eval run --split tset", 2, "test"),
        ("eval run --checkpoint newest", 2, "last or best"),
        ("train --device tpu", 2, "--device cpu"),
        ("train --device cuda", 2, "--features cuda"),
        ("sample run --out x.jpg", 2, ".png or .npy"),
        ("encode run --out x.png", 2, ".npy or .csv"),
        ("grid run --out x.png", 2, "elbo traverse"),
    ] {
        folder.run(line).refused(code, &[meant]);
    }
}

#[test]
fn what_cannot_be_written_is_an_error_that_names_the_place() {
    let folder = Folder::new();
    folder.train("run", "").done();
    folder.write("file", "not a folder");
    folder.train("file/run", "").refused(5, &["file/run", "cannot create"]);
    folder.train("run", "").refused(2, &["--out", "not empty", "elbo resume run"]);
    folder.write("mine/notes.txt", "");
    folder.train("mine", "").refused(2, &["--out", "mine", "another `--out`"]);
    folder.run("sample run --out no/such/folder/x.png").refused(5, &["x.png", "check the path"]);
    folder.run("encode run --out file/z.npy").refused(5, &["z.npy"]);
    folder.run("compare run --out file/page.html").refused(5, &["page.html"]);
    std::os::unix::fs::symlink("/dev/full", folder.path("full.npy")).unwrap();
    folder.run("encode run --out full.npy").refused(5, &["full.npy", "No space left"]);
}

/// A limit on the size of files stands for a full disk: writes fail, and the shell has the signal ignored.
#[test]
fn a_disk_that_fills_up_leaves_the_last_checkpoint_in_order() {
    let folder = Folder::new();
    folder.train("run", "").done();
    let before = crate::support::training(&folder.path("run"));
    let script = "trap '' XFSZ; ulimit -f 20; exec \"$0\" resume run --epochs 4";
    let mut command = folder.command("");
    let elbo = command.get_program().to_owned();
    command = std::process::Command::new("sh");
    command.args(["-c", script]).arg(elbo).current_dir(folder.path("")).env("ELBO_OFFLINE", "1").stdin(Stdio::null());
    folder.start(&mut command).finish().refused(5, &["checkpoints", "cannot write"]);
    let last = crate::support::training(&folder.path("run"));
    assert_eq!(last[..4], before[..4], "checkpoints are as they were");
    folder.run("eval run").done();
    folder.run("resume run").done();
    assert_eq!(crate::support::info(&folder.path("run"))["epochs"], 4);
}

fn with_stdout(folder: &Folder, line: &str, stdout: impl Into<Stdio>) -> Outcome {
    let output =
        folder.command(line).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!stderr.contains("panicked"), "{line}: {stderr}");
    Outcome { code: output.status.code(), stdout: String::new(), stderr }
}

#[test]
fn a_reader_that_goes_away_is_no_error_and_a_full_disk_is_one() {
    let folder = Folder::new();
    folder.train("run", "").done();
    let train = format!("train {SMALL} --quiet --json --out piped");
    for line in
        ["recipes", "recipes mnist-bce", "config", "--help", "completions bash", "eval run", "data digits", &train]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let outcome = with_stdout(&folder, line, writer).done();
        assert_eq!(outcome.stderr, "", "{line}");
    }
    for line in ["recipes", "config", "completions bash", "eval run --json"] {
        let outcome = with_stdout(&folder, line, File::options().write(true).open("/dev/full").unwrap());
        outcome.refused(5, &["standard output"]);
    }
}

#[test]
fn arguments_that_are_no_unicode_are_refused() {
    let folder = Folder::new();
    let odd = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    folder.start(folder.command("train").arg(odd)).finish().refused(2, &[]);
    folder.start(folder.command("eval --json").arg(odd)).finish().refused(4, &["run directory"]);
}

#[test]
fn help_and_version_are_no_errors() {
    let folder = Folder::new();
    assert!(folder.run("--version").done().stdout.starts_with("elbo "));
    assert!(folder.run("train --help").done().stdout.contains("--epochs"));
    assert_eq!(folder.run("").code, Some(2));
    for shell in ["bash", "zsh", "fish"] {
        assert!(folder.run(&format!("completions {shell}")).done().stdout.contains("elbo"));
    }
}
