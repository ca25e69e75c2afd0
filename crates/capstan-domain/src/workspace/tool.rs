//! An HTTP endpoint that executes deferred tool calls.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Faults;
use crate::fault::below;

/// Default time limit of a call, in milliseconds.
const TIMEOUT_MS_DEFAULT: u32 = 30_000;
/// Longest time limit of a call, in milliseconds.
const TIMEOUT_MS_MAX: u32 = 300_000;
/// Longest URL, in bytes.
const URL_BYTES_MAX: usize = 2_048;
/// Most headers of one tool.
const HEADERS_MAX: usize = 32;
/// Longest name of a tool, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 128;
/// Prefix of variables a workspace may name: it must not reach the other variables of the server's environment.
pub const VARIABLE_PREFIX: &str = "CAPSTAN_TOOL_";
/// Headers whose value is no secret and may be stored as it is.
const PLAIN_HEADERS: &[&str] = &["accept", "accept-language", "content-type", "user-agent"];
/// Schemes allowed before a variable.
const SCHEMES: &[&str] = &["Basic ", "Bearer ", "Token "];

/// An HTTP endpoint that executes the deferred calls of one tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// The URL calls are posted to.
    pub url: String,
    /// Headers sent along. A value is `env:CAPSTAN_TOOL_…`, a variable of the server's environment, if need be after
    /// `Bearer `, `Basic ` or `Token `.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Time limit of a call, in milliseconds.
    pub timeout_ms: u32,
}

/// An HTTP endpoint that executes the deferred calls of a tool.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolSettings {
    /// URL the call is posted to.
    pub url: String,
    /// Headers sent along. A value is `env:CAPSTAN_TOOL_…`, a variable of the server's environment, if need be after
    /// `Bearer `, `Basic ` or `Token `.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Longest time a call may take, in milliseconds; 30,000 when absent.
    #[schemars(range(min = 1, max = TIMEOUT_MS_MAX))]
    pub timeout_ms: Option<u32>,
}

impl From<ToolSettings> for Tool {
    fn from(ToolSettings { url, headers, timeout_ms }: ToolSettings) -> Self {
        Self { url, headers, timeout_ms: timeout_ms.unwrap_or(TIMEOUT_MS_DEFAULT) }
    }
}

impl Tool {
    /// Notes every fault of a tool of this name under `pointer`.
    pub(super) fn check(&self, name: &str, pointer: &str, faults: &mut Faults) {
        check_name(name, pointer, faults);
        faults.require(
            is_endpoint(&self.url),
            &format!("{pointer}/url"),
            "must be an http or https URL without a user",
        );
        let in_range = (1..=TIMEOUT_MS_MAX).contains(&self.timeout_ms);
        faults.require(
            in_range,
            &format!("{pointer}/timeout_ms"),
            format_args!("must be 1 to {TIMEOUT_MS_MAX}"),
        );
        faults.require(
            self.headers.len() <= HEADERS_MAX,
            &format!("{pointer}/headers"),
            format_args!("must be at most {HEADERS_MAX} headers"),
        );
        for (header, value) in &self.headers {
            let pointer = below(&format!("{pointer}/headers"), header);
            let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            faults.require(
                !header.is_empty() && header.len() <= NAME_BYTES_MAX && header.bytes().all(is_token),
                &pointer,
                "is not a valid header name",
            );
            faults.require(
                variable(value).is_some() || is_plain(header, value),
                &pointer,
                "must be env:CAPSTAN_TOOL_<NAME>, alone or after Bearer, Basic or Token: secrets are not stored",
            );
        }
    }
}

/// Checks the name of a tool.
pub(super) fn check_name(name: &str, pointer: &str, faults: &mut Faults) {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte);
    faults.require(
        !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(fits),
        pointer,
        format_args!("a tool's name has 1 to {NAME_BYTES_MAX} of letters, digits, '.', '_', ':' and '-'"),
    );
}

/// The variable a header's value names, with its scheme.
pub fn variable(value: &str) -> Option<(&str, &str)> {
    let scheme = SCHEMES.iter().find(|scheme| value.starts_with(**scheme)).map_or("", |scheme| scheme);
    let name = value[scheme.len()..].strip_prefix("env:")?;
    let rest = name.strip_prefix(VARIABLE_PREFIX)?;
    let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    (!rest.is_empty() && name.len() <= NAME_BYTES_MAX && rest.bytes().all(fits)).then_some((scheme, name))
}

fn is_plain(header: &str, value: &str) -> bool {
    PLAIN_HEADERS.contains(&header.to_ascii_lowercase().as_str())
        && value.len() <= NAME_BYTES_MAX
        && value.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// True for `http(s)://host[:port][/…]`. A user in it would be a secret.
fn is_endpoint(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")) else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    url.len() <= URL_BYTES_MAX
        && !authority.is_empty()
        && !authority.starts_with(':')
        && !authority.contains('@')
        && url.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(url: &str, header: (&str, &str), timeout_ms: u32) -> usize {
        let headers = BTreeMap::from([(header.0.to_owned(), header.1.to_owned())]);
        let mut faults = Faults::default();
        Tool { url: url.into(), headers, timeout_ms }.check("mail.send", "/tools/x", &mut faults);
        faults.into_result().err().map_or(0, |faults| faults.len())
    }

    #[test]
    fn headers_name_variables_and_hold_no_secret() {
        let with = |header, value| faults("https://tools.example/run?x=1", (header, value), 1);
        for (header, value) in [
            ("Authorization", "env:CAPSTAN_TOOL_CRM"),
            ("Authorization", "Bearer env:CAPSTAN_TOOL_CRM_2"),
            ("Content-Type", "application/json"),
        ] {
            assert_eq!(with(header, value), 0, "{header}: {value}");
        }
        for (header, value) in [
            ("Authorization", "Bearer s3cret"),
            ("X-Anything", "s3cret"),
            ("X-Key", "env:DATABASE_URL"),
            ("X-Key", "env:CAPSTAN_TOOL_"),
            ("X-Key", "env:CAPSTAN_TOOL_a"),
            ("Accept", "a\r\nb: c"),
            ("a b", "env:CAPSTAN_TOOL_CRM"),
        ] {
            assert_eq!(with(header, value), 1, "{header}: {value}");
        }
        assert_eq!(variable("Bearer env:CAPSTAN_TOOL_X"), Some(("Bearer ", "CAPSTAN_TOOL_X")));
    }

    #[test]
    fn an_endpoint_is_http_and_names_no_user() {
        for url in
            ["", "ftp://x", "https://", "https:///x", "http://:80/", "https://me:pw@x/", "https://x/a b"]
        {
            assert_eq!(faults(url, ("accept", "*/*"), 1), 1, "{url}");
        }
        assert_eq!(faults("http://[::1]:8080/x", ("accept", "*/*"), 0), 1, "a call takes time");
        assert_eq!(faults("http://x", ("accept", "*/*"), 300_001), 1);
    }
}
