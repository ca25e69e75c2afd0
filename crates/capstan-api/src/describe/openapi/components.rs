//! The schemas of a document, each under one name in `PascalCase`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// Prefix of references to schemas of the document.
pub(super) const PLACE: &str = "#/components/schemas/";
/// Prefix of references to the parts of one schema.
const PARTS: &str = "#/$defs/";

/// Schemas by name.
#[derive(Debug, Default)]
pub(crate) struct Components {
    schemas: Map<String, Value>,
}

impl Components {
    /// Adds a schema under its name, and its parts under theirs. A part that differs from one of the same name gets the
    /// suffix: fields with a default are always in answers, but optional in requests and in stored events.
    pub(super) fn add(&mut self, name: &str, mut schema: Value, suffix: &str) {
        let parts = match schema.as_object_mut().and_then(|schema| {
            schema.remove("$schema");
            schema.remove("title");
            schema.remove("$defs")
        }) {
            Some(Value::Object(parts)) => parts,
            _ => Map::new(),
        };
        let mut names: BTreeMap<String, String> =
            parts.keys().map(|part| (part.clone(), part.clone())).collect();
        // A part that refers to a renamed one differs too: repeat until nothing is renamed.
        while let Some(part) = parts.iter().find_map(|(part, schema)| {
            let present = self.schemas.get(part).filter(|_| names[part] == *part && !suffix.is_empty())?;
            (*present != moved(schema, &names)).then_some(part)
        }) {
            names.insert(part.clone(), format!("{part}{suffix}"));
        }
        for (part, schema) in &parts {
            self.insert(names[part].clone(), moved(schema, &names));
        }
        self.insert(pascal(name), moved(&schema, &names));
    }

    /// Adds a schema whose references are those of the document.
    pub(super) fn insert(&mut self, name: String, schema: Value) {
        debug_assert!(
            self.schemas.get(&name).is_none_or(|present| *present == schema),
            "two schemas are named {name}"
        );
        self.schemas.insert(name, schema);
    }

    /// The schema with this name.
    pub(crate) fn get(&self, name: &str) -> &Value {
        &self.schemas[&pascal(name)]
    }

    /// A reference to the schema with this name.
    pub(crate) fn reference(&self, name: &str) -> Value {
        let name = pascal(name);
        debug_assert!(self.schemas.contains_key(&name), "no schema is named {name}");
        json!({ "$ref": format!("{PLACE}{name}") })
    }

    /// Adds a choice between objects by the value of their field `tag`. A branch is named after its value: in front of
    /// `kind`, or behind the choice's name when there is no `kind`.
    pub(super) fn add_choice(
        &mut self,
        name: &str,
        about: &str,
        tag: &str,
        kind: &str,
        branches: Vec<(String, Value)>,
    ) {
        let mut mapping = Map::new();
        for (value, mut schema) in branches {
            let branch = if kind.is_empty() {
                format!("{name}{}", pascal(&value))
            } else {
                format!("{}{kind}", pascal(&value))
            };
            schema["properties"][tag] = json!({ "type": "string", "const": value });
            let mut required: BTreeSet<_> = required(&schema).map(str::to_owned).collect();
            required.insert(tag.to_owned());
            schema["required"] = json!(required);
            self.insert(branch.clone(), schema);
            mapping.insert(value, format!("{PLACE}{branch}").into());
        }
        let branches: Vec<_> = mapping.values().map(|branch| json!({ "$ref": branch })).collect();
        let discriminator = json!({ "propertyName": tag, "mapping": mapping });
        let choice = json!({ "description": about, "oneOf": branches, "discriminator": discriminator });
        self.schemas.insert(name.to_owned(), choice);
    }

    /// Turns every choice between objects with a constant into one between named schemas.
    pub(super) fn name_branches(&mut self) {
        for (name, schema) in self.schemas.clone() {
            if let Some((tag, branches)) = tag_of(&schema) {
                let about = schema["description"].as_str().unwrap_or_default();
                self.add_choice(&name, about, &tag, "", branches);
            }
        }
    }

