//! Real processes that speak the line protocol.

use std::time::Duration;

use capstan_client::{InputId, InputKind};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::*;

const LIMIT: Duration = Duration::from_secs(20);

async fn spawn(command: &str, prompt: &str) -> (AgentProcess, mpsc::Receiver<Written>) {
    let path = ("PATH".to_owned(), std::env::var("PATH").unwrap());
    let mut process = start(command, vec![path], prompt, StdinMode::Auto).await.unwrap();
    let written = process.take_written();
    (process, written)
}

async fn text(written: &mut mpsc::Receiver<Written>) -> Option<String> {
    match tokio::time::timeout(LIMIT, written.recv()).await.expect("the agent is silent")? {
        Written::Text { text, .. } => Some(text),
        other => panic!("unexpected {other:?}"),
    }
}

fn input(message: &str) -> ClaimedInput {
    ClaimedInput {
        input_id: InputId(Uuid::nil()),
        seq: 1,
        kind: InputKind::FreeText,
        message: message.into(),
        answers: serde_json::Map::new(),
    }
}

#[tokio::test]
async fn a_program_that_reads_its_input_to_the_end_finds_the_end() {
    let prompt = "line one\n".to_owned() + &"x".repeat(300_000);
    let (mut process, mut written) = spawn("wc -c", &prompt).await;
    assert_eq!(text(&mut written).await.unwrap().trim(), (prompt.len() + 1).to_string());
    assert!(tokio::time::timeout(LIMIT, process.wait()).await.unwrap().unwrap().success());
}

#[tokio::test]
async fn an_agent_that_says_it_is_interactive_hears_answers() {
    let script = r#"echo '{"capstan":"interactive"}'; read prompt; echo "got $prompt"; read answer; echo "got $answer""#;
    let (mut process, mut written) = spawn(script, "hello").await;
    assert_eq!(written.recv().await, Some(Written::Message(Message::Interactive)));
    assert_eq!(text(&mut written).await.unwrap(), "got hello");
    assert!(process.can_hear());
    process.tell(input_line(&input("blue"))).await.unwrap();
    let answer = text(&mut written).await.unwrap();
    let answer: serde_json::Value = serde_json::from_str(answer.strip_prefix("got ").unwrap()).unwrap();
    assert_eq!((answer["capstan"].as_str(), answer["message"].as_str()), (Some("input"), Some("blue")));
    assert!(process.wait().await.unwrap().success());
}

#[tokio::test]
async fn nobody_is_left_of_a_process_group_that_was_told_to_stop() {
    // The shell ignores TERM and so does its child: only the kill ends them.
    let script =
        "trap '' TERM; sh -c 'trap \"\" TERM; echo child $$; while :; do sleep 0.1; done' & wait; wait";
    let (mut process, mut written) = spawn(script, "").await;
    let child = text(&mut written).await.unwrap();
    let child: i32 = child.strip_prefix("child ").unwrap().parse().unwrap();
    process.stop(Duration::from_millis(300)).await.unwrap();
    let child = rustix::process::Pid::from_raw(child).unwrap();
    let gone = async {
        while rustix::process::test_kill_process(child).is_ok() && !is_zombie(child) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, gone).await.expect("the grandchild lives on");
}

/// In a container nobody may collect orphans; a dead process that is not collected is dead all the same.
fn is_zombie(pid: rustix::process::Pid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    status.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

#[tokio::test]
async fn an_agent_may_stop_in_its_own_way_within_the_grace() {
    let script = "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done";
    let (mut process, mut written) = spawn(script, "").await;
    assert_eq!(text(&mut written).await.as_deref(), Some("up"));
    let status = process.stop(LIMIT).await.unwrap();
    assert_eq!(status.code(), Some(7));
    // Some shells also say on standard error that their child was terminated.
    let mut last_words = Vec::new();
    while let Some(text) = text(&mut written).await {
        last_words.push(text);
    }
    assert!(last_words.contains(&"bye".to_owned()), "{last_words:?}");
}

#[tokio::test]
async fn a_pipe_that_somebody_else_still_holds_does_not_keep_the_attempt() {
    let (mut process, mut written) = spawn("setsid sleep 5 & echo started", "").await;
    assert_eq!(text(&mut written).await.as_deref(), Some("started"));
    assert!(process.wait().await.unwrap().success());
    assert_eq!(text(&mut written).await, None);
}

#[tokio::test]
async fn messages_are_understood_on_standard_output_only() {
    let line = r#"{"capstan":"result","result":1}"#;
    let (mut process, mut written) = spawn(&format!("echo '{line}' >&2; echo '{line}x'"), "").await;
    process.wait().await.unwrap();
    let mut all = vec![text(&mut written).await.unwrap(), text(&mut written).await.unwrap()];
    all.sort();
    assert_eq!(all, [line.to_owned(), format!("{line}x")]);
}
