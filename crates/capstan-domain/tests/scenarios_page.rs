//! docs/scenarios.md names tests that there are, and counts its rows right.
#![expect(clippy::disallowed_methods, reason = "the page and the tests are files")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Scenarios of the reference.
const SCENARIOS: usize = 156;
/// Its defects that lose or double work, or leak.
const DEFECTS: usize = 25;

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/scenarios.md");
    std::fs::read_to_string(path).expect("docs/scenarios.md exists")
}

/// The cells of the rows whose number begins so.
fn rows<'a>(page: &'a str, prefix: &str) -> Vec<Vec<&'a str>> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.filter(|row| row.starts_with(prefix)).map(|row| row.split(" | ").collect()).collect()
}

/// The tests a cell names; each of them exists.
fn tests<'a>(number: &str, cell: &'a str) -> Vec<&'a str> {
    let name = |named: &'a str| {
        let named = named.trim().strip_prefix('`').and_then(|named| named.strip_suffix('`'));
        let (file, test) = named.and_then(|named| named.split_once("::")).expect("a file and a test");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
        let source = std::fs::read_to_string(path).unwrap_or_default();
        assert!(source.contains(&format!("fn {test}(")), "{number}: there is no test {test} in {file}");
        test
    };
    cell.split(',').map(name).collect()
}

#[test]
fn every_scenario_is_proved_by_a_test_of_its_number_or_says_why_not() {
    let page = page();
    let mut verdicts = BTreeMap::<_, usize>::new();
    let mut numbers = BTreeSet::new();
    for row in rows(&page, "A-") {
        let [number, what, verdict, proof] = row[..] else { panic!("four cells, not {row:?}") };
        assert!(numbers.insert(number) && !what.is_empty(), "{number}");
        let verdict =
            if verdict.starts_with("decided: domain.md ") { "decided differently" } else { verdict };
        *verdicts.entry(verdict).or_default() += 1;
        if ["not applicable", "open"].contains(&verdict) {
            assert!(proof.ends_with('.') && !proof.contains("::"), "{number}: a reason, not {proof}");
            continue;
        }
        let digits = number.trim_start_matches("A-");
        let is_of_number = |test: &str| format!("_{test}").contains(&format!("_a_{digits}_"));
        assert!(tests(number, proof).iter().any(|test| is_of_number(test)), "{number}: {proof}");
    }
    assert_eq!(numbers.len(), SCENARIOS);
    let mut count = |verdict| verdicts.remove(verdict).unwrap_or_default();
    let counts = ["as written", "decided differently", "not applicable", "open"].map(&mut count);
    let [written, decided, not_applicable, open] = counts;
    let stated = format!(
        "{written} as written, {decided} decided differently, {not_applicable} not applicable, {open} open; {SCENARIOS} in all"
    );
    assert!(page.contains(&stated), "the page does not say: {stated}");
    assert_eq!(counts.iter().sum::<usize>(), SCENARIOS, "another verdict than these");
}

#[test]
fn every_defect_that_is_not_inherited_has_its_tests() {
    let page = page();
    let mut numbers = BTreeSet::new();
    for row in rows(&page, "W-") {
        let [number, _, _, proof] = row[..] else { panic!("four cells, not {row:?}") };
        assert!(numbers.insert(number), "{number} twice");
        tests(number, proof);
    }
    assert_eq!(numbers.len(), DEFECTS);
}
