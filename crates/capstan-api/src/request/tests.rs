use std::collections::BTreeMap;

use capstan_contract::command::Unconditional;
use capstan_contract::query::Page;
use capstan_domain::id::{AttemptId, TaskId};
use capstan_envelope::Position;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Side {
    Left,
    Right,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Part {
    count: u8,
    #[serde(default)]
    side: Option<Side>,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Order {
    task_id: TaskId,
    name: String,
    #[serde(default)]
    part: Option<Part>,
    #[serde(default)]
    sides: Vec<Side>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    limit: Option<u32>,
    #[serde(default)]
    urgent: bool,
    #[serde(default)]
    due: Option<DateTime<Utc>>,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    balance: i64,
    #[serde(default)]
    count: u64,
    #[serde(default)]
    since: Option<Position>,
    #[serde(default)]
    attempts: Vec<AttemptId>,
}

#[derive(Debug, Default, PartialEq, Deserialize, JsonSchema)]
struct Key {
    #[serde(default)]
    idempotency_key: Option<String>,
    #[serde(default)]
    epoch: Option<u64>,
}

impl Beside for Key {
    const NAMES: &'static [&'static str] = &["idempotency_key", "epoch"];
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct ListOrders {
    #[serde(default)]
    sides: Vec<Side>,
}

const ID: &str = "018f0000-0000-7000-8000-00000000000a";

fn outer(fields: &[(&'static str, &'static str, Source)]) -> Vec<Outer<'static>> {
    fields.iter().map(|&(name, text, source)| Outer::new(name, text, source)).collect()
}

fn of_path() -> Vec<Outer<'static>> {
    outer(&[("task_id", ID, Source::Path)])
}

