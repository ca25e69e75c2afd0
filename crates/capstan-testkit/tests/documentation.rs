//! The pages refer only to what is in the repository: links, anchors, files and tests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Below `crates`: where a page may leave out the beginning of a file's path.
const RULES_FOLDER: &str = "capstan-domain/src";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace has a root")
}

/// Every Markdown page, with its text.
fn pages() -> Vec<(PathBuf, String)> {
    let root = root();
    let mut folders: Vec<PathBuf> = ["docs", "schemas", "projections"].map(|name| root.join(name)).into();
    let mut pages: Vec<PathBuf> = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"]
        .map(|name| root.join(name))
        .into();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder of pages") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a page is text");
        (path, text)
    };
    pages.into_iter().map(read).collect()
}

/// The anchors of a page, as GitHub derives them from its headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let slug = |heading: &str| {
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        heading.to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    headings.map(|heading| slug(heading.trim_start_matches('#').trim())).collect()
}

/// The texts between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn every_link_of_a_page_leads_somewhere() {
    let mut broken = Vec::new();
    for (page, text) in pages() {
        let targets =
            text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
        for target in targets.filter(|target| !target.contains("://")) {
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if path.is_empty() { page.clone() } else { page.with_file_name(path) };
            let has_anchor = || {
                let linked = std::fs::read_to_string(&file).unwrap_or_default();
                anchor.is_empty() || anchors(&linked).contains(anchor)
            };
            if !file.exists() || !has_anchor() {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}

#[test]
fn every_file_and_test_a_page_names_exists() {
    let crates = root().join("crates");
    let mut missing = Vec::new();
    for (page, text) in pages() {
        let is_rules = page.ends_with("docs/rules.md");
        for name in quoted(&text).filter(|name| !name.contains(['<', '*', ' '])) {
            let (file, test) = name.split_once("::").unwrap_or((name, ""));
            let file = file.strip_prefix("crates/").unwrap_or(file);
            let is_path = Path::new(file).extension().is_some_and(|extension| extension == "rs");
            if !is_path || !(is_rules || file.starts_with("capstan")) {
                continue;
            }
            let below_domain = crates.join(RULES_FOLDER).join(file);
            let path = if is_rules && below_domain.exists() { below_domain } else { crates.join(file) };
            let source = std::fs::read_to_string(&path).unwrap_or_default();
            if !path.exists() || !(test.is_empty() || source.contains(&format!("fn {test}("))) {
                missing.push(format!("{}: {name}", page.display()));
            }
        }
    }
    assert!(missing.is_empty(), "named and not there:\n{}", missing.join("\n"));
}
