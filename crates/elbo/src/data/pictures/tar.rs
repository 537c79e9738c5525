//! Pictures in a tar archive, plain or packed by gzip, xz, bzip2 or Zstandard.
//!
//! Headers are read as POSIX (ustar, pax) and GNU tar write them. What is neither a regular file nor named like a picture is
//! passed over; of several members of one name the last counts, as when unpacking. A plain archive is read where it is. Of a
//! compressed one, the pictures are copied to a temporary file first, since compressed bytes can only be read in order.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::arrangement::{Told, escaped, is_picture, listed};
use super::file::SharedFile;
use super::folder::too_long;
use super::left_out::{LeftOut, is_passed_over};
use super::{Collection, Listing, MAX_ENCODED_BYTES, Origin};
use crate::data::{bounds, unpack};
use crate::error::{Error, Result};

const BLOCK: usize = 512;
/// Longest name or extended header accepted.
const MAX_EXTENSION: u64 = 1 << 20;

/// The pictures of one or several archives.
pub struct Tar {
    listing: Listing,
    files: Vec<SharedFile>,
    /// Where each entry's bytes are.
    places: Vec<Place>,
    told: Told,
    /// Bytes of the archives.
    stored: u64,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    file: usize,
    offset: u64,
    len: u64,
}

impl Tar {
    /// Reads the headers of `archives`, which together are one collection. Compressed ones are unpacked to
    /// temporary files in `temporary`, or in the system's folder for those.
    ///
    /// # Errors
    /// [`Error::Data`] if an archive is damaged or none has pictures, [`Error::Io`].
    pub(super) fn open(origin: Origin, archives: &[PathBuf], temporary: Option<&Path>) -> Result<Self> {
        let (mut files, mut members, mut left_out, mut stored) = (Vec::new(), Vec::new(), LeftOut::default(), 0);
        for archive in archives {
            stored += archive.metadata().map_err(Error::io(archive, "read"))?.len();
            let (file, found) = list(archive, files.len(), temporary, &mut left_out)?;
            files.push(file);
            members.extend(found);
        }
        // Stable: the last of equal names stays last, and that one counts.
        members.sort_by(|a, b| a.0.cmp(&b.0));
        members.reverse();
        members.dedup_by(|later, first| later.0 == first.0);
        members.reverse();
        let (listing, places, told) = listed(origin, members, &left_out, "tar cf pictures.tar FOLDER")?;
        Ok(Self { listing, files, places, told, stored })
    }
}

impl Collection for Tar {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn bytes(&self, index: usize) -> Result<Vec<u8>> {
        let Place { file, offset, len } = self.places[index];
        let name = &self.entries()[index].name;
        if len > MAX_ENCODED_BYTES {
            return Err(too_long(self.path(), name, len));
        }
        let mut bytes = vec![0; len as usize];
        self.files[file].read_exact_at(&mut bytes, offset).map_err(|error| {
            let help = "the archive changed while it was read: try again";
            Error::data(self.path(), name, format!("{len} bytes at byte {offset}"), error.to_string(), help)
        })?;
        Ok(bytes)
    }

    fn stored_bytes(&self) -> u64 {
        self.stored
    }

    fn notes(&self) -> &[String] {
        &self.told.notes
    }

    fn warnings(&self) -> &[String] {
        &self.told.warnings
    }
}

/// The pictures of an archive: raw names, and where their bytes are.
type Members = Vec<(Vec<u8>, Place)>;

/// What looks at a file of an archive: raw name, length and content.
type Visit<'a> = dyn FnMut(&[u8], u64, &mut dyn Read) -> Result<()> + 'a;

/// The pictures of one archive, and the file their bytes are in.
fn list(
    archive: &Path,
    file: usize,
    temporary: Option<&Path>,
    left_out: &mut LeftOut,
) -> Result<(SharedFile, Members)> {
    let input = Input::open(archive)?;
    let shared = if let Input::Plain(shared) = &input { Some(shared.clone()) } else { None };
    let headers = Headers { input, offset: 0, path: archive };
    match shared {
        Some(shared) => Ok((shared.clone(), in_place(headers, shared.len(), file, left_out)?)),
        None => unpacked(headers, file, temporary, left_out),
    }
}

