//! Where known sets are looked for and kept, and what stands for their content.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use sha2::{Digest, Sha256};

use super::idx::hex;

/// Whether a set that is not on this machine may be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// It may.
    Allowed,
    /// It may not: a missing set is an error.
    Offline,
}

/// The folders a set is looked for in.
pub(super) struct Places {
    /// In the order of search; the cache is the last, if there is one.
    pub folders: Vec<PathBuf>,
    pub cache: Option<PathBuf>,
}

impl Places {
    /// Of the set `name`, as [`load`](super::known::load) tells.
    pub fn from_env(name: &str, folder: Option<&Path>) -> Self {
        Self::of(name, folder, std::env::var_os("ELBO_DATA"), std::env::var_os("ELBO_HOME"))
    }

    pub(super) fn of(
        name: &str,
        folder: Option<&Path>,
        elbo_data: Option<OsString>,
        elbo_home: Option<OsString>,
    ) -> Self {
        let set = |variable: Option<OsString>| variable.filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = home_of(elbo_home).map(|home| home.join("data").join(name));
        let elbo_data = set(elbo_data).map(|data| data.join(name));
        let folders = folder.map(Path::to_owned).into_iter().chain(elbo_data).chain(cache.clone()).collect();
        Self { folders, cache }
    }
}

/// The folder for what is fetched or made once: `$ELBO_HOME`, or `elbo` in the user's cache folder.
pub fn home() -> Option<PathBuf> {
    home_of(std::env::var_os("ELBO_HOME"))
}

fn home_of(elbo_home: Option<OsString>) -> Option<PathBuf> {
    let given = elbo_home.filter(|value| !value.is_empty()).map(PathBuf::from);
    given.or_else(|| Some(etcetera::choose_base_strategy().ok()?.cache_dir().join("elbo")))
}

/// sha256 over the hexadecimal hashes of the files, one per line.
pub(super) fn fingerprint(hashes: &[&str]) -> String {
    hex(&Sha256::digest(hashes.join("\n")))
}
