//! Files and checkpoint directories that are there whole or not at all, whatever happens while they are written.
//!
//! [`write_file`] writes a temporary file next to the target (never in a folder for temporary files, which may be small
//! or on another device), syncs it, renames it over the target and syncs the folder. [`write_dir`] does the same for a
//! checkpoint, a folder of files: they go to a sibling folder `last.writing`, then `manifest.json` with the size and
//! SHA-256 of each, then the folders change places. No rename replaces a folder that has something in it, so for a
//! moment there is no `last`; the sibling is complete by then, and [`open_dir`] knows where to look.
//!
//! What is found decides, not what is remembered: [`open_dir`] takes the newest of `last.writing`, `last` and
//! `last.previous` whose files all match its manifest, and says which. A folder without a complete manifest is the
//! remains of an interrupted save; the next save clears it away. What was not written here is never deleted: a file
//! that stands in the way is kept under another name, `last.kept-1`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::files::{Files, Kind};
use crate::error::{Error, Result};

mod output;

pub use output::write_file;

/// Version of the checkpoint layout written here. Newer ones are refused by number.
pub const FORMAT_VERSION: u32 = 1;
/// Name of the file that makes a folder a checkpoint.
pub const MANIFEST: &str = "manifest.json";
/// Longest manifest accepted, in bytes.
pub const MAX_MANIFEST_BYTES: u64 = 1 << 16;
/// Longest file of a checkpoint accepted, in bytes: a weight file of the largest size.
pub const MAX_FILE_BYTES: u64 = super::weights::MAX_FILE_BYTES;
/// Longest text of a checkpoint accepted, in bytes: its state with the history of some hundred thousand epochs, its configuration.
pub const MAX_TEXT_BYTES: u64 = 1 << 26;

/// The cure for a checkpoint that cannot be used.
const ANOTHER: &str = "resume from another checkpoint of the run, or train again";

/// A checkpoint, read and verified: every file has the size and SHA-256 that its manifest tells.
#[derive(Debug)]
pub struct Checkpoint {
    /// The folder it was read from.
    pub dir: PathBuf,
    /// Why it was that folder.
    pub origin: Origin,
    /// The optimiser step it was taken at.
    pub step: u64,
    /// The files' bytes, by name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What was wrong with newer folders that were passed over.
    pub passed_over: Vec<Error>,
}

/// Which of its possible places a checkpoint was found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Its own name; the usual case.
    Target,
    /// The sibling `*.writing`: the save was complete, but interrupted before the folders changed places.
    Writing,
    /// The sibling `*.previous`: the newer one is missing or damaged.
    Previous,
}

