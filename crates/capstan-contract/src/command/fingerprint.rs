//! The fingerprint of a body: equal for two bodies of the same command.

use capstan_domain::canonical;
use serde_json::Value;

/// SHA-256, in hex, of a command's canonical JSON: keys sorted, no blanks, without its `idempotency_key`.
///
/// Two bodies with one fingerprint are one command; the key itself says only where to look.
pub fn fingerprint(body: &Value) -> String {
    let mut body = body.clone();
    if let Value::Object(fields) = &mut body {
        fields.remove("idempotency_key");
    }
    canonical::hash(&body)
}

#[cfg(test)]
mod tests {
    use serde_json::{from_str, json};

    use super::*;

    #[test]
    fn the_order_of_keys_and_blanks_do_not_matter() {
        let one: Value = from_str(r#"{"b":[{"y":1,"x":2}],"a":"ä\n"}"#).unwrap();
        let other: Value = from_str(r#" { "a" : "ä\n", "b" : [ {"x":2, "y":1} ] } "#).unwrap();
        assert_eq!(fingerprint(&one), fingerprint(&other));
        assert_eq!(fingerprint(&one).len(), 64);
    }

    #[test]
    fn the_key_is_left_out_only_at_the_top() {
        assert_eq!(fingerprint(&json!({"a": 1, "idempotency_key": "k"})), fingerprint(&json!({"a": 1})));
        let inner = json!({"routing": {"idempotency_key": "k"}});
        assert_ne!(fingerprint(&inner), fingerprint(&json!({"routing": {}})));
    }

    #[test]
    fn another_body_has_another_fingerprint() {
        for (one, other) in [
            (json!({"a": 1}), json!({"a": 2})),
            (json!({"a": 1}), json!({"a": "1"})),
            (json!({"a": [1, 2]}), json!({"a": [2, 1]})),
            (json!({"a": {"b": 1}, "c": 2}), json!({"a": {"b": 1, "c": 2}})),
            (json!({"a": null}), json!({})),
        ] {
            assert_ne!(fingerprint(&one), fingerprint(&other), "{one} and {other}");
        }
    }

    #[test]
    fn fingerprints_that_were_stored_stay_valid() {
        assert_eq!(
            fingerprint(&json!({})),
            "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
    }
}
