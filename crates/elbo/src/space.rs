//! What the rows of a set are: their shape, and what their numbers mean. Data, codes and captions are rows of some space.
//!
//! | rows | space |
//! |---|---|
//! | grey or colour pictures | `[c, h, w]` [`Domain::Levels`] or [`Domain::Unit`] |
//! | a table's rows | `[1, 1, columns]` [`Domain::Real`] |
//! | a vector code | `[1, 1, latent]` [`Domain::Real`] |
//! | a map of symbols, text | `[1, h, w]` or `[1, 1, length]` [`Domain::Index`] |

use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

/// What the numbers of a row are, and so which likelihoods fit them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Domain {
    /// Bytes, 256 levels, which the model sees as `byte / 255`.
    #[default]
    Levels,
    /// Real numbers in [0, 1].
    Unit,
    /// Real numbers of any size: the columns of a table, standardised, or a code.
    Real,
    /// Whole numbers below `of`: entries of a codebook, tokens of a vocabulary.
    Index {
        /// How many symbols there are.
        of: usize,
    },
}

/// Shape and meaning of the rows of a set. A shape alone stands for bytes.
///
/// ```
/// use elbo::space::{Domain, Space};
///
/// assert_eq!(Space::from([1, 28, 28]).domain, Domain::Levels);
/// assert_eq!(Space::vector(20).numel(), 20);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Space {
    /// Channels, height and width.
    pub shape: [usize; 3],
    /// What the numbers are.
    pub domain: Domain,
}

impl Space {
    /// Rows of `shape` (channels, height, width) whose numbers mean `domain`.
    pub const fn new(shape: [usize; 3], domain: Domain) -> Self {
        Self { shape, domain }
    }

    /// Real vectors of `dims` numbers, as the code of a VAE: `[1, 1, dims]`.
    pub const fn vector(dims: usize) -> Self {
        Self { shape: [1, 1, dims], domain: Domain::Real }
    }

    /// Numbers of one row: `channels * height * width`.
    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }

    /// How many symbols there are, where rows are symbols.
    pub fn symbols(&self) -> Option<usize> {
        match self.domain {
            Domain::Index { of } => Some(of),
            Domain::Levels | Domain::Unit | Domain::Real => None,
        }
    }

    /// Several maps of symbols as one row, one map after another: the space itself where there is one.
    ///
    /// ```
    /// use elbo::space::{Domain, Space};
    ///
    /// let map = |side| Space::new([1, side, side], Domain::Index { of: 8 });
    /// assert_eq!(Space::joined(&[map(4)]), map(4));
    /// assert_eq!(Space::joined(&[map(2), map(4)]).shape, [1, 1, 20]);
    /// ```
    ///
    /// # Panics
    /// If there is no map.
    pub fn joined(maps: &[Self]) -> Self {
        match maps {
            [] => panic!("a map at least"),
            [one] => *one,
            [first, ..] => Self { shape: [1, 1, maps.iter().map(Self::numel).sum()], domain: first.domain },
        }
    }

    /// The length of the vector, where rows are real vectors without height and channels.
    pub fn as_vector(&self) -> Option<usize> {
        (self.domain == Domain::Real && self.shape[..2] == [1, 1]).then_some(self.shape[2])
    }
}

impl From<[usize; 3]> for Space {
    fn from(shape: [usize; 3]) -> Self {
        Self { shape, domain: Domain::default() }
    }
}

/// A batch of rows of some [`Space`], channel first. `[n, space.numel()]`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Rows {
    /// Levels (as `byte / 255`), numbers in [0, 1] or real numbers.
    Real(Tensor<2>),
    /// Whole numbers, each a symbol of [`Domain::Index`].
    Index(Tensor<2, Int>),
}

impl Rows {
    /// Rows of `width` symbols.
    ///
    /// # Panics
    /// If they are no whole number of rows.
    pub fn symbols(symbols: Vec<i32>, width: usize, device: &Device) -> Self {
        let n = symbols.len() / width;
        Self::Index(Tensor::from_data(TensorData::new(symbols, [n, width]), device))
    }

    /// Rows of symbols of several maps as those of [`Space::joined`].
    ///
    /// # Panics
    /// If they are real numbers, or of other lengths than each other.
    pub fn joined(maps: &[Self]) -> Tensor<2, Int> {
        Tensor::cat(maps.iter().map(Self::index).collect(), 1)
    }

    /// The same as numbers, row after row.
    ///
    /// # Panics
    /// As [`Rows::joined`].
    pub fn joined_symbols(maps: &[Self]) -> Vec<u16> {
        let symbols: Vec<i32> = Self::joined(maps).into_data_as::<i32>().try_into_vec().expect("whole numbers");
        symbols.into_iter().map(|symbol| symbol as u16).collect()
    }

    /// The way back: a part of each row for each map.
    ///
    /// # Panics
    /// If the rows are not as long as the maps together.
    pub fn parted(rows: &Tensor<2, Int>, maps: &[Space]) -> Vec<Self> {
        let mut first = 0;
        let part = |map: &Space| {
            let part = rows.clone().narrow(1, first, map.numel());
            first += map.numel();
            Self::Index(part)
        };
        let parts = maps.iter().map(part).collect();
        assert_eq!(first, rows.dims()[1], "rows as long as the maps together");
        parts
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Real(rows) => rows.dims()[0],
            Self::Index(rows) => rows.dims()[0],
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The numbers of real rows. `[n, numel]`.
    ///
    /// # Panics
    /// If the rows are symbols; a model is only given rows of its own space.
    pub fn real(&self) -> Tensor<2> {
        match self {
            Self::Real(rows) => rows.clone(),
            Self::Index(_) => panic!("real numbers were asked of rows of symbols"),
        }
    }

    /// The symbols. `[n, numel]`.
    ///
    /// # Panics
    /// If the rows are real numbers; a model is only given rows of its own space.
    pub fn index(&self) -> Tensor<2, Int> {
        match self {
            Self::Index(rows) => rows.clone(),
            Self::Real(_) => panic!("symbols were asked of rows of real numbers"),
        }
    }
}

impl From<Tensor<2>> for Rows {
    fn from(rows: Tensor<2>) -> Self {
        Self::Real(rows)
    }
}
