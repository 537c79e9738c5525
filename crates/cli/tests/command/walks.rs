//! `elbo traverse` and `interpolate`: strips and animations.

use std::fs;

use crate::support::{Folder, sha256};

/// Frames and hundredths of a second of each, read from the blocks of a GIF file.
fn gif(bytes: &[u8]) -> Vec<u16> {
    assert_eq!(&bytes[..6], b"GIF89a");
    // Graphic control extensions: 21 f9 04 flags delay delay transparent 00.
    let blocks = bytes.windows(8).filter(|w| w[..3] == [0x21, 0xf9, 4] && w[7] == 0);
    blocks.map(|block| u16::from_le_bytes([block[4], block[5]])).collect()
}

/// Frames, repetitions, and the milliseconds of the first frame, read from the chunks of an animated PNG.
fn apng(bytes: &[u8]) -> (u32, u32, u16) {
    let chunk = |name: &[u8]| bytes.windows(4).position(|w| w == name).unwrap() + 4;
    let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let control = chunk(b"acTL");
    let frame = chunk(b"fcTL");
    let delay = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    assert_eq!(delay(frame + 22), 1000, "thousandths of a second");
    (word(control), word(control + 4), delay(frame + 20))
}

#[test]
fn walks_become_animations() {
    let folder = Folder::new();
    folder.train("run", "").done();
    let read = |name: &str| fs::read(folder.path(name)).unwrap();

    let value = folder.run("traverse run --out t.gif --frames 6 --fps 20 --json").done().json();
    // There and back: 6 + 4, each for 5 hundredths.
    assert_eq!((&value["frames"], &value["n"], value["seconds"].as_f64()), (&10.into(), &18.into(), Some(0.5)));
    assert_eq!(gif(&read("t.gif")), [5; 10]);
    let carried: Vec<f64> = value["carried"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    assert!(carried.windows(2).all(|pair| pair[0] >= pair[1]) && carried[2] >= 0.0, "{value}");
    assert_eq!(value["dims"].as_array().unwrap().len(), 3);

    let line = "interpolate run --images 3,8,15 --path spherical --frames 5 --fps 12 --one-way --times 3 --out";
    let value = folder.run(&format!("{line} w.apng --json")).done().json();
    assert_eq!((&value["frames"], &value["path"]), (&9.into(), &"spherical".into()));
    assert_eq!(apng(&read("w.apng")), (9, 3, 83));
    folder.run(&format!("{line} again.apng")).done();
    assert_eq!(sha256(&read("w.apng")), sha256(&read("again.apng")), "equal arguments give equal bytes");

    folder.run("interpolate run --out pairs.gif --frames 3").done();
    assert_eq!(gif(&read("pairs.gif")), [7; 4], "15 frames a second in hundredths");
}

#[test]
fn a_strip_through_several_images_passes_each() {
    let folder = Folder::new();
    folder.train("run", "").done();
    folder.run("interpolate run --images 3,8,15 --steps 4 --out strip.npy").done();
    folder.run("interpolate run --from 8 --to 15 --steps 4 --out leg.npy").done();
    let (strip, leg) = (fs::read(folder.path("strip.npy")).unwrap(), fs::read(folder.path("leg.npy")).unwrap());
    // 7 images, of which the last four are the second leg; a header of 128 bytes.
    assert_eq!((strip.len() - 128, leg.len() - 128), (7 * 784 * 4, 4 * 784 * 4));
    let floats = |bytes: &[u8]| -> Vec<f32> {
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    let second = floats(&strip[128 + 3 * 784 * 4..]);
    assert!(second.iter().zip(floats(&leg[128..])).all(|(a, b)| (a - b).abs() < 1e-5));
    let value = folder.run("interpolate run --images 3,8,15 --steps 4 --out strip.png --json").done().json();
    assert_eq!(value["images"].to_string(), "[[3,8,15]]");
}

#[test]
fn latents_stand_in_the_order_asked_for() {
    let folder = Folder::new();
    folder.train("run", "").done();
    let dims = |line: &str| folder.run(&format!("traverse run --json {line}")).done().json()["dims"].to_string();
    assert_eq!(dims("--out a.png"), "[0,1,2]");
    assert_eq!(dims("--out a.gif --order index --dims 2,0 --frames 2"), "[2,0]");
    let by_kl = dims("--out a.png --order kl");
    assert_eq!(by_kl, dims("--out a.gif --frames 2"));
}

#[test]
fn walks_that_cannot_be_are_refused_with_a_cure() {
    let folder = Folder::new();
    folder.train("run", "").done();
    for (line, parts) in [
        ("traverse run --out t.png --fps 20", vec!["--fps", ".gif or .apng", "--out walk.gif"]),
        ("interpolate run --out t.npy --one-way", vec!["--one-way", ".gif or .apng"]),
        ("traverse run --out t.gif --fps 0", vec!["--fps", "1 to 50"]),
        ("interpolate run --out t.gif --images 3", vec!["--images", "at least two", "3,8,15"]),
        ("interpolate run --out t.gif --images 3,99", vec!["--images", "0 to 49", "99"]),
        ("interpolate run --out t.gif --images 3,8 --from 1 --to 2", vec!["cannot be used with"]),
        ("interpolate run --out t.png --images 1,2,3 --steps 1", vec!["--steps", "at least 2"]),
        ("sample run --out t.gif", vec!["--out", ".png or .npy"]),
    ] {
        folder.run(line).refused(2, &parts);
    }
}
