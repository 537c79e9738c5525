//! The header of a `.npy` file: the text of a Python dict with three keys.
//!
//! It is read by a scanner that knows no nesting but one tuple of sizes, so that no file can exhaust the stack. Objects are pickles, which
//! can run code: as examples they are refused, as labels read by [`super::objects`], which runs none.

use super::dtype::{Dtype, Kind};

/// What the header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub fortran: bool,
    /// Number of values, the product of `shape`.
    pub len: usize,
}

impl Header {
    /// Stands until the header is read.
    pub fn placeholder() -> Self {
        Self {
            dtype: Dtype { kind: Kind::Unsigned, size: 1, big_endian: false },
            shape: Vec::new(),
            fortran: false,
            len: 0,
        }
    }
}

/// What is wrong with a header.
#[derive(Debug)]
pub(super) struct Problem {
    pub expected: &'static str,
    pub found: String,
    pub help: &'static str,
}

const OBJECTS: &str = "Python objects (`|O`), a pickle that could run code";
const DAMAGED: &str = "the file is damaged: save the array again with `numpy.save`";

fn problem(expected: &'static str, found: impl Into<String>) -> Problem {
    Problem { expected, found: found.into(), help: DAMAGED }
}

/// Reads a header of numbers, sizes checked.
pub(super) fn parse(bytes: &[u8]) -> Result<Header, Problem> {
    let header = parse_any(bytes)?;
    match header.dtype.kind {
        Kind::Unicode | Kind::Ascii => Err(refused(format!("`{}`, which is text", header.dtype.name()))),
        Kind::Object => Err(refused(OBJECTS.into())),
        _ => Ok(header),
    }
}

fn refused(found: String) -> Problem {
    Problem {
        expected: "plain numbers: bool, integers or floats of 8 to 64 bits",
        found,
        help: "convert the array before saving it, for example `array.astype(\"float32\")`; text serves as labels only",
    }
}

/// Reads a header of numbers, text or Python objects, sizes checked.
pub(super) fn parse_any(bytes: &[u8]) -> Result<Header, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|_| problem("text", "bytes that are no UTF-8"))?;
    let mut scanner = Scanner { rest: text.trim_end() };
    let (mut dtype, mut shape, mut fortran) = (None, None, None);
    scanner.expect('{')?;
    while !scanner.accept('}') {
        let key = scanner.string()?;
        scanner.expect(':')?;
        match key.as_str() {
            "descr" => dtype = Some(scanner.dtype()?),
            "shape" => shape = Some(scanner.tuple()?),
            "fortran_order" => fortran = Some(scanner.boolean()?),
            other => return Err(problem("the keys descr, fortran_order and shape", format!("`{}`", shortened(other)))),
        }
        if !scanner.accept(',') && !scanner.rest.trim_start().starts_with('}') {
            return Err(problem("`,` or `}`", scanner.found()));
        }
    }
    if !scanner.rest.trim().is_empty() {
        return Err(problem("nothing after the dict", scanner.found()));
    }
    let (Some(dtype), Some(shape), Some(fortran)) = (dtype, shape, fortran) else {
        return Err(problem("the keys descr, fortran_order and shape", "not all of them"));
    };
    let bytes = shape.iter().try_fold(dtype.size, |product, &size| product.checked_mul(size));
    match bytes {
        Some(bytes) if isize::try_from(bytes).is_ok() => Ok(Header { len: bytes / dtype.size, dtype, shape, fortran }),
        _ => Err(problem("sizes that fit in memory", format!("{shape:?}"))),
    }
}

struct Scanner<'a> {
    rest: &'a str,
}

