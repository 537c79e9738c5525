//! Results that are written once, where zeroing them first would be one more pass over memory.

use std::mem::MaybeUninit;
use std::ops::Range;

use crate::pool::SharedMut;

/// `count` floats in memory that holds nothing yet.
///
/// # Safety
/// `write` writes all of them.
pub(crate) unsafe fn written(count: usize, write: impl FnOnce(&mut [MaybeUninit<f32>])) -> Vec<f32> {
    let mut values = Vec::with_capacity(count);
    write(&mut values.spare_capacity_mut()[..count]);
    // SAFETY: within the capacity, and written by the caller's promise.
    unsafe { values.set_len(count) };
    values
}

/// The gradient that comes into a layer's backward pass and the place where the one that leaves it goes: the same memory
/// where nobody else holds the first, or else memory that holds nothing yet.
pub(crate) struct Incoming<'a> {
    other: Option<&'a [f32]>,
    place: SharedMut<MaybeUninit<f32>>,
}

impl<'a> Incoming<'a> {
    /// `gradient` gives way to the one that leaves.
    pub(crate) fn in_place(gradient: &'a mut [f32]) -> Self {
        // SAFETY: of one layout; only numbers are ever written there.
        let place = unsafe { &mut *(std::ptr::from_mut(gradient) as *mut [MaybeUninit<f32>]) };
        Self { other: None, place: SharedMut::new(place) }
    }

    /// `gradient` stays, and the one that leaves goes to `place`, of its length.
    pub(crate) fn apart(gradient: &'a [f32], place: &'a mut [MaybeUninit<f32>]) -> Self {
        assert_eq!(gradient.len(), place.len(), "one gradient for another");
        Self { other: Some(gradient), place: SharedMut::new(place) }
    }

    /// Some of the values, one of the parts of a region.
    ///
    /// # Safety
    /// As for [`SharedMut::slice`], and nobody takes them twice.
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> Incoming<'_> {
        // SAFETY: the caller's promise.
        let place = unsafe { self.place.slice(range.clone()) };
        Incoming { other: self.other.map(|other| &other[range]), place: SharedMut::new(place) }
    }

    /// The incoming gradient in its new place, to be worked on.
    ///
    /// # Safety
    /// As for [`SharedMut::slice`].
    #[allow(clippy::mut_from_ref, reason = "as for `SharedMut::slice`")]
    pub(crate) unsafe fn take(&self, range: Range<usize>) -> &mut [f32] {
        // SAFETY: the caller's promise.
        let place = unsafe { self.place.slice(range.clone()) };
        if let Some(other) = self.other {
            place.write_copy_of_slice(&other[range]);
        }
        // SAFETY: written just now, or the incoming gradient itself.
        unsafe { place.assume_init_mut() }
    }

    /// What [`Self::take`] has brought to its place.
    ///
    /// # Safety
    /// As for [`SharedMut::slice`], and all of the range was taken before.
    #[allow(clippy::mut_from_ref, reason = "as for `SharedMut::slice`")]
    pub(crate) unsafe fn taken(&self, range: Range<usize>) -> &mut [f32] {
        // SAFETY: the caller's promise.
        unsafe { self.place.slice(range).assume_init_mut() }
    }
}
