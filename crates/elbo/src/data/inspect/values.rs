//! The doctor's look at sets of real numbers: columns of a table, or images in [0, 1].

use rayon::prelude::*;

use super::{BLOCK, ColumnReport, DataFinding, hash, noun};
use crate::data::source::rounded;
use crate::data::split::Subset;

/// What a pass over the values of a part gathers.
pub(super) struct Values {
    /// Examples seen.
    count: usize,
    /// Of each place in an example.
    places: Vec<Place>,
    /// Of each example, in order.
    pub hashes: Vec<u64>,
}

#[derive(Clone, Copy)]
struct Place {
    lowest: f32,
    highest: f32,
    sum: f64,
    squares: f64,
}

impl Values {
    pub fn of(part: &Subset) -> Self {
        let width = part.source().shape().numel();
        let starts: Vec<usize> = (0..part.len()).step_by(BLOCK).collect();
        let blocks: Vec<Self> = starts
            .into_par_iter()
            .map(|start| {
                let mut block = Self::empty(width);
                let mut values = vec![0f32; width];
                for &index in &part.indices()[start..part.len().min(start + BLOCK)] {
                    part.source().read_values(index as usize, &mut values);
                    block.add(&values, part.source().exact_hash(index as usize));
                }
                block
            })
            .collect();
        // In the order of the blocks: sums of floats depend on it.
        blocks.into_iter().fold(Self::empty(width), Self::joined)
    }

    fn empty(width: usize) -> Self {
        let place = Place { lowest: f32::INFINITY, highest: f32::NEG_INFINITY, sum: 0.0, squares: 0.0 };
        Self { count: 0, places: vec![place; width], hashes: Vec::new() }
    }

    /// `exact` is the hash of the example as its file has it, where these values are rounded.
    fn add(&mut self, values: &[f32], exact: Option<u64>) {
        self.count += 1;
        for (place, &value) in self.places.iter_mut().zip(values) {
            place.lowest = place.lowest.min(value);
            place.highest = place.highest.max(value);
            place.sum += f64::from(value);
            place.squares += f64::from(value).powi(2);
        }
        self.hashes.push(exact.unwrap_or_else(|| hash(bytemuck::cast_slice(values))));
    }

    fn joined(mut self, other: Self) -> Self {
        self.count += other.count;
        for (place, more) in self.places.iter_mut().zip(&other.places) {
            place.lowest = place.lowest.min(more.lowest);
            place.highest = place.highest.max(more.highest);
            place.sum += more.sum;
            place.squares += more.squares;
        }
        self.hashes.extend(other.hashes);
        self
    }

    pub fn range(&self) -> [f64; 2] {
        let low = self.places.iter().fold(f32::INFINITY, |low, place| low.min(place.lowest));
        let high = self.places.iter().fold(f32::NEG_INFINITY, |high, place| high.max(place.highest));
        [low, high].map(f64::from)
    }

    /// Mean and standard deviation over all values.
    pub fn moments(&self) -> (f64, f64) {
        let count = (self.count * self.places.len()).max(1) as f64;
        let mean = self.places.iter().map(|place| place.sum).sum::<f64>() / count;
        let squares = self.places.iter().map(|place| place.squares).sum::<f64>() / count;
        (mean, (squares - mean * mean).max(0.0).sqrt())
    }

    /// The columns of a table in its own units; none of images.
    pub fn columns(&self, part: &Subset) -> Vec<ColumnReport> {
        let Some(columns) = part.source().columns() else { return Vec::new() };
        let count = self.count.max(1) as f64;
        let report = |(index, place): (usize, &Place)| {
            let (mean, std) = (columns.mean[index], columns.std[index]);
            // To the digits that a float32 tells: what is 0 in the file is not 3e-8 here.
            let original = |value: f64| rounded(value * std + mean, std * value.abs().max(1.0) * 2f64.powi(-23));
            let centre = place.sum / count;
            let deviation = (place.squares / count - centre * centre).max(0.0).sqrt();
            ColumnReport {
                name: columns.names[index].clone(),
                min: original(place.lowest.into()),
                max: original(place.highest.into()),
                mean: original(centre),
                std: if place.lowest == place.highest { 0.0 } else { deviation * std },
            }
        };
        self.places.iter().enumerate().map(report).collect()
    }

    pub fn findings(&self, part: &Subset) -> Vec<DataFinding> {
        let noun = noun(part);
        if self.count > 1 && self.hashes.iter().all(|hash| *hash == self.hashes[0]) {
            let help = format!("check how the set was made: there is nothing to learn from copies of one {noun}");
            return vec![DataFinding::warning(format!("all {} {noun}s are the same", self.count), help)];
        }
        let constant: Vec<usize> =
            (0..self.places.len()).filter(|&i| self.places[i].lowest == self.places[i].highest).collect();
        let constant = (self.count > 1 && !constant.is_empty()).then(|| match part.source().columns() {
            Some(columns) => {
                let names: Vec<_> = constant.iter().take(12).map(|&i| format!("`{}`", columns.names[i])).collect();
                let rest = if constant.len() > names.len() { ", ..." } else { "" };
                let message = format!(
                    "{} of {} columns hold one value in all train rows: {}{rest}",
                    constant.len(),
                    self.places.len(),
                    names.join(", ")
                );
                DataFinding::warning(message, "they carry nothing and become 0: name the others with `data.columns`")
            }
            None => {
                let message = format!(
                    "{} of {} values are the same in all {} images",
                    constant.len(),
                    self.places.len(),
                    self.count
                );
                DataFinding::note(message, "harmless, as in a border: the model learns them in its first steps")
            }
        });
        let extreme = self.extremes(part);
        [constant, extreme, super::copies(part, &self.hashes, noun)].into_iter().flatten().collect()
    }

    /// Columns with a value so far out that it decides the mean and deviation of its column.
    fn extremes(&self, part: &Subset) -> Option<DataFinding> {
        const FAR: f32 = 30.0;
        let columns = part.source().columns()?;
        let far = |place: &&Place| place.highest > FAR || place.lowest < -FAR;
        let found: Vec<_> = self.places.iter().zip(&columns.names).filter(|(place, _)| far(place)).collect();
        let (_, first) = found.first()?;
        let message = format!(
            "{} columns have values more than {FAR} standard deviations from their mean, `{first}` first",
            found.len()
        );
        Some(DataFinding::warning(message, "look for wrong values, or take logarithms: such values drown the others"))
    }
}
