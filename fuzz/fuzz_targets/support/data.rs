//! Files in memory, opened as a user's would be.

mod folder;

use std::path::{Path, PathBuf};

use elbo::data::{self, DataConfig, Splits, Subset, Validation};

use self::folder::folder;

/// Writes a file.
pub fn put(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    std::fs::write(&path, bytes).expect("a file");
    path
}

/// Opens all of `path` as the training part, with no cache.
pub fn open(path: &Path, config: DataConfig) -> elbo::Result<Splits> {
    let source = path.display().to_string();
    let config = DataConfig { source, test: 0.0, validation: Validation::NONE, cache: false, ..config };
    data::open(&config, 0, &mut |_| {})
}

/// Opens a stranger's file: it is read, or refused with a message that ends and steers no terminal.
pub fn stranger(name: &str, bytes: &[u8], config: DataConfig) {
    match open(&put(name, bytes), config) {
        Ok(splits) => drop(values(&splits.train)),
        Err(error) => {
            let text = format!("{error}{}", error.help());
            assert!(text.len() < 4096 && !text.chars().any(char::is_control), "{text:?}");
        }
    }
}

/// All values of a part; its labels have names.
pub fn values(part: &Subset) -> Vec<f32> {
    let source = part.source();
    let width = source.shape().numel();
    let mut values = vec![0.0; width * part.len()];
    for (row, &index) in values.chunks_exact_mut(width).zip(part.indices()) {
        source.read_values(index as usize, row);
        let label = source.label(index as usize);
        assert!(label.is_none_or(|label| (label as usize) < source.label_names().len()));
    }
    values
}
