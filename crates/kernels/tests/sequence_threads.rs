//! The operations on sequences give the same bits on any number of threads. A program of its own: the count is global.

mod support {
    pub mod noise;
    pub mod sequences;
}

use elbo_kernels::{
    CacheShape, KeyValueCache, attention, backward_from, code_statistics, cross_entropy, embedding, layer_norm,
    rms_norm, self_attention, set_threads,
};
use support::noise::noise;
use support::sequences::{attended, embedded, indices, row_norm, surprised, tensor, values};

/// Everything that is cut into parts, at sizes where it is.
fn everything() -> Vec<(String, Vec<f32>)> {
    let mut found = Vec::new();
    let mut keep = |name: &str, results: Vec<(&'static str, Vec<f32>)>| {
        found.extend(results.into_iter().map(|(what, values)| (format!("{what} of {name}"), values)));
    };
    let (rows, width) = (3001, 65);
    let (x, dy, weight) = (noise(1, rows * width), noise(2, rows * width), noise(3, width));
    keep("layer norm", row_norm(&x, &weight, Some(&weight), &dy, |x, w, b| layer_norm(x, w, b.unwrap(), 1e-5)));
    keep("rms norm", row_norm(&x, &weight, None, &dy, |x, w, _| rms_norm(x, w, 1e-5)));
    // Many heads, and few whose queries are cut.
    for size @ [batch, queries, keys, heads, width] in [[5, 130, 140, 4, 20], [1, 500, 500, 2, 33]] {
        let count = |tokens| batch * tokens * heads * width;
        let arguments =
            [noise(4, count(queries)), noise(5, count(keys)), noise(6, count(keys)), noise(7, count(queries))];
        let [q, k, v, dy] = arguments.each_ref().map(Vec::as_slice);
        for causal in [false, true] {
            keep("attention", attended(size, [q, k, v, dy], |q, k, v| attention(q, k, v, causal)));
        }
    }
    let numbers: Vec<i32> = (0..rows as i32).map(|i| (i * i) % 97).collect();
    keep("embedding", embedded(&noise(8, 97 * width), width, &numbers, &dy, embedding));
    let targets: Vec<i32> = numbers.iter().map(|number| number % width as i32).collect();
    keep("cross-entropy", surprised(&x, &targets, &dy[..rows], cross_entropy));
    let (counts, sums) = code_statistics(tensor(&x, [rows, width]), indices(&numbers), 97);
    keep("code statistics", vec![("counts", values(counts)), ("sums", values(sums))]);
    let together = tensor(&noise(20, 6 * 70 * 3 * 40), [6, 70, 6, 20]).require_grad();
    let y = self_attention(together.clone(), true);
    let gradients = backward_from(y.clone(), tensor(&noise(21, 6 * 70 * 40), [6, 70, 2, 20]));
    let slopes = values(together.grad(&gradients).expect("a gradient"));
    keep("attention of a layer's parts", vec![("y", values(y)), ("dmixed", slopes)]);
    let mut cache = KeyValueCache::new(CacheShape { rows: 90, tokens: 5, heads: 4, width: 20 });
    let kept = (0..5).flat_map(|token| cache.attend(&noise(9 + token, 90 * 3 * 80)));
    keep("kept keys and values", vec![("y", kept.collect())]);
    found
}

#[test]
fn thread_counts_change_no_bit() {
    set_threads(1);
    let alone = everything();
    for count in [2, 3, 8] {
        set_threads(count);
        for ((name, found), (_, expected)) in everything().iter().zip(&alone) {
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert!(bits(found) == bits(expected), "{name} differs on {count} threads");
        }
    }
}
