//! The number types of arrays, and how their bytes are read.

/// Kind of number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Unsigned,
    Signed,
    Float,
    /// Text in UTF-32, filled up with zeros; [`Dtype::decode`] is not for it, nor for the kinds below.
    Unicode,
    /// Text of single bytes, likewise.
    Ascii,
    /// Python objects, one pickle for all of them; `size` says nothing.
    Object,
}

/// Longest text of an array in characters.
const MAX_TEXT: usize = 1 << 16;

/// A number type: kind, bytes and their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dtype {
    pub kind: Kind,
    /// Bytes of one number, 1, 2, 4 or 8, or of one text.
    pub size: usize,
    pub big_endian: bool,
}

impl Dtype {
    /// Python objects, which are pickles and are refused.
    pub const OBJECT: Self = Self { kind: Kind::Object, size: 1, big_endian: false };

    /// NumPy's type string, such as `<f4`; none for what is not a plain number or text read here.
    pub fn parse(text: &str) -> Option<Self> {
        let (order, rest) = text.split_at_checked(1)?;
        let (kind, size) = rest.split_at_checked(1)?;
        let size: usize = size.parse().ok()?;
        let kind = match (kind, size) {
            ("b", 1) => Kind::Bool,
            ("u", 1 | 2 | 4 | 8) => Kind::Unsigned,
            ("i", 1 | 2 | 4 | 8) => Kind::Signed,
            ("f", 2 | 4 | 8) => Kind::Float,
            ("U", 1..=MAX_TEXT) => return Some(Self { kind: Kind::Unicode, size: 4 * size, big_endian: order == ">" }),
            ("S", 1..=MAX_TEXT) => return Some(Self { kind: Kind::Ascii, size, big_endian: false }),
            _ => return None,
        };
        match order {
            "<" => Some(Self { kind, size, big_endian: false }),
            ">" => Some(Self { kind, size, big_endian: true }),
            // No byte order: of one byte only.
            "|" if size == 1 => Some(Self { kind, size, big_endian: false }),
            _ => None,
        }
    }

    /// The type in words: `float32`.
    pub fn name(self) -> String {
        let word = match self.kind {
            Kind::Bool => return "bool".into(),
            Kind::Unsigned => "uint",
            Kind::Signed => "int",
            Kind::Float => "float",
            Kind::Unicode => return format!("<U{}", self.size / 4),
            Kind::Ascii => return format!("|S{}", self.size),
            Kind::Object => return "Python objects".into(),
        };
        format!("{word}{}", 8 * self.size)
    }

    /// Whether the file's bytes are this machine's `u8` or, with `floats`, `f32`.
    pub fn is_native(self, floats: bool) -> bool {
        match floats {
            true => self.kind == Kind::Float && self.size == 4 && !self.big_endian && cfg!(target_endian = "little"),
            false => self.kind == Kind::Unsigned && self.size == 1,
        }
    }

    /// One text from its `size` bytes, empty where there is none; or one number as text, whole numbers with all their digits.
    pub fn text(self, bytes: &[u8]) -> String {
        match self.kind {
            Kind::Unicode | Kind::Ascii => return self.characters(bytes),
            Kind::Bool | Kind::Float => return self.decode(bytes).to_string(),
            Kind::Object => return String::new(),
            Kind::Unsigned | Kind::Signed => {}
        }
        let bits = self.bits(bytes);
        if self.kind == Kind::Signed { self.signed(bits).to_string() } else { bits.to_string() }
    }

    /// The bits of one value, zeros above them.
    fn bits(self, bytes: &[u8]) -> u64 {
        let mut word = [0u8; 8];
        let place = &mut word[..self.size];
        place.copy_from_slice(bytes);
        if self.big_endian {
            place.reverse();
        }
        u64::from_le_bytes(word)
    }

    /// A signed integer of its bits: shifted up and down again, the sign bit fills what is above.
    fn signed(self, bits: u64) -> i64 {
        let unused = 64 - 8 * self.size as u32;
        (bits << unused) as i64 >> unused
    }

    fn characters(self, bytes: &[u8]) -> String {
        let text: String = match self.kind {
            Kind::Unicode => {
                let code = |four: &[u8; 4]| {
                    if self.big_endian { u32::from_be_bytes(*four) } else { u32::from_le_bytes(*four) }
                };
                let character = |four| char::from_u32(code(four)).unwrap_or(char::REPLACEMENT_CHARACTER);
                bytes.as_chunks::<4>().0.iter().map(character).collect()
            }
            _ => String::from_utf8_lossy(bytes).into_owned(),
        };
        text.trim_end_matches('\0').trim().to_owned()
    }

    /// One number from its `size` bytes. Integers beyond 2^53 are rounded to the nearest float64.
    pub fn decode(self, bytes: &[u8]) -> f64 {
        let bits = self.bits(bytes);
        match (self.kind, self.size) {
            (Kind::Bool, _) => f64::from(u8::from(bits != 0)),
            (Kind::Unsigned, _) => bits as f64,
            (Kind::Signed, _) => self.signed(bits) as f64,
            (Kind::Float, 2) => half::f16::from_bits(bits as u16).to_f64(),
            (Kind::Float, 4) => f64::from(f32::from_bits(bits as u32)),
            (Kind::Float, _) => f64::from_bits(bits),
            (Kind::Unicode | Kind::Ascii | Kind::Object, _) => f64::NAN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_read_in_both_byte_orders() {
        let cases: [(&str, &[u8], f64); 16] = [
            ("|b1", &[1], 1.0),
            ("|u1", &[200], 200.0),
            ("|i1", &[200], -56.0),
            ("<u2", &[0x34, 0x12], 4660.0),
            (">u2", &[0x12, 0x34], 4660.0),
            ("<i2", &[0xff, 0xff], -1.0),
            (">i4", &[0xff, 0xff, 0xff, 0xfe], -2.0),
            ("<u4", &[0xff, 0xff, 0xff, 0xff], 4_294_967_295.0),
            ("<i8", &[0, 0, 0, 0, 0, 0, 0, 0x80], -9_223_372_036_854_775_808.0),
            (">u8", &[0, 0, 0, 0, 0, 1, 0, 0], 65_536.0),
            ("<f2", &[0x00, 0x3c], 1.0),
            (">f2", &[0xc1, 0x00], -2.5),
            ("<f2", &[0x01, 0x00], 5.960_464_477_539_063e-8),
            ("<f4", &[0, 0, 0x80, 0x3e], 0.25),
            (">f4", &[0x3e, 0x80, 0, 0], 0.25),
            (">f8", &[0xbf, 0xe0, 0, 0, 0, 0, 0, 0], -0.5),
        ];
        for (text, bytes, value) in cases {
            let dtype = Dtype::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(dtype.decode(bytes), value, "{text}");
        }
    }

    #[test]
    fn text_is_read_in_both_byte_orders() {
        let text = |dtype: &str, bytes: &[u8]| Dtype::parse(dtype).unwrap().text(bytes);
        assert_eq!(text("<U3", b"c\0\0\0\xe9\0\0\0\0\0\0\0"), "cé");
        assert_eq!(text(">U2", b"\0\0\0c\0\0\0\0"), "c");
        assert_eq!(text("|S4", b"ab\0\0"), "ab");
    }

    #[test]
    fn what_is_no_plain_number_is_none() {
        for text in
            ["|O", "<U0", "|S99999999", "<c8", "<M8[ns]", "f4", "<f16", "<u3", "|f4", "=f4", "", "<", "é1", "<é"]
        {
            assert_eq!(Dtype::parse(text), None, "{text}");
        }
    }
}
