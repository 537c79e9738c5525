//! Priors as runs over the codes of a run, and recipes of several stages: what is killed ends with the same bytes as what is not.

use std::fs;

use crate::support::{Chance, Folder, Kills, edit, go_on, info, training};

/// Six epochs of nine steps over the codes of 300 digits, with a checkpoint after almost every step.
const SMALL_MAF: &str = "--set prior.hidden=[16] --set prior.blocks=2 --epochs 6 --batch-size 32 \
                         --set prior.checkpoint_seconds=0.005";

/// Enough steps for a signal to meet it at work.
const LONG_MAF: &str = "--set prior.hidden=[16] --set prior.blocks=2 --epochs 60 --batch-size 8 --set prior.patience=0";

#[test]
fn a_prior_is_a_complete_run_over_the_codes() {
    let folder = Folder::new();
    folder.train("run", "").done();
    let json = folder.run(&format!("--json train maf --codes-of run {SMALL_MAF}")).done().json();
    assert_eq!((&json["status"], &json["epochs"]), (&"finished".into(), &6.into()));
    // Of codes, none are held back for a test: the validation loss is in the metrics.
    assert!(json["test"].is_null(), "{json}");
    let prior = folder.path("run/priors/maf");
    for name in [
        "config.toml",
        "run.json",
        "metrics.csv",
        "metrics.jsonl",
        "codes.npy",
        "report.html",
        "checkpoints/last/model.safetensors",
        "checkpoints/best/model.safetensors",
        "plots/loss.png",
    ] {
        assert!(prior.join(name).is_file(), "{name}");
    }
    let names: Vec<_> = fs::read_dir(&prior).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().any(|name| name.starts_with("events.out.tfevents")), "{names:?}");
    let metrics = fs::read_to_string(prior.join("metrics.csv")).unwrap();
    assert!(metrics.starts_with("epoch,step,"), "{metrics}");
    let found = info(&prior);
    let parent: String =
        crate::support::sha256(&fs::read(folder.path("run/checkpoints/last/model.safetensors")).unwrap());
    assert_eq!(found["origin"]["weights_sha256"], parent.as_str());
    assert_eq!((&found["origin"]["codes"], &found["origin"]["split"]), (&"sample".into(), &"train".into()));
    assert_eq!(found["data"]["columns"]["names"], serde_json::json!(["z0", "z1", "z2"]));
    assert_eq!((found["data"]["train"].as_u64(), found["data"]["validation"].as_u64()), (Some(256), Some(29)));

    // It is used as it is, by name, and samples codes and pictures.
    let said = folder.run("sample run --sampler maf -n 4 --out a.npy").done().stderr;
    assert!(!said.contains("fitted") && !said.contains("epoch"), "{said}");
    folder.run("sample run/priors/maf -n 4 --out codes.csv").done();
    let codes = fs::read_to_string(folder.path("codes.csv")).unwrap();
    assert!(codes.starts_with("z0,z1,z2\n") && codes.lines().count() == 5, "{codes}");
    folder.run("encode run/priors/maf --out x.npy").refused(2, &["expected a run that encodes", "maf"]);
    folder.run("report run/priors/maf").done();
    // A second of the same weights needs a name of its own.
    folder.run("train maf --codes-of run").refused(2, &["name", "`maf`", "elbo resume"]);
    folder.run("train maf --codes-of run --set name=flow --epochs 1 --set flow.hidden=[8]").done();
    folder.run("sample run --sampler flow -n 4 --out b.npy").done();
    folder.run("sample run --sampler absent -n 4 --out b.npy").refused(2, &["--sampler", "mixture"]);
    assert_ne!(fs::read(folder.path("a.npy")).unwrap(), fs::read(folder.path("b.npy")).unwrap());
    folder.run("train maf").refused(2, &["codes", "--codes-of RUN"]);
}

#[test]
fn kills_at_random_times_change_nothing() {
    let folder = Folder::new();
    folder.train("run", "").done();
    for (recipe, settings) in [
        ("maf", SMALL_MAF.to_owned()),
        ("two-stage", SMALL_MAF.replace("--set prior.blocks=2", "--set prior.validation=0.1")),
    ] {
        let begin = format!("train {recipe} --codes-of run {settings}");
        let prior = format!("run/priors/{recipe}");
        folder.run(&begin).done();
        let whole = training(&folder.path(&prior));
        let mut chance = Chance(7);
        let mut kills = 0;
        while kills < 12 {
            fs::remove_dir_all(folder.path(&prior)).unwrap();
            let how = Kills { most: 6, within_ms: 150, signals: &["KILL", "KILL", "INT"] };
            kills += chance.kill_until_done(&how, || go_on(&folder, &prior, &begin));
            assert_eq!(training(&folder.path(&prior)), whole, "{recipe}, after {kills} kills");
        }
    }
}

