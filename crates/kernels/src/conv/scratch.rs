//! Buffers that a thread keeps between calls: a training step asks for the same sizes again and again, and fresh memory costs page faults.

use std::cell::Cell;

/// One cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// Growing storage of floats that begins at a cache line.
#[derive(Default)]
pub(crate) struct Buffer(Vec<Line>);

impl Buffer {
    /// A buffer of `count` zeros.
    pub(super) fn zeros(count: usize) -> Self {
        Self(vec![Line([0.0; 16]); count.div_ceil(16)])
    }

    /// Floats it has room for.
    pub(crate) fn capacity(&self) -> usize {
        self.0.len() * 16
    }

    /// The first `count` floats, with whatever they hold.
    pub(crate) fn floats(&mut self, count: usize) -> &mut [f32] {
        let lines = count.div_ceil(16);
        if self.0.len() < lines {
            self.0.resize(lines, Line([0.0; 16]));
        }
        // SAFETY: `Line` is `repr(C)` around 16 floats without padding, `lines` of them are initialised and `count` fits them.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast::<f32>(), count) }
    }

    /// The first `count` floats for reading.
    pub(crate) fn as_floats(&self, count: usize) -> &[f32] {
        assert!(count <= self.0.len() * 16, "{count} floats of {}", self.0.len() * 16);
        // SAFETY: as in `floats`; the assertion bounds `count`.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast::<f32>(), count) }
    }
}

/// What one part of a pass needs.
#[derive(Default)]
pub(super) struct Scratch {
    /// Padded input of a tile.
    pub window: Buffer,
    /// Results on their way to their places.
    pub product: Buffer,
    pub spare: Spare,
}

/// What the engines need for themselves.
#[derive(Default)]
pub(super) struct Spare {
    /// Packed columns, or gathered rows.
    pub packed: Buffer,
    /// A dense product.
    pub dense: Buffer,
}

/// Runs `work` with this thread's scratch; a nested call gets a fresh one.
pub(super) fn with_scratch<R>(work: impl FnOnce(&mut Scratch) -> R) -> R {
    thread_local!(static SCRATCH: Cell<Scratch> = Cell::default());
    SCRATCH.with(|cell| {
        let mut scratch = cell.take();
        let result = work(&mut scratch);
        cell.set(scratch);
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_grow_and_are_aligned() {
        let mut buffer = Buffer::default();
        for count in [0, 1, 16, 17, 1000, 3] {
            let floats = buffer.floats(count);
            floats.fill(1.0);
            assert_eq!((floats.len(), floats.as_ptr() as usize % 64), (count, 0));
        }
        assert_eq!(buffer.as_floats(1000)[999], 1.0);
        assert!(Buffer::zeros(33).as_floats(33).iter().all(|v| *v == 0.0));
    }

    #[test]
    fn nested_calls_do_not_share() {
        with_scratch(|outer| {
            outer.window.floats(4).fill(1.0);
            with_scratch(|inner| inner.window.floats(4).fill(2.0));
            assert_eq!(outer.window.floats(4), [1.0; 4]);
        });
    }
}
