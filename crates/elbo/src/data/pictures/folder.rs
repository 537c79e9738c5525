//! Pictures as files in a folder.
//!
//! The order is that of the paths' bytes, so it is the same on every file system. Symbolic links are followed wherever
//! they lead, since whoever runs the command may read those files anyway; but after everything else, each file and
//! folder once, known by device and inode, and not deeper than [`MAX_DEPTH`]. Only regular files are opened. What is
//! named like a picture and is none (a pipe, a device, a link to nowhere) and folders that cannot be read are entries
//! whose bytes are an error, so that the setting for bad pictures decides about them.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::arrangement::{Arrangement, ENDINGS, Placed, Told, escaped, is_picture};
use super::file::{Identity, Times, name_of, raw_bytes};
use super::left_out::{LeftOut, is_passed_over};
use super::{Collection, Entry, Listing, MAX_ENCODED_BYTES, Origin};
use crate::data::idx::hex;
use crate::error::{Error, Result};

/// Folders in folders that are looked into.
pub const MAX_DEPTH: usize = 64;

/// The pictures below a folder.
pub struct Folder {
    listing: Listing,
    /// Paths that their escaped names do not give.
    odd_paths: HashMap<usize, PathBuf>,
    /// Why an entry has no bytes.
    faults: HashMap<usize, String>,
    told: Told,
    /// Bytes of all files.
    stored: u64,
}

impl Folder {
    /// Looks for pictures below `root`, without opening any.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder itself cannot be read, [`Error::Data`] if there are none.
    pub fn scan(root: &Path) -> Result<Self> {
        let mut walk = Walk::default();
        let metadata = fs::metadata(root).map_err(Error::io(root, "read"))?;
        fs::read_dir(root).map_err(Error::io(root, "list"))?;
        walk.seen.insert(Identity::of(root, &metadata));
        walk.folder(root, &[], 0);
        while let Some(link) = walk.links.pop() {
            walk.follow(link);
        }
        walk.into_folder(root)
    }

    /// A set of one picture, the file `path`.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read.
    pub(super) fn single(path: &Path) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(Error::io(path, "read"))?;
        let raw = raw_bytes(path.file_name().unwrap_or(path.as_os_str()));
        let mut hash = Sha256::new();
        Times::of(&metadata).hash_into(&mut hash, &raw);
        let name = path.file_stem().map_or_else(|| "picture".into(), |stem| escaped(&raw_bytes(stem)));
        let origin = Origin { name, path: path.to_owned(), stamp: hex(&hash.finalize()) };
        let entries = vec![Entry { name: escaped(&raw), label: None, part: None }];
        let odd_paths = HashMap::from([(0, path.to_owned())]);
        let (listing, told, faults) = (Listing { origin, entries }, Told::default(), HashMap::new());
        Ok(Self { listing, odd_paths, faults, told, stored: metadata.len() })
    }

    fn path_of(&self, index: usize) -> PathBuf {
        self.odd_paths.get(&index).cloned().unwrap_or_else(|| self.path().join(&self.entries()[index].name))
    }
}

impl Collection for Folder {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn bytes(&self, index: usize) -> Result<Vec<u8>> {
        let path = self.path_of(index);
        match self.faults.get(&index) {
            Some(fault) => Err(Error::data(&path, "file", "a regular file", fault, "remove it, or leave it out")),
            None => read_regular(&path),
        }
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

/// All bytes of a regular file of bounded length.
fn read_regular(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(Error::io(path, "open"))?;
    let metadata = file.metadata().map_err(Error::io(path, "read"))?;
    // It may have become something else since it was found.
    if !metadata.is_file() {
        return Err(Error::data(path, "file", "a regular file", kind_of(&metadata), "remove it, or leave it out"));
    }
    if metadata.len() > MAX_ENCODED_BYTES {
        return Err(too_long(path, "file", metadata.len()));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize + 1);
    file.take(MAX_ENCODED_BYTES + 1).read_to_end(&mut bytes).map_err(Error::io(path, "read"))?;
    Ok(bytes)
}

/// The error for an encoded picture that is larger than any should be.
pub(super) fn too_long(path: &Path, place: &str, found: u64) -> Error {
    let expected = format!("a picture of at most {MAX_ENCODED_BYTES} bytes");
    Error::data(path, place, expected, format!("{found} bytes"), "store it in a format that compresses")
}

fn kind_of(metadata: &Metadata) -> &'static str {
    if metadata.is_dir() { "a folder" } else { "a pipe, socket or device" }
}

/// What a name in a folder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    Link,
    Other,
}

/// The names in a folder, in the order of their bytes.
fn listed(path: &Path) -> io::Result<Vec<(OsString, Kind)>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let kind = match entry.file_type() {
            Ok(kind) if kind.is_symlink() => Kind::Link,
            Ok(kind) if kind.is_dir() => Kind::Folder,
            // What has no readable type is told when its length is asked for.
            _ => Kind::Other,
        };
        names.push((entry.file_name(), kind));
    }
    names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Ok(names)
}

/// One file found, or the reason why it is none.
struct Found {
    /// The path below the root, in raw bytes with `/` between parts.
    relative: Box<[u8]>,
    times: Times,
    fault: Option<Box<str>>,
}

/// A symbolic link to be followed when everything else is known.
struct Link {
    path: PathBuf,
    relative: Vec<u8>,
    depth: usize,
}

