//! Whether the scans of a JPEG file hold every coefficient that its frame promises.
//!
//! Decoders fill with zeros what is missing before an end mark, so that a file that was cut and closed again looks like
//! a picture with a grey or smeared end. Here the Huffman codes of each scan are walked through without a transform: a
//! scan that ends before its last block, and coefficients that no scan brings to their last bit, are found. That takes a
//! quarter of the decoding of a baseline file, two fifths of a progressive one. Arithmetic coding and lossless frames are
//! left to the decoder, which reads neither.
//!
//! Source: ITU-T T.81, annexes A (blocks and sampling), B (headers), C (tables), F.2 (sequential), G.2 (progressive).

use super::Fault;
use super::whole::{self, cut};

/// Walks through all scans of a file whose headers the decoder has read.
pub(super) fn check(bytes: &[u8]) -> Result<(), Fault> {
    check_with(&[], bytes)
}

/// [`check`] of a file whose `tables` stand apart, in a file of their own, if there are any.
pub(super) fn check_with(tables: &[u8], bytes: &[u8]) -> Result<(), Fault> {
    let mut reader = Reader::default();
    if !tables.is_empty() {
        reader.walk(tables)?;
    }
    reader.walk(bytes)?;
    reader.frame.map_or(Ok(()), |frame| frame.complete())
}

fn odd() -> Fault {
    Fault::new("a whole JPEG file", "one with damaged headers")
}

fn word(two: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([two[0], two[1]]))
}

/// Why a scan ends too early.
enum Short {
    /// The data end, or a marker comes.
    Cut,
    /// Bits that are no code.
    NoCode,
}

impl From<Short> for Fault {
    fn from(short: Short) -> Self {
        match short {
            Short::Cut => cut("JPEG"),
            Short::NoCode => Self::new("a whole JPEG file", "damaged data: bits that are no code"),
        }
    }
}

/// Coefficients of a block.
const COEFFICIENTS: usize = 64;
/// Bits still to come of a coefficient of which there is none yet.
const NOTHING: u8 = u8::MAX;

struct Component {
    id: u8,
    /// Blocks of an interleaved unit, across and down.
    sampling: [usize; 2],
    /// Blocks of a scan of this component alone, across times down.
    blocks: usize,
    /// Low bits of each coefficient that no scan has brought yet.
    to_come: [u8; COEFFICIENTS],
    /// Of a progressive frame: which coefficients of each block are not zero, a bit for each.
    nonzero: Vec<u64>,
}

struct Frame {
    progressive: bool,
    /// Interleaved units.
    units: usize,
    components: Vec<Component>,
}

impl Frame {
    fn read(content: &[u8], progressive: bool) -> Option<Self> {
        let (height, width) = (word(content.get(1..3)?), word(content.get(3..5)?));
        let parts = content.get(6..6 + 3 * usize::from(*content.get(5)?))?.as_chunks::<3>().0;
        let sampling = |part: &[u8; 3]| [usize::from(part[1] >> 4), usize::from(part[1] & 15)];
        let largest = |axis: usize| parts.iter().map(|part| sampling(part)[axis]).max();
        let (across, down) = (largest(0)?, largest(1)?);
        if !parts.iter().flat_map(sampling).all(|factor| (1..=4).contains(&factor)) {
            return None;
        }
        let component = |part: &[u8; 3]| {
            let [h, v] = sampling(part);
            let blocks = (width * h).div_ceil(across).div_ceil(8) * (height * v).div_ceil(down).div_ceil(8);
            let nonzero = vec![0; if progressive { blocks } else { 0 }];
            Component { id: part[0], sampling: [h, v], blocks, to_come: [NOTHING; COEFFICIENTS], nonzero }
        };
        let units = width.div_ceil(8 * across) * height.div_ceil(8 * down);
        Some(Self { progressive, units, components: parts.iter().map(component).collect() })
    }

    /// Whether every coefficient has come to its last bit.
    fn complete(&self) -> Result<(), Fault> {
        let missing = self.components.iter().find_map(|component| {
            let first = component.to_come.iter().position(|&bits| bits > 0)?;
            Some(format!("no scan for coefficient {first} of component {}: it is cut short", component.id))
        });
        missing.map_or(Ok(()), |found| Err(Fault::new("a whole JPEG file", found)))
    }
}

/// What the segments before a scan have set.
#[derive(Default)]
struct Reader {
    frame: Option<Frame>,
    dc: [Option<Box<Table>>; 4],
    ac: [Option<Box<Table>>; 4],
    /// Units between restarts; none where it is 0.
    interval: usize,
}

/// A component's part of a scan.
struct Part {
    component: usize,
    dc: usize,
    ac: usize,
    /// Blocks of a unit.
    blocks: usize,
}