/// Where the pictures of a plain archive of `end` bytes are.
fn in_place(mut headers: Headers<'_>, end: u64, file: usize, left_out: &mut LeftOut) -> Result<Members> {
    let mut members = Vec::new();
    while let Some(member) = headers.next()? {
        let place = Place { file, offset: headers.offset, len: member.len };
        if member.len > end.saturating_sub(place.offset) {
            return Err(headers.cut(&format!("the {} bytes of `{}`", member.len, escaped(&member.name))));
        }
        headers.skip_content(member.len)?;
        if member.is_picture(left_out) {
            members.push((member.name, place));
        }
    }
    Ok(members)
}

/// Copies the pictures of a compressed archive into a file without a name, which ends with this process.
fn unpacked(
    mut headers: Headers<'_>,
    file: usize,
    temporary: Option<&Path>,
    left_out: &mut LeftOut,
) -> Result<(SharedFile, Members)> {
    let folder = temporary.map_or_else(std::env::temp_dir, Path::to_owned);
    let spool = tempfile::tempfile_in(&folder).or_else(|_| tempfile::tempfile());
    let spool = spool.map_err(Error::io(&folder, "create a file in"))?;
    let (mut spooled, mut offset, mut members) = (io::BufWriter::new(&spool), 0, Vec::new());
    while let Some(member) = headers.next()? {
        let (picture, len) = (member.is_picture(left_out), member.len);
        // What is too long to be decoded need not be unpacked to be refused.
        if picture && len <= MAX_ENCODED_BYTES {
            headers.copy_content(len, &mut spooled)?;
            members.push((member.name, Place { file, offset, len }));
            offset += len;
            continue;
        }
        headers.skip_content(len)?;
        if picture {
            members.push((member.name, Place { file, offset, len }));
        }
    }
    spooled.flush().map_err(Error::io(&folder, "write a file in"))?;
    drop(spooled);
    Ok((SharedFile::new(spool).map_err(Error::io(&folder, "read a file in"))?, members))
}

/// Shows the regular files of an archive, plain or gzip, to `visit` in order: raw name, length and content.
///
/// # Errors
/// [`Error::Data`] if the archive is damaged, [`Error::Io`], and what `visit` says.
pub(in crate::data) fn read_members(archive: &Path, visit: &mut Visit<'_>) -> Result<()> {
    let mut headers = Headers { input: Input::open(archive)?, offset: 0, path: archive };
    while let Some(member) = headers.next()? {
        match member.kind == MemberKind::Regular {
            true => headers.with_content(member.len, |content| visit(&member.name, member.len, content))?,
            false => headers.skip_content(member.len)?,
        }
    }
    Ok(())
}

/// Whether the bytes at the start of a file can be those of a tar archive.
pub(super) fn looks_like_tar(start: &[u8]) -> bool {
    start.len() >= BLOCK && checksum_fits(&start[..BLOCK])
}

/// A member of the archive: a regular file or anything else.
struct Member {
    name: Vec<u8>,
    len: u64,
    kind: MemberKind,
}

impl Member {
    /// Whether it is taken; what is not is counted.
    fn is_picture(&self, left_out: &mut LeftOut) -> bool {
        let passed_over = self.name.split(|&byte| byte == b'/').find(|part| is_passed_over(part));
        match self.kind {
            MemberKind::Folder => {}
            MemberKind::Other if is_picture(&self.name) && passed_over.is_none() => left_out.add_special(),
            MemberKind::Other => {}
            MemberKind::Link if is_picture(&self.name) && passed_over.is_none() => left_out.add_link(),
            MemberKind::Link => {}
            MemberKind::Regular => match passed_over {
                Some(part) => left_out.add_passed_over(part),
                None if is_picture(&self.name) => return true,
                None => left_out.add_file(&self.name),
            },
        }
        false
    }
}

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MemberKind {
    Regular,
    /// Hard or symbolic.
    Link,
    Folder,
    Other,
}

enum Input {
    Plain(SharedFile),
    Packed(Box<dyn Read>),
}

