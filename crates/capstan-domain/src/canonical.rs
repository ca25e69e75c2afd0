//! One text for equal JSON, and what it comes to.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// SHA-256, in hex, of canonical JSON: keys sorted, no blanks.
pub fn hash(value: &Value) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut canonical = value.clone();
    // Without effect on the sorted map of a plain build; another crate may switch it to insertion order.
    canonical.sort_all_objects();
    let digest = Sha256::digest(canonical.to_string());
    let nibbles = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles.map(|nibble| char::from(DIGITS[usize::from(nibble)])).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_values_have_equal_hashes_and_others_do_not() {
        let one: Value = serde_json::from_str(r#"{"b":[{"y":1,"x":2}],"a":"ä"}"#).unwrap();
        let same: Value = serde_json::from_str(r#" {"a":"ä", "b":[{"x":2,"y":1}]} "#).unwrap();
        assert_eq!(hash(&one), hash(&same));
        assert_ne!(hash(&json!({"a": 1})), hash(&json!({"a": "1"})));
    }
}
