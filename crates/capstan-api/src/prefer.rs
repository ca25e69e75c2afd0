//! The preferences of a caller about the reply to a command (RFC 7240), over HTTP and NATS.

/// The header with the preferences.
pub(crate) const PREFER: &str = "prefer";
/// The header that tells the preferences that were followed.
pub(crate) const APPLIED: &str = "Preference-Applied";
/// The one preference that is known: a reply without the entity.
pub(crate) const MINIMAL: &str = "return=minimal";

/// True when the caller prefers a reply without the entity. Of several values of `return` the first counts, as the RFC says;
/// what is not known is ignored.
pub(crate) fn is_minimal<'a>(headers: impl Iterator<Item = &'a str>) -> bool {
    let preferences = headers.flat_map(|text| text.split(',')).filter_map(|preference| {
        // Parameters of a preference follow it.
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        Some((name.trim(), value.trim().trim_matches('"')))
    });
    let mut returns = preferences.filter(|(name, _)| name.eq_ignore_ascii_case("return"));
    returns.next().is_some_and(|(_, value)| value.eq_ignore_ascii_case("minimal"))
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
}