    /// The schemas that `shown` refers to, directly or through others.
    pub(crate) fn used_by(mut self, shown: &Value) -> Map<String, Value> {
        let mut used = Map::new();
        let mut wanted = Vec::new();
        refer(shown, &mut wanted);
        while let Some(name) = wanted.pop() {
            if let Some(schema) = self.schemas.remove(&name) {
                refer(&schema, &mut wanted);
                used.insert(name, schema);
            }
        }
        used
    }
}

/// The fields an object requires.
pub(super) fn required(schema: &Value) -> impl Iterator<Item = &str> {
    schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// The field that tells the branches of a choice apart, and the branches by its value.
pub(super) fn tag_of(schema: &Value) -> Option<(String, Vec<(String, Value)>)> {
    let whole = |branch: &Value| {
        // A choice that is flattened into an object: the object's fields are in every branch.
        let mut whole = branch.clone();
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            whole["properties"][name] = field.clone();
        }
        whole["required"] = required(branch).chain(required(schema)).collect();
        whole
    };
    let branches: Vec<_> = schema["oneOf"].as_array()?.iter().map(whole).collect();
    let properties = branches.first()?["properties"].as_object()?;
    properties.keys().find_map(|tag| {
        let valued =
            |branch: &Value| Some((branch["properties"][tag]["const"].as_str()?.to_owned(), branch.clone()));
        Some((tag.clone(), branches.iter().map(valued).collect::<Option<_>>()?))
    })
}

/// A wire name as the name of a type: `accept-agent-command` as `AcceptAgentCommand`.
pub(super) fn pascal(name: &str) -> String {
    let mut pascal = String::new();
    for word in name.split(['-', '_']) {
        let mut letters = word.chars();
        pascal.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        pascal.push_str(letters.as_str());
    }
    pascal
}

/// Collects the names of the schemas a value refers to.
fn refer(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let target = map.get("$ref").and_then(Value::as_str);
            names.extend(target.and_then(|target| target.strip_prefix(PLACE)).map(str::to_owned));
            map.values().for_each(|value| refer(value, names));
        }
        Value::Array(list) => list.iter().for_each(|value| refer(value, names)),
        _ => {}
    }
}

/// The schema with its references adjusted to the names of the parts.
fn moved(schema: &Value, names: &BTreeMap<String, String>) -> Value {
    match schema {
        Value::Object(map) => {
            let pairs = map.iter().map(|(key, value)| {
                let part = value.as_str().filter(|_| key == "$ref").and_then(|to| to.strip_prefix(PARTS));
                let value = match part {
                    Some(part) => {
                        Value::from(format!("{PLACE}{}", names.get(part).map_or(part, String::as_str)))
                    }
                    None => moved(value, names),
                };
                (key.clone(), value)
            });
            Value::Object(pairs.collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(|value| moved(value, names)).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_differ_keep_their_own_look() {
        let mut components = Components::default();
        let with = |kind: &str| json!({ "$ref": "#/$defs/P", "$defs": { "P": { "type": kind } } });
        components.add("a", with("string"), "");
        components.add("b", with("string"), "Request");
        components.add("c-d", with("number"), "Request");
        assert_eq!(components.schemas["B"], json!({ "$ref": "#/components/schemas/P" }));
        assert_eq!(components.schemas["CD"], json!({ "$ref": "#/components/schemas/PRequest" }));
        assert_eq!(components.schemas["PRequest"], json!({ "type": "number" }));
    }

    #[test]
    #[should_panic(expected = "two schemas are named A")]
    fn a_name_is_not_given_twice() {
        let mut components = Components::default();
        components.add("a", json!({ "type": "string" }), "");
        components.add("A", json!({ "type": "number" }), "");
    }
}
