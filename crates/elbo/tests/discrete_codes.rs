//! What must hold of codebooks and of priors over codes, without training: moving averages against their
//! closed form, which term moves what, the rotation, residual codes, a distribution that sums to one, and
//! caches that change nothing.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use elbo::data::batch::{Batch, Given};
use elbo::data::symbols::SymbolSource;
use elbo::data::{DataConfig, Subset};
use elbo::distributions::Likelihood;
use elbo::models::{
    Ask, Autoregressive, AutoregressiveConfig, Density, Discrete, Family, Generate, KeptSymbols, Model,
    ObjectiveConfig, QuantisedArchitecture, Setting, VqVae,
};
use elbo::networks::{
    CodebookKind, CodebookStart, Estimator, Moment, NetworkConfig, Pass, Quantizer, QuantizerConfig, SequenceShape,
    Transformer, TransformerConfig, When,
};
use elbo::random::{Draws, Purpose};
use elbo::run::history::EpochRecord;
use elbo::run::parameters;
use elbo::space::{Domain, Rows, Space};
use elbo::tensors::values_of;
use elbo::training::{Decays, EarlyStopping, Ending, OptimizerConfig, Quiet, Stop, Trainer};

fn device() -> Device {
    Device::default()
}

fn config() -> QuantizerConfig {
    QuantizerConfig { codes: 6, dims: 4, start: CodebookStart::Uniform, ..QuantizerConfig::default() }
}

fn quantizer(config: &QuantizerConfig, device: &Device) -> Quantizer {
    Quantizer::init(config, &mut Draws::new(3, Purpose::Weights, 0, 0), device)
}

/// A map `[n, 2, 2, 4]` of a fixed stream.
fn map(n: usize, step: u64, scale: f32, device: &Device) -> Tensor<4> {
    let values: Vec<f32> = Draws::new(5, Purpose::Choice, 0, step).normals(n * 16).iter().map(|v| v * scale).collect();
    Tensor::from_data(TensorData::new(values, [n, 2, 2, 4]), device)
}

fn training(step: u64, done: f64) -> Pass {
    Pass::new(When::Training { epochs: 0.0 }, Draws::new(0, Purpose::TrainingNoise, 0, step)).at(Moment { step, done })
}

fn tensor_of(model: &Quantizer, name: &str) -> Vec<f32> {
    let found = parameters::export(model).into_iter().find(|tensor| tensor.name == name);
    found.unwrap_or_else(|| panic!("{name}")).values
}

/// N, m and e of the first codebook.
fn book(model: &Quantizer) -> [Vec<f32>; 3] {
    ["cluster_size", "embed_sum", "embedding"].map(|name| tensor_of(model, &format!("books.0.{name}")))
}

/// `e == m / N~`.
fn invariant(model: &Quantizer, what: &str) {
    let [n, m, e] = book(model);
    let sum: f64 = n.iter().map(|&n| f64::from(n)).sum();
    for (k, &count) in n.iter().enumerate() {
        let smoothed = (f64::from(count) + 1e-5) / (sum + n.len() as f64 * 1e-5) * sum;
        for (m, e) in m[k * 4..k * 4 + 4].iter().zip(&e[k * 4..]) {
            let expected = f64::from(*m) / smoothed;
            assert!(
                (expected - f64::from(*e)).abs() < 1e-5 * expected.abs().max(1.0),
                "{what}: code {k}: {e} {expected}"
            );
        }
    }
}

