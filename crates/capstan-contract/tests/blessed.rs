//! Files of a release are blessed: samples, stored commits and frozen defaults never change, schemas only gain optional
//! properties.
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
fn blessed_files_only_gain_optional_properties() {
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
    grown(&blessed, &present, "").err().map(|at| format!("{path} differs at {at:?}"))
}

/// Ok when `present` is `blessed` plus optional properties, definitions and words of choices; the words of descriptions are free.
fn grown(blessed: &Value, present: &Value, at: &str) -> Result<(), String> {
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
                kept(blessed, present, &at)?;
            }
            (Some(Value::Array(blessed)), Some(Value::Array(present))) if key == "enum" => {
                // New words only appear in commits that are new too.
                blessed.iter().all(|word| present.contains(word)).then_some(()).ok_or(at)?;
            }
            (Some(blessed), Some(present)) => grown(blessed, present, &at)?,
            (None, Some(Value::Object(_))) if key == "$defs" => {}
            _ => return Err(at),
        }
    }
    Ok(())
}

/// Ok when every blessed entry is still there, itself only grown. What is new is optional: had it become
/// required, the list `required` would differ.
fn kept(blessed: &Map<String, Value>, present: &Map<String, Value>, at: &str) -> Result<(), String> {
    for (name, entry) in blessed {
        let at = format!("{at}/{name}");
        grown(entry, present.get(name).ok_or_else(|| at.clone())?, &at)?;
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
        with("/$defs/C", "enum", json!(["b", "a"])),
    ] {
        assert_eq!(grown(&blessed, &grows, ""), Ok(()), "{grows}");
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
        assert_eq!(grown(&blessed, &breaks, ""), Err(at.to_owned()), "{breaks}");
    }
}
