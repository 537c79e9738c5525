//! Tables and arrays from the command: one command trains them, everything that comes out is in their own units, and bad files are exit code 3.

use std::fs;

use serde_json::Value;

use crate::support::{Chance, Folder, edit, info};

/// 300 rows: two columns of very different size that go together, a third on its own, and a class.
fn table() -> String {
    let mut chance = Chance(3);
    let mut normal = || (0..12).map(|_| chance.below(1000) as f64 / 1000.0).sum::<f64>() - 6.0;
    let rows = (0..300).map(|i| {
        let (shared, own, noise) = (normal(), normal(), normal());
        let class = if i % 2 == 0 { "even" } else { "odd" };
        format!("{},{},{},{class}\n", 170.0 + 10.0 * shared, 5e6 + 1e6 * (shared + 0.1 * noise), 1e-3 * own)
    });
    format!("height,income,dose,class\n{}", rows.collect::<String>())
}

const QUICK: &str = "--epochs 60 --batch-size 16 --set optimizer.lr=1e-2 --set network.hidden=[32]";

/// The numbers of a CSV file, column by column, with its header.
fn read_csv(path: &std::path::Path) -> (Vec<String>, Vec<Vec<f64>>) {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header: Vec<String> = lines.next().unwrap().into_iter().map(str::to_owned).collect();
    let rows: Vec<Vec<f64>> = lines
        .map(|line| line.iter().map(|field| field.parse().unwrap_or_else(|_| panic!("{field}"))).collect())
        .collect();
    let columns = (0..header.len()).map(|column| rows.iter().map(|row| row[column]).collect()).collect();
    (header, columns)
}