#[test]
fn moving_averages_have_their_closed_form() {
    let (config, device) = (QuantizerConfig { revive: 0.0, ..config() }, device());
    let mut model = quantizer(&config, &device);
    let [n0, m0, _] = book(&model);
    assert_eq!(n0, [1.0; 6], "each code counts as used once before the first step");
    invariant(&model, "start");
    let (mut counts, mut sums) = (Vec::new(), Vec::new());
    for step in 1..=50 {
        let (z, pass) = (map(3, step, 0.05, &device), training(step, 0.1));
        let found = model.forward(z.clone(), &pass);
        let nearest: Vec<i32> = found.indices.into_data_as::<i32>().try_into_vec().unwrap();
        let (mut count, mut sum) = (vec![0f64; 6], vec![0f64; 24]);
        for (row, k) in values_of(z).chunks_exact(4).zip(nearest) {
            count[k as usize] += 1.0;
            row.iter().enumerate().for_each(|(d, v)| sum[k as usize * 4 + d] += f64::from(*v));
        }
        counts.push(count);
        sums.push(sum);
        model = pass.absorbed(model);
        invariant(&model, "a step");
    }
    let closed = |start: f32, at: usize, all: &[Vec<f64>]| {
        let terms = all.iter().rev().enumerate().map(|(age, values)| 0.01 * 0.99f64.powi(age as i32) * values[at]);
        0.99f64.powi(50) * f64::from(start) + terms.sum::<f64>()
    };
    let [n, m, _] = book(&model);
    for k in 0..6 {
        assert!((f64::from(n[k]) - closed(n0[k], k, &counts)).abs() < 1e-6, "N of code {k}");
    }
    for d in 0..24 {
        assert!((f64::from(m[d]) - closed(m0[d], d, &sums)).abs() < 1e-6, "m at {d}");
    }
}

/// The starts in the wild (N at 0, or sums that do not belong to the counts) throw such codes away at the
/// first step.
#[test]
fn a_code_without_a_hit_stays_where_it_is() {
    let device = device();
    let mut model = quantizer(&QuantizerConfig { revive: 0.0, ..config() }, &device);
    let before = book(&model)[2].clone();
    // All vectors are the first code itself: no other is hit.
    let rows: Vec<f32> = before[..4].iter().copied().cycle().take(64).collect();
    for step in 1..=50 {
        let pass = training(step, 0.1);
        let z = Tensor::from_data(TensorData::new(rows.clone(), [4, 2, 2, 4]), &device);
        model.forward(z, &pass);
        model = pass.absorbed(model);
    }
    let after = &book(&model)[2];
    let largest = before.iter().fold(0f32, |most, v| most.max(v.abs()));
    assert!(before.iter().zip(after).all(|(a, b)| (a - b).abs() < 1e-4 * largest), "{before:?} {after:?}");
}

#[test]
fn a_start_from_data_and_a_revival_keep_averages_and_codes_together() {
    let (config, device) = (QuantizerConfig { start: CodebookStart::Kmeans, ..config() }, device());
    let vectors = map(40, 0, 1.0, &device).reshape([160, 4]);
    let model = quantizer(&config, &device).started(&vectors, 64, 9);
    invariant(&model, "k-means");
    let [n, _, e] = book(&model);
    assert!((n.iter().sum::<f32>() - 64.0).abs() < 1e-3, "counted as in one batch");
    let again = quantizer(&config, &device).started(&vectors, 64, 9);
    assert_eq!(book(&again)[2], e, "a function of the seed");
    // Vectors near the first code alone: after a while the others are hardly used and take vectors of the
    // batch.
    let near = |step: u64| {
        map(16, step, 1e-3, &device) + Tensor::<1>::from_data([e[0], e[1], e[2], e[3]], &device).reshape([1, 1, 1, 4])
    };
    let (mut model, mut revived) = (model, 0);
    for step in 1..=400 {
        let pass = training(step, 0.5);
        revived += model.forward(near(step), &pass).revived;
        model = pass.absorbed(model);
    }
    assert!(revived > 0, "codes are revived");
    invariant(&model, "revival");
    let late = training(500, 0.9);
    assert_eq!(model.forward(near(500), &late).revived, 0, "never in the last fifth");
}

