//! `elbo score --by rate --heatmap FOLDER`: where in a picture the codes are that its prior finds unlikely.

use std::path::{Path, PathBuf};

use elbo::data::{ImageShape, Subset};
use elbo::generation::originals;
use elbo::models::Encode;
use elbo::report::heat_map::heated;
use elbo::report::image_grid::{self, GridLayout, ImageBatch};
use elbo::space::Space;
use elbo::tasks::{Run, Score};

use super::pictures::{scale, write_files};

/// The heat maps that were written.
pub struct HeatMaps {
    /// One file for each example.
    pub files: Vec<PathBuf>,
    /// Nats of a place at its hottest, the same in all of them.
    pub most: f32,
}

/// Refuses the flag where there is nothing to draw.
pub fn check(folder: &Path, by: &[Score], run: &Run) -> elbo::Result<()> {
    let refused = |expected: &str, help: &str| {
        Err(elbo::Error::config("--heatmap", expected, folder.display().to_string(), help))
    };
    if run.columns().is_some() {
        return refused("nothing: rows of a table are no pictures", "leave it away");
    }
    match by.contains(&Score::Rate) {
        true => Ok(()),
        false => refused("scores by rate, which every code has a part of", "add `--by rate`"),
    }
}

/// Draws each example beside the nats of its codes, a map for each level, hottest first, named by rank and index.
///
/// # Errors
/// Of the run for a prior that is gone, and of the files.
pub fn draw(run: &Run, examples: &[(Subset, u64)], folder: &Path) -> anyhow::Result<HeatMaps> {
    let discrete = run.explained("score", run.model.discrete_or_refuse())?;
    let levels = Encode::codes(discrete);
    let Some(prior) = run.stored_symbol_prior(None)? else {
        let help = "another process removed it: score again";
        return Err(elbo::Error::config("--heatmap", "a prior over the codes", "none any more", help).into());
    };
    let symbols = examples.iter().map(|(example, _)| run.symbols(example)).collect::<elbo::Result<Vec<_>>>()?;
    let nats = prior.surprise(&symbols.concat())?;
    let maps: Vec<Vec<Vec<f32>>> =
        nats.chunks_exact(Space::joined(levels).numel()).map(|row| by_level(row, levels)).collect();
    let most = maps.iter().flatten().flatten().copied().fold(0.0, f32::max);
    let files = examples.iter().zip(&maps).enumerate().map(|(rank, ((example, index), maps))| {
        Ok((format!("{:02}-{index}.png", rank + 1), png(run, example, maps, levels, most)?))
    });
    Ok(HeatMaps { files: write_files(folder, files)?, most })
}

/// Nats of each place of each level: those of all codes that a place has.
fn by_level(row: &[f32], levels: &[Space]) -> Vec<Vec<f32>> {
    let mut rest = row;
    let of_level = |level: &Space| {
        let (own, further) = rest.split_at(level.numel());
        rest = further;
        let places = level.shape[1] * level.shape[2];
        (0..places).map(|place| own.iter().skip(place).step_by(places).sum()).collect()
    };
    levels.iter().map(of_level).collect()
}

/// The example in its own colours, then under each level's heat.
fn png(run: &Run, example: &Subset, maps: &[Vec<f32>], levels: &[Space], most: f32) -> elbo::Result<Vec<u8>> {
    let picture = originals(example, &[0], &run.device).pixels;
    let ImageShape { channels, height, width } = run.shape;
    let channel = |colour: usize| if channels == 3 { colour } else { 0 };
    let plain = (0..3).flat_map(|colour| &picture[channel(colour) * height * width..][..height * width]);
    let mut pixels: Vec<f32> = plain.copied().collect();
    for (map, level) in maps.iter().zip(levels) {
        let [_, rows, columns] = level.shape;
        pixels.extend(heated(&picture, run.shape, map, [rows, columns], most));
    }
    let layout = GridLayout { columns: 1 + levels.len(), scale: scale(run.shape), ..Default::default() };
    image_grid::png(&image_grid::image_grid(ImageBatch::new(&pixels, 3, height, width)?, layout)?)
}

#[cfg(test)]
mod tests {
    use elbo::space::Domain;

    use super::*;

    #[test]
    fn the_nats_of_a_place_are_those_of_all_its_codes() {
        let level = |shape| Space::new(shape, Domain::Index { of: 8 });
        let row = [1.0, 2.0, 10.0, 20.0, 5.0, 6.0, 7.0];
        let maps = by_level(&row, &[level([2, 1, 2]), level([1, 1, 3])]);
        assert_eq!(maps, [vec![11.0, 22.0], vec![5.0, 6.0, 7.0]]);
    }
}
