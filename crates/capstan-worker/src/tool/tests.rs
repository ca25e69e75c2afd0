//! Real processes that carry calls out.

use capstan_client::{RunId, TaskId, ToolCallId};
use serde_json::json;
use uuid::Uuid;

use super::*;

fn call(arguments: serde_json::Value) -> ClaimedToolCall {
    ClaimedToolCall {
        claim: "c".into(),
        tool_call_id: ToolCallId(Uuid::from_u128(7)),
        try_no: 1,
        workspace: "dev".into(),
        task_id: TaskId(Uuid::nil()),
        run_id: RunId(Uuid::nil()),
        tool: "crm".into(),
        arguments,
        until: Utc::now() + Duration::from_mins(2),
    }
}

fn tools(command: &str) -> ToolConfig {
    let commands = BTreeMap::from([("crm".to_owned(), command.to_owned())]);
    ToolConfig { commands, grace: Duration::from_millis(200), ..ToolConfig::default() }
}

async fn carry_out(tools: &ToolConfig, call: &ClaimedToolCall) -> ReportToolCall {
    let nobody = CancellationToken::new();
    let carried_out = tools.carry_out(call, &nobody);
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, carried_out).await.expect("a tool that ends is not waited for any longer")
}

#[tokio::test]
async fn a_tool_gets_its_arguments_and_its_key_and_what_it_writes_is_the_result() {
    let tools = tools("cat; echo $CAPSTAN_TOOL_CALL_ID $CAPSTAN_TRY_NO >&2; exit 3");
    let result = carry_out(&tools, &call(json!({ "n": 1 }))).await;
    assert_eq!((result.stdout.as_str(), result.exit_code, result.error), ("{\"n\":1}\n", Some(3), None));
    assert_eq!(result.stderr.trim(), format!("{} 1", Uuid::from_u128(7)));
}

#[tokio::test]
async fn a_tool_that_does_not_read_or_writes_too_much_ends_all_the_same() {
    let long = "x".repeat(300_000);
    let result = carry_out(&tools("yes | head -c 1000000"), &call(json!({ "long": long }))).await;
    assert_eq!((result.stdout.len(), result.exit_code), (STREAM_MAX, Some(0)));
}

#[tokio::test]
async fn a_tool_that_takes_too_long_is_stopped_with_its_group_and_says_so() {
    let tools = ToolConfig {
        limit: Duration::from_millis(300),
        ..tools(
            "trap '' TERM; sh -c 'trap \"\" TERM; echo child $$; while :; do sleep 0.1; done' & wait; wait",
        )
    };
    let result = carry_out(&tools, &call(json!({}))).await;
    assert!(result.error.is_some_and(|error| error.contains("did not end")));
    let child = result.stdout.trim().strip_prefix("child ").unwrap().to_owned();
    let is_gone = || {
        let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        state.is_empty() || state.contains(") Z ")
    };
    let gone = async {
        while !is_gone() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the grandchild lives on");
}

#[tokio::test]
async fn a_worker_that_gives_up_stops_the_tool_and_says_so() {
    let giving_up = CancellationToken::new();
    giving_up.cancel();
    let result = tools("sleep 600").carry_out(&call(json!({})), &giving_up).await;
    assert!(result.error.is_some_and(|error| error.contains("the worker stopped")));
}

#[tokio::test]
async fn what_cannot_be_carried_out_has_a_result_too() {
    let other = ClaimedToolCall { tool: "mail".into(), ..call(json!({})) };
    let result = carry_out(&tools("true"), &other).await;
    assert!(result.error.is_some_and(|error| error.contains("mail")));
}

#[test]
fn a_call_takes_no_longer_than_its_claim() {
    let tools = tools("true");
    let short = ClaimedToolCall { until: Utc::now() + Duration::from_mins(1), ..call(json!({})) };
    assert!(tools.limit_of(&short) <= Duration::from_secs(50));
    let passed = ClaimedToolCall { until: Utc::now() - Duration::from_hours(1), ..short };
    assert_eq!(tools.limit_of(&passed), tools.limit, "clocks that differ by an hour say nothing");
}
