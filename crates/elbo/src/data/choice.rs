//! At most so many of many examples: chosen at random by a seed, of each class by its share.
//!
//! Sources are often ordered by class, so the first examples of one are no sample of it. Every "at most n" of the library comes from here.

use super::split::{Subset, permutation};

impl Subset {
    /// At most `count` images, chosen at random by `seed`, of each class by its share; in their order. All when there are no more.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use elbo::data::{Subset, digits};
    ///
    /// let all = Subset::all(Arc::new(digits::generate(0, 300)));
    /// let some = all.sampled(30, 7);
    /// assert_eq!((some.len(), some.indices() == all.sampled(30, 7).indices()), (30, true));
    /// assert_eq!(all.sampled(400, 7).len(), 300);
    /// ```
    pub fn sampled(&self, count: usize, seed: u64) -> Self {
        if count >= self.len() {
            return self.clone();
        }
        self.select(&self.sampled_places(count, seed))
    }

    /// The places in this subset of what [`Subset::sampled`] chooses.
    pub fn sampled_places(&self, count: usize, seed: u64) -> Vec<u32> {
        stratified(&labels(self), count, seed)
    }
}

/// The class of each image of a subset.
pub(crate) fn labels(part: &Subset) -> Vec<Option<u32>> {
    (0..part.len()).map(|place| part.label(place)).collect()
}

/// `count` places of `0..labels.len()`, in order: of each class its share, to the nearest whole number; which ones, the seed decides.
///
/// Shares are rounded by largest remainders, so that their sum is `count`. Examples without a class are a class of their own.
pub(crate) fn stratified(labels: &[Option<u32>], count: usize, seed: u64) -> Vec<u32> {
    let total = labels.len();
    if count >= total {
        return (0..total as u32).collect();
    }
    let mut quotas = quotas(labels, count);
    let mut chosen: Vec<u32> = permutation(total, seed, "choice")
        .into_iter()
        .filter(|&place| match quotas.get_mut(&labels[place as usize]) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        })
        .collect();
    chosen.sort_unstable();
    chosen
}

/// How many of each class, `count` in all.
fn quotas(labels: &[Option<u32>], count: usize) -> std::collections::BTreeMap<Option<u32>, usize> {
    let mut sizes = std::collections::BTreeMap::new();
    labels.iter().for_each(|label| *sizes.entry(*label).or_insert(0_u128) += 1);
    let (total, count) = (labels.len() as u128, count as u128);
    let mut remainders: Vec<(u128, Option<u32>)> =
        sizes.iter().map(|(label, size)| (size * count % total, *label)).collect();
    // The largest first; of equal ones the class that comes first.
    remainders.sort_by_key(|(remainder, label)| (std::cmp::Reverse(*remainder), *label));
    let whole: u128 = sizes.values().map(|size| size * count / total).sum();
    let mut quotas: std::collections::BTreeMap<_, _> =
        sizes.into_iter().map(|(label, size)| (label, (size * count / total) as usize)).collect();
    for (_, label) in remainders.into_iter().take((count - whole) as usize) {
        *quotas.entry(label).or_default() += 1;
    }
    quotas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_class_its_share_in_order_and_none_twice() {
        // Ordered by class, as folders are: 60 of one, 30 of another, 9 of a third, one without a class.
        let labels: Vec<Option<u32>> =
            [(60, Some(0)), (30, Some(1)), (9, Some(2)), (1, None)].iter().flat_map(|&(n, l)| vec![l; n]).collect();
        for (count, expected) in [(10, [6, 3, 1, 0]), (50, [30, 15, 4, 1]), (3, [2, 1, 0, 0]), (0, [0; 4])] {
            let chosen = stratified(&labels, count, 5);
            assert!(chosen.is_sorted() && chosen.windows(2).all(|pair| pair[0] < pair[1]));
            let of = |class| chosen.iter().filter(|&&place| labels[place as usize] == class).count();
            assert_eq!([Some(0), Some(1), Some(2), None].map(of), expected, "{count}");
        }
        assert_eq!(stratified(&labels, 200, 5).len(), 100);
    }

    #[test]
    fn the_seed_decides() {
        let labels = vec![None; 1000];
        assert_eq!(stratified(&labels, 20, 1), stratified(&labels, 20, 1));
        assert_ne!(stratified(&labels, 20, 1), stratified(&labels, 20, 2));
        let first: Vec<u32> = (0..20).collect();
        assert_ne!(stratified(&labels, 20, 1), first, "not the first ones");
        let mean = stratified(&labels, 200, 3).iter().map(|&place| f64::from(place)).sum::<f64>() / 200.0;
        // The mean of 200 of 0..1000 without replacement deviates by 18 (one sigma).
        assert!((mean - 499.5).abs() < 60.0, "{mean}");
    }
}