#[test]
fn commitment_moves_the_encoder_and_the_codebook_loss_the_codebook() {
    let device = device().autodiff();
    for (gradient, groups) in [(Estimator::StraightThrough, 1), (Estimator::Rotation, 2)] {
        let config = QuantizerConfig { kind: CodebookKind::Gradient, gradient, groups, ..config() };
        let model = quantizer(&config, &device).train();
        let z = map(3, 1, 0.5, &device).require_grad();
        let found = model.forward(z.clone(), &training(1, 0.1));
        let (entries, codebook) = (model.entries_of(0).unwrap(), found.codebook.expect("a trained codebook"));
        let gradients = found.commitment.backward();
        assert!(z.grad(&gradients).is_some_and(|g| values_of(g).iter().any(|g| *g != 0.0)), "commitment: encoder");
        assert!(entries.grad(&gradients).is_none_or(|g| values_of(g).iter().all(|g| *g == 0.0)), "not the codebook");
        let gradients = codebook.backward();
        assert!(entries.grad(&gradients).is_some_and(|g| values_of(g).iter().any(|g| *g != 0.0)), "loss: codebook");
        assert!(z.grad(&gradients).is_none_or(|g| values_of(g).iter().all(|g| *g == 0.0)), "not the encoder");
    }
}

/// Rotation: the value is the code, and the gradient is turned back and scaled by `|q| / |z|`; where there is no rotation it passes as it is.
#[test]
fn the_rotation_gives_the_code_and_scales_the_gradient() {
    let device = device().autodiff();
    let model = quantizer(&QuantizerConfig { gradient: Estimator::Rotation, ..config() }, &device).train();
    let mut values = values_of(map(4, 2, 0.7, &device));
    values[..4].fill(0.0); // no direction: straight through
    let z = Tensor::<4>::from_data(TensorData::new(values.clone(), [4, 2, 2, 4]), &device).require_grad();
    let found = model.forward(z.clone(), &training(1, 0.1));
    let code = values_of(model.embed(&found.indices, [2, 2], 1));
    let up: Vec<f32> = Draws::new(8, Purpose::Choice, 0, 0).normals(64);
    let up_tensor = Tensor::<4>::from_data(TensorData::new(up.clone(), [4, 2, 2, 4]), &device);
    let out = values_of(found.z.clone());
    assert!(out.iter().zip(&code).all(|(a, b)| (a - b).abs() < 1e-6), "the value is the code");
    let gradient = values_of(z.grad(&(found.z * up_tensor).sum().backward()).expect("a gradient"));
    let norm = |v: &[f32]| v.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    assert_eq!(gradient[..4], up[..4], "straight through where z is 0");
    for row in 1..16 {
        let [z, q, g, up] = [&values, &code, &gradient, &up].map(|all| &all[row * 4..][..4]);
        let lambda = norm(q) / norm(z);
        assert!((norm(g) - lambda * norm(up)).abs() < 1e-5 * norm(g), "row {row}: scaled by lambda");
        // A rotation that leads z to q keeps the angle: between gradient and z it is as between the
        // upstream gradient and q.
        let (before, after) = (dot(up, q) / norm(up) / norm(q), dot(g, z) / norm(g) / norm(z));
        assert!((before - after).abs() < 1e-5, "row {row}: {before} {after}");
    }
}

#[test]
fn residual_codes_add_up_and_a_codebook_of_zeros_adds_nothing() {
    let device = device();
    let model = quantizer(&QuantizerConfig { depth: 3, groups: 2, ..config() }, &device);
    let found = model.forward(map(3, 1, 0.1, &device), &Pass::still());
    let whole = values_of(found.z);
    let embedded = values_of(model.embed(&found.indices, [2, 2], 3));
    assert!(whole.iter().zip(&embedded).all(|(a, b)| (a - b).abs() < 1e-6), "the sum of the depths");
    // The last depth at 0: as without it.
    let mut tensors = parameters::export(&model);
    for book in [2, 5] {
        let name = format!("books.{book}.embedding");
        tensors.iter_mut().find(|tensor| tensor.name == name).unwrap().values.fill(0.0);
    }
    let shallow = parameters::import(model, tensors);
    let found = shallow.forward(map(3, 1, 0.1, &device), &Pass::still());
    let (deep, two) =
        (values_of(shallow.embed(&found.indices, [2, 2], 3)), values_of(shallow.embed(&found.indices, [2, 2], 2)));
    assert_eq!(deep, two);
}