impl Input {
    fn open(archive: &Path) -> Result<Self> {
        match unpack::packing_of(archive)? {
            Some(_) => Ok(Self::Packed(unpack::open(archive)?.0)),
            None => {
                let file = File::open(archive).map_err(Error::io(archive, "open"))?;
                SharedFile::new(file).map(Self::Plain).map_err(Error::io(archive, "read"))
            }
        }
    }
}

/// Walks from header to header. After [`Headers::next`], `offset` is where the member's content begins.
struct Headers<'a> {
    input: Input,
    offset: u64,
    path: &'a Path,
}

impl Headers<'_> {
    /// The next member; names in extended headers are put together with the member they belong to.
    fn next(&mut self) -> Result<Option<Member>> {
        let (mut long_name, mut pax_name, mut pax_len) = (None, None, None);
        loop {
            let Some(header) = self.header()? else { return Ok(None) };
            let len = number(&header[124..136]).ok_or_else(|| self.damaged("a size"))?;
            match header[156] {
                b'L' => long_name = Some(until_nul(&self.extension(len)?).to_vec()),
                b'x' => {
                    let records = self.extension(len)?;
                    pax_name = pax_record(&records, b"path").or(pax_name);
                    let size = pax_record(&records, b"size");
                    pax_len = size.and_then(|digits| std::str::from_utf8(&digits).ok()?.parse().ok()).or(pax_len);
                }
                b'g' | b'K' => drop(self.extension(len)?),
                kind => {
                    let name = pax_name.or(long_name).unwrap_or_else(|| short_name(&header));
                    // Links and folders have no content, whatever their size says.
                    let len = if (b'1'..=b'6').contains(&kind) { 0 } else { pax_len.unwrap_or(len) };
                    let kind = match kind {
                        b'0' | 0 | b'7' => MemberKind::Regular,
                        b'1' | b'2' => MemberKind::Link,
                        b'5' | b'D' => MemberKind::Folder,
                        _ => MemberKind::Other,
                    };
                    return Ok(Some(Member { name: tidied(&name), len, kind }));
                }
            }
        }
    }

    fn header(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut header = [0; BLOCK];
        match self.fill(&mut header)? {
            0 => return Ok(None),
            BLOCK => {}
            _ => return Err(self.cut("a header")),
        }
        if header.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        if !checksum_fits(&header) {
            return Err(self.damaged("a checksum"));
        }
        self.offset += BLOCK as u64;
        Ok(Some(header))
    }

    fn extension(&mut self, len: u64) -> Result<Vec<u8>> {
        if len > MAX_EXTENSION {
            return Err(self.damaged(&format!("an extended header of {len} bytes, expected at most {MAX_EXTENSION},")));
        }
        let mut bytes = vec![0; len as usize];
        self.copy_content(len, &mut bytes.as_mut_slice())?;
        Ok(bytes)
    }

    /// Moves past content and the padding behind it.
    fn skip_content(&mut self, len: u64) -> Result<()> {
        if let Input::Plain(file) = &mut self.input {
            let padded = len.checked_next_multiple_of(BLOCK as u64).ok_or(io::ErrorKind::InvalidData);
            let moved = padded.and_then(|padded| self.offset.checked_add(padded).ok_or(io::ErrorKind::InvalidData));
            let moved = moved.map_err(|kind| Error::io(self.path, "read")(kind.into()))?;
            *file = file.at(moved);
            self.offset = moved;
            return Ok(());
        }
        self.copy_content(len, &mut io::sink())
    }

    fn copy_content(&mut self, len: u64, target: &mut dyn Write) -> Result<()> {
        let (path, offset) = (self.path, self.offset);
        let copied = |copied: io::Result<u64>| copied.map(drop).map_err(|error| unreadable(path, offset, &error));
        self.with_content(len, |content| copied(io::copy(content, target)))
    }

    /// Hands out the content, and moves past what is left of it and the padding.
    fn with_content(&mut self, len: u64, visit: impl FnOnce(&mut dyn Read) -> Result<()>) -> Result<()> {
        let (path, offset) = (self.path, self.offset);
        let mut content = self.reader().take(len);
        visit(&mut content)?;
        let rest = io::copy(&mut content, &mut io::sink()).map_err(|error| unreadable(path, offset, &error));
        let missing = content.limit();
        rest?;
        self.offset += len - missing;
        if missing > 0 {
            return Err(self.cut("the content of a file"));
        }
        // An archive that ends without its last padding has everything that counts.
        let mut padding = self.reader().take(len.next_multiple_of(BLOCK as u64) - len);
        let padded = io::copy(&mut padding, &mut io::sink()).map_err(|error| unreadable(path, offset, &error))?;
        self.offset += padded;
        Ok(())
    }

    fn reader(&mut self) -> &mut dyn Read {
        match &mut self.input {
            Input::Plain(file) => file,
            Input::Packed(decoder) => decoder,
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<usize> {
        let (path, offset) = (self.path, self.offset);
        let mut filled = 0;
        while filled < bytes.len() {
            match self.reader().read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(path, offset, &error)),
            }
        }
        Ok(filled)
    }

    fn cut(&self, what: &str) -> Error {
        let help = "the archive is cut short: pack or fetch it again";
        Error::data(self.path, format!("byte {} of the tar stream", self.offset), what, "the end of the archive", help)
    }

    fn damaged(&self, what: &str) -> Error {
        let place = format!("byte {} of the tar stream", self.offset);
        let help = "this is no tar archive, or a damaged one: pack or fetch it again";
        Error::data(self.path, place, "a tar header", format!("{what} that cannot be"), help)
    }
}

