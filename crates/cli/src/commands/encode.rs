//! `elbo encode`: codes as arrays and tables, and where they lie in the plane.

use elbo::data::Subset;
use elbo::evaluation::{self, Codes};
use elbo::projection::{Projection, TsneOptions, tsne};
use elbo::report::code_table::CodeTable;
use elbo::report::{Figure, latent_figures};
use elbo::run::atomic;
use npyz::WriterBuilder;
use serde_json::{Value, json};

use super::plot;
use super::source::{self, Opened, finite};
use crate::args::{Encode, ProjectName};
use crate::output::Context;

/// Codes that t-SNE lays out at most: its time grows faster than their number, to minutes at this one.
const MOST_TSNE: usize = 20_000;

pub fn encode(args: &Encode, device: &str, context: Context) -> anyhow::Result<()> {
    let extension = args.out.extension().and_then(|e| e.to_str()).unwrap_or_default();
    if !["npy", "csv", "parquet"].contains(&extension) {
        let (found, help) = (args.out.display().to_string(), "for example `--out z.npy`");
        return Err(elbo::Error::config("--out", "a name that ends in .npy or .csv or .parquet", found, help).into());
    }
    check(args)?;
    let opened = source::open(&args.source, device, "encode")?;
    let run = &opened.run;
    let encoded = |part| run.explained("encode", evaluation::encode(run.model.as_ref(), part, &run.device));
    let mut codes = encoded(&opened.parts[0])?;
    for part in &opened.parts[1..] {
        codes.append(encoded(part)?);
    }
    finite(run, "encode", &codes.mean)?;
    if args.project.is_some() || args.plot.is_some() {
        codes.check_spread(if args.project.is_some() { "--project" } else { "--plot" })?;
    }
    let plane = Plane::of(args, &codes, context)?;
    let columns = plane.as_ref().filter(|_| args.project.is_some()).map(|plane| plane.points.as_slice());

    let table = table(&opened, &codes, columns);
    let bytes = match extension {
        "npy" => array(&codes, columns)?,
        "csv" => table.csv().into_bytes(),
        _ => table.parquet()?,
    };
    atomic::write_file(&args.out, &bytes)?;
    if extension == "npy" && opened.name == "all" && !opened.parts.iter().all(is_gapless) {
        context.note("note   some examples were left out, so code i is not that of example i: a .csv or .parquet has the index of each");
    }
    if let (Some(path), Some(plane)) = (&args.plot, &plane) {
        let figure = plane.figure(&opened, &codes);
        plot::write(path, &figure)?;
    }

    let (n, latent, out) = (codes.n(), codes.latent, args.out.display().to_string());
    let mut value = json!({ "out": out, "split": opened.name, "n": n, "latent": latent });
    if let Some(plane) = &plane {
        value["projection"] = plane.facts.clone();
    }
    if let Some(plot) = &args.plot {
        value["plot"] = json!(plot.display().to_string());
    }
    context.result(value, || {
        let plane = plane.map_or(String::new(), |plane| format!("; {}", plane.says));
        format!("{n} codes of {latent} dimensions ({} split) in {out}{plane}", opened.name)
    })
}

/// Whether the examples of a part are all of their source, in its order.
fn is_gapless(part: &Subset) -> bool {
    (0..).zip(part.indices()).all(|(place, &index)| part.source().place(index as usize) == place)
}

fn check(args: &Encode) -> elbo::Result<()> {
    if args.perplexity.is_some() && args.project != Some(ProjectName::Tsne) {
        let help = "t-SNE alone has one: add `--project tsne`";
        return Err(elbo::Error::config("--perplexity", "a projection by t-SNE", "none", help));
    }
    args.plot.as_deref().map_or(Ok(()), |path| plot::check(path, "z.png"))
}

/// Codes in the plane.
struct Plane {
    points: Vec<[f32; 2]>,
    title: String,
    axes: [String; 2],
    facts: Value,
    says: String,
}

impl Plane {
    /// The plane asked for; none where neither columns nor a picture are.
    fn of(args: &Encode, codes: &Codes, context: Context) -> elbo::Result<Option<Self>> {
        match args.project {
            None if args.plot.is_none() => Ok(None),
            None if codes.latent == 2 => Ok(Some(Self::code(codes))),
            Some(ProjectName::Tsne) => Self::tsne(args, codes, context).map(Some),
            _ => Self::pca(codes).map(Some),
        }
    }

    /// Codes of two dimensions are a plane already.
    fn code(codes: &Codes) -> Self {
        Self {
            points: codes.mean.chunks_exact(2).map(|code| [code[0], code[1]]).collect(),
            title: "Codes".into(),
            axes: ["z0".into(), "z1".into()],
            facts: json!({ "method": "code" }),
            says: "drawn as they are".into(),
        }
    }

