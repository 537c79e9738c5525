//! The one way to the files of a run: below its folder nothing is reached through a link, and nothing but plain files is opened.
//!
//! A run directory may come from anywhere. A link in it would lead reads to files that are nobody's business and writes over
//! files outside; a pipe in the place of a file would make opening it wait for ever; a device has no end. So every path below
//! a [`Files`]' root is walked folder by folder, each opened without following links, and what is opened at its end is asked
//! first what it is, by the very handle that is read. The root itself is the user's word: it may be a link.
//!
//! A root that is [held](Files::hold) open stays the same folder whatever happens to its name: who removes a run under its
//! trainer does not get another in its place, but an error.
//!
//! A test (`tests/layers/run_files.rs`) reads the sources for any other way to open files of a run.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::error::Refused;

#[cfg(any(not(unix), test))]
mod portable;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
use portable as system;
#[cfg(unix)]
use unix as system;

use system::Dir;

/// Folders in folders that [`Files::remove_tree`] goes down, at most: a run with a prior of a prior has five.
const DEEPEST: usize = 32;
/// The folder of a run that other runs lie in.
const PRIORS: &str = "priors";

/// What there is under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A plain file.
    File,
    /// A folder, which is no link to one.
    Folder,
    /// A link, whatever it leads to.
    Link,
    /// A pipe, a socket or a device.
    Other,
}

impl Kind {
    /// In a sentence.
    fn name(self) -> &'static str {
        match self {
            Self::File => "a file",
            Self::Folder => "a folder",
            Self::Link => "a link",
            Self::Other => "a pipe, socket or device",
        }
    }
}

/// What the system tells of something without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// What it is.
    pub kind: Kind,
    /// Bytes of a file.
    pub len: u64,
    /// When it was last written, where the system tells.
    pub modified: Option<SystemTime>,
    /// Names that a file has: with more than one, to write into it is to write into another file too.
    pub names: u64,
}

/// The files below one folder. Paths are whole ones, as messages show them, and must begin with the root.
#[derive(Debug, Clone)]
pub struct Files {
    root: PathBuf,
    /// The root, where it is kept open; else it is opened by its name each time.
    held: Option<Arc<Dir>>,
}