#[derive(Default)]
struct Walk {
    found: Vec<Found>,
    links: Vec<Link>,
    seen: HashSet<Identity>,
    left_out: LeftOut,
    repeated: usize,
}

impl Walk {
    fn folder(&mut self, path: &Path, relative: &[u8], depth: usize) {
        let entries = match listed(path) {
            Ok(entries) => entries,
            Err(error) => return self.fault(relative, format!("a folder that cannot be listed: {error}")),
        };
        let mut links = Vec::new();
        for (name, kind) in entries {
            let raw = raw_bytes(&name);
            if is_passed_over(&raw) {
                self.left_out.add_passed_over(&raw);
                continue;
            }
            let below = if relative.is_empty() { raw } else { [relative, &raw[..]].join(&b'/') };
            let path = path.join(name);
            match kind {
                Kind::Link => links.push(Link { path, relative: below, depth }),
                Kind::Folder => self.enter(&path, &below, depth, fs::symlink_metadata(&path)),
                Kind::Other => self.file(&path, &below, || fs::symlink_metadata(&path)),
            }
        }
        // The stack of links is emptied from its end.
        links.reverse();
        self.links.splice(0..0, links);
    }

    fn enter(&mut self, path: &Path, relative: &[u8], depth: usize, metadata: io::Result<Metadata>) {
        let metadata = match metadata {
            Ok(metadata) => metadata,
            Err(error) => return self.fault(relative, error.to_string()),
        };
        if depth + 1 >= MAX_DEPTH {
            return self.fault(relative, format!("a folder more than {MAX_DEPTH} folders deep"));
        }
        match self.seen.insert(Identity::of(path, &metadata)) {
            true => self.folder(path, relative, depth + 1),
            false => self.repeated += 1,
        }
    }

    fn file(&mut self, path: &Path, relative: &[u8], metadata: impl FnOnce() -> io::Result<Metadata>) {
        if !is_picture(relative) {
            self.left_out.add_file(relative);
            return;
        }
        let metadata = match metadata() {
            Ok(metadata) if metadata.is_file() => metadata,
            Ok(metadata) => return self.fault(relative, kind_of(&metadata).to_owned()),
            Err(error) => return self.fault(relative, error.to_string()),
        };
        if !self.seen.insert(Identity::of(path, &metadata)) {
            self.repeated += 1;
            return;
        }
        self.found.push(Found { relative: relative.into(), times: Times::of(&metadata), fault: None });
    }

    fn follow(&mut self, Link { path, relative, depth }: Link) {
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => self.enter(&path, &relative, depth, Ok(metadata)),
            Ok(metadata) => self.file(&path, &relative, || Ok(metadata)),
            Err(_) if !is_picture(&relative) => self.left_out.add_file(&relative),
            Err(error) => self.fault(&relative, format!("a link that leads nowhere: {error}")),
        }
    }

    fn fault(&mut self, relative: &[u8], fault: String) {
        self.found.push(Found { relative: relative.into(), times: Times::default(), fault: Some(fault.into()) });
    }

    fn into_folder(mut self, root: &Path) -> Result<Folder> {
        if self.found.iter().all(|found| found.fault.is_some() && !is_picture(&found.relative)) {
            return Err(self.nothing(root));
        }
        self.found.sort_unstable_by(|a, b| a.relative.cmp(&b.relative));
        let names: Vec<String> = self.found.iter().map(|found| escaped(&found.relative)).collect();
        let Arrangement { placed, mut told } = Arrangement::of(&names);
        told.add(&self.left_out);
        if self.repeated > 0 {
            let further = format!("{} further names of files and folders that were found before", self.repeated);
            told.notes.insert(0, format!("{further} (links, hard ones too) are left out"));
        }
        let (mut odd_paths, mut faults, mut hash, mut stored) = (HashMap::new(), HashMap::new(), Sha256::new(), 0);
        let mut entries = Vec::with_capacity(names.len());
        for ((found, name), placed) in self.found.into_iter().zip(names).zip(placed) {
            let Some(Placed { part, label }) = placed else { continue };
            let index = entries.len();
            found.times.hash_into(&mut hash, &found.relative);
            stored += found.times.len();
            if name.as_bytes() != &*found.relative {
                odd_paths.insert(index, root.join(name_of(&found.relative)));
            }
            if let Some(fault) = found.fault {
                hash.update(fault.as_bytes());
                faults.insert(index, fault.into());
            }
            entries.push(Entry { name, label, part });
        }
        // What is told is kept with the pixels, so other words are another set.
        hash.update(format!("{told:?}"));
        let name = root.file_name().map_or_else(|| "pictures".into(), |name| escaped(&raw_bytes(name)));
        let origin = Origin { name, path: root.to_owned(), stamp: hex(&hash.finalize()) };
        Ok(Folder { listing: Listing { origin, entries }, odd_paths, faults, told, stored })
    }

    fn nothing(&self, root: &Path) -> Error {
        let only = self.left_out.in_words();
        let mut found = only.map_or_else(|| "nothing in it".to_owned(), |only| format!("only {only}"));
        if let Some(unread) = self.found.first() {
            let fault = unread.fault.as_deref().unwrap_or_default();
            found = format!("none, and `{}`, {fault}", escaped(&unread.relative));
        }
        let endings = ENDINGS.map(|ending| format!(".{ending}")).join(", ");
        let help = "give a folder with pictures in it, or in its sub-folders, one for each class; or one with the four IDX files of a set";
        Error::data(root, "images", format!("files that end in {endings}"), found, help)
    }
}