#[test]
fn a_shallow_model_takes_the_first_codes_of_each_group_alone() {
    let (network, quantizer) = (NetworkConfig::conv(&[4, 4]), QuantizerConfig { depth: 3, groups: 2, ..config() });
    let (space, likelihood) = ([1, 8, 8].into(), Likelihood::Bernoulli);
    let architecture = QuantisedArchitecture { space, network: &network, quantizer: &quantizer, likelihood };
    let x = Draws::new(9, Purpose::Choice, 0, 0).normals(5 * 64);
    let batch = Batch::of(Tensor::<2>::from_data(TensorData::new(x, [5, 64]), &device()));
    let codes = |model: &dyn Model| -> Vec<i32> {
        let codes = model.encode_or_refuse().unwrap().encode(&batch).into_codes();
        codes[0].index().into_data_as::<i32>().try_into_vec().unwrap()
    };
    let deep = VqVae::init(&architecture, 0, &device());
    let shallow = deep.at_depth(2);
    assert_eq!(shallow.discrete_or_refuse().unwrap().joined().shape, [4, 2, 2]);
    assert_eq!(shallow.discrete_or_refuse().unwrap().depth(), 2);
    // Four places; of each group the first two of three depths.
    let kept: Vec<i32> =
        codes(&deep).chunks_exact(4).enumerate().filter(|(i, _)| i % 3 < 2).flat_map(|(_, map)| map.to_vec()).collect();
    assert_eq!(codes(shallow.as_ref()), kept);
}

/// Three symbols in rows of four, two classes.
fn prior(dropped_labels: f64) -> Autoregressive {
    prior_over(&[], dropped_labels)
}

/// The same over maps of two symbols, a coarse one and a fine one that is told the coarse.
fn prior_of_two_maps() -> Autoregressive {
    prior_over(&[[1, 1, 2], [2, 1, 1]], 0.1)
}

fn prior_over(maps: &[[usize; 3]], dropped_labels: f64) -> Autoregressive {
    let space = Space::new(if maps.is_empty() { [1, 2, 2] } else { [1, 1, 4] }, Domain::Index { of: 3 });
    let maps = maps.to_vec();
    let config = AutoregressiveConfig { width: 16, layers: 2, heads: 2, dropout: 0.0, dropped_labels, maps };
    let model = Autoregressive::init(space, 2, &config, 4, &device());
    // Larger weights than at the start, so that the distribution is far from uniform.
    let mut tensors = parameters::export(&model);
    let draws = &mut Draws::new(6, Purpose::Weights, 1, 0);
    for tensor in tensors.iter_mut().filter(|tensor| tensor.shape.len() == 2) {
        tensor.values = draws.normals(tensor.values.len()).into_iter().map(|v| 0.5 * v).collect();
    }
    parameters::import(model, tensors)
}

fn all_rows() -> Rows {
    let digit = |row: i32, place: u32| row / 3i32.pow(place) % 3;
    Rows::symbols((0..81).flat_map(|row| (0..4).map(move |place| digit(row, place))).collect(), 4, &device())
}

#[test]
fn all_rows_together_have_probability_one() {
    [prior(0.1), prior_of_two_maps()].iter().for_each(assert_probabilities);
}

