//! What is not taken from a folder or archive, counted by kind, so that nothing is left out in silence.

use std::collections::BTreeMap;

/// Counts of what is not taken.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// Files by the ending of their names, in lower case.
    kinds: BTreeMap<String, usize>,
    /// Hidden files and folders.
    hidden: usize,
    /// Folders and files that systems and file servers put beside those of users.
    systems: BTreeMap<String, usize>,
    /// Members of an archive that are links.
    links: usize,
    /// Members of an archive that are pipes, devices or sparse files.
    special: usize,
    /// Members of an archive that have a password.
    encrypted: usize,
}

/// Endings of pictures, films and raw files of cameras that are not read.
const PICTURES: [&str; 34] = [
    "heic", "heif", "hif", "avif", "jxl", "jp2", "j2k", "jpf", "psd", "svg", "eps", "pdf", "ico", "qoi", "exr", "hdr",
    "dds", "raw", "dng", "cr2", "cr3", "nef", "arw", "orf", "rw2", "raf", "dcm", "nii", "mp4", "mov", "avi", "webm",
    "apng", "xcf",
];

/// Names that systems and file servers use: Synology, QNAP, NetApp, Windows, macOS, Linux.
const SYSTEMS: [&str; 22] = [
    "__macosx",
    "@eadir",
    "@tmp",
    "#recycle",
    "#snapshot",
    "~snapshot",
    "@recycle",
    "@recently-snapshot",
    ".@__thumb",
    "@sharebin",
    "$recycle.bin",
    "recycler",
    "recycled",
    "system volume information",
    "lost+found",
    "network trash folder",
    "temporary items",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "icon\r",
    "found.000",
];

/// Whether files and folders of this name are passed over: hidden ones, and those of systems and file servers.
pub(super) fn is_passed_over(name: &[u8]) -> bool {
    name.first() == Some(&b'.') || is_of_system(name)
}

fn is_of_system(name: &[u8]) -> bool {
    SYSTEMS.iter().any(|system| name.eq_ignore_ascii_case(system.as_bytes()))
}

impl LeftOut {
    /// A file that is not taken, by its name.
    pub fn add_file(&mut self, name: &[u8]) {
        let name = name.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        let ending = name.iter().rposition(|&byte| byte == b'.').map(|dot| &name[dot + 1..]);
        let plain = |ending: &&[u8]| (1..=8).contains(&ending.len()) && ending.iter().all(u8::is_ascii_alphanumeric);
        let kind = ending.filter(plain).map(|ending| String::from_utf8_lossy(ending).to_ascii_lowercase());
        *self.kinds.entry(kind.unwrap_or_default()).or_default() += 1;
    }

    /// A file or folder whose name [`is_passed_over`].
    pub fn add_passed_over(&mut self, name: &[u8]) {
        match is_of_system(name) {
            true => *self.systems.entry(super::arrangement::escaped(name)).or_default() += 1,
            false => self.hidden += 1,
        }
    }

    /// A member that is a link.
    pub fn add_link(&mut self) {
        self.links += 1;
    }

    /// A member that is a pipe, a device or a sparse file.
    pub fn add_special(&mut self) {
        self.special += 1;
    }

    /// A member with a password.
    pub fn add_encrypted(&mut self) {
        self.encrypted += 1;
    }

    /// Files of other kinds.
    fn others(&self) -> usize {
        self.kinds.values().sum()
    }

    fn by_kind(&self) -> String {
        const SHOWN: usize = 8;
        let mut kinds: Vec<_> = self.kinds.iter().collect();
        kinds.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let shown = kinds.iter().take(SHOWN).map(|(kind, count)| match kind.as_str() {
            "" => format!("{count} without an ending"),
            kind => format!("{count} .{kind}"),
        });
        let rest: usize = kinds.iter().skip(SHOWN).map(|(_, count)| **count).sum();
        let rest = (rest > 0).then(|| format!("{rest} of further kinds"));
        shown.chain(rest).collect::<Vec<_>>().join(", ")
    }

    /// Everything, for a message that there is nothing else.
    pub fn in_words(&self) -> Option<String> {
        let counted = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let some = |n: usize, what: &str| (n > 0).then(|| counted(n, what));
        let systems: usize = self.systems.values().sum();
        let parts = [
            (self.others() > 0).then(|| format!("{} ({})", counted(self.others(), "other file"), self.by_kind())),
            some(self.hidden, "hidden name"),
            some(systems, "name of a system or file server"),
            some(self.links, "link"),
            some(self.special, "pipe, device or sparse file"),
            some(self.encrypted, "file with a password")
                .map(|text| text.replace("file with a passwords", "files with a password")),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(" and "))
    }

