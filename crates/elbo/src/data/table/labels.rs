//! Classes from a column of any text or numbers.

use std::collections::HashMap;

/// The class of each example, an index into the names; [`Labels::NONE`] where it is missing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Labels(pub Vec<u32>);

impl Labels {
    /// Stands for a missing class.
    pub const NONE: u32 = u32::MAX;

    pub fn get(&self, index: usize) -> Option<u32> {
        Some(self.0[index]).filter(|label| *label != Self::NONE)
    }
}

/// The classes met so far, numbered in the order they came.
#[derive(Debug, Default)]
pub(super) struct Classes {
    names: Vec<String>,
    numbers: HashMap<String, u32>,
}

/// More distinct labels than this are no classes but numbers or names of examples.
pub(super) const MAX_CLASSES: usize = 65_536;

impl Classes {
    /// The number of the class `name`, or nothing when there are too many.
    pub fn number(&mut self, name: &str) -> Option<u32> {
        if let Some(number) = self.numbers.get(name) {
            return Some(*number);
        }
        let number = self.names.len();
        if number == MAX_CLASSES {
            return None;
        }
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number as u32);
        Some(number as u32)
    }

    /// Renumbers `parts` so that the names are in order, by value when all are numbers, else by their letters; returns the names.
    pub fn sorted<'a>(self, parts: impl IntoIterator<Item = &'a mut Labels>) -> Vec<String> {
        let values: Option<Vec<f64>> = self.names.iter().map(|name| name.parse().ok()).collect();
        let mut order: Vec<usize> = (0..self.names.len()).collect();
        order.sort_by(|&a, &b| match &values {
            Some(values) => values[a].total_cmp(&values[b]).then_with(|| self.names[a].cmp(&self.names[b])),
            None => self.names[a].cmp(&self.names[b]),
        });
        self.reordered(order, parts)
    }

    /// Renumbers `parts` by the place of their names in `known`; names that are not in it come after it. Returns all names.
    pub fn in_order_of<'a>(
        mut self,
        known: Vec<String>,
        parts: impl IntoIterator<Item = &'a mut Labels>,
    ) -> Vec<String> {
        let mut order: Vec<usize> = Vec::new();
        for name in &known {
            let number = self.numbers.get(name).copied().unwrap_or_else(|| {
                self.names.push(name.clone());
                self.names.len() as u32 - 1
            });
            order.push(number as usize);
        }
        let mut rest: Vec<usize> = (0..self.names.len()).filter(|number| !order.contains(number)).collect();
        rest.sort_by(|&a, &b| self.names[a].cmp(&self.names[b]));
        order.extend(rest);
        self.reordered(order, parts)
    }

    /// Renumbers `parts` so that class `order[i]` becomes `i`; returns the names in that order.
    fn reordered<'a>(self, order: Vec<usize>, parts: impl IntoIterator<Item = &'a mut Labels>) -> Vec<String> {
        let mut renumbered = vec![0; order.len()];
        for (new, &old) in order.iter().enumerate() {
            renumbered[old] = new as u32;
        }
        for label in parts.into_iter().flat_map(|labels| &mut labels.0) {
            if *label != Labels::NONE {
                *label = renumbered[*label as usize];
            }
        }
        order.into_iter().map(|old| self.names[old].clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(names: &[&str]) -> (Vec<u32>, Vec<String>) {
        let mut classes = Classes::default();
        let mut labels = Labels(names.iter().map(|name| classes.number(name).unwrap()).collect());
        labels.0.push(Labels::NONE);
        let names = classes.sorted([&mut labels]);
        assert_eq!(labels.get(labels.0.len() - 1), None);
        labels.0.pop();
        (labels.0, names)
    }

    #[test]
    fn classes_are_in_the_order_of_numbers_or_letters() {
        assert_eq!(sorted(&["10", "9", "10", "-1"]), (vec![2, 1, 2, 0], ["-1", "9", "10"].map(str::to_owned).into()));
        assert_eq!(sorted(&["10", "9", "b"]), (vec![0, 1, 2], ["10", "9", "b"].map(str::to_owned).into()));
        assert_eq!(sorted(&[]), (vec![], vec![]));
    }

    #[test]
    fn a_given_order_keeps_classes_that_do_not_occur() {
        let mut classes = Classes::default();
        let mut labels = Labels(["dog", "?", "ant", "dog"].iter().map(|name| classes.number(name).unwrap()).collect());
        let known = ["ant", "bee", "dog"].map(str::to_owned).to_vec();
        assert_eq!(classes.in_order_of(known, [&mut labels]), ["ant", "bee", "dog", "?"]);
        assert_eq!(labels.0, [2, 3, 0, 2]);
    }

    #[test]
    fn names_of_examples_are_no_classes() {
        let mut classes = Classes::default();
        assert!((0..MAX_CLASSES).all(|i| classes.number(&i.to_string()).is_some()));
        assert_eq!(classes.number("one more"), None);
        assert_eq!(classes.number("5"), Some(5));
    }
}
