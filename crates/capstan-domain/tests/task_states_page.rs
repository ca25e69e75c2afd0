//! docs/task-states.md shows the table of task states as the code has it. `CAPSTAN_REGENERATE=1` rewrites the page's
//! generated part; without it the test fails when page and code differ.

use std::fmt::Write;
use std::path::Path;

use capstan_domain::task::TaskState;
use capstan_domain::task::transitions::TRANSITIONS;

const BEGIN: &str = "<!-- generated from crates/capstan-domain/src/task/transitions.rs: begin -->";
const END: &str = "<!-- generated: end -->";

fn rendered() -> String {
    let mut text = String::from("| from | to | caused by |\n|---|---|---|\n");
    for edge in TRANSITIONS {
        let from = edge.from.map_or("–", TaskState::as_str);
        writeln!(text, "| {from} | {} | {} |", edge.to.as_str(), edge.cause).expect("a string takes text");
    }
    text.push_str("\n```mermaid\nstateDiagram-v2\n");
    for edge in TRANSITIONS {
        let from = edge.from.map_or("[*]", TaskState::as_str);
        writeln!(text, "    {from} --> {}", edge.to.as_str()).expect("a string takes text");
    }
    text.push_str("```\n\n| state | over |\n|---|---|\n");
    for state in TaskState::ALL {
        let over = if state.is_terminal() { "yes" } else { "no" };
        writeln!(text, "| {} | {over} |", state.as_str()).expect("a string takes text");
    }
    text
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the page is a file and regenerating it is asked for by environment"
)]
fn the_page_shows_the_table_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/task-states.md");
    let page = std::fs::read_to_string(&path).expect("docs/task-states.md exists");
    let (before, rest) = page.split_once(BEGIN).expect("the page has the begin marker");
    let (_, after) = rest.split_once(END).expect("the page has the end marker");
    let expected = format!("{before}{BEGIN}\n\n{}\n{END}{after}", rendered());
    if std::env::var_os("CAPSTAN_REGENERATE").is_some() {
        std::fs::write(&path, &expected).expect("docs/task-states.md is writable");
    }
    let page = std::fs::read_to_string(&path).expect("docs/task-states.md exists");
    assert!(
        page == expected,
        "docs/task-states.md is out of date: run this test with CAPSTAN_REGENERATE=1 and look at the diff"
    );
}

#[test]
fn every_state_can_be_reached_and_none_is_named_twice() {
    for state in TaskState::ALL {
        assert!(TRANSITIONS.iter().any(|edge| edge.to == state), "{state:?} cannot be reached");
    }
    for (index, edge) in TRANSITIONS.iter().enumerate() {
        let twin = TRANSITIONS[..index].iter().find(|other| (other.from, other.to) == (edge.from, edge.to));
        assert_eq!(twin, None, "an edge is listed twice");
    }
}
