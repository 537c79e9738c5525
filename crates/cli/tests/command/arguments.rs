//! Odd arguments of every kind, chosen by chance: refused or obeyed, and never a panic.

use std::collections::BTreeMap;

use crate::support::{Chance, Folder, SMALL};

/// Values that numbers, names and paths might be given. None of them asks for work that takes long.
const VALUES: &[&str] = &[
    "0",
    "1",
    "2",
    "3",
    "-1",
    "-0",
    "1.5",
    "0.5",
    "1e-300",
    "1e300",
    "1e30",
    "nan",
    "inf",
    "-inf",
    "NaN",
    "0x10",
    "1_000",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "true",
    "\"\"",
    "''",
    "[]",
    "[1]",
    "[0.9,0.9]",
    "{}",
    "a",
    "last",
    "best",
    "test",
    "train",
    "all",
    "linear",
    "cosine",
    "run",
    "run/config.toml",
    "run/run.json",
    "nowhere",
    "/",
    ".",
    "..",
    "/dev/null",
    "ü",
    "\u{1F980}",
    "%s",
    "--",
    "-",
    "$HOME",
    "../../x",
    "x.png",
    "x.npy",
    "x.csv",
    "kl,kl",
    ",",
    "0,1",
    "99",
    "digits",
    "sgd",
    "ae",
    "sse",
    "gaussian",
    "tanh",
    "sum",
];

/// Commands, each with its flags and some values that belong there.
const COMMANDS: &[(&str, &[(&str, &str)])] = &[
    (
        "train",
        &[
            ("--out", "a b"),
            ("--data", "digits"),
            ("--epochs", "1 2"),
            ("--batch-size", "1 50"),
            ("--seed", "0 9"),
            ("--set", ""),
        ],
    ),
    ("resume run", &[("--epochs", "2 3"), ("--device", "cpu auto"), ("--threads", "1 2")]),
    (
        "eval run",
        &[
            ("--split", "all validation"),
            ("--metrics", "kl elbo,recon"),
            ("--seed", "4"),
            ("--checkpoint", "best last"),
        ],
    ),
    (
        "sample run",
        &[
            ("--out", "s.npy"),
            ("-n", "1 7"),
            ("--temperature", "0 0.5 2"),
            ("--observation", "mean draw"),
            ("--columns", "0 3"),
            ("--checkpoint", "best"),
        ],
    ),
    (
        "reconstruct run",
        &[("--out", "r.npy"), ("-n", "1 7"), ("--columns", "0 3"), ("--split", "train all"), ("--data", "digits")],
    ),
    (
        "traverse run",
        &[("--dims", "0 1,0"), ("--steps", "1 4"), ("--reach", "0 5"), ("--image", "0 7"), ("--columns", "0 2")],
    ),
    (
        "interpolate run",
        &[("--from", "0"), ("--to", "3"), ("--steps", "1 5"), ("--path", "spherical"), ("--split", "all")],
    ),
    (
        "grid run",
        &[
            ("--spacing", "linear quantiles"),
            ("--size", "1 5"),
            ("--reach", "0 1"),
            ("--tail", "0.1"),
            ("--columns", "2"),
        ],
    ),
    (
        "encode run",
        &[
            ("--out", "z.npy z.csv z.parquet"),
            ("--split", "all train"),
            ("--data", "digits"),
            ("--project", "pca"),
            ("--perplexity", "5"),
            ("--plot", "z.png"),
        ],
    ),
    (
        "arithmetic run",
        &[("--from", "0,1 label:2"), ("--subtract", "label:1"), ("--scale", "0 1,-1"), ("-n", "1 3"), ("--seed", "4")],
    ),
    ("neighbours run", &[("-n", "1 5"), ("-k", "1 4"), ("--images", "0,1"), ("--held-out", "1 9"), ("--seed", "4")]),
    (
        "score run",
        &[
            ("--by", "recon all"),
            ("--false-alarm", "0.1 1"),
            ("--normal", "1 2,3"),
            ("--anomalies", "digits"),
            ("--k", "1 0"),
            ("--limit", "7"),
            ("--out", "s.csv"),
        ],
    ),
    (
        "compare run",
        &[("--out", "c.html"), ("--plot", "p.svg"), ("--metrics", "kl"), ("--by", "loss.beta"), ("", "run")],
    ),
    ("data digits --set data.count=60", &[("--out", "d.png"), ("-n", "1 70"), ("--seed", "3"), ("--set", "")]),
    ("config", &[("--set", ""), ("--data", "mnist"), ("--epochs", "7"), ("--batch-size", "9"), ("--seed", "8")]),
    ("config conv --model", &[("--shape", "3x64x48 1x1x1"), ("--set", "")]),
    ("recipes", &[("", "digits"), ("--json", "mnist-2d")]),
    ("completions", &[("", "bash zsh fish")]),
    ("report run", &[("--device", "cpu"), ("--threads", "2")]),
];

