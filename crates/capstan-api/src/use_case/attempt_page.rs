//! The pages of a leased attempt, for workers whose lease had no room for all of it.

use capstan_contract::lease::AttemptPage;
use uuid::Uuid;

use crate::problem::Problem;

/// The place a page begins at, in an attempt that reads as it did when the page before was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    offset: usize,
    read_as: Uuid,
}

impl Cursor {
    /// Reads what [`of`] wrote as `next_cursor`.
    pub(crate) fn read(text: &str) -> Result<Self, Problem> {
        let parts = text.split_once('.');
        let cursor = parts.and_then(|(offset, read_as)| {
            Some(Self { offset: offset.parse().ok()?, read_as: read_as.parse().ok()? })
        });
        cursor.ok_or_else(|| Problem::invalid_field("/cursor", "must be the cursor of a page"))
    }
}

/// The page at the cursor; the first one without a cursor, and when the attempt reads otherwise than it did then.
pub(crate) fn of(json: &str, cursor: Option<&Cursor>) -> AttemptPage {
    let read_as = Uuid::new_v5(&Uuid::NAMESPACE_OID, json.as_bytes());
    let offset = cursor.filter(|cursor| cursor.read_as == read_as).map_or(0, |cursor| cursor.offset);
    let offset = json.floor_char_boundary(offset);
    let end = json.floor_char_boundary(offset.saturating_add(AttemptPage::TEXT_BYTES_MAX));
    AttemptPage {
        offset: offset as u64,
        text: json[offset..end].to_owned(),
        next_cursor: (end < json.len()).then(|| format!("{end}.{}", read_as.simple())),
    }
}

#[cfg(test)]
mod tests {
    use capstan_contract::lease::ANSWER_BYTES_MAX;

    use super::*;

    #[test]
    fn the_texts_of_the_pages_are_the_attempt_and_each_fits_an_answer() {
        // Nothing escapes into more than this does.
        for json in [r#"\""#.repeat(400_000), "ä€😀".repeat(100_000), "{}".to_owned(), String::new()] {
            let (mut text, mut cursor) = (String::new(), None);
            loop {
                let page = of(&json, cursor.as_ref());
                assert_eq!(page.offset, text.len() as u64);
                let bytes = serde_json::to_string(&page).unwrap().len();
                assert!(bytes <= ANSWER_BYTES_MAX, "{bytes} bytes");
                text.push_str(&page.text);
                let Some(next) = page.next_cursor else { break };
                cursor = Some(Cursor::read(&next).unwrap());
            }
            assert_eq!(text, json);
        }
    }

    #[test]
    fn the_pages_of_an_attempt_that_changed_begin_anew() {
        let (before, after) = ("a".repeat(500_000), "b".repeat(500_000));
        let cursor = Cursor::read(&of(&before, None).next_cursor.unwrap()).unwrap();
        assert_eq!(of(&before, Some(&cursor)).offset, AttemptPage::TEXT_BYTES_MAX as u64);
        assert_eq!(of(&after, Some(&cursor)).offset, 0);
        for wrong in ["", "7", "x.y", "-1.00000000000000000000000000000000"] {
            assert!(Cursor::read(wrong).is_err(), "{wrong}");
        }
        let beyond = Cursor { offset: usize::MAX, ..cursor };
        assert_eq!((of(&before, Some(&beyond)).text.as_str(), before.len()), ("", 500_000));
    }
}
