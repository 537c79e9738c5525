//! From the order of values in a file to that in memory: Fortran order and interleaved channels.

/// Where each logical index lies in the file, in elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// Sizes in the order wanted, the first changing slowest.
    pub dims: Vec<usize>,
    /// Steps between neighbours along each of them.
    pub strides: Vec<usize>,
}

impl Layout {
    /// The layout of an array of `shape`, in C or Fortran order.
    pub fn new(shape: &[usize], fortran: bool) -> Self {
        let mut strides = vec![1; shape.len()];
        let mut step = 1;
        let mut set = |axis: usize| {
            strides[axis] = step;
            step *= shape[axis];
        };
        if fortran {
            (0..shape.len()).for_each(&mut set)
        } else {
            (0..shape.len()).rev().for_each(&mut set)
        }
        Self { dims: shape.to_vec(), strides }
    }

    /// With the last axis moved to place 1: `[n, h, w, c]` to `[n, c, h, w]`.
    pub fn channels_first(mut self) -> Self {
        for list in [&mut self.dims, &mut self.strides] {
            list[1..].rotate_right(1);
        }
        self
    }

    /// Whether the file's order is the wanted one. Axes of size 1 have no neighbours, so their steps do not matter.
    pub fn is_contiguous(&self) -> bool {
        let wanted = Self::new(&self.dims, false);
        let same = |axis: usize| self.dims[axis] == 1 || self.strides[axis] == wanted.strides[axis];
        (0..self.dims.len()).all(same)
    }

    /// The values in the wanted order.
    pub fn arrange<T: Copy>(&self, values: Vec<T>) -> Vec<T> {
        if self.is_contiguous() {
            return values;
        }
        let mut index = vec![0usize; self.dims.len()];
        let mut place = 0;
        let mut arranged = Vec::with_capacity(values.len());
        while arranged.len() < values.len() {
            arranged.push(values[place]);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                place += self.strides[axis];
                if index[axis] < self.dims[axis] {
                    break;
                }
                place -= self.strides[axis] * self.dims[axis];
                index[axis] = 0;
            }
        }
        arranged
    }
}

/// The index of the `place`-th value of an array as it lies in the file, for messages: `[3, 0, 5]`.
pub(super) fn index_of(place: usize, shape: &[usize], fortran: bool) -> String {
    let mut rest = place;
    let mut index = vec![0; shape.len()];
    let mut take = |axis: usize| {
        index[axis] = rest % shape[axis];
        rest /= shape[axis];
    };
    if fortran {
        (0..shape.len()).for_each(&mut take)
    } else {
        (0..shape.len()).rev().for_each(&mut take)
    }
    format!("{index:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fortran_order_is_turned_into_c_order() {
        // [[0, 1, 2], [3, 4, 5]] column after column.
        let layout = Layout::new(&[2, 3], true);
        assert!(!layout.is_contiguous());
        assert_eq!(layout.arrange(vec![0, 3, 1, 4, 2, 5]), [0, 1, 2, 3, 4, 5]);
        assert_eq!(Layout::new(&[2, 3], false).arrange(vec![0, 1, 2, 3, 4, 5]), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn channels_come_first_from_either_order() {
        // Value 100 n + 10 (h w) + c at [n, h, w, c], shape [2, 2, 2, 3].
        let at = |n: usize, hw: usize, c: usize| 100 * n + 10 * hw + c;
        let wanted: Vec<usize> =
            (0..2).flat_map(|n| (0..3).flat_map(move |c| (0..4).map(move |hw| at(n, hw, c)))).collect();
        let c_order: Vec<usize> =
            (0..2).flat_map(|n| (0..4).flat_map(move |hw| (0..3).map(move |c| at(n, hw, c)))).collect();
        let shape = [2, 2, 2, 3];
        assert_eq!(Layout::new(&shape, false).channels_first().arrange(c_order), wanted);
        let mut fortran = Vec::new();
        for c in 0..3 {
            for w in 0..2 {
                for h in 0..2 {
                    for n in 0..2 {
                        fortran.push(at(n, 2 * h + w, c));
                    }
                }
            }
        }
        assert_eq!(Layout::new(&shape, true).channels_first().arrange(fortran), wanted);
        assert!(Layout::new(&[5, 4, 4, 1], false).channels_first().is_contiguous());
    }

    #[test]
    fn a_place_in_the_file_is_named_by_its_index() {
        assert_eq!(index_of(4, &[2, 3], false), "[1, 1]");
        assert_eq!(index_of(4, &[2, 3], true), "[0, 2]");
        assert_eq!(index_of(23, &[2, 3, 4], false), "[1, 2, 3]");
    }
}
