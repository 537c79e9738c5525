//! Labels and identifiers that are Python objects, as NumPy writes them.

use zip::CompressionMethod;

use super::arrays::{framed, npy, npz};
use super::*;
use crate::data::table::objects::texts;

/// `["cat", "dög", None, "cat"]`, protocol 4.
const TEXTS: &[u8] = b"\
    \x80\x04\x95\x9a\x00\x00\x00\x00\x00\x00\x00\x8c\x16numpy._core.multiarray\x94\x8c\x0c_reconstru\
    ct\x94\x93\x94\x8c\x05numpy\x94\x8c\x07ndarray\x94\x93\x94K\x00\x85\x94C\x01b\x94\x87\x94R\x94(K\
    \x01K\x04\x85\x94h\x03\x8c\x05dtype\x94\x93\x94\x8c\x02O8\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01\
    |\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?t\x94b\x89]\x94(\x8c\x03cat\x94\x8c\x04d\xc3\xb6g\
    \x94Nh\x13et\x94b.";
/// The same, protocol 2.
const OLD_TEXTS: &[u8] = b"\
    \x80\x02cnumpy._core.multiarray\x0a_reconstruct\x0aq\x00cnumpy\x0andarray\x0aq\x01K\x00\x85q\x02\
    c_codecs\x0aencode\x0aq\x03X\x01\x00\x00\x00bq\x04X\x06\x00\x00\x00latin1q\x05\x86q\x06Rq\x07\
    \x87q\x08Rq\x09(K\x01K\x04\x85q\x0acnumpy\x0adtype\x0aq\x0bX\x02\x00\x00\x00O8q\x0c\x89\x88\x87q\
    \x0dRq\x0e(K\x03X\x01\x00\x00\x00|q\x0fNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tq\x10b\x89]q\x11(\
    X\x03\x00\x00\x00catq\x12X\x04\x00\x00\x00d\xc3\xb6gq\x13Nh\x12etq\x14b.";
/// `[10, 9, np.int64(10), np.str_("9")]`, protocol 4.
const SCALARS: &[u8] = b"\
    \x80\x04\x95\xfb\x00\x00\x00\x00\x00\x00\x00\x8c\x16numpy._core.multiarray\x94\x8c\x0c_reconstru\
    ct\x94\x93\x94\x8c\x05numpy\x94\x8c\x07ndarray\x94\x93\x94K\x00\x85\x94C\x01b\x94\x87\x94R\x94(K\
    \x01K\x04\x85\x94h\x03\x8c\x05dtype\x94\x93\x94\x8c\x02O8\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01\
    |\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?t\x94b\x89]\x94(K\x0aK\x09h\x00\x8c\x06scalar\x94\
    \x93\x94h\x0c\x8c\x02i8\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01<\x94NNNJ\xff\xff\xff\xffJ\xff\xff\
    \xff\xffK\x00t\x94bC\x08\x0a\x00\x00\x00\x00\x00\x00\x00\x94\x86\x94R\x94h\x14h\x0c\x8c\x02U1\
    \x94\x89\x88\x87\x94R\x94(K\x03h\x18NNNK\x04K\x04K\x08t\x94bC\x049\x00\x00\x00\x94\x86\x94R\x94e\
    t\x94b.";
/// Four dates, protocol 4.
const DATES: &[u8] = b"\
    \x80\x04\x95\xaf\x00\x00\x00\x00\x00\x00\x00\x8c\x16numpy._core.multiarray\x94\x8c\x0c_reconstru\
    ct\x94\x93\x94\x8c\x05numpy\x94\x8c\x07ndarray\x94\x93\x94K\x00\x85\x94C\x01b\x94\x87\x94R\x94(K\
    \x01K\x04\x85\x94h\x03\x8c\x05dtype\x94\x93\x94\x8c\x02O8\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01\
    |\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?t\x94b\x89]\x94(\x8c\x08datetime\x94\x8c\x04date\x94\
    \x93\x94C\x04\x07\xe4\x01\x02\x94\x85\x94R\x94h\x18h\x18h\x18et\x94b.";

fn objects(pickle: &[u8]) -> Vec<u8> {
    framed("{'descr': '|O', 'fortran_order': False, 'shape': (4,), }", pickle)
}

/// Four images with labels, or with what is given beside them.
fn set(name: &str, pickle: &[u8]) -> Vec<u8> {
    let x = npy("|u1", false, &[4, 2, 2], &[7; 16]);
    npz(CompressionMethod::Deflated, &[("x.npy", x), (name, objects(pickle))])
}

#[test]
fn labels_that_are_objects_are_read() {
    for pickle in [TEXTS, OLD_TEXTS] {
        let splits = opened("a.npz", &set("y.npy", pickle), "");
        assert_eq!(
            label_names(&splits.train),
            [Some("cat"), Some("dög"), None, Some("cat")].map(|t| t.map(String::from))
        );
    }
    let splits = opened("a.npz", &set("y.npy", SCALARS), "");
    assert_eq!(splits.train.source().label_names(), ["9", "10"]);
    let splits = opened("a.npz", &set("name.npy", TEXTS), "id = 'name'");
    assert_eq!(splits.train.source().identifier(1), Some("dög"));
}

#[test]
fn objects_that_are_no_texts_are_named_and_run_nothing() {
    refused("a.npz", &set("y.npy", DATES), "label = 'y'", &["y", "`datetime.date`", "no texts and numbers"]);
    let system = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.";
    refused("a.npz", &set("y.npy", system), "label = 'y'", &["`posix.system`"]);
    let steering = b"cposix\x1b[31m\nsystem\n.";
    refused("a.npz", &set("y.npy", steering), "label = 'y'", &["posix\\u{1b}[31m.system"]);
    let splits = opened("a.npz", &set("y.npy", DATES), "");
    assert!(splits.train.source().notes().join(" ").contains("`y` is not used as labels: it has Python objects"));
    // As examples they stay what they are.
    refused("a.npz", &set("x2.npy", TEXTS), "array = 'x2'", &["pickle that could run code"]);
}

#[test]
fn a_pickle_that_was_changed_is_refused_or_other_texts_of_the_same_number() {
    for whole in [TEXTS, OLD_TEXTS, SCALARS, DATES] {
        for place in 0..whole.len() {
            assert!(texts(&whole[..place], 4).is_err(), "cut at {place}");
            for bit in 0..8 {
                let mut changed = whole.to_vec();
                changed[place] ^= 1 << bit;
                if let Ok(texts) = texts(&changed, 4) {
                    assert_eq!(texts.len(), 4);
                }
            }
        }
    }
}

#[test]
fn a_pickle_takes_no_more_memory_than_its_array_may() {
    for endless in [&b"]"[..], b"N", b"(", b")\x94"] {
        let found = texts(&endless.repeat(100_000), 4).unwrap_err();
        assert!(found.contains("far more objects"), "{found}");
    }
    // A list that is appended to itself doubles.
    let doubling = [&b"\x80\x04]q\x00N"[..], b"a", &b"h\x00(h\x00e".repeat(50_000)].concat();
    assert!(texts(&doubling, 4).is_err());
}
