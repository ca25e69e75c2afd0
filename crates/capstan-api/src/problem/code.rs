//! The stable codes of problems; each has a page in `docs/errors`.

use axum::http::StatusCode;

macro_rules! codes {
    ($($variant:ident, $text:literal, $status:ident, $title:literal;)*) => {
        /// The kind of a problem. Callers rely on the text and the status; neither ever changes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "each variant is explained on its page in docs/errors")]
        pub enum Code { $($variant,)* }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable text.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The HTTP status.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// The kind in a few words.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// The page that explains the code, in Markdown.
            pub fn page(self) -> &'static str {
                match self {
                    $(Self::$variant => include_str!(concat!("../../../../docs/errors/", $text, ".md")),)*
                }
            }
        }
    };
}

codes! {
    MalformedRequest, "malformed_request", BAD_REQUEST, "The request cannot be read";
    Unauthenticated, "unauthenticated", UNAUTHORIZED, "No valid token";
    Forbidden, "forbidden", FORBIDDEN, "Not allowed";
    NotFound, "not_found", NOT_FOUND, "Not found";
    MethodNotAllowed, "method_not_allowed", METHOD_NOT_ALLOWED, "The route has no such method";
    AgentExists, "agent_exists", CONFLICT, "The agent exists";
    WorkspaceExists, "workspace_exists", CONFLICT, "The workspace exists";
    TaskExists, "task_exists", CONFLICT, "The task exists";
    AgentHasOpenTasks, "agent_has_open_tasks", CONFLICT, "The agent has open tasks";
    ChannelTaken, "channel_taken", CONFLICT, "Another workspace has the address";
    QuotaExceeded, "quota_exceeded", CONFLICT, "The workspace has as many as it may";
    AgentInactive, "agent_inactive", CONFLICT, "The agent takes no commands";
    IllegalTransition, "illegal_transition", CONFLICT, "Not possible in this state";
    TaskArchived, "task_archived", CONFLICT, "The task is archived";
    LeaseLost, "lease_lost", CONFLICT, "The lease is gone";
    OutputConflict, "output_conflict", CONFLICT, "The id is another output's";
    BlockerClosed, "blocker_closed", CONFLICT, "The question is closed";
    SessionBusy, "session_busy", CONFLICT, "The session is busy";
    IdempotencyConflict, "idempotency_conflict", CONFLICT, "The key was used for another command";
    VersionMismatch, "version_mismatch", PRECONDITION_FAILED, "The entity has moved on";
    RequestTimeout, "request_timeout", REQUEST_TIMEOUT, "The request did not arrive in time";
    RateLimited, "rate_limited", TOO_MANY_REQUESTS, "Too many requests";
    PayloadTooLarge, "payload_too_large", PAYLOAD_TOO_LARGE, "Too large";
    ValidationFailed, "validation_failed", UNPROCESSABLE_ENTITY, "The command is not valid";
    MessageRequired, "message_required", UNPROCESSABLE_ENTITY, "The input says nothing";
    InternalError, "internal_error", INTERNAL_SERVER_ERROR, "A fault of this service";
    Contended, "contended", SERVICE_UNAVAILABLE, "Too many writers at once";
    LogUnavailable, "log_unavailable", SERVICE_UNAVAILABLE, "The log cannot be reached";
    ReadModelUnavailable, "read_model_unavailable", SERVICE_UNAVAILABLE, "The read models cannot be reached";
    EngineUnavailable, "engine_unavailable", SERVICE_UNAVAILABLE, "No engine answers";
    PositionTimeout, "position_timeout", GATEWAY_TIMEOUT, "The read models are not there yet";
}

impl Code {
    /// The code with this text.
    pub fn of(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }

    /// True when repeating the very same request later may succeed.
    pub fn is_temporary(self) -> bool {
        matches!(
            self.status(),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_that_says_what_happened_and_what_to_do() {
        for code in Code::ALL {
            let page = code.page();
            assert!(page.starts_with(&format!("# {}", code.as_str())), "{}", code.as_str());
            assert!(page.contains(&code.status().as_u16().to_string()), "{} names its status", code.as_str());
            assert!(page.contains("## What to do"), "{}", code.as_str());
            assert_eq!(Code::of(code.as_str()), Some(*code));
        }
    }
}