    /// What was passed over and is no picture.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.others() > 0 && !self.has_pictures() {
            notes.push(format!("left out by their kind: {}", self.by_kind()));
        }
        if self.hidden > 0 {
            let names = if self.hidden == 1 { "name" } else { "names" };
            notes.push(format!("passed over: {} hidden {names}", self.hidden));
        }
        if !self.systems.is_empty() {
            let names: Vec<_> = self.systems.iter().map(|(name, count)| format!("{count} `{name}`")).collect();
            notes.push(format!("passed over, since they belong to a system or file server: {}", names.join(", ")));
        }
        if self.links > 0 {
            notes.push(format!(
                "left out: {} links inside the archive; pack the files themselves (`tar chf`)",
                self.links
            ));
        }
        if self.special > 0 {
            notes.push(format!("left out: {} pipes, devices or sparse files inside the archive", self.special));
        }
        notes
    }

    /// What to do with a file that holds nothing but this, where its kinds tell what it is.
    pub fn cure(&self) -> Option<&'static str> {
        const CURES: [(&[&str], &str); 5] = [
            (&["npy"], "these are NumPy's arrays: give the file a name that ends in .npz"),
            (&["csv", "tsv", "parquet", "amat"], "unpack it (`unzip FILE`, `tar xf FILE`) and give the table"),
            (&["xml", "rels"], "an office document: save the sheet as CSV, or give the pictures themselves"),
            (
                &["pkl", "pt", "pth"],
                "a PyTorch file: convert it where it comes from, `numpy.savez(\"set.npz\", x=...)`",
            ),
            (
                &["zip", "tar", "gz", "tgz", "xz", "7z", "rar"],
                "an archive in an archive: unpack the outer one and give what is in it",
            ),
        ];
        let holds = |kind: &&str| self.kinds.contains_key(*kind);
        CURES.iter().find(|(kinds, _)| kinds.iter().any(holds)).map(|(_, cure)| *cure)
    }

    fn has_pictures(&self) -> bool {
        self.kinds.keys().any(|kind| PICTURES.contains(&kind.as_str()))
    }

    /// That pictures are left out.
    pub fn warning(&self) -> Option<String> {
        let encrypted = (self.encrypted > 0).then(|| {
            format!("{} files of the archive have a password and are left out: pack it without one", self.encrypted)
        });
        let kinds = self.has_pictures().then(|| {
            let by_kind = self.by_kind();
            format!("left out by their kind: {by_kind}; convert pictures first (`magick mogrify -format png FILES`)")
        });
        match (encrypted, kinds) {
            (Some(one), Some(other)) => Some(format!("{one}; {other}")),
            (one, other) => one.or(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_counted_and_pictures_among_them_are_a_warning() {
        let mut left = LeftOut::default();
        for name in ["a/IMG.HEIC", "b.heic", "notes.txt", "README", "x.tar.gz-old"] {
            left.add_file(name.as_bytes());
        }
        assert_eq!(left.by_kind(), "2 without an ending, 2 .heic, 1 .txt");
        assert!(left.warning().unwrap().contains("2 .heic") && left.notes().is_empty());
        let mut plain = LeftOut::default();
        plain.add_file(b"a.json");
        plain.add_passed_over(b".DS_Store");
        plain.add_passed_over(b"@eaDir");
        assert_eq!(plain.warning(), None);
        let notes = plain.notes().join("\n");
        assert!(
            notes.contains("1 .json") && notes.contains("1 hidden name") && notes.contains("1 `@eaDir`"),
            "{notes}"
        );
    }

    #[test]
    fn archives_of_something_else_are_told_what_they_are() {
        for (name, cure) in [
            ("x.npy", ".npz"),
            ("train/t.csv", "unzip"),
            ("xl/workbook.xml", "CSV"),
            ("archive/data.pkl", "PyTorch"),
            ("a/part1.zip", "outer"),
        ] {
            let mut left = LeftOut::default();
            left.add_file(name.as_bytes());
            assert!(left.cure().unwrap().contains(cure), "{name}");
        }
        assert_eq!(LeftOut::default().cure(), None);
    }

    #[test]
    fn names_of_systems_are_known_in_any_case() {
        for name in
            ["@eaDir", "$RECYCLE.BIN", "$Recycle.Bin", ".AppleDouble", "__MACOSX", "Thumbs.db", "lost+found", ".x"]
        {
            assert!(is_passed_over(name.as_bytes()), "{name}");
        }
        assert!(!is_passed_over(b"cat") && !is_passed_over(b"x.png"));
    }
}
