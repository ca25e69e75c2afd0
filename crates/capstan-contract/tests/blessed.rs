//! Files of a release are blessed: samples, stored commits and frozen defaults never change, schemas only gain optional
//! properties, and those of what is not stored also words of choices.
//!
//! Compares the working tree with the newest release (a tag `v<number>…`) that HEAD descends from. Before the first
//! release nobody holds data or clients, so formats are free; the comparison is then skipped and says so.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};

fn git(arguments: &[&str]) -> Option<String> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new("git").arg("-C").arg(repository).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The release whose files are blessed, or the reason why there is none.
fn blessed_release() -> Result<String, &'static str> {
    git(&["rev-parse", "--verify", "HEAD"]).ok_or("no git, or nothing committed yet")?;
    let release = git(&["describe", "--tags", "--abbrev=0", "--match", "v[0-9]*"]);
    release.map(|tag| tag.trim().to_owned()).ok_or("there is no release yet")
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped comparison says so")]
fn blessed_files_only_grow() {
    let base = match blessed_release() {
        Ok(base) => base,
        Err(reason) => return eprintln!("blessed files are not compared: {reason}"),
    };
    let listing = git(&["ls-tree", "-r", "--name-only", &base, "--", "schemas"]).unwrap_or_default();
    if listing.is_empty() {
        return eprintln!("blessed files are not compared: {base} has no schemas");
    }
    let faults: Vec<_> = listing.lines().filter_map(|path| fault(&base, path)).collect();
    assert!(
        faults.is_empty(),
        "{faults:#?}\nblessed files stay readable for ever: give the event a new version (schemas/README.md)"
    );
}

fn fault(base: &str, path: &str) -> Option<String> {
    let is_frozen = path.ends_with(".sample.json")
        || ["schemas/defaults/", "schemas/commits/"].iter().any(|folder| path.starts_with(folder));
    if !is_frozen && !path.ends_with(".schema.json") {
        return None;
    }
    let blessed = git(&["show", &format!("{base}:{path}")])?;
    let file: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    let Ok(present) = std::fs::read_to_string(file) else { return Some(format!("{path} is gone")) };
    if is_frozen {
        return (blessed != present)
            .then(|| format!("{path} changed; samples, stored commits and frozen defaults never do"));
    }
    let (blessed, present) = (serde_json::from_str(&blessed).ok()?, serde_json::from_str(&present).ok()?);
    grown(&blessed, &present, words(path), "").err().map(|at| format!("{path} differs at {at:?}"))
}

/// What may happen to the words of a choice.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Words {
    /// An older build takes an unknown one in the log for malformed: a new word is a new version.
    Fixed,
    /// Whoever does not know one refuses it, passes it on or leaves it out.
    MayGrow,
}

/// Only what goes over the wire and is not kept may gain words; a folder that is not known here may not.
fn words(path: &str) -> Words {
    let wire = ["schemas/commands/", "schemas/queries/", "schemas/worker/"];
    if wire.iter().any(|folder| path.starts_with(folder)) { Words::MayGrow } else { Words::Fixed }
}

/// Ok when `present` is `blessed` plus optional properties, definitions and, where they may grow, words of choices; the text of
/// descriptions is free.
fn grown(blessed: &Value, present: &Value, words: Words, at: &str) -> Result<(), String> {
    let (Value::Object(blessed), Value::Object(present)) = (blessed, present) else {
        return if blessed == present { Ok(()) } else { Err(at.to_owned()) };
    };
    for key in blessed.keys().chain(present.keys()) {
        let at = format!("{at}/{key}");
        match (blessed.get(key), present.get(key)) {
            (Some(Value::String(_)), Some(Value::String(_))) if key == "description" => {}
            (Some(Value::Object(blessed)), Some(Value::Object(present)))
                if key == "properties" || key == "$defs" =>
            {
                kept(blessed, present, words, &at)?;
            }
            (Some(Value::Array(blessed)), Some(Value::Array(present)))
                if key == "enum" && words == Words::MayGrow =>
            {
                blessed.iter().all(|word| present.contains(word)).then_some(()).ok_or(at)?;
            }
            (Some(blessed), Some(present)) => grown(blessed, present, words, &at)?,
            (None, Some(Value::Object(_))) if key == "$defs" => {}
            _ => return Err(at),
        }
    }
    Ok(())
}

