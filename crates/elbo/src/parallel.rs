//! Results of independent parts, in their order.

use std::sync::OnceLock;

/// `[part(0), ..., part(count - 1)]`, computed on the threads of [`crate::device::set_threads`]. What a part computes with tensors runs on its own thread.
pub(crate) fn map<T: Send + Sync>(count: usize, part: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let slots: Vec<OnceLock<T>> = (0..count).map(|_| OnceLock::new()).collect();
    // One region takes 65,535 parts.
    for (block, slots) in slots.chunks(1 << 15).enumerate() {
        elbo_kernels::parallel(slots.len(), |i| {
            slots[i].get_or_init(|| part((block << 15) + i));
        });
    }
    slots.into_iter().map(|slot| slot.into_inner().expect("every part ran")).collect()
}
