//! Fields of requests that stand in headers, over HTTP and NATS.

use capstan_contract::beside::HEADERS;

use crate::request::{Outer, Source};

/// The fields these headers stand for; the names of headers have no case. A field that the kind of request does not have
/// is refused when the request is read.
pub(crate) fn of<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<Outer<'static>> {
    let field = |(name, value): (&str, &[u8])| {
        let (header, field) = HEADERS.iter().find(|(header, _)| header.eq_ignore_ascii_case(name))?;
        let source = Source::Header(header);
        let Ok(text) = str::from_utf8(value) else {
            return Some(Outer::unreadable(*field, source, "must be UTF-8"));
        };
        let mut text = text.trim();
        if *header == "If-Match" {
            text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        }
        Some(Outer::new(*field, text.to_owned(), source))
    };
    headers.filter_map(field).collect()
}

#[cfg(test)]
mod tests {
    use capstan_contract::command::{
        BatchConditions, CancelTask, Conditions, LeaseConditions, Unconditional,
    };
    use uuid::Uuid;

    use super::*;
    use crate::problem::Problem;
    use crate::request;

    const TASK: &str = r#"{"task_id":"018f0000-0000-7000-8000-00000000000a"}"#;

    fn fields(headers: &[(&str, &str)]) -> Vec<Outer<'static>> {
        of(headers.iter().map(|(name, value)| (*name, value.as_bytes())))
    }

    fn cancel(headers: &[(&str, &str)], body: &str) -> Result<Conditions, Problem> {
        request::read::<CancelTask, _>(&fields(headers), body.as_bytes()).map(|(_, conditions)| conditions)
    }

    fn faults(refused: Problem) -> Vec<(String, String)> {
        refused.errors.into_iter().map(|fault| (fault.pointer, fault.message)).collect()
    }

    fn pointers<T: std::fmt::Debug>(read: Result<T, Problem>) -> Vec<String> {
        faults(read.unwrap_err()).into_iter().map(|(pointer, _)| pointer).collect()
    }

    #[test]
    fn the_conditions_of_a_command_stand_in_headers_of_any_case() {
        let id = Uuid::from_u128(7);
        let given =
            [("IF-MATCH", "\"3\""), ("idempotency-key", " k "), ("Capstan-Command-ID", &id.to_string())];
        let expected = Conditions {
            idempotency_key: Some("k".parse().unwrap()),
            command_id: Some(id),
            expected_version: Some(3),
        };
        assert_eq!(cancel(&given, TASK).unwrap(), expected);
        let body = format!(
            r#"{},"idempotency_key":"k","command_id":"{id}","expected_version":3}}"#,
            TASK.trim_end_matches('}')
        );
        assert_eq!(cancel(&given, &body).unwrap(), expected);
        assert_eq!(cancel(&[], &body).unwrap(), expected);
    }

    #[test]
    fn faults_of_headers_and_of_the_body_are_told_together() {
        let bad = [("If-Match", "\"7\", \"8\""), ("Capstan-Command-Id", "7"), ("Idempotency-Key", "")];
        let mut found = pointers(cancel(&bad, r#"{"task_id":7,"colour":1}"#));
        found.sort_unstable();
        assert_eq!(found, ["/colour", "/task_id", "Capstan-Command-Id", "Idempotency-Key", "If-Match"]);
        assert_eq!(pointers(cancel(&[("If-Match", "*")], TASK)), ["If-Match"]);
        let long = "k".repeat(513);
        assert_eq!(pointers(cancel(&[("Idempotency-Key", &long)], TASK)), ["Idempotency-Key"]);
    }

    #[test]
    fn a_header_that_is_no_text_is_told_so() {
        let fields = of([("Idempotency-Key", &b"k\xff"[..])].into_iter());
        let read = request::read::<CancelTask, Conditions>(&fields, TASK.as_bytes());
        assert_eq!(faults(read.unwrap_err()), [("Idempotency-Key".to_owned(), "must be UTF-8".to_owned())]);
    }

    #[test]
    fn a_header_given_twice_is_refused() {
        for second in ["a", "b"] {
            let twice = [("Idempotency-Key", "a"), ("idempotency-key", second)];
            let found = faults(cancel(&twice, TASK).unwrap_err());
            assert_eq!(found, [("Idempotency-Key".to_owned(), "is given twice".to_owned())]);
        }
    }

    #[test]
    fn a_body_that_contradicts_a_header_is_told_which_one() {
        let body = format!(r#"{},"expected_version":4}}"#, TASK.trim_end_matches('}'));
        let found = faults(cancel(&[("If-Match", "\"3\"")], &body).unwrap_err());
        assert_eq!(found, [("/expected_version".to_owned(), "contradicts the header If-Match".to_owned())]);
        let body = body.replace('4', "\"99\"");
        let found = faults(cancel(&[("If-Match", "\"99\"")], &body).unwrap_err());
        assert_eq!(found, [("/expected_version".to_owned(), "must be a whole number".to_owned())]);
    }

    #[test]
    fn a_header_that_the_kind_of_request_does_not_know_is_refused_by_name() {
        fn refused<B: capstan_contract::beside::Beside + std::fmt::Debug>(header: &str, value: &str) {
            let read = request::read::<Unconditional, B>(&fields(&[(header, value)]), b"");
            let told = (header.to_owned(), "this request does not take this header".to_owned());
            assert!(faults(read.map(drop).unwrap_err()).contains(&told), "{header}");
        }
        refused::<BatchConditions>("If-Match", "\"1\"");
        refused::<BatchConditions>("Capstan-Command-Id", &Uuid::nil().to_string());
        refused::<LeaseConditions>("If-Match", "\"1\"");
        refused::<Conditions>("Capstan-Lease-Epoch", "1");
        for (header, _) in HEADERS {
            refused::<Unconditional>(header, "0");
        }
    }
}
