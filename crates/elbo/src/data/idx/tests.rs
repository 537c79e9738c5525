use super::*;
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use std::io::Write;

fn header(magic: u32, dims: &[u32]) -> Vec<u8> {
    let words = std::iter::once(magic).chain(dims.iter().copied());
    words.flat_map(u32::to_be_bytes).collect()
}

/// Twenty images of 7 x 5 whose pixels do not compress away.
fn images() -> Vec<u8> {
    let mut bytes = header(0x803, &[20, 7, 5]);
    let mut state = 1u32;
    bytes.extend((0..700).map(|_| {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        (state >> 24) as u8
    }));
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn parse_bytes(bytes: &[u8], kind: Kind) -> Result<Idx> {
    parse(Path::new("f"), bytes, bytes.len() as u64, kind)
}

/// The message of the error that reading `bytes` as images must give.
fn refusal(bytes: &[u8]) -> String {
    let error = parse_bytes(bytes, Kind::Images).err().expect("must be refused");
    assert!(matches!(error, Error::Data { .. }), "{error:?}");
    assert!(!error.help().is_empty());
    error.to_string()
}

#[test]
fn plain_and_gzip_read_alike_whatever_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, packed) = (folder.path().join("plain.gz"), folder.path().join("packed"));
    fs::write(&plain, images()).unwrap();
    fs::write(&packed, gzip(&images())).unwrap();
    let read = read_images(&plain).unwrap();
    assert_eq!((read.count, read.height, read.width), (20, 7, 5));
    assert_eq!(read.pixels, images()[16..]);
    assert_eq!(read.sha256, hex(&Sha256::digest(images())));
    assert_eq!(read, read_images(&packed).unwrap());
}

#[test]
fn labels_are_read() {
    let mut bytes = header(0x801, &[3]);
    bytes.extend([7, 0, 255]);
    let idx = parse_bytes(&gzip(&bytes), Kind::Labels).unwrap();
    assert_eq!(idx.bytes, [7, 0, 255]);
    assert_eq!(idx.sha256, hex(&Sha256::digest(&bytes)));
}

#[test]
fn truncated_gzip_is_refused_at_every_percent_and_in_the_trailer() {
    let packed = gzip(&images());
    let cuts = (1..100).map(|percent| packed.len() * percent / 100).chain(packed.len() - 8..packed.len());
    for cut in cuts {
        let message = refusal(&packed[..cut]);
        assert!(message.contains("gzip stream ends early at byte "), "cut at {cut}: {message}");
    }
    let message = refusal(&packed[..packed.len() - 1]);
    assert!(message.contains("expected 20 images of 7 x 5") && message.contains("got 20 images"), "{message}");
    let message = refusal(&packed[..packed.len() / 2]);
    assert!(message.contains("expected 20 images of 7 x 5"), "{message}");
}

#[test]
fn truncated_plain_file_is_refused_at_every_byte() {
    for cut in 0..images().len() {
        refusal(&images()[..cut]);
    }
    let message = refusal(&images()[..16 + 35 * 12 + 3]);
    assert!(message.contains("byte 439: expected 20 images of 7 x 5 (700 bytes)"), "{message}");
    assert!(message.contains("got 12 images"), "{message}");
}

#[test]
fn flipped_checksum_is_refused() {
    for from_end in 1..=8 {
        let mut packed = gzip(&images());
        let at = packed.len() - from_end;
        packed[at] ^= 1;
        let message = refusal(&packed);
        assert!(message.contains("damaged"), "{message}");
    }
}

#[test]
fn trailing_bytes_are_refused_and_further_members_are_part_of_the_content() {
    for garbage in [&b"x"[..], b"garbage that is no gzip member", &[0; 512]] {
        refusal(&[&gzip(&images()), garbage].concat());
    }
    let two_members = [gzip(&images()[..100]), gzip(&images()[100..])].concat();
    assert_eq!(parse_bytes(&two_members, Kind::Images).unwrap().bytes, images()[16..]);
    let glued = [gzip(&images()), gzip(&images())].concat();
    assert!(refusal(&glued).contains("more data than header declares"));
    assert!(refusal(&[images(), vec![0]].concat()).contains("more data than header declares"));
}

