//! Hides secrets within a text.
//!
//! It is searched word by word for the forms that are hidden everywhere: well-known tokens, the word after `Bearer`, the value
//! after a name such as `password` and `=` or `:`, and the password of a URL.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{PLACEHOLDER, redact, redact_fields};

/// Fewest characters of a word after `Bearer` that is taken for a token.
const BEARER_CHARACTERS_MIN: usize = 12;

/// The text without its secrets.
pub fn without_secrets(text: &str) -> Cow<'_, str> {
    let mut shown = String::new();
    let mut copied = 0;
    let mut before: Option<&str> = None;
    let mut gap = "";
    let mut rest = text;
    while let Some(start) = rest.find(is_of_word) {
        gap = if before.is_some() { &rest[..start] } else { gap };
        rest = &rest[start..];
        let end = rest.find(|letter| !is_of_word(letter)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let at = text.len() - rest.len();
        let secret = secret_of(before, gap, word, after);
        if let Some((from, to)) = secret {
            shown.push_str(&text[copied..at + from]);
            shown.push_str(PLACEHOLDER);
            copied = at + to;
        }
        before = Some(word);
        rest = after;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    shown.push_str(&text[copied..]);
    Cow::Owned(shown)
}

/// The part of a word that is a secret, by the word before it and what stands between them.
fn secret_of(before: Option<&str>, gap: &str, word: &str, after: &str) -> Option<(usize, usize)> {
    let whole = Some((0, word.len()));
    if word.len() >= BEARER_CHARACTERS_MIN && redact(&mut Value::from(word)) {
        return whole;
    }
    let before = before?;
    let is_scheme = |word: &str| word.eq_ignore_ascii_case("bearer") || word.eq_ignore_ascii_case("basic");
    if is_scheme(before) && gap.trim().is_empty() && word.len() >= BEARER_CHARACTERS_MIN {
        return whole;
    }
    // The password of a URL: `//user:password@host`.
    if gap == ":" && after.starts_with('@') && !word.starts_with('/') {
        return whole;
    }
    let sign = gap.trim_matches(|letter: char| letter.is_whitespace() || matches!(letter, '"' | '\'' | '\\'));
    let is_prose = sign == ":" && gap.ends_with(char::is_whitespace) && is_common(before);
    if !matches!(sign, "=" | ":") || is_prose || is_scheme(word) {
        return None;
    }
    // Counts of tokens are no secrets.
    let number = word.parse::<Value>().ok().filter(Value::is_number);
    let mut field = Map::from_iter([(before.to_owned(), number.unwrap_or_else(|| word.into()))]);
    redact_fields(&mut field).then_some((0, word.len()))
}

/// True for a name that often stands before a colon in prose: `unexpected token: x`.
fn is_common(name: &str) -> bool {
    ["token", "tokens", "cookie"].iter().any(|common| name.eq_ignore_ascii_case(common))
}

fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.' | '+' | '/' | '~' | '%' | '!' | '$' | '#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secrets_within_a_text_are_hidden_and_nothing_else_is() {
        for (text, shown) in [
            (
                "curl -H 'Authorization: Bearer abcdef0123456789' x",
                "curl -H 'Authorization: Bearer [redacted]' x",
            ),
            ("key sk-live-0123456789abcdef, done", "key [redacted], done"),
            ("export API_KEY=abc && run", "export API_KEY=[redacted] && run"),
            (r#"{"password": "hunter2", "n": 1}"#, r#"{"password": "[redacted]", "n": 1}"#),
            (r#"{\"client_secret\":\"x1\"}"#, r#"{\"client_secret\":\"[redacted]\"}"#),
            ("to postgres://me:s3cret@db:5432/x", "to postgres://me:[redacted]@db:5432/x"),
            ("?access_token=abc&n=1", "?access_token=[redacted]&n=1"),
            ("ghp_0123456789abcdef ghp_0123456789abcdef", "[redacted] [redacted]"),
        ] {
            assert_eq!(without_secrets(text), shown);
            assert_eq!(without_secrets(shown), shown, "hiding twice is hiding once");
        }
        for text in [
            "unexpected token: identifier",
            "the bearer of news, sk-1 and cap_ words",
            "at 12:30:45 user@example.org wrote https://example.org:8080/a?b=c",
            "input_tokens=5 max_tokens: 7",
            "",
            "ü=ä",
        ] {
            assert!(matches!(without_secrets(text), Cow::Borrowed(_)), "{text}");
        }
    }
}