#[test]
fn asking_for_samples_trains_and_goes_on_after_a_signal() {
    let folder = Folder::new();
    folder.train("run", "").done();
    let line = format!("priors run --samplers maf --out p.html -n 20 {}", set_only(LONG_MAF));
    let mut running = folder.start(&mut folder.command(&line));
    running.wait_until(|r| r.stderr().contains("epoch  2/60"));
    running.signal("INT");
    let outcome = running.finish();
    assert_eq!(outcome.code, Some(130), "{outcome:?}");
    assert!(outcome.stderr.contains("interrupted"), "{}", outcome.stderr);
    assert_eq!(info(&folder.path("run/priors/maf"))["status"], "interrupted");
    // Any command that wants it goes on with it.
    let said = folder.run("sample run --sampler maf -n 4 --out a.npy").done().stderr;
    assert!(!said.contains("epoch  1/60") && said.contains("epoch 60/60"), "{said}");
    assert_eq!(info(&folder.path("run/priors/maf"))["status"], "finished");
    let interrupted = training(&folder.path("run/priors/maf"));
    fs::remove_dir_all(folder.path("run/priors/maf")).unwrap();
    folder.run(&line).done();
    assert_eq!(training(&folder.path("run/priors/maf")), interrupted);

    // Other settings, other codes and other weights train it anew.
    let before = info(&folder.path("run/priors/maf"))["origin"].clone();
    let said = folder.run("priors run --samplers maf --out p.html -n 20 --set prior.epochs=1").done().stderr;
    assert!(said.contains("epoch 1/1") && said.contains("other weights, codes or settings"), "{said}");
    assert!(!folder.run("priors run --samplers maf --out p.html -n 20").done().stderr.contains("fitted"));
    let said = folder.run("sample run --sampler maf --codes mean -n 4 --out a.npy").done().stderr;
    assert!(said.contains("training codes (mean)"), "{said}");
    folder.run("resume run --epochs 3").done();
    assert!(folder.run("sample run --sampler maf -n 4 --out a.npy").done().stderr.contains("other weights"));
    assert_ne!(info(&folder.path("run/priors/maf"))["origin"]["weights_sha256"], before["weights_sha256"]);
    folder.run("priors run --set prior.hiden=[8]").refused(2, &["`prior.hiden`", "network.hidden"]);
}

/// Flags of `elbo train` as `--set` alone.
fn set_only(flags: &str) -> String {
    flags.replace("--epochs ", "--set prior.epochs=").replace("--batch-size ", "--set prior.batch_size=")
}

#[test]
fn a_prior_stays_where_another_cannot_be_trained() {
    let folder = Folder::new();
    let rows: String = (0..40).map(|i| format!("{},{}\n", i % 7, (i * i) % 11)).collect();
    folder.write("rows.csv", format!("a,b\n{rows}"));
    folder.run("train --data rows.csv --out run --epochs 1 --set network.hidden=[8] --set model.latent=2").done();
    folder.run(&format!("train maf --codes-of run {SMALL_MAF}")).done();
    let prior = training(&folder.path("run/priors/maf"));
    fs::remove_file(folder.path("rows.csv")).unwrap();
    let answer = folder.run("sample run --sampler maf --codes mean -n 4 --out new.csv");
    assert_ne!(answer.code, Some(0), "{answer:?}");
    assert_eq!(training(&folder.path("run/priors/maf")), prior);
}

#[test]
fn damaged_codes_and_origins_are_told() {
    let folder = Folder::new();
    folder.train("run", "").done();
    folder.run(&format!("train maf --codes-of run {SMALL_MAF}")).done();
    let codes = folder.path("run/priors/maf/codes.npy");
    let bytes = fs::read(&codes).unwrap();
    fs::write(&codes, &bytes[..bytes.len() - 4]).unwrap();
    folder.run("resume run/priors/maf --epochs 9").refused(3, &["codes.npy", "standardised codes"]);
    let mut other = bytes.clone();
    other[200] ^= 1;
    fs::write(&codes, other).unwrap();
    folder.run("resume run/priors/maf --epochs 9").refused(3, &["content sha256"]);
    fs::write(&codes, bytes).unwrap();
    folder.run("resume run/priors/maf --epochs 7").done();
    edit(&folder.path("run/priors/maf/run.json"), "\"columns\"", "\"colums\"");
    folder.run("resume run/priors/maf --epochs 9").refused(4, &["data.columns"]);
}

/// Two stages, each of six epochs with a checkpoint after almost every step.
const STAGES: &str = "train digits-maf --set data.count=300 --set network.hidden=[16] --set model.latent=3 --epochs 4 \
                      --batch-size 28 --set training.checkpoint_seconds=0.005 --set maf.hidden=[16] --set maf.blocks=2 \
                      --set maf.training.epochs=4 --set maf.batch_size=32 --set maf.checkpoint_seconds=0.005";

