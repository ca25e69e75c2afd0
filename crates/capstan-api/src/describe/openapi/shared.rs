//! Parts that several operations have alike: each stands once in the components, and the operations refer to it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::components::{PLACE, pascal};

/// Moves the parameters that occur more than once out of the paths.
pub(super) fn parameters(paths: &mut Value) -> Map<String, Value> {
    share(paths, "parameters", |operation| {
        let parameters = operation["parameters"].as_array_mut().into_iter().flatten();
        let named = parameters.map(|parameter| {
            let text = |field: &str| pascal(parameter[field].as_str().unwrap_or_default());
            (format!("{}{}", text("name"), text("in")), parameter)
        });
        named.collect()
    })
}

/// Moves the responses with content that occur more than once out of the paths.
pub(super) fn responses(paths: &mut Value) -> Map<String, Value> {
    share(paths, "responses", |operation| {
        let responses = operation["responses"].as_object_mut().into_iter().flatten();
        let named = responses.filter_map(|(status, response)| {
            let media = response["content"].as_object()?.values().next()?;
            let schema = media["schema"]["$ref"].as_str()?.strip_prefix(PLACE)?;
            Some((format!("{schema}{status}"), response))
        });
        named.collect()
    })
}

/// Parts of one operation, by the names they have in the components.
type Parts<'a> = Vec<(String, &'a mut Value)>;

/// Moves parts to this place of the components, when they occur more than once. Of parts that differ under one name, the
/// most frequent moves.
fn share(paths: &mut Value, place: &str, parts_of: fn(&mut Value) -> Parts<'_>) -> Map<String, Value> {
    let operations = paths.as_object_mut().into_iter().flatten().filter_map(|(_, path)| path.as_object_mut());
    let mut parts: BTreeMap<String, Vec<&mut Value>> = BTreeMap::new();
    for (name, part) in operations.flatten().flat_map(|(_, operation)| parts_of(operation)) {
        parts.entry(name).or_default().push(part);
    }
    let mut shared = Map::new();
    for (name, parts) in parts {
        let count = |part: &Value| parts.iter().filter(|other| ***other == *part).count();
        let frequent = parts.iter().max_by_key(|part| count(part)).filter(|part| count(part) > 1);
        let Some(part) = frequent.map(|part| (**part).clone()) else { continue };
        for alike in parts.into_iter().filter(|alike| **alike == part) {
            *alike = json!({ "$ref": format!("#/components/{place}/{name}") });
        }
        shared.insert(name, part);
    }
    shared
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_of_the_parameters_that_occur_twice_is_shared() {
        let with = |about: &str| json!({ "get": { "parameters": [{ "name": "run_id", "in": "query", "description": about }] } });
        let mut paths = json!({ "/a": with("one"), "/b": with("two"), "/c": with("two") });
        let shared = parameters(&mut paths);
        assert_eq!(shared["RunIdQuery"]["description"], "two");
        assert_eq!(paths["/a"], with("one"));
        for path in ["/b", "/c"] {
            let parameter = &paths[path]["get"]["parameters"][0];
            assert_eq!(parameter, &json!({ "$ref": "#/components/parameters/RunIdQuery" }));
        }
    }
}
