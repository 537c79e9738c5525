//! Both passes against attention by its definition, in float64.

use super::backward::{Saved, backward};
use super::forward::forward;
use super::shape::{AttentionShape, Strided};

fn wave(seed: usize, count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919 + seed * 104_729) % 1999) as f32 / 700.0 - 1.4).collect()
}

/// A tensor in memory with its heads before its tokens, as other libraries keep it.
fn heads_first(data: &[f32], [tokens, heads, width]: [usize; 3]) -> Strided<'_> {
    Strided { data, start: 0, strides: [tokens * heads * width, width, tokens * width] }
}

/// Results of one head in float64: `y`, `dq`, `dk`, `dv`, all `[tokens, width]`.
fn definition(shape: &AttentionShape, [q, k, v, dy]: [&[Vec<f64>]; 4]) -> [Vec<Vec<f64>>; 4] {
    let scale = 1.0 / (shape.width as f64).sqrt();
    let zeros = |count| vec![vec![0f64; shape.width]; count];
    let mut found = [zeros(shape.queries), zeros(shape.queries), zeros(shape.keys), zeros(shape.keys)];
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let add = |to: &mut [f64], factor: f64, from: &[f64]| to.iter_mut().zip(from).for_each(|(t, f)| *t += factor * f);
    for i in 0..shape.queries {
        let seen = if shape.causal { i + 1 + shape.keys - shape.queries } else { shape.keys };
        let powers: Vec<f64> = (0..seen).map(|j| (scale * dot(&q[i], &k[j])).exp()).collect();
        let p: Vec<f64> = powers.iter().map(|power| power / powers.iter().sum::<f64>()).collect();
        let dp: Vec<f64> = (0..seen).map(|j| dot(&dy[i], &v[j])).collect();
        let mean = dot(&p, &dp);
        for j in 0..seen {
            let ds = scale * p[j] * (dp[j] - mean);
            add(&mut found[0][i], p[j], &v[j]);
            add(&mut found[1][i], ds, &k[j]);
            add(&mut found[2][j], ds, &q[i]);
            add(&mut found[3][j], p[j], &dy[i]);
        }
    }
    found
}

#[test]
fn both_passes_are_those_of_the_definition() {
    let shape =
        |batch, heads, queries, keys, width, causal| AttentionShape { batch, heads, queries, keys, width, causal };
    let mut shapes = vec![
        shape(1, 1, 1, 1, 1, false),
        shape(2, 3, 5, 7, 3, false),
        shape(1, 2, 5, 7, 17, true),
        shape(1, 2, 9, 9, 16, true),
    ];
    if !cfg!(miri) {
        // More than one tile of queries and keys.
        shapes.extend([
            shape(2, 1, 100, 130, 20, false),
            shape(1, 2, 193, 300, 33, true),
            shape(3, 7, 97, 129, 8, true),
            shape(1, 1, 400, 400, 64, true),
        ]);
    }
    for shape in shapes {
        let AttentionShape { batch, heads, queries, keys, width, .. } = shape;
        let sizes = |tokens| [tokens, heads, width];
        let data = |seed, tokens: usize| wave(seed, batch * tokens * heads * width);
        let (q, k, v, dy) = (data(1, queries), data(2, keys), data(3, keys), data(4, queries));
        let (q, dy_view) = (Strided::contiguous(&q, sizes(queries)), Strided::contiguous(&dy, sizes(queries)));
        let (k, v) = (heads_first(&k, sizes(keys)), Strided::contiguous(&v, sizes(keys)));
        let attended = forward(&shape, q, k, v);
        let [dq, dk, dv] = backward(&shape, &Saved { q, k, v, y: &attended.y, log_sums: &attended.log_sums, dy: &dy });
        for unit in 0..shape.units() {
            let rows = |of: Strided<'_>, tokens: usize| -> Vec<Vec<f64>> {
                let row = |token| of.row(&shape, unit, token).iter().map(|v| f64::from(*v)).collect();
                (0..tokens).map(row).collect()
            };
            let expected =
                definition(&shape, [&rows(q, queries), &rows(k, keys), &rows(v, keys), &rows(dy_view, queries)]);
            let found = [(&attended.y, queries), (&dq, queries), (&dk, keys), (&dv, keys)];
            for ((name, expected), (found, tokens)) in ["y", "dq", "dk", "dv"].iter().zip(expected).zip(found) {
                let found = rows(Strided::contiguous(found, sizes(tokens)), tokens);
                let pairs = || found.iter().flatten().zip(expected.iter().flatten());
                let most = pairs().fold(1.0, |most: f64, (_, e)| most.max(e.abs()));
                let worst =
                    pairs().fold(0.0, |worst: f64, (f, e)| if (f - e).abs() > worst { (f - e).abs() } else { worst });
                assert!(
                    worst < 2e-6 * most && found.iter().flatten().all(|f| f.is_finite()),
                    "{name} of {shape:?}: {worst} of {most}"
                );
            }
        }
    }
}
