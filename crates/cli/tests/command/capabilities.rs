//! Every command against every family of models: it does what it says, or refuses in one way with exit code 2.

use elbo::models::KINDS;

use super::support::{Folder, Outcome};

/// How a tiny run of a family is trained.
fn training(kind: &str) -> String {
    match kind {
        "maf" => "train maf --codes-of vae --set prior.hidden=[8] --set prior.blocks=1 --epochs 1".into(),
        "autoregressive" => prior_over("vq-vae"),
        "vq-vae" | "vq-vae-2" => {
            let network = "--set network={kind=\"conv\",channels=[4,4]} --set quantizer.codes=8 --set quantizer.dims=4";
            format!(
                "train digits --set data.count=120 --set model={{kind=\"{kind}\"}} {network} --epochs 1 --batch-size 32 --out {kind}"
            )
        }
        _ => {
            let flags = "--set data.count=120 --set network.hidden=[8] --set model.latent=2 --epochs 1 --batch-size 32";
            format!("train digits --set model.kind={kind} {flags} --out {kind}")
        }
    }
}

/// How a tiny prior over the codes of a run is trained.
fn prior_over(run: &str) -> String {
    let flags = "--set prior.width=8 --set prior.layers=1 --set prior.heads=2 --epochs 1";
    format!("train autoregressive --codes-of {run} {flags}")
}

/// Where it lies: a density of codes in the `vae` whose codes they are.
fn place(kind: &str) -> &str {
    match kind {
        "maf" => "vae/priors/maf",
        "autoregressive" => "vq-vae/priors/autoregressive",
        _ => kind,
    }
}

/// Every command that takes a run, as a line with `RUN` for its folder.
const COMMANDS: [&str; 29] = [
    "eval RUN",
    "eval RUN --metrics terms,reconstruction,regularity,embedding --limit 20",
    "eval RUN --metrics nll_iw --k 2 --limit 5",
    "eval RUN --metrics information --limit 20",
    "eval RUN --metrics codebook,rate --limit 20",
    "eval RUN --metrics fid --samples 20 --limit 20 --features pixels",
    "sample RUN -n 4 --out RUN-s.png",
    "sample RUN -n 4 --sampler gaussian --out RUN-g.npy",
    "sample RUN -n 4 --class 7 --out RUN-c.png",
    "sample RUN -n 4 --top-k 3 --top-p 0.9 --guidance 2 --class 7 --out RUN-p.png",
    "sample RUN -n 4 --out RUN-s.npy",
    "complete RUN --image 1 -n 3 --keep bottom-half --out RUN-o.png",
    "score RUN --by rate --out RUN-rate.csv",
    "reconstruct RUN -n 4 --out RUN-r.png",
    "reconstruct RUN -n 4 --observation draw --out RUN-d.png",
    "traverse RUN --steps 3 --out RUN-t.png",
    "traverse RUN --steps 3 --class 3 --out RUN-tc.png",
    "interpolate RUN --images 1,2 --steps 3 --out RUN-i.png",
    "grid RUN --size 3 --out RUN-m.png",
    "grid RUN --spacing quantiles --size 3 --out RUN-q.png",
    "grid RUN --spacing classes --size 3 --out RUN-k.png",
    "encode RUN --out RUN-e.npy",
    "score RUN --out RUN-score.csv",
    "arithmetic RUN --add label:1 --subtract label:2 -n 2 --out RUN-a.png",
    "neighbours RUN -n 4 --held-out 8 --out RUN-n.png",
    "report RUN",
    "compare RUN RUN --out RUN-two.html",
    "gmm RUN --components 1..2",
    "resume RUN",
];

/// Success, or the one refusal: a usage error that says what was expected of the run, and what helps.
fn kept(line: &str, outcome: &Outcome) -> Result<(), String> {
    let refused = outcome.code == Some(2) && outcome.stderr.contains("expected") && outcome.stderr.contains("help");
    match outcome.code {
        Some(0) => Ok(()),
        _ if refused => Ok(()),
        _ => Err(format!("{line}: {outcome:?}")),
    }
}

