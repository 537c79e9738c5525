//! Buffers that outlive the call that asked for them: a training step asks for the same sizes again and again, and zeroing or mapping a
//! megabyte takes as long as a tenth of a product.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

use crate::conv::scratch::Buffer;

/// The most buffers that a thread keeps.
const MOST: usize = 8;

thread_local!(static SPARE: RefCell<Vec<Buffer>> = const { RefCell::new(Vec::new()) });

/// Floats that begin at a cache line, with whatever they hold; their memory goes back to the thread that drops them.
pub(crate) struct Kept {
    buffer: Buffer,
    count: usize,
}

impl Kept {
    /// `count` floats.
    pub(crate) fn floats(count: usize) -> Self {
        let mut buffer = SPARE.with(|spare| take(&mut spare.borrow_mut(), count));
        buffer.floats(count);
        Self { buffer, count }
    }
}

/// The smallest buffer that is large enough, or else the largest, or a new one.
fn take(spare: &mut Vec<Buffer>, count: usize) -> Buffer {
    let fits = |buffer: &Buffer| (buffer.capacity() < count, buffer.capacity().abs_diff(count));
    let best = (0..spare.len()).min_by_key(|&i| fits(&spare[i]));
    best.map_or_else(Buffer::default, |i| spare.swap_remove(i))
}

impl Drop for Kept {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        // A thread that is ending has no store any more: the memory is freed then.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < MOST {
                spare.push(buffer);
            }
        });
    }
}

impl Deref for Kept {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        self.buffer.as_floats(self.count)
    }
}

impl DerefMut for Kept {
    fn deref_mut(&mut self) -> &mut [f32] {
        self.buffer.floats(self.count)
    }
}

/// The bits of floats.
pub(crate) fn words(floats: &[f32]) -> &[u32] {
    // SAFETY: of one size and alignment, and every pattern of bits is a number of either type.
    unsafe { std::slice::from_raw_parts(floats.as_ptr().cast(), floats.len()) }
}

/// As [`words`], for writing.
pub(crate) fn words_mut(floats: &mut [f32]) -> &mut [u32] {
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), floats.len()) }
}

/// The halves of words, in the order of memory.
pub(crate) fn halves(floats: &[f32]) -> &[u16] {
    // SAFETY: two halves to a float, of less alignment, and every pattern of bits is a number of either type.
    unsafe { std::slice::from_raw_parts(floats.as_ptr().cast(), 2 * floats.len()) }
}

/// As [`halves`], for writing.
pub(crate) fn halves_mut(floats: &mut [f32]) -> &mut [u16] {
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), 2 * floats.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_and_is_never_shared() {
        let mut first = Kept::floats(1000);
        first.fill(1.0);
        let place = first.as_ptr();
        let mut second = Kept::floats(1000);
        second.fill(2.0);
        assert_eq!((first[999], second[999], place as usize % 64), (1.0, 2.0, 0));
        drop(first);
        assert_eq!(Kept::floats(900).as_ptr(), place);
        assert_eq!(Kept::floats(5).len(), 5);
    }
}
