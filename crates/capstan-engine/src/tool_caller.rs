//! Calls of the endpoints of tools. The process decides their content and time.

use std::time::Duration;

use capstan_domain::workspace::tool::variable;
use futures_util::StreamExt;
use serde_json::Value;

use crate::process::{ToolAnswer, ToolRequest};

/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Calls endpoints; clones share connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct ToolCaller {
    client: std::sync::OnceLock<reqwest::Client>,
}

impl ToolCaller {
    fn client(&self) -> Result<&reqwest::Client, reqwest::Error> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // Fails only when a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // The workspace has configured this address, not one it redirects to.
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(self.client.get_or_init(|| client))
    }

    /// One try. A failure that another try may cure is a failed try; everything else is an answer.
    pub(crate) async fn call(&self, request: &ToolRequest) -> ToolAnswer {
        let client = match self.client() {
            Ok(client) => client,
            Err(error) => return not_sent(&format!("no client could be made: {error}")),
        };
        let mut call = client
            .post(&request.url)
            .timeout(Duration::from_millis(u64::from(request.timeout_ms)))
            .header("idempotency-key", request.tool_call_id.to_string())
            .header("content-type", "application/json")
            .body(request.body.to_string());
        for (name, value) in &request.headers {
            match resolved(value) {
                Ok(value) => call = call.header(name, value),
                Err(variable) => return refused(&format!("the server has no variable {variable}")),
            }
        }
        match call.send().await {
            Err(error) if error.is_builder() => refused("the endpoint's address or a header cannot be used"),
            // A connection that was never made carried nothing.
            Err(error) => ToolAnswer::Failed { is_unknown: !error.is_connect(), error: describe(error) },
            Ok(response) => read(response).await,
        }
    }
}

fn describe(error: reqwest::Error) -> String {
    let (is_timeout, is_connect) = (error.is_timeout(), error.is_connect());
    match (is_timeout, is_connect) {
        (true, _) => "the endpoint did not answer in time".to_owned(),
        (false, true) => "the endpoint was not reached".to_owned(),
        (false, false) => format!("the call failed: {}", error.without_url()),
    }
}

/// A header's value, with the variable it names replaced from the environment.
fn resolved(value: &str) -> Result<String, String> {
    let Some((scheme, name)) = variable(value) else { return Ok(value.to_owned()) };
    std::env::var(name).map(|secret| format!("{scheme}{secret}")).map_err(|_| name.to_owned())
}

/// The answer to a call that is not sent, and that another try would not send either.
fn refused(error: &str) -> ToolAnswer {
    ToolAnswer::Answered {
        exit_code: None,
        stdout: String::new(),
        stderr: String::new(),
        error: Some(error.to_owned()),
    }
}

fn not_sent(error: &str) -> ToolAnswer {
    ToolAnswer::Failed { error: error.to_owned(), is_unknown: false }
}

async fn read(response: reqwest::Response) -> ToolAnswer {
    let status = response.status();
    if status.is_server_error() {
        return ToolAnswer::Failed { error: format!("the endpoint answered {status}"), is_unknown: false };
    }
    let mut bytes = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let Ok(chunk) = chunk else {
            let error = "the endpoint's answer broke off".to_owned();
            return ToolAnswer::Failed { error, is_unknown: true };
        };
        bytes.extend_from_slice(&chunk);
        if bytes.len() > ANSWER_BYTES_MAX {
            bytes.truncate(ANSWER_BYTES_MAX);
            break;
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut answer = answered(&text);
    if let ToolAnswer::Answered { error: error @ None, .. } = &mut answer
        && !status.is_success()
    {
        *error = Some(format!("the endpoint answered {status}"));
    }
    answer
}

/// Reads `{exit_code?, stdout?, stderr?, error?}`; any other text is the tool's output.
fn answered(text: &str) -> ToolAnswer {
    const FIELDS: [&str; 4] = ["exit_code", "stdout", "stderr", "error"];
    let parsed = serde_json::from_str::<Value>(text).ok();
    let envelope = parsed
        .as_ref()
        .and_then(Value::as_object)
        .filter(|object| !object.is_empty() && object.keys().all(|key| FIELDS.contains(&key.as_str())));
    let Some(envelope) = envelope else {
        return ToolAnswer::Answered {
            exit_code: None,
            stdout: text.to_owned(),
            stderr: String::new(),
            error: None,
        };
    };
    let part = |name: &str| match envelope.get(name) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    };
    let given = envelope.get("exit_code").filter(|code| !code.is_null());
    let exit_code = given.and_then(Value::as_i64).and_then(|code| i32::try_from(code).ok());
    // One that cannot be kept must not count as none, which is a success.
    let lost = given.filter(|_| exit_code.is_none());
    let lost = lost.map(|code| format!("the endpoint's exit code is no integer of 32 bits: {code}"));
    ToolAnswer::Answered {
        exit_code,
        stdout: part("stdout").unwrap_or_default(),
        stderr: part("stderr").unwrap_or_default(),
        error: part("error").or(lost),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(answer: ToolAnswer) -> (Option<i32>, String, Option<String>) {
        match answer {
            ToolAnswer::Answered { exit_code, stdout, error, .. } => (exit_code, stdout, error),
            failed @ ToolAnswer::Failed { .. } => panic!("not an answer: {failed:?}"),
        }
    }

    #[test]
    fn an_envelope_is_read_and_any_other_text_is_output() {
        let envelope = r#"{"exit_code": 3, "stdout": {"id": 1}, "error": "no"}"#;
        assert_eq!(parts(answered(envelope)), (Some(3), r#"{"id":1}"#.to_owned(), Some("no".to_owned())));
        assert_eq!(parts(answered(r#"{"id": 1}"#)), (None, r#"{"id": 1}"#.to_owned(), None));
        assert_eq!(parts(answered("sent")), (None, "sent".to_owned(), None));
        assert_eq!(parts(answered("{}")), (None, "{}".to_owned(), None));
    }

    #[test]
    fn an_exit_code_that_cannot_be_kept_is_an_error() {
        for code in ["3221225477", "-2147483649", "1.5", "\"1\"", "true"] {
            let (exit_code, _, error) = parts(answered(&format!(r#"{{"exit_code": {code}}}"#)));
            assert_eq!(exit_code, None);
            assert!(error.is_some_and(|error| error.ends_with(code)), "{code}");
        }
        assert_eq!(parts(answered(r#"{"exit_code": 3221225477, "error": "no"}"#)).2, Some("no".to_owned()));
        assert_eq!(parts(answered(r#"{"exit_code": null, "stdout": "x"}"#)), (None, "x".to_owned(), None));
    }

    #[test]
    fn a_variable_that_is_not_set_prevents_the_call() {
        assert_eq!(resolved("application/json"), Ok("application/json".to_owned()));
        assert_eq!(
            resolved("Bearer env:CAPSTAN_TOOL_NOT_SET_ANYWHERE"),
            Err("CAPSTAN_TOOL_NOT_SET_ANYWHERE".to_owned())
        );
    }
}
