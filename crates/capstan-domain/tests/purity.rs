//! Rules are pure: nothing below this crate does IO or throws dice, and nothing in it reads a clock.
//!
//! One crate below could read a clock: `cron` asks for `chrono`'s `clock` feature, for two methods that begin at
//! the present time (docs/decisions/0003-cron.md). So nobody else may ask for it, and no rule may call it; those
//! two methods are on the list of disallowed methods in `clippy.toml`.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Crates that would let a rule reach out of its inputs. What a procedural macro uses while compiling does not
/// count: none of it is linked.
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
        .args(["tree", "--offline", "-p", "capstan-domain", "-e", "normal,no-proc-macro,features"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs the tests, so it can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo speaks UTF-8")
}

#[test]
fn no_crate_below_the_domain_does_io_or_randomness() {
    let tree = cargo_tree(&["--prefix", "none", "-f", "{p}"]);
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"capstan-decider") && names.contains(&"serde"), "the tree is not empty: {tree}");
    let impure: Vec<_> = names.iter().filter(|name| IMPURE.contains(name)).collect();
    assert!(impure.is_empty(), "{impure:?} are below the domain");
}

#[test]
fn ids_can_only_be_derived_and_time_only_be_given() {
    let features = |krate: &str| {
        let tree = cargo_tree(&["--prefix", "none", "-f", "{p}|{f}"]);
        let line =
            tree.lines().find(|line| line.starts_with(&format!("{krate} "))).expect("the crate is used");
        line.split('|').nth(1).unwrap_or_default().trim_end_matches(" (*)").to_owned()
    };
    let uuid = features("uuid");
    assert!(uuid.contains("v5"), "{uuid}");
    for random in ["v1", "v4", "v6", "v7", "rng", "fast-rng"] {
        assert!(!uuid.split(',').any(|feature| feature == random), "uuid has {random}: {uuid}");
    }
}

#[test]
fn nobody_but_the_cron_crate_asks_for_the_clock() {
    let tree = cargo_tree(&["-i", "chrono", "--prefix", "depth"]);
    let mut path: Vec<&str> = Vec::new();
    let mut asking: Vec<&str> = Vec::new();
    for line in tree.lines() {
        let name = line.trim_start_matches(|character: char| character.is_ascii_digit());
        let depth: usize = line[..line.len() - name.len()].parse().expect("a depth");
        path.truncate(depth);
        let below = path.last().copied().unwrap_or_default();
        let clock = [r#"chrono feature "clock""#, r#"chrono feature "now""#];
        if clock.iter().any(|feature| below.starts_with(feature)) && !name.starts_with("chrono feature") {
            asking.push(name.split_whitespace().next().unwrap_or_default());
        }
        path.push(name);
    }
    assert_eq!(asking, ["cron"], "{tree}");
}

#[test]
fn no_rule_reads_a_clock() {
    #[expect(clippy::disallowed_methods, reason = "the test reads the rules; they read nothing")]
    fn read(folder: &Path, sources: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).expect("the sources are here") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                read(&path, sources);
            } else {
                sources.push((path.display().to_string(), fs::read_to_string(&path).expect("a source")));
            }
        }
    }
    let mut sources = Vec::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut sources);
    assert!(sources.len() > 10, "the sources were found");
    for (path, source) in sources {
        for clock in ["Utc::now", "Local::now", "SystemTime", "Instant::now", "chrono::Local"] {
            assert!(!source.contains(clock), "{path} names {clock}");
        }
    }
}
