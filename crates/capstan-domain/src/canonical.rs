//! One text for equal JSON.

use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Canonical JSON: keys sorted, no blanks.
pub fn text(mut value: Value) -> String {
    // Without effect on the sorted map of a plain build; another crate may switch it to insertion order.
    value.sort_all_objects();
    value.to_string()
}

/// SHA-256, in hex, of canonical JSON. For use in memory: what is stored or shown is a fingerprint under the key of the log,
/// because a short text can be guessed from its plain hash.
pub fn hash(value: Value) -> String {
    HEXLOWER.encode(&Sha256::digest(text(value)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_keys_and_blanks_do_not_matter() {
        let one: Value = serde_json::from_str(r#"{"b":[{"y":1,"x":2}],"a":"ä\n"}"#).unwrap();
        let same: Value = serde_json::from_str(r#" { "a" : "ä\n", "b" : [ {"x":2, "y":1} ] } "#).unwrap();
        assert_eq!(hash(one.clone()), hash(same));
        assert_eq!(hash(one).len(), 64);
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
            assert_ne!(hash(one.clone()), hash(other.clone()), "{one} and {other}");
        }
    }

    #[test]
    fn the_text_that_stored_fingerprints_were_made_of_stays() {
        assert_eq!(
            text(json!({"b": [1, {"d": 1, "c": null}], "a": "ä"})),
            r#"{"a":"ä","b":[1,{"c":null,"d":1}]}"#
        );
    }
}
