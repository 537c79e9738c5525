//! AVX2: 6 rows by 16 columns, 12 accumulators of 8 lanes in 16 registers.

use super::register_tile::register_tile;
use crate::conv::avx2::{LANES, Mask, load, multiply_add, splat, store_masked, zero};

register_tile!("avx2,fma", most: 6, rest: [5, 4, 3, 2, 1]);
