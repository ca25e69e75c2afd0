//! Labels as one text column, so that filters need no second table.

use std::collections::BTreeMap;

/// Ends every entry: the ASCII unit separator, replaced in labels.
const END: char = '\u{1f}';
/// Separates name and value: the ASCII record separator, replaced in labels.
const IS: char = '\u{1e}';

/// All labels, as the value of the column.
pub(crate) fn column(labels: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (name, value) in labels {
        if text.is_empty() {
            text.push(END);
        }
        text.push_str(&clean(name));
        text.push(IS);
        text.push_str(&clean(value));
        text.push(END);
    }
    text
}

/// The text the column contains exactly when this label is set.
pub(crate) fn needle(name: &str, value: &str) -> String {
    format!("{END}{}{IS}{}{END}", clean(name), clean(value))
}

fn clean(text: &str) -> String {
    text.replace([END, IS, '\0'], "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_found_by_its_whole_name_and_value_only() {
        let labels =
            BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "a\u{1f}x".to_owned())]);
        let column = column(&labels);
        assert!(column.contains(&needle("a", "1")) && column.contains(&needle("b", "a\u{1f}x")));
        for (name, value) in [("a", ""), ("", "1"), ("b", "a"), ("x", ""), ("a", "11")] {
            assert!(!column.contains(&needle(name, value)), "{name}={value} was found");
        }
    }
}