fn unreadable(path: &Path, offset: u64, error: &io::Error) -> Error {
    let stored = path.metadata().map_or(0, |metadata| metadata.len());
    if let Some(refusal) = bounds::exceeded(path, error, stored) {
        return refusal;
    }
    let help = "the archive is damaged or cut short: pack or fetch it again";
    Error::data(path, format!("byte {offset} of the tar stream"), "readable data", error.to_string(), help)
}

/// The sum of all bytes, those of the sum itself taken as blanks; some old programs add them as signed.
fn checksum_fits(header: &[u8]) -> bool {
    let sum = |value: fn(u8) -> i64| -> i64 {
        header.iter().enumerate().map(|(i, &byte)| value(if (148..156).contains(&i) { b' ' } else { byte })).sum()
    };
    let stored = number(&header[148..156]).and_then(|stored| i64::try_from(stored).ok());
    stored.is_some_and(|stored| stored == sum(i64::from) || stored == sum(|byte| i64::from(byte as i8)))
}

/// Octal digits, or GNU's binary for what they cannot hold.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] == 0x80 {
        let (high, low) = field.split_at(field.len() - 8);
        return high[1..].iter().all(|&byte| byte == 0).then(|| u64::from_be_bytes(low.try_into().unwrap_or_default()));
    }
    let text = std::str::from_utf8(until_nul(field)).ok()?.trim_matches(' ');
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

fn short_name(header: &[u8]) -> Vec<u8> {
    let (name, prefix) = (until_nul(&header[..100]), until_nul(&header[345..500]));
    // GNU's own format keeps times where POSIX has the prefix.
    match &header[257..263] == b"ustar\0" && !prefix.is_empty() {
        true => [prefix, b"/", name].concat(),
        false => name.to_vec(),
    }
}

/// A value of pax's records, `LENGTH KEY=VALUE\n` each.
fn pax_record(mut records: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    let mut found = None;
    while let Some(blank) = records.iter().position(|&byte| byte == b' ') {
        let len: usize = std::str::from_utf8(&records[..blank]).ok()?.parse().ok()?;
        let record = records.get(blank + 1..len)?.strip_suffix(b"\n")?;
        if let Some(value) = record.strip_prefix(key).and_then(|rest| rest.strip_prefix(b"=")) {
            found = Some(value.to_vec());
        }
        records = &records[len..];
    }
    found
}

/// Without `.` and empty parts.
pub(super) fn tidied(name: &[u8]) -> Vec<u8> {
    let parts: Vec<_> = name.split(|&byte| byte == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    parts.join(&b'/')
}
