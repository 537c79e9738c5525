//! `elbo data`: the data doctor.

use elbo::data::inspect::Severity;
use elbo::data::{self, DataReport, Progress, Splits, Subset};
use elbo::recipe::Layers;
use elbo::report::image_grid::{self, GridLayout, ImageBatch};
use elbo::run::atomic;
use serde_json::json;

use super::pictures::check_count;
use super::recipes::put_pictures;
use crate::args::Data;
use crate::output::Context;
use crate::progress::DataProgress;

pub fn data(args: &Data, context: Context) -> anyhow::Result<()> {
    let mut layers = Layers::from_text("defaults", "")?;
    layers.put("data.source", args.data.clone().into())?;
    for assignment in &args.set {
        layers.set(assignment)?;
    }
    put_pictures(&mut layers, &args.pictures)?;
    let config = layers.build()?.data;
    if args.out.is_some() {
        check_count("--n", args.n)?;
    }
    let mut opening = DataProgress::new(context);
    // What was chosen is part of the report.
    let mut show = |progress: Progress<'_>| {
        if !matches!(progress, Progress::Note(_)) {
            opening.show(progress)
        }
    };
    let splits = data::open(&config, args.seed, &mut show)?;
    drop(opening);
    let report = data::inspect(&splits);
    if let Some(out) = &args.out {
        atomic::write_file(out, &picture(&splits, args.n)?)?;
        context.note(format!("picture {}", out.display()));
    }
    context.result(json!(report), || text(&report))
}

/// The first `n` images of the training split.
fn picture(splits: &Splits, n: usize) -> elbo::Result<Vec<u8>> {
    let split: &Subset = &splits.train;
    let shape = split.source().shape();
    let count = n.min(split.len());
    let mut pixels = vec![0u8; count * shape.numel()];
    // Spread over the split: a rendered set's neighbours look alike.
    let stride = (split.len() / count.max(1)).max(1);
    for (i, image) in pixels.chunks_exact_mut(shape.numel()).enumerate() {
        split.read(i * stride, image);
    }
    let layout =
        GridLayout { columns: 20.min(count), scale: (56 / shape.width.max(1)).clamp(1, 4), ..Default::default() };
    let batch = ImageBatch::new(&pixels, shape.channels, shape.height, shape.width)?;
    image_grid::png(&image_grid::image_grid(batch, layout)?)
}

fn text(report: &DataReport) -> String {
    let mut text = format!(
        "{}\nimages  {} train, {} validation, {} test\nshape   {} x {} x {} (channels, height, width)\n\
         range   {:.3} to {:.3}, mean {:.4}, std {:.4}\nsha256  {}\n",
        report.name,
        report.splits.train,
        report.splits.validation,
        report.splits.test,
        report.shape[0],
        report.shape[1],
        report.shape[2],
        report.range[0],
        report.range[1],
        report.mean,
        report.std,
        report.sha256
    );
    let labels: Vec<_> = report.labels.iter().map(|l| format!("{} {}", l.name, l.count)).collect();
    if !labels.is_empty() {
        text += &format!("labels  {}\n", labels.join(", "));
    }
    for finding in &report.findings {
        let word = if finding.severity == Severity::Warning { "warning" } else { "note" };
        text += &format!("{word}: {}\n", finding.message);
        if !finding.help.is_empty() {
            text += &format!("  help: {}\n", finding.help);
        }
    }
    text
}
