//! AVX-512: 8 rows by 32 columns, 16 accumulators of 16 lanes in 32 registers.

use super::register_tile::register_tile;
use crate::conv::avx512::{LANES, Mask, load, multiply_add, splat, store_masked, zero};

register_tile!("avx512f", most: 8, rest: [7, 6, 5, 4, 3, 2, 1]);
