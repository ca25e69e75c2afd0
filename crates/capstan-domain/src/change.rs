//! The change of an optional field. In JSON: absent, `null`, or a value.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// Nothing, emptiness, or a new value. A field of this type carries
/// `#[serde(default, skip_serializing_if = "Change::is_keep")]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// The field stays as it is.
    #[default]
    Keep,
    /// The field becomes empty.
    Clear,
    /// The field takes this value.
    Set(T),
}

impl<T> Change<T> {
    /// True when nothing changes.
    pub fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }

    /// The new value, if one is given.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Keep | Self::Clear => None,
        }
    }

    /// The same change of another shape.
    pub fn map<U>(self, shape: impl FnOnce(T) -> U) -> Change<U> {
        match self {
            Self::Keep => Change::Keep,
            Self::Clear => Change::Clear,
            Self::Set(value) => Change::Set(shape(value)),
        }
    }
}

impl<T: Clone + PartialEq> Change<T> {
    /// Changes the field.
    pub fn apply(&self, field: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *field = None,
            Self::Set(value) => *field = Some(value.clone()),
        }
    }

    /// The field after the change.
    pub fn on(&self, field: Option<&T>) -> Option<T> {
        let mut field = field.cloned();
        self.apply(&mut field);
        field
    }

    /// The change that remains for a field with this value.
    #[must_use]
    pub fn against(&self, field: Option<&T>) -> Self {
        match (self, field) {
            (Self::Set(value), Some(present)) if value == present => Self::Keep,
            (Self::Clear, None) => Self::Keep,
            (change, _) => change.clone(),
        }
    }
}

impl<T: Serialize> Serialize for Change<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

impl<T: JsonSchema> JsonSchema for Change<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Option::<T>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Option::<T>::json_schema(generator);
        schema.insert(CLEARS.to_owned(), true.into());
        schema
    }
}

/// Marks the schema of a change while the schema of its object is drawn; no published schema has it.
pub const CLEARS: &str = "x-clears";

/// Takes `null` out of the schemas of an object's properties, but of those that it clears: elsewhere it would have no effect.
pub(crate) fn only_changes_are_null(schema: &mut Schema) {
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    for property in properties.values_mut().filter(|property| property.get(CLEARS).is_none()) {
        let Some(fields) = property.as_object_mut() else { continue };
        if let Some(Value::Array(kinds)) = fields.get_mut("type") {
            kinds.retain(|kind| kind != "null");
            if let [kind] = &kinds[..] {
                let kind = kind.clone();
                fields.insert("type".to_owned(), kind);
            }
        }
        if let Some(Value::Array(branches)) = fields.get_mut("anyOf") {
            branches.retain(|branch| branch["type"] != "null");
            if let [Value::Object(branch)] = &branches[..] {
                let branch = branch.clone();
                fields.remove("anyOf");
                fields.extend(branch);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Said {
        #[serde(default, skip_serializing_if = "Change::is_keep")]
        score: Change<u32>,
    }

    #[test]
    fn absent_null_and_a_value_are_three_things() {
        for (body, change) in [
            (json!({}), Change::Keep),
            (json!({ "score": null }), Change::Clear),
            (json!({ "score": 7 }), Change::Set(7)),
        ] {
            let said: Said = serde_json::from_value(body.clone()).unwrap();
            assert_eq!(said, Said { score: change });
            assert_eq!(serde_json::to_value(said).unwrap(), body);
        }
    }

    #[test]
    fn a_change_to_what_is_there_already_is_none() {
        assert_eq!(Change::Set(1).against(Some(&1)), Change::Keep);
        assert_eq!(Change::<u8>::Clear.against(None), Change::Keep);
        assert_eq!(Change::Set(1).against(Some(&2)), Change::Set(1));
        assert_eq!(Change::Clear.against(Some(&2)), Change::Clear);
        let mut field = Some(2);
        Change::Keep.apply(&mut field);
        assert_eq!(field, Some(2));
        Change::Clear.apply(&mut field);
        assert_eq!(field, None);
    }
}
