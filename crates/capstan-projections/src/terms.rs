//! The labels of tasks as lexemes of Postgres' text search, which has an index for them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, BytesMut};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// Begins the lexeme of a workspace.
const WORKSPACE: char = '\u{1}';
/// Begins the lexeme of a label.
const LABEL: char = '\u{2}';
/// Separates name and value of a label; it is replaced in both.
const IS: char = '\u{1f}';
/// Bytes of a lexeme; of a longer one a hash is kept.
const LEXEME_BYTES_MAX: usize = 100;

/// The labels of a task and its workspace in the binary form of a `tsvector` without positions; `None` without labels.
pub(crate) fn vector(workspace: &str, labels: &BTreeMap<String, String>) -> Option<Vec<u8>> {
    if labels.is_empty() {
        return None;
    }
    // In the order of their bytes, as Postgres keeps them.
    let labels = labels.iter().map(|(name, value)| label(name, value));
    let lexemes: BTreeSet<String> = labels.chain([lexeme(WORKSPACE, workspace)]).collect();
    let mut out = BytesMut::new();
    out.put_u32(lexemes.len() as u32);
    for lexeme in &lexemes {
        out.put_slice(lexeme.as_bytes());
        out.put_u8(0);
        out.put_u16(0);
    }
    Some(out.to_vec())
}

/// The `tsquery` for tasks of a workspace with all of these labels; empty without labels.
pub(crate) fn query(workspace: &str, labels: &BTreeMap<String, String>) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let labels = labels.iter().map(|(name, value)| label(name, value));
    let quoted = |lexeme: String| format!("'{}'", lexeme.replace('\\', "\\\\").replace('\'', "''"));
    labels.chain([lexeme(WORKSPACE, workspace)]).map(quoted).collect::<Vec<_>>().join(" & ")
}

fn label(name: &str, value: &str) -> String {
    let clean = |text: &str| text.replace([IS, '\0'], "\u{fffd}");
    lexeme(LABEL, &format!("{}{IS}{}", clean(name), clean(value)))
}

fn lexeme(mark: char, text: &str) -> String {
    if text.len() <= LEXEME_BYTES_MAX {
        return format!("{mark}{text}");
    }
    // No shorter text has this length.
    format!("{mark}{}", HEXLOWER.encode(&Sha256::digest(text)).repeat(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_distinct_lexemes_of_bounded_length() {
        let labels = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        assert_eq!(query("dev", &labels(&[("a", "it's \\")])), "'\u{2}a\u{1f}it''s \\\\' & '\u{1}dev'");
        assert_eq!(query("dev", &labels(&[])), "");
        assert_eq!(vector("dev", &labels(&[])), None);
        let long = "v".repeat(300);
        let vector = vector("dev", &labels(&[("a", &long), ("b", "c")])).unwrap();
        assert!(vector.starts_with(&[0, 0, 0, 3]) && vector.len() < 200, "{vector:?}");
    }
}
