//! Hides secrets in free JSON before people see it.
//!
//! Whatever callers and workers hand over is kept as it came, since agents need it, and is shown without what looks like
//! a secret: the value of a key that names one (`api_key`, `password`, `authorization`, …), and a text that has the form
//! of a well-known kind of token. The keys stay, so that one sees that there was something. Doing it twice changes
//! nothing.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

mod placeholder;
mod suspicion;
mod text;

pub(crate) use placeholder::{
    refuse_placeholder_labels, refuse_placeholders, refuse_placeholders_in_all, refuse_placeholders_in_values,
};
pub use text::without_secrets;

/// The text in the place of a secret. No caller can store it: sending back a read would overwrite the secret with it.
pub const PLACEHOLDER: &str = "[redacted]";

/// Words of a key that make it a secret's name wherever they stand.
const SECRET_WORDS: [&str; 9] = [
    "secret",
    "secrets",
    "password",
    "passwd",
    "passphrase",
    "credential",
    "credentials",
    "authorization",
    "bearer",
];
/// Words that make a key a secret's name when they stand last.
const SECRET_LAST: [&str; 5] = ["token", "cookie", "apikey", "authtoken", "accesstoken"];
/// Words before `key` or `keys` that make it a secret's name.
const SECRET_KEYS: [&str; 6] = ["api", "private", "access", "signing", "encryption", "ssh"];
/// Prefixes of texts that are secrets under any name.
const SECRET_TEXTS: [&str; 9] =
    ["sk-", "cap_", "ghp_", "gho_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "-----BEGIN "];
/// Fewest characters of a text that is taken for a token by its beginning.
const TOKEN_CHARACTERS_MIN: usize = 12;

/// Hides the secrets of a JSON text; one without any is handed back as it is.
pub fn redacted(json: &RawValue) -> Cow<'_, RawValue> {
    if !suspicion::of_json(json.get()) {
        return Cow::Borrowed(json);
    }
    let Ok(mut value) = serde_json::from_str::<Value>(json.get()) else { return Cow::Borrowed(json) };
    if !redact(&mut value) {
        return Cow::Borrowed(json);
    }
    to_raw_value(&value).map_or(Cow::Borrowed(json), Cow::Owned)
}

/// Hides the secrets of an object whose fields are still texts.
pub fn hide_secrets(fields: &mut BTreeMap<String, Box<RawValue>>) {
    for (key, text) in fields {
        if named_by(key) == Named::Other && !suspicion::of_json(text.get()) {
            continue;
        }
        let Ok(value) = serde_json::from_str::<Value>(text.get()) else { continue };
        let mut field = Map::from_iter([(key.clone(), value)]);
        if redact_fields(&mut field)
            && let Some(Ok(shown)) = field.values().next().map(to_raw_value)
        {
            *text = shown;
        }
    }
}

/// Hides the secrets of a value; tells whether there were any.
pub fn redact(value: &mut Value) -> bool {
    match value {
        Value::Object(fields) => redact_fields(fields),
        Value::Array(items) => {
            let mut found = false;
            for item in items {
                // All of them: `any` would stop at the first.
                found |= redact(item);
            }
            found
        }
        Value::String(text) if is_secret(text) => hide(value),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Hides the secrets of an object; tells whether there were any.
pub fn redact_fields(fields: &mut Map<String, Value>) -> bool {
    let mut found = false;
    for (key, value) in fields {
        found |= if names_secret(key, value) { hide(value) } else { redact(value) };
    }
    found
}

fn hide(value: &mut Value) -> bool {
    let is_news = value.as_str() != Some(PLACEHOLDER);
    if is_news {
        *value = Value::String(PLACEHOLDER.to_owned());
    }
    is_news
}

/// True when the value of this key must not be shown.
fn names_secret(key: &str, value: &Value) -> bool {
    match named_by(key) {
        Named::Secret => !matches!(value, Value::Null | Value::Bool(_)),
        Named::Tokens => matches!(value, Value::String(_) | Value::Array(_)),
        Named::Other => false,
    }
}

/// What a key says of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    /// That it is a secret, unless it only tells whether there is one.
    Secret,
    /// Either that, or, as a number or an object, a count of what agents call tokens.
    Tokens,
    /// Nothing.
    Other,
}

fn named_by(key: &str) -> Named {
    let words = words(key);
    let mut words = words.split(' ').filter(|word| !word.is_empty()).peekable();
    let mut before = "";
    while let Some(word) = words.next() {
        let is_last = words.peek().is_none();
        let names = SECRET_WORDS.contains(&word)
            || (is_last && SECRET_LAST.contains(&word))
            || (is_last && matches!(word, "key" | "keys") && SECRET_KEYS.contains(&before));
        if names {
            return Named::Secret;
        }
        if is_last && word == "tokens" {
            return Named::Tokens;
        }
        before = word;
    }
    Named::Other
}

/// The words of a key in lower case, separated by blanks: `apiKey`, `API-Key` and `api_key` are the same.
fn words(key: &str) -> String {
    let mut words = String::with_capacity(key.len() + 4);
    let mut was_lower = false;
    for character in key.chars() {
        if !character.is_alphanumeric() || (character.is_uppercase() && was_lower) {
            words.push(' ');
        }
        if character.is_alphanumeric() {
            words.extend(character.to_lowercase());
        }
        was_lower = character.is_lowercase();
    }
    words
}

fn is_secret(text: &str) -> bool {
    let text = text.trim_start();
    let (bearer, is_token) = (is_bearer(text), is_token(text));
    let is_one_word = !text.trim_end().contains(char::is_whitespace) || text.starts_with("-----BEGIN ");
    (bearer && text.split_whitespace().count() == 2)
        || (is_token && is_one_word && text.len() >= TOKEN_CHARACTERS_MIN)
}

/// True when it begins as the value of a header `Authorization` does.
fn is_bearer(text: &str) -> bool {
    text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("bearer "))
}

