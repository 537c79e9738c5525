//! Thread counts change speed and nothing else. One test in a program of its own: the thread count is global.

mod support {
    pub mod layer;
}

use std::panic::catch_unwind;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor, TensorData};
use elbo_kernels::{
    Activation, AdamStep, Link, Precision, Reconstruction, adam, bernoulli_nll, gather_bytes, linear, parallel,
    reconstruction, set_threads, squared_error, sum_of_squares, threads, with_precision,
};
use support::layer::{ACTIVATIONS, Layer, gradient, values};

/// Values in (-1, 1) that need rounding in every sum.
fn rough(seed: u32, count: usize) -> Vec<f32> {
    (0..count as u32)
        .map(|i| ((i.wrapping_mul(2_654_435_761) ^ seed.wrapping_mul(40_503)) as f32 / 4e9 - 0.5).sin())
        .collect()
}

/// A layer whose products skip zeros, and whose products are rounded where [`Precision`] says so.
fn sparse(precision: Precision) -> impl Iterator<Item = (String, Vec<f32>)> {
    let zeros = |values: Vec<f32>| values.into_iter().map(|v| if (v * 1e4).fract() > 0.6 { v } else { 0.0 }).collect();
    let (batch, inputs, outputs) = (300, 784, 400);
    let layer = Layer {
        batch,
        inputs,
        outputs,
        x: zeros(rough(1, batch * inputs)),
        weight: rough(2, outputs * inputs),
        bias: rough(3, outputs),
        dy: zeros(rough(4, batch * outputs)),
    };
    let found = with_precision(precision, || layer.run(|x, w, b| linear(x, w, b, Activation::Relu)));
    found.into_iter().map(move |(what, values)| (format!("{what} of a sparse layer, {precision:?}"), values))
}

/// Everything that is cut into parts, at sizes where it is.
fn everything() -> Vec<(String, Vec<f32>)> {
    let mut results = Vec::new();
    results.extend([Precision::Float32, Precision::Bf16].into_iter().flat_map(sparse));
    for (batch, inputs, outputs) in [(128, 784, 400), (512, 400, 784), (4096, 33, 65), (128, 65, 2049)] {
        let layer = Layer {
            batch,
            inputs,
            outputs,
            x: rough(1, batch * inputs),
            weight: rough(2, outputs * inputs),
            bias: rough(3, outputs),
            dy: rough(4, batch * outputs),
        };
        for (name, activation) in ACTIVATIONS {
            let found = layer.run(|x, weight, bias| linear(x, weight, bias, activation));
            results
                .extend(found.map(|(what, values)| (format!("{what} of {name} {batch}x{inputs}x{outputs}"), values)));
        }
    }
    results.extend(likelihoods());
    results.extend(reconstructions());
    let count = 1_000_003;
    let vector = |seed| Tensor::<1>::from_data(TensorData::new(rough(seed, count), [count]), &Device::default());
    let step =
        AdamStep { lr: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-8, l2: 0.1, decay: 0.1, gradient_scale: 0.7, time: 2 };
    let updated = adam(vector(1), vector(2), vector(3), vector(4).abs(), &step);
    results.extend([("weight".into(), values(updated.weight)), ("moment".into(), values(updated.v))]);
    let norm = sum_of_squares(vector(5)).to_bits();
    results.push(("sum of squares".into(), vec![f32::from_bits((norm >> 32) as u32), f32::from_bits(norm as u32)]));
    let bytes: Vec<u8> = (0..784 * 512).map(|i| (i * 7 % 256) as u8).collect();
    results.push(("bytes".into(), gather_bytes(&bytes, 784, &(0..512).rev().collect::<Vec<_>>())));
    results
}

fn likelihoods() -> [(String, Vec<f32>); 4] {
    let device = Device::default().autodiff();
    let matrix = |seed| Tensor::<2>::from_data(TensorData::new(rough(seed, 512 * 784), [512, 784]), &device);
    let logits = matrix(5).require_grad();
    let bernoulli = bernoulli_nll(logits.clone(), matrix(6).abs());
    let squared = squared_error(logits.clone(), matrix(6).abs());
    let slopes = [&bernoulli, &squared].map(|loss| gradient(&logits, &loss.clone().mean().backward()));
    let [bernoulli_slope, squared_slope] = slopes;
    [
        ("bernoulli".into(), values(bernoulli)),
        ("squared error".into(), values(squared)),
        ("slope of bernoulli".into(), bernoulli_slope),
        ("slope of squared error".into(), squared_slope),
    ]
}

/// The terms with several parameters for each value.
fn reconstructions() -> Vec<(String, Vec<f32>)> {
    let device = Device::default().autodiff();
    let (batch, width) = (64, 3 * 256);
    let x = Tensor::<2>::from_data(TensorData::new(rough(7, batch * width), [batch, width]), &device).abs();
    let terms = [
        Reconstruction::ContinuousBernoulli,
        Reconstruction::Gaussian(Link::Sigmoid),
        Reconstruction::DiscretisedLogistic,
        Reconstruction::LogisticMixture { components: 3, channels: 3 },
        Reconstruction::Categorical,
    ];
    let results = terms.into_iter().flat_map(|term| {
        let outputs = term.output_channels(3) * 256;
        let data = TensorData::new(rough(8, batch * outputs), [batch, outputs]);
        let parameters = Tensor::<2>::from_data(data, &device).require_grad();
        let nll = reconstruction(term, parameters.clone(), x.clone());
        let slope = gradient(&parameters, &nll.clone().mean().backward());
        [(format!("{term:?}"), values(nll)), (format!("slope of {term:?}"), slope)]
    });
    results.collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn thread_counts_change_no_bit() {
    set_threads(1);
    let alone = everything();
    for count in [2, 3, 8, 1] {
        set_threads(count);
        assert_eq!(threads(), count);
        for ((name, found), (_, expected)) in everything().iter().zip(&alone) {
            assert!(bits(found) == bits(expected), "{name} differs on {count} threads");
        }
    }
    set_threads(0);
    assert_eq!(threads(), 1, "at least the caller");

    set_threads(2);
    assert!(two_parts_meet(), "two threads work at the same time");
    catch_unwind(|| parallel(4, |part| assert!(part != 2, "a part that fails"))).unwrap_err();
    assert!(two_parts_meet(), "and still do after a part has panicked");
}

/// Whether two parts of one region are ever under way at once; each waits for the other, but not for ever.
fn two_parts_meet() -> bool {
    let (arrived, met) = (AtomicUsize::new(0), AtomicUsize::new(0));
    parallel(2, |_| {
        arrived.fetch_add(1, SeqCst);
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(5) {
            if arrived.load(SeqCst) == 2 {
                met.fetch_add(1, SeqCst);
                return;
            }
            std::thread::yield_now();
        }
    });
    met.load(SeqCst) == 2
}
