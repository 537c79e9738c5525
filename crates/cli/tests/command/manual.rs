//! `elbo man` and `elbo config --docs`: what is generated says what the program does.

use std::path::Path;

use crate::support::Folder;

/// The page in the book is what the command prints; `ELBO_UPDATE_SNAPSHOTS=1` writes it anew.
#[test]
fn the_reference_of_settings_is_the_committed_one() {
    let folder = Folder::new();
    let found = folder.run("config --docs").done().stdout;
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/config.md");
    if std::env::var("ELBO_UPDATE_SNAPSHOTS").is_ok_and(|value| value == "1") {
        std::fs::write(&page, &found).unwrap();
    }
    let stored = std::fs::read_to_string(&page).unwrap_or_default();
    let other = found.lines().zip(stored.lines()).find(|(found, stored)| found != stored);
    assert!(
        stored == found,
        "docs/config.md is not `elbo config --docs`, for example {other:?}: ELBO_UPDATE_SNAPSHOTS=1"
    );
}

#[test]
fn the_reference_shows_a_setting_that_is_asked_for() {
    let folder = Folder::new();
    let row = "| `loss.beta` | a number | `1.0` | Weight of the KL term. |";
    assert!(folder.run("config --docs").done().stdout.lines().any(|line| line == row));
    folder.run("config digits --docs").refused(2, &["--docs"]);
}

#[test]
fn every_command_has_a_manual_page_with_its_flags() {
    let folder = Folder::new();
    folder.run("man --out pages/man1").done();
    let page = |name: &str| std::fs::read_to_string(folder.path(&format!("pages/man1/{name}.1"))).unwrap();
    assert!(page("elbo").contains("elbo\\-train(1)"), "{}", page("elbo"));
    let train = page("elbo-train");
    for flag in ["\\-\\-epochs", "\\-\\-set", "\\-\\-threads"] {
        assert!(train.contains(flag), "{flag} is not in {train}");
    }
    assert_eq!(folder.run("man train").done().stdout.trim_end(), train.trim_end());
    folder.run("man trian").refused(2, &["`trian`"]);
}
