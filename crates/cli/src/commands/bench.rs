//! `elbo bench`.

use elbo::tasks::{self, Measured, Workload};
use elbo::training::Precision;
use serde_json::json;

use crate::args::Bench;
use crate::output::Context;

pub fn bench(args: &Bench, device: &str, context: Context) -> anyhow::Result<()> {
    let workload = Workload::named(&args.workload)?;
    if !(0.0..=86_400.0).contains(&args.seconds) {
        let found = args.seconds.to_string();
        return Err(elbo::Error::config("--seconds", "a number from 0 to 86400", found, "8 is the usual one").into());
    }
    let precision = Precision::named(&args.precision)?;
    let mut reading = args.reading.settings()?;
    reading.data = args.data.clone();
    let (seconds, profiled) = (args.seconds, args.profile);
    let wanted = tasks::Bench { workload, reading, seconds, profiled, precision };
    let measured = tasks::bench(&wanted, &elbo::device::choose(device)?)?;
    context.result(json!(measured), || text(&measured))
}

fn text(measured: &Measured) -> String {
    let Measured { workload, threads, precision, images_per_s, ms_per_step, profile, .. } = measured;
    let products = if *precision == Precision::Bf16 { ", bfloat16 products" } else { "" };
    let unit = match *workload {
        "attention" => "examples",
        "layer-norm" | "prior" | "prior-sample" | "prior-sample-uncached" => "rows",
        _ => "images",
    };
    let mut text =
        format!("{workload}: {images_per_s:.0} {unit}/s, {ms_per_step:.3} ms a step, {threads} threads{products}\n");
    if let Some(p) = profile {
        for (part, ms) in [
            ("gather", p.gather),
            ("forward", p.forward),
            ("loss", p.loss),
            ("backward", p.backward),
            ("optimizer", p.optimizer),
        ] {
            text += &format!("  {part:<10} {ms:.3} ms\n");
        }
        text += &format!(
            "  {:.3} GFLOP of matrix products a step: {:.0} GFLOP/s in all, {:.0} % of the {:.0} that one large product reaches here\n",
            p.gflop,
            p.gflops,
            100.0 * p.share_of_peak,
            p.peak_gflops
        );
    }
    if let Some(p) = &measured.pipeline {
        text += &format!(
            "  {} pictures decoded in {:.2} s: {:.0} images/s; with one epoch of steps {:.0} images/s\n",
            p.decoded, p.decode_seconds, p.decode_images_per_s, p.end_to_end_images_per_s
        );
    }
    text
}