/// The header of a scan, B.2.3.
struct Header {
    parts: Vec<Part>,
    /// First and last coefficient.
    band: [usize; 2],
    /// Whether coefficients come again, with one bit more.
    refines: bool,
    /// Low bits that later scans bring.
    low: u8,
}

impl Header {
    fn read(content: &[u8], frame: &Frame) -> Option<Self> {
        let count = usize::from(*content.first()?);
        let (parts, rest) = content.get(1..)?.split_at_checked(2 * count)?;
        let part = |[id, tables]: &[u8; 2]| {
            let component = frame.components.iter().position(|component| component.id == *id)?;
            let [h, v] = frame.components[component].sampling;
            let blocks = if count == 1 { 1 } else { h * v };
            Some(Part { component, dc: usize::from(tables >> 4), ac: usize::from(tables & 15), blocks })
        };
        let parts: Vec<Part> = parts.as_chunks::<2>().0.iter().map(part).collect::<Option<_>>()?;
        let [first, last, bits] = *rest.first_chunk::<3>()?;
        let (band, refines, low) = match frame.progressive {
            true => ([usize::from(first), usize::from(last)], bits >> 4 > 0, bits & 15),
            false => ([0, COEFFICIENTS - 1], false, 0),
        };
        let fits = band[0] <= band[1] && band[1] < COEFFICIENTS && (parts.len() == 1 || band[0] == 0);
        (fits && !parts.is_empty()).then_some(Self { parts, band, refines, low })
    }

    /// The table of each part.
    fn tables<'a>(&self, tables: &'a [Option<Box<Table>>; 4], of: fn(&Part) -> usize) -> Result<Vec<&'a Table>, Fault> {
        let table = |part: &Part| tables.get(of(part)).and_then(Option::as_deref);
        self.parts.iter().map(table).collect::<Option<_>>().ok_or_else(odd)
    }
}

impl Reader {
    /// From segment to segment to the end.
    fn walk(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let mut place = 2;
        loop {
            let segment = whole::segment(bytes, place)?;
            place = segment.end;
            match segment.marker {
                0xc0..=0xc2 => {
                    self.frame = Some(Frame::read(segment.content, segment.marker == 0xc2).ok_or_else(odd)?);
                }
                0xc4 => self.tables(segment.content).ok_or_else(odd)?,
                0xdd => self.interval = segment.content.get(..2).map(word).ok_or_else(odd)?,
                0xda => place += self.scan(segment.content, &bytes[segment.end..])?,
                0xd9 => return Ok(()),
                _ => {}
            }
        }
    }

    /// Takes Huffman tables, B.2.4.2.
    fn tables(&mut self, mut content: &[u8]) -> Option<()> {
        while let Some((&place, rest)) = content.split_first() {
            let (table, rest) = Table::read(rest)?;
            let tables = if place >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            *tables.get_mut(usize::from(place & 15))? = Some(Box::new(table));
            content = rest;
        }
        Some(())
    }

    /// Walks through a scan; returns the bytes that it takes.
    fn scan(&mut self, header: &[u8], data: &[u8]) -> Result<usize, Fault> {
        // An error ends the walk, and the frame is looked at no more.
        let Some(mut frame) = self.frame.take() else { return Ok(0) };
        let header = Header::read(header, &frame).ok_or_else(odd)?;
        let first = header.parts[0].component;
        let mut nonzero = std::mem::take(&mut frame.components[first].nonzero);
        let mut bits = Bits::new(data);
        self.blocks(&frame, &header, &mut bits, &mut nonzero)?;
        frame.components[first].nonzero = nonzero;
        for part in &header.parts {
            frame.components[part.component].to_come[header.band[0]..=header.band[1]].fill(header.low);
        }
        self.frame = Some(frame);
        Ok(bits.place)
    }

    /// Walks through the blocks of a scan, each in the way of its kind.
    fn blocks(&self, frame: &Frame, header: &Header, bits: &mut Bits<'_>, nonzero: &mut [u64]) -> Result<(), Fault> {
        let (dc, ac) = (|| header.tables(&self.dc, |part| part.dc), || header.tables(&self.ac, |part| part.ac));
        let mut band = Band { first: header.band[0], last: header.band[1], run: 0 };
        match (frame.progressive, header.band[0], header.refines) {
            (false, ..) => {
                let (dc, ac) = (dc()?, ac()?);
                self.units(frame, header, bits, |bits, at| match at {
                    Visit::Block { part, .. } => bits.sequential(dc[part], ac[part]),
                    Visit::Restart => Ok(()),
                })
            }
            (true, 0, false) => {
                let dc = dc()?;
                self.units(frame, header, bits, |bits, at| match at {
                    Visit::Block { part, .. } => bits.symbol(dc[part]).and_then(|size| bits.skip(size.into())),
                    Visit::Restart => Ok(()),
                })
            }
            (true, 0, true) => self.units(frame, header, bits, |bits, at| match at {
                Visit::Block { .. } => bits.skip(1),
                Visit::Restart => Ok(()),
            }),
            (true, _, refines) => {
                let ac = ac()?;
                self.units(frame, header, bits, |bits, at| match at {
                    Visit::Restart => {
                        band.run = 0;
                        Ok(())
                    }
                    Visit::Block { place, .. } if refines => band.refine(bits, ac[0], &mut nonzero[place]),
                    Visit::Block { place, .. } => band.begin(bits, ac[0], &mut nonzero[place]),
                })
            }
        }
    }

