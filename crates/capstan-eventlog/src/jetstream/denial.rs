//! What the server told a connection it may not do.
//!
//! A publication or subscription without permission has no answer of its own: the server sends an error that names the
//! subject, and whoever waits for a reply would wait for nothing.

use std::collections::VecDeque;

/// Most denied publications that are remembered; waiting requests are woken by each of them.
const REMEMBERED: usize = 64;

/// The denials of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Denials {
    /// Number of denied publications so far.
    count: u64,
    /// The latest of them, each with its number.
    publications: VecDeque<(u64, String)>,
    /// An inbox that may not be subscribed to: no request of this connection is answered.
    inbox: Option<String>,
}

impl Denials {
    /// Takes an error of the server; false when it is about something else.
    pub(super) fn take(&mut self, error: &str) -> bool {
        let Some((action, subject)) = error
            .strip_prefix("Permissions Violation for ")
            .and_then(|denied| denied.split_once(" to "))
            .and_then(|(action, rest)| Some((action, rest.strip_prefix('"')?.split('"').next()?)))
        else {
            return false;
        };
        match action {
            "Publish" => {
                self.count += 1;
                self.publications.push_back((self.count, subject.to_owned()));
                if self.publications.len() > REMEMBERED {
                    self.publications.pop_front();
                }
            }
            "Subscription" if subject.starts_with("_INBOX.") => self.inbox = Some(subject.to_owned()),
            _ => return false,
        }
        true
    }

    /// Forgets the inbox: a new connection subscribes again.
    pub(super) fn reconnected(&mut self) {
        self.inbox = None;
    }

    /// Number of denied publications so far.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The permission a request to `subject` needs that was sent after `count` denials.
    pub(super) fn needed(&self, subject: &str, count: u64) -> Option<String> {
        let is_denied = |(number, denied): &(u64, String)| *number > count && denied == subject;
        if self.publications.iter().any(is_denied) {
            return Some(format!("publish to {subject}"));
        }
        self.inbox.as_ref().map(|inbox| format!("subscribe to {inbox}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_told_the_permission_it_needs() {
        let mut denials = Denials::default();
        assert!(denials.take("Permissions Violation for Publish to \"a.b\""));
        assert_eq!(denials.needed("a.b", 0).as_deref(), Some("publish to a.b"));
        assert_eq!((denials.needed("a.c", 0), denials.needed("a.b", denials.count())), (None, None));
        assert!(!denials.take("Permissions Violation for Subscription to \"a.>\" using queue \"q\""));
        assert!(!denials.take("maximum payload exceeded"));
        assert!(denials.take("Permissions Violation for Subscription to \"_INBOX.x.*\""));
        assert_eq!(denials.needed("a.c", 9).as_deref(), Some("subscribe to _INBOX.x.*"));
        denials.reconnected();
        assert_eq!(denials.needed("a.c", 9), None);
    }
}