fn faults(outer: &[Outer<'_>], body: &str) -> Vec<(String, String)> {
    let problem = read::<Order, Key>(outer, body.as_bytes()).unwrap_err();
    assert_eq!(problem.code, Code::ValidationFailed, "{body}: {}", problem.detail);
    problem.errors.iter().map(|fault| (fault.pointer.clone(), fault.message.clone())).collect()
}

fn pointers(outer: &[Outer<'_>], body: &str) -> Vec<String> {
    faults(outer, body).into_iter().map(|(pointer, _)| pointer).collect()
}

#[test]
fn path_query_and_body_are_one_request() {
    let fields = outer(&[
        ("task_id", ID, Source::Path),
        ("sides", "left, right,", Source::Query),
        ("labels", "a:1,b:x:y", Source::Query),
        ("limit", "7", Source::Query),
        ("urgent", "1", Source::Query),
        ("due", "2030-01-31T09:30:00Z", Source::Query),
    ]);
    let body = format!(r#"{{"name":"n","idempotency_key":"k","task_id":"{}"}}"#, ID.to_uppercase());
    let (order, key): (Order, Key) = read(&fields, body.as_bytes()).unwrap();
    assert_eq!(key.idempotency_key.as_deref(), Some("k"));
    assert_eq!((order.task_id, &*order.name), (ID.parse().unwrap(), "n"));
    assert_eq!((order.sides, order.limit, order.urgent), (vec![Side::Left, Side::Right], Some(7), true));
    assert_eq!(order.labels, BTreeMap::from([("a".into(), "1".into()), ("b".into(), "x:y".into())]));
    assert_eq!(order.due, Some("2030-01-31T09:30:00Z".parse().unwrap()));
}

#[test]
fn all_faults_are_named_at_once_where_the_caller_wrote_them() {
    let body =
        r#"{"name":7,"colour":1,"part":{"count":-1,"side":"up","x/y":2},"sides":["left",3],"due":"soon"}"#;
    let found = faults(&of_path(), body);
    let expected = [
        ("/colour", "unknown field"),
        ("/due", "must be a time such as 2030-01-31T09:30:00Z"),
        ("/name", "must be a text"),
        ("/part/count", "must be 0 or more"),
        ("/part/side", "must be one of left, right"),
        ("/part/x~1y", "unknown field"),
        ("/sides/1", "must be one of left, right"),
    ];
    let mut found: Vec<_> = found.iter().map(|(pointer, message)| (&**pointer, &**message)).collect();
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn a_parameter_of_the_query_is_named_as_one() {
    let fields = outer(&[
        ("task_id", ID, Source::Path),
        ("sides", "left,up", Source::Query),
        ("limit", "-1", Source::Query),
        ("urgent", "yes", Source::Query),
        ("labels", "plain", Source::Query),
        ("colour", "red", Source::Query),
    ]);
    let mut found = pointers(&fields, r#"{"name":"n"}"#);
    found.sort_unstable();
    assert_eq!(found, ["?colour", "?labels", "?limit", "?sides/1", "?urgent"]);
}

#[test]
fn the_fields_beside_a_query_stand_in_its_query_string_too() {
    let fields = outer(&[("sides", "left", Source::Query), ("limit", "7", Source::Query)]);
    let (query, page): (ListOrders, Page) = read(&fields, br#"{"count":true}"#).unwrap();
    assert_eq!(query.sides, [Side::Left]);
    assert_eq!((page.limit, page.count, page.cursor), (Some(7), true, None));
}

#[test]
fn faults_beside_a_query_are_named_with_its_own() {
    let fields = outer(&[
        ("sides", "up", Source::Query),
        ("limit", "4294967296", Source::Query),
        ("count", "x", Source::Query),
        ("wait_ms", "1", Source::Query),
        ("wait_ms", "2", Source::Query),
        ("colour", "red", Source::Query),
        ("min_position", "7", Source::Header("Capstan-Position")),
    ]);
    let problem = read::<ListOrders, Page>(&fields, b"").unwrap_err();
    let mut found: Vec<_> = problem.errors.iter().map(|fault| &*fault.pointer).collect();
    found.sort_unstable();
    assert_eq!(found, ["?colour", "?count", "?limit", "?sides/0", "?wait_ms", "Capstan-Position"]);
    let twice = problem.errors.iter().find(|fault| fault.pointer == "?wait_ms").unwrap();
    assert_eq!(twice.message, "is given twice");
    let in_body = read::<ListOrders, Page>(&[], br#"{"sides":["left"],"limit":-1}"#).unwrap_err();
    assert_eq!(in_body.errors[0].pointer, "/limit");
}

#[test]
fn a_refused_field_is_named_where_it_was_given() {
    let fields = outer(&[("cursor", "c", Source::Query), ("after", "a", Source::Header("Last-Event-ID"))]);
    let place = |pointer: &str| {
        located(Problem::invalid_field(pointer, "is wrong"), &fields).errors[0].pointer.clone()
    };
    assert_eq!(["/cursor", "/after", "/label"].map(place), ["?cursor", "Last-Event-ID", "/label"]);
}

#[test]
fn missing_fields_are_named_together() {
    assert_eq!(pointers(&[], "{}"), ["/task_id", "/name"]);
    assert_eq!(pointers(&[], ""), ["/task_id", "/name"]);
    assert_eq!(faults(&of_path(), r#"{"part":{}}"#)[0], ("/name".into(), "name is required".into()));
    assert_eq!(pointers(&of_path(), r#"{"part":{}}"#), ["/name", "/part/count"]);
}

#[test]
fn a_field_given_twice_is_refused_wherever_it_stands() {
    for body in [
        r#"{"name":"a","name":"b"}"#,
        r#"{"name":"a","nam\u0065":"b"}"#,
        r#"{"name":"a","part":{"count":1,"count":2}}"#,
        r#"{"name":"a","idempotency_key":"k","idempotency_key":"k"}"#,
    ] {
        let found = faults(&of_path(), body);
        assert!(found.iter().any(|(_, message)| message == "is given twice"), "{body}: {found:?}");
    }
    let twice =
        outer(&[("task_id", ID, Source::Path), ("limit", "1", Source::Query), ("limit", "2", Source::Query)]);
    let found = faults(&twice, r#"{"name":"a"}"#);
    assert_eq!(found, [("?limit".to_owned(), "is given twice".to_owned())]);
}

#[test]
fn a_name_given_twice_is_refused_at_every_depth() {
    let twice = |body: &str| {
        let found = faults(&of_path(), body);
        assert!(found.iter().all(|(_, message)| message == "is given twice"), "{body}: {found:?}");
        found.into_iter().map(|(pointer, _)| pointer).collect::<Vec<_>>()
    };
    assert_eq!(twice(r#"{"name":"a","labels":{"a":"1","b":"1","a":"2"}}"#), ["/labels/a"]);
    assert_eq!(twice(r#"{"name":"a","data":[{"x":{"y":1,"\u0079":1}}],"data":1}"#), ["/data/0/x/y", "/data"]);
    let all = r#"{"name":"a","name":"b","labels":{"a/~":"1","a/~":"1"},"data":{"a`b":1,"a`b":2,"A`b":3}}"#;
    assert_eq!(twice(all), ["/name", "/labels/a~1~0", "/data/a`b"]);
    let labels = |text| outer(&[("task_id", ID, Source::Path), ("labels", text, Source::Query)]);
    let found = faults(&labels("a:1,b:2, a:3,b:4"), r#"{"name":"a"}"#);
    let of = |name: &str| (format!("?labels/{name}"), "is given twice".to_owned());
    assert_eq!(found, [of("a"), of("b")]);
    let form = "must be name:value pairs, separated by commas";
    assert_eq!(faults(&labels("abc"), r#"{"name":"a"}"#), [("?labels".to_owned(), form.to_owned())]);
    assert!(read::<Order, Key>(&labels("a:1,A:1"), br#"{"name":"a","data":{"a":1,"A":{"a":1}}}"#).is_ok());
}

#[test]
fn faults_that_only_the_reader_finds_are_told_together() {
    let body = r#"{"name":7,"count":18446744073709551616,"balance":9223372036854775808,"since":"7",
        "attempts":["dev.1","dev.018f0000-0000-7000-8000-00000000000a.1","x"],"data":[1,99999999999999999999],
        "due":"soon","limit":4294967296,"epoch":18446744073709551616}"#;
    let mut found = faults(&of_path(), body);
    found.sort_unstable();
    let attempt = "must have a form such as dev.01890a5d-ac96-774b-bcce-b302099a8057.1";
    let expected = [
        ("/attempts/0", attempt),
        ("/attempts/2", attempt),
        ("/balance", "must be 9223372036854775807 or less"),
        ("/count", "must be 18446744073709551615 or less"),
        (
            "/data/1",
            "must be from -9223372036854775808 to 18446744073709551615; write a larger integer as a text",
        ),
        ("/due", "must be a time such as 2030-01-31T09:30:00Z"),
        ("/epoch", "must be 18446744073709551615 or less"),
        ("/limit", "must be 4294967295 or less"),
        ("/name", "must be a text"),
        ("/since", "must have a form such as 0-48213-9f3ac21b"),
    ];
    let found: Vec<_> = found.iter().map(|(pointer, message)| (&**pointer, &**message)).collect();
    assert_eq!(found, expected);
}

#[test]
fn an_id_has_one_form() {
    let uuid = "must be a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057";
    for id in ["018f000000007000800000000000000a", "{018f0000-0000-7000-8000-00000000000a}", " "] {
        let found = faults(&[], &format!(r#"{{"name":"a","task_id":"{id}"}}"#));
        assert_eq!(found, [("/task_id".to_owned(), uuid.to_owned())], "{id}");
    }
}

#[test]
fn every_contradiction_is_named() {
    let fields = outer(&[
        ("task_id", ID, Source::Path),
        ("urgent", "1", Source::Query),
        ("limit", "7", Source::Query),
        ("epoch", "3", Source::Header("Capstan-Epoch")),
    ]);
    let body = r#"{"name":"a","task_id":"x","urgent":false,"limit":7,"epoch":4}"#;
    let found = faults(&fields, body);
    assert!(found.iter().all(|(_, message)| message.starts_with("contradicts the ")));
    assert_eq!(pointers(&fields, body), ["/task_id", "/urgent", "/epoch"]);
}

#[test]
fn large_integers_in_free_json_are_kept_or_refused() {
    let read = |data: &str| {
        let body = format!(r#"{{"name":"a","data":{data}}}"#);
        read::<Order, Key>(&of_path(), body.as_bytes()).map(|(order, _)| order.data.to_string())
    };
    for kept in ["18446744073709551615", "-9223372036854775808", "1e+30", r#""18446744073709551616""#] {
        assert_eq!(read(kept).unwrap(), kept);
    }
    for refused in ["18446744073709551616", r#"[{"a":-9223372036854775809}]"#] {
        assert_eq!(read(refused).unwrap_err().code, Code::ValidationFailed, "{refused}");
    }
}

#[test]
fn more_faults_than_are_named_are_counted() {
    let body = format!(r#"{{"name":"a","sides":[{}]}}"#, vec!["7"; 120].join(","));
    let problem = read::<Order, Key>(&of_path(), body.as_bytes()).unwrap_err();
    assert_eq!(problem.errors.len(), 50);
    assert_eq!(&*problem.detail, "120 fields are invalid; the first 50 are named");
    let long = "n".repeat(10_000);
    let problem =
        read::<Order, Key>(&of_path(), format!(r#"{{"name":"a","{long}":7}}"#).as_bytes()).unwrap_err();
    assert!(problem.errors[0].pointer.len() < 600 && problem.detail.len() < 600, "{}", problem.detail);
}

#[test]
fn a_body_that_is_nested_too_deeply_is_told_the_limit() {
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        read::<Order, Key>(&of_path(), format!(r#"{{"name":"a","data":{open}{close}}}"#).as_bytes())
    };
    assert!(nested(63).is_ok());
    for depth in [64, 126, 127, 100_000] {
        let refused = nested(depth).unwrap_err();
        assert!(refused.detail.starts_with("objects and lists may be 64 levels deep"), "{}", refused.detail);
    }
    // Brackets in a text are none.
    let text = format!(r#"{{"name":"{}\"{}"}}"#, "[".repeat(100), "{".repeat(100));
    assert!(read::<Order, Key>(&of_path(), text.as_bytes()).is_ok());
}

#[test]
fn the_body_may_repeat_the_path_but_not_contradict_it() {
    let other = r#"{"name":"a","task_id":"018f0000-0000-7000-8000-00000000000b"}"#;
    assert_eq!(faults(&of_path(), other), [("/task_id".to_owned(), "contradicts the path".to_owned())]);
}

#[test]
fn a_text_in_another_case_contradicts_and_an_id_or_another_form_of_a_flag_does_not() {
    let fields = outer(&[("task_id", ID, Source::Path), ("name", "Ann", Source::Query)]);
    let contradicts = [("/name".to_owned(), "contradicts the query string".to_owned())];
    assert_eq!(faults(&fields, r#"{"name":"ann"}"#), contradicts);
    let fields = outer(&[("task_id", ID, Source::Path), ("urgent", "1", Source::Query)]);
    let body = format!(r#"{{"name":"a","urgent":true,"task_id":"{}"}}"#, ID.to_uppercase());
    let (order, _) = read::<Order, Key>(&fields, body.as_bytes()).unwrap();
    assert!(order.urgent);
}

#[test]
fn a_field_of_the_path_given_twice_is_a_fault_and_no_missing_entity() {
    let fields = outer(&[("task_id", ID, Source::Path), ("task_id", ID, Source::Query)]);
    let told = [("?task_id".to_owned(), "is no parameter: it stands in the path".to_owned())];
    assert_eq!(faults(&fields, r#"{"name":"a"}"#), told);
    for text in ["", "7"] {
        let fields = outer(&[("task_id", ID, Source::Path), ("task_id", text, Source::Query)]);
        assert_eq!(faults(&fields, r#"{"name":"a"}"#), told, "{text:?}");
    }
}

#[test]
fn what_has_no_readable_text_is_told_with_all_other_faults() {
    let mut fields = of_path();
    fields.push(Outer::unreadable("limit", Source::Query, "has no value"));
    fields.push(Outer::unreadable("no_such", Source::Query, "has no value"));
    fields.push(Outer::unreadable("epoch", Source::Header("Capstan-Epoch"), "is not UTF-8"));
    fields.push(Outer::new("urgent", "maybe", Source::Query));
    let mut found = pointers(&fields, r#"{"name":7}"#);
    found.sort_unstable();
    assert_eq!(found, ["/name", "?limit", "?no_such", "?urgent", "Capstan-Epoch"]);
    let header = [Outer::unreadable("name", Source::Header("Name"), "is not UTF-8")];
    assert_eq!(
        faults(&header, &format!(r#"{{"task_id":"{ID}"}}"#)),
        [("Name".into(), "is not UTF-8".into())]
    );
    let refused = read::<Unconditional, Unconditional>(&header, b"").unwrap_err();
    assert_eq!(&*refused.errors[0].message, "this request does not take this header");
}

#[test]
fn a_field_may_be_repeated_in_another_place_and_not_in_the_same() {
    let (query, header) = (Source::Query, Source::Header("Capstan-Epoch"));
    let other = Source::Header("Other-Epoch");
    let read = |list: &[(&'static str, Source)], body: &str| {
        let mut fields = of_path();
        fields.extend(list.iter().map(|(text, source)| Outer::new("epoch", *text, *source)));
        read::<Order, Key>(&fields, body.as_bytes()).map(|(_, key)| key.epoch).map_err(|problem| {
            problem.errors.into_iter().map(|fault| (fault.pointer, fault.message)).collect::<Vec<_>>()
        })
    };
    let plain = r#"{"name":"a"}"#;
    for list in
        [&[("3", query), ("3", header)][..], &[("3", header), ("3", other)], &[("", query), ("3", header)]]
    {
        assert_eq!(read(list, plain), Ok(Some(3)), "{list:?}");
        assert_eq!(read(list, r#"{"name":"a","epoch":3}"#), Ok(Some(3)), "{list:?}");
    }
    let told = |place: &str, message: &str| Err(vec![(place.to_owned(), message.to_owned())]);
    for twice in [query, header] {
        let place = if twice == query { "?epoch" } else { "Capstan-Epoch" };
        assert_eq!(read(&[("3", twice), ("3", twice)], plain), told(place, "is given twice"));
    }
    let contradicts = told("Capstan-Epoch", "contradicts the query string");
    assert_eq!(read(&[("3", query), ("4", header)], plain), contradicts);
    assert_eq!(
        read(&[("3", header)], r#"{"name":"a","epoch":"3"}"#),
        told("/epoch", "must be a whole number")
    );
    // A text may look like a number.
    let fields = outer(&[("task_id", ID, Source::Path), ("idempotency_key", "3", header)]);
    let (_, key) = super::read::<Order, Key>(&fields, br#"{"name":"a","idempotency_key":"3"}"#).unwrap();
    assert_eq!(key.idempotency_key.as_deref(), Some("3"));
}

#[test]
fn an_id_of_the_path_that_cannot_be_one_identifies_nothing() {
    let fields = outer(&[("task_id", "7", Source::Path)]);
    let problem = read::<Order, Key>(&fields, br#"{"name":"a"}"#).unwrap_err();
    assert_eq!((problem.code, &*problem.detail), (Code::NotFound, "there is no such task"));
    assert_eq!(pointers(&[], r#"{"name":"a","task_id":"7"}"#), ["/task_id"]);
}

#[test]
fn a_body_that_is_not_one_object_is_refused() {
    for body in
        ["{", r#"{"name":"a"} x"#, r#"{"name":"a"}{}"#, r#"{"name":1,]"#, "\u{feff}{}", r#"{"colour":1"#]
    {
        assert_eq!(
            read::<Order, Key>(&of_path(), body.as_bytes()).unwrap_err().code,
            Code::MalformedRequest,
            "{body}"
        );
    }
    let problem = read::<Order, Key>(&of_path(), b"{\n\"name\": x}").unwrap_err();
    assert!(problem.detail.ends_with("line 2, column 9"), "{}", problem.detail);
    for body in ["[]", "7", "null", r#"["a"]"#] {
        assert_eq!(faults(&of_path(), body), [(String::new(), "must be an object".to_owned())], "{body}");
    }
    assert_eq!(pointers(&of_path(), r#"{"name":"a","part":[1]}"#), ["/part"]);
}

#[test]
fn the_key_is_no_field_of_the_request() {
    assert_eq!(pointers(&of_path(), r#"{"name":"a","idempotency_key":7}"#), ["/idempotency_key"]);
    assert!(read::<Order, Unconditional>(&of_path(), br#"{"name":"a","idempotency_key":"k"}"#).is_err());
    let unknown = outer(&[("colour", "red", Source::Query)]);
    let refused = read::<Unconditional, Unconditional>(&unknown, b"").unwrap_err();
    assert_eq!((&*refused.errors[0].pointer, &*refused.errors[0].message), ("?colour", "unknown field"));
}

#[test]
fn a_field_beside_the_request_may_stand_outside_the_body() {
    let header =
        |text| outer(&[("task_id", ID, Source::Path), ("epoch", text, Source::Header("Capstan-Epoch"))]);
    let (_, key): (Order, Key) =
        read(&header("3"), br#"{"name":"a","epoch":3,"idempotency_key":"k"}"#).unwrap();
    assert_eq!((key.epoch, key.idempotency_key.as_deref()), (Some(3), Some("k")));
    let found = |text, body: &str| faults(&header(text), body);
    let of_header = |message: &str| [("Capstan-Epoch".to_owned(), message.to_owned())];
    let contradicts = [("/epoch".to_owned(), "contradicts the header Capstan-Epoch".to_owned())];
    assert_eq!(found("3", r#"{"name":"a","epoch":4}"#), contradicts);
    assert_eq!(found("three", r#"{"name":"a"}"#), of_header("must be a whole number"));
    assert_eq!(pointers(&header("three"), r#"{"name":7}"#), ["Capstan-Epoch", "/name"]);
}
