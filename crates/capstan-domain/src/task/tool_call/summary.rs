//! The text that shows a deferred call to a person.

use serde_json::Value;

use crate::task::tool_call::email;

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

pub(super) fn of(tool: &str, arguments: &Value) -> Shown {
    let name = tool.to_lowercase();
    let kind = KINDS.iter().find(|kind| kind.names.iter().any(|known| name.starts_with(known)));
    let Some(kind) = kind else {
        let details = (!arguments.is_null()).then(|| cut(&format!("{arguments:#}"), DETAILS_MAX));
        return Shown { summary: cut(&format!("Call {tool}"), LINE_MAX), details };
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
    Shown { summary: cut(&summary, LINE_MAX), details: Some(cut(&details, DETAILS_MAX)) }
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
