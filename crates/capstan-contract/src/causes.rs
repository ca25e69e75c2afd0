//! The text of an error with its causes, as it is logged, shown and kept with dead letters.

use std::error::Error;

/// An error with its causes in one line. A cause that a library repeats in its own text stands there once.
pub fn explain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let told = cause.to_string();
        if !text.contains(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Failed(&'static str, #[source] Option<Box<Failed>>);

    #[test]
    fn each_cause_stands_in_the_line_once() {
        let of = |text, cause| Failed(text, cause);
        let inner = || Some(Box::new(of("refused", None)));
        assert_eq!(explain(&of("connect", inner())), "connect: refused");
        assert_eq!(explain(&of("connect: refused", inner())), "connect: refused");
        assert_eq!(explain(&of("start", Some(Box::new(of("connect", inner()))))), "start: connect: refused");
    }
}
