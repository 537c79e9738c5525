//! AMX: eight registers of 16 rows of 64 bytes. Four hold the sums of a block of 32 by 32, two its left operand, two its right one.
//!
//! Written in assembly because the language has no stable intrinsics for tiles. Nothing lives in a tile register across the two functions here,
//! and compiled code never uses them.

use std::arch::asm;

use super::block::Block;

/// The shape of the registers: palette 1, all of 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_per_row: [u16; 16],
    rows: [u8; 16],
}

static CONFIGURATION: Configuration = {
    let (mut bytes_per_row, mut rows) = ([0; 16], [0; 16]);
    let mut tile = 0;
    while tile < 8 {
        (bytes_per_row[tile], rows[tile]) = (64, 16);
        tile += 1;
    }
    Configuration { palette: 1, start_row: 0, reserved: [0; 14], bytes_per_row, rows }
};

/// Runs `work` with the tile registers of this thread in their shape.
///
/// # Safety
/// The processor has AMX and the system granted it.
pub(super) unsafe fn configured<R>(work: impl FnOnce() -> R) -> R {
    /// Gives the registers back, after a panic as well: otherwise every switch of threads would save 8 KiB.
    struct Release;
    impl Drop for Release {
        fn drop(&mut self) {
            // SAFETY: made below only, after the configuration was loaded.
            unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) };
        }
    }
    // SAFETY: 64 bytes of a static.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const CONFIGURATION, options(nostack, readonly, preserves_flags)) };
    let _release = Release;
    work()
}

/// A block's loop: `steps` times the instructions of a step, whose tiles take `bytes` in each stripe.
macro_rules! sums_of_block {
    ($block:ident, $sums:ident, bytes: $bytes:literal, step: [$($instruction:literal),* $(,)?]) => {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            $($instruction,)*
            concat!("add {upper}, ", $bytes),
            concat!("add {lower}, ", $bytes),
            concat!("add {first}, ", $bytes),
            concat!("add {second}, ", $bytes),
            "dec {steps}",
            "jnz 2b",
            "tilestored [{sums} + {wide}*1], tmm0",
            "tilestored [{sums} + {wide}*1 + 64], tmm1",
            "tilestored [{sums} + {wide}*1 + 2048], tmm2",
            "tilestored [{sums} + {wide}*1 + 2112], tmm3",
            upper = inout(reg) $block.left[0] => _,
            lower = inout(reg) $block.left[1] => _,
            first = inout(reg) $block.right[0] => _,
            second = inout(reg) $block.right[1] => _,
            steps = inout(reg) $block.steps => _,
            line = in(reg) 64usize,
            wide = in(reg) 128usize,
            sums = in(reg) $sums.as_mut_ptr(),
            options(nostack),
        )
    };
}

/// See [`super::block::Block`]; operands of one piece.
///
/// # Safety
/// Inside [`configured`]; the block's pointers are valid as it says.
pub(super) unsafe fn block(block: Block, sums: &mut [[f32; 32]; 32]) {
    // SAFETY: a step reads a tile of 1 KiB from each of the four stripes. The four tiles of sums are 32 rows of 128 bytes.
    unsafe {
        sums_of_block!(block, sums, bytes: "1024", step: [
            "tileloadd tmm4, [{upper} + {line}*1]",
            "tileloadd tmm6, [{first} + {line}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{second} + {line}*1]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{lower} + {line}*1]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
        ]);
    }
}

/// The same of three pieces: `a1 b3 + a1 b2 + a2 b2 + a2 b1 + a3 b1 + a1 b1`, so that each product changes one operand. What is left out is
/// smaller than the last bit of `a b`.
///
/// # Safety
/// As for [`block`].
pub(super) unsafe fn block_of_pieces(block: Block, sums: &mut [[f32; 32]; 32]) {
    // SAFETY: as above with three tiles for each step and stripe.
    unsafe {
        sums_of_block!(block, sums, bytes: "3072", step: [
            // a1 b3
            "tileloadd tmm4, [{upper} + {line}*1]",
            "tileloadd tmm6, [{first} + {line}*1 + 2048]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{second} + {line}*1 + 2048]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{lower} + {line}*1]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            // a1 b2
            "tileloadd tmm6, [{first} + {line}*1 + 1024]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tileloadd tmm7, [{second} + {line}*1 + 1024]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm3, tmm5, tmm7",
            // a2 b2
            "tileloadd tmm4, [{upper} + {line}*1 + 1024]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{lower} + {line}*1 + 1024]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            // a2 b1
            "tileloadd tmm6, [{first} + {line}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tileloadd tmm7, [{second} + {line}*1]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm3, tmm5, tmm7",
            // a3 b1
            "tileloadd tmm4, [{upper} + {line}*1 + 2048]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{lower} + {line}*1 + 2048]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            // a1 b1
            "tileloadd tmm4, [{upper} + {line}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{lower} + {line}*1]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
        ]);
    }
}