#[test]
fn every_command_works_with_every_family_or_says_that_it_cannot() {
    let folder = Folder::new();
    let mut wrong = Vec::new();
    for kind in KINDS {
        if !folder.path(place(kind.name)).exists() {
            folder.run(&training(kind.name)).done();
        }
        if ["vq-vae", "vq-vae-2"].contains(&kind.name) {
            // Small, where a command would train the usual prior.
            folder.run(&prior_over(kind.name)).done();
        }
        for command in COMMANDS {
            let line = command.replace("RUN", place(kind.name));
            wrong.extend(kept(&line, &folder.run(&line)).err());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_a_model_cannot_do_is_refused_by_what_it_is() {
    let folder = Folder::new();
    for kind in ["ae", "vae"] {
        folder.run(&training(kind)).done();
    }
    folder.run("eval ae --metrics nll_iw --k 2").refused(2, &["expected a run that", "ae", "autoencoder"]);
    folder.run("sample vae --class 7 --out x.png").refused(2, &["--class", "told no class"]);
    folder.run("grid vae --spacing classes --out x.png").refused(2, &["a conditional model"]);
}

#[test]
fn a_prior_over_two_levels_knows_their_maps() {
    let folder = Folder::new();
    folder.run(&training("vq-vae-2")).done();
    folder.run(&prior_over("vq-vae-2")).done();
    let config = std::fs::read_to_string(folder.path("vq-vae-2/priors/autoregressive/config.toml")).unwrap();
    let config: String = config.split_whitespace().collect::<String>().replace(",]", "]");
    assert!(config.contains("maps=[[1,7,7],[1,14,14]]"), "{config}");
    let rate = folder.run("eval vq-vae-2 --metrics rate --limit 20 --json").done().json();
    assert!(rate["metrics"]["rate_learned"]["value"].as_f64().is_some(), "{rate}");
    folder.run("sample vq-vae-2 --class 7 -n 2 --out s.png").done();
    folder.run("complete vq-vae-2 --image 1 -n 2 --keep top-half --out c.png").done();
    folder.run("resume vq-vae-2/priors/autoregressive --epochs 2").done();
}

#[test]
fn depth_is_a_rate_knob_after_training() {
    let folder = Folder::new();
    let deep = "--set quantizer.depth=3 --set quantizer.drop_depths=true";
    folder.run(&format!("{} {deep}", training("vq-vae"))).done();
    let eval = |more: &str| folder.run(&format!("eval vq-vae --metrics rate {more} --json")).done().json();
    let whole = eval("");
    let table = whole["by_depth"].as_array().expect("a row for each depth").clone();
    assert_eq!(table.len(), 3);
    for (i, row) in table.iter().enumerate() {
        // 49 places, so many codes of 8 at each.
        let uniform = (i + 1) as f64 * 49.0 * 8f64.ln();
        assert!((row["rate_uniform"].as_f64().unwrap() - uniform).abs() < 1e-9, "{row}");
        assert!(row["rate_frequencies"].as_f64().unwrap() < uniform && row.get("bits_frequencies").is_none(), "{row}");
        let alone = eval(&format!("--depth {}", i + 1));
        assert_eq!(alone["metrics"]["distortion"]["value"], row["distortion"], "the row is what that depth costs");
    }
    assert!(eval("--depth 1").get("by_depth").is_none(), "one depth is no table");
    folder.run("reconstruct vq-vae -n 4 --depth 1 --out one.npy").done();
    folder.run("reconstruct vq-vae -n 4 --out all.npy").done();
    let [one, all] = ["one.npy", "all.npy"].map(|name| std::fs::read(folder.path(name)).unwrap());
    assert!(one.len() == all.len() && one != all, "fewer codes, another picture");
    folder.run("eval vq-vae --depth 4").refused(2, &["depth", "a number from 1 to 3"]);
}

#[test]
fn codes_that_are_symbols_go_through_prior_rate_and_completion() {
    let folder = Folder::new();
    folder.run(&training("vq-vae")).done();
    folder.run("sample vq-vae --sampler mixture --out x.png").refused(2, &["--sampler", "symbols"]);
    folder.run("score vq-vae --by rate").refused(2, &["by", "elbo train autoregressive --codes-of"]);
    folder.run(&training("autoregressive")).done();
    let rate = folder.run("eval vq-vae --metrics rate --json").done().json();
    let value = |name: &str| rate["metrics"][name]["value"].as_f64();
    // 49 codes of 8: exactly 49 ln 8 nats where all are alike. A grey picture under the Bernoulli formula has no bits.
    assert!((value("rate_uniform").unwrap() - 49.0 * 8f64.ln()).abs() < 1e-9);
    assert!(value("rate_learned").is_some() && value("bits_learned").is_none());
    let text = rate["metrics"]["distortion"]["definition"].as_str().unwrap_or_default();
    assert!(text.contains("no bits"), "{text}");
    let drawn = folder.run("eval vq-vae --metrics codebook --codebook codes --json").done().json();
    assert_eq!(drawn["codebook"], serde_json::json!(["codes/code-places.png", "codes/codebook.png"]));
    assert_eq!(&std::fs::read(folder.path("codes/codebook.png")).unwrap()[1..4], b"PNG");
    folder.run("complete vq-vae --image 2 --keep left-half -n 3 --out c.npy").done();
    folder.run("sample vq-vae --class 7 --temperature 0.9 --top-p 0.95 --guidance 2 -n 3 --out s.png").done();
    folder.run("sample vq-vae --class 12 --out x.png").refused(2, &["--class", "one of 0, 1"]);
    folder.run("sample vq-vae --top-p 1.5 --out x.png").refused(2, &["--top-p"]);
    folder.run("sample vq-vae --guidance 2 --out x.png").refused(2, &["guidance"]);
    folder.run("score vq-vae --heatmap maps").refused(2, &["--heatmap", "--by rate"]);
    let scored = folder.run("score vq-vae --by rate --out r.csv --heatmap maps --json").done().json();
    let files = scored["heatmaps"]["files"].as_array().expect("the heat maps");
    assert_eq!(files.len(), scored["strangest"].as_array().map_or(0, Vec::len));
    let first = format!("maps/01-{}.png", scored["strangest"][0]["index"]);
    assert_eq!(files[0], first.as_str());
    assert_eq!(&std::fs::read(folder.path(&first)).unwrap()[1..4], b"PNG");
    let page = std::fs::read_to_string(folder.path("vq-vae/report.html")).unwrap();
    assert!(page.contains("Samples of the prior"), "the run's own page shows what its prior draws");
    assert!(page.contains("How many codes each place uses"), "and its codebook by position");
    for name in ["codebook", "code-places"] {
        assert!(folder.path(&format!("vq-vae/plots/{name}.png")).is_file(), "{name}");
    }
    folder.run(&training("vae")).done();
    folder.run("sample vae --top-k 3 --out x.png").refused(2, &["--top-k", "no symbols"]);
    folder.run("score vae --by rate").refused(2, &["by", "mnist-vq"]);
    folder.run("eval vae --codebook codes").refused(2, &["expected a run that", "codebook"]);
}

#[test]
fn a_conditional_model_is_told_its_classes() {
    let folder = Folder::new();
    folder.run(&training("cvae")).done();
    let value = folder.run("eval cvae --json").done().json();
    let classes = value["by_class"].as_array().expect("the terms of each class");
    let n: u64 = classes.iter().map(|class| class["n"].as_u64().expect("a number")).sum();
    assert_eq!(Some(n), value["n"].as_u64(), "every example has its class");
    // A class makes a difference to what the same code shows.
    for class in ["1", "8"] {
        folder.run(&format!("sample cvae -n 4 --class {class} --out {class}.npy")).done();
    }
    let [one, eight] = ["1.npy", "8.npy"].map(|name| std::fs::read(folder.path(name)).unwrap());
    assert_ne!(one, eight);
    folder.run("sample cvae --class 17 --out x.png").refused(2, &["--class", "one of 0, 1"]);
    // Data without classes are refused before a run is written.
    let rows: String = (0..40).map(|i| format!("{},{}\n", i % 7, i % 5)).collect();
    folder.write("rows.csv", format!("a,b\n{rows}"));
    let refused = folder.run("train table --data rows.csv --set model.kind=cvae --epochs 1 --out none");
    refused.refused(2, &["model.kind", "class"]);
    assert!(!folder.path("none").exists(), "nothing is written");
}
