//! Best milliseconds of one forward and one backward pass of single operations on Flex, as JSON.
//!
//! `cargo run --release --workspace --example kernel_speed -- [NAME ...] [--threads 2] [--seconds 2]`
//!
//! [`OPERATIONS`] is the list. Each entry prepares its tensors and returns one pass as a closure; the same name, with the
//! same sizes, stands in `bench/peer_kernels.py`. `bench/kernels.py` runs both sides in turns.

use std::time::{Duration, Instant};

use burn::tensor::{Device, Int, Tensor, TensorData};
use elbo_kernels::{
    Activation, Conv1dGeometry, attention, average_pool, backward_from, conv1d, embedding, group_norm, layer_norm,
    rms_norm, set_threads, upsample_nearest,
};

/// The allocator of the `elbo` command, which also keeps freed memory for as long.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn keep_freed_memory() {
    /// `mi_option_purge_delay`, which the bindings do not name.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    // SAFETY: sets a number in a table of mimalloc's, before any other thread begins.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, 30_000) }
}

/// One pass.
type Pass = Box<dyn Fn()>;

/// Prepares the passes of one operation on a device.
type Prepare = fn(&Device) -> Pass;

/// Every operation by its name in the benchmark.
const OPERATIONS: &[(&str, Prepare)] = &[
    ("layer_norm", layer_norm_pass),
    ("rms_norm", rms_norm_pass),
    ("attention", |device| attention_pass(device, false)),
    ("attention_causal", |device| attention_pass(device, true)),
    ("embedding", embedding_pass),
    ("group_norm_silu", |device| group_norm_silu_pass(device, [32, 16, 16, 128])),
    ("group_norm_silu_large", |device| group_norm_silu_pass(device, [8, 64, 64, 128])),
    ("upsample", |device| resample_pass(device, upsample_nearest, [32, 16, 16, 128], [32, 32, 32, 128])),
    ("average_pool", |device| resample_pass(device, average_pool, [32, 32, 32, 128], [32, 16, 16, 128])),
    ("conv1d", conv1d_pass),
];

/// Numbers in (-1.7, 1.7) without a pattern, of about unit variance.
fn noise<const D: usize>(seed: u32, dims: [usize; D], device: &Device) -> Tensor<D> {
    let count = dims.iter().product::<usize>() as u32;
    let value = |i: u32| {
        let bits = (i.wrapping_add(seed << 24)).wrapping_mul(2_654_435_761);
        ((bits ^ (bits >> 15)).wrapping_mul(2_246_822_519) >> 8) as f32 / (1 << 24) as f32
    };
    Tensor::from_data(TensorData::new((0..count).map(|i| 3.4 * value(i) - 1.7).collect::<Vec<f32>>(), dims), device)
}

const ROWS: usize = 8192;
const WIDTH: usize = 256;
const EPS: f64 = 1e-5;

fn layer_norm_pass(device: &Device) -> Pass {
    let (x, dy) = (noise(1, [ROWS, WIDTH], device).require_grad(), noise(2, [ROWS, WIDTH], device));
    let (weight, bias) = (noise(3, [WIDTH], device).require_grad(), noise(4, [WIDTH], device).require_grad());
    Box::new(move || {
        backward_from(layer_norm(x.clone(), weight.clone(), bias.clone(), EPS), dy.clone());
    })
}

fn rms_norm_pass(device: &Device) -> Pass {
    let (x, dy) = (noise(1, [ROWS, WIDTH], device).require_grad(), noise(2, [ROWS, WIDTH], device));
    let weight = noise(3, [WIDTH], device).require_grad();
    Box::new(move || {
        backward_from(rms_norm(x.clone(), weight.clone(), EPS), dy.clone());
    })
}

fn attention_pass(device: &Device, causal: bool) -> Pass {
    // Batch, tokens, heads, width.
    let tensor = |seed| noise(seed, [32, 256, 4, 64], device);
    let [q, k, v] = [1, 2, 3].map(|seed| tensor(seed).require_grad());
    let dy = tensor(4);
    Box::new(move || {
        backward_from(attention(q.clone(), k.clone(), v.clone(), causal), dy.clone());
    })
}

fn embedding_pass(device: &Device) -> Pass {
    let (entries, count) = (8192, 8192);
    let table = noise(1, [entries, WIDTH], device).require_grad();
    let indices: Vec<i32> = (0..count as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 19) as i32).collect();
    let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, [count]), device);
    let dy = noise(2, [count, WIDTH], device);
    Box::new(move || {
        backward_from(embedding(table.clone(), indices.clone()), dy.clone());
    })
}

/// 32 groups, as diffusion models have them.
fn group_norm_silu_pass(device: &Device, dims: [usize; 4]) -> Pass {
    let (x, dy) = (noise(1, dims, device).require_grad(), noise(2, dims, device));
    let [gamma, beta] = [3, 4].map(|seed| noise(seed, [dims[3]], device).require_grad());
    Box::new(move || {
        backward_from(group_norm(x.clone(), 32, gamma.clone(), beta.clone(), EPS, Activation::Silu), dy.clone());
    })
}

/// Factors of 2.
fn resample_pass(
    device: &Device,
    op: fn(Tensor<4>, [usize; 2]) -> Tensor<4>,
    dims: [usize; 4],
    result: [usize; 4],
) -> Pass {
    let (x, dy) = (noise(1, dims, device).require_grad(), noise(2, result, device));
    Box::new(move || {
        backward_from(op(x.clone(), [2; 2]), dy.clone());
    })
}

/// Windows of 3 steps, stride 1.
fn conv1d_pass(device: &Device) -> Pass {
    let (x, dy) = (noise(1, [32, 1024, 64], device).require_grad(), noise(2, [32, 1024, 64], device));
    let (weight, bias) = (noise(3, [64, 64, 3], device).require_grad(), noise(4, [64], device).require_grad());
    let geometry = Conv1dGeometry { stride: 1, padding: 1 };
    Box::new(move || {
        backward_from(conv1d(x.clone(), weight.clone(), bias.clone(), geometry, Activation::None), dy.clone());
    })
}

/// The fastest of all passes within `seconds`, and of three at least; the first one warms up.
fn best_milliseconds(pass: &Pass, seconds: f64) -> f64 {
    pass();
    let (began, mut best, mut passes) = (Instant::now(), Duration::MAX, 0);
    while passes < 3 || began.elapsed().as_secs_f64() < seconds {
        let started = Instant::now();
        pass();
        best = best.min(started.elapsed());
        passes += 1;
    }
    1e3 * best.as_secs_f64()
}

fn main() {
    keep_freed_memory();
    let (mut names, mut threads, mut seconds) = (Vec::new(), 2, 2.0);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().and_then(|text| text.parse::<f64>().ok()).expect("a number after the flag");
        match argument.as_str() {
            "--threads" => threads = value() as usize,
            "--seconds" => seconds = value(),
            _ => names.push(argument),
        }
    }
    set_threads(threads);
    let device = Device::flex().autodiff();
    let wanted = OPERATIONS.iter().filter(|(name, _)| names.is_empty() || names.iter().any(|wanted| wanted == name));
    let best = wanted.map(|(name, prepare)| {
        let best = best_milliseconds(&prepare(&device), seconds);
        format!("\"{name}\": {best:.4}")
    });
    let best = best.collect::<Vec<_>>().join(", ");
    println!("{{\"side\": \"elbo\", \"threads\": {threads}, \"milliseconds\": {{{best}}}}}");
}
