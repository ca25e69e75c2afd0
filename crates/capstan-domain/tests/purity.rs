//! Rules are pure: nothing below this crate can do IO, read a clock or throw dice.

use std::process::Command;

/// Crates that would let a rule reach out of its inputs.
const IMPURE: &[&str] = &[
    "async-nats",
    "axum",
    "deadpool-postgres",
    "fastrand",
    "getrandom",
    "hyper",
    "metrics",
    "mio",
    "postgres",
    "rand",
    "rand_core",
    "reqwest",
    "rustls",
    "tokio",
    "tokio-postgres",
    "tracing",
];

fn cargo_tree(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "-p", "capstan-domain", "-e", "normal", "--prefix", "none"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs the tests, so it can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo speaks UTF-8")
}

#[test]
fn no_crate_below_the_domain_does_io_or_randomness() {
    let tree = cargo_tree(&["-f", "{p}"]);
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"capstan-decider") && names.contains(&"serde"), "the tree is not empty: {tree}");
    let impure: Vec<_> = names.iter().filter(|name| IMPURE.contains(name)).collect();
    assert!(impure.is_empty(), "{impure:?} are below the domain");
}

#[test]
fn ids_can_only_be_derived_and_time_only_be_given() {
    let features = |krate: &str| {
        let tree = cargo_tree(&["-f", "{p}|{f}"]);
        let line =
            tree.lines().find(|line| line.starts_with(&format!("{krate} "))).expect("the crate is used");
        line.split('|').nth(1).unwrap_or_default().trim_end_matches(" (*)").to_owned()
    };
    let uuid = features("uuid");
    assert!(uuid.contains("v5"), "{uuid}");
    for random in ["v1", "v4", "v6", "v7", "rng", "fast-rng"] {
        assert!(!uuid.split(',').any(|feature| feature == random), "uuid has {random}: {uuid}");
    }
    let chrono = features("chrono");
    assert!(
        !chrono.split(',').any(|feature| feature == "now" || feature == "clock"),
        "chrono can tell the time"
    );
}
