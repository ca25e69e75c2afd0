//! The stored form of a policy: the fields that differ from a frozen default, and the version of that default.
//!
//! The defaults stand in `schemas/defaults/run-policy.v<n>.json` and never change, so that the policy of an old task does not
//! change with the code. A new default of new commands is a new file and the new [`BASE`].

use std::borrow::Cow;
use std::sync::LazyLock;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::implied;
use crate::policy::RunPolicy;

/// Version of the default that new events refer to.
const BASE: u16 = 1;
/// Names the version in the stored form.
const BASE_KEY: &str = "base";
/// The one field whose own fields are compared; all others are written whole.
const RETRY: &str = "retry";

/// The default of [`BASE`], as JSON and as policy.
static DEFAULT: LazyLock<(Map<String, Value>, RunPolicy)> = LazyLock::new(|| {
    let text = include_str!("../../../../schemas/defaults/run-policy.v1.json");
    let read = serde_json::from_str(text).and_then(|map| Ok((map, serde_json::from_str(text)?)));
    read.unwrap_or_else(|error| unreachable!("a test reads the frozen file: {error}"))
});

pub(crate) fn serialize<S: Serializer>(policy: &RunPolicy, serializer: S) -> Result<S::Ok, S::Error> {
    use serde::ser::Error as _;
    if !implied::is_stored() {
        return policy.serialize(serializer);
    }
    let (base, default) = &*DEFAULT;
    if policy == default {
        return json!({ BASE_KEY: BASE }).serialize(serializer);
    }
    let Value::Object(whole) = serde_json::to_value(policy).map_err(S::Error::custom)? else {
        return Err(S::Error::custom("a policy is an object"));
    };
    let mut stored = difference(whole, base);
    if let (Some(Value::Object(retry)), Some(Value::Object(base))) = (stored.remove(RETRY), base.get(RETRY)) {
        stored.insert(RETRY.to_owned(), difference(retry, base).into());
    }
    stored.insert(BASE_KEY.to_owned(), BASE.into());
    stored.serialize(serializer)
}

/// The fields of `whole` that are not the same in `base`.
fn difference(whole: Map<String, Value>, base: &Map<String, Value>) -> Map<String, Value> {
    whole.into_iter().filter(|(key, value)| base.get(key) != Some(value)).collect()
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RunPolicy, D::Error> {
    let mut stored = Map::<String, Value>::deserialize(deserializer)?;
    let whole = match stored.remove(BASE_KEY) {
        None => stored,
        Some(base) if base == json!(BASE) => {
            let (base, default) = &*DEFAULT;
            if stored.is_empty() {
                return Ok(default.clone());
            }
            let mut whole = base.clone();
            if let (Some(Value::Object(differs)), Some(Value::Object(retry))) =
                (stored.remove(RETRY), whole.get_mut(RETRY))
            {
                retry.extend(differs);
            }
            whole.extend(stored);
            whole
        }
        Some(base) => {
            if let Some(newer) = base.as_u64().filter(|found| *found > BASE.into()) {
                implied::unknown_default("policies", newer);
            }
            return Err(D::Error::custom(format!("no default {base} of policies is known")));
        }
    };
    serde_json::from_value(whole.into()).map_err(D::Error::custom)
}

/// The policy as readers of the API get it, or as it is stored.
pub(crate) struct Drawn;

impl JsonSchema for Drawn {
    fn schema_name() -> Cow<'static, str> {
        "StoredRunPolicy".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        if generator.contract().is_serialize() {
            return generator.subschema_for::<RunPolicy>();
        }
        let mut schema = RunPolicy::json_schema(generator);
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            let base = json!({
                "description": "Version of the frozen default that holds where a field is absent, see schemas/defaults.",
                "type": "integer", "minimum": 1,
            });
            properties.insert(BASE_KEY.to_owned(), base);
            for property in properties.values_mut().filter_map(Value::as_object_mut) {
                // The default is that of the named version, not that of the drawing build.
                property.remove("default");
            }
        }
        schema
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::RetryPolicy;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Holder {
        #[serde(with = "super")]
        policy: RunPolicy,
    }

    fn stored(policy: RunPolicy) -> Value {
        let written =
            implied::within(implied::fixture(), || serde_json::to_value(Holder { policy: policy.clone() }));
        let written = written.unwrap();
        let read = implied::within(implied::fixture(), || serde_json::from_value::<Holder>(written.clone()));
        assert_eq!(read.unwrap(), Holder { policy });
        written["policy"].clone()
    }

    #[test]
    fn a_stored_policy_holds_what_differs_from_the_frozen_default() {
        assert_eq!(stored(DEFAULT.1.clone()), json!({ "base": 1 }));
        let retry = RetryPolicy { max_attempts: 5, ..DEFAULT.1.retry.clone() };
        let Value::Object(resources) = json!({ "cpu": null }) else { unreachable!() };
        let policy = RunPolicy { ask: "always".into(), resources, retry, ..DEFAULT.1.clone() };
        assert_eq!(
            stored(policy),
            json!({ "base": 1, "ask": "always", "resources": { "cpu": null }, "retry": { "max_attempts": 5 } })
        );
    }

    #[test]
    fn a_policy_is_shown_whole_and_an_unknown_default_is_refused() {
        let shown = serde_json::to_value(Holder { policy: RunPolicy::default() }).unwrap();
        assert_eq!(shown["policy"], serde_json::to_value(RunPolicy::default()).unwrap());
        let error = serde_json::from_value::<Holder>(json!({ "policy": { "base": 9 } })).unwrap_err();
        assert!(error.to_string().contains("no default 9 of policies is known"), "{error}");
    }
}
