//! `elbo encode`: tables and planes of codes.

use std::fs;

use crate::support::Folder;

fn rows(text: &str) -> Vec<Vec<String>> {
    text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn a_plane_adds_two_columns_and_a_picture() {
    let folder = Folder::new();
    folder.train("run", "").done();
    let read = |name: &str| fs::read_to_string(folder.path(name)).unwrap();
    for method in ["pca", "tsne"] {
        let line = format!("encode run --out {method}.csv --project {method} --plot {method}.png --json");
        let value = folder.run(&line).done().json();
        assert_eq!(value["projection"]["method"], method);
        let table = rows(&read(&format!("{method}.csv")));
        assert_eq!(table[0].join(","), "index,label,mean_0,mean_1,mean_2,log_var_0,log_var_1,log_var_2,x,y");
        assert_eq!(table.len(), 51);
        assert!(table[1..].iter().all(|row| row[8..].iter().all(|v| v.parse::<f32>().unwrap().is_finite())));
        assert_eq!(&fs::read(folder.path(&format!("{method}.png"))).unwrap()[1..4], b"PNG");
        match method {
            "pca" => {
                let shares = value["projection"]["explained_variance"].as_array().unwrap();
                let [a, b] = [0, 1].map(|i| shares[i].as_f64().unwrap());
                assert!(a >= b && b >= 0.0 && a + b <= 1.0 + 1e-12, "{value}");
            }
            _ => {
                assert_eq!(value["projection"]["perplexity"], 16.0, "a third of 49 other codes");
                assert!(value["projection"]["kl_divergence_nats"].as_f64().unwrap() > 0.0);
            }
        }
    }
    folder.run("encode run --out t.csv --project tsne --threads 2").done();
    assert_eq!(read("t.csv"), read("tsne.csv"), "threads change nothing");
    folder.run("encode run --out z.npy --project pca").done();
    assert_eq!(fs::read(folder.path("z.npy")).unwrap().len(), 128 + 50 * 5 * 4);
}

#[test]
fn a_parquet_file_is_read_back_by_our_own_reader() {
    let folder = Folder::new();
    for i in 0..24 {
        let pixels: Vec<u8> = (0..20).map(|p| (p * 7 + i * 29) as u8).collect();
        folder.write(
            &format!("set/{}/{i:02}.pgm", ["cat", "dog"][i % 2]),
            [b"P5 5 4 255\n".as_slice(), &pixels].concat(),
        );
    }
    folder
        .run("train --data set --set network.hidden=[8] --set model.latent=2 --epochs 1 --batch-size 4 --out run")
        .done();
    folder.run("encode run --split all --out z.parquet --project pca --json").done();
    folder.run("encode run --split all --out z.csv --project pca").done();
    let table = rows(&fs::read_to_string(folder.path("z.csv")).unwrap());
    assert_eq!(table[0][..3], ["index", "path", "label"]);
    assert!(table[1][1].ends_with("cat/00.pgm") || table[1][1].ends_with(".pgm"), "{:?}", table[1]);

    let report = folder.run("data z.parquet --label label --columns z0,z1,x,y --json").done().json();
    assert_eq!(report["shape"].to_string(), "[1,1,4]");
    let total: u64 = report["splits"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(total, 24);
    let names: Vec<&str> = report["labels"].as_array().unwrap().iter().map(|l| l["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["cat", "dog"]);
    // The mixture of the same columns is the same from either file.
    let mixture = |line: &str| folder.run(&format!("gmm {line} -k 1 --json")).done().json()["means"][0].clone();
    let (parquet, csv) = (mixture("z.parquet --columns z0,z1"), mixture("z.csv --columns mean_0,mean_1"));
    for dim in 0..2 {
        let [a, b] = [&parquet, &csv].map(|means| means[dim].as_f64().unwrap());
        assert!((a - b).abs() < 1e-6 * (1.0 + a.abs()), "{parquet} {csv}");
    }
}

#[test]
fn planes_that_cannot_be_are_refused_with_a_cure() {
    let folder = Folder::new();
    folder.train("run", "").done();
    for (line, parts) in [
        ("encode run --out z.csv --perplexity 5", vec!["--perplexity", "--project tsne"]),
        ("encode run --out z.csv --project tsne --perplexity 30", vec!["perplexity", "1 to 16"]),
        ("encode run --out z.csv --plot z.jpg", vec!["--plot", ".png or .svg"]),
        ("encode run --out z.xlsx", vec!["--out", ".parquet"]),
    ] {
        folder.run(line).refused(2, &parts);
    }
}
