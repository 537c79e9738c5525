//! `elbo encode`.

use elbo::data::csv_field;
use elbo::evaluation::{self, Codes};
use elbo::run::atomic;
use npyz::WriterBuilder;
use serde_json::json;

use super::source::{self, Opened};
use crate::args::Encode;
use crate::output::Context;

pub fn encode(args: &Encode, device: &str, context: Context) -> anyhow::Result<()> {
    let extension = args.out.extension().and_then(|e| e.to_str()).unwrap_or_default();
    if !["npy", "csv"].contains(&extension) {
        let found = args.out.display().to_string();
        return Err(elbo::Error::config(
            "--out",
            "a name that ends in .npy or .csv",
            found,
            "for example `--out z.npy`",
        )
        .into());
    }
    let opened = source::open(&args.source, device)?;
    let codes: Vec<Codes> =
        opened.parts.iter().map(|part| evaluation::encode(&opened.run.model, part, &opened.run.device)).collect();
    let latent = opened.run.config.model.latent;
    let bytes = match extension {
        "npy" => {
            let means: Vec<f32> = codes.iter().flat_map(|c| c.mean.iter().copied()).collect();
            npy(&[opened.len() as u64, latent as u64], &means)?
        }
        _ => csv(&opened, &codes).into_bytes(),
    };
    atomic::write_file(&args.out, &bytes)?;
    let (n, out) = (opened.len(), args.out.display().to_string());
    let value = json!({ "out": out, "split": opened.name, "n": n, "latent": latent });
    context.result(value, || format!("{n} codes of {latent} dimensions ({} split) in {out}", opened.name))
}

/// A .npy file of float32 in C order.
pub fn npy(shape: &[u64], values: &[f32]) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(values.len() * 4 + 128);
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(shape).writer(&mut bytes).begin_nd()?;
    writer.extend(values.iter().copied())?;
    writer.finish()?;
    Ok(bytes)
}

/// `index,label,mean_0,...,log_var_0,...`, the index being the image's place in its source.
fn csv(opened: &Opened, codes: &[Codes]) -> String {
    let latent = opened.run.config.model.latent;
    let has_log_var = codes.iter().all(|c| c.log_var.is_some());
    let names = |prefix: &str| (0..latent).map(|j| format!(",{prefix}_{j}")).collect::<String>();
    let mut text =
        format!("index,label{}{}\n", names("mean"), if has_log_var { names("log_var") } else { String::new() });
    for (part, codes) in opened.parts.iter().zip(codes) {
        for i in 0..part.len() {
            let label = part.class(i).map_or(String::new(), csv_field);
            text += &format!("{},{label}", part.indices()[i]);
            let columns = [Some(&codes.mean), codes.log_var.as_ref()];
            for value in columns.into_iter().flatten().flat_map(|c| &c[i * latent..(i + 1) * latent]) {
                text += &format!(",{value}");
            }
            text.push('\n');
        }
    }
    text
}
