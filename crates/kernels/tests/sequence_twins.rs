//! The operations on sequences against their plain Burn twins, values and gradients, at sizes around vectors and tiles.

mod support {
    pub mod comparison;
    pub mod noise;
    pub mod sequences;
}

use elbo_kernels::{
    attention, code_statistics, cross_entropy, embedding, layer_norm, reference, rms_norm, self_attention,
};
use support::comparison::Table;
use support::noise::noise;
use support::sequences::{Results, attended, embedded, indices, row_norm, surprised, tensor, values};

fn doubles(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

fn compare(table: &mut Table, place: &str, fused: &Results, plain: &Results) {
    assert_eq!(fused.len(), plain.len());
    for ((what, fused), (_, plain)) in fused.iter().zip(plain) {
        table.tensor(format_args!("{place} {what}"), fused, &doubles(plain));
    }
}

#[test]
fn normalisations_of_rows() {
    const EPS: f64 = 1e-3;
    let mut table = Table::new(1e-5);
    for width in [3, 15, 16, 17, 31, 32, 33, 64, 257] {
        for rows in [1, 2, 17, 300] {
            let (x, dy) = (noise(1, rows * width), noise(2, rows * width));
            let (weight, bias) = (noise(3, width), noise(4, width));
            let x: Vec<f32> = x.iter().map(|v| 2.0 * v + 0.7).collect();
            let place = format!("{rows}x{width}");
            let fused = row_norm(&x, &weight, Some(&bias), &dy, |x, w, b| layer_norm(x, w, b.unwrap(), EPS));
            let plain = row_norm(&x, &weight, Some(&bias), &dy, |x, w, b| reference::layer_norm(x, w, b.unwrap(), EPS));
            compare(&mut table, &format!("layer norm {place}"), &fused, &plain);
            let fused = row_norm(&x, &weight, None, &dy, |x, w, _| rms_norm(x, w, EPS));
            let plain = row_norm(&x, &weight, None, &dy, |x, w, _| reference::rms_norm(x, w, EPS));
            compare(&mut table, &format!("rms norm {place}"), &fused, &plain);
        }
    }
    table.assert_all(9 * 4 * (4 + 3));
}

#[test]
fn attention_of_all_lengths() {
    let mut table = Table::new(1e-5);
    // Batch, queries, keys, heads, width.
    let sizes = [
        [1, 1, 1, 1, 1],
        [2, 3, 5, 2, 7],
        [1, 95, 96, 3, 16],
        [2, 97, 129, 1, 17],
        [1, 33, 400, 2, 33],
        [3, 200, 200, 4, 64],
    ];
    for size @ [batch, queries, keys, heads, width] in sizes {
        let count = |tokens| batch * tokens * heads * width;
        let [q, k] = [(1, queries), (2, keys)].map(|(seed, tokens)| noise(seed, count(tokens)));
        let (v, dy) = (noise(3, count(keys)), noise(4, count(queries)));
        // Scores large enough that some keys count and others hardly.
        let q: Vec<f32> = q.iter().map(|v| 4.0 * v).collect();
        for causal in [false, true] {
            let arguments = [&q[..], &k, &v, &dy];
            let fused = attended(size, arguments, |q, k, v| attention(q, k, v, causal));
            let plain = attended(size, arguments, |q, k, v| reference::attention(q, k, v, causal));
            compare(&mut table, &format!("{size:?}, causal {causal}"), &fused, &plain);
        }
    }
    table.assert_all(6 * 2 * 4);
}

#[test]
fn attention_reads_parts_of_a_wider_layer_where_they_lie() {
    let (batch, tokens, heads, width) = (2, 50, 3, 20);
    let size = [batch, tokens, tokens, heads, width];
    let wide = noise(1, batch * tokens * 3 * heads * width);
    let together = tensor(&wide, [batch, tokens, 3 * heads, width]);
    let part = |i: usize| together.clone().narrow(2, i * heads, heads);
    let views = values(attention(part(0), part(1), part(2), true));
    let [q, k, v] = [0, 1, 2].map(|i| values(part(i)));
    let copies = attended(size, [&q, &k, &v, &q], |q, k, v| attention(q, k, v, true));
    assert_eq!(views, copies[0].1);
    // Heads before tokens, as other libraries have them; the last dimension not together in memory.
    let swapped = |values: &[f32]| {
        let plain = tensor(values, [batch, tokens, heads, width]);
        tensor(&self::values(plain.swap_dims(1, 2)), [batch, heads, tokens, width]).swap_dims(1, 2)
    };
    let across = |values: &[f32]| {
        let plain = tensor(values, [batch, tokens, heads, width]);
        tensor(&self::values(plain.swap_dims(2, 3)), [batch, tokens, width, heads]).swap_dims(2, 3)
    };
    assert_eq!(values(attention(swapped(&q), across(&k), swapped(&v), true)), views);
}

#[test]
fn tables_and_what_belongs_to_their_entries() {
    let mut table = Table::new(1e-6);
    for (entries, width, count) in [(1, 1, 1), (7, 5, 3), (3, 17, 200), (500, 33, 1000), (64, 64, 0)] {
        let (rows, dy) = (noise(1, entries * width), noise(2, count * width));
        let numbers: Vec<i32> = (0..count).map(|i| (i * i + i / 3) as i32 % entries as i32).collect();
        let place = format!("{entries}x{width}, {count}");
        if count > 0 {
            let fused = embedded(&rows, width, &numbers, &dy, embedding);
            let plain = embedded(&rows, width, &numbers, &dy, reference::embedding);
            compare(&mut table, &place, &fused, &plain);
        }
        let run = |plain: bool| {
            let (rows, nearest) = (tensor(&dy, [count, width]), indices(&numbers));
            let op = if plain { reference::code_statistics } else { code_statistics };
            let (counts, sums) = op(rows, nearest, entries);
            vec![("counts", values(counts)), ("sums", values(sums))]
        };
        if count > 0 {
            compare(&mut table, &place, &run(false), &run(true));
        } else {
            assert!(run(false).iter().all(|(_, values)| values.iter().all(|v| *v == 0.0)));
        }
    }
    table.assert_all(4 * 4);
}

#[test]
fn only_the_gradients_that_are_asked_for() {
    let x = tensor(&noise(1, 6), [2, 3]);
    let weight = tensor(&noise(2, 3), [3]).require_grad();
    let y = layer_norm(x.clone(), weight.clone(), tensor(&[0.0; 3], [3]), 1e-5);
    let gradients = elbo_kernels::backward_from(y, tensor(&[1.0; 6], [2, 3]));
    assert!(weight.grad(&gradients).is_some() && x.grad(&gradients).is_none());
}

#[test]
fn a_given_gradient_is_that_of_the_weighted_sum() {
    let x = tensor(&noise(1, 12), [3, 4]).require_grad();
    let dy = tensor(&noise(2, 12), [3, 4]);
    let y = || x.clone().square() * 3.0;
    let given = x.grad(&elbo_kernels::backward_from(y(), dy.clone())).expect("a gradient");
    let summed = x.grad(&(y() * dy).sum().backward()).expect("a gradient");
    assert_eq!(values(given), values(summed));
}

#[test]
fn surprise_of_symbols() {
    let mut table = Table::new(1e-5);
    let sizes = [(1, 1), (3, 2), (2, 15), (7, 16), (4, 17), (5, 128), (300, 513)];
    for (n, symbols) in sizes {
        let logits: Vec<f32> = noise(1, n * symbols).iter().map(|v| 3.0 * v + 50.0).collect();
        let targets: Vec<i32> = (0..n).map(|i| (i * i + 1) as i32 % symbols as i32).collect();
        let dy = noise(2, n);
        let fused = surprised(&logits, &targets, &dy, cross_entropy);
        let plain = surprised(&logits, &targets, &dy, reference::cross_entropy);
        compare(&mut table, &format!("{n}x{symbols}"), &fused, &plain);
        let untracked = cross_entropy(tensor(&logits, [n, symbols]).without_autodiff(), indices(&targets));
        assert_eq!(values(untracked), fused[0].1, "the same bits without a gradient");
    }
    table.assert_all(sizes.len() * 2);
}

#[test]
fn attention_of_what_a_layer_gave_together() {
    let mut table = Table::new(1e-5);
    for [batch, tokens, heads, width] in [[1, 1, 1, 1], [2, 3, 2, 5], [3, 97, 2, 33], [2, 130, 4, 16]] {
        let count = batch * tokens * heads * width;
        let (mixed, dy) = (noise(1, 3 * count), noise(2, count));
        for causal in [false, true] {
            let run = |op: fn(burn::tensor::Tensor<4>, bool) -> burn::tensor::Tensor<4>| {
                let mixed = tensor(&mixed, [batch, tokens, 3 * heads, width]).require_grad();
                let y = op(mixed.clone(), causal);
                let gradients = elbo_kernels::backward_from(y.clone(), tensor(&dy, [batch, tokens, heads, width]));
                vec![("y", values(y)), ("dmixed", values(mixed.grad(&gradients).expect("dmixed")))]
            };
            let place = format!("{batch}x{tokens}x{heads}x{width}, causal {causal}");
            compare(&mut table, &place, &run(self_attention), &run(reference::self_attention));
        }
    }
    table.assert_all(4 * 2 * 2);
}