fn assert_probabilities(model: &Autoregressive) {
    for given in [Given::default(), Given::of_class(0, 81, &device()), Given::of_class(1, 81, &device())] {
        let sum: f64 = values_of(model.log_prob(&[all_rows()], &given)).iter().map(|p| f64::from(*p).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
    }
    let [none, zero] =
        [Given::default(), Given::of_class(0, 81, &device())].map(|g| values_of(model.log_prob(&[all_rows()], &g)));
    assert!(none.iter().zip(&zero).any(|(a, b)| (a - b).abs() > 1e-3), "the class tells something");
}

#[test]
fn a_later_symbol_changes_nothing_before_it_and_the_cache_changes_nothing_at_all() {
    let (model, device) = (prior(0.1), device());
    let (transformer, n) = (model.transformer(), 5);
    let symbols: Vec<i32> =
        Draws::new(1, Purpose::Choice, 0, 0).permutation(20).iter().map(|s| (*s % 3) as i32).collect();
    let starts = vec![0, 1, 2, 2, 0];
    let logits = |symbols: &[i32]| {
        let steps = Tensor::<2, Int>::from_data(TensorData::new(symbols.to_vec(), [n, 4]), &device);
        let starts = Tensor::<1, Int>::from_data(TensorData::new(starts.clone(), [n]), &device);
        values_of(transformer.forward(steps, starts, &Pass::still()))
    };
    let whole = logits(&symbols);
    for place in 0..4 {
        let mut changed = symbols.clone();
        changed.iter_mut().skip(place).step_by(4).for_each(|symbol| *symbol = (*symbol + 1) % 3);
        let after = logits(&changed);
        for row in 0..n {
            // Steps up to and with the changed symbol are predicted from what comes before it.
            let same = (row * 4) * 3..(row * 4 + place + 1) * 3;
            assert_eq!(whole[same.clone()], after[same], "row {row}, symbol {place}");
        }
    }
    let mut decoding = transformer.decoding(n);
    let mut tokens = starts.clone();
    for step in 0..4 {
        let next = decoding.next(&tokens);
        for row in 0..n {
            let expected = &whole[(row * 4 + step) * 3..][..3];
            assert!(next[row * 3..][..3].iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "step {step}");
        }
        tokens = symbols.iter().skip(step).step_by(4).copied().collect();
    }
}

fn drawn(model: &Autoregressive, ask: &Ask) -> Vec<i32> {
    let generator: &dyn Generate = model;
    generator.generate(ask).unwrap()[0].index().into_data_as::<i32>().try_into_vec().unwrap()
}

/// Chi-square of 100,000 rows against the 81 probabilities: 80 degrees of freedom, 0.999 quantile 124.8.
#[test]
fn rows_come_as_often_as_their_probability_says() {
    [prior(0.1), prior_of_two_maps()].iter().for_each(assert_frequencies);
}

fn assert_frequencies(model: &Autoregressive) {
    let n = 100_000;
    let class = Given::of_class(1, n, &device());
    let probabilities: Vec<f64> = values_of(model.log_prob(&[all_rows()], &Given::of_class(1, 81, &device())))
        .iter()
        .map(|p| f64::from(*p).exp())
        .collect();
    let mut counts = vec![0f64; 81];
    for row in drawn(model, &Ask::new(n, 3).given(class)).chunks_exact(4) {
        counts[row.iter().rev().fold(0, |index, symbol| index * 3 + *symbol as usize)] += 1.0;
    }
    let chi: f64 = counts.iter().zip(&probabilities).map(|(c, p)| (c - p * n as f64).powi(2) / (p * n as f64)).sum();
    assert!(chi < 124.8, "{chi}");
    // The check can fail: the other class has other probabilities.
    let other = values_of(model.log_prob(&[all_rows()], &Given::of_class(0, 81, &device())));
    let wrong: f64 = counts
        .iter()
        .zip(&other)
        .map(|(c, p)| (c - f64::from(*p).exp() * n as f64).powi(2) / (f64::from(*p).exp() * n as f64))
        .sum();
    assert!(wrong > 1000.0, "{wrong}");
}

#[test]
fn cold_draws_are_the_most_likely_and_options_that_say_nothing_change_nothing() {
    let model = prior(0.1);
    let plain = drawn(&model, &Ask::new(50, 7));
    assert_eq!(drawn(&model, &Ask::new(50, 7).among(None, 1.0)), plain);
    assert_eq!(drawn(&model, &Ask::new(20, 7)), plain[..80], "a row does not depend on how many are asked for");
    let cold = drawn(&model, &Ask::new(3, 7).temperature(0.0));
    assert_eq!((cold[..4] == cold[4..8], drawn(&model, &Ask::new(3, 8).among(Some(1), 1.0))), (true, cold));
    let told = |guidance: f64| Ask::new(50, 7).given(Given::of_class(0, 50, &device())).guidance(guidance);
    assert_ne!(drawn(&model, &told(1.0)), drawn(&model, &told(5.0)));
    assert_eq!(drawn(&model, &told(0.0)), plain, "guidance 0 leaves the class away");
    assert!(Generate::begin(&prior(0.0), &told(2.0)).map(|_| ()).unwrap_err().to_string().contains("guidance"));
}

#[test]
fn kept_symbols_stay_and_the_others_are_drawn() {
    let model = prior(0.1);
    let kept = KeptSymbols { symbols: [2, 1, 0, 0].repeat(30), is_kept: vec![true, true, false, false] };
    let rows = drawn(&model, &Ask::new(30, 1).keeping(kept));
    assert!(rows.chunks_exact(4).all(|row| row[..2] == [2, 1]));
    let ends: std::collections::BTreeSet<&[i32]> = rows.chunks_exact(4).map(|row| &row[2..]).collect();
    assert!(ends.len() > 1, "{ends:?}");
}

/// A transformer of rows of four symbols after a prefix of three.
fn told_transformer() -> Transformer {
    let shape = SequenceShape { shape: [1, 2, 2], symbols: 3, classes: 2, prefix: 3 };
    let sizes = TransformerConfig { width: 16, layers: 2, heads: 2, dropout: 0.0 };
    let model = Transformer::init(shape, &sizes, &mut Draws::new(2, Purpose::Weights, 0, 0), &device());
    let mut tensors = parameters::export(&model);
    let draws = &mut Draws::new(6, Purpose::Weights, 1, 0);
    for tensor in tensors.iter_mut().filter(|tensor| tensor.shape.len() == 2) {
        tensor.values = draws.normals(tensor.values.len()).into_iter().map(|v| 0.5 * v).collect();
    }
    parameters::import(model, tensors)
}

#[test]
fn a_prefix_is_seen_as_a_whole_and_hides_nothing_of_what_comes_after() {
    let (transformer, device) = (told_transformer(), device());
    let rows = |symbols: &[i32], width: usize| {
        Tensor::<2, Int>::from_data(TensorData::new(symbols.to_vec(), [symbols.len() / width, width]), &device)
    };
    let (known, symbols) = ([0, 1, 2, 2, 0, 1], [2, 1, 0, 1, 0, 0, 2, 1]);
    let starts = || Tensor::<1, Int>::from_data([0, 2], &device);
    let logits = |known: &[i32], symbols: &[i32]| {
        let (known, symbols) = (rows(known, 3), rows(symbols, 4));
        values_of(transformer.forward_after(Some(known), symbols, starts(), &Pass::still()))
    };
    let whole = logits(&known, &symbols);
    for place in 0..4 {
        let mut changed = symbols;
        changed.iter_mut().skip(place).step_by(4).for_each(|symbol| *symbol = (*symbol + 1) % 3);
        let after = logits(&known, &changed);
        for row in 0..2 {
            let step = |step: usize| (row * 4 + step) * 3;
            assert_eq!(whole[step(0)..step(place + 1)], after[step(0)..step(place + 1)], "row {row}, symbol {place}");
            assert!(place == 3 || whole[step(place + 1)..step(4)] != after[step(place + 1)..step(4)], "it is seen");
        }
    }
    // Every place of the prefix reaches every step, the first one too.
    for place in 0..3 {
        let mut changed = known;
        changed.iter_mut().skip(place).step_by(3).for_each(|symbol| *symbol = (*symbol + 1) % 3);
        let after = logits(&changed, &symbols);
        assert!(whole.chunks_exact(3).zip(after.chunks_exact(3)).all(|(a, b)| a != b), "place {place}");
    }
    let mut decoding = transformer.decoding_after(rows(&known, 3));
    let mut tokens = vec![0, 2];
    for step in 0..4 {
        let next = decoding.next(&tokens);
        for row in 0..2 {
            let expected = &whole[(row * 4 + step) * 3..][..3];
            assert!(next[row * 3..][..3].iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "step {step}");
        }
        tokens = symbols.iter().skip(step).step_by(4).copied().collect();
    }
    assert!(decoding.is_done());
}

#[test]
fn maps_that_do_not_fill_a_row_are_refused() {
    let space = Space::new([1, 1, 4], Domain::Index { of: 3 });
    let (network, loss) = (NetworkConfig::default(), ObjectiveConfig::default());
    let check = |maps: Vec<[usize; 3]>| {
        let config = AutoregressiveConfig { maps, ..AutoregressiveConfig::default() };
        let setting = Setting { space, ..Setting::of_tables(&network, &loss) };
        config.check(&setting).map_err(|error| error.to_string())
    };
    assert_eq!(check(vec![[1, 1, 1], [1, 1, 3]]), Ok(()));
    for maps in [vec![[1, 1, 3]], vec![[0, 1, 1], [1, 2, 2]], vec![[usize::MAX, 2, 2], [1, 1, 4]]] {
        assert!(check(maps).unwrap_err().contains("hold the 4 symbols of a row together"));
    }
}

#[test]
fn rows_of_any_symbols_are_learned_and_those_held_back_end_the_training() {
    // Rows that count up from a random start: ln 5 nats each, however long they are.
    let space = Space::new([1, 1, 8], Domain::Index { of: 5 });
    let mut draws = Draws::new(3, Purpose::Choice, 0, 0);
    let starts: Vec<u32> = (0..300).map(|_| draws.below(5)).collect();
    let rows = starts.iter().flat_map(|start| (0..8).map(move |i| ((start + i) % 5) as u16)).collect();
    let splits = SymbolSource::new(space, rows, [200, 60, 40], None, vec![]).split(&DataConfig::default(), 0).unwrap();
    assert_eq!(splits.validation.as_ref().map(Subset::len), Some(60), "the rows that the codes' run held back");
    let config =
        AutoregressiveConfig { width: 16, layers: 1, heads: 2, dropout: 0.0, ..AutoregressiveConfig::default() };
    let model = Autoregressive::init(space, 0, &config, 0, &device());
    let optimizer =
        OptimizerConfig { lr: 1e-2, warmup_steps: 10, decays: Decays::Matrices, ..OptimizerConfig::default() };
    let mut trainer = Trainer::new(model, &splits, optimizer, &device());
    (trainer.config.epochs, trainer.config.batch_size) = (200, 50);
    trainer.early_stopping = EarlyStopping { patience: 5, min_delta: 0.02, ..EarlyStopping::default() };
    let ending = trainer.run(&mut Quiet, &Stop::new()).unwrap();
    let history = &trainer.state.history;
    assert_eq!(ending, Ending::StoppedEarly, "after {} epochs", history.len());
    let loss = |record: &EpochRecord| record.validation.as_ref().and_then(|means| means.get("loss")).expect("a loss");
    let (first, last) = (loss(&history[0]), loss(history.last().unwrap()));
    assert!(first > 8.0 && (last - 5f64.ln()).abs() < 0.2, "{first} to {last} nats; {} are to be reached", 5f64.ln());
    // The rate warms up: a tenth of it at the first step, all of it from the tenth on, four steps an epoch.
    let rates: Vec<f64> = history.iter().take(3).map(|record| record.learning_rate).collect();
    assert!(rates.iter().zip([4e-3, 8e-3, 1e-2]).all(|(rate, expected)| (rate - expected).abs() < 1e-12), "{rates:?}");
}