/// True when it begins as a token of a well-known kind does.
fn is_token(text: &str) -> bool {
    SECRET_TEXTS.iter().any(|start| text.starts_with(start))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(value: &Value) -> Value {
        serde_json::from_str(redacted(&to_raw_value(value).unwrap()).get()).unwrap()
    }

    #[test]
    fn the_values_of_secret_keys_are_hidden_at_every_depth() {
        for key in [
            "api_key",
            "apiKey",
            "API-KEY",
            "X-Api-Key",
            "password",
            "db.password",
            "clientSecret",
            "token",
            "access_token",
            "Authorization",
            "privateKey",
            "credentials",
            "session_cookie",
            "secret_hash",
        ] {
            let given = json!({ "a": [{ key: "x", "b": 1 }] });
            assert_eq!(shown(&given), json!({ "a": [{ key: PLACEHOLDER, "b": 1 }] }), "{key}");
        }
        assert_eq!(shown(&json!({ "secret": { "a": 1 } })), json!({ "secret": PLACEHOLDER }));
        assert_eq!(shown(&json!({ "password": 1234 })), json!({ "password": PLACEHOLDER }));
        assert_eq!(shown(&json!({ "tokens": ["a"] })), json!({ "tokens": PLACEHOLDER }));
        assert_eq!(shown(&json!({ "secret_tokens": 7 })), json!({ "secret_tokens": PLACEHOLDER }));
    }

    #[test]
    fn what_only_looks_alike_is_shown() {
        for given in [
            json!({ "input_tokens": 5, "max_tokens": 100, "tokens": 7, "tokens_by": {} }),
            json!({ "agent_key": "demo", "idempotency_key": "k", "session_key": "s", "token_id": "1" }),
            json!({ "secret": null, "has_password": true, "author": "a", "keyboard": "b", "monkey": "c" }),
            json!({ "message": "the sk- prefix, a bearer of news and cap_ words", "text": "sk-1" }),
            json!([1, "tokenizer", null]),
        ] {
            assert_eq!(shown(&given), given);
        }
    }

    #[test]
    fn a_text_in_the_form_of_a_token_is_hidden_whatever_it_is_called() {
        for secret in ["sk-abcdefgh12345678", "Bearer abc", "ghp_0123456789abcdef", "cap_dev.1.0123456789"] {
            assert_eq!(shown(&json!({ "note": secret })), json!({ "note": PLACEHOLDER }), "{secret}");
        }
    }

    #[test]
    fn hiding_twice_is_hiding_once() {
        let once = shown(&json!({ "api_key": "x", "n": [{ "token": { "a": 1 } }] }));
        assert_eq!(shown(&once), once);
        let text = to_raw_value(&once).unwrap();
        assert!(matches!(redacted(&text), Cow::Borrowed(_)));
    }

    #[test]
    fn a_key_in_escaped_letters_is_still_a_key() {
        let text = RawValue::from_string(r#"{"\u0061pi_key":"x"}"#.to_owned()).unwrap();
        assert_eq!(redacted(&text).get(), r#"{"api_key":"[redacted]"}"#);
    }

    #[test]
    fn a_text_is_taken_apart_as_a_value_would_be() {
        // What decides about a text without parsing it must not overlook what the parsed value hides.
        let keys = ["a", "api_key", "tokens", "max_tokens", "K\u{212a}ey", "to\\ken", "a\"b", "secret\n", ""];
        let texts = [
            "plain",
            "sk-abcdefgh12345",
            " sk-abcdefgh12345 ",
            "sk-abcdefgh12345 \n",
            "\n\tghp_0123456789abc",
            "Bearer abc \n",
            "bearer a\tb",
            "Bearer  x",
            "sk-a b c d e f g h i",
            "say \"sk-abcdefgh12345\"",
            "-----BEGIN KEY",
            "-----BEGIN RSA\nPRIVATE",
            "\u{1}cap_dev.1.0123456789",
            "a: \"b\"",
            "\\",
            "\\\"",
            "",
            "\u{2003}xoxb-0123456789",
        ];
        for key in keys {
            let others =
                [json!(null), json!(true), json!(7), json!({ "x": 1 }), json!(["y", { "token": "t" }])];
            for value in texts.iter().map(|text| json!(text)).chain(others) {
                for given in [json!({ key: value }), json!([{ "n": { key: value } }]), value.clone()] {
                    let mut parsed = given.clone();
                    redact(&mut parsed);
                    assert_eq!(shown(&given), parsed, "{given}");
                    let spaced = serde_json::to_string_pretty(&given).unwrap();
                    let spaced = RawValue::from_string(spaced).unwrap();
                    let told: Value = serde_json::from_str(redacted(&spaced).get()).unwrap();
                    assert_eq!(told, parsed, "{spaced}");
                }
            }
        }
    }

    #[test]
    fn the_fields_of_a_task_are_not_suspicious() {
        let task = json!({ "session_key": "s", "instance_key": "execclass_0", "message": "the key to\nall \"tokens\"" });
        assert!(!suspicion::of_json(&task.to_string()));
    }
}
