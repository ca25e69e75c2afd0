//! The preferences of a caller about the reply to a command (RFC 7240), over HTTP and NATS.

/// The header with the preferences.
pub(crate) const PREFER: &str = "Prefer";
/// The header that tells the preferences that were followed.
pub(crate) const APPLIED: &str = "Preference-Applied";
/// The one preference that is known: a reply without the entity.
pub(crate) const MINIMAL: &str = "return=minimal";

/// True when the caller prefers a reply without the entity. Of several values of `return` the first counts, as the RFC says;
/// what is not known or malformed is ignored.
pub(crate) fn is_minimal<'a>(headers: impl Iterator<Item = &'a str>) -> bool {
    let mut returns = headers.flat_map(|text| unquoted_split(text, ',')).filter_map(|preference| {
        // Parameters of a preference follow it.
        let (name, value) = unquoted_split(preference, ';').next()?.split_once('=')?;
        name.trim().eq_ignore_ascii_case("return").then(|| word(value.trim()))
    });
    returns.next().flatten().is_some_and(|value| value.eq_ignore_ascii_case("minimal"))
}

/// The parts between separators that stand outside quoted strings (RFC 9110, 5.6.4).
fn unquoted_split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |character| {
        if is_escaped {
            is_escaped = false;
            return false;
        }
        match character {
            '"' => is_quoted = !is_quoted,
            '\\' => is_escaped = is_quoted,
            _ => {}
        }
        character == separator && !is_quoted
    })
}

/// The value of a token or of a quoted string; `None` for a string that is not closed.
fn word(text: &str) -> Option<String> {
    let Some(quoted) = text.strip_prefix('"') else { return Some(text.to_owned()) };
    let (mut value, mut characters) = (String::new(), quoted.chars());
    loop {
        match characters.next()? {
            '"' => break,
            '\\' => value.push(characters.next()?),
            character => value.push(character),
        }
    }
    characters.as_str().is_empty().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_return_of_all_headers_counts_and_what_is_not_known_is_ignored() {
        for given in [
            &["return=minimal"][..],
            &["respond-async, wait=10", "handling=lenient, Return = \"Minimal\"; x=1"],
            &["return=minimal, return=representation"],
        ] {
            assert!(is_minimal(given.iter().copied()), "{given:?}");
        }
        for given in [
            &[][..],
            &["return"],
            &["minimal"],
            &["return=representation", "return=minimal"],
            &["x=return=minimal"],
        ] {
            assert!(!is_minimal(given.iter().copied()), "{given:?}");
        }
    }

    #[test]
    fn a_quoted_string_is_one_value() {
        for given in [
            r#"foo="a, return=representation", return=minimal"#,
            r#"foo="a\", return=representation"; x="b;,", return="min\imal""#,
            r"foo=\, return=minimal",
        ] {
            assert!(is_minimal([given].into_iter()), "{given}");
        }
        for given in [
            r#"foo="a, return=minimal""#,
            r#"foo="a\", return=minimal""#,
            r#"foo; x="a; return=minimal, return=minimal""#,
            r#"foo="a, return=minimal"#,
            r#"return="minimal"#,
            r#"return="minimal"s"#,
            r#"return="minimal\"#,
        ] {
            assert!(!is_minimal([given].into_iter()), "{given}");
        }
    }
}
