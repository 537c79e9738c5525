//! Pictures of codebooks: what each code stands for, and how many codes each place of the map uses.

use super::recorder::{Png, enlarged_grid_png, grid_png};
use super::run::Run;
use crate::data::Subset;
use crate::data::source::ImageShape;
use crate::error::{Error, Result};
use crate::evaluation::{CodeUse, code_patches, code_use};
use crate::generation::Pictures;
use crate::report::heat_map::heated;

/// Codes whose patches are shown at most.
const PATCHES: usize = 1024;
/// Codebooks whose patches are shown at most.
const BOOKS: usize = 8;
/// Patches in a row.
const ACROSS: usize = 32;
/// Smallest side of a patch, in pixels: they are enlarged to about it.
const PATCH: usize = 16;
/// Side of a place of the map in the picture of all places, in pixels.
const PLACE: usize = 16;

/// A picture of a codebook.
pub(super) struct CodePicture {
    /// Name of its file, without the end.
    pub name: String,
    pub png: Png,
    pub alt: &'static str,
    pub caption: String,
}

/// The pictures of the codebooks of a run over a split, as PNG by the names of their files: the patches of the used codes,
/// the most used first, and how many codes each place uses.
///
/// # Errors
/// [`Error::Unsupported`] for a run without codes from a codebook; [`Error::Config`] for one of a table.
///
/// # Panics
/// If the split is empty.
pub fn codebook_pictures(run: &Run, split: &Subset) -> Result<Vec<(String, Vec<u8>)>> {
    run.explained("codebook", run.model.discrete_or_refuse())?;
    if run.columns().is_some() {
        let help = "leave it away: the metrics of `--metrics codebook` say how they are used";
        return Err(Error::config("codebook", "a run of pictures", "rows of a table", help));
    }
    let found = code_use(run.model.as_ref(), split, &run.device)?;
    let pictures = pictures_of(&found, split, run)?.into_iter();
    Ok(pictures.map(|picture| (format!("{}.png", picture.name), picture.png.bytes)).collect())
}

/// The same with words, of codes that are counted.
pub(super) fn pictures_of(found: &CodeUse, split: &Subset, run: &Run) -> Result<Vec<CodePicture>> {
    let mut pictures = Vec::new();
    for (level, found) in found.by_level() {
        pictures.push(places(level, &found)?);
        for book in 0..found.books().min(BOOKS) {
            pictures.push(patches(level, &found, book, split, run)?);
        }
    }
    Ok(pictures)
}

/// The picture of each code of a codebook.
fn patches(level: Option<&str>, found: &CodeUse, book: usize, split: &Subset, run: &Run) -> Result<CodePicture> {
    let (patches, [channels, height, width]) = code_patches(found, split, book, PATCHES, &run.device);
    let shape = ImageShape { channels, height, width };
    let pixels = patches.iter().flat_map(|patch| patch.pixels.iter().copied()).collect();
    let name = file_of("codebook", level);
    Ok(CodePicture {
        name: if book == 0 { name } else { format!("{name}-{book}") },
        png: enlarged_grid_png(&Pictures { shape, pixels }, ACROSS, (PATCH / height.max(width)).max(1))?,
        alt: "the patch of each code",
        caption: format!(
            "Codebook {book}{}: the mean of the patches that use a code, the most used first.",
            words_of(level)
        ),
    })
}

/// How many codes each place of the map uses, a map for each codebook side by side.
fn places(level: Option<&str>, found: &CodeUse) -> Result<CodePicture> {
    let [books, rows, columns] = found.space.shape;
    let perplexity = found.perplexity_at_places();
    let (least, most) = perplexity.iter().fold((f64::MAX, 0f64), |(a, b), &value| (a.min(value), b.max(value)));
    let values: Vec<f32> = perplexity.into_iter().map(|value| value as f32 - 1.0).collect();
    let shape = ImageShape { channels: 1, height: rows * PLACE, width: columns * PLACE };
    let black = vec![0.0; shape.numel()];
    let maps = values.chunks_exact(rows * columns).take(BOOKS);
    let pixels = maps.flat_map(|map| heated(&black, shape, map, [rows, columns], most as f32 - 1.0)).collect();
    Ok(CodePicture {
        name: file_of("code-places", level),
        png: grid_png(&Pictures { shape: ImageShape { channels: 3, ..shape }, pixels }, books.min(BOOKS))?,
        alt: "the perplexity of the codes at each place of the map",
        caption: format!(
            "How many codes each place{} uses, the perplexity there alone: {least:.1} where it is darkest, {most:.1} \
             where it is brightest.",
            words_of(level)
        ),
    })
}

/// Name of the picture of a level.
fn file_of(picture: &str, level: Option<&str>) -> String {
    level.map_or_else(|| picture.to_owned(), |level| format!("{picture}-{level}"))
}

fn words_of(level: Option<&str>) -> String {
    level.map_or(String::new(), |level| format!(" of the {level} level"))
}
