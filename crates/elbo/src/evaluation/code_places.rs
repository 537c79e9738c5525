//! Where in the map codes come, in which examples, and of which classes: what a page shows of a single entry.

use super::codebook::{CodeUse, entropy};

/// An example that uses an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CodeExample {
    /// Its place among the examples whose codes were counted.
    pub example: usize,
    /// Places of the map that have the entry, row after row.
    pub places: Vec<usize>,
}

impl CodeUse {
    /// The codes of a codebook, a slice of places for each example.
    pub(super) fn maps(&self, book: usize) -> impl Iterator<Item = &[u16]> {
        let places = self.places();
        self.symbols.chunks_exact(self.space.numel()).map(move |row| &row[book * places..][..places])
    }

    /// How often an entry comes at each place of the map. `[height * width]`.
    pub fn counts_by_place(&self, book: usize, code: usize) -> Vec<u64> {
        let mut counts = vec![0; self.places()];
        for map in self.maps(book) {
            counts.iter_mut().zip(map).for_each(|(count, &found)| *count += u64::from(usize::from(found) == code));
        }
        counts
    }

    /// The examples that use an entry most, `most` at most, equal ones in their order.
    pub fn examples_with(&self, book: usize, code: usize, most: usize) -> Vec<CodeExample> {
        let places_of = |map: &[u16]| -> Vec<usize> {
            map.iter().enumerate().filter(|(_, found)| usize::from(**found) == code).map(|(place, _)| place).collect()
        };
        let found = self.maps(book).map(places_of).enumerate();
        let found = found.map(|(example, places)| CodeExample { example, places });
        let mut found: Vec<CodeExample> = found.filter(|found| !found.places.is_empty()).collect();
        found.sort_by_key(|found| std::cmp::Reverse(found.places.len()));
        found.truncate(most);
        found
    }

    /// How often an entry comes in examples of each class; none without classes. `[classes]`.
    pub fn counts_by_class(&self, book: usize, code: usize) -> Option<Vec<u64>> {
        let classes = self.classes.as_ref()?;
        let mut counts = vec![0; classes.iter().max().map_or(0, |&class| class as usize + 1)];
        for (map, &class) in self.maps(book).zip(classes) {
            counts[class as usize] += map.iter().filter(|&&found| usize::from(found) == code).count() as u64;
        }
        Some(counts)
    }

    /// `exp` of the entropy of the entries at each value of a row alone: how many codes that place really uses.
    /// `[numel]`, channel first.
    pub fn perplexity_at_places(&self) -> Vec<f64> {
        (0..self.space.numel()).map(|value| entropy(&self.counts_at(value)).exp()).collect()
    }

    /// The entry that comes most often at each value of a row, the first of equals: a stand-in for what is not known
    /// yet. `[numel]`, channel first.
    pub fn usual(&self) -> Vec<u16> {
        let most = |value: usize| {
            let counts = self.counts_at(value);
            let first_of_equals = |&code: &usize| (counts[code], std::cmp::Reverse(code));
            (0..counts.len()).max_by_key(first_of_equals).unwrap_or(0) as u16
        };
        (0..self.space.numel()).map(most).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::CodeLevel;
    use crate::space::{Domain, Space};

    /// Three examples of two codebooks over a map of one row and two columns.
    fn three() -> CodeUse {
        let space = Space { shape: [2, 1, 2], domain: Domain::Index { of: 4 } };
        let symbols = vec![1, 1, 0, 3, 1, 2, 0, 3, 2, 1, 0, 0];
        let levels = vec![CodeLevel { space, error: 0.1, variance: 1.0 }];
        CodeUse { space, symbols, distortion: vec![0.0; 3], levels, penalty: 0.0, classes: Some(vec![0, 0, 2]) }
    }

    #[test]
    fn an_entry_is_found_where_it_is() {
        let found = three();
        assert_eq!((found.counts_by_place(0, 1), found.counts_by_place(1, 3)), (vec![2, 2], vec![0, 2]));
        let examples = found.examples_with(0, 1, 2);
        assert_eq!(examples[0], CodeExample { example: 0, places: vec![0, 1] }, "the one that uses it most");
        assert_eq!(examples[1], CodeExample { example: 1, places: vec![0] });
        assert!(found.examples_with(1, 1, 9).is_empty());
        assert_eq!(found.counts_by_class(0, 1), Some(vec![3, 0, 1]));
        assert_eq!(CodeUse { classes: None, ..three() }.counts_by_class(0, 1), None);
    }

    #[test]
    fn places_are_told_apart() {
        let found = three();
        assert_eq!(found.usual(), [1, 1, 0, 3]);
        let perplexity = found.perplexity_at_places();
        assert!((perplexity[2] - 1.0).abs() < 1e-12, "always the same code");
        let two_of_three = entropy(&[2, 1]).exp();
        assert!((perplexity[0] - two_of_three).abs() < 1e-12 && (perplexity[3] - two_of_three).abs() < 1e-12);
        // The mean of them is the metric.
        assert!((perplexity.iter().sum::<f64>() / 4.0 - found.perplexity_by_place()).abs() < 1e-12);
    }
}
