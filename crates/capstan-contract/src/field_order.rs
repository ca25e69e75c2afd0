//! The order in which the fields of a stored event were written.
//!
//! A field that is left out follows from those before it, so a retired version must be read in its own order. A JSON value has
//! none: its fields are sorted.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// The names of the fields of a JSON text, at every depth, as they were written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum FieldOrder {
    /// An object.
    Fields(Vec<(String, Self)>),
    /// A list.
    Items(Vec<Self>),
    /// Anything without fields.
    #[default]
    Plain,
}

impl FieldOrder {
    /// The JSON text of a value with its fields in this order; those that are new come last.
    pub(crate) fn text(&self, value: &Value) -> String {
        match (value, self) {
            (Value::Object(object), _) => {
                let written = if let Self::Fields(written) = self { &written[..] } else { &[] };
                let old =
                    written.iter().filter_map(|(name, order)| Some((name, order.text(object.get(name)?))));
                let is_new = |name: &&String| written.iter().all(|(written, _)| written != *name);
                let new = object.keys().filter(is_new).map(|name| (name, object[name].to_string()));
                let fields =
                    old.chain(new).map(|(name, value)| format!("{}:{value}", Value::from(name.as_str())));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
            }
            (Value::Array(items), Self::Items(written)) => {
                let plain = Self::Plain;
                let orders = written.iter().chain(std::iter::repeat(&plain));
                let items: Vec<_> = items.iter().zip(orders).map(|(item, order)| order.text(item)).collect();
                format!("[{}]", items.join(","))
            }
            (other, _) => other.to_string(),
        }
    }
}

impl<'de> Deserialize<'de> for FieldOrder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Order;
        impl<'de> Visitor<'de> for Order {
            type Value = FieldOrder;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FieldOrder, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(FieldOrder::Fields(fields))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<FieldOrder, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(FieldOrder::Items(items))
            }

            fn visit_bool<E>(self, _: bool) -> Result<FieldOrder, E> {
                Ok(FieldOrder::Plain)
            }

            fn visit_i64<E>(self, _: i64) -> Result<FieldOrder, E> {
                Ok(FieldOrder::Plain)
            }

            fn visit_u64<E>(self, _: u64) -> Result<FieldOrder, E> {
                Ok(FieldOrder::Plain)
            }

            fn visit_f64<E>(self, _: f64) -> Result<FieldOrder, E> {
                Ok(FieldOrder::Plain)
            }

            fn visit_str<E>(self, _: &str) -> Result<FieldOrder, E> {
                Ok(FieldOrder::Plain)
            }

            fn visit_unit<E>(self) -> Result<FieldOrder, E> {
                Ok(FieldOrder::Plain)
            }
        }
        deserializer.deserialize_any(Order)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_keep_their_order_and_new_ones_come_last() {
        let written = r#"{"z":1,"b":[{"y":null,"x":"é\n"},2.5,true,{"c":-1}],"a":{"k":1,"j":2}}"#;
        let order: FieldOrder = serde_json::from_str(written).unwrap();
        assert_eq!(order.text(&serde_json::from_str(written).unwrap()), written);
        let changed = json!({ "new": {"t": 1}, "a": {"j": 3, "k": [1]}, "b": [{"x": 1, "w": 2}], "z\"": 0 });
        assert_eq!(
            order.text(&changed),
            r#"{"b":[{"x":1,"w":2}],"a":{"k":[1],"j":3},"new":{"t":1},"z\"":0}"#
        );
        assert_eq!(order.text(&json!([1])), "[1]");
    }
}