fn mean_and_std(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (mean, (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt())
}

#[test]
fn a_table_trains_with_the_same_command_and_comes_back_in_its_own_units() {
    let folder = Folder::new();
    folder.write("people.csv", table());
    let report = folder.run("--json data people.csv --label class").done().json();
    assert_eq!((report["columns"][1]["name"].as_str(), report["shape"][2].as_u64()), (Some("income"), Some(3)));
    assert!((report["columns"][1]["mean"].as_f64().unwrap() - 5e6).abs() < 3e5, "{report}");
    let text = folder.run("data people.csv --label class").done().stdout;
    assert!(text.contains("rows    ") && text.contains("height") && text.contains("even"), "{text}");

    let trained = folder.run(&format!("train --data people.csv --label class --out run {QUICK}")).done();
    assert!(trained.stderr.contains("rows of 3 columns"), "{}", trained.stderr);
    assert!(trained.stdout.contains("--out samples.csv"), "{}", trained.stdout);
    let columns = info(&folder.path("run"))["data"]["columns"].clone();
    assert_eq!(columns["names"], serde_json::json!(["height", "income", "dose"]));
    let page = fs::read_to_string(folder.path("run/report.html")).unwrap();
    assert!(page.contains("Reconstructions") && page.contains("rows") && !page.contains("Traversal"));
    assert!(folder.path("run/plots/column_0.png").is_file() && folder.path("run/samples/epoch-0060.csv").is_file());

    // Sampling needs no data.
    fs::rename(folder.path("people.csv"), folder.path("moved.csv")).unwrap();
    folder.run("sample run --out s.csv -n 500 --observation draw").done();
    let (header, samples) = read_csv(&folder.path("s.csv"));
    assert_eq!((header, samples[0].len()), (["height", "income", "dose"].map(str::to_owned).to_vec(), 500));
    let ((mean, std), (income, _)) = (mean_and_std(&samples[0]), mean_and_std(&samples[1]));
    assert!((mean - 170.0).abs() < 5.0 && (7.0..13.0).contains(&std), "height {mean} +- {std}");
    assert!((income - 5e6).abs() < 5e5, "income {income}");
    fs::rename(folder.path("moved.csv"), folder.path("people.csv")).unwrap();

    folder.run("reconstruct run --out r.csv -n 20 --split train").done();
    let (header, rows) = read_csv(&folder.path("r.csv"));
    assert_eq!(header, ["index", "height", "income", "dose"]);
    let original: Vec<Vec<f64>> =
        table().lines().skip(1).map(|line| line.split(',').take(3).map(|v| v.parse().unwrap()).collect()).collect();
    let errors = rows[0].iter().enumerate().map(|(i, &index)| (rows[1][i] - original[index as usize][0]).powi(2));
    let error = (errors.sum::<f64>() / 20.0).sqrt();
    assert!(error < 2.0, "root mean squared error of height {error}, where 10 is the deviation");

    // The best that two linear latents with one sigma can do (Tipping & Bishop 1999, eq. 8): the standardised columns have the correlation
    // matrix with eigenvalues 1 + r, 1 and 1 - r, r^2 = 1 / 1.01, and the last is sigma^2. A bound on -log p(x) is above it, but not far.
    let r = (1.0f64 / 1.01).sqrt();
    let optimum = 0.5 * (3.0 * std::f64::consts::TAU.ln() + (1.0 + r).ln() + (1.0 - r).ln() + 3.0);
    let loss = folder.run("--json eval run --split train").done().json()["metrics"]["loss"]["value"].as_f64().unwrap();
    assert!((optimum - 0.3..optimum + 0.6).contains(&loss), "{loss} nats a row, where {optimum} is the optimum");

    for line in
        ["eval run", "encode run --out z.csv", "traverse run --out t.csv", "interpolate run --out w.csv", "report run"]
    {
        folder.run(line).done();
    }
    folder.run("compare run run --out c.html").done();
    folder.run("sample run --out s.npy -n 7").done();
    assert!(fs::read(folder.path("s.npy")).unwrap().windows(5).any(|bytes| bytes == b"(7, 3"));
}

#[test]
fn pictures_of_tables_and_tables_of_pictures_are_refused() {
    let folder = Folder::new();
    folder.write("people.csv", table());
    folder.run("train --data people.csv --label class --out rows --epochs 1").done();
    for line in [
        "sample rows --out s.png",
        "reconstruct rows --out r.png",
        "interpolate rows --out w.png",
        "traverse rows --out t.png",
    ] {
        folder.run(line).refused(2, &["--out", ".csv or .npy", "--out rows.csv"]);
    }
    folder.run("data people.csv --label class --out p.png").refused(2, &["--out", "rows of a table"]);
    folder.train("pictures", "").done();
    folder.run("sample pictures --out s.csv").refused(2, &["--out", ".png or .npy"]);
    folder.run("eval pictures --data people.csv").refused(3, &["people.csv"]);
    folder
        .run("train mnist-bce --data people.csv --label class --out x")
        .refused(2, &["model.likelihood", "gaussian-shared"]);
    assert!(!folder.path("x").exists());
}

#[test]
fn other_rows_are_measured_with_the_columns_of_the_run() {
    let folder = Folder::new();
    folder.write("people.csv", table());
    folder.run("train --data people.csv --label class --out run --epochs 3").done();
    // Another order of columns, no class, one more column.
    let swapped: String = table()
        .lines()
        .map(|line| line.split(',').collect::<Vec<_>>())
        .map(|f| format!("{},{},{},{}\n", f[2], f[1], if f[0] == "height" { "extra" } else { "1" }, f[0]))
        .collect();
    folder.write("swapped.csv", swapped);
    let loss = |line: &str| folder.run(line).done().json()["metrics"]["recon"]["value"].as_f64().unwrap();
    let (own, other) = (loss("--json eval run --split all"), loss("--json eval run --data swapped.csv"));
    assert!((own - other).abs() < 1e-4 * own.abs().max(1.0), "{own} {other}");
    folder.write("lacking.csv", "height,dose\n1,2\n");
    folder.run("eval run --data lacking.csv").refused(3, &["lacking.csv", "a column `income`"]);
}

#[test]
fn a_resumed_run_of_a_table_is_the_uninterrupted_one() {
    let folder = Folder::new();
    folder.write("people.csv", table());
    folder.run("train --data people.csv --label class --out whole --epochs 4 --set schedule.kind=\"constant\"").done();
    folder.run("train --data people.csv --label class --out half --epochs 2 --set schedule.kind=\"constant\"").done();
    folder.run("resume half --epochs 4").done();
    let weights = |run: &str| fs::read(folder.path(run).join("checkpoints/last/model.safetensors")).unwrap();
    assert!(weights("whole") == weights("half"));
    folder.write("people.csv", table().replace("170", "171"));
    folder.run("resume half --epochs 5").refused(3, &["content sha256"]);
    // Numbers that would undo nothing are told before a sample is made.
    edit(&folder.path("half/run.json"), "\"std\": [", "\"std\": [0.0,");
    folder.run("sample half --out s.csv").refused(4, &["run.json", "data.columns"]);
}

#[test]
fn arrays_train_as_what_they_are() {
    let folder = Folder::new();
    let mut chance = Chance(5);
    let npy = |descr: &str, shape: &str, payload: &[u8]| {
        let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        let text = format!("{text}{}\n", " ".repeat(118 - text.len() - 1));
        [b"\x93NUMPY\x01\x00\x76\x00", text.as_bytes(), payload].concat()
    };
    let floats: Vec<f32> = (0..200 * 64).map(|_| chance.below(1000) as f32 / 999.0).collect();
    let bytes: Vec<u8> = floats.iter().flat_map(|value| value.to_le_bytes()).collect();
    folder.write("unit.npy", npy("<f4", "(200, 8, 8)", &bytes));
    folder.write("rows.npy", npy("<f4", "(1600, 8)", &bytes));
    let domain = |run: &str| info(&folder.path(run))["data"]["domain"].clone();
    folder.run("train --data unit.npy --out unit --epochs 1").done();
    folder.run("sample unit --out s.png").done();
    folder.run("train --data rows.npy --out rows --epochs 1").done();
    folder.run("sample rows --out s.csv").done();
    assert_eq!([domain("unit"), domain("rows")], [Value::from("unit"), Value::from("real")]);
    let said = folder.run("data rows.npy").done().stdout;
    assert!(said.contains("float32 [1600, 8] taken as rows"), "{said}");
}

#[test]
fn d6_headers_that_lie_take_no_memory() {
    let folder = Folder::new();
    let header = |text: &str| [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat();
    let long = [&b"\x93NUMPY\x02\x00"[..], &[0xff; 4], b"{'descr'"].concat();
    let huge = header("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967295, 1000), }");
    let overflow = header("{'descr': '<f8', 'fortran_order': False, 'shape': (4294967295, 4294967295, 4294967295), }");
    let pickle = header("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }");
    let footer = [&b"PAR1"[..], &[0x7f; 64], &[0xff, 0xff, 0xff, 0x7f], b"PAR1"].concat();
    let unclosed = [b"a,b\n\"", &vec![b'1'; 64 << 20][..]].concat();
    for (name, bytes, parts) in [
        ("long.npy", long, ["header length", "4294967295"]),
        ("huge.npy", huge, ["after 0 of them", "cut off"]),
        ("overflow.npy", overflow, ["sizes that fit in memory", "4294967295"]),
        ("pickle.npy", pickle, ["pickle", "astype"]),
        ("footer.parquet", footer, ["footer length", "cut off"]),
        ("unclosed.csv", unclosed, ["more than 4194304 bytes", "never closed"]),
    ] {
        folder.write(name, bytes);
        folder.run_within(400, &format!("data {name}")).refused(3, &parts);
        folder.run_within(400, &format!("train --data {name} --out run")).refused(3, &parts);
    }
    assert!(!folder.path("run").exists());
}
