//! Lines as the command line writes them, and what becomes of them.

use super::*;
use crate::agent::Sessions;

struct Heard {
    listener: StreamJson,
    _folder: tempfile::TempDir,
}

impl Heard {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let leased = LeasedAttempt { run_no: 2, ..crate::fixture::leased() };
        let session = Sessions::new(folder.path(), "claude_code").of(&leased);
        Self { listener: StreamJson::new(&leased, session, Transcript::shared()), _folder: folder }
    }

    fn line(&mut self, line: &Value) -> Vec<Written> {
        self.text(&line.to_string())
    }

    fn text(&mut self, text: &str) -> Vec<Written> {
        self.listener.hear(Line { text: text.to_owned(), is_whole: true })
    }
}

/// Kind, text and metadata of every piece of output.
fn logged(written: &[Written]) -> Vec<(String, String, Value)> {
    let logged = |written: &Written| match written {
        Written::Text { text, chunk, .. } => {
            let (kind, metadata) =
                chunk.clone().map(|chunk| (chunk.kind, chunk.metadata)).unwrap_or_default();
            Some((kind, text.clone(), Value::Object(metadata)))
        }
        _ => None,
    };
    written.iter().filter_map(logged).collect()
}

#[test]
fn the_first_line_names_the_session_once() {
    let mut heard = Heard::new();
    let init = json!({"type": "system", "subtype": "init", "session_id": "s-1", "model": "m", "cwd": "/w", "tools": []});
    let [Written::Message(Message::Event(event))] = &heard.line(&init)[..] else { panic!("an event") };
    assert_eq!((event.event_type.as_str(), &event.payload["session_id"]), ("agent_session", &json!("s-1")));
    assert_eq!(heard.listener.session.recall().as_deref(), Some("s-1"));
    assert_eq!(heard.line(&init), []);
}

#[test]
fn texts_tools_and_their_results_are_logged_by_kind() {
    let mut heard = Heard::new();
    let said = heard.line(&json!({"type": "assistant", "message": {"id": "m1", "role": "assistant", "content": [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}]}, "parent_tool_use_id": null}));
    assert_eq!(said[0], Written::TurnBegun);
    assert_eq!(
        logged(&said),
        [
            ("thinking".into(), "hm".into(), json!({})),
            ("text".into(), "Let me look.".into(), json!({})),
            (
                "tool_use".into(),
                r#"Bash {"command":"ls"}"#.into(),
                json!({"tool_use_id": "t1", "tool": "Bash"})
            ),
        ]
    );
    let results = heard.line(&json!({"type": "user", "message": {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "t1", "content": "a\nb", "is_error": false},
        {"type": "tool_result", "tool_use_id": "t2", "is_error": true,
         "content": [{"type": "text", "text": "no"}, {"type": "image"}]}]}}));
    assert_eq!(
        logged(&results),
        [
            ("tool_result".into(), "a\nb".into(), json!({"tool_use_id": "t1"})),
            ("tool_result".into(), "no\n[image]".into(), json!({"tool_use_id": "t2", "is_error": true})),
        ]
    );
}

#[test]
fn a_line_of_the_models_text_may_be_a_message_but_not_one_of_another_agents() {
    let mut heard = Heard::new();
    let text = "I must ask.\n{\"capstan\":\"blocker\",\"summary\":\"which?\"}\nWaiting.";
    let mut line = json!({"type": "assistant", "message": {"content": [{"type": "text", "text": text}]}});
    let said = heard.line(&line);
    let Written::Message(Message::Blocker { question: blocker, .. }) = &said[2] else {
        panic!("a blocker: {said:?}")
    };
    assert_eq!(blocker.summary, "which?");
    let texts: Vec<_> = logged(&said).into_iter().map(|(_, text, _)| text).collect();
    assert_eq!(texts, ["I must ask.", "Waiting."]);
    line["parent_tool_use_id"] = json!("t1");
    let said = heard.line(&line);
    assert_eq!(logged(&said), [("text".into(), text.into(), json!({"parent_tool_use_id": "t1"}))]);
}

#[test]
fn a_result_ends_the_turn_with_usage_and_the_answer() {
    let mut heard = Heard::new();
    let result = json!({"type": "result", "subtype": "success", "is_error": false, "result": "# Done\nAll well.",
        "session_id": "s-1", "total_cost_usd": 0.5, "num_turns": 2, "duration_ms": 7,
        "modelUsage": {"m": {"inputTokens": 3, "outputTokens": 4, "costUSD": 0.5}}});
    let written = heard.line(&result);
    let [
        Written::Message(Message::Usage(usage)),
        Written::Message(Message::Output(output)),
        Written::TurnOver,
    ] = &written[..]
    else {
        panic!("usage, output and the turn's end: {written:?}")
    };
    assert_eq!((usage.input_tokens, usage.cost_usd), (3, 0.5));
    assert_eq!((output.output_type.as_str(), output.title.as_str()), ("text", "Done"));
    assert_eq!(
        (&output.data["text"], &output.metadata["kind"]),
        (&json!("# Done\nAll well."), &json!("final_response"))
    );
    assert_eq!(output.name.as_deref(), Some("final_response.2.1.1"));
    assert!(heard.listener.transcript().result.as_ref().is_some_and(TurnResult::is_success));
    // A turn that begins afterwards leaves no result behind.
    heard.line(&json!({"type": "assistant", "message": {"content": []}}));
    assert_eq!(heard.listener.transcript().result, None);
}

#[test]
fn what_cannot_be_understood_is_kept_as_it_is() {
    let mut heard = Heard::new();
    for garbage in
        ["oops", "{\"type\":", "[1]", "{\"no\":\"type\"}", "{\"type\":\"assistant\",\"message\":3}"]
    {
        assert_eq!(
            logged(&heard.text(garbage)),
            [(String::new(), garbage.to_owned(), json!({}))],
            "{garbage}"
        );
    }
    let new = json!({"type": "system", "subtype": "compact_boundary"});
    assert_eq!(logged(&heard.line(&new))[0].0, "compact_boundary");
    assert_eq!(heard.line(&json!({"type": "stream_event", "event": {}})), []);
}

#[test]
fn only_a_limit_that_stops_the_agent_is_noted() {
    let mut heard = Heard::new();
    let event = |status: &str| json!({"type": "rate_limit_event", "rate_limit_info": {"status": status, "resetsAt": 7}});
    assert_eq!(heard.line(&event("allowed")), []);
    assert_eq!(heard.listener.transcript().limit_until, None);
    assert_eq!(logged(&heard.line(&event("rejected")))[0].0, "rate_limit");
    assert_eq!(heard.listener.transcript().limit_until, Some(7));
}

#[test]
fn long_texts_are_cut_where_characters_end() {
    let long = "ä".repeat(LINE_MAX);
    let texts: Vec<_> =
        logged(&pieces("text", &long, &Map::new())).into_iter().map(|(_, text, _)| text).collect();
    assert!(texts.iter().all(|text| text.len() <= LINE_MAX));
    assert_eq!(texts.concat(), long);
    assert_eq!(shortened("äöü", 3), "ä… (4 bytes more)");
}
