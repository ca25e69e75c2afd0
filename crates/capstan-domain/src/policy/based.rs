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

/// A policy that is there or not.
pub(crate) mod option {
    use super::{Based, Deserialize, Deserializer, RunPolicy, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde hands fields by reference")]
    pub(crate) fn serialize<S: Serializer>(
        policy: &Option<RunPolicy>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        policy.as_ref().map(Based).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<RunPolicy>, D::Error> {
        Ok(Option::deserialize(deserializer)?.map(|Based(policy)| policy))
    }
}

/// What becomes of a policy.
pub(crate) mod change {
    use super::{Based, Deserialize as _, Deserializer, RunPolicy, Serialize as _, Serializer};
    use crate::change::Change;

    pub(crate) fn serialize<S: Serializer>(
        change: &Change<RunPolicy>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        change.value().map(Based).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Change<RunPolicy>, D::Error> {
        Ok(Change::deserialize(deserializer)?.map(|Based(policy)| policy))
    }
}

/// A policy in its stored form.
struct Based<T>(T);

impl Serialize for Based<&RunPolicy> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Based<RunPolicy> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer).map(Self)
    }
}

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
    // One that is written whole names no version; what it lacks is never taken from the reading build.
    if let Some(found) = stored.remove(BASE_KEY).filter(|found| *found != json!(BASE)) {
        if let Some(newer) = found.as_u64().filter(|found| *found > BASE.into()) {
            implied::unknown_default("policies", newer);
        }
        return Err(D::Error::custom(format!("no default {found} of policies is known")));
    }
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

    /// A field that is added later needs a value for old policies: that of a new version of the file, or of a file beside it.
    #[test]
    fn the_frozen_default_says_every_field() {
        let Value::Object(whole) = serde_json::to_value(RunPolicy::default()).unwrap() else {
            unreachable!()
        };
        assert!(whole.keys().eq(DEFAULT.0.keys()), "{:?}", whole.keys());
        let (Value::Object(retry), Value::Object(frozen)) = (&whole[RETRY], &DEFAULT.0[RETRY]) else {
            unreachable!()
        };
        assert!(retry.keys().eq(frozen.keys()), "{:?}", retry.keys());
    }

    #[test]
    fn a_policy_that_lacks_a_field_has_that_of_the_frozen_default() {
        let read =
            |policy: Value| serde_json::from_value::<Holder>(json!({ "policy": policy })).unwrap().policy;
        assert_eq!(read(json!({})), DEFAULT.1);
        let asking = RunPolicy { ask: "always".into(), ..DEFAULT.1.clone() };
        assert_eq!(read(json!({ "ask": "always", "retry": {} })), asking);
    }

    #[test]
    fn a_policy_is_shown_whole_and_an_unknown_default_is_refused() {
        let shown = serde_json::to_value(Holder { policy: RunPolicy::default() }).unwrap();
        assert_eq!(shown["policy"], serde_json::to_value(RunPolicy::default()).unwrap());
        let error = serde_json::from_value::<Holder>(json!({ "policy": { "base": 9 } })).unwrap_err();
        assert!(error.to_string().contains("no default 9 of policies is known"), "{error}");
    }
}
