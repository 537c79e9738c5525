//! Which instructions multiply bfloat16 here.

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::sync::OnceLock;

/// Which instructions run. Both round and pack with AVX-512.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// `vdpbf16ps`: two products for each lane of a vector.
    Dot,
    /// `tdpbf16ps`: tiles of 16 x 32 by 32 x 16.
    Tiles,
    /// The same on numbers cut into three pieces: float32's precision, see [`super`].
    Pieces,
}

impl Engine {
    /// The faster of those this machine has; `ELBO_SIMD` lowers it: below `avx512` there is none, at `avx512` no tiles.
    pub(crate) fn best() -> Option<Self> {
        static BEST: OnceLock<Option<Engine>> = OnceLock::new();
        let best = *BEST.get_or_init(|| {
            let no_tiles = std::env::var("ELBO_SIMD").is_ok_and(|level| level == "avx512");
            if !has_dot() {
                None
            } else if !no_tiles && has_tiles() {
                Some(Self::Tiles)
            } else {
                Some(Self::Dot)
            }
        });
        best.filter(|_| crate::simd::level() == crate::simd::Level::Avx512)
    }

    /// The engine that rounds, where the calling thread's [`super::with_precision`] asks for it.
    pub(crate) fn rounding() -> Option<Self> {
        if super::precision() == super::Precision::Bf16 { Self::best() } else { None }
    }

    /// The engine that cuts numbers into pieces, where the calling thread asks for float32 and the processor has tiles.
    pub(crate) fn of_pieces() -> Option<Self> {
        let possible = super::precision() == super::Precision::Float32 && Self::best() == Some(Self::Tiles);
        possible.then_some(Self::Pieces)
    }

    /// Pieces of a number.
    pub(super) fn pieces(self) -> usize {
        match self {
            Self::Dot | Self::Tiles => 1,
            Self::Pieces => 3,
        }
    }

    /// All that this machine can run.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        match Self::best() {
            Some(Self::Dot) => vec![Self::Dot],
            Some(_) => vec![Self::Dot, Self::Tiles, Self::Pieces],
            None => Vec::new(),
        }
    }
}

fn has_dot() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512bf16")
}

/// Whether the processor has AMX with bfloat16 and the system lets this process use it.
fn has_tiles() -> bool {
    const BF16: u32 = 1 << 22;
    const TILE: u32 = 1 << 24;
    // Leaf 7 exists where AVX-512 does.
    let features = __cpuid_count(7, 0).edx;
    features & BF16 != 0 && features & TILE != 0 && ask_for_tiles()
}

/// Asks Linux for the 8 KiB of tile registers, which it saves for processes that asked alone. Once for all threads, those to come included.
#[cfg(target_os = "linux")]
fn ask_for_tiles() -> bool {
    const ARCH_PRCTL: isize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const TILE_DATA: usize = 18;
    let mut result = ARCH_PRCTL;
    // SAFETY: a system call with two numbers; it touches no memory of ours. The kernel overwrites rcx and r11.
    unsafe {
        asm!("syscall", inlateout("rax") result, in("rdi") ARCH_REQ_XCOMP_PERM, in("rsi") TILE_DATA, out("rcx") _, out("r11") _, options(nostack));
    }
    result == 0
}

/// Only Linux is known to hand tiles out on request.
#[cfg(not(target_os = "linux"))]
fn ask_for_tiles() -> bool {
    false
}
