//! Holds the crate graph word for word: which crate may depend on which. A new arrow needs a decision record, not only
//! an edit of this list.

use std::collections::BTreeMap;
use std::process::Command;

/// Every crate of the workspace with the workspace crates its shipped code may depend on.
const GRAPH: &[(&str, &[&str])] = &[
    ("decider", &[]),
    ("envelope", &[]),
    ("child", &[]),
    ("client", &[]),
    ("eventlog", &["envelope"]),
    ("dispatch", &["decider", "envelope", "eventlog"]),
    ("domain", &["decider"]),
    ("contract", &["domain", "envelope"]),
    ("projections", &["contract", "decider", "domain", "envelope", "eventlog"]),
    ("engine", &["contract", "decider", "dispatch", "domain", "envelope", "eventlog"]),
    ("live", &["contract", "envelope", "eventlog"]),
    ("api", &["contract", "dispatch", "domain", "engine", "envelope", "eventlog", "live", "projections"]),
    ("worker", &["child", "client"]),
    ("launcher", &["child"]),
    ("testkit", &["launcher"]),
    (
        "capstan",
        &[
            "api",
            "client",
            "contract",
            "dispatch",
            "domain",
            "engine",
            "envelope",
            "eventlog",
            "launcher",
            "live",
            "projections",
            "worker",
        ],
    ),
];

/// Crates with IO, a clock or randomness: never below the pure crates. Build-time dependencies of macros do not count.
const IMPURE: &[&str] = &[
    "tokio",
    "async-nats",
    "axum",
    "reqwest",
    "hyper",
    "rand",
    "getrandom",
    "tracing",
    "tokio-postgres",
    "postgres",
];

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo speaks UTF-8")
}

/// The workspace's crates with their edges of one kind, read from the manifests.
fn edges(kind: Option<&str>) -> BTreeMap<String, Vec<String>> {
    let metadata: serde_json::Value =
        serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1"]))
            .expect("metadata is JSON");
    let ours = |name: &str| match name.strip_prefix("capstan-") {
        None if name == "capstan" => Some(name.to_owned()),
        short => short.map(str::to_owned),
    };
    let mut graph = BTreeMap::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let Some(name) = ours(package["name"].as_str().expect("name")) else { continue };
        let mut targets: Vec<_> = package["dependencies"]
            .as_array()
            .expect("dependencies")
            .iter()
            .filter(|dependency| dependency["kind"].as_str() == kind)
            .filter_map(|dependency| ours(dependency["name"].as_str().expect("name")))
            .collect();
        targets.sort();
        graph.insert(name, targets);
    }
    graph
}

#[test]
fn the_crate_graph_is_as_decided() {
    let decided: BTreeMap<_, _> = GRAPH
        .iter()
        .map(|(name, targets)| {
            ((*name).to_owned(), targets.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>())
        })
        .collect();
    assert_eq!(edges(None), decided);
}

#[test]
fn the_test_kit_is_only_used_by_tests() {
    for (name, targets) in edges(None) {
        assert!(!targets.contains(&"testkit".to_owned()), "{name} ships the test kit");
    }
}

#[test]
fn nothing_impure_lies_below_the_pure_crates() {
    for name in ["decider", "domain", "envelope", "contract"] {
        let package = format!("capstan-{name}");
        let tree = cargo(&[
            "tree",
            "--package",
            &package,
            "--edges",
            "normal,no-proc-macro",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ]);
        let found: Vec<_> = tree
            .lines()
            .filter_map(|line| line.split(' ').next())
            .filter(|name| IMPURE.contains(name))
            .collect();
        assert_eq!(found, Vec::<&str>::new(), "{package} is not pure");
    }
}

#[test]
fn no_file_has_a_name_that_says_nothing() {
    for file in cargo_files() {
        let stem = file.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        assert!(
            !["utils", "helpers", "common", "misc", "types", "models", "manager", "mod"].contains(&stem),
            "{file} has a name that says nothing"
        );
    }
}

#[test]
fn the_use_cases_know_no_transport() {
    let use_cases: Vec<_> = cargo_files().into_iter().filter(|file| file.contains("/use_case/")).collect();
    assert!(use_cases.len() > 20, "only {} files below use_case/", use_cases.len());
    for file in use_cases {
        let text = std::fs::read_to_string(&file).expect("a readable file");
        for transport in ["axum", "crate::http", "crate::nats", "crate::describe"] {
            assert!(!text.contains(transport), "{file} uses {transport}");
        }
    }
}

fn cargo_files() -> Vec<String> {
    fn walk(folder: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")), &mut found);
    assert!(found.len() > 50, "the walk found only {} files", found.len());
    found
}