/// Ok when every blessed entry is still there, itself only grown. What is new is optional: had it become
/// required, the list `required` would differ.
fn kept(
    blessed: &Map<String, Value>,
    present: &Map<String, Value>,
    words: Words,
    at: &str,
) -> Result<(), String> {
    for (name, entry) in blessed {
        let at = format!("{at}/{name}");
        grown(entry, present.get(name).ok_or_else(|| at.clone())?, words, &at)?;
    }
    Ok(())
}

#[test]
fn the_comparison_lets_shapes_grow_and_nothing_else() {
    let blessed = json!({
        "description": "old words", "type": "object", "required": ["a"],
        "properties": {"a": {"type": "string"}, "description": {"type": "string"}},
        "$defs": {"D": {"properties": {"x": {"type": "integer"}}}, "C": {"enum": ["a"]}},
    });
    let with = |pointer: &str, key: &str, value: Value| {
        let mut schema = blessed.clone();
        schema.pointer_mut(pointer).unwrap()[key] = value;
        schema
    };
    for grows in [
        blessed.clone(),
        with("", "description", json!("new words")),
        with("/properties", "b", json!({"type": "string"})),
        with("/$defs/D/properties", "y", json!({"type": "string"})),
        with("/$defs", "E", json!({"type": "string"})),
    ] {
        for words in [Words::Fixed, Words::MayGrow] {
            assert_eq!(grown(&blessed, &grows, words, ""), Ok(()), "{grows}");
        }
    }
    for (breaks, at) in [
        (with("", "required", json!(["a", "b"])), "/required"),
        (with("", "required", json!([])), "/required"),
        (with("", "additionalProperties", json!(false)), "/additionalProperties"),
        (with("/properties", "a", json!({"type": "integer"})), "/properties/a/type"),
        (with("/properties/a", "maxLength", json!(5)), "/properties/a/maxLength"),
        (with("/properties", "description", json!({"type": "integer"})), "/properties/description/type"),
        (with("/$defs/D", "properties", json!({})), "/$defs/D/properties/x"),
        (with("/$defs/C", "enum", json!(["b"])), "/$defs/C/enum"),
    ] {
        for words in [Words::Fixed, Words::MayGrow] {
            assert_eq!(grown(&blessed, &breaks, words, ""), Err(at.to_owned()), "{breaks}");
        }
    }
}

#[test]
fn a_choice_gains_words_on_the_wire_and_none_in_the_log() {
    let blessed = json!({
        "properties": {"reason": {"enum": ["a"]}, "list": {"items": {"$ref": "#/$defs/C"}}},
        "$defs": {"C": {"enum": ["a"]}},
    });
    for choice in ["/properties/reason", "/$defs/C"] {
        let mut longer = blessed.clone();
        longer.pointer_mut(choice).unwrap()["enum"] = json!(["b", "a"]);
        for path in [
            "schemas/commands/create-agent.v1.schema.json",
            "schemas/queries/list-tasks.v1.schema.json",
            "schemas/worker/renew-answer.v1.schema.json",
        ] {
            assert_eq!(grown(&blessed, &longer, words(path), ""), Ok(()), "{path}");
        }
        for path in [
            "schemas/events/task/attempt-ended.v1.schema.json",
            "schemas/envelope.v1.schema.json",
            "schemas/other/new.v1.schema.json",
        ] {
            assert_eq!(grown(&blessed, &longer, words(path), ""), Err(format!("{choice}/enum")), "{path}");
        }
    }
}
