//! A text with which another one ends: the caller's words at the end of the message that the agent receives.

#![expect(clippy::ref_option, reason = "serde hands fields by reference")]

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::context::{is_stored, said, say};

/// A text: the number of bytes with which the message ends, or itself.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Tail<T> {
    /// So many bytes at the end of the message.
    Bytes(usize),
    /// The text.
    Text(T),
}

pub(crate) mod said_text {
    use super::{Deserialize, Deserializer, Serialize, Serializer, Tail, is_stored, said, say};

    fn note(text: &Option<String>) {
        say(|said| said.text.clone_from(text));
    }

    pub(crate) fn serialize<S: Serializer>(text: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
        note(text);
        let ends_message = |text: &&String| {
            is_stored()
                && said(|said| said.message.as_ref().map(|message| message.ends_with(*text))) == Some(true)
        };
        let stored = text.as_ref().map(|text| match Some(text).filter(ends_message) {
            Some(text) => Tail::Bytes(text.len()),
            None => Tail::Text(text),
        });
        stored.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<String>, D::Error> {
        let text = match Option::<Tail<String>>::deserialize(deserializer)? {
            None => None,
            Some(Tail::Text(text)) => Some(text),
            Some(Tail::Bytes(bytes)) => {
                let tail = said(|said| {
                    let message = said.message.as_deref()?;
                    message.get(message.len().checked_sub(bytes)?..).map(str::to_owned)
                });
                let refused =
                    || serde::de::Error::custom("a text stands as a number only behind a message it ends");
                Some(tail.ok_or_else(refused)?)
            }
        };
        note(&text);
        Ok(text)
    }
}

/// The text as readers of the API get it, or as it is stored.
pub(crate) struct DrawnTail;

impl JsonSchema for DrawnTail {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DrawnTail".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        if generator.contract().is_serialize() {
            String::json_schema(generator)
        } else {
            <Tail<String>>::json_schema(generator)
        }
    }
}
