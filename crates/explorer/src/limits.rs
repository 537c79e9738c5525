//! What a client may ask for, and how long it may take.

use std::time::Duration;

/// The bounds of the service. The defaults are meant for one user's machine; tests make them small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Bytes of all large bodies that are in memory at once; one that finds no room is refused.
    pub bodies_bytes: usize,
    /// Bytes of all large answers that clients have not taken yet; one that finds no room is not given.
    pub answers_bytes: usize,
    /// Codes or images in one request.
    pub batch: usize,
    /// Numbers in one answer.
    pub values: usize,
    /// Requests that wait for the model.
    pub queue: usize,
    /// Connections open at one time.
    pub connections: usize,
    /// To send a request's head; also how long an idle connection is kept.
    pub header_time: Duration,
    /// To send a request's body.
    pub body_time: Duration,
    /// Without the client taking a byte of the answer.
    pub write_time: Duration,
    /// From the request to its answer.
    pub deadline: Duration,
    /// To finish what is under way when the service is told to end.
    pub drain: Duration,
    /// Between two looks at the run folders.
    pub rescan: Duration,
    /// Models kept in memory.
    pub models: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 8 << 20,
            bodies_bytes: 128 << 20,
            answers_bytes: 512 << 20,
            batch: 1024,
            values: 16 << 20,
            queue: 512,
            // Below the usual 1,024 open files of a process.
            connections: 768,
            header_time: Duration::from_secs(10),
            body_time: Duration::from_secs(20),
            write_time: Duration::from_secs(30),
            deadline: Duration::from_secs(15),
            drain: Duration::from_secs(20),
            rescan: Duration::from_millis(700),
            models: 4,
        }
    }
}

/// Furthest from 0 a number of a code may be: far beyond any prior, and safe from overflow.
pub(crate) const MAX_CODE: f32 = 1e6;
/// Examples of the held-out split that are encoded for maps and orders.
pub(crate) const MAX_EXAMPLES: usize = 20_000;
/// Training examples, chosen at random, that scores and neighbours are taken from.
pub(crate) const GALLERY: usize = 10_000;
/// Bodies and answers of more bytes or numbers are read and written beside the threads that serve.
pub(crate) const LARGE: usize = 32 << 10;
/// Large requests that are read at once: one picture of the largest size is in memory for each.
pub(crate) const READING: usize = 1;
/// Large answers that are written at once.
pub(crate) const WRITING: usize = 2;
/// Priors that draw or rate symbols at once: one keeps up to a gibibyte of keys and values.
pub(crate) const DRAWING: usize = 1;
/// Longest name of a header or field repeated in a message.
pub(crate) const MAX_QUOTED: usize = 80;
/// Symbols of a run's held-out split that are counted for its codebooks.
pub(crate) const MAX_SYMBOLS: usize = 1 << 24;
/// Symbols of training examples that a prior rates for comparison.
pub(crate) const RATED_SYMBOLS: usize = 100_000;
/// Entries of a codebook that are shown: the most used.
pub(crate) const MOST_PATCHES: usize = 1024;
