//! The operations on sequences against numbers PyTorch computed in float64 (`fixtures/kernels/sequence.json`), at every
//! instruction set this machine has. A program of its own: the level is global.

mod support {
    pub mod comparison;
    pub mod fixture;
    pub mod sequences;
}

use elbo_kernels::simd::{Level, set_level};
use elbo_kernels::{attention, cross_entropy, embedding, layer_norm, rms_norm};
use serde_json::Value;
use support::comparison::Table;
use support::fixture::{count, list, number, numbers, read, text};
use support::sequences::{Results, attended, embedded, row_norm, surprised};

fn floats(value: &Value) -> Vec<f32> {
    numbers(value).into_iter().map(|v| v as f32).collect()
}

/// An operation and its gradients on the arguments of a case.
type Run = fn(&Value) -> Results;

fn normed(case: &Value) -> Results {
    let [x, weight, dy] = ["x", "weight", "dy"].map(|key| floats(&case[key]));
    let bias = case.get("bias").map(floats);
    let eps = number(&case["eps"]);
    row_norm(&x, &weight, bias.as_deref(), &dy, |x, w, b| match b {
        Some(b) => layer_norm(x, w, b, eps),
        None => rms_norm(x, w, eps),
    })
}

fn attention_of(case: &Value) -> Results {
    let size = ["batch", "queries", "keys", "heads", "width"].map(|key| count(&case[key]));
    let arguments = ["q", "k", "v", "dy"].map(|key| floats(&case[key]));
    let causal = case["causal"] == true;
    attended(size, arguments.each_ref().map(Vec::as_slice), |q, k, v| attention(q, k, v, causal))
}

fn rows_of(case: &Value) -> Results {
    let indices: Vec<i32> = list(&case["indices"]).iter().map(|index| count(index) as i32).collect();
    embedded(&floats(&case["table"]), count(&case["width"]), &indices, &floats(&case["dy"]), embedding)
}

fn surprise_of(case: &Value) -> Results {
    let targets: Vec<i32> = list(&case["targets"]).iter().map(|target| count(target) as i32).collect();
    surprised(&floats(&case["logits"]), &targets, &floats(&case["dy"]), cross_entropy)
}

#[test]
fn operations_and_their_gradients() {
    let fixture = read("kernels/sequence.json");
    let kinds: [(&str, Run); 4] =
        [("row_norm", normed), ("attention", attention_of), ("embedding", rows_of), ("cross_entropy", surprise_of)];
    let mut table = Table::new(1e-5);
    for level in [Level::Baseline, Level::Avx2, Level::Avx512] {
        let used = set_level(level);
        for (kind, run) in kinds {
            for case in list(&fixture[kind]) {
                for (what, found) in run(case) {
                    let place = format!("{} {what} at {used:?}", text(&case["name"]));
                    table.tensor(place, &found, &numbers(&case[what]));
                }
            }
        }
    }
    table.assert_all(3 * (4 * 4 + 3 * 3 + 7 * 4 + 2 * 2 + 4 * 2));
}
