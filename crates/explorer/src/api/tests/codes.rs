//! Runs whose codes are symbols: what is answered are the library's own numbers, and what cannot be is refused by field.

use elbo::evaluation::{code_patches, code_use};
use elbo::models::{Ask, KeptSymbols};
use elbo::tasks::{FitRequest, FitSettings};

use super::*;

/// A folder with a run of two groups and two depths, one of two levels, one of rounded codes, and one without a prior.
static CODED: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let small = "network={ kind = \"conv\", channels = [4, 4] }";
    let settings = |model: &str, quantizer: &str| {
        let model = format!("model={{ kind = \"{model}\" }}");
        [
            "data.count=160".to_owned(),
            "training.epochs=1".into(),
            small.into(),
            model,
            format!("quantizer={{ {quantizer} }}"),
        ]
    };
    for (name, model, quantizer) in [
        ("grouped", "vq-vae", "codes = 8, dims = 4, groups = 2, depth = 2"),
        ("levels", "vq-vae-2", "codes = 8, dims = 4"),
        ("rounded", "vq-vae", "kind = \"fsq\", levels = [3, 3]"),
        ("alone", "vq-vae", "codes = 8, dims = 4"),
    ] {
        let settings = settings(model, quantizer);
        train(&folder.path().join(name), &settings.each_ref().map(String::as_str));
    }
    for name in ["grouped", "levels"] {
        let kind = SamplerKind::prior("autoregressive");
        let set = ["prior.width=8", "prior.layers=1", "prior.heads=2", "training.epochs=1"].map(str::to_owned);
        let request = FitRequest { kind: &kind, settings: FitSettings::default(), set: &set };
        coded_in(&folder, name).symbol_prior(request, &mut Quiet, &Stop::new()).unwrap().unwrap();
    }
    folder
});

fn coded_in(folder: &TempDir, name: &str) -> Run {
    Run::open(folder.path().join(name), None, &elbo::device::choose("cpu").unwrap()).unwrap()
}

fn coded(name: &str) -> Run {
    coded_in(&CODED, name)
}

fn with_coded<F: Future<Output = ()>>(test: impl FnOnce(Router, App) -> F) {
    serving(CODED.path(), Limits::default(), test);
}

