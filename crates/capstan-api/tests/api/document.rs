//! The document has the shape that generators of clients read.

use std::collections::BTreeSet;

use capstan_api::{Answer, operations};
use serde_json::Value;

use crate::conformance::{DOCUMENT, resolved};

/// A wire name as the name of a type.
fn pascal(name: &str) -> String {
    let words = name.split(['-', '_']);
    words
        .filter_map(|word| word.split_at_checked(1))
        .map(|(first, rest)| first.to_ascii_uppercase() + rest)
        .collect()
}

/// Visits every schema, parameter and response with its place. Values that are data are no schemas.
fn visit(value: &Value, place: &str, see: &mut impl FnMut(&str, &Value)) {
    see(place, value);
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => {
            let is_data = |key: &str| matches!(key, "example" | "default" | "const" | "enum");
            let is_named = place.ends_with("/properties");
            map.iter()
                .filter(|(key, _)| is_named || !is_data(key))
                .map(|(key, value)| (key.clone(), value))
                .collect()
        }
        Value::Array(list) => {
            list.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect()
        }
        _ => return,
    };
    for (key, value) in children {
        visit(value, &format!("{place}/{}", key.replace('~', "~0").replace('/', "~1")), see);
    }
}

#[test]
fn no_schema_is_a_boolean_but_the_one_that_refuses_fields() {
    let mut seen = 0;
    visit(&DOCUMENT, "", &mut |place, value| {
        let (parent, key) = place.rsplit_once('/').unwrap_or_default();
        let of_schema = matches!(key, "items" | "schema" | "additionalProperties" | "not")
            || parent.ends_with("/properties")
            || ["oneOf", "anyOf", "allOf"].iter().any(|list| parent.ends_with(list));
        seen += usize::from(of_schema);
        let refuses = key == "additionalProperties" && *value == false;
        assert!(!of_schema || !value.is_boolean() || refuses, "{place} is {value}");
    });
    assert!(seen > 1000, "only {seen} schemas were seen");
}

#[test]
fn all_components_have_names_in_pascal_case_and_are_referred_to() {
    let mut referred = BTreeSet::new();
    visit(&DOCUMENT, "", &mut |place, value| {
        if let (true, Some(target)) = (place.ends_with("/$ref"), value.as_str()) {
            assert!(DOCUMENT.pointer(target.trim_start_matches('#')).is_some(), "{place} leads nowhere");
            referred.insert(target.to_owned());
        }
    });
    let kinds = DOCUMENT["components"].as_object().unwrap();
    for (kind, name) in
        kinds.iter().flat_map(|(kind, names)| names.as_object().unwrap().keys().map(move |name| (kind, name)))
    {
        let is_pascal = name.chars().all(|letter| letter.is_ascii_alphanumeric()) && *name == pascal(name);
        assert!(is_pascal, "{kind}/{name}");
        let is_used = kind != "schemas" || referred.contains(&format!("#/components/{kind}/{name}"));
        assert!(is_used, "nothing refers to {name}");
    }
}

#[test]
fn words_are_an_enum_and_objects_of_kinds_name_the_field_that_tells_them_apart() {
    let mut choices = 0;
    visit(&DOCUMENT, "", &mut |place, value| {
        let Some(branches) = value.get("oneOf").filter(|_| !place.ends_with("/properties")) else { return };
        choices += 1;
        let discriminator = &value["discriminator"];
        let tag =
            discriminator["propertyName"].as_str().unwrap_or_else(|| panic!("{place} has no discriminator"));
        let mapping = discriminator["mapping"].as_object().unwrap();
        assert_eq!(mapping.len(), branches.as_array().unwrap().len(), "{place}");
        for (word, target) in mapping {
            let branch = DOCUMENT.pointer(target.as_str().unwrap().trim_start_matches('#')).unwrap();
            assert_eq!(branch["properties"][tag]["const"], word.as_str(), "{place}");
            assert!(branch["required"].as_array().unwrap().contains(&tag.into()), "{place}: {word}");
            assert!(branches.as_array().unwrap().iter().any(|branch| branch["$ref"] == *target), "{place}");
        }
    });
    assert!(choices > 5, "only {choices} choices were seen");
}

#[test]
fn every_operation_has_typed_answers_and_errors() {
    for operation in operations() {
        let shown = &DOCUMENT["paths"][operation.path][operation.method.as_str().to_lowercase()];
        for status in operation.statuses {
            let response = resolved(&shown["responses"][status.to_string()]);
            let (_, content) = response["content"].as_object().unwrap().iter().next().unwrap();
            let reference = content["schema"]["$ref"].as_str();
            let name = reference.and_then(|target| target.strip_prefix("#/components/schemas/"));
            match operation.answer {
                Answer::List(item) => assert_eq!(name, Some(format!("{}Page", pascal(item)).as_str())),
                Answer::Receipt(entity) => {
                    assert_eq!(name, Some(format!("{}Reply", pascal(entity)).as_str()));
                }
                Answer::Entity(object) | Answer::View(object) | Answer::Object(object) => {
                    assert_eq!(name, Some(pascal(object).as_str()));
                }
                Answer::Stream => assert_eq!(name, Some("LiveFrame")),
                Answer::Maybe(_) | Answer::Array(_) | Answer::Text(_) => {}
            }
        }
        assert_eq!(shown["responses"]["500"]["$ref"], "#/components/responses/Problem500");
    }
    let problems = DOCUMENT["components"]["responses"].as_object().unwrap();
    for (_, problem) in problems.iter().filter(|(name, _)| name.starts_with("Problem")) {
        let schema = &problem["content"]["application/problem+json"]["schema"];
        assert_eq!(schema["$ref"], "#/components/schemas/Problem");
    }
}

#[test]
fn every_example_of_a_request_is_one() {
    let mut compared = 0;
    for operation in operations() {
        let shown = &DOCUMENT["paths"][operation.path][operation.method.as_str().to_lowercase()];
        let media = &shown["requestBody"]["content"]["application/json"];
        let Some(example) = media.get("example") else { continue };
        let name = media["schema"]["$ref"].as_str().unwrap();
        let schema = DOCUMENT.pointer(name.trim_start_matches('#')).unwrap();
        assert!(
            schema["type"] == "array" || schema["additionalProperties"] == false,
            "{name} takes any field"
        );
        let schema = serde_json::json!({ "$ref": name, "components": DOCUMENT["components"] });
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let faults: Vec<_> = validator.iter_errors(example).map(|error| error.to_string()).collect();
        assert!(faults.is_empty(), "{} {}: {faults:?}", operation.name, example);
        compared += 1;
    }
    assert!(compared > 30, "only {compared} examples");
}