impl Files {
    /// The files below `root`, which is looked up by its name each time.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), held: None }
    }

    /// The files below the folder that is now at `root`, wherever it may be moved.
    ///
    /// # Errors
    /// If it is no folder that can be opened.
    pub fn hold(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        let held = Some(Arc::new(system::root(&root)?));
        Ok(Self { root, held })
    }

    /// Whether anything has the name `path`, be it a link to nowhere.
    pub fn is_taken(path: &Path) -> bool {
        path.symlink_metadata().is_ok()
    }

    /// Creates a root with all folders above it, as the user named it. One that is there is good.
    ///
    /// # Errors
    /// If it cannot.
    pub fn make_root(root: &Path) -> io::Result<()> {
        if root == Path::new("") { Ok(()) } else { std::fs::create_dir_all(root) }
    }

    /// What a run at `path` may reach: its own folder, or for a prior in the folder of another run that one, so that no
    /// link in it leads to the prior.
    pub fn root_of_run(path: &Path) -> PathBuf {
        let mut root = path.to_owned();
        while let Some(above) = run_above(&root) {
            root = above;
        }
        root
    }

    /// What there is at `path`; none where there is nothing, or no folder that it could be in.
    ///
    /// # Errors
    /// If the system cannot tell, or something on the way is no folder: that is not the same as nothing.
    pub fn find(&self, path: &Path) -> io::Result<Option<Found>> {
        let found = self.at(path).and_then(|(dir, name)| match name {
            Some(name) => system::find(&dir, &name),
            None => system::find_itself(&dir),
        });
        match found {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether there is a plain file at `path`.
    ///
    /// # Errors
    /// As [`Files::find`], and if there is anything else.
    pub fn has_file(&self, path: &Path) -> io::Result<bool> {
        self.has(path, Kind::File)
    }

    /// Whether there is a folder at `path`.
    ///
    /// # Errors
    /// As [`Files::find`], and if there is anything else.
    pub fn has_folder(&self, path: &Path) -> io::Result<bool> {
        self.has(path, Kind::Folder)
    }

    fn has(&self, path: &Path, expected: Kind) -> io::Result<bool> {
        match self.find(path)? {
            None => Ok(false),
            Some(found) if found.kind == expected => Ok(true),
            Some(found) => Err(refused(path, expected, found.kind)),
        }
    }

    /// Opens a plain file to read.
    ///
    /// # Errors
    /// If there is none, or something that is no plain file.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        let (dir, name) = self.named(path)?;
        let file = system::open(&dir, &name).map_err(|error| self.explained(path, error))?;
        plain(path, file)
    }

    /// Opens a plain file to read and write in place, made where there is none. Nothing is cut off.
    ///
    /// # Errors
    /// If it cannot be opened, is no plain file, or has a second name under which somebody else may know it.
    pub fn open_or_create(&self, path: &Path) -> io::Result<File> {
        let (dir, name) = self.named(path)?;
        let file = system::open_or_create(&dir, &name).map_err(|error| self.explained(path, error))?;
        let file = plain(path, file)?;
        match self.find(path)? {
            Some(Found { names: 2.., .. }) => Err(Refused::of(path, "a file of its own", "one that has a second name")),
            _ => Ok(file),
        }
    }

    /// Creates a file that must not exist, to write.
    ///
    /// # Errors
    /// If it cannot, or there is anything at `path`, be it a link to nowhere.
    pub fn create_new(&self, path: &Path) -> io::Result<File> {
        let (dir, name) = self.named(path)?;
        system::create_new(&dir, &name)
    }

    /// Reads a whole plain file of at most `most` bytes.
    ///
    /// # Errors
    /// If it cannot be read, is no plain file, or is longer; then nothing of it is read.
    pub fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        let file = self.open(path)?;
        let length = file.metadata()?.len();
        let too_long = |found: String| Refused::of(path, format!("at most {most} bytes"), found);
        if length > most {
            return Err(too_long(format!("{length} bytes")));
        }
        let mut bytes = Vec::with_capacity(length as usize);
        // It may grow while it is read.
        file.take(most + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most { Err(too_long("more, growing".into())) } else { Ok(bytes) }
    }

    /// Creates a folder that must not exist.
    ///
    /// # Errors
    /// If it cannot, or there is anything at `path`.
    pub fn create_dir_new(&self, path: &Path) -> io::Result<()> {
        let (dir, name) = self.named(path)?;
        system::create_dir(&dir, &name)
    }

    /// Creates a folder; one that is there already is good.
    ///
    /// # Errors
    /// If it cannot, or something else is there.
    pub fn create_dir(&self, path: &Path) -> io::Result<()> {
        match self.create_dir_new(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.has_folder(path).map(drop),
            result => result,
        }
    }

    /// Creates the folders from the root down to `path` that there are not.
    ///
    /// # Errors
    /// As [`Files::create_dir`].
    pub fn create_dirs(&self, path: &Path) -> io::Result<()> {
        let mut folder = self.root.clone();
        for name in self.below(path)? {
            folder.push(name);
            self.create_dir(&folder)?;
        }
        Ok(())
    }

    /// Puts a file or folder in another place. A file replaces a plain file that is there.
    ///
    /// # Errors
    /// If it cannot, or a link, pipe or device is in that place: nobody who put it there wants it replaced.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if let Some(Found { kind: kind @ (Kind::Link | Kind::Other), .. }) = self.find(to)? {
            return Err(refused(to, Kind::File, kind));
        }
        let ((from_dir, from), (to_dir, to)) = (self.named(from)?, self.named(to)?);
        system::rename(&from_dir, &from, &to_dir, &to)
    }

    /// Removes a file, or a link itself.
    ///
    /// # Errors
    /// If it cannot.
    pub fn remove_file(&self, path: &Path) -> io::Result<()> {
        let (dir, name) = self.named(path)?;
        system::remove_file(&dir, &name)
    }

    /// Removes an empty folder.
    ///
    /// # Errors
    /// If it cannot.
    pub fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let (dir, name) = self.named(path)?;
        system::remove_dir(&dir, &name)
    }

    /// Removes a folder with all that is in it; links go, and what they lead to stays.
    ///
    /// # Errors
    /// If something cannot be removed, or folders lie deeper than any that are made here.
    pub fn remove_tree(&self, path: &Path) -> io::Result<()> {
        self.remove_below(path, DEEPEST)
    }

    fn remove_below(&self, path: &Path, depth: usize) -> io::Result<()> {
        for (name, kind) in self.list(path)? {
            let inner = path.join(name);
            match (kind, depth) {
                (Kind::Folder, 0) => return Err(Refused::of(&inner, "no folder so deep", "one")),
                (Kind::Folder, _) => self.remove_below(&inner, depth - 1)?,
                _ => self.remove_file(&inner)?,
            }
        }
        self.remove_dir(path)
    }

    /// The names in a folder, in alphabetical order, each with what it is.
    ///
    /// # Errors
    /// If there is no such folder, or it cannot be read.
    pub fn list(&self, path: &Path) -> io::Result<Vec<(OsString, Kind)>> {
        let dir = match self.at(path)? {
            (dir, None) => dir,
            (dir, Some(name)) => Arc::new(enter(&dir, &name, path)?),
        };
        let mut names = Vec::new();
        for name in system::names(&dir)? {
            match system::find(&dir, &name) {
                Ok(found) => names.push((name, found.kind)),
                // Gone since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        names.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(names)
    }

    /// Waits until the names in a folder are stored for good.
    ///
    /// # Errors
    /// If the system cannot.
    pub fn sync_dir(&self, path: &Path) -> io::Result<()> {
        match self.at(path)? {
            (dir, None) => system::sync(&dir),
            (dir, Some(name)) => system::sync(&enter(&dir, &name, path)?),
        }
    }

    /// The names from the root to `path`.
    fn below(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let outside = || Refused::of(path, format!("a path in {}", self.root.display()), "one outside");
        let below = path.strip_prefix(&self.root).map_err(|_| outside())?;
        let name = |part: Component<'_>| match part {
            Component::Normal(name) => Ok(name.to_owned()),
            _ => Err(outside()),
        };
        // `.` is the root itself where that is the current folder.
        below.components().filter(|part| *part != Component::CurDir).map(name).collect()
    }

    /// The folder that `path` is in, and its name there; the root itself has none.
    fn at(&self, path: &Path) -> io::Result<(Arc<Dir>, Option<OsString>)> {
        let mut names = self.below(path)?;
        let name = names.pop();
        let mut dir = match &self.held {
            Some(held) => Arc::clone(held),
            None => Arc::new(system::root(&self.root)?),
        };
        let mut place = self.root.clone();
        for name in names {
            place.push(&name);
            dir = Arc::new(enter(&dir, &name, &place)?);
        }
        Ok((dir, name))
    }

    fn named(&self, path: &Path) -> io::Result<(Arc<Dir>, OsString)> {
        match self.at(path)? {
            (dir, Some(name)) => Ok((dir, name)),
            _ => Err(Refused::of(path, "a name in the folder", "the folder itself")),
        }
    }

    /// Systems say in different words that a link was not followed.
    fn explained(&self, path: &Path, error: io::Error) -> io::Error {
        match self.find(path) {
            Ok(Some(found)) if found.kind != Kind::File => refused(path, Kind::File, found.kind),
            _ => error,
        }
    }
}