const KEYS: &[&str] = &[
    "format",
    "name",
    "data.source",
    "data.validation",
    "data.test",
    "data.limit",
    "data.labels",
    "model.kind",
    "model.latent",
    "model.likelihood",
    "model.sigma",
    "model.scale",
    "model.components",
    "model.weight",
    "network.activation",
    "network.channels",
    "network.kernel",
    "network.norm",
    "network.blocks",
    "loss.beta",
    "loss.warmup_epochs",
    "loss.cycle_epochs",
    "loss.free_bits",
    "loss.capacity.gamma",
    "loss.capacity",
    "optimizer.kind",
    "optimizer.lr",
    "optimizer.betas",
    "optimizer.eps",
    "optimizer.weight_decay",
    "optimizer.clip_norm",
    "schedule.kind",
    "schedule.min_lr",
    "schedule.epochs",
    "schedule.factor",
    "schedule",
    "early_stopping.monitor",
    "early_stopping.patience",
    "early_stopping.min_delta",
    "training.seed",
    "training.reduction",
    "training.precision",
    "training.checkpoint_seconds",
    "nonsense",
    "a.b.c",
    "",
];

/// A command line with one or two flags of its command, each with a value that fits or an odd one.
fn odd_line(chance: &mut Chance, number: usize) -> Vec<String> {
    let (start, flags) = chance.of(COMMANDS);
    let out = match start.split_whitespace().next() {
        Some("train") => format!("{SMALL} --out run-{number}"),
        Some("sample" | "reconstruct" | "traverse" | "interpolate" | "grid") => "--out a.png".into(),
        Some("encode") => "--out a.npy".into(),
        Some("arithmetic") => "--add label:1 --out a.png".into(),
        Some("neighbours") => "--out a.png".into(),
        _ => String::new(),
    };
    let mut words: Vec<String> = start.split_whitespace().chain(out.split_whitespace()).map(str::to_owned).collect();
    for _ in 0..1 + chance.below(2) {
        let (flag, fitting) = *chance.of(flags);
        let fitting: Vec<&str> = fitting.split(' ').collect();
        let value = if chance.below(2) == 0 { *chance.of(&fitting) } else { *chance.of(VALUES) };
        // A flag that is there already would be refused for that alone.
        if let Some(place) = words.iter().position(|word| word == flag && flag != "--set") {
            value.clone_into(&mut words[place + 1]);
            continue;
        }
        words.extend(Some(flag).filter(|flag| !flag.is_empty()).map(str::to_owned));
        words.push(if flag == "--set" { format!("{}={value}", chance.of(KEYS)) } else { value.to_owned() });
    }
    words
}

#[test]
fn two_hundred_odd_command_lines_never_panic() {
    let folder = Folder::new();
    folder.train("run", "--set model.latent=2").done();
    let mut chance = Chance(2024);
    let mut codes = BTreeMap::new();
    for i in 0..200 {
        let words = odd_line(&mut chance, i);
        // `finish` asserts that nothing panicked.
        let outcome = folder.start(folder.command("").args(&words)).finish();
        let code = outcome.code.unwrap_or_else(|| panic!("{words:?} died of a signal: {outcome:?}"));
        assert!((0..=6).contains(&code), "{words:?}: {outcome:?}");
        assert!(code == 0 || outcome.stderr.contains("error: "), "{words:?}: {outcome:?}");
        *codes.entry(code).or_insert(0) += 1;
    }
    // The test is of use only if many are obeyed and many refused.
    assert!(codes[&0] > 50 && codes[&2] > 50, "{codes:?}");
}

#[test]
fn numbers_out_of_range_are_refused_by_flag() {
    let folder = Folder::new();
    folder.train("run", "--set model.latent=2").done();
    for (line, flag) in [
        ("sample run --out s.png -n 0", "--n"),
        ("sample run --out s.png -n 1000000000", "--n"),
        ("sample run --out s.png --temperature nan", "--temperature"),
        ("sample run --out s.png --temperature=-1", "--temperature"),
        ("sample run --out s.png --temperature 1e300", "--temperature"),
        ("traverse run --out s.png --reach nan", "--reach"),
        ("traverse run --out s.png --steps 0", "--steps"),
        ("traverse run --out s.png --dims 2", "--dims"),
        ("traverse run --out s.png --image 50", "image"),
        ("interpolate run --out s.png --from 0 --to 50", "image"),
        ("interpolate run --out s.png --steps 0", "--steps"),
        ("grid run --out s.png --size 0", "--size"),
        ("grid run --out s.png --size 100000000000", "--size"),
        ("grid run --out s.png --reach inf", "--reach"),
        ("grid run --out s.png --spacing quantiles --tail 0.5", "--tail"),
        ("grid run --out s.png --spacing quantiles --tail nan", "--tail"),
        ("data digits --out s.png -n 0", "--n"),
        ("bench --seconds nan", "--seconds"),
        ("bench --seconds 1e300", "--seconds"),
        ("train --threads 0", "--threads"),
        ("train --seed 18446744073709551615", "seed"),
    ] {
        folder.run(line).refused(2, &[flag]);
    }
    assert!(!folder.path("s.png").exists());
}

#[test]
fn any_finite_pause_between_checkpoints_is_accepted() {
    let folder = Folder::new();
    for seconds in ["0", "1e-300", "1e300"] {
        folder.train(&format!("run-{seconds}"), &format!("--set training.checkpoint_seconds={seconds}")).done();
    }
}
