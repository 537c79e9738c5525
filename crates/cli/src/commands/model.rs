//! `elbo config --model`: the layers of a recipe's model and what they cost, without building it.

use elbo::data;
use elbo::networks::LayerSummary;
use elbo::recipe::RunConfig;
use elbo::space::Space;
use serde_json::json;

use crate::output::Context;

/// Classes of pictures that are only imagined, for conditional models.
const CLASSES: usize = 10;

/// For pictures of `shape`, or for what the configuration's own data turn out to be.
pub fn model(config: &RunConfig, shape: Option<[usize; 3]>, context: Context) -> anyhow::Result<()> {
    let (space, classes) = match shape {
        Some(shape) => (Space::from(shape), CLASSES),
        None => {
            let splits = data::open(&config.data, config.training.seed, &mut |_| {})?;
            let source = splits.train.source();
            (source.space(), source.label_names().len())
        }
    };
    let setting = config.setting(space, classes);
    config.model.check_setting(&setting)?;
    let (shape, layers) = (space.shape, config.model.layers(&setting));
    let (parameters, flops) = (total(&layers, |l| l.parameters), total(&layers, |l| l.flops));
    let value = json!({
        "shape": shape,
        "network": config.network.resolved(shape),
        "layers": layers,
        "parameters": parameters,
        "flops": flops,
    });
    context.result(value, || {
        let [channels, height, width] = shape;
        let title = format!("{}, for {channels} x {height} x {width}", config.describe(shape));
        format!("{title}\n\n{}", table(&layers, parameters, flops))
    })
}

fn total(layers: &[LayerSummary], of: impl Fn(&LayerSummary) -> u128) -> u128 {
    layers.iter().map(of).sum()
}

/// Names to the left, numbers to the right.
fn table(layers: &[LayerSummary], parameters: u128, flops: u128) -> String {
    let shape = |output: &[usize]| output.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
    let head = ["layer", "kind", "output", "parameters", "FLOPs"].map(str::to_owned);
    let sums = ["total".to_owned(), String::new(), String::new(), grouped(parameters), grouped(flops)];
    let rows = layers
        .iter()
        .map(|l| [l.name.clone(), l.kind.clone(), shape(&l.output), grouped(l.parameters), grouped(l.flops)]);
    let rows: Vec<[String; 5]> = [head].into_iter().chain(rows).chain([sums]).collect();
    let widths = [0, 1, 2, 3, 4].map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0));
    let line = |[name, kind, output, parameters, flops]: &[String; 5]| {
        let [a, b, c, d, e] = widths;
        format!("{name:<a$}  {kind:<b$}  {output:>c$}  {parameters:>d$}  {flops:>e$}\n")
    };
    let note = "FLOPs: two for each multiply-add of products and convolutions, forward, one example.\n";
    rows.iter().map(line).collect::<String>() + note
}

/// `1,234,567`.
fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let parts: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|part| str::from_utf8(part).unwrap_or("")).collect();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
