//! What is known of a decoded set beside its pixels.

use serde::{Deserialize, Serialize};

use crate::data::source::ImageShape;

/// What is known of a decoded set but for its pixels and tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Summary {
    pub name: String,
    pub shape: ImageShape,
    pub count: usize,
    pub label_names: Vec<String>,
    pub fingerprint: String,
    pub notes: Vec<String>,
    /// Which of the pictures that were found are no good and left out, by their places among them, in order.
    pub left_out: Vec<u32>,
    /// Likely to spoil the result.
    pub warnings: Vec<String>,
    /// 16 bits a value, little-endian, instead of 8.
    pub deep: bool,
}

impl Summary {
    /// Bytes of one picture.
    pub fn picture_bytes(&self) -> usize {
        self.shape.numel() << usize::from(self.deep)
    }
}