impl Checkpoint {
    /// The bytes of one file.
    ///
    /// # Errors
    /// [`Error::Model`] if the checkpoint has no file of this name.
    pub fn file(&self, name: &str) -> Result<&[u8]> {
        let have = || format!("{:?}", self.files.keys().collect::<Vec<_>>());
        let absent = || Error::model(&self.dir, "files", format!("a file `{name}`"), have(), ANOTHER);
        self.files.get(name).map(Vec::as_slice).ok_or_else(absent)
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format_version: u32,
    step: u64,
    files: BTreeMap<String, Record>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    bytes: u64,
    sha256: String,
}

/// One thing asked of the file system: each can fail, and each can be the last before the power goes.
enum Step<'a> {
    CreateDir(&'a Path),
    /// Creates a file that must not exist, fills it and waits until it is stored.
    Write(&'a Path, &'a [u8]),
    SyncDir(&'a Path),
    Rename(&'a Path, &'a Path),
    RemoveFile(&'a Path),
    RemoveDir(&'a Path),
}

/// What performs the steps on some files: [`perform`], or in tests something that stops after any of them.
struct Disk<'a> {
    files: &'a Files,
    act: &'a mut dyn FnMut(&Files, Step) -> io::Result<()>,
}

impl Disk<'_> {
    fn step(&mut self, step: Step) -> io::Result<()> {
        (self.act)(self.files, step)
    }
}

fn perform(files: &Files, step: Step) -> io::Result<()> {
    match step {
        Step::CreateDir(path) => files.create_dir_new(path),
        Step::Write(path, bytes) => {
            let mut file = files.create_new(path)?;
            file.write_all(bytes)?;
            file.sync_all()
        }
        Step::SyncDir(path) => files.sync_dir(path),
        Step::Rename(from, to) => files.rename(from, to),
        Step::RemoveFile(path) => files.remove_file(path),
        Step::RemoveDir(path) => files.remove_dir(path),
    }
}

/// Replaces a file of a run as [`write_file`] does, but follows no link and refuses what is no plain file.
pub(crate) fn write_file_in(files: &Files, path: &Path, bytes: &[u8]) -> Result<()> {
    write_file_on(&mut Disk { files, act: &mut perform }, path, bytes)
}

fn write_file_on(disk: &mut Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let unique = format!("writing-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let temporary = sibling(path, &unique)?;
    let result = disk
        .step(Step::Write(&temporary, bytes))
        .map_err(io_or_full(path, "write", bytes.len() as u64))
        .and_then(|()| disk.step(Step::Rename(&temporary, path)).map_err(Error::io(path, "replace")));
    if result.is_err() {
        // Of the two errors the first is the one to tell.
        let _ = disk.step(Step::RemoveFile(&temporary));
    }
    result?;
    let folder = folder_of(path);
    disk.step(Step::SyncDir(&folder)).map_err(Error::io(&folder, "sync"))
}

/// The three places a checkpoint may be in.
struct Places {
    target: PathBuf,
    writing: PathBuf,
    previous: PathBuf,
}

impl Places {
    fn of(target: &Path) -> Result<Self> {
        let (writing, previous) = (sibling(target, "writing")?, sibling(target, "previous")?);
        Ok(Self { target: target.to_owned(), writing, previous })
    }

    /// Where to look, newest first: a complete `writing` has not yet become `target`.
    fn newest_first(&self) -> [(Origin, &Path); 3] {
        [(Origin::Writing, &self.writing), (Origin::Target, &self.target), (Origin::Previous, &self.previous)]
    }
}

/// Writes `files` (name and bytes each) as the checkpoint `target`, taken at optimiser step `step`.
///
/// At every instant, [`open_dir`] finds the checkpoint that was there before or the new one. The one before stays beside it as
/// `TARGET.previous`, to fall back on should the new one be damaged. The folder above `target`
/// is created where it is missing. Two processes must not write the same checkpoint: hold the run's
/// [`RunLock`](super::lock::RunLock).
///
/// # Errors
/// [`Error::Io`] with path and action; the old checkpoint stays and the unfinished new one is removed. [`Error::Model`]
/// if the remains of an interrupted save are of a newer format version.
///
/// # Panics
/// If a file's name is not a plain one, is given twice or is [`MANIFEST`].
///
/// ```
/// use elbo::run::atomic::{open_dir, write_dir};
///
/// # let folder = tempfile::tempdir().unwrap();
/// let last = folder.path().join("last");
/// write_dir(&last, 100, &[("state.json", b"{}")])?;
/// write_dir(&last, 200, &[("state.json", b"[]")])?;
/// let checkpoint = open_dir(&last)?;
/// assert_eq!((checkpoint.step, checkpoint.file("state.json")?), (200, b"[]".as_slice()));
///
/// std::fs::write(last.join("state.json"), "{").unwrap(); // damage is noticed, and the one before taken
/// let checkpoint = open_dir(&last)?;
/// assert_eq!((checkpoint.step, checkpoint.passed_over.len()), (100, 1));
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn write_dir(target: impl AsRef<Path>, step: u64, files: &[(&str, &[u8])]) -> Result<()> {
    let (target, root) = (target.as_ref(), root_of(target.as_ref()));
    Files::make_root(root).map_err(Error::io(root, "create"))?;
    write_dir_in(&Files::new(root), target, step, files)
}

/// [`write_dir`] below the root of some files; folders between the two are not created.
pub(crate) fn write_dir_in(below: &Files, target: &Path, step: u64, files: &[(&str, &[u8])]) -> Result<()> {
    write_dir_on(&mut Disk { files: below, act: &mut perform }, target, step, files)
}

fn write_dir_on(disk: &mut Disk, target: &Path, step: u64, files: &[(&str, &[u8])]) -> Result<()> {
    let manifest = manifest_of(step, files);
    let places = Places::of(target)?;
    finish_interrupted(disk, &places)?;
    let written = stage(disk, &places.writing, &manifest, files).and_then(|()| change_places(disk, &places));
    if written.is_err() {
        // The save has failed and says why; what cannot be cleared now, the next save clears.
        let _ = clear(disk, &places.writing, Leftover::Unfinished);
    }
    written
}

/// Ends what a killed process began: a complete `writing` becomes the checkpoint, any other is cleared away.
fn finish_interrupted(disk: &mut Disk, places: &Places) -> Result<()> {
    if !exists(disk.files, &places.writing)? {
        return Ok(());
    }
    refuse_newer(disk.files, &places.writing)?;
    match load(disk.files, &places.writing) {
        Ok(_) => change_places(disk, places),
        // It may be sound and only out of reach for now.
        Err(error @ Error::Io { .. }) => Err(error),
        Err(_) => clear(disk, &places.writing, Leftover::Unfinished),
    }
}

/// Puts the newest checkpoint of `target` in its place and clears away what killed saves left beside it. Hold the run's lock.
///
/// [`open_dir`] finds the newest wherever it is; this is for those who look into the folder themselves, and saves room.
///
/// # Errors
/// [`Error::Io`]; [`Error::Model`] if what was being written is of a newer format version.
pub fn settle_dir(target: impl AsRef<Path>) -> Result<()> {
    settle_dir_in(&Files::new(root_of(target.as_ref())), target.as_ref())
}

/// [`settle_dir`] below the root of some files.
pub(crate) fn settle_dir_in(below: &Files, target: &Path) -> Result<()> {
    finish_interrupted(&mut Disk { files: below, act: &mut perform }, &Places::of(target)?)
}

/// Writes the files, then the manifest that makes them a checkpoint.
fn stage(disk: &mut Disk, writing: &Path, manifest: &Manifest, files: &[(&str, &[u8])]) -> Result<()> {
    let text = serde_json::to_vec_pretty(manifest).expect("numbers and strings always become JSON");
    let needed = files.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>() + text.len() as u64;
    disk.step(Step::CreateDir(writing)).map_err(io_or_full(writing, "create", needed))?;
    for (name, bytes) in files.iter().copied().chain([(MANIFEST, &text[..])]) {
        let path = writing.join(name);
        disk.step(Step::Write(&path, bytes)).map_err(io_or_full(&path, "write", needed))?;
    }
    disk.step(Step::SyncDir(writing)).map_err(Error::io(writing, "sync"))
}

/// Makes a complete `writing` the target and the target `previous`. From the first step to the last, `writing` or
/// `target` is complete, so the two others are free to change.
fn change_places(disk: &mut Disk, places: &Places) -> Result<()> {
    let Places { target, writing, previous } = places;
    clear(disk, previous, Leftover::Complete)?;
    let aside = if !exists(disk.files, target)? {
        None
    } else if is_ours(disk.files, target)? {
        Some(previous.clone())
    } else {
        Some(unused_name(disk.files, target)?)
    };
    if let Some(aside) = &aside {
        disk.step(Step::Rename(target, aside)).map_err(Error::io(target, "rename"))?;
    }
    if let Err(error) = disk.step(Step::Rename(writing, target)) {
        if let Some(aside) = &aside {
            // Should this fail too, the old checkpoint is still found under its other name.
            let _ = disk.step(Step::Rename(aside, target));
        }
        return Err(Error::io(writing, "rename")(error));
    }
    let folder = folder_of(target);
    disk.step(Step::SyncDir(&folder)).map_err(Error::io(&folder, "sync"))
}

/// What a folder about to be cleared away is.
#[derive(Clone, Copy, PartialEq)]
enum Leftover {
    /// Every file in it was put there by a save that never ended.
    Unfinished,
    /// It was the checkpoint for a while, and others may have put files into it: only those of the manifest go.
    Complete,
}

/// Removes a leftover folder. Anything in it that was not written here is kept, under a name that is free.
fn clear(disk: &mut Disk, dir: &Path, kind: Leftover) -> Result<()> {
    if !exists(disk.files, dir)? {
        return Ok(());
    }
    // The manifest goes last: should this be interrupted, it still tells which of the files may go.
    for name in removable(disk.files, dir, kind)? {
        let path = dir.join(name);
        if exists(disk.files, &path)? {
            disk.step(Step::RemoveFile(&path)).map_err(Error::io(&path, "remove"))?;
        }
    }
    match disk.step(Step::RemoveDir(dir)) {
        Err(error) if [io::ErrorKind::DirectoryNotEmpty, io::ErrorKind::NotADirectory].contains(&error.kind()) => {
            let aside = unused_name(disk.files, dir)?;
            disk.step(Step::Rename(dir, &aside)).map_err(Error::io(dir, "rename"))
        }
        result => result.map_err(Error::io(dir, "remove")),
    }
}

fn removable(files: &Files, dir: &Path, kind: Leftover) -> Result<Vec<String>> {
    if !is_folder(files, dir)? {
        return Ok(Vec::new());
    }
    Ok(match read_manifest(files, dir) {
        Ok(manifest) => manifest.files.into_keys().chain([MANIFEST.to_owned()]).collect(),
        Err(_) if kind == Leftover::Unfinished => plain_files(files, dir)?,
        Err(_) => Vec::new(),
    })
}

fn plain_files(files: &Files, dir: &Path) -> Result<Vec<String>> {
    let names = files.list(dir).map_err(Error::io(dir, "read"))?;
    Ok(names.into_iter().filter_map(|(name, kind)| name.into_string().ok().filter(|_| kind == Kind::File)).collect())
}

/// Whether this is a checkpoint of this format, sound or damaged, or an empty folder. A link never is: what it points
/// to is not to be cleared away.
fn is_ours(files: &Files, dir: &Path) -> Result<bool> {
    let is_empty = || files.list(dir).map(|names| names.is_empty()).map_err(Error::io(dir, "read"));
    Ok(is_folder(files, dir)? && (read_manifest(files, dir).is_ok() || is_empty()?))
}

fn is_folder(files: &Files, dir: &Path) -> Result<bool> {
    let found = files.find(dir).map_err(Error::io(dir, "read"))?;
    Ok(found.is_some_and(|found| found.kind == Kind::Folder))
}

/// Reads the newest valid checkpoint of `target` and verifies every file of it.
///
/// # Errors
/// [`Error::Model`] if there is none, or if one is of a newer format version; [`Error::Io`] if it cannot be read.
pub fn open_dir(target: impl AsRef<Path>) -> Result<Checkpoint> {
    open_dir_in(&Files::new(root_of(target.as_ref())), target.as_ref())
}

/// [`open_dir`] below the root of some files.
pub(crate) fn open_dir_in(files: &Files, target: &Path) -> Result<Checkpoint> {
    let places = Places::of(target)?;
    let mut passed_over = Vec::new();
    for (origin, dir) in places.newest_first() {
        if !exists(files, dir)? {
            continue;
        }
        refuse_newer(files, dir)?;
        match load(files, dir) {
            Ok((step, files)) => return Ok(Checkpoint { dir: dir.to_owned(), origin, step, files, passed_over }),
            // The usual remains of a killed save, and nothing to worry anyone with.
            Err(Error::Model { .. }) if origin == Origin::Writing => {}
            Err(error) => passed_over.push(error),
        }
    }
    let none = || Error::model(target, "checkpoint", "a folder with a complete manifest", "none", ANOTHER);
    Err(passed_over.into_iter().next().unwrap_or_else(none))
}

fn load(below: &Files, dir: &Path) -> Result<(u64, BTreeMap<String, Vec<u8>>)> {
    let manifest = read_manifest(below, dir)?;
    let mut files = BTreeMap::new();
    for (name, record) in manifest.files {
        let path = dir.join(&name);
        let wrong = |expected, found| Err(Error::model(&path, "content", expected, found, ANOTHER));
        let most = longest(&name);
        if record.bytes > most {
            return wrong(format!("at most {most} bytes"), format!("{} bytes in {MANIFEST}", record.bytes));
        }
        let bytes = read_plain(below, &path, record.bytes + LEEWAY)?;
        if bytes.len() as u64 != record.bytes {
            return wrong(format!("{} bytes", record.bytes), format!("{} bytes", bytes.len()));
        }
        let found = sha256_of(&bytes);
        if found != record.sha256 {
            return wrong(format!("SHA-256 {}", shown(&record.sha256)), found);
        }
        files.insert(name, bytes);
    }
    Ok((manifest.step, files))
}

/// Bytes more than a file should have that are read all the same, so that one that grew is told of as damaged.
const LEEWAY: u64 = 1 << 20;

/// The most bytes that a file of a checkpoint may have. What is parsed as text takes more memory than it has bytes.
fn longest(name: &str) -> u64 {
    let is_text = [".json", ".toml"].iter().any(|end| name.ends_with(end));
    if is_text { MAX_TEXT_BYTES } else { MAX_FILE_BYTES }
}

/// Reads a whole file that must be a plain one and no longer than `most`. An I/O error means that the system would not
/// read what is there, and says nothing of its content.
fn read_plain(files: &Files, path: &Path, most: u64) -> Result<Vec<u8>> {
    files.read(path, most).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            Error::model(path, "file", format!("a plain file of at most {most} bytes"), "no such file", ANOTHER)
        }
        _ => Error::io(path, "read")(error),
    })
}

