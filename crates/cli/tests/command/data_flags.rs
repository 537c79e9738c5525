//! Every command that opens data takes the same flags about them, and finds a run's own data where they are now.

use std::fs;

use crate::serve::{address, ask};
use crate::support::{Folder, Running};

const QUICK: &str = "--set network.hidden=[8] --epochs 1 --batch-size 8";

/// Commands that open no data.
const WITHOUT_DATA: [&str; 4] = ["grid", "recipes", "completions", "man"];

/// The commands that `elbo --help` lists.
fn commands(folder: &Folder) -> Vec<String> {
    let help = folder.run("--help").done().stdout;
    let listed = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap().to_owned();
    let names = listed.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    names.map(|line| line.split_whitespace().next().unwrap().to_owned()).filter(|name| name != "help").collect()
}

#[test]
fn every_command_that_opens_data_takes_the_same_flags_about_them() {
    let folder = Folder::new();
    let commands = commands(&folder);
    assert!(commands.len() > 20 && WITHOUT_DATA.iter().all(|name| commands.iter().any(|other| other == name)));
    for command in commands.iter().filter(|command| !WITHOUT_DATA.contains(&command.as_str())) {
        let help = folder.run(&format!("{command} --help")).done().stdout;
        let flags = ["size", "fit", "channels", "on-bad-image", "label", "id", "missing", "set", "data"];
        // `elbo data DATA` has the data in front.
        let flags = flags.iter().filter(|flag| !(command == "data" && **flag == "data"));
        let missing: Vec<_> = flags.filter(|flag| !help.contains(&format!("--{flag} <"))).collect();
        assert!(missing.is_empty(), "{command} lacks {missing:?}");
    }
}

/// A run `p` on pictures of two classes in `here`, which then are in `there`.
fn moved(folder: &Folder) {
    for i in 0..24 {
        let pixels: Vec<u8> = (0..64).map(|p| (p * 3 + i * 7) as u8).collect();
        let class = if i % 2 == 0 { "a" } else { "b" };
        folder.write(&format!("here/{class}/{i:02}.pgm"), [b"P5 8 8 255\n".as_slice(), &pixels].concat());
    }
    folder.run(&format!("train --data here --out p --set model.latent=2 {QUICK}")).done();
    fs::rename(folder.path("here"), folder.path("there")).unwrap();
}

#[test]
fn every_command_finds_own_data_that_moved() {
    let folder = Folder::new();
    moved(&folder);
    for line in [
        "eval p --split all --metrics generation --samples 8 --sampler gaussian",
        "score p --split all --by mahalanobis",
        "encode p --split test --out e.csv",
        "reconstruct p --split test --out r.png",
        "interpolate p --split train --out i.png",
        "traverse p --split test --image 0 --out t.png",
        "arithmetic p --split test --from 0 --add label:a --out a.png",
        "neighbours p -n 4 --out n.png",
        "neighbours p --images 0 --out n2.png",
        "sample p --sampler mixture --out s.png",
        "priors p --samplers normal,gaussian -n 2",
        "gmm p -k 2",
        "report p",
        "compare p",
        "train maf --codes-of p --epochs 1",
        // Last, since from then on the run remembers.
        "resume p --epochs 2",
    ] {
        folder.run(line).refused(3, &["here", "--data PATH"]);
        folder.run(&format!("{line} --data there")).done();
    }
    folder.run("eval p").done();
    // Pictures of others are others: no places among the run's own are meant then.
    folder.write("other/1.pgm", [b"P5 8 8 255\n".as_slice(), &[7; 64]].concat());
    folder.run("neighbours p --data other --out n.png").done();
    folder.run("neighbours p --data other --images 0 --out n.png").refused(2, &["--images", "--data other"]);
}

#[test]
fn data_whose_cures_undo_each_other_end_with_the_first() {
    let folder = Folder::new();
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1, 2), }".to_owned();
    let header = format!("{header:117}\n");
    let values: Vec<u8> = [2.0f32, 2.5, 0.0, -1.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    folder.write("f.npy", [b"\x93NUMPY\x01\0\x76\0", header.as_bytes(), &values].concat());
    let told = folder.run("data f.npy").refused(3, &["[0, 1]", "scale the values"]);
    assert_eq!(told.stderr.matches("error: ").count(), 1, "{}", told.stderr);
    folder.run("data f.npy --set data.range=byte").refused(3, &["whole number"]);
}

#[test]
fn the_service_finds_data_that_moved_and_other_runs_find_their_own() {
    let folder = Folder::new();
    moved(&folder);
    folder.train("digits", "").done();
    let scored = |flags: &str, run: &str| {
        let mut service = folder.start(&mut folder.command(&format!("serve --port 0 p digits {flags}")));
        let address = address(&mut service, Running::stdout);
        let answer = ask(&address, "GET", &format!("/api/runs/{run}/examples/test/0"), "");
        service.signal("TERM");
        service.finish().done();
        answer.lines().next().unwrap().to_owned()
    };
    assert!(!scored("", "p").contains("200"));
    for run in ["p", "digits"] {
        let answer = scored("--data there", run);
        assert!(answer.contains("200"), "{run}: {answer}");
    }
}

#[test]
fn bench_takes_data_as_they_are_and_refuses_what_it_would_not_look_at() {
    let folder = Folder::new();
    moved(&folder);
    folder.write("there/a/cut.pgm", b"P5 8 8 255\n short");
    folder.run("bench mlp --seconds 0 --data there --size 28x28").refused(3, &["cut.pgm", "--on-bad-image skip"]);
    folder.run("bench encode --seconds 0 --data there --size 28x28 --on-bad-image skip").done();
    folder.run("bench conv-s --seconds 0 --data there").refused(2, &["conv-s", "makes its own numbers"]);
    folder.run("bench prior --seconds 0 --data there").refused(2, &["prior", "makes its own numbers"]);
    folder.run("bench mlp --seconds 0 --set model.latent=3").refused(2, &["[data]"]);
}
