//! A text that quotes others of its commit: what a tool wrote or a caller said, in the message that tells the agent of it.
//!
//! Such a text stands as its pieces: words of its own, and the numbers of the texts it quotes. So a quoted text stands once,
//! and how the words around it are chosen is no part of the format.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::context::{Said, is_stored, said, say};

/// The shortest text that is quoted, in bytes: the number of a shorter one would hardly be shorter.
const QUOTED_BYTES_MIN: usize = 12;
/// Longest text that stands as its pieces, in bytes: few of them could tell of a text without end.
const TEXT_BYTES_MAX: usize = 16 << 20;
/// Most texts of a commit that its messages quote, the first ones: each is looked for in each message.
const QUOTED_MAX: usize = 32;

/// Notes a text, without blanks around it, that later messages of the commit may quote. Its number is the place of its field
/// among those of the commit that are there, whatever they hold: so a text that was erased, or cannot be read, moves no other.
pub(super) fn quotable(said: &mut Said, text: &str) {
    if said.quotable.len() < QUOTED_MAX {
        said.quotable.push(text.trim().to_owned());
    }
}

/// The same, where there is one.
pub(super) fn quotable_option(said: &mut Said, text: Option<&str>) {
    if let Some(text) = text {
        quotable(said, text);
    }
}

/// Notes a result, which messages quote as it is, or as JSON when it is no text. JSON is read back to the same text, numbers
/// included (`float_roundtrip`).
pub(super) fn quotable_value(said: &mut Said, value: Option<&Value>) {
    match value {
        None => {}
        Some(Value::String(text)) => quotable(said, text),
        Some(value) => quotable(said, &value.to_string()),
    }
}

/// A part of a text: words of its own, or the number of a text of the commit, from 0.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Piece<'a> {
    /// The text with this number.
    Quoted(usize),
    /// Words.
    Own(Cow<'a, str>),
}

/// The pieces of a text, when it quotes any.
fn pieces(text: &str) -> Option<Vec<Piece<'_>>> {
    let mut found: Vec<(usize, usize, usize)> = said(|said| {
        let quotable = said.quotable.iter().enumerate();
        let quotable = quotable.filter(|(_, quoted)| quoted.len() >= QUOTED_BYTES_MIN);
        Some(
            quotable
                .flat_map(|(number, quoted)| {
                    text.match_indices(quoted.as_str())
                        .map(move |(start, quoted)| (start, quoted.len(), number))
                })
                .collect(),
        )
    })?;
    // The first of those that overlap, and of those that begin together the longest.
    found.sort_unstable_by_key(|(start, bytes, number)| (*start, usize::MAX - bytes, *number));
    let (mut pieces, mut end) = (Vec::new(), 0);
    for (start, bytes, number) in found {
        let Some(own) = text.get(end..start) else { continue };
        if !own.is_empty() {
            pieces.push(Piece::Own(own.into()));
        }
        pieces.push(Piece::Quoted(number));
        end = start + bytes;
    }
    let rest = text.get(end..).filter(|rest| !rest.is_empty());
    let quotes = !pieces.is_empty();
    pieces.extend(rest.map(|rest| Piece::Own(rest.into())));
    quotes.then_some(pieces)
}

/// A message to the agent, behind the other texts of its event.
pub(crate) mod message {
    use super::{Deserializer, Reader, Serialize, Serializer, TEXT_BYTES_MAX, is_stored, pieces, say};

    fn note(text: &str) {
        say(|said| {
            said.message = Some(text.to_owned());
            said.is_input_open = false;
        });
    }

    pub(crate) fn serialize<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
        note(text);
        let is_quoting = is_stored() && text.len() <= TEXT_BYTES_MAX;
        match Some(text).filter(|_| is_quoting).and_then(pieces) {
            Some(pieces) => pieces.serialize(serializer),
            None => text.serialize(serializer),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
        let text = deserializer.deserialize_any(Reader)?;
        note(&text);
        Ok(text)
    }
}

/// Reads a text, or joins its pieces.
struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, or its pieces")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<String, E> {
        Ok(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pieces: A) -> Result<String, A::Error> {
        let mut text = String::new();
        while let Some(piece) = pieces.next_element::<Piece<'_>>()? {
            match piece {
                Piece::Own(own) => text.push_str(&own),
                Piece::Quoted(number) => {
                    let quoted = said(|said| said.quotable.get(number).cloned());
                    let refused = || A::Error::custom(format!("no text before it has the number {number}"));
                    text.push_str(&quoted.ok_or_else(refused)?);
                }
            }
            if text.len() > TEXT_BYTES_MAX {
                return Err(A::Error::custom(format!("a text of pieces has at most {TEXT_BYTES_MAX} bytes")));
            }
        }
        Ok(text)
    }
}

/// The text as readers of the API get it, or as it is stored.
pub(crate) struct DrawnPieces;

impl JsonSchema for DrawnPieces {
    fn schema_name() -> Cow<'static, str> {
        "DrawnPieces".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        if generator.contract().is_serialize() {
            String::json_schema(generator)
        } else {
            <Stored>::json_schema(generator)
        }
    }
}

/// A text, or its pieces.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "it draws a schema only")]
enum Stored {
    /// The text.
    Text(String),
    /// Words of its own, and the numbers of the texts of the commit that it quotes.
    Pieces(Vec<Piece<'static>>),
}
