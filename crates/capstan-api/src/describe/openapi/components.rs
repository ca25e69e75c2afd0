//! The schemas of a document, each under one name.

use std::collections::BTreeMap;

use capstan_contract::command::body_schemas;
use capstan_contract::lease::ANSWERS as LEASE_ANSWERS;
use capstan_contract::schema::NamedSchema;
use serde_json::{Map, Value};

use super::fixed;

/// Prefix of references to schemas of the document.
const PLACE: &str = "#/components/schemas/";
/// Prefix of references to the parts of one schema.
const PARTS: &str = "#/$defs/";

/// Schemas by name.
#[derive(Debug, Default)]
pub(crate) struct Components {
    pub(crate) schemas: Map<String, Value>,
}

impl Components {
    /// The schemas of bodies, of rows of the read models, and of these answers.
    pub(crate) fn new(answers: &[NamedSchema]) -> Self {
        let mut components = Self::default();
        body_schemas().for_each(|named| components.add(named));
        for named in LEASE_ANSWERS.iter().chain(capstan_projections::answers()).chain(answers) {
            components.add(named);
        }
        fixed::add(&mut components.schemas);
        components
    }

    /// Adds a schema under its wire name, and its parts under theirs.
    pub(crate) fn add(&mut self, named: &NamedSchema) {
        self.add_schema(named.name, (named.schema)());
    }

    /// Adds a schema. A part that differs from one of the same name is renamed.
    pub(crate) fn add_schema(&mut self, name: &str, mut schema: Value) {
        let parts = match schema.as_object_mut().and_then(|schema| {
            schema.remove("$schema");
            schema.remove("$defs")
        }) {
            Some(Value::Object(parts)) => parts,
            _ => Map::new(),
        };
        let mut names: BTreeMap<String, String> =
            parts.keys().map(|part| (part.clone(), part.clone())).collect();
        // A part that refers to a renamed one differs too: repeat until nothing is renamed.
        loop {
            let clash = parts.iter().find(|(part, schema)| {
                let taken = &names[*part];
                let present = self.schemas.get(taken);
                present.is_some_and(|present| *present != moved(schema, &names)) && taken == *part
            });
            let Some((part, _)) = clash else { break };
            names.insert(part.clone(), format!("{name}.{part}"));
        }
        for (part, schema) in &parts {
            self.schemas.insert(names[part].clone(), moved(schema, &names));
        }
        self.schemas.insert(name.to_owned(), moved(&schema, &names));
    }

    /// A reference to a schema; an empty schema when there is none of this name.
    pub(crate) fn reference(&self, name: &str) -> Value {
        if self.schemas.contains_key(name) {
            serde_json::json!({ "$ref": format!("{PLACE}{name}") })
        } else {
            Value::Object(Map::new())
        }
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
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_that_differ_keep_their_own_look() {
        let mut components = Components::default();
        let with = |kind: &str| json!({ "$ref": "#/$defs/P", "$defs": { "P": { "type": kind } } });
        components.add_schema("a", with("string"));
        components.add_schema("b", with("string"));
        components.add_schema("c", with("number"));
        assert_eq!(components.schemas["b"], json!({ "$ref": "#/components/schemas/P" }));
        assert_eq!(components.schemas["c"], json!({ "$ref": "#/components/schemas/c.P" }));
        assert_eq!(components.schemas["c.P"], json!({ "type": "number" }));
    }
}
