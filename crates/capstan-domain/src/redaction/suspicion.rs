//! Whether a JSON text may contain a secret, without parsing it: most do not, and are shown as they are.

use super::{Named, is_bearer, is_secret, is_token, named_by};

/// False only when nothing of this JSON text would be hidden.
pub(super) fn of_json(json: &str) -> bool {
    let mut rest = json;
    while let Some((_, behind)) = rest.split_once('"') {
        let Some(end) = closing_quote(behind) else { return true };
        let (text, after) = (&behind[..end], &behind[end + 1..]);
        let is_key = after.trim_ascii_start().starts_with(':');
        if if is_key { key(text) } else { value(text) } {
            return true;
        }
        rest = after;
    }
    false
}

/// The place of the quote that ends a string, whose content this begins with.
fn closing_quote(content: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + content[from..].find(['"', '\\'])?;
        if content.as_bytes()[at] == b'"' {
            return Some(at);
        }
        // A backslash and an ASCII character.
        from = at + 2;
        content.get(from..)?;
    }
}

fn key(text: &str) -> bool {
    text.contains('\\') || named_by(text) != Named::Other
}

/// A text with an escape is judged by its beginning alone, unless that may be spelt by escapes.
fn value(text: &str) -> bool {
    if !text.contains('\\') {
        return is_secret(text);
    }
    let text = text.trim_start();
    text.starts_with('\\') || text.contains("\\u") || is_bearer(text) || is_token(text)
}