impl Scanner<'_> {
    fn accept(&mut self, wanted: char) -> bool {
        let rest = self.rest.trim_start().strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, wanted: char) -> Result<(), Problem> {
        match self.accept(wanted) {
            true => Ok(()),
            false => Err(problem(
                "a dict such as {'descr': '<f4', 'fortran_order': False, 'shape': (10, 2), }",
                self.found(),
            )),
        }
    }

    fn string(&mut self) -> Result<String, Problem> {
        let quote = if self.rest.trim_start().starts_with('"') { '"' } else { '\'' };
        self.expect(quote)?;
        let Some((text, rest)) = self.rest.split_once(quote) else {
            return Err(problem("a closing quote", "the end of the header"));
        };
        self.rest = rest;
        Ok(text.to_owned())
    }

    fn dtype(&mut self) -> Result<Dtype, Problem> {
        if self.rest.trim_start().starts_with('[') {
            return Err(refused("a structured type, with fields".into()));
        }
        let text = self.string()?;
        if text == "|O" {
            return Ok(Dtype::OBJECT);
        }
        Dtype::parse(&text).ok_or_else(|| match text.trim_start_matches(['|', '<', '>']).starts_with('O') {
            true => refused(OBJECTS.into()),
            false => refused(format!("`{}`", shortened(&text))),
        })
    }

    fn boolean(&mut self) -> Result<bool, Problem> {
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.rest.trim_start().strip_prefix(word) {
                self.rest = rest;
                return Ok(value);
            }
        }
        Err(problem("True or False", self.found()))
    }

    fn tuple(&mut self) -> Result<Vec<usize>, Problem> {
        const MOST: usize = 64;
        self.expect('(')?;
        let mut sizes = Vec::new();
        while !self.accept(')') {
            let text = self.rest.trim_start();
            let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let size = text[..digits].parse();
            self.rest = &text[digits..];
            // Python 2 wrote long integers so.
            self.accept('L');
            match size {
                Ok(size) if sizes.len() < MOST => sizes.push(size),
                _ => return Err(problem("a tuple of sizes", shortened(text))),
            }
            if !self.accept(',') && !self.rest.trim_start().starts_with(')') {
                return Err(problem("`,` or `)`", self.found()));
            }
        }
        Ok(sizes)
    }

    fn found(&self) -> String {
        match self.rest.trim_start() {
            "" => "the end of the header".into(),
            rest => format!("`{}`", shortened(rest)),
        }
    }
}

/// The start of a text, without what would garble a message.
fn shortened(text: &str) -> String {
    let clean = text.chars().map(|c| if c.is_control() { '?' } else { c });
    let start: String = clean.take(30).collect();
    if text.chars().count() > 30 { start + "..." } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Header, Problem> {
        parse(text.as_bytes())
    }

    #[test]
    fn headers_of_every_writer_are_read() {
        let header = parsed("{'descr': '<f4', 'fortran_order': False, 'shape': (10, 28, 28), }          \n").unwrap();
        assert_eq!((header.shape, header.len, header.fortran), (vec![10, 28, 28], 7840, false));
        assert_eq!(header.dtype, Dtype::parse("<f4").unwrap());
        let header = parsed("{\"shape\":(3,),\"fortran_order\":True,\"descr\":\"|u1\"}").unwrap();
        assert_eq!((header.shape, header.len, header.fortran), (vec![3], 3, true));
        let header = parsed("{'descr': '>i8', 'fortran_order': False, 'shape': (), }").unwrap();
        assert_eq!((header.shape, header.len), (vec![], 1));
        assert_eq!(parsed("{'descr': '>i8', 'fortran_order': False, 'shape': (2L, 3L), }").unwrap().shape, [2, 3]);
        assert_eq!(parsed("{'descr': '>i8', 'fortran_order': False, 'shape': (0, 28, 28), }").unwrap().len, 0);
    }

    #[test]
    fn everything_else_is_refused() {
        let whole = "{'descr': '<f4', 'fortran_order': False, 'shape': (10, 2), }";
        for end in (0..whole.len()).filter(|end| whole.is_char_boundary(*end)) {
            assert!(parsed(&whole[..end]).is_err(), "{}", &whole[..end]);
        }
        for (text, found) in [
            ("[1, 2]", "[1, 2]"),
            ("{'descr': '|O', 'fortran_order': False, 'shape': (10,), }", "pickle"),
            ("{'descr': 'O', 'fortran_order': False, 'shape': (10,), }", "pickle"),
            ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (10,), }", "fields"),
            ("{'descr': '<U7', 'fortran_order': False, 'shape': (10,), }", "<U7"),
            ("{'descr': '<f4', 'fortran_order': 0, 'shape': (10,), }", "0, 'shape'"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", "-1"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (1.5,), }", ".5"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': 5, }", "5"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", "9999"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967295, 4294967295, 4294967295), }", "4294967295"),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (1152921504606846976, 2), }", "1152921504606846976"),
            ("{'descr': '<f4', 'shape': (10,), }", "not all"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (10,), } + x", "+ x"),
            ("{'descr': '<f4', 'evil': __import__('os')}", "evil"),
            ("", "the end"),
        ] {
            let problem = parsed(text).unwrap_err();
            assert!(problem.found.contains(found), "{text}: {}", problem.found);
        }
        assert!(parse(b"{'descr': '\xff'").is_err());
        assert!(parsed(&"(".repeat(65_000)).is_err());
        assert!(parsed(&format!("{{'shape': {}", "(".repeat(65_000))).is_err());
    }
}