    /// Every block of a scan in the order of the data, A.2, and the restarts between them.
    fn units(
        &self,
        frame: &Frame,
        header: &Header,
        bits: &mut Bits<'_>,
        mut visit: impl FnMut(&mut Bits<'_>, Visit) -> Result<(), Short>,
    ) -> Result<(), Fault> {
        let units = match &header.parts[..] {
            [only] => frame.components[only.component].blocks,
            _ => frame.units,
        };
        for place in 0..units {
            if self.interval > 0 && place > 0 && place % self.interval == 0 {
                bits.restart()?;
                visit(bits, Visit::Restart)?;
            }
            for (part, of) in header.parts.iter().enumerate() {
                for _ in 0..of.blocks {
                    visit(bits, Visit::Block { part, place })?;
                }
            }
        }
        Ok(())
    }
}

enum Visit {
    /// A block of a part of the scan, `place` being that of its unit.
    Block {
        part: usize,
        place: usize,
    },
    Restart,
}

/// The state of a scan of coefficients of higher frequencies, G.1.2.2 and G.1.2.3.
struct Band {
    first: usize,
    last: usize,
    /// Blocks that have no more coefficients.
    run: usize,
}

impl Band {
    /// A block's coefficients as they come first.
    fn begin(&mut self, bits: &mut Bits<'_>, table: &Table, nonzero: &mut u64) -> Result<(), Short> {
        if self.run > 0 {
            self.run -= 1;
            return Ok(());
        }
        let mut k = self.first;
        while k <= self.last {
            let symbol = bits.symbol(table)?;
            let (zeros, size) = (symbol >> 4, symbol & 15);
            match (zeros, size) {
                (15, 0) => k += 16,
                (_, 0) => {
                    self.run = (1 << zeros) - 1 + bits.value(zeros.into())?;
                    break;
                }
                _ => {
                    k += usize::from(zeros);
                    bits.skip(size.into())?;
                    *nonzero |= 1u64.checked_shl(k as u32).unwrap_or(0);
                    k += 1;
                }
            }
        }
        Ok(())
    }

    /// One more bit for each coefficient that is not zero, and coefficients that become so.
    fn refine(&mut self, bits: &mut Bits<'_>, table: &Table, nonzero: &mut u64) -> Result<(), Short> {
        let mut k = self.first;
        while self.run == 0 && k <= self.last {
            let symbol = bits.symbol(table)?;
            let (mut zeros, size) = (symbol >> 4, symbol & 15);
            if size == 0 && zeros < 15 {
                self.run = (1 << zeros) + bits.value(zeros.into())?;
                break;
            }
            bits.skip(u32::from(size > 0))?;
            while k <= self.last {
                if *nonzero >> k & 1 == 1 {
                    bits.skip(1)?;
                } else if zeros == 0 {
                    *nonzero |= u64::from(size > 0) << k;
                    k += 1;
                    break;
                } else {
                    zeros -= 1;
                }
                k += 1;
            }
        }
        if self.run > 0 {
            let rest = (k..=self.last).filter(|k| *nonzero >> k & 1 == 1).count();
            (0..rest).try_for_each(|_| bits.skip(1))?;
            self.run -= 1;
        }
        Ok(())
    }
}

/// A Huffman table, annex C.
struct Table {
    /// By the next [`SHORT`] bits: length of the code and its symbol; length 0 for longer codes.
    short: [(u8, u8); 1 << SHORT],
    /// Of each length: first code, number of codes, and place of the first symbol.
    long: [(u16, u16, u16); 17],
    symbols: Vec<u8>,
}

/// Bits that are looked up at once.
const SHORT: u32 = 9;

impl Table {
    /// From the numbers of codes of each length and their symbols; also what follows them.
    fn read(content: &[u8]) -> Option<(Self, &[u8])> {
        let (counts, rest) = content.split_at_checked(16)?;
        let (symbols, rest) = rest.split_at_checked(counts.iter().map(|&count| usize::from(count)).sum())?;
        let mut table = Self { short: [(0, 0); 1 << SHORT], long: [(0, 0, 0); 17], symbols: symbols.to_vec() };
        let (mut code, mut place) = (0usize, 0);
        for (length, &count) in (1..).zip(counts) {
            let count = usize::from(count);
            if code + count > 1 << length {
                return None;
            }
            table.long[length] = (code as u16, count as u16, place as u16);
            for (code, &symbol) in (code..).zip(&symbols[place..place + count]) {
                if let Some(unused) = (SHORT as usize).checked_sub(length) {
                    table.short[code << unused..(code + 1) << unused].fill((length as u8, symbol));
                }
            }
            (code, place) = ((code + count) << 1, place + count);
        }
        Some((table, rest))
    }