/// Asks again while the answer is that it is being computed.
async fn finished(router: &Router, path: &str, body: &Value) -> Answer {
    for _ in 0..600 {
        let answer = post(router, path, body).await;
        if answer.status != StatusCode::ACCEPTED {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{path} is not there after 12 s");
}

fn whole(values: &[u16]) -> Vec<f32> {
    values.iter().map(|&value| f32::from(value)).collect()
}

#[test]
fn the_maps_of_codes_are_described() {
    with_coded(|router, _| async move {
        let about = get(&router, "/api/runs/levels/codes").await.json();
        let names: Vec<&Value> = about["levels"].as_array().unwrap().iter().map(|level| &level["name"]).collect();
        assert_eq!(names, [&json!("top"), &json!("bottom")]);
        assert_eq!((&about["levels"][0]["height"], &about["levels"][1]["height"]), (&json!(7), &json!(14)));
        assert_eq!((&about["levels"][1]["first"], &about["codes"]), (&json!(49), &json!(245)));
        assert_eq!(about["order"].as_array().unwrap().len(), 245);
        assert_eq!(about["prior"]["name"], json!("autoregressive"));
        assert_eq!(about["prior"]["classes"].as_array().unwrap().len(), 10);
        let about = get(&router, "/api/runs/grouped/codes").await.json();
        let level = &about["levels"][0];
        assert_eq!((&level["groups"], &level["depth"], &level["entries"]), (&json!(2), &json!(2), &json!(8)));
        // The codes of a place are drawn one after another.
        assert_eq!(about["order"].as_array().unwrap()[..5], [0, 49, 98, 147, 1].map(|place| json!(place)));
        let about = get(&router, "/api/runs/rounded/codes").await.json();
        let level = &about["levels"][0];
        assert_eq!((&level["groups"], &level["depth"], &level["entries"]), (&json!(1), &json!(1), &json!(9)));
        assert!(about["prior"].is_null());
        assert!(about["without_prior"].as_str().unwrap().contains("elbo train autoregressive --codes-of"), "{about}");
    });
}

#[test]
fn a_codebook_is_what_the_library_counts() {
    with_coded(|router, _| async move {
        for (name, level, book) in [("grouped", 0, 3), ("levels", 1, 0), ("rounded", 0, 0)] {
            let run = coded(name);
            let test = run.open_data(None).unwrap().test;
            let found = code_use(run.model.as_ref(), &test, &run.device).unwrap().by_level()[level].1.clone();
            let (patches, [channels, height, width]) = code_patches(&found, &test, book, 1024, &run.device);
            let path = format!("/api/runs/{name}/codebook");
            let body = json!({ "level": level, "book": book });
            let answer = finished(&router, &path, &body).await;
            let told = answer.json();
            assert_eq!(answer.status, StatusCode::OK, "{told}");
            assert_eq!(told["n"], json!(test.len()));
            assert_eq!(told["codes"], json!(patches.iter().map(|patch| patch.code).collect::<Vec<_>>()), "{name}");
            assert_eq!(told["counts"], json!(patches.iter().map(|patch| patch.count).collect::<Vec<_>>()));
            assert_eq!(told["shape"], json!([patches.len(), channels, height, width]));
            let pixels: Vec<f32> = patches.iter().flat_map(|patch| patch.pixels.clone()).collect();
            assert!(close(&answer.floats("images"), &pixels, 1e-6), "{name}");
            assert_eq!(told["usual"].as_array().unwrap().len(), run.symbol_space().unwrap().numel());
            let at = &found.perplexity_at_places()[book * found.space.shape[1] * found.space.shape[2]..];
            assert!((told["perplexity_by_place"][5].as_f64().unwrap() - at[5]).abs() < 1e-9);
            let png = send(&router, request("POST", &path, &[("accept", "image/png")], body.to_string())).await;
            assert_eq!(&png.body[1..4], b"PNG");
        }
    });
}

#[test]
fn a_code_is_found_in_the_pictures_that_use_it() {
    with_coded(|router, _| async move {
        let (run, path) = (coded("grouped"), "/api/runs/grouped/code");
        let test = run.open_data(None).unwrap().test;
        let symbols = run.symbols(&test).unwrap();
        let code = symbols[49 * 2]; // the third codebook at the first place of the first example
        let body = json!({ "book": 2, "code": code, "n": 5 });
        let told = finished(&router, path, &body).await.json();
        let row = |example: usize| &symbols[example * 196 + 98..][..49];
        let uses: usize = (0..test.len()).map(|i| row(i).iter().filter(|&&other| other == code).count()).sum();
        assert_eq!(told["count"], json!(uses));
        let by_place: u64 = told["counts_by_place"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum();
        assert_eq!(by_place, uses as u64);
        let by_class: u64 = told["counts_by_class"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum();
        assert_eq!(by_class, uses as u64);
        let examples = told["examples"].as_array().unwrap();
        assert!((1..=5).contains(&examples.len()));
        for example in examples {
            let index = example["index"].as_u64().unwrap() as usize;
            let places: Vec<usize> = (0..49).filter(|&place| row(index)[place] == code).collect();
            assert_eq!((&example["places"], &example["label"]), (&json!(places), &json!(test.label(index))));
        }
        for (body, field) in [
            (json!({ "code": 8 }), "code"),
            (json!({ "code": 0, "level": 1 }), "level"),
            (json!({ "code": 0, "book": 4 }), "book"),
            (json!({ "code": 0, "n": 0 }), "n"),
        ] {
            let answer = finished(&router, path, &body).await;
            assert_eq!((answer.status.as_u16(), answer.json()["field"].clone()), (422, json!(field)), "{body}");
        }
        let answer = finished(&router, "/api/runs/grouped/codebook", &json!({ "book": 9 })).await;
        assert_eq!((answer.status.as_u16(), answer.json()["field"].clone()), (422, json!("book")));
    });
}

#[test]
fn symbols_are_encoded_decoded_and_exchanged() {
    with_coded(|router, _| async move {
        for name in ["grouped", "levels", "rounded"] {
            let run = coded(name);
            let test = run.open_data(None).unwrap().test.select(&[0, 3]);
            let own = run.symbols(&test).unwrap();
            let width = own.len() / 2;
            let at = |address: &str| format!("/api/runs/{name}/{address}");
            let told = post(&router, &at("encode"), &json!({ "indices": [0, 3] })).await;
            assert_eq!(told.floats("symbols"), whole(&own), "{name}");
            let again = post(&router, &at("reconstruct"), &json!({ "indices": [0, 3] })).await;
            let expected = generation::reconstruct(run.model.as_ref(), &test, &[0, 1], &run.device).unwrap().pixels;
            assert!(close(&again.floats("images"), &expected, 1e-5));
            assert_eq!(again.floats("symbols"), whole(&own));
            let mut other = own.clone();
            other[width - 1] = (other[width - 1] + 1) % 8;
            let expected =
                generation::decode_symbols(run.model.as_ref(), &other, generation::ShowAs::Mean, &run.device).unwrap();
            let rows: Vec<&[u16]> = other.chunks(width).collect();
            let told = post(&router, &at("decode"), &json!({ "symbols": rows })).await;
            assert!(close(&told.floats("images"), &expected.pixels, 1e-6), "{name}");
        }
    });
}

#[test]
fn a_prior_draws_what_the_command_draws_and_keeps_what_is_kept() {
    with_coded(|router, _| async move {
        let run = coded("levels");
        let prior = run.stored_symbol_prior(None).unwrap().unwrap();
        let drawn = |ask: &Ask| generation::draw_symbols(prior.generator(), ask, &mut |_, _| true).unwrap().unwrap();
        let path = "/api/runs/levels/sample";
        let given = elbo::data::batch::Given::of_classes(&[7, 1, 7], &run.device);
        let ask = Ask::new(3, 5).temperature(0.8).among(Some(4), 0.9).guidance(1.5).given(given);
        let body = json!({
            "n": 3, "seed": 5, "temperature": 0.8, "top_k": 4, "top_p": 0.9, "guidance": 1.5, "class": ["7", 1]
        });
        let told = post(&router, path, &body).await;
        assert_eq!(told.floats("symbols"), whole(&drawn(&ask)), "{}", told.json()["error"]);
        assert_eq!(told.json()["class"], json!([7, 1, 7]));
        let own = run.symbols(&run.open_data(None).unwrap().test.select(&[2])).unwrap();
        let is_kept: Vec<bool> = (0..own.len()).map(|place| place % 3 == 0).collect();
        let body = json!({ "n": 2, "kept": { "symbols": own, "is_kept": is_kept } });
        let symbols: Vec<u32> = own.iter().map(|&symbol| u32::from(symbol)).collect();
        let ask = Ask::new(2, 0).keeping(KeptSymbols { symbols: symbols.repeat(2), is_kept: is_kept.clone() });
        let told = post(&router, path, &body).await.floats("symbols");
        assert_eq!(told, whole(&drawn(&ask)));
        for row in told.chunks(own.len()) {
            assert!((0..own.len()).all(|place| !is_kept[place] || row[place] == f32::from(own[place])));
        }
    });
}

#[test]
fn codes_are_scored_by_their_prior_place_by_place() {
    with_coded(|router, _| async move {
        let run = coded("levels");
        let prior = run.stored_symbol_prior(None).unwrap().unwrap();
        let own = run.symbols(&run.open_data(None).unwrap().test.select(&[4])).unwrap();
        let nats = prior.surprise(&own).unwrap();
        let told = post(&router, "/api/runs/levels/score", &json!({ "indices": [4], "neighbours": 3 })).await;
        assert!(close(&told.floats("by_code"), &nats, 1e-4));
        let rate = nats.iter().sum::<f32>();
        assert!((told.floats("score")[0] - rate).abs() < 1e-2 && told.floats("rate")[0] == told.floats("score")[0]);
        let answer = told.json();
        assert_eq!((&answer["unit"], &answer["without_prior"]), (&json!("nats"), &json!(null)));
        let near = answer["neighbours"][0].as_array().unwrap();
        assert!(near.len() == 3 && near[0]["distance"].as_f64() <= near[2]["distance"].as_f64());
        let train = run.open_data(None).unwrap().train;
        let nearest = run.symbols(&train.select(&[near[0]["index"].as_u64().unwrap() as u32])).unwrap();
        let others = nearest.iter().zip(&own).filter(|(a, b)| a != b).count();
        assert_eq!(near[0]["distance"], json!(others as f32));
        let reference = get(&router, "/api/runs/levels/reference").await.json();
        assert_eq!((&reference["unit"], &reference["split"]), (&json!("nats"), &json!("train")));
        // Without a prior the score is the reconstruction error, and what gives a rate is said.
        let told = post(&router, "/api/runs/alone/score", &json!({ "indices": [4], "neighbours": 1 })).await.json();
        assert_eq!((&told["score"], &told["rate"]), (&told["recon"], &json!(null)));
        assert!(told["without_prior"].as_str().unwrap().contains("--codes-of"), "{told}");
    });
}

#[test]
fn what_cannot_be_asked_of_symbols_is_refused_by_field() {
    with_coded(|router, _| async move {
        let width = coded("grouped").symbol_space().unwrap().numel();
        let row = vec![0u16; width];
        let mut beyond = row.clone();
        beyond[5] = 8;
        let kept = |symbols: &[u16], n: usize| json!({ "kept": { "symbols": symbols, "is_kept": vec![true; n] } });
        for (address, body, status, field) in [
            ("decode", json!({ "symbols": [[0, 1]] }), 422, "symbols[0]"),
            ("decode", json!({ "symbols": [row, beyond] }), 422, "symbols[1][5]"),
            ("decode", json!({ "symbols": [] }), 422, "symbols"),
            ("decode", json!({}), 400, "symbols"),
            ("sample", json!({ "n": 0 }), 422, "n"),
            ("sample", json!({ "temperature": -1 }), 422, "temperature"),
            ("sample", json!({ "top_p": 0 }), 422, "top_p"),
            ("sample", json!({ "top_k": 0 }), 422, "top_k"),
            ("sample", json!({ "guidance": 1e9 }), 422, "guidance"),
            ("sample", json!({ "guidance": 2 }), 422, "guidance"),
            ("sample", json!({ "class": "eleven" }), 422, "class"),
            ("sample", json!({ "sampler": "mixture" }), 422, "sampler"),
            ("sample", kept(&row[..3], 3), 422, "kept.symbols[0]"),
            ("sample", kept(&row, 3), 422, "kept.is_kept"),
            ("score", json!({ "indices": [0], "neighbours": 33 }), 422, "neighbours"),
        ] {
            let answer = post(&router, &format!("/api/runs/grouped/{address}"), &body).await;
            let told = answer.json();
            assert_eq!((answer.status.as_u16(), &told["field"]), (status, &json!(field)), "{address} {body}: {told}");
        }
        // A vector code is no row of symbols, and the other way round.
        let answer = post(&router, "/api/runs/grouped/decode", &json!({ "z": [[0.0]] })).await;
        assert_eq!((answer.status.as_u16(), answer.json()["type"].clone()), (409, json!("capability")));
        let answer = post(&router, "/api/runs/alone/sample", &json!({})).await;
        let told = answer.json();
        assert_eq!((answer.status.as_u16(), &told["type"]), (409, &json!("capability")));
        assert!(told["error"].as_str().unwrap().contains("elbo train autoregressive --codes-of"), "{told}");
    });
}
