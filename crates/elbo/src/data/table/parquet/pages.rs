//! Page headers, looked at before anything is unpacked.
//!
//! The header of a page declares its unpacked size, and the decoder takes that much memory before it unpacks: a few bytes could ask for
//! 2 GiB. Here the headers of a column chunk are walked through, and none may declare more than [`MAX_RATIO`] times its packed size,
//! unless it is below [`HARMLESS`]. Writers make pages of about 1 MiB.
//!
//! Headers are structs in Thrift's compact protocol: a byte of field delta and type, then the value; numbers are zigzag varints.

/// Pages that unpack to this many bytes or fewer may be packed as tightly as can be.
pub(super) const HARMLESS: u64 = 64 << 20;
/// Most that larger pages may be packed.
pub(super) const MAX_RATIO: u64 = 32;

/// Deepest nesting of structs walked through; headers have two levels.
const MAX_DEPTH: usize = 8;

/// Checks the pages of a column chunk, `bytes` being all of it.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let mut cursor = Cursor { bytes, place: 0 };
    while cursor.place < bytes.len() {
        let start = cursor.place;
        let (unpacked, packed) =
            cursor.header().ok_or_else(|| format!("no page header at byte {start} of the chunk"))?;
        let rest = (bytes.len() - cursor.place) as u64;
        let packed = u64::try_from(packed).ok().filter(|packed| *packed <= rest).ok_or_else(|| {
            format!("a page at byte {start} of the chunk that declares {packed} bytes where {rest} are left")
        })?;
        let unpacked = u64::try_from(unpacked).map_err(|_| format!("a page that unpacks to {unpacked} bytes"))?;
        if unpacked > HARMLESS.max(MAX_RATIO * packed) {
            return Err(format!("a page of {packed} bytes that declares {unpacked} when unpacked"));
        }
        cursor.place += packed as usize;
    }
    Ok(())
}

struct Cursor<'a> {
    bytes: &'a [u8],
    place: usize,
}

impl Cursor<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.place).copied();
        self.place += 1;
        byte
    }

    fn skip(&mut self, count: u64) -> Option<()> {
        self.place = self.place.checked_add(usize::try_from(count).ok()?).filter(|place| *place <= self.bytes.len())?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A page header's unpacked and packed sizes: its fields 2 and 3.
    fn header(&mut self) -> Option<(i64, i64)> {
        let (mut unpacked, mut packed, mut field) = (None, None, 0);
        while let Some(kind) = self.field(&mut field)? {
            match (field, kind) {
                (2, I32) => unpacked = Some(self.zigzag()?),
                (3, I32) => packed = Some(self.zigzag()?),
                (_, kind) => self.value(kind, 0)?,
            }
        }
        Some((unpacked?, packed?))
    }

    /// Goes to the next field of a struct and returns its type; nothing inside when the struct ends.
    fn field(&mut self, field: &mut i64) -> Option<Option<u8>> {
        let byte = self.byte()?;
        if byte == 0 {
            return Some(None);
        }
        *field = match byte >> 4 {
            0 => self.zigzag()?,
            delta => field.checked_add(i64::from(delta))?,
        };
        Some(Some(byte & 0x0f))
    }

    /// Passes over a value.
    fn value(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        match kind {
            TRUE | FALSE => Some(()),
            I8 => self.skip(1),
            I16 | I32 | I64 => self.varint().map(drop),
            DOUBLE => self.skip(8),
            BINARY => {
                let length = self.varint()?;
                self.skip(length)
            }
            LIST | SET => {
                let byte = self.byte()?;
                let count = if byte >> 4 == 15 { self.varint()? } else { u64::from(byte >> 4) };
                // Booleans take a byte in lists, and every other value at least one.
                let element = byte & 0x0f;
                for _ in 0..count {
                    if matches!(element, TRUE | FALSE) { self.skip(1)? } else { self.value(element, depth + 1)? }
                }
                Some(())
            }
            STRUCT => {
                let mut field = 0;
                while let Some(kind) = self.field(&mut field)? {
                    self.value(kind, depth + 1)?;
                }
                Some(())
            }
            _ => None,
        }
    }
}

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const I8: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const STRUCT: u8 = 12;

#[cfg(test)]
mod tests {
    use super::*;

    /// A data page's header: type 0, sizes, then a struct with counts and encodings, as writers make it.
    fn page(unpacked: i64, packed: i64) -> Vec<u8> {
        let varint = |value: i64| {
            let mut rest = ((value << 1) ^ (value >> 63)) as u64;
            let mut bytes = Vec::new();
            while rest >= 0x80 {
                bytes.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            bytes.push(rest as u8);
            bytes
        };
        let sizes = [&[0x15, 0, 0x15][..], &varint(unpacked), &[0x15], &varint(packed)].concat();
        [&sizes[..], &[0x2c, 0x15, 8, 0x15, 0, 0x15, 6, 0x15, 6, 0, 0]].concat()
    }

    fn chunk(pages: &[(i64, i64)]) -> Vec<u8> {
        pages
            .iter()
            .flat_map(|&(unpacked, packed)| [page(unpacked, packed), vec![7; packed.max(0) as usize]].concat())
            .collect()
    }

    #[test]
    fn pages_of_ordinary_size_pass() {
        assert_eq!(check(&chunk(&[(100, 90), (5000, 40), (HARMLESS as i64, 1), (0, 0)])), Ok(()));
        assert_eq!(check(&[]), Ok(()));
    }

    #[test]
    fn pages_that_lie_are_told() {
        let too_tight = check(&chunk(&[(100, 90), (HARMLESS as i64 + 1, 1000)])).unwrap_err();
        assert!(too_tight.contains("1000 bytes that declares 67108865"), "{too_tight}");
        assert!(check(&chunk(&[(-5, 10)])).unwrap_err().contains("-5"));
        assert!(check(&page(10, 11)).unwrap_err().contains("11 bytes where 0 are left"));
        assert!(check(&page(10, -1)).unwrap_err().contains("-1 bytes"));
        let whole = page(10, 0);
        for end in 1..whole.len() {
            assert!(check(&whole[..end]).unwrap_err().contains("no page header"), "{end}");
        }
        // A struct in a struct in a struct, without end.
        assert!(check(&[0x1c; 1000]).is_err());
        assert!(check(&[0x19, 0xf8, 0xff, 0xff, 0xff, 0xff, 0x0f]).is_err());
    }
}
