//! Any bytes as the manifest of a checkpoint: refused, or only the files it lists are read, and none from outside its folder.

#![no_main]

use std::fs;
use std::sync::LazyLock;

use elbo::run::atomic;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

/// A folder with one file beside the checkpoint, which may never be read.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("secret"), "secret").expect("a file");
    fs::create_dir(folder.path().join("last")).expect("a folder");
    fs::write(folder.path().join("last/state.json"), "{}").expect("a file");
    folder
});

fuzz_target!(|bytes: &[u8]| {
    let last = FOLDER.path().join("last");
    fs::write(last.join(atomic::MANIFEST), bytes).expect("a file");
    let Ok(checkpoint) = atomic::open_dir(&last) else { return };
    assert!(checkpoint.files.iter().all(|(name, bytes)| name == "state.json" && bytes == b"{}"));
    // What it says can be written again, to be read as the same.
    let files: Vec<(&str, &[u8])> = checkpoint.files.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])).collect();
    let copy = FOLDER.path().join("copy");
    atomic::write_dir(&copy, checkpoint.step, &files).expect("a checkpoint");
    let again = atomic::open_dir(&copy).expect("what was written is read");
    assert_eq!((again.step, &again.files), (checkpoint.step, &checkpoint.files));
});