    fn pca(codes: &Codes) -> elbo::Result<Self> {
        let found = Projection::principal(&rows(codes), codes.latent, codes.latent.min(2))?;
        let along = found.project(&rows(codes));
        let points = along.chunks_exact(found.directions.len());
        let shares = [0, 1].map(|rank| found.shares.get(rank).copied().unwrap_or(0.0));
        let axis = |rank: usize| format!("principal component {} ({:.1} %)", rank + 1, 100.0 * shares[rank]);
        Ok(Self {
            // A code of one dimension lies on a line.
            points: points.map(|point| [point[0] as f32, point.get(1).map_or(0.0, |y| *y as f32)]).collect(),
            title: "Codes along their first principal components".into(),
            axes: [axis(0), axis(1)],
            facts: json!({ "method": "pca", "explained_variance": shares, "explained_variance_unit": "share of all" }),
            says: format!("{:.1} % of their variance lie in the plane", 100.0 * (shares[0] + shares[1])),
        })
    }

    fn tsne(args: &Encode, codes: &Codes, context: Context) -> elbo::Result<Self> {
        let n = codes.n();
        if n > MOST_TSNE {
            let help = "encode a smaller split with `--split`, or take `--project pca`";
            let expected = format!("at most {MOST_TSNE} codes for t-SNE");
            return Err(elbo::Error::config("--project", expected, n.to_string(), help));
        }
        let mut options = TsneOptions::for_rows(n);
        options.perplexity = args.perplexity.unwrap_or(options.perplexity);
        if n > 3000 {
            context.note(format!("laying out {n} codes by t-SNE; some seconds for every thousand"));
        }
        let map = tsne(&rows(codes), codes.latent, &options)?;
        Ok(Self {
            points: map.points,
            title: format!("Codes by t-SNE, perplexity {}", options.perplexity),
            axes: [String::new(), String::new()],
            facts: json!({ "method": "tsne", "perplexity": options.perplexity, "kl_divergence_nats": map.kl_divergence }),
            says: format!("t-SNE with a KL divergence of {:.3} nats", map.kl_divergence),
        })
    }

    fn figure(&self, opened: &Opened, codes: &Codes) -> Figure {
        let names = opened.first().source().label_names();
        // Without classes all points share a colour.
        let labels: Vec<usize> = codes.labels.iter().flatten().map(|label| *label as usize).collect();
        latent_figures::projected(&self.title, &self.axes, &self.points, &labels, names)
    }
}

fn rows(codes: &Codes) -> Vec<f64> {
    codes.mean.iter().map(|value| f64::from(*value)).collect()
}

/// A .npy file of float32 or float64 in C order.
pub fn npy<T: npyz::AutoSerialize + Copy>(shape: &[u64], values: &[T]) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(size_of_val(values) + 128);
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(shape).writer(&mut bytes).begin_nd()?;
    writer.extend(values.iter().copied())?;
    writer.finish()?;
    Ok(bytes)
}

/// Posterior means, and where they lie in the plane after them.
fn array(codes: &Codes, plane: Option<&[[f32; 2]]>) -> anyhow::Result<Vec<u8>> {
    let (n, latent) = (codes.n(), codes.latent);
    let Some(plane) = plane else {
        return npy(&[n as u64, latent as u64], &codes.mean);
    };
    let rows = codes.mean.chunks_exact(latent).zip(plane);
    let values: Vec<f32> = rows.flat_map(|(code, point)| code.iter().chain(point).copied()).collect();
    npy(&[n as u64, latent as u64 + 2], &values)
}

/// The column of identifiers and what it says of every example of `parts`, where they have one.
pub(super) fn identifiers(parts: &[elbo::data::Subset]) -> Option<(String, Vec<String>)> {
    let name = parts.iter().find_map(|part| part.source().identifier_column())?;
    let ids = parts.iter().flat_map(|part| (0..part.len()).map(|i| part.identifier(i).unwrap_or_default().to_owned()));
    Some((name.to_owned(), ids.collect()))
}

fn table<'a>(opened: &Opened, codes: &'a Codes, plane: Option<&'a [[f32; 2]]>) -> CodeTable<'a> {
    let examples = || opened.parts.iter().flat_map(|part| (0..part.len()).map(move |i| (part, i)));
    CodeTable {
        index: examples().map(|(part, i)| part.place(i)).collect(),
        path: examples().map(|(part, i)| part.path(i)).collect(),
        id: identifiers(&opened.parts),
        label: examples().map(|(part, i)| part.class(i).map(str::to_owned)).collect(),
        latent: codes.latent,
        mean: &codes.mean,
        log_var: codes.log_var.as_deref(),
        plane,
    }
}
