//! Values given as text: in a path, a query string or a header.

use std::collections::HashSet;
use std::fmt::Display;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::value::{BorrowedStrDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error, IntoDeserializer, Visitor};

/// One value given as text. A list is separated by commas, a map is a list of `name:value`, a flag is `true`, `false`,
/// `1` or `0`.
pub(super) struct Text<'de, E> {
    text: &'de str,
    error: PhantomData<E>,
}

impl<'de, E: Error> Text<'de, E> {
    pub(super) fn new(text: &'de str) -> Self {
        Self { text, error: PhantomData }
    }

    fn parsed<T: FromStr>(&self, wanted: &'static str) -> Result<T, E>
    where
        T::Err: Display,
    {
        let unexpected = serde::de::Unexpected::Str(self.text);
        self.text.parse().map_err(|_| E::invalid_value(unexpected, &wanted))
    }
}

/// The names that a map has already when they come again.
pub(super) fn names_given_twice(text: &str) -> impl Iterator<Item = &str> {
    let mut names = HashSet::new();
    items(text)
        .filter_map(|pair| pair.split_once(':'))
        .map(|(name, _)| name)
        .filter(move |name| !names.insert(*name))
}

/// The items of a list, without blanks around them; empty items are left out.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// A flag, when the text is one.
pub(super) fn flag(text: &str) -> Option<bool> {
    match text {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

impl<'de, E: Error> IntoDeserializer<'de, E> for Text<'de, E> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
            visitor.$visit(self.parsed::<$type>(stringify!($type))?)
        }
    )*};
}

impl<'de, E: Error> Deserializer<'de> for Text<'de, E> {
    type Error = E;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_borrowed_str(self.text)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        let unexpected = serde::de::Unexpected::Str(self.text);
        visitor.visit_bool(flag(self.text).ok_or_else(|| E::invalid_value(unexpected, &"a boolean"))?)
    }

    numbers! {
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
        deserialize_f32 visit_f32 f32;
        deserialize_f64 visit_f64 f64;
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, E> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, E> {
        BorrowedStrDeserializer::new(self.text).deserialize_enum(name, variants, visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_seq(SeqDeserializer::new(items(self.text).map(Self::new)))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        let pairs: Option<Vec<_>> = items(self.text).map(|pair| pair.split_once(':')).collect();
        let unexpected = serde::de::Unexpected::Str(self.text);
        let pairs =
            pairs.ok_or_else(|| E::invalid_value(unexpected, &"name:value pairs, separated by commas"))?;
        let pairs = pairs.into_iter().map(|(name, value)| (Self::new(name), Self::new(value)));
        visitor.visit_map(MapDeserializer::new(pairs))
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct tuple tuple_struct struct identifier ignored_any
    }
}
