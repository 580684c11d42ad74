//! The documentation as a book: every page is in its contents, and no link leads nowhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// The pages below a folder.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let pattern = format!("{}/**/*.md", folder.display());
    glob::glob(&pattern).expect("a pattern").filter_map(Result::ok).collect()
}

/// Where the links of a page lead, without those to other places of the world.
fn links(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let inner = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
    inner.map(|target| target.split('#').next().unwrap_or(target).to_owned()).collect()
}

fn is_in_the_book(path: &Path) -> bool {
    let canonical = |path: &Path| path.canonicalize().expect("it is there");
    canonical(path).starts_with(canonical(&docs()))
}

#[test]
fn every_page_is_in_the_contents() {
    let summary = fs::read_to_string(docs().join("SUMMARY.md")).expect("the contents are there");
    let listed: BTreeSet<PathBuf> = links(&summary).iter().map(|link| docs().join(link)).collect();
    let missing: Vec<_> = pages(&docs())
        .into_iter()
        .filter(|page| !page.ends_with("SUMMARY.md") && !listed.contains(page))
        .collect();
    assert!(missing.is_empty(), "not in docs/SUMMARY.md: {missing:?}");
}

#[test]
fn links_lead_somewhere() {
    let root = docs().join("..");
    let beside = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root.join(name));
    for page in pages(&docs()).into_iter().chain(beside) {
        let text = fs::read_to_string(&page).expect("a page");
        for link in links(&text) {
            let target = page.parent().expect("a folder").join(&link);
            assert!(target.exists(), "{} links to {link}, which is not there", page.display());
            let leaves_the_book =
                page.starts_with(docs()) && link.starts_with("../") && !is_in_the_book(&target);
            assert!(!leaves_the_book, "{} links to {link}, which the book does not have", page.display());
        }
    }
}
