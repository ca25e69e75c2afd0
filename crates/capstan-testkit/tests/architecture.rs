//! Holds the crate graph word for word: which crate may depend on which. A new arrow needs a decision record, not only
//! an edit of this list.

use std::collections::BTreeMap;
use std::process::Command;

/// Every crate of the workspace with the workspace crates its shipped code may depend on.
const GRAPH: &[(&str, &[&str])] = &[
    ("decider", &[]),
    ("envelope", &[]),
    ("child", &[]),
    ("eventlog", &["envelope"]),
    ("dispatch", &["decider", "envelope", "eventlog"]),
    ("domain", &["decider"]),
    ("contract", &["domain", "envelope"]),
    ("projections", &["contract", "decider", "domain", "envelope", "eventlog"]),
    ("engine", &["contract", "decider", "dispatch", "domain", "envelope", "eventlog"]),
    ("live", &["contract", "envelope", "eventlog"]),
    ("api", &["contract", "dispatch", "domain", "engine", "envelope", "eventlog", "live", "projections"]),
    ("client", &["contract", "domain"]),
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

/// The floors of a task's decisions, top to bottom (see `crates/capstan-domain/src/task.rs`). The values on the last one
/// may use each other.
const TASK_FLOORS: &[&[&str]] = &[
    &["decide"],
    &[
        "accept",
        "blocker",
        "bounds",
        "budget",
        "inbox",
        "lifecycle",
        "outputs",
        "settlement",
        "subtasks",
        "timers",
        "tool_call",
        "watches",
        "worker_report",
    ],
    &["steps"],
    &["evolve", "output_feed"],
    &["state"],
    &["command", "event", "rejection", "shortened", "spending", "transitions", "words"],
];

#[test]
fn a_rule_of_a_task_uses_only_the_floors_below_it() {
    let floor_of = |part: &str| TASK_FLOORS.iter().position(|floor| floor.contains(&part));
    let task = concat!(env!("CARGO_MANIFEST_DIR"), "/../capstan-domain/src/task/");
    for file in cargo_files() {
        let Some((_, path)) = file.split_once("capstan-domain/src/task/") else { continue };
        let part = path.split(['/', '.']).next().unwrap_or_default();
        if part == "fixture" || path.ends_with("tests.rs") {
            continue;
        }
        let floor = floor_of(part).unwrap_or_else(|| panic!("{part} stands on no floor of a task"));
        let text = std::fs::read_to_string(format!("{task}{path}")).expect("a readable file");
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for used in used_parts(&code) {
            let is_below = used == part
                || floor_of(&used).is_none_or(|other| other > floor || other == TASK_FLOORS.len() - 1);
            assert!(is_below, "{path} uses {used}, which is not on a floor below it");
        }
    }
}

/// The parts of a task a file names: `x` of each `task::x`, and of each name in `task::{…}`.
fn used_parts(code: &str) -> Vec<String> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let name = |text: &str| text.trim().chars().take_while(|c| is_name(*c)).collect::<String>();
    let mut found = Vec::new();
    for after in code.split("crate::task::").skip(1) {
        match after.strip_prefix('{') {
            Some(list) => {
                found.extend(list.split('}').next().unwrap_or_default().split(',').map(name));
            }
            None => found.push(name(after)),
        }
    }
    found
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
