//! Encoded pictures (PNG, JPEG, ...) from a folder, an archive or a table, on their way to one shape.

use crate::error::Result;

/// One encoded picture of a [`Collection`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path inside the collection, with `/` between parts: what messages name, and what the order goes by.
    pub name: String,
    /// Name of its class, where there is one.
    pub label: Option<String>,
    /// Its part, where the collection says: `train`, `validation` or `test`.
    pub part: Option<String>,
}

/// Where encoded pictures come from: a folder, an archive, a Parquet file.
pub trait Collection: Send + Sync {
    /// The pictures, in the order of their index.
    fn entries(&self) -> &[Entry];

    /// The encoded bytes of picture `index`.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) or [`Error::Io`](crate::Error::Io) naming the picture.
    fn bytes(&self, index: usize) -> Result<Vec<u8>>;
}
