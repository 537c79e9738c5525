//! The cache of decoded pixels: whatever becomes of its file, a set is what its pictures are.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use elbo::data::{self, DataConfig, Validation};
use libfuzzer_sys::fuzz_target;

#[path = "support/folder.rs"]
mod support;

/// Its folder, the file of the cache, what is in that, and the pixels.
struct Cached {
    config: DataConfig,
    file: PathBuf,
    whole: Vec<u8>,
    pixels: Vec<u8>,
}

fn cached() -> &'static Cached {
    static CACHED: OnceLock<Cached> = OnceLock::new();
    CACHED.get_or_init(|| {
        let (folder, home) = (support::folder().join("set"), support::folder().join("home"));
        fs::create_dir_all(&folder).expect("a folder");
        // SAFETY: this is the first call of the target, on its only thread.
        unsafe { std::env::set_var("ELBO_HOME", &home) };
        for place in 0..4u8 {
            fs::write(folder.join(format!("{place}.pgm")), [b"P5 4 4 255\n", &[place * 40; 16][..]].concat())
                .expect("a file");
        }
        let config = DataConfig {
            source: folder.display().to_string(),
            test: 0.0,
            validation: Validation::NONE,
            ..DataConfig::default()
        };
        let splits = data::open(&config, 0, &mut |_| {}).expect("a good set");
        let files = fs::read_dir(home.join("pictures")).expect("the cache").map(|entry| entry.expect("a name").path());
        let file =
            files.into_iter().find(|path| path.extension().is_some_and(|end| end == "pixels")).expect("its file");
        let pixels = splits.train.source().bytes().expect("bytes").to_vec();
        Cached { config, whole: fs::read(&file).expect("its bytes"), file, pixels }
    })
}

fuzz_target!(|bytes: &[u8]| {
    let Cached { config, file, whole, pixels } = cached();
    let mut changed = whole.clone();
    match bytes {
        [0, rest @ ..] => changed = rest.to_vec(),
        [1, low, high, ..] => changed.truncate(usize::from(u16::from_le_bytes([*low, *high]))),
        edits => {
            for edit in edits.chunks_exact(3) {
                let place = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % changed.len();
                changed[place] ^= edit[2];
            }
        }
    }
    // A new file, since the old one may be mapped.
    let _ = fs::remove_file(file);
    fs::write(file, &changed).expect("a file");
    let splits = data::open(config, 0, &mut |_| {}).expect("a good set");
    assert_eq!(splits.train.source().bytes(), Some(&pixels[..]));
});
