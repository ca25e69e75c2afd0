//! The numbers of several inputs of a task.

use std::fmt;
use std::ops::RangeInclusive;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeSeq, Serializer};

/// Most numbers of one list. A run delivers at most 256 KiB of texts that are not empty, each with a blank line between.
const NUMBERS_MAX: u32 = 100_000;

/// Numbers of inputs ([`InputAccepted::seq`](super::InputAccepted::seq)), in ascending order. On the wire a list of numbers, in
/// which two or more that follow each other stand as a pair, the first and the last: `[2, [5, 997]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputNumbers(Vec<RangeInclusive<u32>>);

impl InputNumbers {
    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True for one of them. Takes the logarithm of the number of gaps.
    pub fn contains(&self, number: u32) -> bool {
        let place = self.0.partition_point(|range| *range.end() < number);
        self.0.get(place).is_some_and(|range| range.contains(&number))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().cloned().flatten()
    }

    fn count(&self) -> u64 {
        self.0.iter().map(|range| u64::from(range.end() - range.start()) + 1).sum()
    }

    /// Adds numbers behind all others; false for some that are not.
    fn add(&mut self, range: RangeInclusive<u32>) -> bool {
        let last = self.0.last().map(|last| *last.end());
        let follows = range.start() <= range.end() && last.is_none_or(|last| last < *range.start());
        match self.0.last_mut().filter(|last| last.end().checked_add(1) == Some(*range.start())) {
            _ if !follows => {}
            Some(last) => *last = *last.start()..=*range.end(),
            None => self.0.push(range),
        }
        follows
    }
}

/// Of numbers in ascending order; any other is left out.
impl FromIterator<u32> for InputNumbers {
    fn from_iter<T: IntoIterator<Item = u32>>(numbers: T) -> Self {
        let mut collected = Self::default();
        for number in numbers {
            collected.add(number..=number);
        }
        collected
    }
}

#[derive(serde::Serialize, serde::Deserialize, JsonSchema)]
#[serde(untagged)]
enum Part {
    /// One number.
    One(u32),
    /// The first and the last of several that follow each other.
    Several([u32; 2]),
}

impl Serialize for InputNumbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for range in &self.0 {
            let (low, high) = (*range.start(), *range.end());
            list.serialize_element(&if low == high { Part::One(low) } else { Part::Several([low, high]) })?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for InputNumbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts;
        impl<'de> Visitor<'de> for Parts {
            type Value = InputNumbers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("numbers in ascending order")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<InputNumbers, A::Error> {
                let mut numbers = InputNumbers::default();
                while let Some(part) = list.next_element()? {
                    let range = match part {
                        Part::One(number) => number..=number,
                        Part::Several([low, high]) => low..=high,
                    };
                    if !numbers.add(range) {
                        return Err(A::Error::custom("numbers must be in ascending order"));
                    }
                }
                if numbers.count() > NUMBERS_MAX.into() {
                    return Err(A::Error::custom(format_args!("must be at most {NUMBERS_MAX} numbers")));
                }
                Ok(numbers)
            }
        }
        deserializer.deserialize_seq(Parts)
    }
}

impl JsonSchema for InputNumbers {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "InputNumbers".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<Part>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_follow_each_other_stand_as_first_and_last() {
        let numbers: InputNumbers = [2, 5, 6, 7, 9, 10].into_iter().collect();
        let text = serde_json::to_string(&numbers).unwrap();
        assert_eq!(text, "[2,[5,7],[9,10]]");
        assert_eq!(serde_json::from_str::<InputNumbers>(&text).unwrap(), numbers);
        assert_eq!(numbers.iter().collect::<Vec<_>>(), [2, 5, 6, 7, 9, 10]);
        let found: Vec<_> = (0..12).filter(|number| numbers.contains(*number)).collect();
        assert_eq!(found, [2, 5, 6, 7, 9, 10]);
        assert!(!numbers.is_empty() && InputNumbers::default().is_empty());
    }

    #[test]
    fn what_is_written_otherwise_reads_as_the_same() {
        let read = |text| serde_json::from_str::<InputNumbers>(text).unwrap();
        assert_eq!(read("[1,2,[3,3]]"), read("[[1,3]]"));
    }

    #[test]
    fn numbers_in_another_order_or_too_many_are_refused() {
        for text in ["[2,1]", "[1,1]", "[[3,2]]", "[[1,100001]]", "[-1]", "[[1]]", "[[1,2,3]]", "1"] {
            assert!(serde_json::from_str::<InputNumbers>(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<InputNumbers>("[[1,100000]]").is_ok());
        let ascending: InputNumbers = [3, 2, 4].into_iter().collect();
        assert_eq!(ascending, [3, 4].into_iter().collect());
    }
}