/// Opens a folder in a folder.
fn enter(dir: &Dir, name: &OsString, path: &Path) -> io::Result<Dir> {
    system::enter(dir, name).map_err(|error| match system::find(dir, name) {
        Ok(found) if found.kind != Kind::Folder => refused(path, Kind::Folder, found.kind),
        _ => error,
    })
}

/// Refuses a file that turns out to be none once it is open.
fn plain(path: &Path, file: File) -> io::Result<File> {
    let kind = match file.metadata()? {
        metadata if metadata.is_file() => return Ok(file),
        metadata if metadata.is_dir() => Kind::Folder,
        _ => Kind::Other,
    };
    Err(refused(path, Kind::File, kind))
}

fn refused(path: &Path, expected: Kind, found: Kind) -> io::Error {
    let expected = match expected {
        Kind::Folder => "a folder of the run's own",
        _ => "a plain file of the run's own",
    };
    Refused::of(path, expected, found.name())
}

/// The run in whose folder `priors` this one lies.
fn run_above(path: &Path) -> Option<PathBuf> {
    let priors = path.parent().filter(|parent| parent.file_name().is_some_and(|name| name == PRIORS))?;
    let run = match priors.parent()? {
        run if run == Path::new("") => Path::new("."),
        run => run,
    };
    let is_run = Files::is_taken(&run.join("run.json"));
    // As it was written, so that the path begins with it.
    is_run.then(|| priors.parent().unwrap_or(run).to_owned())
}

#[cfg(test)]
mod tests;
