//! The pages hold together: every relative link and picture leads to a file, every anchor to a heading, and the book's table of
//! contents names every page. mdBook itself is not needed.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Pages outside of `docs/`; those inside are all looked at.
const PAGES: [&str; 13] = [
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "bench/README.md",
    "fixtures/README.md",
    "fixtures/golden/README.md",
    "crates/derive/README.md",
    "crates/kernels/README.md",
    "crates/elbo/README.md",
    "crates/explorer/README.md",
    "crates/cli/README.md",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The pages below a folder.
fn pages_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort();
    let below = |path: PathBuf| if path.is_dir() { pages_in(&path) } else { vec![path] };
    paths.into_iter().flat_map(below).filter(|path| path.extension().is_some_and(|end| end == "md")).collect()
}

fn pages() -> Vec<PathBuf> {
    let root = root();
    PAGES.iter().map(|page| root.join(page)).chain(pages_in(&root.join("docs"))).collect()
}

/// The lines of a page that are no code.
fn prose(text: &str) -> Vec<&str> {
    let mut inside = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            lines.push(line);
        }
    }
    lines
}

/// A line without what stands between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// Where the links and pictures of a page lead.
fn targets(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(text) {
        let markdown = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let html = ["src=\"", "srcset=\"", "href=\""].into_iter().flat_map(|key| line.split(key).skip(1));
        let html = html.filter_map(|rest| rest.split('"').next());
        let plain = without_code(line);
        // The text of a link may be code; its target is not.
        found.extend(markdown.filter(|target| plain.contains(&format!("]({target})"))).map(str::to_owned));
        found.extend(html.map(str::to_owned));
    }
    found
}

/// The anchors of a page's headings, as repository browsers and mdBook make them.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let headings = prose(text).into_iter().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            let slug: String = title.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
            let before = seen.entry(slug.clone()).or_insert(0);
            *before += 1;
            if *before > 1 { format!("{slug}-{}", *before - 1) } else { slug }
        })
        .collect()
}

/// Why a link of a page leads nowhere.
fn fault(page: &Path, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if file.is_empty() { page.to_owned() } else { page.parent().expect("a folder").join(file) };
    let is_page = path.extension().is_some_and(|end| end == "md");
    if target.starts_with('/') || !path.exists() {
        return Some(format!("{}: {target} is no file", page.display()));
    }
    let known = anchor.is_empty() || !is_page || anchors(&read(&path)).iter().any(|known| known == anchor);
    (!known).then(|| format!("{}: {target} names no heading", page.display()))
}

#[test]
fn links_lead_to_files_and_headings() {
    let pages = pages();
    let links: Vec<(&PathBuf, String)> =
        pages.iter().flat_map(|page| targets(&read(page)).into_iter().map(move |target| (page, target))).collect();
    assert!(pages.len() > 60 && links.len() > 200, "{} pages with {} links", pages.len(), links.len());
    let faults: Vec<String> = links.iter().filter_map(|(page, target)| fault(page, target)).collect();
    assert!(faults.is_empty(), "{} dead links:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn the_table_of_contents_names_every_page() {
    let docs = root().join("docs");
    let summary = docs.join("SUMMARY.md");
    let listed: Vec<PathBuf> = targets(&read(&summary)).into_iter().map(|target| docs.join(target)).collect();
    let missing: Vec<_> =
        pages_in(&docs).into_iter().filter(|page| *page != summary && !listed.contains(page)).collect();
    assert!(missing.is_empty(), "docs/SUMMARY.md does not list {missing:?}");
}

/// What a registry shows of a crate has no neighbours, so its page can only link to addresses.
#[test]
fn pages_of_crates_stand_alone() {
    for page in PAGES.iter().filter(|page| page.starts_with("crates/")) {
        let local: Vec<String> = targets(&read(&root().join(page)))
            .into_iter()
            .filter(|target| !target.starts_with("https://") && !target.starts_with('#'))
            .collect();
        assert!(local.is_empty(), "{page} links to {local:?}");
    }
}

#[test]
fn the_first_pages_stay_short() {
    for (page, most) in [("README.md", 120), ("ARCHITECTURE.md", 150)] {
        let lines = read(&root().join(page)).lines().count();
        assert!(lines <= most, "{page} has {lines} lines, more than {most}: move the rest to docs/");
    }
}

#[test]
fn a_dead_link_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("a.md");
    let text = "# One `two`: three\n\n## One\n## One\n[x](a.md#one-two-three) [y](#one-1) `[no](link)` [`z`](b.md)\n\
                [w](a.md#two) <img src=\"c.png\">\n```text\n[no](code)\n```\n[u](https://example.org/x)\n";
    fs::write(&page, text).unwrap();
    let faults: Vec<String> = targets(text).iter().filter_map(|target| fault(&page, target)).collect();
    assert_eq!(targets(text).len(), 6, "{:?}", targets(text));
    let ends: Vec<_> = faults.iter().map(|fault| fault.rsplit(": ").next().unwrap()).collect();
    assert_eq!(ends, ["b.md is no file", "a.md#two names no heading", "c.png is no file"]);
}
