//! Links, pipes and second names in every place where a file or folder of a run could be.

use std::fs;
use std::io::Write;

use super::*;
use crate::error::{Error, ErrorKind};

fn words(error: io::Error) -> String {
    let error = Error::io("x", "read")(error);
    assert_eq!(error.kind(), ErrorKind::Model, "{error}");
    error.to_string()
}

#[test]
fn plain_files_are_read_written_listed_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for files in [Files::new(root), Files::hold(root).unwrap()] {
        let (inner, file) = (root.join("a/b"), root.join("a/b/c"));
        files.create_dirs(&inner).unwrap();
        files.create_dirs(&inner).unwrap();
        files.create_new(&file).unwrap().write_all(b"12345").unwrap();
        assert!(
            files.create_new(&file).is_err() && files.has_file(&file).unwrap() && files.has_folder(&inner).unwrap()
        );
        assert_eq!(files.read(&file, 5).unwrap(), b"12345");
        let error = files.read(&file, 4).unwrap_err();
        assert!(words(error).ends_with("expected at most 4 bytes, found 5 bytes"));
        files.rename(&file, &root.join("d")).unwrap();
        assert_eq!(files.list(root).unwrap(), [("a".into(), Kind::Folder), ("d".into(), Kind::File)]);
        assert!(files.find(&file).unwrap().is_none() && files.find(&root.join("x/y/z")).unwrap().is_none());
        files.sync_dir(root).unwrap();
        files.remove_file(&root.join("d")).unwrap();
        files.remove_tree(&root.join("a")).unwrap();
        assert!(files.list(root).unwrap().is_empty());
    }
}

#[test]
fn no_path_leads_out_of_the_root() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("run");
    fs::create_dir(&root).unwrap();
    fs::write(folder.path().join("secret"), "1").unwrap();
    let files = Files::new(&root);
    for path in
        [root.join("../secret"), root.join("a/../../secret"), folder.path().join("secret"), "/etc/passwd".into()]
    {
        assert!(words(files.read(&path, 99).unwrap_err()).contains("one outside"), "{}", path.display());
        assert!(files.create_dirs(&path).is_err() && files.remove_file(&path).is_err());
    }
    assert!(folder.path().join("secret").exists());
}

#[cfg(unix)]
mod links {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    /// Every way to touch `path`, which must all be refused.
    fn refusals(files: &Files, path: &Path) -> Vec<String> {
        let outcomes = [
            files.open(path).map(drop),
            files.open_or_create(path).map(drop),
            files.create_new(path).map(drop),
            files.read(path, 99).map(drop),
            files.has_file(path).map(drop),
            files.create_dir(path),
            files.rename(&files.root.join("good"), path),
        ];
        outcomes.into_iter().map(|outcome| outcome.unwrap_err().to_string()).collect()
    }

    #[test]
    fn links_pipes_and_devices_are_refused_at_once_and_harm_nothing() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = folder.path();
        let secret = outside.path().join("secret");
        fs::write(&secret, "precious").unwrap();
        fs::write(root.join("good"), "good").unwrap();
        symlink(&secret, root.join("link")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        symlink("/dev/zero", root.join("endless")).unwrap();
        assert!(Command::new("mkfifo").arg(root.join("pipe")).status().unwrap().success());
        let files = Files::hold(root).unwrap();
        for name in ["link", "dangling", "endless", "pipe"] {
            let refused = refusals(&files, &root.join(name));
            assert!(refused.iter().any(|text| text.contains("a plain file of the run's own, found a")), "{refused:?}");
        }
        assert_eq!(
            (fs::read(&secret).unwrap(), fs::read(root.join("good")).unwrap()),
            (b"precious".into(), b"good".into())
        );
    }

