//! One text for equal JSON, and what it comes to.

use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// SHA-256, in hex, of canonical JSON: keys sorted, no blanks.
pub fn hash(value: &Value) -> String {
    let mut canonical = value.clone();
    // Without effect on the sorted map of a plain build; another crate may switch it to insertion order.
    canonical.sort_all_objects();
    HEXLOWER.encode(&Sha256::digest(canonical.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_keys_and_blanks_do_not_matter() {
        let one: Value = serde_json::from_str(r#"{"b":[{"y":1,"x":2}],"a":"ä\n"}"#).unwrap();
        let same: Value = serde_json::from_str(r#" { "a" : "ä\n", "b" : [ {"x":2, "y":1} ] } "#).unwrap();
        assert_eq!(hash(&one), hash(&same));
        assert_eq!(hash(&one).len(), 64);
    }

    #[test]
    fn another_value_has_another_hash() {
        for (one, other) in [
            (json!({"a": 1}), json!({"a": 2})),
            (json!({"a": 1}), json!({"a": "1"})),
            (json!({"a": [1, 2]}), json!({"a": [2, 1]})),
            (json!({"a": {"b": 1}, "c": 2}), json!({"a": {"b": 1, "c": 2}})),
            (json!({"a": null}), json!({})),
        ] {
            assert_ne!(hash(&one), hash(&other), "{one} and {other}");
        }
    }

    #[test]
    fn hashes_that_were_stored_stay_valid() {
        assert_eq!(hash(&json!({})), "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    }
}
