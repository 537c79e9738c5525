//! The loop of the vector engines over the lists of a few rows.
//!
//! As with convolutions, a macro writes it for each instruction set (see [`crate::conv`]), with
//! that module's vector operations.

/// `multiply` for one engine: the vector operations named below are the calling module's.
macro_rules! sums_over_lists {
    (features: $features:literal) => {
        /// See [`super::engine::Engine::multiply`].
        ///
        /// # Safety
        /// The processor has the features. `out` may be written at `columns` of each row, `pitch` apart.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn multiply(work: &super::work::Work<'_>, out: *mut f32, pitch: usize) {
            // SAFETY: the caller's promise.
            unsafe {
                match work.width / LANES {
                    1 => rows::<1>(work, out, pitch),
                    2 => rows::<2>(work, out, pitch),
                    3 => rows::<3>(work, out, pitch),
                    4 => rows::<4>(work, out, pitch),
                    5 => rows::<5>(work, out, pitch),
                    6 => rows::<6>(work, out, pitch),
                    7 => rows::<7>(work, out, pitch),
                    8 => rows::<8>(work, out, pitch),
                    _ => unreachable!("no panel is so wide"),
                }
            }
        }

        /// [`multiply`] for a panel of `VECTORS` vectors.
        ///
        /// # Safety
        /// As for [`multiply`].
        #[target_feature(enable = $features)]
        unsafe fn rows<const VECTORS: usize>(work: &super::work::Work<'_>, out: *mut f32, pitch: usize) {
            let last = Mask::without(VECTORS * LANES - work.columns);
            let terms = work.panel.len() / (VECTORS * LANES);
            for (line, row) in work.rows.clone().enumerate() {
                let entries = work.lists.entries(row);
                let (values, places) = (&work.lists.values[entries.clone()], &work.lists.places[entries]);
                let mut sums = [zero(); VECTORS];
                // SAFETY: rows of `out` are the caller's promise, masked lanes are not touched. Places are below the block's terms: `Lists` counted them so.
                unsafe {
                    let out = out.add(line * pitch);
                    if work.add {
                        for (v, sum) in sums.iter_mut().enumerate() {
                            let mask = if v + 1 == VECTORS { last } else { Mask::without(0) };
                            *sum = load_masked(out.add(v * LANES), mask);
                        }
                    }
                    for (value, place) in values.iter().zip(places) {
                        debug_assert!((*place as usize) < terms);
                        let panel = work.panel.as_ptr().add(*place as usize * (VECTORS * LANES));
                        let value = splat(*value);
                        for (v, sum) in sums.iter_mut().enumerate() {
                            *sum = multiply_add(value, load(panel.add(v * LANES)), *sum);
                        }
                    }
                    for (v, sum) in sums.iter().enumerate() {
                        let mask = if v + 1 == VECTORS { last } else { Mask::without(0) };
                        store_masked(out.add(v * LANES), mask, *sum);
                    }
                }
            }
        }
    };
}

pub(super) use sums_over_lists;