    #[test]
    fn linked_folders_are_not_entered() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = folder.path();
        fs::write(outside.path().join("x"), "precious").unwrap();
        fs::create_dir(root.join("own")).unwrap();
        symlink(outside.path(), root.join("samples")).unwrap();
        symlink(outside.path(), root.join("own/deeper")).unwrap();
        let files = Files::new(root);
        for inner in ["samples", "own/deeper"] {
            let inner = root.join(inner);
            let path = inner.join("x");
            assert!(words(files.read(&path, 99).unwrap_err()).contains("a folder of the run's own, found a link"));
            assert!(files.create_new(&inner.join("y")).is_err() && files.remove_file(&path).is_err());
            assert!(
                files.list(&inner).is_err() && files.sync_dir(&inner).is_err() && files.has_folder(&inner).is_err()
            );
            assert!(files.find(&path).is_err(), "not the same as nothing");
        }
        files.remove_tree(&root.join("own")).unwrap();
        files.remove_file(&root.join("samples")).unwrap();
        assert_eq!(fs::read(outside.path().join("x")).unwrap(), b"precious");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_with_a_second_name_is_not_written_in_place() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (secret, path) = (outside.path().join("secret"), folder.path().join("run.lock"));
        fs::write(&secret, "precious").unwrap();
        fs::hard_link(&secret, &path).unwrap();
        let error = Files::new(folder.path()).open_or_create(&path).unwrap_err();
        assert!(words(error).contains("a second name"));
        assert_eq!(fs::read(&secret).unwrap(), b"precious");
    }

    #[test]
    fn a_held_folder_is_the_same_wherever_it_goes_and_gone_once_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (root, aside) = (folder.path().join("run"), folder.path().join("aside"));
        fs::create_dir(&root).unwrap();
        let files = Files::hold(&root).unwrap();
        fs::rename(&root, &aside).unwrap();
        fs::create_dir(&root).unwrap();
        files.create_new(&root.join("x")).unwrap();
        assert!(aside.join("x").exists() && !root.join("x").exists());
        fs::remove_dir_all(&aside).unwrap();
        assert_eq!(files.create_dir(&root.join("samples")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(files.create_new(&root.join("y")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_root_may_be_a_link_and_a_prior_belongs_to_its_run() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        fs::create_dir_all(run.join("priors/maf/priors/two")).unwrap();
        for place in ["run.json", "priors/maf/run.json"] {
            fs::write(run.join(place), "{}").unwrap();
        }
        symlink(&run, folder.path().join("latest")).unwrap();
        assert_eq!(Files::new(folder.path().join("latest")).list(&folder.path().join("latest")).unwrap().len(), 2);
        assert_eq!(Files::root_of_run(&run.join("priors/maf")), run);
        assert_eq!(Files::root_of_run(&run.join("priors/maf/priors/two")), run);
        assert_eq!(Files::root_of_run(&run), run);
        assert_eq!(Files::root_of_run(&folder.path().join("priors/x")), folder.path().join("priors/x"));
    }

    /// The other system's way, which this one can try too.
    #[test]
    fn folders_by_their_paths_refuse_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let dir = portable::root(folder.path()).unwrap();
        portable::create_dir(&dir, "own".as_ref()).unwrap();
        portable::create_new(&dir, "file".as_ref()).unwrap();
        symlink("own", folder.path().join("linked")).unwrap();
        symlink("file", folder.path().join("link")).unwrap();
        assert!(portable::enter(&dir, "own".as_ref()).is_ok() && portable::enter(&dir, "linked".as_ref()).is_err());
        assert!(portable::open(&dir, "file".as_ref()).is_ok() && portable::open(&dir, "link".as_ref()).is_err());
        assert!(portable::open_or_create(&dir, "link".as_ref()).is_err());
        assert!(portable::open_or_create(&dir, "lock".as_ref()).is_ok());
        portable::rename(&dir, "lock".as_ref(), &dir, "moved".as_ref()).unwrap();
        assert_eq!(portable::find(&dir, "link".as_ref()).unwrap().kind, Kind::Link);
        assert_eq!(portable::find_itself(&dir).unwrap().kind, Kind::Folder);
        let mut names = portable::names(&dir).unwrap();
        names.sort();
        assert_eq!(names, ["file", "link", "linked", "moved", "own"]);
        portable::remove_file(&dir, "moved".as_ref()).unwrap();
        portable::remove_dir(&dir, "own".as_ref()).unwrap();
        portable::sync(&dir).unwrap();
        assert!(portable::root(&folder.path().join("file")).is_err());
    }
}
