//! A body as a tree, with the faults that a tree does not show: names given twice, and integers beyond 64 bits, which a
//! tree holds as rounded floats.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The body of a refused request.
pub(super) struct Document {
    pub(super) value: Value,
    /// Pointers of the names that their object has already.
    pub(super) given_twice: Vec<String>,
    /// Pointers of the integers beyond 64 bits.
    pub(super) too_large: Vec<String>,
}

impl Document {
    pub(super) fn read(json: &[u8]) -> Result<Self, serde_json::Error> {
        let integers = scan(json).integers;
        let mut faults = Faults { integers, ..Faults::default() };
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let value = Node(&mut faults).deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(Self { value, given_twice: faults.given_twice, too_large: faults.too_large })
    }
}

/// What one pass over a text tells, as far as it is JSON.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scanned {
    /// Levels of objects and lists in each other.
    pub(super) levels: usize,
    /// The integers that neither an `i64` nor a `u64` holds, by their places among all numbers of the text.
    pub(super) integers: Vec<usize>,
}

pub(super) fn scan(json: &[u8]) -> Scanned {
    let (mut scanned, mut level, mut numbers) = (Scanned::default(), 0_usize, 0);
    let mut rest = json;
    while let [byte, after @ ..] = rest {
        rest = match byte {
            b'"' => after_text(after),
            b'{' | b'[' => {
                level += 1;
                scanned.levels = scanned.levels.max(level);
                after
            }
            b'}' | b']' => {
                level = level.saturating_sub(1);
                after
            }
            b'-' | b'0'..=b'9' => {
                let is_of_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                let len = rest.iter().take_while(|byte| is_of_number(byte)).count();
                let (number, after) = rest.split_at(len);
                if is_beyond_64_bits(number) {
                    scanned.integers.push(numbers);
                }
                numbers += 1;
                after
            }
            _ => after,
        };
    }
    scanned
}

/// The rest of a JSON text after a string whose first quotation mark has been read.
fn after_text(mut rest: &[u8]) -> &[u8] {
    loop {
        rest = match rest {
            [b'"', after @ ..] => return after,
            [b'\\', _, after @ ..] | [_, after @ ..] => after,
            [] => return rest,
        };
    }
}

fn is_beyond_64_bits(number: &[u8]) -> bool {
    let is_integer = !number.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
    let fits = |text: &str| text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok();
    is_integer && !str::from_utf8(number).is_ok_and(fits)
}

/// The faults met so far, and the place of the reader.
#[derive(Default)]
struct Faults {
    pointer: String,
    /// Numbers read.
    numbers: usize,
    integers: Vec<usize>,
    given_twice: Vec<String>,
    too_large: Vec<String>,
}

/// Reads one value, whose pointer is that of the reader.
struct Node<'a>(&'a mut Faults);

impl Node<'_> {
    fn number(self, number: impl Into<Value>) -> Value {
        if self.0.integers.binary_search(&self.0.numbers).is_ok() {
            self.0.too_large.push(self.0.pointer.clone());
        }
        self.0.numbers += 1;
        number.into()
    }

    /// Enters the part of this name or index; its length is to be given back when the part has been read.
    fn enter(&mut self, part: &str) -> usize {
        let length = self.0.pointer.len();
        self.0.pointer.extend(["/", part]);
        length
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(self.number(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(self.number(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(self.number(Number::from_f64(value).map_or(Value::Null, Value::Number)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        loop {
            let length = self.enter(&values.len().to_string());
            let value = items.next_element_seed(Node(self.0))?;
            self.0.pointer.truncate(length);
            match value {
                Some(value) => values.push(value),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let length = self.enter(&super::escaped(&name));
            let value = entries.next_value_seed(Node(self.0))?;
            if fields.insert(name, value).is_some() {
                self.0.given_twice.push(self.0.pointer.clone());
            }
            self.0.pointer.truncate(length);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tree_hides_is_found_at_every_depth() {
        let json = r#"{"a":[1,{"b":1,"b":{},"\u0062":2}],"a/~":{"x":1,"x":1},"n":[18446744073709551615,
            18446744073709551616,-9223372036854775808,-9223372036854775809,1e30,"18446744073709551616\"",
            123456789012345678901.5],"a":{"c":-99999999999999999999}}"#;
        let document = Document::read(json.as_bytes()).unwrap();
        assert_eq!(document.given_twice, ["/a/1/b", "/a/1/b", "/a~1~0/x", "/a"]);
        assert_eq!(document.too_large, ["/n/1", "/n/3", "/a/c"]);
        let plain = r#"{"a":[1,-2,2.5,"x",null,true],"b":{}}"#;
        let document = Document::read(plain.as_bytes()).unwrap();
        assert_eq!(document.value, plain.parse::<Value>().unwrap());
        assert_eq!((document.given_twice, document.too_large), (vec![], vec![]));
    }

    #[test]
    fn a_text_that_is_not_json_ends_the_search_for_integers() {
        for json in [&b"\""[..], b"\"\\", b"\"\\\"", b"-", b"1e", b"\xff99", b""] {
            scan(json);
        }
    }
}
