//! Texts as callers, agents and tools write them.

/// The text without blanks around it; none when nothing is left.
pub(crate) fn non_blank(text: Option<&str>) -> Option<String> {
    text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The first `bytes_max` bytes of a text, fewer when a character would be split.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_text_is_none() {
        assert_eq!(non_blank(Some(" a b ")).as_deref(), Some("a b"));
        assert_eq!((non_blank(Some(" \n")), non_blank(None)), (None, None));
    }

    #[test]
    fn a_cut_splits_no_character() {
        assert_eq!((cut("aä", 2), cut("aä", 3), cut("aä", 9)), ("a", "aä", "aä"));
    }
}