fn read_manifest(files: &Files, dir: &Path) -> Result<Manifest> {
    let path = dir.join(MANIFEST);
    let bytes = read_plain(files, &path, MAX_MANIFEST_BYTES)?;
    let wrong = |expected: &str, found: String| Error::model(&path, "content", expected, found, ANOTHER);
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|error| wrong("a checkpoint's manifest", shown(&error.to_string())))?;
    if manifest.format_version != FORMAT_VERSION {
        let found = format!("version {}", manifest.format_version);
        return Err(wrong(&format!("format version {FORMAT_VERSION}"), found));
    }
    match manifest.files.keys().find(|name| !is_plain_name(name)) {
        Some(name) => Err(wrong("plain file names", format!("`{}`", shown(name)))),
        None => Ok(manifest),
    }
}

/// Refuses a checkpoint of a version yet to come, whose manifest may have fields unknown here.
fn refuse_newer(files: &Files, dir: &Path) -> Result<()> {
    #[derive(Deserialize)]
    struct Version {
        format_version: u32,
    }
    let path = dir.join(MANIFEST);
    let Ok(bytes) = read_plain(files, &path, MAX_MANIFEST_BYTES) else { return Ok(()) };
    match serde_json::from_slice(&bytes) {
        Ok(Version { format_version }) if format_version > FORMAT_VERSION => {
            let (expected, found) = (format!("at most {FORMAT_VERSION}"), format_version.to_string());
            Err(Error::model(path, "format_version", expected, found, "a newer elbo wrote it: update this one"))
        }
        _ => Ok(()),
    }
}

