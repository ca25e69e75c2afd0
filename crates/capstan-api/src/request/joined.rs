//! The fields outside the body and those in it, as one object.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use serde::de::value::{BorrowedStrDeserializer, CowStrDeserializer, MapDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use uuid::fmt::Hyphenated;

use super::Outer;
use super::name::Name;
use super::strict::Strict;
use super::text::{self, Text};

/// Begins the message about a field of the body that contradicts the one outside it; the name follows, and a backtick.
pub(super) const CONTRADICTS: &str = "contradicted field `";

/// Reads an object whose fields stand in several places. A field of the body may repeat one outside it, with the same
/// value; a field that is given twice is refused by the type that is read, which sees both.
pub(super) struct Joined<'a, 'de, R> {
    pub(super) outer: &'de [Outer<'de>],
    /// Fields of the body that were read before and are skipped.
    pub(super) known: &'static [&'static str],
    /// Collects the fields that are kept aside instead of read.
    pub(super) beside: &'a mut BesideFields<'de>,
    pub(super) json: &'a mut serde_json::Deserializer<R>,
}

impl<'de, R: serde_json::de::Read<'de>> Deserializer<'de> for Joined<'_, 'de, R> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        let Self { outer, known, beside, json } = self;
        Strict(json).deserialize_map(JoinedVisitor { outer, known, beside, visitor })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct JoinedVisitor<'a, 'de, V> {
    outer: &'de [Outer<'de>],
    known: &'static [&'static str],
    beside: &'a mut BesideFields<'de>,
    visitor: V,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for JoinedVisitor<'_, 'de, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, body: A) -> Result<V::Value, A::Error> {
        let Self { outer, known, beside, visitor } = self;
        let names = beside.names;
        let is_own = |outer: &&Outer<'de>| !names.contains(&&*outer.name);
        let outer = outer.iter().filter(is_own).collect();
        let doubts = beside.doubts();
        visitor.visit_map(Fields {
            outer,
            next_outer: 0,
            value: None,
            known,
            beside: Some(beside),
            doubts,
            body,
        })
    }
}

/// The fields beside a request: those outside the body, and those of the body as they were met.
pub(super) struct BesideFields<'de> {
    names: &'static [&'static str],
    outer: Vec<&'de Outer<'de>>,
    met: Vec<(String, Value)>,
    doubts: Rc<Cell<bool>>,
}

impl<'de> BesideFields<'de> {
    pub(super) fn new(outer: &'de [Outer<'de>], names: &'static [&'static str]) -> Self {
        let outer = outer.iter().filter(|outer| names.contains(&&*outer.name)).collect();
        Self { names, outer, met: Vec::new(), doubts: Rc::default() }
    }

    /// True once the body has repeated a number or a flag outside it as a text: only the schema tells whether a text may
    /// stand there.
    pub(super) fn doubts(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.doubts)
    }
}

impl<'de> Deserializer<'de> for BesideFields<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        let body = MapDeserializer::new(self.met.into_iter());
        visitor.visit_map(Fields {
            outer: self.outer,
            next_outer: 0,
            value: None,
            known: &[],
            beside: None,
            doubts: self.doubts,
            body,
        })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Fields<'a, 'de, A> {
    outer: Vec<&'de Outer<'de>>,
    next_outer: usize,
    /// The value of the outer field whose name was read last.
    value: Option<&'de str>,
    known: &'static [&'static str],
    beside: Option<&'a mut BesideFields<'de>>,
    doubts: Rc<Cell<bool>>,
    body: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Fields<'_, 'de, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        if let Some(outer) = self.outer.get(self.next_outer) {
            self.next_outer += 1;
            self.value = Some(&outer.text);
            return seed.deserialize(BorrowedStrDeserializer::new(&outer.name)).map(Some);
        }
        while let Some(Name(name)) = self.body.next_key()? {
            if self.known.contains(&&*name) {
                self.body.next_value::<IgnoredAny>()?;
            } else if let Some(beside) = self.beside.as_mut().filter(|beside| beside.names.contains(&&*name))
            {
                let value = self.body.next_value()?;
                beside.met.push((name.into_owned(), value));
            } else if let Some(outer) = self.outer.iter().find(|outer| outer.name == name) {
                let repeated: Value = self.body.next_value()?;
                if !repeats(&repeated, &outer.text) {
                    return Err(A::Error::custom(format_args!("{CONTRADICTS}{name}`")));
                }
                let may_be_no_text = || outer.text.parse::<Value>().is_ok();
                if repeated.is_string() && may_be_no_text() {
                    self.doubts.set(true);
                }
            } else {
                return seed.deserialize(CowStrDeserializer::new(name)).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        match self.value.take() {
            Some(text) => seed.deserialize(Strict(Text::new(text))),
            None => self.body.next_value_seed(seed),
        }
    }
}

/// True when two texts outside the body say the same. A UUID is the same in any case.
pub(super) fn says(one: &str, other: &str) -> bool {
    let id = |text: &str| text.parse::<Hyphenated>().ok();
    one == other || id(one).is_some_and(|one| id(other) == Some(one))
}

/// True when a value of the body says the same as the text outside it. A UUID is the same in any case.
pub(super) fn repeats(value: &Value, text: &str) -> bool {
    match value {
        Value::String(value) => says(value, text),
        Value::Bool(value) => text::flag(text) == Some(*value),
        Value::Number(_) => text.parse::<Value>().is_ok_and(|outer| outer == *value),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}