#[test]
fn stages_run_in_order_and_kills_anywhere_change_nothing() {
    let folder = Folder::new();
    let json = folder.run(&format!("--json {STAGES} --out whole")).done().json();
    assert_eq!((&json["epochs"], &json["stages"][0]["epochs"]), (&4.into(), &4.into()), "{json}");
    let both = |run: &str| [training(&folder.path(run)), training(&folder.path(&format!("{run}/priors/maf")))];
    let whole = both("whole");
    let again = folder.run("resume whole").done();
    assert!(again.stderr.contains("nothing left to train"), "{}", again.stderr);
    assert_eq!(both("whole"), whole);

    let mut chance = Chance(3);
    let (mut kills, mut runs) = (0, 0);
    while kills < 20 {
        let run = format!("run-{runs}");
        runs += 1;
        let how = Kills { most: 8, within_ms: 300, signals: &["KILL", "KILL", "KILL", "INT"] };
        kills += chance.kill_until_done(&how, || go_on(&folder, &run, &format!("{STAGES} --out {run}")));
        assert_eq!(both(&run), whole, "{run}, after {kills} kills");
    }
    // More epochs of the first stage make other codes: the second is trained anew.
    folder.run("resume whole --epochs 5").done();
    assert_eq!(info(&folder.path("whole"))["epochs"], 5);
    assert_ne!(both("whole")[1], whole[1]);
    fs::write(folder.path("whole/stages.toml"), "format = 2").unwrap();
    folder.run("resume whole").refused(4, &["stages.toml"]);
}

/// A VQ-VAE whose codes are revived, then a transformer over them with dropout and dropped labels.
const CODES: &str = r#"
format = 2
name = "codes"
[[stage]]
name = "vq"
data = { source = "digits", count = 300 }
model = { kind = "vq-vae" }
network = { kind = "conv", channels = [4, 4], hidden = [] }
quantizer = { codes = 16, dims = 4, gradient = "rotation" }
training = { epochs = 12, batch_size = 28, checkpoint_seconds = 0.005 }
[[stage]]
recipe = "autoregressive"
codes_of = "vq"
model = { kind = "autoregressive", width = 8, layers = 1, heads = 2 }
training = { epochs = 3, batch_size = 32, checkpoint_seconds = 0.005 }
"#;

#[test]
fn codes_and_their_prior_end_alike_wherever_they_were_killed() {
    let folder = Folder::new();
    folder.write("codes.toml", CODES);
    let line = "train codes.toml";
    folder.run(&format!("{line} --out whole")).done();
    let both =
        |run: &str| [training(&folder.path(run)), training(&folder.path(&format!("{run}/priors/autoregressive")))];
    let whole = both("whole");
    for threads in [1, 3] {
        folder.run(&format!("{line} --threads {threads} --out threads-{threads}")).done();
        assert_eq!(both(&format!("threads-{threads}")), whole, "{threads} threads");
    }
    let mut chance = Chance(5);
    let (mut kills, mut runs) = (0, 0);
    while kills < 12 {
        let run = format!("run-{runs}");
        runs += 1;
        let how = Kills { most: 6, within_ms: 600, signals: &["KILL", "KILL", "KILL", "INT"] };
        kills += chance.kill_until_done(&how, || go_on(&folder, &run, &format!("{line} --out {run}")));
        assert_eq!(both(&run), whole, "{run}, after {kills} kills");
    }
    // Codes are the run's: of other weights the prior is of no use, and the second stage is trained anew.
    folder.run("resume whole --epochs 13").done();
    assert_ne!(both("whole")[1], whole[1]);
    // Damaged codes are told before anything is trained on them.
    let codes = folder.path("whole/priors/autoregressive/codes.npy");
    let bytes = fs::read(&codes).unwrap();
    fs::write(&codes, &bytes[..bytes.len() - 2]).unwrap();
    folder.run("resume whole/priors/autoregressive --epochs 9").refused(3, &["codes.npy"]);
}

#[test]
fn a_recipe_of_stages_is_listed_shown_and_checked() {
    let folder = Folder::new();
    let json = folder.run("--json config digits-maf --set maf.hidden=[9]").done().json();
    assert_eq!(json["config"]["name"], "digits-maf");
    assert_eq!(json["stages"][0]["config"]["model"]["hidden"], serde_json::json!([9]));
    assert!(folder.run("recipes").done().stdout.contains("digits-maf"));
    // What `config` prints is a recipe.
    let shown = folder.run("config digits-maf --set maf.hidden=[9]").done().stdout;
    folder.write("shown.toml", &shown);
    assert_eq!(folder.run("config shown.toml").done().stdout, shown);
    folder.write("two.toml", "format = 2\n[[stage]]\nrecipe = \"digits\"\n[[stage]]\nrecipe = \"maf\"\n");
    folder.run("train two.toml").refused(2, &["stage.codes_of", "digits"]);
    folder.run("train digits-maf --set mf.hidden=[9]").refused(2, &["mf"]);
    assert!(!folder.path("runs").exists(), "nothing is written");
}
