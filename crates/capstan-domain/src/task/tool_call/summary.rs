//! The text that shows a deferred call to a person, without the secrets among its arguments: those only the executor gets.

use serde_json::Value;

use crate::redaction::{redact, without_secrets};
use crate::task::command::CheckToolCall;
use crate::task::tool_call::email;
use crate::text::non_blank;

/// The longest line, in characters.
const LINE_MAX: usize = 200;
/// The longest text about a call, in characters.
const DETAILS_MAX: usize = 4_000;

/// The text that shows a call to a person.
pub(super) struct Shown {
    pub(super) summary: String,
    pub(super) details: Option<String>,
}

/// The display of calls of one kind of tool: a line, and the arguments worth reading.
struct Kind {
    /// Prefixes of the names of such tools.
    names: &'static [&'static str],
    /// The line without its arguments.
    line: &'static str,
    /// Arguments of the line, with the word before each.
    in_line: &'static [(&'static str, &'static str)],
    /// The arguments below it, with their labels.
    below: &'static [(&'static str, &'static str)],
}

const KINDS: &[Kind] = &[
    Kind {
        names: &email::TOOLS,
        line: "Send an email",
        in_line: &[("to", "to"), ("subject", "about")],
        below: &[("from", "From"), ("to", "To"), ("cc", "Cc"), ("subject", "Subject"), ("body", "Text")],
    },
    Kind {
        names: &["slack"],
        line: "Write on Slack",
        in_line: &[("channel", "in")],
        below: &[("channel", "Channel"), ("text", "Text")],
    },
    Kind {
        names: &["github"],
        line: "Change something on GitHub",
        in_line: &[("repo", "in"), ("number", "number"), ("title", "titled")],
        below: &[("repo", "Repository"), ("number", "Number"), ("title", "Title"), ("body", "Text")],
    },
    Kind {
        names: &["linear"],
        line: "Change something in Linear",
        in_line: &[("team", "of"), ("title", "titled")],
        below: &[("team", "Team"), ("title", "Title"), ("description", "Text")],
    },
    Kind {
        names: &["notion"],
        line: "Write in Notion",
        in_line: &[("title", "titled")],
        below: &[("parent", "Under"), ("title", "Title"), ("content", "Text")],
    },
];

/// The text that shows a call: the agent's own, and one made of the arguments where it gave none.
pub(super) fn of(call: &CheckToolCall) -> Shown {
    let mut arguments = call.arguments.clone();
    redact(&mut arguments);
    let built = built(call.tool.trim(), &arguments);
    let shown = |given: &Option<String>, built: Option<String>, max: usize| match non_blank(given.as_deref())
    {
        Some(given) => Some(without_secrets(&given).into_owned()),
        None => built.map(|text| cut(&without_secrets(&text), max)),
    };
    Shown {
        summary: shown(&call.summary, Some(built.summary), LINE_MAX).unwrap_or_default(),
        details: shown(&call.details, built.details, DETAILS_MAX),
    }
}

/// The whole text made of the arguments.
fn built(tool: &str, arguments: &Value) -> Shown {
    let name = tool.to_lowercase();
    let kind = KINDS.iter().find(|kind| kind.names.iter().any(|known| name.starts_with(known)));
    let Some(kind) = kind else {
        let details = (!arguments.is_null()).then(|| format!("{arguments:#}"));
        return Shown { summary: format!("Call {tool}"), details };
    };
    let mut summary = kind.line.to_owned();
    for (argument, word) in kind.in_line {
        if let Some(text) = text_of(arguments, argument) {
            summary.extend([" ", word, " ", &text]);
        }
    }
    let below: Vec<_> = kind
        .below
        .iter()
        .filter_map(|(argument, label)| Some(format!("{label}: {}", text_of(arguments, argument)?)))
        .collect();
    let details = if below.is_empty() { format!("{arguments:#}") } else { below.join("\n") };
    Shown { summary, details: Some(details) }
}

/// An argument as text; lists are joined.
fn text_of(arguments: &Value, name: &str) -> Option<String> {
    let text = match arguments.get(name)? {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Array(items) => {
            items.iter().filter_map(Value::as_str).map(str::trim).collect::<Vec<_>>().join(", ")
        }
        Value::Null | Value::Bool(_) | Value::Object(_) => return None,
    };
    (!text.is_empty()).then_some(text)
}

fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    text.chars().take(max.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(tool: &str, arguments: &Value) -> Shown {
        super::of(&CheckToolCall::new(tool, arguments.clone()))
    }

    #[test]
    fn secrets_among_the_arguments_and_in_texts_are_not_shown() {
        let arguments = json!({
            "api_key": "sk-live-0123456789abcdef", "password": "open sesame", "url": "https://me:open-sesame@x.example",
            "headers": { "Authorization": "Bearer open-sesame-1" }, "command": "run --token=open-sesame", "n": 1,
        });
        // Of each kind: one whose arguments are printed whole, with lines of its own, and with none of these lines.
        for (tool, arguments) in [
            ("http.post", arguments.clone()),
            (
                "gmail.send",
                json!({ "subject": "password=open-sesame", "body": "token sk-live-0123456789abcdef" }),
            ),
            ("slack.post", arguments.clone()),
        ] {
            let shown = of(tool, &arguments);
            let text = format!("{}\n{}", shown.summary, shown.details.unwrap());
            for secret in ["open", "sesame", "sk-live"] {
                assert!(!text.contains(secret), "{tool}: {text}");
            }
            assert!(text.contains("[redacted]"), "{tool}: {text}");
        }
        let given = CheckToolCall {
            summary: Some("curl -u me password=open-sesame".into()),
            details: Some("Authorization: Bearer open-sesame-1".into()),
            ..CheckToolCall::new("http.post", json!({}))
        };
        let shown = super::of(&given);
        assert_eq!(
            (shown.summary.as_str(), shown.details.as_deref()),
            ("curl -u me password=[redacted]", Some("Authorization: Bearer [redacted]"))
        );
    }

    #[test]
    fn known_tools_are_shown_by_what_they_would_do() {
        let email = of("gmail.send", &json!({"to": ["a@x", "b@x"], "subject": "Hello", "body": "Hi"}));
        assert_eq!(email.summary, "Send an email to a@x, b@x about Hello");
        assert_eq!(email.details.as_deref(), Some("To: a@x, b@x\nSubject: Hello\nText: Hi"));
        let slack = of("slack_post", &json!({"channel": "#ops", "text": "up"}));
        assert_eq!(slack.summary, "Write on Slack in #ops");
        let issue = of("github.issue", &json!({"repo": "a/b", "number": 7, "title": "T"}));
        assert_eq!(issue.summary, "Change something on GitHub in a/b number 7 titled T");
    }

    #[test]
    fn other_tools_and_long_texts_are_shown_within_bounds() {
        let other = of("crm.update", &json!({"id": 1}));
        assert_eq!(
            (other.summary.as_str(), other.details.unwrap().contains("\"id\": 1")),
            ("Call crm.update", true)
        );
        let long = of("email", &json!({"subject": "ä".repeat(9_000)}));
        assert_eq!(long.summary.chars().count(), LINE_MAX);
        assert_eq!(long.details.unwrap().chars().count(), DETAILS_MAX);
    }
}