    /// The code that the next 16 bits begin with, of more than [`SHORT`] bits: its length and symbol.
    fn long(&self, next: u16) -> Option<(u8, u8)> {
        (SHORT as usize + 1..=16).find_map(|length| {
            let (first, count, place) = self.long[length];
            let offset = (next >> (16 - length)).checked_sub(first).filter(|offset| *offset < count)?;
            Some((length as u8, self.symbols[usize::from(place + offset)]))
        })
    }
}

/// The bits of entropy-coded data, up to the next marker.
struct Bits<'a> {
    data: &'a [u8],
    place: usize,
    /// The next bits, from the top.
    word: u64,
    /// How many there are.
    count: u32,
}

impl<'a> Bits<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self { data, place: 0, word: 0, count: 0 }
    }

    fn fill(&mut self) {
        if let Some(four) =
            self.data[self.place..].first_chunk::<4>().filter(|four| self.count <= 32 && !four.contains(&0xff))
        {
            self.word |= u64::from(u32::from_be_bytes(*four)) << (32 - self.count);
            (self.count, self.place) = (self.count + 32, self.place + 4);
        }
        while self.count <= 56 {
            let Some((byte, end)) = self.byte() else { return };
            self.word |= u64::from(byte) << (56 - self.count);
            (self.count, self.place) = (self.count + 8, end);
        }
    }

    /// The next byte and the place behind it; none before a marker. `0xff 0x00` stands for `0xff`.
    fn byte(&self) -> Option<(u8, usize)> {
        match *self.data.get(self.place)? {
            0xff => {
                let after = self.data[self.place..].iter().position(|&byte| byte != 0xff)? + self.place;
                (self.data[after] == 0).then_some((0xff, after + 1))
            }
            byte => Some((byte, self.place + 1)),
        }
    }

    /// Passes over bits, as many at most as the buffer holds.
    fn skip(&mut self, count: u32) -> Result<(), Short> {
        if count > self.count {
            self.fill();
            if count > self.count {
                return Err(Short::Cut);
            }
        }
        self.word = self.word.checked_shl(count).unwrap_or(0);
        self.count -= count;
        Ok(())
    }

    /// At most 15 bits as a number.
    fn value(&mut self, count: u32) -> Result<usize, Short> {
        self.fill();
        let value = (self.word >> 32 >> (32 - count)) as usize;
        self.skip(count)?;
        Ok(value)
    }

    /// The next symbol.
    fn symbol(&mut self, table: &Table) -> Result<u8, Short> {
        if self.count < 16 {
            self.fill();
        }
        let next = (self.word >> 48) as u16;
        let (length, symbol) = match table.short[usize::from(next >> (16 - SHORT))] {
            (0, _) => table.long(next).ok_or(if self.count < 16 { Short::Cut } else { Short::NoCode })?,
            found => found,
        };
        self.skip(length.into())?;
        Ok(symbol)
    }

    /// A block of a sequential scan, F.2.2.
    fn sequential(&mut self, dc: &Table, ac: &Table) -> Result<(), Short> {
        let size = self.symbol(dc)?;
        self.skip(size.into())?;
        let mut k = 1;
        while k < COEFFICIENTS {
            let symbol = self.symbol(ac)?;
            let (zeros, size) = (symbol >> 4, symbol & 15);
            if size == 0 && zeros < 15 {
                break;
            }
            k += usize::from(zeros) + 1;
            self.skip(size.into())?;
        }
        Ok(())
    }

    /// Goes on behind the restart marker that must come next.
    fn restart(&mut self) -> Result<(), Short> {
        (self.word, self.count) = (0, 0);
        while let Some((_, end)) = self.byte() {
            self.place = end;
        }
        let fills = self.data[self.place..].iter().take_while(|&&byte| byte == 0xff).count();
        match self.data.get(self.place + fills) {
            Some(0xd0..=0xd7) if fills > 0 => self.place += fills + 1,
            _ => return Err(Short::Cut),
        }
        Ok(())
    }
}
