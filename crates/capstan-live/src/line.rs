//! Log lines as they are shown: without what looks like a secret. The fields of a line are redacted as everything is, its
//! text, `data`, word by word.

use std::borrow::Cow;
use std::collections::BTreeMap;

use capstan_contract::redaction::{hide_secrets, without_secrets};
use serde_json::value::{RawValue, to_raw_value};

/// The fields of a line as it is shown.
pub fn shown_line(line: &[u8]) -> Result<BTreeMap<String, Box<RawValue>>, serde_json::Error> {
    let mut fields: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(line)?;
    hide_secrets(&mut fields);
    if let Some(data) = fields.get_mut("data")
        && let Ok(text) = serde_json::from_str::<Cow<'_, str>>(data.get())
        && let Cow::Owned(shown) = without_secrets(&text)
    {
        *data = to_raw_value(&shown)?;
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_without_the_secrets_of_its_text_and_fields() {
        let line =
            br#"{"data":"token sk-live-0123456789abcdef\n","metadata":{"api_key":"x"},"stream":"stdout"}"#;
        let shown = serde_json::to_string(&shown_line(line).unwrap()).unwrap();
        let expected =
            r#"{"data":"token [redacted]\n","metadata":{"api_key":"[redacted]"},"stream":"stdout"}"#;
        assert_eq!(shown, expected);
        assert!(shown_line(b"7").is_err());
    }
}