fn manifest_of(step: u64, files: &[(&str, &[u8])]) -> Manifest {
    let mut records = BTreeMap::new();
    for (name, bytes) in files {
        assert!(is_plain_name(name), "{name:?} cannot be a file of a checkpoint");
        let record = Record { bytes: bytes.len() as u64, sha256: sha256_of(bytes) };
        assert!(records.insert(name.to_string(), record).is_none(), "{name:?} is given twice");
    }
    Manifest { format_version: FORMAT_VERSION, step, files: records }
}

/// A name that stays in its folder on every system, and is not the manifest's.
fn is_plain_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (1..=255).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('.') && name != MANIFEST
}

/// The start of a text from a file, its control characters spelt out.
fn shown(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}

fn sha256_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether there is something, be it a link to nowhere.
fn exists(files: &Files, path: &Path) -> Result<bool> {
    files.find(path).map(|found| found.is_some()).map_err(Error::io(path, "look at"))
}

/// The folder of a path that the user named, as the root of what is touched there.
fn root_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn sibling(path: &Path, suffix: &str) -> Result<PathBuf> {
    let Some(name) = path.file_name() else {
        let nameless = io::Error::new(io::ErrorKind::InvalidInput, "the path does not end in a name");
        return Err(Error::io(path, "write")(nameless));
    };
    let mut name = name.to_owned();
    name.push(format!(".{suffix}"));
    Ok(path.with_file_name(name))
}

fn unused_name(files: &Files, path: &Path) -> Result<PathBuf> {
    let mut number = 1;
    loop {
        let name = sibling(path, &format!("kept-{number}"))?;
        if !exists(files, &name)? {
            return Ok(name);
        }
        number += 1;
    }
}

/// Like [`Error::io`]; a full disk is told how much was to be written and how much room there is.
fn io_or_full(path: &Path, action: &'static str, needed: u64) -> impl FnOnce(io::Error) -> Error {
    move |error| {
        let error = match (error.kind(), fs4::available_space(folder_of(path))) {
            (kind @ (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded), Ok(free)) => {
                io::Error::new(kind, format!("{error}: {needed} bytes to write, {free} bytes free"))
            }
            _ => error,
        };
        Error::io(path, action)(error)
    }
}

#[cfg(test)]
mod tests;