#[test]
fn other_formats_are_named() {
    let cases: [(&[u8], &str); 10] = [
        (b"", "an empty file"),
        (b"\0\0\x08", "a file of 3 bytes"),
        (b"\x89PNG\r\n\x1a\n........", "a PNG image"),
        (b"\xff\xd8\xff\xe0............", "a JPEG image"),
        (b"\0\0\x08\x01\0\0\0\x01\0\0\0\0\0\0\0\0", "IDX labels (magic 0x00000801)"),
        (b"\0\0\x0d\x03\0\0\0\x01\0\0\0\x01\0\0\0\x01", "IDX 32-bit floats in 3 dimensions (magic 0x00000d03)"),
        (b"\0\0\x08\x04\0\0\0\x01\0\0\0\x01\0\0\0\x01", "IDX unsigned bytes in 4 dimensions"),
        (b"<!DOCTYPE html><html>", "an HTML or XML page"),
        (b"\x93NUMPY\x01\x00v\x00{'descr'", "a NumPy array"),
        (b"\x07\x07\x07\x07\x07\x07\x07\x07", "an unknown format (first bytes 0x07070707)"),
    ];
    for (bytes, found) in cases {
        let message = refusal(bytes);
        assert!(message.contains("expected IDX images (magic 0x00000803), found "), "{message}");
        assert!(message.contains(found), "{message} lacks {found}");
        assert!(refusal(&gzip(bytes)).contains(found), "inside gzip");
    }
    let labels_wanted = parse_bytes(&images(), Kind::Labels).err().unwrap().to_string();
    assert!(labels_wanted.contains("expected IDX labels (magic 0x00000801), found IDX images"), "{labels_wanted}");
}

#[test]
fn lying_headers_are_refused_without_a_large_allocation() {
    let huge = u32::MAX;
    for dims in [[huge, huge, huge], [huge, 1 << 31, 4], [0, 28, 28], [1, 0, 28], [1, 28, 0]] {
        assert!(refusal(&header(0x803, &dims)).contains("header"));
    }
    for dims in [[huge, 28, 28], [huge, 1 << 20, 1], [21, 7, 5]] {
        let mut bytes = header(0x803, &dims);
        bytes.extend(&images()[16..]);
        assert!(refusal(&bytes).contains("the end of the file"), "{dims:?}");
        assert!(refusal(&gzip(&bytes)).contains("the end of the file"), "{dims:?} in gzip");
    }
}

#[test]
fn gzip_bomb_is_read_no_further_than_promised() {
    /// An endless stream that counts what was asked of it.
    struct Endless<'a>(&'a std::cell::Cell<u64>);
    impl Read for Endless<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer.fill(0);
            self.0.set(self.0.get() + buffer.len() as u64);
            Ok(buffer.len())
        }
    }
    let read = std::cell::Cell::new(0);
    let start = header(0x803, &[600, 28, 28]);
    let mut content = Content {
        path: Path::new("bomb"),
        kind: Kind::Images,
        gzip: true,
        size: 1000,
        reader: Box::new(start.as_slice().chain(Endless(&read))),
        sha256: Sha256::new(),
        position: 0,
    };
    let dims = content.header().unwrap();
    let error = content.body(dims, 600 * 784).unwrap_err();
    assert!(error.to_string().contains("more data than header declares"), "{error}");
    assert_eq!(read.get(), 600 * 784 + 1);

    let mut bomb = header(0x803, &[2, 28, 28]);
    bomb.resize(20_000_000, 0);
    assert!(refusal(&gzip(&bomb)).contains("more data than header declares"));
}

#[test]
fn only_regular_files_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    let error = read_images(folder.path()).unwrap_err();
    assert!(error.to_string().contains("expected a regular file, found a folder"), "{error}");
    assert!(matches!(read_images(folder.path().join("none")), Err(Error::Io { .. })));
}

#[cfg(unix)]
#[test]
fn devices_and_pipes_do_not_block() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.gz");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().is_ok_and(|status| status.success());
    let paths = [Path::new("/dev/zero"), &pipe];
    for path in &paths[..1 + usize::from(made)] {
        assert!(read_images(path).unwrap_err().to_string().contains("a pipe, socket or device"));
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(tail in prop::collection::vec(any::<u8>(), 0..200), start in 0usize..6) {
        let starts: [&[u8]; 6] = [
            b"",
            b"\0\0",
            b"\0\0\x08\x01",
            b"\0\0\x08\x03",
            b"\0\0\x08\x03\0\0\0\x01\0\0\0\x02\0\0\0",
            b"\x1f\x8b\x08\0\0\0\0\0\0\0",
        ];
        let bytes = [starts[start], &tail].concat();
        for kind in [Kind::Images, Kind::Labels] {
            if let Ok(idx) = parse_bytes(&bytes, kind) {
                prop_assert_eq!(idx.bytes.len(), idx.dims.iter().product::<usize>());
            }
            let _ = parse_bytes(&gzip(&bytes), kind);
        }
    }

    #[test]
    fn damaged_gzip_never_yields_other_pixels(at in 0usize..700, flip in 1u8..=255) {
        let mut packed = gzip(&images());
        let at = at % packed.len();
        packed[at] ^= flip;
        if let Ok(idx) = parse_bytes(&packed, Kind::Images) {
            prop_assert_eq!(idx.bytes, images()[16..].to_vec());
        }
    }
}
